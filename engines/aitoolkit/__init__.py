"""Trains LoRAs with an AI-Toolkit of the person's own: a process in an environment of its own, watched and taken up again."""

from engines.aitoolkit.config import ARCHES, Arch, Estimate, default_recipe, estimate
from engines.aitoolkit.engine import AIToolkit
from engines.aitoolkit.upfront import check_order, vram_gb

__all__ = ["ARCHES", "AIToolkit", "Arch", "Estimate", "check_order", "default_recipe", "estimate", "vram_gb"]
