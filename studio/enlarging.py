"""Enlarging pictures: twice or four times as large with an upscaling model, or drawn again with more detail (hires fix)."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from studio.characters import Characters
from studio.contracts import (
    Asked,
    CharacterStatus,
    Contract,
    EnlargeWay,
    GenerateRequest,
    JobKind,
    Name,
    Picture,
    Recipe,
    Submitted,
    new_id,
)
from studio.errors import DependencyMissing, InvalidFieldValue, LikenessError, NotFound
from studio.gallery import Gallery
from studio.jobs import Jobs
from studio.orders import NO_PRESET, Orders
from studio.remote import COMFYUI, Remote
from studio.workflows import Lack, LackKind, Workflow, WorkflowKind
from studio.workshop import Workshop

UPSCALER = "upscale_to_size"
UPSCALERS = "upscale_models"
# The largest side that ComfyUI's ImageScale makes.
MAX_SIDE = 16_384
MOST_MEGAPIXELS = 100
MOST_AT_ONCE = 100
UPSCALE = "Upscale it instead."


class EnlargeRequest(Asked):
    """Pictures to enlarge, and how: each becomes a new picture that names it as its parent."""

    ids: tuple[Name, ...] = Field(min_length=1, max_length=MOST_AT_ONCE)
    by: EnlargeWay
    real_person: bool | None = Field(None, description="Whether uploads among them show real people; asked of uploads alone")


class WayOffered(Contract):
    """One way to enlarge, and whether it can be gone now; `why_not` and `remedy` are plain words, `link` leads to what is missing."""

    way: EnlargeWay
    runs: bool
    why_not: str = ""
    remedy: str = ""
    link: str = ""


class Enlarging:
    """What makes larger pictures of those in one studio's library."""

    def __init__(self, characters: Characters, gallery: Gallery, jobs: Jobs, orders: Orders, remote: Remote, workshop: Workshop) -> None:
        self._characters = characters
        self._gallery = gallery
        self._jobs = jobs
        self._orders = orders
        self._remote = remote
        self._workshop = workshop

    def ways(self, ids: Sequence[str]) -> tuple[WayOffered, ...]:
        """How these pictures can be enlarged, all of them or not at all. Raises NotFound."""
        pictures = self._pictures(ids)
        offered = tuple(self._offered(way, pictures) for way in EnlargeWay)
        if any(each.runs for each in offered):
            return offered
        # Nobody is sent from one closed door to another.
        return tuple(each.model_copy(update={"remedy": ""}) if each.remedy == UPSCALE else each for each in offered)

    def order(self, wish: EnlargeRequest, *, correlation_id: str = "") -> Submitted:
        """Enlarge pictures: one job each, on disk when this returns.

        Raises NotFound, DependencyMissing or EngineOffline for what no server has, InvalidFieldValue for a picture that can't be enlarged
        in this way, and whatever `Studio.generate` raises; then nothing is left behind.
        """
        work: list[tuple[GenerateRequest, Recipe]] = []
        for picture in self._pictures(wish.ids):
            request = self._detailed(picture) if wish.by is EnlargeWay.detail else self._upscaled(picture, wish.by, wish.real_person)
            ordered = self._orders.work(request, own_lora=False)
            work += [(asked, recipe.model_copy(update={"parent": picture.id})) for asked, recipe in ordered]
        self._orders.check_space()
        batch_id, job_ids = self._jobs.submit(JobKind.generate, work, correlation_id=correlation_id or new_id())
        return Submitted(job_id=job_ids[0], job_ids=job_ids, batch_id=batch_id)

    def _pictures(self, ids: Sequence[str]) -> tuple[Picture, ...]:
        return tuple(self._gallery.picture(each) for each in dict.fromkeys(ids))

    def _offered(self, way: EnlargeWay, pictures: Sequence[Picture]) -> WayOffered:
        try:
            for lack in self._lacks(way, pictures):
                return WayOffered(way=way, runs=False, why_not=lack.message, remedy=lack.remedy, link=lack.url)
            for picture in pictures:
                if way is EnlargeWay.detail:
                    self._hires_of(picture)
                else:
                    _target(picture, way)
        except LikenessError as error:
            return WayOffered(way=way, runs=False, why_not=error.message, remedy=error.remedy)
        return WayOffered(way=way, runs=True)

    def _lacks(self, way: EnlargeWay, pictures: Sequence[Picture]) -> tuple[Lack, ...]:
        if way is EnlargeWay.detail:
            named = dict.fromkeys(self._hires_of(picture).id for picture in pictures)
            # The model is the one that the picture was made with.
            return tuple(lack for each in named for lack in self._workshop.view(each).lacks if lack.kind is not LackKind.model)
        there = self._remote.inventory().files.get(UPSCALERS)
        lacks = self._workshop.view(UPSCALER).lacks
        return tuple(lack for lack in lacks if lack.kind is not LackKind.model or not there)

    def _upscaled(self, picture: Picture, way: EnlargeWay, real_person: bool | None) -> GenerateRequest:
        for lack in self._lacks(way, [picture]):
            raise _lacking(lack)
        width, height = _target(picture, way)
        values: dict[str, str | int] = {"target_width": width, "target_height": height}
        model = self._upscale_model()
        if model is not None:
            values["upscale_model"] = model
        return GenerateRequest.model_validate(
            {
                # It is found by the words of the picture it was made of.
                "prompt": picture.recipe.prompt if picture.recipe else picture.caption,
                "as_written": True,
                "wildcards": False,
                "character": self._character(picture),
                "preset": NO_PRESET,
                "image": picture.id,
                "real_person": real_person,
                "workflow": UPSCALER,
                # Nothing of it is left to chance: the seed stays the one that the picture is known by.
                "seed": -1 if picture.seed is None else picture.seed,
                "values": values,
            }
        )

    def _upscale_model(self) -> str | None:
        """The server's own where the usual one is not there; None where it is."""
        there = self._remote.inventory().files.get(UPSCALERS, ())
        usual = self._workshop.workflow(UPSCALER).parameter("upscale_model")
        return None if not there or (usual is not None and usual.default in there) else there[0]

    def _detailed(self, picture: Picture) -> GenerateRequest:
        hires = self._hires_of(picture)
        for lack in self._lacks(EnlargeWay.detail, [picture]):
            raise _lacking(lack)
        recipe = _recipe(picture)
        same = (
            "prompt",
            "negative_prompt",
            "model",
            "width",
            "height",
            "steps",
            "cfg",
            "sampler",
            "scheduler",
            "grain",
            "tone",
            "tone_strength",
        )
        return GenerateRequest.model_validate(
            {
                **recipe.model_dump(include=set(same)),
                "loras": recipe.loras,
                "as_written": True,
                "wildcards": False,
                "character": self._character(picture),
                "preset": NO_PRESET,
                "seed": recipe.seed if picture.seed is None else picture.seed,
                "workflow": hires.id,
            }
        )

    def _hires_of(self, picture: Picture) -> Workflow:
        """The hires fix of the family that a picture was made with. Raises InvalidFieldValue where there is none."""
        recipe = _recipe(picture)
        own = self._made_by(recipe)
        if own is None or own.kind is not WorkflowKind.text_to_image:
            told = "More detail is made by drawing a picture again from its words and seed, with a model on ComfyUI."
            if recipe.engine == COMFYUI:
                raise InvalidFieldValue(f"{told} This one was not made from words alone.", field="ids", remedy=UPSCALE)
            raise InvalidFieldValue(f"{told} This one was made on this computer.", field="ids", remedy=UPSCALE)
        for workflow in self._workshop.workflows():
            if workflow.kind is WorkflowKind.hires_fix and workflow.family == own.family:
                return workflow
        raise InvalidFieldValue(f"There is no hires fix for models of the kind {own.family}.", field="ids", remedy=UPSCALE)

    def _made_by(self, recipe: Recipe) -> Workflow | None:
        try:
            return None if recipe.workflow is None else self._workshop.workflow(recipe.workflow)
        except NotFound:
            return None

    def _character(self, picture: Picture) -> str | None:
        if picture.character_id is None:
            return None
        try:
            character = self._characters.character(picture.character_id)
        except NotFound:
            return None
        return None if character.status is CharacterStatus.trashed else character.id


def _recipe(picture: Picture) -> Recipe:
    if picture.recipe is None:
        raise InvalidFieldValue(
            "This picture was not made here: nobody knows the words and the seed to draw it again from.",
            field="ids",
            remedy=UPSCALE,
        )
    return picture.recipe


def _target(picture: Picture, way: EnlargeWay) -> tuple[int, int]:
    """Width and height of the result. Raises InvalidFieldValue where that is too large."""
    width, height = picture.width * way.factor, picture.height * way.factor
    if max(width, height) > MAX_SIDE or width * height > MOST_MEGAPIXELS * 1e6:
        raise InvalidFieldValue(
            f"It would have {width:,}×{height:,} pixels; {MOST_MEGAPIXELS} megapixels are possible.",
            field="by",
            remedy="Enlarge it less." if way is EnlargeWay.four_times else "It is large already.",
        )
    return width, height


def _lacking(lack: Lack) -> DependencyMissing:
    return DependencyMissing(lack.message, field="by", remedy=lack.remedy)
