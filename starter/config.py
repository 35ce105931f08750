"""The one file that says how the model is made, as checked values: `config.yaml`."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio.errors import InvalidFieldValue
from studio.files import read_yaml

HERE = Path(__file__).resolve().parent
HOME = HERE.parent
WORKSHOP = HOME / ".cache" / "starter"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(_Part):
    """What is drawn: `pictures` to learn from and `held_out` behind them, in files of `shard`, `side` pixels wide and high."""

    pictures: int = Field(ge=1)
    held_out: int = Field(ge=1)
    shard: int = Field(ge=1)
    side: int = Field(ge=32)


class Tokenizer(_Part):
    """`length` is the most tokens of a prompt; a pair of letters seen `seen` times in `captions` captions may become a token."""

    captions: int
    vocabulary: int
    seen: int
    length: int


class Schedule(_Part):
    """How long and how fast: `samples` pictures in batches of `batch` (`batch_cuda` on a GPU), and the learning rate on the way.

    The rate climbs over `warm_up` samples, stays until the share `flat` of them all, then falls along a cosine to `end` of it. The
    averaged weights forget by half in `half_life` samples; 0 keeps no average.
    """

    samples: int = Field(ge=1)
    batch: int = Field(ge=1)
    batch_cuda: int = Field(ge=1)
    rate: float = Field(gt=0)
    warm_up: int = 0
    flat: float = 0.0
    end: float = 0.02
    half_life: int = 0


class Vae(_Part):
    """AutoencoderKL: `channels` per resolution, from the picture down to the latents; each halves the side but the last.

    Its latents have no spread of their own, but are held near mean 0 and standard deviation 1 (`moments`), with noise of `noise` on
    them as it learns. The first share `cropped` of the samples are squares of `crop` pixels. Losses: L1 + `edges` × L1 of the
    differences between neighbours + `squares` × MSE; a pixel of the face counts `face` times as much as one elsewhere.
    `decoder_alone` goes on with the decoder when the latents are final, which leaves the denoiser valid.
    """

    latent_channels: int
    channels: tuple[int, ...]
    groups: int
    crop: int
    cropped: float
    edges: float
    squares: float
    moments: float
    noise: float
    face: float
    schedule: Schedule
    decoder_alone: Schedule

    @property
    def factor(self) -> int:
        """Pixels to a latent cell, along one side."""
        return 2 ** (len(self.channels) - 1)


class TextEncoder(_Part):
    """CLIPTextModel, taught to tell from a caption what is on the picture before the denoiser sees it, and frozen then."""

    width: int
    layers: int
    heads: int
    schedule: Schedule


class Denoiser(_Part):
    """UNet2DConditionModel with v-prediction.

    Noise is drawn so that the time is `shift`·u / (1 + (`shift` - 1)·u) for an even u: more of it near pure noise, where is decided what
    is drawn. `dropped` captions are empty, for CFG. A cell of the face counts `face` times as much as one elsewhere.
    """

    channels: tuple[int, ...]
    heads: tuple[int, ...]
    layers: int
    shift: float
    dropped: float
    face: float
    schedule: Schedule


class Reader(_Part):
    """The network that reads attributes off a picture of `side` pixels: `channels` of its blocks, each of which halves the side."""

    side: int
    channels: tuple[int, ...]
    noise: float
    schedule: Schedule


class Evaluation(_Part):
    """`prompts` held-out captions at each of `seeds`, `steps` sampler steps at CFG scale `cfg`; LoRAs of `identities` people."""

    prompts: int
    seeds: tuple[int, ...]
    steps: int
    cfg: float
    identities: int
    lora_pictures: int


class Saving(_Part):
    """Minutes between two checkpoints, and seconds between two lines of the log."""

    minutes: float
    log_seconds: float


class Config(_Part):
    """Everything that decides about the weights."""

    seed: int
    data: Data
    tokenizer: Tokenizer
    vae: Vae
    text_encoder: TextEncoder
    denoiser: Denoiser
    reader: Reader
    evaluation: Evaluation
    saving: Saving


def load_config(path: Path = HERE / "config.yaml") -> Config:
    """Raises InvalidFieldValue for a file that is missing, no YAML or not of this shape."""
    try:
        return Config.model_validate(read_yaml(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError, yaml.YAMLError) as error:
        raise InvalidFieldValue(
            f"{path.name} can't be used: {error}", remedy="Mend it, or get it again: `git checkout -- starter/config.yaml`."
        ) from error
