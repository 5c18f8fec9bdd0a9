from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cosy.config import Qwen2Config, SpeechLMConfig
from cosy.models.lm_loss import build_sequences, dpo_loss, embed, layouts, lm_loss, sequence_log_probs
from cosy.models.speech_lm import SpeechLM

CONFIG = SpeechLMConfig(
    Qwen2Config(
        vocab_size=40,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
    ),
    speech_token_size=60,
    mix_ratio=(2, 3),
)
EOS, FILL = 60, 62


def ids(*values: int) -> Tensor:
    return torch.tensor(values)


def uniform(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_coin_needs_speech_longer_than_the_ratio() -> None:
    text, speech = [ids(1, 2)] * 4, [torch.arange(n) for n in (3, 4, 4, 2)]
    assert layouts(text, speech, [True, True, False, True], (2, 3)) == [False, True, False, False]


def test_the_plain_layout_predicts_speech_from_the_task_on() -> None:
    s = build_sequences([ids(1, 2)], [ids(11, 12, 13)], [False], CONFIG)
    assert s.table.tolist() == [[0, 1, 1, 0, 2, 2, 2]]
    assert s.row.tolist() == [[0, 1, 2, 1, 11, 12, 13]]
    assert s.target.tolist() == [[-1, -1, -1, 11, 12, 13, EOS]]
    assert s.text_index.tolist() == [[-1, 0, 1, -1, -1, -1, -1]]
    assert s.speech_index.tolist() == [[-1, -1, -1, 0, 1, 2, -1]]


def test_the_mixed_layout_predicts_fill_after_each_block() -> None:
    s = build_sequences([ids(1, 2, 3)], [ids(11, 12, 13, 14, 15)], [True], CONFIG)
    assert s.row.tolist() == [[0, 1, 2, 11, 12, 13, 3, 1, 14, 15]]
    assert s.target.tolist() == [[-1, -1, 11, 12, 13, FILL, -1, 14, 15, EOS]]
    assert s.text_index.tolist() == [[-1, 0, 1, -1, -1, -1, 2, -1, -1, -1]]
    assert s.speech_index.tolist() == [[-1, -1, 0, 1, 2, -1, -1, 3, 4, -1]]


def test_a_text_of_whole_blocks_ends_with_the_bare_task() -> None:
    s = build_sequences([ids(1, 2)], [ids(11, 12, 13, 14)], [True], CONFIG)
    assert s.row.tolist() == [[0, 1, 2, 11, 12, 13, 1, 14]]
    assert s.target.tolist() == [[-1, -1, 11, 12, 13, FILL, 14, EOS]]


def test_padding_is_ignored_everywhere() -> None:
    s = build_sequences([ids(1), ids(1, 2)], [ids(11), ids(11, 12)], [False, False], CONFIG)
    assert s.lengths.tolist() == [4, 6]
    for values in (s.table, s.row, s.target, s.text_index, s.speech_index):
        assert values[0, 4:].tolist() == [-1, -1]
    x = embed(SpeechLM(CONFIG), s)
    assert (x[0, 4:] == -1).all()


def test_a_row_trains_the_same_alone_and_in_a_batch() -> None:
    model = SpeechLM(CONFIG)
    text, speech = [ids(1, 2, 3), ids(4)], [torch.arange(8), torch.arange(3)]
    both = build_sequences(text, speech, [True, False], CONFIG)
    one = build_sequences(text[1:], speech[1:], [False], CONFIG)
    n = int(one.lengths)
    got = model(embed(model, both), both.lengths).logits[1, :n]
    torch.testing.assert_close(got, model(embed(model, one)).logits[0], atol=1e-5, rtol=1e-4)


def test_gradients_reach_every_parameter_that_is_used() -> None:
    model = SpeechLM(CONFIG)
    s = build_sequences([ids(1, 2, 3)], [torch.arange(8)], [True], CONFIG)
    logits, attention = model(embed(model, s), s.lengths, attention_layers=[0])
    speaking, words = s.speech_index[0] >= 0, s.text_index[0] >= 0
    guided = attention[0][0].mean(0)[speaking][:, words].sum()
    (lm_loss(logits, s.target).loss + guided).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_the_loss_without_smoothing_is_cross_entropy() -> None:
    logits, target = uniform((2, 3, 7)), torch.tensor([[-1, 2, 3], [6, -1, -1]])
    flat = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=-1)
    assert lm_loss(logits, target).loss == pytest.approx(flat.item())
    assert lm_loss(logits, target, length_normalized=False).loss == pytest.approx(flat.item() * 3 / 2)


def test_the_smoothed_loss_is_a_divergence() -> None:
    e, C = 0.2, 5
    logits, target = uniform((1, 1, C)), torch.tensor([[3]])
    q = torch.full((C,), e / (C - 1))
    q[3] = 1 - e
    expected = (q * (q.log() - logits[0, 0].log_softmax(-1))).sum()
    assert lm_loss(logits, target, label_smoothing=e).loss == pytest.approx(expected.item())
    assert lm_loss(q.log()[None, None], target, label_smoothing=e).loss == pytest.approx(0, abs=1e-6)


def test_accuracy_counts_only_targets() -> None:
    logits = torch.eye(4)[None]
    result = lm_loss(logits, torch.tensor([[0, 1, 0, -1]]))
    assert (result.accuracy.item(), result.targets.item()) == (pytest.approx(2 / 3), 3)


def test_sequence_log_probs_average_the_targets_of_each_row() -> None:
    logits, target = uniform((2, 3, 5)), torch.tensor([[-1, 2, 3], [4, -1, -1]])
    p = logits.log_softmax(-1)
    expected = torch.stack([(p[0, 1, 2] + p[0, 2, 3]) / 2, p[1, 0, 4]])
    torch.testing.assert_close(sequence_log_probs(logits, target), expected)


def test_preference_loss_falls_as_the_policy_prefers_the_chosen() -> None:
    reference = torch.zeros(1)
    losses = [dpo_loss(torch.tensor([x]), -torch.tensor([x]), reference, reference, beta=1.0).loss for x in (0.0, 1.0)]
    assert losses[0] == pytest.approx(0.693147, abs=1e-5)
    assert losses[1] < losses[0]


def test_ipo_aims_at_a_margin() -> None:
    zero = torch.zeros(1)
    assert dpo_loss(torch.tensor([5.0]), zero, zero, zero, beta=0.1, ipo=True).loss == 0
