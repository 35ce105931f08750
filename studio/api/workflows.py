"""Workflows: see which run here, take in one's own, name, export and delete them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError

from studio.api.answers import disposition
from studio.api.forms import file_and_text
from studio.api.refusals import RESPONSES, with_errors
from studio.api.views import Id, Workflows
from studio.errors import from_validation
from studio.studio import Studio
from studio.workshop import ExportForm, ImportChoices, Inspected, WorkflowChange, WorkflowView

if TYPE_CHECKING:
    from typing import Any


def routes(studio: Studio) -> APIRouter:
    """Everything under workflows."""
    router = APIRouter(responses=RESPONSES, tags=["workflows"])
    most = studio.settings.max_upload_mb * 2**20

    @router.get("/workflows", summary="List workflows")
    def workflows() -> Workflows:
        """Those that run on the servers as last seen come first; `lacks` says in words what is missing for the others."""
        return Workflows(items=studio.workflows())

    @router.post(
        "/workflows/inspect", summary="What could be set in a file", responses=with_errors(403, 413), openapi_extra=_form(choices=False)
    )
    async def inspect(request: Request) -> Inspected:
        """JSON of ComfyUI's Export (API), a picture that ComfyUI saved, or a workflow that was exported here. Nothing is kept."""
        name, data, _ = await file_and_text(request, most, "choices")
        return await run_in_threadpool(studio.inspect_workflow, data, name)

    @router.post(
        "/workflows",
        status_code=201,
        summary="Import a workflow",
        responses=with_errors(403, 404, 413, 507),
        openapi_extra=_form(choices=True),
    )
    async def take_in(request: Request) -> WorkflowView:
        """The file, and in the field `choices` JSON that says how it is called and which inputs can be set:
        `{"name": …, "expose": [{"node": "3", "input": "steps", "label": "Steps"}]}`. Left out, the usual inputs are taken.
        """
        name, data, text = await file_and_text(request, most, "choices")
        return await run_in_threadpool(studio.import_workflow, data, _choices(text), name)

    @router.get("/workflows/{id}", summary="One workflow", responses=with_errors(404))
    def workflow(id: Id) -> WorkflowView:
        """Its parameters with what they can be on the servers, and what is missing there."""
        return studio.workflow(id)

    @router.patch("/workflows/{id}", summary="Change a workflow", responses=with_errors(403, 404, 409))
    def change(id: Id, body: WorkflowChange) -> WorkflowView:
        """The name, the description and the labels of one's own. What is left out stays."""
        return studio.change_workflow(id, body)

    @router.delete("/workflows/{id}", summary="Move a workflow to the trash", responses=with_errors(404, 409))
    def delete(id: Id) -> WorkflowView:
        """Of one's own. `restore` brings it back."""
        return studio.delete_workflow(id)

    @router.post("/workflows/{id}/restore", summary="Bring a deleted workflow back", responses=with_errors(404, 409))
    def restore(id: Id) -> WorkflowView:
        """By the id that it had."""
        return studio.restore_workflow(id)

    @router.get(
        "/workflows/{id}/export",
        summary="A workflow as one file",
        response_class=Response,
        responses={**with_errors(404), 200: {"content": {"application/json": {}}, "description": "JSON"}},
    )
    def export(id: Id, format: ExportForm = ExportForm.likeness) -> Response:
        """Graph and manifest, which `POST workflows` takes; with `format=api` the graph alone with its defaults, for ComfyUI's page."""
        name, data = studio.export_workflow(id, format)
        return Response(data, media_type="application/json", headers={"Content-Disposition": disposition("attachment", name)})

    return router


def _choices(text: str) -> ImportChoices:
    try:
        return ImportChoices.model_validate_json(text or "{}")
    except ValidationError as error:
        raise from_validation(error) from error


def _form(*, choices: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {"file": {"type": "string", "format": "binary"}}
    if choices:
        fields["choices"] = {"type": "string", "description": "JSON", "contentMediaType": "application/json"}
    schema = {"type": "object", "required": ["file"], "properties": fields}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
