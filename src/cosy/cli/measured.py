"""The server that `cosy bench server` measures, a process of its own: `python -m cosy.cli.measured`.

Like `cosy serve`, but that its engine is watched: for each request a log line `engine` tells what the engine took.
Before it listens it asks the engine with nothing in between, and logs that as `direct`.

Arguments: `silent` or `real`, the text to ask with, how often, the settings as JSON.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, NoReturn

import anyio

from cosy.bench.standins import SilentEngine, WatchedEngine, first_audio_s
from cosy.cli.compose import composed, opened_database
from cosy.server import logs
from cosy.server.app import create_app
from cosy.server.process import bind, serve_app
from cosy.server.settings import Settings
from cosy.server.store.consents import Consents
from cosy.server.store.keys import KeyRing
from cosy.server.store.objects import ObjectStore
from cosy.server.store.presets import Preset
from cosy.server.store.usage import Usage
from cosy.server.store.voices import VoiceRegistry
from cosy.types import SpeechRequest

if TYPE_CHECKING:
    from fastapi import FastAPI


WARM_UP = 2


@asynccontextmanager
async def silent(settings: Settings) -> AsyncIterator[FastAPI]:
    """The app with an engine that answers at once; everything else is what it is in earnest."""
    with opened_database(settings) as database:
        objects = ObjectStore(settings.objects)
        voices = VoiceRegistry(database, objects, _no_uploads, presets=[Preset("alex", bytes, duration_s=1.0)])
        await voices.start()
        keys, consents, usage = KeyRing(database, settings.api_keys), Consents(database, objects), Usage(database)
        yield create_app(settings, SilentEngine(), voices=voices, consents=consents, keys=keys, usage=usage)


def _no_uploads(audio: bytes, transcript: str, name: str) -> NoReturn:
    raise AssertionError("the benchmark uploads nothing")


APPS = {"silent": silent, "real": composed}


async def serve(engine: str, text: str, runs: int, settings: Settings) -> None:
    """Serve until told to stop."""
    compose: AbstractAsyncContextManager[FastAPI] = APPS[engine](settings)
    with bind(settings) as socket:
        async with compose as app:
            context = app.state.context
            request = SpeechRequest(text, voice=context.voices.default, format="pcm", seed=1)
            await first_audio_s(context.engine, request, WARM_UP)
            logs.event("direct", first_audio_s=await first_audio_s(context.engine, request, runs))
            app.state.context = replace(context, engine=WatchedEngine(context.engine, _tell))
            await serve_app(app, settings, socket)


def _tell(request_id: str, first_s: float, last_s: float) -> None:
    logs.event("engine", request_id=request_id, first_s=first_s, last_s=last_s)


def main() -> None:
    engine, text, runs, settings = sys.argv[1:]
    logs.set_up("info")
    options = {"use_uvloop": find_spec("uvloop") is not None}
    anyio.run(serve, engine, text, int(runs), Settings.model_validate_json(settings), backend_options=options)


if __name__ == "__main__":
    main()
