"""What commands need from outside the command line; tests hand in their own as the application's `obj`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cosy.api import Cosy
    from cosy.cli.play import Playing
    from cosy.voices.store import VoiceLibrary


def load(model: Path | None = None, *, device: str = "cpu", **options: Any) -> Cosy:
    """A model that is ready to speak, in a process that does nothing else; arguments and errors as in `Cosy.load`."""
    from cosy.api import Cosy
    from cosy.engine.build import suitable_threads
    from cosy.nn.threads import set_threads

    cosy = Cosy.load(model, device=device, **options)
    set_threads(suitable_threads(cosy.model))
    return cosy


def open_voices(model: Path | None, folder: Path | None) -> VoiceLibrary:
    """The voices of a model and of a folder; no network is loaded.  Raises CheckpointError without a model."""
    from cosy.api import find_model
    from cosy.checkpoint.load import load_model
    from cosy.voices.store import VoiceLibrary, VoiceStore

    return VoiceLibrary(load_model(find_model(model), parts=()), VoiceStore(folder))


def playing(rate_hz: int, gain_db: float) -> Playing:
    """The sound card; see `cosy.cli.play`."""
    from cosy.cli.play import playing

    return playing(rate_hz, gain_db)


@dataclass(frozen=True)
class Tools:
    """The composition root of the commands."""

    load: Callable[..., Cosy] = load
    open_voices: Callable[[Path | None, Path | None], VoiceLibrary] = open_voices
    playing: Callable[[int, float], Playing] = playing
