"""Trainings: what can be trained and how long it takes, order one, follow it, stop it, let it go on, and take the LoRA that came of it."""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from pydantic import Field

from studio import training
from studio.characters import Characters, check_consent
from studio.contracts import (
    MAX_SEED,
    Character,
    CharacterChange,
    CharacterStatus,
    Contract,
    Family,
    Job,
    JobKind,
    JobState,
    ModelSpec,
    Problem,
    TrainRequest,
)
from studio.curve import Curves, Point
from studio.datasets import Datasets
from studio.db import jobs as job_table
from studio.db import lora_versions, trainings
from studio.errors import (
    Conflict,
    DependencyMissing,
    InvalidFieldValue,
    LikenessError,
    NotFound,
    from_os_error,
)
from studio.files import write_atomically
from studio.gallery import Gallery
from studio.jobs import Jobs, Work
from studio.judging import Judgement, read_judgement
from studio.managed import has_toolkit
from studio.meters import Meters
from studio.orders import Orders
from studio.remote import COMFYUI
from studio.settings import Settings, reread
from studio.shelf import ModelShelf
from studio.training import Ask, TrainingPicture, TrainRecipe
from studio.training_offers import EMBEDDED, TOOLKIT, Toolkit, ToolkitOffer, TrainChoice, TrainOffers, TrainPlan, training_folder
from studio.training_presets import TrainPreset, presets, recipe_for, toolkit_recipe_for

log = logging.getLogger(__name__)

TRAINABLE = (Family.starter, Family.sd15, Family.sd2, Family.sdxl)
FEWEST = 2  # one alone teaches a picture, not a person


class TrainOffer(Contract):
    """What somebody can choose who wants to train: presets for a model, the models, and what stands in the way or should be known."""

    character: str
    model: str
    models: tuple[ModelSpec, ...]
    presets: tuple[TrainChoice, ...]
    toolkit: tuple[ToolkitOffer, ...] = Field(description="What AI-Toolkit trains, where it is set up; a request's `model` is one's `arch`")
    pictures: int
    learned: str = Field(description="Another one whenever what would be learned from has changed")
    card_gb: float | None = Field(description="Memory of NVIDIA's largest card here; 0: there is none, null: not known yet")
    obstacles: tuple[Problem, ...]


class Kept(Contract):
    """A checkpoint that can be chosen. `version` is that of the character's LoRA which it has become."""

    step: int
    bytes: int
    version: int | None


class Drawn(Contract):
    """A sample that was drawn on the way."""

    step: int
    number: int
    prompt: str


class LoraVersion(Contract):
    """A LoRA of a character, by number. `path` is its name in the LoRA folder; `used` says whether the character has it now.

    `lacks` is what must be there first, told when it was to be used and no known model draws with it.
    """

    character: str
    version: int
    path: str
    training: str
    step: int
    sha256: str
    created_at: datetime
    used: bool
    there: bool = Field(description="False where its file was taken away")
    trashed: bool = Field(default=False, description="True where it was moved to the trash")
    lacks: str = ""


class Training(Contract):
    """A run as it stands: its job, what it learns from, how the loss went, what it drew and what it keeps.

    `points` are the whole curve of the loss where `since` is 0, otherwise what follows on that step. `curve` is to be given back with
    the step of a point, to be told only what came after it.
    """

    job: Job
    character: str
    name: str
    plan: TrainPlan
    pictures: int
    dataset: str
    dataset_name: str = Field(description="As it is called today; empty where it was deleted")
    dataset_version: int
    stopping: bool
    points: tuple[Point, ...]
    curve: str
    since: int
    samples: tuple[Drawn, ...]
    checkpoints: tuple[Kept, ...]
    judgement: Judgement | None
    drawable: bool = Field(description="Its model lies on this computer, so that more can be drawn to judge its checkpoints by")


class TrainingLine(Contract):
    """A run in a list. `loss` is the mean of its newest steps."""

    job: Job
    character: str
    name: str
    lora: str
    model: str
    preset: str
    loss: float | None
    checkpoints: int


