"""From what a person asked to the recipes of its jobs: character, consent, safety, references, grids. Nothing is written here."""

from __future__ import annotations

import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from studio import models
from studio.batches import Part, expand
from studio.characters import Characters, check_consent
from studio.contracts import (
    MAX_SEED,
    Character,
    CharacterStatus,
    Composed,
    FacePass,
    GenerateRequest,
    LoraUse,
    ModelSpec,
    Picture,
    PictureKind,
    Preset,
    PresetChoice,
    Recipe,
    Sampling,
)
from studio.errors import (
    DiskFull,
    EngineOffline,
    InvalidFieldType,
    InvalidFieldValue,
    LikenessError,
    MissingRequiredField,
    NotFound,
    SafetyFilter,
)
from studio.gallery import Gallery
from studio.graphs import texts
from studio.metadata import too_many_pixels
from studio.presets import check_preset
from studio.prompts import check_something_to_draw, compose, left_out, own_lora_of, prompts_of
from studio.remote import COMFYUI, Remote, graph_of, offline
from studio.safety_nodes import check_nodes
from studio.settings import Settings
from studio.shelf import ModelShelf, PresetShelf, require_classifier
from studio.workflows import SAMPLERS, SCHEDULERS, ParameterType, Value, Workflow, called_here
from studio.workshop import check_faces, face_pictures, unread

# Without this much free space a job would be accepted only to fail at its end.
SPACE_NEEDED = 50 * 2**20
NO_PRESET = "none"  # asked for where a character's own preset is not wanted; of styles too, in a grid


