"""What a verb has at hand, and what it gives back."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from studio.contracts import Problem
from studio.errors import LikenessError
from studio.logs import setup_logging
from studio.settings import Settings, load_settings

if TYPE_CHECKING:
    from studio.studio import Studio

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True)
class Answer:
    """What a verb found out: a value for `--json`, the same in words for people, and the exit status."""

    value: object
    text: str
    status: int = OK


class Desk:
    """One command's arguments, and the settings and the studio, which are opened when a verb first asks for them."""

    def __init__(
        self,
        args: argparse.Namespace,
        open_studio: Callable[[Settings], Studio],
        work_in_place: Callable[[Settings], AbstractContextManager[None]],
    ) -> None:
        self.args = args
        self.worked_in_place = False
        self._open_studio = open_studio
        self._work_in_place = work_in_place

    @cached_property
    def settings(self) -> Settings:
        settings = load_settings(self.args.data)
        setup_logging(settings, "cli", None)
        if settings.log_level != "DEBUG":
            # The job's own log has the rest; a terminal wants the pictures.
            logging.getLogger().handlers[0].setLevel(logging.WARNING)
        return settings

    @cached_property
    def studio(self) -> Studio:
        return self._open_studio(self.settings)

    @contextmanager
    def work_in_place(self) -> Iterator[None]:
        """Run jobs in this process until the block ends. Raises DataRootLocked when a studio does that already."""
        with self._work_in_place(self.settings):
            self.worked_in_place = True
            yield


def problem(error: LikenessError, correlation_id: str | None = None) -> dict[str, object]:
    """An error as `--json` shows it: the same shape as the API's."""
    told = Problem(code=error.code, message=error.message, remedy=error.remedy, field=error.field, correlation_id=correlation_id)
    return told.model_dump(mode="json")


def explain(told: dict[str, object]) -> None:
    """An error as a person reads it."""
    print(f"{told['message']} ({told['code']})\n{told['remedy']}", file=sys.stderr)
