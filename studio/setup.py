"""What a person sets up: every setting as it can be shown and changed, where things lie, and whether the studio is new."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from dotenv import dotenv_values
from pydantic import SecretStr

from studio.contracts import CharacterStatus, Contract
from studio.doctor import last_run_folder
from studio.errors import Conflict, ContractMismatch, InvalidFieldType, InvalidFieldValue
from studio.settings import SAVED, Settings, env_names, reread, save_settings

if TYPE_CHECKING:
    from studio.studio import Studio

MOST_LETTERS = 4000
# What the page's process asks its settings for each time; everything else is read once, at the start.
AT_ONCE = frozenset(
    {
        "walked_through",
        "prompt_template",
        "max_upload_megapixels",
        "comfyui_url",
        "comfyui_arguments",
        "aitoolkit_path",
        "caption_url",
        "caption_model",
        "caption_timeout_s",
        "caption_side",
    }
)
# They say which programs run: that is for whoever starts the studio, not for whoever reaches its page.
OUTSIDE = frozenset({"comfyui_python", "comfyui_torch", "aitoolkit_python", "aitoolkit_torch", "engine_pins"})
# A start may be told otherwise on its command line, for that once.
ON_COMMAND_LINE = frozenset({"port", "listen"})
CHOICES: dict[str, tuple[str, ...]] = {
    "log_level": ("DEBUG", "INFO", "WARNING", "ERROR"),
    "device": ("auto", "cpu", "cuda", "mps"),
    "dtype": ("auto", "float32", "bfloat16", "float16"),
}


class SettingKind(StrEnum):
    """What a setting holds."""

    switch = "switch"
    whole = "whole"
    number = "number"
    text = "text"
    choice = "choice"
    folder = "folder"
    secret = "secret"


Value = bool | int | float | str | None


class Setting(Contract):
    """One setting as it may be shown. A secret has no value, only `set`.

    `now` is what the running studio was started with, where the next start would find something else.
    """

    name: str
    kind: SettingKind
    value: Value = None
    default: Value = None
    now: Value = None
    set: bool | None = None
    secret: bool
    environment: str
    aliases: tuple[str, ...] = ()
    help: str
    fixed_by: str = ""
    at_once: bool
    pending: bool = False
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None


class Where(Contract):
    """Where things lie on the studio's computer. `latest_log` is the newest run's folder, None before the first."""

    data: str
    pictures: str
    uploads: str
    models: str
    loras: str
    logs: str
    latest_log: str | None
    settings: str
    database: str
    database_file: str | None


def all_settings(settings: Settings, at_start: Settings | None = None) -> tuple[Setting, ...]:
    """Every setting as the next start will find it; `pending` where that differs from what was found `at_start`."""
    now = reread(settings)
    return tuple(_shown(name, now, at_start, settings) for name in Settings.model_fields)


def change_settings(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """Keep changes made by a person, all or none; None goes back to the default. Gives the settings of the next start.

    Raises Conflict for what the environment fixes, ContractMismatch for secrets, and what names a value that can't work.
    """
    for name, value in changes.items():
        field = Settings.model_fields.get(name)
        if field is None:
            raise ContractMismatch(f"There is no setting called “{name}”.", field=name, remedy="GET /api/v1/settings lists them.")
        if isinstance(field.default, SecretStr):
            remedy = f"Set {env_names(name)[0]} in the environment or in the file .env beside launch.py, then start the studio again."
            raise ContractMismatch("Secrets are not saved here.", field=name, remedy=remedy)
        if fixed := fixed_by(name):
            remedy = "Change it there and start the studio again."
            raise Conflict(f"“{name}” is fixed by {fixed}.", field=name, remedy=remedy)
        _check_value(name, value)
    checked = {name: _folder(name, value) if _kind(name) is SettingKind.folder else value for name, value in changes.items()}
    _check_address(settings, checked)
    return save_settings(settings, checked)


def fixed_by(name: str) -> str:
    """Where a setting is fixed so that nothing saved can change it; empty where it is free."""
    if name == "data":
        return "--data, the environment or .env"
    if name in OUTSIDE:
        return "the environment or .env"
    outside = {key.upper() for key, value in os.environ.items() if value}
    file = Settings.model_config.get("env_file")
    written = {key.upper() for key, value in dotenv_values(file).items() if value} if isinstance(file, str | Path) else set[str]()
    for variable in env_names(name):
        if variable in outside:
            return f"{variable} in the environment"
        if variable in written:
            return f"{variable} in .env"
    return ""


def places(settings: Settings) -> Where:
    """Where everything lies, as absolute paths."""
    sqlite = settings.database.startswith("sqlite:///")
    latest = last_run_folder(settings.data)
    return Where(
        data=str(settings.data),
        pictures=str(settings.data / "pictures"),
        uploads=str(settings.data / "uploads"),
        models=str(settings.models_path),
        loras=str(settings.loras_path),
        logs=str(settings.data / "logs"),
        latest_log=str(latest) if latest else None,
        settings=str(settings.data / SAVED),
        database="SQLite" if sqlite else "PostgreSQL" if settings.database.startswith("postgresql") else "another database",
        database_file=settings.database.removeprefix("sqlite:///") if sqlite else None,
    )


def is_fresh(studio: Studio) -> bool:
    """True for a studio that has no character and no picture yet, and whose walkthrough nobody finished or skipped."""
    if reread(studio.settings).walked_through:
        return False
    return not studio.pictures(kind=None, limit=1).items and not studio.characters(CharacterStatus.active)


def _shown(name: str, now: Settings, at_start: Settings | None, running: Settings) -> Setting:
    field = Settings.model_fields[name]
    value = getattr(now, name)
    first, *others = env_names(name)
    secret = isinstance(value, SecretStr)
    told: dict[str, Any] = {"set": bool(value.get_secret_value())} if secret else {"value": _plain(value), "default": _plain(field.default)}
    if name in ON_COMMAND_LINE and (used := getattr(running, name)) != value:
        told["now"] = _plain(used)
    limits = {word: getattr(rule, sign) for rule in field.metadata for sign, word in _LIMITS.items() if hasattr(rule, sign)}
    return Setting(
        name=name,
        kind=_kind(name),
        secret=secret,
        environment=first,
        aliases=tuple(others),
        help=field.description or "",
        fixed_by=fixed_by(name),
        at_once=name in AT_ONCE,
        pending=at_start is not None and name not in AT_ONCE and getattr(at_start, name) != value,
        choices=CHOICES.get(name, ()),
        **told,
        **limits,
    )


_LIMITS = {"ge": "least", "gt": "least", "le": "most", "lt": "most"}


def _kind(name: str) -> SettingKind:
    kind = Settings.model_fields[name].annotation
    kinds = set(get_args(kind)) or {kind}
    if name in CHOICES:
        return SettingKind.choice
    for known, shown in ((SecretStr, "secret"), (bool, "switch"), (int, "whole"), (float, "number"), (Path, "folder")):
        if known in kinds:
            return SettingKind(shown)
    return SettingKind.text


def _check_value(name: str, value: object) -> None:
    if value is not None and not isinstance(value, bool | int | float | str):
        raise InvalidFieldType(f"“{name}” takes one value.", field=name)
    if isinstance(value, str) and ("\0" in value or len(value) > MOST_LETTERS):
        raise InvalidFieldValue(f"“{name}” is too long or holds a null character.", field=name, remedy="Write it shorter, as plain text.")


def _folder(name: str, value: object) -> str | None:
    words = str(value or "").strip()
    if not words:
        return None
    folder = Path(words).expanduser()
    # A drive that is not there would leave the next start without models, and nobody would know why.
    if not folder.is_absolute() or not folder.is_dir():
        remedy = "Write the whole path of a folder that is there, or leave it empty."
        raise InvalidFieldValue(f"There is no folder “{words}”.", field=name, remedy=remedy)
    return str(folder)


def _check_address(settings: Settings, changes: Mapping[str, Any]) -> None:
    # A wrong one would keep the studio from starting, and the page could not mend it any more.
    listen = changes.get("listen")
    if listen is None:
        return
    try:
        ip = ipaddress.ip_address(str(listen))
        with socket.socket(socket.AF_INET6 if ip.version == 6 else socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((str(listen), 0))
    except (ValueError, OSError) as error:
        remedy = "Write an address of this computer: 127.0.0.1 for this computer alone, 0.0.0.0 for all its networks."
        raise InvalidFieldValue(f"This computer can't listen on “{listen}”.", field="listen", remedy=remedy) from error


def _plain(value: object) -> Value:
    return value if value is None or isinstance(value, bool | int | float) else str(value)
