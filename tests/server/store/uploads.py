"""Uploads and listings in one line each."""

from __future__ import annotations

from typing import Any

import anyio

from cosy.server.store.voices import VoiceRecord, VoiceRegistry, VoiceUpload
from tests.server.store.sounds import AUDIO


def add(registry: VoiceRegistry, name: str = "My voice", **upload: Any) -> VoiceRecord:
    return anyio.run(registry.add, VoiceUpload(**{"audio": AUDIO, "name": name, **upload}))


def listed(registry: VoiceRegistry, **selection: Any) -> list[str]:
    async def names() -> list[str]:
        return [voice.name for voice in await registry.list(**selection)]

    return anyio.run(names)
