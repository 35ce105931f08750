"""The one door: an ASGI middleware around everything, which lets nobody in whom it can't name."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from enum import StrEnum
from html import escape
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from studio.auth.caller import SAFE_METHODS, Caller, from_our_origin, is_owner, listens_beyond, local_path, read_caller
from studio.auth.peer import Address, Neighbours
from studio.auth.tries import Tries
from studio.auth.vault import LONGEST_PASSWORD, Vault
from studio.contracts import Contract, Problem, new_id
from studio.errors import (
    AuthExpired,
    AuthInvalid,
    AuthMissing,
    ContractMismatch,
    FileTooLarge,
    LikenessError,
    MissingRequiredField,
    OriginRefused,
    RateLimited,
)
from studio.logs import log_context
from studio.settings import Settings

# ASGI's own words; its messages are open dictionaries by definition.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger(__name__)


class VisitorKind(StrEnum):
    """How somebody got in."""

    owner = "owner"
    session = "session"
    token = "token"


class Visitor(Contract):
    """Who asks: `request.state.visitor` behind the door. `name` is the token's name, or words for the other two."""

    kind: VisitorKind
    name: str


OWNER = Visitor(kind=VisitorKind.owner, name="this computer")
SIGNED_IN = Visitor(kind=VisitorKind.session, name="signed in")


