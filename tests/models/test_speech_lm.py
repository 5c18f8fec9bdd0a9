from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch

from cosy.config import Qwen2Config, SpeechLMConfig
from cosy.errors import EngineError
from cosy.models.qwen2 import KVCache
from cosy.models.sampling import RasSampler
from cosy.models.speech_lm import SpeechLM, collect, generate, generate_bistream
from cosy.models.utterance import START, TASK
from cosy.types import FinishReason, Sampling

S = 30  # real speech tokens
EOS, RESERVED, FILL = S, S + 1, S + 2
BACKBONE = Qwen2Config(
    vocab_size=40,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=400,
)
TEXT = list(range(1, 24))


class Watched(SpeechLM):
    """Keeps what it was fed."""

    def __init__(self) -> None:
        super().__init__(SpeechLMConfig(BACKBONE, speech_token_size=S))
        self.fed: list[torch.Tensor] = []

    def step(self, embeddings: torch.Tensor, state: KVCache, lengths: torch.Tensor | None = None) -> torch.Tensor:
        self.fed.append(embeddings[0])
        return super().step(embeddings, state, lengths)


@pytest.fixture
def model() -> Watched:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Watched().requires_grad_(False)


def sampler(seed: int = 0) -> RasSampler:
    return RasSampler(Sampling(), torch.Generator().manual_seed(seed))


def always(token: int, otherwise: int = 3):
    """Chooses `token` whenever it is allowed."""
    return lambda log_probs, history: token if log_probs[token] > -torch.inf else otherwise


def in_pieces(sizes: Sequence[int]) -> Iterator[list[int]]:
    start = 0
    for size in sizes:
        yield TEXT[start : start + size]
        start += size


def test_the_prefix_is_start_texts_task_speech(model: Watched) -> None:
    got = model.prefix([4, 5], [6], [7, 8])
    parts = [model.embed([START]), model.embed_text([6, 4, 5]), model.embed([TASK]), model.embed_speech([7, 8])]
    assert torch.equal(got, torch.cat(parts, 1))


def test_a_step_gives_each_rows_own_last_log_probabilities(model: Watched) -> None:
    rows = [model.prefix([4, 5], [6]), model.prefix([4])]
    x = torch.nn.utils.rnn.pad_sequence([row[0] for row in rows], batch_first=True)
    together = model.step(x, model.init_state(2, 8), torch.tensor([row.shape[1] for row in rows]))
    for got, row in zip(together, rows, strict=True):
        torch.testing.assert_close(got, model.step(row, model.init_state(1, 8))[0], atol=1e-5, rtol=1e-4)
        assert got.exp().sum() == pytest.approx(1)


def test_nothing_ends_an_utterance_before_the_minimum_and_only_eos_after_it(model: Watched) -> None:
    for greedy in (EOS, RESERVED, FILL):
        tokens, reason = collect(generate(model, [1, 2], sampler=always(greedy), max_ratio=5))
        assert len(tokens) == (4 if greedy == EOS else 10)
        assert reason is (FinishReason.STOP if greedy == EOS else FinishReason.LENGTH)


def test_the_official_rule_lets_other_special_ids_end_early(model: Watched) -> None:
    for greedy, length in ((EOS, 4), (RESERVED, 0), (FILL, 0)):
        tokens, reason = collect(generate(model, [1, 2], sampler=always(greedy), official_stops=True))
        assert (len(tokens), reason) == (length, FinishReason.STOP)


def test_limits_count_only_the_text_to_speak(model: Watched) -> None:
    tokens, reason = collect(generate(model, [1, 2, 3], [4] * 9, [5] * 8, sampler=always(7), max_ratio=2.5))
    assert (len(tokens), reason) == (7, FinishReason.LENGTH)


def test_an_utterance_ends_where_the_positions_do(model: Watched) -> None:
    tokens, reason = collect(generate(model, [1] * 100, [2] * 290, sampler=always(7)))
    assert (len(tokens), reason) == (8, FinishReason.LENGTH)


def test_the_same_seed_speaks_the_same_tokens(model: Watched) -> None:
    first, again, other = (collect(generate(model, TEXT[:9], sampler=sampler(seed)))[0] for seed in (1, 1, 2))
    assert first == again != other


