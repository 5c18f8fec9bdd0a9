"""The report on a model directory, and the commands that print it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cosy.checkpoint.check import Report, check_directory
from cosy.cli.app import app
from cosy.cli.model import model_app
from tests.model_dir import PLAIN_PRESET, PRESET

SAVED, PRESETS = "speak with a saved voice", "speak with a preset voice"
CLONE = "clone a voice from audio"


@pytest.fixture
def directory(small_model_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_model_dir, tmp_path / "model"))


def working(report: Report) -> set[str]:
    return {what for what, works in report.works.items() if works}


def test_a_sound_directory_has_no_problems_and_does_everything(small_model_dir: Path) -> None:
    report = check_directory(small_model_dir)
    assert report.ok
    assert working(report) == {SAVED, PRESETS, CLONE}
    assert report.speakers == [PRESET, PLAIN_PRESET]


def test_weight_files_are_counted(small_model_dir: Path) -> None:
    files = {file.name: file for file in check_directory(small_model_dir).files}
    hift = files["hift.pt"]
    assert (hift.keys, hift.dtype, hift.sha256) == (328, "float32", None)
    assert files["campplus.onnx"].size_bytes == (small_model_dir / "campplus.onnx").stat().st_size


def test_checksums_are_computed_on_demand(small_model_dir: Path) -> None:
    files = {file.name: file for file in check_directory(small_model_dir, hash_files=True).files}
    assert all(file.sha256 for file in files.values())
    assert files["speech_tokenizer_v2.onnx"].official is False
    assert files["campplus.onnx"].official is None


@pytest.mark.parametrize(
    ("missing", "works"),
    [
        ("speech_tokenizer_v2.onnx", {SAVED, PRESETS}),
        ("campplus.onnx", {SAVED, PRESETS}),
        ("llm.pt", set()),
        ("flow.pt", set()),
        ("CosyVoice-BlankEN/vocab.json", set()),
        ("cosyvoice2.yaml", set()),
    ],
)
def test_a_missing_file_is_a_problem_and_the_rest_still_works(missing: str, works: set[str], directory: Path) -> None:
    (directory / missing).unlink()
    report = check_directory(directory)
    assert [(problem.file, problem.message) for problem in report.problems] == [(missing, "missing")]
    assert "cosy model pull" in report.problems[0].remedy
    assert working(report) == works


def test_missing_presets_are_no_problem(directory: Path) -> None:
    (directory / "spk2info.pt").unlink()
    report = check_directory(directory)
    assert report.ok
    assert working(report) == {SAVED, CLONE}
    assert report.notes == ["no spk2info.pt: the directory brings no preset voices"]


@pytest.mark.parametrize("name", ["flow.pt", "campplus.onnx", "spk2info.pt", "CosyVoice-BlankEN/merges.txt"])
def test_a_damaged_file_is_named(name: str, directory: Path) -> None:
    os.truncate(directory / name, (directory / name).stat().st_size // 2)
    report = check_directory(directory)
    assert len(report.problems) == 1
    assert report.problems[0].file == name.split("/")[0]


def test_several_problems_are_all_reported(directory: Path) -> None:
    (directory / "campplus.onnx").unlink()
    os.truncate(directory / "hift.pt", 100)
    yaml = directory / "cosyvoice2.yaml"
    yaml.write_text(yaml.read_text().replace("num_blocks: 2", "num_blocks: 3"))
    report = check_directory(directory)
    assert [problem.file for problem in report.problems] == ["flow.pt", "hift.pt", "campplus.onnx"]
    assert "missing: encoder.encoders.2" in report.problems[0].message


def test_files_that_are_never_read_are_noted(directory: Path) -> None:
    shutil.copyfile(directory / "flow.pt", directory / "CosyVoice-BlankEN" / "model.safetensors")
    assert check_directory(directory).notes == ["CosyVoice-BlankEN/model.safetensors is never read and may be deleted"]


def test_a_directory_that_does_not_exist_is_a_problem(tmp_path: Path) -> None:
    report = check_directory(tmp_path / "nowhere")
    assert not report.ok
    assert report.works == {}


def test_the_command_prints_a_report_and_succeeds(small_model_dir: Path) -> None:
    result = CliRunner().invoke(model_app, ["check", str(small_model_dir)])
    assert result.exit_code == 0
    assert "hift.pt" in result.stdout
    assert "328 tensors" in result.stdout
    assert f"preset voices: {PRESET}, {PLAIN_PRESET}" in result.stdout


def test_the_command_fails_for_a_problem_and_prints_json(directory: Path) -> None:
    (directory / "llm.pt").unlink()
    result = CliRunner().invoke(model_app, ["check", str(directory), "--json"])
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["ok"] is False
    assert report["problems"][0]["file"] == "llm.pt"


def test_the_command_converts(small_model_dir: Path, tmp_path: Path) -> None:
    arguments = ["convert", str(small_model_dir), str(tmp_path / "new"), "--dtype", "bfloat16"]
    assert CliRunner().invoke(model_app, arguments).exit_code == 0
    again = CliRunner().invoke(app, ["model", *arguments])
    assert again.exit_code == 3
    assert "exists already" in again.stderr
    files = {file.name: file.dtype for file in check_directory(tmp_path / "new").files}
    assert files["llm.safetensors"] == "bfloat16"


def test_every_tensor_and_its_shape_is_listed_on_request(small_model_dir: Path) -> None:
    report = check_directory(small_model_dir, list_keys=True)
    (flow,) = (file for file in report.files if file.name.startswith("flow"))
    assert flow.shapes is not None
    assert len(flow.shapes) == flow.keys
    assert flow.shapes["spk_embed_affine_layer.weight"] == (80, 192)
    listed = CliRunner().invoke(model_app, ["check", str(small_model_dir), "--keys"]).stdout
    assert "spk_embed_affine_layer.weight [80, 192]" in listed
