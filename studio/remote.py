"""What lies on an engine's own servers: the models there, the workflow that draws with each, and the graph of a recipe."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from studio import models
from studio.contracts import Inventory, LoraSpec, LoraUse, ModelSpec, Preset, Recipe, Sampling, SamplingChoice
from studio.db import INVENTORY, Database, engine_states
from studio.errors import DependencyMissing, EngineOffline, InvalidFieldValue, LikenessError, MissingRequiredField, NotFound
from studio.graphs import Graph
from studio.node_files import NodeFiles
from studio.nodes import Nodes
from studio.workflows import (
    SAMPLERS,
    SCHEDULERS,
    Lack,
    LackKind,
    NodePack,
    Parameter,
    ParameterType,
    Value,
    Workflow,
    WorkflowKind,
    called_here,
    lacking,
    load_workflow,
    load_workflows,
    missing_pack,
    packs_of,
    release,
    render,
    translated,
    values_of,
)

log = logging.getLogger(__name__)

COMFYUI = "comfyui"
# The parameters that hold the model itself; a workflow's other files are its own.
_MAIN = ("checkpoint", "diffusion_model")
_THEIRS = {"sampler": SAMPLERS, "scheduler": SCHEDULERS}


class WorkflowShelf:
    """The workflows that come with Likeness and a person's own, re-read when their folders change. An own one goes before a shipped one."""

    def __init__(self, shipped: Path, own: Path) -> None:
        self.shipped = shipped
        self.own = own
        self._read: tuple[tuple[tuple[str, int], ...], tuple[Workflow, ...]] = ((), ())

    def workflows(self) -> tuple[Workflow, ...]:
        """Every workflow, by id. A person's own that can't be read is left out, and the log says so."""
        stamp = tuple(sorted(entry for folder in (self.shipped, self.own) for entry in _stamps(folder)))
        if stamp != self._read[0]:
            found = {workflow.id: workflow for workflow in load_workflows(self.shipped)}
            found |= {workflow.id: workflow for workflow in _readable(self.own)}
            self._read = (stamp, tuple(found[name] for name in sorted(found)))
        return self._read[1]

    def workflow(self, name: str) -> Workflow:
        """One workflow by its id or name. Raises NotFound."""
        wanted = name.strip().casefold()
        for workflow in self.workflows():
            if wanted in {workflow.id, workflow.name.casefold()}:
                return workflow
        raise NotFound(f"There is no workflow called “{name}”.", field="workflow", remedy="GET /api/v1/workflows lists them.")


def _stamps(folder: Path) -> Iterator[tuple[str, int]]:
    """The files of every workflow in a folder, with the moment each was changed. Asked for each picture, so it reads what it must."""
    try:
        workflows = [entry.path for entry in os.scandir(folder) if not entry.name.startswith(".") and entry.is_dir()]
    except FileNotFoundError:
        return
    for workflow in workflows:
        with suppress(FileNotFoundError):  # deleted meanwhile
            yield from [(entry.path, entry.stat().st_mtime_ns) for entry in os.scandir(workflow)]


