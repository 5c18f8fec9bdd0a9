"""Listings of voices: their order, what they select, and their pages."""

from __future__ import annotations

import anyio
import pytest

from cosy.errors import UnknownVoiceError
from cosy.server.store.presets import Preset
from cosy.server.store.voices import VoiceRegistry
from tests.server.store.conftest import MakeRegistry
from tests.server.store.uploads import add, listed

PRESETS = [Preset("anna", lambda: b"anna"), Preset("bella", lambda: b"bella")]


def test_listing_is_newest_first_unless_asked(registry: VoiceRegistry) -> None:
    for name in "abc":
        add(registry, name)
    assert listed(registry) == ["c", "b", "a"]
    assert listed(registry, newest_first=False) == ["a", "b", "c"]


def test_listing_selects(make_registry: MakeRegistry) -> None:
    registry = make_registry(presets=PRESETS)
    add(registry, "pre_a", surface="pai", owner="k1")
    add(registry, "prexb", surface="openai", owner="k2")
    add(registry, "PRE_c", surface="pai", owner="k2")
    assert listed(registry, kind="user", name_prefix="pre_") == ["pre_a"]
    assert listed(registry, surface="pai") == ["PRE_c", "pre_a"]
    assert listed(registry, owner="k2", surface="pai") == ["PRE_c"]
    assert listed(registry, kind="preset") == ["anna", "bella"]
    assert listed(registry, name_prefix="an") == ["anna"]


def test_listing_pages(make_registry: MakeRegistry) -> None:
    registry = make_registry(presets=PRESETS)
    for name in "abc":
        add(registry, name)
    everything = listed(registry)
    assert everything == ["anna", "bella", "c", "b", "a"]
    for limit in range(6):
        for offset in range(7):
            assert listed(registry, limit=limit, offset=offset) == everything[offset:][:limit]


@pytest.mark.parametrize("newest_first", [True, False])
def test_listing_goes_on_after_a_voice(make_registry: MakeRegistry, newest_first: bool) -> None:
    registry = make_registry(presets=PRESETS)
    for name in "abc":
        add(registry, name)

    async def page_by_page() -> list[str]:
        found, after = [], ""
        while page := await registry.list(limit=1, after=after, newest_first=newest_first):
            found.append(page[0].name)
            after = page[0].id
        return found

    assert anyio.run(page_by_page) == listed(registry, newest_first=newest_first)


def test_a_page_after_nobody_is_an_error(registry: VoiceRegistry) -> None:
    with pytest.raises(UnknownVoiceError):
        listed(registry, after="nobody")
