"""The verbs `workflows …`."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from studio.cli.desk import Answer, Desk
from studio.cli.words import items_of, read_file, table
from studio.errors import InvalidFieldValue, from_os_error, from_validation
from studio.files import write_atomically
from studio.workshop import ExportForm, ImportChoices, WorkflowChange, WorkflowView

C = TypeVar("C", ImportChoices, WorkflowChange)


def list_workflows(desk: Desk) -> Answer:
    found = desk.studio.workflows()
    rows = [(each.id, each.kind, "own" if each.own else "", "runs" if each.runs else each.lacks[0].message) for each in found]
    return Answer(items_of(found), table(rows))


def show_workflow(desk: Desk) -> Answer:
    return _shown(desk.studio.workflow(desk.args.id))


def inspect_workflow(desk: Desk) -> Answer:
    found = desk.studio.inspect_workflow(read_file(desk.args.file), desk.args.file.name)
    rows = [(f"{each.node}.{each.input}", each.parameter.type, each.parameter.default, each.parameter.label) for each in found.inputs]
    lines = [table(rows) or "Its parameters are chosen already: `workflows import` takes it in as it is."]
    if found.missing_nodes:
        lines.append(f"No server has: {', '.join(found.missing_nodes)}.")
    return Answer(found.model_dump(mode="json"), "\n".join(lines))


def import_workflow(desk: Desk) -> Answer:
    args = desk.args
    said: dict[str, object] = {"name": args.name, "expose": [_exposed(text) for text in args.expose] or None}
    return _shown(desk.studio.import_workflow(read_file(args.file), _valid(ImportChoices, said), args.file.name))


def export_workflow(desk: Desk) -> Answer:
    name, data = desk.studio.export_workflow(desk.args.id, ExportForm(desk.args.format))
    out: Path = desk.args.out or Path.cwd() / name
    target = out / name if out.is_dir() else out
    try:
        write_atomically(target, data)
    except OSError as error:
        raise from_os_error(error, f"write {target}") from error
    return Answer({"ok": True, "path": str(target.resolve()), "bytes": len(data)}, str(target.resolve()))


def edit_workflow(desk: Desk) -> Answer:
    labels = dict(_pair(text, "label") for text in desk.args.label)
    change = _valid(WorkflowChange, {"name": desk.args.name, "about": desk.args.about, "labels": labels})
    return _shown(desk.studio.change_workflow(desk.args.id, change))


def delete_workflow(desk: Desk) -> Answer:
    gone = desk.studio.delete_workflow(desk.args.id)
    return Answer(gone.model_dump(mode="json"), f"{gone.name} is in the trash. `workflows restore {gone.id}` brings it back.")


def restore_workflow(desk: Desk) -> Answer:
    return _shown(desk.studio.restore_workflow(desk.args.id))


def _exposed(text: str) -> dict[str, object]:
    where, equals, label = text.partition("=")
    node, dot, name = where.strip().partition(".")
    if not dot:
        raise InvalidFieldValue(f"“{text}” names no input.", field="expose", remedy="Write NODE.INPUT=LABEL, such as 3.steps=Steps.")
    return {"node": node, "input": name, **({"label": label.strip()} if equals else {})}


def _pair(text: str, field: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidFieldValue(f"“{text}” sets nothing.", field=field, remedy="Write it as NAME=VALUE.")
    return name.strip(), value.strip()


def _valid(kind: type[C], values: dict[str, object]) -> C:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise from_validation(error) from error


def _shown(workflow: WorkflowView) -> Answer:
    rows = [(each.name, each.type, "must be given" if each.default is None else each.default, each.label) for each in workflow.parameters]
    lines = [f"{workflow.id}: {workflow.name}", *([workflow.about] if workflow.about else []), table(rows)]
    lines += [f"{lack.message} {lack.remedy}" for lack in workflow.lacks]
    return Answer(workflow.model_dump(mode="json"), "\n".join(lines))