@dataclass(frozen=True)
class Learned:
    """What a training learns from, as it was when it was asked for: files under the data folder, their words and their hashes."""

    dataset: str
    version: int
    pictures: tuple[tuple[str, str, str], ...]


class Trainings:
    """The trainings of one studio."""

    def __init__(
        self,
        settings: Settings,
        characters: Characters,
        gallery: Gallery,
        jobs: Jobs,
        orders: Orders,
        shelf: ModelShelf,
        datasets: Datasets,
        toolkit: Toolkit,
        meters: Meters,
    ) -> None:
        """`toolkit` is what AI-Toolkit is asked before it trains."""
        self.settings = settings
        self._offers = TrainOffers(settings, jobs.database, meters, toolkit)
        self._toolkit = toolkit
        self._datasets = datasets
        self.database = jobs.database
        self._characters = characters
        self._gallery = gallery
        self._jobs = jobs
        self._orders = orders
        self._shelf = shelf
        self._curves = Curves()

    # Before

    def offer(self, character: str, *, model: str | None = None, dataset: str | None = None) -> TrainOffer:
        """What a character could be trained with. Raises NotFound, InvalidFieldValue for a model that can't be trained."""
        somebody = self._characters.character(character)
        can = self._trainable()
        spec = self._model(model, somebody)
        count = self._count(somebody, dataset)
        wanted = [(one, TrainRequest.model_validate({"character": somebody.id, "preset": one.id})) for one in presets()]
        sizes, before = self._sizes(somebody, dataset), self._offers.earlier()

        def choice(preset: TrainPreset, engine: str, recipe: TrainRecipe, model: Path) -> TrainChoice:
            return self._offers.choice(preset, engine, recipe, model, sizes, before)

        choices = [
            choice(one, EMBEDDED, recipe_for(request, somebody.trigger_word, spec, seed=0, looks=somebody.appearance), Path(spec.path))
            for one, request in wanted
            if spec.family in one.families
        ]
        arches = self._toolkit.arches() if has_toolkit(reread(self.settings)) else ()
        toolkit = [
            ToolkitOffer(
                **arch.model_dump(),
                presets=tuple(
                    choice(
                        one,
                        TOOLKIT,
                        toolkit_recipe_for(request.model_copy(update={"model": arch.arch}), somebody.trigger_word, None, [arch], seed=0),
                        Path(arch.repo),
                    )
                    for one, request in wanted
                ),
            )
            for arch in arches
        ]
        return TrainOffer(
            character=somebody.id,
            model=spec.id,
            models=can,
            presets=tuple(choices),
            toolkit=tuple(toolkit),
            pictures=count,
            learned=self._fingerprint(somebody, dataset),
            card_gb=self._offers.card_gb,
            obstacles=tuple(self._obstacles(somebody, count)),
        )

    def order(self, request: TrainRequest, *, correlation_id: str) -> Job:
        """Accept a training: checked, and on disk as a queued job when this returns.

        Raises ConsentMissing, SafetyFilter, InvalidFieldValue, NotFound, ModelInvalid, ModelGated, DependencyMissing, OutOfMemory,
        DiskFull …, and then leaves nothing behind.
        """
        somebody = self._characters.character(request.character)
        if somebody.status is CharacterStatus.trashed:
            raise InvalidFieldValue(f"{somebody.name} is in the trash.", field="character", remedy="Take it out of the trash first.")
        if somebody.kind.real:
            check_consent(somebody.consent, somebody.name)
        seed = secrets.randbelow(MAX_SEED + 1) if request.seed < 0 else request.seed
        engine = request.engine or EMBEDDED
        if engine == TOOLKIT:
            if not has_toolkit(reread(self.settings)):
                raise DependencyMissing("There is no AI-Toolkit yet.", remedy="Install it on the Setup tab, or use the embedded trainer.")
            local = next((spec for spec in self._shelf.models() if spec.id == request.model), None)
            recipe = toolkit_recipe_for(request, somebody.trigger_word, local, self._toolkit.arches(), seed=seed)
            model = Path(local.path if local else recipe.model)
        elif engine == EMBEDDED:
            spec = self._model(request.model, somebody)
            recipe = recipe_for(request, somebody.trigger_word, spec, seed=seed, looks=somebody.appearance)
            self._shelf.check(spec, [])
            model = Path(spec.path)
        else:
            raise InvalidFieldValue(f"There is no trainer called “{engine}”.", field="engine", remedy=f"Use “{EMBEDDED}” or “{TOOLKIT}”.")
        count = self._count(somebody, request.dataset)
        if count < FEWEST:
            raise InvalidFieldValue(_too_few(count, somebody), field="dataset", remedy="Add photos: ten or more are good.")
        from studio import safety  # reading its rules takes a second, which the page must not wait for

        for text in (*recipe.samples, *((recipe.prior_prompt,) if recipe.prior_weight else ())):
            safety.check([text])
        self._orders.check_space()
        self._offers.check(engine, recipe, model, self._sizes(somebody, request.dataset))
        learned = self._learned(somebody, request.dataset)
        plan = TrainPlan(engine=engine, character=somebody.id, lora=request.name or somebody.name, recipe=recipe)

        def also(connection: sa.Connection, _batch: str, job_ids: tuple[str, ...]) -> None:
            values = {
                "job_id": job_ids[0],
                "character_id": somebody.id,
                "dataset_id": learned.dataset,
                "dataset_version": learned.version,
                "pictures": json.dumps(learned.pictures),
                "asked": "",
                "created_at": time.time(),
            }
            connection.execute(sa.insert(trainings).values(values))

        work = Work(request.model_copy(update={"character": somebody.id}), plan, plan.engine, recipe.steps, somebody.id)
        _, (job_id,) = self._jobs.submit_work(JobKind.train, [work], correlation_id=correlation_id, also=also)
        return self._jobs.job(job_id)

    # While it runs

    def job(self, job_id: str) -> Job:
        """The job of one run. Raises NotFound for one that trains nothing."""
        return self._found(job_id)[1]

    def trainings(self, character: str | None = None, *, limit: int = 50) -> tuple[TrainingLine, ...]:
        """Runs, newest first. Raises NotFound for a character that is nobody."""
        wanted = sa.select(trainings.c.job_id).order_by(trainings.c.created_at.desc(), trainings.c.job_id.desc()).limit(limit)
        if character is not None:
            wanted = wanted.where(trainings.c.character_id == self._characters.character(character).id)
        with self.database.read() as connection:
            found = connection.execute(wanted).scalars().all()
        names = {each.id: each.name for each in self._characters.characters(None)}
        return tuple(self._line(job_id, names) for job_id in found)

    def is_running_with(self, engine: str) -> bool:
        """Whether a training runs with an engine."""
        running = (job_table.c.kind == JobKind.train.value, job_table.c.state == JobState.running.value)
        wanted = sa.select(job_table.c.recipe).where(*running)
        with self.database.read() as connection:
            return any(json.loads(recipe)["engine"] == engine for recipe in connection.execute(wanted).scalars())

    def training(self, job_id: str, *, since: int = 0, curve: str = "") -> Training:
        """One run with everything that is known of it; of the curve what follows on step `since`, where it is `curve` still.

        Raises NotFound.
        """
        row, job, plan = self._found(job_id)
        folder = self.folder(job_id)
        known = self._curves.of(folder).points(since, curve)
        versions = self._versions_of_run(job_id)
        kept = [Kept(step=one.step, bytes=one.lora.stat().st_size, version=versions.get(one.step)) for one in training.checkpoints(folder)]
        drawn: list[Drawn] = []
        for path in sorted((folder / "samples").glob("[0-9]*-[0-9]*.png")):
            step, number = (int(part) for part in path.stem.split("-"))
            if number < len(plan.recipe.samples):
                drawn.append(Drawn(step=step, number=number, prompt=plan.recipe.samples[number]))
        return Training(
            job=job,
            character=row["character_id"],
            name=self.name_of(row["character_id"]),
            plan=plan,
            pictures=len(json.loads(row["pictures"])),
            dataset=row["dataset_id"],
            dataset_name=self._dataset_name(row["dataset_id"]),
            dataset_version=row["dataset_version"],
            stopping=row["asked"] == "stop" and job.state is JobState.running,
            points=known.points,
            curve=known.curve,
            since=known.since,
            samples=tuple(drawn),
            checkpoints=tuple(kept),
            judgement=read_judgement(folder),
            drawable=self._is_here(plan),
        )

    def stop(self, job_id: str) -> Job:
        """Let a run save what it learned and pause; one that waits is paused at once. Raises NotFound, Conflict."""
        self._found(job_id)
        now = time.time()
        mine = sa.update(job_table).where(job_table.c.id == job_id)
        with self.database.begin() as connection:
            waiting = mine.where(job_table.c.state == JobState.queued.value)
            paused = connection.execute(waiting.values(state=JobState.paused.value, changed_at=now, note="")).rowcount
            running = mine.where(job_table.c.state == JobState.running.value)
            asked = connection.execute(running.values(cancel_requested=True, changed_at=now)).rowcount
            if asked:
                connection.execute(sa.update(trainings).where(trainings.c.job_id == job_id).values(asked="stop"))
        if not paused and not asked:
            raise Conflict("This training does not run.", remedy="Resume it, or begin a new one.")
        return self._jobs.job(job_id)

    def resume(self, job_id: str) -> Job:
        """Let a run go on after its newest checkpoint.

        Raises NotFound, Conflict, ConsentMissing, InvalidFieldValue for a model that is gone, ModelInvalid.
        """
        row, job, plan = self._found(job_id)
        if job.state is JobState.done:
            raise Conflict("This training is done.", remedy="Choose one of its checkpoints, or begin a new training.")
        somebody = self._characters.character(row["character_id"])
        if somebody.kind.real:
            check_consent(somebody.consent, somebody.name)
        if plan.engine == EMBEDDED:
            self._shelf.check(self._model(plan.recipe.model, somebody), [])
        with self.database.begin() as connection:
            connection.execute(sa.update(trainings).where(trainings.c.job_id == job_id).values(asked=""))
        return self._jobs.resume(job_id)

    def judge(self, job_id: str) -> Job:
        """Have the checkpoints judged that were not judged yet, of a run that was stopped, failed or whose judging was stopped.

        It learns nothing meanwhile, and is as it was before afterwards: paused, or done. Raises NotFound, Conflict where there is nothing
        to judge or no model here to draw with, ConsentMissing.
        """
        row, job, plan = self._found(job_id)
        if job.state in (JobState.queued, JobState.running):
            raise Conflict("This training runs.", remedy="Its checkpoints are judged when it has learned; or stop it first.")
        folder = self.folder(job_id)
        judged = read_judgement(folder)
        # Looked at in passing is not judged: more can be drawn of it.
        known = {verdict.step for verdict in judged.verdicts} if judged and not judged.by_samples else set[int]()
        if not [one for one in training.checkpoints(folder) if one.step not in known]:
            raise Conflict("There is no checkpoint that was not judged.", remedy="Train on, and judge what comes then.")
        if not self._is_here(plan):
            told = f"The model “{plan.recipe.model}” does not lie on this computer, so nothing can be drawn with it here."
            raise Conflict(told, remedy="Use a checkpoint, and look at what ComfyUI draws with it.")
        somebody = self._characters.character(row["character_id"])
        if somebody.kind.real:
            check_consent(somebody.consent, somebody.name)
        after = JobState.done if job.state is JobState.done else JobState.paused

        def also(connection: sa.Connection) -> None:
            connection.execute(sa.update(trainings).where(trainings.c.job_id == job_id).values(asked=f"{training.JUDGE} {after.value}"))

        return self._jobs.look_again(job_id, also)

    def ask(self, job_id: str, what: Ask) -> Job:
        """Want a checkpoint or samples now, after the step that is being learned. Raises NotFound, Conflict when it does not run."""
        _, job, _ = self._found(job_id)
        if job.state is not JobState.running:
            raise Conflict("This training does not run.", remedy="Resume it first.")
        try:
            training.ask(self.folder(job_id), what)
        except OSError as error:
            raise from_os_error(error, "ask the training") from error
        return job

    def sample(self, job_id: str, name: str) -> Path:
        """The file of a sample or of a judged picture, as in `000050-0.png`. Raises NotFound."""
        self._found(job_id)
        folder = self.folder(job_id)
        for part in ("samples", "grid"):
            path = folder / part / name
            if path.parent == folder / part and path.is_file():
                return path
        raise NotFound("There is no such picture of this training.", remedy="Load the training again.")

    # After

    def pick(self, job_id: str, step: int | None = None) -> LoraVersion:
        """Make a checkpoint the character's LoRA; without a step the proposed one, or the newest. Older versions stay.

        Raises NotFound, Conflict while there is none, DiskFull.
        """
        row, _, plan = self._found(job_id)
        folder = self.folder(job_id)
        kept = {one.step: one for one in training.checkpoints(folder)}
        if not kept:
            raise Conflict("Nothing is saved of this training yet.", remedy="Wait for its first checkpoint, or press “Save now”.")
        if step is None:
            judged = read_judgement(folder)
            step = judged.proposed if judged is not None and judged.proposed in kept else max(kept)
        if step not in kept:
            raise NotFound(f"There is no checkpoint after {step} steps.", remedy=f"There are: {', '.join(map(str, kept))}.")
        somebody = self._characters.character(row["character_id"])
        known = {one.step: one for one in self.versions(somebody.id) if one.training == job_id and one.there}
        if step not in known:
            known[step] = self._keep(somebody, job_id, step, kept[step].lora)
        version = known[step]
        return self._put_on(somebody, version, plan)

    def _is_here(self, plan: TrainPlan) -> bool:
        return plan.recipe.model in {spec.id for spec in self._shelf.models()}

    def _put_on(self, somebody: Character, version: LoraVersion, plan: TrainPlan) -> LoraVersion:
        """Make a version the character's LoRA, with the model that it was learned with, or one of the servers' that draws with it."""
        learned_with = plan.recipe.model
        if self._is_here(plan):
            change = {"lora": version.path, "model": learned_with}
        else:
            wanted = plan.recipe.toolkit.arch if plan.recipe.toolkit else ""
            arch = next((one for one in self._toolkit.arches() if one.arch == wanted), None)
            fit = next((spec for spec in self._orders.models() if arch and spec.engine == COMFYUI and spec.family in arch.draws), None)
            chosen = (somebody.model or "").startswith(f"{COMFYUI}/")
            if fit is None and not chosen:
                told = f"It draws with {arch.title if arch else learned_with}, and no such model is known here."
                return version.model_copy(
                    update={"used": False, "lacks": f"{told} Connect a ComfyUI that has one on the Setup tab, and use it then."}
                )
            change = {"lora": version.path} | ({} if fit is None or chosen else {"model": fit.id})
        self._characters.change(somebody.id, CharacterChange.model_validate(change))
        return version.model_copy(update={"used": True})

    def versions(self, character: str | None = None) -> tuple[LoraVersion, ...]:
        """The LoRAs that became a character's, newest first. Raises NotFound."""
        wanted = sa.select(lora_versions).order_by(lora_versions.c.created_at.desc(), lora_versions.c.version.desc())
        if character is not None:
            wanted = wanted.where(lora_versions.c.character_id == self._characters.character(character).id)
        with self.database.read() as connection:
            rows = connection.execute(wanted).mappings().all()
        used = {(each.id, each.lora) for each in self._characters.characters(None)}
        return tuple(
            LoraVersion(
                character=row["character_id"],
                version=row["version"],
                path=row["path"],
                training=row["job_id"],
                step=row["step"],
                sha256=row["sha256"],
                created_at=datetime.fromtimestamp(row["created_at"], UTC),
                used=(row["character_id"], row["path"]) in used,
                there=(self._shelf.loras_folder / row["path"]).is_file(),
                trashed=self._shelf.trashed_lora(row["path"]).is_file(),
            )
            for row in rows
        )

    def use(self, path: str) -> LoraVersion:
        """Make an older version the character's LoRA again. Raises NotFound."""
        found = self.version(path)
        if not found.there:
            raise NotFound(f"The file of {path} was taken away.", remedy="Put it back into the LoRA folder, or choose another version.")
        try:
            plan = self._found(found.training)[2]
        except NotFound:
            self._characters.change(found.character, CharacterChange.model_validate({"lora": path}))
            return found.model_copy(update={"used": True})
        return self._put_on(self._characters.character(found.character), found, plan)

    def version(self, path: str) -> LoraVersion:
        """One version by its name in the LoRA folder. Raises NotFound."""
        found = next((one for one in self.versions() if one.path == path), None)
        if found is None:
            raise NotFound(f"There is no version of a LoRA called {path!r}.", remedy="GET /api/v1/loras/versions lists them.")
        return found

    def folder(self, job_id: str) -> Path:
        """Where a run keeps what it learned."""
        return training_folder(self.settings.data, job_id)

    def name_of(self, character_id: str) -> str:
        """What a character is called; empty where there is none."""
        try:
            return self._characters.character(character_id).name
        except NotFound:
            return ""

    # Below

    def _found(self, job_id: str) -> tuple[sa.RowMapping, Job, TrainPlan]:
        with self.database.read() as connection:
            row = connection.execute(sa.select(trainings).where(trainings.c.job_id == job_id)).mappings().first()
            plan = connection.execute(sa.select(job_table.c.recipe).where(job_table.c.id == job_id)).scalar()
        if row is None or plan is None:
            raise NotFound(f"There is no training {job_id!r}.", remedy="GET /api/v1/training lists them.")
        return row, self._jobs.job(job_id), TrainPlan.model_validate_json(plan)

    def _line(self, job_id: str, names: Mapping[str, str]) -> TrainingLine:
        row, job, plan = self._found(job_id)
        folder = self.folder(job_id)
        return TrainingLine(
            job=job,
            character=row["character_id"],
            name=names.get(row["character_id"], ""),
            lora=plan.lora,
            model=plan.recipe.model,
            preset=job.training.preset if job.training else "",
            loss=training.last_loss(folder),
            checkpoints=len(training.checkpoints(folder)),
        )

    def _trainable(self) -> tuple[ModelSpec, ...]:
        return tuple(spec for spec in self._shelf.models() if spec.family in TRAINABLE)

    def _model(self, wanted: str | None, somebody: Character) -> ModelSpec:
        can = self._trainable()
        if wanted is None:
            own = next((spec for spec in can if spec.id == somebody.model), None)
            return own or can[0]
        spec = self._shelf.model(wanted)
        if spec not in can:
            raise InvalidFieldValue(
                f"{spec.name} can't be trained here.", field="model", remedy=f"Choose one of: {', '.join(one.id for one in can)}."
            )
        return spec

    def _learned(self, somebody: Character, dataset: str | None) -> Learned:
        """What a training learns from; where nobody said and there is no dataset yet, one is made of the photos."""
        chosen = self._datasets.dataset(dataset) if dataset is not None else self._datasets.for_character(somebody.id)
        if chosen.character_id != somebody.id:
            raise InvalidFieldValue(
                f"The dataset “{chosen.name}” is not one of {somebody.name}.", field="dataset", remedy="Choose one of this character's."
            )
        frozen = self._datasets.frozen(chosen.id)
        pictures = tuple((one.path, caption_for(one.caption, somebody), one.sha256) for one in frozen)
        return Learned(dataset=chosen.id, version=chosen.version, pictures=pictures)

    def usual_dataset(self, character: Character) -> str | None:
        """The dataset that a training learns from when it names none: the newest; None while there are only photos."""
        found = self._datasets.datasets(character.id)
        return found[0].id if found else None

    def _dataset_name(self, dataset: str) -> str:
        try:
            return self._datasets.dataset(dataset).name
        except NotFound:
            return ""

    def _count(self, somebody: Character, dataset: str | None) -> int:
        """How many pictures a training would learn from, without making anything."""
        if dataset is not None:
            return self._datasets.dataset(dataset).pictures
        found = self.usual_dataset(somebody)
        return self._datasets.dataset(found).pictures if found else len(self._gallery.photos(somebody.id))

    def _fingerprint(self, somebody: Character, dataset: str | None) -> str:
        found = dataset or self.usual_dataset(somebody)
        if found:
            return f"{found}@{self._datasets.dataset(found).version}"
        told = "\n".join(f"{photo.id} {photo.caption}" for photo in self._gallery.photos(somebody.id))
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def _sizes(self, somebody: Character, dataset: str | None) -> list[int]:
        """The sizes of the files that a training would learn from."""
        found = dataset or self.usual_dataset(somebody)
        return self._datasets.sizes(found) if found else [photo.bytes for photo in self._gallery.photos(somebody.id)]

    def _obstacles(self, somebody: Character, pictures: int) -> list[Problem]:
        found: list[Problem] = []
        if somebody.kind.real:
            try:
                check_consent(somebody.consent, somebody.name)
            except LikenessError as error:
                found.append(Problem(code=error.code, message=error.message, remedy=error.remedy, field="consent"))
        if pictures < FEWEST:
            found.append(
                Problem(
                    code=InvalidFieldValue.code,
                    message=_too_few(pictures, somebody),
                    remedy="Add photos on the character's page: ten or more are good.",
                    field="dataset",
                )
            )
        return found

    def _versions_of_run(self, job_id: str) -> dict[int, int]:
        wanted = sa.select(lora_versions.c.step, lora_versions.c.version).where(lora_versions.c.job_id == job_id)
        with self.database.read() as connection:
            return {row.step: row.version for row in connection.execute(wanted)}

    def _keep(self, somebody: Character, job_id: str, step: int, lora: Path) -> LoraVersion:
        folder = self._shelf.loras_folder
        newest = sa.select(sa.func.coalesce(sa.func.max(lora_versions.c.version), 0)).where(lora_versions.c.character_id == somebody.id)
        with self.database.begin() as connection:
            # Whoever else keeps a LoRA of this character waits until the transaction ends, and gets the next number.
            version = connection.execute(newest).scalar_one() + 1
            while (folder / f"{somebody.slug}_v{version}.safetensors").exists():
                version += 1
            path = f"{somebody.slug}_v{version}.safetensors"
            try:
                data = lora.read_bytes()
                write_atomically(folder / path, data)
            except OSError as error:
                raise from_os_error(error, "keep the LoRA") from error
            kept = LoraVersion(
                character=somebody.id,
                version=version,
                path=path,
                training=job_id,
                step=step,
                sha256=_sha256(data),
                created_at=datetime.now(UTC),
                used=True,
                there=True,
            )
            values = kept.model_dump(include={"version", "path", "step", "sha256"})
            values |= {"character_id": somebody.id, "job_id": job_id, "created_at": kept.created_at.timestamp()}
            connection.execute(sa.insert(lora_versions).values(values))
        return kept


def caption_for(caption: str, somebody: Character) -> str:
    """The words for a picture of somebody: its own, with the trigger word in them."""
    words = caption.strip() or "portrait"
    return words if somebody.trigger_word.casefold() in words.casefold() else f"{somebody.trigger_word}, {words}"


def pictures_of(data: Path, pictures: str) -> tuple[TrainingPicture, ...]:
    """What was frozen for a run, as files. Raises NotFound for one that is gone."""
    found: list[TrainingPicture] = []
    for path, caption, _ in json.loads(pictures):
        if not (data / path).is_file():
            raise NotFound("A picture that this training learns from is gone.", remedy="Begin a new training with those that are there.")
        found.append(TrainingPicture(data / path, caption))
    return tuple(found)


def _too_few(count: int, somebody: Character) -> str:
    if count:
        return f"One picture of {somebody.name} is not enough to learn from."
    return f"There are no pictures of {somebody.name} to learn from."


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
