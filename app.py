"""The composition root: hands the page to the web process, engines and handlers to the worker, verbs to the command line.

The only file that knows everyone. Each verb imports no more than it needs: the page must be there in seconds.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from studio import VERSION
from studio.settings import Settings, load_settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from studio.db import Database
    from studio.engine import Report
    from studio.feed import Feed
    from studio.jobs import Run
    from studio.studio import Studio
    from studio.training import ToolkitArch, TrainRecipe
    from studio.worker import Worker

HOME = Path(__file__).resolve().parent
STARTER_MODEL = HOME / "engines" / "embedded" / "starter_model"
PRESETS = HOME / "presets"
WORKFLOWS = HOME / "workflows"
# How long an idle connection is kept, in seconds. Longer than its clients keep theirs (httpx 5, nginx 60): who hangs up first
# must be the one that sends, or a request meets a connection that is just being closed.
KEEP_ALIVE_S = 75


def open_studio(settings: Settings) -> Studio:
    """A studio on the settings' data root; its database is created or upgraded first."""
    from studio.db import migrate, open_database
    from studio.files import prepare_data_root
    from studio.remote import WorkflowShelf
    from studio.shelf import ModelShelf, PresetShelf
    from studio.studio import Studio
    from studio.training_offers import Toolkit

    prepare_data_root(settings.data)
    migrate(settings.database)
    shelf = ModelShelf(settings.models_path, settings.loras_path, [STARTER_MODEL])
    workflows = WorkflowShelf(WORKFLOWS, settings.data / "workflows")
    return Studio(
        settings,
        open_database(settings.database),
        shelf=shelf,
        preset_shelf=PresetShelf(PRESETS),
        workflow_shelf=workflows,
        toolkit=Toolkit(_toolkit_arches, _toolkit_vram_gb, _check_toolkit),
    )


def create_web(settings: Settings, studio: Studio | None = None) -> ASGIApp:
    """The whole web application: API and page behind the door."""
    return _assemble(settings, studio or open_studio(settings))[0]


