"""Studio: the verbs that the page, the API and the command line call. Each is quick; long work becomes a job."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Unpack

import sqlalchemy as sa

from studio import VERSION, metadata, safety
from studio.analytics import Analytics, analyse
from studio.batches import expand
from studio.characters import Characters, Counts, Template, check_consent, load_templates
from studio.contracts import (
    MAX_SEED,
    Character,
    CharacterChange,
    CharacterFields,
    CharacterStatus,
    Composed,
    EngineState,
    Facets,
    GenerateRequest,
    Health,
    Job,
    JobKind,
    JobState,
    LoraSpec,
    ModelSpec,
    Page,
    PhotosAdded,
    Picture,
    PictureChange,
    PictureKind,
    Preset,
    Problem,
    Recipe,
    RefusedPhoto,
    Submitted,
    new_id,
)
from studio.db import Database, characters, engine_states
from studio.doctor import gpu_available
from studio.errors import (
    Conflict,
    ConsentMissing,
    DiskFull,
    InvalidFieldValue,
    LikenessError,
    MissingRequiredField,
    NotFound,
    SafetyFilter,
    from_os_error,
)
from studio.files import write_atomically
from studio.gallery import Filters, Gallery
from studio.jobs import Jobs
from studio.logs import job_folder, read_job_log
from studio.loras import read_lora
from studio.parcel import pack as pack_pictures
from studio.passport import pack, unpack
from studio.photos import plain_name, read_photo
from studio.prompts import check_something_to_draw, compose, prompts_of
from studio.settings import Settings
from studio.shelf import ModelShelf, PresetShelf, find_classifier, require_classifier

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
NO_PRESET = "none"  # asked for where a character's own preset is not wanted
EVIDENCE = (".pdf", ".png", ".jpg", ".jpeg", ".webp", ".txt", ".eml", ".docx", ".mp3", ".m4a", ".mp4")
# Without this much free space a job would be accepted only to fail at its end.
SPACE_NEEDED = 50 * 2**20
WORKER_SILENT_S = 20.0


class Studio:
    """One studio over one data root. Thread-safe; holds no state but its connections."""

    def __init__(self, settings: Settings, database: Database, *, shelf: ModelShelf, preset_shelf: PresetShelf) -> None:
        self.settings = settings
        self.database = database
        self.shelf = shelf
        self.preset_shelf = preset_shelf
        self._jobs = Jobs(database)
        self._gallery = Gallery(database, settings.data)
        self._characters = Characters(database)

    # Jobs

    def generate(self, request: GenerateRequest, *, correlation_id: str = "", first: bool = False) -> Submitted:
        """Accept a request: checked, composed, and on disk as a queued job when this returns.

        `first` puts it before everything else in the queue. Raises SafetyFilter, InvalidFieldValue, ModelInvalid, LoraMismatch,
        DiskFull … and then leaves nothing behind.
        """
        work = self._work(request)
        if shutil.disk_usage(self.settings.data).free < SPACE_NEEDED:
            raise DiskFull("There is less than 50 MB free on the drive of the data folder.")
        batch_id, job_ids = self._jobs.submit(JobKind.generate, work, correlation_id=correlation_id or new_id(), first=first)
        return Submitted(job_id=job_ids[0], job_ids=job_ids, batch_id=batch_id)

    def compose(self, request: GenerateRequest) -> Composed:
        """What a request would make, without making it. Raises as `generate` does, but for safety and consent."""
        check_something_to_draw(request)
        character = self._character_of(request)
        preset = self._preset_for(request, character)
        parts = expand(request, self._captions(request), seed=0, wildcards=self._wildcards)
        prompt, negative = prompts_of(parts[0].request, preset, character, caption=parts[0].caption, template=self.settings.prompt_template)
        return Composed(prompt=prompt, negative_prompt=negative, jobs=len(parts), pictures=sum(part.request.count for part in parts))

    def _work(self, request: GenerateRequest) -> list[tuple[GenerateRequest, Recipe]]:
        check_something_to_draw(request)
        character = self._character_of(request)
        if character is not None and character.kind.real:
            check_consent(character.consent, character.name)
        seed = secrets.randbelow(MAX_SEED + 1)
        work: list[tuple[GenerateRequest, Recipe]] = []
        checked: set[tuple[object, ...]] = set()
        for part in expand(request, self._captions(request), seed=seed, wildcards=self._wildcards):
            preset = self._preset_for(part.request, character)
            model = self._model_for(part.request, character)
            recipe = compose(
                part.request,
                preset,
                model,
                seed=seed,
                character=character,
                caption=part.caption,
                template=self.settings.prompt_template,
            )
            if part.reference:
                recipe = recipe.model_copy(update={"image": part.reference, "reference": part.reference})
            recipe = self._with_consent(recipe, request, character).model_copy(update={"cell": part.cell})
            if (model.id, recipe.loras) not in checked:
                self.shelf.check(model, recipe.loras)
                checked.add((model.id, recipe.loras))
            # A negative prompt says what must not be seen; below a CFG scale of 1 it would say the opposite.
            said = (part.request.prompt, recipe.prompt, *([recipe.negative_prompt] if recipe.cfg < 1 else []))
            if said not in checked:
                safety.check(said)
                checked.add(said)
            work.append((part.request, recipe))
        return work

    def _with_consent(self, recipe: Recipe, request: GenerateRequest, character: Character | None) -> Recipe:
        """The recipe with whose face it uses and what they agreed to.

        Raises ConsentMissing, MissingRequiredField when an upload does not say whether it shows a real person, SafetyFilter when it
        would put one person's face on another's photo or nothing is installed that could look at the result.
        """
        real = character is not None and character.kind.real
        consent = character.consent if real and character else None
        if recipe.image is None:
            return recipe.model_copy(update={"real_person": real, "consent": consent})
        picture = self._picture_for(recipe.image, "references" if recipe.reference else "image")
        if recipe.mask is not None:
            mask = self._picture_for(recipe.mask, "mask")
            if (mask.width, mask.height) != (picture.width, picture.height):
                raise InvalidFieldValue(
                    f"The mask has {mask.width}×{mask.height} pixels, its picture {picture.width}×{picture.height}.",
                    field="mask",
                    remedy="Paint the mask on the picture itself.",
                )
        shows_real = picture.real_person
        if picture.kind is not PictureKind.generated and not shows_real:
            if request.real_person is None and picture.character_id is None:
                raise MissingRequiredField(
                    "Say whether the picture to start from shows a real person.",
                    field="real_person",
                    remedy="A drawing or an invented face: no. A photo of somebody: yes, with their consent.",
                )
            shows_real = bool(request.real_person)
        if shows_real:
            if picture.character_id is not None and (character is None or character.id != picture.character_id):
                owner = self._characters.character(picture.character_id)
                consent = owner.consent
                if character is not None:
                    raise SafetyFilter(
                        f"This is a photo of {owner.name}, and the picture would be of {character.name}: "
                        "one person's face is never put on another's photo.",
                        field="image",
                        remedy="Choose a photo of the same person, or no character.",
                    )
            elif picture.character_id is None and character is not None:
                raise SafetyFilter(
                    f"This photo shows a real person, and it is not one of {character.name}'s own photos.",
                    field="image",
                    remedy=f"If it is {character.name}, add it to the character's photos first; else choose no character.",
                )
            else:
                consent = consent or request.consent
            check_consent(consent or request.consent, "The person in this picture")
            consent = consent or request.consent
        if real or shows_real:
            # The worker looks at whatever it makes of such a picture, also of one that was made here before.
            require_classifier(self.settings.data)
        return recipe.model_copy(update={"real_person": real or shows_real, "consent": consent})

    def classifier(self) -> Path | None:
        """The folder of the image classifier that looks at edits of real people's photos; None when there is none."""
        return find_classifier(self.settings.data)

    def job(self, job_id: str) -> Job:
        """One job. Raises NotFound."""
        return self._jobs.job(job_id)

    def jobs(
        self, *, states: Sequence[JobState] = (), batch_id: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[Job]:
        """Jobs, newest first."""
        return self._jobs.jobs(states=states, batch_id=batch_id, limit=limit, cursor=cursor)

    def changes(self, since: float) -> tuple[Job, ...]:
        """Jobs that changed at or after a Unix time, in order: for the event stream."""
        return self._jobs.changes(since)

    def library_version(self) -> int:
        """A number that grows whenever pictures come, go, or move to or from the trash."""
        return self._gallery.version()

    def change_mark(self) -> int | None:
        """Another number whenever something changed at all, cheap to ask; None where only looking can tell."""
        return self.database.change_mark()

    def watch(self, job_id: str, *, timeout_s: float | None = None) -> Iterator[Job]:
        """The job now and at every change, until it has ended or the time is up. Raises NotFound."""
        return self._jobs.watch(job_id, timeout_s=timeout_s)

    def cancel(self, job_id: str) -> Job:
        """Cancel a queued or running job. Raises Conflict when it has ended."""
        return self._jobs.cancel(job_id)

    def cancel_all(self, *, batch_id: str | None = None) -> int:
        """Cancel all queued and running jobs, or those of one batch; gives their number."""
        return self._jobs.cancel_all(batch_id=batch_id)

    def retry(self, job_id: str) -> Job:
        """Start a failed, cancelled or poisoned job again with the same recipe. Raises Conflict otherwise."""
        return self._jobs.retry(job_id)

    def move(self, job_id: str, to: Literal["first", "last"]) -> Job:
        """Move a queued job to the front or the end. Raises Conflict when it is not queued."""
        return self._jobs.move(job_id, to)

    def artifacts(self, job_id: str) -> tuple[Picture, ...]:
        """The pictures a job made so far. Raises NotFound."""
        self._jobs.job(job_id)
        return self._gallery.of_job(job_id)

    def job_log(self, job_id: str, *, level: str = "DEBUG") -> tuple[dict[str, object], ...]:
        """What was logged while a job ran, from this level up. Raises NotFound."""
        self._jobs.job(job_id)
        return read_job_log(self.settings.data, job_id, level)

    def preview(self, job_id: str) -> Path:
        """The live preview of a running job, as a WebP file. Raises NotFound when there is none."""
        self._jobs.job(job_id)
        path = job_folder(self.settings.data, job_id) / "preview.webp"
        if not path.is_file():
            raise NotFound("There is no preview of this job.", remedy="Wait for its first steps, or look at its pictures.")
        return path

    # Pictures

    def pictures(self, *, limit: int = 100, cursor: str | None = None, offset: int = 0, **filters: Unpack[Filters]) -> Page[Picture]:
        """Pictures, newest first."""
        return self._gallery.pictures(limit=limit, cursor=cursor, offset=offset, **filters)

    def facets(self, *, kind: PictureKind | None = PictureKind.generated, trashed: bool = False) -> Facets:
        """What pictures can be found by: the characters, presets, categories and months that occur, with their numbers."""
        found = self._gallery.facets(kind=kind, trashed=trashed)
        names = {preset.id: preset.name for preset in self.preset_shelf.presets()}
        named = tuple(facet.model_copy(update={"name": names.get(facet.id, facet.id)}) for facet in found.presets)
        return found.model_copy(update={"presets": named})

    def change_pictures(self, ids: Sequence[str], change: PictureChange) -> int:
        """Change favourite, caption or category of pictures; gives how many there were."""
        return self._gallery.change(ids, change)

    def change_picture(self, picture_id: str, change: PictureChange) -> Picture:
        """Change one picture; gives it as it is then. Raises NotFound."""
        self._gallery.change([picture_id], change)
        return self._gallery.picture(picture_id)

    def parcel(self, ids: Sequence[str]) -> Iterator[bytes]:
        """A ZIP of pictures with a manifest, piece by piece as it is made. Raises NotFound when none of them is there."""
        found = self._gallery.chosen(ids)
        first = next(found, None)
        if first is None:
            raise NotFound("None of these pictures is there.", remedy="GET /api/v1/images lists them.")
        with self.database.read() as connection:
            names = dict(connection.execute(sa.select(characters.c.id, characters.c.name)).tuples().all())
        return pack_pictures(itertools.chain([first], found), self.settings.data, names)

    def analytics(self, *, days: int = 30, ahead_s: int = 0) -> Analytics:
        """How the last days went, in numbers; days are those of a clock that is so many seconds ahead of UTC."""
        names = {preset.id: preset.name for preset in self.preset_shelf.presets()}
        return analyse(self.database, days=days, ahead_s=ahead_s, preset_names=names)

    def picture(self, picture_id: str) -> Picture:
        """One picture. Raises NotFound."""
        return self._gallery.picture(picture_id)

    def picture_file(self, picture_id: str) -> Path:
        """Where the picture lies. Raises NotFound."""
        return self._gallery.file(picture_id)

    def thumbnail(self, picture_id: str) -> Path:
        """Where the picture's WebP thumbnail lies. Raises NotFound."""
        return self._gallery.thumbnail(picture_id)

    def metadata(self, picture_id: str) -> dict[str, object]:
        """What the file itself says: `infotext` and `likeness`. Raises NotFound."""
        return metadata.read_metadata(self._gallery.file(picture_id))

    def trash(self, ids: Sequence[str]) -> int:
        """Move pictures to the trash; gives how many were moved."""
        return self._gallery.trash(ids)

    def restore(self, ids: Sequence[str]) -> int:
        """Take pictures out of the trash; gives how many came back."""
        return self._gallery.restore(ids)

    def empty_trash(self) -> int:
        """Delete what is in the trash for good; gives how many pictures that were."""
        return self._gallery.empty_trash()

    def upload(self, data: bytes, name: str = "", *, kind: PictureKind = PictureKind.upload, category: str = "") -> Picture:
        """Take in a picture from outside. Raises ImageInvalid or FileTooLarge and then keeps nothing."""
        return self._gallery.upload(data, name, kind=kind, category=category, max_megapixels=self.settings.max_upload_megapixels)

    # What there is

    def presets(self, *, category: str | None = None, engine: str | None = None) -> tuple[Preset, ...]:
        """Presets, in the order of their files."""
        found = self.preset_shelf.presets()
        return tuple(p for p in found if (category is None or p.category == category) and (engine is None or engine in p.engines))

    def preset(self, preset_id: str) -> Preset:
        """One preset. Raises NotFound."""
        for preset in self.preset_shelf.presets():
            if preset.id == preset_id:
                return preset
        raise NotFound(f"There is no preset {preset_id!r}.", remedy="GET /api/v1/presets lists them.")

    def models(self) -> tuple[ModelSpec, ...]:
        """Models on this computer, those that come with Likeness first."""
        return self.shelf.models()

    def loras(self) -> tuple[LoraSpec, ...]:
        """LoRAs on this computer."""
        return self.shelf.loras()

    def health(self) -> Health:
        """How the studio is; asks no engine and no network."""
        try:
            counts = self._jobs.counts()
            states = self._engine_states()
            database = "ok"
        except LikenessError as error:
            counts, states, database = {}, (), error.message
        worker = next((state for state in states if state.name == "worker"), None)
        engines = tuple(state for state in states if state.name != "worker")
        return Health(
            ok=database == "ok",
            version=VERSION,
            gpu_available=any(engine.device.startswith(("cuda", "mps")) for engine in engines) or gpu_available(),
            worker=_worker_words(worker),
            engines=engines,
            database=database,
            jobs_queued=counts.get(JobState.queued, 0),
            jobs_running=counts.get(JobState.running, 0),
        )

    def ready(self) -> bool:
        """True when a job that is sent now would start: the database answers and a worker runs."""
        health = self.health()
        return health.ok and health.worker == "running"

    def warm_up(self) -> None:
        """Do now what the first click would have to wait for."""
        self._jobs.warm_up()
        self.shelf.models()
        self.preset_shelf.presets()

    # Characters

    def characters(self, status: CharacterStatus | None = CharacterStatus.active) -> tuple[Character, ...]:
        """Characters by name."""
        return self._characters.characters(status)

    def character(self, name: str) -> Character:
        """One character by its id or slug. Raises NotFound."""
        return self._characters.character(name)

    def character_counts(self, ids: Sequence[str]) -> Mapping[str, Counts]:
        """How many photos, pictures and jobs characters have."""
        return self._characters.counts(ids)

    def templates(self) -> tuple[Template, ...]:
        """Ready-made characters to start from."""
        return load_templates(TEMPLATES)

    def suggest_names(self, name: str) -> tuple[str, str]:
        """A slug and a trigger word for a name that nobody has yet."""
        return self._characters.suggest(name)

    def create_character(self, fields: CharacterFields) -> Character:
        """Keep a new character. Raises InvalidFieldValue, SafetyFilter."""
        return self._characters.create(fields)

    def change_character(self, name: str, change: CharacterChange) -> Character:
        """Change a character. Raises Conflict when it was changed since `change.version`, InvalidFieldValue, NotFound."""
        return self._characters.change(name, change)

    def duplicate_character(self, name: str) -> Character:
        """A new character with the same words and looks. Raises NotFound."""
        return self._characters.duplicate(name)

    def photos(self, name: str) -> tuple[Picture, ...]:
        """A character's photos, oldest first. Raises NotFound."""
        return self._gallery.photos(self.character(name).id)

    def add_photos(self, name: str, files: Sequence[tuple[str, bytes]]) -> PhotosAdded:
        """Take in photos of a character: each bad file is named with its reason, the good ones are kept.

        Raises NotFound, ConsentMissing for a real person's character without consent, DiskFull or DataRootReadOnly and then keeps nothing.
        """
        character = self.character(name)
        if character.kind.real:
            check_consent(character.consent, character.name)
        known = set(self._gallery.photo_hashes(character.id))
        kept: list[Picture] = []
        refused: list[RefusedPhoto] = []

        def take(file: tuple[str, bytes]) -> tuple[str, Picture | LikenessError]:
            shown = plain_name(file[0])
            try:
                photo = read_photo(file[1], self.settings.max_upload_megapixels)
            except LikenessError as error:
                return shown, error
            return shown, self._gallery.keep_photo(photo, character_id=character.id, name=shown, real_person=character.kind.real)

        try:
            # Decoding lets go of the interpreter: two photos at a time use both cores of a small machine.
            with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
                for shown, found in pool.map(take, files):
                    if isinstance(found, Picture) and found.sha256 in known:
                        self._gallery.forget([found])
                        found = Conflict("This photo is there already.", field="file", remedy="Nothing needs to be done.")
                    if isinstance(found, Picture):
                        known.add(found.sha256)
                        kept.append(found)
                    else:
                        problem = Problem(code=found.code, message=found.message, remedy=found.remedy, field=found.field)
                        refused.append(RefusedPhoto(name=shown, error=problem))
            with self.database.begin() as connection:
                self._gallery.record(kept, connection)
        except LikenessError:
            self._gallery.forget(kept)
            raise
        return PhotosAdded(items=tuple(kept), refused=tuple(refused))

    def remove_photos(self, name: str, ids: Sequence[str]) -> int:
        """Move photos of a character to the trash; gives how many were moved. Raises NotFound."""
        own = {photo.id for photo in self.photos(name)}
        return self._gallery.trash([each for each in ids if each in own])

    def keep_evidence(self, name: str, filename: str, data: bytes) -> Character:
        """Keep the file that proves a consent, beside the character's photos. Raises NotFound, ConsentMissing, InvalidFieldValue."""
        character = self.character(name)
        if character.consent is None:
            raise ConsentMissing("There is no consent record yet.", field="consent", remedy="Fill it in first, then add the file.")
        suffix = Path(plain_name(filename)).suffix.lower()
        if suffix not in EVIDENCE:
            raise InvalidFieldValue(
                "This kind of file can't be kept as evidence.", field="file", remedy=f"Choose one of {', '.join(EVIDENCE)}."
            )
        try:
            write_atomically(self._evidence_folder(character) / f"evidence{suffix}", data, mode=0o600)
        except OSError as error:
            raise from_os_error(error, "keep the evidence") from error
        consent = character.consent.model_copy(update={"evidence": plain_name(filename)})
        return self._characters.change(character.id, CharacterChange.model_validate({"consent": consent}))

    def export_character(self, name: str) -> tuple[str, bytes]:
        """A character as one file: its name and its bytes. Raises NotFound."""
        character = self.character(name)
        photos = [(photo, self.settings.data / photo.path) for photo in self._gallery.photos(character.id)]
        photos = [(photo, path) for photo, path in photos if path.is_file()]
        lora = self.shelf.loras_folder / character.lora if character.lora else None
        evidence = next(iter(sorted(self._evidence_folder(character).glob("evidence.*"))), None)
        try:
            data = pack(character, photos, lora if lora and lora.is_file() else None, evidence)
        except OSError as error:
            raise from_os_error(error, "read the character's files") from error
        return f"{character.slug}.likeness.zip", data

    def import_character(self, data: bytes) -> Character:
        """Take in an exported character as a new one; a name that is taken gets a number. Raises ContractMismatch, FileTooLarge."""
        parcel = unpack(data)
        slug, trigger = self._characters.suggest(parcel.fields.slug or parcel.fields.name)
        wanted = parcel.fields.trigger_word
        taken = {each.trigger_word.casefold() for each in self.characters(None)}
        trigger = wanted if wanted and wanted.casefold() not in taken else trigger
        character = self.create_character(parcel.fields.model_copy(update={"slug": slug, "trigger_word": trigger}))
        try:
            added: tuple[Picture, ...] = ()
            if parcel.photos and not (character.kind.real and character.consent is None):
                added = self.add_photos(character.id, [(name, photo) for name, _, photo in parcel.photos]).items
            captions = {name: caption for name, caption, _ in parcel.photos if caption}
            for photo in added:
                if photo.name in captions:
                    self._gallery.set_caption(photo.id, captions[photo.name])
            change: dict[str, object] = {}
            if parcel.portrait is not None and len(added) == len(parcel.photos):
                change["portrait"] = added[parcel.portrait].id
            if parcel.lora:
                change["lora"] = self._keep_lora(character, parcel.lora)
            if parcel.evidence and character.consent:
                write_atomically(self._evidence_folder(character) / parcel.evidence[0], parcel.evidence[1], mode=0o600)
            return self._characters.change(character.id, CharacterChange.model_validate(change)) if change else character
        except (LikenessError, OSError) as error:
            # Half a character is none: what was made goes to the trash.
            self._characters.change(character.id, CharacterChange.model_validate({"status": CharacterStatus.trashed}))
            if isinstance(error, OSError):
                raise from_os_error(error, "import the character") from error
            raise

    def _keep_lora(self, character: Character, data: bytes) -> str:
        name = f"{character.slug}.safetensors"
        path = self.shelf.loras_folder / name
        if path.exists():
            name = f"{character.slug}-{character.id[-6:]}.safetensors"
            path = self.shelf.loras_folder / name
        write_atomically(path, data)
        try:
            read_lora(path)
        except LikenessError:
            path.unlink(missing_ok=True)
            raise
        return name

    def _evidence_folder(self, character: Character) -> Path:
        return self.settings.data / "consent" / character.id

    def _character_of(self, request: GenerateRequest) -> Character | None:
        if request.character is None:
            return None
        try:
            character = self.character(request.character)
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
        model = self.shelf.model(request.model or (character.model if character else None))
        if request.engine is not None and request.engine != model.engine:
            raise InvalidFieldValue(
                f"The engine “{request.engine}” can't run the model “{model.id}”.",
                field="engine",
                remedy=f"Choose the engine “{model.engine}”, or leave it open.",
            )
        return model

    @property
    def _wildcards(self) -> Path:
        return self.settings.data / "wildcards"

    def _preset_for(self, request: GenerateRequest, character: Character | None = None) -> Preset | None:
        wanted = request.preset or (character.preset if character else None)
        if wanted is None or wanted == NO_PRESET:
            return None
        try:
            return self.preset(wanted)
        except NotFound as error:
            known = ", ".join(preset.id for preset in self.preset_shelf.presets())
            raise InvalidFieldValue(f"There is no preset called “{wanted}”.", field="preset", remedy=f"Choose one of: {known}.") from error

    def _engine_states(self) -> tuple[EngineState, ...]:
        with self.database.read() as connection:
            rows = connection.execute(sa.select(engine_states).order_by(engine_states.c.name)).all()
        return tuple(EngineState.model_validate_json(row.body).model_copy(update={"updated_at": _utc(row.updated_at)}) for row in rows)


def _worker_words(worker: EngineState | None) -> str:
    if worker is None or worker.updated_at is None:
        return "starting"
    return "running" if time.time() - worker.updated_at.timestamp() < WORKER_SILENT_S else "down"


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
