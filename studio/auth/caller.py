"""What a request says about where it comes from, and what may be believed of it. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# Nobody's browser or command line sends these: something between it and us added them. (nginx, Apache, Caddy, Traefik,
# HAProxy, Varnish, Cloudflare, Akamai, Fastly, CloudFront, Azure, Google, Fly, Vercel, Netlify, Tailscale, ngrok, frp.)
PROXY_HEADERS = frozenset(
    {
        b"via",
        b"forwarded",
        b"forwarded-for",
        b"client-ip",
        b"true-client-ip",
        b"true-client-port",
        b"cdn-loop",
        b"front-end-https",
        b"proxy-connection",
        b"remote-addr",
        b"remote-user",
        b"surrogate-capability",
        b"x-arr-log-id",
        b"x-arr-ssl",
        b"x-client-ip",
        b"x-cloud-trace-context",
        b"x-cluster-client-ip",
        b"x-coming-from",
        b"x-forward-for",
        b"x-host",
        b"x-nginx-proxy",
        b"x-proxyuser-ip",
        b"x-real-ip",
        b"x-real-port",
        b"x-remote-addr",
        b"x-remote-ip",
        b"x-remote-user",
        b"x-request-start",
        b"x-rewrite-url",
        b"x-scheme",
        b"x-script-name",
        b"x-sendfile-type",
        b"x-url-scheme",
        b"x-varnish",
        b"x-webauth-user",
    }
)
PROXY_PREFIXES = (
    b"x-forwarded",
    b"x-original-",
    b"x-envoy-",
    b"x-azure-",
    b"x-amz-cf-",
    b"x-amzn-",
    b"x-appengine-",
    b"x-vercel-",
    b"x-nf-",
    b"x-ngrok-",
    b"x-runpod-",
    b"x-proxy-",
    b"x-accel-",
    b"x-traefik-",
    b"x-tailscale-",
    b"cf-",
    b"fastly-",
    b"fly-",
    b"akamai-",
    b"ngrok-",
    b"tailscale-",
)

_KEPT = frozenset(
    {
        b"host",
        b"origin",
        b"sec-fetch-site",
        b"sec-fetch-mode",
        b"sec-fetch-dest",
        b"authorization",
        b"cookie",
        b"accept",
        b"x-correlation-id",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
    }
)
_HOST = re.compile(rb"(localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?", re.IGNORECASE)
_NOTHING: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Caller:
    """One request, as far as the door looks at it. `kept` holds every value of the few headers that matter."""

    peer: str
    http_version: str
    scheme: str
    method: str
    path: str
    websocket: bool
    kept: dict[bytes, tuple[bytes, ...]]
    proxied: bool

    def one(self, name: bytes) -> str | None:
        """The value of a header that was sent exactly once; None when it is absent or was sent twice."""
        values = self.kept.get(name, _NOTHING)
        return values[0].decode("latin-1").strip() if len(values) == 1 else None

    def sent(self, name: bytes) -> bool:
        """Whether a header is there at all."""
        return name in self.kept

    @property
    def navigation(self) -> bool:
        """Whether a person is opening a page in a browser's window, rather than a script or an image tag asking."""
        return (
            self.method in ("GET", "HEAD")
            and not self.websocket
            and (self.one(b"sec-fetch-mode") or "navigate") == "navigate"
            and (self.one(b"sec-fetch-dest") or "document") == "document"
            and any(b"text/html" in value for value in self.kept.get(b"accept", _NOTHING))
        )

    @property
    def https(self) -> bool:
        """Whether the visitor's browser speaks https, to us or to the proxy before us."""
        said = self.one(b"x-forwarded-proto")
        return (said.split(",")[0].strip().lower() if said else self.scheme) in ("https", "wss")

    @property
    def hop(self) -> str:
        """Whom failed tries are counted for: the peer, and behind a local proxy also the last address that it names."""
        chain = self.kept.get(b"x-forwarded-for", _NOTHING)
        if chain and is_loopback(self.peer):
            return "via " + chain[-1].rpartition(b",")[2].strip()[:64].decode("ascii", "replace")
        return _network(self.peer)