class Door:
    """Lets in the owner at this computer, open sessions and live tokens; everyone else sees the sign-in page or a refusal.

    `listen` is the address that the server really listens on: beyond loopback nobody is the owner. Behind the door
    `scope["state"]` holds `visitor` and `correlation_id`. It must be the outermost layer of the application.
    """

    def __init__(self, app: App, settings: Settings, *, listen: str) -> None:
        self.app = app
        self._vault = Vault(settings)
        self._session_s = int(settings.session_hours * 3600)
        self._owner_possible = not listens_beyond(listen) and not settings.always_sign_in
        self._neighbours = Neighbours()
        self._passwords = Tries()
        self._tokens = Tries()
        self._checking = asyncio.Semaphore(2)
        self._page = Template((Path(__file__).parent / "login.html").read_text(encoding="utf-8"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self.app(scope, receive, send)
            return
        if kind not in ("http", "websocket"):
            raise RuntimeError(f"the door knows no {kind} requests")
        caller = _caller(scope)
        correlation_id = _correlation_id(caller)
        state = scope.setdefault("state", {})
        state["correlation_id"] = correlation_id
        state.pop("visitor", None)
        with log_context(correlation_id=correlation_id):
            await self._open(caller, correlation_id, scope, receive, send)

    async def _open(self, caller: Caller, correlation_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        if caller.path == "/login" and not caller.websocket:
            await self._login(caller, correlation_id, scope, receive, send)
            return
        try:
            visitor = self._visitor(caller, scope)
        except LikenessError as error:
            await _refuse(error, caller, correlation_id, scope, receive, send)
            return
        if caller.path == "/logout" and not caller.websocket:
            await self._logout(caller, correlation_id, scope, receive, send)
            return
        scope["state"]["visitor"] = visitor
        await self.app(scope, receive, _dressed(send, correlation_id, private=visitor is not OWNER))

    def _visitor(self, caller: Caller, scope: Scope) -> Visitor:
        """Who this is. Raises AuthMissing, AuthInvalid, AuthExpired, OriginRefused or RateLimited."""
        if caller.sent(b"authorization"):
            bearer = _bearer(caller)
            if bearer is not None:
                return self._token_visitor(caller, bearer)
        if self._owner_possible and is_owner(caller) and self._neighbours.is_ours(*_ends(scope)):
            return OWNER
        return self._session_visitor(caller)

    def _token_visitor(self, caller: Caller, value: str) -> Visitor:
        # A right token gets in however many wrong ones came before it: nobody guesses 256 bits, and nobody can lock it out.
        try:
            return Visitor(kind=VisitorKind.token, name=self._vault.token(value).name)
        except AuthInvalid:
            wait = self._tokens.start(caller.hop)
            if wait:
                raise _too_many(wait) from None
            raise

    def _session_visitor(self, caller: Caller) -> Visitor:
        self._vault.check_sessions(_cookies(caller, self._vault.cookie_name()))
        ours = from_our_origin(caller)
        needs_proof = caller.websocket or caller.method not in SAFE_METHODS
        if ours or (ours is None and not needs_proof):
            return SIGNED_IN
        if ours is False and caller.navigation and not caller.sent(b"origin"):
            return SIGNED_IN
        raise _refused_origin(caller)

    async def _login(self, caller: Caller, correlation_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        """The only page that strangers see."""
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"), max_num_fields=None)
        target = local_path(query.get("next", ["/"])[0])
        error: LikenessError | None = None
        try:
            if caller.method == "POST":
                form = await _form(caller, scope, receive)
                target = local_path(form.get("next", [target])[0])
                name, value = await self._sign_in(caller, form)
                log.info("signed in from %s", caller.hop)
                cookie = _cookie(name, value, self._session_s, caller, scope)
                await _redirect(target, [(b"set-cookie", cookie)], correlation_id, scope, send)
                return
            if caller.method not in ("GET", "HEAD"):
                raise ContractMismatch("The sign-in page takes GET and POST.")
            if self._is_in(caller, scope):
                await _redirect(target, [], correlation_id, scope, send)
                return
            if not self._vault.has_password():
                raise _no_password()
        except LikenessError as fault:
            error = fault
            if caller.method == "POST":
                log.warning("sign-in from %s refused: %s", caller.hop, fault.code)
        if error is not None and not _wants_html(caller):
            await _refuse(error, caller, correlation_id, scope, receive, send)
            return
        why = query.get("why", [""])[0]
        status = error.status if error is not None and (caller.method == "POST" or error.status >= 500) else 200
        page = self._login_page(scope, target, error, "Your session has expired." if why == "expired" and error is None else "")
        await _page(page, status, _extra_headers(error), correlation_id, send)

    def _is_in(self, caller: Caller, scope: Scope) -> bool:
        try:
            self._visitor(caller, scope)
        except LikenessError:
            return False
        return True

    async def _sign_in(self, caller: Caller, form: dict[str, list[str]]) -> tuple[str, str]:
        if from_our_origin(caller) is False:
            raise _refused_origin(caller)
        given = form.get("password", [])
        if len(given) != 1 or not given[0]:
            raise MissingRequiredField("Type the password.", field="password")
        if not self._vault.has_password():
            raise _no_password()
        who = caller.hop
        wait = self._passwords.start(who)
        if wait:
            raise _too_many(wait)
        async with self._checking:
            right = await asyncio.to_thread(self._vault.password_is, given[0])
        if not right:
            raise AuthInvalid("That password is not right.", remedy="Check it and try again.")
        self._passwords.forgive(who)
        return await asyncio.to_thread(self._vault.open_session)

    async def _logout(self, caller: Caller, correlation_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        if caller.method != "POST":
            form = f'<form method="post" action="{escape(_root(scope))}/logout">'
            body = f"{form}<p>You will need the password to come back.</p><button>Sign out</button></form>"
            await _page(self._page.substitute(title="Sign out of Likeness", body=body), 200, [], correlation_id, send)
            return
        name = self._vault.cookie_name()
        try:
            for value in _cookies(caller, name):
                await asyncio.to_thread(self._vault.end_session, value)
        except LikenessError as error:
            await _refuse(error, caller, correlation_id, scope, receive, send)
            return
        log.info("signed out from %s", caller.hop)
        gone = [(b"set-cookie", _cookie(name, "", 0, caller, scope))] if name else []
        await _redirect("/login", gone, correlation_id, scope, send)

    def _login_page(self, scope: Scope, target: str, error: LikenessError | None, note: str) -> str:
        problem = ""
        if error is not None:
            words = re.sub("`([^`]+)`", r"<code>\1</code>", escape(f"{error.message} {error.remedy}"))
            problem = f'<p class="problem" role="alert" id="problem">{words}</p>'
        elif note:
            problem = f'<p class="problem" role="status">{escape(note)} Sign in again.</p>'
        described = ' aria-invalid="true" aria-describedby="problem"' if error is not None else ""
        body = (
            f"<p>This studio belongs to someone. Its password lets you in.</p>{problem}"
            f'<form method="post" action="{escape(_root(scope))}/login">'
            f'<input type="hidden" name="next" value="{escape(target)}">'
            '<input type="text" name="username" value="likeness" autocomplete="username" hidden>'
            '<label for="password">Password</label>'
            f'<input id="password" name="password" type="password" autocomplete="current-password" required autofocus'
            f' maxlength="{LONGEST_PASSWORD}"{described}>'
            "<button>Sign in</button></form>"
            "<small>Forgotten? At the studio’s computer, <code>python launch.py password set</code> sets a new one.</small>"
        )
        return self._page.substitute(title="Likeness", body=body)


_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"frame-ancestors 'self'"),
)
_PAGE_POLICY = b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_SANE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LONGEST_FORM = 16_384


def _caller(scope: Scope) -> Caller:
    client = scope.get("client")
    path = scope["path"]
    root = _root(scope)
    return read_caller(
        peer=client[0] if client else "",
        http_version=scope.get("http_version", "1.0"),
        scheme=scope.get("scheme", "http"),
        method=scope.get("method", "GET"),
        path=path[len(root) :] if root and path.startswith(root + "/") else path,
        websocket=scope["type"] == "websocket",
        headers=scope["headers"],
    )


def _ends(scope: Scope) -> tuple[Address, Address]:
    client, server = scope.get("client") or ("", 0), scope.get("server") or ("", 0)
    return (client[0], client[1] or 0), (server[0], server[1] or 0)


def _root(scope: Scope) -> str:
    return scope.get("root_path", "").rstrip("/")


def _correlation_id(caller: Caller) -> str:
    given = caller.one(b"x-correlation-id") if caller.sent(b"x-correlation-id") else None
    return given if given and _SANE_ID.fullmatch(given) else new_id()


def _bearer(caller: Caller) -> str | None:
    """The token that was sent. None when another scheme was: a proxy's own password is the proxy's business."""
    given = caller.one(b"authorization")
    if given is None:
        raise AuthInvalid("The Authorization header was sent twice.", remedy="Send it once.")
    scheme, _, value = given.partition(" ")
    if scheme.lower() != "bearer":
        return None
    if not value.strip():
        raise AuthInvalid("The Authorization header has no token.", remedy="Send `Authorization: Bearer` and the token after a space.")
    return value.strip()


def _cookies(caller: Caller, name: str | None) -> list[str]:
    if name is None:
        return []
    pairs = (pair.strip().partition(b"=") for header in caller.kept.get(b"cookie", ()) for pair in header.split(b";"))
    wanted = name.encode()
    # Another page on this host can plant cookies of our name beside the real one; a handful is looked at, not a flood.
    return [value.decode("latin-1") for key, _, value in pairs if key == wanted and value][:4]


def _wants_html(caller: Caller) -> bool:
    return any(b"text/html" in value for value in caller.kept.get(b"accept", ()))


def _no_password() -> LikenessError:
    return AuthMissing(
        "Nobody can sign in yet: this studio has no password.", remedy="At the studio's computer, `python launch.py password set` sets one."
    )


def _too_many(wait: int) -> RateLimited:
    error = RateLimited(remedy=f"Wait {wait} second{'s' if wait > 1 else ''} and try again.")
    error.retry_after = wait
    return error


def _refused_origin(caller: Caller) -> OriginRefused:
    origin, host = caller.one(b"origin"), caller.one(b"host")
    if not origin or origin == "null":
        return OriginRefused(
            "This request doesn't say that it comes from the studio's own page.",
            remedy="Open the studio at its own address and try there; a program sends an API token instead.",
        )
    return OriginRefused(
        f"This request comes from {origin[:100]}, and the studio knows itself as {(host or 'nothing')[:100]}.",
        remedy="Open the studio at its own address. A proxy must pass the name on: `proxy_set_header Host $http_host;` in nginx.",
    )


async def _form(caller: Caller, scope: Scope, receive: Receive) -> dict[str, list[str]]:
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ContractMismatch("The form did not arrive whole.")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > _LONGEST_FORM:
            raise FileTooLarge("This is more than a sign-in form holds.", remedy="Send the field `password` and no more.")
    kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    if kind.partition(b";")[0].strip().lower() != b"application/x-www-form-urlencoded":
        raise ContractMismatch("Sign in with the form's fields.", remedy="Send `password` as application/x-www-form-urlencoded.")
    try:
        return parse_qs(body.decode("utf-8"), keep_blank_values=True, strict_parsing=False, max_num_fields=10)
    except ValueError as error:
        raise ContractMismatch("The form can't be read.", remedy="Send the field `password` as UTF-8.") from error


def _cookie(name: str, value: str, seconds: int, caller: Caller, scope: Scope) -> bytes:
    secure = "; Secure" if caller.https else ""
    return f"{name}={value}; Path={_root(scope) or '/'}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}".encode("latin-1")


def _extra_headers(error: LikenessError | None) -> list[tuple[bytes, bytes]]:
    if isinstance(error, RateLimited) and error.retry_after:
        return [(b"retry-after", str(error.retry_after).encode())]
    return []


def _dressed(send: Send, correlation_id: str, *, private: bool) -> Send:
    """`send`, with the headers that every answer carries. What the application says itself stands."""
    told = (b"x-correlation-id", correlation_id.encode())

    async def dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            there = {name.lower() for name, _ in headers}
            headers += [pair for pair in _SECURITY if pair[0] not in there or pair[0] == b"content-security-policy"]
            if told[0] not in there:
                headers.append(told)
            if private and b"cache-control" not in there:
                # A cache between us and a signed-in visitor must not hand pictures to the next one.
                headers.append((b"cache-control", b"private"))
            message["headers"] = headers
        elif message["type"] == "websocket.accept":
            message["headers"] = [*message.get("headers", ()), told]
        await send(message)

    return dressed


async def _refuse(error: LikenessError, caller: Caller, correlation_id: str, scope: Scope, receive: Receive, send: Send) -> None:
    log.debug("%s refused: %s", caller.hop, error.code)
    if caller.websocket:
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": error.code})
        return
    if isinstance(error, (AuthMissing, AuthInvalid, AuthExpired)) and caller.navigation and not caller.sent(b"authorization"):
        query = scope.get("query_string", b"").decode("latin-1")
        where = {"next": local_path(quote(caller.path, safe="/:@!$&'()*+,;=~") + ("?" + query if query else ""))}
        if isinstance(error, AuthExpired):
            where["why"] = "expired"
        await _redirect("/login?" + urlencode(where), [], correlation_id, scope, send)
        return
    problem = Problem(code=error.code, message=error.message, remedy=error.remedy, field=error.field, correlation_id=correlation_id)
    body = json.dumps({"ok": False, "error": problem.model_dump(mode="json")}, ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), *_extra_headers(error)]
    if error.status == 401:
        wrong = b"" if isinstance(error, AuthMissing) else b', error="invalid_token"'
        headers.append((b"www-authenticate", b'Bearer realm="Likeness"' + wrong))
    if caller.method not in SAFE_METHODS:
        # What a stranger still wants to upload is not read.
        headers.append((b"connection", b"close"))
    await _answer(error.status, headers, body, correlation_id, send)


async def _redirect(target: str, headers: list[tuple[bytes, bytes]], correlation_id: str, scope: Scope, send: Send) -> None:
    where = _root(scope) + quote(target, safe="/?&=#%:@!$'()*+,;~")
    await _answer(303, [(b"location", where.encode()), *headers], b"", correlation_id, send)


async def _page(html: str, status: int, headers: list[tuple[bytes, bytes]], correlation_id: str, send: Send) -> None:
    headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", _PAGE_POLICY), *headers]
    await _answer(status, headers, html.encode(), correlation_id, send)


async def _answer(status: int, headers: list[tuple[bytes, bytes]], body: bytes, correlation_id: str, send: Send) -> None:
    plain = [(b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store"), *headers]
    dressed = _dressed(send, correlation_id, private=False)
    await dressed({"type": "http.response.start", "status": status, "headers": plain})
    await dressed({"type": "http.response.body", "body": body})
