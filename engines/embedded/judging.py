"""Draws what the checkpoint picker judges, and looks at it: every checkpoint of a run, the same prompts at the same seeds.

While a run learns, the samples that its trainer draws are looked at in the same way.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from engines.embedded.pipeline import Warm
from engines.embedded.reader import Reader
from studio import judging, training
from studio.contracts import LoraUse, Recipe
from studio.engine import Report
from studio.errors import ImageInvalid, from_os_error
from studio.files import write_atomically
from studio.judging import Judgement, Look, Measure, Sample, Verdict
from studio.training import Checkpoint, TrainingPicture, TrainRecipe

log = logging.getLogger(__name__)

# The face embedding of the person in an RGB picture, 128 numbers, or None where no face is found.
Faces = Callable[[Image.Image], "np.ndarray | None"]

_FACE_NUMBERS = 128
_LOSSES = 25


class Eye:
    """Looks at the pictures of one run, and at those that it learned from. `measure` says by what it tells people apart."""

    def __init__(self, pictures: Sequence[TrainingPicture], faces: Faces | None) -> None:
        """Raises ImageInvalid for a picture of the dataset that can't be read."""
        self._faces = faces
        self._reader = Reader()
        self.captions = [one.caption for one in pictures]
        self.measure, self.dataset = self._look_at_dataset([_opened(one.path) for one in pictures])

    def look(self, folder: Path, samples: Sequence[Sample]) -> Look:
        """At the saved files: what is judged is what is shown."""
        images = [_opened(folder / one.file) for one in samples]
        reading = self._reader.read(images)
        labels = tuple({name: reading.label(i, name) for name in self._reader.labels} for i in range(len(images)))
        return Look(reading.embedding, self._face_rows(images) if self.measure is Measure.faces else reading.person, labels)

    def _look_at_dataset(self, images: Sequence[Image.Image]) -> tuple[Measure, Look]:
        if self._faces is not None:
            rows = self._face_rows(images)
            if np.isnan(rows).any(axis=1).mean() < 0.5:
                return Measure.faces, Look(self._reader.read(images).embedding, rows)
        reading = self._reader.read(images)
        return Measure.illustrated, Look(reading.embedding, reading.person)

    def _face_rows(self, images: Sequence[Image.Image]) -> np.ndarray:
        assert self._faces is not None
        found = (self._faces(image) for image in images)
        return np.stack([np.full(_FACE_NUMBERS, np.nan) if one is None else np.asarray(one, dtype=np.float64) for one in found])