GROUPINGS = [[1] * 23, [23], [7, 0, 6, 2, 8]]


@pytest.mark.parametrize("prompt", [0, 20, 30, 200])
def test_bistream_tokens_do_not_depend_on_how_the_text_is_grouped(model: Watched, prompt: int) -> None:
    results = [
        collect(
            generate_bistream(
                model, in_pieces(sizes), [30] * (prompt // 8), [2] * prompt, sampler=sampler(), max_ratio=6
            )
        )
        for sizes in GROUPINGS
    ]
    assert results[0][0]
    assert all(result == results[0] for result in results)


def test_bistream_takes_single_ids_too(model: Watched) -> None:
    one = collect(generate_bistream(model, iter(TEXT), sampler=sampler()))
    assert one == collect(generate_bistream(model, [TEXT], sampler=sampler()))


def test_bistream_speaks_before_the_text_is_complete(model: Watched) -> None:
    taken: list[int] = []

    def slowly() -> Iterator[int]:
        for token in TEXT:
            taken.append(token)
            yield token

    stream = generate_bistream(model, slowly(), sampler=always(7))
    assert [next(stream) for _ in range(15)] == [7] * 15
    assert taken == TEXT[:5]
    next(stream)
    assert taken == TEXT[:10]


def test_bistream_feeds_the_layout_of_training(model: Watched) -> None:
    """12 text tokens, no prompt: two blocks of 5 and 15, then the rest, the task, and speech up to eos."""
    spoken, reason = collect(
        generate_bistream(model, [TEXT[:12]], sampler=lambda _, h: EOS if len(h) == 35 else len(h) % S)
    )
    text, speech = model.embed_text(TEXT[:12])[0], model.embed_speech(spoken)[0]
    start, task = model.embed([START])[0], model.embed([TASK])[0]
    layout = [start, text[:5], speech[:15], text[5:10], speech[15:30], text[10:], task, speech[30:]]
    assert torch.equal(torch.cat(model.fed), torch.cat(layout))
    assert (len(spoken), reason) == (33, FinishReason.STOP)


def test_the_official_bistream_feeds_the_last_token_twice(model: Watched) -> None:
    collect(generate_bistream(model, [TEXT[:5]], sampler=always(EOS, 7), official=True))
    repeated = model.embed_speech([7])[0]
    assert torch.equal(model.fed[-2], repeated)
    assert torch.equal(model.fed[-1][:1], repeated)


def test_a_text_too_short_for_a_block_is_spoken_as_a_whole(model: Watched) -> None:
    whole = collect(generate(model, TEXT[:4], [9], [3] * 20, sampler=sampler()))
    assert collect(generate_bistream(model, in_pieces([2, 2]), [9], [3] * 20, sampler=sampler())) == whole


def test_no_text_means_no_speech(model: Watched) -> None:
    assert collect(generate_bistream(model, [[]], [9] * 20, [3] * 20, sampler=sampler()))[0] == []


def test_an_early_fill_is_obeyed_and_the_rest_follows(model: Watched) -> None:
    tokens, reason = collect(generate_bistream(model, in_pieces([5, 5, 1]), sampler=always(FILL)))
    assert (tokens, reason) == ([3] * 220, FinishReason.LENGTH)  # no fill, no eos once the text is complete


def test_bistream_ends_where_the_positions_do(model: Watched) -> None:
    tokens, reason = collect(generate_bistream(model, [[1] * 200], sampler=always(7)))
    assert reason is FinishReason.LENGTH
    assert len(tokens) + 5 * -(-len(tokens) // 15) + 1 == BACKBONE.max_position_embeddings + 1  # the last is not fed


def test_the_official_bistream_raises_on_a_reserved_id(model: Watched) -> None:
    with pytest.raises(EngineError, match="special id 31"):
        collect(generate_bistream(model, [TEXT], sampler=always(RESERVED), official=True))


def test_the_head_stays_in_float32_under_autocast(model: Watched) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(model.prefix([1, 2])).logits.dtype == torch.float32
