"""Where captions can come from: a vision model at an address, or one in the models folder. Pure but for the folder; asks no network."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from urllib.parse import urlsplit

from studio.contracts import Contract
from studio.errors import ConsentMissing, DependencyMissing, InvalidFieldValue, LikenessError
from studio.settings import Settings


class Spent(Contract):
    """What was used up to now. `usd` is None where nobody says what it cost; by a list of prices it is the most that it can be."""

    answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = 0.0

    def and_(self, more: Spent) -> Spent:
        """Both together."""
        return Spent(
            answers=self.answers + more.answers,
            prompt_tokens=self.prompt_tokens + more.prompt_tokens,
            completion_tokens=self.completion_tokens + more.completion_tokens,
            usd=None if self.usd is None or more.usd is None else self.usd + more.usd,
        )


class CaptionVerdict(Contract):
    """Whether captions by the vision model of the settings work; if not, `message` and `remedy` say why, and `field` names the setting."""

    ok: bool
    message: str
    remedy: str = ""
    field: str | None = None
    code: str | None = None
    models: tuple[str, ...] = ()
    sends_away: bool = False


class CaptionWay(Contract):
    """A vision model that can be asked. `captioner` is its folder among the models, empty where it is at an address: `url`.

    `sends_away` says that pictures leave this computer; `host` is where they go then.
    """

    captioner: str
    model: str
    url: str
    host: str
    sends_away: bool

    def check_real(self, allowed: bool) -> None:
        """Raises ConsentMissing where a real person's photo may not be shown to it. `allowed`: they agreed that it is sent."""
        if self.sends_away and not allowed:
            raise ConsentMissing(
                f"These are photos of a real person, and captions would send them to {self.host}.",
                field="allow_remote_for_real",
                remedy="Ask the person, then say that they may be sent; or use a vision model on this computer.",
            )


def choose_way(settings: Settings, captioner: str | None = None) -> CaptionWay:
    """The vision model of that name in the models folder; without one that of the settings' address, or the first of the folder.

    Raises DependencyMissing with the remedy, InvalidFieldValue for an address or key that can't be.
    """
    here = local_ways(settings.models_path)
    if captioner:
        name = require_captioner(settings.models_path, captioner).name
        return next(way for way in here if way.captioner == name)
    if not settings.caption_url and here:
        return here[0]
    way = way_by_address(settings)
    if not way.model:
        raise no_model()
    return way


def all_ways(settings: Settings) -> tuple[CaptionWay, ...]:
    """Every vision model that can be asked: first that of the settings, where it can be used as it stands."""
    here = local_ways(settings.models_path)
    try:
        way = way_by_address(settings)
    except LikenessError:
        return here
    return (way, *here) if way.model else here


def way_by_address(settings: Settings) -> CaptionWay:
    """The vision model of the settings; its name may still be missing. Raises DependencyMissing, InvalidFieldValue."""
    url, model = settings.caption_url, settings.caption_model.strip()
    key = settings.caption_key.get_secret_value().strip()
    if not url:
        raise DependencyMissing(
            "No vision model is set up.",
            field="caption_url",
            remedy="It is a program that looks at pictures and describes them, such as Ollama or LM Studio on this computer, or a service. "
            "Write its address on the Setup tab, or put a model into the models folder. Captions can always be written by hand.",
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise InvalidFieldValue("LIKENESS_CAPTION_KEY holds what no key has.", field="caption_key", remedy="Copy the key anew.")
    parts = urlsplit(url)
    host = parts.hostname or ""
    if key and parts.scheme == "http" and not _is_near(host):
        raise InvalidFieldValue(
            f"The key would travel to {host} where everyone on the way can read it.", field="caption_url", remedy="Write https:// there."
        )
    if not is_this_computer(host):
        return CaptionWay(captioner="", model=model, url=url, host=host, sends_away=True)
    # Ollama here passes pictures for these on to its own computers.
    cloud = model.endswith(("-cloud", ":cloud"))
    return CaptionWay(captioner="", model=model, url=url, host="Ollama's cloud" if cloud else host, sends_away=cloud)


def local_ways(models_path: Path) -> tuple[CaptionWay, ...]:
    """The vision models of the models folder, by name."""
    return tuple(
        CaptionWay(captioner=folder.name, model=folder.name, url="", host="", sends_away=False)
        for folder in installed_captioners(models_path)
    )


def installed_captioners(models_path: Path) -> tuple[Path, ...]:
    """The folders in `captioners` of the models folder that hold a model in the layout of transformers, by name."""
    return tuple(config.parent for config in sorted((models_path / "captioners").glob("*/config.json")) if _describes(config))


def require_captioner(models_path: Path, name: str = "") -> Path:
    """The folder of that name, or the first one. Raises DependencyMissing with the remedy."""
    found = installed_captioners(models_path)
    for folder in found:
        if not name or folder.name.casefold() == name.casefold():
            return folder
    raise DependencyMissing(
        f"There is no captioning model “{name}” on this computer." if name else "No captioning model is installed on this computer.",
        field="captioner",
        remedy="Put one into a folder of its own under “captioners” in the models folder (docs/captions.md says which).",
    )


def no_model() -> DependencyMissing:
    """The error where an address is set and no model is chosen."""
    return DependencyMissing("No vision model is chosen.", field="caption_model", remedy="Choose one on the Setup tab.")


def is_this_computer(host: str) -> bool:
    """Whether a host is this computer, by its number or as `localhost`. Other names may mean another computer tomorrow."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _describes(config: Path) -> bool:
    try:
        architectures = json.loads(config.read_text(encoding="utf-8")).get("architectures") or []
        return any(str(name).endswith(_ARCHITECTURES) for name in architectures)
    except (OSError, ValueError, AttributeError, TypeError):
        return False


_ARCHITECTURES = ("ForConditionalGeneration", "VisionEncoderDecoderModel", "GitForCausalLM", "ForVision2Seq", "ForImageTextToText")


def _is_near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".lan", ".home", ".internal", ".home.arpa"))
