from __future__ import annotations

import pytest
import torch

from cosy.models.sampling import RasSampler, candidates, ras_sample, remember, repeats, without
from cosy.types import Sampling

OFFICIAL = Sampling()


def scores(*probs: float) -> torch.Tensor:
    return torch.tensor([probs]).log()


def generators(rows: int, seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed + i) for i in range(rows)]


def frequencies(log_probs: torch.Tensor, recent: list[int], sampling: Sampling, draws: int = 4000) -> torch.Tensor:
    """Relative frequencies over rows that share scores and history."""
    rows = log_probs.expand(draws, -1)
    tokens = ras_sample(rows, torch.tensor([recent]).expand(draws, -1), sampling, [torch.Generator()] * draws)
    return torch.bincount(tokens, minlength=log_probs.shape[1]) / draws


def test_the_token_that_crosses_top_p_is_included() -> None:
    ids, probs = candidates(scores(0.1, 0.5, 0.35, 0.05), OFFICIAL)
    assert ids[0, probs[0] > 0].tolist() == [1, 2]


def test_at_least_one_and_at_most_top_k_candidates_remain() -> None:
    assert (candidates(scores(0.98, 0.01, 0.01), OFFICIAL).probs > 0).sum() == 1
    assert (candidates(torch.zeros(1, 100), OFFICIAL).probs > 0).sum() == OFFICIAL.top_k


def test_equal_probabilities_keep_ascending_ids() -> None:
    ids, _ = candidates(torch.zeros(1, 40), Sampling(top_k=7))
    assert ids.tolist() == [[0, 1, 2, 3, 4, 5, 6]]


def test_the_window_forgets_its_oldest_token() -> None:
    recent = torch.full((1, 3), -1)
    for token in (5, 6, 7, 8):
        recent = remember(recent, torch.tensor([token]))
    assert recent.tolist() == [[6, 7, 8]]


@pytest.mark.parametrize(("tau", "expected"), [(0.1, [True, True, False]), (0.3, [True, False, False])])
def test_repetition_counts_against_window_times_tau(tau: float, expected: list[bool]) -> None:
    recent = torch.tensor([[-1, -1, -1, -1, 4, 4, 5, 4, 5, 9]])
    assert repeats(torch.tensor([[4, 5, 6]]), recent, Sampling(tau=tau)).tolist() == [expected]


def test_without_history_draws_follow_the_renormalised_nucleus() -> None:
    """4000 draws: a standard deviation is below 0.008, so 0.04 fails by chance less than once in 10^6."""
    seen = frequencies(scores(0.5, 0.35, 0.1, 0.05), [-1] * 10, OFFICIAL)
    torch.testing.assert_close(seen, torch.tensor([0.5, 0.35, 0, 0]) / 0.85, atol=0.04, rtol=0)


def test_a_repeated_token_is_redrawn_from_everything_else() -> None:
    """Token 0 is struck out; token 1 comes from both draws (odds as above)."""
    seen = frequencies(scores(0.5, 0.35, 0.1, 0.05), [-1] * 9 + [0], OFFICIAL)
    first, second = torch.tensor([0, 0.35, 0, 0]) / 0.85, torch.tensor([0, 0.35, 0.1, 0.05]) / 0.5
    torch.testing.assert_close(seen, first + 0.5 / 0.85 * second, atol=0.04, rtol=0)


def test_a_masked_token_is_never_drawn_by_either_draw() -> None:
    log_probs = scores(0.4, 0.3, 0.2, 0.1)
    log_probs[0, 2] = -torch.inf
    seen = frequencies(log_probs, [0, 1, -1, -1, -1, -1, -1, -1, -1, -1], Sampling(top_p=1.0), draws=1000)
    assert seen[2] == 0
    assert seen[3] > 0


def test_the_second_distribution_survives_where_the_first_rounds_to_nothing() -> None:
    rest = without(torch.tensor([[0.0, -200.0, -200.0]]), torch.tensor([[0]]))
    torch.testing.assert_close(rest, torch.tensor([[0.0, 0.5, 0.5]]))


def test_the_only_token_allowed_may_repeat() -> None:
    log_probs = torch.tensor([[-torch.inf, 0.0, -torch.inf]])
    assert ras_sample(log_probs, torch.tensor([[1]]), Sampling(window=1), generators(1)).tolist() == [1]


def test_a_row_draws_the_same_alone_and_in_a_batch() -> None:
    log_probs = torch.randn(4, 50, generator=torch.Generator().manual_seed(1)).log_softmax(-1)
    recent = torch.randint(0, 50, (4, 10), generator=torch.Generator().manual_seed(2))
    together = ras_sample(log_probs, recent, OFFICIAL, generators(4))
    alone = [
        ras_sample(log_probs[i : i + 1], recent[i : i + 1], OFFICIAL, [torch.Generator().manual_seed(i)])
        for i in range(4)
    ]
    assert together.tolist() == torch.cat(alone).tolist()


def test_sampling_leaves_scores_and_the_global_generator_alone() -> None:
    log_probs, before = scores(0.6, 0.4), torch.random.get_rng_state()
    kept = log_probs.clone()
    ras_sample(log_probs, torch.tensor([[0]]), Sampling(window=1), generators(1))
    assert torch.equal(kept, log_probs)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("window", [0, 3, 10])
def test_the_sampler_of_one_utterance_equals_the_batched_one(window: int) -> None:
    sampling, history = Sampling(window=window), [3, 1, 2, 1, 0, 4]
    log_probs = torch.randn(1, 6, generator=torch.Generator().manual_seed(4))
    recent = torch.full((1, window), -1)
    for token in history if window else []:
        recent = remember(recent, torch.tensor([token]))
    one, (other,) = RasSampler(sampling, torch.Generator().manual_seed(7)), generators(1, seed=7)
    for _ in range(20):
        assert one(log_probs[0], history) == int(ras_sample(log_probs, recent, sampling, [other]))
