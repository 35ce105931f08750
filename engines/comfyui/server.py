"""A ComfyUI server as its HTTP interface shows it: what it is, what it has, and one job's life on it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NoReturn, Self
from urllib.parse import quote, urlsplit, urlunsplit

import httpx

from engines.comfyui.faults import Hanging, NeedsSignIn, NotComfy, Unreachable, refused
from studio.errors import EngineOffline, FileTooLarge, InvalidFieldValue, NotFound

Graph = Mapping[str, Any]
"""A workflow in API format: {node id: {"class_type", "inputs", "_meta"?}}."""

_MB = 1_000_000
# A server with many custom nodes describes them in some 20 MB; a queue repeats every graph in it.
_LARGEST_ANSWER = 100 * _MB
_LARGEST_FILE = 512 * _MB


@dataclass(frozen=True)
class Device:
    """Where a server computes. Sizes are in MB (10^6 bytes); a processor's are the computer's memory."""

    name: str
    kind: str
    vram_mb: int
    vram_free_mb: int


@dataclass(frozen=True)
class SystemStats:
    """What a server says of itself. `version` is empty for servers too old to know theirs."""

    version: str
    devices: tuple[Device, ...]
    memory_mb: int


@dataclass(frozen=True)
class ServerModels:
    """The names that a server's own nodes accept, as of the last look."""

    checkpoints: tuple[str, ...]
    loras: tuple[str, ...]
    vae: tuple[str, ...]
    controlnet: tuple[str, ...]
    upscale_models: tuple[str, ...]
    text_encoders: tuple[str, ...]
    diffusion_models: tuple[str, ...]
    clip_vision: tuple[str, ...]
    style_models: tuple[str, ...]
    photomaker: tuple[str, ...]
    samplers: tuple[str, ...]
    schedulers: tuple[str, ...]


@dataclass(frozen=True)
class ModelFile:
    """A model file on a server: bytes, when it was changed (Unix time), and its path where the server is on this computer."""

    size: int
    modified: float
    path: str | None


@dataclass(frozen=True)
class Queue:
    """The prompt ids on a server: what runs, and what waits in the order it will run; and the client that is told of each."""

    running: tuple[str, ...]
    pending: tuple[str, ...]
    clients: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OutputFile:
    """A file that a job left on the server; `kind` is output, temp or input. `node` made it."""

    name: str
    subfolder: str
    kind: str
    node: str = ""


@dataclass(frozen=True)
class Entry:
    """What a server remembers of a job that ended.

    `messages` are its events, (type, data), oldest first; `cached` the nodes that did not run again.
    """

    completed: bool
    files: tuple[OutputFile, ...]
    messages: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    cached: frozenset[str] = field(default_factory=frozenset)


