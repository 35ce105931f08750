"""Every fault becomes `{"ok": false, "error": …}` with a code, a remedy and the correlation id; never a stack trace."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from pydantic_core import PydanticCustomError
from starlette.exceptions import HTTPException

from studio.api.views import Refusal
from studio.contracts import Problem, new_id
from studio.errors import (
    AuthMissing,
    ContractMismatch,
    FileTooLarge,
    LikenessError,
    NotFound,
    UnknownError,
    from_validation,
)

# What each route's page in /api/docs says of errors, beyond the ones it names itself.
RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {"model": Refusal, "description": "Not signed in, and not at this computer"},
    422: {"model": Refusal, "description": "A field is missing, unknown, or holds a wrong value"},
    500: {"model": Refusal, "description": "A fault of the studio itself; the log has its correlation id"},
}


def with_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The common error answers and these, for a route's `responses`."""
    return {**RESPONSES, **{status: {"model": Refusal, "description": _WORDS[status]} for status in statuses}}


def correlation_id(request: Request) -> str:
    """The id that follows this request from the door to the engine."""
    made = getattr(request.state, "correlation_id", "")
    if not made:
        made = request.state.correlation_id = new_id()
    return made


def refusal(error: LikenessError, correlation: str) -> Refusal:
    """An error in the shape that everyone gets."""
    return Refusal(
        error=Problem(code=error.code, message=error.message, remedy=error.remedy, field=error.field, correlation_id=correlation or None)
    )


def install(api: FastAPI) -> None:
    """Make the API answer every error in its one shape."""

    @api.exception_handler(LikenessError)
    async def ours(request: Request, error: LikenessError) -> JSONResponse:
        return _answer(request, error, error.status)

    @api.exception_handler(RequestValidationError)
    async def unfit(request: Request, error: RequestValidationError) -> JSONResponse:
        refused = _from_request(error)
        return _answer(request, refused, refused.status)

    @api.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        refused = _from_status(error.status_code, request)
        # 405 and 413 say more than our class would; 400 says less.
        status = refused.status if error.status_code == HTTPStatus.BAD_REQUEST else error.status_code
        return _answer(request, refused, status, error.headers)


_WORDS = {
    403: "A line that never moves, or consent that is missing",
    404: "There is nothing with that id",
    409: "The thing is in a state where this can't be done",
    413: "Too many bytes or pixels",
    503: "The worker or the database is not there yet",
    507: "The disk is full",
}


def _answer(request: Request, error: LikenessError, status: int, headers: Any = None) -> JSONResponse:
    return JSONResponse(refusal(error, correlation_id(request)).model_dump(mode="json"), status, headers)


def _from_request(error: RequestValidationError) -> LikenessError:
    fault = error.errors()[0]
    place = tuple(fault["loc"])
    if fault["type"] == "json_invalid":
        return ContractMismatch(f"The body is not JSON: {fault['ctx']['error']}, at character {place[-1]}.")
    if place == ("body",):
        if fault["type"] == "missing":
            return ContractMismatch("The request has no body.", remedy="Send JSON; /api/docs shows what belongs in it.")
        return ContractMismatch(
            "The body is not a JSON object.",
            remedy="Send a JSON object with the header “Content-Type: application/json”; /api/docs shows what belongs in it.",
        )
    return from_validation(_without_place(fault))


def _without_place(fault: dict[str, Any]) -> ValidationError:
    # FastAPI puts "body", "query" or "path" before the field's name; the contract does not.
    kind = PydanticCustomError(fault["type"], fault["msg"], fault.get("ctx"))
    return ValidationError.from_exception_data("request", [{"type": kind, "loc": tuple(fault["loc"])[1:], "input": None}])


def _from_status(status: int, request: Request) -> LikenessError:
    if status == HTTPStatus.NOT_FOUND:
        return NotFound(f"There is no {request.url.path} here.", remedy="/api/docs lists every route.")
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return ContractMismatch(f"{request.method} is not for {request.url.path}.", remedy="/api/docs says which methods each route takes.")
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return FileTooLarge("The request is too large.")
    if status == HTTPStatus.UNAUTHORIZED:
        return AuthMissing()
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return ContractMismatch("The request can't be read.")
    return UnknownError()
