"""One take: a recording made of known words in a known voice, and everything that is measured of it.

A bench makes takes one after the other and keeps them in a folder, so that a run that was cut goes on:

    takes.jsonl           the settings, then a take a line
    wavs/SYSTEM/NAME.wav  what was heard
    vectors/SYSTEM/NAME.npy

What fails is a take too, with its reason: its error rate is 1, its similarity 0, its DNSMOS 1 and its pitch wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cosy.audio.io import load_audio, save_audio
from cosy.errors import AudioError, CheckpointError, MissingDependencyError, ParameterError
from cosy.eval import quality
from cosy.eval.figures import Mean, Share
from cosy.eval.journal import Journal
from cosy.eval.meta import Prompt
from cosy.eval.recognisers import Ear, ear_for
from cosy.eval.similarity import Judge, Vector
from cosy.types import Samples

Sound = tuple[Samples, int]  # mono samples (n,) and their rate in Hz

WORST_SIMILARITY, WORST_MOS = 0.0, 1.0  # what a failure counts
CLOSE_SEMITONES = 1.5
MOST_ENTRIES = 20  # of a list of failures in a report
SAFE = re.compile(r"[^\w.\-]+")


@dataclass(frozen=True)
class Job:
    """A take to be made."""

    system: str  # what makes it: zero_shot en, recording, ...
    name: str  # differs within the system
    text: str  # what it should say; empty if that is not known
    language: str
    prompt: Prompt  # whose voice it should have
    make: Callable[[], Sound] = field(repr=False)
    is_prompt: bool = False  # it is the prompt itself, so that comparing the voice says nothing


@dataclass(frozen=True)
class Take:
    """What was measured; None where a measure does not apply or nobody was asked."""

    system: str
    name: str
    text: str
    language: str
    prompt: str  # its name
    wav: str = ""  # within the folder; empty if there is none
    seconds: float = 0.0
    heard: str = ""
    errors: int = 0
    units: int = 0
    similarity: float | None = None  # to the prompt
    semitones: float | None = None  # between the median F0 of take and prompt
    mos: float | None = None  # DNSMOS overall
    p808: float | None = None
    failure: str = ""  # why it counts the worst

    @property
    def error_rate(self) -> float | None:
        """None if no recogniser was asked."""
        return self.errors / self.units if self.units else None


@dataclass(frozen=True)
class Judges:
    """Who is asked."""

    ears: Sequence[Ear] = ()  # none: nobody listens to the words
    similarity: Judge | None = None
    mos: bool = True

    def names(self) -> dict[str, Any]:
        """For the settings of a run."""
        return {
            "recognisers": [ear.name for ear in self.ears],
            "similarity": None if self.similarity is None else self.similarity.name,
            "mos": self.mos,
        }

    def notes(self) -> list[str]:
        """What a reader of the figures must know."""
        told = [f"{ear.name}: {ear.note}" for ear in self.ears if ear.note]
        if self.similarity is not None and self.similarity.note:
            told.append(f"{self.similarity.name}: {self.similarity.note}")
        return told


class Bench:
    """Makes takes and measures them.

    `folder` keeps what was made (None: only the rows, in memory; then there are no vectors or recordings later).
    """

    def __init__(self, judges: Judges, folder: Path | None, settings: Mapping[str, Any]) -> None:
        self.judges, self.folder = judges, folder
        self._journal = Journal(folder and folder / "takes.jsonl", {**settings, **judges.names()})
        self._prompts: dict[Path, _Heard] = {}
        self._vectors: dict[tuple[str, str], Vector] = {}

    def run(self, jobs: Iterable[Job]) -> Iterator[Take]:
        """Every job's take, those made earlier as they are.  Raises ParameterError for a language nobody knows."""
        kept = {(row["system"], row["name"], row["text"]): Take(**row) for row in self._journal.rows}
        for job in jobs:
            take = kept.get((job.system, job.name, job.text))
            if take is None:
                take = self._take(job)
                self._journal.append(asdict(take))
            yield take

    def vector(self, take: Take) -> Vector | None:
        """Who speaks in a take; None if nobody could be heard."""
        known = self._vectors.get((take.system, take.name))
        if known is None and self.folder is not None:
            path = self._path("vectors", take.system, take.name, ".npy")
            known = np.load(path) if path.is_file() else None
        return known

    def vectors_of(self, prompts: Sequence[Prompt]) -> list[Vector]:
        """Who speaks in the prompts; zeros for one that cannot be heard.

        Raises ParameterError without a similarity model, or if nobody can be heard.
        """
        vectors: list[Vector | None] = []
        for prompt in prompts:
            try:
                vectors.append(self._prompt(prompt).vector)
            except AudioError:  # every take in this voice has failed and says so
                vectors.append(None)
        nobody = next((np.zeros_like(vector) for vector in vectors if vector is not None), None)
        if nobody is None:
            raise ParameterError("no voice to compare with: name a similarity model and prompts that can be heard")
        return [nobody if vector is None else vector for vector in vectors]

    def _prompt(self, prompt: Prompt) -> _Heard:
        """What is to be known of a prompt; measured once."""
        heard = self._prompts.get(prompt.wav)
        if heard is None:
            heard = self._prompts[prompt.wav] = self._hear(load_audio(prompt.wav))
        return heard

    def _take(self, job: Job) -> Take:
        ear = ear_for(job.language, self.judges.ears) if self.judges.ears and job.text else None
        units = 0 if ear is None else len(ear.expected_units(job.text, job.language))
        take = Take(job.system, job.name, job.text, job.language, job.prompt.name, units=units)
        try:
            wave, rate_hz = job.make()
            if not len(wave) or not np.any(wave):
                raise AudioError("the audio is empty" if not len(wave) else "the audio is silent")
            return self._measured(job, take, ear, (wave, rate_hz))
        except (MissingDependencyError, CheckpointError):  # nothing could be made or judged, whatever the words
            raise
        except Exception as error:  # whatever it is, it is counted
            return self._failed(job, take, f"{type(error).__name__}: {error}")

    def _failed(self, job: Job, take: Take, reason: str) -> Take:
        """The worst of everything that was asked."""
        asked = self.judges.similarity is not None and not job.is_prompt
        return replace(
            take,
            errors=take.units,
            similarity=WORST_SIMILARITY if asked else None,
            mos=WORST_MOS if self.judges.mos else None,
            p808=WORST_MOS if self.judges.mos else None,
            failure=reason,
        )

    def _measured(self, job: Job, take: Take, ear: Ear | None, sound: Sound) -> Take:
        wave, rate_hz = sound
        found: dict[str, Any] = {"seconds": len(wave) / rate_hz}
        if self.folder is not None:
            path = self._path("wavs", job.system, job.name, ".wav")
            save_audio(path, wave, rate_hz)
            found["wav"] = path.relative_to(self.folder).as_posix()
        if ear is not None:
            heard = ear.hears(wave, rate_hz, job.language)
            found |= {"heard": heard, "errors": ear.errors(heard, job.text, job.language)[0]}
            if not heard.strip():
                found["failure"] = "nothing was heard"
        own = self._hear(sound)
        if own.vector is not None:
            self._keep_vector(job, own.vector)
        if not job.is_prompt:
            found |= _compared(own, self._prompt(job.prompt))
        if self.judges.mos:
            score = quality.dnsmos(wave, rate_hz)
            found |= {"mos": score.overall, "p808": score.p808}
        return replace(take, **found)

    def _hear(self, sound: Sound) -> _Heard:
        track = quality.f0(*sound)
        voiced = track[track > 0]
        judge = self.judges.similarity
        vector = None if judge is None else judge.embeds(*sound)
        return _Heard(float(np.median(voiced)) if len(voiced) else None, vector)

    def _keep_vector(self, job: Job, vector: Vector) -> None:
        self._vectors[job.system, job.name] = vector
        if self.folder is not None:
            np.save(self._path("vectors", job.system, job.name, ".npy"), vector)

    def _path(self, kind: str, system: str, name: str, suffix: str) -> Path:
        assert self.folder is not None
        folder = self.folder / kind / SAFE.sub("_", system)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / (SAFE.sub("_", name) + suffix)


