"""The law of streaming: however tokens, frames or hops are cut, the audio is the same."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from cosy.models.flow import Flow
from cosy.models.vocoder import Vocoder
from cosy.nn.speed import at_speed
from cosy.streaming_plan import released
from cosy.timing import Stopwatch
from cosy.token2wav import (
    ExactStream,
    MelStream,
    WaveStream,
    in_pieces,
    seeded_noise,
    vocode,
    without_long_silences,
)
from cosy.token2wav_official import OfficialStream, at_official_speed, cross_fade
from tests.networks import small_flow, small_vocoder, some_prompt, some_tokens

TOLERANCE = 5e-3  # the phase is an integral of F0, so rounding of the mel adds up; a wrong cut gives 0.1 and more


@pytest.fixture(scope="module")
def flow() -> Flow:
    return small_flow()


@pytest.fixture(scope="module")
def vocoder() -> Vocoder:
    return small_vocoder()


@pytest.fixture(autouse=True)
def without_gradients() -> object:
    with torch.inference_mode():
        yield


def split(items: Sequence[int], sizes: Sequence[int]) -> list[Sequence[int]]:
    """Consecutive pieces of these sizes, the last size again and again."""
    pieces, start = [], 0
    while start < len(items):
        size = sizes[min(len(pieces), len(sizes) - 1)]
        pieces.append(items[start : start + size])
        start += size
    return pieces


def some_mel(frames: int) -> Tensor:
    return torch.randn(1, 80, frames, generator=torch.Generator().manual_seed(3)) - 6.0


@pytest.mark.parametrize("sizes", [[1], [7, 1, 3, 40], [41]])
def test_audio_does_not_depend_on_how_tokens_arrive(flow: Flow, vocoder: Vocoder, sizes: list[int]) -> None:
    tokens, prompt, noise = some_tokens(60), some_prompt(13), seeded_noise(5, 9)
    whole = ExactStream(flow, vocoder, prompt, noise).finish(tokens)
    stream = ExactStream(flow, vocoder, prompt, noise)
    parts = [stream.push(piece) for piece in split(tokens, sizes)]
    assert sum(map(len, parts)) > 0, "something came before the end"
    joined = torch.cat([*parts, stream.finish()])
    assert len(whole) == 960 * len(tokens)
    torch.testing.assert_close(joined, whole, atol=TOLERANCE, rtol=0)
    assert whole.std() > 0.02


def test_mel_does_not_depend_on_the_cuts(flow: Flow) -> None:
    tokens, prompt = some_tokens(60), some_prompt(13)
    whole = MelStream(flow, prompt).finish(tokens)
    stream = MelStream(flow, prompt)
    joined = torch.cat([*(stream.push(piece) for piece in split(tokens, [16, 5, 20])), stream.finish()], 2)
    torch.testing.assert_close(joined, whole, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("size", "speed"), [(1, 1.0), (13, 1.0), (13, 0.5), (3, 1.7)])
def test_a_wave_does_not_depend_on_how_frames_arrive(vocoder: Vocoder, size: int, speed: float) -> None:
    mel, noise = some_mel(38), seeded_noise(5, 9)
    whole = WaveStream(vocoder, noise, speed).push(mel, final=True)
    stream = WaveStream(vocoder, noise, speed)
    parts = [stream.push(mel[:, :, a : a + size]) for a in range(0, 38, size)]
    joined = torch.cat([*parts, stream.push(mel[:, :, :0], final=True)])
    torch.testing.assert_close(joined, whole, atol=1e-4, rtol=0)
    assert len(whole) == 480 * int(38 / speed)


def test_what_is_released_does_not_depend_on_later_frames(vocoder: Vocoder) -> None:
    mel, noise = some_mel(60), seeded_noise(5, 9)
    safe = released(40)
    before = vocode(vocoder, mel[:, :, :40], noise)[:safe]
    torch.testing.assert_close(before, vocode(vocoder, mel, noise)[:safe], atol=1e-4, rtol=0)
    assert safe == 480 * 20


def test_noise_belongs_to_positions_in_the_request() -> None:
    first, second = seeded_noise(1, 9, start_sample=0), seeded_noise(1, 9, start_sample=1000)
    torch.testing.assert_close(first(1000, 50), second(0, 50), atol=0, rtol=0)


def test_pieces_come_as_soon_as_their_tokens_are_there(flow: Flow, vocoder: Vocoder) -> None:
    taken = 0

    def tokens() -> object:
        nonlocal taken
        for token in some_tokens(60):
            taken += 1
            yield token

    stream = ExactStream(flow, vocoder, some_prompt(10), seeded_noise(5, 9))
    pieces = in_pieces(tokens(), stream)
    piece = next(pieces)
    assert (taken, len(piece.samples), piece.final) == (18, 480 * 10, False)
    pieces.close()


def test_no_tokens_give_no_audio(flow: Flow, vocoder: Vocoder) -> None:
    for kind in (ExactStream, OfficialStream):
        (piece,) = in_pieces([], kind(flow, vocoder, some_prompt(3), seeded_noise(5, 9)))
        assert piece.final
        assert len(piece.samples) == 0


@pytest.mark.parametrize("prompt", [0, 4])
def test_one_token_is_40_ms(flow: Flow, vocoder: Vocoder, prompt: int) -> None:
    assert len(ExactStream(flow, vocoder, some_prompt(prompt), seeded_noise(5, 9)).finish([9])) == 960


def test_the_official_final_chunk_is_another_result(flow: Flow) -> None:
    tokens, prompt = some_tokens(40), some_prompt(13)
    masked = MelStream(flow, prompt).finish(tokens)
    full = MelStream(flow, prompt, final_chunk="official").finish(tokens)
    assert (masked - full).abs().max() > 1e-3


def test_the_official_stream_gives_every_sample_once(flow: Flow, vocoder: Vocoder) -> None:
    stream = OfficialStream(flow, vocoder, some_prompt(20), seeded_noise(5, 9))
    pieces = list(in_pieces(some_tokens(40), stream))
    assert [len(piece.samples) for piece in pieces] == [960 * 30 - 3840, 960 * 10 + 3840]


def test_the_official_cross_fade_sums_to_1_08() -> None:
    ones = torch.ones(1, 400)
    faded = cross_fade(ones, ones[:, :300])
    torch.testing.assert_close(faded[:, :300], torch.full((1, 300), 1.08), atol=3e-3, rtol=0)
    torch.testing.assert_close(faded[:, 300:], ones[:, 300:])


def test_both_speed_formulas_agree_where_the_length_divides() -> None:
    mel = some_mel(40)
    for speed in (0.5, 0.8, 1.25, 2.0):
        torch.testing.assert_close(at_speed(mel, speed), at_official_speed(mel, speed), atol=1e-5, rtol=0)


def test_at_most_five_silent_tokens_pass_in_a_row() -> None:
    assert list(without_long_silences([1] * 8 + [100] + [2] * 3)) == [1] * 5 + [100] + [2] * 3


def test_a_stopwatch_adds_up_by_stage() -> None:
    clock = Stopwatch()
    with clock.stage("flow"):
        pass
    assert list(clock.timed("lm", iter([1, 2]))) == [1, 2]  # type: ignore[arg-type]
    assert set(clock.take()) == {"flow", "lm"}
    assert clock.take() == {}
