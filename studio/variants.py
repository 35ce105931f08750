"""Face variants: up to three named looks of one character, each with a LoRA of its own, drawn over the face of a finished picture.

Only what was drawn is drawn over: a face in a photo that somebody gave stays that person's.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from studio.characters import Characters
from studio.contracts import (
    MOST_VARIANTS,
    Asked,
    Character,
    CharacterChange,
    FaceVariant,
    GenerateRequest,
    JobKind,
    LoraUse,
    Name,
    Picture,
    PictureKind,
    Recipe,
    Submitted,
    new_id,
)
from studio.errors import InvalidFieldValue, NotFound, SafetyFilter
from studio.gallery import Gallery
from studio.jobs import Jobs
from studio.orders import NO_PRESET, Orders
from studio.shelf import ModelShelf
from studio.trainings import Trainings

MOST_AT_ONCE = 100


class VariantUse(Asked):
    """Pictures of a character whose face is to be drawn anew, and how much of it: each becomes a new picture with the first as parent."""

    ids: tuple[Name, ...] = Field(min_length=1, max_length=MOST_AT_ONCE)
    denoise: float | None = Field(None, gt=0, le=1)


class Variants:
    """The face variants of one studio's characters."""

    def __init__(
        self, characters: Characters, gallery: Gallery, jobs: Jobs, orders: Orders, shelf: ModelShelf, trainings: Trainings
    ) -> None:
        self._characters = characters
        self._gallery = gallery
        self._jobs = jobs
        self._orders = orders
        self._shelf = shelf
        self._trainings = trainings

    def of(self, name: str) -> tuple[FaceVariant, ...]:
        """The variants of a character, an id or a slug. Raises NotFound."""
        return self._characters.character(name).variants

    def put(self, name: str, variant: FaceVariant) -> Character:
        """Keep a variant: a new one, or another of the same name. Raises NotFound, InvalidFieldValue, SafetyFilter, Conflict."""
        somebody = self._characters.character(name)
        mine = list(somebody.variants)
        places = [place for place, one in enumerate(mine) if one.name.casefold() == variant.name.casefold()]
        if places:
            mine[places[0]] = variant
        else:
            mine.append(variant)
        return self._keep(somebody, mine)

    def remove(self, name: str, variant: str) -> Character:
        """Take a variant away; its LoRA and its pictures stay. Raises NotFound, Conflict."""
        somebody = self._characters.character(name)
        gone = named(somebody, variant)
        return self._keep(somebody, [one for one in somebody.variants if one != gone])

    def check(self, name: str, variants: Sequence[FaceVariant]) -> None:
        """Raises InvalidFieldValue for what can't be a character's variants, SafetyFilter for another character's LoRA."""
        somebody = self._characters.character(name)
        if len(variants) > MOST_VARIANTS:
            raise InvalidFieldValue(
                f"{somebody.name} has {MOST_VARIANTS} face variants, which is all there can be.",
                field="variants",
                remedy="Change one of them, or take one away first.",
            )
        if len({one.name.casefold() for one in variants}) < len(variants):
            raise InvalidFieldValue("Two face variants have the same name.", field="name", remedy="Give each a name of its own.")
        versions = {one.path.removesuffix(".safetensors"): one.character for one in self._trainings.versions()}
        for one in variants:
            self._shelf.lora_file(LoraUse(path=one.lora, strength=one.lora_strength))
            owner = versions.get(one.lora.removesuffix(".safetensors"), somebody.id)
            if owner != somebody.id:
                raise SafetyFilter(
                    f"“{one.lora}” is the face of {self._trainings.name_of(owner) or 'another character'}: nobody gets another's face.",
                    field="lora",
                    remedy=f"Choose a LoRA that was trained from pictures of {somebody.name}.",
                )
            if one.portrait is not None and not self._is_own(one.portrait, somebody):
                raise InvalidFieldValue(
                    f"This is neither a photo nor a picture of {somebody.name}.",
                    field="portrait",
                    remedy="Choose one of the character's own, or add it to the photos first.",
                )

    def use(self, name: str, variant: str, wish: VariantUse, *, correlation_id: str = "") -> Submitted:
        """Draw a variant's face over that of finished pictures: a job each, on disk when this returns.

        Raises NotFound, InvalidFieldValue, SafetyFilter for a picture with somebody's real face, and as `Studio.generate` does; then
        nothing is left behind.
        """
        somebody = self._characters.character(name)
        look = named(somebody, variant)
        self.check(somebody.id, [look])
        work: list[tuple[GenerateRequest, Recipe]] = []
        for picture in [self._gallery.picture(each) for each in dict.fromkeys(wish.ids)]:
            work += self._work(picture, somebody, look, wish.denoise)
        self._orders.check_space()
        batch_id, job_ids = self._jobs.submit(JobKind.generate, work, correlation_id=correlation_id or new_id())
        return Submitted(job_id=job_ids[0], job_ids=job_ids, batch_id=batch_id)

    def _work(
        self, picture: Picture, somebody: Character, look: FaceVariant, denoise: float | None
    ) -> list[tuple[GenerateRequest, Recipe]]:
        made = picture.recipe
        if picture.kind is not PictureKind.generated or made is None:
            raise SafetyFilter(
                "This picture was not made here, and faces in pictures that somebody gave are never exchanged.",
                field="ids",
                remedy=f"Choose a picture that was made of {somebody.name}.",
            )
        if picture.character_id != somebody.id:
            raise SafetyFilter(
                f"This picture is not one of {somebody.name}: nobody gets another's face.",
                field="ids",
                remedy=f"Choose a picture that was made of {somebody.name}.",
            )
        request = GenerateRequest.model_validate(
            {
                **made.model_dump(include={"prompt", "negative_prompt", "model", "steps", "cfg", "sampler", "scheduler"}),
                "as_written": True,
                "wildcards": False,
                "character": somebody.id,
                "image": picture.id,
                "preset": NO_PRESET,
                "variant": look.name,
                "seed": made.seed if picture.seed is None else picture.seed,
                "grain": 0,
                "tone": "none",
            }
        )
        ordered = self._orders.work(request, own_lora=False)
        return [(asked, _over(recipe, picture, denoise)) for asked, recipe in ordered]

    def _keep(self, somebody: Character, variants: Sequence[FaceVariant]) -> Character:
        self.check(somebody.id, variants)
        change = CharacterChange.model_validate({"version": somebody.version, "variants": tuple(variants)})
        return self._characters.change(somebody.id, change)

    def _is_own(self, picture_id: str, somebody: Character) -> bool:
        try:
            picture = self._gallery.picture(picture_id)
        except NotFound:
            return False
        return picture.character_id == somebody.id and picture.trashed_at is None


def named(somebody: Character, variant: str) -> FaceVariant:
    """A character's variant by its name, in large or small letters. Raises NotFound."""
    found = next((one for one in somebody.variants if one.name.casefold() == variant.strip().casefold()), None)
    if found is None:
        known = ", ".join(one.name for one in somebody.variants) or "none yet"
        raise NotFound(f"{somebody.name} has no face variant “{variant}”.", remedy=f"There are: {known}.")
    return found


def _over(recipe: Recipe, picture: Picture, denoise: float | None) -> Recipe:
    """The recipe that draws over a picture's face and leaves all else of it as it is, its size too."""
    assert recipe.face is not None
    face = recipe.face.model_copy(update={"alone": True} | ({"denoise": denoise} if denoise is not None else {}))
    size = {"width": picture.width, "height": picture.height}
    return recipe.model_copy(update={"face": face, "parent": picture.id, "loras": (), **size})
