"""The checkpoint picker: how much each checkpoint of a training looks like the person, how well it obeys, and which to take. No torch.

    <folder of the run>/
      judgement.json                    a Judgement
      grid/000050-blue-shirt-1.webp     what the checkpoint after 50 steps makes of a prompt at a seed; 000000 is the model without a LoRA

Every checkpoint draws the same prompts at the same seeds. An engine draws and looks; what follows from that is decided here.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from studio.contracts import Contract, Family
from studio.files import write_atomically
from studio.training import TrainingPicture, TrainRecipe

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

JUDGEMENT = "judgement.json"
GRID = "grid"


class Measure(StrEnum):
    """By what likeness is measured."""

    faces = "faces"  # a face embedding: the distance between two faces, below 0.6 of one person
    illustrated = "illustrated"  # the starter model's reader: hair, skin, accessories and style of a drawn portrait


class FreedomMeasure(StrEnum):
    """By what prompt freedom is measured."""

    reader = "reader"  # the share of what was asked for (clothes, background) that the reader sees
    change = "change"  # how far pictures of different prompts lie apart, against those of the model without the LoRA


class Sample(Contract):
    """A picture that was judged. `step` 0 is the model without a LoRA; `file` is relative to the run's folder."""

    step: int
    prompt: str
    seed: int
    file: str


class Verdict(Contract):
    """What was found of one checkpoint.

    `distance` is the mean distance of its pictures to the middle of the dataset, smaller being closer: between face embeddings (below
    0.6: one person), or one minus the cosine of the reader's (0: the same, 1: nothing in common). None where no face was seen.
    `spread` is its standard deviation between seeds. `likeness` is 0 as far from the dataset as the model without the LoRA, and 1
    as near as the dataset's pictures are to each other; None where those two are too close together to tell. `prompt_freedom` is 0 to 1.
    `diversity` is how far the seeds of one prompt lie apart, 1 being as far as without the LoRA. `copies` counts pictures that are nearly
    a training picture that shows something else than was asked for. `overfit` are signs of overfitting, as sentences. `loss` is
    the mean over the last 25 steps.
    """

    step: int
    sha256: str
    measure: Measure
    distance: float | None
    spread: float
    likeness: float | None = Field(default=None, ge=0, le=1)
    prompt_freedom: float = Field(ge=0, le=1)
    diversity: float
    copies: int
    faceless: int = 0
    overfit: tuple[str, ...] = ()
    loss: float | None
    samples: tuple[Sample, ...]


class Judgement(Contract):
    """All checkpoints of a run, and which to take. `own` is the distance that the dataset's own pictures have; `basis` names what
    verdicts must share to be comparable; `proposed` is a step, None while nothing is judged. `why` is in plain words. `by_samples`
    says that what was looked at are the samples that the trainer drew as it learned: few, of one seed.
    """

    basis: str
    by_samples: bool = False
    measure: Measure
    freedom_measure: FreedomMeasure
    own: float
    baseline: Verdict
    verdicts: tuple[Verdict, ...] = ()
    proposed: int | None = None
    why: str = ""


# What is drawn


@dataclass(frozen=True)
class Prompt:
    """What is asked for beside the person. `asked` says what the reader must see: its attributes and their labels."""

    key: str
    words: str
    asked: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """What every checkpoint of a family has to draw, each prompt at each seed, in so many sampler steps."""

    prompts: tuple[Prompt, ...]
    seeds: tuple[int, ...]
    steps: int

    @property
    def cells(self) -> tuple[tuple[Prompt, int], ...]:
        """Every prompt at every seed, prompt by prompt."""
        return tuple((prompt, seed) for prompt in self.prompts for seed in self.seeds)


def _starter(colour: str, ground: str, face: str = "") -> Prompt:
    # The starter model was made from three designs, each with its own garments and most with their own faces: a t-shirt or a wink asks
    # for a design, and so for another person. A plain shirt and a smile belong to none. Expressions are not looked for, since the
    # model itself draws two of five.
    words = f"{face}wearing a {colour} shirt, {ground} background"
    return Prompt(f"{colour}-on-{ground}".replace(" ", "-"), words, {"cloth_color": colour, "bg": ground})


