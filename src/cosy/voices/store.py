"""Where voices are found: a directory of voice files, and a library of those and the model's presets."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cosy.errors import UnknownVoiceError, VoiceError
from cosy.voices.voice import SUFFIX, Voice, VoiceInfo, check_name, read_info

if TYPE_CHECKING:
    from cosy.checkpoint.load import LoadedModel

PRESETS = "voices"  # the folder of voice files in a model directory


def default_directory(environment: Mapping[str, str] | None = None) -> Path:
    """COSY_VOICES, else `cosy/voices` below XDG_DATA_HOME, else below ~/.local/share."""
    environment = os.environ if environment is None else environment
    if chosen := environment.get("COSY_VOICES"):
        return Path(chosen).expanduser()
    data = environment.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "cosy" / "voices"


class VoiceStore:
    """A directory with one file per voice; it is made when the first voice is added."""

    def __init__(self, directory: str | os.PathLike[str] | None = None) -> None:
        self.directory = default_directory() if directory is None else Path(directory)

    def path(self, name: str) -> Path:
        """Where the voice of that name is, or would be.  Raises VoiceError for a name that is not allowed."""
        return self.directory / (check_name(name) + SUFFIX)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.path(name).is_file()

    def names(self) -> Sequence[str]:
        """The names of all voices, sorted; files are not opened."""
        return sorted(path.stem for path in self.directory.glob(f"[!.]*{SUFFIX}"))

    def list(self) -> Sequence[VoiceInfo]:
        """All voices, sorted by name.  Raises VoiceError naming the file if one is damaged."""
        return [self.info(name) for name in self.names()]

    def info(self, name: str) -> VoiceInfo:
        """What a voice's file says of it.  Raises VoiceError if there is none of that name, or it is damaged."""
        return replace(read_info(self._existing(name)), name=name)

    def load(self, name: str) -> Voice:
        """The whole voice.  Errors as in `info`."""
        voice = Voice.load(self._existing(name))
        return replace(voice, info=replace(voice.info, name=name))  # a renamed file is a renamed voice

    def add(self, voice: Voice, *, replace: bool = False) -> Path:
        """Keep a voice under its name; returns its file.

        Raises VoiceError if the name is taken, unless `replace`, or if the directory cannot be written.
        """
        self.check_free(voice.name, replace=replace)
        path = self.path(voice.name)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VoiceError(f"cannot make the voice folder {self.directory}: {error.strerror}") from error
        voice.save(path)
        return path

    def check_free(self, name: str, *, replace: bool = False) -> None:
        """Raises VoiceError if the name is not allowed, or is taken and may not be replaced."""
        if name in self and not replace:
            raise VoiceError(f"a voice named {name!r} exists already; choose another name, or replace it")

    def remove(self, name: str) -> None:
        """Delete a voice.  Raises VoiceError if there is none of that name."""
        self._existing(name).unlink()

    def _existing(self, name: str) -> Path:
        path = self.path(name)
        if not path.is_file():
            known = ", ".join(self.names()) or "none yet"
            raise UnknownVoiceError(f"there is no voice named {name!r} in {self.directory}; there are: {known}")
        return path


class VoiceLibrary:
    """Every voice a request may name: the model's presets, then those in a store."""

    def __init__(self, model: LoadedModel, store: VoiceStore) -> None:
        self.model, self.store = model, store

    @cached_property
    def presets(self) -> dict[str, Voice]:
        """Name -> voice: the entries of `spk2info`, then the files in the model directory's `voices` folder."""
        speakers = self.model.spk2info.items()
        voices = [Voice.from_speaker(name, speaker, self.model.text_tokenizer) for name, speaker in speakers]
        files = VoiceStore(self.model.directory / PRESETS)
        voices += [files.load(name) for name in files.names()]
        return {voice.name: replace(voice, info=replace(voice.info, preset=True)) for voice in voices}

    def list(self) -> Sequence[VoiceInfo]:
        """What is known of every voice, presets first.  Raises VoiceError naming the file if one is damaged."""
        own = [self.store.info(name) for name in self.store.names() if name not in self.presets]
        return [voice.info for voice in self.presets.values()] + own

    def info(self, name: str) -> VoiceInfo:
        """What is known of one voice.  Raises VoiceError if there is none of that name."""
        return self.presets[name].info if name in self.presets else self._stored(name).info(name)

    def load(self, name: str | None = None) -> Voice:
        """One voice; None is the default, the first preset.  Raises VoiceError if there is none."""
        if name is None:
            return self._default()
        return self.presets[name] if name in self.presets else self._stored(name).load(name)

    def add(self, voice: Voice, *, replace: bool = False) -> Path:
        """Keep a voice in the store; returns its file.

        Raises VoiceError if the name is a preset's, or taken in the store and `replace` is not set.
        """
        self.check_free(voice.name, replace=replace)
        return self.store.add(voice, replace=replace)

    def check_free(self, name: str, *, replace: bool = False) -> None:
        """Raises VoiceError as `add` does for the name."""
        if name in self.presets:
            raise VoiceError(f"{name!r} is a preset of the model; choose another name")
        self.store.check_free(name, replace=replace)

    def remove(self, name: str) -> None:
        """Delete a voice from the store.  Raises VoiceError for a preset, or if there is none of that name."""
        if name in self.presets:
            raise VoiceError(f"{name!r} is a preset of the model and cannot be removed")
        self._stored(name).remove(name)

    def _default(self) -> Voice:
        if not self.presets:
            raise VoiceError(
                f"the model {self.model.directory} has no preset voice; name a voice, or pass a recording as prompt"
            )
        return next(iter(self.presets.values()))

    def _stored(self, name: str) -> VoiceStore:
        if name not in self.store:
            known = ", ".join([*self.presets, *self.store.names()]) or "none yet"
            raise UnknownVoiceError(f"there is no voice named {name!r}; there are: {known}")
        return self.store
