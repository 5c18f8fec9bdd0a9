"""Rewriting a model directory in another format or precision."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from cosy.checkpoint import keys
from cosy.checkpoint.check import check_directory
from cosy.checkpoint.convert import WeightFormat, convert, write_weights
from cosy.checkpoint.derive import derive
from cosy.checkpoint.layout import BACKBONE_DIRECTORY, PARTS, PRONUNCIATIONS
from cosy.checkpoint.load import load_model, load_state
from cosy.errors import CheckpointError, MismatchError, MissingFileError, ParameterError
from cosy.text.tokenizer import add_pronunciations
from tests.model_dir import SMALL, write_model_dir


def states(directory: Path) -> dict[str, dict[str, Tensor]]:
    found = {part: next(directory.glob(f"{part}.*")) for part in PARTS}
    return {part: keys.canonical(part, load_state(path)) for part, path in found.items()}


def same(left: Path, right: Path) -> bool:
    a, b = states(left), states(right)
    return all(a[part].keys() == b[part].keys() for part in PARTS) and all(
        torch.equal(a[part][key], b[part][key]) for part in PARTS for key in a[part]
    )


def test_the_way_to_safetensors_and_back_changes_nothing(small_model_dir: Path, tmp_path: Path) -> None:
    there = convert(small_model_dir, tmp_path / "there")
    back = convert(there, tmp_path / "back", weights="pt")
    assert (there / "llm.safetensors").exists()
    assert same(small_model_dir, there)
    assert same(small_model_dir, back)
    assert sorted(path.name for path in back.rglob("*")) == sorted(path.name for path in small_model_dir.rglob("*"))
    assert load_state(back / "llm.pt").keys() == load_state(small_model_dir / "llm.pt").keys()


@pytest.mark.parametrize("weights", ["safetensors", "pt"])
def test_a_narrower_type_halves_the_language_model_and_spares_the_vocoder(
    weights: WeightFormat, small_model_dir: Path, tmp_path: Path
) -> None:
    narrow = convert(small_model_dir, tmp_path / "narrow", weights=weights, dtype="float16")
    types = {part: {value.dtype for value in state.values()} for part, state in states(narrow).items()}
    assert types == {"llm": {torch.float16}, "flow": {torch.float16}, "hift": {torch.float32}}
    model = load_model(narrow)
    assert model.llm.llm_decoder.weight.dtype == torch.float32
    assert list(model.spk2info) == list(load_model(small_model_dir, parts=()).spk2info)


def test_an_existing_target_is_left_alone(small_model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="exists already"):
        convert(small_model_dir, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_type_is_an_error(small_model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="dtype must be one of float32, float16, bfloat16"):
        convert(small_model_dir, tmp_path / "new", dtype="int8")


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    source = write_model_dir(tmp_path / "source", front_ends=False)
    write_weights("hift", {"a": torch.ones(1)}, source / "hift.pt")
    with pytest.raises(MismatchError, match=r"hift\.pt"):
        convert(source, tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_what_is_never_read_is_not_copied(tmp_path: Path) -> None:
    source = write_model_dir(tmp_path / "source", front_ends=False)
    for name in (
        "CosyVoice-BlankEN/model.safetensors",
        "flow.decoder.estimator.fp32.onnx",
        "llm.text_encoder.fp16.zip",
    ):
        (source / name).write_bytes(b"poison")
    target = convert(source, tmp_path / "target")
    assert "poison" not in [path.read_bytes() for path in target.rglob("*") if path.is_file()]
    assert not (target / "CosyVoice-BlankEN" / "model.safetensors").exists()
    assert load_model(target, parts=["llm"]).config == SMALL


def test_a_pronouncing_dictionary_goes_along(tmp_path: Path) -> None:
    source = write_model_dir(tmp_path / "source", front_ends=False)
    (tmp_path / "words.txt").write_text("hello hh ax0 l ow1\n", encoding="utf-8")
    vocabulary = source / BACKBONE_DIRECTORY
    add_pronunciations(vocabulary, tmp_path / "words.txt", ["hello"], 0, vocabulary)
    for made in (convert(source, tmp_path / "converted"), derive(source, tmp_path / "derived", {})):
        assert load_model(made, parts=()).text_tokenizer.pronunciations.entries == {"hello": "hh ax0 l ow1"}
    (source / PRONUNCIATIONS).unlink()
    model = load_model(source, parts=())
    with pytest.raises(MissingFileError, match=r"pronunciations\.txt"):
        model.text_tokenizer.encode("hello")
    assert not check_directory(source).ok


def test_tensors_that_share_storage_can_be_written(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    write_weights("flow", {"a": whole[:4], "b": whole[2:]}, tmp_path / "flow.safetensors")
    found = load_state(tmp_path / "flow.safetensors")
    assert torch.equal(found["a"], whole[:4])
    assert torch.equal(found["b"], whole[2:])
