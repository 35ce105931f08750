"""The page: the header and its tabs, mounted on the studio's web application."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import gradio as gr
from fastapi import FastAPI
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope

from studio.models import SAMPLERS, SCHEDULERS
from studio.studio import Studio
from tabs import analytics, characters, gallery, generate, languages, setup, train
from tabs.languages import Catalogue, t
from tabs.live import live
from tabs.theme import theme

ASSETS = Path(__file__).resolve().parent / "assets"
TITLE = "Likeness"
SHEETS = (
    "tokens.css",
    "gradio.css",
    "studio.css",
    "sidebar.css",
    "characters.css",
    "character_sheet.css",
    "train.css",
    "making.css",
    "gallery.css",
    "datasets.css",
    "analytics.css",
    "setup.css",
)


def build(studio: Studio, catalogues: Mapping[str, Catalogue] | None = None) -> gr.Blocks:
    """The whole page over one studio, drawn but not served. `catalogues` are the languages it knows besides English."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True, fill_height=True) as blocks:
        live("likeness-header", elem_id="header", js=_NAMES_JS, names=_names())
        with gr.Tabs(selected="generate", overflow_behavior="wrap", elem_id="tabs") as tabs:
            with gr.Tab(t("Setup"), id="setup", elem_id="setup"):
                setup.build()
            with gr.Tab(t("Characters"), id="characters", elem_id="characters"):
                characters.build()
            with gr.Tab(t("Train"), id="train", elem_id="train"):
                train.build()
            with gr.Tab(t("Generate"), id="generate", elem_id="generate"):
                generate.build(studio, blocks, tabs)
            with gr.Tab(t("Gallery"), id="gallery", elem_id="gallery"):
                gallery.build()
            with gr.Tab(t("Analytics"), id="analytics", elem_id="analytics") as tab:
                analytics.build(studio, tab, catalogues or {})
        analytics.build_early(studio, catalogues or {})
    return blocks


def mount(app: FastAPI, studio: Studio) -> FastAPI:
    """Serve the page at "/" of an application, with its style sheets and scripts beside it."""
    where = f"likeness/{_fingerprint()}"
    app.mount(f"/{where}", GZipMiddleware(_Assets(directory=ASSETS), minimum_size=1000, compresslevel=6), name="assets")
    known = languages.catalogues(languages.FOLDER, studio.settings.data / "languages")
    blocks = build(studio, known)
    # Gradio looks for events a thousand times a second, which keeps an idle studio at 6 % of a core.
    # These are the times it takes by itself on Windows.
    blocks._queue.sleep_when_free = 0.05  # pyright: ignore[reportPrivateUsage]
    blocks._queue.progress_update_sleep_when_free = 0.1  # pyright: ignore[reportPrivateUsage]
    return gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        allowed_paths=[],
        favicon_path=str(ASSETS / "favicon.png"),
        max_file_size=studio.settings.max_upload_mb * 2**20,
        theme=theme(),
        i18n=languages.i18n(known),
        head=_head(where),
    )


_NAMES_JS = "element.firstElementChild.setAttribute('names', JSON.stringify(props.names));"


def _names() -> dict[str, dict[str, str]]:
    return {
        "samplers": {choice.id: choice.name for choice in SAMPLERS},
        "schedulers": {choice.id: choice.name for choice in SCHEDULERS},
    }


class _Assets(StaticFiles):
    """Files whose address changes with their content, so that a browser may keep them for good."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def _head(where: str) -> str:
    # Addresses are relative: behind a proxy the studio may live under a path of its own.
    sheets = "".join(f'<link rel="stylesheet" href="{where}/{name}">' for name in SHEETS)
    icon = f'<link rel="icon" type="image/svg+xml" href="{where}/favicon.svg">'
    return f'{sheets}{icon}<meta name="color-scheme" content="light dark"><script type="module" src="{where}/studio.js"></script>'


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in ASSETS.rglob("*") if path.is_file()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]
