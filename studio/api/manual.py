"""The API's own manual: OpenAPI as JSON, and Swagger UI from files that came with the installation."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def install(api: FastAPI) -> None:
    """Add /api/openapi.json, /api/docs and, last of all, the answer for every other address under /api."""
    from swagger_ui_bundle import swagger_ui_path

    api.openapi_version = "3.0.3"
    described: list[dict[str, Any]] = []

    @api.get("/api/openapi.json", include_in_schema=False)
    def openapi() -> JSONResponse:
        if not described:
            described.append(_for_every_reader(api.openapi()))
        return JSONResponse(described[0])

    @api.get("/api/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        # Relative addresses: they hold behind a proxy that adds a prefix, too.
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title="Likeness API",
            swagger_js_url="docs/assets/swagger-ui-bundle.js",
            swagger_css_url="docs/assets/swagger-ui.css",
            swagger_favicon_url="docs/assets/favicon-32x32.png",
            swagger_ui_parameters={"docExpansion": "list", "defaultModelsExpandDepth": 0, "tryItOutEnabled": True},
        )

    api.mount("/api/docs/assets", StaticFiles(directory=str(swagger_ui_path)), name="api-docs-assets")

    # The page is mounted at / and would answer these in its own words.
    @api.api_route("/api/{path:path}", methods=METHODS, include_in_schema=False)
    async def nowhere(request: Request, path: str) -> Response:
        allowed = _methods_of(api, request.url.path)
        if allowed:
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))})
        raise HTTPException(404)


def _methods_of(api: FastAPI, path: str) -> set[str]:
    for template, methods in api.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            return {method.upper() for method in methods}
    return set()


def _for_every_reader(node: Any) -> Any:
    """OpenAPI 3.1 schemas in the words of 3.0, which the bundled Swagger UI and most generators read."""
    if isinstance(node, list):
        return [_for_every_reader(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _for_every_reader(value) for key, value in node.items()}
    if "const" in made:
        made["enum"] = [made.pop("const")]
    options = made.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        rest = [option for option in options if option != {"type": "null"}]
        del made["anyOf"]
        made["nullable"] = True
        if len(rest) == 1 and "$ref" not in rest[0]:
            return rest[0] | made
        made["allOf" if len(rest) == 1 else "anyOf"] = rest
    return made
