"""Golden cases of the way from tokens to audio: official traces, the exact target, and the small functions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count, groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cosy.config import EstimatorConfig, FlowConfig, FlowEncoderConfig, VocoderConfig
from cosy.models.flow import Flow
from cosy.models.vocoder import Vocoder
from cosy.streaming_plan import BLOCK, CACHED_FRAMES, MOST_HOP, OVERLAP_SAMPLES, next_hop, official_plan
from cosy.token2wav import ExactStream, MelStream, WaveStream, without_long_silences
from cosy.token2wav_official import Call, OfficialStream, at_official_speed, cross_fade
from cosy.voices.conditions import FlowPrompt
from tests.golden import Case, close
from tests.golden.cases_vocoder import check, config_of


class FlowWithNoise(Flow):
    """A flow that starts from the case's noise instead of the fixed one."""

    noise: Tensor

    def solve(self, mu: Tensor, *args: Any, noise: Tensor, **options: Any) -> Tensor:
        return super().solve(mu, *args, noise=self.noise[:, :, : mu.shape[1]], **options)


def flow_config(h: dict[str, Any]) -> FlowConfig:
    assert h["t_scheduler"] == "cosine"
    return FlowConfig(
        vocab_size=h["vocab_size"],
        input_size=h["input_size"],
        output_size=h["output_size"],
        spk_embed_dim=h["spk_embed_dim"],
        token_mel_ratio=h["token_mel_ratio"],
        pre_lookahead_len=h["pre_lookahead_len"],
        n_timesteps=h["n_timesteps"],
        inference_cfg_rate=h["inference_cfg_rate"],
        encoder=FlowEncoderConfig(
            input_size=h["input_size"],
            output_size=h["encoder_output_size"],
            attention_heads=h["encoder_heads"],
            linear_units=h["encoder_linear_units"],
            num_blocks=h["encoder_blocks"],
            up_blocks=h["up_encoder_blocks"],
            static_chunk_size=h["encoder_chunk"],
            pre_lookahead_len=h["pre_lookahead_len"],
        ),
        estimator=EstimatorConfig(
            channels=h["estimator_channels"],
            attention_head_dim=h["estimator_head_dim"],
            num_heads=h["estimator_heads"],
            n_blocks=h["estimator_blocks"],
            num_mid_blocks=h["estimator_mid_blocks"],
            static_chunk_size=h["estimator_chunk"],
        ),
    )


def flow_of(case: Case) -> FlowWithNoise:
    flow = FlowWithNoise(flow_config(case.spec["hyper_parameters"]["flow"]))
    case.load(flow, "flow")
    flow.noise = case.tensors["flow_noise"]
    return flow


def vocoder_of(case: Case) -> Vocoder:
    vocoder = Vocoder(vocoder_config(case))
    case.load(vocoder, "vocoder")
    return vocoder


def vocoder_config(case: Case) -> VocoderConfig:
    inner = Case(case.path)
    inner.__dict__["spec"] = {"hyper_parameters": case.spec["hyper_parameters"]["vocoder"]}
    return config_of(inner)


def prompt_of(case: Case) -> FlowPrompt:
    tensors = case.tensors
    return FlowPrompt(tensors["prompt_token"].long(), tensors["prompt_feat"], tensors["embedding"])


def drawn(seed: int, samples: int, harmonics: int) -> Tensor:
    draw = np.random.default_rng(seed).standard_normal((1, samples, harmonics), dtype=np.float32)
    return torch.from_numpy(draw)


@torch.inference_mode()
def run_trace(case: Case) -> None:
    hyper, tokens = case.spec["hyper_parameters"], case.tensors["token"].tolist()
    assert (hyper["token_hop_len"], hyper["token_max_hop_len"]) == (BLOCK, MOST_HOP)
    assert next_hop(BLOCK) == hyper["stream_scale_factor"] * BLOCK
    assert (hyper["mel_cache_len"], hyper["source_cache_len"]) == (CACHED_FRAMES, OVERLAP_SAMPLES)

    vocoder, seed, number = vocoder_of(case), case.spec["generated_inputs"]["vocoder_noise"]["seed"], count()

    def noise(first: int, samples: int) -> Tensor:
        return drawn(seed + next(number), samples, vocoder.m_source.harmonics)

    prompt = prompt_of(case)
    stream = OfficialStream(flow_of(case), vocoder, prompt, noise, speed=hyper["speed"])
    calls: list[Call] = []
    if hyper["stream"]:
        calls += [call for token in tokens for call in stream.calls([token])]
    else:
        stream.tokens += tokens
    calls.append(stream.last_call())

    results: dict[str, Tensor] = {}
    for i, call in enumerate(calls):
        results |= {f"call{i}_vocoder_mel": call.mel, f"call{i}_f0": call.f0}
        results |= {f"call{i}_source": call.source, f"call{i}_audio": call.audio}
    check(case, results)

    plan = official_plan(prompt.tokens.shape[1], len(tokens), stream=hyper["stream"])
    assert [(c.tokens, c.streaming, c.final) for c in plan] == [
        (c["tokens_given_to_flow"], c["streaming"], c["finalize"]) for c in hyper["plan"]
    ]
    assert [(c.mel.shape[2], c.audio.shape[1]) for c in calls] == [
        (c["vocoder_frames"], c["audio_samples"]) for c in hyper["plan"]
    ]


