"""What answers at an address that somebody typed may be anything: it is told apart, in words, without hanging or filling the memory."""

from __future__ import annotations

import gzip
import io
import json
import socket
from collections.abc import Callable

import pytest
from comfyui.graphs import Said, empty
from comfyui.server import free_port
from comfyui.wire import Stranger, drops, flood, nothing, said
from PIL import Image

from engines.comfyui import ComfyServer, NeedsSignIn, NotComfy, OutputFile, Patience, Unreachable, run
from engines.comfyui.engine import fetch
from studio.errors import EngineFailed, FileTooLarge, InvalidFieldValue, LikenessError

FILE = OutputFile("a.png", "", "output")


@pytest.mark.parametrize(
    ("say", "kind", "words"),
    [
        (said(b"<!doctype html><p>Hello", kind="text/html"), NotComfy, "a web page"),
        (said(b'{"hello": 1}'), NotComfy, "not as a ComfyUI server"),
        (said(b"[1, 2]"), NotComfy, "not as a ComfyUI server"),
        (said(b""), NotComfy, "not as a ComfyUI server"),
        (said(b"{", more="Content-Encoding: gzip\r\n"), NotComfy, "not as a ComfyUI server"),
        (said(b"no", status="404 Not Found"), NotComfy, "status 404"),
        (said(b"no", status="401 Unauthorized"), NeedsSignIn, "sign-in"),
        (said(b"no", status="403 Forbidden"), NeedsSignIn, "sign-in"),
        (said(b"", status="302 Found", more="Location: https://elsewhere.example/login\r\n"), NotComfy, "https://elsewhere.example/login"),
        (said(b"<p>Bad gateway", status="502 Bad Gateway", kind="text/html"), Unreachable, "not running behind it"),
        (nothing, Unreachable, "said nothing"),
        (drops, Unreachable, "said nothing"),
        (flood, FileTooLarge, "more than"),
        (said(b"", length=2_000_000_000), FileTooLarge, "2000 MB"),
        (said(gzip.compress(bytes(200_000_000)), more="Content-Encoding: gzip\r\n"), FileTooLarge, "more than"),
    ],
)
def test_what_is_not_comfyui_is_told_apart(say: Callable[[socket.socket], None], kind: type[LikenessError], words: str) -> None:
    with Stranger(say) as stranger, ComfyServer(stranger.url, patience_s=0.5) as server:
        with pytest.raises(kind, match=words) as caught:
            server.system_stats()
    assert caught.value.remedy


def test_nobody_at_the_address_is_unreachable() -> None:
    with ComfyServer(f"http://127.0.0.1:{free_port()}") as server:
        with pytest.raises(Unreachable, match="not answering"):
            server.queue()


def test_a_picture_of_two_gigabytes_is_refused_before_it_is_read() -> None:
    with Stranger(said(b"", length=2_000_000_000)) as stranger, ComfyServer(stranger.url) as server:
        with pytest.raises(FileTooLarge):
            server.view(FILE)
    with Stranger(flood) as stranger, ComfyServer(stranger.url) as server:
        with pytest.raises(FileTooLarge):
            server.view(FILE, limit=3_000_000)


def test_half_a_picture_is_never_taken_for_a_whole_one() -> None:
    out = io.BytesIO()
    Image.effect_noise((64, 64), 80).convert("RGB").save(out, "PNG")
    whole = out.getvalue()
    half = whole[: len(whole) // 2]
    with Stranger(said(whole)) as stranger, ComfyServer(stranger.url) as server:
        assert fetch(server, FILE).size == (64, 64)
    # It broke on the server's disk, or on the way here.
    with Stranger(said(half)) as stranger, ComfyServer(stranger.url) as server, pytest.raises(EngineFailed, match="not a picture"):
        fetch(server, FILE)
    with Stranger(said(half, length=len(whole))) as stranger, ComfyServer(stranger.url, patience_s=0.5) as server:
        with pytest.raises(LikenessError):
            fetch(server, FILE)


@pytest.mark.parametrize("say", [said(b"<p>Hello", kind="text/html"), said(b"no", status="401 Unauthorized"), nothing, flood])
def test_a_job_given_to_a_stranger_ends_with_an_error(say: Callable[[socket.socket], None]) -> None:
    with Stranger(say) as stranger, ComfyServer(stranger.url, patience_s=0.5) as server:
        with pytest.raises(LikenessError):
            run(server, empty(), "job-1", Said(), patience=Patience(outage=1.0))


def test_the_token_or_the_sign_in_goes_with_every_request() -> None:
    heads: list[bytes] = []

    def listen(near: socket.socket) -> None:
        said(b'{"queue_running": [], "queue_pending": []}')(near)

    class Listening(Stranger):
        def _answer(self, near: socket.socket) -> None:
            heads.append(near.recv(65536, socket.MSG_PEEK))
            super()._answer(near)

    with Listening(listen) as stranger:
        with ComfyServer(stranger.url, token="secret-1") as server:
            server.queue()
        with ComfyServer(stranger.url.replace("http://", "http://anna:pass@")) as server:
            server.queue()
            assert "pass" not in server.url
    assert b"authorization: bearer secret-1" in heads[0].lower()
    assert b"Basic YW5uYTpwYXNz" in heads[1]
    assert not any(b"\r\norigin:" in head.lower() for head in heads)


@pytest.mark.parametrize("address", ["", "http://", "ftp://host", "http://host:port", "file:///etc/passwd", "http://[::1"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(InvalidFieldValue, match="no address"):
        ComfyServer(address)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("127.0.0.1:8188", "http://127.0.0.1:8188"),
        (" https://pod-8188.proxy.example/ ", "https://pod-8188.proxy.example"),
        ("http://host/comfy/", "http://host/comfy"),
        ("http://[::1]:8188", "http://[::1]:8188"),
    ],
)
def test_addresses_are_read_as_people_write_them(written: str, meant: str) -> None:
    with ComfyServer(written) as server:
        assert server.url == meant
        assert server.socket_url("a b").endswith("/ws?clientId=a%20b")


def test_parts_of_models_are_no_checkpoints() -> None:
    listed = ["one.safetensors", "sdxl/two.safetensors", "vae/x.safetensors", "realistic/unet/y.safetensors", "loras\\z.safetensors"]
    loader = {"CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [listed, {}]}}}}
    with Stranger(said(json.dumps(loader).encode())) as stranger, ComfyServer(stranger.url) as client:
        assert client.models().checkpoints == ("one.safetensors", "sdxl/two.safetensors")
