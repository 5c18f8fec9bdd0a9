from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cosy.errors import InputError, MissingFileError, ParameterError
from cosy.models.lm_loss import IGNORE, build_sequences
from cosy.models.speech_lm import SpeechLM
from cosy.text.tokenizer import TextTokenizer
from cosy.train.data.corpus import Corpus
from cosy.train.dpo import Batch, DPOTask, Pair, judged, own_targets, read_pairs, resynthesised, write_pairs
from cosy.types import Sampling
from tests.model_dir import SMALL

PAIR = Pair("one two", (5, 6, 7, 8), (9, 9, 3), "three", (1, 2))
LATER = SMALL.llm.speech_token_size + 2  # fill


def task(text_tokenizer: TextTokenizer, **options: Any) -> DPOTask:
    return DPOTask(SpeechLM(SMALL.llm), text_tokenizer, [PAIR], **{"bistream": 0.0, **options})


def drawn(task: DPOTask) -> Batch:
    return task.batch(np.random.default_rng(0))


def changed(task: DPOTask) -> DPOTask:
    """The policy differs from the reference from now on."""
    with torch.no_grad():
        for p in task.network.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    return task


def test_only_what_the_model_is_to_say_itself_counts(text_tokenizer: TextTokenizer) -> None:
    sequences, target = drawn(task(text_tokenizer))
    said = [row[row != IGNORE].tolist() for row in target]
    eos = SMALL.llm.speech_token_size
    assert said == [[5, 6, 7, 8, eos], [9, 9, 3, eos]]
    assert (sequences.target != IGNORE).sum() == (target != IGNORE).sum() + 2 * len(PAIR.prompt_tokens)


def test_in_the_mixed_layout_the_prompt_does_not_count_either() -> None:
    text, speech = [torch.arange(10)], [torch.arange(100, 140)]
    sequences = build_sequences(text, speech, [True], SMALL.llm)
    target = own_targets(sequences, [17])
    assert target[target != IGNORE].tolist() == [*range(117, 130), LATER, *range(130, 140), SMALL.llm.speech_token_size]


def test_masked_positions_have_no_influence(text_tokenizer: TextTokenizer) -> None:
    made = task(text_tokenizer)
    target = drawn(made).target
    logits = torch.randn(*target.shape, SpeechLM(SMALL.llm).classes)
    noise = torch.randn_like(logits) * (target == IGNORE)[..., None]
    assert noise.abs().sum() > 0
    assert torch.equal(made._likelihoods(logits, target), made._likelihoods(logits + noise, target))
    anywhere = torch.randn_like(logits)
    assert not torch.equal(made._likelihoods(logits, target), made._likelihoods(logits + anywhere, target))


@torch.no_grad()
def test_the_loss_is_that_of_the_formula(text_tokenizer: TextTokenizer) -> None:
    made = changed(task(text_tokenizer, beta=0.3, sft=0.5))
    batch = drawn(made)
    likelihoods = []
    for network in (made.network, made.reference):
        logits = made._logits(network, batch.sequences).log_softmax(-1)
        for row in range(2):
            places = [(t, int(c)) for t, c in enumerate(batch.target[row]) if c != IGNORE]
            likelihoods.append(sum(logits[row, t, c].item() for t, c in places) / len(places))
    chosen, rejected, reference_chosen, reference_rejected = likelihoods
    margin = 0.3 * ((chosen - rejected) - (reference_chosen - reference_rejected))
    assert abs(margin) > 1e-3
    expected = math.log(1 + math.exp(-margin)) - 0.5 * chosen
    loss, figures = made.loss(batch, 0.0)
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert figures["margin"] == pytest.approx(margin, rel=1e-3)


def test_without_normalisation_tokens_add_up(text_tokenizer: TextTokenizer) -> None:
    mean, total = (task(text_tokenizer, length_normalised=flag) for flag in (True, False))
    target = drawn(mean).target
    logits = torch.randn(*target.shape, SpeechLM(SMALL.llm).classes)
    counts = (target != IGNORE).sum(1)
    torch.testing.assert_close(total._likelihoods(logits, target), mean._likelihoods(logits, target) * counts)


