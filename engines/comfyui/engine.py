"""ComfyUI as an engine: the pictures of a recipe, made one after another by a graph that somebody renders."""

from __future__ import annotations

import hashlib
import io
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any

from PIL import Image, UnidentifiedImageError

from engines.comfyui.faults import Hanging, MissingNode, NotComfy, Unreachable
from engines.comfyui.hashes import UNKNOWN, Fingerprints, Hashes
from engines.comfyui.server import LISTS, ComfyServer, Entry, Graph, OutputFile, choices
from engines.comfyui.sockets import Sockets
from engines.comfyui.watch import Patience, run, with_prefix
from engines.comfyui.wishes import Wishes
from studio.contracts import EngineState, Inventory, ModelSpec, Recipe, ServerState
from studio.crop import Cutout, needs_crop
from studio.engine import Artifact, Inputs, Report
from studio.errors import EngineFailed, LikenessError
from studio.remote import offline
from studio.source import check_mask, fitted, kept
from studio.workflows import NodePack

PLACES = 2  # jobs in flight per server
LOOK_S = 3.0
READ_S = 60.0
BUSY_S = 20.0
STARTING_S = 20.0
HANDED_ON_S = 5.0
NOTE_S = 0.1
OLDEST = (0, 3)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Uploaded:
    """What LoadImage is to load: the names that the picture to start from and its mask have on the server. None where there is none.

    `pictures` are the names of the others, by the parameters that take them.
    """

    image: str | None = None
    mask: str | None = None
    pictures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Address:
    """Where a server is, and what it wants to hear: a bearer token, or `user:password`."""

    url: str
    token: str = ""


GraphFor = Callable[[Recipe, Uploaded], Graph]
"""Renders the graph of one picture: the recipe's `count` is 1 and its `seed` the picture's own. Raises LikenessErrors."""

SpecFor = Callable[[Recipe], ModelSpec | None]
"""What the model of a recipe wants; None where nobody knows."""

ListsFor = Callable[[], Mapping[str, Sequence[tuple[str, str]]]]
"""Which inputs (class, input) list the files that workflows ask for, by the name that the files are kept under."""

KeepNodes = Callable[[str, bytes], None]
"""Takes what the server at an address said of its nodes, whenever it said something new."""


