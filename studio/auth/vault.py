"""What `secrets/` in the data folder keeps: the password's hash, hashes of tokens, the key that signs sessions."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import os
import secrets
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Generic, TypeVar

from filelock import FileLock, Timeout
from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer
from pydantic import Field, ValidationError

from studio.contracts import Contract, new_id
from studio.errors import (
    AuthExpired,
    AuthInvalid,
    AuthMissing,
    Conflict,
    InvalidFieldValue,
    MissingRequiredField,
    NotFound,
    SecretsUnreadable,
    from_os_error,
)
from studio.files import write_atomically
from studio.settings import Settings

SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 1024
MOST_TOKENS = 1000
TOKEN_PREFIX = "lk_"
# What OWASP's password storage page asks of scrypt, in the variant that needs 16 MB rather than 128.
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**14, 8, 5

_PASSWORD = "password.json"
_TOKENS = "tokens.json"
_KEY = "session.key"
_ENDED = "sessions.json"
_MOST_ENDED = 2000
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


class Token(Contract):
    """An API token as it can be listed; the token itself was shown once and is not kept. Times are UTC."""

    id: str
    name: str
    created: datetime
    expires: datetime | None
    revoked: datetime | None

    @property
    def state(self) -> str:
        """`live`, `expired` or `revoked`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= datetime.now(UTC) else "live"


def create_token(settings: Settings, name: str, days: float | None = None) -> str:
    """Make an API token called `name` that works for `days` days (None: until it is revoked) and return it, this once.

    Raises MissingRequiredField or InvalidFieldValue for a bad name or time, Conflict when a live token has that name.
    """
    name = name.strip()
    if not name:
        raise MissingRequiredField("A token needs a name.", remedy="Call it after the device or program that uses it.", field="name")
    if len(name) > 80 or not name.isprintable():
        raise InvalidFieldValue("A token's name is one line of at most 80 characters.", field="name")
    if days is not None and not (math.isfinite(days) and 0 < days <= 36_500):
        raise InvalidFieldValue("A token can work for more than 0 and at most 36,500 days.", field="days")
    value = TOKEN_PREFIX + secrets.token_urlsafe(32)
    now = datetime.now(UTC)
    made = _KeptToken(
        id=new_id(),
        name=name,
        sha256=_token_hash(value),
        created=now,
        expires=None if days is None else now + timedelta(days=days),
        revoked=None,
    )
    with _locked(settings):
        kept = _read_tokens(settings.secrets_path / _TOKENS)
        if any(token.name == name and token.state == "live" for token in kept):
            raise Conflict(f"There is a token called “{name}” already.", remedy="Choose another name, or revoke that one first.")
        if len(kept) >= MOST_TOKENS:
            kept = tuple(token for token in kept if token.state == "live")
        if len(kept) >= MOST_TOKENS:
            raise Conflict(f"There are {MOST_TOKENS} tokens already.", remedy="Revoke those that nobody uses.")
        _write_tokens(settings, (*kept, made))
    return value


def list_tokens(settings: Settings) -> tuple[Token, ...]:
    """Every token that was made, oldest first, without the tokens themselves."""
    kept = _read_tokens(settings.secrets_path / _TOKENS)
    return tuple(Token(**token.model_dump(exclude={"sha256"})) for token in kept)


def revoke_token(settings: Settings, name: str) -> Token:
    """End a token by its name or id; it is refused from the next request on. Raises NotFound."""
    with _locked(settings):
        kept = _read_tokens(settings.secrets_path / _TOKENS)
        found = next((t for t in kept if t.revoked is None and name.strip() in (t.name, t.id) and t.state == "live"), None)
        found = found or next((t for t in kept if t.revoked is None and name.strip() in (t.name, t.id)), None)
        if found is None:
            raise NotFound(f"There is no token called “{name}” to revoke.", remedy="`python launch.py token list` shows what there is.")
        ended = found.model_copy(update={"revoked": datetime.now(UTC)})
        _write_tokens(settings, tuple(ended if token is found else token for token in kept))
    return Token(**ended.model_dump(exclude={"sha256"}))


def set_password(settings: Settings, new: str) -> None:
    """Set the password for everyone who is not at this computer; everyone signed in is signed out.

    Raises InvalidFieldValue when it is too short or long, Conflict when LIKENESS_PASSWORD decides.
    """
    if settings.password.get_secret_value():
        raise Conflict(
            "The password comes from LIKENESS_PASSWORD.",
            remedy="Change it there (in the environment or in .env) and start the studio again, or remove it to set one here.",
        )
    if not SHORTEST_PASSWORD <= len(new) <= LONGEST_PASSWORD:
        raise InvalidFieldValue(
            f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters.",
            remedy="A few words in a row are easy to keep.",
            field="password",
        )
    with _locked(settings):
        _write(settings, _PASSWORD, _hash_password(new).model_dump_json(indent=1).encode())


