"""Loading a model directory strictly, and the ways in which one can be wrong."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from cosy.checkpoint import keys
from cosy.checkpoint.files import replacing
from cosy.checkpoint.layout import PARTS, Part, write_config
from cosy.checkpoint.load import build, load_model, load_network, load_state, shapes_of
from cosy.checkpoint.speakers import Speaker, read_speakers, write_speakers
from cosy.config import ModelConfig
from cosy.errors import CheckpointError, MismatchError, MissingFileError, ParameterError
from tests.model_dir import PLAIN_PRESET, PRESET, SMALL, speakers

OFFICIAL = Path(__file__).with_name("official.yaml")


@pytest.fixture
def directory(small_model_dir: Path, tmp_path: Path) -> Path:
    """A copy of the small directory that a test may damage."""
    return Path(shutil.copytree(small_model_dir, tmp_path / "model"))


def save(content: Any, path: Path) -> None:
    with replacing(path) as partial:
        torch.save(content, partial)


def rewrite(path: Path, **changes: Any) -> None:
    """Save `path` again with some entries replaced, or left out where the value is None."""
    state = {**torch.load(path, weights_only=True), **changes}
    save({key: value for key, value in state.items() if value is not None}, path)


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


# --- what loads


def test_every_part_of_the_small_directory_loads(small_model_dir: Path) -> None:
    model = load_model(small_model_dir)
    assert model.config == SMALL
    assert not any(module.training for module in (model.llm, model.flow, model.hift))
    assert model.text_tokenizer.decode(model.text_tokenizer.encode("a fox")) == "a fox"
    assert list(model.spk2info) == [PRESET, PLAIN_PRESET]


def test_the_front_ends_run(small_model_dir: Path) -> None:
    model = load_model(small_model_dir, parts=())
    assert model.speech_tokenizer(torch.zeros(1, 128, 101)).shape == (26,)
    assert model.speaker_encoder(torch.zeros(50, 80)).shape == (192,)


@pytest.mark.parametrize("part", PARTS)
def test_a_network_holds_exactly_the_values_of_its_file(part: Part, small_model_dir: Path) -> None:
    module = load_network(small_model_dir, part)
    assert same(dict(module.state_dict()), keys.canonical(part, load_state(small_model_dir / f"{part}.pt")))


def test_the_vocoder_is_folded_for_inference(small_model_dir: Path) -> None:
    model = load_model(small_model_dir, parts=["hift"])
    assert "conv_pre.weight" in model.hift.state_dict()


def test_parts_that_were_not_asked_for_load_at_their_first_use(directory: Path) -> None:
    (directory / "flow.pt").unlink()
    model = load_model(directory, parts=["llm"])
    assert "llm" in vars(model)
    with pytest.raises(MissingFileError, match=r"no flow\.pt or flow\.safetensors"):
        _ = model.flow


def test_an_unknown_part_is_an_error(small_model_dir: Path) -> None:
    with pytest.raises(ParameterError, match="unknown parts vocoder; known are llm, flow, hift"):
        load_model(small_model_dir, parts=["vocoder"])


def test_half_precision_files_are_read_into_the_type_asked_for(directory: Path) -> None:
    state = load_state(directory / "flow.pt")
    rewrite(directory / "flow.pt", **{key: value.half() for key, value in state.items()})
    for dtype in (torch.float32, torch.bfloat16):
        loaded = load_network(directory, "flow", dtype=dtype).state_dict()
        assert same(dict(loaded), {key: value.half().to(dtype) for key, value in state.items()})


def test_safetensors_loads_like_pt(directory: Path) -> None:
    state = load_state(directory / "flow.pt")
    save_file(state, directory / "flow.safetensors")
    (directory / "flow.pt").unlink()
    assert same(dict(load_network(directory, "flow").state_dict()), state)


def test_tables_that_a_constructor_computes_survive_loading(small_model_dir: Path) -> None:
    from cosy.models.vocoder import Vocoder

    loaded = dict(load_network(small_model_dir, "hift").named_buffers())
    assert same(loaded, dict(Vocoder(SMALL.hift).named_buffers()))


def test_loaded_networks_can_be_trained(small_model_dir: Path) -> None:
    before = load_state(small_model_dir / "flow.pt")
    module = load_network(small_model_dir, "flow").train()
    assert all(parameter.requires_grad for parameter in module.parameters())
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1.0)  # a mapped file must not change with it
    assert same(load_state(small_model_dir / "flow.pt"), before)


# --- spellings


def test_the_tied_head_of_the_backbone_may_be_present_or_absent(directory: Path) -> None:
    assert keys.TIED_HEAD in load_state(directory / "llm.pt")
    before = dict(load_network(directory, "llm").state_dict())
    rewrite(directory / "llm.pt", **{keys.TIED_HEAD: None})
    assert same(dict(load_network(directory, "llm").state_dict()), before)


@pytest.mark.parametrize("part", PARTS)
def test_the_scalars_of_a_trainer_are_dropped(part: Part, directory: Path) -> None:
    rewrite(directory / f"{part}.pt", epoch=3, step=1200)
    load_network(directory, part)


def test_a_vocoder_saved_with_its_discriminators_loads(directory: Path) -> None:
    path = directory / "hift.pt"
    expected = dict(load_network(directory, "hift").state_dict())
    state = {f"generator.{key}": value for key, value in load_state(path).items()}
    save({**state, "discriminator.mpd.weight": torch.ones(2), "epoch": 1, "step": 2}, path)
    assert same(dict(load_network(directory, "hift").state_dict()), expected)


# --- what is refused


@pytest.mark.parametrize("name", ["llm.pt", "flow.pt", "hift.pt", "cosyvoice2.yaml", "CosyVoice-BlankEN/merges.txt"])
def test_a_missing_file_is_named_with_the_remedy(name: str, directory: Path) -> None:
    (directory / name).unlink()
    with pytest.raises(MissingFileError, match="cosy model pull CosyVoice2") as caught:
        load_model(directory)
    assert Path(name).name in str(caught.value)


@pytest.mark.parametrize("name", ["speech_tokenizer_v2.onnx", "campplus.onnx"])
def test_a_directory_without_onnx_files_loads_until_one_is_needed(name: str, directory: Path) -> None:
    (directory / name).unlink()
    model = load_model(directory)
    with pytest.raises(MissingFileError, match=name):
        _ = model.speech_tokenizer if "speech" in name else model.speaker_encoder


def test_a_directory_without_presets_has_none(directory: Path) -> None:
    (directory / "spk2info.pt").unlink()
    assert load_model(directory, parts=["spk2info"]).spk2info == {}


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("name", ["flow.pt", "flow.safetensors"])
def test_a_truncated_file_is_named_with_the_remedy(name: str, share: float, directory: Path) -> None:
    path = directory / name
    if name.endswith("safetensors"):
        save_file(load_state(directory / "flow.pt"), path)
    os.truncate(path, int(share * path.stat().st_size))
    with pytest.raises(CheckpointError, match=rf"{name} is (empty|truncated|damaged).*cosy model pull"):
        load_network(directory, "flow")


def test_noise_instead_of_weights_is_an_error(directory: Path) -> None:
    (directory / "flow.pt").write_bytes(os.urandom(1000))
    with pytest.raises(CheckpointError, match=r"flow\.pt is damaged"):
        load_network(directory, "flow")


def test_a_pointer_instead_of_the_file_is_recognised(directory: Path) -> None:
    (directory / "flow.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(CheckpointError, match="Git LFS pointer"):
        load_network(directory, "flow")


class Payload:
    """Unpickling it creates the file `target`."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["flow.pt", "spk2info.pt"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(name: str, zipped: bool, directory: Path) -> None:
    target = directory / "executed"
    payload = {"input_embedding.weight": Payload(target)}
    if zipped:
        torch.save(payload, directory / name)
    else:
        (directory / name).write_bytes(pickle.dumps(payload))
    with pytest.raises(CheckpointError, match=rf"{name} "):
        load_model(directory, parts=["flow", "spk2info"])
    assert not target.exists()


