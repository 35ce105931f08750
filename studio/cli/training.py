"""The verbs `train`, `training …` and the versions of LoRAs."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from studio.cli.desk import FAILED, INTERRUPTED, Answer, Desk, explain
from studio.cli.generating import followed, why
from studio.cli.words import items_of, table
from studio.comparing import CompareRequest, Side
from studio.contracts import JobState, TrainRequest, new_id
from studio.errors import from_validation
from studio.keeping import Cleanup, LoraDelete
from studio.training import Ask
from studio.training_offers import TrainChoice
from studio.trainings import Training

# Each is an option of the command, too.
_SAID = [name for name in TrainRequest.model_fields if name not in ("character", "samples")]


def train(desk: Desk) -> Answer:
    args = desk.args
    said = {name: value for name in _SAID if (value := getattr(args, name)) is not None}
    if args.sample:
        said["samples"] = tuple(args.sample)
    try:
        request = TrainRequest.model_validate({"character": args.character, **said})
    except ValidationError as error:
        raise from_validation(error) from error
    job = desk.studio.trainings.order(request, correlation_id=new_id())
    if not args.wait:
        text = f"{job.id}\n`python launch.py training show {job.id}` tells how it goes; it is learned while a studio runs, or with --wait."
        return Answer({"job_id": job.id, "state": job.state.value}, text)
    return _waited(desk, job.id)


def offer_training(desk: Desk) -> Answer:
    found = desk.studio.trainings.offer(desk.args.character, model=desk.args.model, dataset=desk.args.dataset)
    lines = [f"{found.pictures} pictures, model {found.model}"]
    lines += [f"{one.message} {one.remedy}" for one in found.obstacles]
    lines += _choices("", found.presets)
    for arch in found.toolkit:
        lines += _choices(f"--engine aitoolkit --model {arch.arch} ", arch.presets)
    return Answer(found.model_dump(mode="json"), "\n".join(lines))


def _choices(before: str, presets: Sequence[TrainChoice]) -> list[str]:
    lines: list[str] = []
    for one in presets:
        time = "time unknown until measured" if one.seconds is None else f"about {one.seconds:.0f} s"
        measured = "measured here" if one.vram_measured else "as its makers say"
        memory = "video memory unknown until measured" if one.vram_gb is None else f"{one.vram_gb:g} GB of video memory ({measured})"
        disk = "disk unknown until measured" if one.disk_gb is None else f"{one.disk_gb:g} GB on the disk"
        lines.append(f"{before}--preset {one.id}: {one.recipe.steps} steps, {time}, {memory}, {disk}")
        lines += [f"  {each.message} {each.remedy}" for each in one.obstacles]
    return lines


def list_trainings(desk: Desk) -> Answer:
    found = desk.studio.trainings.trainings(desk.args.character, limit=desk.args.limit)
    rows = [
        (
            one.job.id,
            one.name,
            one.job.state,
            f"{one.job.progress:.0%}",
            one.preset,
            one.model,
            "" if one.loss is None else f"{one.loss:.3f}",
        )
        for one in found
    ]
    return Answer(items_of(found), table(rows) or "No trainings yet. `python launch.py train CHARACTER` begins one.")


def show_training(desk: Desk) -> Answer:
    found = desk.studio.trainings.training(desk.args.id)
    return Answer(found.model_dump(mode="json"), _told(found))


def stop_training(desk: Desk) -> Answer:
    job = desk.studio.trainings.stop(desk.args.id)
    return Answer(job.model_dump(mode="json"), "It saves what it learned and pauses.")


def resume_training(desk: Desk) -> Answer:
    job = desk.studio.trainings.resume(desk.args.id)
    if desk.args.wait:
        return _waited(desk, job.id)
    return Answer(job.model_dump(mode="json"), f"{job.id} waits for its turn.")


def judge_training(desk: Desk) -> Answer:
    job = desk.studio.trainings.judge(desk.args.id)
    if desk.args.wait:
        return _waited(desk, job.id)
    return Answer(job.model_dump(mode="json"), f"{job.id} waits for its turn.")


def save_training(desk: Desk) -> Answer:
    return _asked(desk, Ask.save)


def sample_training(desk: Desk) -> Answer:
    return _asked(desk, Ask.sample)


def pick_checkpoint(desk: Desk) -> Answer:
    version = desk.studio.trainings.pick(desk.args.id, desk.args.step)
    return Answer(
        version.model_dump(mode="json"), f"{version.path}: version {version.version}, after {version.step} steps. {version.lacks}".strip()
    )


def list_versions(desk: Desk) -> Answer:
    found = desk.studio.trainings.versions(desk.args.character)
    rows = [(one.path, f"version {one.version}", f"{one.step} steps", "used" if one.used else "" if one.there else "gone") for one in found]
    return Answer(items_of(found), table(rows) or "No LoRA was trained yet.")


def use_version(desk: Desk) -> Answer:
    version = desk.studio.trainings.use(desk.args.path)
    return Answer(version.model_dump(mode="json"), version.lacks or f"{version.path} is used from now on.")


def clean_training(desk: Desk) -> Answer:
    keeping = desk.studio.keeping
    done = desk.args.yes
    told = keeping.clean(desk.args.id) if done else keeping.cleanup(desk.args.id)
    return Answer({"done": done, **told.model_dump(mode="json")}, _cleaned(told, done=done))


def delete_lora(desk: Desk) -> Answer:
    said = {"path": desk.args.path} | ({"confirm": desk.args.confirm} if desk.args.confirm else {})
    try:
        wish = LoraDelete.model_validate(said)
    except ValidationError as error:
        raise from_validation(error) from error
    moved = desk.studio.keeping.delete(wish)
    return Answer(moved.model_dump(mode="json"), f"{moved.path} is in the trash. `loras restore {moved.path}` brings it back.")


def restore_lora(desk: Desk) -> Answer:
    moved = desk.studio.keeping.restore(desk.args.path)
    return Answer(moved.model_dump(mode="json"), f"{moved.path} is back.")


def compare_versions(desk: Desk) -> Answer:
    args = desk.args
    if args.prompt:
        return _drawn(desk)
    found = desk.studio.comparing.compare(args.one, args.other)
    sides = [_facts(side) for side in (found.one, found.other)]
    rows = [(name, *(str(side[name]) for side in sides), "" if sides[0][name] == sides[1][name] else "differs") for name in sides[0]]
    value = {"one": sides[0], "other": sides[1], "pairs": [pair.model_dump(mode="json") for pair in found.pairs]}
    lines = [table(rows)]
    if found.pairs:
        lines.append(f"{len(found.pairs)} pictures of both, at the same prompts and seeds:")
    for pair in found.pairs:
        files = [desk.studio.trainings.sample(side.training, name) for side, name in zip((found.one, found.other), pair.names, strict=True)]
        lines.append(f"  {pair.prompts[0]}, seed {pair.seed}\n    {files[0]}\n    {files[1]}")
    return Answer(value, "\n".join(lines))


def _drawn(desk: Desk) -> Answer:
    args = desk.args
    try:
        wish = CompareRequest.model_validate({"one": args.one, "other": args.other, "prompt": args.prompt, "seed": args.seed})
    except ValidationError as error:
        raise from_validation(error) from error
    made = desk.studio.comparing.draw(wish, correlation_id=new_id())
    if not args.wait:
        text = f"{' and '.join(made.job_ids)}: made while a studio runs, or with --wait."
        return Answer(made.model_dump(mode="json"), text)
    jobs = [followed(desk, job_id) for job_id in made.job_ids]
    files = [str(desk.studio.picture_file(picture.id)) for job in jobs for picture in desk.studio.artifacts(job.id)]
    faults = [why(job) for job in jobs if job.state is not JobState.done]
    if faults and not args.json:
        explain(faults[0])
    value = {**made.model_dump(mode="json"), "ok": not faults, "files": files}
    return Answer(value, "\n".join(files), FAILED if faults else 0)


def _cleaned(told: Cleanup, *, done: bool) -> str:
    if not told.freed and not told.state_bytes:
        return "There is nothing to clean up."
    size = f"{told.bytes / 2**20:.1f} MB"
    what = f"the checkpoints after {', '.join(map(str, told.freed))} steps" if told.freed else "what it needed to go on"
    lines = [f"Deleted {what}: {size} are free." if done else f"This would delete {what}, {size}, for good."]
    lines += [f"  kept: after {step} steps. {why}" for step, why in told.why.items()]
    return "\n".join(lines if done else [*lines, f"`python launch.py training clean {told.training} --yes` does it."])


_TOLD = {"name", "path", "step", "engine", "dataset_name", "dataset_version", "pictures", "loss", "likeness", "prompt_freedom"}


def _facts(side: Side) -> dict[str, object]:
    learned = {name: value for name, value in side.recipe.model_dump(mode="json").items() if name != "samples"}
    told = side.model_dump(mode="json", include=_TOLD)
    return {**told, **learned}


def _asked(desk: Desk, what: Ask) -> Answer:
    job = desk.studio.trainings.ask(desk.args.id, what)
    return Answer(job.model_dump(mode="json"), "After the step that is being learned.")


def _waited(desk: Desk, job_id: str) -> Answer:
    job = followed(desk, job_id)
    found = desk.studio.trainings.training(job_id)
    value: dict[str, object] = {"job_id": job.id, "state": job.state.value, "checkpoints": [one.step for one in found.checkpoints]}
    if job.state is JobState.done:
        return Answer(value, f"{_told(found)}\n`python launch.py training pick {job.id}` makes it the character's LoRA.")
    if job.state is JobState.paused:
        return Answer(value, f"{job.id} is paused. `python launch.py training resume {job.id}` lets it go on.", INTERRUPTED)
    told = why(job)
    if not desk.args.json:
        explain(told)
    return Answer({"ok": False, **value, "error": told}, "", INTERRUPTED if job.state is JobState.cancelled else FAILED)


def _told(found: Training) -> str:
    newest = found.points[-1] if found.points else None
    steps = f"step {newest.step if newest else 0} of {found.plan.recipe.steps}"
    loss = [f"loss {newest.smooth:.3f}"] if newest else []
    lines = ["  ".join([found.job.id, found.name, found.job.state, steps, *loss])]
    proposed = found.judgement.proposed if found.judgement else None
    for one in found.checkpoints:
        words = [f"after {one.step} steps", f"{one.bytes / 2**20:.1f} MB"]
        words += [f"version {one.version}"] if one.version else []
        words += [f"proposed: {found.judgement.why}"] if found.judgement and one.step == proposed else []
        lines.append(f"  {', '.join(words)}")
    return "\n".join(lines)