def ensure_password(settings: Settings) -> str | None:
    """Make a password when there is none and return it, this once, to be shown on the terminal; None when there is one."""
    if settings.password.get_secret_value():
        return None
    with _locked(settings):
        if _read_password(settings.secrets_path / _PASSWORD) is not None:
            return None
        made = "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4))
        _write(settings, _PASSWORD, _hash_password(made).model_dump_json(indent=1).encode())
    return made


class Vault:
    """The door's view of these files: each is read when it first matters and again only when it has changed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        folder = settings.secrets_path
        self._password = _Watched(folder / _PASSWORD, _read_password)
        self._tokens = _Watched(folder / _TOKENS, lambda path: {token.sha256: token for token in _read_tokens(path)})
        self._key = _Watched(folder / _KEY, _read_key)
        self._ended = _Watched(folder / _ENDED, _read_ended)

    def has_password(self) -> bool:
        """Whether anyone can sign in at all."""
        return bool(self._settings.password.get_secret_value()) or self._password.get() is not None

    def password_is(self, given: str) -> bool:
        """Whether this is the password. Takes a fifth of a second on purpose: not for an event loop's thread."""
        if len(given) > LONGEST_PASSWORD:
            return False
        wanted = self._settings.password.get_secret_value()
        if wanted:
            return hmac.compare_digest(_digest(given), _digest(wanted))
        kept = self._password.get()
        return kept is not None and hmac.compare_digest(kept.hash, _scrypt(given, kept.salt, kept.n, kept.r, kept.p))

    def token(self, value: str) -> Token:
        """The token with this value. Raises AuthInvalid (unknown or revoked) or AuthExpired."""
        kept = self._tokens.get().get(_token_hash(value[:200]))
        if kept is None:
            raise AuthInvalid("This API token is not right.")
        if kept.revoked is not None:
            raise AuthInvalid("This API token was revoked.")
        if kept.state == "expired":
            raise AuthExpired("This API token has expired.", remedy="Make a new one with `python launch.py token create`.")
        return kept

    def cookie_name(self) -> str | None:
        """The cookie of this studio's sessions, None before anyone ever signed in. Cookies ignore ports, so each has its own."""
        key = self._key.get()
        return None if key is None else _cookie_name(key)

    def open_session(self) -> tuple[str, str]:
        """The name and value of a new session's cookie. Makes the signing key when there is none."""
        key = self._key.get() or _make_key(self._settings)
        return _cookie_name(key), self._signer(key).dumps(new_id())

    def check_sessions(self, values: Sequence[str]) -> None:
        """Raise AuthMissing, AuthInvalid or AuthExpired unless one of these cookies is an open session."""
        fault: AuthInvalid | AuthExpired | None = None
        for value in values:
            try:
                if self._session(value) not in self._ended.get():
                    return
                fault = AuthInvalid("You signed out of this session.", remedy="Sign in again.")
            except (AuthInvalid, AuthExpired) as error:
                fault = error
        raise fault or AuthMissing()

    def end_session(self, value: str) -> None:
        """Sign out: the cookie's value is refused from now on, also where a copy of it was kept. Bad values are ignored."""
        try:
            identity = self._session(value)
        except (AuthInvalid, AuthExpired):
            return
        now = time.time()
        with _locked(self._settings):
            ended = {**_read_ended(self._settings.secrets_path / _ENDED), identity: now + self._settings.session_hours * 3600}
            open_until = sorted((pair for pair in ended.items() if pair[1] > now), key=lambda pair: pair[1])[-_MOST_ENDED:]
            _write(self._settings, _ENDED, json.dumps(dict(open_until)).encode())

    def _session(self, value: str) -> str:
        key = self._key.get()
        if key is None or len(value) > 500:
            raise AuthInvalid("This session is not known.", remedy="Sign in again.")
        try:
            identity = self._signer(key).loads(value, max_age=max(1, int(self._settings.session_hours * 3600)))
        except SignatureExpired as error:
            raise AuthExpired from error
        except BadSignature as error:
            raise AuthInvalid("This session has ended.", remedy="Sign in again.") from error
        return str(identity)

    def _signer(self, key: bytes) -> URLSafeTimedSerializer:
        # The password is part of the key, so that changing it ends every session.
        wanted = self._settings.password.get_secret_value()
        kept = self._password.get()
        password = _digest(wanted) if wanted else kept.hash + kept.salt if kept else b""
        return URLSafeTimedSerializer(hmac.digest(key, password, "sha256"), salt="likeness session")


T = TypeVar("T")


