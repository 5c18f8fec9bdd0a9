"""The law of streaming for the vocoder: chunked equals one-shot, for any chunks, beside any other rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from cosy.config import VocoderConfig
from cosy.errors import ParameterError
from cosy.models.source import harmonic_noise
from cosy.models.vocoder import Vocoder
from cosy.models.vocoder_stream import EXACT, PRACTICAL, VocoderState, VocoderStream
from cosy.nn.speed import at_speed
from tests.weights import key_weight

TINY = VocoderConfig(base_channels=16, f0_cond_channels=8)
HOP = TINY.hop_samples
FLOAT64 = 1e-9
FLOAT32 = 2e-5  # rounding in other places: the size of the window changes how the convolutions are summed


@pytest.fixture(scope="module")
def vocoder() -> Vocoder:
    return tiny()


@pytest.fixture(scope="module")
def precise() -> Vocoder:
    return tiny().double()


def tiny() -> Vocoder:
    """A vocoder with audible, unsaturated output and F0 above the voicing threshold."""
    vocoder = Vocoder(TINY)
    state = {k: torch.from_numpy(key_weight(k, v.shape)) for k, v in vocoder.state_dict().items()}
    state["conv_post.parametrizations.weight.original0"] *= 0.2
    state["f0_predictor.classifier.weight"] *= 300.0
    vocoder.load_state_dict(state)
    return vocoder.fold()


def some_mel(frames: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(80, frames, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def one_shot(vocoder: Vocoder, mel: Tensor, seed: int = 0, first_sample: int = 0) -> Tensor:
    """The plain network over the whole mel (80, T)."""
    noise = harmonic_noise(seed, first_sample, mel.shape[1] * HOP)
    wave, _ = vocoder(mel[None], noise)
    return wave[0]


def pieces(mel: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Consecutive frames in pieces of these sizes, again and again."""
    parts, at = [], 0
    while at < mel.shape[1]:
        size = sizes[len(parts) % len(sizes)]
        parts.append(mel[:, at : at + size])
        at += size
    return parts


def streamed(stream: VocoderStream, mel: Tensor, sizes: Sequence[int], state: VocoderState | None = None) -> Tensor:
    state = stream.init_state(1) if state is None else state
    parts = [stream.push(state, [piece])[0] for piece in pieces(mel, sizes)]
    return torch.cat([*parts, *stream.finish(state)])


def error_db(got: Tensor, expected: Tensor) -> float:
    """RMS of the difference against the RMS of the signal, in dB."""
    return 20 * math.log10((got - expected).square().mean().sqrt() / expected.square().mean().sqrt())


# --- chunked equals one-shot


@pytest.mark.parametrize("sizes", [[50], [7, 1, 3, 20], [21, 0, 2], [200]])
@torch.no_grad()
def test_chunks_join_to_the_one_shot_audio_in_float64(precise: Vocoder, sizes: list[int]) -> None:
    mel = some_mel(110)
    torch.testing.assert_close(
        streamed(VocoderStream(precise), mel, sizes), one_shot(precise, mel), atol=FLOAT64, rtol=0
    )


@torch.no_grad()
def test_single_frames_join_to_the_one_shot_audio(precise: Vocoder) -> None:
    mel = some_mel(60)
    torch.testing.assert_close(streamed(VocoderStream(precise), mel, [1]), one_shot(precise, mel), atol=FLOAT64, rtol=0)


@pytest.mark.parametrize("sizes", [[50], [7, 1, 3, 20]])
@torch.no_grad()
def test_chunks_join_to_the_one_shot_audio_in_float32(vocoder: Vocoder, sizes: list[int]) -> None:
    mel = some_mel(110, dtype=torch.float32)
    expected = one_shot(vocoder, mel)
    torch.testing.assert_close(streamed(VocoderStream(vocoder), mel, sizes), expected, atol=FLOAT32, rtol=0)
    assert 0.02 < expected.std() < 0.5


@torch.no_grad()
def test_samples_are_handed_out_twenty_frames_behind_the_mel(vocoder: Vocoder) -> None:
    stream, counts = VocoderStream(vocoder), []
    state = stream.init_state(1)
    for piece in pieces(some_mel(70, dtype=torch.float32), [15, 10, 45]):
        counts.append(len(stream.push(state, [piece])[0]))
    assert counts == [0, HOP * 5, HOP * 45]
    assert stream.released(70) == sum(counts)
    assert len(stream.finish(state)[0]) == HOP * EXACT