def test_at_the_start_nothing_is_preferred(text_tokenizer: TextTokenizer) -> None:
    made = task(text_tokenizer, sft=0.0)
    loss, figures = made.loss(drawn(made), 0.0)
    assert loss.item() == pytest.approx(math.log(2))
    assert (figures["margin"], figures["wins"]) == (0.0, 0.0)


def test_training_prefers_the_chosen_and_leaves_the_reference_alone(text_tokenizer: TextTokenizer) -> None:
    made = task(text_tokenizer, beta=1.0, sft=0.0)
    before = {key: value.clone() for key, value in made.reference.state_dict().items()}
    optimizer = torch.optim.Adam(made.network.parameters(), 3e-3)
    for _ in range(10):
        loss, figures = made.loss(drawn(made), 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert figures["wins"] == 1.0
    assert figures["margin"] > 0.5
    assert all(torch.equal(value, before[key]) for key, value in made.reference.state_dict().items())


# ---- pairs


def test_pairs_come_back_from_their_file(tmp_path: Path) -> None:
    rows = [PAIR, replace(PAIR, text="六", prompt_text="", prompt_tokens=())]
    write_pairs(tmp_path / "pairs.jsonl", rows)
    assert read_pairs(tmp_path / "pairs.jsonl", 6561) == rows


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("nonsense", "line 2"),
        ("[]", "expected an object, found list"),
        ('{"text": "a", "chosen": [1]}', r"missing \['rejected'\]"),
        ('{"text": "a", "chosen": [1], "rejected": [2], "votes": 3}', r"unknown fields \['votes'\]"),
        ('{"text": "a", "chosen": [1], "rejected": [6561]}', "between 0 and 6560, found 6561"),
        ('{"text": "a", "chosen": [], "rejected": [1]}', "two lists of speech tokens"),
        ('{"text": " ", "chosen": [2], "rejected": [1]}', "needs a text"),
        ('{"text": "a", "chosen": 7, "rejected": [1]}', "line 2"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, told: str) -> None:
    good = json.dumps({"text": "a", "chosen": [1], "rejected": [2]})
    (tmp_path / "pairs").write_text(f"{good}\n{line}\n")
    with pytest.raises(InputError, match=told):
        read_pairs(tmp_path / "pairs", 6561)


def test_a_file_without_pairs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(InputError, match="holds no pairs"):
        read_pairs(tmp_path / "empty", 6561)
    with pytest.raises(MissingFileError, match="cosy train pairs"):
        read_pairs(tmp_path / "absent", 6561)


def test_beta_must_be_positive(text_tokenizer: TextTokenizer) -> None:
    with pytest.raises(ParameterError, match="beta"):
        task(text_tokenizer, beta=0.0)


def test_recordings_are_chosen_over_what_the_model_makes_of_them(corpus: Corpus, text_tokenizer: TextTokenizer) -> None:
    network = SpeechLM(SMALL.llm).eval()
    first, again = (list(resynthesised(network, text_tokenizer, corpus, Sampling(), 3, 2)) for _ in range(2))
    assert first == again
    assert len(first) == 2
    spoken = {(entry.text, tuple(corpus.tokens_of(i).tolist())) for i, entry in enumerate(corpus.entries)}
    assert all((pair.text, pair.chosen) in spoken for pair in first)


def test_a_judge_decides_between_samples(text_tokenizer: TextTokenizer) -> None:
    network = SpeechLM(SMALL.llm).eval()

    def high_start(text: str, tokens: Any) -> float:
        return float(tokens[0])

    (pair,) = judged(network, text_tokenizer, ["one"], high_start, Sampling(), 0, tries=3)
    assert pair.chosen[0] > pair.rejected[0]
    assert list(judged(network, text_tokenizer, ["one"], lambda text, tokens: 0.0, Sampling(), 0)) == []