class Orders:
    """Requests of one studio, checked and spelled out."""

    def __init__(
        self,
        settings: Settings,
        shelf: ModelShelf,
        preset_shelf: PresetShelf,
        characters: Characters,
        gallery: Gallery,
        remote: Remote,
    ) -> None:
        self.settings = settings
        self.shelf = shelf
        self.preset_shelf = preset_shelf
        self._characters = characters
        self._gallery = gallery
        self._remote = remote

    def models(self) -> tuple[ModelSpec, ...]:
        """Every model: those on this computer, then those on servers."""
        return (*self.shelf.models(), *self._remote.models())

    def choice(self, preset: Preset, model: ModelSpec | None = None) -> PresetChoice:
        """A preset, and whether it runs with a model, and what is missing where it does not."""
        said: dict[str, object] = {}
        if model is not None:
            try:
                check_preset(preset, model, "style" if preset.is_style else "preset")
                said = {"runs": True}
                if model.engine == COMFYUI and (lacks := self._remote.lacking(preset, model)):
                    said = {
                        "runs": False,
                        "why_not": " ".join(dict.fromkeys(lack.message for lack in lacks)),
                        "remedy": " ".join(dict.fromkeys(lack.remedy for lack in lacks)),
                        "link": next((lack.url for lack in lacks if lack.url), ""),
                    }
            except LikenessError as error:
                said = {"runs": False, "why_not": error.message, "remedy": error.remedy}
        return PresetChoice.model_validate({**preset.model_dump(exclude_unset=True), **said})

    def sampling(self, model: str | None, workflow: str | None = None) -> Sampling:
        """The samplers and schedulers that can be chosen with a model (None is the default one) or a workflow.

        Raises InvalidFieldValue where there is none of that name.
        """
        if workflow is not None:
            return self._remote.sampling(self._remote.named(workflow), offered=True)
        spec = models.resolve_model(model, self.models()) if model else self.shelf.model(None)
        if spec.engine != COMFYUI:
            return models.embedded_sampling(spec)
        return self._remote.sampling(self._remote.drawing(spec, None), offered=True)

    def compose(self, request: GenerateRequest) -> Composed:
        """What a request would make, without making it. Raises as `generate` does, but for safety and consent."""
        request = _started(request, None if request.workflow is None else self._remote.named(request.workflow))
        check_something_to_draw(request)
        character = self._character_of(request)
        preset = self._preset_for(request, character)
        style = self._style_for(request)
        family = ""
        if preset is not None or style is not None or character is not None:
            with suppress(EngineOffline):
                family = self._model_for(request, character).family
                preset, style = preset and preset.on(family), style and style.on(family)
        parts = expand(request, self._captions(request), seed=0, wildcards=self._wildcards, own=own_lora_of(character))
        first = parts[0]
        template = self.settings.prompt_template
        prompt, negative = prompts_of(
            first.request, preset, character, style=style, caption=first.caption, template=template, family=family
        )
        return Composed(
            prompt=prompt,
            negative_prompt=negative,
            jobs=len(parts),
            pictures=sum(part.request.count for part in parts),
            left_out=() if first.request.as_written else left_out(character, family),
        )

    def check_space(self) -> None:
        """Raises DiskFull where a job would be accepted only to fail at its end."""
        if shutil.disk_usage(self.settings.data).free < SPACE_NEEDED:
            raise DiskFull("There is less than 50 MB free on the drive of the data folder.")

    def work(self, request: GenerateRequest, *, own_lora: bool = True) -> list[tuple[GenerateRequest, Recipe]]:
        """The jobs of a request with their recipes, nothing left open. Without `own_lora` the character's LoRA is left out.

        Raises SafetyFilter, ConsentMissing, InvalidFieldValue, MissingRequiredField, ModelInvalid, LoraMismatch ….
        """
        # Read when it is needed, or by `Studio.warm_up`: its rules take a second, which the page must not wait for.
        from studio import safety

        request = _started(request, None if request.workflow is None else self._remote.named(request.workflow))
        check_something_to_draw(request)
        character = self._character_of(request)
        if character is not None and character.kind.real:
            check_consent(character.consent, character.name)
        if character is not None and not own_lora:
            character = character.model_copy(update={"lora": None})
        seed = secrets.randbelow(MAX_SEED + 1)
        work: list[tuple[GenerateRequest, Recipe]] = []
        checked: set[tuple[object, ...]] = set()
        for part in expand(request, self._captions(request), seed=seed, wildcards=self._wildcards, own=own_lora_of(character)):
            preset = self._preset_for(part.request, character)
            style = self._style_for(part.request)
            model = self._model_for(part.request, character)
            asked = _with_picture(part, preset, character)
            drawing = self._remote.drawing(model, asked.workflow) if model.engine == COMFYUI else None
            asked = _as_called_here(asked, drawing)
            recipe = compose(
                asked,
                preset,
                model,
                seed=seed,
                style=style,
                character=character,
                caption=part.caption,
                template=self.settings.prompt_template,
                source=self._own_size(asked.image, "image") if asked.mask and asked.image else None,
                sampling=self._remote.sampling(drawing) if model.engine == COMFYUI else None,
            ).model_copy(update={"reference": part.reference, "cell": part.cell})
            workflow = None
            if model.engine == COMFYUI:
                workflow = self._remote.workflow_for(
                    model,
                    named=asked.workflow,
                    preferred=preset.on(model.family).workflow if preset else None,
                    from_picture=recipe.image is not None,
                    masked=recipe.mask is not None,
                )
                recipe = recipe.model_copy(update=_own_values(asked, workflow))
                if recipe.image is not None and workflow.parameter("width") is None:
                    # What it makes follows from the picture alone, which must not be cut to a size that the workflow knows nothing of.
                    width, height = self._own_size(recipe.image, "image")
                    recipe = recipe.model_copy(update={"width": width, "height": height})
            asks = any(look and look.requires_consent for look in (preset, style))
            recipe = self._with_consent(recipe, request, character, asks=asks)
            if request.variant is not None:
                recipe = self._with_face(recipe, request.variant, model, character)
            if workflow is not None:
                self._check_faces(recipe, request, workflow)
            said: tuple[str, ...] = (part.request.prompt, recipe.prompt)
            if workflow is not None:
                recipe, baked = self._on_server(recipe, model, workflow, preset, style)
                said = (*said, *baked)
            elif (model.id, recipe.loras, recipe.face) not in checked:
                self.shelf.check(model, (*recipe.loras, *((recipe.face.lora,) if recipe.face else ())))
                checked.add((model.id, recipe.loras, recipe.face))
            # A negative prompt says what must not be seen; below a CFG scale of 1 it would say the opposite.
            said = (*said, *([recipe.negative_prompt] if recipe.cfg < 1 else []))
            if said not in checked:
                safety.check(said)
                checked.add(said)
            work.append((part.request, recipe))
        return work

    def _own_size(self, picture_id: str, field: str) -> tuple[int, int]:
        """Width and height of a picture that keeps them. Raises FileTooLarge where it has more pixels than one may send."""
        picture = self._picture_for(picture_id, field)
        if picture.width * picture.height > self.settings.max_upload_megapixels * 1e6:
            raise too_many_pixels(picture.width, picture.height, self.settings.max_upload_megapixels, field=field)
        return picture.width, picture.height

    def _with_consent(self, recipe: Recipe, request: GenerateRequest, character: Character | None, *, asks: bool = False) -> Recipe:
        """The recipe with whose face it uses and what they agreed to. `asks`: a preset wants somebody's consent.

        Raises ConsentMissing, MissingRequiredField when an upload does not say whether it shows a real person, SafetyFilter when it
        would put one person's face on another's photo or nothing is installed that could look at the result.
        """
        real = character is not None and character.kind.real
        consent = character.consent if real and character else None
        starts = [(recipe.image, "references" if recipe.image == recipe.reference else "image")] if recipe.image else []
        starts += [(each, name) for name, each in recipe.pictures.items()]
        used = [(self._picture_for(each, field), field) for each, field in starts]
        if recipe.mask is not None and recipe.image is not None:
            picture, mask = used[0][0], self._picture_for(recipe.mask, "mask")
            if (mask.width, mask.height) != (picture.width, picture.height):
                raise InvalidFieldValue(
                    f"The mask has {mask.width}×{mask.height} pixels, its picture {picture.width}×{picture.height}.",
                    field="mask",
                    remedy="Paint the mask on the picture itself.",
                )
        shown = [(picture, field) for picture, field in used if self._shows_real(picture, request)]
        if len({picture.character_id for picture, _ in shown}) > 1:
            raise SafetyFilter(
                "These are photos of different people, and one person's face is never put on another's photo.",
                field=shown[-1][1],
                remedy="Choose photos of one person only.",
            )
        for picture, field in shown:
            if picture.character_id is not None and (character is None or character.id != picture.character_id):
                owner = self._characters.character(picture.character_id)
                consent = owner.consent
                if character is not None:
                    raise SafetyFilter(
                        f"This is a photo of {owner.name}, and the picture would be of {character.name}: "
                        "one person's face is never put on another's photo.",
                        field=field,
                        remedy="Choose a photo of the same person, or no character.",
                    )
            elif picture.character_id is None and character is not None:
                raise SafetyFilter(
                    f"This photo shows a real person, and it is not one of {character.name}'s own photos.",
                    field=field,
                    remedy=f"If it is {character.name}, add it to the character's photos first; else choose no character.",
                )
            consent = consent or request.consent
            check_consent(consent, "The person in this picture")
        if asks and (character is None or character.kind.real):
            # An invented character is nobody who could agree.
            consent = consent or request.consent
            check_consent(consent, "Whoever this preset draws")
        if used and (real or shown):
            # The worker looks at whatever it makes of such a picture, also of one that was made here before.
            require_classifier(self.settings.data)
        return recipe.model_copy(update={"real_person": real or bool(shown), "consent": consent})

    def _with_face(self, recipe: Recipe, variant: str, model: ModelSpec, character: Character | None) -> Recipe:
        """The recipe with a face variant's pass. Raises InvalidFieldValue where there can be none, SafetyFilter where the face of somebody
        real, in a picture that was given, would be drawn over.
        """
        found = next((one for one in character.variants if one.name.casefold() == variant.casefold()), None) if character else None
        if character is None or found is None:
            known = ", ".join(one.name for one in character.variants) if character else ""
            raise InvalidFieldValue(
                f"There is no face variant “{variant}”{f' of {character.name}' if character else ' of nobody'}.",
                field="variant",
                remedy=f"Choose one of: {known}." if known else "Make one on the character's page, and choose that character.",
            )
        if model.engine == COMFYUI:
            raise InvalidFieldValue(
                "Face variants are drawn on this computer, and this model runs on ComfyUI.",
                field="variant",
                remedy=f"Choose a model of this computer, or a FaceDetailer workflow with the LoRA “{found.lora}”.",
            )
        if recipe.mask is not None:
            raise InvalidFieldValue(
                "Around a mask every pixel stays, so no face is drawn over.", field="variant", remedy="Leave the mask or the variant away."
            )
        if recipe.image is not None and recipe.real_person and not self._is_drawn(recipe.image):
            raise SafetyFilter(
                "This picture shows a real person as somebody photographed them, and such a face is never exchanged.",
                field="variant",
                remedy="Leave the variant away, or start from words alone.",
            )
        use = LoraUse(path=found.lora, strength=found.lora_strength)
        return recipe.model_copy(update={"face": FacePass(variant=found.name, lora=use)})

    def _is_drawn(self, picture_id: str) -> bool:
        """Whether a picture was made here from words alone, through all that it was made of."""
        try:
            picture = self._gallery.picture(picture_id)
        except NotFound:
            return False
        if picture.kind is not PictureKind.generated or picture.recipe is None or picture.recipe.pictures:
            return False
        return picture.recipe.image is None or self._is_drawn(picture.recipe.image)

    def _check_faces(self, recipe: Recipe, request: GenerateRequest, workflow: Workflow) -> None:
        """Raises SafetyFilter where a workflow would put a face into a picture and they are not known to be one person's."""
        check_faces(workflow)
        given = {**({"image": recipe.image} if recipe.image else {}), **recipe.pictures}
        for names in face_pictures(workflow):
            pictures = {name: self._picture_for(given[name], name) for name in sorted(names) if name in given}
            people = {picture.character_id for picture in pictures.values()}
            if len({picture.id for picture in pictures.values()}) == 1:
                continue
            if any(self._shows_real(picture, request) for picture in pictures.values()) and (len(people) > 1 or None in people):
                raise SafetyFilter(
                    f"“{workflow.name}” puts the face of one picture into another, and these are not known to be of one person: "
                    "one person's face is never put on another's photo.",
                    field=next(iter(pictures)),
                    remedy="Add both photos to one character first, and choose them from there.",
                )

    def _shows_real(self, picture: Picture, request: GenerateRequest) -> bool:
        """Whether a picture shows a real person. Raises MissingRequiredField for an upload of which nobody said."""
        if picture.real_person or picture.kind is PictureKind.generated:
            return picture.real_person
        if request.real_person is None and picture.character_id is None:
            raise MissingRequiredField(
                "Say whether the picture to start from shows a real person.",
                field="real_person",
                remedy="A drawing or an invented face: no. A photo of somebody: yes, with their consent.",
            )
        return bool(request.real_person)

    def _on_server(
        self, recipe: Recipe, model: ModelSpec, workflow: Workflow, preset: Preset | None, style: Preset | None
    ) -> tuple[Recipe, tuple[str, ...]]:
        """The recipe as servers know it, and every text of the graph but the negative prompt. Raises for what no server can do."""
        check_nodes(workflow.graph)
        recipe = self._remote.checked(recipe, workflow)
        if preset is not None:
            self._remote.check_needs(preset)
        if style is not None:
            self._remote.check_needs(style, "style")
        drawn = recipe
        if recipe.mask and not models.draws(recipe.width, recipe.height, model):
            # Of a large picture only the part around the mask is drawn, at a size that the model likes.
            drawn = recipe.model_copy(update={"width": model.width, "height": model.height})
        # Rendered as the engine will: what can't be is told now, and no text hides in a graph.
        graph = graph_of(drawn, workflow, image="image.png", mask="mask.png", pictures=dict.fromkeys(recipe.pictures, "image.png"))
        check_nodes(graph)
        aside = {recipe.negative_prompt} if unread(workflow) else set()
        return recipe, tuple(text for text in texts(graph) if text not in aside)

    def _character_of(self, request: GenerateRequest) -> Character | None:
        if request.character is None:
            return None
        try:
            character = self._characters.character(request.character)
        except NotFound as error:
            raise InvalidFieldValue(
                f"There is no character “{request.character}”.", field="character", remedy="The Characters tab shows who there is."
            ) from error
        if character.status is CharacterStatus.trashed:
            raise InvalidFieldValue(f"{character.name} is in the trash.", field="character", remedy="Take it out of the trash first.")
        return character

    def _captions(self, request: GenerateRequest) -> dict[str, str]:
        return {each: self._picture_for(each, "references").caption for each in request.references}

    def _picture_for(self, picture_id: str, field: str) -> Picture:
        try:
            return self._gallery.picture(picture_id)
        except NotFound as error:
            raise InvalidFieldValue(
                "This picture is not in the library.", field=field, remedy="Choose another one, or upload it."
            ) from error

    def _model_for(self, request: GenerateRequest, character: Character | None) -> ModelSpec:
        wanted = request.model or (character.model if character and request.workflow is None else None)
        if wanted is None and request.workflow is not None:
            if request.engine not in {None, COMFYUI}:
                raise InvalidFieldValue("Workflows run on ComfyUI.", field="engine", remedy="Leave the engine open, or choose no workflow.")
            return self._remote.model_of(self._remote.named(request.workflow), request.values)
        if wanted is not None and wanted.startswith(f"{COMFYUI}/"):
            self._remote.check_online()
        if wanted is None and request.engine == COMFYUI:
            there = [spec for spec in self._remote.models() if spec.engine == request.engine]
            if not there:
                raise offline(self._remote.inventory())
            return there[0]
        model = models.resolve_model(wanted, self.models()) if wanted else self.shelf.model(None)
        if request.engine is not None and request.engine != model.engine:
            raise InvalidFieldValue(
                f"The engine “{request.engine}” can't run the model “{model.id}”.",
                field="engine",
                remedy=f"Choose the engine “{model.engine}”, or leave it open.",
            )
        if model.engine != COMFYUI and (request.workflow is not None or request.values):
            raise InvalidFieldValue(
                f"“{model.name}” runs on this computer and takes no workflow.",
                field="workflow" if request.workflow is not None else "values",
                remedy="Leave the model open, or choose no workflow.",
            )
        return model

    @property
    def _wildcards(self) -> Path:
        return self.settings.data / "wildcards"

    def _preset_for(self, request: GenerateRequest, character: Character | None = None) -> Preset | None:
        wanted = request.preset or (character.preset if character else None)
        if wanted is None or wanted == NO_PRESET:
            return None
        presets = {preset.id: preset for preset in self.preset_shelf.presets()}
        if wanted not in presets:
            raise InvalidFieldValue(
                f"There is no preset called “{wanted}”.", field="preset", remedy=f"Choose one of: {', '.join(presets)}."
            )
        return presets[wanted]

    def _style_for(self, request: GenerateRequest) -> Preset | None:
        if request.style is None or request.style == NO_PRESET:
            return None
        presets = {preset.id: preset for preset in self.preset_shelf.presets()}
        found = presets.get(request.style)
        if found is None or not found.is_style:
            words = f"“{found.name}” is no style." if found else f"There is no style called “{request.style}”."
            styles = [preset.id for preset in presets.values() if preset.is_style]
            remedy = f"{'Give it as the preset; a style is one' if found else 'Choose one'} of: {', '.join(styles)}."
            raise InvalidFieldValue(words, field="style", remedy=remedy)
        return found


