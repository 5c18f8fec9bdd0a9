"""`cosy doctor`: what is here, what is missing, and what to do about it."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from cosy.errors import CheckpointError, CosyError

NOT_READY = 3  # the exit status when `cosy say` would not work
LOW_DISK_BYTES = 1e9
CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")  # as Linux spells them
PROBED_EXTRAS = ("play",)  # whose packages can be installed and yet lack their library
UNREPORTED_EXTRAS = ("dev",)  # nothing a user misses
SYSTEM_REMEDIES = {"sounddevice": "; on Linux also apt install libportaudio2"}
DECODED_CONTAINERS = {"m4a": "mov", "webm": "matroska"}  # read, not written: file extension -> FFmpeg's name


class Status(str, Enum):
    OK = "ok"
    NOTE = "note"  # something optional is missing
    PROBLEM = "problem"  # `cosy say` would not work


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    topic: str
    summary: str
    status: Status = Status.OK
    remedy: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


Check = Callable[[], Iterable[Finding]]


def doctor(
    model: Annotated[
        Path | None, typer.Option(help="Model directory; by default COSY_MODEL, else the bundled one.")
    ] = None,
    voices: Annotated[Path | None, typer.Option(help="Folder of registered voices; by default COSY_VOICES.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Examine this installation.

    Packages, processor, model, voices, formats: what is here, what is missing, and what to do about it.
    Exit status 3 if 'cosy say' cannot work.
    """
    findings = examine(model, voices)
    ready = all(finding.status is not Status.PROBLEM for finding in findings)
    if as_json:
        report = {"ok": ready, "findings": [asdict(finding) for finding in findings]}
        typer.echo(json.dumps(report, ensure_ascii=False))
    else:
        typer.echo("\n".join(_text(findings)))
        typer.echo("cosy say works" if ready else "cosy say does not work yet: see the problems above")
    raise typer.Exit(0 if ready else NOT_READY)


def examine(model: Path | None = None, voices: Path | None = None) -> list[Finding]:
    """Every finding.  A check that cannot run is a problem of its own; nothing is raised."""
    checks: dict[str, Check] = {
        "python": _python,
        "packages": _packages,
        "processor": _processor,
        "model": lambda: _model(model),
        "voices": lambda: _voices(voices),
        "formats": _formats,
    }
    findings: list[Finding] = []
    for topic, check in checks.items():
        try:
            findings += check()
        except (CosyError, ImportError, OSError) as error:
            findings.append(
                Finding(topic, f"cannot be examined: {error}", Status.PROBLEM, "pip install --upgrade cosy")
            )
    return findings


def _python() -> Iterator[Finding]:
    version = importlib.metadata.version("cosy")
    yield Finding("cosy", version, facts={"version": version, "path": str(Path(__file__).parents[1])})
    yield Finding(
        "python",
        f"{platform.python_version()} on {platform.platform()}",
        facts={"version": platform.python_version(), "platform": platform.platform()},
    )


@dataclass(frozen=True)
class _Requirement:
    name: str
    extra: str = ""  # empty: needed always


def _requirements() -> list[_Requirement]:
    """What the package's own metadata asks for, each package once."""
    found: dict[str, _Requirement] = {}
    for line in importlib.metadata.requires("cosy") or []:
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra == ['\"](\w+)['\"]", line)
        assert name is not None, line
        needed = _Requirement(name[0], extra[1] if extra else "")
        if needed.extra not in UNREPORTED_EXTRAS:
            found.setdefault(needed.name, needed)
    return list(found.values())


def _packages() -> Iterator[Finding]:
    for needed in _requirements():
        version, trouble = _probe(needed)
        if not trouble:
            yield Finding(needed.name, version, facts={"version": version, "extra": needed.extra})
            continue
        remedy = f"pip install 'cosy[{needed.extra}]'" if needed.extra else f"pip install {needed.name}"
        remedy += SYSTEM_REMEDIES.get(needed.name, "")
        status = Status.NOTE if needed.extra else Status.PROBLEM
        yield Finding(needed.name, trouble, status, remedy, {"version": version or None, "extra": needed.extra})


def _probe(needed: _Requirement) -> tuple[str, str]:
    """The installed version, and what is wrong: each empty if there is none."""
    try:
        distribution = importlib.metadata.distribution(needed.name)
    except importlib.metadata.PackageNotFoundError:
        return "", "not installed"
    if needed.extra and needed.extra not in PROBED_EXTRAS:
        return distribution.version, ""  # importing all of them would take long
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other people's deprecations
            importlib.import_module(_module_of(distribution))
    except (ImportError, OSError) as error:
        return distribution.version, f"{distribution.version} is installed but does not work: {error}"
    return distribution.version, ""


