"""Trains LoRAs with an AI-Toolkit, the person's own or one that Likeness installed: a process of its own, watched and taken up again."""

from engines.aitoolkit.config import ARCHES, Arch, Estimate, default_recipe, estimate
from engines.aitoolkit.engine import AIToolkit
from engines.aitoolkit.managed import ManagedToolkit
from engines.aitoolkit.upfront import check_order, vram_gb

__all__ = ["ARCHES", "AIToolkit", "Arch", "Estimate", "ManagedToolkit", "check_order", "default_recipe", "estimate", "vram_gb"]
