"""A local HTTP server of archives, for whatever is installed from the net; and what lies in such archives."""

from __future__ import annotations

import functools
import http.server
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engines.installing.tree import archive_ids
from studio.pins import Pin, Torch, Tree

COMMIT, NEXT = "a" * 40, "b" * 40


@dataclass
class Shop:
    """A local HTTP server of archives. `cut` is after how many bytes the next answers break off; `asked` what was asked of it."""

    folder: Path
    url: str = ""
    cut: list[int] = field(default_factory=list)
    slow: float = 0
    asked: list[str] = field(default_factory=list)

    def pin(self, **changes: Any) -> Pin:
        torch = {name: Torch(index=None, disk_mb=1) for name in ("cpu", "cuda", "rocm", "mps")}
        said: dict[str, Any] = {
            "repository": self.url,
            "version": "0.3.75",
            "commit": COMMIT,
            "archive": f"{self.url}/{{commit}}.zip",
            "tree": None,
            "torch": torch,
        }
        return Pin(**{**said, **changes})


class Keeper(http.server.BaseHTTPRequestHandler):
    """Answers files of one folder, from where a Range header says."""

    def __init__(self, *arguments: Any, shop: Shop) -> None:
        self.shop = shop
        super().__init__(*arguments)

    def do_GET(self) -> None:
        path = self.shop.folder / self.path.rpartition("/")[2]
        asked = self.headers.get("Range", "")
        self.shop.asked.append(asked)
        if not path.is_file():
            self.send_error(404)
            return
        content, start = path.read_bytes(), int(asked.removeprefix("bytes=").removesuffix("-") or 0)
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + self.shop.cut.pop(0) if self.shop.cut else len(content)
        for at in range(start, min(end, len(content)), 2**16):
            try:
                self.wfile.write(content[at : min(end, at + 2**16)])
            except ConnectionError:
                # Whoever fetched it was ended, as tests do.
                return
            time.sleep(self.shop.slow)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def open_shop(folder: Path) -> Iterator[Shop]:
    """A shop that is open while the block runs."""
    shop = Shop(folder)
    shop.folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Keeper, shop=shop)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        shop.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield shop
        server.shutdown()


def tree_of(archive: Path) -> Tree:
    with zipfile.ZipFile(archive) as opened:
        return Tree(**archive_ids(opened))


def tiny_wheel(folder: Path, version: str, *, size: int = 0) -> None:
    name = f"likeness_test_wheel-{version}"
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: likeness-test-wheel\nVersion: {version}\n")
        wheel.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("likeness_test_wheel.bin", bytes(size))
        wheel.writestr(f"{name}.dist-info/RECORD", "")


def quiet(_progress: float, _note: str) -> None:
    pass
