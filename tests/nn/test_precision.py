"""Exchanged layers give what the originals give, within bounds that each kind of arithmetic states."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from cosy.api import BUNDLED_MODEL
from cosy.checkpoint.layout import BACKBONE_DIRECTORY
from cosy.checkpoint.load import LoadedModel, build, load_model
from cosy.config import VocoderConfig
from cosy.errors import ParameterError
from cosy.models.flow import Flow, fixed_noise
from cosy.models.flow_stream import FlowStream
from cosy.models.sampling import Sampler
from cosy.models.speech_lm import SpeechLM, collect, generate
from cosy.models.vocoder import Vocoder, harmonic_noise
from cosy.nn.packed import Int8Linear, PackedConv1d, PackedConvTranspose1d, PackedLinear
from cosy.nn.precision import KINDS, Recipe, accelerate, accelerate_flow, accelerate_lm, accelerate_vocoder, auto
from cosy.nn.precision import supported as is_supported
from cosy.text.tokenizer import TextTokenizer
from tests.model_dir import SMALL, weights
from tests.networks import small_flow, small_vocoder, some_prompt, some_tokens

needs = {
    kind: pytest.mark.skipif(not is_supported(kind), reason=f"this CPU has no fast {kind} arithmetic")
    for kind in KINDS["lm"]
}
BOTH = [
    pytest.param(torch.float32, 1e-5, marks=needs["packed"]),
    pytest.param(torch.bfloat16, 1e-2, marks=needs["bfloat16"]),
]


# The bundled language model's logits are divided by this when all else is done (`recipes/bundled.py`), which magnifies
# every error; what is judged is the arithmetic of a model as it was trained, as one from elsewhere is.
AS_TRAINED = 0.27


def off(got: Tensor, wanted: Tensor) -> float:
    """Size of the difference by the size of what is wanted."""
    return float(((got - wanted).norm() / wanted.norm()).detach())


def small_lm() -> SpeechLM:
    llm = cast(SpeechLM, build("llm", SMALL))
    llm.load_state_dict(weights({key: tuple(value.shape) for key, value in llm.state_dict().items()}))
    return llm.eval().requires_grad_(False)


def small_networks() -> SimpleNamespace:
    return SimpleNamespace(llm=small_lm(), flow=small_flow().requires_grad_(False), hift=small_vocoder())


# --- layers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "bound"), BOTH)
@pytest.mark.parametrize("shape", [(1, 48), (2, 13, 48)])
def test_a_packed_product_equals_the_layer_it_replaces(
    dtype: torch.dtype, bound: float, shape: tuple[int, ...]
) -> None:
    layer, x = nn.Linear(48, 80), torch.randn(shape)
    y = PackedLinear(layer.weight, layer.bias, dtype)(x)
    assert y.dtype == torch.float32
    assert off(y, layer(x)) < bound
    assert off(PackedLinear(layer.weight, layer.bias, dtype, gelu=True)(x), nn.functional.gelu(layer(x))) < bound


@pytest.mark.parametrize(("dtype", "bound"), BOTH)
@pytest.mark.parametrize("options", [{"padding": 3}, {"padding": 9, "dilation": 3}, {"stride": 5, "padding": 2}])
def test_a_packed_convolution_equals_the_layer_it_replaces(dtype: torch.dtype, bound: float, options: dict) -> None:
    conv, x = nn.Conv1d(16, 32, 7, **options), torch.randn(2, 16, 50)
    packed = PackedConv1d(conv, dtype)
    assert off(packed(x), conv(x)) < bound
    assert off(packed(x.mT.contiguous().mT), conv(x)) < bound


@pytest.mark.parametrize(("dtype", "bound"), BOTH)
def test_a_packed_transposed_convolution_equals_the_layer_it_replaces(dtype: torch.dtype, bound: float) -> None:
    conv, x = nn.ConvTranspose1d(32, 16, 16, 8, padding=4), torch.randn(2, 32, 20)
    assert off(PackedConvTranspose1d(conv, dtype)(x), conv(x)) < bound


@needs["int8"]
def test_an_integer_product_is_off_by_one_percent() -> None:
    layer, x = nn.Linear(256, 64), torch.randn(5, 256) * torch.tensor([[1e-3], [1.0], [50.0], [0.0], [1e4]])
    got, wanted = Int8Linear(layer.weight, layer.bias)(x), layer(x)
    assert max(off(g, w) for g, w in zip(got, wanted, strict=True)) < 0.015


@needs["int8"]
def test_a_row_of_an_integer_product_does_not_depend_on_the_others() -> None:
    layer, x = nn.Linear(256, 64), torch.randn(9, 256)
    integers = Int8Linear(layer.weight, layer.bias)
    alone = torch.cat([integers(row[None]) for row in x])
    assert torch.equal(integers(x), alone)


# --- networks ------------------------------------------------------------------------------------


def solved(flow: Flow) -> Tensor:
    """One mel under chunk masks, (F, M)."""
    prompt = some_prompt(30)
    with torch.no_grad():
        mu = flow.encode(torch.tensor([some_tokens(60)]), streaming=True)
        cond = nn.functional.pad(prompt.mel, (0, 0, 0, 60))
        mel = flow.solve(mu, cond, flow.speaker(prompt.embedding), streaming=True, noise=fixed_noise(120))
    return mel[0].mT


@pytest.mark.parametrize(
    ("kind", "bound"),
    [pytest.param("packed", 1e-5, marks=needs["packed"]), pytest.param("bfloat16", 0.02, marks=needs["bfloat16"])],
)
def test_the_mel_is_that_of_float32_within_the_bound(kind: str, bound: float) -> None:
    flow = small_flow()
    fast = copy.deepcopy(flow)
    accelerate_flow(fast, kind)
    assert off(solved(fast), solved(flow)) < bound


@needs["bfloat16"]
def test_in_bfloat16_streams_side_by_side_make_the_mel_that_each_makes_alone() -> None:
    flow = small_flow()
    accelerate_flow(flow, "bfloat16")
    stream, prompt = FlowStream(flow), some_prompt(30)
    voice = stream.open(prompt.tokens, prompt.mel, prompt.embedding)
    tokens = [some_tokens(45, seed) for seed in range(3)]
    together = stream.finish(stream.start([voice] * 3, 80), tokens)
    for mine, mel in zip(tokens, together, strict=True):
        state = stream.start([voice], 80)
        pieces = [stream.push(state, [mine[:31]])[0], stream.finish(state, [mine[31:]])[0]]
        assert off(torch.cat(pieces, 1), mel) < 0.02


@pytest.mark.parametrize(
    ("kind", "decibels"),
    [pytest.param("packed", 90, marks=needs["packed"]), pytest.param("bfloat16", 35, marks=needs["bfloat16"])],
)
def test_the_audio_is_that_of_float32_within_the_bound(kind: str, decibels: float, bundled: LoadedModel) -> None:
    vocoder, fast = bundled.hift, copy.deepcopy(bundled.hift)
    accelerate_vocoder(fast, kind)
    mel = spoken_mel(bundled.flow, bundled.spk2info["anna"].embedding)
    source = vocoder.source(vocoder.f0(mel), harmonic_noise(0, 0, 480 * mel.shape[2]))
    assert off(fast.decode(mel, source), vocoder.decode(mel, source)) < 10 ** (-decibels / 20)
    assert torch.equal(fast.f0(mel), vocoder.f0(mel))


def spoken_mel(flow: Flow, embedding: Tensor) -> Tensor:
    """A second and a half of babble, (1, 80, 76)."""
    nothing = torch.zeros(1, 0, dtype=torch.int64), torch.zeros(1, 0, 80)
    return flow.inference(
        torch.tensor([some_tokens(38)]), *nothing, embedding.view(1, -1), streaming=True, finalize=True
    )


def text_ids() -> list[int]:
    text = "The old farmer walks slowly behind the quiet river, and his brother waits near the garden window."
    return TextTokenizer(BUNDLED_MODEL / BACKBONE_DIRECTORY).encode(text)


def greedy(llm: SpeechLM) -> list[int]:
    """How the model reads a text, the likeliest token first."""
    likeliest: Sampler = lambda log_probs, history: int(log_probs.argmax())  # noqa: E731
    return collect(generate(llm, text_ids(), sampler=likeliest, max_ratio=10.0))[0]


@pytest.mark.parametrize("kind", [pytest.param("packed", marks=needs["packed"]), "numpy"])
def test_other_layouts_choose_the_same_tokens(kind: str, bundled: LoadedModel) -> None:
    fast = copy.deepcopy(bundled.llm)
    accelerate_lm(fast, kind)
    assert greedy(fast) == greedy(bundled.llm)


def test_in_numpy_rows_of_any_length_read_what_they_read_in_torch() -> None:
    llm, fast = small_lm(), small_lm()
    accelerate_lm(fast, "numpy")
    pieces = [(4, [4, 2, 0]), (1, [1, 1, 1]), (3, [1, 3, 2]), (1, None)]  # positions, and how many count
    states = [model.init_state(3, 9) for model in (llm, fast)]
    for size, counts in pieces:
        x = llm.embed_speech([[row + 7 * i for i in range(size)] for row in range(3)])
        lengths = None if counts is None else torch.tensor(counts)
        wanted, got = (model.step(x, state, lengths) for model, state in zip((llm, fast), states, strict=True))
        rows = [row for row in range(3) if counts is None or counts[row]]
        assert torch.allclose(got[rows], wanted[rows], atol=1e-4)
    assert states[0].length.tolist() == states[1].length.tolist()
    for mine, theirs in zip(states[1].k, states[0].k, strict=True):
        assert torch.allclose(mine[:, :, :6], theirs[:, :, :6], atol=1e-4)


def test_in_numpy_a_prefix_may_be_read_at_once_or_in_parts() -> None:
    llm = small_lm()
    accelerate_lm(llm, "numpy")
    x, parts = llm.embed_speech(list(range(9))), llm.init_state(1, 9)
    for start, end in ((0, 4), (4, 5), (5, 9)):
        last = llm.step(x[:, start:end], parts)
    assert torch.allclose(last, llm.step(x, llm.init_state(1, 9)), atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "divergence", "agreement"),
    [
        pytest.param("bfloat16", 1e-3, 0.97, marks=needs["bfloat16"]),
        pytest.param("int8", 1e-2, 0.9, marks=needs["int8"]),
    ],
)
def test_a_trained_model_keeps_its_distributions(
    kind: str, divergence: float, agreement: float, bundled: SpeechLM
) -> None:
    fast = copy.deepcopy(bundled.llm)
    accelerate_lm(fast, kind)
    with torch.no_grad():
        x = bundled.llm.prefix(text_ids(), prompt_speech=greedy(bundled.llm))
        hidden = (llm.backbone(x, llm.init_state(1, x.shape[1])).hidden[0] for llm in (bundled.llm, fast))
        wanted, got = ((AS_TRAINED * bundled.llm.logits(h)).log_softmax(-1) for h in hidden)
    assert float((wanted.exp() * (wanted - got)).sum(-1).mean()) < divergence  # in nats, a token
    assert float((wanted.argmax(-1) == got.argmax(-1)).float().mean()) > agreement


@needs["int8"]
def test_in_integers_a_row_keeps_its_distribution_in_any_company() -> None:
    llm = small_lm()
    accelerate_lm(llm, "int8")
    x = llm.embed_speech([[1, 2, 3, 4], [9, 8, 7, 6], [5, 5, 5, 5]])
    together = llm.step(x, llm.init_state(3, 8))
    alone = torch.cat([llm.step(row[None], llm.init_state(1, 8)) for row in x])
    assert torch.allclose(together, alone, atol=1e-4)


@pytest.fixture(scope="module")
def bundled() -> LoadedModel:
    return load_model(BUNDLED_MODEL, parts=[])


# --- recipes -------------------------------------------------------------------------------------


@needs["packed"]
def test_nothing_of_the_exchanged_weights_is_kept() -> None:
    networks = small_networks()
    before = size(networks.flow.encoder.encoders)
    accelerate(networks, Recipe.of("packed"))
    assert size(networks.flow.encoder.encoders) < 0.2 * before
    assert not any(type(module) in (nn.Conv1d, nn.ConvTranspose1d) for module in decoder(networks.hift))


def size(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def decoder(vocoder: Vocoder) -> list[nn.Module]:
    return [module for name, module in vocoder.named_modules() if not name.startswith("f0_predictor")]


@needs["packed"]
def test_small_networks_are_accelerated_in_their_own_way() -> None:
    networks = small_networks()
    assert auto(networks) == accelerate(networks) == Recipe("numpy", "packed", "packed")


@needs["packed"]
def test_large_networks_are_accelerated_also_where_a_kernel_is_no_parameter() -> None:
    frozen = Vocoder(VocoderConfig()).requires_grad_(False).fold()
    networks = SimpleNamespace(llm=small_lm(), flow=small_flow(), hift=frozen)
    assert auto(networks).vocoder == ("bfloat16" if is_supported("bfloat16") else "packed")


@needs["packed"]
def test_a_network_is_accelerated_once() -> None:
    networks = small_networks()
    accelerate(networks, Recipe(vocoder="packed"))
    accelerate(networks, Recipe(lm="packed"))
    with pytest.raises(ParameterError, match="vocoder has been accelerated before"):
        accelerate(networks, Recipe(vocoder="packed"))


@needs["packed"]
def test_other_devices_are_left_alone() -> None:
    networks = small_networks()
    networks.flow.to("meta")
    assert auto(networks).flow == "float32"
    with pytest.raises(ParameterError, match="flow: packed is for the CPU, the network is on meta"):
        accelerate(networks, Recipe(flow="packed"))


def test_a_recipe_is_read_from_words() -> None:
    assert Recipe.of("lm=int8, flow=bfloat16") == Recipe("int8", "bfloat16", "float32")
    assert Recipe.of("packed") == Recipe("packed", "packed", "packed")


@pytest.mark.parametrize("text", ["int8", "flow=int4", "vocoder=", "decoder=packed"])
def test_an_unknown_kind_or_network_is_refused_with_the_choices(text: str) -> None:
    with pytest.raises(ParameterError, match=r"choose one of float32, packed|names lm, flow, vocoder"):
        Recipe.of(text)