STARTER = Trial(
    (
        _starter("red", "light blue", "smiling, "),
        _starter("green", "yellow"),
        _starter("black", "white", "smiling, "),
        _starter("white", "purple"),
        _starter("blue", "peach", "smiling, "),
        _starter("purple", "gray"),
        _starter("yellow", "teal"),
        _starter("pink", "dark blue"),
    ),
    seeds=(1, 2, 3),
    steps=8,
)
ANY = Trial(
    (
        Prompt("blue-background", "plain blue background, looking at the viewer"),
        Prompt("profile", "in profile, seen from the side, looking away"),
        Prompt("coat-snow", "smiling, wearing a red coat, in the snow"),
        Prompt("beach-sunset", "whole body, walking on a beach at sunset"),
    ),
    seeds=(1, 2),
    steps=16,
)


def trial_for(family: str) -> Trial:
    """What the checkpoints of a model family have to draw."""
    return STARTER if family == Family.starter else ANY


def sample_trial(recipe: TrainRecipe) -> Trial:
    """What a trainer draws of every checkpoint by itself, as it learns: its samples."""
    return Trial(tuple(Prompt(str(number), words) for number, words in enumerate(recipe.samples)), seeds=(recipe.seed,), steps=0)


def prompt_text(prompt: Prompt, subject: str) -> str:
    """The words for the model."""
    return f"portrait of {subject}, {prompt.words}"


_CLASSES = ("person", "woman", "man", "girl", "boy", "character")


def subject_of(trigger: str, captions: Sequence[str]) -> str:
    """How the dataset's captions speak of the person: the trigger word, and the class word that mostly follows it."""
    if not trigger:
        return "a person"
    for word in _CLASSES:
        if sum(f"{trigger} {word}".lower() in caption.lower() for caption in captions) * 2 > len(captions):
            return f"{trigger} {word}"
    return trigger


def sample_file(step: int, prompt: Prompt, seed: int) -> str:
    """Where a judged picture lies in its run's folder."""
    return f"{GRID}/{step:06}-{prompt.key}-{seed}.webp"


def basis_of(recipe: TrainRecipe, model_hash: str, trial: Trial, pictures: Sequence[TrainingPicture], measure: Measure) -> str:
    """A digest of all that two verdicts must share to be compared: model, trigger, dataset, prompts, seeds, measure. Raises OSError."""
    digest = hashlib.sha256(f"1 {model_hash} {recipe.trigger} {recipe.resolution} {measure} {trial}".encode())
    for picture in pictures:
        digest.update(hashlib.sha256(picture.path.read_bytes()).digest() + picture.caption.encode())
    return digest.hexdigest()


# What was seen


@dataclass(frozen=True)
class Look:
    """What was seen in `n` pictures: `whole` (n × a, rows of length 1) compares pictures, `person` (n × b) the people in them.

    A row of `person` is NaN where nobody was found. `labels` has what the reader says of each picture, by attribute.
    """

    whole: np.ndarray
    person: np.ndarray
    labels: tuple[Mapping[str, str], ...] = ()


def distances(person: np.ndarray, dataset: np.ndarray, measure: Measure) -> np.ndarray:
    """How far each of `n` people is from the middle of the dataset's (m × b): n numbers, NaN where nobody was found."""
    import numpy as np

    middle = np.nanmean(dataset, axis=0)
    if measure is Measure.faces:
        return np.linalg.norm(person - middle, axis=1)
    lengths = np.linalg.norm(person, axis=1) * np.linalg.norm(middle)
    return 1 - (person @ middle) / np.maximum(lengths, 1e-9)


def own_distance(dataset: np.ndarray, measure: Measure) -> float:
    """How far the dataset's pictures (m × b) are from the middle of the others, on average; 0 for a single one."""
    import numpy as np

    found = dataset[~np.isnan(dataset).any(axis=1)]
    if len(found) < 2:
        return 0.0
    return float(np.mean([distances(found[[i]], np.delete(found, i, axis=0), measure)[0] for i in range(len(found))]))


