"""`cosy model`: fetch, check, convert, describe and combine model directories."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cosy.errors import ParameterError

if TYPE_CHECKING:
    from cosy.checkpoint.check import Report

model_app = typer.Typer(no_args_is_help=True, help="Fetch, check, convert, describe and combine model directories.")


class Source(str, Enum):
    huggingface = "huggingface"
    modelscope = "modelscope"


class WeightFormat(str, Enum):
    safetensors = "safetensors"
    pt = "pt"


class Dtype(str, Enum):
    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


@model_app.command()
def pull(
    name: Annotated[str, typer.Argument(help="A known model (CosyVoice2-0.5B) or OWNER/REPOSITORY.")],
    to: Annotated[Path | None, typer.Option(help="Target directory; by default the model's name, here.")] = None,
    source: Annotated[Source, typer.Option(help="The hub to fetch from.")] = Source.huggingface,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit.")] = None,
) -> None:
    """Fetch a model directory; run again to continue an interrupted transfer.

    About 3.2 GB for CosyVoice2-0.5B; files that are never needed are not fetched.
    """
    from cosy.checkpoint.pull import connect, resolve
    from cosy.checkpoint.pull import pull as pull_model

    target = to or Path(name.rpartition("/")[2])
    resolve(name, source.value)  # a wrong name is reported before a missing package
    hub = connect(source.value)
    pull_model(name, target, hub=hub, source=source.value, revision=revision, progress=_chatter)
    _chatter(f"done; 'cosy model check {target}' examines it")
    typer.echo(str(target))


@model_app.command()
def check(
    directory: Annotated[Path, typer.Argument(help="A model directory.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
    hash_files: Annotated[bool, typer.Option("--hash", help="Also compute SHA-256 checksums.")] = False,
    list_keys: Annotated[bool, typer.Option("--keys", help="Also list every tensor and its shape.")] = False,
) -> None:
    """Say what a model directory holds, what is wrong with it and what works.  Exit status 1 if anything is wrong."""
    from cosy.checkpoint.check import check_directory

    report = check_directory(directory, hash_files=hash_files, list_keys=list_keys)
    typer.echo(json.dumps(report.as_dict(), ensure_ascii=False) if as_json else _text(report))
    raise typer.Exit(0 if report.ok else 1)


@model_app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A model directory.")],
    target: Annotated[Path, typer.Argument(help="The new directory; it must not exist.")],
    to: Annotated[WeightFormat, typer.Option(help="Format of the weight files.")] = WeightFormat.safetensors,
    dtype: Annotated[
        Dtype, typer.Option(help="Type of the language model's and the flow's weights; the vocoder stays float32.")
    ] = Dtype.float32,
) -> None:
    """Write a model directory anew, as .pt or safetensors, in another precision."""
    from cosy.checkpoint.convert import convert as convert_model

    convert_model(source, target, weights=to.value, dtype=dtype.value)
    typer.echo(str(target))


@model_app.command()
def merge(
    source: Annotated[Path, typer.Argument(help="A model directory.")],
    adapters: Annotated[list[Path], typer.Argument(help="Adapter files, as `cosy train --lora` writes them.")],
    out: Annotated[Path, typer.Option(help="The new directory; it must not exist.", show_default=False)],
) -> None:
    """Add adapters to the weights of a model directory."""
    from cosy.checkpoint.adapter import merge as merge_adapters

    typer.echo(str(merge_adapters(source, adapters, out)))


@model_app.command()
def average(
    sources: Annotated[list[Path], typer.Argument(help="Folders of runs of one kind, or model directories.")],
    out: Annotated[Path, typer.Option(help="The new directory; it must not exist.", show_default=False)],
) -> None:
    """Write a model directory whose weights are the mean of several."""
    from cosy.train.average import average as average_all

    typer.echo(str(average_all(sources, out)))


@model_app.command("export-onnx")
def export_onnx(
    run: Annotated[Path, typer.Argument(help="Folder of a tokenizer's or a speaker encoder's run.")],
    out: Annotated[Path, typer.Option(help="The file to write.", show_default=False)],
) -> None:
    """Write a trained front end as ONNX, with the official names of inputs and outputs; needs cosy[train]."""
    from cosy.train.runs import Run

    typer.echo(str(Run.read(run).export_onnx(out)))


@model_app.command()
def card(
    directory: Annotated[Path, typer.Argument(help="A model directory.")],
    figures: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="JSON of a measuring command, such as cosy eval, to include."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; by default the card is printed.")] = None,
) -> None:
    """Describe a model directory: networks, sizes, voices, how it came about, and what was measured."""
    from cosy.checkpoint.card import card as describe

    text = describe(directory, None if figures is None else _json(figures))
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
        typer.echo(str(out))


def _json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ParameterError(f"{path} is not JSON: {error}") from error


def _chatter(message: str) -> None:
    typer.echo(message, err=True)


_VERDICTS = {True: " (official)", False: " (not the official file)", None: ""}


def _text(report: Report) -> str:
    width = max((len(file.name) for file in report.files), default=0)
    lines = [report.directory]
    for file in report.files:
        details = [f"{file.size_bytes / 1e6:10.2f} MB"]
        if file.keys is not None:
            details.append(f"{file.keys} tensors, {file.parameters:,} numbers, {file.dtype}")
        if file.sha256:
            details.append(f"sha256 {file.sha256}{_VERDICTS[file.official]}")
        lines.append(f"  {file.name:<{width}} {'  '.join(details)}")
        lines += [f"    {key} {list(shape)}" for key, shape in (file.shapes or {}).items()]
    if report.speakers:
        lines.append(f"preset voices: {', '.join(report.speakers)}")
    if report.not_used:
        lines.append(f"not used: {', '.join(report.not_used)}")
    lines += [f"note: {note}" for note in report.notes]
    lines += [f"works: {'yes' if works else 'no '}  {what}" for what, works in report.works.items()]
    for problem in report.problems:
        lines.append(f"problem: {problem.file}: {problem.message}\n  remedy: {problem.remedy}")
    return "\n".join(lines)
