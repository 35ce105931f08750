"""What a generate job does in the worker: the engine makes pictures, the gallery keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from studio.contracts import Picture
from studio.engine import Generator, Inputs, Report
from studio.errors import EngineOffline
from studio.gallery import Gallery
from studio.jobs import Jobs, Run
from studio.shelf import ModelShelf


def make_pictures(run: Run, report: Report, *, jobs: Jobs, gallery: Gallery, engines: Mapping[str, Generator], shelf: ModelShelf) -> None:
    """Run one generate job to its end, also for the second time: pictures that are in the library already stay as they are.

    Raises whatever the engine raises; what was finished before that is kept.
    """
    engine = engines.get(run.recipe.engine)
    if engine is None:
        raise EngineOffline(f"There is no engine called {run.recipe.engine!r} here.")
    spec = shelf.model(run.recipe.model)
    lora_files = tuple(shelf.lora_file(use) for use in run.recipe.loras)
    inputs = Inputs(
        model=Path(spec.path),
        loras=lora_files,
        image=gallery.pixels(run.recipe.image) if run.recipe.image else None,
        mask=gallery.pixels(run.recipe.mask, "L") if run.recipe.mask else None,
    )
    known = {picture.index for picture in gallery.of_job(run.job_id)}
    unrecorded: list[Picture] = []
    for artifact in engine.generate(run.recipe, inputs, run.run_id, report):
        if artifact.index in known:
            continue
        if unrecorded:
            with gallery.database.begin() as connection:
                gallery.record(unrecorded, connection)
            unrecorded = []
        unrecorded.append(gallery.save(artifact, job_id=run.job_id, recipe=run.recipe, model_name=spec.name))
    # The last picture's row and the job's end share one transaction: a finished job has all its pictures.
    with gallery.database.begin() as connection:
        gallery.record(unrecorded, connection)
        jobs.finish(run.run_id, connection)