def freedom_by_reader(trial: Trial, labels: Sequence[Mapping[str, str]]) -> float:
    """The share of what was asked for that is seen, over all cells of the trial."""
    seen = [labels[i][name] == label for i, (prompt, _) in enumerate(trial.cells) for name, label in prompt.asked.items()]
    return sum(seen) / len(seen)


def freedom_by_change(trial: Trial, whole: np.ndarray, baseline: np.ndarray) -> float:
    """How far pictures of different prompts at one seed lie apart, as a share of the same without the LoRA; at most 1."""
    return _share(_apart(_by_cell(trial, whole).swapaxes(0, 1)), _apart(_by_cell(trial, baseline).swapaxes(0, 1)))


def diversity(trial: Trial, whole: np.ndarray, baseline: np.ndarray) -> float:
    """How far pictures of different seeds of one prompt lie apart, as a share of the same without the LoRA; at most 1."""
    return _share(_apart(_by_cell(trial, whole)), _apart(_by_cell(trial, baseline)))


def copies(trial: Trial, whole: np.ndarray, dataset: np.ndarray, captions: Sequence[str]) -> int:
    """How many pictures are nearly a training picture, though another caption than that picture's was asked for.

    Nearly: at most a quarter as far from it as training pictures usually are from the one that is most like them.
    """
    import numpy as np

    if len(dataset) < 2:
        return 0
    among = 1 - dataset @ dataset.T + 2 * np.eye(len(dataset))
    near = 0.25 * float(np.median(among.min(axis=1)))
    apart = 1 - whole @ dataset.T
    return sum(
        bool(apart[i].min() < near) and not _tells(captions[int(apart[i].argmin())], prompt) for i, (prompt, _) in enumerate(trial.cells)
    )


def weigh(
    step: int,
    sha256: str,
    trial: Trial,
    samples: tuple[Sample, ...],
    look: Look,
    dataset: Look,
    captions: Sequence[str],
    baseline: Look,
    measure: Measure,
    loss: float | None,
) -> Verdict:
    """What a checkpoint's pictures tell by themselves. `samples` and `look` are in the order of the trial's cells."""
    import numpy as np

    far = distances(look.person, dataset.person, measure)
    found = ~np.isnan(far)
    seeds = [far[i :: len(trial.seeds)] for i in range(len(trial.seeds))]
    by_seed = [float(one[~np.isnan(one)].mean()) for one in seeds if not np.isnan(one).all()]
    by_reader = freedom_measure(trial) is FreedomMeasure.reader
    return Verdict(
        step=step,
        sha256=sha256,
        measure=measure,
        distance=float(far[found].mean()) if found.any() else None,
        spread=float(np.std(by_seed)) if by_seed else 0.0,
        prompt_freedom=freedom_by_reader(trial, look.labels) if by_reader else freedom_by_change(trial, look.whole, baseline.whole),
        diversity=diversity(trial, look.whole, baseline.whole),
        copies=copies(trial, look.whole, dataset.whole, captions),
        faceless=int((~found).sum()),
        loss=loss,
        samples=samples,
    )


def freedom_measure(trial: Trial) -> FreedomMeasure:
    """The reader's word where it can tell what was asked for; otherwise how much the pictures change."""
    return FreedomMeasure.reader if all(prompt.asked for prompt in trial.prompts) else FreedomMeasure.change


def _by_cell(trial: Trial, rows: np.ndarray) -> np.ndarray:
    return rows.reshape(len(trial.prompts), len(trial.seeds), -1)


def _apart(groups: np.ndarray) -> float:
    """The mean cosine distance between two rows of a group (groups × rows × numbers, of length 1)."""
    import numpy as np

    rows = groups.shape[1]
    if rows < 2:
        return 0.0
    alike = np.einsum("gid,gjd->gij", groups, groups)
    return float(1 - (alike.sum() - np.trace(alike, axis1=1, axis2=2).sum()) / (len(groups) * rows * (rows - 1)))


