"""What the embedded trainer makes is read by a real ComfyUI in full, convolutions too, and changes its pictures."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from comfyui.graphs import Said, node, text_to_image
from comfyui.server import Server
from PIL import Image

from engines.comfyui import ComfyServer, run
from engines.embedded import Embedded
from studio import models
from studio.loras import read_lora
from studio.settings import Settings
from studio.training import TrainingPicture, TrainRecipe

STARTER = Path(__file__).resolve().parent.parent.parent / "engines" / "embedded" / "starter_model"


def test_a_trained_lora_is_read_in_full_by_comfyui(comfy: Server, server: ComfyServer, tmp_path: Path) -> None:
    base = tiny_sd15(tmp_path / "tiny")
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(tmp_path / "one.png")
    recipe = TrainRecipe(model="tiny", rank=4, alpha=4, steps=2, batch=1, resolution=64, learning_rate=0.05)
    engine = Embedded(Settings(data=tmp_path / "data"))
    trained = engine.train(recipe, base, [TrainingPicture(tmp_path / "one.png", "a gradient")], tmp_path / "run", Silent())
    changed = {module.name for module in read_lora(trained.path)}
    assert any("resnets" in name for name in changed) and any("attn2" in name for name in changed)

    lora = comfy.base / "models" / "loras" / "trained.safetensors"
    lora.parent.mkdir(parents=True, exist_ok=True)
    lora.write_bytes(trained.path.read_bytes())
    assert "trained.safetensors" in server.models(refresh=True).loras
    drawn: list[bytes] = []
    for strength in (0.0, 1.0):
        graph = text_to_image(seed=3)
        graph["10"] = node("LoraLoader", model=["4", 0], clip=["4", 1], lora_name=lora.name, strength_model=strength, strength_clip=1.0)
        graph["3"]["inputs"]["model"] = ["10", 0]
        (file,) = run(server, graph, secrets.token_hex(8), Said()).files
        drawn.append(server.view(file))
    assert drawn[0] != drawn[1]
    assert "lora key not loaded" not in comfy.log.read_text("utf-8", "replace")


def tiny_sd15(folder: Path) -> Path:
    """A pipeline whose UNet has the parts and sizes of the server's tiny checkpoint."""
    import torch
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(1)
    kept: Any = StableDiffusionPipeline.from_pretrained(STARTER, safety_checker=None, local_files_only=True)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(320,),
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("UpBlock2D",),
        layers_per_block=1,
        cross_attention_dim=768,
        attention_head_dim=8,
    )
    words = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=kept.tokenizer.vocab_size, hidden_size=768, intermediate_size=64, num_hidden_layers=1, num_attention_heads=12
        )
    )
    parts = kept.components | {"unet": unet, "text_encoder": words}
    StableDiffusionPipeline(**parts, requires_safety_checker=False).save_pretrained(folder)
    assert models.describe(folder).family == "sd15"
    return folder


class Silent:
    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: object = None) -> None:
        """Nobody is watching."""

    def wants_preview(self) -> bool:
        return False