class SampleJudging:
    """The judging of a run by the samples that its trainer draws, while it learns: it draws nothing itself and needs no model."""

    def __init__(self, recipe: TrainRecipe, folder: Path, pictures: Sequence[TrainingPicture], faces: Faces | None) -> None:
        self._recipe = recipe
        self._folder = folder
        self._pictures = pictures
        self._faces = faces
        self._trial = judging.sample_trial(recipe)
        self._eye: Eye | None = None
        self._known: dict[str, Verdict] = {}

    def __call__(self) -> Judgement | None:
        """Judge the checkpoints that have samples and were not judged yet; None where nothing is new, or more was drawn of them already.

        Raises ImageInvalid for a picture of the dataset that can't be read, DiskFull.
        """
        # Torch keeps in each thread whether it learns and in which numbers: the caller may be in the middle of a step.
        with ThreadPoolExecutor(1, thread_name_prefix="judging") as thread:
            return thread.submit(copy_context().run, self._judge).result()

    def _judge(self) -> Judgement | None:
        before = judging.read_judgement(self._folder)
        if (before is not None and not before.by_samples) or not self._there(0):
            return None
        found = {_digest(one): one.step for one in training.checkpoints(self._folder) if self._there(one.step)}
        known = {digest: one for digest, one in self._known.items() if digest in found}
        if not found or known.keys() == found.keys() == self._known.keys():
            return None
        eye = self._eye = self._eye or Eye(self._pictures, self._faces)
        basis = judging.basis_of(self._recipe, "", self._trial, self._pictures, eye.measure)
        if before is not None and before.basis == basis:
            known |= {one.sha256: one for one in before.verdicts if one.sha256 in found}
        baseline = eye.look(self._folder, self._samples(0))

        def weigh(step: int, digest: str, look: Look) -> Verdict:
            loss = _loss_at(self._folder, step)
            return judging.weigh(
                step, digest, self._trial, self._samples(step), look, eye.dataset, eye.captions, baseline, eye.measure, loss
            )

        for digest, step in found.items():
            if digest not in known:
                known[digest] = weigh(step, digest, eye.look(self._folder, self._samples(step)))
        self._known = known
        judgement = Judgement(
            basis=basis,
            by_samples=True,
            measure=eye.measure,
            freedom_measure=judging.freedom_measure(self._trial),
            own=judging.own_distance(eye.dataset.person, eye.measure),
            baseline=weigh(0, "", baseline),
            verdicts=tuple(known.values()),
        )
        return _kept(self._folder, judgement)

    def _samples(self, step: int) -> tuple[Sample, ...]:
        return tuple(
            Sample(step=step, prompt=prompt.words, seed=seed, file=f"samples/{step:06}-{prompt.key}.png")
            for prompt, seed in self._trial.cells
        )

    def _there(self, step: int) -> bool:
        samples = self._samples(step)
        return bool(samples) and all((self._folder / one.file).is_file() for one in samples)


class Judging:
    """The judging of one run with a loaded model, which wears one checkpoint after the other."""

    def __init__(self, warm: Warm, recipe: TrainRecipe, folder: Path, report: Report, batch: int, faces: Faces | None) -> None:
        """`batch` says how many pictures are drawn at once."""
        self._warm = warm
        self._recipe = recipe
        self._folder = folder
        self._report = report
        self._batch = batch
        self._faces = faces
        self._trial = judging.trial_for(warm.spec.family)

    def run(self, pictures: Sequence[TrainingPicture]) -> Judgement:
        """Judge the model without a LoRA and every checkpoint that was not judged yet; what was done is kept when `report` raises.

        Raises ImageInvalid for a picture of the dataset that can't be read, LoraMismatch for a checkpoint that does not fit, DiskFull.
        """
        self._report(0.0, "Looking at the dataset")
        self._eye = eye = Eye(pictures, self._faces)
        basis = judging.basis_of(self._recipe, self._warm.model_hash, self._trial, pictures, eye.measure)
        found = {_digest(one): one for one in training.checkpoints(self._folder)}
        known = judging.read_judgement(self._folder)
        before = {one.sha256: one for one in known.verdicts if one.sha256 in found} if known and known.basis == basis else {}
        drawn = known is not None and known.basis == basis and all((self._folder / one.file).is_file() for one in self._samples(0))
        todo = [digest for digest in found if digest not in before]
        self._parts = len(todo) + (not drawn)

        self._done = 0
        if not drawn:
            self._draw(0, None)
        self._baseline = self._look(0)
        judgement = Judgement(
            basis=basis,
            measure=eye.measure,
            freedom_measure=judging.freedom_measure(self._trial),
            own=judging.own_distance(eye.dataset.person, eye.measure),
            baseline=self._weigh(0, "", self._baseline),
            verdicts=tuple(before.values()),
        )
        for digest in todo:
            # What was seen of the samples stays until there is something better.
            if judgement.verdicts or not (known and known.by_samples):
                _kept(self._folder, judgement)
            step = found[digest].step
            self._draw(step, found[digest])
            judgement = judgement.model_copy(update={"verdicts": (*judgement.verdicts, self._weigh(step, digest, self._look(step)))})
        return _kept(self._folder, judgement)

    # Drawing

    def _samples(self, step: int) -> tuple[Sample, ...]:
        subject = judging.subject_of(self._recipe.trigger, self._eye.captions)
        return tuple(
            Sample(step=step, prompt=judging.prompt_text(prompt, subject), seed=seed, file=judging.sample_file(step, prompt, seed))
            for prompt, seed in self._trial.cells
        )

    def _draw(self, step: int, checkpoint: Checkpoint | None) -> None:
        samples = self._samples(step)
        loras = () if checkpoint is None else (checkpoint.lora,)
        for begin in range(0, len(samples), self._batch):
            some = samples[begin : begin + self._batch]
            follow = _Part(self._report, step, (self._done + begin / len(samples)) / self._parts, len(some) / len(samples) / self._parts)
            images = self._warm.draw_together([self._drawing(one, loras) for one in some], loras, follow)
            for sample, image in zip(some, images, strict=True):
                self._save(sample, image)
        self._done += 1

    def _drawing(self, sample: Sample, loras: Sequence[Path]) -> Recipe:
        spec = self._warm.spec
        side = min(spec.side_max, max(spec.side_min, self._recipe.resolution)) // spec.side_step * spec.side_step
        return Recipe(
            prompt=sample.prompt,
            negative_prompt="",
            preset=None,
            engine="embedded",
            model=spec.id,
            loras=tuple(LoraUse(path=one.parent.name, strength=1) for one in loras),
            width=side,
            height=side,
            steps=min(spec.steps, self._trial.steps),
            cfg=spec.cfg,
            sampler=spec.sampler,
            scheduler=spec.scheduler,
            seed=sample.seed,
            count=1,
        )

    def _save(self, sample: Sample, image: Image.Image) -> None:
        data = io.BytesIO()
        image.save(data, "WEBP", quality=92)
        try:
            write_atomically(self._folder / sample.file, data.getvalue())
        except OSError as error:
            raise from_os_error(error, "save the pictures of the judgement") from error

    # Looking

    def _look(self, step: int) -> Look:
        return self._eye.look(self._folder, self._samples(step))

    def _weigh(self, step: int, digest: str, look: Look) -> Verdict:
        return judging.weigh(
            step,
            digest,
            self._trial,
            self._samples(step),
            look,
            self._eye.dataset,
            self._eye.captions,
            self._baseline,
            self._eye.measure,
            _loss_at(self._folder, step),
        )


