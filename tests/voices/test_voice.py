"""A voice and its file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cosy.checkpoint.load import LoadedModel, load_model
from cosy.checkpoint.speakers import Speaker
from cosy.errors import VoiceError
from cosy.voices.voice import Voice, VoiceInfo, check_name, read_info
from tests.model_dir import PLAIN_PRESET, PRESET


def some_voice(name: str = "eve", tokens: int = 75) -> Voice:
    info = VoiceInfo(
        name, "Grüße, 世界!", "grüße, 世界!", 3.0, 48_000, "ab" * 32, "2025-01-01T00:00:00+00:00", ("quiet",)
    )
    generator = torch.Generator().manual_seed(4)
    return Voice(
        info,
        torch.randint(6561, (tokens,), generator=generator),
        torch.randn(2 * tokens, 80, generator=generator),
        torch.randn(192, generator=generator),
    )


@pytest.fixture(scope="module")
def model(small_model_dir: Path) -> LoadedModel:
    return load_model(small_model_dir, parts=("text_tokenizer", "spk2info"))


def same(a: Voice, b: Voice) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("prompt_tokens", "prompt_mel", "embedding"))


def test_a_saved_voice_comes_back_as_it_was(tmp_path: Path) -> None:
    voice = some_voice()
    voice.save(tmp_path / "eve.safetensors")
    loaded = Voice.load(tmp_path / "eve.safetensors")
    assert loaded.info == voice.info
    assert same(loaded, voice)
    assert read_info(tmp_path / "eve.safetensors") == voice.info
    assert [path.name for path in tmp_path.iterdir()] == ["eve.safetensors"]


def test_whether_a_voice_is_a_preset_is_not_written(tmp_path: Path) -> None:
    voice = some_voice()
    replace(voice, info=replace(voice.info, preset=True)).save(tmp_path / "eve.safetensors")
    assert not Voice.load(tmp_path / "eve.safetensors").info.preset


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match=r"none\.safetensors does not exist"):
        Voice.load(tmp_path / "none.safetensors")


@pytest.mark.parametrize("keep", [0, 4, 100, 5000])
def test_a_truncated_file_is_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "eve.safetensors"
    path.write_bytes(some_voice().to_bytes()[:keep])
    with pytest.raises(VoiceError, match=r"eve\.safetensors is damaged"):
        Voice.load(path)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(VoiceError, match=r"x\.safetensors is not a voice file"):
        Voice.load(tmp_path / "x.safetensors")


def test_another_version_is_refused(tmp_path: Path) -> None:
    metadata = {"format": "cosy-voice", "version": "99", "info": "{}"}
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors", metadata)
    with pytest.raises(VoiceError, match="version 99"):
        read_info(tmp_path / "x.safetensors")


@pytest.mark.parametrize("info", ["[]", "nonsense", '{"name": "a", "unheard_of": 1}', "{}"])
def test_a_damaged_description_is_refused(tmp_path: Path, info: str) -> None:
    metadata = {"format": "cosy-voice", "version": "1", "info": info}
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors", metadata)
    with pytest.raises(VoiceError, match=r"x\.safetensors is damaged"):
        read_info(tmp_path / "x.safetensors")


def test_tensors_that_do_not_fit_each_other_are_refused() -> None:
    voice = some_voice()
    with pytest.raises(VoiceError, match="prompt_mel"):
        replace(voice, prompt_mel=voice.prompt_mel[:-1])
    with pytest.raises(VoiceError, match="between 0 and 6560"):
        replace(voice, prompt_tokens=voice.prompt_tokens + 6561)
    with pytest.raises(VoiceError, match="NaN"):
        replace(voice, embedding=voice.embedding / 0.0 * 0.0)


def test_writing_into_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match="cannot write"):
        some_voice().save(tmp_path / "none" / "eve.safetensors")


@pytest.mark.parametrize("name", ["eve", "Ève 2", "中文女", "a.b-c_d", "x" * 64])
def test_names_of_any_script_are_allowed(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", " a", "a/b", "..", ".hidden", "a\\b", "a\n", "a.", "a ", "x" * 65, "a:b"])
def test_names_that_are_not_safe_as_file_names_are_refused(name: str) -> None:
    with pytest.raises(VoiceError, match="cannot name a voice"):
        check_name(name)


def test_a_preset_with_a_prompt_becomes_a_voice(model: LoadedModel) -> None:
    speaker = model.spk2info[PRESET]
    voice = Voice.from_speaker(PRESET, speaker, model.text_tokenizer)
    assert voice.has_prompt
    assert voice.info.preset
    assert voice.prompt_text == "the quick brown fox"
    assert voice.info.duration_s == 3.0
    assert voice.prompt_mel.shape == (150, 80)


def test_transcript_ids_become_text(model: LoadedModel) -> None:
    ids = torch.tensor([model.text_tokenizer.encode("the lazy dog")], dtype=torch.int32)
    speaker = replace(model.spk2info[PRESET], prompt_text=ids)
    assert Voice.from_speaker(PRESET, speaker, model.text_tokenizer).prompt_text == "the lazy dog"


def test_a_bare_speaker_vector_becomes_a_voice_without_a_prompt(model: LoadedModel) -> None:
    voice = Voice.from_speaker(PLAIN_PRESET, model.spk2info[PLAIN_PRESET], model.text_tokenizer)
    assert not voice.has_prompt
    assert voice.info.duration_s == 0.0


def test_a_preset_prompt_is_cut_to_two_frames_a_token(model: LoadedModel) -> None:
    speaker = Speaker(
        embedding=torch.zeros(1, 192),
        speech_token=torch.zeros(1, 10, dtype=torch.int32),
        speech_feat=torch.zeros(1, 17, 80),
    )
    voice = Voice.from_speaker("x", speaker, model.text_tokenizer)
    assert (len(voice.prompt_tokens), len(voice.prompt_mel)) == (8, 16)