def _with_picture(part: Part, preset: Preset | None, character: Character | None) -> GenerateRequest:
    """The request of one job with the picture that it starts from: its own, which a mask was painted on; else its reference.

    A preset that keeps to a person takes the character's portrait where neither a LoRA nor another picture says how they look.
    """
    request = part.request
    start = request.image or part.reference
    if start is None and preset is not None and preset.needs.identity and character is not None and not (character.lora or request.loras):
        start = character.portrait
    return request if start == request.image else request.model_copy(update={"image": start})


def _started(request: GenerateRequest, workflow: Workflow | None) -> GenerateRequest:
    """The request with the picture that a workflow starts from, or its mask, where any request has it; it may say nothing else then."""
    if workflow is None:
        return request
    values, moved = dict(request.values), {}
    for name in ("image", "mask"):
        if name in values and workflow.parameter(name):
            given = values.pop(name)
            if not isinstance(given, str):
                raise InvalidFieldType(f"“{name}” wants the id of a picture.", field=name, remedy="GET /api/v1/images lists them.")
            if getattr(request, name) is None:
                moved[name] = given
    for name in ("prompt", "negative_prompt"):
        if isinstance(values.get(name), str) and workflow.parameter(name):
            words = values.pop(name)
            if not getattr(request, name):
                moved[name] = words
    for name in ("steps", "cfg", "sampler", "scheduler", "denoise"):
        # Said of the workflow's own parameter it is said of the picture: the recipe tells it, and grids vary it.
        if name not in values or not workflow.parameter(name) or (name == "denoise" and not (request.image or moved.get("image"))):
            continue
        with suppress(ValidationError):
            moved[name] = getattr(GenerateRequest.model_validate({name: values[name]}, strict=True), name)
            del values[name]
    return request.model_copy(update={**moved, "values": values})


