"""Golden cases of the language model and its sampler."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from cosy.config import Qwen2Config, SpeechLMConfig
from cosy.errors import EngineError
from cosy.models.lm_loss import (
    Sequences,
    build_sequences,
    dpo_loss,
    embed,
    layouts,
    lm_loss,
    sequence_log_probs,
)
from cosy.models.qwen2 import KVCache
from cosy.models.sampling import Candidates, candidates, repeats, without
from cosy.models.speech_lm import SpeechLM, SpeechTokens, collect, generate, generate_bistream
from cosy.types import FinishReason, Sampling
from tests.golden import Case, close

TIED = "llm.model.lm_head.weight"  # the text table again, used by nothing: in the file, not in the model


class Tape(SpeechLM):
    """The model, keeping what every cached call was fed."""

    def __init__(self, config: SpeechLMConfig) -> None:
        super().__init__(config)
        self.fed: list[Tensor] = []

    def step(self, embeddings: Tensor, state: KVCache, lengths: Tensor | None = None) -> Tensor:
        self.fed.append(embeddings[0])
        return super().step(embeddings, state, lengths)


class Chooser:
    """The samplers the cases inject: the largest biased score, with or without the repetition rule."""

    def __init__(self, kind: str, bias: Tensor) -> None:
        assert kind in ("argmax", "ras_argmax")
        self.kind, self.bias = kind, bias
        self.seen: list[Tensor] = []
        self.chosen: list[int] = []

    def __call__(self, log_probs: Tensor, history: Sequence[int]) -> int:
        self.seen.append(log_probs.clone())
        scores = log_probs + self.bias
        token = int(scores.argmax())
        if self.kind == "ras_argmax" and token in history[-10:]:
            scores[token] = -torch.inf
            token = int(scores.argmax())
        self.chosen.append(token)
        return token


def config(case: Case) -> SpeechLMConfig:
    values = case.spec["hyper_parameters"]
    return SpeechLMConfig(
        backbone=Qwen2Config(**values["qwen2"]),
        speech_token_size=values["speech_token_size"],
        mix_ratio=tuple(values.get("mix_ratio", (5, 15))),
        length_normalized_loss=values.get("length_normalized_loss", True),
        lsm_weight=values.get("lsm_weight", 0.0),
    )


def untied(keys: list[Any]) -> list[Any]:
    """Key table without the tied head, which must have the shape of the text table."""
    shapes = dict(keys)
    assert shapes[TIED] == shapes["llm.model.model.embed_tokens.weight"]
    return [pair for pair in keys if pair[0] != TIED]


def load(case: Case) -> Tape:
    model = Tape(config(case))
    own = Case(case.path)
    own.spec["state_dict"] = untied(case.spec["state_dict"])
    own.load(model)
    return model


def named(case: Case, run: str) -> dict[str, Tensor]:
    """The tensors of one run, by their own names."""
    return {name.removeprefix(run + "."): t for name, t in case.tensors.items() if name.startswith(run + ".")}


def part(case: Case, run: str, *names: str) -> list[list[int]]:
    """Rows of ids of one run, as lists."""
    return [case.tensors[f"{run}.{name}"].flatten().tolist() for name in names]


def origin(model: SpeechLM, pairs: Tensor) -> Tensor:
    """Embeddings (T, D) from [table, row] pairs (T, 2)."""
    tables = [model.llm_embedding.weight, model.backbone.embed_tokens.weight, model.speech_embedding.weight]
    return torch.stack([tables[table][row] for table, row in pairs.tolist()])


@torch.no_grad()
def forward(case: Case) -> None:
    """Hidden states and logits of whole sequences, and the same by prefill and single cached steps."""
    model = load(case)
    for run in {name.rsplit(".", 1)[0] for name in case.tensors}:
        ids = part(case, run, "text", "prompt_text", "prompt_speech_token", "target_speech_token")
        prefix, spoken = model.prefix(*ids[:3]), model.embed_speech(ids[3])
        assert prefix.shape[1] == case.spec["info"][run]["prefill_length"]
        state, x = model.init_state(1, prefix.shape[1] + len(ids[3])), torch.cat([prefix, spoken], 1)
        hidden = model.backbone(x).hidden[0]
        steps = [model.backbone(piece, state).hidden[0, -1] for piece in [prefix, *spoken.split(1, 1)]]
        found = {"hidden": hidden, "hidden_last": hidden[-1], "logits": model.logits(hidden)}
        found["step_logits"] = model.logits(torch.stack(steps))
        expected = named(case, run)
        close(f"{run}.sequence", x[0], origin(model, expected["sequence"]), "exact")
        for name in expected.keys() & found.keys():
            want, got = expected[name], found[name]
            close(f"{run}.{name}", got[len(got) - len(want) :], want, case.spec["tolerance"])  # some keep the end only


def stopped_by(reason: FinishReason, chosen: list[int]) -> int | None:
    return chosen[-1] if reason is FinishReason.STOP else None


def decode(case: Case) -> None:
    model = load(case)
    for run, facts in case.spec["runs"].items():
        model.fed.clear()
        chooser = Chooser(facts["sampler"], case.tensors[f"{run}.sampler_bias"])
        tokens, reason = collect(
            generate(
                model,
                *part(case, run, "text", "prompt_text", "prompt_speech_token"),
                sampler=chooser,
                min_ratio=facts["min_token_text_ratio"],
                max_ratio=facts["max_token_text_ratio"],
                official_stops=True,
            )
        )
        expected, tolerance = case.tensors, case.spec["tolerance"]["log_probs"]
        close(f"{run}.out", tokens, expected[f"{run}.out"], "exact")
        assert stopped_by(reason, chooser.chosen) == facts["stopped_by"]
        prefill = origin(model, expected[f"{run}.prefill_sequence"])
        close(f"{run}.prefill_sequence", model.fed[0].detach(), prefill.detach(), "exact")
        close(f"{run}.log_probs", torch.stack(chooser.seen), expected[f"{run}.log_probs"], tolerance)


def bistream(case: Case) -> None:
    model = load(case)
    for run, facts in case.spec["runs"].items():
        play(case, model, run, facts)


def listen(stream: SpeechTokens, events: list[list[int]]) -> FinishReason:
    """Run to the end, noting every token when it comes."""

    def noted() -> SpeechTokens:
        while True:
            try:
                token = next(stream)
            except StopIteration as end:
                return end.value
            events.append([2, token])
            yield token

    return collect(noted())[1]


def play(case: Case, model: Tape, run: str, facts: dict[str, Any]) -> None:
    """One bi-streaming trace."""
    model.fed.clear()
    expected = named(case, run)
    text, prompt, speech = part(case, run, "text", "prompt_text", "prompt_speech_token")
    events: list[list[int]] = []

    def pieces() -> Iterator[list[int]]:
        start = 0
        for j, size in enumerate(facts["text_pieces"]):
            events.append([0, j])
            yield text[start : start + size]
            start += size
        events.append([1, 0])

    chooser = Chooser(facts["sampler"], expected["sampler_bias"])
    stream = generate_bistream(model, pieces(), prompt, speech, sampler=chooser, official=True)
    if facts["error"] is None:
        assert stopped_by(listen(stream, events), chooser.chosen) == facts["stopped_by"]
    else:
        with pytest.raises(EngineError):
            listen(stream, events)
    assert len(model.fed) == facts["n_calls"]
    close(f"{run}.events", events, expected["events"], "exact")
    close(f"{run}.out", [value for kind, value in events if kind == 2], expected["out"], "exact")
    close(f"{run}.call_lengths", [len(x) for x in model.fed], expected["call_lengths"], "exact")
    fed = origin(model, expected["call_inputs"])
    close(f"{run}.call_inputs", torch.cat(model.fed).detach(), fed.detach(), "exact")
    close(f"{run}.sampled", torch.stack(chooser.seen), expected["sampled_log_probs"], tolerance_of(case, "sampled"))
    check_chosen(model, chooser, expected["chosen"].tolist(), run)


def check_chosen(model: SpeechLM, chooser: Chooser, expected: list[int], run: str) -> None:
    """What the sampler chose, in order; ids it was not asked for must be fills."""
    asked = iter([*chooser.chosen, None])
    token = next(asked)
    for want in expected:
        if token == want:
            token = next(asked)
        else:
            assert want == model.fill_id, f"{run}: chose {token}, expected {want}"
    assert token is None, f"{run}: chose {token} beyond the trace"


def tolerance_of(case: Case, word: str) -> Any:
    """The tolerance whose name holds `word`."""
    return next(value for name, value in case.spec["tolerance"].items() if word in name)


def number(what: str, got: Tensor, expected: float, tolerance: Any) -> None:
    close(what, got.reshape(1), [expected], tolerance)


def utterances(case: Case, name: str) -> list[Tensor]:
    """Padded ids and lengths -> one tensor per utterance."""
    return [row[:n] for row, n in zip(case.tensors[name], case.tensors[f"{name}_len"].tolist(), strict=True)]


def check_layout(case: Case, sequences: Sequences) -> None:
    pairs = torch.stack([sequences.table, sequences.row], -1)
    close("input_sequence", pairs, case.tensors["input_sequence"], "exact")
    close("input_len", sequences.lengths, case.tensors["input_len"], "exact")
    close("target", sequences.target, case.tensors["target"], "exact")


def check_gradients(case: Case, model: SpeechLM) -> None:
    tolerance = tolerance_of(case, "grad")
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    for name, want in case.tensors.items():
        if name.startswith("grad."):
            close(name, gradients[name.removeprefix("grad.")], want, tolerance)
    for name, norm in case.spec["expected"]["grad_l2_norms"].items():
        number(f"norm of grad {name}", gradients[name].norm(), norm, tolerance)


def variants(table: dict[str, Any]) -> Iterator[tuple[str, dict[str, float], Any]]:
    """Options and value of every entry of a table keyed `name=value,name=value`."""
    for key, value in table.items():
        options = dict(item.split("=") for item in key.split(","))
        yield key, {n: v == "True" if v in ("True", "False") else float(v) for n, v in options.items()}, value


def train(case: Case) -> None:
    """Layouts, logits, losses and gradients; with rejected speech, the preference loss too."""
    model, expected = load(case), case.spec["expected"]
    text, speech = utterances(case, "text_token"), utterances(case, "speech_token")
    chosen = len(text)
    if "reject_speech_token" in case.tensors:
        text, speech = text + text, speech + utterances(case, "reject_speech_token")
    marked = case.spec["coin"].split("[")[1].split("]")[0].split(",")
    coins = [word.strip().lower() == "true" for word in marked]
    settings = model.config
    sequences = build_sequences(text, speech, layouts(text, speech, coins, settings.mix_ratio), settings)
    check_layout(case, sequences)
    logits = model(embed(model, sequences), sequences.lengths).logits
    valid = (sequences.table >= 0)[..., None]
    close("logits", logits * valid, case.tensors["logits"], tolerance_of(case, "logits"))
    tolerance = tolerance_of(case, "loss")
    pair = logits[:chosen], sequences.target[:chosen]
    for key, options, value in variants(expected["loss_variants_on_chosen_rows"]):
        smoothing, normalized = options["lsm_weight"], bool(options["length_normalized"])
        loss = lm_loss(*pair, label_smoothing=smoothing, length_normalized=normalized).loss
        number(key, loss, value, tolerance)
    if chosen < len(text):
        check_preferences(case, sequence_log_probs(logits, sequences.target), tolerance)
    result = lm_loss(*pair, label_smoothing=settings.lsm_weight, length_normalized=settings.length_normalized_loss)
    number("loss", result.loss, expected["loss"], tolerance)
    number("acc", result.accuracy, expected["acc"], tolerance)
    result.loss.backward()
    check_gradients(case, model)


def check_preferences(case: Case, log_probs: Tensor, tolerance: Any) -> None:
    chosen, rejected = log_probs.chunk(2)
    close("chosen log-probabilities", chosen, case.tensors["intended_chosen_logps"], tolerance)
    close("rejected log-probabilities", rejected, case.tensors["intended_rejected_logps"], tolerance)
    reference = case.tensors["reference_chosen_logps"], case.tensors["reference_rejected_logps"]
    for key, options, value in variants(case.spec["expected"]["preference_loss_of_intended_logps"]):
        intended = case.tensors["intended_chosen_logps"], case.tensors["intended_rejected_logps"]
        result = dpo_loss(*intended, *reference, **options)
        number(key, result.loss, value["loss"], tolerance)
        close(f"{key} chosen", result.chosen_rewards, torch.tensor(value["chosen_rewards"]), tolerance)
        close(f"{key} rejected", result.rejected_rewards, torch.tensor(value["rejected_rewards"]), tolerance)


def key_list(case: Case) -> None:
    """The official checkpoint's keys are the default model's, plus the tied head."""
    with torch.device("meta"):
        model = SpeechLM(SpeechLMConfig())
    own = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert own == dict(untied(case.spec["CosyVoice2"]))


def sampling(case: Case) -> None:
    for name, facts in case.spec["cases"].items():
        expected = named(case, name)
        settings = Sampling(facts["top_p"], facts["top_k"], facts["win_size"], facts["tau_r"])
        scores = expected["scores"].clone()
        if facts["ignore_eos"]:
            scores[facts["eos_id"]] = -torch.inf
        check_sampling(name, scores[None], expected, settings, facts, case.spec["tolerance"]["probabilities"])


def check_sampling(
    name: str, scores: Tensor, expected: dict[str, Tensor], settings: Sampling, facts: dict[str, Any], tolerance: Any
) -> None:
    nucleus = Candidates(*(x[0] for x in candidates(scores, settings)))
    kept = nucleus.probs > 0
    ids, probs = nucleus.ids[kept], nucleus.probs[kept]
    close(f"{name}.candidate_ids", ids, expected["candidate_ids"], "exact")
    close(f"{name}.candidate_probs", probs, expected["candidate_probs"], tolerance)
    close(f"{name}.normalised", probs / probs.sum(), expected["candidate_probs_normalised"], tolerance)
    recent = torch.full((1, settings.window), -1)
    history = expected["history"][-settings.window :]
    recent[0, settings.window - len(history) :] = history
    close(f"{name}.triggers", repeats(ids[None], recent, settings)[0].int(), expected["triggers_fallback"], "exact")
    if facts["fallback_for"] is not None:
        rest = without(scores, torch.tensor([[facts["fallback_for"]]]))[0]
        close(f"{name}.fallback_probs", rest, expected["fallback_probs"], tolerance)


def shaped(ending: str):
    """Cases of the CosyVoice 2 language model that hold a tensor of that name."""

    def matches(case: Case) -> bool:
        spec = case.spec
        is_ours = spec.get("module") == "lm" and spec.get("hyper_parameters", {}).get("class") == "Qwen2LM"
        return is_ours and any(name.rsplit(".", 1)[-1] == ending for name in spec.get("tensors", {}))

    return matches


RUNNERS = [
    (shaped("step_logits"), forward),
    (shaped("prefill_sequence"), decode),
    (shaped("call_inputs"), bistream),
    (shaped("input_sequence"), train),
    (lambda case: case.spec.get("module") == "lm" and "CosyVoice2" in case.spec, key_list),
    (lambda case: case.spec.get("module") == "sampling", sampling),
]
