from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from cosy.checkpoint.onnx import (
    OnnxSpeakerEncoder,
    OnnxSpeechTokenizer,
    export_speaker_encoder,
    export_speech_tokenizer,
)
from cosy.config import SpeakerEncoderConfig, SpeechTokenizerConfig
from cosy.errors import AudioError, MismatchError, MissingDependencyError, MissingFileError
from cosy.models.speaker_encoder import SpeakerEncoder
from cosy.models.speech_tokenizer import SpeechTokenizer

TOKENIZER = SpeechTokenizerConfig(n_mels=8, n_state=32, n_head=2, n_layer=2, fsmn_kernel=5)
ENCODER = SpeakerEncoderConfig(
    feat_dim=20, front_channels=4, init_channels=16, growth_rate=4, bn_size=2, block_layers=(2, 3, 2), segment_pool=10
)


@pytest.fixture(scope="module")
def tokenizer() -> SpeechTokenizer:
    torch.manual_seed(0)
    model = SpeechTokenizer(TOKENIZER)
    for parameter in model.parameters():
        parameter.data.mul_(2.0)  # enough gain that all three levels occur
    return model.eval()


@pytest.fixture(scope="module")
def encoder() -> SpeakerEncoder:
    torch.manual_seed(0)
    model = SpeakerEncoder(ENCODER)
    for module in model.modules():
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            module.running_mean.normal_(0.0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


@pytest.fixture(scope="module")
def tokenizer_file(tokenizer: SpeechTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "speech_tokenizer_v2.onnx"
    export_speech_tokenizer(tokenizer, path)
    return path


@pytest.fixture(scope="module")
def encoder_file(encoder: SpeakerEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "campplus.onnx"
    export_speaker_encoder(encoder, path)
    return path


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def interface(path: Path) -> list[tuple[str, str]]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [(port.name, port.type) for port in (*session.get_inputs(), *session.get_outputs())]


def test_exports_have_the_official_names_and_types(tokenizer_file: Path, encoder_file: Path) -> None:
    assert interface(tokenizer_file) == [
        ("feats", "tensor(float)"),
        ("feats_length", "tensor(int32)"),
        ("indices", "tensor(int32)"),
    ]
    assert interface(encoder_file) == [("input", "tensor(float)"), ("output", "tensor(float)")]
    assert not list(tokenizer_file.parent.glob("*.part"))


@pytest.mark.parametrize("frames", [1, 4, 57, 200, 431])
def test_onnx_tokens_equal_torch_at_any_length(tokenizer: SpeechTokenizer, tokenizer_file: Path, frames: int) -> None:
    mel = noise(1, TOKENIZER.n_mels, frames)
    codes = OnnxSpeechTokenizer(tokenizer_file)(mel)
    assert codes.dtype == torch.int64
    assert codes.equal(tokenizer(mel, torch.tensor([frames]))[0][0])


def test_the_exported_tokenizer_takes_padded_batches(tokenizer: SpeechTokenizer, tokenizer_file: Path) -> None:
    mel, lengths = noise(3, TOKENIZER.n_mels, 61), torch.tensor([61, 33, 8], dtype=torch.int32)
    session = onnxruntime.InferenceSession(str(tokenizer_file), providers=["CPUExecutionProvider"])
    (indices,) = session.run(None, {"feats": mel.numpy(), "feats_length": lengths.numpy()})
    np.testing.assert_array_equal(indices, tokenizer(mel, lengths)[0].numpy())


@pytest.mark.parametrize("frames", [3, 57, 200, 431])
def test_onnx_vectors_equal_torch_at_any_length(encoder: SpeakerEncoder, encoder_file: Path, frames: int) -> None:
    features = noise(frames, ENCODER.feat_dim)
    vector = OnnxSpeakerEncoder(encoder_file, threads=2)(features)
    assert vector.shape == (192,)
    torch.testing.assert_close(vector, encoder(features[None])[0].detach(), atol=2e-5, rtol=1e-4)


def test_batch_norms_after_convolutions_are_folded(encoder: SpeakerEncoder, encoder_file: Path) -> None:
    kinds = [node.op_type for node in onnx.load(encoder_file).graph.node]
    before_convolutions = sum(ENCODER.block_layers) + len(ENCODER.block_layers)
    assert kinds.count("BatchNormalization") == before_convolutions + 1  # and the one after the dense layer


def test_export_leaves_the_model_in_training(tmp_path: Path) -> None:
    model = SpeakerEncoder(ENCODER).train()
    export_speaker_encoder(model, tmp_path / "campplus.onnx")
    assert model.training


def test_export_without_onnx_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"cosy\[train\]"):
        export_speaker_encoder(SpeakerEncoder(ENCODER), tmp_path / "campplus.onnx")


def test_a_missing_file_is_named_with_its_remedy(tmp_path: Path) -> None:
    session = OnnxSpeechTokenizer(tmp_path / "absent.onnx")  # opening waits for the first call
    with pytest.raises(MissingFileError, match=r"absent\.onnx.*cosy model pull"):
        session(noise(1, 8, 20))


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n"])
def test_a_file_that_is_not_onnx_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "campplus.onnx"
    path.write_bytes(content)
    with pytest.raises(MismatchError, match=r"campplus\.onnx.*cosy model pull"):
        OnnxSpeakerEncoder(path)(noise(20, 20))


def test_a_file_cut_short_is_an_error(tmp_path: Path, encoder_file: Path) -> None:
    whole = encoder_file.read_bytes()
    for part in (0.5, 0.99):
        path = tmp_path / "campplus.onnx"
        path.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(MismatchError, match="cut short"):
            OnnxSpeakerEncoder(path)(noise(20, ENCODER.feat_dim))


def test_the_other_network_is_an_error(tokenizer_file: Path, encoder_file: Path) -> None:
    with pytest.raises(MismatchError, match="feats_length"):
        OnnxSpeakerEncoder(tokenizer_file)(noise(20, ENCODER.feat_dim))
    with pytest.raises(MismatchError, match="another model"):
        OnnxSpeechTokenizer(encoder_file)(noise(1, TOKENIZER.n_mels, 20))


def test_other_feature_sizes_are_an_error(tokenizer_file: Path, encoder_file: Path) -> None:
    with pytest.raises(MismatchError, match="takes 8 feature bins, got 128"):
        OnnxSpeechTokenizer(tokenizer_file)(noise(1, 128, 20))
    with pytest.raises(MismatchError, match="takes 20 feature bins, got 80"):
        OnnxSpeakerEncoder(encoder_file)(noise(20, 80))


def test_too_few_frames_for_a_vector_are_an_error(encoder_file: Path) -> None:
    with pytest.raises(AudioError, match="at least 3 frames"):
        OnnxSpeakerEncoder(encoder_file)(noise(2, ENCODER.feat_dim))


def test_threads_share_one_session(encoder: SpeakerEncoder, encoder_file: Path) -> None:
    session = OnnxSpeakerEncoder(encoder_file)
    clips = [noise(frames, ENCODER.feat_dim) for frames in range(30, 46)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(session, clips))
    for clip, vector in zip(clips, together, strict=True):
        assert vector.equal(session(clip))