class ComfyServer:
    """One server by its address. May be used from any thread.

    `token` is sent as a bearer token, `sign_in` as basic auth (user, password); both can stand in the address too
    (`https://user:password@host`). `patience_s` is how long one answer may take.

    Every call raises Unreachable (nobody answers, or nothing comes within `patience_s`: may come back), NeedsSignIn, or NotComfy;
    all three are EngineOffline with words of their own.
    """

    def __init__(self, url: str, *, token: str | None = None, sign_in: tuple[str, str] | None = None, patience_s: float = 15.0) -> None:
        self.url, in_address = _address(url)
        self.patience_s = patience_s
        sign_in = sign_in or in_address
        # Without a given encoding a small answer can't unpack into a huge one.
        headers = {"Accept-Encoding": "identity", "User-Agent": "Likeness"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        elif sign_in:
            headers["Authorization"] = f"Basic {base64.b64encode(':'.join(sign_in).encode()).decode()}"
        self.headers = headers
        # A proxy of the environment can't reach this computer's own servers.
        self.local = urlsplit(self.url).hostname in ("127.0.0.1", "localhost", "::1")
        self._http = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(patience_s, connect=min(patience_s, 5.0)),
            follow_redirects=False,
            trust_env=not self.local,
        )
        self._nodes: dict[str, Any] | None = None
        self._nodes_digest = b""

    @classmethod
    def like(cls, other: ComfyServer, *, patience_s: float) -> ComfyServer:
        """Another client of the same server, with a patience and connections of its own."""
        client = cls(other.url, patience_s=patience_s)
        client.headers.update(other.headers)
        client._http.headers.update(other.headers)
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the open connections."""
        self._http.close()

    def system_stats(self) -> SystemStats:
        """Ask what it is. The first thing to ask of an address: everything else is only meaningful if this answers."""
        said = self._get("/system_stats")
        system, devices = (said.get("system"), said.get("devices")) if isinstance(said, dict) else (None, None)
        if not isinstance(system, dict) or not isinstance(devices, list):
            raise NotComfy(f"{self.url} answers, but not as a ComfyUI server does.")
        return SystemStats(
            version=str(system.get("comfyui_version") or ""),
            devices=tuple(
                Device(str(it.get("name", "")), str(it.get("type", "")), _mb(it.get("vram_total")), _mb(it.get("vram_free")))
                for it in devices
                if isinstance(it, dict)
            ),
            memory_mb=_mb(system.get("ram_total")),
        )

    def object_info(self, *, refresh: bool = False, keep: Callable[[bytes], None] | None = None) -> Mapping[str, Any]:
        """The schema of every node class it has, by class name; asked once and then remembered until `refresh`.

        `keep` is given the answer as it came, whenever it is another one than before.
        """
        if self._nodes is None or (refresh and self._digest_of("/object_info") != self._nodes_digest):
            _, content = self._ask("GET", "/object_info", statuses=(200,))
            said = _parsed(content)
            if said is None:
                self._not_json(content)
            if not isinstance(said, dict):
                raise NotComfy(f"{self.url} answers, but not as a ComfyUI server does.")
            self._nodes, self._nodes_digest = said, hashlib.sha256(content).digest()
            if keep is not None:
                keep(content)
        return self._nodes

    def choices(self, class_type: str, input_name: str) -> tuple[str, ...]:
        """What a node's list input can be. Empty when the server lacks the node, or the input is no list."""
        return choices(self.object_info(), class_type, input_name)

    def models(self, *, refresh: bool = False, keep: Callable[[bytes], None] | None = None) -> ServerModels:
        """The models, samplers and schedulers it has. New files are seen after `refresh`; `keep` as for `object_info`."""
        nodes = self.object_info(refresh=refresh, keep=keep)
        listed = {kind: choices(nodes, *where) for kind, where in LISTS.items()}
        # Folders are listed with all that lies below them, our models folder too: parts of models are no checkpoints.
        listed["checkpoints"] = tuple(name for name in listed["checkpoints"] if not _is_part(name))
        return ServerModels(**listed)

    def model_file(self, folder: str, name: str) -> ModelFile | None:
        """What it says of one model file: size, time and place. None where it has none of that name, or is too old to say."""
        files = self._listed(f"/experiment/models/{quote(folder, safe='')}")
        said = next((it for it in files if isinstance(it, dict) and it.get("name") == name), None)
        if said is None or not isinstance(said.get("size"), int):
            return None
        place = None
        if self.local:
            folders = self._listed("/experiment/models")
            roots = next((it.get("folders") for it in folders if isinstance(it, dict) and it.get("name") == folder), None)
            index = said.get("pathIndex")
            if isinstance(roots, list) and isinstance(index, int) and 0 <= index < len(roots):
                place = f"{roots[index]}/{name}"
        modified = said.get("modified")
        return ModelFile(said["size"], float(modified) if isinstance(modified, int | float) else 0.0, place)

    def queue(self) -> Queue:
        """What runs and what waits."""
        said = self._get("/queue")
        try:
            # The server lists its heap as it lies; the lowest number runs first.
            pending = sorted(said["queue_pending"], key=lambda item: float(item[0]))
            running = said["queue_running"]
            clients = {str(item[1]): client for item in (*running, *pending) if (client := _client_of(item))}
            return Queue(tuple(str(item[1]) for item in running), tuple(str(item[1]) for item in pending), clients)
        except (TypeError, KeyError, IndexError, ValueError) as error:
            raise NotComfy(f"{self.url} answers, but not as a ComfyUI server does.") from error

    def history(self, prompt_id: str) -> Entry | None:
        """What became of a job. None for one that has not ended and for one that it never heard of: ask `queue` first."""
        said = self._get(f"/history/{quote(prompt_id, safe='')}")
        entry = said.get(prompt_id) if isinstance(said, dict) else None
        return _entry(entry) if isinstance(entry, dict) else None

    def post(self, graph: Graph, prompt_id: str, client_id: str, extra_data: Mapping[str, Any] | None = None) -> None:
        """Put a job at the end of the queue. Look whether it is there already first: the same id twice runs twice.

        `extra_data` can be read by everybody who reaches the server: no secrets. Raises what `faults.refused` says of an answer that
        accepts the job in part or not at all; the part that was accepted is taken back.
        """
        body: dict[str, Any] = {"prompt": graph, "prompt_id": prompt_id, "client_id": client_id}
        if extra_data:
            body["extra_data"] = extra_data
        status, content = self._ask("POST", "/prompt", json=body, statuses=(200, 400, 500))
        answer = _parsed(content) if status != 500 else None
        if status == 200 and isinstance(answer, dict) and not answer.get("node_errors"):
            return
        if status == 200 and isinstance(answer, dict):
            self.cancel(prompt_id)
        elif status != 500 and not isinstance(answer, dict):
            self._not_json(content)
        raise refused(answer if isinstance(answer, dict) else None, graph, self._lists_of)

    def delete(self, prompt_id: str) -> None:
        """Take a job out of the queue if it still waits there; otherwise nothing happens."""
        self._ask("POST", "/queue", json={"delete": [prompt_id]}, statuses=(200,))

    def interrupt(self, prompt_id: str) -> None:
        """Stop a job if it is the one that runs; otherwise nothing happens."""
        self._ask("POST", "/interrupt", json={"prompt_id": prompt_id}, statuses=(200,))

    def cancel(self, prompt_id: str) -> None:
        """Delete or interrupt a job, wherever it is; returns when it is nowhere, or after two seconds."""
        until = time.monotonic() + 2
        while True:
            self.delete(prompt_id)
            queue = self.queue()
            # Older servers stop whatever runs, so only ever ask while it is ours.
            if prompt_id in queue.running:
                self.interrupt(prompt_id)
            elif prompt_id not in queue.pending:
                return
            if time.monotonic() > until:
                return
            time.sleep(0.05)

    def forget(self, prompt_id: str) -> None:
        """Take a job that ended out of the history; its files stay."""
        self._ask("POST", "/history", json={"delete": [prompt_id]}, statuses=(200,))

    def upload(self, image: bytes, name: str, *, subfolder: str = "likeness") -> str:
        """Put a picture where LoadImage finds it; gives the name to load, which is another one if that name holds other bytes."""
        files = {"image": (name, image, "application/octet-stream")}
        status, content = self._ask("POST", "/upload/image", files=files, data={"subfolder": subfolder}, statuses=(200, 400, 413))
        if status == 413:
            raise FileTooLarge(
                f"ComfyUI takes no picture of {len(image) / _MB:.0f} MB.",
                remedy="Use a smaller one, or start ComfyUI with a larger --max-upload-size.",
            )
        if status == 400:
            raise InvalidFieldValue(f"ComfyUI refuses the file name {name!r}.", remedy="Give the picture another name.")
        answer = _parsed(content)
        if not isinstance(answer, dict) or not answer.get("name"):
            self._not_json(content)
        folder = answer.get("subfolder")
        return f"{folder}/{answer['name']}" if folder else str(answer["name"])

    def view(self, file: OutputFile, *, limit: int = _LARGEST_FILE) -> bytes:
        """The bytes of a file. Raises NotFound when it is gone, and FileTooLarge before more than `limit` bytes are in memory."""
        with self._answer("GET", "/view", params=_query(file)) as answer:
            if answer.status_code in (400, 403, 404):
                raise NotFound(f"ComfyUI has no file {file.name!r} any more.", remedy="Make the picture again.")
            self._check(answer, (200, 206))
            return self._read(answer, limit)

    def has(self, file: OutputFile) -> bool:
        """Whether a file is still there, without fetching it."""
        with self._answer("HEAD", "/view", params=_query(file)) as answer:
            return answer.status_code == 200

    def free(self) -> None:
        """Let go of all models: also what makes it read a file again that was replaced under its old name."""
        self._ask("POST", "/free", json={"unload_models": True, "free_memory": True}, statuses=(200,))

    def socket_url(self, client_id: str) -> str:
        """Where a job's events are told to the client that posted it."""
        scheme, rest = self.url.split("://", 1)
        return f"{'wss' if scheme == 'https' else 'ws'}://{rest}/ws?clientId={quote(client_id, safe='')}"

    def _lists_of(self, class_type: str, input_name: str) -> tuple[str, ...]:
        try:
            return choices(self.object_info(refresh=True), class_type, input_name)
        except EngineOffline:
            return ()

    def _listed(self, path: str) -> list[Any]:
        status, content = self._ask("GET", path, statuses=(200, 404, 405))
        said = _parsed(content) if status == 200 else None
        return said if isinstance(said, list) else []

    def _get(self, path: str) -> Any:
        _, content = self._ask("GET", path, statuses=(200,))
        answer = _parsed(content)
        if answer is None:
            self._not_json(content)
        return answer

    def _ask(self, method: str, path: str, *, statuses: tuple[int, ...], **request: Any) -> tuple[int, bytes]:
        with self._answer(method, path, **request) as answer:
            self._check(answer, statuses)
            return answer.status_code, self._read(answer, _LARGEST_ANSWER)

    def _digest_of(self, path: str) -> bytes:
        """The SHA-256 of an answer that is never held as a whole: megabytes, taken each minute, would leave holes in the memory."""
        digest = hashlib.sha256()
        with self._answer("GET", path) as answer:
            self._check(answer, (200,))
            for part in self._parts(answer, _LARGEST_ANSWER):
                digest.update(part)
        return digest.digest()

    @contextmanager
    def _answer(self, method: str, path: str, **request: Any) -> Iterator[httpx.Response]:
        try:
            with self._http.stream(method, self.url + path, **request) as answer:
                yield answer
        except httpx.TimeoutException as error:
            self._hangs(error)
        except httpx.DecodingError as error:
            raise NotComfy(f"{self.url} answers, but not as a ComfyUI server does.") from error
        except httpx.RemoteProtocolError as error:
            raise Unreachable(f"{self.url} broke off its answer.") from error
        except httpx.TransportError as error:
            raise Unreachable(f"ComfyUI is not answering at {self.url}.") from error

    def _check(self, answer: httpx.Response, expected: tuple[int, ...]) -> None:
        """Raise what a status means that no ComfyUI would give here."""
        status = answer.status_code
        if status in expected:
            return
        if status in (401, 403, 407):
            raise NeedsSignIn(f"{self.url} asks for a sign-in, or refuses the one it was given.")
        if answer.is_redirect:
            raise NotComfy(
                f"{self.url} sends on to {answer.headers.get('location', 'another address')[:200]}.",
                remedy="If that is ComfyUI, use that address; if it is a sign-in page, give a token or a user and password.",
            )
        if status in (502, 503, 504) or 520 <= status <= 530:
            raise Unreachable(f"What stands before {self.url} says that ComfyUI is not running behind it (status {status}).")
        raise NotComfy(f"{self.url} answers with status {status}, which no ComfyUI server does here.")

    def _read(self, answer: httpx.Response, limit: int) -> bytes:
        return b"".join(self._parts(answer, limit))

    def _parts(self, answer: httpx.Response, limit: int) -> Iterator[bytes]:
        said = answer.headers.get("content-length", "")
        if said.isdigit() and int(said) > limit:
            raise FileTooLarge(
                f"{self.url} sent {int(said) / _MB:.0f} MB, more than is taken from it ({limit / _MB:.0f} MB).", remedy=_LARGE
            )
        until = time.monotonic() + self.patience_s * 4
        taken = 0
        for part in answer.iter_bytes():
            taken += len(part)
            if taken > limit:
                raise FileTooLarge(f"{self.url} sends more than the {limit / _MB:.0f} MB that are taken from it.", remedy=_LARGE)
            # Each read may be quick and the whole never end; a large file on a slow line is still welcome.
            if time.monotonic() > until and taken < _MB:
                self._hangs(None)
            yield part

    def _hangs(self, cause: Exception | None) -> NoReturn:
        raise Hanging(
            f"{self.url} took the call and then said nothing for {self.patience_s:.0f} s.",
            remedy="Look at ComfyUI's own window: it may be loading, or stuck; restart it if it stays like this.",
        ) from cause

    def _not_json(self, content: bytes) -> NoReturn:
        if content.lstrip()[:1] == b"<":
            raise NotComfy(
                f"{self.url} answers with a web page where ComfyUI would send data.",
                remedy="Check the address and its port; a sign-in page of a proxy looks like this too.",
            )
        raise NotComfy(f"{self.url} answers, but not as a ComfyUI server does.")


