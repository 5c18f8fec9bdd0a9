"""Does a clone sound like the one it was cloned from?  N prompts, held-out sentences, and who is mistaken for whom.

Rows beside the clones say what the figures are worth: `recording`, another recording of the same speaker, where there
is one, and `copy synthesis`, the prompt itself through the vocoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any, Protocol

import numpy as np

from cosy.audio.io import load_audio
from cosy.errors import ParameterError
from cosy.eval.meta import Prompt
from cosy.eval.similarity import Identification, Matrix, Vector, cosines, identify
from cosy.eval.takes import Figures, Job, Sound, Take, by_system, failures, table
from cosy.text.normalize import language_of
from cosy.types import Samples

MODES = ("zero_shot", "cross_lingual")
RECORDING, COPY = "recording", "copy synthesis"


class Clones(Protocol):
    """The system under test."""

    def clone(self, prompt: Prompt, text: str, mode: str, language: str, seed: int) -> Sound:
        """A text in the voice of a prompt."""
        ...

    def copy_synthesis(self, wave: Samples, rate_hz: int) -> Sound:
        """The vocoder alone: wave -> mel -> wave."""
        ...


VectorOf = Callable[[Take], Vector | None]


def jobs(
    system: Clones,
    prompts: Sequence[Prompt],
    sentences: Mapping[str, Sequence[str]],
    *,
    modes: Sequence[str] = MODES,
    each: int = 2,
    seed: int = 0,
) -> Iterator[Job]:
    """Everything to be made: the rows to compare with, then `each` sentences a prompt, language and mode.

    `sentences`: language -> texts; prompts take them in turn.  Raises ParameterError for fewer than two prompts, an
    unknown mode, or no sentences.
    """
    _check(prompts, sentences, modes)
    for prompt in prompts:
        language = language_of(prompt.text)
        if prompt.other is not None:
            # what is said there is not known, so only the voice counts
            yield Job(RECORDING, prompt.name, "", language, prompt, partial(load_audio, prompt.other))
        make = partial(_copied, system, prompt)
        yield Job(COPY, prompt.name, prompt.text, language, prompt, make)
    for mode in modes:
        for language, texts in sentences.items():
            for number in range(len(prompts) * each):
                prompt, text = prompts[number // each], texts[number % len(texts)]
                make = partial(system.clone, prompt, text, mode, language, seed + number)
                yield Job(f"{mode} {language}", f"{prompt.name}-{number % each}", text, language, prompt, make)


def _copied(system: Clones, prompt: Prompt) -> Sound:
    return system.copy_synthesis(*load_audio(prompt.wav))


def _check(prompts: Sequence[Prompt], sentences: Mapping[str, Sequence[str]], modes: Sequence[str]) -> None:
    names = [prompt.name for prompt in prompts]
    if len(names) < 2 or len(set(names)) < len(names):
        raise ParameterError(f"two prompts or more with different names are needed, got {', '.join(names) or 'none'}")
    if not sentences or not all(sentences.values()):
        raise ParameterError("there is nothing to say: give sentences in every language")
    for mode in modes:
        check_mode(mode)


def check_mode(mode: str) -> None:
    """Raises ParameterError for a mode that clones nothing."""
    if mode not in MODES:
        raise ParameterError(f"unknown mode {mode!r}; choose of {', '.join(MODES)}")


@dataclass(frozen=True)
class Cloning:
    """Figures, and how well voices are told apart."""

    voices: tuple[str, ...]
    figures: list[Figures]
    identified: dict[str, Identification]  # by system: takes against the prompts
    across: dict[str, Identification]  # by pair of systems: takes of one against the voices of the other
    similarity: Matrix  # (N, N): the clones of a voice, averaged, against every prompt
    takes: list[Take]

    @classmethod
    def over(
        cls, takes: Sequence[Take], prompts: Sequence[Prompt], prompt_vectors: Sequence[Vector], of: VectorOf
    ) -> Cloning:
        """`prompt_vectors` are the N prompts' own; `of` tells a take's, None for one that could not be heard."""
        names = tuple(prompt.name for prompt in prompts)
        groups = {system: [t for t in takes if t.system == system] for system in dict.fromkeys(t.system for t in takes)}
        width = len(prompt_vectors[0])
        vectors = {system: [_or_zeros(of(take), width) for take in group] for system, group in groups.items()}
        owners = {system: [names.index(take.prompt) for take in group] for system, group in groups.items()}
        identified = {s: identify(cosines(vectors[s], prompt_vectors), owners[s]) for s in groups}
        means = {s: _mean_vectors(vectors[s], owners[s], len(names)) for s in groups}
        across = {
            f"{a} / {b}": identify(cosines(vectors[a], means[b]), owners[a])
            for a, b in combinations([s for s in groups if s not in (RECORDING, COPY)], 2)
            if a.split()[0] == b.split()[0]  # the same mode in another language
        }
        clones = [s for s in groups if s not in (RECORDING, COPY)]
        all_means = [np.mean([means[s][i] for s in clones], axis=0) for i in range(len(names))]
        return cls(names, by_system(takes), identified, across, cosines(all_means, prompt_vectors), list(takes))

    def as_data(self) -> dict[str, Any]:
        return {
            "voices": self.voices,
            "figures": [row.as_data() for row in self.figures],
            "identified": {name: each.as_data() for name, each in self.identified.items()},
            "across_languages": {name: each.as_data() for name, each in self.across.items()},
            "similarity": self.similarity.tolist(),
        }

    def markdown(self) -> str:
        """Tables: the figures, the right one of N, the same across languages; then what failed."""
        parts = [table(self.figures), _identified("of the prompts", self.identified)]
        if self.across:
            parts.append(_identified("of the same mode's clones in the other language", self.across))
        failed = failures(self.takes)
        return "\n".join([*parts, failed] if failed else parts)


def _identified(title: str, rows: Mapping[str, Identification]) -> str:
    voices = next(iter(rows.values())).voices
    lines = [
        f"| the right one of {voices}, {title} | right | above the mean | nearer than another "
        "| matched | unmatched | EER |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in rows.items():
        means = f"{row.matched.value:.3f} | {row.unmatched.value:.3f}"
        shares = f"{row.right} | {row.above} | {row.closer}"
        lines.append(f"| {name} | {shares} | {means} | {100 * row.equal_error_rate:.1f} % |")
    return "\n".join(lines) + "\n"


def _or_zeros(vector: Vector | None, width: int) -> Vector:
    return np.zeros(width, dtype=np.float32) if vector is None else vector


def _mean_vectors(vectors: Sequence[Vector], owners: Sequence[int], voices: int) -> list[Vector]:
    """The middle of each voice's vectors, of length 1; zeros for one without."""
    means = []
    for voice in range(voices):
        total = np.sum([v for v, owner in zip(vectors, owners, strict=True) if owner == voice], axis=0)
        norm = float(np.linalg.norm(total))
        means.append(np.asarray(total / norm if norm else np.zeros_like(vectors[0]), dtype=np.float32))
    return means
