"""Stands in for torchaudio: no sound is trained here."""

from . import functional as functional
from . import transforms as transforms

__version__ = "0.0.0"
