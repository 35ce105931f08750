"""Who gets in and who does not, over real sockets and raw HTTP."""

from __future__ import annotations

import asyncio
import html
import json
import os
import re
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from doorstep import NGINX, NO_NGINX, Answer, Pair, ask, is_root, nginx, own_address, serving, wait_until

from studio.auth import Door, create_token, ensure_password, list_tokens, revoke_token, set_password
from studio.auth.caller import is_loopback, listens_beyond, local_path
from studio.auth.peer import Neighbours, socket_user
from studio.auth.tries import BUCKET, FREE, MOST_VISITORS, Tries
from studio.auth.vault import Vault
from studio.errors import Conflict, InvalidFieldValue, LikenessError, MissingRequiredField, NotFound, SecretsUnreadable
from studio.settings import Settings

PASSWORD = "correct horse battery"
Address = tuple[str, int]
STRANGER: list[Pair] = [("X-Forwarded-For", "203.0.113.9")]
BROWSER: list[Pair] = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")]
FORM: list[Pair] = [("Content-Type", "application/x-www-form-urlencoded")]


async def studio_app(scope: Any, receive: Any, send: Any) -> None:
    """The thing behind the door: says who it was told is there."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    state = scope["state"]
    body = json.dumps({**state["visitor"].model_dump(), "id": state["correlation_id"]}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def studio_at(settings: Settings, listen: str = "127.0.0.1", host: str = "127.0.0.1") -> Iterator[Address]:
    with serving(Door(studio_app, settings, listen=listen), host) as address:
        yield address


def settings_at(data: Path, **named: str) -> Settings:
    """Settings on this data folder, whatever the environment says."""
    return Settings(**named).model_copy(update={"data": data})  # pyright: ignore[reportArgumentType, reportCallIssue]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_at(tmp_path / "data")


@pytest.fixture
def studio(settings: Settings) -> Iterator[Address]:
    set_password(settings, PASSWORD)
    with studio_at(settings) as address:
        yield address


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A studio for the tests that change nothing in it."""
    data = tmp_path_factory.mktemp("calm")
    settings = settings_at(data)
    set_password(settings, PASSWORD)
    with studio_at(settings) as address:
        yield address


@pytest.fixture(scope="module")
def calm_cookie(calm: Address) -> Pair:
    """An open session of the calm studio."""
    return cookie_of(sign_in(calm))


def code(answer: Answer) -> str:
    """The error code of a refusal, whose whole shape is checked on the way; `""` for an answer from behind the door."""
    if answer.status == 200:
        assert answer["content-type"] == "application/json"
        return ""
    body = json.loads(answer.body)
    assert set(body) == {"ok", "error"}
    assert body["ok"] is False
    assert set(body["error"]) == {"code", "message", "remedy", "field", "correlation_id"}
    assert body["error"]["message"]
    assert body["error"]["remedy"]
    assert body["error"]["correlation_id"] == answer["x-correlation-id"]
    assert (answer.status == 401) == bool(answer["www-authenticate"])
    return body["error"]["code"]


def sign_in(address: Address, password: str = PASSWORD, target: str = "/", headers: list[Pair] = STRANGER) -> Answer:
    body = urlencode({"password": password, "next": target}).encode()
    return ask(address, "POST", "/login", [*headers, *FORM], body=body)


def cookie_of(answer: Answer) -> Pair:
    assert answer.status == 303, answer.body
    return "Cookie", answer["set-cookie"].partition(";")[0]


# The owner


