"""Cosy's own API, under `/cosy/v1`: what the public dialects have no word for.

The studio in the browser talks to it beside them.  Voices are in `native_voices`, the WebSocket in `native_ws`.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import timedelta
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request, WebSocket
from prometheus_client import Histogram
from pydantic import Field
from starlette.requests import HTTPConnection

from cosy.audio.encode import FORMATS
from cosy.server.auth import ADMIN, SPEECH, Caller, allow, authenticate
from cosy.server.context import Context, context_of
from cosy.server.dialects import Dialect
from cosy.server.dialects.fields import OUTPUT_RATES_HZ, body_description, inline_voice, read_fields
from cosy.server.dialects.native_run import MODES
from cosy.server.dialects.native_voices import FILE, NAME, TEXT
from cosy.server.dialects.native_voices import router as voices_router
from cosy.server.dialects.native_ws import SpeechSocket, speaker_or_stranger
from cosy.server.dialects.v1_body import Body, describe, form_errors, parse, read_object
from cosy.server.errors import ApiError, Kind, Problem
from cosy.server.store.records import VoiceLimits
from cosy.server.store.tables import now
from cosy.server.text import too_long

PREFIX = "/cosy/v1"
CARD = "README.md"  # of a model directory
LONGEST_CARD = 64 * 1024  # bytes
NOT_IMPLEMENTED = 501
NO_RECOGNISER = "this server has no speech recogniser; type what is said in the recording"
MOST_DAYS = 366

Ctx = Annotated[Context, Depends(context_of)]
Speaker = Annotated[Caller, Depends(allow(SPEECH))]

router = APIRouter(prefix=PREFIX, tags=["Cosy"])


async def anybody_with_a_key(connection: HTTPConnection, context: Ctx) -> Caller:
    """A dependency: the caller, whatever the key may do."""
    return await authenticate(connection, context)


Anybody = Annotated[Caller, Depends(anybody_with_a_key)]


@router.get("/info")
async def info(context: Ctx) -> dict[str, Any]:
    """What runs here and what it can do; never needs a key."""
    settings, voice = context.settings, VoiceLimits()
    return {
        "name": "Cosy",
        "version": version("cosy"),
        "model": await to_thread.run_sync(_model, settings.model, context.engine.sample_rate_hz),
        "needs_key": await context.keys.required(),
        "limits": {
            "max_text_characters": settings.max_text_characters,
            "max_upload_bytes": settings.max_upload_bytes,
            "recording_s": [voice.min_s, voice.max_s],
        },
        "formats": list(FORMATS),
        "sample_rates_hz": list(OUTPUT_RATES_HZ),
        "modes": [mode.value for mode in MODES],
        "transcription": hasattr(context.engine, "transcribe"),
    }


class Passage(Body):
    """A text that may be spoken."""

    text: str
    language: str = Field("", max_length=16)
    """A hint such as "en" or "zh"; detected if it is empty."""


@router.post("/segments", openapi_extra=describe(Passage))
async def segments(request: Request, context: Ctx, caller: Speaker) -> dict[str, Any]:
    """The stretches in which a text would be spoken."""
    context.limits.count(caller)
    passage = parse(Passage, await read_object(request))
    if len(passage.text) > context.settings.max_text_characters:
        raise too_long(len(passage.text), context.settings.max_text_characters)
    text = passage.text.strip()
    divide = getattr(context.engine, "segments", None)  # not every engine can tell
    found = await divide(text, passage.language) if divide and text else [text] * bool(text)
    return {"segments": [{"text": each} for each in found]}


@router.post("/transcriptions", openapi_extra=body_description({"file": FILE}, {"language": TEXT}))
async def transcriptions(request: Request, context: Ctx, caller: Speaker) -> dict[str, str]:
    """What is said in a recording, where the engine has a recogniser: `transcribe(audio, language) -> str`."""
    transcribe = getattr(context.engine, "transcribe", None)
    if transcribe is None:
        raise ApiError(Kind.NOT_FOUND, NO_RECOGNISER, status=NOT_IMPLEMENTED)
    context.limits.count(caller)
    with form_errors():
        fields = await read_fields(request, context)
        file, language = fields.required_file("file"), fields.text("language")
    recording = await inline_voice(file, "", context)
    return {"text": await transcribe(recording.audio, language)}


@router.get("/server")
async def server(context: Ctx, caller: Anybody) -> dict[str, Any]:
    """How the server does: readiness, load, and how soon and how steadily audio has come."""
    health, limits, metrics = context.engine.health(), context.limits, context.metrics
    reason = "shutting down" if limits.draining else health.reason
    return {
        "health": {"ready": health.ready and not limits.draining, "reason": reason},
        "stats": {name: _finite(value) for name, value in context.engine.stats().items()},
        "histograms": {"first_audio_s": _buckets(metrics.first_audio), "slack_s": _buckets(metrics.slack)},
        "active": limits.active,
        "queue": limits.queued,
    }


@router.get("/usage")
async def usage(context: Ctx, caller: Anybody, days: Annotated[int, Query(ge=1, le=MOST_DAYS)] = 30) -> dict[str, Any]:
    """What was used, by day and key: of all keys for an administrator, else of the caller's own."""
    all_keys = ADMIN in caller.scopes
    await context.usage.flush()
    since = now().date() - timedelta(days=days - 1)
    rows = await context.usage.report(key_id=None if all_keys else caller.key_id, since=since)
    names = {key.id: key.name for key in await context.keys.list()}
    return {
        "usage": [
            {**asdict(row), "day": row.day.isoformat(), "name": names.get(row.key_id, row.key_id)} for row in rows
        ]
    }


@router.websocket("/speech")
async def speech(
    websocket: WebSocket, context: Ctx, caller: Annotated[Caller | None, Depends(speaker_or_stranger)]
) -> None:
    """Text in as it is written, audio out as it is made."""
    await SpeechSocket(websocket, context, caller).serve()


def _model(configured: str, rate_hz: int) -> dict[str, Any]:
    """The model directory, by its name alone: where it lies is nobody's business."""
    folder = Path(configured or str(files("cosy").joinpath("assets", "model")))
    card = _card(folder / CARD)
    title = next((line[2:].strip() for line in card.splitlines() if line.startswith("# ")), "")
    return {
        "name": title or folder.resolve().name,
        "directory": folder.resolve().name,
        "sample_rate_hz": rate_hz,
        "bundled": not configured,
        "card": card,
    }


def _card(path: Path) -> str:
    """The model's description, empty if there is none."""
    try:
        with path.open("rb") as file:
            return file.read(LONGEST_CARD).decode("utf-8", "replace")
    except OSError:
        return ""


def _buckets(histogram: Histogram) -> list[list[float | None]]:
    """Pairs (upper bound in s, observations up to it, those below included), over all dialects; None: no bound."""
    counts: dict[float, float] = {}
    for sample in next(iter(histogram.collect())).samples:
        if sample.name.endswith("_bucket"):
            bound = float(sample.labels["le"])
            counts[bound] = counts.get(bound, 0.0) + sample.value
    return [[_finite(bound), counts[bound]] for bound in sorted(counts)]


def _finite(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None


def error_body(problem: Problem, request_id: str) -> dict[str, Any]:
    """`{"error": {"code", "message", "param", "retry_after_s"}, "request_id"}`."""
    told = {"message": problem.message, "param": problem.param, "retry_after_s": problem.retry_after_s}
    return {"error": {"code": problem.kind.value, **told}, "request_id": request_id}


router.include_router(voices_router)

DIALECT = Dialect(NAME, router, lambda path: path.startswith("/cosy/"), error_body)
