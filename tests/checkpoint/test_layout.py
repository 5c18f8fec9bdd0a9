"""The two configuration files of a model directory, and the YAML reader beneath."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cosy.checkpoint import hyperyaml
from cosy.checkpoint.hyperyaml import Ref, Tagged
from cosy.checkpoint.layout import Layout, read_config, read_description, write_config
from cosy.config import ModelConfig
from cosy.errors import CheckpointError, MismatchError, MissingFileError
from cosy.types import Sampling
from tests.model_dir import SMALL

OFFICIAL = Path(__file__).with_name("official.yaml")
Edit = Callable[[str, str], Path]


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """A directory with the official configuration and nothing else."""
    write_config(ModelConfig(), tmp_path)
    shutil.copyfile(OFFICIAL, tmp_path / "cosyvoice2.yaml")
    return tmp_path


@pytest.fixture
def edited(official: Path) -> Edit:
    """The official directory with one text of its YAML replaced by another."""

    def edit(old: str, new: str) -> Path:
        text = (official / "cosyvoice2.yaml").read_text()
        assert old in text
        (official / "cosyvoice2.yaml").write_text(text.replace(old, new, 1))
        return official

    return edit


def edit_json(directory: Path, **entries: object) -> None:
    path = directory / "CosyVoice-BlankEN" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def parse(tmp_path: Path, text: str) -> hyperyaml.Document:
    (tmp_path / "some.yaml").write_text(text)
    return hyperyaml.read(tmp_path / "some.yaml")


def test_the_official_file_gives_the_default_configuration(official: Path) -> None:
    assert read_config(official) == ModelConfig()


def test_sections_that_only_training_uses_are_named_and_not_read(official: Path) -> None:
    not_used = read_description(official).not_used
    assert {"hifigan", "mel_spec_transform1", "data_pipeline", "train_conf", "__set_seed1"} <= set(not_used)
    assert not {"llm", "flow", "hift", "sample_rate", "chunk_size"} & set(not_used)


@pytest.mark.parametrize("config", [ModelConfig(), SMALL], ids=["official", "small"])
def test_a_written_configuration_reads_back_the_same(config: ModelConfig, tmp_path: Path) -> None:
    write_config(config, tmp_path)
    assert read_config(tmp_path) == config
    assert read_description(tmp_path).not_used == []


def test_every_number_of_the_configuration_survives_writing(tmp_path: Path) -> None:
    llm = dataclasses.replace(SMALL.llm, mix_ratio=(4, 12), lsm_weight=0.1, sampling=Sampling(0.7, 20, 8, 0.2))
    flow = dataclasses.replace(SMALL.flow, sigma_min=1e-5, inference_cfg_rate=0.5, temperature=0.3, n_timesteps=6)
    config = dataclasses.replace(SMALL, llm=llm, flow=flow, hift=dataclasses.replace(SMALL.hift, audio_limit=0.9))
    write_config(config, tmp_path)
    assert read_config(tmp_path) == config


def test_what_the_file_leaves_out_has_the_official_value(edited: Edit) -> None:
    assert read_config(edited("    mix_ratio: [5, 15]\n", "")).llm.mix_ratio == (5, 15)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n_spks: 1", "colour: red", r"flow\.decoder: unknown keys colour; known are .*cfm_params"),
        ("base_channels: 512", "base_chanels: 512", r"hift: unknown keys base_chanels; known are .*base_channels"),
        ("llm.Qwen2LM", "llm.TransformerLM", r"llm is of class 'TransformerLM'; known is Qwen2LM"),
        ("llm.Qwen2LM", "llm.CosyVoice3LM", "CosyVoice 3 is not supported yet"),
        ("common.ras_sampling", "common.nucleus_sampling", "known is ras_sampling"),
        ("macaron_style: False", "macaron_style: True", "macaron_style is True; only False is implemented"),
        ("t_scheduler: 'cosine'", "t_scheduler: 'linear'", "t_scheduler is 'linear'; only 'cosine'"),
        ("left_chunks: -1", "left_chunks: 2", "num_decoding_left_chunks is 2; only -1"),
        ("channels: [256]", "channels: [256, 256]", "only one entry is implemented"),
        ("num_blocks: 6", "num_blocks: six", "num_blocks must be a whole number, found 'six'"),
        ("attention_heads: 8", "attention_heads: 0", "attention_heads must be positive, found 0"),
        ("speech_token_size: 6561", "speech_token_size: 4096", "differs from flow.vocab_size"),
        ("token_mel_ratio: 2", "token_mel_ratio: 4", "token_mel_ratio must be 2"),
        ("top_p: 0.8", "top_p: 1.8", "top_p must be in"),
        ("hift: !new", "vocoder: !new", "hift is missing"),
        ("!ref <chunk_size>\n", "!ref <chunk>\n", "'!ref <chunk>' leads nowhere"),
    ],
)
def test_a_value_that_cannot_be_run_is_refused(edited: Edit, old: str, new: str, message: str) -> None:
    with pytest.raises(MismatchError, match=message) as caught:
        read_config(edited(old, new))
    assert "cosyvoice2.yaml" in str(caught.value)


def test_all_problems_are_named_at_once(edited: Edit) -> None:
    edited("n_spks: 1", "colour: red")
    with pytest.raises(MismatchError, match=r"(?s)colour.*TransformerLM|TransformerLM.*colour"):
        read_config(edited("llm.Qwen2LM", "llm.TransformerLM"))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False; only True"),
        ({"use_sliding_window": True}, "use_sliding_window is True; only False"),
        ({"rope_scaling": {"type": "yarn"}}, "rope_scaling"),
        ({"model_type": "llama"}, "model_type is 'llama'"),
        ({"hidden_size": "wide"}, "hidden_size must be a whole number"),
        ({"num_key_value_heads": 3}, "must be a multiple of"),
        ({"head_dim": 128}, "head_dim is 128; only 64"),
    ],
)
def test_a_backbone_that_cannot_be_run_is_refused(official: Path, entries: dict[str, object], message: str) -> None:
    edit_json(official, **entries)
    with pytest.raises(MismatchError, match=message):
        read_config(official)


def test_entries_of_the_backbone_that_do_not_matter_are_accepted(official: Path) -> None:
    edit_json(official, bos_token_id=151643, torch_dtype="bfloat16", sliding_window=32768, head_dim=64)
    assert read_config(official) == ModelConfig()


def test_a_backbone_without_a_size_is_refused(official: Path) -> None:
    (official / "CosyVoice-BlankEN" / "config.json").write_text("{}")
    with pytest.raises(MismatchError, match=r"vocab_size, hidden_size.* missing"):
        read_config(official)


def test_a_missing_file_names_the_command_that_fetches_it(official: Path) -> None:
    (official / "cosyvoice2.yaml").unlink()
    with pytest.raises(MissingFileError, match="cosy model pull CosyVoice2"):
        read_config(official)


@pytest.mark.parametrize(("name", "version"), [("cosyvoice3.yaml", "CosyVoice 3"), ("cosyvoice.yaml", "CosyVoice 1")])
def test_a_directory_of_another_version_says_so(official: Path, name: str, version: str) -> None:
    (official / "cosyvoice2.yaml").rename(official / name)
    with pytest.raises(MismatchError, match=f"{version} model"):
        read_config(official)


def test_a_directory_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="does not exist"):
        Layout(tmp_path / "nowhere")


def test_safetensors_is_preferred_where_both_are_present(tmp_path: Path) -> None:
    for name in ("llm.pt", "llm.safetensors", "flow.pt"):
        (tmp_path / name).touch()
    layout = Layout(tmp_path)
    assert (layout.weights("llm").name, layout.weights("flow").name) == ("llm.safetensors", "flow.pt")
    with pytest.raises(MissingFileError, match=r"no hift\.pt or hift\.safetensors"):
        layout.weights("hift")


def test_tags_are_data_and_construct_nothing(tmp_path: Path) -> None:
    target = tmp_path / "made"
    document = parse(tmp_path, f"a: !apply:pathlib.Path.touch [{target}]\nb: !new:os.mkdir {{path: {target}}}\n")
    assert document.get("a") == Tagged("apply", "pathlib.Path.touch", [str(target)])
    assert document.get("b").name == "mkdir"
    assert not target.exists()


def test_unknown_tags_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match=r"!!python/object/apply:os\.system, !include; known are !new:NAME"):
        parse(tmp_path, "a: !include other.yaml\nb: !!python/object/apply:os.system [ls]\n")


def test_references_are_followed_into_sections_and_multiplied(tmp_path: Path) -> None:
    document = parse(tmp_path, "n: 25\nx: !new:a.B {y: [1, 2]}\np: !ref <n> * 2 * <n>\nq: !ref <x.y>\nr: !ref <p>\n")
    assert (document.get("p"), document.get("q"), document.get("r")) == (1250, [1, 2], 1250)
    assert document.unused == []


@pytest.mark.parametrize(
    "text", ["a: !ref <a>", "a: !ref <b>\nb: !ref <a>", "a: !ref <b> + 1\nb: 1", "a: !ref <b> * 2\nb: x"]
)
def test_references_that_cannot_be_resolved_are_errors(tmp_path: Path, text: str) -> None:
    with pytest.raises(MismatchError, match="!ref"):
        parse(tmp_path, text).get("a")


@pytest.mark.parametrize("text", ["a: [", "a: 1\na: 2", "- 1", "{a: 1}: 2", "\x00"])
def test_broken_yaml_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(CheckpointError, match=r"some\.yaml"):
        parse(tmp_path, text)


def test_numbers_without_a_point_are_numbers(tmp_path: Path) -> None:
    assert parse(tmp_path, "a: 1e-06\nb: -2E3\nc: 1e").entries == {"a": 1e-6, "b": -2000.0, "c": "1e"}


def test_dumped_data_reads_back(tmp_path: Path) -> None:
    entries = {"a": Tagged("new", "x.Y", {"b": [[1, 2], [3]], "c": None}), "d": Ref("<a>"), "e": 1e-6}
    assert parse(tmp_path, hyperyaml.dump(entries)).entries == entries