@dataclass(frozen=True)
class _Heard:
    """What voices are compared by."""

    f0_hz: float | None  # median over voiced frames; None if there are none
    vector: Vector | None


def _compared(own: _Heard, prompt: _Heard) -> dict[str, float]:
    found = {}
    if own.f0_hz and prompt.f0_hz:
        found["semitones"] = 12.0 * float(np.log2(own.f0_hz / prompt.f0_hz))
    if own.vector is not None and prompt.vector is not None:
        found["similarity"] = float(own.vector @ prompt.vector)
    return found


# --- one system's figures ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    """Of one system in one language; None where nobody was asked."""

    system: str
    language: str
    takes: int
    audio_s: float
    error_rate: Mean | None
    similarity: Mean | None
    semitones: float | None  # median of the absolute difference
    close: Share | None  # takes within 1.5 semitones of the prompt
    mos: Mean | None
    p808: Mean | None
    failures: Share

    @classmethod
    def over(cls, takes: Sequence[Take]) -> Figures:
        """Of takes of one system and one language.  Raises ValueError if there are none."""
        if not takes:
            raise ValueError("figures need at least one take")
        apart = [abs(take.semitones) for take in takes if take.semitones is not None]
        compared = any(take.semitones is not None or take.failure for take in takes)
        return cls(
            takes[0].system,
            takes[0].language,
            len(takes),
            sum(take.seconds for take in takes),
            _mean(takes, "error_rate"),
            _mean(takes, "similarity"),
            float(np.median(apart)) if apart else None,
            Share(sum(each <= CLOSE_SEMITONES for each in apart), len(takes)) if compared else None,
            _mean(takes, "mos"),
            _mean(takes, "p808"),
            Share(sum(bool(take.failure) for take in takes), len(takes)),
        )

    def as_data(self) -> dict[str, Any]:
        shares = {"close": self.close and self.close.as_data(), "failures": self.failures.as_data()}
        means = {name: getattr(self, name) for name in ("error_rate", "similarity", "mos", "p808")}
        return {
            "system": self.system,
            "language": self.language,
            "takes": self.takes,
            "audio_s": self.audio_s,
            "semitones": self.semitones,
            **{name: mean and mean.as_data() for name, mean in means.items()},
            **shares,
        }