@torch.no_grad()
def test_later_mel_never_changes_samples_that_were_handed_out(precise: Vocoder) -> None:
    mel = some_mel(80)
    other = torch.cat([mel[:, :45], 3.0 * some_mel(35, seed=9)], 1)
    released = VocoderStream(precise).released(45)
    expected = one_shot(precise, other)[:released]
    torch.testing.assert_close(one_shot(precise, mel)[:released], expected, atol=FLOAT64, rtol=0)
    stream = VocoderStream(precise)
    [early] = stream.push(stream.init_state(1), [mel[:, :45]])
    torch.testing.assert_close(early, expected, atol=FLOAT64, rtol=0)


@pytest.mark.parametrize("frames", [1, 4, 5, 6, 19])
@torch.no_grad()
def test_an_utterance_shorter_than_the_look_ahead_comes_at_its_end(precise: Vocoder, frames: int) -> None:
    mel, stream = some_mel(frames), VocoderStream(precise)
    state = stream.init_state(1)
    assert [len(stream.push(state, [piece])[0]) for piece in pieces(mel, [3, 1])] == [0] * len(pieces(mel, [3, 1]))
    torch.testing.assert_close(stream.finish(state)[0], one_shot(precise, mel), atol=FLOAT64, rtol=0)


@torch.no_grad()
def test_the_last_frames_may_come_with_the_end(precise: Vocoder) -> None:
    mel, stream = some_mel(60), VocoderStream(precise)
    state = stream.init_state(1)
    parts = [*stream.push(state, mel[None, :, :33]), *stream.push(state, mel[None, :, 33:], final=True)]
    torch.testing.assert_close(torch.cat(parts), one_shot(precise, mel), atol=FLOAT64, rtol=0)


@torch.no_grad()
def test_nothing_in_is_nothing_out(vocoder: Vocoder) -> None:
    stream = VocoderStream(vocoder)
    state = stream.init_state(2)
    before = state.clone()
    assert [len(wave) for wave in stream.push(state, torch.zeros(2, 80, 0))] == [0, 0]
    assert [len(wave) for wave in stream.finish(state)] == [0, 0]
    assert_same_state(state, before)


# --- noise and phase


@torch.no_grad()
def test_noise_belongs_to_the_seed_and_the_position_in_the_request(precise: Vocoder) -> None:
    mel, stream = some_mel(45), VocoderStream(precise)
    state = stream.init_state(1)
    state.start(0, seed=2**62 + 1, first_sample=12_345)
    expected = one_shot(precise, mel, seed=2**62 + 1, first_sample=12_345)
    torch.testing.assert_close(streamed(stream, mel, [9], state), expected, atol=FLOAT64, rtol=0)
    assert (expected - one_shot(precise, mel)).abs().max() > 1e-3


@pytest.mark.parametrize("look_ahead", [EXACT, 4])
@torch.no_grad()
def test_noise_is_asked_for_by_position_whatever_the_chunks(vocoder: Vocoder, look_ahead: int) -> None:
    mel = some_mel(40, dtype=torch.float32)
    for sizes in ([50], [3, 1, 8]):
        asked: list[tuple[int, int]] = []

        def noise(seed: int, first: int, samples: int, harmonics: int, asked: list[tuple[int, int]] = asked) -> Tensor:
            asked.append((first, first + samples))
            return torch.zeros(1, samples, harmonics)

        streamed(VocoderStream(vocoder, look_ahead, noise=noise), mel, sizes)
        assert asked[0][0] == 0
        assert asked[-1][1] == 40 * HOP
        assert all(first < last <= 40 * HOP for first, last in asked)


@torch.no_grad()
def test_the_phase_goes_on_where_chunks_meet(precise: Vocoder) -> None:
    mel, excitations = some_mel(60), []
    for sizes in ([60], [7, 2]):
        stream = VocoderStream(precise)
        state = stream.init_state(1)
        for piece in pieces(mel, sizes):
            stream.push(state, [piece])
        excitations.append((state.excitation, state.source.phase))
    torch.testing.assert_close(*excitations, atol=1e-10, rtol=0)


# --- rows