def choices(nodes: Mapping[str, Any], class_type: str, input_name: str) -> tuple[str, ...]:
    """What a node's list input can be, of its two shapes: [[a, b], {…}] and ["COMBO", {"options": [a, b]}]. Empty if it is no list."""
    inputs = (nodes.get(class_type) or {}).get("input") or {}
    for group in ("required", "optional"):
        shape = (inputs.get(group) or {}).get(input_name)
        if not shape:
            continue
        if isinstance(shape[0], list):
            return tuple(str(it) for it in shape[0])
        if shape[0] == "COMBO" and len(shape) > 1:
            return tuple(str(it) for it in shape[1].get("options") or ())
    return ()


LISTS = {
    "checkpoints": ("CheckpointLoaderSimple", "ckpt_name"),
    "loras": ("LoraLoader", "lora_name"),
    "vae": ("VAELoader", "vae_name"),
    "controlnet": ("ControlNetLoader", "control_net_name"),
    "upscale_models": ("UpscaleModelLoader", "model_name"),
    "text_encoders": ("CLIPLoader", "clip_name"),
    "diffusion_models": ("UNETLoader", "unet_name"),
    "clip_vision": ("CLIPVisionLoader", "clip_name"),
    "style_models": ("StyleModelLoader", "style_model_name"),
    "photomaker": ("PhotoMakerLoader", "photomaker_model_name"),
    "samplers": ("KSampler", "sampler_name"),
    "schedulers": ("KSampler", "scheduler"),
}
KINDS = frozenset(
    {
        "checkpoints",
        "clip_vision",
        "controlnet",
        "diffusion_models",
        "embeddings",
        "loras",
        "photomaker",
        "style_models",
        "text_encoders",
        "upscale_models",
        "vae",
    }
)
"""The folders in which ComfyUI keeps models, by what they are."""
# What a model in diffusers' layout is made of, each in a folder of its own; and models that describe pictures.
_PARTS = frozenset(
    {
        "captioners",
        "image_encoder",
        "safety_checker",
        "text_encoder",
        "text_encoder_2",
        "text_encoder_3",
        "transformer",
        "unet",
        "vae",
    }
)
_LARGE = "Check that the address is ComfyUI's; a video or picture this large has to be fetched from its own page."


