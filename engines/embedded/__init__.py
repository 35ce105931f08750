"""The embedded engine: diffusers in this process, with nothing else to install. Importing it imports no torch."""

from engines.embedded.engine import Embedded

__all__ = ["Embedded"]
