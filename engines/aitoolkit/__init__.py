"""Trains LoRAs with an AI-Toolkit, the person's own or one that Likeness installed: a process of its own, watched and taken up again."""

from engines.aitoolkit.config import ARCHES, Arch, Estimate, default_recipe, estimate
from engines.aitoolkit.engine import AIToolkit
from engines.aitoolkit.managed import ManagedToolkit

__all__ = ["ARCHES", "AIToolkit", "Arch", "Estimate", "ManagedToolkit", "default_recipe", "estimate"]