@pytest.mark.parametrize("content", [{"state_dict": {"a": torch.ones(1)}}, {"lr": 0.1}, [torch.ones(1)], torch.ones(1)])
def test_anything_but_a_dictionary_of_tensors_is_refused(content: Any, directory: Path) -> None:
    torch.save(content, directory / "flow.pt")
    with pytest.raises(CheckpointError, match=r"flow\.pt must hold"):
        load_network(directory, "flow")


def test_a_mismatch_names_file_keys_and_shapes(directory: Path) -> None:
    changes = {"encoder_proj.bias": None, "encoder_proj.weight": torch.ones(80, 33), "more.weight": torch.ones(2)}
    rewrite(directory / "flow.pt", **changes)
    with pytest.raises(MismatchError) as caught:
        load_network(directory, "flow")
    message = str(caught.value)
    assert "flow.pt" in message
    assert "1 missing: encoder_proj.bias (80,)" in message
    assert "1 unexpected: more.weight (2,)" in message
    assert "1 of another shape: encoder_proj.weight is (80, 33), expected (80, 32)" in message


def test_a_long_list_of_mismatches_is_cut(directory: Path) -> None:
    torch.save({"a": torch.ones(1)}, directory / "flow.pt")
    with pytest.raises(MismatchError, match=r"\d+ missing: .* and \d+ more"):
        load_network(directory, "flow")


