"""The Characters tab: who the studio knows; library, form and page draw themselves from the API."""

from __future__ import annotations

from tabs.live import live


def build() -> None:
    """Draw the tab."""
    live("likeness-characters", elem_id="people")
