"""The registry of voices: presets, and recordings that clients upload.

An uploaded voice is two objects (the recording as it came, and what was prepared from it) and a row.  The row is
written last and removed first, in one transaction each, so that a voice is there whole or not at all whatever
happens in between; objects without a row are swept up at a later start.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import anyio
from anyio import to_thread

from cosy.errors import ParameterError, UnknownVoiceError, VoiceError
from cosy.server.store.admission import (
    Recording,
    admit,
    admit_upload,
    check_id,
    clean_filename,
    clean_name,
    clean_text,
    with_header,
)
from cosy.server.store.consents import CONSENT_PREFIX, require_consent_record
from cosy.server.store.database import Database
from cosy.server.store.errors import DatabaseError
from cosy.server.store.objects import ORPHAN_AGE_S, ObjectStore
from cosy.server.store.presets import CACHE, Names, Preset, load_aliases, load_folder
from cosy.server.store.records import Prepare, Prepared, VoiceLimits, VoiceRecord, VoiceUpload
from cosy.server.store.voice_rows import Row, VoiceRows, record_of

__all__ = ["Prepare", "Prepared", "Preset", "VoiceLimits", "VoiceRecord", "VoiceRegistry", "VoiceUpload"]

logger = logging.getLogger(__name__)

KIND = "voices"  # of the objects
UPLOADS = 2  # prepared at once
MAX_CONSENT = 2_000  # characters


class VoiceRegistry:
    """All voices.  Coroutines leave the event loop for whatever blocks; `prepared` is for the engine's threads.

    `presets` come with the model, `presets_dir` overrides and adds to them; `default_voice` is the one that
    well-known names fall back to (empty: the first preset; `well_known_fallback` off: they are unknown).
    `model` identifies what `prepare` depends on: voices prepared for another one are prepared anew when needed.
    Call `start` before anything else.
    """

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        prepare: Prepare,
        *,
        presets: Sequence[Preset] = (),
        presets_dir: Path | None = None,
        aliases: Mapping[str, str] | None = None,
        default_voice: str = "",
        well_known_fallback: bool = True,
        require_consent: bool = False,
        limits: VoiceLimits | None = None,
        model: str = "",
    ) -> None:
        self._database, self._objects, self._prepare = database, objects, prepare
        self._given, self._presets_dir, self._aliases = presets, presets_dir, dict(aliases or {})
        self._default, self._fallback = default_voice, well_known_fallback
        self._require_consent = require_consent
        self._limits = limits or VoiceLimits()
        self._rows = VoiceRows(database, self._limits)
        self._model = model
        self._variant = hashlib.sha256(model.encode()).hexdigest()[:12]  # in the keys of prepared voices
        self._presets: dict[str, Preset] = {}
        self._names = Names((), {}, "", fallback=False)
        self._uploads = anyio.CapacityLimiter(UPLOADS)

    @property
    def default(self) -> str:
        """The id of the default voice; empty if none was named and there is no preset."""
        return self._names.default

    async def start(self) -> None:
        """Prepare the folder of presets, and sweep up what crashes have left.

        Raises VoiceError naming the preset, or the name of a voice in the settings, that cannot be used.
        """
        await to_thread.run_sync(self._start)

    async def add(self, upload: VoiceUpload) -> VoiceRecord:
        """Make a voice of a recording.

        Raises AudioError for the recording, VoiceError if the id is taken, ParameterError for a name, an id or a
        consent that will not do, OverloadedError if there are as many voices as there may be, or no space.
        """
        return await to_thread.run_sync(self._add, upload, limiter=self._uploads)

    async def get(self, voice_id: str) -> VoiceRecord:
        """One voice.  Raises UnknownVoiceError if there is none of that id."""
        if preset := self._presets.get(voice_id):
            return preset.record()
        return record_of(await to_thread.run_sync(self._rows.find, voice_id))

    async def list(
        self,
        *,
        kind: Literal["preset", "user"] | None = None,
        surface: str | None = None,
        name_prefix: str = "",
        owner: str | None = None,
        limit: int | None = None,
        offset: int = 0,
        after: str = "",
        newest_first: bool = True,
    ) -> list[VoiceRecord]:
        """Presets in their order, then uploads by time; `after` is the id of the last voice of the page before.

        `surface` and `owner` select among uploads and leave presets out.  Raises UnknownVoiceError for `after`.
        """
        presets: list[VoiceRecord] = []
        if kind != "user" and surface is None and owner is None:
            presets = [each.record() for name, each in self._presets.items() if name.startswith(name_prefix)]
        ids = [each.id for each in presets]
        if after in ids:
            presets, after = presets[ids.index(after) + 1 :], ""
        elif after:
            presets = []
        page = presets[offset:][:limit]
        if kind == "preset" or len(page) == limit:
            return page
        uploads = partial(
            self._rows.list,
            surface=surface,
            owner=owner,
            name_prefix=name_prefix,
            limit=None if limit is None else limit - len(page),
            offset=max(0, offset - len(presets)),
            after=after,
            newest_first=newest_first,
        )
        return page + [record_of(row) for row in await to_thread.run_sync(uploads)]

    async def rename(self, voice_id: str, name: str) -> VoiceRecord:
        """Give an upload another name; its id stays.  Raises as `remove` does, and ParameterError for the name."""
        self._refuse_preset(voice_id)
        row, _ = await to_thread.run_sync(self._rows.change, voice_id, {"name": clean_name(name)})
        return record_of(row)

    async def replace_audio(self, voice_id: str, audio: bytes, transcript: str) -> VoiceRecord:
        """Give an upload another recording.  Raises as `add` and `remove` do."""
        self._refuse_preset(voice_id)
        return await to_thread.run_sync(self._replace_audio, voice_id, audio, transcript, limiter=self._uploads)

    async def remove(self, voice_id: str) -> None:
        """Forget an upload.  Raises UnknownVoiceError if there is none of that id, VoiceError for a preset."""
        self._refuse_preset(voice_id)
        await to_thread.run_sync(self._remove, voice_id)

    async def audio(self, voice_id: str) -> bytes:
        """The original recording.  Raises UnknownVoiceError, or VoiceError for a preset that came without one."""
        if preset := self._presets.get(voice_id):
            if preset.recording is None:
                raise VoiceError(f"the preset {voice_id!r} came without its recording; only uploads keep theirs")
            return await to_thread.run_sync(preset.recording.read_bytes)
        return await to_thread.run_sync(self._look, voice_id, self._recording)

    async def resolve(self, name: str) -> str:
        """The id of the voice that a request means by `name`: an id, a preset, a well-known name.

        Raises UnknownVoiceError if it means none.
        """
        known = self._names.find(name)
        if known is None:
            known = str((await to_thread.run_sync(self._rows.find, name)).id)
        return known

    def prepared(self, voice_id: str) -> bytes:
        """The prepared voice file.  Blocks; kept in memory for voices in use.

        Raises UnknownVoiceError if there is no such voice, VoiceError if its objects are gone.
        """
        if preset := self._presets.get(voice_id):
            return preset.load()
        return self._look(voice_id, self._prepared)

    def sweep(self, min_age_s: float = ORPHAN_AGE_S) -> int:
        """Remove objects at least that old which no row names; returns how many.  Blocks."""
        return self._objects.sweep(KIND, self._rows.folders, min_age_s)

    def _start(self) -> None:
        presets = {each.name: each for each in self._given}
        aliases = dict(self._aliases)
        if self._presets_dir is not None:
            folder = load_folder(self._presets_dir, self._objects, self._prepare, self._limits, self._model)
            presets |= {each.name: each for each in folder}
            aliases = load_aliases(self._presets_dir) | aliases
        default = self._default or next(iter(presets), "")
        for voice_id in {*aliases.values(), default} - {*presets, ""}:
            self._check_target(voice_id, presets)
        self._presets = presets
        self._names = Names(tuple(presets), aliases, default, fallback=self._fallback)
        self._objects.sweep(CACHE, None, ORPHAN_AGE_S)
        self.sweep()

    def _check_target(self, voice_id: str, presets: Mapping[str, Preset]) -> None:
        try:
            self._rows.find(voice_id)
        except UnknownVoiceError:
            known = ", ".join(presets) or "none"
            raise VoiceError(
                f"{voice_id!r}, named as default voice or by an alias, is no voice; the presets are: {known}"
            ) from None

    def _add(self, upload: VoiceUpload) -> VoiceRecord:
        voice_id = check_id(upload.id or str(uuid4()))
        if self._names.reserved(voice_id):
            raise VoiceError(f"{voice_id!r} is the name of a preset voice; choose another id")
        about = {
            "name": clean_name(upload.name),
            "filename": clean_filename(upload.filename),
            "surface": upload.surface,
            "owner": upload.owner,
            "consent": self._consent(upload.consent),
        }
        self._rows.check_room(voice_id, upload.owner, may_replace=upload.replace)
        draft = self._draft(admit_upload(upload, self._limits))
        return self._keep(draft, lambda: self._rows.put(voice_id, about | draft.columns(), may_replace=upload.replace))

    def _replace_audio(self, voice_id: str, audio: bytes, transcript: str) -> VoiceRecord:
        self._rows.find(voice_id)
        draft = self._draft(admit(audio, transcript, self._limits))
        return self._keep(draft, lambda: self._rows.change(voice_id, draft.columns()))

    def _remove(self, voice_id: str) -> None:
        self._discard(self._rows.remove(voice_id).folder)

    def _consent(self, consent: str) -> str:
        note = clean_text(consent)
        if len(note) > MAX_CONSENT:
            raise ParameterError(f"the note of consent has {len(note)} characters, at most {MAX_CONSENT} are kept")
        if self._require_consent and not note:
            raise ParameterError(
                "consent is required: send a note of who allowed to clone this voice, or the id of a recorded consent"
            )
        if note.startswith(CONSENT_PREFIX):
            require_consent_record(self._database, note)
        return note

    def _refuse_preset(self, voice_id: str) -> None:
        if voice_id in self._presets:
            raise VoiceError(f"{voice_id!r} is a preset voice, which cannot be changed or removed")

    def _draft(self, recording: Recording) -> _Draft:
        folder = uuid4().hex
        return _Draft(folder, recording, self._prepare(recording.readable, recording.transcript, folder))

    def _keep(self, draft: _Draft, write_row: Callable[[], tuple[Row, Row | None]]) -> VoiceRecord:
        """Objects first, then the row, then away with what it replaced."""
        try:
            self._objects.write(_recording_key(draft.folder), draft.recording.audio)
            self._objects.write(self._prepared_key(draft.folder), draft.prepared.data)
            row, replaced = write_row()
        except DatabaseError:
            raise  # whether the row is there is not known: if not, a sweep takes the objects
        except BaseException:
            self._discard(draft.folder)
            raise
        if replaced is not None:
            self._discard(replaced.folder)
        return record_of(row)

    def _look(self, voice_id: str, read: Callable[[Row], bytes]) -> bytes:
        """Read objects of an upload; once more if its recording was replaced in between."""
        for _ in range(2):
            row = self._rows.find(voice_id)
            try:
                return read(row)
            except FileNotFoundError:
                continue
        raise VoiceError(f"the recording of voice {voice_id!r} is lost; delete the voice and upload it again")

    def _recording(self, row: Row) -> bytes:
        return self._objects.read(_recording_key(row.folder))

    def _prepared(self, row: Row) -> bytes:
        """From the store, or made anew if it was for another model.  FileNotFoundError without the recording."""
        key = self._prepared_key(row.folder)
        try:
            return self._objects.cached(key)
        except FileNotFoundError:
            recording = with_header(self._recording(row), row.pcm_rate_hz)
            logger.info("preparing voice %r for this model", row.id)
            data = self._prepare(recording, row.transcript, row.folder).data
            self._objects.write(key, data)
            return data

    def _prepared_key(self, folder: str) -> str:
        return f"{KIND}/{folder}-prepared-{self._variant}"

    def _discard(self, folder: str) -> None:
        """Remove objects that no row names; what cannot be removed now is for the sweep."""
        for key in (_recording_key(folder), self._prepared_key(folder)):
            try:
                self._objects.remove(key)
            except Exception as error:
                logger.warning("cannot remove %s, a later start will: %s", key, error)


@dataclass(frozen=True)
class _Draft:
    """A recording admitted and prepared, but kept nowhere yet."""

    folder: str  # what its objects' keys start with
    recording: Recording
    prepared: Prepared

    def columns(self) -> dict[str, Any]:
        """Of the row: what follows from the recording."""
        return {
            "folder": self.folder,
            "transcript": self.recording.transcript or self.prepared.transcript,
            "bytes": len(self.recording.audio),
            "sha256": hashlib.sha256(self.recording.audio).hexdigest(),
            "pcm_rate_hz": self.recording.pcm_rate_hz,
            "duration_s": self.prepared.duration_s,
            "warnings": [*self.recording.warnings, *self.prepared.warnings],
        }


def _recording_key(folder: str) -> str:
    return f"{KIND}/{folder}-recording"
