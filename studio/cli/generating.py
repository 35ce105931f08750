"""The verb `generate`: in place when no studio runs on the data folder, in that studio when one does."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from pydantic import ValidationError

from studio.cli.casting import consent_of
from studio.cli.desk import FAILED, INTERRUPTED, OK, Answer, Desk, explain, problem
from studio.cli.words import read_file
from studio.contracts import GenerateRequest, Job, JobState, Picture, PictureKind, Submitted, new_id
from studio.errors import Conflict, DataRootLocked, DiskFull, InvalidFieldValue, LikenessError, from_validation
from studio.files import write_atomically
from studio.studio import Studio
from studio.workflows import Parameter, ParameterType

# How long to follow a studio's work before looking again whether that studio still runs.
LOOK_AGAIN_S = 1.0
_YES_NO = {"yes": True, "true": True, "no": False, "false": False}
CANCEL_S = 20.0


def generate(desk: Desk) -> Answer:
    """Make pictures and wait for them. Ctrl-C cancels the job."""
    args = desk.args
    prepare(args.out)
    studio = desk.studio
    request = _request(args, studio)
    return ended_or_waiting(desk, studio.generate(request, correlation_id=new_id(), first=not studio_runs(desk)))


def ended_or_waiting(desk: Desk, submitted: Submitted) -> Answer:
    """What became of jobs that were just sent: their pictures once they have ended, or with --no-wait the jobs as they wait.

    Ctrl-C cancels them. `--out` is where pictures are copied to.
    """
    args, studio = desk.args, desk.studio
    if args.no_wait:
        if not studio_runs(desk):
            print("No studio runs on this data folder: the job waits for the next one.", file=sys.stderr)
        return _answer([studio.job(job_id) for job_id in submitted.job_ids], (), args.out, desk)
    ended: list[Job] = []
    for job_id in submitted.job_ids:
        try:
            with _terminated_is_interrupted():
                ended.append(followed(desk, job_id))
        except KeyboardInterrupt:
            # It came before or after the work itself, while nothing ran here.
            ended.append(_cancelled_now(studio, job_id))
        if ended[-1].cancel_requested or ended[-1].state is JobState.cancelled:
            studio.cancel_all(batch_id=submitted.batch_id)
            break
    pictures = tuple(picture for job in ended for picture in studio.artifacts(job.id))
    return _answer(ended, pictures, args.out, desk)


def _request(args: argparse.Namespace, studio: Studio) -> GenerateRequest:
    try:
        return GenerateRequest.model_validate(
            {
                "prompt": args.prompt,
                "character": args.character,
                "variant": args.variant,
                "as_written": args.as_written,
                "image": _taken_in(args.image, studio, PictureKind.upload),
                "mask": _taken_in(args.mask, studio, PictureKind.mask),
                "denoise": args.denoise,
                "real_person": None if args.real_person is None else args.real_person == "yes",
                "consent": consent_of(args),
                "references": args.reference,
                "variations": args.variations,
                "grid": _grid(args),
                "wildcards": not args.no_wildcards,
                "negative_prompt": args.negative,
                "preset": args.preset,
                "style": args.style,
                "quality": args.quality,
                "engine": args.engine,
                "model": None if args.model is None else _found(args.model),
                "loras": [_lora(text) for text in args.lora],
                "width": args.width,
                "height": args.height,
                "steps": args.steps,
                "cfg": args.cfg,
                "sampler": args.sampler,
                "scheduler": args.scheduler,
                "grain": args.grain,
                "tone": args.tone,
                "tone_strength": args.tone_strength,
                "seed": args.seed,
                "count": args.count,
                "prompt_suffix": args.prompt_suffix,
                "negative_suffix": args.negative_suffix,
                "workflow": args.workflow,
                "values": _values(args.set, args.workflow, studio),
            }
        )
    except ValidationError as error:
        raise from_validation(error) from error


def _values(said: Sequence[str], workflow: str | None, studio: Studio) -> dict[str, object]:
    if not said:
        return {}
    if workflow is None:
        raise InvalidFieldValue("There is no workflow whose values could be set.", field="set", remedy="Give --workflow as well.")
    parameters = {each.name: each for each in studio.workflow(workflow).parameters}
    found: dict[str, object] = {}
    for text in said:
        name, equals, value = text.partition("=")
        parameter = parameters.get(name.strip())
        if not equals or parameter is None:
            raise InvalidFieldValue(
                f"“{text}” sets nothing of this workflow.", field="set", remedy=f"Write NAME=VALUE, with one of: {', '.join(parameters)}."
            )
        found[parameter.name] = _value(parameter, value, studio)
    return found


def _value(parameter: Parameter, text: str, studio: Studio) -> object:
    if parameter.type is ParameterType.image:
        return _taken_in(text, studio, PictureKind.upload)
    if parameter.type is ParameterType.boolean and text.lower() in _YES_NO:
        return _YES_NO[text.lower()]
    if parameter.type not in {ParameterType.integer, ParameterType.number}:
        return text
    try:
        return int(text) if parameter.type is ParameterType.integer else float(text)
    except ValueError as error:
        raise InvalidFieldValue(f"“{parameter.name}” wants a number.", field=parameter.name, remedy="Write it as 12 or 0.5.") from error


def _taken_in(named: str | None, studio: Studio, kind: PictureKind) -> str | None:
    if named is None or not Path(named).is_file():
        return named
    return studio.upload(read_file(Path(named)), Path(named).name, kind=kind).id


def _grid(args: argparse.Namespace) -> dict[str, object] | None:
    if args.grid_x is None:
        if args.grid_y is not None:
            raise InvalidFieldValue("A grid needs its row first.", field="grid.x", remedy="Give --grid-x as well.")
        return None
    return {"x": _axis(args.grid_x), "y": None if args.grid_y is None else _axis(args.grid_y)}


def _axis(text: str) -> dict[str, object]:
    field, _, values = text.partition("=")
    return {"field": field.strip(), "values": [value.strip() for value in values.split(",") if value.strip()]}


def _lora(text: str) -> dict[str, object]:
    path, colon, strength = text.rpartition(":")
    try:
        return {"path": _found(path), "strength": float(strength)} if colon else {"path": _found(text)}
    except ValueError:
        # A colon that belongs to the path, as in C:\loras\me.safetensors.
        return {"path": _found(text)}


def _found(name: str) -> str:
    # The worker stands in another folder: a path from here must mean the same there.
    looks_like_path = os.sep in name or "/" in name or name.endswith(".safetensors")
    return str(Path(name).expanduser().resolve()) if looks_like_path and Path(name).expanduser().exists() else name


def studio_runs(desk: Desk) -> bool:
    """Whether a studio works on the data folder."""
    from studio.worker import data_root_lock

    try:
        with data_root_lock(desk.settings):
            return False
    except DataRootLocked:
        return True


def followed(desk: Desk, job_id: str) -> Job:
    """A job once it has ended or is paused; done in this process when no studio does it."""
    while True:
        try:
            with desk.work_in_place():
                return _follow(desk.studio, job_id)
        except DataRootLocked:
            # Whoever works here may leave before this job's turn comes, as another command does: then it is ours.
            job = _follow(desk.studio, job_id, timeout_s=LOOK_AGAIN_S)
            if job.state.ended or job.state is JobState.paused:
                return job


def _follow(studio: Studio, job_id: str, *, timeout_s: float | None = None) -> Job:
    shown = sys.stderr.isatty()
    job = studio.job(job_id)
    try:
        for job in studio.watch(job_id, timeout_s=timeout_s):
            if shown:
                print(f"\r\x1b[K{progress_line(job)}", end="", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("\nCancelling …", file=sys.stderr)
        job = _cancelled_now(studio, job_id)
    if shown and job.state.ended:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    return job


def _cancelled_now(studio: Studio, job_id: str) -> Job:
    try:
        if studio.job(job_id).training is None:
            studio.cancel(job_id)
        else:
            studio.trainings.stop(job_id)  # what was learned is saved, and it can go on
    except Conflict:
        pass  # it ended at this very moment
    *_, job = studio.watch(job_id, timeout_s=CANCEL_S)
    return job


def progress_line(job: Job) -> str:
    """Where a job stands, in one short line."""
    if job.state is JobState.queued:
        return job.note or "Waiting in the queue"
    words = [f"{job.progress:4.0%}"]
    if job.step:
        words.append(f"step {job.step} of {job.steps}")
    if job.note:
        words.append(job.note)
    if job.eta_s is not None:
        words.append(f"{job.eta_s:.0f} s left")
    return " · ".join(words)


def _answer(jobs: Sequence[Job], pictures: tuple[Picture, ...], out: Path | None, desk: Desk) -> Answer:
    # What went wrong in one is what a batch tells first.
    job = next((job for job in jobs if job.state is not JobState.done), jobs[0])
    paths = [_place(desk.settings.data / picture.path, out) for picture in pictures]
    value: dict[str, object] = {
        "job_id": job.id,
        **({"job_ids": [job.id for job in jobs]} if len(jobs) > 1 else {}),
        "state": job.state.value,
        "images": [
            {"id": picture.id, "path": str(path), "seed": picture.seed, "width": picture.width, "height": picture.height}
            for picture, path in zip(pictures, paths, strict=True)
        ],
    }
    text = "\n".join(str(path) for path in paths)
    if job.state is JobState.done:
        return Answer(value, text)
    if not job.state.ended:
        return Answer(value, job.id, INTERRUPTED if job.cancel_requested else OK)
    told = why(job)
    if not desk.args.json:
        explain(told)
    return Answer({"ok": False, **value, "error": told}, text, INTERRUPTED if job.state is JobState.cancelled else FAILED)


def why(job: Job) -> dict[str, object]:
    """What went wrong in a job, as an error."""
    if job.error:
        return job.error.model_dump(mode="json")
    again = f"`python launch.py jobs retry {job.id}` starts it again."
    return problem(Conflict("The job was cancelled.", remedy=again), job.correlation_id or None)


def prepare(out: Path | None) -> None:
    """Make the folder that pictures are to be copied to, where there is one. Raises InvalidFieldValue, DiskFull."""
    if out is None:
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(out, error) from error
    if not os.access(out, os.W_OK):
        raise InvalidFieldValue(f"{out} can't be written.", field="out", remedy="Choose another folder with --out.")


def _place(path: Path, out: Path | None) -> Path:
    if out is None:
        return path.resolve()
    target = out.resolve() / path.name
    try:
        write_atomically(target, path.read_bytes())
    except OSError as error:
        raise _unwritable(out, error) from error
    return target


def _unwritable(out: Path, error: OSError) -> LikenessError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"There is no space left for {out}.", remedy="Free some space there; the pictures are in the gallery as well.")
    return InvalidFieldValue(f"{out} can't be written: {error.strerror or error}.", field="out", remedy="Choose another folder with --out.")


@contextmanager
def _terminated_is_interrupted() -> Iterator[None]:
    # `timeout 60 python launch.py generate …` should not leave its job behind for a later studio.
    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