def _share(part: float, whole: float) -> float:
    return 1.0 if whole <= 1e-6 else float(min(1.0, max(0.0, part / whole)))


def _tells(caption: str, prompt: Prompt) -> bool:
    words = list(prompt.asked.values()) or prompt.words.split(", ")
    return all(word in caption for word in words)


# What follows from it

# So much obedience may be lost for likeness: two pictures of forty.
FREEDOM_LOST = 0.05
_SAME_LIKENESS = 0.03
# A person drawn well is the same from seed to seed: a fifth of the variety is usual. Below this the picture itself is the same.
_FEW_SEEDS = 0.08
# From here on dlib, whose embedding it is, holds two faces for two people's.
_TWO_PEOPLE = 0.6
_TELLING = 0.05


def conclude(judgement: Judgement) -> Judgement:
    """The same verdicts with their likeness and signs of overfitting, and the checkpoint to take. Doing it twice changes nothing."""
    zero = judgement.baseline.distance if judgement.baseline.distance is not None else _TWO_PEOPLE
    told: list[Verdict] = []
    for verdict in sorted(judgement.verdicts, key=lambda one: one.step):
        verdict = verdict.model_copy(update={"likeness": likeness(verdict.distance, judgement.own, zero)})
        told.append(verdict.model_copy(update={"overfit": overfit_signs(verdict, told, judgement.baseline)}))
    base = judgement.baseline.model_copy(update={"likeness": likeness(judgement.baseline.distance, judgement.own, zero)})
    proposed, why = propose(told, base, judgement.freedom_measure)
    if judgement.by_samples:
        few = len(base.samples)
        seen = "the one sample that was" if few == 1 else f"the {few} samples that were"
        why = f"A first look, at {seen} drawn of each checkpoint during the training. {why}"
    return judgement.model_copy(update={"baseline": base, "verdicts": tuple(told), "proposed": proposed, "why": why})


def likeness(distance: float | None, own: float, stranger: float) -> float | None:
    """0 at a stranger's distance, 1 at that of the dataset's own pictures; 0 where nobody was seen, None where nothing tells them apart."""
    if stranger - own < _TELLING:
        return None
    if distance is None:
        return 0.0
    return min(1.0, max(0.0, (stranger - distance) / (stranger - own)))


def overfit_signs(verdict: Verdict, earlier: Sequence[Verdict], baseline: Verdict) -> tuple[str, ...]:
    """What tells that a checkpoint learned the pictures rather than the person, as sentences. `earlier` are judged before."""
    signs: list[str] = []
    freer = max((one for one in earlier), key=lambda one: one.prompt_freedom, default=None)
    if freer is not None and verdict.likeness is not None and freer.likeness is not None:
        lost = freer.prompt_freedom - verdict.prompt_freedom
        if lost > FREEDOM_LOST and verdict.likeness - freer.likeness < _SAME_LIKENESS:
            signs.append(f"It obeys prompts less than step {freer.step} ({_points(lost)} points) and looks no more like the person.")
    if verdict.copies:
        signs.append(
            f"{verdict.copies} of {len(verdict.samples)} pictures are nearly a training picture, though something else was asked for."
        )
    if verdict.diversity < _FEW_SEEDS <= baseline.diversity:
        signs.append(f"Different seeds give nearly the same picture: {_points(verdict.diversity)}% of the variety without the LoRA.")
    return tuple(signs)


