"""Frozen values that cross boundaries: between page, API, CLI, database and engines."""

from __future__ import annotations

import re
import secrets
import time
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

_SLUG = r"^[a-z0-9]+(?:-[a-z0-9]+)*$"
_TRIGGER = r"^[\w-]+$"
MAX_PROMPT = 10_000
MAX_COUNT = 16
MAX_SEED = 2**32 - 1
STYLE = "style"  # the category of presets that are styles
# What the {…} stand for is in prompts.fill; a part between commas whose words are missing drops out.
DEFAULT_TEMPLATE = "{trigger_word}, {person}, {hair}, {skin} skin, {eyes} eyes, {marks}, wearing {clothes}, {caption}"


class Contract(BaseModel):
    """A frozen value; unknown fields are refused rather than ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class JobKind(StrEnum):
    """What a job does; its handler has the same name."""

    generate = "generate"
    train = "train"
    caption = "caption"


class JobState(StrEnum):
    """Where a job stands. The last four are ends: only `retry` leaves them. A training that was stopped is paused until it is resumed."""

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


class EnlargeWay(StrEnum):
    """How a picture is enlarged."""

    twice = "2x"
    four_times = "4x"
    detail = "detail"

    @property
    def factor(self) -> int:
        """How many times as wide the picture is then; only of upscaling."""
        return 4 if self is EnlargeWay.four_times else 2


class PictureKind(StrEnum):
    """Where a picture came from."""

    generated = "generated"
    upload = "upload"
    photo = "photo"  # of a character
    reference = "reference"  # a pose, a place, an outfit to start from
    mask = "mask"  # painted: white is drawn anew


class CharacterKind(StrEnum):
    """Who a character is. Everyone but the invented needs a consent record."""

    fictional = "fictional"
    me = "me"
    consented = "consented"

    @property
    def real(self) -> bool:
        return self is not CharacterKind.fictional


class CharacterStatus(StrEnum):
    """Where a character is kept."""

    active = "active"
    archived = "archived"
    trashed = "trashed"


class Family(StrEnum):
    """The model architectures that the embedded engine knows. Engines elsewhere know more: theirs are named by their workflows."""

    starter = "starter"
    sd15 = "sd15"
    sd2 = "sd2"
    sdxl = "sdxl"
    sd3 = "sd3"
    flux = "flux"
    other = "other"


class Optimizer(StrEnum):
    """What turns gradients into steps, by AI-Toolkit's names. Prodigy finds a rate by itself: the learning rate is a factor of it."""

    adamw8bit = "adamw8bit"
    adamw = "adamw"
    adafactor = "adafactor"
    prodigy = "prodigy"


class Targets(StrEnum):
    """Which layers a LoRA changes."""

    attention = "attention"
    everything = "everything"  # feed-forward and convolutions, too: more of a likeness, a larger file


class Schedule(StrEnum):
    """How the learning rate goes on after its warm-up."""

    constant = "constant"
    linear = "linear"
    cosine = "cosine"


class CaptionStyle(StrEnum):
    """How captions are written: sentences for FLUX, Qwen-Image and the like, tags for SD 1.5 and SDXL models that were taught by tags."""

    natural = "natural"
    tags = "tags"


class Tone(StrEnum):
    """How the brightness of a finished picture is spread."""

    none = "none"
    reinhard = "reinhard"


Prompt = Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_PROMPT)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400)]
Word = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]


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
    """One LoRA in a picture: its name in the library or a path, and how strongly it acts (1 = as trained).

    At 0 it is left out, also where the character or the preset would bring it along.
    """

    path: Name
    strength: float = Field(1.0, ge=-4, le=4)


class Consent(Asked):
    """That a real person agreed: who, to what, until when (None: until it is taken back). `evidence` names a file beside the photos."""

    who: Name
    what_for: Annotated[Prompt, StringConstraints(min_length=1)]
    until: date | None = None
    evidence: Annotated[str, StringConstraints(max_length=400)] = ""


class AxisField(StrEnum):
    """What a grid can vary."""

    seed = "seed"
    steps = "steps"
    cfg = "cfg"
    sampler = "sampler"
    scheduler = "scheduler"
    denoise = "denoise"
    lora_strength = "lora_strength"
    preset = "preset"
    style = "style"
    prompt = "prompt"


class Axis(Asked):
    """One side of a grid: what is varied, and its values in order."""

    field: AxisField
    values: tuple[Name, ...] = Field(min_length=1, max_length=20)


class Grid(Asked):
    """Pictures for every pair of two axes' values; one axis alone is a row."""

    x: Axis
    y: Axis | None = None