class Remote:
    """What the worker last saw on the servers of ComfyUI. Asks no server."""

    def __init__(self, database: Database, shelf: WorkflowShelf, node_files: NodeFiles) -> None:
        self.shelf = shelf
        self._node_files = node_files
        self._database = database
        self._known: tuple[str, Inventory] = ("", Inventory())
        self._stock: tuple[float, int] = (-1.0, 0)

    def inventory(self) -> Inventory:
        """Servers, files and nodes as last seen; empty before the worker saw any."""
        with self._database.read() as connection:
            body = connection.execute(sa.select(engine_states.c.body).where(engine_states.c.name == f"{INVENTORY}{COMFYUI}")).scalar()
        if body is None:
            return Inventory()
        if body != self._known[0]:
            self._known = (body, Inventory.model_validate_json(body))
        return self._known[1]

    def stock(self) -> int:
        """Another number whenever servers came or went, or have other files or nodes; cheap to ask."""
        with self._database.read() as connection:
            told = connection.execute(sa.select(engine_states.c.updated_at).where(engine_states.c.name == f"{INVENTORY}{COMFYUI}")).scalar()
        if told is None:
            return 0
        if told != self._stock[0]:
            there = self.inventory()
            servers = tuple((server.url, server.state) for server in there.servers)
            self._stock = (told, hash((servers, tuple(sorted(there.files.items())), there.nodes)))
        return self._stock[1]

    def models(self) -> tuple[ModelSpec, ...]:
        """The models on the servers that a workflow draws with."""
        return models_of(self.inventory(), self.shelf.workflows())

    def loras(self) -> tuple[LoraSpec, ...]:
        """The LoRAs on the servers."""
        return tuple(
            LoraSpec(path=name, name=_bare(name), family="other", bytes=0, engine=COMFYUI)
            for name in self.inventory().files.get("loras", ())
        )

    def named(self, name: str) -> Workflow:
        """The workflow that a request names. Raises InvalidFieldValue when there is none."""
        try:
            return self.shelf.workflow(name)
        except NotFound as error:
            raise InvalidFieldValue(error.message, field="workflow", remedy=error.remedy) from error

    def nodes_of(self, graph: Graph) -> Nodes:
        """What the nodes of a graph take, as the servers said when they were last asked: those that answer now first. Reads files."""
        servers = sorted(self.inventory().servers, key=lambda server: server.state != "reachable")
        return self._node_files.nodes([server.url for server in servers], {node["class_type"] for node in graph.values()})

    def packs(self) -> tuple[NodePack, ...]:
        """The node packs that workflows name."""
        return packs_of(self.shelf.workflows())

    def check_online(self) -> None:
        """Raises EngineOffline while no server was seen: what is there is not known then."""
        inventory = self.inventory()
        if not any(server.state == "reachable" for server in inventory.servers):
            raise offline(inventory)

    def drawing(self, model: ModelSpec, named: str | None) -> Workflow | None:
        """The workflow that was named, or the one that a model draws with from words. Raises InvalidFieldValue for a name of none."""
        return self.named(named) if named is not None else drawing_with(model.path, self.shelf.workflows())

    def sampling(self, workflow: Workflow | None, *, offered: bool = False) -> Sampling:
        """The samplers and schedulers on the servers, by the names that they have here; ComfyUI's own names where there are none.

        Before any server said what it has, those that every ComfyUI knows. `offered` leaves out what the workflow has no place for.
        """
        found: dict[str, tuple[SamplingChoice, ...]] = {}
        files = self.inventory().files
        for field, ours in (("sampler", models.SAMPLERS), ("scheduler", models.SCHEDULERS)):
            parameter = workflow.parameter(field) if workflow else None
            if offered and workflow and parameter is None:
                found[field] = ()
                continue
            known = {choice.id for choice in ours}
            meant = {name: translated(workflow, field, name) if workflow else theirs for name, theirs in _THEIRS[field].items()}
            listed = (parameter.choices if parameter else ()) or files.get(f"{field}s", ()) or tuple(meant.values())
            # What the server calls by a name of ours that means something else in this workflow can't be asked for.
            named = [called_here(workflow, field, theirs) for theirs in listed if meant.get(theirs, theirs) == theirs]
            found[field] = (
                *(SamplingChoice(id=one.id, name=one.name, about=one.tooltip) for one in ours if meant[one.id] in listed),
                *(SamplingChoice(id=name, name=name) for name in dict.fromkeys(named) if name not in known),
            )
        return Sampling(samplers=found["sampler"], schedulers=found["scheduler"])

    def workflow_for(
        self, model: ModelSpec, *, named: str | None, from_picture: bool, masked: bool, preferred: str | None = None
    ) -> Workflow:
        """The workflow that was named, or the one that a model draws with: from words, from a picture, or a part of one.

        The `preferred` one is a preset's: it goes before the model's own where it starts from what there is.
        Raises InvalidFieldValue when there is none.
        """
        workflows = self.shelf.workflows()
        if named is not None:
            return self.named(named)
        own = drawing_with(model.path, workflows)
        if own is None:
            raise InvalidFieldValue(f"No workflow draws with “{model.name}”.", field="model", remedy="Choose a workflow yourself.")
        liked = self._liked(preferred, own, from_picture=from_picture)
        if liked is not None and not masked:
            return liked
        wanted = WorkflowKind.inpaint if masked else WorkflowKind.image_to_image if from_picture else own.kind
        if wanted is own.kind or (own.parameter("image") and not masked):
            return own
        folder, name = model.path.partition("/")[::2]
        siblings = [each for each in workflows if each.family == own.family and (main := _main(each)) and main.folder == folder]
        for workflow in siblings:
            if workflow.kind is wanted and workflow.takes(name):
                return workflow
        what = "redraws a part of a picture" if masked else "starts from a picture"
        edits = [each.name for each in siblings if each.kind is WorkflowKind.edit and each.id != own.id]
        others = f"choose the workflow “{edits[0]}”, which changes a picture by words" if edits else "choose another model"
        raise InvalidFieldValue(
            f"No workflow {what} with “{model.name}”.",
            field="image",
            remedy=f"{others[0].upper()}{others[1:]}, or start from words alone.",
        )

    def _liked(self, preferred: str | None, own: Workflow, *, from_picture: bool) -> Workflow | None:
        # A model made for editing starts from pictures by itself.
        if preferred is None or own.parameter("image"):
            return None
        liked = self.shelf.workflow(preferred)
        main, usual = _main(liked), _main(own)
        # One that loads its model in another way can't draw with this file.
        there = main is None or usual is None or main.folder == usual.folder
        return liked if there and (liked.parameter("image") is not None) == from_picture else None

    def lacking(self, preset: Preset, model: ModelSpec) -> tuple[Lack, ...]:
        """What the servers lack for a preset with one of their models, as far as names tell; empty if nothing is missing."""
        inventory = self.inventory()
        missing = _needs(preset, inventory, self.packs())
        workflow = drawing_with(model.path, self.shelf.workflows())
        if workflow is None:
            return missing
        workflow = self._liked(preset.on(model.family).workflow, workflow, from_picture=False) or workflow
        main = _main(workflow)
        values: dict[str, Value] = {main.name: model.path.partition("/")[2]} if main and model.path.startswith(f"{main.folder}/") else {}
        told = lacking(workflow, inventory.nodes, inventory.files, values=values, version=_newest(inventory), packs=self.packs())
        return (*missing, *told)

    def check_needs(self, preset: Preset, field: str = "preset") -> None:
        """Raises DependencyMissing, with the field it was chosen in, for a node or file of a preset's own that no server has."""
        for lack in _needs(preset, self.inventory(), self.packs()):
            raise DependencyMissing(lack.message, field=field, remedy=lack.remedy)

    def model_of(self, workflow: Workflow, values: Mapping[str, Value]) -> ModelSpec:
        """The model that a workflow draws with: the one that was set, its own, or the first of that folder on the servers."""
        main = _main(workflow)
        if main is None:
            folder, name = _baked(workflow)
        else:
            there = self.inventory().files.get(main.folder, ())
            own = main.default if main.default in there or not there else there[0]
            folder, name = main.folder, str(values.get(main.name) or own or "any")
        drawing = drawing_with(f"{folder}/{name}", self.shelf.workflows())
        spec = _spec(folder, name, workflow)
        if drawing is None or workflow.parameter("width"):
            return spec
        usual = _spec(folder, name, drawing)
        sizes = ("width", "height", "side_min", "side_max", "side_step")
        return spec.model_copy(update={size: getattr(usual, size) for size in sizes})

    def checked(self, recipe: Recipe, workflow: Workflow) -> Recipe:
        """The recipe with LoRAs by the names that they have on the servers.

        Raises EngineOffline when no server was seen, InvalidFieldValue or DependencyMissing for what the servers lack.
        """
        self.check_online()
        inventory = self.inventory()
        there = inventory.files.get("loras", ())
        if recipe.loras and workflow.loras is None:
            raise InvalidFieldValue(
                f"“{workflow.name}” takes no LoRAs.", field="loras", remedy="Leave them out, or choose another workflow."
            )
        recipe = recipe.model_copy(update={"loras": tuple(_named(use, there) for use in recipe.loras)})
        if workflow.parameter("image") and recipe.image is None:
            raise MissingRequiredField(
                f"“{workflow.name}” starts from a picture.", field="image", remedy="Choose the picture to start from."
            )
        given = {"image", *(("mask",) if recipe.mask else ()), *recipe.pictures}
        for parameter in workflow.parameters:
            if parameter.type is ParameterType.image and parameter.default is None and parameter.name not in given:
                raise MissingRequiredField(
                    f"“{workflow.name}” wants a picture for “{parameter.label}”.", field=parameter.name, remedy="Choose one."
                )
        values, version = chosen(recipe, workflow), _newest(inventory)
        for lack in lacking(workflow, inventory.nodes, inventory.files, values=values, version=version, packs=self.packs()):
            if lack.kind is LackKind.model:
                raise InvalidFieldValue(lack.message, field="model", remedy=lack.remedy)
            raise DependencyMissing(lack.message, remedy=lack.remedy)
        return recipe


