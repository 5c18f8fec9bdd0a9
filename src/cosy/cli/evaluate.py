"""`cosy eval`: measure what a model directory says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cosy.errors import AudioError, MissingFileError

if TYPE_CHECKING:
    from cosy.eval.intelligibility import Sound

eval_app = typer.Typer(no_args_is_help=True, help="Measure what a model says.")

TEACHER = "slt"  # the voice the bundled checkpoint learned from


@eval_app.callback()
def _group() -> None:
    """Keeps `intelligibility` a sub-command while it is the only one."""


@eval_app.command()
def intelligibility(
    model: Annotated[Path | None, typer.Option(help="Model directory; by default the bundled checkpoint.")] = None,
    teacher_dir: Annotated[
        Path | None, typer.Option(help="Teacher recordings 0.wav, 1.wav, ...: everyday sentences, then slot sentences.")
    ] = None,
    count: Annotated[int, typer.Option(min=2, help="Slot sentences beside the 20 everyday ones.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Sentence i is spoken with SEED + i.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write figures and hearings here.")] = None,
    md_file: Annotated[Path | None, typer.Option("--md", help="Write the table here, too.")] = None,
) -> None:
    """Word error rates of an offline recogniser, DNSMOS and F0 correlation, beside teacher, chance and noise.

    Needs the extra cosy[eval].  Without --teacher-dir the teacher speaks on the fly where festival is installed;
    otherwise its rows are left out.
    """
    from cosy.eval.intelligibility import acceptance_sentences, compare
    from cosy.eval.report import as_data, markdown

    sentences = acceptance_sentences(count)
    teacher = _read(teacher_dir, len(sentences)) if teacher_dir else _synthesise(sentences)
    if teacher is None:
        typer.echo("festival is not installed: the rows that need teacher recordings are left out", err=True)
    from cosy.eval.speaker import open_speaker  # only now: missing recordings are told before a model is loaded

    rows = compare(open_speaker(model), sentences, teacher, seed)
    table = markdown(rows)
    typer.echo(table, nl=False)
    if md_file is not None:
        md_file.write_text(table, encoding="utf-8")
    if json_file is not None:
        json_file.write_text(json.dumps(as_data(rows), indent=1) + "\n", encoding="utf-8")


def _read(folder: Path, count: int) -> list[Sound]:
    """Recordings `0.wav` .. of every sentence, mono.  Raises MissingFileError, AudioError."""
    import soundfile

    sounds: list[Sound] = []
    for i in range(count):
        path = folder / f"{i}.wav"
        if not path.is_file():
            raise MissingFileError(f"{path} is absent: the teacher folder needs 0.wav to {count - 1}.wav")
        wave, rate_hz = soundfile.read(path, dtype="float32")
        if wave.ndim != 1:
            raise AudioError(f"{path} has {wave.shape[1]} channels: teacher recordings must be mono")
        sounds.append((wave, rate_hz))
    return sounds


def _synthesise(sentences: tuple[str, ...]) -> list[Sound] | None:
    """The teacher's recordings, made now; None where its program is not installed."""
    if shutil.which("festival") is None:
        return None
    from cosy.train.data.teachers import synthesise

    return [(utterance.audio, utterance.rate_hz) for utterance in synthesise(TEACHER, sentences)]