class GenerateRequest(Asked):
    """What a person asks for. None means "as the preset or the model says".

    With a `character` its words, negative prompt, LoRA and preset are added; `as_written` takes the prompts as they stand. A `style` brings
    its look (words, LoRAs, grain and tone) to any preset, which keeps its size, steps and sampling.
    `image` starts from a picture, and a `mask` (white is drawn anew) keeps the rest of it bit for bit, and its size where neither `width`
    nor `height` is given. `references` × `variations`,
    a `grid`, or wildcards in the prompt make many jobs of one request.
    """

    prompt: Prompt = ""
    negative_prompt: Prompt = ""
    character: Name | None = None
    variant: Name | None = Field(None, description="One of the character's face variants: its face is drawn over that of each picture")
    as_written: bool = False
    image: Name | None = None
    mask: Name | None = None
    denoise: float | None = Field(None, gt=0, le=1)
    real_person: bool | None = Field(None, description="Whether an uploaded `image` shows a real person; asked of uploads alone")
    consent: Consent | None = Field(None, description="Of the real person in `image`, where no character says it")
    references: tuple[Name, ...] = Field((), max_length=100)
    variations: int = Field(1, ge=1, le=5)
    grid: Grid | None = None
    wildcards: bool = Field(True, description="Resolve {a|b} and __name__ in the prompt")
    preset: Name | None = None
    style: Name | None = Field(None, description="A preset of the category “style”, beside `preset`; “none” is none")
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
    grain: float | None = Field(None, ge=0, le=1, description="Film grain laid over the picture; 0 is none, 1 is coarse")
    tone: Tone | None = Field(None, description="Tone mapping of the picture")
    tone_strength: float | None = Field(None, ge=0, le=1)
    prompt_suffix: Prompt = ""
    negative_suffix: Prompt = ""
    workflow: Name | None = Field(None, description="The ComfyUI workflow that makes it; None takes the model's own")
    values: dict[Name, Prompt | bool | int | float] = Field(
        {}, max_length=64, description="Values of the workflow's own parameters; pictures by their ids"
    )


class TrainRequest(Asked):
    """A LoRA of a character to train. None means "as the preset says".

    Without a `dataset` it is the character's newest one, or one made of its photos. `name` is that of the LoRA. `samples` are prompts
    that show how it goes; `{trigger_word}` in them is the character's.
    """

    character: Name
    dataset: Name | None = None
    preset: Name = "balanced"
    engine: Name | None = None
    model: Name | None = None
    name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=80)] = ""
    steps: int | None = Field(None, ge=1, le=100_000)
    rank: int | None = Field(None, ge=1, le=256)
    alpha: int | None = Field(None, ge=1, le=1024)
    targets: Targets | None = None
    learning_rate: float | None = Field(None, gt=0, le=0.1)
    schedule: Schedule | None = None
    warmup: int | None = Field(None, ge=0, le=10_000)
    batch: int | None = Field(None, ge=1, le=64)
    resolution: int | None = Field(None, ge=64, le=2048)
    caption_dropout: float | None = Field(None, ge=0, le=1)
    gradient_checkpointing: bool | None = None
    prior_weight: float | None = Field(
        None, ge=0, le=10, description="Prior preservation: how much class pictures, drawn by the model itself, count; 0 is none"
    )
    prior_pictures: int | None = Field(None, ge=2, le=1000, description="How many class pictures are drawn before the first step")
    prior_prompt: Annotated[Prompt, StringConstraints(min_length=1)] | None = Field(
        None, description="What class pictures show; by default a portrait of a person, woman or man, as the character is one"
    )
    low_vram: bool | None = Field(None, description="AI-Toolkit alone: keep in the computer's memory what the card has no room for")
    quantize: bool | None = Field(None, description="AI-Toolkit alone: hold the model's weights in 8 bits while it learns")
    quantize_te: bool | None = Field(None, description="AI-Toolkit alone: hold the text encoder's weights in 8 bits")
    optimizer: Optimizer | None = Field(None, description="AI-Toolkit alone: what turns gradients into steps; prodigy wants a rate of 1")
    seed: int = Field(-1, ge=-1, le=MAX_SEED)
    save_every: int | None = Field(None, ge=1)
    sample_every: int | None = Field(None, ge=1)
    samples: tuple[Prompt, ...] | None = Field(None, max_length=8)


class FacePass(Contract):
    """The face of a finished picture drawn anew by the LoRA of a face variant, `denoise` saying how much of it.

    `alone` draws nothing else: the recipe's `image` stays as it is around the face.
    """

    variant: str
    lora: LoraUse
    denoise: float = 0.6
    alone: bool = False