class Comfy:
    """The pictures of recipes, made on one or several servers. May be used from several threads: servers have queues of their own.

    `addresses` is asked again every few seconds, so that a changed setting counts without a new start.
    """

    name = "comfyui"

    def __init__(
        self,
        addresses: Callable[[], Sequence[Address]],
        graph_for: GraphFor,
        spec_for: SpecFor = lambda _recipe: None,
        *,
        lists_for: ListsFor = dict,
        keep_nodes: KeepNodes = lambda _url, _said: None,
        fingerprints: Fingerprints | None = None,
        patience: Patience | None = None,
        wishes: Wishes | None = None,
        packs: Callable[[], Sequence[NodePack]] = tuple,
    ) -> None:
        self._packs = packs
        self._addresses = addresses
        self._graph_for = graph_for
        self._spec_for = spec_for
        self._lists_for = lists_for
        self._keep_nodes = keep_nodes
        self._fingerprints = fingerprints
        self._patience = patience
        self._wishes = wishes or Wishes()
        self._lock = threading.Lock()
        self._seen: dict[Address, Seen] = {}
        # No longer wanted, and let go of once no job holds a place there.
        self._dropped: list[Seen] = []
        self._known = Inventory()
        self._model: str | None = None
        self._closed = threading.Event()
        self._looking = threading.Thread(target=self._look, name="comfyui", daemon=True)
        self._looking.start()

    def state(self) -> EngineState:
        """What the last look at the servers found; asks none of them."""
        servers = self._known.servers
        if not servers:
            return EngineState(name=self.name, state="unset", note="No address is set.")
        reachable = [server for server in servers if server.state == "reachable"]
        if not reachable:
            return EngineState(name=self.name, state="offline", note=f"{servers[0].problem} {servers[0].remedy}")
        busy = any(seen.taken for seen in self._seen.values())
        return EngineState(
            name=self.name,
            state="busy" if busy else "ready",
            device=reachable[0].device,
            model=self._model if busy else None,
            note=", ".join(f"ComfyUI {server.version} at {server.url}" for server in reachable),
        )

    def inventory(self) -> Inventory | None:
        return self._known

    def places(self) -> int:
        """Two per server: while one is drawn the next is at hand."""
        return max(1, PLACES * sum(seen.state.state == "reachable" for seen in list(self._seen.values())))

    def generate(self, recipe: Recipe, inputs: Inputs, run_id: str, report: Report) -> Iterator[Artifact]:
        """Yield the pictures of a recipe, each as soon as it is done; picture i is prompt `<run id>.<i>` on the server.

        A server that goes away hands what is left to another one that has what it takes.
        Raises what `watch.run` raises, what the graph's renderer raises, and what `report` raises.
        """
        check_mask(inputs)
        spec = self._spec_for(recipe)
        if spec is None or not needs_crop(recipe, inputs, spec):
            yield from self._made(recipe, fitted(recipe, inputs), run_id, report)
            return
        cutout = Cutout(inputs, spec)
        for artifact in self._made(cutout.recipe(recipe), cutout.inputs(), run_id, cutout.watched(report)):
            yield replace(artifact, image=cutout.put_back(artifact.image), crop=cutout.crop)

    def _made(self, recipe: Recipe, inputs: Inputs, run_id: str, report: Report) -> Iterator[Artifact]:
        self._model = recipe.model
        done: set[int] = set()
        avoided: set[Address] = set()
        graph = self._outline(recipe, inputs)
        while True:
            with self._place(recipe, graph, run_id, avoided, report) as (address, seen):
                server = seen.server
                others = self._others(graph, {*avoided, address})
                # Where another server can take over, one that restarts is not waited for.
                patience = replace(self._patience or Patience(), outage=HANDED_ON_S) if others else self._patience
                try:
                    names = _upload(server, inputs)
                    for index in range(recipe.count):
                        if index not in done:
                            yield from self._one(seen, recipe, inputs, names, index, run_id, report, patience)
                            done.add(index)
                    return
                except MissingNode as error:
                    pack = next((pack for pack in self._packs() if error.class_type in pack.nodes), None)
                    raise MissingNode(error.class_type, pack) from error
                except Unreachable as error:
                    avoided.add(address)
                    self._lost(address, error)
                    log.warning("%s is gone: %s", server.url, error.message)
                    if not self._others(graph, avoided):
                        raise

    def idle(self) -> None:
        """Nothing to let go of here: servers keep their own memory."""

    def close(self) -> None:
        """Stop looking at the servers and let go of the connections."""
        self._closed.set()
        if self._fingerprints is not None:
            self._fingerprints.close()
        with self._lock:
            known = [*self._seen.values(), *self._dropped]
        for seen in known:
            seen.close()

    def _outline(self, recipe: Recipe, inputs: Inputs) -> Graph:
        """The graph of one picture with stand-ins for what will be uploaded: it tells which nodes and files a server must have."""
        named = Uploaded(
            "image.png" if inputs.image else None, "mask.png" if inputs.mask else None, dict.fromkeys(inputs.pictures, "image.png")
        )
        return self._graph_for(recipe.model_copy(update={"count": 1}), named)

    def _others(self, graph: Graph, avoided: set[Address]) -> bool:
        """Whether a server beside these can make it now."""
        seen = dict(self._seen)
        return any(one.state.state == "reachable" and one.has(graph) for at, one in seen.items() if at not in avoided)

    @contextmanager
    def _place(self, recipe: Recipe, graph: Graph, run_id: str, avoided: set[Address], report: Report) -> Iterator[tuple[Address, Seen]]:
        """A place on the server that has what the graph asks for, and the fewest jobs; one that knows the run goes before all others.

        One that has it and is away for a moment is waited for; where none ever had it, any of them says what is missing.
        """
        began = time.monotonic()
        while True:
            seen_now = dict(self._seen)
            fit = {at: seen for at, seen in seen_now.items() if at not in avoided and seen.state.state == "reachable"}
            having = [at for at, seen in fit.items() if seen.has(graph)]
            away = any(seen.nodes and seen.has(graph) for at, seen in seen_now.items() if at not in fit and at not in avoided)
            too_long = time.monotonic() - began > ((self._patience or Patience()).outage if fit and away else STARTING_S)
            if having or (fit and (not away or too_long)):
                own = [at for at, seen in fit.items() if len(fit) > 1 and _knows(seen.server, f"{run_id}.", recipe.count)]
                with self._lock:
                    address = min(own or having or list(fit), key=lambda at: fit[at].taken + fit[at].state.queued)
                    seen = fit[address]
                    if self._seen.get(address) is seen:
                        seen.taken += 1
                        break
                # Its address was taken out of the settings meanwhile.
                continue
            if too_long:
                raise offline(self._known)
            report(0.0, "Waiting for the ComfyUI server that has this model" if fit else "Waiting for a ComfyUI server")
            time.sleep(0.2)
        try:
            yield address, seen
        finally:
            with self._lock:
                seen.taken -= 1

    def _look(self) -> None:
        wish = 0
        while not self._closed.is_set():
            try:
                self._look_once(anew=wish > 0)
                if wish:
                    self._wishes.fulfil(wish)
            except Exception:  # looking must outlive any one fault
                log.exception("Looking at the ComfyUI servers failed")
                self._closed.wait(LOOK_S)
            wish = self._wishes.waiting(LOOK_S)

    def _look_once(self, *, anew: bool = False) -> None:
        wanted = tuple(dict.fromkeys(self._addresses()))
        with self._lock:
            if self._closed.is_set():
                return
            # One that is not wanted any more is left to the jobs that are still on it.
            self._dropped += [seen for at, seen in self._seen.items() if at not in wanted]
            self._seen = {at: self._seen.get(at) or Seen(at) for at in wanted}
            left = [seen for seen in self._dropped if not seen.taken]
            self._dropped = [seen for seen in self._dropped if seen.taken]
        for seen in left:
            seen.close()
        for seen in list(self._seen.values()):
            seen.look(self._lists_for, self._keep_nodes, anew=anew)
            seen.sockets.tidy(LOOK_S)
        self._known = _together(list(self._seen.values()))

    def _lost(self, address: Address, error: LikenessError) -> None:
        seen = self._seen.get(address)
        if seen is not None:
            seen.lost(error)
            self._known = _together(list(self._seen.values()))

    def _one(
        self,
        seen: Seen,
        recipe: Recipe,
        inputs: Inputs,
        names: Uploaded,
        index: int,
        run_id: str,
        report: Report,
        patience: Patience | None,
    ) -> Iterator[Artifact]:
        server, seed = seen.server, recipe.seed_of(index)
        graph = self._graph_for(recipe.model_copy(update={"count": 1, "seed": seed}), names)
        # A name of its own: the server never takes it for a picture that it made before. A folder a day: it is read with every save.
        graph = with_prefix(graph, f"likeness/{datetime.now(UTC):%Y-%m-%d}/{run_id}-{index}", whole=True)
        began = time.monotonic()
        share = _Share(report, inputs, index, recipe.count)
        # Read while the server draws, which reads the same files.
        hashes = self._fingerprints.begin(server, recipe, self.name) if self._fingerprints else None
        entry = run(server, graph, f"{run_id}.{index}", share, patience=patience, sockets=seen.sockets)
        images = [kept(fetch(server, file), inputs) for file in _pictures(entry)]
        if not images:
            raise EngineFailed("The workflow ended without a picture.", remedy="Choose a workflow that ends in a Save Image node.")
        known = _settled(hashes, share) if hashes else UNKNOWN
        # A workflow may save several: each request counts as many pictures as it has outputs then.
        for place, image in enumerate(images):
            yield Artifact(
                index=index * len(images) + place,
                image=image,
                seed=seed,
                model_hash=known.model,
                lora_hashes=dict(known.loras),
                duration_s=(time.monotonic() - began) / len(images),
                graph=graph,
            )