NAVIGATION: list[Pair] = [*BROWSER, ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")]
CROSS: Pair = ("Sec-Fetch-Site", "cross-site")
SAME: Pair = ("Sec-Fetch-Site", "same-origin")
OWN: Pair = ("Origin", "http://127.0.0.1:{port}")
OWNER = [
    ("its own name", {}),
    ("the name localhost", {"host": "localhost:{port}"}),
    ("a name in capitals", {"host": "LOCALHOST:{port}"}),
    ("a name without a port", {"host": "localhost"}),
    ("another loopback address", {"host": "127.0.0.2:{port}"}),
    ("the IPv6 name", {"host": "[::1]:{port}"}),
    ("its own origin", {"headers": [OWN]}),
    ("its own page's script", {"headers": [OWN, SAME, ("Sec-Fetch-Mode", "cors")]}),
    ("a typed address", {"headers": [*NAVIGATION, ("Sec-Fetch-Site", "none")]}),
    ("a link on another site", {"headers": [*NAVIGATION, CROSS]}),
    ("a basic password meant for a proxy", {"headers": [("Authorization", "Basic eDp5")]}),
    ("a POST of a program", {"method": "POST"}),
    ("a POST of its own page", {"method": "POST", "headers": [OWN]}),
    ("an old cookie", {"headers": [("Cookie", "likeness_00000000=x")]}),
]


@pytest.mark.parametrize("request_", [how for _, how in OWNER], ids=[name for name, _ in OWNER])
def test_the_owner_at_this_computer_gets_in(calm: Address, request_: dict[str, Any]) -> None:
    answer = ask(calm, **_filled(request_, calm))
    assert answer.status == 200, answer.body
    assert json.loads(answer.body)["kind"] == "owner"


PROXY_HEADERS = [
    "Via",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-Whatever",
    "x-FORWARDED-for",
    "X-Real-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Original-Host",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Scheme",
    "True-Client-IP",
    "CF-Connecting-IP",
    "CF-Ray",
    "CDN-Loop",
    "Fly-Client-IP",
    "Fastly-Client-IP",
    "X-Envoy-External-Address",
    "X-Amzn-Trace-Id",
    "X-Azure-ClientIP",
    "Tailscale-User-Login",
    "Proxy-Connection",
    "Ngrok-Trace-Id",
]


@pytest.mark.parametrize("name", PROXY_HEADERS)
def test_a_header_that_only_proxies_add_makes_a_stranger(calm: Address, name: str) -> None:
    assert code(ask(calm, headers=[(name, "127.0.0.1")])) == "AUTH_MISSING"


@pytest.mark.parametrize("name", PROXY_HEADERS)
def test_an_empty_proxy_header_counts_too(calm: Address, name: str) -> None:
    assert code(ask(calm, headers=[(name, "")])) == "AUTH_MISSING"


STRANGERS = [
    ("HTTP/1.0 with a loopback Host, as nginx speaks", {"version": "1.0"}),
    ("HTTP/1.0 without a Host", {"version": "1.0", "host": None}),
    ("another site's name", {"host": "evil.example"}),
    ("a name that begins like ours", {"host": "localhost.evil.example"}),
    ("a name that ends like ours", {"host": "evil.localhost"}),
    ("a name after a user", {"host": "localhost@evil.example"}),
    ("an address that begins like ours", {"host": "127.0.0.1.evil.example"}),
    ("an address with a number out of range", {"host": "127.0.0.999"}),
    ("every address", {"host": "0.0.0.0:{port}"}),
    ("the address in the local network", {"host": "192.168.1.5:{port}"}),
    ("a port that is none", {"host": "localhost:http"}),
    ("a name with a dot at its end", {"host": "localhost."}),
    ("two names in one", {"host": "localhost, evil.example"}),
    ("another site's origin", {"headers": [("Origin", "http://evil.example")]}),
    ("no site's origin", {"headers": [("Origin", "null")]}),
    ("an empty origin", {"headers": [("Origin", "")]}),
    ("our name on another port", {"headers": [("Origin", "http://127.0.0.1:1")]}),
    ("our other name", {"headers": [("Origin", "http://localhost:{port}")]}),
    ("our name in https", {"headers": [("Origin", "https://127.0.0.1:{port}")]}),
    ("an origin that begins like ours", {"headers": [("Origin", "http://127.0.0.1:{port}.evil.example")]}),
    ("two origins", {"headers": [("Origin", "http://127.0.0.1:{port}"), ("Origin", "http://evil.example")]}),
    ("a form of another site", {"method": "POST", "headers": [*BROWSER, CROSS, ("Sec-Fetch-Mode", "navigate")]}),
    ("another site's image tag", {"headers": [CROSS, ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")]}),
    ("another port's script", {"headers": [("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "cors")]}),
    ("a request that says two things", {"headers": [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")]}),
    ("a request as one sends to a proxy", {"target": "http://127.0.0.1/x"}),
]


@pytest.mark.parametrize("request_", [how for _, how in STRANGERS], ids=[name for name, _ in STRANGERS])
def test_one_doubt_makes_a_stranger(calm: Address, request_: dict[str, Any]) -> None:
    assert code(ask(calm, **_filled(request_, calm))) == "AUTH_MISSING"


def test_two_host_headers_get_nothing(calm: Address) -> None:
    answer = ask(calm, headers=[("Host", "evil.example")], host="localhost")
    assert answer.status in (400, 401)


def test_another_site_in_a_frame_sees_the_sign_in_page_which_refuses_frames(calm: Address) -> None:
    framed = [*BROWSER, CROSS, ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")]
    assert code(ask(calm, headers=framed)) == "AUTH_MISSING"
    assert "frame-ancestors 'none'" in ask(calm, "GET", "/login", [*STRANGER, *BROWSER])["content-security-policy"]


@pytest.mark.parametrize("listen", ["0.0.0.0", "::", "", "192.168.1.5", "studio.example"])
def test_nobody_is_the_owner_of_a_studio_that_listens_beyond_this_computer(settings: Settings, listen: str) -> None:
    set_password(settings, PASSWORD)
    with studio_at(settings, listen=listen) as address:
        assert code(ask(address)) == "AUTH_MISSING"
        cookie = cookie_of(sign_in(address, headers=[]))
        assert ask(address, headers=[cookie]).status == 200


def test_everyone_signs_in_when_the_settings_say_so(settings: Settings) -> None:
    strict = settings.model_copy(update={"always_sign_in": True})
    with studio_at(strict) as address:
        assert code(ask(address)) == "AUTH_MISSING"


def test_the_owner_gets_in_over_ipv6(settings: Settings) -> None:
    with studio_at(settings, listen="::1", host="::1") as address:
        assert ask(address, host=f"[::1]:{address[1]}").status == 200
        assert code(ask(address, host="evil.example")) == "AUTH_MISSING"


def test_a_peer_that_is_not_this_computer_is_a_stranger_whatever_it_says(settings: Settings) -> None:
    other = own_address()
    if other is None:
        pytest.skip("this machine has no address but loopback, so nobody can come from elsewhere")
    with serving(Door(studio_app, settings, listen="127.0.0.1"), other) as address:
        assert code(ask(address, host="localhost")) == "AUTH_MISSING"


@pytest.mark.skipif(not sys.platform.startswith("linux") or not is_root(), reason="needs root on Linux to become another user")
def test_another_user_of_this_computer_is_not_the_owner(calm: Address) -> None:
    script = (
        "import http.client, os, sys; ''.encode('idna'); os.setuid(65534);"
        "c = http.client.HTTPConnection(*sys.argv[1:]); c.request('GET', '/'); print(c.getresponse().status)"
    )
    said = subprocess.run([sys.executable, "-c", script, calm[0], str(calm[1])], capture_output=True, text=True, timeout=30)
    assert said.stdout.strip() == "401", said.stderr
    assert ask(calm).status == 200


def test_addresses_that_are_no_connection_are_not_looked_up() -> None:
    assert Neighbours().is_ours(("testclient", 50000), ("testserver", 80))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells whose socket it is")
def test_a_process_that_hung_up_is_nobody() -> None:
    neighbours = Neighbours()
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        ends = client.getsockname(), client.getpeername()
        try:
            told = socket_user(*ends)
        except OSError:
            pytest.skip("this system's kernel does not answer sock_diag questions")
        assert told == os.geteuid()
        assert neighbours.is_ours(*ends)
        client.close()
        assert not neighbours.is_ours(*ends)


@pytest.mark.skipif(NGINX is None, reason=NO_NGINX)
def test_a_default_nginx_is_a_stranger(calm: Address, tmp_path: Path) -> None:
    with nginx(tmp_path / "nginx", calm) as front:
        assert code(ask(front)) == "AUTH_MISSING"
        assert code(ask(front, headers=[("Host", "localhost")], host=None)) == "AUTH_MISSING"
        cookie = cookie_of(sign_in(front, headers=[]))
        assert json.loads(ask(front, headers=[cookie]).body)["kind"] == "session"


HIDING = "proxy_http_version 1.1; proxy_set_header Connection '';"


@pytest.mark.skipif(NGINX is None, reason=NO_NGINX)
@pytest.mark.skipif(not sys.platform.startswith("linux") or not is_root(), reason="needs root on Linux to run nginx as its usual user")
@pytest.mark.parametrize("location", [HIDING, HIDING + "proxy_set_header Host $http_host;"], ids=["like nginx 1.30", "that passes Host on"])
def test_an_nginx_that_hides_is_known_by_its_user(calm: Address, tmp_path: Path, location: str) -> None:
    tmp_path.chmod(0o755)
    with nginx(tmp_path / "nginx", calm, location=location, as_nobody=True) as front:
        assert code(ask(front, host="localhost")) == "AUTH_MISSING"


# Passwords and sessions


def test_the_password_opens_a_session(calm: Address) -> None:
    answer = sign_in(calm, target="/gallery?page=2")
    assert answer["location"] == "/gallery?page=2"
    assert answer["cache-control"] == "no-store"
    words = answer["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=259200"} <= set(words)
    assert "Secure" not in words
    inside = ask(calm, headers=[*STRANGER, cookie_of(answer)])
    assert json.loads(inside.body)["kind"] == "session"
    assert inside["cache-control"] == "private"


def test_the_cookie_is_secure_when_the_visitor_came_by_https(calm: Address) -> None:
    answer = sign_in(calm, headers=[("X-Forwarded-Proto", "https")])
    assert "Secure" in answer["set-cookie"].split("; ")


def test_a_wrong_password_opens_nothing(studio: Address) -> None:
    answer = sign_in(studio, "wrong")
    assert code(answer) == "AUTH_INVALID"
    assert not answer["set-cookie"]


@pytest.mark.parametrize("password", ["", " ", PASSWORD + " ", PASSWORD.upper(), "x" * 5000, "ü\x00"])
def test_nearly_right_is_wrong(studio: Address, password: str) -> None:
    assert code(sign_in(studio, password)) in ("AUTH_INVALID", "MISSING_REQUIRED_FIELD")


def test_a_password_of_the_environment_works_and_wins(settings: Settings) -> None:
    set_password(settings, PASSWORD)
    named = settings_at(settings.data, password="short")
    with studio_at(named) as address:
        assert code(sign_in(address)) == "AUTH_INVALID"
        assert ask(address, headers=[*STRANGER, cookie_of(sign_in(address, "short"))]).status == 200
    with pytest.raises(Conflict, match="LIKENESS_PASSWORD"):
        set_password(named, "another long one")
    assert ensure_password(named) is None


def test_the_same_letters_typed_on_another_keyboard_are_the_same_password(settings: Settings) -> None:
    set_password(settings, "Gl\u00fchw\u00fcrmchen")
    with studio_at(settings) as address:
        assert sign_in(address, "Glu\u0308hwu\u0308rmchen").status == 303


def test_a_generated_password_is_told_once_and_kept_only_as_a_hash(settings: Settings) -> None:
    made = ensure_password(settings)
    assert made is not None and re.fullmatch(r"([a-z0-9]{4}-){3}[a-z0-9]{4}", made)
    assert ensure_password(settings) is None
    kept = settings.secrets_path / "password.json"
    assert made not in kept.read_text()
    with studio_at(settings) as address:
        assert sign_in(address, made).status == 303


def test_without_a_password_nobody_signs_in_and_the_page_says_what_to_do(settings: Settings) -> None:
    with studio_at(settings) as address:
        page = ask(address, "GET", "/login", [*STRANGER, *BROWSER])
        assert page.status == 200
        assert "launch.py password set" in page.body.decode()
        assert code(sign_in(address, "")) == "MISSING_REQUIRED_FIELD"
        assert code(sign_in(address, "anything")) == "AUTH_MISSING"


def test_changing_the_password_ends_every_session_at_once(studio: Address, settings: Settings) -> None:
    cookie = cookie_of(sign_in(studio))
    assert ask(studio, headers=[*STRANGER, cookie]).status == 200
    set_password(settings, "a new password")
    assert code(ask(studio, headers=[*STRANGER, cookie])) == "AUTH_INVALID"
    assert code(sign_in(studio)) == "AUTH_INVALID"
    assert sign_in(studio, "a new password").status == 303


def test_signing_out_ends_the_session_also_for_a_copied_cookie(studio: Address, settings: Settings) -> None:
    cookie = cookie_of(sign_in(studio))
    other = cookie_of(sign_in(studio))
    own = ("Origin", f"http://{studio[0]}:{studio[1]}")
    answer = ask(studio, "POST", "/logout", [*STRANGER, cookie, own])
    assert answer.status == 303
    assert answer["location"] == "/login"
    assert "Max-Age=0" in answer["set-cookie"]
    assert code(ask(studio, headers=[*STRANGER, cookie])) == "AUTH_INVALID"
    assert ask(studio, headers=[*STRANGER, other]).status == 200
    with studio_at(settings) as restarted:
        assert code(ask(restarted, headers=[*STRANGER, cookie])) == "AUTH_INVALID"
        assert ask(restarted, headers=[*STRANGER, other]).status == 200


def test_another_site_can_not_sign_anyone_out(studio: Address) -> None:
    cookie = cookie_of(sign_in(studio))
    assert code(ask(studio, "POST", "/logout", [*STRANGER, cookie, ("Origin", "http://evil.example")])) == "ORIGIN_REFUSED"
    assert code(ask(studio, "POST", "/logout", [*STRANGER, cookie])) == "ORIGIN_REFUSED"
    assert b"<button>" in ask(studio, "GET", "/logout", [*STRANGER, cookie]).body
    assert ask(studio, headers=[*STRANGER, cookie]).status == 200


def test_a_session_ends_by_itself(settings: Settings) -> None:
    set_password(settings, PASSWORD)
    brief = settings.model_copy(update={"session_hours": 1 / 3600})
    with studio_at(brief) as address:
        cookie = cookie_of(sign_in(address))
        wait_until(lambda: ask(address, headers=[*STRANGER, cookie]).status == 401)
        assert code(ask(address, headers=[*STRANGER, cookie])) == "AUTH_EXPIRED"
        moved = ask(address, target="/gallery", headers=[*STRANGER, *BROWSER, cookie])
        assert moved["location"] == "/login?next=%2Fgallery&why=expired"
        assert "expired" in ask(address, target=moved["location"], headers=[*STRANGER, *BROWSER]).body.decode()


@pytest.mark.parametrize("value", ["", "x", "a.b.c", "é", "." * 3000, "null", "eyJhbGciOiJub25lIn0.e30."])
def test_a_made_up_session_is_invalid(calm: Address, value: str) -> None:
    name = cookie_of(sign_in(calm))[1].partition("=")[0]
    wanted = "AUTH_INVALID" if value else "AUTH_MISSING"
    assert code(ask(calm, headers=[*STRANGER, ("Cookie", f"{name}={value}")])) == wanted


def test_a_session_of_another_studio_is_not_ours(studio: Address, tmp_path: Path) -> None:
    theirs = settings_at(tmp_path / "theirs")
    set_password(theirs, PASSWORD)
    with studio_at(theirs) as address:
        _, _, value = cookie_of(sign_in(address))[1].partition("=")
    name = cookie_of(sign_in(studio))[1].partition("=")[0]
    assert code(ask(studio, headers=[*STRANGER, ("Cookie", f"{name}={value}")])) == "AUTH_INVALID"


def test_a_planted_cookie_beside_the_real_one_locks_nobody_out(calm: Address) -> None:
    cookie = cookie_of(sign_in(calm))[1]
    name = cookie.partition("=")[0]
    assert ask(calm, headers=[*STRANGER, ("Cookie", f"a=b; {name}=planted; {cookie}")]).status == 200


SESSION_ORIGINS = [
    ("GET", [], ""),
    ("HEAD", [], ""),
    ("GET", [("Sec-Fetch-Site", "same-origin")], ""),
    ("GET", [*BROWSER, CROSS, ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")], ""),
    ("GET", [CROSS, ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")], "ORIGIN_REFUSED"),
    ("GET", [("Origin", "http://evil.example")], "ORIGIN_REFUSED"),
    ("GET", [("Origin", "null")], "ORIGIN_REFUSED"),
    ("POST", [], "ORIGIN_REFUSED"),
    ("POST", [("Origin", "http://evil.example")], "ORIGIN_REFUSED"),
    ("POST", [("Origin", "null")], "ORIGIN_REFUSED"),
    ("POST", [("Sec-Fetch-Site", "none")], "ORIGIN_REFUSED"),
    ("POST", [("Sec-Fetch-Site", "same-site"), ("Origin", "http://other.127.0.0.1:{port}")], "ORIGIN_REFUSED"),
    ("POST", [("Origin", "http://127.0.0.1:{port}")], ""),
    ("PUT", [("Origin", "http://127.0.0.1:{port}")], ""),
    ("DELETE", [("Origin", "http://127.0.0.1:{port}")], ""),
    ("DELETE", [], "ORIGIN_REFUSED"),
    ("PATCH", [], "ORIGIN_REFUSED"),
    # A proxy that hides the public name: the browser's own word counts.
    ("POST", [("Sec-Fetch-Site", "same-origin"), ("Origin", "https://studio.example")], ""),
    ("POST", [("X-Forwarded-Host", "studio.example"), ("Origin", "http://studio.example")], ""),
    ("POST", [("X-Forwarded-Proto", "https"), ("Origin", "http://127.0.0.1:{port}")], "ORIGIN_REFUSED"),
    ("POST", [("X-Forwarded-Proto", "https"), ("Origin", "https://127.0.0.1:{port}")], ""),
]


@pytest.mark.parametrize(("method", "headers", "wanted"), SESSION_ORIGINS)
def test_a_session_acts_only_from_our_own_pages(calm: Address, calm_cookie: Pair, method: str, headers: list[Pair], wanted: str) -> None:
    answer = ask(calm, method, headers=[*STRANGER, calm_cookie, *_filled({"headers": headers}, calm)["headers"]])
    assert answer.status == (403 if wanted else 200)
    if method != "HEAD":
        assert code(answer) == wanted


def test_a_token_acts_from_anywhere(studio: Address, settings: Settings) -> None:
    token = create_token(settings, "phone", 30)
    answer = ask(studio, "POST", "/x", [*STRANGER, ("Authorization", f"Bearer {token}"), ("Origin", "http://evil.example")])
    assert json.loads(answer.body)["kind"] == "token"


# Tokens


def test_a_token_made_while_the_studio_runs_works_at_once_and_ends_at_once(studio: Address, settings: Settings) -> None:
    first = create_token(settings, "first")
    assert re.fullmatch(r"lk_[\w-]{43}", first)
    assert json.loads(_with_token(studio, first).body) | {"id": ""} == {"kind": "token", "name": "first", "id": ""}
    second = create_token(settings, "second", 1)
    assert _with_token(studio, second).status == 200
    revoke_token(settings, "first")
    answer = _with_token(studio, first)
    assert code(answer) == "AUTH_INVALID"
    assert "revoked" in json.loads(answer.body)["error"]["message"]
    assert answer["www-authenticate"] == 'Bearer realm="Likeness", error="invalid_token"'
    assert _with_token(studio, second).status == 200


def test_a_token_expires(studio: Address, settings: Settings) -> None:
    token = create_token(settings, "brief", 1.2 / 86400)
    assert _with_token(studio, token).status == 200
    wait_until(lambda: _with_token(studio, token).status != 200)
    assert code(_with_token(studio, token)) == "AUTH_EXPIRED"
    assert [t.state for t in list_tokens(settings)] == ["expired"]
    assert create_token(settings, "brief")


@pytest.mark.parametrize("given", ["Bearer", "Bearer ", "bearer lk_x", "Bearer é", "Bearer " + "x" * 4000, "Bearer lk_a lk_b"])
def test_a_token_that_is_none_is_invalid(calm: Address, given: str) -> None:
    assert code(ask(calm, headers=[*STRANGER, ("Authorization", given)])) == "AUTH_INVALID"


def test_two_authorization_headers_are_invalid(studio: Address, settings: Settings) -> None:
    good = ("Authorization", f"Bearer {create_token(settings, 'a')}")
    assert code(ask(studio, headers=[*STRANGER, good, ("Authorization", "Bearer x")])) == "AUTH_INVALID"
    assert code(ask(studio, headers=[*STRANGER, good, good])) == "AUTH_INVALID"


def test_a_wrong_token_is_told_even_to_the_owner(calm: Address) -> None:
    assert code(ask(calm, headers=[("Authorization", "Bearer lk_wrong")])) == "AUTH_INVALID"


def test_a_wrong_token_is_not_saved_by_a_good_cookie(studio: Address) -> None:
    cookie = cookie_of(sign_in(studio))
    assert code(ask(studio, headers=[*STRANGER, cookie, ("Authorization", "Bearer lk_wrong")])) == "AUTH_INVALID"


def test_the_files_hold_no_token_and_are_private(settings: Settings, studio: Address) -> None:
    token = create_token(settings, "phone")
    cookie = cookie_of(sign_in(studio))[1].partition("=")[2]
    everything = b"".join(path.read_bytes() for path in settings.secrets_path.iterdir())
    for secret in (token, token.removeprefix("lk_"), PASSWORD, cookie):
        assert secret.encode() not in everything
    if os.name != "nt":
        assert stat.S_IMODE(settings.secrets_path.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in settings.secrets_path.iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("name", "days", "error"),
    [
        ("", 1, MissingRequiredField),
        ("  ", 1, MissingRequiredField),
        ("x" * 81, 1, InvalidFieldValue),
        ("two\nlines", 1, InvalidFieldValue),
        ("a", 0, InvalidFieldValue),
        ("a", -1, InvalidFieldValue),
        ("a", float("nan"), InvalidFieldValue),
        ("a", 1e9, InvalidFieldValue),
    ],
)
def test_a_token_that_makes_no_sense_is_not_made(settings: Settings, name: str, days: float, error: type[LikenessError]) -> None:
    with pytest.raises(error):
        create_token(settings, name, days)
    assert list_tokens(settings) == ()


def test_two_live_tokens_never_share_a_name(settings: Settings) -> None:
    create_token(settings, "phone")
    with pytest.raises(Conflict):
        create_token(settings, " phone ")
    revoke_token(settings, "phone")
    create_token(settings, "phone")
    assert [t.state for t in list_tokens(settings)] == ["revoked", "live"]
    with pytest.raises(NotFound):
        revoke_token(settings, "tablet")


def test_tokens_made_by_several_processes_at_once_are_all_kept(settings: Settings) -> None:
    script = (
        "import sys, pathlib; from studio.auth import create_token; from studio.settings import Settings;"
        "s = Settings(data=sys.argv[1]).model_copy(update={'data': pathlib.Path(sys.argv[1])});"
        "[create_token(s, f'{sys.argv[2]}-{i}') for i in range(5)]"
    )
    home = Path(__file__).parent.parent
    making = [
        subprocess.Popen([sys.executable, "-c", script, str(settings.data), name], cwd=home, stderr=subprocess.PIPE) for name in "abc"
    ]
    for process in making:
        assert process.wait(60) == 0, process.communicate()[1]
        process.communicate()
    assert {t.name for t in list_tokens(settings)} == {f"{name}-{i}" for name in "abc" for i in range(5)}


# Files that are damaged


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b'{"tokens": [{"id": "x"}]}', b"\xff\xfe", b'{"tokens": [], "more": 1}'])
def test_a_damaged_token_file_is_told_and_never_overwritten(settings: Settings, studio: Address, damage: bytes) -> None:
    path = settings.secrets_path / "tokens.json"
    path.write_bytes(damage)
    for act in (lambda: create_token(settings, "a"), lambda: list_tokens(settings), lambda: revoke_token(settings, "a")):
        with pytest.raises(SecretsUnreadable, match=r"tokens\.json"):
            act()
    assert path.read_bytes() == damage
    answer = _with_token(studio, "lk_x")
    assert (answer.status, code(answer)) == (503, "SECRETS_UNREADABLE")
    assert ask(studio).status == 200
    assert sign_in(studio).status == 303


@pytest.mark.parametrize("damage", [b"", b"{", b"{}", b"\xff", b'{"scrypt": "00"}'])
def test_a_damaged_password_file_lets_nobody_in_and_says_so(settings: Settings, studio: Address, damage: bytes) -> None:
    cookie = cookie_of(sign_in(studio))
    (settings.secrets_path / "password.json").write_bytes(damage)
    assert code(sign_in(studio)) == "SECRETS_UNREADABLE"
    assert code(ask(studio, headers=[*STRANGER, cookie])) == "SECRETS_UNREADABLE"
    page = ask(studio, "GET", "/login", [*STRANGER, *BROWSER])
    assert page.status == 503
    assert "password.json" in page.body.decode()
    assert ask(studio).status == 200
    set_password(settings, "a fresh password")
    assert sign_in(studio, "a fresh password").status == 303


@pytest.mark.parametrize("name", ["session.key", "sessions.json"])
def test_a_damaged_session_file_lets_nobody_in_and_says_so(settings: Settings, studio: Address, name: str) -> None:
    cookie = cookie_of(sign_in(studio))
    (settings.secrets_path / name).write_bytes(b"damaged")
    assert code(ask(studio, headers=[*STRANGER, cookie])) == "SECRETS_UNREADABLE"
    assert ask(studio).status == 200


def test_a_folder_in_a_files_place_is_an_error_with_words(settings: Settings) -> None:
    (settings.secrets_path / "tokens.json").mkdir(parents=True)
    with pytest.raises(SecretsUnreadable, match=r"tokens\.json"):
        create_token(settings, "a")


def test_a_file_in_the_folders_place_is_an_error_with_words(settings: Settings) -> None:
    settings.data.mkdir()
    settings.secrets_path.write_text("x")
    with pytest.raises(LikenessError) as caught:
        ensure_password(settings)
    assert caught.value.message


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no such modes")
def test_a_file_that_everybody_may_read_is_made_private_again(settings: Settings) -> None:
    create_token(settings, "a")
    path = settings.secrets_path / "tokens.json"
    path.chmod(0o644)
    list_tokens(settings)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("password", ["", "seven77", "x" * 1025])
def test_a_password_too_short_or_long_is_not_set(settings: Settings, password: str) -> None:
    with pytest.raises(InvalidFieldValue):
        set_password(settings, password)
    assert not settings.secrets_path.exists()


# Guessing


def test_guessing_passwords_is_slowed_down_and_the_owner_is_not(studio: Address) -> None:
    answers = [sign_in(studio, f"guess {i}") for i in range(FREE + 2)]
    assert [a.status for a in answers[:FREE]] == [401] * FREE
    slowed = next(a for a in answers if a.status == 429)
    assert code(slowed) == "RATE_LIMITED"
    assert int(slowed["retry-after"]) >= 1
    assert ask(studio).status == 200
    assert sign_in(studio, headers=[("X-Forwarded-For", "198.51.100.7")]).status == 303
    wait_until(lambda: sign_in(studio).status == 303)


def test_a_right_token_gets_in_however_many_wrong_ones_came_before(studio: Address, settings: Settings) -> None:
    token = create_token(settings, "phone")
    statuses = {_with_token(studio, f"lk_{i}").status for i in range(FREE + 3)}
    assert statuses == {401, 429}
    assert _with_token(studio, token).status == 200


def test_many_guesses_at_once_gain_nothing(studio: Address) -> None:
    statuses: list[int] = []
    guessers = [threading.Thread(target=lambda i=i: statuses.append(sign_in(studio, f"guess {i}").status)) for i in range(FREE * 3)]
    for guesser in guessers:
        guesser.start()
    for guesser in guessers:
        guesser.join()
    assert statuses.count(401) <= FREE + 3
    assert set(statuses) == {401, 429}


def test_the_wait_grows_and_ends() -> None:
    now = [0.0]
    tries = Tries(clock=lambda: now[0])
    waits = []
    for _ in range(20):
        wait = tries.start("a")
        if wait:
            waits.append(wait)
            now[0] += wait
            assert tries.start("a") == 0
    assert waits[:4] == [1, 2, 4, 8]
    assert max(waits) == 60
    now[0] += 2000
    assert [tries.start("a") for _ in range(FREE)] == [0] * FREE


def test_a_right_try_forgives_the_wrong_ones() -> None:
    tries = Tries(clock=lambda: 0.0)
    for _ in range(FREE - 1):
        assert tries.start("a") == 0
    tries.forgive("a")
    assert [tries.start("a") for _ in range(FREE)] == [0] * FREE
    assert tries.start("a") > 0


def test_a_crowd_of_guessers_shares_one_limit_and_bounded_memory() -> None:
    now = [0.0]
    tries = Tries(clock=lambda: now[0])
    assert [tries.start(f"{i}") for i in range(BUCKET)] == [0] * BUCKET
    assert tries.start("one more") > 0
    for i in range(MOST_VISITORS + 100):
        now[0] += 2
        assert tries.start(f"later {i}") == 0
    assert len(tries._visitors) == MOST_VISITORS


# The page


def test_a_browser_is_led_to_the_sign_in_page_and_back(calm: Address) -> None:
    moved = ask(calm, target="/gallery?page=2&q=%2F%2Fevil", headers=[*STRANGER, *BROWSER])
    assert moved.status == 303
    page = ask(calm, target=moved["location"], headers=[*STRANGER, *BROWSER])
    assert page.status == 200
    field = re.search(r'name="next" value="([^"]*)"', page.body.decode())
    assert field is not None
    assert html.unescape(field[1]) == "/gallery?page=2&q=%2F%2Fevil"
    back = sign_in(calm, target=html.unescape(field[1]))
    assert back["location"] == "/gallery?page=2&q=%2F%2Fevil"


@pytest.mark.parametrize("headers", [[], [("Accept", "application/json")], [("Accept", "*/*")], [*BROWSER, ("Sec-Fetch-Mode", "cors")]])
def test_a_program_gets_json_and_no_redirect(calm: Address, headers: list[Pair]) -> None:
    assert code(ask(calm, target="/api/v1/jobs", headers=[*STRANGER, *headers])) == "AUTH_MISSING"


def test_a_form_sent_by_a_stranger_is_not_led_anywhere(calm: Address) -> None:
    assert code(ask(calm, "POST", "/x", [*STRANGER, *BROWSER])) == "AUTH_MISSING"


ELSEWHERE = [
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "https://evil.example",
    "https:evil.example",
    "javascript:alert(1)",
    "evil.example",
    " //evil.example",
    "",
    "/login",
    "/login?next=/x",
    "/logout",
    "/" + "x" * 3000,
]


@pytest.mark.parametrize("target", ELSEWHERE)
def test_signing_in_never_leads_to_another_site(calm: Address, target: str) -> None:
    assert sign_in(calm, target=target)["location"] == "/"
    assert ask(calm, target="/login?" + urlencode({"next": target}))["location"] == "/"


@pytest.mark.parametrize("target", ["/", "/x", "/x/y?z=1#w", "/é?ö=ü", "/loginx", "/?__theme=dark"])
def test_a_path_of_the_studio_is_one(target: str) -> None:
    assert local_path(target) == target


def test_a_redirect_can_not_carry_a_header(calm: Address) -> None:
    answer = sign_in(calm, target="/x\r\nSet-Cookie: a=b")
    assert answer["location"] == "/"
    assert all("a=b" not in cookie for cookie in answer.all("set-cookie"))


def test_the_page_shows_text_and_never_markup(calm: Address) -> None:
    page = ask(calm, target="/login?" + urlencode({"next": '/"><script>x</script>'}), headers=[*STRANGER, *BROWSER])
    assert b"<script" not in page.body
    origin = '"><script>x</script>'
    refused = ask(calm, "POST", "/login", [*STRANGER, *BROWSER, *FORM, ("Origin", origin)], body=b"password=x")
    assert refused.status == 403
    assert b"<script" not in refused.body


def test_the_page_tells_a_browser_what_is_wrong(studio: Address) -> None:
    page = sign_in(studio, "wrong", headers=[*STRANGER, *BROWSER])
    assert page.status == 401
    assert 'role="alert"' in page.body.decode()
    assert 'aria-describedby="problem"' in page.body.decode()
    assert b"wrong" not in page.body


def test_another_site_can_not_sign_a_visitor_in(calm: Address) -> None:
    assert code(sign_in(calm, headers=[*STRANGER, ("Origin", "http://evil.example")])) == "ORIGIN_REFUSED"
    assert code(sign_in(calm, headers=[*STRANGER, CROSS])) == "ORIGIN_REFUSED"
    own = ("Origin", f"http://{calm[0]}:{calm[1]}")
    assert sign_in(calm, headers=[*STRANGER, own]).status == 303


@pytest.mark.parametrize(
    ("method", "headers", "body", "wanted"),
    [
        ("POST", FORM, b"", "MISSING_REQUIRED_FIELD"),
        ("POST", FORM, b"password=", "MISSING_REQUIRED_FIELD"),
        ("POST", FORM, b"password=a&password=b", "MISSING_REQUIRED_FIELD"),
        ("POST", [("Content-Type", "application/json")], b'{"password": "x"}', "CONTRACT_MISMATCH"),
        ("POST", FORM, b"password=\xff", "CONTRACT_MISMATCH"),
        ("POST", FORM, b"&".join(b"a=b" for _ in range(50)), "CONTRACT_MISMATCH"),
        ("POST", FORM, b"password=" + b"x" * 100_000, "FILE_TOO_LARGE"),
        ("DELETE", [], b"", "CONTRACT_MISMATCH"),
        ("PUT", FORM, b"password=x", "CONTRACT_MISMATCH"),
    ],
)
def test_a_form_that_is_none_is_refused_in_words(calm: Address, method: str, headers: list[Pair], body: bytes, wanted: str) -> None:
    assert code(ask(calm, method, "/login", [*STRANGER, *headers], body=body)) == wanted


@pytest.mark.parametrize("path", ["/login/", "/login/x", "/LOGIN", "//login", "/x/../login", "/login.json", "/%2e/login", "/login;x"])
def test_only_the_sign_in_page_itself_is_open(calm: Address, path: str) -> None:
    assert ask(calm, target=path, headers=STRANGER).status == 401


def test_the_sign_in_page_is_never_the_applications(calm: Address) -> None:
    assert ask(calm, target="/%6cogin", headers=[*STRANGER, *BROWSER]).body.startswith(b"<!doctype html>")
    assert ask(calm, "HEAD", "/login", [*STRANGER, *BROWSER]).status == 200
    assert ask(calm, "GET", "/login").status == 303


# What every answer carries


def test_every_answer_carries_a_correlation_id_and_safe_headers(calm: Address) -> None:
    for answer in (ask(calm), ask(calm, headers=STRANGER), ask(calm, target="/login", headers=[*STRANGER, *BROWSER])):
        assert len(answer.all("x-correlation-id")) == 1
        assert answer["x-content-type-options"] == "nosniff"
        assert answer["referrer-policy"] == "same-origin"
        assert answer["cross-origin-resource-policy"] == "same-origin"
        assert any("frame-ancestors" in policy for policy in answer.all("content-security-policy"))
    assert ask(calm)["x-correlation-id"] != ask(calm)["x-correlation-id"]


@pytest.mark.parametrize(
    ("given", "kept"), [("click-42", True), ("a" * 64, True), ("a" * 65, False), ("", False), ("a b", False), ("é", False), ("-x", False)]
)
def test_a_sane_correlation_id_is_kept(calm: Address, given: str, kept: bool) -> None:
    answer = ask(calm, headers=[("X-Correlation-Id", given)])
    assert (answer["x-correlation-id"] == given) == kept
    assert json.loads(answer.body)["id"] == answer["x-correlation-id"]


def test_a_big_upload_of_a_stranger_is_refused_unread(calm: Address) -> None:
    answer = ask(calm, "POST", "/api/v1/images", STRANGER, body=b"x" * 3_000_000)
    assert answer.status == 401
    assert answer["connection"] == "close"


def test_nothing_secret_is_logged(studio: Address, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    token = create_token(settings, "phone")
    cookie = cookie_of(sign_in(studio))
    sign_in(studio, "my secret guess")
    _with_token(studio, token)
    _with_token(studio, "lk_guess")
    ask(studio, headers=[*STRANGER, cookie])
    told = "\n".join(str(record.__dict__) for record in caplog.records)
    for secret in (PASSWORD, "my secret guess", token, "lk_guess", cookie[1].partition("=")[2]):
        assert secret not in told
        assert urlencode({"": secret})[1:] not in told
    assert "sign-in from via 203.0.113.9 refused: AUTH_INVALID" in caplog.messages


# Websockets: uvicorn speaks them only with a library that is not required, so the door is asked directly.


WEBSOCKETS = [
    ([], "127.0.0.1", True),
    ([(b"origin", b"http://localhost:7860")], "127.0.0.1", True),
    ([(b"origin", b"http://evil.example")], "127.0.0.1", False),
    ([(b"x-forwarded-for", b"1.2.3.4")], "127.0.0.1", False),
    ([], "203.0.113.9", False),
]


@pytest.mark.parametrize(("headers", "peer", "welcome"), WEBSOCKETS)
def test_a_websocket_follows_the_same_rules(settings: Settings, headers: list[tuple[bytes, bytes]], peer: str, welcome: bool) -> None:
    sent = _websocket(settings, headers, peer)
    assert sent == ([{"type": "websocket.accept"}] if welcome else [{"type": "websocket.close", "code": 1008, "reason": "AUTH_MISSING"}])


def test_a_session_opens_a_websocket_only_from_our_own_page(settings: Settings) -> None:
    set_password(settings, PASSWORD)
    name, value = Vault(settings).open_session()
    cookie = (b"cookie", f"{name}={value}".encode())
    assert _websocket(settings, [cookie], "203.0.113.9")[0]["reason"] == "ORIGIN_REFUSED"
    assert _websocket(settings, [cookie, (b"origin", b"http://evil.example")], "203.0.113.9")[0]["reason"] == "ORIGIN_REFUSED"
    assert _websocket(settings, [cookie, (b"origin", b"http://localhost:7860")], "203.0.113.9")[0]["type"] == "websocket.accept"


# Words about addresses


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
def test_these_addresses_are_this_computer(peer: str) -> None:
    assert is_loopback(peer)


@pytest.mark.parametrize(
    "peer", ["", "0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "::ffff:10.0.0.1", "fe80::1%eth0", "localhost", "127.1", "unix:", "1"]
)
def test_these_addresses_are_not(peer: str) -> None:
    assert not is_loopback(peer)


@pytest.mark.parametrize(
    ("listen", "beyond"), [("127.0.0.1", False), ("localhost", False), ("::1", False), ("[::1]", False), ("0.0.0.0", True)]
)
def test_listening_beyond_this_computer_is_known(listen: str, beyond: bool) -> None:
    assert listens_beyond(listen) == beyond


def _filled(request: dict[str, Any], address: Address) -> dict[str, Any]:
    """The request with the server's port in it."""
    port = str(address[1])
    filled = dict(request)
    if isinstance(filled.get("host"), str):
        filled["host"] = filled["host"].replace("{port}", port)
    filled["headers"] = [(name, value.replace("{port}", port)) for name, value in request.get("headers", [])]
    return filled


def _with_token(address: Address, token: str) -> Answer:
    return ask(address, headers=[*STRANGER, ("Authorization", f"Bearer {token}")])


def _websocket(settings: Settings, headers: list[tuple[bytes, bytes]], peer: str) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append({key: value for key, value in message.items() if key != "headers"})

    scope = {
        "type": "websocket",
        "path": "/queue",
        "http_version": "1.1",
        "scheme": "ws",
        "headers": [(b"host", b"localhost:7860"), *headers],
        "client": (peer, 1),
        "server": ("testserver", 80),
    }
    asyncio.run(Door(behind, settings, listen="127.0.0.1")(scope, receive, send))
    return sent