class CaptionRequest(Asked):
    """Captions that a vision model is to write: for a dataset, for the newest one of a `character`, or for `references` of the library.

    What has a caption keeps it unless `replace`. `pictures` are only these of them; a job doesn't repeat them. The trigger word of a
    dataset's character comes first in each, and what belongs to the person is left out. Without a `captioner` it is the vision model at
    the address of the settings, or, where there is none, the first of the models folder.
    """

    dataset: Name | None = None
    character: Name | None = Field(default=None, description="An id or a slug")
    references: bool = False
    category: Word = Field(default="", description="Only references of this category")
    pictures: tuple[Name, ...] | None = Field(default=None, min_length=1, max_length=20_000)
    style: CaptionStyle = CaptionStyle.natural
    replace: bool = Field(default=False, description="Write those anew that have a caption, too")
    captioner: Name | None = Field(default=None, description="A captioning model of the models folder, by its folder's name")
    real_person: bool | None = Field(
        default=None, description="Whether references show real people; asked only where they are sent to another computer"
    )
    allow_remote_for_real: bool = Field(
        default=False, description="The real people shown agreed that their pictures are sent to the vision model's computer"
    )


class Recipe(Contract):
    """A request with nothing left open: same recipe, same device, same pixels.

    Picture `i` of the batch is made from seed `seed + i` (mod 2**32). `prompt` and `negative_prompt` are final.
    `image`, `mask` and `reference` are ids of pictures in the library; `cell` says where in a grid it stands. `grain` and `tone` are laid
    over what the engine made. `pictures` are ids too, by the parameters of its workflow that take a picture. `style` is the look it has,
    whether it was chosen beside the preset or is the preset itself. `parent` is the picture that this one is a larger one of.
    """

    prompt: str
    negative_prompt: str
    preset: str | None
    style: str | None = None
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
    character: str | None = None
    image: str | None = None
    mask: str | None = None
    denoise: float | None = None
    grain: float = 0
    tone: Tone = Tone.none
    tone_strength: float = 1
    face: FacePass | None = None
    reference: str | None = None
    parent: str | None = None
    real_person: bool = False
    consent: Consent | None = None
    cell: tuple[int, int] | None = None
    workflow: str | None = None
    values: dict[str, str | bool | int | float] = {}
    pictures: dict[str, str] = {}

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
    """One piece of durable work, as people see it. Times are UTC; `progress` runs from 0 to 1; `eta_s` is in seconds.

    What waits is done by `priority`, the smallest first, and then by `queued_at`: when its newest attempt came into the queue.
    A training has `training`, captions have `captions`, and neither has `request` and `recipe`; pictures the other way round.
    """

    id: str
    kind: JobKind
    state: JobState
    batch_id: str
    attempt: int
    priority: int
    request: GenerateRequest | None
    recipe: Recipe | None
    training: TrainRequest | None = None
    captions: CaptionRequest | None = None
    progress: float
    step: int
    steps: int
    note: str
    eta_s: float | None
    preview: int = Field(description="counts up with each live preview; 0 means there is none")
    cancel_requested: bool
    correlation_id: str
    created_at: datetime
    queued_at: datetime | None = Field(None, description="only of what waits")
    started_at: datetime | None
    finished_at: datetime | None
    error: Problem | None


class Composed(Contract):
    """What a request would make: the final prompts of its first job, and how many jobs and pictures it is.

    `left_out` are marks of the character that the model has no words for: the prompt goes without them.
    """

    prompt: str
    negative_prompt: str
    jobs: int
    pictures: int
    left_out: tuple[str, ...] = ()


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
    character_id: str | None = None
    favourite: bool = False
    caption: str = ""
    category: str = ""
    name: str = ""
    real_person: bool = False


class RefusedPhoto(Contract):
    """A file that was not taken in, and why."""

    name: str
    error: Problem


class PhotosAdded(Contract):
    """What became of the files that were sent: those that are kept, and those that are not."""

    items: tuple[Picture, ...]
    refused: tuple[RefusedPhoto, ...]


class PictureChange(Asked):
    """What can be changed of pictures. None leaves it as it is."""

    favourite: bool | None = None
    caption: Prompt | None = None
    category: Annotated[str, StringConstraints(strip_whitespace=True, max_length=60)] | None = None


class Facet(Contract):
    """One thing that occurs in the library: its id, its name, and in how many pictures."""

    id: str
    name: str
    count: int


