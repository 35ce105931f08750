"""Frozen values that cross boundaries: between page, API, CLI, database and engines."""

from __future__ import annotations

import secrets
import time
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

MAX_PROMPT = 10_000
MAX_COUNT = 16
MAX_SEED = 2**32 - 1


class Contract(BaseModel):
    """A frozen value; unknown fields are refused rather than ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class JobKind(StrEnum):
    """What a job does; its handler has the same name."""

    generate = "generate"


class JobState(StrEnum):
    """Where a job stands. The last four are ends: only `retry` leaves them."""

    queued = "queued"
    running = "running"
    paused = "paused"
    done = "done"
    failed = "failed"
    cancelled = "cancelled"
    poisoned = "poisoned"

    @property
    def ended(self) -> bool:
        return self in ENDED


ENDED = frozenset({JobState.done, JobState.failed, JobState.cancelled, JobState.poisoned})


class Quality(StrEnum):
    """How much time a picture may take: scales the steps of the preset or model."""

    low = "low"
    standard = "standard"
    pro = "pro"


class PictureKind(StrEnum):
    """Where a picture came from."""

    generated = "generated"
    upload = "upload"


class Family(StrEnum):
    """A model architecture: what decides which LoRAs fit. A new one is a line here and its data."""

    starter = "starter"
    sd15 = "sd15"
    sd2 = "sd2"
    sdxl = "sdxl"
    sd3 = "sd3"
    flux = "flux"
    other = "other"


Prompt = Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_PROMPT)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400)]


class Asked(Contract):
    """A value that people write themselves."""

    @field_validator("*")
    @classmethod
    def _without_null(cls, value: object) -> object:
        # Neither PostgreSQL, nor a PNG's text, nor a path can hold one.
        if isinstance(value, str) and "\0" in value:
            raise ValueError("null characters can't be used")
        return value


class LoraUse(Asked):
    """One LoRA in a picture: its name in the library or a path, and how strongly it acts (1 = as trained)."""

    path: Name
    strength: float = Field(1.0, ge=-4, le=4)


class GenerateRequest(Asked):
    """What a person asks for. None means "as the preset or the model says"."""

    prompt: Annotated[Prompt, StringConstraints(min_length=1)]
    negative_prompt: Prompt = ""
    preset: Name | None = None
    quality: Quality = Quality.standard
    engine: Name | None = None
    model: Name | None = None
    loras: tuple[LoraUse, ...] = Field((), max_length=8)
    width: int | None = Field(None, ge=16, le=4096)
    height: int | None = Field(None, ge=16, le=4096)
    steps: int | None = Field(None, ge=1, le=150)
    cfg: float | None = Field(None, ge=0, le=30)
    sampler: Name | None = None
    scheduler: Name | None = None
    seed: int = Field(-1, ge=-1, le=MAX_SEED)
    count: int = Field(1, ge=1, le=MAX_COUNT)
    prompt_suffix: Prompt = ""
    negative_suffix: Prompt = ""


class Recipe(Contract):
    """A request with nothing left open: same recipe, same device, same pixels.

    Picture `i` of the batch is made from seed `seed + i` (mod 2**32). `prompt` and `negative_prompt` are final.
    """

    prompt: str
    negative_prompt: str
    preset: str | None
    engine: str
    model: str
    loras: tuple[LoraUse, ...]
    width: int
    height: int
    steps: int
    cfg: float
    sampler: str
    scheduler: str
    seed: int
    count: int

    def seed_of(self, index: int) -> int:
        """The seed of picture `index` of this batch."""
        return (self.seed + index) % (MAX_SEED + 1)


class Problem(Contract):
    """An error as every door shows it."""

    code: str
    message: str
    remedy: str
    field: str | None = None
    correlation_id: str | None = None


class Job(Contract):
    """One piece of durable work, as people see it. Times are UTC; `progress` runs from 0 to 1; `eta_s` is in seconds."""

    id: str
    kind: JobKind
    state: JobState
    batch_id: str
    attempt: int
    priority: int
    request: GenerateRequest
    recipe: Recipe
    progress: float
    step: int
    steps: int
    note: str
    eta_s: float | None
    preview: int = Field(description="counts up with each live preview; 0 means there is none")
    cancel_requested: bool
    correlation_id: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: Problem | None


class Submitted(Contract):
    """The receipt of a click: these jobs are on disk now."""

    ok: bool = True
    job_id: str
    job_ids: tuple[str, ...]
    batch_id: str


class Picture(Contract):
    """One picture of the library. `path` is relative to the data root; `recipe` is None for uploads."""

    id: str
    kind: PictureKind
    job_id: str | None
    index: int
    path: str
    width: int
    height: int
    bytes: int
    sha256: str
    seed: int | None
    recipe: Recipe | None
    model_hash: str | None
    lora_hashes: dict[str, str] = Field(default_factory=dict)
    duration_s: float | None
    created_at: datetime
    trashed_at: datetime | None


class Preset(Contract):
    """Named defaults for a request, with the sentence a person reads. `id` carries its version (`portrait_v1`)."""

    id: Name
    name: str
    category: str
    tooltip: str
    engines: tuple[str, ...] = ("embedded",)
    families: tuple[Family, ...] = (Family.starter,)
    prompt_suffix: str = ""
    negative_prompt: str = ""
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    cfg: float | None = None
    sampler: str | None = None
    scheduler: str | None = None
    example_prompt: str = ""
    requires_consent: bool = False


class ModelSpec(Contract):
    """A checkpoint that can be chosen, and what it wants. Sides are pixels, `side_step` their grid."""

    id: Name
    name: str
    about: str
    engine: str
    family: Family
    path: str
    licence: str
    side_min: int
    side_max: int
    side_step: int
    width: int
    height: int
    steps: int
    cfg: float
    sampler: str
    scheduler: str


class LoraSpec(Contract):
    """A LoRA that can be chosen. `path` is its name in the LoRA folder; `family` is read from its tensors' shapes."""

    path: Name
    name: str
    family: Family
    bytes: int
    trigger: str = ""


class EngineState(Contract):
    """What the worker last said of an engine; the web process reads it and asks no engine itself."""

    name: str
    state: str = Field(description="asleep (nothing loaded) | loading | ready | busy")
    device: str = ""
    model: str | None = None
    memory_mb: float = 0
    note: str = ""
    updated_at: datetime | None = None


class Health(Contract):
    """What `GET /api/v1/health` answers."""

    ok: bool
    version: str
    gpu_available: bool
    worker: str = Field(description="running | starting | down")
    engines: tuple[EngineState, ...]
    database: str
    jobs_queued: int
    jobs_running: int


T = TypeVar("T")


class Page(Contract, Generic[T]):
    """A slice of a list; `next` is the cursor of the following slice, None at the end."""

    items: tuple[T, ...]
    next: str | None = None
    total: int | None = None


def new_id() -> str:
    """A 21-character hex id that sorts by creation time (milliseconds, then 40 random bits)."""
    return f"{time.time_ns() // 1_000_000:011x}{secrets.token_hex(5)}"
