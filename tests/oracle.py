"""A real server that speaks OpenAI's protocol, with every fault that such servers have: for tests of captions."""

from __future__ import annotations

import base64
import http.server
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from pydantic import SecretStr

from studio.settings import Settings
from studio.vision_model import VisionModel

KEY = "sk-very-secret-key-0123456789"
SAID = "zxmia sits at a café table in a red coat, smiling."
Answer = Callable[["Oracle", dict[str, Any]], tuple[int, dict[str, str], Any]]


@dataclass
class Oracle:
    """A server: what it will answer, one after the other and then always the last, and what it was asked."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    models: tuple[str, ...] = ("seer", "llava:latest")

    def will(self, *answers: Answer) -> None:
        self.answers[:] = answers

    def settings(self, **changes: Any) -> Settings:
        base = {"caption_url": f"{self.url}/v1", "caption_model": "seer", "caption_key": SecretStr(KEY), "caption_timeout_s": 60.0}
        return Settings.model_validate({}).model_copy(update=base | changes)

    def model(self, **how: Any) -> VisionModel:
        return VisionModel(self.settings(**how.pop("changes", {})), wait_s=0.01, **how)


def says(text: str, **more: Any) -> Answer:
    return lambda _, __: (200, {}, {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}], **more})


def fails(status: int, said: Any = None, **headers: str) -> Answer:
    body = {"error": {"message": said}} if isinstance(said, str) else said
    return lambda _, __: (status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def sees(_: Oracle, asked: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
    """Names the colours of the left and the right half."""
    picture = picture_in(asked)
    names = {(224, 16, 16): "red", (16, 160, 32): "green", (16, 48, 224): "blue", (245, 224, 16): "yellow", (0, 0, 0): "black"}
    halves = [picture.getpixel((x, picture.height // 2)) for x in (picture.width // 4, 3 * picture.width // 4)]
    said = " and ".join(names.get(colour, "white") for colour in halves)  # pyright: ignore[reportArgumentType, reportCallIssue]
    return 200, {}, {"choices": [{"message": {"content": f"{said.capitalize()}."}}]}


def hangs(oracle: Oracle, _: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
    oracle.reached.set()
    return 0, {}, None


@contextmanager
def running_oracle() -> Iterator[Oracle]:
    """A server on a port of its own, until the block ends."""
    oracle = Oracle(answers=[says(SAID)])

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            oracle.headers.append(dict(self.headers))
            if self.path == "/v1/models":
                self.send(200, {}, {"object": "list", "data": [{"id": name} for name in oracle.models]})
            else:
                self.send(404, {}, "<html>nothing here</html>")

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            oracle.headers.append(dict(self.headers))
            if self.path != "/v1/chat/completions":
                self.send(404, {}, "404 page not found")
                return
            oracle.asked.append(asked)
            answer = oracle.answers.pop(0) if len(oracle.answers) > 1 else oracle.answers[0]
            status, headers, body = answer(oracle, asked)
            if status:
                self.send(status, headers, body)
                return
            # It thinks until nobody listens any more.
            self.connection.settimeout(0.05)
            while not oracle.over.is_set():
                try:
                    if not self.connection.recv(1):
                        oracle.gone.set()
                        break
                except TimeoutError:
                    continue
                except OSError:
                    oracle.gone.set()
                    break
            self.close_connection = True

        def send(self, status: int, headers: dict[str, str], body: Any) -> None:
            data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        oracle.url = f"http://127.0.0.1:{server.server_port}"
        yield oracle
        oracle.over.set()
        server.shutdown()
        thread.join()


def picture_in(asked: dict[str, Any]) -> Image.Image:
    return picture_of(asked["messages"][0]["content"][1]["image_url"]["url"])


def picture_of(url: str) -> Image.Image:
    head, _, data = url.partition(",")
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    return Image.open(io.BytesIO(base64.b64decode(data)))
