"""One training through AI-Toolkit: begun or taken up, watched, stopped with a save, and seen to have ended well.

<folder of the run>/toolkit/
  config.json            what the trainer is told
  dataset/               the pictures and captions, and the trainer's cache
  out/<job>/             the trainer's own folder: nothing of ours lies there
  jobs.db                the row through which it is watched and asked
  process.json           which process it is
  stdout.log stderr.log  what it printed; of the time before with .1 behind
  told.json              up to where that stands in the job's log
  done                   the run has ended well
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from PIL import Image

from engines.aitoolkit import faults, process, saves
from engines.aitoolkit.closing import close_later, keep_open
from engines.aitoolkit.config import (
    CPU,
    DIFFUSION_TRAINER,
    Arch,
    Places,
    arch_of,
    check_recipe,
    config,
    job_name,
    written,
)
from engines.aitoolkit.dataset import forget_dataset, write_dataset
from engines.aitoolkit.process import STDERR, STDOUT, Trainer
from engines.aitoolkit.upfront import check_machine
from engines.aitoolkit.watch import LOSS_LOG, JobTable, Printed, Row, read_losses
from studio import models, training
from studio.engine import Cancelled, Report, Stopping
from studio.errors import Conflict, EngineTimeout, LikenessError, ModelInvalid, from_os_error
from studio.files import write_atomically
from studio.meters import program_memory_mb
from studio.settings import Settings
from studio.training import TrainedLora, TrainingPicture, TrainRecipe

log = logging.getLogger(__name__)
# What the trainer says itself.
said = logging.getLogger("aitoolkit")

LOOK_S = 0.25
MEASURE_S = 1.0
# A person waits for a stop with a save until the step at work and the samples being drawn are done.
SAVE_S = 300.0
STOP_S = 20.0
# A file is taken when it has been left alone for so long.
SETTLED_S = 1.0
# The trainer learns nothing from a step whose loss is no number, and goes on: one may happen.
NOT_NUMBERS = 5
# A process that computes may be quiet for so many times the usual patience: a large model is quantized for minutes.
QUIET_TIMES = 10
SAVES_TO_GO_ON_FROM = 2
TOLD = "told.json"
# At one look: a program that prints without end must not fill the disk twice.
MOST_LINES = 200
ASKS = {"save": "save_now", "sample": "sample_now"}


class Run:
    """A training in a folder of its own. What is there already is gone on with.

    `leave_s` is how long a save may take when the worker ends; a trainer that takes longer is stopped after it, without us.
    """

    def __init__(self, settings: Settings, recipe: TrainRecipe, model: Path, folder: Path, report: Report, leave_s: float) -> None:
        self._settings = settings
        self._recipe = recipe
        self._model = model
        self._folder = folder
        self._report = report
        self._leave_s = leave_s
        self._left = False
        self._inside = folder / "toolkit"
        self._name = job_name(recipe)
        self._out = self._inside / "out" / self._name
        self._table = JobTable(self._inside / "jobs.db", self._name)
        self._printed = self._listen()
        self._arch: Arch | None = None
        self._asked = False
        self._verified = False
        self._written = 0
        self._written_at = time.monotonic()
        self._kept = 0
        self._loss = math.nan
        self._diverged = False
        self._bad_from: float = math.inf
        self._sample: Path | None = None
        self._measured_at = -MEASURE_S

    def run(self, pictures: Sequence[TrainingPicture]) -> TrainedLora:
        """Train to the end. Raises what `report` raises, after a save; LikenessError when it can't begin or ended badly."""
        started = time.perf_counter()
        try:
            training.begin(self._folder, self._recipe)
            self._inside.mkdir(parents=True, exist_ok=True)
            with self._alone():
                training.sweep(self._folder)
                if not self._is_done():
                    self._train(pictures)
                return self._finish(time.perf_counter() - started)
        except OSError as error:
            raise from_os_error(error, "train with AI-Toolkit") from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        # The system opens the lock of a process that died: a file that stayed behind holds nobody up.
        try:
            with FileLock(self._inside / ".lock", timeout=0):
                yield
        except Timeout as error:
            raise Conflict("This training is running already.", remedy="Watch that one, or stop it first.") from error

    def _train(self, pictures: Sequence[TrainingPicture]) -> None:
        self._arch = arch_of(self._recipe, self._model)
        self._written = max((one["step"] for one in training.read_progress(self._folder)), default=0)
        trainer = self._running()
        if trainer is None:
            if (before := process.last_trainer(self._inside)) is not None:
                process.drop_alias(before.alias, self._inside)
                self._hear()
                if before.resumed and self._printed.training and self._printed.resumed_from != before.resumed:
                    # It began anew: what it saved is none of this run's, and must not go over it.
                    shutil.rmtree(self._out, ignore_errors=True)
                if self._ended_well(before):
                    return
                if not before.resumed or self._printed.resumed_from == before.resumed:
                    # What it learned while nobody looked.
                    self._learn(ended=True)
                self._diverged, self._bad_from = False, math.inf
            trainer = self._start(pictures)
        else:
            log.info("AI-Toolkit still runs as process %s: taken up again", trainer.pid)
        try:
            self._follow(trainer)
        finally:
            if not self._left:
                # Whatever went wrong here: nobody would watch it any more.
                process.end(trainer)
                process.drop_alias(trainer.alias, self._inside)
                if self._verified:
                    self._collect(settled=True)

    def _listen(self) -> Printed:
        return Printed(self._inside / STDOUT, self._inside / STDERR, self._name, self._inside / TOLD)

    def _hear(self) -> None:
        """Read what it printed since, and keep it with the job."""
        self._printed.follow()
        lines = self._printed.lines()
        for level, line in lines[:MOST_LINES]:
            said.log(level, "%s", line)
        if len(lines) > MOST_LINES:
            said.log(logging.INFO, "… and %d more lines", len(lines) - MOST_LINES)

    # Before it runs

    def _running(self) -> Trainer | None:
        trainer = process.last_trainer(self._inside)
        if trainer is None or not trainer.alive:
            trainer = process.stray_trainer(self._inside / "config.json")
        if trainer is None:
            return None
        keep_open(self._inside)
        row = self._table.read()
        if row is not None and row.stop:
            # It was told to stop before we ended: that is let happen, and then it goes on anew.
            self._await_end(trainer, STOP_S)
            process.end(trainer)
            return None
        return trainer

    def _start(self, pictures: Sequence[TrainingPicture]) -> Trainer:
        assert self._arch is not None
        self._report(0.0, "Starting AI-Toolkit", steps=self._recipe.steps)
        toolkit = process.find_toolkit(self._settings)
        check_recipe(self._recipe, self._arch, self._model)
        device = process.device_of(self._settings)
        check_machine(self._settings, self._recipe, self._arch, self._model, process.video_memory_mb() if device != CPU else None)
        write_dataset(pictures, self._recipe.trigger, self._inside / "dataset")
        resumed = self._prepare_to_resume()
        training.forget_after(self._folder, resumed)
        self._written = self._kept = resumed
        alias = process.safe_alias(self._inside)
        places = Places(alias / "out", alias / "dataset", alias / "jobs.db")
        seen = any((self._folder / "samples").glob("000000-*"))
        told = config(self._recipe, self._arch, self._model, places, trainer=toolkit.trainer, device=device, seen=seen)
        write_atomically(self._inside / "config.json", written(told))
        (self._inside / "jobs.db").unlink(missing_ok=True)
        if toolkit.trainer == DIFFUSION_TRAINER:
            self._table.begin()
        # What it prints begins anew.
        (self._inside / TOLD).unlink(missing_ok=True)
        self._printed = self._listen()
        environment = process.environment(self._settings, self._name, device)
        log.info("AI-Toolkit trains %s, after step %s", self._name, resumed)
        return process.start(toolkit, self._inside / "config.json", environment, self._inside, resumed=resumed, alias=alias)

    def _prepare_to_resume(self) -> int:
        """Leave the newest good save alone in the trainer's folder: it goes on from what it takes for the newest. Gives its step, or 0."""
        self._out.mkdir(parents=True, exist_ok=True)
        self._collect(settled=True)
        self._diverged = False
        good = [one for one in training.checkpoints(self._folder) if one.step <= self._recipe.steps and saves.is_finite(one.lora)]
        newest = good[-1] if good else None
        stay: tuple[Path, ...] = ()
        if newest is not None:
            found, _ = saves.find_saves(self._out, self._name)
            same = [save for save in found if save.step == newest.step and saves.is_finite(save.lora)]
            if not same:
                saves.put_back(newest, self._out, self._name)
                found, _ = saves.find_saves(self._out, self._name)
                same = [save for save in found if save.step == newest.step]
            stay = same[-1].files
        for path in sorted(self._out.iterdir()):
            # By its name alone anything here would be taken for a save.
            if path.name.startswith(self._name) and path not in stay:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        return newest.step if newest is not None else 0

    # While it runs

    def _follow(self, trainer: Trainer) -> None:
        signs: object = None
        quiet = silent = time.monotonic()
        spent = 0.0
        while True:
            # Asked before looking, so that the last look sees everything.
            alive = trainer.alive
            row = self._look(trainer, ended=not alive)
            if not alive:
                break
            self._obey(row)
            self._measure(trainer)
            try:
                self._tell(row)
            except Cancelled:
                self._stop(trainer, SAVE_S)
                raise
            except Stopping:
                self._stop(trainer, self._leave_s, leave=True)
                raise
            now = time.monotonic()
            if (seen := self._signs(row)) != signs:
                signs, silent, quiet, spent = seen, now, now, process.spent_s(trainer)
            elif (spending := process.spent_s(trainer)) > spent + 0.5:
                quiet, spent = now, spending
            patience = self._settings.engine_timeout_s
            if now - quiet > patience or now - silent > patience * QUIET_TIMES:
                process.end(trainer, gently=False)
                raise EngineTimeout("AI-Toolkit showed no progress for too long, and was ended.")
            exited = process.exit_status(trainer)
            if exited is None:
                time.sleep(LOOK_S)
        if not self._ended_well(trainer):
            raise self._why(trainer)

    def _look(self, trainer: Trainer, *, ended: bool) -> Row | None:
        self._hear()
        row = self._table.read()
        if not self._verified:
            self._verify(trainer, ended=ended)
        if self._verified:
            self._learn(ended=ended)
            self._collect(settled=ended)
        if self._diverged or self._printed.not_numbers >= NOT_NUMBERS:
            process.end(trainer, gently=False)
            raise self._fault_of_divergence()
        return row

    def _verify(self, trainer: Trainer, *, ended: bool) -> None:
        if not trainer.resumed:
            self._verified = self._printed.training or ended
            return
        if self._printed.resuming and self._printed.resumed_from == trainer.resumed:
            # What the log holds after that step is struck out before the first new one.
            self._verified = self._printed.training or ended
        elif self._printed.training or self._printed.resumed_from is not None:
            process.end(trainer, gently=False)
            raise faults.not_resumed(trainer.resumed, self._printed.resumed_from)

    def _learn(self, *, ended: bool, all_done: bool = False) -> None:
        """Write down the steps that were learned since: by the log of losses, and what is missing there by the progress bar."""
        known = {one.step: one for one in read_losses(self._out / LOSS_LOG, self._written)}
        logged = (self._out / LOSS_LOG).is_file()
        # What the bar shows while it stands at a step is that step's own at the very end of it.
        until = self._recipe.steps if all_done else self._printed.bar if not logged or ended else max(known, default=0)
        for step, one in self._printed.bars.items():
            if self._written < step <= until and step not in known:
                known[step] = one
        new = [known[step] for step in sorted(known) if self._written < step <= self._recipe.steps]
        if not new:
            return
        now = time.monotonic()
        seconds = round((now - self._written_at) / len(new), 4)
        lines = [{"step": one.step, "loss": round(one.loss, 6), "rate": one.rate, "seconds": seconds} for one in new]
        with (self._folder / training.PROGRESS).open("a", encoding="utf-8") as progress:
            progress.write("".join(f"{json.dumps(line)}\n" for line in lines if math.isfinite(line["loss"])))
        self._written, self._written_at = new[-1].step, now
        # A loss that is no number is made 0 by the trainer of today, and told beside it.
        bad = [one.step for one in new if not math.isfinite(one.loss) or (one.loss == 0 and self._printed.not_numbers)]
        self._diverged = self._diverged or any(not math.isfinite(one.loss) for one in new)
        self._bad_from = min([*bad, self._bad_from])
        self._loss = new[-1].loss

    def _collect(self, *, settled: bool) -> None:
        """Take what was saved and drawn since into the folder of the run. A save that holds no numbers is thrown away."""
        found, _ = saves.find_saves(self._out, self._name)
        for save in found:
            if saves.is_kept(save, self._folder):
                self._kept = max(self._kept, save.step)
                continue
            if not settled and time.time() - max(path.stat().st_mtime for path in save.files) < SETTLED_S:
                continue
            if not all(saves.is_finite(path) for path in save.files):
                for path in save.files:
                    path.unlink(missing_ok=True)
                self._diverged = True
                continue
            if all(saves.is_lora(path) for path in save.files):
                saves.keep(save, self._folder)
                self._kept = max(self._kept, save.step)
        for save in [save for save in found if not save.final and save.step <= self._kept][:-SAVES_TO_GO_ON_FROM]:
            for path in save.files:
                path.unlink(missing_ok=True)
        if new := saves.collect_samples(self._out, self._folder):
            self._sample = new[-1]

    def _fault_of_divergence(self) -> LikenessError:
        """Throw away what was saved after the loss was no number any more; gives the fault."""
        found, _ = saves.find_saves(self._out, self._name)
        spoilt = [path for save in found if save.step >= self._bad_from for path in save.files]
        spoilt += [one.lora for one in training.checkpoints(self._folder) if one.step >= self._bad_from]
        for path in spoilt:
            path.unlink(missing_ok=True)
        return faults.diverged()

    def _obey(self, row: Row | None) -> None:
        for ask, column in ASKS.items():
            path = self._folder / "asks" / ask
            if not path.exists() or not self._printed.training:
                continue
            if row is None:
                log.warning("This AI-Toolkit can't be asked to %s now: it is too old", ask)
            else:
                self._table.ask(column)
            path.unlink(missing_ok=True)

    def _tell(self, row: Row | None) -> None:
        step = max(self._written, self._kept)
        note = f"Loss {self._loss:.3f}" if math.isfinite(self._loss) else "Loading the model"
        if row is not None and row.info and row.info not in ("Training", "Starting"):
            note = row.info
        if self._printed.skipped:
            note = f"{note}; out of memory {self._printed.skipped} {'time' if self._printed.skipped == 1 else 'times'}"
        preview = None
        if self._sample is not None and self._report.wants_preview():
            with Image.open(self._sample) as image:
                preview = image.convert("RGB")
            self._sample = None
        self._report(min(1.0, step / self._recipe.steps), note, step=step, steps=self._recipe.steps, preview=preview)

    def _measure(self, trainer: Trainer) -> None:
        """Remember the most video memory that it held: what such a training will take the next time."""
        now = time.monotonic()
        if now - self._measured_at < MEASURE_S or self._settings.device == CPU:
            return
        self._measured_at = now
        held = program_memory_mb(process.family(trainer))
        if held is not None:
            training.note_video_memory(self._folder, held)

    def _signs(self, row: Row | None) -> object:
        sizes = tuple(path.stat().st_size if path.exists() else 0 for path in (self._inside / STDOUT, self._inside / STDERR))
        return row, sizes, self._written, self._kept

    # Stopping

    def _stop(self, trainer: Trainer, patience: float, *, leave: bool = False) -> None:
        """Save, wait, stop. Where nothing was learned since the last save, and where it can't be asked, it is just ended.

        With `leave` a save that takes longer is waited for by a process of its own.
        """
        row = self._table.read()
        if row is not None and self._printed.training and trainer.alive:
            before = self._kept
            if max(self._printed.bar, self._written) > before:
                self._table.ask("save_now")
                until = time.monotonic() + patience
                while trainer.alive and time.monotonic() < until and not self._has_saved(before):
                    process.exit_status(trainer)
                    time.sleep(0.05)
                if leave and trainer.alive and not self._has_saved(before):
                    close_later(self._inside, self._name, before)
                    self._left = True
                    return
            # It finishes the file of the optimizer, and looks at this after that.
            self._table.ask("stop")
            self._await_end(trainer, min(patience, STOP_S))
        process.end(trainer)
        self._hear()
        if self._verified:
            self._learn(ended=True)
            self._collect(settled=True)

    def _has_saved(self, before: int) -> bool:
        found, _ = saves.find_saves(self._out, self._name)
        return any(save.step > before for save in found)

    @staticmethod
    def _await_end(trainer: Trainer, patience: float) -> None:
        until = time.monotonic() + patience
        while trainer.alive and time.monotonic() < until:
            process.exit_status(trainer)
            time.sleep(0.05)

    # After it ran

    def _is_done(self) -> bool:
        return (self._inside / "done").is_file() and self._last() is not None

    def _last(self) -> training.Checkpoint | None:
        return next((one for one in training.checkpoints(self._folder) if one.step == self._recipe.steps), None)

    def _ended_well(self, trainer: Trainer) -> bool:
        """Whether it says that it is done, and a whole LoRA of the last step lies there. Words or a LoRA alone are not enough."""
        row, status = self._table.read(), process.exit_status(trainer)
        self._hear()
        if row is not None:
            well = row.status == "completed"
        else:
            # The exit status of one that was taken up is never known.
            well = status == 0 or (status is None and not self._printed.error() and self._printed.finished())
            well = well and not self._printed.stopped()
        found, _ = saves.find_saves(self._out, self._name)
        finals = [save for save in found if save.final and save.step == self._recipe.steps]
        if not well or not finals:
            return False
        if trainer.resumed and self._printed.resumed_from != trainer.resumed:
            raise faults.not_resumed(trainer.resumed, self._printed.resumed_from)
        self._verified = True
        self._learn(ended=True, all_done=True)
        self._collect(settled=True)
        if self._diverged or self._printed.not_numbers >= NOT_NUMBERS:
            raise self._fault_of_divergence()
        return self._last() is not None

    def _why(self, trainer: Trainer) -> LikenessError:
        assert self._arch is not None
        row, status, said = self._table.read(), process.exit_status(trainer), self._printed.error()
        if row is not None and row.status == "error":
            return faults.failed(row.info or said, self._printed.traceback(), self._recipe, self._arch)
        if said:
            return faults.failed(said, self._printed.traceback(), self._recipe, self._arch)
        if self._printed.stopped() or (row is not None and row.status in ("stopped", "queued")):
            return faults.stopped_elsewhere()
        if status == 0 or (row is not None and row.status == "completed"):
            return faults.without_lora(status)
        if status is None or status < 0:
            return faults.killed(status, process.memory_kills() > trainer.kills)
        return faults.failed("", self._printed.traceback(), self._recipe, self._arch)

    def _finish(self, seconds: float) -> TrainedLora:
        last = self._last()
        if last is None or not saves.is_lora(last.lora):
            raise faults.without_lora(None)
        if not saves.is_finite(last.lora):
            raise faults.diverged()
        self._check_fit(last.lora)
        write_atomically(self._inside / "done", b"")
        forget_dataset(self._inside / "dataset")
        for path in (*self._out.glob("*.safetensors"), self._out / "optimizer.pt"):
            path.unlink(missing_ok=True)
        losses = [one["loss"] for one in training.read_progress(self._folder)]
        losses = losses[-max(1, len(losses) // 10) :]
        digest = hashlib.sha256(last.lora.read_bytes()).hexdigest()
        return TrainedLora(last.lora, last.step, sum(losses) / len(losses) if losses else math.nan, digest, seconds)

    def _check_fit(self, lora: Path) -> None:
        """See that the LoRA fits the model, where the model lies here and is of a kind that is known. Raises LoraMismatch."""
        if not self._model.exists():
            return
        try:
            models.check_lora(lora, models.describe(self._model))
        except ModelInvalid as error:
            log.info("Nobody here can tell whether the LoRA fits: %s", error)
