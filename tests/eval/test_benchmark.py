from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cosy.audio.io import save_audio
from cosy.cli.evaluate import eval_app
from cosy.errors import ParameterError
from cosy.eval.benchmark import Benchmark, draw, jobs, voices
from cosy.eval.meta import Item, read_items
from cosy.eval.takes import Bench, Judges
from tests.eval.tones import PITCH_JUDGE, PITCHES_HZ, RATE_HZ, ToneCloner, ear, prompts, tone

pytest.importorskip("pyworld", reason="the eval extra is not installed")


def items(folder: Path, target: bool = False) -> list[Item]:
    """Three utterances in three voices."""
    made = []
    for prompt, pitch_hz in zip(prompts(folder), PITCHES_HZ, strict=True):
        wav = folder / f"{prompt.name}_said.wav"
        save_audio(wav, tone(pitch_hz, 0.8), RATE_HZ)
        made.append(Item(f"u-{prompt.name}", "Wait there.", prompt, wav if target else None))
    return made


def benchmarked(folder: Path, listed: list[Item], system: ToneCloner) -> Benchmark:
    bench = Bench(Judges([ear()], PITCH_JUDGE, mos=False), folder, {"seed": 0})
    todo = list(jobs(system, listed))
    takes = list(bench.run(todo))
    return Benchmark(takes, voices(bench, todo, takes), ["a note"], {"seed": 0})


def test_the_model_stands_beside_the_recordings_and_their_copies(tmp_path: Path) -> None:
    told = benchmarked(tmp_path / "run", items(tmp_path, target=True), ToneCloner())
    assert [row.system for row in told.figures] == ["recording", "copy synthesis", "model"]
    assert all(row.error_rate is not None and row.error_rate.value == 0.5 for row in told.figures)
    assert all(row.similarity is not None and row.similarity.value > 0.99 for row in told.figures)
    assert told.voices is not None
    assert told.voices.identified.right.value == 1.0


def test_without_targets_the_prompts_are_the_recordings_and_not_compared_with_themselves(tmp_path: Path) -> None:
    recording, copied, model = benchmarked(tmp_path / "run", items(tmp_path), ToneCloner()).figures
    assert recording.similarity is None
    assert copied.similarity is not None
    assert recording.error_rate is not None  # against the prompt's transcript, "Wait here."
    assert recording.error_rate.value == 0.0
    assert model.takes == 3


def test_a_failure_is_counted_listed_and_not_drawn(tmp_path: Path) -> None:
    listed = items(tmp_path)
    told = benchmarked(tmp_path / "run", listed, ToneCloner(cannot=("voice0",)))
    model = told.figures[-1]
    assert model.error_rate is not None
    assert model.error_rate.value == pytest.approx((1.0 + 0.5 + 0.5) / 3)
    assert "model, u-voice0: ValueError" in told.markdown()
    drawn = draw(tmp_path / "run", listed, told, count=1)
    assert [path.name for path in drawn] == ["pitch_0.png", "spectrogram_0.png", "similarity.png"]
    assert all((tmp_path / "run" / path).is_file() for path in drawn)
    assert "(plots/pitch_0.png)" in told.markdown(drawn)


def test_a_list_of_one_voice_has_no_right_one(tmp_path: Path) -> None:
    told = benchmarked(tmp_path / "run", items(tmp_path)[:1], ToneCloner())
    assert told.voices is None
    assert json.loads(json.dumps(told.as_data(), allow_nan=False))["identified"] is None


def test_an_unknown_mode_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="unknown mode 'sft'"):
        list(jobs(ToneCloner(), items(tmp_path), mode="sft"))


def written_list(folder: Path, text: str = "Wait here.") -> Path:
    for name, pitch_hz in (("low", 110.0), ("high", 200.0)):
        save_audio(folder / f"{name}.wav", tone(pitch_hz, 3.2), RATE_HZ)
    said = "Nobody remembered the name of the old hotel."
    path = folder / "meta.lst"
    path.write_text(f"u1|{said}|low.wav|{text}\nu2|{said}|high.wav|{text}\n", encoding="utf-8")
    return path


def test_the_command_runs_a_list_with_the_bundled_model_and_goes_on(tmp_path: Path) -> None:
    meta, report = written_list(tmp_path), tmp_path / "report"
    arguments = ["benchmark", str(meta), "--report", str(report), "--no-mos", "--no-references", "--plots", "1"]
    arguments += ["--recogniser", "none", "--similarity", "campplus", "--mode", "cross_lingual"]
    result = CliRunner().invoke(eval_app, [*arguments, "--count", "1"])
    assert result.exit_code == 0, result.output
    made = (report / "wavs" / "model" / "u1.wav").stat().st_mtime_ns
    result = CliRunner().invoke(eval_app, arguments)
    assert result.exit_code == 0, result.output
    assert (report / "wavs" / "model" / "u1.wav").stat().st_mtime_ns == made
    data = json.loads((report / "report.json").read_text())
    assert [take["name"] for take in data["takes"]] == ["u1", "u2"]
    assert data["figures"][0]["failures"]["count"] == 0
    assert "plots/similarity.png" in (report / "report.md").read_text()


def test_a_language_that_no_ear_knows_is_told_before_anything_is_made(tmp_path: Path) -> None:
    meta = written_list(tmp_path, "これは日本語です。")
    result = CliRunner().invoke(eval_app, ["benchmark", str(meta), "--report", str(tmp_path / "report")])
    assert isinstance(result.exception, ParameterError)
    assert "no recogniser for 'ja'" in str(result.exception)
    assert len(read_items(meta)) == 2
    assert not (tmp_path / "report").exists()
