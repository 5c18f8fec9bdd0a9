"""`cosy bench`: options, output and exit status."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from cosy.bench import subject
from cosy.bench.subject import Choice
from cosy.cli.bench import bench_app
from cosy.errors import ParameterError
from tests.bench.fakes import random_subject


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(bench_app, arguments)


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[Choice]:
    """What the options came to; a small model is measured instead."""
    found: list[Choice] = []

    def open_small(choice: Choice) -> subject.Subject:
        found.append(choice)
        return random_subject(seconds=0.5)

    monkeypatch.setattr(subject, "open_subject", open_small)
    return found


def test_latency_prints_a_table_and_one_line_of_json(chosen: list[Choice]) -> None:
    options = ["--random-weights", "--prompt-seconds", "2", "--new-voice", "--memory", "half", "--threads", "1"]
    result = bench("latency", "--runs", "1", *options)
    assert result.exit_code == 0, result.output
    *table, line = result.stdout.splitlines()
    assert any("first_audio_s p50" in row for row in table)
    found = json.loads(line)
    assert found["bench"] == "latency"
    assert found["results"][0]["requests"] == 1
    assert chosen == [Choice(random_weights=True, prompt_s=2.0, new_voice=True, memory="half", threads=1)]


def test_throughput_takes_numbers_of_streams(chosen: list[Choice]) -> None:
    result = bench("throughput", "--streams", "1,2", "--runs", "1")
    assert [row["streams"] for row in json.loads(result.stdout.splitlines()[-1])["results"]] == [1, 2]


def test_a_soak_that_is_violated_ends_with_status_one(chosen: list[Choice]) -> None:
    result = bench("soak", "--minutes", "0.02", "--streams", "2", "--arrivals", "10", "--snr", "1000")
    assert result.exit_code == 1, result.output
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["results"][0]["verdict"] == "failed"
    assert found["failures"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["throughput", "--streams", "1,two"],
        ["throughput", "--streams", "0"],
        ["latency", "--random-weights", "--voice", "anna"],
        ["latency", "--memory", "infinite"],
        ["stages", "--only", "ear"],
    ],
)
def test_wrong_options_are_user_errors(arguments: list[str]) -> None:
    assert isinstance(bench(*arguments).exception, ParameterError)


@pytest.mark.parametrize("command", ["latency", "throughput", "stages", "soak"])
def test_every_benchmark_has_help(command: str) -> None:
    assert bench(command, "--help").exit_code == 0
