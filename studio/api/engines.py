"""Engines: how they are, and connecting, installing, starting, stopping and updating them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from studio.api.refusals import RESPONSES, with_errors
from studio.api.views import Id
from studio.contracts import Asked, Contract
from studio.managed import Connect, EngineInfo, EngineLog
from studio.pins import Commit
from studio.studio import Studio


class EngineList(Contract):
    """Every engine."""

    items: tuple[EngineInfo, ...]


class Which(Asked):
    """A commit by its 40 letters and digits; None takes the one that Likeness was tested with."""

    commit: Commit | None = None


def routes(studio: Studio) -> APIRouter:
    """engines. Every order is noted and answered at once; `busy` and `note` say how far it is."""
    router = APIRouter(responses=RESPONSES, tags=["engines"])
    errors = with_errors(404, 409, 507)

    @router.get("/engines", summary="List engines")
    def listed() -> EngineList:
        """Installed, running, reachable, and what to do next (`action_required`), as the worker last saw it."""
        return EngineList(items=studio.engines.engines())

    @router.get("/engines/{name}", summary="One engine", responses=with_errors(404))
    def one(name: Id) -> EngineInfo:
        """`embedded`, `comfyui` or `aitoolkit`."""
        return studio.engines.engine(name)

    @router.post("/engines/{name}/connect", summary="Use a running ComfyUI, or a program in a folder", responses=errors)
    def connect(name: Id, body: Connect) -> EngineInfo:
        """`url`: addresses with commas between them, kept as the setting `comfyui_url`. `folder`: a ComfyUI on this computer, to start; an
        AI-Toolkit on this computer, kept as the setting `aitoolkit_path` and never changed.
        """
        return studio.engines.connect(name, body)

    @router.post("/engines/{name}/find", summary="Look for an engine on this computer", responses=errors)
    def find(name: Id) -> EngineInfo:
        """Looks at the usual folders, for ComfyUI at loopback's usual ports too; `found_urls` and `found_folders` say what is there."""
        return studio.engines.find(name)

    @router.post("/engines/{name}/refresh", summary="Read anew what the ComfyUI servers have", responses=errors)
    def refresh(name: Id) -> EngineInfo:
        """Models, LoRAs and nodes that were just put there; by itself it is done once a minute. The event `models` tells of others."""
        return studio.engines.refresh(name)

    @router.post("/engines/{name}/install", summary="Install an engine", responses=errors)
    def install(name: Id, body: Which | None = None) -> EngineInfo:
        """Into the data folder, with an environment of its own. One that was interrupted goes on."""
        return studio.engines.install(name, body.commit if body else None)

    @router.post("/engines/{name}/update", summary="Update an engine", responses=errors)
    def update(name: Id, body: Which | None = None) -> EngineInfo:
        """To a commit; one that doesn't start is taken back. While a training runs with AI-Toolkit it is a 409."""
        return studio.engines.update(name, body.commit if body else None)

    @router.post("/engines/{name}/start", summary="Start an engine", responses=errors)
    def start(name: Id) -> EngineInfo:
        """ComfyUI, on 127.0.0.1 alone. It starts with the studio from then on, until it is stopped."""
        return studio.engines.start(name)

    @router.post("/engines/{name}/stop", summary="Stop an engine", responses=errors)
    def stop(name: Id) -> EngineInfo:
        """Its jobs wait until it runs again, or go to another server."""
        return studio.engines.stop(name)

    @router.post("/engines/{name}/remove", summary="Remove an engine", responses=errors)
    def remove(name: Id) -> EngineInfo:
        """Into the folder `engines/trash` of the data folder; one that Likeness didn't install is only forgotten."""
        return studio.engines.remove(name)

    @router.post("/engines/{name}/cancel", summary="Stop what is being done with an engine", responses=errors)
    def cancel(name: Id) -> EngineInfo:
        """What was downloaded is kept."""
        return studio.engines.cancel(name)

    @router.get("/engines/{name}/log", summary="The log of an engine", responses=with_errors(404, 409))
    def log(
        name: Id,
        which: Annotated[
            Literal["server", "install"] | None,
            Query(description="What ComfyUI says itself, or what an installation said; by default the first where there is one"),
        ] = None,
        lines: Annotated[int, Query(ge=1, le=2000)] = 200,
        after: Annotated[str, Query(max_length=60, description="`next` of the answer before: what was written since then")] = "",
    ) -> EngineLog:
        """The last lines, or those since the last time: ask again with `after` to follow it."""
        return studio.engines.log(name, which, lines, after)

    return router
