"""The Gallery tab: every picture, found and looked at; the grid draws itself from the API."""

from __future__ import annotations

from tabs.live import live


def build() -> None:
    """Draw the tab."""
    live("likeness-gallery", elem_id="library")
