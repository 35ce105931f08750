"""Models as small as they can be, of random numbers, in the layouts of the large ones: they draw noise along the same way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

STARTER = Path(__file__).resolve().parent.parent.parent / "engines" / "embedded" / "starter_model"


def tiny_sdxl(folder: Path) -> None:
    """An SDXL with both of its text encoders, as a diffusers folder."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline
    from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(STARTER / "tokenizer")
    unet = UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        sample_size=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 1),
        projection_class_embeddings_input_dim=6 * 8 + 32,
        cross_attention_dim=64,
        norm_num_groups=8,
    )
    StableDiffusionXLPipeline(
        vae=tiny_vae(channels=4),
        text_encoder=CLIPTextModel(tiny_clip()),
        text_encoder_2=CLIPTextModelWithProjection(tiny_clip()),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
        add_watermarker=False,
    ).save_pretrained(folder)


def tiny_vae(channels: int) -> Any:
    """A VAE that makes one latent pixel of 8 × 8."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    blocks = (8, 8, 8, 8)
    return AutoencoderKL(
        block_out_channels=blocks,
        down_block_types=("DownEncoderBlock2D",) * len(blocks),
        up_block_types=("UpDecoderBlock2D",) * len(blocks),
        latent_channels=channels,
        norm_num_groups=4,
        scaling_factor=0.13,
        shift_factor=0.1,
    )


def tiny_clip() -> Any:
    """The configuration of a text encoder with the starter model's words."""
    from transformers import CLIPTextConfig

    words = json.loads((STARTER / "text_encoder" / "config.json").read_text())
    return CLIPTextConfig(
        vocab_size=words["vocab_size"],
        eos_token_id=words["eos_token_id"],
        hidden_size=32,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        projection_dim=32,
    )
