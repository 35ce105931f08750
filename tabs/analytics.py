"""The Analytics tab: how the last days went, in numbers, charts and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from studio.analytics import Analytics, Share
from studio.contracts import Problem
from studio.errors import LikenessError
from studio.studio import Studio
from tabs.languages import Catalogue, said

RANGES = (7, 30, 90, 365)
MOST_BARS = 12
ENGLISH: Mapping[str, str] = {}
# "data" and "layout" as Plotly's JavaScript reads them
Figure = dict[str, Any]


# Decided here


def asked(value: Any) -> tuple[int, int]:
    """Days and seconds ahead of UTC that the page asks for; anything odd is what is usual."""
    value = value if isinstance(value, dict) else {}
    days, minutes = value.get("days"), value.get("minutes")
    ahead = minutes if isinstance(minutes, int) and abs(minutes) <= 840 else 0
    return days if days in RANGES else 30, ahead * 60


def size_of(value: Any) -> float:
    """How large the page's letters are, 1 at 16 pixels: on a 4K screen they are half as large again, and charts are drawn to match."""
    size = value.get("size") if isinstance(value, dict) else None
    return round(min(2.0, max(1.0, size)), 2) if isinstance(size, int | float) and math.isfinite(size) else 1.0


def top(shares: Sequence[Share], words: Mapping[str, str] = ENGLISH) -> list[tuple[str, int, int]]:
    """Name, pictures and favourites of the largest shares; the rest is one bar."""
    bars = [(share.name, share.pictures, share.favourites) for share in shares[:MOST_BARS]]
    rest = shares[MOST_BARS:]
    if rest:
        bars.append(
            (said(words, "{count} others", count=len(rest)), sum(share.pictures for share in rest), sum(share.favourites for share in rest))
        )
    return bars


# Done here


