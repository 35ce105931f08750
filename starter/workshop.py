"""The folder in which a model comes about, and the way through it: each step takes up what the ones before it left there.

data/         pictures in shards            checkpoints/   of each training: vae, decoder, text, denoiser, reader
tokenizer/    learned from captions         logs/          JSON lines of each training
latents.f16   every picture's latents       model/         the diffusers folder, put together from the checkpoints
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import CLIPTextModel, CLIPTokenizer

from engines.embedded.reader import ReaderNet
from starter.checkpoints import Checkpoints, Log, Slice
from starter.config import Config
from starter.denoiser import build_denoiser, denoiser_stage
from starter.pictures import Pictures, draw
from starter.reading import build_reader, reader_stage
from starter.text_encoder import build_text_encoder, text_stage
from starter.tokenizer import learn_tokenizer, save_tokenizer
from starter.training import Stage, load_averaged
from starter.vae import build_vae, decoder_stage, encode_all, vae_stage
from studio.errors import ModelInvalid, from_os_error
from studio.files import write_atomically

STAGES = ("vae", "decoder", "text", "denoiser", "reader")
_MEASURED = 4000


@dataclass
class Workshop:
    """Where, by which numbers, on which device, for how long, and to whom it is told."""

    folder: Path
    config: Config
    device: str
    slice: Slice
    say: Callable[[str], None] = print

    # The steps, in their order. Each says whether it is through.

    def draw(self, jobs: int = 1) -> bool:
        """Pictures and their attributes."""
        return draw(self.config.data, self.config.seed, self.folder / "data", self.folder, self.slice, self.say, jobs)

    def make_vae(self) -> bool:
        """The VAE, every picture's latents, and the decoder once more on those."""
        pictures = self.pictures()
        vae = self._vae_as_it_begins()
        if not self._train(vae_stage(vae, pictures, self.config, self.device)):
            return False
        vae.eval()
        latents = encode_all(vae, pictures, self.folder / "latents.f16", self.device, self.slice)
        if latents is None:
            return False
        self._keep_scale(latents)
        return self._train(decoder_stage(vae, pictures, latents, self.config, self.device))

    def train(self) -> bool:
        """The tokenizer, the text encoder, and the denoiser on the latents."""
        pictures = self.pictures()
        if not (self.folder / "tokenizer" / "tokenizer.json").is_file():
            save_tokenizer(learn_tokenizer(pictures, self.config.tokenizer, self.config.seed), self.folder / "tokenizer")
        tokenizer = self.tokenizer()
        encoder = self._text_encoder_as_it_begins(tokenizer)
        if not self._train(text_stage(encoder, tokenizer, pictures, self.config, self.device)):
            return False
        encoder.eval()
        latents, scale = self._latents(pictures), self.scale()
        unet = self._denoiser_as_it_begins(latents.shape)
        return self._train(denoiser_stage(unet, encoder, tokenizer, pictures, latents, scale, self.config, self.device))

    def make_reader(self) -> bool:
        """The network that reads pictures."""
        pictures = self.pictures()
        return self._train(reader_stage(build_reader(self.config, pictures).to(self.device), pictures, self.config, self.device))

    # What there is already.

    def pictures(self) -> Pictures:
        """Raises DependencyMissing when they were not drawn."""
        return Pictures(self.folder / "data", self.config.data)

    def tokenizer(self) -> CLIPTokenizer:
        """Raises ModelInvalid when it was not learned."""
        try:
            return CLIPTokenizer.from_pretrained(str(self.folder / "tokenizer"))
        except (OSError, ValueError, TypeError) as error:
            raise _not_there("tokenizer", "train") from error

    def vae(self) -> Any:
        """The AutoencoderKL with the decoder as far as it was trained. Raises ModelInvalid when there is none."""
        vae = self._vae_as_it_begins()
        if load_averaged(self.checkpoints("vae"), {"vae": vae}) is None:
            raise _not_there("VAE", "vae")
        vae.encoder.requires_grad_(False)
        load_averaged(self.checkpoints("decoder"), {"decoder": vae.decoder})
        vae.register_to_config(scaling_factor=self.scale())
        return vae.eval()

    def text_encoder(self, tokenizer: CLIPTokenizer) -> CLIPTextModel:
        """Raises ModelInvalid when there is none."""
        encoder = self._text_encoder_as_it_begins(tokenizer)
        found = self.checkpoints("text").load()
        if found is None:
            raise _not_there("text encoder", "train")
        encoder.load_state_dict(found[1]["modules"]["text_encoder"])
        return encoder.eval()

    def denoiser(self) -> Any:
        """The UNet2DConditionModel. Raises ModelInvalid when there is none."""
        cells = self.config.data.side // self.config.vae.factor
        unet = self._denoiser_as_it_begins((0, self.config.vae.latent_channels, cells, cells))
        if load_averaged(self.checkpoints("denoiser"), {"unet": unet}) is None:
            raise _not_there("denoiser", "train")
        return unet.eval()

    def reader(self, pictures: Pictures) -> ReaderNet:
        """Raises ModelInvalid when there is none."""
        net = build_reader(self.config, pictures)
        if load_averaged(self.checkpoints("reader"), {"reader": net}) is None:
            raise _not_there("reader", "evaluate")
        return net.eval()

    def scale(self) -> float:
        """What latents are multiplied by to have a standard deviation of 1. Raises ModelInvalid when it was not measured."""
        try:
            return float(json.loads((self.folder / "latents.json").read_text(encoding="utf-8"))["scale"])
        except (OSError, ValueError, KeyError) as error:
            raise _not_there("latents", "vae") from error

    def checkpoints(self, stage: str) -> Checkpoints:
        """Those of one of STAGES."""
        return Checkpoints(self.folder / "checkpoints" / stage, self.say)

    def seen(self, stage: str) -> int:
        """The samples that a stage has learned from, as its newest whole checkpoint says."""
        found = self.checkpoints(stage).load()
        return found[1]["samples"] if found else 0

    def _train(self, stage: Stage) -> bool:
        if self.slice.over:
            return False
        log = Log(self.folder / "logs" / f"{stage.name}.jsonl", self.say)
        return stage.train(self.checkpoints(stage.name), log, self.config.saving, self.slice, self.device)

    def _vae_as_it_begins(self) -> Any:
        torch.manual_seed(self.config.seed)
        return build_vae(self.config.vae, self.config.data.side).to(self.device)

    def _text_encoder_as_it_begins(self, tokenizer: CLIPTokenizer) -> CLIPTextModel:
        torch.manual_seed(self.config.seed)
        encoder = build_text_encoder(self.config.text_encoder, tokenizer, self.config.tokenizer.length)
        encoder.to(self.device)  # pyright: ignore[reportArgumentType] - transformers hides the module's signature
        return encoder

    def _denoiser_as_it_begins(self, shape: tuple[int, ...]) -> Any:
        torch.manual_seed(self.config.seed)
        return build_denoiser(self.config.denoiser, shape[1], self.config.text_encoder.width, shape[-1]).to(self.device)

    def _latents(self, pictures: Pictures) -> np.ndarray:
        if not (self.folder / "latents.f16").is_file():
            raise _not_there("latents", "vae")
        cells = self.config.data.side // self.config.vae.factor
        shape = (len(pictures), self.config.vae.latent_channels, cells, cells)
        if (self.folder / "latents.f16").stat().st_size != 2 * int(np.prod(shape)):
            raise ModelInvalid(
                "The latents are not those of these pictures.", remedy=f"Remove {self.folder / 'latents.f16'} and run `vae` again."
            )
        return np.memmap(self.folder / "latents.f16", np.float16, "r", shape=shape)

    def _keep_scale(self, latents: np.ndarray) -> None:
        deviation = float(latents[:_MEASURED].astype(np.float32).std())
        try:
            write_atomically(self.folder / "latents.json", json.dumps({"scale": round(1 / deviation, 5)}).encode())
        except OSError as error:
            raise from_os_error(error, "keep the latents' scale") from error


def _not_there(what: str, command: str) -> ModelInvalid:
    return ModelInvalid(f"There is no {what} yet.", remedy=f"Make it first: `python launch.py starter {command}`.")