def _module_of(distribution: importlib.metadata.Distribution) -> str:
    """The module to import: `yaml` of pyyaml."""
    tops = {file.parts[0].removesuffix(".py") for file in distribution.files or [] if file.suffix == ".py"}
    own = distribution.metadata["Name"].lower().replace("-", "_")
    modules = sorted(top for top in tops if top.isidentifier() and not top.startswith("_"))
    return own if own in modules or not modules else modules[0]


def _processor() -> Iterator[Finding]:
    import torch

    flags = [flag for flag in _cpu_flags() if flag in CPU_FLAGS]
    capability = torch.backends.cpu.get_cpu_capability()
    yield Finding(
        "processor",
        f"{torch.get_num_threads()} threads on {os.cpu_count()} cores, {capability}"
        + (f" ({', '.join(flags)})" if flags else ""),
        facts={
            "threads": torch.get_num_threads(),
            "cores": os.cpu_count(),
            "capability": capability,
            "flags": flags,
            "bf16": any("bf16" in flag for flag in flags),
        },
    )
    yield Finding("gpu", ", ".join(_gpus()) or "none: everything runs on the processor", facts={"gpus": _gpus()})


def _cpu_flags() -> list[str]:
    """What Linux tells of the processor; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    return next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])


def _gpus() -> list[str]:
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return [*names, "mps"] if torch.backends.mps.is_available() else names


def _model(directory: Path | None) -> Iterator[Finding]:
    from cosy.api import find_model
    from cosy.checkpoint.check import check_directory

    try:
        path = find_model(directory)
    except CheckpointError as error:
        yield Finding("model", str(error), Status.PROBLEM)
        return
    report = check_directory(path)
    for problem in report.problems:
        yield Finding(f"model {problem.file}", problem.message, Status.NOTE, problem.remedy)
    speaks = report.works.get("speak with a saved voice", False)
    can = ", ".join(what for what, works in report.works.items() if works)
    yield Finding(
        "model",
        f"{path}: can {can}" if can else f"{path}: cannot be used",
        Status.OK if speaks else Status.PROBLEM,
        "" if speaks else f"cosy model check {path}",
        report.as_dict(),
    )


def _voices(folder: Path | None) -> Iterator[Finding]:
    from cosy.voices.store import VoiceStore

    store = VoiceStore(folder)
    for name in store.names():
        try:
            store.info(name)
        except CosyError as error:
            yield Finding(f"voice {name}", str(error), Status.NOTE)
    place = _first_existing(store.directory)
    writable, free = os.access(place, os.W_OK), shutil.disk_usage(place).free
    yield Finding(
        "voices",
        f"{len(store.names())} in {store.directory}" + ("" if writable else ", which cannot be written"),
        Status.OK if writable else Status.NOTE,
        "" if writable else "choose another folder with COSY_VOICES",
        {"directory": str(store.directory), "names": store.names(), "writable": writable},
    )
    low = free < LOW_DISK_BYTES
    yield Finding(
        "disk",
        f"{free / 1e9:.1f} GB free",
        Status.NOTE if low else Status.OK,
        "make room before fetching a model" if low else "",
        {"free_bytes": free},
    )


def _first_existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.resolve().parents) if folder.exists())


def _formats() -> Iterator[Finding]:
    import av
    import numpy as np

    from cosy.audio.encode import FORMATS, encode
    from cosy.audio.io import load_audio

    written, read, failed = [], [], []
    for name in FORMATS:
        try:
            data = encode(np.zeros(4800, dtype=np.float32), name, 24_000)
            written.append(name)
            if name != "pcm":  # has no header to tell it by
                load_audio(data)
                read.append(name)
        except (CosyError, av.error.FFmpegError) as error:
            failed.append(f"{name}: {error}")
    read += [name for name, container in DECODED_CONTAINERS.items() if container in av.formats_available]
    yield Finding("writes", ", ".join(written), facts={"formats": written})
    yield Finding("reads", ", ".join(read), facts={"formats": read})
    if failed:
        yield Finding("formats", "; ".join(failed), Status.NOTE, "pip install --upgrade av soundfile")


def _text(findings: list[Finding]) -> Iterator[str]:
    width = max(len(finding.topic) for finding in findings)
    for finding in findings:
        yield f"{finding.status.value:<7}  {finding.topic:<{width}}  {finding.summary}"
        if finding.remedy:
            yield f"{'':<7}  {'':<{width}}  remedy: {finding.remedy}"