class Seen:
    """One server as the last look found it. `taken` counts the jobs of ours that hold a place on it."""

    def __init__(self, address: Address) -> None:
        self.server = _client(address)
        # Looking must not take long: other servers wait for their turn.
        self._quick = ComfyServer.like(self.server, patience_s=3.0)
        self.sockets = Sockets(self.server)
        self.state = ServerState(url=self.server.url, state="asking", problem="It was not asked yet.", remedy="Wait a few seconds.")
        self.files: dict[str, tuple[str, ...]] = {}
        self.nodes: tuple[str, ...] = ()
        self._offers: dict[tuple[str, str], frozenset[str]] = {}
        self.taken = 0
        self._read_at = 0.0
        self._answered_at = 0.0

    def look(self, lists_for: ListsFor, keep_nodes: KeepNodes, *, anew: bool = False) -> None:
        """Ask whether it answers, how long its queue is, and now and then, or `anew`, what it has.

        One that answered lately and lets a look wait has its hands full, and is not gone.
        """
        try:
            stats, queue = self._quick.system_stats(), self._quick.queue()
            check_version(self.server.url, stats.version)
            if anew or self.state.state != "reachable" or time.monotonic() - self._read_at > READ_S:
                found = self.server.models(refresh=True, keep=lambda said: keep_nodes(self.server.url, said))
                nodes = self.server.object_info()
                self.files = {field.name: getattr(found, field.name) for field in fields(found)} | _listed(nodes, lists_for())
                self.nodes = tuple(sorted(nodes))
                takers = {*LISTS.values(), *(taker for takers in lists_for().values() for taker in takers)}
                self._offers = {taker: frozenset(choices(nodes, *taker)) for taker in takers if taker[0] in nodes}
                self._read_at = time.monotonic()
        except Hanging as error:
            if self.state.state != "reachable" or time.monotonic() - self._answered_at > BUSY_S:
                self.lost(error)
            return
        except LikenessError as error:
            self.lost(error)
            return
        self._answered_at = time.monotonic()
        device = stats.devices[0] if stats.devices else None
        self.state = ServerState(
            url=self.server.url,
            state="reachable",
            version=stats.version,
            device=device.name if device else "",
            vram_mb=device.vram_mb if device else 0,
            queued=len(queue.running) + len(queue.pending),
        )

    def has(self, graph: Graph) -> bool:
        """Whether it has every node of a graph and every model file that they name, as far as the last reading tells."""
        kinds = frozenset(self.nodes)
        for node in graph.values():
            kind = str(node["class_type"])
            if kind not in kinds:
                return False
            for name, value in node["inputs"].items():
                offered = self._offers.get((kind, name))
                if offered is not None and isinstance(value, str) and value not in offered:
                    return False
        return True

    def lost(self, error: LikenessError) -> None:
        """It can't be used, and this is why."""
        self.state = ServerState(url=self.server.url, state="offline", problem=error.message, remedy=error.remedy)

    def close(self) -> None:
        """Let go of the open connections."""
        self.sockets.tidy()
        self.server.close()
        self._quick.close()


