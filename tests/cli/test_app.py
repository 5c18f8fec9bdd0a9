from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cosy import errors
from cosy.cli.app import exit_status
from cosy.errors import CheckpointError, CosyError, EngineError, InputError, MissingDependencyError
from tests.cli.fakes import FakeCosy, run

HEAVY = {"torch", "numpy", "onnxruntime", "av", "soundfile", "soxr", "wetext", "safetensors", "tokenizers", "rich"}
ROOT = Path(__file__).parents[2]
SLOW_SPEAKER = """
import signal
import time
from cosy.cli.app import main
from tests.cli.fakes import FakeCosy

class Slow(FakeCosy):
    def stream(self, *arguments, **options):
        for chunk in super().stream(*arguments, **options):
            yield chunk
            time.sleep({pause})

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
main(Slow().tools)
"""


def program(script: str, *arguments: str | Path, **options: object) -> subprocess.Popen[bytes]:
    """A Python program that serves as `cosy`, in the repository's root."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )  # type: ignore[call-overload,no-any-return]


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom cosy.cli.app import app\ntry: app()\n"
        "except SystemExit: print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    process = program(script, "--help")
    stdout, stderr = process.communicate(timeout=60)
    assert b"CosyVoice 2: speech from text" in stdout
    assert not HEAVY & set(stderr.decode().split())


@pytest.mark.parametrize("command", ["say", "voice", "model", "text", "eval", "doctor"])
def test_every_command_has_help(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"Usage: cosy {command}" in result.stdout or f"Usage: root {command}" in result.stdout


def test_version() -> None:
    assert run("--version").stdout == f"cosy {importlib.metadata.version('cosy')}\n"


def test_an_unknown_command_is_a_usage_error() -> None:
    assert run("sing").exit_code == 2


def test_every_error_has_the_exit_status_of_its_kind() -> None:
    expected = {InputError: 2, CheckpointError: 3, MissingDependencyError: 4, EngineError: 1}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CosyError)]
    for kind in kinds:
        error = kind("x", 1.0) if kind is errors.OverloadedError else kind("x")
        families = [status for family, status in expected.items() if issubclass(kind, family)]
        assert exit_status(error) == (families[0] if families else 1)


def test_verbose_logs_to_standard_error_and_leaves_no_handler() -> None:
    class Talkative(FakeCosy):
        def load(self, *arguments: object, **options: object) -> FakeCosy:
            logging.getLogger("cosy.test").info("loading")
            return self

    result = run("-v", "say", "Hi.", "-o", "-", cosy=Talkative())
    assert "loading" in result.stderr
    assert result.stdout_bytes[:4] == b"RIFF"
    assert "loading" not in run("say", "Hi.", "-o", "-", cosy=Talkative()).stderr
    assert not logging.getLogger("cosy").handlers


def test_audio_flows_through_a_pipe_while_it_is_made() -> None:
    with program(SLOW_SPEAKER.format(pause=0.2), "say", "Hello.", "-o", "-", "--stream", "--format", "pcm") as process:
        assert process.stdout is not None
        head = process.stdout.read(12_000)  # the first chunk
        assert process.poll() is None, "the rest is still to be made"
        rest = process.stdout.read()
    assert len(head + rest) == 48_000
    assert process.returncode == 0


def test_a_reader_that_leaves_ends_the_speech_quietly() -> None:
    with program(SLOW_SPEAKER.format(pause=0.1), "say", "One. Two. Three.", "-o", "-", "--stream") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(100)
        process.stdout.close()
        stderr = process.stderr.read()
    assert process.returncode == 141
    assert stderr == b""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_being_interrupted_leaves_no_half_file(tmp_path: Path, number: signal.Signals, status: int) -> None:
    with program(
        SLOW_SPEAKER.format(pause=1), "say", "One. Two. Three.", "-o", tmp_path / "a.wav", "--stream"
    ) as process:
        until = time.monotonic() + 60
        while not any(path.stat().st_size > 100 for path in tmp_path.iterdir()):
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == status
    assert b"Traceback" not in stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_real_model_speaks_into_a_pipe(small_model_dir: Path, tmp_path: Path) -> None:
    script = "from cosy.cli.app import main; main()"
    with program(script, "say", "Hi.", "-o", "-", "--model", small_model_dir, "--voices", tmp_path) as process:
        stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr.decode()
    assert stdout[:4] == b"RIFF"
    told = run("say", "Hi.", "-o", tmp_path / "a.wav", "--json", "--seed", "1", "--model", small_model_dir)
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["seed"] == 1
