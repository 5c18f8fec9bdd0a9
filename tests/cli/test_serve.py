"""`cosy serve`, `cosy keys` and `cosy usage`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx
import pytest
import typer
from typer.testing import CliRunner, Result

from cosy.cli.app import Commands
from cosy.cli.compose import opened_database
from cosy.cli.keys import keys_app, usage
from cosy.cli.serve import parse_assignments, serve, serve_until_told
from cosy.errors import CosyError, ParameterError
from cosy.server.settings import Settings
from cosy.server.store.usage import Usage

app = typer.Typer(cls=Commands)
app.command()(serve)
app.command()(usage)
app.add_typer(keys_app, name="keys")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_assignments_are_names_and_values() -> None:
    found = parse_assignments(["max_active=3", 'api_keys=["a"]', "public_url=http://x/?a=b"])
    assert found == {"max_active": "3", "api_keys": ["a"], "public_url": "http://x/?a=b"}
    with pytest.raises(ParameterError, match="name=value"):
        parse_assignments(["max_active"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "max_activ=3"], "did you mean 'max_active'"),
        (["--set", "max_active=none"], "setting 'max_active' of the command line"),
        (["--config", "/nowhere.toml"], "cannot read the settings file"),
    ],
)
def test_wrong_settings_are_named(arguments: list[str], message: str) -> None:
    result = run("serve", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"host": "203.0.113.1"}, "cannot listen on 203.0.113.1"),
        ({"host": "0.0.0.0"}, "cosy keys add"),
        ({"model": "/no/such/model"}, "/no/such/model"),
        ({"presets_dir": "/no/such/folder"}, "/no/such/folder"),
        ({"default_voice": "nobody"}, "nobody"),
        ({"database_url": "mysql://x"}, "must be sqlite"),
    ],
)
def test_a_server_that_cannot_begin_says_why(
    settings: dict[str, str], message: str, small_model_dir: Path, tmp_path: Path
) -> None:
    wanted = Settings(**{"port": 0, "data_dir": tmp_path, "model": str(small_model_dir), **settings})  # type: ignore[arg-type]
    with pytest.raises(CosyError, match=message):
        anyio.run(serve_until_told, wanted)


def test_a_key_is_made_listed_and_revoked(tmp_path: Path) -> None:
    folder = ["--data-dir", str(tmp_path)]
    made = run("keys", "add", "Ann", "--rpm", "10", "--json", *folder)
    key = json.loads(made.stdout)
    assert (key["name"], key["rpm"], key["scopes"]) == ("Ann", 10, ["speech", "voices"])
    [listed] = json.loads(run("keys", "list", "--json", *folder).stdout)
    assert listed["id"] == key["id"]
    assert key["key"] not in run("keys", "list", "--json", *folder).stdout
    assert run("keys", "revoke", key["id"], *folder).stdout.strip() == key["id"]
    assert "revoked" in run("keys", "list", *folder).stdout


def test_only_the_key_itself_goes_to_standard_output(tmp_path: Path) -> None:
    made = run("keys", "add", "Ann", "--scope", "admin", "--data-dir", str(tmp_path))
    assert made.stdout.startswith("cosy_")
    assert "for admin; keep it" in made.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["add", "Ann", "--scope", "all"], "all"), (["add", "Ann", "--rpm", "0"], "rpm"), (["revoke", "none"], "none")],
)
def test_a_wrong_key_command_says_why(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = run("keys", *arguments, "--data-dir", str(tmp_path))
    assert result.exit_code == 2
    assert message in result.stderr


def test_usage_is_a_table_or_json(tmp_path: Path) -> None:
    with opened_database(Settings(data_dir=tmp_path)) as database:
        counted = Usage(database)
        counted.add("key-1", characters=7, utf8_bytes=9, audio_s=1.25)
        anyio.run(counted.flush)
    [row] = json.loads(run("usage", "--json", "--data-dir", str(tmp_path)).stdout)
    assert (row["key_id"], row["requests"], row["characters"], row["audio_s"]) == ("key-1", 1, 7, 1.25)
    table = run("usage", "--since", "2020-01-01", "--data-dir", str(tmp_path)).stdout
    assert "key-1" in table
    assert run("usage", "--until", "2020-01-01", "--json", "--data-dir", str(tmp_path)).stdout.strip() == "[]"


MAIN = "from tests.cli.test_serve import app; app()"


def environment() -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("COSY_")}
    return {**clean, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}


@contextmanager
def served(model: Path, folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`cosy serve` in a process of its own, once it listens."""
    arguments = ["serve", "--port", "0", "--model", str(model), "--data-dir", str(folder)]
    command = [sys.executable, "-c", MAIN, *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            assert process.stderr is not None
            events = (json.loads(line) for line in process.stderr)
            yield next(event["url"] for event in events if event["event"] == "listening"), process
        finally:
            process.kill()


@pytest.mark.slow
def test_the_whole_server_speaks_with_a_real_model_and_ends_well(small_model_dir: Path, tmp_path: Path) -> None:
    with served(small_model_dir, tmp_path) as (url, process):
        assert httpx.get(url + "/ready").json() == {"ready": True, "reason": ""}
        wanted = {"model": "tts-1", "voice": "alloy", "input": "Hello.", "response_format": "wav"}
        answer = httpx.post(url + "/v1/audio/speech", json=wanted, timeout=60)
        assert answer.status_code == 200, answer.text
        assert answer.content[:4] == b"RIFF"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
