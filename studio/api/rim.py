"""The rim of the API: bounds every request's size, and answers what nothing inside expected."""

from __future__ import annotations

import logging

from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from studio.api.refusals import refusal
from studio.api.views import PREFIX
from studio.contracts import new_id
from studio.errors import FileTooLarge, UnknownError

MOST_JSON = 2 * 2**20
# What multipart boundaries and part headers may add to the file itself.
ENVELOPE = 64 * 2**10

# How many files of the largest size a request to these routes may hold.
MOST_FILES = {
    "images": 1,
    "characters/import": 8,
    "characters/*/images": 8,
    "characters/*/evidence": 1,
    "datasets/*/images": 8,
    "datasets/*/import": 8,
}

log = logging.getLogger(__name__)


class Rim:
    """ASGI middleware over /api alone; everything else passes untouched."""

    def __init__(self, app: ASGIApp, *, max_upload_mb: int) -> None:
        self.app = app
        self.most_upload = max_upload_mb * 2**20 * 4 // 3 + ENVELOPE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self.app(scope, receive, send)
            return
        correlation = scope.setdefault("state", {}).setdefault("correlation_id", "") or new_id()
        scope["state"]["correlation_id"] = correlation
        most = self.most_upload * MOST_FILES.get(_kind(scope["path"]), 0) or MOST_JSON
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            if _declared(scope) > most:
                answer = JSONResponse(refusal(FileTooLarge("The request is too large."), correlation).model_dump(mode="json"), 413)
                await answer(scope, receive, sending)
                return
            await self.app(scope, _bounded(receive, most), sending)
        except ClientDisconnect:
            log.info("%s %s: the caller left before the request was whole", scope["method"], scope["path"])
        except Exception:  # a request ends here, whatever went wrong in it
            log.exception("%s %s failed with a fault of our own", scope["method"], scope["path"])
            if begun:
                # Half an answer is out: only cutting the connection tells the caller that it is not whole.
                raise
            answer = JSONResponse(refusal(UnknownError(), correlation).model_dump(mode="json"), 500)
            await answer(scope, receive, send)


def _kind(path: str) -> str:
    parts = path.removeprefix(f"{PREFIX}/").split("/")
    return "/".join([parts[0], *(["import"] if parts[1:] == ["import"] else ["*", *parts[2:]] if parts[1:] else [])])


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _bounded(receive: Receive, most: int) -> Receive:
    taken = 0

    async def receiving() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > most:
            raise HTTPException(413)
        return message

    return receiving