class Facets(Contract):
    """What the pictures of the library can be found by."""

    characters: tuple[Facet, ...]
    presets: tuple[Facet, ...]
    styles: tuple[Facet, ...]
    categories: tuple[Facet, ...]
    months: tuple[Facet, ...]


class Appearance(Asked):
    """How a character looks, in words that go into prompts. `age` is in years; characters are adults."""

    age: int | None = Field(None, ge=18, le=120)
    gender: Word = ""
    skin: Word = ""
    hair: Word = Field("", description="Colour and style, as in “long wavy red hair”")
    eyes: Word = ""
    build: Word = ""
    marks: Word = Field("", description="Glasses, freckles, scars, tattoos")

    @field_validator("age", mode="before")
    @classmethod
    def _is_adult(cls, value: object) -> object:
        if isinstance(value, int | float) and not isinstance(value, bool) and value < 18:
            raise ValueError("characters are adults, 18 or older")
        return value


class CharacterFields(Asked):
    """What a person writes about a character."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
    slug: Annotated[str, StringConstraints(pattern=_SLUG, max_length=60)] | None = Field(
        None, description="Letters, digits and hyphens; made from the name when left out"
    )
    kind: CharacterKind = CharacterKind.fictional
    appearance: Appearance = Appearance()  # pyright: ignore[reportCallIssue]  # all have defaults
    personality: Prompt = ""
    voice: Prompt = Field("", description="How the character speaks and writes")
    wardrobe: Prompt = ""
    backstory: Prompt = ""
    trigger_word: Annotated[str, StringConstraints(pattern=_TRIGGER, max_length=40)] | None = Field(
        None, description="One made-up word that stands for the character in prompts; suggested when left out"
    )
    negative_prompt: Prompt = ""
    preset: Name | None = None
    engine: Name | None = None
    model: Name | None = None
    lora: Name | None = None
    lora_strength: float = Field(1.0, ge=-4, le=4)
    handles: dict[Name, Name] = Field(default_factory=dict, max_length=30, description="Social handles, by channel")
    consent: Consent | None = None

    # A pattern says what is wrong to whoever reads patterns; people are told in words.
    @field_validator("slug", mode="before")
    @classmethod
    def _is_short_name(cls, value: object) -> object:
        if isinstance(value, str) and not re.fullmatch(_SLUG, value):
            raise ValueError("small letters from a to z, digits and single hyphens between them, as in mara-lind")
        return value

    @field_validator("trigger_word", mode="before")
    @classmethod
    def _is_one_word(cls, value: object) -> object:
        if isinstance(value, str) and not re.fullmatch(_TRIGGER, value):
            raise ValueError("one word of letters, digits, hyphens and underscores, as in maralind")
        return value


class FaceVariant(Asked):
    """A named look of a character: a face of its own, drawn by a LoRA of its own over the face of a finished picture.

    `portrait` is the id of one of the character's own pictures, `handles` are its social handles, by channel.
    """

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]
    lora: Name
    lora_strength: float = Field(1.0, ge=-4, le=4)
    portrait: Name | None = None
    handles: dict[Name, Name] = Field(default_factory=dict, max_length=30)


MOST_VARIANTS = 3


class CharacterChange(Asked):
    """What is to change of a character; what is left out stays. With `version`, only if nobody changed it meanwhile."""

    version: int | None = None
    status: CharacterStatus | None = None
    portrait: Name | None = None
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)] | None = None
    slug: str | None = None
    kind: CharacterKind | None = None
    appearance: Appearance | None = None
    personality: Prompt | None = None
    voice: Prompt | None = None
    wardrobe: Prompt | None = None
    backstory: Prompt | None = None
    trigger_word: str | None = None
    negative_prompt: Prompt | None = None
    preset: Name | None = None
    engine: Name | None = None
    model: Name | None = None
    lora: Name | None = None
    lora_strength: float | None = Field(None, ge=-4, le=4)
    handles: dict[Name, Name] | None = None
    consent: Consent | None = None
    variants: tuple[FaceVariant, ...] | None = Field(None, max_length=MOST_VARIANTS, description="All of its face variants")


class Character(CharacterFields):
    """A character of the studio. `version` grows with every change; `portrait` is the id of a picture."""

    id: str
    slug: str  # pyright: ignore[reportIncompatibleVariableOverride]  # never open once it is kept
    trigger_word: str  # pyright: ignore[reportIncompatibleVariableOverride]
    status: CharacterStatus
    portrait: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    variants: tuple[FaceVariant, ...] = Field((), max_length=MOST_VARIANTS)

    def loras(self) -> tuple[str, ...]:
        """The LoRAs that it is drawn with, its variants' among them, by their names in the LoRA folder."""
        return (*((self.lora,) if self.lora else ()), *(variant.lora for variant in self.variants))


