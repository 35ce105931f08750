"""A vision model behind OpenAI's interface: Ollama, LM Studio, xAI, OpenAI and whatever else speaks it.

`POST {base}/chat/completions` with the picture as a data URL; `GET {base}/models` for the names. Nothing is sent before an address is
set. Redirects are not followed: neither key nor picture goes where nobody sent it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit

import httpx
from PIL import Image

from studio.caption_text import refuses, said_in, sees_nothing
from studio.caption_ways import Spent, is_this_computer, no_model, way_by_address
from studio.errors import (
    EngineFailed,
    EngineOffline,
    EngineTimeout,
    FileTooLarge,
    InsufficientFunds,
    InvalidFieldValue,
    LikenessError,
)
from studio.logs import Redactor
from studio.settings import Settings

log = logging.getLogger(__name__)

TRIES = 4
# Longer than this nobody waits in front of a page: the run stops and says when it can go on.
LONGEST_WAIT_S = 120.0
_MOST_TOKENS = 1000
_MOST_BYTES = 2**22
_LOOK_S = 0.1
_PRICES = Path(__file__).with_name("caption_prices.json")
# xAI says what each request cost: https://docs.x.ai/developers/cost-tracking
_TICKS_PER_USD = 10**10


class Refused(EngineFailed):
    """The model declined to describe one picture. Another picture may be no trouble to it."""


class Stranger(EngineOffline):
    """Somebody answers at the address who does not speak OpenAI's interface."""