def test_quantised_weights_are_refused(directory: Path) -> None:
    rewrite(directory / "flow.pt", **{"encoder_proj.bias": torch.zeros(80, dtype=torch.int8)})
    with pytest.raises(MismatchError, match=r"not floating-point: encoder_proj\.bias is torch\.int8"):
        load_network(directory, "flow")


def test_a_vocabulary_larger_than_the_embedding_is_refused(directory: Path) -> None:
    path = directory / "CosyVoice-BlankEN" / "config.json"
    path.write_text(path.read_text().replace('"vocab_size": 320', '"vocab_size": 290'))
    with pytest.raises(MismatchError, match="belongs to another model"):
        load_model(directory, parts=["text_tokenizer"])


def test_the_weights_beside_the_vocabulary_are_never_opened(directory: Path) -> None:
    poison = directory / "CosyVoice-BlankEN" / "model.safetensors"
    os.mkfifo(poison)  # opening it would block for ever
    load_model(directory)


# --- preset voices


def official_entry(speaker: Speaker) -> dict[str, Tensor]:
    token, feat = speaker.speech_token, speaker.speech_feat
    assert token is not None
    assert feat is not None
    return {
        "prompt_text": torch.tensor([[5, 6]], dtype=torch.int32),
        "prompt_text_len": torch.tensor([2], dtype=torch.int32),
        "llm_prompt_speech_token": token,
        "llm_prompt_speech_token_len": torch.tensor([75], dtype=torch.int32),
        "flow_prompt_speech_token": token,
        "flow_prompt_speech_token_len": torch.tensor([75], dtype=torch.int32),
        "prompt_speech_feat": feat,
        "prompt_speech_feat_len": torch.tensor([150], dtype=torch.int32),
        "llm_embedding": speaker.embedding,
        "flow_embedding": speaker.embedding,
    }


def equal(left: Speaker, right: Speaker) -> bool:
    pairs = [(vars(left)[name], vars(right)[name]) for name in vars(left)]
    return all(torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in pairs)


