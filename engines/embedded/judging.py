"""Draws what the checkpoint picker judges, and looks at it: every checkpoint of a run, the same prompts at the same seeds."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Sequence
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
        self._reader = Reader()

    def run(self, pictures: Sequence[TrainingPicture]) -> Judgement:
        """Judge the model without a LoRA and every checkpoint that was not judged yet; what was done is kept when `report` raises.

        Raises ImageInvalid for a picture of the dataset that can't be read, LoraMismatch for a checkpoint that does not fit, DiskFull.
        """
        self._report(0.0, "Looking at the dataset")
        self._captions = [one.caption for one in pictures]
        self._measure, self._dataset = self._look_at_dataset([_opened(one.path) for one in pictures])
        basis = judging.basis_of(self._recipe, self._warm.model_hash, self._trial, pictures, self._measure)
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
            measure=self._measure,
            freedom_measure=judging.freedom_measure(self._trial),
            own=judging.own_distance(self._dataset.person, self._measure),
            baseline=self._weigh(0, "", self._baseline),
            verdicts=tuple(before.values()),
        )
        for digest in todo:
            self._keep(judgement)
            step = found[digest].step
            self._draw(step, found[digest])
            judgement = judgement.model_copy(update={"verdicts": (*judgement.verdicts, self._weigh(step, digest, self._look(step)))})
        return self._keep(judgement)

    # Drawing

    def _samples(self, step: int) -> tuple[Sample, ...]:
        subject = judging.subject_of(self._recipe.trigger, self._captions)
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

    def _look_at_dataset(self, images: Sequence[Image.Image]) -> tuple[Measure, Look]:
        if self._faces is not None:
            rows = self._face_rows(images)
            if np.isnan(rows).any(axis=1).mean() < 0.5:
                return Measure.faces, Look(self._reader.read(images).embedding, rows)
        reading = self._reader.read(images)
        return Measure.illustrated, Look(reading.embedding, reading.person)

    def _look(self, step: int) -> Look:
        """At the saved files: what is judged is what is shown."""
        images = [_opened(self._folder / one.file) for one in self._samples(step)]
        reading = self._reader.read(images)
        labels = tuple({name: reading.label(i, name) for name in self._reader.labels} for i in range(len(images)))
        return Look(reading.embedding, self._face_rows(images) if self._measure is Measure.faces else reading.person, labels)

    def _face_rows(self, images: Sequence[Image.Image]) -> np.ndarray:
        assert self._faces is not None
        found = (self._faces(image) for image in images)
        return np.stack([np.full(_FACE_NUMBERS, np.nan) if one is None else np.asarray(one, dtype=np.float64) for one in found])

    def _weigh(self, step: int, digest: str, look: Look) -> Verdict:
        losses = [one["loss"] for one in training.read_progress(self._folder) if step - _LOSSES < one["step"] <= step]
        return judging.weigh(
            step,
            digest,
            self._trial,
            self._samples(step),
            look,
            self._dataset,
            self._captions,
            self._baseline,
            self._measure,
            sum(losses) / len(losses) if losses else None,
        )

    def _keep(self, judgement: Judgement) -> Judgement:
        judgement = judging.conclude(judgement)
        try:
            judging.write_judgement(self._folder, judgement)
        except OSError as error:
            raise from_os_error(error, "save the judgement") from error
        return judgement


class _Part:
    """The progress of one batch as a part of the whole."""

    def __init__(self, report: Report, step: int, begin: float, share: float) -> None:
        self._report = report
        self._note = f"Judging step {step}" if step else "Drawing without the LoRA"
        self._begin = begin
        self._share = share

    def __call__(self, progress: float, note: str = "", *, step: int = 0, steps: int = 0, preview: Image.Image | None = None) -> None:
        """Pass it on."""
        self._report(self._begin + self._share * progress, self._note)

    def wants_preview(self) -> bool:
        """No: the pictures themselves are there in a moment."""
        return False


def _opened(path: Path) -> Image.Image:
    try:
        with Image.open(path) as opened:
            return ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageInvalid(f"{path.name} can't be read: {error}", remedy="Take it out of the dataset, or give it again.") from error


def _digest(checkpoint: Checkpoint) -> str:
    return hashlib.sha256(checkpoint.lora.read_bytes()).hexdigest()