def propose(verdicts: Sequence[Verdict], baseline: Verdict, by: FreedomMeasure = FreedomMeasure.reader) -> tuple[int | None, str]:
    """The step to take and why, in plain words; None when there is none to take.

    Of the checkpoints that obey as well as the model without a LoRA (within five points) and show no sign of overfitting it is the one
    that looks most like the person; among those that look alike it is the one with the fewest steps. Where none is like that, it is the
    best mean of likeness and obedience, and the words say what is amiss.
    """
    if not verdicts:
        return None, "No checkpoint was judged yet."
    if any(one.likeness is None for one in verdicts):
        last = max(verdicts, key=lambda one: (one.prompt_freedom, one.step))
        return last.step, (
            f"Likeness can't be told: the dataset's pictures are no more alike than those of the model without the LoRA. "
            f"{_Words(by).best(last)}"
        )
    good = [one for one in verdicts if baseline.prompt_freedom - one.prompt_freedom <= FREEDOM_LOST + 1e-9 and not one.overfit]
    if good:
        best = max(one.likeness or 0.0 for one in good)
        chosen = min((one for one in good if (one.likeness or 0.0) >= best - _SAME_LIKENESS), key=lambda one: one.step)
    else:
        chosen = max(verdicts, key=lambda one: _balance(one, baseline))
    return chosen.step, " ".join(_reasons(chosen, verdicts, baseline, fine=bool(good), words=_Words(by)))


def _balance(verdict: Verdict, baseline: Verdict) -> float:
    obeys = min(1.0, verdict.prompt_freedom / max(baseline.prompt_freedom, 1e-9))
    return ((verdict.likeness or 0.0) * obeys) ** 0.5 - 0.1 * len(verdict.overfit)


@dataclass(frozen=True)
class _Words:
    """How prompt freedom is spoken of: only a reader knows whether a picture shows what was asked for."""

    by: FreedomMeasure

    def best(self, one: Verdict) -> str:
        if self.by is FreedomMeasure.reader:
            return f"Step {one.step} obeys prompts best ({_points(one.prompt_freedom)}%)."
        return f"Step {one.step}'s pictures change most with the prompts ({_points(one.prompt_freedom)}% as much as without the LoRA)."

    def freedom(self, one: Verdict, baseline: Verdict) -> str:
        if self.by is FreedomMeasure.reader:
            return f"It follows {_points(one.prompt_freedom)}% of what prompts ask ({_points(baseline.prompt_freedom)}% without the LoRA)."
        share = f"{_points(one.prompt_freedom)}% as much as without the LoRA"
        return f"Its pictures change with the prompts {share}; nothing here reads what is in them."

    def less(self, lost: float) -> str:
        if self.by is FreedomMeasure.reader:
            return f"follows {_points(lost)} points less of what is asked"
        return f"changes {_points(lost)} points less with the prompts"


def _reasons(chosen: Verdict, verdicts: Sequence[Verdict], baseline: Verdict, *, fine: bool, words: _Words) -> list[str]:
    like = chosen.likeness or 0.0
    said = [
        f"Step {chosen.step} looks {_points(like)}% like the person: 0% is the model without the LoRA, 100% the training pictures.",
        words.freedom(chosen, baseline),
    ]
    if not fine:
        said.append("No checkpoint is both free and clear of signs of overfitting; this is the best balance.")
    if like < 0.5:
        said.append("That is little: more steps, more pictures or a higher rank may help.")
    nearer = [one for one in verdicts if one is not chosen and (one.likeness or 0.0) > like + _SAME_LIKENESS]
    if nearer:
        other = max(nearer, key=lambda one: one.likeness or 0.0)
        lost = chosen.prompt_freedom - other.prompt_freedom
        less = words.less(lost) if lost > 0 else "shows signs of overfitting"
        said.append(f"Step {other.step} looks more alike ({_points(other.likeness or 0.0)}%) but {less}.")
    later = [one.step for one in verdicts if one.step > chosen.step and abs((one.likeness or 0.0) - like) <= _SAME_LIKENESS]
    if later:
        said.append(f"Step {later[-1]} looks no more alike, and fewer steps leave more freedom.")
    return said + list(chosen.overfit)


def _points(share: float) -> int:
    return round(100 * share)


# The file


def read_judgement(folder: Path) -> Judgement | None:
    """What was judged of a run until now; None if nothing was, or if it was written by another version."""
    path = folder / JUDGEMENT
    try:
        return Judgement.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        log.warning("%s can't be read: the checkpoints are judged anew", path)
        return None


def write_judgement(folder: Path, judgement: Judgement) -> None:
    """Keep a judgement. Raises OSError."""
    write_atomically(folder / JUDGEMENT, judgement.model_dump_json(indent=1).encode())
