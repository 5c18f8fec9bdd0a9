"""Our own cases of the language model and its sampler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cosy.errors import EngineError
from cosy.models.lm_loss import build_sequences, dpo_loss, embed, layouts, lm_loss, sequence_log_probs
from cosy.models.sampling import candidates, repeats, without
from cosy.models.speech_lm import SpeechLM, collect, generate, generate_bistream, length_limits
from cosy.types import FinishReason, Sampling
from tests.golden import Case, cases_lm
from tests.golden.drafts import Draw, draft, picked, save, shapes, write

TEXT_IDS, SPEECH_IDS = 40, 20
EOS, RESERVED, FILL = SPEECH_IDS, SPEECH_IDS + 1, SPEECH_IDS + 2
CLASSES = SPEECH_IDS + 3
NEVER = -30.0  # a sampler bias no score makes up for
LONGEST = 60  # choices in a run
MARGIN = 0.01  # between what the sampler chose and the next best, far above float32 rounding
OFFICIAL = Sampling()
HYPER = {
    "class": "Qwen2LM",
    "speech_token_size": SPEECH_IDS,
    "mix_ratio": [5, 15],
    "lsm_weight": 0.0,
    "length_normalized_loss": True,
    "qwen2": {
        "vocab_size": TEXT_IDS,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope_theta": 1000000.0,
        "rms_norm_eps": 1e-06,
    },
}


def make() -> None:
    forward(Draw(100))
    decode()
    bistream()
    train(Draw(140))
    train_dpo(Draw(150))
    sampling(Draw(160))


def lm_draft(name: str, mode: str, tolerance: dict[str, Any], tensors: dict[str, Tensor]) -> Case:
    spec = {"module": "lm", "mode": mode, "hyper_parameters": HYPER}
    own = shapes(SpeechLM(cases_lm.config(draft("lm", name, spec))))
    keys = [*own.items(), (cases_lm.TIED, own["llm.model.model.embed_tokens.weight"])]
    spec |= {"state_dict": [list(pair) for pair in keys], "tolerance": tolerance}
    case = draft("lm", name, spec, tensors)
    write(case, case.spec, {})  # `cases_lm.load` reads the file again
    return case


def prompts(draw: Draw, text: int, prompt_text: int, prompt_speech: int) -> dict[str, Tensor]:
    """Ids of one run, (1, n) each."""
    return {
        "text": draw.ids(TEXT_IDS, 1, text),
        "prompt_text": draw.ids(TEXT_IDS, 1, prompt_text),
        "prompt_speech_token": draw.ids(SPEECH_IDS, 1, prompt_speech),
    }


def named(run: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{run}.{name}": value for name, value in tensors.items()}


def pairs(model: SpeechLM, embeddings: Tensor) -> Tensor:
    """Where embeddings (T, D) come from: [table, row] pairs (T, 2)."""
    tables = [model.llm_embedding.weight, model.backbone.embed_tokens.weight, model.speech_embedding.weight]
    rows = [
        [number, int((values == vector).all(1).nonzero()[0])]
        for vector in embeddings
        for number, values in enumerate(tables)
        if bool((values == vector).all(1).any())
    ]
    assert len(rows) == len(embeddings)
    return torch.tensor(rows)


@torch.no_grad()
def forward(draw: Draw) -> None:
    sizes = {"zero_shot": (5, 3, 6), "cross_lingual": (6, 0, 0), "instruct2": (4, 3, 0)}
    inputs: dict[str, Tensor] = {}
    for run, lengths in sizes.items():
        given = prompts(draw, *lengths) | {"target_speech_token": draw.ids(SPEECH_IDS, 1, 4)}
        inputs |= named(run, given)
    tolerance = {"atol": 1e-4, "rtol": 1e-4}
    case = lm_draft("forward", "teacher-forced and cached step-by-step logits of three modes", tolerance, inputs)
    model, expected = cases_lm.load(case), {}
    case.spec["info"] = {}
    for run in sizes:
        text, prompt_text, prompt, target = (
            case.tensors[f"{run}.{name}"]
            for name in ("text", "prompt_text", "prompt_speech_token", "target_speech_token")
        )
        prefix = model.prefix(text, prompt_text, prompt)
        x = torch.cat([prefix, model.embed_speech(target)], 1)
        hidden, state = model.backbone(x).hidden[0], model.init_state(1, x.shape[1])
        pieces = [prefix, *x[:, prefix.shape[1] :].split(1, 1)]
        steps = [model.backbone(piece, state).hidden[0, -1] for piece in pieces]
        found = {"sequence": pairs(model, x[0]), "hidden": hidden, "logits": model.logits(hidden)}
        expected |= named(run, found | {"step_logits": model.logits(torch.stack(steps))})
        case.spec["info"][run] = {"prefill_length": prefix.shape[1]}
    save(case, expected)


class Chooser(cases_lm.Chooser):
    """Remembers before which choices the model was run how often, and how close the closest choice was."""

    def __init__(self, kind: str, bias: Tensor, model: cases_lm.Tape) -> None:
        super().__init__(kind, bias)
        self.model = model
        self.asked_after: dict[int, int] = {}  # number of model calls -> token
        self.margin = float("inf")

    def __call__(self, log_probs: Tensor, history: Sequence[int]) -> int:
        if len(self.chosen) == LONGEST:
            raise EngineError("this run does not end")
        best = (log_probs + self.bias).topk(3).values
        self.margin = min(self.margin, float((best[:-1] - best[1:]).min()))
        token = super().__call__(log_probs, history)
        self.asked_after[len(self.model.fed)] = token
        return token


class Wish(NamedTuple):
    """A run to draw: its sizes, its sampler and how it must end."""

    text: int
    prompt_text: int
    prompt_speech: int
    biases: dict[int, float]
    stopped_by: int | None = EOS
    sampler: str = "ras_argmax"
    ratios: tuple[float, float] = (2, 20)
    pieces: Sequence[int] = ()
    forced_or_early_fills: int = 0


def sampler_bias(draw: Draw, wish: Wish) -> Tensor:
    bias = draw.normal(CLASSES)
    for token in (EOS, RESERVED, FILL):
        bias[token] = wish.biases.get(token, NEVER)
    return bias


Trace = Callable[[cases_lm.Tape, Wish, dict[str, Tensor]], tuple[dict[str, Tensor], dict[str, Any]] | None]


def runs(case: Case, wishes: dict[str, Wish], first_seed: int, trace: Trace) -> None:
    """The first draw of each wish that ends as wished, with every choice clear; written with its facts."""
    model, expected = cases_lm.load(case), {}
    case.spec["runs"] = {}
    for run, wish in wishes.items():
        for seed in count(first_seed):
            draw = Draw(seed)
            given = prompts(draw, wish.text, wish.prompt_text, wish.prompt_speech)
            given["sampler_bias"] = sampler_bias(draw, wish)
            model.fed.clear()
            with suppress(EngineError):  # also a fill where speech must follow
                found = trace(model, wish, given)
                if found is not None:
                    break
        case.tensors.update(named(run, given))
        expected |= named(run, found[0])
        case.spec["runs"][run] = {"sampler": wish.sampler, "stopped_by": wish.stopped_by, **found[1]}
    save(case, expected)


def lists(given: dict[str, Tensor]) -> list[list[int]]:
    return [given[name].flatten().tolist() for name in ("text", "prompt_text", "prompt_speech_token")]


def decode() -> None:
    wishes = {
        "eos_stop": Wish(5, 4, 6, {EOS: 1.5}),
        "eos_masked_until_min": Wish(4, 0, 0, {EOS: 20.0}),
        "max_len": Wish(4, 2, 5, {}, None, ratios=(2, 3.6)),
        "other_stop_before_min": Wish(6, 3, 4, {FILL: 1.0}, FILL),
        "plain_argmax": Wish(3, 2, 3, {}, None, "argmax", (2, 4)),
    }
    tolerance = {"out": "exact", "log_probs": {"atol": 2e-4, "rtol": 1e-4}}
    case = lm_draft("decode", "token-by-token generation with an injected deterministic sampler", tolerance, {})
    runs(case, wishes, 110, decode_trace)


def decode_trace(
    model: cases_lm.Tape, wish: Wish, given: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    chooser, (low, high) = Chooser(wish.sampler, given["sampler_bias"], model), wish.ratios
    out, reason = collect(
        generate(model, *lists(given), sampler=chooser, min_ratio=low, max_ratio=high, official_stops=True)
    )
    if cases_lm.stopped_by(reason, chooser.chosen) != wish.stopped_by or chooser.margin < MARGIN:
        return None
    least, most = length_limits(wish.text, low, high)
    if (wish.stopped_by == FILL) != (len(out) < least):
        return None
    ratios = {"min_token_text_ratio": low, "max_token_text_ratio": high, "min_len": least, "max_len": most}
    tensors = {
        "out": torch.tensor(out),
        "prefill_sequence": pairs(model, model.fed[0]),
        "log_probs": torch.stack(chooser.seen),
    }
    return tensors, {**ratios, "n_out": len(out), "smallest_margin": chooser.margin}


def bistream() -> None:
    early, late = {EOS: 3.0, FILL: 0.8}, {EOS: 3.0}
    wishes = {
        "token_by_token": Wish(13, 6, 20, late, pieces=[1] * 13, forced_or_early_fills=2),
        "no_prompt_early_fill": Wish(16, 0, 0, early, pieces=[7, 3, 1, 5], forced_or_early_fills=3),
        "prompt_multiple_of_15": Wish(11, 8, 30, late, pieces=[3, 4, 4], forced_or_early_fills=1),
        "short_text": Wish(3, 0, 0, late, pieces=[2, 1]),
        "prompt_not_consumed": Wish(4, 3, 40, late, pieces=[2, 2]),
    }
    tolerance = {"out, chosen, call_inputs, events": "exact", "sampled_log_probs": {"atol": 3e-4, "rtol": 1e-4}}
    case = lm_draft("bistream", "bi-streaming generation with an injected deterministic sampler", tolerance, {})
    runs(case, wishes, 120, bistream_trace)


def bistream_trace(
    model: cases_lm.Tape, wish: Wish, given: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    chooser, events = Chooser(wish.sampler, given["sampler_bias"], model), []
    text, prompt_text, prompt_speech = lists(given)

    def pieces() -> Any:
        for number, piece in enumerate(torch.tensor(text).split(list(wish.pieces))):
            events.append([0, number])
            yield piece.tolist()
        events.append([1, 0])

    stream = generate_bistream(model, pieces(), prompt_text, prompt_speech, sampler=chooser, official=True)
    if cases_lm.listen(stream, events) is not FinishReason.STOP or chooser.margin < MARGIN:
        return None
    calls = len(model.fed)
    chosen = [chooser.asked_after.get(call, FILL) for call in range(1, calls + 1)]
    if chosen.count(FILL) < wish.forced_or_early_fills:
        return None
    out = [value for kind, value in events if kind == 2]
    tensors = {
        "out": torch.tensor(out),
        "call_lengths": torch.tensor([len(fed) for fed in model.fed]),
        "call_inputs": pairs(model, torch.cat(model.fed)),
        "chosen": torch.tensor(chosen),
        "sampled_log_probs": torch.stack(chooser.seen),
        "events": torch.tensor(events),
    }
    facts = {"text_pieces": list(wish.pieces), "error": None, "n_calls": calls, "n_out": len(out)}
    return tensors, {**facts, "n_sampled": len(chooser.seen), "smallest_margin": chooser.margin}


def padded(name: str, limit: int, lengths: Sequence[int], draw: Draw) -> dict[str, Tensor]:
    ids = draw.ids(limit, len(lengths), max(lengths))
    for row, length in zip(ids, lengths, strict=True):
        row[length:] = 0
    return {name: ids, f"{name}_len": torch.tensor(lengths)}


TRAIN_TOLERANCE = {
    "input_sequence, target": "exact",
    "logits": {"atol": 2e-4, "rtol": 1e-4},
    "loss": {"rtol": 1e-4},
    "grad": {"rtol": 2e-3, "atol": 1e-6},
}


def train(draw: Draw) -> None:
    tensors = padded("text_token", TEXT_IDS, [7, 4, 10], draw) | padded("speech_token", SPEECH_IDS, [22, 9, 33], draw)
    case = lm_draft("train", "training forward and backward", TRAIN_TOLERANCE, tensors)
    save(case, step(case, [True, False, True]))


def train_dpo(draw: Draw) -> None:
    tensors = padded("text_token", TEXT_IDS, [6, 8], draw) | padded("speech_token", SPEECH_IDS, [19, 12], draw)
    tensors |= padded("reject_speech_token", SPEECH_IDS, [14, 27], draw)
    tensors |= {f"reference_{side}_logps": draw.normal(2, scale=0.3) - 3 for side in ("chosen", "rejected")}
    case = lm_draft("train_dpo", "training forward and backward (preference pairs)", TRAIN_TOLERANCE, tensors)
    save(case, step(case, [True, True, False, True]))


def step(case: Case, coins: list[bool]) -> dict[str, Tensor]:
    """One training step of a draft: expected tensors; numbers go into `case.spec`."""
    model, config = cases_lm.load(case), cases_lm.config(case)
    text, speech = cases_lm.utterances(case, "text_token"), cases_lm.utterances(case, "speech_token")
    chosen = len(text)
    if "reject_speech_token" in case.tensors:
        text, speech = text + text, speech + cases_lm.utterances(case, "reject_speech_token")
    sequences = build_sequences(text, speech, layouts(text, speech, coins, config.mix_ratio), config)
    logits = model(embed(model, sequences), sequences.lengths).logits
    found = {
        "input_sequence": torch.stack([sequences.table, sequences.row], -1),
        "input_len": sequences.lengths,
        "target": sequences.target,
        "logits": logits * (sequences.table >= 0)[..., None],
    }
    pair = logits[:chosen], sequences.target[:chosen]
    numbers: dict[str, Any] = {"loss_variants_on_chosen_rows": loss_variants(*pair)}
    if chosen < len(text):
        log_probs = sequence_log_probs(logits, sequences.target).detach().chunk(2)
        found |= {"intended_chosen_logps": log_probs[0], "intended_rejected_logps": log_probs[1]}
        numbers["preference_loss_of_intended_logps"] = preference_variants(case, *log_probs)
    result = lm_loss(*pair)
    result.loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    numbers |= {"loss": result.loss.item(), "acc": result.accuracy.item()}
    numbers["grad_l2_norms"] = {name: value.norm().item() for name, value in gradients.items()}
    case.spec["coin"] = f"which rows drew the bi-stream layout: [{', '.join(str(coin).lower() for coin in coins)}]"
    case.spec["expected"] = numbers
    small = picked(gradients, ("llm_embedding.weight", "llm_decoder.bias", "speech_embedding.weight"))
    return found | {f"grad.{name}": value for name, value in small.items()}


def loss_variants(logits: Tensor, target: Tensor) -> dict[str, float]:
    return {
        f"lsm_weight={smoothing},length_normalized={normalized}": lm_loss(
            logits, target, label_smoothing=smoothing, length_normalized=normalized
        ).loss.item()
        for smoothing in (0.0, 0.1)
        for normalized in (True, False)
    }


def preference_variants(case: Case, chosen: Tensor, rejected: Tensor) -> dict[str, Any]:
    reference = case.tensors["reference_chosen_logps"], case.tensors["reference_rejected_logps"]
    table = {}
    for beta, smoothing, ipo in ((0.01, 0.0, False), (0.1, 0.0, False), (0.1, 0.1, False), (0.1, 0.0, True)):
        loss = dpo_loss(chosen, rejected, *reference, beta=beta, label_smoothing=smoothing, ipo=ipo)
        table[f"beta={beta},label_smoothing={smoothing},ipo={ipo}"] = {
            "loss": loss.loss.item(),
            "chosen_rewards": loss.chosen_rewards.tolist(),
            "rejected_rewards": loss.rejected_rewards.tolist(),
        }
    return table


def sampling(draw: Draw) -> None:
    """The nucleus, the repetition rule and the second distribution, of scores over 43 classes."""
    peaky = draw.normal(43)
    peaky[[10, 20, 30, 40]] = torch.tensor([6.0, 5.5, 5.0, 4.5])
    single, ties = draw.normal(43), torch.zeros(43)
    single[33] = 12.0
    ties[[3, 8, 11, 30]] = 2.5
    away = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    case = draft(
        "sampling",
        "nucleus",
        {
            "module": "sampling",
            "mode": "repetition-aware sampling, deterministic parts",
            "cases": {},
            "tolerance": {"candidate_ids, triggers_fallback": "exact", "probabilities": {"atol": 1e-6, "rtol": 1e-5}},
        },
    )
    expected = {
        **scored(case, "no_history", peaky, []),
        **scored(case, "recent_repeat", peaky, [30, *away, 20, 10], fallback_for=10),
        **scored(case, "repeat_just_outside", peaky, [10, *away, 0]),
        **scored(case, "repeat_at_window_edge", peaky, [0, 10, *away], fallback_for=10),
        **scored(case, "flat", 0.01 * draw.normal(43), [5, 6]),
        **scored(case, "single_candidate", single, [33], fallback_for=33),
        **scored(case, "ties", ties, [], Sampling(0.5, 25, 10, 0.1)),
        **scored(case, "end_masked", torch.cat([peaky[:40], torch.tensor([7.0, 6.0, 1.0])]), [], eos_id=40),
        **scored(case, "three_repetitions", peaky, [10, 10, 10, 20, 20], Sampling(0.9, 25, 10, 0.3), fallback_for=10),
    }
    save(case, expected)


def scored(
    case: Case,
    name: str,
    scores: Tensor,
    history: list[int],
    settings: Sampling = OFFICIAL,
    fallback_for: int | None = None,
    eos_id: int | None = None,
) -> dict[str, Tensor]:
    """Add one set of scores to the draft; its expected tensors."""
    case.tensors.update(named(name, {"scores": scores, "history": torch.tensor(history, dtype=torch.int32)}))
    case.spec["cases"][name] = {
        "top_p": settings.top_p,
        "top_k": settings.top_k,
        "win_size": settings.window,
        "tau_r": settings.tau,
        "ignore_eos": eos_id is not None,
        "eos_id": eos_id,
        "fallback_for": fallback_for,
    }
    scores = scores.clone()
    if eos_id is not None:
        scores[eos_id] = -torch.inf
    nucleus = candidates(scores[None], settings)
    kept = nucleus.probs[0] > 0
    ids, probs = nucleus.ids[0, kept], nucleus.probs[0, kept]
    assert float((probs.cumsum(0) - settings.top_p).abs().min()) > 1e-4, f"{name}: too close to top_p"
    recent = torch.tensor([([-1] * settings.window + history)[-settings.window :]])
    found = {
        "candidate_ids": ids,
        "candidate_probs": probs,
        "candidate_probs_normalised": probs / probs.sum(),
        "triggers_fallback": repeats(ids[None], recent, settings)[0],
    }
    if fallback_for is not None:
        found["fallback_probs"] = without(scores[None], torch.tensor([[fallback_for]]))[0]
    return named(name, found)
