"""Setting up: the doctor, settings, where things lie, and whether the studio is new."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from studio import setup
from studio.api.refusals import RESPONSES, with_errors
from studio.contracts import Contract
from studio.doctor import Check, Status, checkup
from studio.settings import reread
from studio.setup import Setting, Value, Where
from studio.studio import Studio


class Checkup(Contract):
    """What the doctor found. `ok` is false when something fails."""

    ok: bool
    checks: tuple[Check, ...]


class SettingsList(Contract):
    """Every setting, in the order of docs/settings.md."""

    items: tuple[Setting, ...]


class Changed(Contract):
    """The settings that were changed, as they are now; `restart` when one of them waits for the next start."""

    ok: bool = True
    items: tuple[Setting, ...]
    restart: bool


class Welcome(Contract):
    """Whether to lead a newcomer by the hand."""

    fresh: bool
    walked_through: bool


def routes(studio: Studio) -> APIRouter:
    """doctor, settings, where, welcome."""
    router = APIRouter(responses=RESPONSES, tags=["setup"])
    at_start = reread(studio.settings)

    @router.get("/doctor", summary="Check everything that a studio needs")
    def doctor() -> Checkup:
        """Green, amber or red, with what to do. Takes a second or two."""
        checks = checkup(studio.settings)
        return Checkup(ok=all(check.status is not Status.fail for check in checks), checks=checks)

    @router.get("/settings", summary="List settings")
    def settings() -> SettingsList:
        """As the next start will find them. `fixed_by` says what only the environment or .env can change; secrets are never shown."""
        return SettingsList(items=setup.all_settings(studio.settings, at_start))

    @router.patch("/settings", summary="Change settings", responses=with_errors(409, 507))
    def change(
        body: Annotated[dict[str, Value], Body(openapi_examples={"one": {"value": {"idle_unload_s": 300}}}, max_length=100)],
    ) -> Changed:
        """All of them or none; null goes back to the default. 409 for what the environment fixes."""
        studio.change_settings(body)
        found = {item.name: item for item in setup.all_settings(studio.settings, at_start)}
        items = tuple(found[name] for name in body)
        return Changed(items=items, restart=any(item.pending for item in items))

    @router.get("/where", summary="Where things lie")
    def where() -> Where:
        """Folders and files on the studio's computer."""
        return setup.places(studio.settings)

    @router.get("/welcome", summary="Is the studio new?")
    def welcome() -> Welcome:
        """`fresh` until there is a character or a picture, or the walkthrough was finished or skipped."""
        return Welcome(fresh=setup.is_fresh(studio), walked_through=reread(studio.settings).walked_through)

    return router
