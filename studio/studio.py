"""Studio: the verbs that the page, the API and the command line call. Each is quick; long work becomes a job."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Unpack

import sqlalchemy as sa

from studio import VERSION, metadata
from studio.analytics import Analytics, analyse
from studio.bell import Bell
from studio.captionings import Captionings
from studio.casting import Casting
from studio.characters import Characters, Counts, Template, load_templates
from studio.comparing import Comparing
from studio.contracts import (
    Character,
    CharacterChange,
    CharacterFields,
    CharacterStatus,
    Composed,
    EngineState,
    Facets,
    GenerateRequest,
    Health,
    Inventory,
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
    PresetChoice,
    Sampling,
    Submitted,
    new_id,
)
from studio.dataset_check import DatasetCheck, Preflight
from studio.datasets import Datasets
from studio.db import INVENTORY, Database, characters, engine_states
from studio.doctor import gpu_available
from studio.elsewhere import Elsewhere
from studio.enlarging import Enlarging
from studio.errors import LikenessError, NotFound
from studio.gallery import Filters, Gallery
from studio.jobs import Jobs
from studio.keeping import Keeping
from studio.logs import job_folder, read_job_log
from studio.managed import Engines
from studio.meters import Meters, System
from studio.models import resolve_model
from studio.node_files import node_files
from studio.orders import Orders
from studio.parcel import pack as pack_pictures
from studio.presets import runs_on
from studio.remote import Remote, WorkflowShelf
from studio.settings import Settings
from studio.setup import AT_ONCE, Value, change_settings, fixed_by
from studio.sheets import Sheets
from studio.shelf import ModelShelf, PresetShelf, find_classifier
from studio.training_offers import NO_TOOLKIT, Toolkit
from studio.trainings import Trainings
from studio.variants import Variants
from studio.workshop import ExportForm, ImportChoices, Inspected, WorkflowChange, WorkflowView, Workshop

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
WORKER_SILENT_S = 20.0


class Studio:
    """One studio over one data root. Thread-safe; holds no state but its connections."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        shelf: ModelShelf,
        preset_shelf: PresetShelf,
        workflow_shelf: WorkflowShelf,
        toolkit: Toolkit = NO_TOOLKIT,
    ) -> None:
        """`toolkit` is what AI-Toolkit is asked before it trains."""
        self.settings = settings
        self.database = database
        self.shelf = shelf
        self.preset_shelf = preset_shelf
        self.meters = Meters()
        self._jobs = Jobs(database, ring=Bell(settings.data).ring)
        self._gallery = Gallery(database, settings.data)
        self._characters = Characters(database)
        self._remote = Remote(database, workflow_shelf, node_files(settings.data))
        self._workshop = Workshop(self._remote)
        self._orders = Orders(settings, shelf, preset_shelf, self._characters, self._gallery, self._remote)
        self.sheets = Sheets(settings, self._characters, self._gallery, self._jobs, self._orders, self._workshop)
        self.datasets = Datasets(database, settings, self._gallery, self._characters)
        self._casting = Casting(settings, shelf, self._characters, self._gallery, self.datasets)
        self.dataset_check = DatasetCheck(self.datasets)
        self.trainings = Trainings(
            settings, self._characters, self._gallery, self._jobs, self._orders, shelf, self.datasets, toolkit, self.meters
        )
        self.elsewhere = Elsewhere(self._jobs, self._orders, self._remote)
        self.captionings = Captionings(settings, self._characters, self._gallery, self._jobs, self._orders, self.datasets)
        self.keeping = Keeping(self._characters, shelf, self.trainings)
        self.comparing = Comparing(self.trainings, self._jobs, self._orders)
        self.variants = Variants(self._characters, self._gallery, self._jobs, self._orders, shelf, self.trainings)
        self.engines = Engines(settings, self.health, self.inventory, self.change_settings, fixed_by, self.trainings.is_running_with)
        self.enlarging = Enlarging(self._characters, self._gallery, self._jobs, self._orders, self._remote, self._workshop)

    def check_training(self, character: str, *, dataset: str | None = None, resolution: int | None = None) -> Preflight:
        """What is good and what is missing in what a training of somebody would learn from, as `DatasetCheck.check` says it.

        Raises NotFound for a character or a dataset that is not there.
        """
        somebody = self._characters.character(character)
        found = dataset or self.trainings.usual_dataset(somebody)
        if found:
            return self.dataset_check.check(found, resolution=resolution)
        return self.dataset_check.check_photos(somebody, self._gallery.photos(somebody.id), resolution=resolution)

    # Jobs

    def generate(self, request: GenerateRequest, *, correlation_id: str = "", first: bool = False) -> Submitted:
        """Accept a request: checked, composed, and on disk as a queued job when this returns.

        `first` puts it before everything else in the queue. Raises SafetyFilter, InvalidFieldValue, ModelInvalid, LoraMismatch,
        DiskFull … and then leaves nothing behind.
        """
        work = self._orders.work(request)
        self._orders.check_space()
        batch_id, job_ids = self._jobs.submit(JobKind.generate, work, correlation_id=correlation_id or new_id(), first=first)
        return Submitted(job_id=job_ids[0], job_ids=job_ids, batch_id=batch_id)

    def compose(self, request: GenerateRequest) -> Composed:
        """What a request would make, without making it. Raises as `generate` does, but for safety and consent."""
        return self._orders.compose(request)

    def classifier(self) -> Path | None:
        """The folder of the image classifier that looks at edits of real people's photos; None when there is none."""
        return find_classifier(self.settings.data)

    def job(self, job_id: str) -> Job:
        """One job. Raises NotFound."""
        return self._jobs.job(job_id)

    def jobs(
        self,
        *,
        states: Sequence[JobState] = (),
        batch_id: str | None = None,
        character: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Job]:
        """Jobs, newest first. `character` is an id or a slug. Raises NotFound for one that is nobody's."""
        character_id = self.character(character).id if character else None
        return self._jobs.jobs(states=states, batch_id=batch_id, character_id=character_id, limit=limit, cursor=cursor)

    def changes(self, since: float, *, also: Collection[str] = ()) -> tuple[Job, ...]:
        """Jobs that changed at or after a Unix time, those that run and the `also` named ones, in order: for the event stream."""
        return self._jobs.changes(since, also=also)

    def library_version(self) -> int:
        """A number that grows whenever pictures come, go, or move to or from the trash."""
        return self._gallery.version()

    def stock(self) -> int:
        """Another number whenever ComfyUI's servers came or went, or have other models or nodes than before; cheap to ask."""
        return self._remote.stock()

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
        """Start a failed, cancelled or poisoned job again with the same recipe. Raises Conflict otherwise.

        Captions go on with those that are missing, also where the job is done and some failed.
        """
        if self._jobs.job(job_id).kind is JobKind.caption:
            return self.captionings.retry(job_id)
        return self._jobs.retry(job_id)

    def move(self, job_id: str, to: Literal["first", "last"]) -> Job:
        """Move a queued job to the front or the end. Raises Conflict when it is not queued."""
        return self._jobs.move(job_id, to)

    def artifacts(self, job_id: str) -> tuple[Picture, ...]:
        """The pictures a job made so far. Raises NotFound."""
        self._jobs.job(job_id)
        return self._gallery.of_job(job_id)

    def job_log(self, job_id: str, *, level: str = "DEBUG", last: int | None = None) -> tuple[dict[str, object], ...]:
        """What was logged while a job ran, from this level up; with `last` the newest so many lines. Raises NotFound."""
        self._jobs.job(job_id)
        return read_job_log(self.settings.data, job_id, level, last=last)

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
        """What pictures can be found by: the characters, presets, styles, categories and months that occur, with their numbers."""
        found = self._gallery.facets(kind=kind, trashed=trashed)
        names = {preset.id: preset.name for preset in self.preset_shelf.presets()}
        named = {
            kind: tuple(facet.model_copy(update={"name": names.get(facet.id, facet.id)}) for facet in getattr(found, kind))
            for kind in ("presets", "styles")
        }
        return found.model_copy(update=named)

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
            known = connection.execute(sa.select(characters.c.id, characters.c.name, characters.c.trigger_word)).all()
        names, triggers = {row.id: row.name for row in known}, {row.id: row.trigger_word for row in known}
        return pack_pictures(itertools.chain([first], found), self.settings.data, names, triggers)

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
        """Delete what is in the trash for good, with deleted LoRAs and datasets; gives how many pictures of the library that were."""
        self.datasets.empty_trash()
        self.keeping.empty_trash()
        return self._gallery.empty_trash()

    def upload(self, data: bytes, name: str = "", *, kind: PictureKind = PictureKind.upload, category: str = "") -> Picture:
        """Take in a picture from outside. Raises ImageInvalid or FileTooLarge and then keeps nothing."""
        return self._gallery.upload(data, name, kind=kind, category=category, max_megapixels=self.settings.max_upload_megapixels)

    # What there is

    def presets(self, *, category: str | None = None, engine: str | None = None, model: str | None = None) -> tuple[PresetChoice, ...]:
        """Presets, in the order of their files. With a model each says whether it runs with it.

        Raises InvalidFieldValue for an unknown model.
        """
        spec = resolve_model(model, self.models()) if model else None
        return tuple(
            self._orders.choice(preset, spec)
            for preset in self.preset_shelf.presets()
            if (category is None or preset.category == category) and (engine is None or runs_on(preset, engine))
        )

    def preset(self, preset_id: str, *, model: str | None = None) -> PresetChoice:
        """One preset. Raises NotFound, and InvalidFieldValue for an unknown model."""
        spec = resolve_model(model, self.models()) if model else None
        for preset in self.preset_shelf.presets():
            if preset.id == preset_id:
                return self._orders.choice(preset, spec)
        raise NotFound(f"There is no preset {preset_id!r}.", remedy="GET /api/v1/presets lists them.")

    def models(self) -> tuple[ModelSpec, ...]:
        """Models, those that come with Likeness first, then those on this computer, then those on servers as last seen."""
        return self._orders.models()

    def sampling(self, model: str | None = None, workflow: str | None = None) -> Sampling:
        """The samplers and schedulers that can be chosen with a model or a workflow: the embedded engine's, or what the servers have.

        Raises InvalidFieldValue where there is none of that name.
        """
        return self._orders.sampling(model, workflow)

    def loras(self) -> tuple[LoraSpec, ...]:
        """LoRAs on this computer, then those on servers as last seen."""
        return (*self.shelf.loras(), *self._remote.loras())

    def workflows(self) -> tuple[WorkflowView, ...]:
        """Workflows by name, those that run on the servers first: those that come with Likeness and a person's own."""
        return self._workshop.views()

    def workflow(self, name: str) -> WorkflowView:
        """One workflow by its id or name, and what the servers lack for it. Raises NotFound."""
        return self._workshop.view(name)

    def workflow_model(self, name: str, values: Mapping[str, str | bool | int | float]) -> ModelSpec:
        """What a workflow draws with, and the sizes it wants. Raises InvalidFieldValue for one that is not there."""
        return self._remote.model_of(self._remote.named(name), values)

    def inspect_workflow(self, data: bytes, filename: str = "") -> Inspected:
        """What could be set in a graph, before it is taken in.

        Raises ContractMismatch, FileTooLarge, InvalidFieldValue, and SafetyFilter for one that swaps faces.
        """
        return self._workshop.inspect(data, filename)

    def import_workflow(self, data: bytes, choices: ImportChoices, filename: str = "") -> WorkflowView:
        """Keep a graph as a workflow of one's own. Raises as `inspect_workflow` does, SafetyFilter for a text that crosses a line,
        NotFound for an input that is not there, DiskFull, DataRootReadOnly.
        """
        return self._workshop.take_in(data, choices, filename)

    def export_workflow(self, name: str, form: ExportForm = ExportForm.likeness) -> tuple[str, bytes]:
        """A workflow as one JSON file that can be imported again, or as ComfyUI opens it: its name and its bytes. Raises NotFound."""
        return self._workshop.export(name, form)

    def change_workflow(self, name: str, change: WorkflowChange) -> WorkflowView:
        """Change the words of a workflow of one's own. Raises NotFound, InvalidFieldValue, and Conflict for one that comes along."""
        return self._workshop.change(name, change)

    def delete_workflow(self, name: str) -> WorkflowView:
        """Move a workflow of one's own to the trash. Raises NotFound, and Conflict for one that comes along."""
        return self._workshop.delete(name)

    def restore_workflow(self, name: str) -> WorkflowView:
        """Bring a deleted workflow back by its id. Raises NotFound, and Conflict where its id was taken since."""
        return self._workshop.restore(name)

    def inventory(self) -> Inventory:
        """What ComfyUI's servers have, as the worker last saw them."""
        return self._remote.inventory()

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

    def system(self, *, wait_s: float = 0.0) -> System:
        """How busy the computer is; what is not read yet after so many seconds is None."""
        return self.meters.now(wait_s)

    def change_settings(self, changes: Mapping[str, Value]) -> Settings:
        """Keep changed settings, all or none; what needs no new start applies now. Gives what the next start will find.

        Raises Conflict for what the environment fixes, and what names a value that can't work.
        """
        found = change_settings(self.settings, changes)
        self.settings = self.settings.model_copy(update={name: getattr(found, name) for name in AT_ONCE})
        return found

    def ready(self) -> bool:
        """True when a job that is sent now would start: the database answers and a worker runs."""
        health = self.health()
        return health.ok and health.worker == "running"

    def warm_up(self, page_open: threading.Event) -> None:
        """Do soon what the first click would have to wait for, but not while the first sight of the page is being made.

        `page_open` is set once a page is there and listens for news.
        """
        time.sleep(1)
        self._jobs.warm_up()
        self.shelf.models()
        self.preset_shelf.presets()
        # Reading the rules takes a second, in which each answer of the page would wait many times for its turn.
        page_open.wait(4)
        with thread_switches_every(0.0005):
            from studio import safety

            safety.check(["a first prompt"])

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
        if change.variants is not None:
            self.variants.check(name, change.variants)
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
        return self._casting.add_photos(self.character(name), files)

    def remove_photos(self, name: str, ids: Sequence[str]) -> int:
        """Move photos of a character to the trash; gives how many were moved. Raises NotFound."""
        own = {photo.id for photo in self.photos(name)}
        return self._gallery.trash([each for each in ids if each in own])

    def keep_evidence(self, name: str, filename: str, data: bytes) -> Character:
        """Keep the file that proves a consent, beside the character's photos. Raises NotFound, ConsentMissing, InvalidFieldValue."""
        return self._casting.keep_evidence(self.character(name), filename, data)

    def export_character(self, name: str) -> tuple[str, bytes]:
        """A character as one file: its name and its bytes. Raises NotFound."""
        return self._casting.export(self.character(name))

    def import_character(self, data: bytes) -> Character:
        """Take in an exported character as a new one; a name that is taken gets a number. Raises ContractMismatch, FileTooLarge."""
        return self._casting.take_in(data)

    def _engine_states(self) -> tuple[EngineState, ...]:
        with self.database.read() as connection:
            told = sa.select(engine_states).where(~engine_states.c.name.startswith(INVENTORY)).order_by(engine_states.c.name)
            rows = connection.execute(told).all()
        return tuple(EngineState.model_validate_json(row.body).model_copy(update={"updated_at": _utc(row.updated_at)}) for row in rows)


def _worker_words(worker: EngineState | None) -> str:
    if worker is None or worker.updated_at is None:
        return "starting"
    return "running" if time.time() - worker.updated_at.timestamp() < WORKER_SILENT_S else "down"


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@contextmanager
def thread_switches_every(seconds: float) -> Iterator[None]:
    """Let Python's threads take turns this often (its own 5 ms unless said): long work here then holds up answers less."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