def test_every_kind_of_entry_gives_the_same_speaker(tmp_path: Path) -> None:
    ada = speakers()[PRESET]
    short = {name: value for name, value in vars(ada).items() if name != "prompt_text"}
    unbatched = {name: value[0] for name, value in short.items()}
    entries = {
        "official": official_entry(ada),
        "short": short,
        "unbatched": unbatched,
        "sft": {"embedding": ada.embedding},
    }
    torch.save(entries, tmp_path / "spk2info.pt")
    found = read_speakers(tmp_path / "spk2info.pt")
    text = torch.tensor([[5, 6]], dtype=torch.int32)
    assert equal(found["official"], Speaker(ada.embedding, text, ada.speech_token, ada.speech_feat))
    assert equal(found["short"], Speaker(ada.embedding, None, ada.speech_token, ada.speech_feat))
    assert equal(found["unbatched"], found["short"])
    assert equal(found["sft"], Speaker(ada.embedding))
    assert not found["sft"].has_prompt


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_written_speakers_read_back_in_their_order(suffix: str, tmp_path: Path) -> None:
    ada = speakers()[PRESET]
    ids = Speaker(ada.embedding, torch.tensor([[5, 6]], dtype=torch.int32), ada.speech_token, ada.speech_feat)
    written = {"z/阿达": ada, **speakers(), "ids": ids}
    write_speakers(written, tmp_path / f"spk2info{suffix}")
    found = read_speakers(tmp_path / f"spk2info{suffix}")
    assert list(found) == list(written)
    assert all(equal(found[name], written[name]) for name in written)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "no speaker vector"),
        (torch.ones(3), "expected a dictionary"),
        ({"embedding": torch.ones(1, 128)}, r"shape \(1, 128\), expected \(1, 192\)"),
        ({"embedding": torch.ones(1, 192), "colour": torch.ones(1)}, "unknown fields colour"),
        ({"embedding": torch.ones(1, 192), "speech_token": torch.zeros(1, 2)}, "must come together"),
        (
            {
                "embedding": torch.ones(1, 192),
                "speech_token": torch.tensor([[9000]]),
                "speech_feat": torch.ones(1, 2, 80),
            },
            "between 0 and 6560, found 9000",
        ),
        (
            {"embedding": torch.ones(1, 192), "speech_token": torch.tensor([[9]]), "speech_feat": torch.ones(1, 2, 40)},
            r"expected \(1, frames, 80\)",
        ),
    ],
)
def test_a_damaged_speaker_is_named(entry: Any, message: str, tmp_path: Path) -> None:
    torch.save({"eve": entry}, tmp_path / "spk2info.pt")
    with pytest.raises(MismatchError, match=rf"spk2info\.pt, speaker 'eve': .*{message}"):
        read_speakers(tmp_path / "spk2info.pt")


# --- the official size


@pytest.fixture
def full_size(small_model_dir: Path, tmp_path: Path) -> Iterator[Path]:
    """The official layout at full size, 2.6 GB of float32 zeros; removed afterwards."""
    directory = Path(shutil.copytree(small_model_dir, tmp_path / "full"))
    write_config(ModelConfig(), directory)
    shutil.copyfile(OFFICIAL, directory / "cosyvoice2.yaml")
    for part in PARTS:
        shapes = shapes_of(build(part, ModelConfig()))
        state = {key: torch.zeros(shape) for key, shape in shapes.items()}
        torch.save(keys.official(part, state), directory / f"{part}.pt")
    yield directory
    shutil.rmtree(directory)


SIZES = {"llm": (295, 505_800_000), "flow": (1121, 112_549_360), "hift": (328, 20_821_295)}  # tensors, numbers

LOAD_AND_MEASURE = """
import sys
from cosy.checkpoint.load import load_model
model = load_model(sys.argv[1])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's own peak")
def test_the_official_size_loads_strictly_and_is_never_in_memory_twice(full_size: Path) -> None:
    for part, (tensors, numbers) in SIZES.items():
        state = load_state(full_size / f"{part}.pt")
        assert len(state) == tensors
        distinct = {value.data_ptr(): value.numel() for value in state.values()}
        assert sum(distinct.values()) == pytest.approx(numbers, rel=1e-4)
    command = [sys.executable, "-c", LOAD_AND_MEASURE, str(full_size)]
    peak_kib = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert peak_kib < 1200 * 1024, "the interpreter; 2440 MiB of weights stay in their files until they are used"