class Look(Contract):
    """What a preset says of a picture. None leaves it to the model."""

    prompt_suffix: str = ""
    style_words: str = Field("", description="Its own style, which makes way for a style that is chosen beside it")
    negative_prompt: str = ""
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    cfg: float | None = None
    sampler: str | None = None
    scheduler: str | None = None
    denoise: float | None = Field(None, gt=0, le=1, description="Where it starts from a picture")
    loras: tuple[LoraUse, ...] = ()
    workflow: str | None = Field(None, description="The ComfyUI workflow that makes it, where it is not the model's own")
    grain: float | None = Field(None, ge=0, le=1)
    tone: Tone | None = None
    tone_strength: float | None = Field(None, ge=0, le=1)


class Needs(Contract):
    """What a preset can't do without, besides a model of its families.

    `identity`: a character with a LoRA or portrait, or a picture to start from. `nodes` are ComfyUI's classes, `models` files by the
    server's folder, as in `loras/film.safetensors`; `link` says where they are to be had.
    """

    identity: bool = False
    nodes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    link: str = ""


class Preset(Look):
    """Named defaults for a request, with the sentence a person reads. `id` carries its version (`portrait_v1`).

    What `per_family` says of a model's family goes before the rest: null leaves a value to the model. `engines` and `families` may be
    `any`; `not_families` are those that it does nothing good on. One whose `category` is “style” can be chosen beside any other.
    """

    id: Name
    name: str
    category: str
    tooltip: str
    engines: tuple[str, ...] = ("embedded",)
    families: tuple[str, ...] = (Family.starter,)
    not_families: tuple[str, ...] = ()
    per_family: dict[str, Look] = {}
    needs: Needs = Needs()
    example_prompt: str = ""
    requires_consent: bool = False

    @field_validator("engines", "families", "not_families", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @property
    def is_style(self) -> bool:
        """Whether it can be chosen as a style, beside another preset."""
        return self.category == STYLE

    def on(self, family: str) -> Preset:
        """The preset as it is on models of a family."""
        own = self.per_family.get(family)
        return self if own is None else self.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})


class PresetChoice(Preset):
    """A preset, and whether it runs with the model that was asked about: None where none was.

    `why_not` and `remedy` are plain words, `link` leads to what is missing.
    """

    runs: bool | None = None
    why_not: str = ""
    remedy: str = ""
    link: str = ""


class ModelSpec(Contract):
    """A checkpoint that can be chosen, and what it wants. Sides are pixels, `side_step` their grid."""

    id: Name
    name: str
    about: str
    engine: str
    family: str
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
    """A LoRA that can be chosen. `path` is its name in the LoRA folder; `family` is read from its tensors' shapes.

    One on another engine's servers is only a name there: its family is `other`, its size 0.
    """

    path: Name
    name: str
    family: str
    bytes: int
    trigger: str = ""
    engine: str = "embedded"


class EngineState(Contract):
    """What the worker last said of an engine; the web process reads it and asks no engine itself."""

    name: str
    state: str = Field(description="asleep (nothing loaded) | loading | ready | busy | offline | unset (no address)")
    device: str = ""
    model: str | None = None
    memory_mb: float = 0
    note: str = ""
    updated_at: datetime | None = None


class ServerState(Contract):
    """One server of an engine that runs elsewhere. `state` is asking (no answer is known yet), reachable or
    offline; memory in MB; `problem` and `remedy` say why not.
    """

    url: str
    state: str
    version: str = ""
    device: str = ""
    vram_mb: float = 0
    queued: int = 0
    problem: str = ""
    remedy: str = ""


class SamplingChoice(Contract):
    """A sampler or scheduler that can be asked for by its `id`: how it is written for people, and what it is good for, where known."""

    id: str
    name: str
    about: str = ""


class Sampling(Contract):
    """How a model can be sampled. A list is empty where a workflow leaves nothing to choose."""

    samplers: tuple[SamplingChoice, ...]
    schedulers: tuple[SamplingChoice, ...]


class Inventory(Contract):
    """What an engine that runs elsewhere has. `files` are names by folder (checkpoints, loras, vae …) that at least one server knows."""

    servers: tuple[ServerState, ...] = ()
    files: dict[str, tuple[str, ...]] = {}
    nodes: tuple[str, ...] = ()


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
