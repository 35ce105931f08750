"""The verbs of `engines`: ask how they are, and order what is to be done with them."""

from __future__ import annotations

import sys
import time

from studio.cli.desk import FAILED, INTERRUPTED, OK, Answer, Desk
from studio.cli.words import table
from studio.errors import Conflict, DataRootLocked, MissingRequiredField
from studio.managed import Connect, EngineInfo

FOLLOW_S = 0.3
CONNECT = "engines connect comfyui URL, or engines connect aitoolkit --folder DIR"


def list_engines(desk: Desk) -> Answer:
    found = desk.studio.engines.engines()
    rows = [(one.name, one.state.replace("_", " "), one.busy or one.action_required or "", _fact(one)) for one in found]
    return Answer({"items": [one.model_dump(mode="json") for one in found]}, table(rows))


def status_of_engines(desk: Desk) -> Answer:
    return show_engine(desk) if desk.args.name else list_engines(desk)


def show_engine(desk: Desk) -> Answer:
    return _said(desk.studio.engines.engine(desk.args.name))


def connect_engine(desk: Desk) -> Answer:
    args = desk.args
    if args.url is None and args.folder is None:
        raise MissingRequiredField("Neither an address nor a folder was given.", field="url", remedy=CONNECT)
    return _followed(desk, desk.studio.engines.connect(args.name, Connect(url=args.url, folder=args.folder)))


def find_engine(desk: Desk) -> Answer:
    return _followed(desk, desk.studio.engines.find(desk.args.name))


def refresh_engine(desk: Desk) -> Answer:
    if desk.studio.health().worker != "running":
        raise Conflict("No studio runs on this data folder, so nobody asks the servers.", remedy="Start it: `python launch.py`.")
    answer = _followed(desk, desk.studio.engines.refresh(desk.args.name))
    files = desk.studio.inventory().files
    rows = [(name.replace("_", " "), len(found)) for name, found in sorted(files.items()) if found]
    return Answer(answer.value, f"{answer.text}\n\nWhat there is:\n{table(rows)}" if rows else answer.text, answer.status)


def install_engine(desk: Desk) -> Answer:
    there = desk.studio.engines.engine(desk.args.name)
    # One that was stopped by Ctrl-C is still wanted, and goes on.
    return _followed(desk, there if there.busy == "install" else desk.studio.engines.install(desk.args.name, desk.args.commit))


def update_engine(desk: Desk) -> Answer:
    there = desk.studio.engines.engine(desk.args.name)
    return _followed(desk, there if there.busy == "update" else desk.studio.engines.update(desk.args.name, desk.args.commit))


def start_engine(desk: Desk) -> Answer:
    if desk.studio.health().worker != "running":
        raise Conflict("No studio runs on this data folder, and ComfyUI runs as long as it does.", remedy="Start it: `python launch.py`.")
    return _followed(desk, desk.studio.engines.start(desk.args.name))


def stop_engine(desk: Desk) -> Answer:
    return _followed(desk, desk.studio.engines.stop(desk.args.name))


def remove_engine(desk: Desk) -> Answer:
    return _followed(desk, desk.studio.engines.remove(desk.args.name))


def cancel_engine(desk: Desk) -> Answer:
    return _said(desk.studio.engines.cancel(desk.args.name))


def engine_log(desk: Desk) -> Answer:
    which = "install" if desk.args.install else None
    piece = desk.studio.engines.log(desk.args.name, which, desk.args.lines)
    if not desk.args.follow:
        lines = (*piece.lines, *([piece.unfinished] if piece.unfinished else ()))
        return Answer({"lines": lines, "next": piece.next}, "\n".join(lines) or "Nothing was logged.")
    # The lines are the answer; with --json one value is, at the end.
    place = sys.stderr if desk.args.json else sys.__stdout__
    try:
        while True:
            for line in piece.lines:
                print(line, file=place, flush=True)
            time.sleep(FOLLOW_S)
            piece = desk.studio.engines.log(desk.args.name, which, desk.args.lines, piece.next)
    except KeyboardInterrupt:
        return Answer({"next": piece.next}, "", INTERRUPTED)


def _followed(desk: Desk, info: EngineInfo) -> Answer:
    """Wait until an order is done: by the studio that runs, or here and now when none does."""
    if not info.busy:
        return _said(info)
    try:
        with desk.work_in_place():
            return _wait(desk, info.name)
    except DataRootLocked:
        return _wait(desk, info.name)


def _wait(desk: Desk, name: str) -> Answer:
    told = ""
    while (info := desk.studio.engines.engine(name)).busy:
        if info.note and info.note != told:
            told = info.note
            print(f"{info.progress:4.0%} {told}", file=sys.stderr)
        time.sleep(FOLLOW_S)
    return _said(info)


def _said(info: EngineInfo) -> Answer:
    rows: list[tuple[object, ...]] = [
        ("state", info.state.replace("_", " ")),
        ("next", info.busy or info.action_required or "nothing"),
        ("version", info.version),
        ("commit", info.commit),
        ("folder", info.folder if info.own or not info.folder else f"{info.folder} (yours, and never changed)"),
        ("licence", info.licence if info.action_required == "install" else ""),
        ("problem", f"{info.problem} {info.remedy}".strip()),
        ("newer", info.update_version if info.update_to else ""),
        ("found", ", ".join((*info.found_urls, *info.found_folders))),
    ]
    rows += [("server", f"{server.url}  {server.state}  {server.version}  {server.device}".rstrip()) for server in info.servers]
    text = f"{info.title}\n{table(row for row in rows if row[1])}"
    return Answer(info.model_dump(mode="json"), text, FAILED if info.problem and not info.reachable and not info.busy else OK)


def _fact(info: EngineInfo) -> str:
    servers = [f"{server.version} at {server.url}" for server in info.servers if server.state == "reachable"]
    return ", ".join(servers) or info.problem or info.version