def check_version(url: str, version: str) -> None:
    """Raises NotComfy for a version that is older than 0.3, or that knows none."""
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < OLDEST:
        raise NotComfy(
            f"The ComfyUI at {url} is too old ({version or 'it knows no version'}): 0.3 is the oldest that works.",
            remedy="Update that ComfyUI and start it again.",
        )


def _client(address: Address) -> ComfyServer:
    user, colon, password = address.token.partition(":")
    if colon:
        return ComfyServer(address.url, sign_in=(user, password))
    return ComfyServer(address.url, token=address.token or None)


def _together(seen: Sequence[Seen]) -> Inventory:
    reachable = [one for one in seen if one.state.state == "reachable"]
    folders = sorted({folder for one in reachable for folder in one.files})
    return Inventory(
        servers=tuple(one.state for one in seen),
        files={folder: tuple(sorted({name for one in reachable for name in one.files.get(folder, ())})) for folder in folders},
        nodes=tuple(sorted({name for one in reachable for name in one.nodes})),
    )


def _listed(nodes: Mapping[str, Any], lists: Mapping[str, Sequence[tuple[str, str]]]) -> dict[str, tuple[str, ...]]:
    """The files that a server's nodes list, by their names; what none of its nodes lists is left out."""
    there = {name: [taker for taker in takers if taker[0] in nodes] for name, takers in lists.items()}
    return {
        name: tuple(dict.fromkeys(file for taker in takers for file in choices(nodes, *taker))) for name, takers in there.items() if takers
    }