@torch.no_grad()
def test_rows_at_different_positions_sound_as_they_do_alone(precise: Vocoder) -> None:
    stream, mels = VocoderStream(precise), [some_mel(frames, seed=frames) for frames in (70, 52, 9)]
    state = stream.init_state(3)
    for row in range(3):
        state.start(row, seed=row)
    parts: list[list[Tensor]] = [[], [], []]
    # row 0 runs ahead, row 1 joins late and gets on level with it, row 2 ends while the others go on
    cuts = [(30, 0, 4), (31, 12, 4), (50, 33, 9), (69, 52, 9), (70, 52, 9)]
    at = (0, 0, 0)
    for to in cuts:
        final = [end == mel.shape[1] and end > begin for mel, begin, end in zip(mels, at, to, strict=True)]
        fresh = [mel[:, begin:end] for mel, begin, end in zip(mels, at, to, strict=True)]
        for row, wave in enumerate(stream.push(state, fresh, final)):
            parts[row].append(wave)
        at = to
    for row, mel in enumerate(mels):
        torch.testing.assert_close(torch.cat(parts[row]), one_shot(precise, mel, seed=row), atol=FLOAT64, rtol=0)


@torch.no_grad()
def test_a_cloned_state_goes_on_alike_and_leaves_the_original_alone(precise: Vocoder) -> None:
    stream, mel = VocoderStream(precise), some_mel(70)
    state = stream.init_state(1)
    stream.push(state, [mel[:, :30]])
    copy = state.clone()
    twice = copy.select(torch.tensor([0, 0]))
    first = stream.push(state, [mel[:, 30:]], final=True)[0]
    second = stream.push(copy, [mel[:, 30:]], final=True)[0]
    assert torch.equal(first, second)
    for wave in stream.push(twice, mel[None, :, 30:].expand(2, -1, -1), final=True):
        torch.testing.assert_close(wave, first, atol=FLOAT64, rtol=0)


@torch.no_grad()
def test_a_reset_row_is_a_new_stream_beside_one_that_goes_on(precise: Vocoder) -> None:
    stream, mel = VocoderStream(precise), some_mel(60)
    state = stream.init_state(2)
    state.start(1, seed=5, speed=1.5)
    [begin, _] = stream.push(state, mel[None, :, :40].expand(2, -1, -1))
    state.reset(torch.tensor([1]))
    [end, other] = stream.push(state, [mel[:, 40:], mel], final=True)
    torch.testing.assert_close(torch.cat([begin, end]), one_shot(precise, mel), atol=FLOAT64, rtol=0)
    torch.testing.assert_close(other, one_shot(precise, mel), atol=FLOAT64, rtol=0)


@torch.no_grad()
def test_a_finished_row_is_as_good_as_new(vocoder: Vocoder) -> None:
    stream = VocoderStream(vocoder, 8)
    state, fresh = stream.init_state(1), stream.init_state(1)
    state.start(0, seed=3, speed=0.9)
    streamed(stream, some_mel(40, dtype=torch.float32), [25], state)
    assert_same_state(state, fresh)


def assert_same_state(state: VocoderState, other: VocoderState) -> None:
    for name in ("frames", "mel", "excitation", "tail", "seed", "first_sample"):
        assert torch.equal(getattr(state, name), getattr(other, name)), name
    assert torch.equal(state.source.phase, other.source.phase)
    assert torch.equal(state.pace.speed, other.pace.speed)


# --- the size of the work


@torch.no_grad()
def test_work_and_state_do_not_grow_with_the_stream(precise: Vocoder, monkeypatch: pytest.MonkeyPatch) -> None:
    widths: list[int] = []
    decode = precise.decode
    monkeypatch.setattr(precise, "decode", lambda mel, s: widths.append(mel.shape[2]) or decode(mel, s))  # type: ignore[func-returns-value]
    stream = VocoderStream(precise)
    state = stream.init_state(1)
    size = state.bytes
    for _ in range(8):
        stream.push(state, [some_mel(10)])
    assert widths[-4:] == [15 + 10 + 15] * 4
    assert max(widths) == 40
    assert state.bytes == size


# --- less look-ahead


def as_before_training() -> Vocoder:
    """The small random kernels that training starts with, float64."""
    vocoder = Vocoder(TINY)
    state = {k: torch.from_numpy(key_weight(k, v.shape)) for k, v in vocoder.state_dict().items()}
    for key in [k.removesuffix("1") for k in state if k.endswith("original1") and not k.startswith("f0_predictor")]:
        state[key + "1"] *= 0.01 * math.sqrt(state[key + "1"][0].numel())  # standard deviation 0.01
        state[key + "0"] = state[key + "1"].flatten(1).norm(dim=1)[:, None, None]
    state["f0_predictor.classifier.weight"] *= 300.0
    vocoder.load_state_dict(state)
    return vocoder.fold().double()


