"""Runs one prompt on a server to its end, once, whatever breaks on the way: our process, its socket, or the server."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engines.comfyui import faults
from engines.comfyui.faults import Unreachable
from engines.comfyui.progress import Progress, picture
from engines.comfyui.server import ComfyServer, Entry, Graph, Queue
from engines.comfyui.sockets import Socket, Sockets
from studio.engine import Cancelled, Report
from studio.errors import EngineTimeout, LikenessError, NotFound

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long things may take, in seconds."""

    outage: float = 120.0
    """A server that doesn't answer: a restart with many custom nodes takes a minute."""
    standstill: float = 900.0
    """A job that runs without a sign of progress: reading a large model from a slow disk is silent."""
    silence: float = 2.0
    """A socket that says nothing before queue and history are asked."""
    zombie: float = 15.0
    """A socket that says nothing of a running job before a new one is opened."""


def run(
    server: ComfyServer,
    graph: Graph,
    prompt_id: str,
    report: Report,
    *,
    extra_data: Mapping[str, Any] | None = None,
    patience: Patience | None = None,
    sockets: Sockets | None = None,
) -> Entry:
    """Run a graph and give what the server then remembers of it: its files are on the server, fetch them with `server.view`.

    Called again with the same `prompt_id`, it finds what it began, queued, running or done; nothing runs twice. A server that forgets
    the job because it was restarted gets it again. Progress goes to `report`; when that raises Cancelled, the job is taken back from the
    server; on Stopping it goes on there. Raises what faults.py makes of the server's errors, EngineOffline when the server stays
    away, and EngineTimeout when the job stands still. `sockets` are those of the server that another job left; its own are left there.
    """
    patience = patience or Patience()
    spare = sockets or Sockets(server)
    try:
        return _run(server, graph, prompt_id, report, extra_data, patience, spare)
    finally:
        if sockets is None:
            spare.tidy()


def _run(
    server: ComfyServer,
    graph: Graph,
    prompt_id: str,
    report: Report,
    extra_data: Mapping[str, Any] | None,
    patience: Patience,
    sockets: Sockets,
) -> Entry:
    entry = _Watch(server, graph, prompt_id, report, extra_data, patience, sockets).to_the_end()
    if not _names_old_files(graph, entry):
        return entry
    # The server had made this very graph before and only names the old files, which may be gone or, by now, others.
    again = with_prefix(graph, f"again-{prompt_id}")
    entry = _Watch(server, again, f"{prompt_id}-again", report, extra_data, patience, sockets).to_the_end()
    if not all(server.has(file) for file in entry.files):
        raise NotFound("ComfyUI names pictures that it doesn't have any more.", remedy="Change the seed and make them again.")
    return entry


def with_prefix(graph: Graph, name: str, *, whole: bool = False) -> dict[str, Any]:
    """The graph with another file name for everything it saves: in the folder it had, or, as a `whole`, in the one that `name` says."""
    changed: dict[str, Any] = dict(graph)
    for node, it in graph.items():
        prefix = _prefix(it)
        if prefix is not None:
            folder = "" if whole else prefix.rpartition("/")[0]
            changed[node] = {**it, "inputs": {**it["inputs"], "filename_prefix": f"{folder}/{name}" if folder else name}}
    return changed


def _names_old_files(graph: Graph, entry: Entry) -> bool:
    return any(file.node in entry.cached and _prefix(graph.get(file.node)) is not None for file in entry.files)


def _prefix(node: object) -> str | None:
    inputs = node.get("inputs") if isinstance(node, dict) else None
    prefix = inputs.get("filename_prefix") if isinstance(inputs, dict) else None
    return prefix if isinstance(prefix, str) else None


class _Gone:
    """Neither queued nor running nor remembered."""


