"""Settings: environment, then `.env`, then changes saved in the app, then defaults. Every field has one line of help."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from studio.contracts import DEFAULT_TEMPLATE
from studio.errors import Conflict, ContractMismatch, InvalidFieldValue, from_os_error, from_validation
from studio.files import write_atomically

HOME = Path(__file__).resolve().parent.parent
SAVED = "settings.json"


def _names(*aliases: str) -> AliasChoices:
    return AliasChoices(*aliases)


# A token of its own for each server: `http://one:8188=token, https://two=user:password`.
_NAMES_SERVERS = re.compile(r"https?://[^\s=]+=")
_NEXT_SERVER = re.compile(r",\s*(?=https?://[^\s=]+=)")


class Settings(BaseSettings):
    """What can be set. A field `port` is set by `LIKENESS_PORT`, or by the aliases that people already have."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix="LIKENESS_", env_file=HOME / ".env", env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True
    )

    data: Path = Field(
        HOME / "data",
        validation_alias=_names("LIKENESS_DATA", "VOLUME_ROOT"),
        description="The data folder: pictures, models, LoRAs, logs and the database. `--data DIR` goes before it.",
    )
    database_url: SecretStr = Field(
        SecretStr(""),
        validation_alias=_names("LIKENESS_DATABASE_URL", "DATABASE_URL"),
        description="The database. Empty means SQLite in the data folder; `postgresql://…` is for several machines.",
    )
    listen: str = Field("127.0.0.1", description="The address to listen on. Anything but loopback makes everyone sign in.")
    port: int = Field(7860, ge=1, le=65535, description="The port of the page; the next free one is taken if it is in use.")
    open_browser: bool = Field(True, description="Open the browser when the page answers. `--no-browser` turns it off.")
    password: SecretStr = Field(
        SecretStr(""), description="The password for everyone who is not at this computer. Empty: made and printed when it is first needed."
    )
    always_sign_in: bool = Field(
        False, description="Ask everyone to sign in, this computer too: for a proxy or tunnel that hides what it is."
    )
    session_hours: float = Field(72, gt=0, description="How long a sign-in lasts, in hours.")
    log_level: str = Field("INFO", description="The least important lines to log: DEBUG, INFO, WARNING or ERROR.")
    device: str = Field(
        "auto",
        description="Where pictures are computed: `auto` finds the fastest, `cpu` is the processor, `cuda` an NVIDIA card, `mps` Apple's.",
    )
    dtype: str = Field("auto", description="The embedded engine's numbers: auto, float32, bfloat16 or float16.")
    threads: int = Field(0, ge=0, le=256, description="CPU threads of the embedded engine; 0 takes one per core.")
    idle_unload_s: float = Field(600, gt=0, description="Seconds without a job after which the embedded engine frees its memory.")
    engine_timeout_s: float = Field(180, gt=0, description="Seconds without progress after which a job fails with ENGINE_TIMEOUT.")
    poll_interval_s: float = Field(
        0.08,
        ge=0.01,
        le=10,
        description="Seconds between two looks for more jobs while some run, and always on PostgreSQL; otherwise a job begins at once.",
    )
    previews_per_s: float = Field(4, ge=0, le=10, description="The most live previews a second of one job; 0 turns them off.")
    explicit_threshold: float = Field(
        0.5, gt=0, le=1, description="The score, 0 to 1, from which an edit of a real person's photo counts as explicit and is withheld."
    )
    max_upload_mb: int = Field(64, ge=1, le=4096, description="The largest upload, in megabytes.")
    max_upload_megapixels: int = Field(100, ge=1, le=1000, description="The largest uploaded picture, in millions of pixels.")
    prompt_template: str = Field(
        DEFAULT_TEMPLATE,
        max_length=2000,
        description="How a character's words become a prompt: {trigger_word} {name} {person} {age} {gender} {skin} {hair} {eyes} {build} "
        "{marks} {wardrobe} {clothes} {caption}. A part between commas whose words are missing drops out. {person} is age and gender "
        "(“34-year-old man”) and takes the place of “a person” in the caption. {clothes} is the wardrobe where a prompt names no clothes.",
    )
    models_dir: Path | None = Field(None, description="Where checkpoints lie. Empty means `models` in the data folder.")
    loras_dir: Path | None = Field(None, description="Where LoRAs lie. Empty means `loras` in the data folder.")
    walked_through: bool = Field(False, description="The first-run walkthrough was finished or skipped; false shows it to a new studio.")
    comfyui_url: str = Field(
        "",
        validation_alias=_names("LIKENESS_COMFYUI_URL", "COMFYUI_URL"),
        description="The address of a ComfyUI server, such as http://127.0.0.1:8188; several with commas between them.",
    )
    comfyui_token: SecretStr = Field(
        SecretStr(""),
        validation_alias=_names("LIKENESS_COMFYUI_TOKEN", "COMFYUI_TOKEN"),
        description="What the ComfyUI servers want to hear: a bearer token, or user:password. For several servers "
        "http://one:8188=token, https://two=user:password; each is told its own then, and no other address anything.",
    )
    comfyui_python: Path | None = Field(
        None,
        description="A Python whose packages an installed ComfyUI uses, such as one with torch. Empty: it gets all of its own.",
    )
    comfyui_arguments: str = Field(
        "",
        max_length=2000,
        description="More arguments for the ComfyUI that Likeness starts, such as --lowvram.",
    )
    comfyui_torch: str = Field(
        "",
        max_length=40,
        description="The torch that ComfyUI is installed with: cpu, cuda, cuda12, rocm or mps. Empty: what suits this computer's drivers.",
    )
    engine_pins: Path | None = Field(None, description="Another file than engines/pins.json to install engines by.")
    aitoolkit_path: Path | None = Field(
        None,
        validation_alias=_names("LIKENESS_AITOOLKIT_PATH", "AITOOLKIT_PATH"),
        description="The folder of an AI-Toolkit of yours with an environment of its own: it is used as it lies there and never changed. "
        "Empty: the one that Setup installs.",
    )
    aitoolkit_python: Path | None = Field(
        None,
        description="A Python whose packages an installed AI-Toolkit uses, such as one with torch. Empty: it gets all of its own.",
    )
    aitoolkit_torch: str = Field(
        "",
        max_length=40,
        description="The torch that AI-Toolkit is installed with: cpu, cuda or cuda12. Empty: what suits this computer's drivers.",
    )
    caption_url: str = Field(
        "",
        description="The address of a vision model that writes captions, with OpenAI's interface: http://127.0.0.1:11434/v1 is Ollama on "
        "this computer, http://127.0.0.1:1234/v1 LM Studio, https://api.x.ai/v1 xAI. Empty: no picture is sent anywhere.",
    )
    caption_model: str = Field("", max_length=200, description="The name of the vision model at that address.")
    caption_key: SecretStr = Field(SecretStr(""), description="The key for that address. It is sent nowhere else.")
    caption_timeout_s: float = Field(
        120,
        ge=1,
        le=3600,
        description="Seconds that a vision model may take for one caption. A model on this computer is loaded in them, too.",
    )
    caption_side: int = Field(
        1024,
        ge=256,
        le=4096,
        description="The longer side, in pixels, of the pictures that a vision model is shown; larger ones are shrunk.",
    )
    hf_token: SecretStr = Field(
        SecretStr(""),
        validation_alias=_names("LIKENESS_HF_TOKEN", "HF_TOKEN"),
        description="A Hugging Face token for gated models. AI-Toolkit gets it; downloads don't send it yet.",
    )
    runpod_api_key: SecretStr = Field(
        SecretStr(""),
        validation_alias=_names("LIKENESS_RUNPOD_API_KEY", "RUNPOD_API_KEY"),
        description="A RunPod API key. Kept for pods; nothing sends it yet.",
    )

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError("choose DEBUG, INFO, WARNING or ERROR")
        return value.upper()

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if value not in {"auto", "cpu", "cuda", "mps"}:
            raise ValueError("choose auto, cpu, cuda or mps")
        return value

    @field_validator("dtype")
    @classmethod
    def _known_dtype(cls, value: str) -> str:
        if value not in {"auto", "float32", "bfloat16", "float16"}:
            raise ValueError("choose auto, float32, bfloat16 or float16")
        return value

    @field_validator("comfyui_url")
    @classmethod
    def _web_addresses(cls, value: str) -> str:
        addresses = [part.strip().rstrip("/") for part in value.split(",") if part.strip()]
        for address in addresses:
            parts = urlsplit(address)
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ValueError("write addresses as http://127.0.0.1:8188")
            if "@" in parts.netloc:
                raise ValueError("put user and password into LIKENESS_COMFYUI_TOKEN, not into the address")
        return ", ".join(addresses)

    @field_validator("caption_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        # People paste the address of a route as well.
        address = value.strip().rstrip("/").removesuffix("/chat/completions").removesuffix("/models").rstrip("/")
        if not address:
            return ""
        parts = urlsplit(address)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.port == 0:
            raise ValueError("write the address as http://127.0.0.1:11434/v1")
        if "@" in parts.netloc:
            raise ValueError("put the key into LIKENESS_CAPTION_KEY, not into the address")
        return address

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # Saved changes arrive as init arguments and must not hide what the environment says.
        return env_settings, dotenv_settings, init_settings

    @property
    def models_path(self) -> Path:
        """The folder of checkpoints."""
        return self.models_dir or self.data / "models"

    @property
    def loras_path(self) -> Path:
        """The folder of LoRAs."""
        return self.loras_dir or self.data / "loras"

    @property
    def fingerprints_path(self) -> Path:
        """The file of weights' SHA-256, so that none is read twice."""
        return self.data / "cache" / "fingerprints.json"

    def comfyui_token_for(self, url: str) -> str:
        """What the ComfyUI server at an address wants to hear; empty where nothing was said for it."""
        said = self.comfyui_token.get_secret_value().strip()
        if not _NAMES_SERVERS.match(said):
            return said
        told = (part.partition("=") for part in _NEXT_SERVER.split(said))
        return next((token.strip() for server, _, token in told if server.strip().rstrip("/") == url.rstrip("/")), "")

    @property
    def secrets_path(self) -> Path:
        """The folder of the password's hash, token hashes and the session key; outside the database."""
        return self.data / "secrets"

    @property
    def database(self) -> str:
        """The SQLAlchemy URL of the database."""
        url = self.database_url.get_secret_value()
        if not url:
            return f"sqlite:///{self.data / 'likeness.db'}"
        for plain in ("postgres://", "postgresql://"):
            if url.startswith(plain):
                return "postgresql+psycopg://" + url.removeprefix(plain)
        return url

    def secrets(self) -> tuple[str, ...]:
        """Every secret value that is set, for the logs to redact."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return tuple(v.get_secret_value() for v in values if isinstance(v, SecretStr) and v.get_secret_value())


def load_settings(data: Path | None = None) -> Settings:
    """Read the settings; `data` (from `--data`) wins over every other place for the data folder.

    Raises InvalidFieldValue or InvalidFieldType naming the setting, ContractMismatch for an unreadable settings.json.
    """
    if data is not None:
        os.environ["LIKENESS_DATA"] = str(data.expanduser().resolve())
    try:
        said = Settings.model_validate({}).data.expanduser()
        # A line of .env means the same folder wherever the command is typed; one in the environment is the typist's own.
        typed = any(name in os.environ for name in ("LIKENESS_DATA", "VOLUME_ROOT"))
        root = said.resolve() if typed else (HOME / said).resolve()
        saved = _read_saved(root / SAVED)
        return Settings(**{**saved, "data": root}).model_copy(update={"data": root})
    except ValidationError as error:
        raise from_validation(error) from error


def reread(settings: Settings) -> Settings:
    """The same settings as a start would find them now. Raises as `load_settings` does."""
    return _with(settings, _read_saved(settings.data / SAVED))


def save_setting(settings: Settings, name: str, value: Any) -> None:
    """Keep a change made in the app, in `settings.json` of the data folder; secrets are refused."""
    save_settings(settings, {name: value})


def save_settings(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """Keep several changes or none of them, and give the settings that the next start will find. None takes a change away again.

    Raises ContractMismatch for secrets and unknown names, InvalidFieldValue or InvalidFieldType naming the setting.
    """
    for name in changes:
        field = Settings.model_fields.get(name)
        if field is None or name == "data":
            raise ContractMismatch(f"There is no setting called “{name}” that can be saved.", field=name)
        if isinstance(getattr(settings, name), SecretStr):
            raise ContractMismatch("Secrets are not saved here: set them in the environment or in .env.", field=name)
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        # Two pages that save at the same moment must not undo each other.
        with FileLock(settings.data / f".{SAVED}.lock", timeout=10):
            changed = {**_read_saved(settings.data / SAVED), **changes}
            changed = {name: value for name, value in changed.items() if value is not None}
            found = _with(settings, changed)
            for name in changes:
                if isinstance(value := getattr(found, name), float) and not math.isfinite(value):
                    raise InvalidFieldValue(f"“{name}” must be a number.", field=name)
            write_atomically(settings.data / SAVED, json.dumps(changed, indent=1).encode())
    except Timeout as error:
        raise Conflict("Another command is changing the settings.", remedy="Try again in a moment.") from error
    except OSError as error:
        raise from_os_error(error, "save the settings") from error
    return found


def env_name(field: str) -> str:
    """The environment variable that sets a field."""
    return f"LIKENESS_{field.upper()}"


def env_names(field: str) -> tuple[str, ...]:
    """Every environment variable that sets a field, its own first."""
    alias = Settings.model_fields[field].validation_alias
    return tuple(str(choice) for choice in alias.choices) if isinstance(alias, AliasChoices) else (env_name(field),)


def _with(settings: Settings, saved: Mapping[str, Any]) -> Settings:
    try:
        return Settings(**{**saved, "data": settings.data}).model_copy(update={"data": settings.data})
    except ValidationError as error:
        fault = from_validation(error)
        fault.field = next((name for name in Settings.model_fields if fault.field in (name, *env_names(name))), fault.field)
        raise fault from error


def _read_saved(path: Path) -> dict[str, Any]:
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ContractMismatch(f"{path} can't be read: {error}.", remedy="Mend it or delete it; defaults then apply.") from error
    if not isinstance(saved, dict):
        raise ContractMismatch(f"{path} is not a list of settings.", remedy="Delete it; defaults then apply.")
    return {key: value for key, value in saved.items() if key in Settings.model_fields}