class _Part:
    """The progress of one batch as a part of the whole."""

    def __init__(self, report: Report, step: int, begin: float, share: float) -> None:
        self._report = report
        self._note = f"Judging step {step}" if step else "Judging without the LoRA"
        self._begin = begin
        self._share = share

    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: Image.Image | None = None) -> None:
        """Pass it on."""
        self._report(self._begin + self._share * progress, self._note)

    def wants_preview(self) -> bool:
        """No: the pictures themselves are there in a moment."""
        return False


def _loss_at(folder: Path, step: int) -> float | None:
    """The mean loss of the last steps up to a step."""
    losses = [one["loss"] for one in training.read_progress(folder) if step - _LOSSES < one["step"] <= step]
    return sum(losses) / len(losses) if losses else None


def _kept(folder: Path, judgement: Judgement) -> Judgement:
    judgement = judging.conclude(judgement)
    try:
        judging.write_judgement(folder, judgement)
    except OSError as error:
        raise from_os_error(error, "save the judgement") from error
    return judgement


def _opened(path: Path) -> Image.Image:
    try:
        with Image.open(path) as opened:
            return ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageInvalid(f"{path.name} can't be read: {error}", remedy="Take it out of the dataset, or give it again.") from error


def _digest(checkpoint: Checkpoint) -> str:
    seen = checkpoint.lora.stat()
    return _digest_of(checkpoint.lora, seen.st_size, seen.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest_of(path: Path, _size: int, _changed: int) -> str:
    # Looked at again with each new checkpoint, and some are hundreds of megabytes.
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