@torch.inference_mode()
def run_exact(case: Case) -> None:
    flow, vocoder, prompt, tokens = flow_of(case), vocoder_of(case), prompt_of(case), case.tensors["token"].tolist()
    seed = case.spec["generated_inputs"]["vocoder_noise"]["seed"]
    everything = drawn(seed, case.tensors["wave"].shape[1], vocoder.m_source.harmonics)

    def noise(first: int, samples: int) -> Tensor:
        return everything[:, first : first + samples]

    mel = MelStream(flow, prompt).finish(tokens)
    f0 = vocoder.f0(mel)
    whole = ExactStream(flow, vocoder, prompt, noise).finish(tokens)
    check(case, {"mel": mel, "f0": f0, "source": vocoder.source(f0, everything), "wave": whole[None]})

    for known in [*case.spec["hyper_parameters"]["token_counts_to_try"], 17]:
        stream = ExactStream(flow, vocoder, prompt, noise)
        parts = [stream.push(tokens[a : a + known]) for a in range(0, len(tokens), known)]
        joined = torch.cat([*parts, stream.finish()])
        close(f"{case.name} wave by {known} tokens", joined[None], case.tensors["wave"], case.spec["tolerance"]["wave"])
        partial = MelStream(flow, prompt).push(tokens[:known])
        target = case.tensors["mel"][:, :, : partial.shape[2]]
        close(f"{case.name} mel of {known} tokens", partial, target, case.spec["tolerance"]["mel"])

    waves = WaveStream(vocoder, noise)
    stored = case.tensors["mel"]
    parts = [waves.push(stored[:, :, a : a + 7], final=a + 7 >= stored.shape[2]) for a in range(0, stored.shape[2], 7)]
    close(
        f"{case.name} wave of stored mel", torch.cat(parts)[None], case.tensors["wave"], case.spec["tolerance"]["wave"]
    )


def run_plan(case: Case) -> None:
    columns, rows = case.spec["hyper_parameters"]["columns"], case.tensors["rows"].tolist()
    table = [dict(zip(columns, row, strict=True)) for row in rows]
    computed: list[list[int]] = []
    for number, group in groupby(table, key=lambda row: row["case"]):
        given = next(group)
        inputs = [given["prompt_tokens"], given["tokens"], given["hop_at_start"], given["stream"]]
        calls = official_plan(*inputs[:3], stream=bool(inputs[3]))
        after = calls[-1].hop
        for i, c in enumerate(calls):
            computed.append([number, *inputs, i, c.tokens, c.streaming, c.final, c.frames, c.samples, after])
    close(case.name, np.array(computed), case.tensors["rows"], case.spec["tolerance"]["rows"])


def run_cross_fade(case: Case) -> None:
    assert case.tensors["held"].shape[1] == case.spec["hyper_parameters"]["overlap"]
    check(case, {"result": cross_fade(case.tensors["new"], case.tensors["held"])})


def run_speed(case: Case) -> None:
    mel = case.tensors["mel"]
    check(case, {f"mel_{q}": at_official_speed(mel, q) for q in case.spec["hyper_parameters"]["speeds"]})


def run_silent_filter(case: Case) -> None:
    hyper = case.spec["hyper_parameters"]
    kept = without_long_silences(case.tensors["token"].tolist(), frozenset(hyper["silent_tokens"]), hyper["max_run"])
    check(case, {"kept": torch.tensor(list(kept), dtype=torch.int32)})


def kind(name: str) -> Callable[[Case], bool]:
    return lambda case: case.spec.get("module") == "token2wav" and case.spec.get("kind") == name


RUNNERS = [
    (kind("trace"), run_trace),
    (kind("exact_streaming"), run_exact),
    (kind("plan"), run_plan),
    (kind("cross_fade"), run_cross_fade),
    (kind("speed"), run_speed),
    (kind("silent_filter"), run_silent_filter),
]
