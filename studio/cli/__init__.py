"""The command line: the same verbs as the page and the API, for terminals and scripts."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from studio.cli.desk import FAILED, INTERRUPTED, USAGE, Answer, Desk, explain, problem
from studio.cli.parser import Usage, build_parser, with_verb
from studio.errors import ContractMismatch, LikenessError, UnknownError
from studio.settings import Settings

if TYPE_CHECKING:
    from studio.studio import Studio

__all__ = ["build_parser", "run"]

log = logging.getLogger(__name__)


def run(
    argv: Sequence[str],
    *,
    version: str,
    commands: Mapping[str, Callable[[argparse.Namespace], int]],
    open_studio: Callable[[Settings], Studio],
    work_in_place: Callable[[Settings], AbstractContextManager[None]],
) -> int:
    """Run one verb and give its exit status: 0 for success, 1 for an error, 2 for a wrong command line, 130 after Ctrl-C.

    `commands` are the verbs that are not asked of a studio, such as `run`. With `--json` exactly one JSON value goes to stdout.
    After work in place the process ends here.
    """
    try:
        args = build_parser(version).parse_args(with_verb(argv))
    except Usage as usage:
        print(usage.text, file=sys.stderr)
        if "--json" in argv:
            error = ContractMismatch(usage.message, remedy="`python launch.py --help` lists every verb.")
            _print_json({"ok": False, "error": problem(error)})
        return USAGE
    if args.verb in commands:
        answer = _guarded(args, lambda: Answer(None, "", commands[args.verb](args)))
        if answer.value is not None and args.json:
            _print_json(answer.value)
        return answer.status
    return _ask(args, open_studio, work_in_place)


def _ask(
    args: argparse.Namespace, open_studio: Callable[[Settings], Studio], work_in_place: Callable[[Settings], AbstractContextManager[None]]
) -> int:
    from studio.cli.verbs import ACTS

    desk = Desk(args, open_studio, work_in_place)
    # Whatever a library prints belongs beside the answer, not into it.
    with contextlib.redirect_stdout(sys.stderr):
        answer = _guarded(args, lambda: ACTS[args.act](desk))
    if args.json:
        _print_json(answer.value)
    elif answer.text:
        print(answer.text, flush=True)
    if desk.worked_in_place:
        # Runs that were put back into the queue keep their threads; only the end of the process ends them.
        sys.stderr.flush()
        logging.shutdown()
        os._exit(answer.status)
    return answer.status


def _guarded(args: argparse.Namespace, act: Callable[[], Answer]) -> Answer:
    try:
        return act()
    except LikenessError as error:
        refused = error
    except KeyboardInterrupt:
        return Answer({"ok": False, "error": problem(UnknownError("Stopped by Ctrl-C."))}, "", INTERRUPTED)
    except Exception as error:  # a command ends here, whatever went wrong in it
        log.exception("A fault of our own")
        refused = UnknownError(f"Something went wrong in Likeness itself ({type(error).__name__}).")
    if not args.json:
        explain(problem(refused))
    return Answer({"ok": False, "error": problem(refused)}, "", FAILED)


def _print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False), flush=True)