def make_worker(settings: Settings, database: Database) -> Worker:
    """The worker with every engine and the handler of every kind of job."""
    from engines.aitoolkit import AIToolkit, ManagedToolkit
    from engines.comfyui import Address, Comfy, Fingerprints, ManagedComfy, Uploaded, Wishes
    from engines.embedded import Embedded
    from engines.embedded.classifier import load_judge
    from studio.characters import Characters
    from studio.contracts import JobKind, Recipe
    from studio.engine import Generator
    from studio.gallery import Gallery
    from studio.generate import make_pictures
    from studio.graphs import Graph
    from studio.jobs import Jobs
    from studio.node_files import node_files
    from studio.remote import WorkflowShelf, graph_of, spec_of
    from studio.settings import reread
    from studio.shelf import ModelShelf
    from studio.train import train_lora
    from studio.worker import Worker
    from studio.workflows import file_lists, packs_of

    workflows = WorkflowShelf(WORKFLOWS, settings.data / "workflows")

    def graph_for(recipe: Recipe, uploaded: Uploaded) -> Graph:
        workflow = workflows.workflow(recipe.workflow or "")
        return graph_of(recipe, workflow, image=uploaded.image, mask=uploaded.mask, pictures=uploaded.pictures)

    wishes = Wishes()
    managed = ManagedComfy(lambda: reread(settings), wishes)

    def addresses() -> list[Address]:
        now = reread(settings)
        urls = [url.strip() for url in now.comfyui_url.split(",") if url.strip()]
        own = [Address(url) for url in managed.urls() if url not in urls]
        return [*(Address(url, now.comfyui_token_for(url)) for url in urls), *own]

    def own_folders() -> dict[str, tuple[Path, ...]]:
        now = reread(settings)
        models = now.models_path
        kinds = ("checkpoints", "diffusion_models")
        return {"loras": (now.loras_path, models / "loras"), **{kind: (models, models / kind) for kind in kinds}}

    comfy = Comfy(
        addresses,
        graph_for,
        lambda recipe: spec_of(recipe, workflows.workflows()),
        lists_for=lambda: file_lists(workflows.workflows()),
        keep_nodes=node_files(settings.data).keep,
        fingerprints=Fingerprints(own_folders, settings.fingerprints_path),
        wishes=wishes,
        packs=lambda: packs_of(workflows.workflows()),
    )
    embedded, toolkit = Embedded(settings), AIToolkit(lambda: reread(settings))
    managed_toolkit = ManagedToolkit(lambda: reread(settings), toolkit.resting)
    engines: dict[str, Generator] = {"embedded": embedded, "comfyui": comfy}
    shelf = ModelShelf(settings.models_path, settings.loras_path, [STARTER_MODEL])
    jobs, gallery, characters = Jobs(database), Gallery(database, settings.data), Characters(database)
    generate = functools.partial(
        make_pictures,
        jobs=jobs,
        gallery=gallery,
        engines=engines,
        shelf=shelf,
        characters=characters,
        judge=functools.partial(load_judge, settings.data),
        explicit_from=settings.explicit_threshold,
    )
    train = functools.partial(
        train_lora,
        jobs=jobs,
        trainers={embedded.name: embedded, toolkit.name: toolkit},
        picker=embedded,
        shelf=shelf,
        characters=characters,
        data=settings.data,
    )

    def caption(run: Run, report: Report) -> None:
        # A client of HTTP and all that belongs to it: most workers never ask a vision model.
        from engines.embedded.captioner import load_captioner
        from studio.caption import write_captions
        from studio.datasets import Datasets

        write_captions(
            run,
            report,
            jobs=jobs,
            datasets=Datasets(database, settings, gallery, characters),
            gallery=gallery,
            characters=characters,
            settings=lambda: reread(settings),
            load=load_captioner,
        )

    handlers = {JobKind.generate: generate, JobKind.train: train, JobKind.caption: caption}

    def close() -> None:
        managed.close()
        managed_toolkit.close()

    worker = Worker(settings, database, engines, handlers, at_end=close)
    # Whoever waits for the servers' lists finds them written down.
    wishes.then = worker.tell_state
    return worker


@contextmanager
def work_in_place(settings: Settings) -> Iterator[None]:
    """Run jobs in this process until the block ends. Raises DataRootLocked when a worker runs on the data root."""
    from studio.db import migrate, open_database
    from studio.worker import working_in_place

    migrate(settings.database)
    with working_in_place(lambda: make_worker(settings, open_database(settings.database)), settings):
        yield


def run(args: argparse.Namespace) -> int:
    """The studio: a supervised web process and worker."""
    from studio import supervisor

    settings = _settings(args)
    return supervisor.run(settings, open_browser=settings.open_browser, command=[sys.executable, str(HOME / "app.py")])


