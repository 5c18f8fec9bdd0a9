"""The benchmarks on small networks: what they report, not how fast they are."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from cosy.bench.reference import Exactly, official
from cosy.bench.report import Report
from cosy.bench.speed import latency, throughput
from cosy.bench.stage_report import measured_stages
from cosy.errors import ParameterError
from tests.bench.fakes import loaded_subject, random_subject

FIGURES = {
    "requests",
    "failed",
    "audio_s",
    "wall_s",
    "first_audio_s",
    "total_s",
    "real_time_factor",
    "slack_s",
    "underrun_share",
    "streams_with_underrun",
    "underrun_s",
    "audio_s_per_s",
    "cpu_s_per_audio_s",
    "work_s_per_audio_s",
}
SETTINGS = {"model", "random_weights", "device", "dtype", "recipe", "memory", "voice", "prompt_s", "loop", "runs"}


def parsed(report: Report) -> dict[str, object]:
    found = json.loads(report.line())
    assert set(found) == {"bench", "hardware", "versions", "settings", "results", "notes", "failures"}
    assert {"cpu", "cores", "threads", "gpu"} <= set(found["hardware"])
    assert set(found["versions"]) == {"cosy", "torch", "python"}
    return dict(found)


def test_latency_with_random_weights_and_the_reference() -> None:
    report = asyncio.run(latency(random_subject(), runs=2, reference=True))
    found = parsed(report)
    (result,) = report.results
    assert set(report.settings) >= SETTINGS
    assert set(result) == FIGURES | {"streams", "reference", "ratio"}
    assert result["requests"] == 2
    assert result["audio_s"] == pytest.approx(2 * 1.6, abs=0.02)
    assert result["reference"]["audio_s"] == pytest.approx(2 * 1.6, abs=0.02)
    assert result["ratio"]["same_tokens"]
    assert result["ratio"]["first_audio"] > 0
    assert result["ratio"]["cpu"] > 0
    assert found["bench"] == "latency"
    assert report.failures == []


def test_latency_of_a_model_directory_and_new_voices(small_model_dir: Path) -> None:
    report = asyncio.run(latency(loaded_subject(small_model_dir, new_voice=True), runs=1))
    assert report.settings["voice"] == "new"
    assert report.settings["prompt_s"] == 3.0
    assert report.results[0]["failed"] == 0


def test_throughput_has_a_result_for_each_number_of_streams() -> None:
    report = asyncio.run(throughput(random_subject(), [1, 3], runs=2, reference=True))
    parsed(report)
    assert [result["streams"] for result in report.results] == [1, 3]
    assert [result["requests"] for result in report.results] == [2, 6]
    assert all(result["ratio"]["audio_s_per_s"] > 0 for result in report.results)
    assert report.settings["loop"] == "closed"


def test_throughput_of_random_arrivals_counts_refusals_apart() -> None:
    report = asyncio.run(throughput(random_subject(), [2], runs=2, arrivals_hz=50.0))
    (result,) = report.results
    assert report.settings["loop"] == "open"
    assert result["refused"] + result["requests"] == 4
    assert result["failed"] == 0


@pytest.mark.parametrize(("streams", "arrivals"), [([0], None), ([], None), ([1], 0.0)])
def test_numbers_that_make_no_sense_are_refused(streams: list[int], arrivals: float | None) -> None:
    with pytest.raises(ParameterError):
        asyncio.run(throughput(random_subject(), streams, 1, arrivals))


def test_the_reference_speaks_exactly_so_many_tokens(small_model_dir: Path) -> None:
    plain = official(loaded_subject(small_model_dir))
    assert plain.hear(0, [40]).tokens == [40]
    assert plain.hear(0, [40]).audio_s == pytest.approx(40 / 25)


def test_a_sampler_of_a_fixed_length_ends_neither_before_nor_later() -> None:
    import torch

    exactly = Exactly(2, lambda log_probs, history: int(log_probs.argmax()), eos=3)
    scores = torch.tensor([0.0, 1.0, 2.0, 9.0])
    assert exactly(scores.clone(), [1]) == 2
    assert exactly(scores.clone(), [1, 2]) == 3


def test_the_table_has_a_column_for_each_number_of_streams(capsys: pytest.CaptureFixture[str]) -> None:
    result = {"streams": 1, "first_audio_s": {"p50": 0.125}, "reference": {"first_audio_s": {"p50": 0.5}}}
    Report("latency", {"model": "m"}, [result, {**result, "streams": 4}], ["beware"], ["broken"]).print()
    told = capsys.readouterr().out.splitlines()
    assert any("first_audio_s p50" in line and line.count("0.125") == line.count(" 0.5 ") == 2 for line in told)
    assert any("1 stream " in line and "4 streams" in line and "official" in line for line in told)
    assert told[-3:-1] == ["note: beware", "FAILED: broken"]
    assert json.loads(told[-1])["bench"] == "latency"


def test_stages_are_reported(small_model_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    threads = torch.get_num_threads()
    try:
        report = measured_stages(small_model_dir, False, ["lm", "vocoder"], [1], 50, 1, threads)
    finally:
        torch.set_num_threads(threads)
    report.print()
    assert "vocoder" in capsys.readouterr().out
    assert parsed(report)["bench"] == "stages"
    with pytest.raises(ParameterError, match="unknown stages"):
        measured_stages(small_model_dir, False, ["ear"], [1], 50, 1, threads)
