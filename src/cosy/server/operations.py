"""Routes for operators and the curious: readiness, metrics, the API's description, and a page at the root."""

from __future__ import annotations

from html import escape
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from cosy.server.auth import ADMIN, Caller, allow
from cosy.server.context import Context, context_of
from cosy.server.dialects import Dialect
from cosy.server.errors import Problem
from cosy.server.metrics import CONTENT_TYPE

router = APIRouter(tags=["Operation"])

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Cosy</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}
td,th{{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top}}code{{white-space:nowrap}}</style>
<h1>Cosy: interfaces</h1>
<p>Described in full by <a href="openapi.json">openapi.json</a>, which any OpenAPI viewer reads. WebSockets are not in
it: <code>/api-ws/v1/inference</code>, <code>/api-ws/v1/audio/speech</code>, <code>/cosy/v1/speech</code>.</p>
<table><tr><th>Method<th>Path<th>What it does</tr>{rows}</table></html>
"""


@router.get("/", include_in_schema=False)
async def root() -> dict[str, str]:
    """Some SDKs warm their connection up with it."""
    return {"name": "cosy", "docs": "/docs", "health": "/health", "ready": "/ready"}


@router.get("/ready")
async def ready(context: Annotated[Context, Depends(context_of)]) -> JSONResponse:
    """Whether requests should be sent here: 503 while the model is not there, and once the server is to stop."""
    health = context.engine.health()
    draining = context.limits.draining
    reason = "shutting down" if draining else health.reason
    good = health.ready and not draining
    return JSONResponse({"ready": good, "reason": reason}, 200 if good else 503)


@router.get("/metrics")
async def metrics(
    context: Annotated[Context, Depends(context_of)], _: Annotated[Caller, Depends(allow(ADMIN, "open_metrics"))]
) -> Response:
    """Prometheus text format."""
    return Response(context.metrics.text(), headers={"Content-Type": CONTENT_TYPE})


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """A table of all routes, made here: it loads nothing from anywhere."""
    paths: dict[str, dict[str, Any]] = request.app.openapi()["paths"]
    rows = "".join(
        f"<tr><td>{method.upper()}<td><code>{escape(path)}</code><td>{escape(operation.get('summary', ''))}</tr>"
        for path, operations in paths.items()
        for method, operation in operations.items()
    )
    return HTMLResponse(PAGE.format(rows=rows))


def _error_body(problem: Problem, request_id: str) -> dict[str, Any]:
    return {"detail": problem.message, "request_id": request_id}


OPERATIONS = Dialect("server", router, lambda path: True, _error_body)
"""Claims whatever no dialect does."""
