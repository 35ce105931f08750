"""Every route of the real application, found in the application itself: open to its owner, shut to everyone else."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from doorstep import NGINX, NO_NGINX, Answer, Pair, ask, is_root, nginx, own_address, serving

from studio.auth import create_token, set_password
from studio.settings import Settings, load_settings

Address = tuple[str, int]
PASSWORD = "correct horse battery"
HIDING = "proxy_http_version 1.1; proxy_set_header Connection '';"
# The door answers these itself; the first is the one thing a stranger may see.
SIGN_IN = "/login"
SIGN_OUT = "/logout"
# What the matrix must have found, or it does not look where it should.
KNOWN = [
    "GET /api/v1/health",
    "GET /api/v1/doctor",
    "GET /api/v1/settings",
    "PATCH /api/v1/settings",
    "GET /api/v1/where",
    "GET /api/v1/welcome",
    "GET /api/v1/events",
    "POST /api/v1/generate",
    "POST /api/v1/images",
    "GET /api/v1/images/{id}/file",
    "DELETE /api/v1/trash",
    "GET /api/docs",
    "GET /api/docs/assets/*",
    "GET /api/openapi.json",
    "GET /",
    "GET /config",
    "GET /theme.css",
    "GET /assets/{path:path}",
    "POST /gradio_api/queue/join",
    "GET /gradio_api/queue/data",
    "GET /gradio_api/heartbeat/{session_hash}",
    "POST /gradio_api/upload",
    "GET /gradio_api/file={path_or_url:path}",
    "GET /gradio_api/info",
    "POST /gradio_api/call/{api_name}",
]
SPELLINGS = [
    "//",
    "/./config",
    "/x/../config",
    "/%2e/config",
    "//config",
    "/config//",
    "/CONFIG",
    "/config;x",
    "/config%00",
    "/login/",
    "/login/..",
    "/login/../config",
    "/login%2f..%2fconfig",
    "/login?x=/config",
    "/login;/config",
    "/login%3f/config",
    "/login\\config",
    "/login.json",
    "/logout",
    "/.well-known/x",
    "/favicon.ico",
    "/robots.txt",
    "/gradio_api/file=/etc/passwd",
    "/file=/etc/passwd",
    "/nothing/like/this",
    "*",
    "http://localhost/config",
]


@dataclass(frozen=True)
class House:
    """The real application, served and with an nginx of each kind before it."""

    address: Address
    routes: tuple[str, ...]
    token: str


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    settings = _settings(tmp_path_factory.mktemp("house"))
    set_password(settings, PASSWORD)
    web = _web(settings)
    with serving(web) as address:
        yield House(address, tuple(sorted(found_routes(web.app))), create_token(settings, "matrix"))


def found_routes(app: Any, prefix: str = "") -> Iterator[str]:
    """`METHOD /path/{name}` of every route, through includes, mounts and middleware, however deep."""
    from fastapi import routing

    # FastAPI keeps included routers as they are since 0.160 or so; before, their routes were copied into the list.
    contexts = getattr(routing, "iter_route_contexts", iter)
    for route in contexts(app.routes):
        path = getattr(route, "path", None)
        assert path is not None, f"a kind of route that this test does not know: {route!r}"
        original = getattr(route, "original_route", route)
        inner = getattr(original, "app", None)
        while inner is not None and not hasattr(inner, "routes") and hasattr(inner, "app"):
            inner = inner.app
        methods = getattr(route, "methods", None)
        if methods:
            yield from (f"{method} {prefix}{path}" for method in methods)
        elif hasattr(inner, "routes"):
            yield from found_routes(inner, prefix + path)
        else:
            # A mounted folder of files, or a websocket: one question stands for all of them.
            yield f"GET {prefix}{path}" + ("/*" if type(original).__name__ == "Mount" else "")


def test_the_routes_are_found_in_the_application_itself(house: House) -> None:
    assert set(KNOWN) <= set(house.routes), sorted(set(KNOWN) - set(house.routes))
    described = json.loads(ask(house.address, target="/api/openapi.json").body)["paths"]
    spoken = {f"{method.upper()} {path}" for path, methods in described.items() for method in methods}
    assert len(spoken) > 20
    assert spoken <= set(house.routes)
    gradios = json.loads(ask(house.address, target="/openapi.json").body)["paths"]
    spoken = {f"{method.upper()} {path}" for path, methods in gradios.items() for method in methods}
    assert {re.sub(r":path}", "}", r) for r in spoken} <= {re.sub(r":path}", "}", r) for r in house.routes}


def test_the_owner_meets_no_refusal_on_any_route(house: House) -> None:
    refused = _asked(house, house.address, _refused)
    assert refused == {}


def test_a_token_meets_no_refusal_on_any_route(house: House) -> None:
    token = [("Authorization", f"Bearer {house.token}"), ("X-Forwarded-For", "203.0.113.9")]
    assert _asked(house, house.address, _refused, token) == {}


def test_a_session_meets_no_refusal_on_any_route(house: House) -> None:
    form = [("Content-Type", "application/x-www-form-urlencoded"), ("X-Real-IP", "203.0.113.9")]
    signed_in = ask(house.address, "POST", SIGN_IN, form, body=urlencode({"password": PASSWORD}).encode())
    cookie = [("Cookie", signed_in["set-cookie"].partition(";")[0]), ("X-Real-IP", "203.0.113.9")]
    own = ("Origin", f"http://{house.address[0]}:{house.address[1]}")
    assert _asked(house, house.address, _refused, [*cookie, own]) == {}


def test_without_the_door_this_matrix_would_tell(tmp_path: Path) -> None:
    web = _web(_settings(tmp_path))
    with serving(web.app) as address:
        house = House(address, tuple(sorted(found_routes(web.app))), "")
        told = _asked(house, address, _let_in, [("X-Forwarded-For", "203.0.113.9")], head_only=True)
    assert set(told) == {route for route in house.routes if not route.endswith((f" {SIGN_IN}", f" {SIGN_OUT}"))}


def test_a_stranger_is_refused_on_every_route(house: House) -> None:
    stranger = [("X-Forwarded-For", "203.0.113.9")]
    assert _asked(house, house.address, _let_in, stranger) == {}


def test_a_page_of_another_site_is_refused_on_every_route(house: House) -> None:
    assert _asked(house, house.address, _let_in, [("Origin", "http://evil.example")]) == {}


def test_a_name_that_was_pointed_at_us_is_refused_on_every_route(house: House) -> None:
    assert _asked(house, house.address, _let_in, host="rebound.example") == {}


def test_another_computer_is_refused_on_every_route(tmp_path: Path) -> None:
    other = own_address()
    if other is None:
        pytest.skip("this machine has no address but loopback, so nobody can come from elsewhere")
    settings = _settings(tmp_path)
    web = _web(settings)
    with serving(web, other) as address:
        house = House(address, tuple(sorted(found_routes(web.app))), "")
        assert _asked(house, address, _let_in, host="localhost") == {}


def test_everyone_is_refused_on_every_route_of_a_studio_that_listens_to_all(tmp_path: Path) -> None:
    settings = _settings(tmp_path).model_copy(update={"listen": "0.0.0.0"})
    web = _web(settings)
    with serving(web) as address:
        house = House(address, tuple(sorted(found_routes(web.app))), "")
        assert _asked(house, address, _let_in) == {}


@pytest.mark.skipif(NGINX is None, reason=NO_NGINX)
def test_through_a_default_nginx_every_route_is_refused(house: House, tmp_path: Path) -> None:
    with nginx(tmp_path / "nginx", house.address) as front:
        assert _asked(house, front, _let_in) == {}
        assert _asked(house, front, _let_in, host="localhost") == {}


@pytest.mark.skipif(NGINX is None, reason=NO_NGINX)
@pytest.mark.skipif(not sys.platform.startswith("linux") or not is_root(), reason="needs root on Linux to run nginx as its usual user")
def test_through_an_nginx_that_hides_every_route_is_refused(house: House, tmp_path: Path) -> None:
    with nginx(tmp_path / "nginx", house.address, location=HIDING, as_nobody=True) as front:
        assert _asked(house, front, _let_in, host="localhost") == {}


@pytest.mark.skipif(NGINX is None, reason=NO_NGINX)
def test_through_nginx_a_token_opens_every_route(house: House, tmp_path: Path) -> None:
    with nginx(tmp_path / "nginx", house.address, location="proxy_buffering off;") as front:
        token = [("Authorization", f"Bearer {house.token}")]
        assert _asked(house, front, _refused, token) == {}


@pytest.mark.parametrize("target", SPELLINGS)
def test_no_spelling_of_a_path_opens_it(house: House, target: str) -> None:
    for method in ("GET", "HEAD", "POST", "OPTIONS", "TRACE", "PROPFIND"):
        answer = ask(house.address, method, target, [("X-Forwarded-For", "203.0.113.9")])
        if target.partition("?")[0] == SIGN_IN:
            assert b"components" not in answer.body
        else:
            assert answer.status in (400, 401), (method, target, answer.status)


def test_a_stranger_sees_only_the_sign_in_page(house: House) -> None:
    stranger = [("X-Forwarded-For", "203.0.113.9"), ("Accept", "text/html")]
    seen = ask(house.address, target=SIGN_IN, headers=stranger)
    assert seen.status == 200
    assert b"gradio" not in seen.body
    assert ask(house.address, target="/", headers=stranger)["location"] == "/login?next=%2F"


def _asked(
    house: House,
    address: Address,
    wrong: Callable[[Answer], bool],
    headers: list[Pair] | None = None,
    *,
    host: str = "",
    head_only: bool = False,
) -> dict[str, tuple[int, bytes]]:
    """Ask every route once; those whose answer is `wrong`, with what came."""
    found = {}
    for route in house.routes:
        method, _, path = route.partition(" ")
        if path in (SIGN_IN, SIGN_OUT):
            continue
        # Whoever gets in may meet a stream that never ends, so its beginning must do; a refusal ends.
        answer = ask(address, method, _filled(path), headers or [], host=host, head_only=head_only or wrong is _refused)
        if wrong(answer):
            found[route] = (answer.status, answer.body[:200])
    return found


def _refused(answer: Answer) -> bool:
    """Whether the door said no. A 401 or 403 of the application itself is another thing, and must not pass for it."""
    if answer.status == 401:
        return answer["www-authenticate"].startswith('Bearer realm="Likeness"')
    return answer.status == 403 and b"ORIGIN_REFUSED" in answer.body


def _let_in(answer: Answer) -> bool:
    return not _refused(answer)


def _filled(path: str) -> str:
    return re.sub(r"{[^}]*}", "x", path).replace("*", "x") or "/"


def _settings(folder: Path) -> Settings:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DATABASE_URL", raising=False)
        patch.setenv("LIKENESS_DATA", str(folder / "data"))
        return load_settings(folder / "data")


def _web(settings: Settings) -> Any:
    from app import create_web

    async def made() -> Any:
        return create_web(settings)

    # Outside a running loop Gradio opens one of its own for each lock and never closes it.
    return asyncio.run(made())