def _address(url: str) -> tuple[str, tuple[str, str] | None]:
    """An address as people write it, without its sign-in, and that sign-in. Raises InvalidFieldValue."""
    text = url.strip()
    if "://" not in text:
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = None, None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidFieldValue(f"{url!r} is no address of a server.", remedy="Write it like http://127.0.0.1:8188.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    plain = urlunsplit((parts.scheme, f"{host}:{port}" if port else host, parts.path.rstrip("/"), "", ""))
    return plain, (parts.username, parts.password or "") if parts.username else None


def _is_part(checkpoint: str) -> bool:
    folders = re.split(r"[\\/]", checkpoint)[:-1]
    return bool(folders) and (folders[0] in KINDS - {"checkpoints"} or any(folder in _PARTS for folder in folders))


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _client_of(item: Sequence[Any]) -> str | None:
    """Who is told of a job in the queue: (number, id, graph, extra data, …)."""
    extra = item[3] if len(item) > 3 else None
    client = extra.get("client_id") if isinstance(extra, dict) else None
    return client if isinstance(client, str) else None


def _mb(count: object) -> int:
    return int(count / _MB) if isinstance(count, int | float) else 0


def _query(file: OutputFile) -> dict[str, str]:
    return {"filename": file.name, "subfolder": file.subfolder, "type": file.kind}


def _entry(entry: Mapping[str, Any]) -> Entry:
    status = entry.get("status") or {}
    messages = tuple((str(it[0]), it[1]) for it in status.get("messages") or () if len(it) == 2 and isinstance(it[1], dict))
    cached = [node for kind, data in messages if kind == "execution_cached" for node in data.get("nodes") or ()]
    return Entry(
        completed=status.get("status_str") == "success",
        files=files_of(entry.get("outputs") or {}),
        messages=messages,
        cached=frozenset(map(str, cached)),
    )


def files_of(outputs: Mapping[str, Any]) -> tuple[OutputFile, ...]:
    """The files among a job's outputs, {node id: {"images": […], …}}. Videos and animations stand under "images" too."""
    found: list[OutputFile] = []
    for node, output in outputs.items():
        for files in output.values() if isinstance(output, dict) else ():
            for file in files if isinstance(files, list) else ():
                if isinstance(file, dict) and file.get("filename"):
                    where = str(file.get("subfolder") or ""), str(file.get("type") or "output")
                    found.append(OutputFile(str(file["filename"]), *where, node=str(node)))
    return tuple(found)