def _settled(hashes: Future[Hashes], report: Report) -> Hashes:
    """The hashes, as soon as the files are read. Raises what `report` raises."""
    while True:
        try:
            return hashes.result(timeout=0.5)
        except TimeoutError:
            report(1.0, "Reading the model's file, to note its hash")
        except CancelledError:
            return UNKNOWN


def _knows(server: ComfyServer, prefix: str, count: int) -> bool:
    try:
        queue = server.queue()
        live = any(name.startswith(prefix) for name in (*queue.running, *queue.pending))
        return live or any(server.history(f"{prefix}{index}") is not None for index in range(count))
    except LikenessError:
        return False


def _upload(server: ComfyServer, inputs: Inputs) -> Uploaded:
    image = None if inputs.image is None else _send(server, inputs.image)
    # As a mask its red channel is read.
    mask = None if inputs.mask is None else _send(server, inputs.mask.convert("RGB"))
    return Uploaded(image, mask, {name: _send(server, picture) for name, picture in inputs.pictures.items()})


def _send(server: ComfyServer, image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    content = out.getvalue()
    return server.upload(content, f"{hashlib.sha256(content).hexdigest()[:32]}.png")


def fetch(server: ComfyServer, file: OutputFile) -> Image.Image:
    """A picture that a server made, whole and in RGB. Raises what `ComfyServer.view` raises, and EngineFailed for what is no picture."""
    content = server.view(file)
    try:
        return Image.open(io.BytesIO(content)).convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise EngineFailed(f"ComfyUI sent “{file.name}”, which is not a picture that can be read.") from error


class _Share:
    """The report of one picture of several."""

    def __init__(self, report: Report, inputs: Inputs, index: int, count: int) -> None:
        self._report = report
        self._inputs = inputs
        self._index = index
        self._count = count
        self._note = ""
        self._noted_at = 0.0

    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: Image.Image | None = None) -> None:
        now = time.monotonic()
        if note != self._note:
            # Small nodes follow each other faster than anybody reads, and each would be written down; `run` says it again soon.
            if now - self._noted_at < NOTE_S:
                note = self._note
            else:
                self._note, self._noted_at = note, now
        preview = None if preview is None else kept(preview, self._inputs)
        self._report((self._index + progress) / self._count, note, step=step, steps=steps, preview=preview)

    def wants_preview(self) -> bool:
        return self._report.wants_preview()


_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


def _pictures(entry: Entry) -> list[OutputFile]:
    """The pictures that a job saved; those that it only showed, where it saved none."""
    pictures = [file for file in entry.files if file.name.lower().endswith(_ENDINGS)]
    return [file for file in pictures if file.kind == "output"] or pictures