def _readable(folder: Path) -> Iterator[Workflow]:
    for path in sorted(folder.glob("[!.]*/manifest.yaml")):
        try:
            yield load_workflow(path.parent)
        except LikenessError as error:
            log.warning("The workflow in %s is left out: %s", path.parent, error.message)


def models_of(inventory: Inventory, workflows: Sequence[Workflow]) -> tuple[ModelSpec, ...]:
    """The models of an inventory that a workflow draws with, in the order of their names."""
    found: list[ModelSpec] = []
    for folder in ("checkpoints", "diffusion_models"):
        for name in inventory.files.get(folder, ()):
            workflow = drawing_with(f"{folder}/{name}", workflows)
            if workflow is not None:
                found.append(_spec(folder, name, workflow))
    return tuple(found)


def spec_of(recipe: Recipe, workflows: Sequence[Workflow]) -> ModelSpec | None:
    """What the model of a recipe wants; None for one that no workflow draws with."""
    path = recipe.model.removeprefix(f"{COMFYUI}/")
    workflow = drawing_with(path, workflows) or next((each for each in workflows if each.id == recipe.workflow), None)
    folder, _, name = path.partition("/")
    return None if workflow is None else _spec(folder, name, workflow)


def drawing_with(path: str, workflows: Sequence[Workflow]) -> Workflow | None:
    """The workflow for a model file (`folder/name`): the one made for this very file, else the one with the longest word of its name."""
    folder, _, name = path.partition("/")
    best: tuple[int, Workflow] | None = None
    for workflow in workflows:
        main = _main(workflow)
        if main is None or main.folder != folder:
            continue
        fits = workflow.fits(name)
        if fits is not None and main.default == name:
            return workflow
        if fits is not None and (best is None or fits > best[0]):
            best = (fits, workflow)
    return best[1] if best else None


