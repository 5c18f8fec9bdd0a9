"""`cosy voice`: keep recordings as voices, and see which there are."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cosy.errors import CheckpointError

if TYPE_CHECKING:
    from cosy.cli.tools import Tools
    from cosy.voices.store import VoiceLibrary, VoiceStore
    from cosy.voices.voice import VoiceInfo

voice_app = typer.Typer(no_args_is_help=True, help="Add, list, show and remove voices.")

Model = Annotated[Path | None, typer.Option(help="Model directory; by default COSY_MODEL, else the bundled one.")]
Voices = Annotated[Path | None, typer.Option(help="Folder of registered voices; by default COSY_VOICES.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="Name of a voice.")]


@voice_app.command()
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What to call the voice.")],
    audio: Annotated[Path, typer.Argument(help="A recording of one speaker, 3 to 30 s.", exists=True, dir_okay=False)],
    text: Annotated[str, typer.Option(help="What is said in the recording; the voice is closer with it.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Replace a voice of that name.")] = False,
    trim: Annotated[bool, typer.Option("--trim/--no-trim", help="Cut silence at both ends.")] = True,
    model: Model = None,
    voices: Voices = None,
    as_json: Json = False,
) -> None:
    """Prepare a voice from a recording and keep it."""
    tools: Tools = ctx.obj
    from cosy.voices.voice import check_name

    check_name(name)
    cosy = tools.load(model, voices=voices)
    info = cosy.add_voice(name, audio, text, trim=trim, replace=replace).info
    for warning in info.warnings:
        _chatter(f"warning: {warning}")
    if not text:
        _chatter("note: without --text the voice can be cloned but its recording not continued (cross-lingual mode)")
    typer.echo(_json(_as_dict(info)) if as_json else info.name)


@voice_app.command("list")
def list_voices(ctx: typer.Context, model: Model = None, voices: Voices = None, as_json: Json = False) -> None:
    """List the model's preset voices, then the registered ones."""
    found = _library(ctx, model, voices).list()
    if as_json:
        typer.echo(_json([_as_dict(info) for info in found]))
        return
    width = max((len(info.name) for info in found), default=0)
    for info in found:
        typer.echo(f"{info.name:<{width}}  {_kind(info)}".rstrip())


@voice_app.command()
def show(ctx: typer.Context, name: Name, model: Model = None, voices: Voices = None, as_json: Json = False) -> None:
    """Tell everything known of a voice."""
    info = _library(ctx, model, voices).info(name)
    if as_json:
        typer.echo(_json(_as_dict(info)))
        return
    for key, value in _as_dict(info).items():
        for line in value if isinstance(value, (list, tuple)) else [value]:
            typer.echo(f"{key}: {line}")


@voice_app.command()
def rm(ctx: typer.Context, name: Name, model: Model = None, voices: Voices = None, as_json: Json = False) -> None:
    """Remove a registered voice."""
    _library(ctx, model, voices).remove(name)
    typer.echo(_json({"removed": name}) if as_json else name)


def _library(ctx: typer.Context, model: Path | None, voices: Path | None) -> VoiceLibrary | VoiceStore:
    """Presets and registered voices; without a usable default model the registered ones, and a note that says so."""
    tools: Tools = ctx.obj
    try:
        return tools.open_voices(model, voices)
    except CheckpointError as error:
        if model is not None:
            raise
        from cosy.voices.store import VoiceStore

        _chatter(f"note: preset voices are unknown: {error}")
        return VoiceStore(voices)


def _kind(info: VoiceInfo) -> str:
    prompt = f"{info.duration_s:.1f} s" if info.duration_s else "no recording"
    return "  ".join([prompt, *(["preset"] if info.preset else []), info.transcript])


def _as_dict(info: VoiceInfo) -> dict[str, Any]:
    return {**asdict(info), "warnings": list(info.warnings)}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _chatter(message: str) -> None:
    typer.echo(message, err=True)