class _Watched(Generic[T]):
    """A file's content, read again only when the file is another one than before: a request costs one stat."""

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        self._path = path
        self._read = read
        self._seen: tuple[tuple[int, int, int] | None, T] | None = None

    def get(self) -> T:
        now = self._signature()
        seen = self._seen
        if seen is None or seen[0] != now:
            seen = self._seen = (now, self._read(self._path))
        return seen[1]

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


class _KeptToken(Token):
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class _KeptTokens(Contract):
    tokens: tuple[_KeptToken, ...]


class _KeptPassword(Contract):
    """scrypt's parameters travel with the hash, so that later versions can raise them. Bounds keep a damaged file cheap."""

    scrypt: str = Field(pattern=r"^[0-9a-f]{64}$")
    salt_hex: str = Field(pattern=r"^[0-9a-f]{32}$")
    n: int = Field(ge=2, le=2**17)
    r: int = Field(ge=1, le=16)
    p: int = Field(ge=1, le=16)
    changed: datetime

    @property
    def hash(self) -> bytes:
        return bytes.fromhex(self.scrypt)

    @property
    def salt(self) -> bytes:
        return bytes.fromhex(self.salt_hex)


def _hash_password(password: str) -> _KeptPassword:
    salt = secrets.token_bytes(16)
    made = _scrypt(password, salt, SCRYPT_N, SCRYPT_R, SCRYPT_P)
    return _KeptPassword(scrypt=made.hex(), salt_hex=salt.hex(), n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P, changed=datetime.now(UTC))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(_plain(password), salt=salt, n=n, r=r, p=p, maxmem=256 * n * r + 2**22, dklen=32)


def _digest(password: str) -> bytes:
    return hashlib.sha256(_plain(password)).digest()


def _plain(password: str) -> bytes:
    # A phone and a laptop may type the same letter as different code points.
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


def _token_hash(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def _cookie_name(key: bytes) -> str:
    return "likeness_" + hashlib.sha256(b"cookie" + key).hexdigest()[:8]


def _make_key(settings: Settings) -> bytes:
    with _locked(settings):
        kept = _read_key(settings.secrets_path / _KEY)
        if kept is not None:
            return kept
        made = secrets.token_bytes(32)
        _write(settings, _KEY, made.hex().encode())
        return made


def _read_password(path: Path) -> _KeptPassword | None:
    data = _read(path)
    if data is None:
        return None
    with _understood(path, "Delete it and set the password again with `python launch.py password set`."):
        return _KeptPassword.model_validate_json(data)


def _read_tokens(path: Path) -> tuple[_KeptToken, ...]:
    data = _read(path)
    if data is None:
        return ()
    with _understood(path, "Mend it, or delete it and make the tokens again."):
        return _KeptTokens.model_validate_json(data).tokens


def _read_key(path: Path) -> bytes | None:
    data = _read(path)
    if data is None:
        return None
    with _understood(path, "Delete it; everyone then signs in again."):
        key = bytes.fromhex(data.decode("ascii"))
        if len(key) != 32:
            raise ValueError("not 32 bytes")
        return key


def _read_ended(path: Path) -> dict[str, float]:
    data = _read(path)
    if data is None:
        return {}
    with _understood(path, "Delete it and session.key beside it; everyone then signs in again."):
        ended = json.loads(data)
        return {str(identity): float(until) for identity, until in ended.items()}


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            _keep_private(file.fileno())
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SecretsUnreadable(
            f"secrets/{path.name} in the data folder can't be read: {error.strerror}.", remedy="Give yourself read access to it."
        ) from error


def _keep_private(descriptor: int) -> None:
    # Copied by hand or restored from a backup it may be open to all. Some drives know no modes: then there is nothing to do.
    if os.name != "nt" and os.fstat(descriptor).st_mode & 0o077:
        with suppress(OSError):
            os.fchmod(descriptor, 0o600)


@contextmanager
def _understood(path: Path, remedy: str) -> Iterator[None]:
    try:
        yield
    except (ValidationError, ValueError, TypeError, AttributeError):
        # The cause quotes the file, and causes end in logs.
        raise SecretsUnreadable(f"secrets/{path.name} in the data folder is damaged.", remedy=remedy) from None


def _write_tokens(settings: Settings, tokens: tuple[_KeptToken, ...]) -> None:
    _write(settings, _TOKENS, _KeptTokens(tokens=tokens).model_dump_json(indent=1).encode())


def _write(settings: Settings, name: str, data: bytes) -> None:
    try:
        write_atomically(settings.secrets_path / name, data, mode=0o600)
    except OSError as error:
        raise from_os_error(error, f"save secrets/{name}") from error


@contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    folder = settings.secrets_path
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", mode=0o600, timeout=10)
        lock.acquire()
    except Timeout as error:
        raise Conflict("Another command is changing the passwords and tokens.", remedy="Try again in a moment.") from error
    except OSError as error:
        raise from_os_error(error, "open the secrets folder") from error
    try:
        yield
    finally:
        lock.release()
