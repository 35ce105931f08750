"""Writes tiny models of random weights that a real ComfyUI accepts. Run by its own Python: tiny_models.py FOLDER.

checkpoints/tiny_sd15.safetensors, tiny_sd15_b.safetensors   SD 1.5's shapes with one UNet level, CLIP-L in fp8, a TAESD VAE
loras/tiny_lora.safetensors                                  kohya's key names, for the UNet and the text encoder
vae_approx/taesd_{en,de}coder.safetensors                    a TAESD of its own: VAELoader's `taesd`, and good previews
controlnet/tiny_controlnet.safetensors                       a ControlNet for the tiny UNet
upscale_models/tiny_esrgan_2x.safetensors                    an ESRGAN that doubles each side
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from safetensors.torch import save_file

CHANNELS, CONTEXT, EMBEDDING = 320, 768, 1280
F16, F8 = torch.float16, torch.float8_e4m3fn
Weights = dict[str, torch.Tensor]


class Maker:
    """Collects tensors by name, with sane random values that depend on the seed alone."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.weights: Weights = {}

    def random(self, shape: tuple[int, ...], std: float, dtype: torch.dtype = F16) -> torch.Tensor:
        return (torch.randn(*shape, generator=self.generator) * std).to(dtype)

    def linear(self, name: str, inner: int, outer: int, *, bias: bool = True, gain: float = 1.0, dtype: torch.dtype = F16) -> None:
        self.weights[f"{name}.weight"] = self.random((outer, inner), gain / math.sqrt(inner), dtype)
        if bias:
            self.weights[f"{name}.bias"] = torch.zeros(outer, dtype=dtype)

    def conv(self, name: str, inner: int, outer: int, k: int = 3, *, bias: bool = True, gain: float = 1.0, bias_std: float = 0.0) -> None:
        self.weights[f"{name}.weight"] = self.random((outer, inner, k, k), gain / math.sqrt(inner * k * k))
        if bias:
            self.weights[f"{name}.bias"] = self.random((outer,), bias_std) if bias_std else torch.zeros(outer, dtype=F16)

    def norm(self, name: str, channels: int, dtype: torch.dtype = F16) -> None:
        self.weights[f"{name}.weight"] = torch.ones(channels, dtype=dtype)
        self.weights[f"{name}.bias"] = torch.zeros(channels, dtype=dtype)


def main(folder: Path) -> None:
    """Write all of them into the sub-folders that ComfyUI knows."""
    _write(folder / "checkpoints" / "tiny_sd15.safetensors", _checkpoint(1), {"modelspec.title": "tiny random SD1.5"})
    _write(folder / "checkpoints" / "tiny_sd15_b.safetensors", _checkpoint(101))
    _write(folder / "loras" / "tiny_lora.safetensors", _lora(2), {"ss_network_module": "networks.lora", "ss_network_dim": "4"})
    taesd = Maker(1)
    _taesd(taesd, "e.", "d.")
    for half, name in (("e.", "taesd_encoder"), ("d.", "taesd_decoder")):
        weights = {key[2:]: tensor for key, tensor in taesd.weights.items() if key.startswith(half)}
        _write(folder / "vae_approx" / f"{name}.safetensors", weights)
    _write(folder / "controlnet" / "tiny_controlnet.safetensors", _controlnet(3))
    _write(folder / "upscale_models" / "tiny_esrgan_2x.safetensors", _esrgan(4))


def _checkpoint(seed: int) -> Weights:
    maker = Maker(seed)
    unet = "model.diffusion_model."
    _encoder_half(maker, unet)
    for block in (0, 1):
        _resblock(maker, f"{unet}output_blocks.{block}.0", 2 * CHANNELS, CHANNELS)
    maker.norm(f"{unet}out.0", CHANNELS)
    maker.conv(f"{unet}out.2", CHANNELS, 4)
    _clip_l(maker, "cond_stage_model.transformer.text_model.")
    _taesd(maker, "first_stage_model.taesd_encoder.", "first_stage_model.taesd_decoder.")
    maker.weights["first_stage_model.vae_scale"] = torch.tensor(0.18215)
    maker.weights["first_stage_model.vae_shift"] = torch.tensor(0.0)
    return maker.weights