def _mean(takes: Sequence[Take], name: str) -> Mean | None:
    return Mean.over([value for take in takes if (value := getattr(take, name)) is not None])


def by_system(takes: Iterable[Take]) -> list[Figures]:
    """A row for each system and language, in the order in which they come."""
    groups: dict[tuple[str, str], list[Take]] = {}
    for take in takes:
        groups.setdefault((take.system, take.language), []).append(take)
    return [Figures.over(group) for group in groups.values()]


HEADINGS = (
    "system",
    "language",
    "error rate %",
    "similarity",
    "F0 off, semitones",
    "F0 within 1.5",
    "DNSMOS",
    "P808",
    "failed",
    "takes",
    "audio s",
)


def table(rows: Sequence[Figures]) -> str:
    """Markdown, "-" where nothing was measured."""
    lines = [" | ".join(HEADINGS), " | ".join(["---"] * 2 + ["---:"] * (len(HEADINGS) - 2))]
    lines += [" | ".join(_cells(row)) for row in rows]
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def _cells(row: Figures) -> list[str]:
    return [
        row.system,
        row.language,
        _shown(row.error_rate, 100, 1),
        _shown(row.similarity, 1, 3),
        "-" if row.semitones is None else f"{row.semitones:.2f}",
        "-" if row.close is None else str(row.close),
        _shown(row.mos, 1, 2),
        _shown(row.p808, 1, 2),
        f"{row.failures.count}",
        f"{row.takes}",
        f"{row.audio_s:.0f}",
    ]


def _shown(mean: Mean | None, scale: float, digits: int) -> str:
    if mean is None:
        return "-"
    error = "" if np.isnan(mean.standard_error) else f" ± {scale * mean.standard_error:.{digits}f}"
    return f"{scale * mean.value:.{digits}f}{error}"


def failures(takes: Sequence[Take]) -> str:
    """A Markdown list of what failed and why; empty if nothing did."""
    failed = [take for take in takes if take.failure]
    lines = [f"- {take.system}, {take.name}: {take.failure}" for take in failed[:MOST_ENTRIES]]
    if len(failed) > MOST_ENTRIES:
        lines.append(f"- and {len(failed) - MOST_ENTRIES} more")
    return "".join(f"{line}\n" for line in lines)
