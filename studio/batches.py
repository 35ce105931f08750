"""From one request to the many that it stands for: references × variations, a grid, wildcards. Pure, but for wildcard files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from studio.contracts import MAX_SEED, Axis, AxisField, GenerateRequest, LoraUse
from studio.errors import InvalidFieldValue, from_validation

MOST_JOBS = 500
# `{a|b}` or `__name__`: anything else in a prompt is left as it is.
_DYNAMIC = re.compile(r"\{[^{}]*\|[^{}]*\}|\{[^{}]*\$\$|__[\w*/.-]+__")


@dataclass(frozen=True)
class Part:
    """One job of a batch: a request for a single recipe, the reference it starts from, and its cell in a grid (column, row)."""

    request: GenerateRequest
    reference: str | None = None
    caption: str = ""
    cell: tuple[int, int] | None = None


def count_jobs(request: GenerateRequest) -> int:
    """How many jobs a request makes. Raises InvalidFieldValue for more than 500."""
    cells = len(request.grid.x.values) * (len(request.grid.y.values) if request.grid.y else 1) if request.grid else 1
    each = request.count if is_dynamic(request) else 1
    jobs = max(1, len(request.references)) * request.variations * cells * each
    if jobs > MOST_JOBS:
        raise InvalidFieldValue(
            f"That would be {jobs:,} jobs; {MOST_JOBS} can be sent at once.",
            field="references" if request.references else "variations",
            remedy="Choose fewer references, variations or grid values.",
        )
    return jobs


def expand(
    request: GenerateRequest, captions: Mapping[str, str], *, seed: int, wildcards: Path, own: LoraUse | None = None
) -> tuple[Part, ...]:
    """The jobs of a request, in order. `captions` has the caption of each reference; `wildcards` is a folder of text files.

    `own` is the character's LoRA: a grid varies its strength where the request names none.

    Every reference and every cell of a grid gets the same seed, so that they can be compared; variations get the next ones.
    Raises InvalidFieldValue naming what can't be read.
    """
    count_jobs(request)
    base = seed if request.seed < 0 else request.seed
    plain = request.model_copy(update={"references": (), "variations": 1, "grid": None, "wildcards": False, "seed": base})
    parts = [
        Part(each, reference, captions.get(reference or "", ""))
        for reference in request.references or (None,)
        for each in _varied(plain, request.variations)
    ]
    if request.grid:
        varied = {request.grid.x.field, *((request.grid.y.field,) if request.grid.y else ())}
        if AxisField.lora_strength in varied and not request.loras and own is not None:
            parts = [replace(part, request=part.request.model_copy(update={"loras": (own,)})) for part in parts]
        parts = [
            Part(cell_request, part.reference, part.caption, cell)
            for part in parts
            for cell, cell_request in _cells(part.request, request.grid.x, request.grid.y)
        ]
    if is_dynamic(request):
        parts = list(_resolved(parts, wildcards))
    return tuple(parts)


def is_dynamic(request: GenerateRequest) -> bool:
    """Whether the prompt has alternatives or wildcards to resolve."""
    return request.wildcards and bool(_DYNAMIC.search(request.prompt))


def _varied(request: GenerateRequest, variations: int) -> Iterator[GenerateRequest]:
    for number in range(variations):
        yield request.model_copy(update={"seed": (request.seed + number * request.count) % (MAX_SEED + 1)})


def _cells(request: GenerateRequest, x: Axis, y: Axis | None) -> Iterator[tuple[tuple[int, int], GenerateRequest]]:
    for row, down in enumerate(y.values if y else (None,)):
        for column, across in enumerate(x.values):
            changed = _set(request, x.field, across, "grid.x.values")
            if y is not None and down is not None:
                changed = _set(changed, y.field, down, "grid.y.values")
            yield (column, row), changed


def _set(request: GenerateRequest, field: AxisField, value: str, where: str) -> GenerateRequest:
    if field is AxisField.lora_strength:
        if not request.loras:
            raise InvalidFieldValue("There is no LoRA whose strength could be varied.", field=where, remedy="Choose a LoRA first.")
        first, *others = request.loras
        changes: dict[str, object] = {"loras": [first.model_dump() | {"strength": value}, *(use.model_dump() for use in others)]}
    elif field is AxisField.prompt:
        # As A1111's “prompt S/R”: the value goes where {grid} stands, else to the end.
        prompt = request.prompt.replace("{grid}", value) if "{grid}" in request.prompt else f"{request.prompt}, {value}"
        changes = {"prompt": prompt}
    else:
        changes = {field.value: value}
    try:
        # Values arrive as text; the contract reads them as the numbers they stand for.
        return GenerateRequest.model_validate({**request.model_dump(), **changes})
    except ValidationError as error:
        fault = from_validation(error)
        raise type(fault)(f"“{value}” can't be a value of “{field}”: {fault.message}", field=where, remedy=fault.remedy) from error


def _resolved(parts: Sequence[Part], wildcards: Path) -> Iterator[Part]:
    for part in parts:
        request = part.request
        prompts = resolve(request.prompt, request.count, seed=request.seed, wildcards=wildcards)
        for number, prompt in enumerate(prompts):
            seed = (request.seed + number) % (MAX_SEED + 1)
            yield Part(request.model_copy(update={"prompt": prompt, "count": 1, "seed": seed}), part.reference, part.caption, part.cell)


def resolve(prompt: str, count: int, *, seed: int, wildcards: Path) -> list[str]:
    """`count` prompts without alternatives; the same seed gives the same ones. Raises InvalidFieldValue."""
    from dynamicprompts.generators import RandomPromptGenerator
    from dynamicprompts.wildcards.wildcard_manager import WildcardManager
    from pyparsing.exceptions import ParseBaseException

    known = {path.relative_to(wildcards).with_suffix("").as_posix() for path in wildcards.rglob("*.txt")} if wildcards.is_dir() else set()
    for name in re.findall(r"__([\w/.-]+)__", prompt):
        if name not in known:
            raise InvalidFieldValue(
                f"There is no wildcard “__{name}__”.",
                field="prompt",
                remedy=f"Put a file {name}.txt with one choice a line into the folder “wildcards” of the data folder.",
            )
    try:
        found = RandomPromptGenerator(WildcardManager(wildcards if wildcards.is_dir() else None), seed=seed).generate(prompt, count)
    except (ParseBaseException, ValueError, IndexError, KeyError, RecursionError) as error:
        raise InvalidFieldValue(
            "The alternatives in the prompt can't be read.", field="prompt", remedy="Write them as {one|two|three}, or turn wildcards off."
        ) from error
    return [" ".join(str(each).split()) for each in found]