def _encoder_half(maker: Maker, p: str) -> None:
    """Time embedding, input blocks and middle block: what UNet and ControlNet share."""
    maker.linear(f"{p}time_embed.0", CHANNELS, EMBEDDING)
    maker.linear(f"{p}time_embed.2", EMBEDDING, EMBEDDING)
    maker.conv(f"{p}input_blocks.0.0", 4, CHANNELS)
    _resblock(maker, f"{p}input_blocks.1.0", CHANNELS, CHANNELS)
    _transformer(maker, f"{p}input_blocks.1.1")
    _resblock(maker, f"{p}middle_block.0", CHANNELS, CHANNELS)
    _transformer(maker, f"{p}middle_block.1")
    _resblock(maker, f"{p}middle_block.2", CHANNELS, CHANNELS)


def _resblock(maker: Maker, p: str, inner: int, outer: int) -> None:
    maker.norm(f"{p}.in_layers.0", inner)
    maker.conv(f"{p}.in_layers.2", inner, outer)
    maker.linear(f"{p}.emb_layers.1", EMBEDDING, outer)
    maker.norm(f"{p}.out_layers.0", outer)
    maker.conv(f"{p}.out_layers.3", outer, outer)
    if inner != outer:
        maker.conv(f"{p}.skip_connection", inner, outer, 1)


def _transformer(maker: Maker, p: str) -> None:
    maker.norm(f"{p}.norm", CHANNELS)
    maker.conv(f"{p}.proj_in", CHANNELS, CHANNELS, 1)
    block = f"{p}.transformer_blocks.0"
    for attention, context in (("attn1", CHANNELS), ("attn2", CONTEXT)):
        maker.linear(f"{block}.{attention}.to_q", CHANNELS, CHANNELS, bias=False)
        maker.linear(f"{block}.{attention}.to_k", context, CHANNELS, bias=False)
        maker.linear(f"{block}.{attention}.to_v", context, CHANNELS, bias=False)
        maker.linear(f"{block}.{attention}.to_out.0", CHANNELS, CHANNELS, gain=2.0)
    maker.linear(f"{block}.ff.net.0.proj", CHANNELS, 8 * CHANNELS)
    maker.linear(f"{block}.ff.net.2", 4 * CHANNELS, CHANNELS)
    for norm in ("norm1", "norm2", "norm3"):
        maker.norm(f"{block}.{norm}", CHANNELS)
    maker.conv(f"{p}.proj_out", CHANNELS, CHANNELS, 1)


def _clip_l(maker: Maker, p: str) -> None:
    maker.weights[f"{p}embeddings.token_embedding.weight"] = maker.random((49408, CONTEXT), 1.0, F8)
    maker.weights[f"{p}embeddings.position_embedding.weight"] = maker.random((77, CONTEXT), 0.3, F8)
    for layer in range(12):
        block = f"{p}encoder.layers.{layer}."
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            maker.linear(f"{block}self_attn.{name}", CONTEXT, CONTEXT, dtype=F8)
        maker.norm(f"{block}layer_norm1", CONTEXT, F8)
        maker.norm(f"{block}layer_norm2", CONTEXT, F8)
        maker.linear(f"{block}mlp.fc1", CONTEXT, 3072, dtype=F8)
        maker.linear(f"{block}mlp.fc2", 3072, CONTEXT, dtype=F8)
    maker.norm(f"{p}final_layer_norm", CONTEXT, F8)


def _taesd(maker: Maker, encoder: str, decoder: str) -> None:
    def block(p: str) -> None:
        for layer in (0, 2, 4):
            maker.conv(f"{p}.conv.{layer}", 64, 64, gain=0.8, bias_std=0.1)

    maker.conv(f"{encoder}0", 3, 64)
    at = 1
    block(f"{encoder}{at}")
    for _ in range(3):
        at += 1
        maker.conv(f"{encoder}{at}", 64, 64, bias=False, gain=1.4)
        for _ in range(3):
            at += 1
            block(f"{encoder}{at}")
    maker.conv(f"{encoder}{at + 1}", 64, 4, gain=0.5)

    maker.conv(f"{decoder}1", 4, 64, gain=1.4, bias_std=0.1)
    at = 2
    for _ in range(3):
        for _ in range(3):
            at += 1
            block(f"{decoder}{at}")
        at += 2  # between them stands an upsampling without weights
        maker.conv(f"{decoder}{at}", 64, 64, bias=False)
    block(f"{decoder}{at + 1}")
    maker.conv(f"{decoder}{at + 2}", 64, 3, gain=0.35)
    _centre(maker.weights, decoder)


