"""The incremental flow gives what one pass over the whole sequence gives, for any pieces, rows and prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from cosy.config import EstimatorConfig, FlowConfig, FlowEncoderConfig
from cosy.errors import ParameterError
from cosy.models.flow import Flow
from cosy.models.flow_stream import BoundedCache, FlowState, FlowStream, FullCache, Memory, Recompute
from cosy.token2wav import FinalChunk, MelStream
from cosy.voices.conditions import FlowPrompt
from tests.weights import key_weight

CHUNK = 5  # tokens
BOUND = 1e-5  # rounding, at a signal of rms about 1
SMALL = FlowConfig(
    vocab_size=30,
    input_size=16,
    encoder=FlowEncoderConfig(
        input_size=16,
        output_size=16,
        attention_heads=2,
        linear_units=24,
        num_blocks=2,
        up_blocks=1,
        static_chunk_size=CHUNK,
    ),
    estimator=EstimatorConfig(
        channels=16, attention_head_dim=8, num_heads=2, n_blocks=1, num_mid_blocks=1, static_chunk_size=2 * CHUNK
    ),
    n_timesteps=2,
)
Prompt = tuple[Tensor, Tensor, Tensor]


@pytest.fixture(scope="module")
def flow() -> Flow:
    flow = Flow(SMALL)
    flow.load_state_dict({k: torch.from_numpy(key_weight(k, v.shape)) for k, v in flow.state_dict().items()})
    return flow.eval()


def some_tokens(count: int, seed: int = 0) -> list[int]:
    return torch.randint(0, SMALL.vocab_size, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def some_prompt(tokens: int, frames: int | None = None) -> Prompt:
    generator = torch.Generator().manual_seed(tokens)
    mel = torch.randn(1, 2 * tokens if frames is None else frames, SMALL.output_size, generator=generator)
    return (
        torch.tensor([some_tokens(tokens, 2)], dtype=torch.int64),
        mel,
        torch.randn(1, SMALL.spk_embed_dim, generator=generator),
    )


def one_shot(flow: Flow, tokens: Sequence[int], prompt: Prompt) -> Tensor:
    """Mel (M, frames) of one chunk-masked pass."""
    return flow.inference(torch.tensor([list(tokens)]), *prompt, streaming=True, finalize=True)[0]


def in_pieces(stream: FlowStream, state: FlowState, tokens: Sequence[int], size: int) -> Tensor:
    """Mel (M, frames) of one row that takes `size` tokens at a time."""
    pieces = [stream.push(state, [tokens[a : a + size]])[0] for a in range(0, len(tokens), size)]
    return torch.cat([*pieces, *stream.finish(state)], dim=1)


def near(got: Tensor, expected: Tensor, bound: float = BOUND) -> None:
    torch.testing.assert_close(got, expected, atol=bound, rtol=0)


# --- exactness -----------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt_tokens", [0, 2, 5, 6, 7, 8])
@pytest.mark.parametrize("rest", range(CHUNK))
def test_a_session_equals_one_shot(flow: Flow, prompt_tokens: int, rest: int) -> None:
    stream, prompt = FlowStream(flow), some_prompt(prompt_tokens)
    tokens = some_tokens(3 * CHUNK + (rest - prompt_tokens) % CHUNK)
    state = stream.open(*prompt, capacity_tokens=40)
    near(in_pieces(stream, state, tokens, 4), one_shot(flow, tokens, prompt))
    assert int(state.known) % CHUNK == rest


def test_without_guidance_the_estimator_is_asked_once(flow: Flow) -> None:
    plain = Flow(replace(SMALL, inference_cfg_rate=0.0))
    plain.load_state_dict(flow.state_dict())
    nearly = Flow(replace(SMALL, inference_cfg_rate=1e-12))
    nearly.load_state_dict(flow.state_dict())
    prompts = some_prompt(7), some_prompt(12)
    tokens = some_tokens(14), some_tokens(9, 1)
    stream = FlowStream(plain.eval())
    state = stream.start([stream.open(*prompt) for prompt in prompts], 40)
    assert {cache.shape[1] for step in state.steps for cache in step.tensors()} == {1}
    first = stream.push(state, [tokens[0][:5], tokens[1][:8]])
    rest = stream.finish(state, [tokens[0][5:], tokens[1][8:]])
    for begin, end, said, prompt in zip(first, rest, tokens, prompts, strict=True):
        near(torch.cat([begin, end], dim=1), one_shot(plain, said, prompt))
        near(one_shot(plain, said, prompt), one_shot(nearly.eval(), said, prompt))


@pytest.mark.parametrize("prompt_tokens", [0, 3, 12])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_fewer_tokens_than_a_block_are_spoken_too(flow: Flow, prompt_tokens: int, count: int) -> None:
    stream, prompt, tokens = FlowStream(flow), some_prompt(prompt_tokens), some_tokens(count)
    state = stream.open(*prompt, capacity_tokens=20)
    near(in_pieces(stream, state, tokens, count), one_shot(flow, tokens, prompt))


@pytest.mark.parametrize("memory", [FullCache(), BoundedCache(5, 5), Recompute()])
def test_the_grouping_of_tokens_changes_no_bit(flow: Flow, memory: Memory) -> None:
    stream, tokens = FlowStream(flow, memory), some_tokens(23)
    voice = stream.open(*some_prompt(7))
    mels = [in_pieces(stream, stream.start([voice], 30), tokens, size) for size in (1, 5)]
    if isinstance(memory, Recompute):  # solves sequences of other lengths: only rounding differs
        near(mels[1], in_pieces(stream, stream.start([voice], 30), tokens, 23))
    assert torch.equal(*mels)


def test_frames_come_as_soon_as_the_look_ahead_is_known_and_then_stay(flow: Flow) -> None:
    stream, prompt = FlowStream(flow), some_prompt(7)
    whole = one_shot(flow, some_tokens(20), prompt)
    for seed in (1, 2):  # whatever follows
        state = stream.open(*prompt, capacity_tokens=40)
        assert stream.push(state, [some_tokens(20)[:10]])[0].shape[1] == 2 * (10 - 7)
        (mel,) = stream.push(state, [some_tokens(20)[10:11]])
        assert mel.shape[1] == 2 * CHUNK
        near(mel, whole[:, 6:16])
        stream.push(state, [some_tokens(9, seed)])
        assert int(state.done) == 4 * CHUNK


def test_a_prompt_mel_of_another_length_than_its_tokens_hides_its_own_frames(flow: Flow) -> None:
    for frames in (9, 20):  # for 7 tokens
        stream, prompt, tokens = FlowStream(flow), some_prompt(7, frames), some_tokens(14)
        state = stream.start([stream.open(*prompt)], 30)
        near(in_pieces(stream, state, tokens, 3), one_shot(flow, tokens, prompt))


# --- voices and rows -----------------------------------------------------------------------------


@pytest.mark.parametrize(("prompt_tokens", "blocks"), [(0, 0), (3, 0), (7, 0), (8, 1), (12, 1), (13, 2)])
def test_a_voice_holds_the_complete_blocks_of_its_prompt(flow: Flow, prompt_tokens: int, blocks: int) -> None:
    assert int(FlowStream(flow).open(*some_prompt(prompt_tokens)).done) == blocks * CHUNK


def test_requests_share_a_voice_and_leave_it_unchanged(flow: Flow) -> None:
    stream, prompt, tokens = FlowStream(flow), some_prompt(13), some_tokens(11)
    voice = stream.open(*prompt)
    before = voice.clone()
    first, second = (in_pieces(stream, stream.start([voice], 30), tokens, 4) for _ in range(2))
    fresh = stream.open(*prompt, capacity_tokens=30)
    assert torch.equal(first, second)
    assert torch.equal(first, in_pieces(stream, fresh, tokens, 4))
    assert [torch.equal(*pair) for pair in zip(all_tensors(voice), all_tensors(before), strict=True)].count(False) == 0


def all_tensors(state: FlowState) -> list[Tensor]:
    found: list[Tensor] = []
    state._map(lambda t: found.append(t) or t)
    return found


@pytest.mark.parametrize("memory", [FullCache(), BoundedCache(10, 5), Recompute()])
def test_rows_of_a_batch_equal_each_alone(flow: Flow, memory: Memory) -> None:
    stream = FlowStream(flow, memory)
    prompts = [some_prompt(tokens) for tokens in (0, 6, 13)]
    tokens = [some_tokens(count, count) for count in (23, 14, 2)]
    state = stream.start([stream.open(*prompt) for prompt in prompts], 40)
    rounds = [stream.push(state, [row[a : a + 6] for row in tokens]) for a in range(0, 24, 6)]
    rounds.append(stream.finish(state))
    for row, (prompt, known) in enumerate(zip(prompts, tokens, strict=True)):
        alone = in_pieces(stream, stream.open(*prompt, capacity_tokens=40), known, 4)
        near(torch.cat([mels[row] for mels in rounds], dim=1), alone)


@pytest.mark.parametrize("memory", [FullCache(), BoundedCache(10, 30), Recompute()])
@pytest.mark.parametrize("blocks", [2, 4])
def test_several_blocks_at_a_time_equal_one_after_another(flow: Flow, memory: Memory, blocks: int) -> None:
    stream = FlowStream(flow, memory)
    prompts = [some_prompt(tokens) for tokens in (0, 10, 13)]
    tokens = [some_tokens(count, count) for count in (37, 22, 9)]
    state = stream.start([stream.open(*prompt) for prompt in prompts], 60)
    mels = [stream.push(state, [row[:19] for row in tokens], blocks=blocks)]
    mels.append(stream.push(state, [row[19:] for row in tokens], [True] * 3, blocks))
    for row, (prompt, known) in enumerate(zip(prompts, tokens, strict=True)):
        near(torch.cat([mel[row] for mel in mels], dim=1), one_shot(flow, known, prompt))


def test_a_row_ends_and_another_request_takes_its_place(flow: Flow) -> None:
    stream, prompts = FlowStream(flow), [some_prompt(8), some_prompt(3)]
    voices = [stream.open(*prompt) for prompt in prompts]
    state = stream.start([voices[0], voices[0]], 40)
    long, short = some_tokens(24, 1), some_tokens(9, 2)
    parts = [stream.push(state, [short, long[:9]], final=[True, False])]
    near(parts[0][0], one_shot(flow, short, prompts[0]))

    state.reset(torch.tensor([0]))
    state.put(0, voices[1])
    parts.append(stream.push(state, [short, long[9:]], final=[True, False]))
    near(parts[1][0], one_shot(flow, short, prompts[1]))
    end = stream.push(state.select(torch.tensor([1])), [[]], final=[True])
    near(torch.cat([parts[0][1], parts[1][1], end[0]], dim=1), one_shot(flow, long, prompts[0]))


def test_tokens_beyond_the_capacity_are_refused_and_change_nothing(flow: Flow) -> None:
    stream = FlowStream(flow)
    state = stream.open(*some_prompt(8), capacity_tokens=10)
    with pytest.raises(ParameterError, match="larger capacity"):
        stream.push(state, [some_tokens(3)])
    assert int(state.known) == 8
    with pytest.raises(ParameterError, match="a voice brings 10"):
        stream.start([state], 9)


# --- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2)])
def test_half_precision_storage_stays_within_its_bound(flow: Flow, dtype: torch.dtype, bound: float) -> None:
    prompt, tokens = some_prompt(7), some_tokens(30)
    exact = one_shot(flow, tokens, prompt)
    stream = FlowStream(flow, FullCache(dtype))
    mel = in_pieces(stream, stream.open(*prompt, capacity_tokens=40), tokens, 6)
    assert mel.dtype == torch.float32
    near(mel, exact, bound)
    assert not torch.equal(mel, exact)


def test_a_bounded_cache_is_exact_until_something_has_left_it_and_keeps_its_size(flow: Flow) -> None:
    stream, prompt, tokens = FlowStream(flow, BoundedCache(7, 10)), some_prompt(7), some_tokens(60)
    state = stream.open(*prompt, capacity_tokens=70)
    got, exact = in_pieces(stream, state, tokens, 5), one_shot(flow, tokens, prompt)
    kept = 2 * (20 - 7)  # frames of the last block that ends within 7 + 10 + CHUNK tokens, prompt included
    near(got[:, :kept], exact[:, :kept])
    assert torch.isfinite(got).all()
    assert (got - exact).abs().max() > 0.01
    assert bytes_per_token(stream) == bytes_per_token(FlowStream(flow, Recompute()))  # no keys and values


def test_a_bounded_cache_that_nothing_leaves_is_exact(flow: Flow) -> None:
    stream, prompt, tokens = FlowStream(flow, BoundedCache(7, 40)), some_prompt(7), some_tokens(35)
    near(in_pieces(stream, stream.open(*prompt, capacity_tokens=42), tokens, 5), one_shot(flow, tokens, prompt))


def bytes_per_token(stream: FlowStream) -> int:
    return stream.init_state(1, 101).bytes - stream.init_state(1, 100).bytes


@pytest.mark.slow
def test_the_official_size_takes_the_bytes_of_the_formula() -> None:
    with torch.device("meta"):
        flow = Flow(FlowConfig())
    estimator, encoder = 2 * 4_587_520, 57_344  # bytes per token
    inputs = 8 + 2 * 80 * 4  # id and prompt mel
    assert bytes_per_token(FlowStream(flow)) == estimator + encoder + inputs
    assert bytes_per_token(FlowStream(flow, FullCache(torch.float16))) == (estimator + encoder) // 2 + inputs
    assert bytes_per_token(FlowStream(flow, BoundedCache(125))) == inputs
    assert bytes_per_token(FlowStream(flow, Recompute())) == inputs


@pytest.mark.parametrize("final_chunk", ["streaming", "official"])
def test_a_mel_stream_gives_the_same_frames_from_a_shared_voice(flow: Flow, final_chunk: FinalChunk) -> None:
    prompt, tokens, stream = FlowPrompt(*some_prompt(8)), some_tokens(130), FlowStream(flow)
    voice = stream.open(*prompt)
    joined = []
    for options in ((), (stream, voice), (stream, None)):
        mels = MelStream(flow, prompt, final_chunk, *options)  # grows beyond its first capacity
        joined.append(torch.cat([mels.push(tokens[:50]), mels.push(tokens[50:127]), mels.finish(tokens[127:])], dim=2))
    assert joined[0].shape == (1, 80, 260)
    near(joined[1], joined[0])
    assert torch.equal(joined[1], joined[2])
