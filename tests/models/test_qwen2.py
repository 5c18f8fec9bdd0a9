from __future__ import annotations

import pytest
import torch

from cosy.config import Qwen2Config
from cosy.errors import ParameterError
from cosy.models.qwen2 import Qwen2, rotate

CONFIG = Qwen2Config(
    vocab_size=20,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
)
NEAR = {"atol": 1e-5, "rtol": 1e-4}


@pytest.fixture(scope="module")
def model() -> Qwen2:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Qwen2(CONFIG).requires_grad_(False)


def embeddings(rows: int, length: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(rows, length, CONFIG.hidden_size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("cuts", [[1] * 13, [5, 1, 7], [3, 3, 3, 3, 1], [12, 1]])
def test_joined_pieces_equal_one_pass(model: Qwen2, cuts: list[int]) -> None:
    x, state = embeddings(2, 13), model.init_state(2, 13)
    pieces = [model(piece, state).hidden for piece in x.split(cuts, 1)]
    torch.testing.assert_close(torch.cat(pieces, 1), model(x).hidden, **NEAR)
    assert state.length.tolist() == [13, 13]


def test_later_input_leaves_earlier_output_alone(model: Qwen2) -> None:
    x, y = embeddings(1, 9), embeddings(1, 9, seed=2)
    y[:, :6] = x[:, :6]
    torch.testing.assert_close(model(x).hidden[:, :6], model(y).hidden[:, :6], **NEAR)


def test_rows_of_different_lengths_equal_the_same_rows_alone(model: Qwen2) -> None:
    rows = [embeddings(1, n, seed=n) for n in (4, 9, 7)]
    state = model.init_state(3, 12)
    x = torch.nn.utils.rnn.pad_sequence([row[0] for row in rows], batch_first=True, padding_value=-1.0)
    together = model(x, state, lengths=torch.tensor([4, 9, 7])).hidden
    step = embeddings(3, 2, seed=3)
    then = model(step, state, lengths=torch.tensor([2, 0, 1])).hidden
    for i, (row, more) in enumerate(zip(rows, (2, 0, 1), strict=True)):
        alone = model(torch.cat([row, step[i : i + 1, :more]], 1)).hidden[0]
        n = row.shape[1]
        torch.testing.assert_close(together[i, :n], alone[:n], **NEAR)
        torch.testing.assert_close(then[i, :more], alone[n:], **NEAR)
    assert state.length.tolist() == [6, 9, 8]


def test_padding_beyond_a_full_cache_harms_no_row(model: Qwen2) -> None:
    x, step, state = embeddings(2, 5), embeddings(2, 4, seed=2), model.init_state(2, 6)
    model(x, state)
    model(step, state, lengths=torch.tensor([1, 0]))
    again = model(step[:, 3:], state, lengths=torch.tensor([0, 1])).hidden
    expected = model(torch.cat([x[1:], step[1:, 3:]], 1)).hidden[0, -1]
    torch.testing.assert_close(again[1, 0], expected, **NEAR)


def test_a_grown_cloned_or_selected_state_continues_the_same(model: Qwen2) -> None:
    x, state = embeddings(2, 8), model.init_state(2, 6)
    model(x[:, :6], state)
    copies = [state.grown(20), state.clone().grown(9), state.select(torch.tensor([0, 1])).grown(8)]
    for copy in copies:
        torch.testing.assert_close(model(x[:, 6:], copy).hidden, model(x).hidden[:, 6:], **NEAR)
    assert state.length.tolist() == [6, 6]


def test_a_reset_row_starts_anew_while_its_neighbour_goes_on(model: Qwen2) -> None:
    x, step, state = embeddings(2, 4), embeddings(2, 1, seed=2), model.init_state(2, 6)
    model(x, state)
    state.reset(torch.tensor([0]))
    hidden = model(step, state).hidden
    torch.testing.assert_close(hidden[0], model(step[:1]).hidden[0], **NEAR)
    torch.testing.assert_close(hidden[1], model(torch.cat([x, step], 1)[1:]).hidden[0, -1:], **NEAR)


def test_asking_for_attention_changes_nothing_and_gives_causal_probabilities(model: Qwen2) -> None:
    x = embeddings(2, 6)
    hidden, attention = model(x, attention_layers=[1])
    torch.testing.assert_close(hidden, model(x).hidden, **NEAR)
    assert list(attention) == [1]
    assert attention[1].shape == (2, CONFIG.num_attention_heads, 6, 6)
    torch.testing.assert_close(attention[1].sum(-1), torch.ones(2, 4, 6))
    assert (attention[1].triu(1) == 0).all()


def test_rotation_makes_products_depend_on_distance_alone(model: Qwen2) -> None:
    q = embeddings(1, 3).view(1, 3, CONFIG.num_attention_heads, CONFIG.head_dim)
    turned = [rotate(q, model.cos[i : i + 3], model.sin[i : i + 3]) for i in (0, 40)]
    products = [torch.einsum("bqhd,bkhd->bhqk", r, r) for r in turned]
    torch.testing.assert_close(*products, atol=1e-4, rtol=1e-4)


def test_autocast_stays_near_float32(model: Qwen2) -> None:
    x = embeddings(2, 10)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        state = model.init_state(2, 10)
        model(x[:, :7], state)
        rough = torch.cat([model(x).hidden, model(x[:, 7:], state).hidden], 1)
    exact = model(x).hidden
    torch.testing.assert_close(rough, torch.cat([exact, exact[:, 7:]], 1), atol=0.1, rtol=0.1)
    assert rough.dtype == torch.float32


def test_more_positions_than_the_model_knows_are_refused(model: Qwen2) -> None:
    with pytest.raises(ParameterError, match="65 positions"):
        model.init_state(1, 65)
    with pytest.raises(ParameterError, match="knows 64"):
        model(embeddings(1, 65))