def chosen(recipe: Recipe, workflow: Workflow) -> dict[str, Value]:
    """The values of a recipe in a workflow's words, with its model, and what was set of the workflow's own."""
    said = values_of(recipe, workflow)
    main = _main(workflow)
    if main is not None and recipe.model.startswith(f"{COMFYUI}/{main.folder}/"):
        said[main.name] = recipe.model.removeprefix(f"{COMFYUI}/{main.folder}/")
    return said | recipe.values


def graph_of(
    recipe: Recipe, workflow: Workflow, *, image: str | None = None, mask: str | None = None, pictures: Mapping[str, str] | None = None
) -> Graph:
    """The graph of one picture. `image`, `mask` and the other `pictures` are their names on the server.

    Raises as `workflows.render` does.
    """
    values: dict[str, Value] = {**chosen(recipe, workflow), **(pictures or {})}
    for name, value in (("image", image), ("mask", mask)):
        if value is not None and workflow.parameter(name):
            values[name] = value
    return render(workflow, values, [(use.path, use.strength) for use in recipe.loras])


def offline(inventory: Inventory) -> EngineOffline:
    """Why nothing can be made on the servers, and what to do."""
    for server in inventory.servers:
        if server.problem:
            return EngineOffline(
                f"ComfyUI can't be used: {server.problem}", field="engine", remedy=f"{server.remedy} Its address stands on the Setup tab."
            )
    return EngineOffline(
        "No ComfyUI answers yet.",
        field="engine",
        remedy="Connect, install or start it on the Setup tab; one that was just started is seen within seconds.",
    )


def _newest(inventory: Inventory) -> str | None:
    return max((server.version for server in inventory.servers if server.state == "reachable"), default=None, key=release)


