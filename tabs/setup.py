"""The Setup tab: the first-run walkthrough, the doctor, engines and models, settings, where things lie."""

from __future__ import annotations

from tabs.live import live


def build() -> None:
    """Draw the tab."""
    live("likeness-setup", elem_id="set-up")