def read_caller(
    *,
    peer: str,
    http_version: str,
    scheme: str,
    method: str,
    path: str,
    websocket: bool,
    headers: Iterable[tuple[bytes, bytes]],
) -> Caller:
    """Look through the headers once; names must be lower case, as ASGI promises."""
    kept: dict[bytes, tuple[bytes, ...]] = {}
    proxied = False
    for name, value in headers:
        if name in _KEPT:
            kept[name] = (*kept[name], value) if name in kept else (value,)
        if name in PROXY_HEADERS or name.startswith(PROXY_PREFIXES):
            proxied = True
    return Caller(peer, http_version, scheme, method, path, websocket, kept, proxied)


def is_owner(caller: Caller) -> bool:
    """Whether a request can only come from this computer and from no page but ours. Each doubt counts against it."""
    return (
        is_loopback(caller.peer)
        and caller.http_version not in ("1.0", "0.9")
        and not caller.proxied
        and caller.path.startswith("/")
        and _names_loopback(caller.kept.get(b"host", _NOTHING))
        and _from_our_page(caller)
    )


def from_our_origin(caller: Caller) -> bool | None:
    """Whether one of our own pages sent this: True or False as the browser says, None when nothing says so.

    `Sec-Fetch-Site` is the browser's own word and no page can forge it; it also holds behind a proxy that hides the
    public name. Browsers leave it out on plain http, where Origin is compared with Host.
    """
    site = caller.one(b"sec-fetch-site")
    if site == "same-origin":
        return True
    if caller.sent(b"origin"):
        return _origin_matches(caller, believe_proxy=True)
    if caller.sent(b"sec-fetch-site") and site != "none":
        return False
    return None


def is_loopback(peer: str) -> bool:
    """Whether an address is this computer's own: 127.0.0.0/8, ::1, or the first written as IPv6."""
    if peer in ("127.0.0.1", "::1"):
        return True
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def listens_beyond(listen: str) -> bool:
    """Whether a listening address can be reached from other computers."""
    name = listen.strip().removeprefix("[").removesuffix("]").lower()
    return name != "localhost" and not is_loopback(name)


def local_path(target: str) -> str:
    """Where to go after signing in: `target` when it is a path of this studio, else `/`.

    Browsers read `//host`, `/\\host` and `/<tab>/host` as other sites, so those are not paths.
    """
    odd = any(ch <= " " or ch in "\\\x7f" for ch in target)
    if odd or len(target) > 2000 or not target.startswith("/") or target.startswith("//"):
        return "/"
    return "/" if re.match(r"/(login|logout)($|[/?#])", target) else target


def _names_loopback(hosts: tuple[bytes, ...]) -> bool:
    if len(hosts) != 1:
        return False
    match = _HOST.fullmatch(hosts[0])
    if match is None:
        return False
    name = match[1].lower()
    return name in (b"localhost", b"[::1]", b"127.0.0.1") or is_loopback(name.decode())


def _from_our_page(caller: Caller) -> bool:
    if caller.sent(b"origin") and not _origin_matches(caller, believe_proxy=False):
        return False
    if not caller.sent(b"sec-fetch-site"):
        return True
    return caller.one(b"sec-fetch-site") in ("same-origin", "none") or (not caller.sent(b"origin") and caller.navigation)


def _origin_matches(caller: Caller, *, believe_proxy: bool) -> bool:
    origin = caller.one(b"origin")
    if origin is None:
        return False
    scheme, _, authority = origin.lower().partition("://")
    if scheme not in ("http", "https") or not authority:
        return False
    if believe_proxy and authority == (caller.one(b"x-forwarded-host") or "").lower():
        return True
    if authority != (caller.one(b"host") or "").lower():
        return False
    # A proxy that speaks https to the browser and says nothing of it must not lock everyone out.
    return (believe_proxy and not caller.https) or (scheme == "https") == caller.https


def _network(peer: str) -> str:
    # One household or attacker owns a whole IPv6 /64, so it counts as one.
    try:
        address = ipaddress.IPv6Address(peer.partition("%")[0])
    except ValueError:
        return peer
    return str(address.ipv4_mapped or ipaddress.IPv6Network((address, 64), strict=False))
