from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from cosy.api import Cosy
from cosy.errors import AudioError, MissingDependencyError, ParameterError
from cosy.eval.similarity import Resemblyzer, cosines, equal_error_rate, identify, open_judge
from tests.eval.tones import tone

needs_resemblyzer = pytest.mark.skipif(
    importlib.util.find_spec("resemblyzer") is None, reason="resemblyzer is not installed"
)


@pytest.fixture(scope="module")
def cosy() -> Cosy:
    return Cosy.load()


def test_identification_of_a_matrix_worked_out_by_hand() -> None:
    scores = np.array([[0.9, 0.2, 0.1], [0.8, 0.7, 0.3], [0.0, 0.1, 0.6], [0.5, 0.0, 0.5]])
    told = identify(scores, [0, 1, 2, 2])
    assert told.voices == 3
    assert told.matched.value == pytest.approx((0.9 + 0.7 + 0.6 + 0.5) / 4)
    assert told.unmatched.value == pytest.approx((0.2 + 0.1 + 0.8 + 0.3 + 0.0 + 0.1 + 0.5 + 0.0) / 8)
    assert (told.right.count, told.right.of) == (2, 4)  # row 1 is nearer to voice 0, and a tie is no hit
    assert (told.above.count, told.above.of) == (4, 4)
    assert (told.closer.count, told.closer.of) == (6, 8)
    assert told.equal_error_rate == pytest.approx(0.25 / 2 + 0.125 / 2)


def test_voices_that_are_apart_are_never_confused() -> None:
    assert equal_error_rate(np.array([0.8, 0.9]), np.array([0.1, 0.2, 0.3])) == (0.0, pytest.approx(0.8))


def test_voices_that_are_the_same_are_confused_half_of_the_time() -> None:
    same = np.random.default_rng(0).random(2000)
    rate, _ = equal_error_rate(same[:1000], same[1000:])
    assert rate == pytest.approx(0.5, abs=0.05)


def test_what_could_not_be_heard_is_nobody() -> None:
    voices = [np.array([1.0, 0.0], np.float32), np.array([0.0, 1.0], np.float32)]
    told = identify(cosines([np.zeros(2, np.float32)], voices), [0])
    assert (told.right.count, told.above.count, told.closer.count, told.matched.value) == (0, 0, 0, 0.0)


@pytest.mark.parametrize("shape", [(0, 3), (3, 1)])
def test_identification_needs_a_recording_and_two_voices(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="two voices"):
        identify(np.zeros(shape), [0] * shape[0])


@needs_resemblyzer
def test_resemblyzer_hears_the_same_at_any_rate_and_however_quiet() -> None:
    judge, quiet = Resemblyzer(), np.float32(0.1)
    vector = judge(quiet * tone(120.0, 2.0), 16_000)
    assert vector.shape == (256,)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
    assert vector @ judge(quiet * tone(120.0, 2.0, 24_000), 24_000) > 0.99
    assert vector @ judge(quiet * quiet * tone(120.0, 2.0), 16_000) > 0.99
    assert vector @ judge(quiet * tone(350.0, 2.0), 16_000) < 0.9


@needs_resemblyzer
def test_resemblyzer_cuts_as_its_paper_does() -> None:
    judge = Resemblyzer()
    lengths = {frames: judge._parts(torch.zeros(frames, 40)).shape[0] for frames in (20, 160, 196, 197, 274, 400)}
    assert lengths == {20: 1, 160: 1, 196: 1, 197: 2, 274: 3, 400: 4}
    assert judge._parts(torch.zeros(20, 40)).shape == (1, 160, 40)


@needs_resemblyzer
def test_silence_is_nobody(cosy: Cosy) -> None:
    for name in ("resemblyzer", "campplus"):
        with pytest.raises(AudioError, match="silence"):
            open_judge(name, None, cosy.model).embeds(np.zeros(16_000, np.float32), 16_000)


def test_the_models_own_encoder_says_that_it_is_circular(cosy: Cosy) -> None:
    judge = open_judge("campplus", None, cosy.model)
    assert "circular" in judge.note
    assert judge.embeds(tone(120.0, 2.0), 16_000).shape == (192,)


def test_an_unknown_model_or_directory_is_told(cosy: Cosy, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="choose one of resemblyzer, campplus, wavlm"):
        open_judge("ears", None, cosy.model)
    with pytest.raises(ParameterError, match="wavlm=DIR"):
        open_judge("wavlm", tmp_path / "absent", cosy.model)


def test_absent_packages_are_told_with_the_remedy(cosy: Cosy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingDependencyError, match="pip install transformers"):
        open_judge("wavlm", tmp_path, cosy.model)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install --no-deps resemblyzer"):
        open_judge("resemblyzer", None, cosy.model)


def test_wavlm_is_asked_at_its_rate_and_its_answer_is_brought_to_length_one(
    cosy: Cosy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    class Extract:
        def __call__(self, wave: np.ndarray, sampling_rate: int, return_tensors: str) -> dict[str, int]:
            asked.extend((len(wave), sampling_rate))
            return {"input_values": 0}

    class XVector:
        def eval(self) -> XVector:
            return self

        def __call__(self, input_values: int) -> SimpleNamespace:
            return SimpleNamespace(embeddings=torch.tensor([[3.0, 4.0]]))

    library = ModuleType("transformers")
    library.AutoFeatureExtractor = SimpleNamespace(from_pretrained=lambda path, local_files_only: Extract())
    library.AutoModelForAudioXVector = SimpleNamespace(from_pretrained=lambda path, local_files_only: XVector())
    monkeypatch.setitem(sys.modules, "transformers", library)
    vector = open_judge("wavlm", tmp_path, cosy.model).embeds(tone(120.0, 1.0, 24_000), 24_000)
    assert vector.tolist() == pytest.approx([0.6, 0.8])
    assert asked == [16_000, 16_000]