class VisionModel:
    """The model that the settings name. Of one thread and outside of asyncio; close it, or use it with `with`.

    `allow_remote_for_real` lets photos of real people go to an address that is not this computer. `tries` is how often a picture is
    asked for while the server is busy or stumbles, `wait_s` the first wait between two, which doubles.
    """

    name = "vision model"

    def __init__(self, settings: Settings, *, allow_remote_for_real: bool = False, tries: int = TRIES, wait_s: float = 1.0) -> None:
        self._way = way_by_address(settings)
        self.url, self.model = self._way.url, self._way.model
        self.spent = Spent()
        self._allowed = allow_remote_for_real
        self._tries, self._wait_s = tries, wait_s
        self._patience_s, self._side = settings.caption_timeout_s, settings.caption_side
        key = settings.caption_key.get_secret_value().strip()
        self._redact = Redactor((key,))
        self._limit = "max_tokens"
        self._host = urlsplit(self.url).hostname or ""
        # Without a given encoding a small answer can't unpack into a huge one.
        headers = {"Accept-Encoding": "identity", "User-Agent": "Likeness", **({"Authorization": f"Bearer {key}"} if key else {})}
        self._runner = asyncio.Runner()
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(None, connect=10),
            follow_redirects=False,
            # A proxy of the environment can't reach this computer's own servers.
            trust_env=not is_this_computer(self._host),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._runner.run(self._http.aclose())
        self._runner.close()

    @property
    def sends_away(self) -> bool:
        """Whether pictures leave this computer: another address, or one of Ollama's models that run in its cloud."""
        return self._way.sends_away

    def check_real(self) -> None:
        """Raises ConsentMissing where a real person's photo may not be shown to it."""
        self._way.check_real(self._allowed)

    def caption(self, image: Image.Image, instruction: str, *, real: bool, watch: Callable[[], None] = lambda: None) -> str:
        """What the model says of a picture. `watch` is called several times a second; what it raises ends the request at once.

        Raises ConsentMissing; Refused, EngineFailed or EngineTimeout for this picture; EngineOffline, InvalidFieldValue naming the
        setting, InsufficientFunds or DependencyMissing where no picture would fare better.
        """
        if real:
            self.check_real()
        if not self.model:
            raise no_model()
        asked = [
            {"type": "text", "text": instruction},
            {"type": "image_url", "image_url": {"url": data_url(image, self._side)}},
        ]
        said = self._run(self._again("chat/completions", {"messages": [{"role": "user", "content": asked}]}), watch)
        return self._answer(said)

    def list_models(self) -> tuple[str, ...]:
        """The names of the models there, by name. Raises as `caption` does."""
        said = self._run(self._again("models", None), lambda: None)
        listed = said.get("data")
        if not isinstance(listed, list):
            raise self._stranger()
        return tuple(sorted({str(one["id"]) for one in listed if isinstance(one, dict) and one.get("id")}, key=str.casefold))

    # One request

    def _run(self, work: Awaitable[dict[str, Any]], watch: Callable[[], None]) -> dict[str, Any]:
        return self._runner.run(_watched(work, watch))

    async def _again(self, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """Ask until there is an answer, or until asking again makes no sense."""
        for tried in range(1, self._tries + 1):
            try:
                return await self._once(path, body)
            except _Busy as busy:
                wait = self._wait_s * 2 ** (tried - 1) * random.uniform(0.8, 1.2) if busy.wait_s is None else busy.wait_s
                if wait > LONGEST_WAIT_S:
                    raise EngineOffline(
                        f"{self._host} takes no more requests for {_duration(wait)}.",
                        remedy="Wait that long, then go on; what has its caption keeps it.",
                    ) from busy
                if tried == self._tries:
                    raise busy.fault from busy
                log.info("The vision model is asked again in %.1f s: %s", wait, busy.fault.message)
                await asyncio.sleep(wait)
        raise AssertionError("at least one try")

    async def _once(self, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        if body is None:
            status, headers, content = await self._exchange("GET", path, None)
        else:
            full = {"model": self.model, "stream": False, self._limit: _MOST_TOKENS, **body}
            status, headers, content = await self._exchange("POST", path, full)
            if status == 400 and self._limit == "max_tokens" and b"max_completion_tokens" in content:
                # OpenAI's newer models know the limit by another name, and other servers only by the old one.
                self._limit = "max_completion_tokens"
                return await self._once(path, body)
        said = _parsed(content)
        if status != 200:
            self._fail(status, headers, content, said)
        if not isinstance(said, dict):
            raise self._stranger()
        if said.get("error"):
            raise EngineFailed(f"The vision model failed: {self._words(content, said)}")
        return said

    async def _exchange(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, httpx.Headers, bytes]:
        try:
            async with asyncio.timeout(self._patience_s):
                async with self._http.stream(method, f"{self.url}/{path}", json=body) as answer:
                    content = bytearray()
                    async for piece in answer.aiter_raw():
                        content += piece
                        if len(content) > _MOST_BYTES:
                            raise self._stranger()
                    return answer.status_code, answer.headers, bytes(content)
        except TimeoutError as error:
            raise EngineTimeout(
                f"The vision model at {self._host} gave no answer within {_duration(self._patience_s)}.",
                remedy="Try again; a model is slowest the first time. For a slow computer raise LIKENESS_CAPTION_TIMEOUT_S.",
            ) from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise _Busy(
                EngineOffline(
                    f"Nothing answers at {self.url}.",
                    field="caption_url",
                    remedy="Start the program there (for Ollama: `ollama serve`), or correct the address.",
                )
            ) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise InvalidFieldValue(f"{self.url} is no address.", field="caption_url", remedy="Correct it on the Setup tab.") from error
        except httpx.TransportError as error:
            raise _Busy(EngineFailed(f"The connection to {self._host} broke off.", remedy="Try again.")) from error

    def _fail(self, status: int, headers: httpx.Headers, content: bytes, said: object) -> NoReturn:
        words = self._words(content, said)
        heard = words.casefold()
        if status in (401, 403) and not _is_policy(heard):
            raise EngineOffline(
                f"{self._host} refuses the key.",
                field="caption_key",
                remedy="Put the right key into LIKENESS_CAPTION_KEY (in the environment or .env), then restart the studio.",
            )
        if status == 402 or "insufficient_quota" in content.decode(errors="replace") or "insufficient credits" in heard:
            raise InsufficientFunds(f"{self._host} says that there is no money left: {words}")
        if _is_blindness(heard):
            # llama.cpp says so with a 500.
            raise blind(self.model)
        if status in (408, 429) or status >= 500:
            busy = f"{self._host} is too busy." if status == 429 else f"{self._host} stumbled (HTTP {status}): {words}"
            fault = EngineOffline(busy, remedy="Try again in a few minutes.") if status == 429 else EngineFailed(busy)
            raise _Busy(fault, _retry_after(headers))
        if 300 <= status < 400:
            raise EngineOffline(
                f"{self.url} sends to another address.", field="caption_url", remedy="Write that address into LIKENESS_CAPTION_URL."
            )
        if status == 413:
            raise FileTooLarge(f"The picture is too large for {self._host}.", remedy="Lower LIKENESS_CAPTION_SIDE.")
        if _is_policy(heard):
            raise Refused(f"The vision model declined to describe this picture: {words}", remedy=_BY_HAND)
        if "model" in heard and (status == 404 or "not found" in heard or "does not exist" in heard):
            raise InvalidFieldValue(
                f"There is no model “{self.model}” at {self._host}.",
                field="caption_model",
                remedy="Choose one of those that are there; for Ollama, `ollama pull` fetches one.",
            )
        if status in (404, 405):
            raise self._stranger()
        raise EngineFailed(f"{self._host} answered with HTTP {status}: {words}")

    def _answer(self, said: dict[str, Any]) -> str:
        self._count(said.get("usage"))
        choices = said.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        message = first.get("message") if isinstance(first, dict) else None
        if not isinstance(first, dict) or not isinstance(message, dict):
            raise EngineFailed("The vision model gave an answer without a caption.", remedy=_BY_HAND)
        if message.get("refusal") or first.get("finish_reason") == "content_filter":
            raise Refused("The vision model declined to describe this picture.", remedy=_BY_HAND)
        text = said_in(_text_of(message.get("content")))
        if sees_nothing(text):
            raise blind(self.model)
        if refuses(text):
            raise Refused("The vision model declined to describe this picture.", remedy=_BY_HAND)
        if not text:
            thought = first.get("finish_reason") == "length"
            raise EngineFailed(
                "The vision model thought until its limit and said nothing." if thought else "The vision model gave an empty answer.",
                remedy="Choose a model that doesn't think before it answers." if thought else _BY_HAND,
            )
        return text

    def _count(self, usage: object) -> None:
        said = usage if isinstance(usage, dict) else {}
        sent, got = _whole(said.get("prompt_tokens")), _whole(said.get("completion_tokens"))
        cost = self._cost(said, sent, got)
        before = self.spent
        self.spent = Spent(
            answers=before.answers + 1,
            prompt_tokens=before.prompt_tokens + sent,
            completion_tokens=before.completion_tokens + got,
            usd=None if before.usd is None or cost is None else before.usd + cost,
        )

    def _cost(self, usage: dict[str, Any], sent: int, got: int) -> float | None:
        ticks = usage.get("cost_in_usd_ticks")
        if isinstance(ticks, int | float) and ticks >= 0:
            return ticks / _TICKS_PER_USD
        price = price_of(self._host, self.model)
        return None if price is None or not sent else (sent * price[0] + got * price[1]) / 1e6

    def _words(self, content: bytes, said: object) -> str:
        """What the server says, short and without the key."""
        error = said.get("error", said.get("detail", said.get("message"))) if isinstance(said, dict) else None
        text = error.get("message") if isinstance(error, dict) else error
        if not isinstance(text, str):
            text = "it sent a web page" if content.lstrip()[:1] == b"<" else content[:1000].decode(errors="replace") or "it said nothing"
        text = self._redact(" ".join(text.split()))
        return text if len(text) <= 300 else f"{text[:299]}…"

    def _stranger(self) -> Stranger:
        return Stranger(
            f"{self.url} answers, but not with OpenAI's interface.",
            field="caption_url",
            remedy="Check the address; most end in /v1, such as http://127.0.0.1:11434/v1.",
        )


_BY_HAND = "Write this caption yourself, or try another model."


class _Busy(Exception):
    """Asking again may help. `wait_s` is what the server asks for."""

    def __init__(self, fault: LikenessError, wait_s: float | None = None) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.wait_s = wait_s


def data_url(image: Image.Image, side: int) -> str:
    """An RGB picture as a data URL: at most `side` pixels a side, and nothing in it but the pixels."""
    small = image.convert("RGB")
    if max(small.size) > side:
        scale = side / max(small.size)
        small = small.resize((max(1, round(small.width * scale)), max(1, round(small.height * scale))), Image.Resampling.LANCZOS)
    # Pillow writes a JPEG's comment and a profile from here into the next file.
    plain = Image.frombytes("RGB", small.size, small.tobytes())
    # Small drawings suffer from JPEG, and are small as PNG, too.
    kind = "png" if max(plain.size) <= 320 else "jpeg"
    out = BytesIO()
    plain.save(out, kind.upper(), **({} if kind == "png" else {"quality": 90}))
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}"


def price_of(host: str, model: str) -> tuple[float, float] | None:
    """US dollars per million tokens in and out, as published; None where they are not known."""
    prices = json.loads(_PRICES.read_text(encoding="utf-8"))["prices"]
    return next(((one["input"], one["output"]) for one in prices if (one["host"], one["model"]) == (host, model)), None)


def blind(model: str) -> InvalidFieldValue:
    """The error for a model that has no eyes."""
    return InvalidFieldValue(
        f"The model “{model}” can't see pictures.",
        field="caption_model",
        remedy="Choose a vision model, such as Qwen3-VL, Gemma 3 or LLaVA.",
    )


async def _watched(work: Awaitable[dict[str, Any]], watch: Callable[[], None]) -> dict[str, Any]:
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=_LOOK_S)
            watch()
        return task.result()
    finally:
        # Cancelled, the connection is closed, and a server that looks stops computing.
        task.cancel()
        with suppress(asyncio.CancelledError, LikenessError, _Busy):
            await task


def _is_blindness(heard: str) -> bool:
    return any(word in heard for word in _PICTURES) and any(word in heard for word in _LACKING)


_PICTURES = ("image", "vision", "multimodal", "mmproj")
_LACKING = ("not support", "n't support", "unsupported", "only text", "text-only", "invalid content type")


def _is_policy(heard: str) -> bool:
    return any(word in heard for word in _POLICY)


_POLICY = ("content_policy", "content policy", "content filter", "content_filter", "safety system", "moderation", "usage guidelines")


def _text_of(content: object) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _retry_after(headers: httpx.Headers) -> float | None:
    said = headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return None


def _parsed(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _whole(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