def _needs(preset: Preset, inventory: Inventory, packs: Sequence[NodePack]) -> tuple[Lack, ...]:
    there = f" It is at {preset.needs.link}." if preset.needs.link else ""
    what = "style" if preset.is_style else "preset"
    missing: list[Lack] = []
    for node in preset.needs.nodes:
        if node in inventory.nodes:
            continue
        told = f"The {what} “{preset.name}” needs the node “{node}”, which the ComfyUI server does not have."
        pack = next((pack for pack in packs if node in pack.nodes), None)
        if pack is None:
            remedy = f"Install the node pack that it is part of.{there}"
            missing.append(Lack(kind=LackKind.node, name=node, message=told, remedy=remedy, url=preset.needs.link))
        else:
            known = missing_pack(pack, [node])
            missing.append(known.model_copy(update={"message": f"{told} {pack.install}."}))
    for wanted in preset.needs.models:
        folder, _, name = wanted.partition("/")
        files = inventory.files.get(folder, ())
        if name not in files:
            others = f" There are: {', '.join(files[:10])}{' …' if len(files) > 10 else ''}." if files else ""
            told = f"The {what} “{preset.name}” needs the file “{name}”, which is not on the ComfyUI server.{others}"
            remedy = f"Put it into the server's folder models/{folder}.{there}"
            missing.append(Lack(kind=LackKind.model, name=name, message=told, remedy=remedy, url=preset.needs.link))
    return tuple(missing)


def _spec(folder: str, name: str, workflow: Workflow) -> ModelSpec:
    def number(parameter: str, otherwise: float) -> float:
        found = workflow.parameter(parameter)
        return found.default if found and isinstance(found.default, int | float) else otherwise

    def word(parameter: str, otherwise: str) -> str:
        found = workflow.parameter(parameter)
        default = str(found.default) if found and found.default else otherwise
        back = {theirs: ours for ours, theirs in workflow.names.get(parameter, {}).items()}
        ours = back.get(default, _OURS.get(default, default))
        # One that goes by no name of ours is left to the workflow.
        return ours if ours in (SAMPLERS if parameter == "sampler" else SCHEDULERS) else otherwise

    side = workflow.parameter("width")
    return ModelSpec(
        id=f"{COMFYUI}/{folder}/{name}",
        name=_bare(name),
        about=f"On ComfyUI. {workflow.about}",
        engine=COMFYUI,
        family=workflow.family,
        path=f"{folder}/{name}",
        licence=next((file.licence for file in workflow.models if file.file == name), "unknown"),
        side_min=int(side.minimum or 64) if side else 64,
        side_max=int(side.maximum or 4096) if side else 4096,
        side_step=int(side.step or _step(side)) if side else 8,
        width=int(number("width", 1024)),
        height=int(number("height", 1024)),
        steps=int(number("steps", 20)),
        cfg=float(number("cfg", 1.0)),
        sampler=word("sampler", "euler"),
        scheduler=word("scheduler", "normal"),
    )


def _step(side: Parameter) -> int:
    # A graph of one's own may hold any size; what it holds must be possible.
    return 8 if all(int(size or 0) % 8 == 0 for size in (side.default, side.minimum) if not isinstance(size, str)) else 1


def _baked(workflow: Workflow) -> tuple[str, str]:
    """The folder and the name of the model that a graph loads whatever is asked for; its own name where it loads none."""
    for node in workflow.graph.values():
        for taker, folder in (("ckpt_name", "checkpoints"), ("unet_name", "diffusion_models")):
            name = node["inputs"].get(taker)
            if isinstance(name, str):
                return folder, name
    return "workflows", workflow.id


_OURS = {"euler_ancestral": "euler_a", "uni_pc": "unipc", "simple": "normal"}


def _main(workflow: Workflow) -> Parameter | None:
    for name in _MAIN:
        found = workflow.parameter(name)
        if found is not None and found.type is ParameterType.model:
            return found
    return None


def _bare(name: str) -> str:
    return name.rpartition("/")[2].removesuffix(".safetensors")


def _named(use: LoraUse, there: Sequence[str]) -> LoraUse:
    wanted = use.path.casefold()
    for name in there:
        if wanted in {name.casefold(), name.casefold().removesuffix(".safetensors"), _bare(name).casefold()}:
            return use.model_copy(update={"path": name})
    known = f" There are: {', '.join(there[:10])}{' …' if len(there) > 10 else ''}." if there else ""
    raise InvalidFieldValue(
        f"The LoRA “{use.path}” is not on the ComfyUI server.{known}",
        field="loras",
        remedy="Put it into the server's folder models/loras, or leave it out.",
    )
