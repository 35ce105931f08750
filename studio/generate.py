"""What a generate job does in the worker: the engine makes pictures, the gallery keeps them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from PIL.Image import Image

from studio.characters import Characters
from studio.contracts import Picture, Recipe
from studio.develop import develop
from studio.engine import Artifact, Generator, Inputs, Judge, Report
from studio.errors import EngineOffline, SafetyFilter
from studio.face_pass import beginning, face_alone, with_faces
from studio.gallery import Gallery
from studio.jobs import Jobs, Run
from studio.shelf import ModelShelf
from studio.source import fitted

log = logging.getLogger(__name__)


def make_pictures(
    run: Run,
    report: Report,
    *,
    jobs: Jobs,
    gallery: Gallery,
    engines: Mapping[str, Generator],
    shelf: ModelShelf,
    characters: Characters,
    judge: Callable[[], Judge],
    explicit_from: float,
) -> None:
    """Run one generate job to its end, also for the second time: pictures that are in the library already stay as they are.

    An edit of a real person's photo is shown and kept only when `judge` finds every picture of it below `explicit_from`.
    Raises SafetyFilter when it doesn't or there is no judge, and whatever the engine raises; what was finished before that is kept.
    """
    engine = engines.get(run.recipe.engine)
    if engine is None:
        raise EngineOffline(f"There is no engine called {run.recipe.engine!r} here.")
    if run.recipe.workflow is None:
        spec = shelf.model(run.recipe.model)
        name, file, lora_files = spec.name, Path(spec.path), tuple(shelf.lora_file(use) for use in run.recipe.loras)
    else:
        # Its files lie where the engine's servers are.
        name, file, lora_files = Path(run.recipe.model).stem, Path(), ()
    inputs = Inputs(
        model=file,
        loras=lora_files,
        image=gallery.pixels(run.recipe.image) if run.recipe.image else None,
        mask=gallery.pixels(run.recipe.mask, "L") if run.recipe.mask else None,
        pictures={name: gallery.pixels(picture) for name, picture in run.recipe.pictures.items()},
    )
    known = {picture.index for picture in gallery.of_job(run.job_id)}
    unrecorded: list[Picture] = []
    if run.recipe.real_person and (run.recipe.image or run.recipe.pictures):
        # Opened before the work: a judge that is gone or broken must not cost a picture first.
        opened = judge()
        made = _made(run, inputs, engine, shelf, _Unseen(report))
        artifacts = _judged(_developed(made, run.recipe, inputs), opened, explicit_from)
    else:
        artifacts = _developed(_made(run, inputs, engine, shelf, report), run.recipe, inputs)
    for artifact in artifacts:
        if artifact.index in known:
            continue
        if unrecorded:
            with gallery.database.begin() as connection:
                gallery.record(unrecorded, connection)
            unrecorded = []
        unrecorded.append(gallery.save(artifact, job_id=run.job_id, recipe=run.recipe, model_name=name))
    # The last picture's row and the job's end share one transaction: a finished job has all its pictures.
    with gallery.database.begin() as connection:
        gallery.record(unrecorded, connection)
        jobs.finish(run.run_id, connection)
        # What was drawn over another picture may show somebody else.
        if run.recipe.character and unrecorded and run.recipe.image is None:
            characters.adopt_portrait(run.recipe.character, unrecorded[0].id, connection)


def _made(run: Run, inputs: Inputs, engine: Generator, shelf: ModelShelf, report: Report) -> Iterator[Artifact]:
    """The pictures, and on them the face of the recipe's variant."""
    recipe = run.recipe
    if recipe.face is None:
        return engine.generate(recipe, inputs, run.run_id, report)
    lora = shelf.lora_file(recipe.face.lora)
    if recipe.face.alone:
        assert inputs.image is not None
        return iter((face_alone(recipe, lora, inputs.model, inputs.image, engine, run.run_id, report),))
    made = engine.generate(recipe, inputs, run.run_id, beginning(report))
    return with_faces(made, recipe, lora, inputs.model, engine, run.run_id, report)


def _developed(artifacts: Iterable[Artifact], recipe: Recipe, inputs: Inputs) -> Iterator[Artifact]:
    for artifact in artifacts:
        mask = inputs.mask
        if mask is not None and mask.size != artifact.image.size:
            mask = fitted(recipe, inputs).mask
        yield replace(artifact, image=develop(artifact.image, recipe, seed=artifact.seed, mask=mask))


def _judged(artifacts: Iterable[Artifact], judge: Judge, explicit_from: float) -> list[Artifact]:
    """All pictures of a job, once each was looked at. Raises SafetyFilter at the first explicit one: none of them is kept then."""
    passed: list[Artifact] = []
    for artifact in artifacts:
        # A small part of a large picture is hardly seen in it: what was drawn is looked at on its own too.
        views = [artifact.image] if artifact.crop is None else [artifact.image, artifact.image.crop(artifact.crop.box)]
        scores = [judge.explicit(view) for view in views]
        log.info("Picture %d was looked at: explicit %s", artifact.index, " and ".join(f"{score:.3f}" for score in scores))
        # Asked this way round, a score that is no number withholds too.
        if not all(score < explicit_from for score in scores):
            raise SafetyFilter(
                "The picture was withheld: it looks explicit, and it was made from a photo of a real person.",
                remedy="Change the prompt or lower the denoise, and try again. Nothing of it was kept.",
            )
        passed.append(artifact)
    return passed


class _Unseen:
    """A job's report without live previews: what nobody has judged, nobody sees."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: Image | None = None) -> None:
        self._report(progress, note, step=step, steps=steps)

    def wants_preview(self) -> bool:
        return False
