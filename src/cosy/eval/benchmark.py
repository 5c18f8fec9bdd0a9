"""A benchmark's list from beginning to end: speak it, judge it, and write a report with pictures.

    report.md  report.json     figures, settings, what failed
    plots/                     pitch contours, spectrograms, who resembles whom
    takes.jsonl  wavs/ ...     what `takes.Bench` keeps, so that a cut run goes on

Beside the model stand the recordings of the list, and those through the vocoder alone: `recording` is the target if
the list has one, else the prompt, which is then not compared with itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cosy.audio.io import load_audio
from cosy.eval import plots
from cosy.eval.cloning import COPY, RECORDING, Clones, check_mode
from cosy.eval.meta import Item, Prompt
from cosy.eval.similarity import Identification, Matrix, cosines, identify
from cosy.eval.takes import Bench, Figures, Job, Sound, Take, by_system, failures, table
from cosy.text.normalize import language_of

MODEL = "model"
MOST_IN_MATRIX = 40  # voices in the picture; the figures are of all


def jobs(
    system: Clones,
    items: Sequence[Item],
    *,
    mode: str = "zero_shot",
    language: str = "",
    references: bool = True,
    seed: int = 0,
) -> Iterator[Job]:
    """The list spoken, item i with `seed + i`; with `references` its recordings, plain and through the vocoder.

    `language` empty: that of each text.  Raises ParameterError for an unknown mode, TextError for a language.
    """
    check_mode(mode)
    if references:
        yield from _references(system, items, language)
    for i, item in enumerate(items):
        code = language_of(item.text, language)
        make = partial(system.clone, item.prompt, item.text, mode, code, seed + i)
        yield Job(MODEL, item.utt, item.text, code, item.prompt, make)


def _references(system: Clones, items: Sequence[Item], language: str) -> Iterator[Job]:
    for name in (RECORDING, COPY):
        for item in items:
            wav, text = (item.target_wav, item.text) if item.target_wav else (item.prompt.wav, item.prompt.text)
            code = language_of(text, language if item.target_wav else "")
            make = partial(load_audio, wav) if name == RECORDING else partial(_copied, system, wav)
            own = name == RECORDING and item.target_wav is None
            yield Job(name, item.utt, text, code, item.prompt, make, is_prompt=own)


def _copied(system: Clones, wav: Path) -> Sound:
    return system.copy_synthesis(*load_audio(wav))


@dataclass(frozen=True)
class Voices:
    """The model's takes against all prompts of the list."""

    scores: Matrix  # (takes, prompts)
    rows: list[str]
    columns: list[str]
    identified: Identification


def voices(bench: Bench, todo: Sequence[Job], takes: Sequence[Take]) -> Voices | None:
    """None for a list of one voice."""
    spoken = [(job, take) for job, take in zip(todo, takes, strict=True) if job.system == MODEL]
    prompts: dict[Path, Prompt] = {}
    for job, _ in spoken:
        prompts.setdefault(job.prompt.wav, job.prompt)
    if len(prompts) < 2:
        return None
    known = bench.vectors_of(list(prompts.values()))
    heard = [bench.vector(take) for _, take in spoken]
    vectors = [np.zeros_like(known[0]) if vector is None else vector for vector in heard]
    scores = cosines(vectors, known)
    owners = [list(prompts).index(job.prompt.wav) for job, _ in spoken]
    names = [prompt.name for prompt in prompts.values()]
    return Voices(scores, [take.name for _, take in spoken], names, identify(scores, owners))


@dataclass(frozen=True)
class Benchmark:
    """Everything a report says."""

    takes: Sequence[Take]
    voices: Voices | None
    notes: Sequence[str]
    settings: dict[str, Any]

    @property
    def figures(self) -> list[Figures]:
        return by_system(self.takes)

    def as_data(self) -> dict[str, Any]:
        return {
            "settings": self.settings,
            "figures": [row.as_data() for row in self.figures],
            "identified": self.voices and self.voices.identified.as_data(),
            "notes": list(self.notes),
            "takes": [{**asdict(take), "error_rate": take.error_rate} for take in self.takes],
        }

    def markdown(self, pictures: Sequence[Path] = ()) -> str:
        """`pictures` are named relative to the report."""
        parts = [
            "The error rate is the mean of utterance rates; what failed counts 1, with similarity 0 and DNSMOS 1.\n",
            table(self.figures),
        ]
        if self.voices is not None:
            told = self.voices.identified
            parts.append(
                f"The right one of {told.voices} prompts: {told.right}; cosine to the own prompt "
                f"{told.matched.value:.3f}, to another {told.unmatched.value:.3f}; equal error rate "
                f"{100 * told.equal_error_rate:.1f} %.\n"
            )
        failed = failures(self.takes)
        parts += [f"Failed:\n\n{failed}"] if failed else []
        parts += ["".join(f"- {note}\n" for note in self.notes)] if self.notes else []
        parts += [f"![{path.stem}]({path.as_posix()})\n" for path in pictures]
        return "\n".join(parts)


def draw(folder: Path, items: Sequence[Item], benchmark: Benchmark, count: int) -> list[Path]:
    """Pictures of the first `count` items that were spoken, and of the voices; returns paths relative to `folder`."""
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    spoken = {take.name: take for take in benchmark.takes if take.system == MODEL and take.wav}
    drawn: list[Path] = []
    for number, item in enumerate([item for item in items if item.utt in spoken][:count]):
        sounds = {"prompt": load_audio(item.prompt.wav)}
        if item.target_wav is not None:
            sounds["target"] = load_audio(item.target_wav)
        sounds["model"] = load_audio(folder / spoken[item.utt].wav)
        for kind, picture in (("pitch", plots.pitch_contours), ("spectrogram", plots.spectrograms)):
            drawn.append(Path("plots") / f"{kind}_{number}.png")
            picture(folder / drawn[-1], sounds)
    if benchmark.voices is not None:
        drawn.append(Path("plots") / "similarity.png")
        told, most = benchmark.voices, MOST_IN_MATRIX
        plots.similarity_matrix(folder / drawn[-1], told.scores[:most, :most], told.rows[:most], told.columns[:most])
    return drawn