def _as_called_here(request: GenerateRequest, workflow: Workflow | None) -> GenerateRequest:
    """The request with ComfyUI's own names of samplers and schedulers changed into those that they have here."""
    if workflow is None:
        return request
    known = {"sampler": SAMPLERS, "scheduler": SCHEDULERS}
    given = {field: name for field in known if (name := getattr(request, field)) and name not in known[field]}
    return request.model_copy(update={field: called_here(workflow, field, name) for field, name in given.items()}) if given else request


def _own_values(request: GenerateRequest, workflow: Workflow) -> dict[str, object]:
    """What a recipe holds of a workflow's own values: pictures apart from the rest."""
    values: dict[str, Value] = dict(request.values)
    pictures: dict[str, str] = {}
    for parameter in workflow.parameters:
        if parameter.type is ParameterType.image and isinstance(values.get(parameter.name), str):
            pictures[parameter.name] = str(values.pop(parameter.name))
    for name, ours in (("sampler", SAMPLERS), ("scheduler", SCHEDULERS)):
        parameter = workflow.parameter(name)
        if parameter is None or getattr(request, name) is not None or not isinstance(parameter.default, str):
            continue
        # A sampler of the graph's own that goes by no name of ours stays as it is.
        if parameter.default not in (*ours.values(), *workflow.names.get(name, {}).values(), "simple"):
            values.setdefault(name, parameter.default)
    return {"workflow": workflow.id, "values": values, "pictures": pictures}