def _centre(weights: Weights, decoder: str) -> None:
    """Rescale the last convolution, so that random latents decode to mid-grey pictures with colours that can be seen."""

    def conv(x: torch.Tensor, name: str, bias: bool = True) -> torch.Tensor:
        b = weights[f"{decoder}{name}.bias"].float() if bias else None
        return F.conv2d(x, weights[f"{decoder}{name}.weight"].float(), b, padding=1)

    def block(x: torch.Tensor, at: int) -> torch.Tensor:
        y = conv(x, f"{at}.conv.0").relu()
        y = conv(y, f"{at}.conv.2").relu()
        return (conv(y, f"{at}.conv.4") + x).relu()

    generator = torch.Generator().manual_seed(0)
    flat, rough = torch.randn(32, 4, 1, 1, generator=generator), torch.randn(32, 4, 8, 8, generator=generator)
    x = torch.tanh((flat * 6 + rough * 2) / 3) * 3
    x = conv(x, "1").relu()
    at = 2
    for _ in range(3):
        for _ in range(3):
            at += 1
            x = block(x, at)
        at += 2
        x = conv(F.interpolate(x, scale_factor=2), f"{at}", bias=False)
    y = conv(block(x, at + 1), f"{at + 2}")
    gain = 0.22 / y.std((0, 2, 3))
    last = f"{decoder}{at + 2}"
    weights[f"{last}.weight"] = (weights[f"{last}.weight"].float() * gain[:, None, None, None]).to(F16)
    weights[f"{last}.bias"] = (0.5 - y.mean((0, 2, 3)) * gain).to(F16)


def _lora(seed: int, rank: int = 4, strength: float = 1.5) -> Weights:
    maker = Maker(seed)
    layers: list[tuple[str, int, int]] = []
    for where in ("down_blocks_0_attentions_0", "mid_block_attentions_0"):
        block = f"lora_unet_{where}_transformer_blocks_0_"
        for attention, context in (("attn1", CHANNELS), ("attn2", CONTEXT)):
            layers += [(f"{block}{attention}_{to}", CHANNELS, CHANNELS) for to in ("to_q", "to_out_0")]
            layers += [(f"{block}{attention}_{to}", context, CHANNELS) for to in ("to_k", "to_v")]
        layers += [(f"{block}ff_net_0_proj", CHANNELS, 8 * CHANNELS), (f"{block}ff_net_2", 4 * CHANNELS, CHANNELS)]
    for layer in (0, 11):
        block = f"lora_te_text_model_encoder_layers_{layer}_"
        layers += [(f"{block}self_attn_q_proj", CONTEXT, CONTEXT), (f"{block}mlp_fc1", CONTEXT, 3072)]
    for name, inner, outer in layers:
        maker.weights[f"{name}.lora_down.weight"] = maker.random((rank, inner), strength / math.sqrt(inner))
        maker.weights[f"{name}.lora_up.weight"] = maker.random((outer, rank), strength / math.sqrt(rank))
        maker.weights[f"{name}.alpha"] = torch.tensor(float(rank), dtype=F16)
    return maker.weights


def _controlnet(seed: int) -> Weights:
    maker = Maker(seed)
    p = "control_model."
    _encoder_half(maker, p)
    hint = [(3, 16), (16, 16), (16, 32), (32, 32), (32, 96), (96, 96), (96, 256), (256, CHANNELS)]
    for number, (inner, outer) in enumerate(hint):
        maker.conv(f"{p}input_hint_block.{2 * number}", inner, outer, gain=1.4)
    for number in range(2):
        maker.conv(f"{p}zero_convs.{number}.0", CHANNELS, CHANNELS, 1)
    maker.conv(f"{p}middle_block_out.0", CHANNELS, CHANNELS, 1)
    return maker.weights


def _esrgan(seed: int, features: int = 16, growth: int = 32) -> Weights:
    """The old architecture's key names; every size is read from the shapes."""
    maker = Maker(seed)
    maker.conv("model.0", 3, features)
    for dense in (1, 2, 3):
        for layer in range(5):
            outer = growth if layer < 4 else features
            maker.conv(f"model.1.sub.0.RDB{dense}.conv{layer + 1}.0", features + layer * growth, outer, gain=0.5)
    maker.conv("model.1.sub.1", features, features)
    maker.conv("model.3", features, features, gain=1.4)
    maker.conv("model.5", features, features, gain=1.4)
    maker.conv("model.7", features, 3, gain=0.5)
    return maker.weights


def _write(path: Path, weights: Weights, metadata: dict[str, str] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, str(path), metadata=metadata)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