@torch.no_grad()
def test_sixteen_frames_of_look_ahead_are_exact_to_90_db_before_training() -> None:
    vocoder, mel = as_before_training(), some_mel(80)
    expected = one_shot(vocoder, mel)
    assert error_db(streamed(VocoderStream(vocoder, PRACTICAL), mel, [10]), expected) < -90


@pytest.mark.parametrize(("look_ahead", "bound_db"), [(18, -120), (16, -80), (12, -30), (8, -15), (6, -10)])
@torch.no_grad()
def test_less_look_ahead_costs_little_even_if_every_layer_has_unit_gain(
    precise: Vocoder, look_ahead: int, bound_db: float
) -> None:
    mel = some_mel(80)
    got = streamed(VocoderStream(precise, look_ahead, blend_frames=0), mel, [10])
    assert error_db(got, one_shot(precise, mel)) < bound_db


@pytest.mark.parametrize("look_ahead", [2, 8])
@torch.no_grad()
def test_joints_of_a_small_look_ahead_do_not_jump(precise: Vocoder, look_ahead: int) -> None:
    mel = some_mel(50)
    wave = streamed(VocoderStream(precise, look_ahead), mel, [10])
    joints = torch.arange(10 - look_ahead, 50 - look_ahead, 10) * HOP
    at_joints, anywhere = (wave[joints] - wave[joints - 1]).abs().mean(), wave.diff().abs().mean()
    assert len(wave) == 50 * HOP
    assert at_joints < 3 * anywhere


@torch.no_grad()
def test_a_joint_may_be_longer_than_a_chunk(precise: Vocoder) -> None:
    mel = some_mel(25)
    got = streamed(VocoderStream(precise, 12, blend_frames=4), mel, [1])
    assert len(got) == 25 * HOP
    assert error_db(got, one_shot(precise, mel)) < -10


@torch.no_grad()
def test_joints_change_nothing_where_both_sides_agree(precise: Vocoder) -> None:
    mel = some_mel(60)
    got = streamed(VocoderStream(precise, blend_frames=4), mel, [13, 2])
    expected = one_shot(precise, mel)
    assert error_db(got, expected) < -70  # a joint mixes in what had 16 frames of look-ahead


def test_options_that_do_not_fit_are_refused(vocoder: Vocoder) -> None:
    with pytest.raises(ParameterError, match="look-ahead must be 2 to 20"):
        VocoderStream(vocoder, 1)
    with pytest.raises(ParameterError, match="context must be 5 to 15"):
        VocoderStream(vocoder, context_frames=16)
    with pytest.raises(ParameterError, match="0 to 3 frames long"):
        VocoderStream(vocoder, 3, blend_frames=4)
    with pytest.raises(ParameterError, match="speed must be above 0"):
        VocoderStream(vocoder).init_state(1).start(0, speed=0.0)


# --- speed


@pytest.mark.parametrize(("speed", "sizes"), [(0.5, [13]), (0.77, [7, 1, 3, 20]), (1.7, [3]), (2.0, [1])])
@torch.no_grad()
def test_another_speed_is_the_same_however_frames_arrive(precise: Vocoder, speed: float, sizes: list[int]) -> None:
    mel, stream = some_mel(57), VocoderStream(precise)
    state = stream.init_state(1)
    state.start(0, speed=speed)
    expected = one_shot(precise, at_speed(mel[None], speed)[0])
    assert len(expected) == HOP * int(57 / speed)
    torch.testing.assert_close(streamed(stream, mel, sizes, state), expected, atol=FLOAT64, rtol=0)


@torch.no_grad()
def test_rows_may_run_at_different_speeds(precise: Vocoder) -> None:
    stream, mel, speeds = VocoderStream(precise), some_mel(50), (1.0, 0.8, 1.6)
    state = stream.init_state(3)
    for row, speed in enumerate(speeds):
        state.start(row, speed=speed)
    early = stream.push(state, mel[None, :, :31].expand(3, -1, -1))
    late = stream.push(state, mel[None, :, 31:].expand(3, -1, -1), final=True)
    for row, speed in enumerate(speeds):
        expected = one_shot(precise, at_speed(mel[None], speed)[0])
        torch.testing.assert_close(torch.cat([early[row], late[row]]), expected, atol=FLOAT64, rtol=0)
