"""Two checkpoints or versions of LoRAs side by side: how they were trained, and what both make of the same words at the same seed."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from pydantic import Field

from studio.contracts import MAX_SEED, Asked, Contract, GenerateRequest, JobKind, Name, Prompt, Recipe, Submitted, new_id
from studio.errors import InvalidFieldValue, NotFound
from studio.jobs import Jobs
from studio.judging import Sample
from studio.orders import NO_PRESET, Orders
from studio.training import TrainRecipe
from studio.trainings import Training, Trainings

_CHECKPOINT = re.compile(r"([\w-]+)@(\d{1,6})")


class Side(Contract):
    """One of the two. `name` is a version's name in the LoRA folder or a training's id and a step, as in `0192…@200`; `path` is None where
    no version was made of it. `loss` is the smoothed one at its step.
    """

    name: str
    path: str | None
    version: int | None
    training: str
    character: str
    step: int
    engine: str
    dataset: str
    dataset_name: str
    dataset_version: int
    pictures: int
    loss: float | None
    likeness: float | None
    prompt_freedom: float | None
    recipe: TrainRecipe


class Pair(Contract):
    """What both made of one prompt at one seed, as they were judged: names of pictures under `training/{id}/samples/`."""

    key: str
    seed: int
    prompts: tuple[str, str]
    names: tuple[str, str]


class Comparison(Contract):
    """Two sides, the settings in which they differ, and pictures of both. `pairs` is empty where one was not judged."""

    one: Side
    other: Side
    differs: tuple[str, ...]
    pairs: tuple[Pair, ...]


class CompareRequest(Asked):
    """A picture from each of two versions: the same words and the same seed; what is left open of the seed is thrown."""

    one: Name
    other: Name
    prompt: Prompt = Field(min_length=1)
    seed: int = Field(-1, ge=-1, le=MAX_SEED)


class Comparing:
    """Comparisons of what one studio learned."""

    def __init__(self, trainings: Trainings, jobs: Jobs, orders: Orders) -> None:
        self._trainings = trainings
        self._jobs = jobs
        self._orders = orders

    def compare(self, one: str, other: str) -> Comparison:
        """Two versions by their names, or checkpoints as `TRAINING@STEP`. Raises NotFound, InvalidFieldValue for one and the same."""
        sides, runs = zip(*(self._side(name) for name in (one, other)), strict=True)
        if (sides[0].training, sides[0].step) == (sides[1].training, sides[1].step):
            raise InvalidFieldValue("These are one and the same.", field="other", remedy="Choose another version or checkpoint.")
        recipes = [side.recipe.model_dump() for side in sides]
        differs = tuple(name for name in recipes[0] if recipes[0][name] != recipes[1][name])
        judged = [_judged(run, side.step) for run, side in zip(runs, sides, strict=True)]
        pairs = tuple(
            Pair(
                key=cell[0],
                seed=cell[1],
                prompts=(first.prompt, judged[1][cell].prompt),
                names=(_name(first), _name(judged[1][cell])),
            )
            for cell, first in judged[0].items()
            if cell in judged[1]
        )
        return Comparison(one=sides[0], other=sides[1], differs=differs, pairs=pairs)

    def draw(self, wish: CompareRequest, *, correlation_id: str = "") -> Submitted:
        """A picture of each of two versions, two jobs of one batch. Raises NotFound, InvalidFieldValue, and as `Studio.generate` does."""
        self.compare(wish.one, wish.other)
        seed = secrets.randbelow(MAX_SEED + 1) if wish.seed < 0 else wish.seed
        work: list[tuple[GenerateRequest, Recipe]] = []
        for field, name in (("one", wish.one), ("other", wish.other)):
            side, _ = self._side(name)
            if side.path is None:
                raise InvalidFieldValue(
                    f"The checkpoint after {side.step} steps is no version yet, so no pictures are made with it.",
                    field=field,
                    remedy="Use it once (“Use this one”), or look at the pictures that it was judged by.",
                )
            request = GenerateRequest.model_validate(
                {
                    "prompt": wish.prompt,
                    "character": side.character,
                    "loras": [{"path": side.path}],
                    "model": side.recipe.model,
                    "preset": NO_PRESET,
                    "wildcards": False,
                    "seed": seed,
                }
            )
            work += self._orders.work(request, own_lora=False)
        self._orders.check_space()
        batch_id, job_ids = self._jobs.submit(JobKind.generate, work, correlation_id=correlation_id or new_id())
        return Submitted(job_id=job_ids[0], job_ids=job_ids, batch_id=batch_id)

    def _side(self, name: str) -> tuple[Side, Training]:
        found = _CHECKPOINT.fullmatch(name)
        if found is None:
            version = self._trainings.version(name)
            run, step, path, number = self._trainings.training(version.training), version.step, version.path, version.version
        else:
            run, step = self._trainings.training(found[1]), int(found[2])
            kept = next((one for one in run.checkpoints if one.step == step), None)
            if kept is None:
                steps = ", ".join(str(one.step) for one in run.checkpoints) or "none yet"
                raise NotFound(f"There is no checkpoint after {step} steps.", remedy=f"There are: {steps}.")
            mine = [one for one in self._trainings.versions(run.character) if (one.training, one.step) == (found[1], step) and one.there]
            path, number = (mine[0].path, mine[0].version) if mine else (None, None)
        verdict = next((one for one in run.judgement.verdicts if one.step == step), None) if run.judgement else None
        near = [point.smooth for point in run.points if point.step <= step]
        side = Side(
            name=name,
            path=path,
            version=number,
            training=run.job.id,
            character=run.character,
            step=step,
            engine=run.plan.engine,
            dataset=run.dataset,
            dataset_name=run.dataset_name,
            dataset_version=run.dataset_version,
            pictures=run.pictures,
            loss=near[-1] if near else None,
            likeness=verdict.likeness if verdict else None,
            prompt_freedom=verdict.prompt_freedom if verdict else None,
            recipe=run.plan.recipe,
        )
        return side, run


def _judged(run: Training, step: int) -> Mapping[tuple[str, int], Sample]:
    """The judged pictures of a checkpoint by prompt and seed."""
    verdicts = run.judgement.verdicts if run.judgement else ()
    return {(_key(one), one.seed): one for verdict in verdicts if verdict.step == step for one in verdict.samples}


def _name(sample: Sample) -> str:
    return sample.file.rsplit("/", 1)[-1]


def _key(sample: Sample) -> str:
    """What the prompt is called, whoever it is about: `000050-blue-shirt-1.webp` is of `blue-shirt`. Samples have but their words."""
    if sample.file.startswith("samples/"):
        return sample.prompt
    return _name(sample).split("-", 1)[1].rsplit("-", 1)[0]
