"""The Train tab: pictures to learn from, trainings while they run, and the LoRAs that came of them; all of it draws itself from the API."""

from __future__ import annotations

from tabs.live import live


def build() -> None:
    """Draw the tab. Which of its two views is shown is the bar's to say."""
    live("likeness-train-bar", elem_id="train-bar")
    live("likeness-datasets", elem_id="train-pictures")
    live("likeness-training", elem_id="train-runs")
