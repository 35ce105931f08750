"""Stands in for torchaudio: no sound is trained here."""
