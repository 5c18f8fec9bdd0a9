from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cosy.audio.constants import SPEAKER_DIM
from cosy.checkpoint.check import check_directory
from cosy.checkpoint.convert import NARROWED
from cosy.checkpoint.layout import PARTS
from cosy.checkpoint.load import build, load_model, load_state
from cosy.checkpoint.speakers import Speaker
from cosy.models.speaker_encoder import SpeakerEncoder
from cosy.models.speech_lm import SpeechLM
from cosy.models.speech_tokenizer import SpeechTokenizer
from cosy.text.tokenizer import train_bpe
from cosy.train.assemble import assemble, sharpen
from tests.model_dir import SMALL, SMALL_SPEAKER_ENCODER, SMALL_TOKENIZER, TEXT_VOCABULARY

CARD = "# A voice\n\nMade for a test: größer als nichts.\n"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory put together from networks that were never trained."""
    pytest.importorskip("onnx", reason="exporting the front ends needs the extra `train`")
    root = tmp_path_factory.mktemp("assembled")
    train_bpe(["one two three"], TEXT_VOCABULARY, root / "vocabulary")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = {part: build(part, SMALL) for part in PARTS}
        for network in networks.values():
            for parameter in network.parameters():
                torch.nn.init.normal_(parameter, std=0.05)
        front_ends = SpeechTokenizer(SMALL_TOKENIZER), SpeakerEncoder(SMALL_SPEAKER_ENCODER)
        speakers = {name: Speaker(torch.randn(1, SPEAKER_DIM)) for name in ("anna", "alex")}
    return assemble(root / "model", SMALL, networks, *front_ends, root / "vocabulary", speakers, CARD)


def test_an_assembled_directory_has_no_problem(directory: Path) -> None:
    report = check_directory(directory)
    assert report.problems == []
    assert all(report.works.values())
    assert report.speakers == ["anna", "alex"]


def test_an_assembled_directory_loads(directory: Path) -> None:
    model = load_model(directory)
    assert model.config == SMALL
    assert isinstance(model.llm, SpeechLM)
    assert model.flow.config == SMALL.flow
    assert model.hift.config == SMALL.hift
    assert set(model.spk2info) == {"anna", "alex"}
    assert model.text_tokenizer.encode("one two")


def test_its_front_ends_run(directory: Path) -> None:
    model = load_model(directory)
    assert model.speech_tokenizer(torch.zeros(1, 128, 40)).shape == (10,)
    assert model.speaker_encoder(torch.randn(50, 80)).shape == (SPEAKER_DIM,)


@pytest.mark.parametrize("part", PARTS)
def test_the_vocoder_keeps_its_precision_and_the_others_are_halved(directory: Path, part: str) -> None:
    state = load_state(directory / f"{part}.safetensors")
    assert {value.dtype for value in state.values()} == {torch.float16 if part in NARROWED else torch.float32}


def test_the_card_is_kept(directory: Path) -> None:
    assert (directory / "README.md").read_text(encoding="utf-8") == CARD


def test_nothing_else_is_written(directory: Path) -> None:
    names = {p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file()}
    assert names == {
        "cosyvoice2.yaml",
        "llm.safetensors",
        "flow.safetensors",
        "hift.safetensors",
        "campplus.onnx",
        "speech_tokenizer_v2.onnx",
        "spk2info.safetensors",
        "README.md",
        "CosyVoice-BlankEN/config.json",
        "CosyVoice-BlankEN/vocab.json",
        "CosyVoice-BlankEN/merges.txt",
        "CosyVoice-BlankEN/tokenizer_config.json",
    }


def test_sharpening_divides_the_logits() -> None:
    llm = SpeechLM(SMALL.llm)
    hidden = torch.randn(2, SMALL.llm.backbone.hidden_size)
    before = llm.logits(hidden)
    sharpen(llm, 0.5)
    torch.testing.assert_close(llm.logits(hidden), 2 * before)