class _Watch:
    """The life of one prompt id on a server."""

    def __init__(
        self,
        server: ComfyServer,
        graph: Graph,
        prompt_id: str,
        report: Report,
        extra_data: Mapping[str, Any] | None,
        patience: Patience,
        sockets: Sockets,
    ) -> None:
        self._server = server
        self._graph = graph
        self._prompt_id = prompt_id
        self._extra_data = extra_data
        self._patience = patience
        self._report = report
        self._progress = Progress(graph, prompt_id)
        self._sockets = sockets
        self._socket = sockets.take(f"likeness-{prompt_id}")
        self._waiting = ""
        self._posts = 0
        self._forgotten = 0
        self._cut_off = False
        self._away_since: float | None = None
        self._moved = time.monotonic()
        self._look_at = 0.0
        self._said: tuple[object, ...] = ()
        self._say_at = 0.0

    def to_the_end(self) -> Entry:
        """Post the job unless it is there, and follow it. Raises as `run` says."""
        try:
            while True:
                self._listen()
                self._say()
                if time.monotonic() < self._look_at:
                    continue
                found = self._look()
                if isinstance(found, Entry):
                    if self._socket.alive:
                        self._sockets.give(self._socket)
                        self._socket = Socket(self._server, "")
                    return self._judge(found)
                if isinstance(found, _Gone):
                    self._post()
        except Cancelled:
            self._take_back()
            raise
        finally:
            self._socket.close()

    def _listen(self) -> None:
        """Take what the socket says, waiting a moment for it; without a socket, wait as long."""
        # Before the first look nothing is to be heard yet: only open it, so that nothing is missed.
        wait = 0.0 if self._look_at == 0.0 else max(0.0, min(_TURN_S, self._look_at - time.monotonic()))
        ours = False
        for message in self._socket.messages(wait):
            ours = self._progress.take(message) or ours
        now = time.monotonic()
        if not self._socket.alive:
            self._cut_off = True
            self._look_at = min(self._look_at, now + _BLIND_S)
        if not ours:
            return
        self._moved = now
        self._waiting = ""
        if self._progress.ended:
            self._look_at = 0.0
        elif self._progress.ending:
            # The history entry comes a little later than this; the event after it says when.
            self._look_at = now + 0.1
        else:
            self._look_at = now + self._patience.silence

    def _say(self) -> None:
        """Tell the report what is new, and at least twice a second that there is nothing new: it may want to cancel."""
        progress = self._progress
        said = (round(progress.fraction, 3), self._waiting or progress.note, progress.step, progress.steps)
        now = time.monotonic()
        if said == self._said and now < self._say_at and progress.preview is None:
            return
        image = None
        if progress.preview is not None:
            if self._report.wants_preview():
                image = picture(progress.preview)
            progress.preview = None
        self._said, self._say_at = said, now + 0.5
        fraction, note, step, steps = said
        self._report(fraction, note, step=step, steps=steps, preview=image)

    def _look(self) -> Entry | _Gone | None:
        """Ask where the job is: its entry when it ended, None while it waits or runs or nobody answers."""
        now = time.monotonic()
        try:
            # When it said that it ended, one question is enough.
            place = self._server.history(self._prompt_id) if self._progress.ended else None
            queue = _NOTHING if place is not None else self._server.queue()
            # In this order nothing is missed: a job goes from the queue into the history, never back.
            if place is None and self._prompt_id not in (*queue.running, *queue.pending):
                place = self._server.history(self._prompt_id)
        except Unreachable as error:
            self._stand_by(error)
            return None
        self._away_since = None
        if place is not None:
            return place
        self._look_at = now + (self._patience.silence if self._socket.alive else _BLIND_S)
        if self._prompt_id in (*queue.running, *queue.pending):
            # Another watch posted it, before a crash: what is told of it is told to the client that it was.
            self._socket.speak_for(queue.clients.get(self._prompt_id, self._socket.client_id))
            # From here on a restart would break the socket.
            self._cut_off = not self._socket.alive
        if self._prompt_id in queue.pending:
            ahead = len(queue.running) + queue.pending.index(self._prompt_id)
            self._waiting = f"Waiting in ComfyUI: {ahead} before it" if ahead else "Waiting in ComfyUI"
            self._moved = now
            return None
        if self._prompt_id in queue.running:
            self._waiting = ""
            if self._progress.ending:
                self._look_at = now + 0.02
            self._stir(now)
            return None
        return _Gone()

    def _stir(self, now: float) -> None:
        """Deal with a job that runs and says nothing: perhaps only its socket is dead."""
        if now - self._moved > self._patience.standstill:
            self._take_back()
            raise EngineTimeout(
                f"ComfyUI showed no progress for {self._patience.standstill:.0f} s.",
                remedy="Look at ComfyUI's own window, restart it if it is stuck, and retry the job.",
            )
        if self._socket.silent_for() > self._patience.zombie:
            self._socket.close()

    def _post(self) -> None:
        """Hand the job over, for the first time or because the server forgot it."""
        if self._posts and not self._cut_off:
            raise faults.taken_out()
        if self._posts:
            self._forgotten += 1
            log.warning("ComfyUI forgot job %s, which it had; it gets it again", self._prompt_id)
            self._progress.start_again()
        if self._forgotten >= _MOST_LOSSES:
            raise faults.lost(self._forgotten)
        self._posts += 1
        self._cut_off = not self._socket.alive
        try:
            self._server.post(self._graph, self._prompt_id, self._socket.client_id, self._extra_data)
        except Unreachable as error:
            # It may have arrived all the same: the next look tells.
            self._posts -= 1
            self._stand_by(error)
            return
        except faults.Unread:
            # A server that fails after it queued a job says the same as one that failed before.
            if isinstance(self._look(), _Gone):
                raise
        now = time.monotonic()
        self._moved, self._look_at = now, now + self._patience.silence

    def _stand_by(self, error: Unreachable) -> None:
        """Wait for a server that doesn't answer, but not for ever."""
        now = time.monotonic()
        self._away_since = self._away_since or now
        if now - self._away_since > self._patience.outage:
            raise error
        self._cut_off = True
        self._waiting = "ComfyUI is not answering; waiting for it"
        self._moved = now
        self._look_at = now + _BLIND_S

    def _judge(self, entry: Entry) -> Entry:
        if entry.completed:
            return entry
        raise faults.ended_badly(entry.messages)

    def _take_back(self) -> None:
        try:
            self._server.cancel(self._prompt_id)
        except LikenessError as error:
            log.warning("Job %s could not be taken back from ComfyUI: %s", self._prompt_id, error.message)


_TURN_S = 0.25
_BLIND_S = 0.5
_MOST_LOSSES = 3
_NOTHING = Queue((), ())