def on_ask(studio: Studio, value: Any) -> tuple[dict[str, Any], Analytics | None]:
    """What the page is told when it asks for the numbers, and the numbers themselves; None when they can't be had."""
    days, ahead_s = asked(value)
    told = {"days": days, "minutes": ahead_s // 60}
    try:
        found = studio.analytics(days=days, ahead_s=ahead_s)
    except LikenessError as error:
        problem = Problem(code=error.code, message=error.message, remedy=error.remedy)
        return told | {"error": problem.model_dump(mode="json")}, None
    return told | {"report": found.model_dump(mode="json")}, found


# Drawn here


def build(studio: Studio, tab: gr.Tab, catalogues: Mapping[str, Catalogue]) -> None:
    """Draw the tab and connect it: it asks when it is opened, and when its button says so."""
    board = gr.HTML(
        {"days": 30},
        html_template="<likeness-analytics></likeness-analytics>",
        js_on_load=_BOARD_JS,
        apply_default_css=False,
        elem_id="analytics-board",
    )
    charts = gr.HTML(
        None,
        html_template="<likeness-charts></likeness-charts>",
        js_on_load=_TELL_JS,
        apply_default_css=False,
        elem_id="analytics-charts",
    )
    tables = gr.HTML(
        None,
        html_template="<likeness-analytics-tables></likeness-analytics-tables>",
        js_on_load=_TELL_JS,
        apply_default_css=False,
        elem_id="analytics-tables",
    )

    def answer(value: Any) -> list[Any]:
        told, charts = answered(studio, value, catalogues)
        return [told, told, charts]

    outputs = [board, tables, charts]
    tab.select(answer, board, outputs, js=_MINE_JS, **_QUICK)
    board.submit(answer, board, outputs, js=_MINE_JS, trigger_mode="always_last", **_QUICK)


def build_early(studio: Studio, catalogues: Mapping[str, Catalogue]) -> None:
    """What draws the charts while the page rests. It stands outside of the tabs: what is in one is there only once that was opened."""
    early = gr.HTML(
        None,
        html_template="<likeness-early hidden></likeness-early>",
        js_on_load=_EARLY_JS,
        apply_default_css=False,
        elem_id="analytics-early",
    )

    def answer(value: Any) -> dict[str, Any]:
        told, charts = answered(studio, value, catalogues)
        return {"told": told, "figures": charts}

    early.submit(answer, early, early, js=_MINE_JS, **_QUICK)


def answered(studio: Studio, value: Any, catalogues: Mapping[str, Catalogue]) -> tuple[dict[str, Any], dict[str, Figure] | None]:
    """What the page is told when it asks, and every chart; no charts where there are no pictures."""
    told, found = on_ask(studio, value)
    if found is None or not found.pictures:
        return told, None
    # Charts are laid out here, so this is the only part of the page that is told its language.
    words = catalogues.get(str(value.get("language")), ENGLISH) if isinstance(value, dict) else ENGLISH
    return told, figures(found, words, size_of(value))


def figures(found: Analytics, words: Mapping[str, str] = ENGLISH, size: float = 1) -> dict[str, Figure]:
    """Every chart by the name of its place on the page."""
    return {
        "days": days_figure(found, words, size),
        "characters": shares_figure(found.by_character, words, size),
        "presets": shares_figure(found.by_preset, words, size),
    }


def days_figure(found: Analytics, words: Mapping[str, str] = ENGLISH, size: float = 1) -> Figure:
    """Pictures per day, a bar each."""
    days = [day.date.isoformat() for day in found.per_day]
    # Plotly knows the names of days and months in English alone.
    hover = said(words, "{day}: {count} pictures", day="%{x|%Y-%m-%d}" if words else "%{x|%a %e %b}", count="%{y:,}") + "<extra></extra>"
    bar = {"type": "bar", "x": days, "y": [day.pictures for day in found.per_day], "hovertemplate": hover}
    most = max((day.pictures for day in found.per_day), default=0)
    below = {"ticklabelstandoff": 4} | ({"tickformat": "%Y-%m-%d"} if words else {})
    return _figure([bar], size, height=260, xaxis=below, yaxis=_whole(most))


def shares_figure(shares: Sequence[Share], words: Mapping[str, str] = ENGLISH, size: float = 1) -> Figure:
    """Pictures by name, the favourites among them apart."""
    bars = top(shares, words)[::-1]
    names = [name if len(name) <= 24 else f"{name[:23]}…" for name, _, _ in bars]
    # Two may have one name: bars stand at their places, names are only written beside them.
    places = list(range(len(bars)))
    common: dict[str, Any] = {"type": "bar", "orientation": "h", "y": places, "customdata": names}
    liked = [liked for _, _, liked in bars]
    others = [count - liked for _, count, liked in bars]
    at = {"name": "%{customdata}", "count": "%{x:,}"}
    parts = (
        (liked, said(words, "Favourites"), said(words, "{name}: {count} favourites", **at)),
        (others, said(words, "Others"), said(words, "{name}: {count} others", **at)),
    )
    return _figure(
        [common | {"name": name, "x": counts, "hovertemplate": f"{hover}<extra></extra>"} for counts, name, hover in parts],
        size,
        height=max(160, 70 + 30 * len(bars)),
        barmode="stack",
        showlegend=True,
        legend={
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 0,
            "traceorder": "normal",
            "itemclick": False,
            "itemdoubleclick": False,
        },
        yaxis={"tickvals": places, "ticktext": names, "showgrid": False, "ticklabelstandoff": 6},
        xaxis={"showgrid": True, "tickformat": ",d", "nticks": 5, "rangemode": "tozero"}
        | _whole(max((count for _, count, _ in bars), default=0)),
    )


def _whole(most: int) -> dict[str, Any]:
    # Left alone, a scale of few pictures shows halves of them, rounded to the same number twice.
    return {"dtick": 1} if most <= 5 else {}


def _figure(
    bars: list[dict[str, Any]],
    size: float,
    *,
    height: float,
    xaxis: dict[str, Any] | None = None,
    yaxis: dict[str, Any] | None = None,
    **layout: Any,
) -> Figure:
    # Its Python half would check the same words, and takes two seconds to import.
    # Colours come from analytics.css, so that light and dark need no other figure.
    quiet: dict[str, Any] = {"fixedrange": True, "zeroline": False}
    whole: dict[str, Any] = {
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "bargap": 0.25,
        "showlegend": False,
        "dragmode": False,
        "hoverlabel": {"align": "left"},
        "font": {"family": "Likeness Sans, system-ui, sans-serif", "size": round(13 * size)},
        "height": round(height * size),
        "xaxis": quiet | {"showgrid": False} | (xaxis or {}),
        "yaxis": quiet | {"tickformat": ",d", "rangemode": "tozero", "nticks": 5} | (yaxis or {}),
    }
    return {"data": bars, "layout": whole | layout}


_QUICK: dict[str, Any] = {"queue": False, "concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
# Days are those of the browser's clock.
_MINE_JS = """(value) => [
    { days: value?.days ?? 30, minutes: -new Date().getTimezoneOffset(), language: document.documentElement.lang,
      size: parseFloat(getComputedStyle(document.documentElement).fontSize) / 16 },
]"""
_BOARD_JS = """
const board = element.firstElementChild;
board.addEventListener('ask', (event) => { props.value = event.detail; trigger('submit'); });
const tell = () => board.setAttribute('value', JSON.stringify(props.value ?? null));
watch('value', tell);
tell();
"""
_TELL_JS = """
const tell = () => element.firstElementChild.setAttribute('value', JSON.stringify(props.value ?? null));
watch('value', tell);
if (props.value) tell();
"""
_EARLY_JS = """
const early = element.firstElementChild;
early.addEventListener('ask', () => trigger('submit'));
watch('value', () => early.setAttribute('value', JSON.stringify(props.value ?? null)));
"""