def web(args: argparse.Namespace) -> int:
    """The web process."""
    from concurrent.futures import ThreadPoolExecutor

    from studio import supervisor

    # Next to nothing that is made while the page is put up is ever thrown away: looking for it takes a fifth of the start.
    gc.disable()
    supervisor.exit_when_orphaned()
    settings = _settings(args)
    _log("web", settings)
    # The database is made ready while Gradio is being imported: both take a while, one mostly waits for the disk.
    with ThreadPoolExecutor(1) as beside:
        opening = beside.submit(open_studio, settings)
        import uvicorn

        import tabs.page  # noqa: F401 - the slow import, done meanwhile
    studio = opening.result()
    application, feed = _assemble(settings, studio)
    threading.Thread(target=studio.warm_up, args=(feed.listened_to,), daemon=True).start()
    gc.freeze()
    gc.enable()
    config = uvicorn.Config(
        application,
        host=settings.listen,
        port=settings.port,
        log_config=None,
        access_log=False,
        # Whom to believe is the door's business: it must see the real peer and the real headers.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=3,
        timeout_keep_alive=KEEP_ALIVE_S,
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = uvicorn.Server(config)
    leave = server.handle_exit

    def close_streams_and_leave(sig: int, frame: FrameType | None) -> None:
        # The server waits for open streams before it leaves, and they would never end by themselves.
        feed.close()
        leave(sig, frame)

    server.handle_exit = close_streams_and_leave
    server.run()
    return 0


def worker(args: argparse.Namespace) -> int:
    """The worker process."""
    from studio import supervisor
    from studio.db import migrate, open_database
    from studio.worker import run_worker

    supervisor.share_one_heap()
    supervisor.exit_when_orphaned()
    settings = _settings(args)
    _log("worker", settings)
    migrate(settings.database)
    return run_worker(lambda: make_worker(settings, open_database(settings.database)), settings)


def migrate_database(args: argparse.Namespace) -> int:
    """Create or upgrade the database, and say where it stands."""
    from studio.db import head_revision, migrate
    from studio.files import prepare_data_root

    settings = _settings(args)
    prepare_data_root(settings.data)
    migrate(settings.database)
    print(f"The database is up to date (schema {head_revision()}).")
    return 0


def docs(_args: argparse.Namespace) -> int:
    """Rewrite the pages of docs/ that are made from the code."""
    from studio import handbook
    from studio.cli import build_parser

    for path in handbook.write_all(HOME, build_parser()):
        print(path.relative_to(HOME))
    return 0


def diagnose(args: argparse.Namespace) -> int:
    """Check everything that a studio needs."""
    from studio import doctor

    return doctor.diagnose(_settings(args), args.json)


def smoke(args: argparse.Namespace) -> int:
    """Walk through a running studio from outside."""
    from studio.smoke import smoke as walk

    return walk(args.url or _running_at(_settings(args)), args.token)


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": run,
    "web": web,
    "worker": worker,
    "migrate": migrate_database,
    "docs": docs,
    "diagnose": diagnose,
    "smoke": smoke,
}


def main(argv: Sequence[str]) -> int:
    """Run one verb; gives the exit status."""
    from studio import cli

    return cli.run(argv, version=VERSION, commands=COMMANDS, open_studio=open_studio, work_in_place=work_in_place)


@functools.cache
def _toolkit_arches() -> tuple[ToolkitArch, ...]:
    from engines.aitoolkit import ARCHES, default_recipe
    from studio.training import ToolkitArch

    return tuple(
        ToolkitArch(
            arch=name,
            title=arch.title,
            repo=arch.repo,
            draws=arch.draws,
            gated=arch.gated,
            vram_gb=arch.vram_gb,
            recipe=default_recipe(name),
        )
        for name, arch in ARCHES.items()
    )


def _toolkit_vram_gb(recipe: TrainRecipe, model: Path) -> float | None:
    from engines.aitoolkit import vram_gb

    return vram_gb(recipe, model)


def _check_toolkit(settings: Settings, recipe: TrainRecipe, model: Path, have_mb: float | None, measured_gb: float | None) -> None:
    from engines.aitoolkit import check_order

    check_order(settings, recipe, model, have_mb, measured_gb)


def _assemble(settings: Settings, studio: Studio) -> tuple[ASGIApp, Feed]:
    from studio.api import create_api
    from studio.auth import Door
    from tabs import page

    api = create_api(studio)
    return Door(page.mount(api, studio), settings, listen=settings.listen), api.state.feed


def _settings(args: argparse.Namespace) -> Settings:
    settings = load_settings(args.data)
    changes: dict[str, object] = {}
    for name in ("port", "listen"):
        if getattr(args, name, None) is not None:
            changes[name] = getattr(args, name)
    if getattr(args, "no_browser", False):
        changes["open_browser"] = False
    return settings.model_copy(update=changes)


def _log(process: str, settings: Settings) -> None:
    from studio.logs import setup_logging

    folder = os.environ.get("LIKENESS_LOG_DIR")
    setup_logging(settings, process, Path(folder) if folder else None)


def _running_at(settings: Settings) -> str:
    try:
        return json.loads((settings.data / "studio.json").read_text(encoding="utf-8"))["url"]
    except (OSError, ValueError, KeyError):
        return f"http://127.0.0.1:{settings.port}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
