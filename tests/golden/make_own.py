"""Draw and write the golden cases of our own making: `python -m tests.golden.make_own`.

They keep the networks where they were when every case of the golden folder passed, for whoever does
not have that folder.  Inputs come from fixed seeds, weights from their names, sizes are tiny, outputs
are what our code computes: the cases say that something changed, not that it was right before.  So
write them anew only when a case is added or its format changes, with the golden folder passing.
"""

from __future__ import annotations

from shutil import rmtree
from unittest.mock import patch

import torch
from torch import Tensor

from cosy.audio.resample import resample
from cosy.models.speech_tokenizer import SpeechTokenizer, halved
from cosy.streaming_plan import official_plan
from cosy.text.special_tokens import SPECIAL_TOKENS
from cosy.voices.assembly import align_prompt, model_inputs
from tests.golden import (
    Case,
    cases_flow,
    cases_front_models,
    cases_mel,
    cases_text,
    cases_token2wav,
    cases_vocoder,
    make_own_lm,
)
from tests.golden.drafts import OWN, Draw, computed, draft, picked, save, stored, table, write

MELS = 80
FRONT_CHANNELS = 8  # of the speaker encoder


def main() -> None:
    torch.set_num_threads(1)
    rmtree(OWN, ignore_errors=True)
    make_own_lm.make()
    flow()
    vocoder()
    mel()
    features(Draw(400))
    text()
    special_tokens()
    assembly()
    speech_tokenizer()
    speaker_encoder()
    token2wav()


# Flow: tensors are named in.NAME and out.NAME, and only outputs are expected.

FLOW = {
    "vocab_size": 20,
    "spk_embed_dim": 8,
    "input_size": 16,
    "token_mel_ratio": 2,
    "pre_lookahead_len": 3,
    "enc": {"size": 16, "heads": 2, "ff": 24, "blocks": 1, "up_blocks": 1, "chunk": 5},
    "est": {"channels": 16, "n_blocks": 1, "num_mid_blocks": 1, "heads": 2, "head_dim": 8, "chunk": 10},
}
FLOW_TOLERANCE = {"atol": 3e-5, "rel_max": 1e-5}
LOSS_TOLERANCE = {"atol": 1e-7, "rel_max": 1e-3}


def flow() -> None:
    blank = {f"noise_{where}": torch.zeros(MELS, 8) for where in ("first", "last", "mid")}
    flow_case("noise", "noise", {"n_timesteps": 10}, {}, blank=blank)
    flow_encoder(Draw(200))
    flow_estimator(Draw(210))
    flow_cfm(Draw(220))
    flow_infer(Draw(230))
    flow_loss(Draw(240))


def flow_case(
    name: str,
    kind: str,
    args: dict[str, object],
    inputs: dict[str, Tensor],
    keep: list[str] | None = None,
    blank: dict[str, Tensor] | None = None,
) -> None:
    """Write one case; it expects what the runner computes, or the tensors of that named in `keep`."""
    given = {key: stored(value) for key, value in inputs.items()}
    spec = {
        "module": "flow",
        "kind": kind,
        "tolerance": LOSS_TOLERANCE if kind == "loss" else FLOW_TOLERANCE,
        "hyper_parameters": FLOW,
        "args": args,
        "inputs": table(given),
        "outputs": {},
        "state_dict": {},
    }
    tensors = {f"in.{key}": value for key, value in given.items()}
    case = draft("flow", name, spec, tensors | {f"out.{key}": value for key, value in (blank or {}).items()})
    got = computed(cases_flow, getattr(cases_flow, kind), case)
    outputs = {key: stored(value) for key, value in (picked(got, keep) if keep else got).items()}
    spec = {**case.spec, "outputs": table(outputs)}
    write(case, spec, tensors | {f"out.{key}": value for key, value in outputs.items()})


def flow_encoder(draw: Draw) -> None:
    def lens(*lengths: int) -> Tensor:
        return torch.tensor(lengths)

    size = FLOW["input_size"]
    whole = {"x": draw.normal(1, 7, size), "lens": lens(7)}
    flow_case("encoder_full", "encoder", {"streaming": False}, whole)
    ahead = {"x": draw.normal(1, 8, size), "lens": lens(8), "lookahead": draw.normal(1, 3, size)}
    ends = ["out", "mu"]
    for streaming in (False, True):
        flow_case(f"encoder_lookahead_streaming{streaming:d}", "encoder", {"streaming": streaming}, ahead, ends)
    batch = {"x": draw.normal(3, 7, size), "lens": lens(7, 6, 3)}
    for row, length in zip(batch["x"], batch["lens"], strict=True):
        row[length:] = 0
    for streaming in (False, True):
        flow_case(f"encoder_batch_streaming{streaming:d}", "encoder", {"streaming": streaming}, batch, ends)


def flow_estimator(draw: Draw) -> None:
    frames = 11
    mask = (torch.arange(frames) < torch.tensor([11, 7])[:, None]).float()[:, None]
    inputs = {"x": draw.normal(2, MELS, frames), "mask": mask, "mu": draw.normal(2, MELS, frames)}
    inputs |= {"t": torch.tensor([0.15, 0.8]), "spks": draw.normal(2, MELS), "cond": draw.normal(2, MELS, frames)}
    flow_case("estimator_streaming0", "estimator", {"streaming": False}, inputs)
    flow_case("estimator_streaming1", "estimator", {"streaming": True}, inputs, ["out"])
    whole = {name: value[:1] for name, value in inputs.items()}  # nothing is masked
    flow_case("estimator_nomask", "estimator", {"streaming": True}, whole, ["out"])


def flow_cfm(draw: Draw) -> None:
    inputs = {"mu": draw.normal(1, MELS, 12), "spks": draw.normal(1, MELS), "cond": draw.normal(1, MELS, 12)}
    args = {"streaming": False, "n_timesteps": 10, "temperature": 1.0, "state_steps": [1, 5]}
    flow_case("cfm_10steps", "cfm", args, inputs)
    args = {"streaming": True, "n_timesteps": 4, "temperature": 0.7, "state_steps": [2]}
    flow_case("cfm_4steps", "cfm", args, inputs)


def flow_inputs(draw: Draw, tokens: int, prompt_tokens: int, prompt_frames: int) -> dict[str, Tensor]:
    return {
        "token": draw.ids(20, 1, tokens),
        "prompt_token": draw.ids(20, 1, prompt_tokens),
        "prompt_feat": draw.normal(1, prompt_frames, MELS),
        "embedding": draw.normal(1, 8),
    }


def flow_infer(draw: Draw) -> None:
    every = {"combos": [[False, True], [False, False], [True, True], [True, False]]}
    flow_case("infer_prompt", "infer", every, flow_inputs(draw, 9, 6, 12))
    flow_case("infer_noprompt", "infer", {"combos": [[True, True], [False, False]]}, flow_inputs(draw, 8, 0, 0))
    flow_case("infer_uneven_prompt", "infer", {"combos": [[False, True], [True, False]]}, flow_inputs(draw, 8, 5, 11))
    calls = [[11, 0, True, False], [16, 8, True, False], [19, 13, False, True], [19, 13, True, True]]
    flow_case("session", "session", {"calls": calls}, flow_inputs(draw, 19, 7, 14))


def flow_loss(draw: Draw) -> None:
    lengths, drawn = torch.tensor([6, 4]), [1, 0]
    inside = torch.arange(12) < 2 * lengths[:, None]
    inputs = {
        "token": draw.ids(20, 2, 6) * inside[:, ::2],
        "token_len": lengths,
        "feat": draw.normal(2, 12, MELS) * inside[..., None],
        "feat_len": 2 * lengths,
        "embedding": draw.normal(2, 8),
        "cond_len": torch.tensor([5, 0]),
        "cond_drawn": torch.tensor(drawn),
        "t": torch.tensor([0.3, 0.7]),
        "z": draw.normal(2, MELS, 12),
        "cfg_keep": torch.tensor([1, 0]),
    }
    gradients = [
        "spk_embed_affine_layer.bias",
        "encoder_proj.bias",
        "encoder.embed.out.0.bias",
        "encoder.encoders.0.self_attn.pos_bias_u",
        "encoder.up_layer.conv.bias",
        "decoder.estimator.down_blocks.0.1.0.attn1.to_out.0.bias",
        "decoder.estimator.mid_blocks.0.0.mlp.1.bias",
        "decoder.estimator.final_proj.bias",
    ]
    keep = ["loss", "grad_norm", *(f"grad:{name}" for name in gradients)]
    for streaming in (False, True):
        args = {"streaming": streaming, "cond_drawn": drawn, "grads": gradients}
        flow_case(f"loss_streaming{streaming:d}", "loss", args, inputs, keep)


# Vocoder, mel and token-to-wave: one table of tensors with roles, a tolerance for each expected one.

VOCODER = {
    "in_channels": MELS,
    "base_channels": 8,
    "nb_harmonics": 2,
    "sampling_rate": 24000,
    "nsf_alpha": 0.1,
    "nsf_sigma": 0.003,
    "nsf_voiced_threshold": 10,
    "upsample_rates": [8, 5, 3],
    "upsample_kernel_sizes": [16, 11, 7],
    "istft_params": {"n_fft": 16, "hop_len": 4},
    "resblock_kernel_sizes": [3, 7],
    "resblock_dilation_sizes": [[1], [3, 5]],
    "source_resblock_kernel_sizes": [7, 7, 11],
    "source_resblock_dilation_sizes": [[1], [3], [1, 5]],
    "lrelu_slope": 0.1,
    "audio_limit": 0.99,
    "f0_cond_channels": 8,
}
VOCODER_SCALE = {"conv_post.parametrizations.weight.original0": 0.2, "f0_predictor.classifier.weight": 300.0}
SOURCE = {
    "sampling_rate": 24000,
    "upsample_scale": 480,
    "nb_harmonics": 2,
    "nsf_alpha": 0.1,
    "nsf_sigma": 0.003,
    "nsf_voiced_threshold": 10,
}


def roles_case(
    module: str,
    kind: str,
    name: str,
    hyper: dict[str, object],
    inputs: dict[str, Tensor],
    **fields: object,
) -> Case:
    spec = {"module": module, "kind": kind, "hyper_parameters": hyper, "state_dict": {}}
    return draft(module, name, {**spec, "weight_scale": {}, "generated_inputs": {}, **fields}, inputs)


def save_roles(case: Case, expected: dict[str, Tensor], tolerance: float | dict[str, float], **more: float) -> None:
    """`tolerance`: absolute, of all expected tensors or by name; `more`: other bounds of all."""
    bounds = tolerance if isinstance(tolerance, dict) else dict.fromkeys(expected, tolerance)
    case.spec["tolerance"] = {name: {"max_abs": bounds[name], **more} for name in expected}
    save(case, expected, roles=True)


def noise_rule(seed: int, *shape: int) -> dict[str, object]:
    return {"noise": {"seed": seed, "shape": list(shape)}}


def vocoder() -> None:
    vocoder_blocks(Draw(300))
    vocoder_sources(Draw(310))
    vocoder_whole(Draw(320))
    gan_losses(Draw(330))
    loss_functions(Draw(340))


def vocoder_blocks(draw: Draw) -> None:
    hyper = {"channels": 6, "kernel_size": 7, "dilations": [1, 3, 5]}
    case = roles_case("vocoder", "resblock", "resblock", hyper, {"x": draw.normal(2, 6, 40)})
    save_roles(case, computed(cases_vocoder, cases_vocoder.run_resblock, case), {"snake": 1e-5, "y": 1e-4})

    transform = {"n_fft": 16, "hop_len": 4}
    case = roles_case("vocoder", "stft", "stft", transform, {"source": draw.normal(2, 1, 240, scale=0.3)})
    save_roles(case, computed(cases_vocoder, cases_vocoder.run_stft, case), 1e-5)

    hyper = transform | {"audio_limit": 0.99}
    case = roles_case("vocoder", "istft_head", "istft_head", hyper, {"head": draw.normal(1, 18, 31)})
    save_roles(case, computed(cases_vocoder, cases_vocoder.run_istft_head, case), 2e-5)


def vocoder_sources(draw: Draw) -> None:
    hyper = {"num_class": 1, "in_channels": MELS, "cond_channels": 8}
    scale = {"f0_predictor.classifier.weight": 300.0}
    case = roles_case("vocoder", "f0", "f0", hyper, {"mel": draw.normal(2, MELS, 9)}, weight_scale=scale)
    save_roles(case, computed(cases_vocoder, cases_vocoder.run_f0, case), 2e-3)

    tolerance = {"sine_waves": 2e-5, "uv": 0.0, "source": 2e-5, "source_tail": 5e-5}
    short = torch.tensor([[0.0, 11.0, 9.0, 220.0]])
    case = source_case("source_short", short, 350)
    got = computed(cases_vocoder, cases_vocoder.run_source, case)
    save_roles(case, picked(got, ("sine_waves", "uv", "source")), tolerance)
    case = source_case("source_long", torch.linspace(80, 400, 250)[None], 351)
    case.tensors["source_tail"] = torch.zeros(1, 1, 960)
    got = computed(cases_vocoder, cases_vocoder.run_source, case)
    save_roles(case, picked(got, ("source_tail",)), tolerance)


def source_case(name: str, f0: Tensor, seed: int) -> Case:
    noise = noise_rule(seed, 1, 480 * f0.shape[1], 1 + SOURCE["nb_harmonics"])
    return roles_case("vocoder", "source", name, SOURCE, {"f0": f0}, generated_inputs=noise)


def vocoder_case(kind: str, name: str, inputs: dict[str, Tensor], **hyper: object) -> Case:
    return roles_case("vocoder", kind, name, VOCODER | hyper, inputs, weight_scale=VOCODER_SCALE)


def vocoder_whole(draw: Draw) -> None:
    inputs = {"mel": draw.normal(1, MELS, 2), "source": draw.normal(1, 1, 960, scale=0.3)}
    case = vocoder_case("decode", "decode", inputs)
    got = computed(cases_vocoder, cases_vocoder.run_decode, case)
    stages = {"stage0": 4e-4, "stage1": 4e-4, "stage2": 1e-3}
    save_roles(case, got, {"source_stft": 1e-5, **stages, "head": 3e-4, "wave": 1e-4})

    case = vocoder_case(
        "decode", "decode_batch", {"mel": draw.normal(2, MELS, 2), "source": draw.normal(2, 1, 960, scale=0.3)}
    )
    got = computed(cases_vocoder, cases_vocoder.run_decode, case)
    save_roles(case, picked(got, ("stage0", "wave")), {"stage0": 4e-4, "wave": 1e-4})

    tolerance = {"f0": 1e-3, "source": 1e-4, "wave": 1e-4}
    case = vocoder_case("inference", "inference", {"mel": draw.normal(1, MELS, 5)})
    case.spec["generated_inputs"] = noise_rule(352, 1, 2400, 3)
    save_roles(case, computed(cases_vocoder, cases_vocoder.run_inference, case), tolerance)
    cached = {"mel": draw.normal(1, MELS, 4), "cache_source": draw.normal(1, 1, 480, scale=0.3)}
    case = vocoder_case("inference", "inference_cache_source", cached, nb_harmonics=1)
    case.spec["generated_inputs"] = noise_rule(353, 1, 1920, 2)
    save_roles(case, computed(cases_vocoder, cases_vocoder.run_inference, case), tolerance)


def gan_losses(draw: Draw) -> None:
    """The critics' widths are fixed, so one period and one resolution on a short signal."""
    real = draw.wave(2, 1920, 24000)
    f0 = 200 + draw.normal(2, 4, scale=20)
    inputs = {"real": real, "generated": 0.8 * real + draw.normal(2, 1920, scale=0.05)}
    inputs |= {"f0_real": f0, "f0_generated": f0 + draw.normal(2, 4)}
    hyper = {"mel_weight": 45, "feature_weight": 2.0, "tpr_weight": 1.0, "tpr_tau": 0.04, "mpd_periods": [3]}
    hyper |= {"spec_fft": [256], "spec_hop": [120], "spec_win": [200]}
    case = roles_case("vocoder", "gan_losses", "gan_losses", hyper, inputs)
    with torch.no_grad():
        save_roles(case, computed(cases_vocoder, cases_vocoder.run_gan_losses, case), 2e-4, max_rel=2e-4)


def loss_functions(draw: Draw) -> None:
    inputs: dict[str, Tensor] = {}
    for k, size in enumerate((31, 12)):
        inputs |= {f"{side}_{k}": draw.normal(2, size) for side in ("real", "gen")}
        inputs |= {f"{side}_{k}_{m}": draw.normal(2, 3, 4 + m) for m in (0, 1) for side in ("fr", "fg")}
    case = roles_case("vocoder", "loss_functions", "loss_functions", {"tau": 0.04}, inputs)
    save_roles(case, computed(cases_vocoder, cases_vocoder.run_loss_functions, case), 5e-5)


def mel() -> None:
    draw = Draw(380)
    basis = {"sampling_rate": 24000, "n_fft": 1920, "num_mels": MELS, "fmin": 0, "fmax": 8000}
    whisper = {"sampling_rate": 16000, "n_fft": 400, "num_mels": 128, "fmin": 0, "fmax": 8000.0}
    for name, hyper in (("basis_24k", basis), ("basis_whisper", whisper)):
        case = roles_case("mel", "mel_basis", name, hyper, {})
        got = computed(cases_mel, cases_mel.run_filters, case)
        save_roles(case, got, {"row": 0, "col": 0, "value": 1e-8})

    mel24k = {"sampling_rate": 24000, "n_fft": 1920, "win_size": 1920, "hop_size": 480, "num_mels": MELS, "fmin": 0}
    for name, samples, fmax in (("mel24k_batch", 2500, 8000), ("mel24k_nyquist", 1960, None)):
        inputs = {"wave": draw.wave(2, samples, 24000)}
        case = roles_case("mel", "mel24k", name, mel24k | {"fmax": fmax}, inputs)
        save_roles(case, computed(cases_mel, cases_mel.run_mel, case), 1e-3)

    hyper = {"sampling_rate": 16000, "n_fft": 400, "hop_size": 160, "num_mels": 128}
    case = roles_case("mel", "whisper128", "whisper", hyper, {"wave": draw.wave(1, 1723, 16000)})
    save_roles(case, computed(cases_mel, cases_mel.run_log_mel, case), 2e-4)
    hyper = {"sampling_rate": 16000, "frame_length_ms": 25, "frame_shift_ms": 10, "num_mel_bins": MELS, "dither": 0}
    case = roles_case("mel", "fbank80", "fbank", hyper, {"wave": draw.wave(1, 1999, 16000)})
    save_roles(case, computed(cases_mel, cases_mel.run_fbank, case), 2e-3)

    for low, high in ((16000, 24000), (24000, 16000), (22050, 24000), (44100, 16000), (48000, 24000)):
        inputs = {"wave": draw.wave(1, low // 50, low)}
        case = roles_case("mel", "resample", f"resample_{low}_{high}", {"orig_freq": low, "new_freq": high}, inputs)
        save_roles(case, computed(cases_mel, cases_mel.run_resample, case), 1e-5)


def features(draw: Draw) -> None:
    """The features of a prompt, and resampling between the rates that occur."""
    wav24k = draw.wave(1, 2000, 24000)
    inputs = {"wav16k": resample(wav24k, 24000, 16000), "wav24k": wav24k}
    rates = {"24k_16k": 24000, "16k_24k": 16000, "44k1_16k": 44100, "22k05_16k": 22050}
    inputs |= {f"rs_{name}.in": draw.wave(1, hertz // 50, hertz) for name, hertz in rates.items()}
    outputs = ["whisper_log_mel", "fbank", "fbank_mean_normalised", "prompt_mel", "prompt_mel_fmax_none"]
    outputs += [f"rs_{name}.out" for name in rates]
    spec = {
        "module": "frontend",
        "mode": "audio features of a synthetic signal, resampling",
        "tolerance": {
            "whisper_log_mel": {"atol": 2e-4},
            "fbank": {"atol": 2e-3},
            "prompt_mel": {"atol": 1e-3},
            "resample": {"atol": 2e-5},
        },
    }
    case = draft("frontend", "features", spec, inputs | {name: torch.empty(0) for name in outputs})
    save(case, computed(cases_mel, cases_mel.run_prompt_features, case))


# Text: no tensors.

TEXTS: dict[str, list[dict[str, object]]] = {
    "contains_chinese": [{"text": text} for text in ("plain words", "一", "mixed 字 here", "ひらがな", "")],
    "replace_corner_mark": [{"text": "房间12m²，水箱2m³"}, {"text": "x² + y³"}],
    "remove_bracket": [{"text": "她说（小声地）【真的】吗"}, {"text": "走`吧`——快"}, {"text": "(half-width) stays"}],
    "replace_blank": [{"text": "早 上 好"}, {"text": "say it twice 再 说 once more"}, {"text": " two  blanks"}],
    "spell_out_number": [{"text": text} for text in ("7 days, 30 nights", "flight 1408", "no number", "1,000.5")],
    "is_only_punctuation": [{"text": text} for text in ("，。", "?!", "a!", "", "–")],
    "split_paragraph": [
        {"text": "雨停了。院子里很安静，只有水滴声；猫在窗台上睡着了！", "args": {"lang": "zh"}},
        {
            "text": "雨停了。院子里很安静，只有水滴声；猫在窗台上睡着了！谁在敲门？",
            "args": {"lang": "zh", "token_max_n": 10, "token_min_n": 6, "merge_len": 3},
        },
        {
            "text": "The kettle sang, the lamp was lit, and nobody spoke. Was it late? It was.",
            "args": {"lang": "en", "token_max_n": 8, "token_min_n": 4, "merge_len": 3, "comma_split": True},
        },
        {"text": "A line without an end", "args": {"lang": "en"}},
        {"text": "她说：“再见。”门关上了", "args": {"lang": "zh"}},
    ],
    "text_normalize_without_tn": [
        {"text": "会议 9 点开始，\n请带上 laptop 和 3m² 的图纸、", "split": True, "text_frontend": True},
        {"text": "They sold 48 lamps in 1999.", "split": True, "text_frontend": True},
        {"text": "They sold 48 lamps in 1999.", "split": False, "text_frontend": True},
        {"text": "Left as it is: 48", "split": True, "text_frontend": False},
        {"text": "<|en|>12 words", "split": True, "text_frontend": True},
    ],
}


def text() -> None:
    functions = {name: [entry | {"out": answer(name, entry)} for entry in entries] for name, entries in TEXTS.items()}
    spec = {"module": "frontend", "mode": "text functions; no tensors", "functions": functions}
    case = draft("frontend", "text", spec)
    write(case, case.spec, {})


def answer(function: str, entry: dict[str, object]) -> object:
    """What the front end makes of one entry: the runner compares it with a value that notes whatever it meets."""
    seen: list[object] = []

    class Note:
        def __eq__(self, other: object) -> bool:
            seen.append(other)
            return True

        __hash__ = None

    cases_text.run_text(draft("frontend", "text", {"functions": {function: [entry | {"out": Note()}]}}))
    return seen[0]


def special_tokens() -> None:
    base = 300  # entries of the vocabulary before them
    ids = {token: base + number for number, token in enumerate(SPECIAL_TOKENS)}
    tables = {"CosyVoice2": {"vocabulary_size": base + len(ids), "ids": ids}}
    case = draft("frontend", "special_tokens", {"module": "frontend", "mode": "ids of the special tokens", **tables})
    write(case, case.spec, {})


def assembly() -> None:
    """Inputs of every mode for a prompt whose tokens outlast its mel frames by one."""
    words = {"text": "one two", "prompt": "what the prompt says", "cached speaker prompt": "kept", "instruct": "fast"}
    described = "; ".join(f'{name} "{value}"' for name, value in words.items())
    rows = [{"mel_frames_24k": frames, "speech_tokens": tokens} for frames, tokens in ((60, 30), (61, 31), (57, 29))]
    for row in rows:
        kept = align_prompt(row["mel_frames_24k"], row["speech_tokens"])
        row |= {"kept_tokens": kept, "kept_mel_frames": 2 * kept}
    said = {"zero_shot_cached": "cached speaker prompt", "instruct2": "instruct"}
    spec = {
        "module": "frontend",
        "mode": "prompt trimming and the set of model inputs per mode; no tensors",
        "modes_text": f"{described}; prompt audio of 20000 samples at 16 kHz",
        "trimming": rows,
        "model_inputs": {},
    }
    voice = cases_text.prompt_of(spec["modes_text"])
    for mode in ("sft", "zero_shot", "zero_shot_cached", "cross_lingual", "instruct2", "vc"):
        inputs = model_inputs(
            mode.removesuffix("_cached"),
            voice,
            text=cases_text.stub_ids(words["text"]),
            prompt_text=cases_text.stub_ids(words[said.get(mode, "prompt")]),
            source_tokens=voice.tokens,
        )
        spec["model_inputs"][mode] = {name: cases_text.described(value) for name, value in inputs.items()}
    case = draft("frontend", "assembly", spec)
    write(case, case.spec, {})


# The two front-end networks.

TOKENIZER = {
    "n_mels": 8,
    "state": 64,
    "heads": 1,
    "layers": 1,
    "fsmn_kernel": 31,
    "attn_ln_eps": 1e-6,
    "mlp_ln_eps": 1e-5,
    "rope_theta": 10000.0,
    "window_frames": 3000,
    "window_stride": 2600,
    "overlap_tokens_dropped_each_side": 50,
}
TOKENIZER_TOLERANCE = {
    "hidden": {"atol": 1e-4, "rtol": 1e-4},
    "pre_round": {"atol": 1e-4},
    "codes, codes_len": "exact (float32)",
}


def speech_tokenizer() -> None:
    tokenizer_case("batch", 500, 29, [29, 22, 9], TOKENIZER)
    tokenizer_case("padded", 510, 32, [21, 14], TOKENIZER)
    short_windows = {"window_frames": 120, "window_stride": 80, "overlap_tokens_dropped_each_side": 5}
    tokenizer_case("long", 520, 230, [230, 121, 90], TOKENIZER | short_windows)


def tokenizer_case(name: str, seed: int, frames: int, lengths: list[int], hyper: dict[str, object]) -> None:
    draw, mel_len = Draw(seed), torch.tensor(lengths)
    mel = draw.normal(len(lengths), TOKENIZER["n_mels"], frames) * (torch.arange(frames) < mel_len[:, None])[:, None]
    codes_len = halved(halved(mel_len))
    tokens = int(halved(halved(torch.tensor(frames))))
    inputs = {"mel": mel, "mel_len": mel_len.int()}
    blank = {"codes_len": codes_len, "codes": torch.zeros(len(lengths), tokens, dtype=torch.int32)}
    if max(lengths) <= hyper["window_frames"]:
        blank |= {"hidden": torch.empty(0), "pre_round": torch.empty(0)}
    spec = {"module": "speech_tokenizer", "mode": name, "hyper_parameters": hyper, "tolerance": TOKENIZER_TOLERANCE}
    case = draft("speech_tokenizer", name, spec, inputs | blank)
    margins: list[float] = []
    project = SpeechTokenizer.project

    def noted(model: SpeechTokenizer, h: Tensor) -> Tensor:
        z = project(model, h)
        margins.append(float((z.abs() - 0.5).abs().min()))
        return z

    with patch.object(SpeechTokenizer, "project", noted):
        got = computed(cases_front_models, cases_front_models.run_speech_tokenizer, case)
    assert min(margins) > 1e-4, f"{name}: {min(margins)} from another code: choose another seed"
    case.spec["smallest_rounding_margin"] = min(margins)
    save(case, got)


def speaker_encoder() -> None:
    blocks = [{"layers": 2, "kernel": 3, "dilation": dilation} for dilation in (1, 2, 2)]
    hyper = {"feat_dim": 24, "embedding_size": 12, "growth_rate": 4, "bn_size": 2, "init_channels": 16}
    hyper |= {"blocks": blocks, "segment_pool": 10}
    middles = [f"mid.{name}" for name in ("head", "tdnn", "block1", "transit1", "transit3", "stats")]
    for name, shape, outputs in (("two_rows", (2, 17, 24), middles), ("segments", (1, 53, 24), ["mid.stats"])):
        spec = {
            "module": "speaker_encoder",
            "mode": name,
            "hyper_parameters": hyper,
            "state_dict": {"head.conv1.weight": [FRONT_CHANNELS, 1, 3, 3]},  # the runner reads the width here
            "tolerance": {"embedding": {"atol": 1e-3, "rtol": 1e-3}, "mid": {"atol": 1e-3, "rtol": 1e-3}},
        }
        blank = {output: torch.empty(0) for output in (*outputs, "embedding")}
        case = draft("speaker_encoder", name, spec, {"features": Draw(530).normal(*shape), **blank})
        save(case, computed(cases_front_models, cases_front_models.run_speaker_encoder, case))


# From tokens to audio.

TOKEN2WAV_FLOW = {
    "vocab_size": 20,
    "input_size": 16,
    "output_size": MELS,
    "spk_embed_dim": 8,
    "token_mel_ratio": 2,
    "pre_lookahead_len": 3,
    "n_timesteps": 3,
    "inference_cfg_rate": 0.7,
    "t_scheduler": "cosine",
    "encoder_output_size": 16,
    "encoder_heads": 2,
    "encoder_linear_units": 16,
    "encoder_blocks": 1,
    "up_encoder_blocks": 1,
    "encoder_chunk": 25,
    "estimator_channels": 16,
    "estimator_head_dim": 8,
    "estimator_heads": 2,
    "estimator_blocks": 1,
    "estimator_mid_blocks": 1,
    "estimator_chunk": 50,
}
TOKEN2WAV_SCALE = {"conv_post.parametrizations.weight.original0": 0.1, "f0_predictor.classifier.weight": 90.0}
STREAM = {
    "token_hop_len": 25,
    "token_max_hop_len": 100,
    "stream_scale_factor": 2,
    "mel_cache_len": 8,
    "source_cache_len": 3840,
}


def token2wav() -> None:
    small_functions(Draw(600))
    plan()
    trace(Draw(610), "stream_prompt", tokens=31, prompt_tokens=24, stream=True, speed=1.0)
    trace(Draw(620), "whole_speed", tokens=6, prompt_tokens=3, stream=False, speed=1.25)
    exact_stream(Draw(630))


def small_functions(draw: Draw) -> None:
    inputs = {"new": draw.normal(2, 40), "held": draw.normal(2, 12)}
    case = roles_case("token2wav", "cross_fade", "cross_fade", {"overlap": 12}, inputs)
    save_roles(case, computed(cases_token2wav, cases_token2wav.run_cross_fade, case), 1e-6)

    speeds = [0.5, 0.8, 1.1, 1.25, 2.0]
    case = roles_case("token2wav", "speed", "speed", {"speeds": speeds}, {"mel": draw.normal(1, MELS, 11)})
    save_roles(case, computed(cases_token2wav, cases_token2wav.run_speed, case), 5e-5)

    silent = [1, 2, 28]
    token = torch.cat([draw.ids(40, 20), torch.tensor(silent * 4), draw.ids(40, 9), torch.tensor([28] * 7)])
    hyper = {"silent_tokens": silent, "max_run": 5}
    case = roles_case("token2wav", "silent_filter", "silent_filter", hyper, {"token": token})
    save_roles(case, computed(cases_token2wav, cases_token2wav.run_silent_filter, case), 0)


def plan() -> None:
    columns = ["case", "prompt_tokens", "tokens", "hop_at_start", "stream", "call", "tokens_given_to_flow"]
    columns += ["flow_streaming_flag", "flow_finalize_flag", "vocoder_frames", "audio_samples", "hop_after_request"]
    requests = [(0, 2, 25, 1), (0, 27, 25, 1), (0, 28, 25, 1), (0, 300, 25, 1), (7, 45, 25, 1), (50, 110, 25, 1)]
    requests += [(24, 31, 25, 1), (13, 90, 50, 1), (13, 60, 25, 0)]
    rows = []
    for number, (prompt, tokens, hop, stream) in enumerate(requests):
        calls = official_plan(prompt, tokens, hop, stream=bool(stream))
        for i, c in enumerate(calls):
            given = [number, prompt, tokens, hop, stream, i]
            rows.append([*given, c.tokens, c.streaming, c.final, c.frames, c.samples, calls[-1].hop])
    case = roles_case("token2wav", "plan", "plan", {"columns": columns}, {})
    save_roles(case, {"rows": torch.tensor(rows)}, 0)


def spoken(draw: Draw, tokens: int, prompt_tokens: int) -> dict[str, Tensor]:
    return {
        "token": draw.ids(20, tokens),
        "embedding": draw.normal(1, 8),
        "prompt_token": draw.ids(20, 1, prompt_tokens),
        "prompt_feat": draw.normal(1, 2 * prompt_tokens, MELS),
        "flow_noise": draw.normal(1, MELS, 2 * (prompt_tokens + tokens)),
    }


def token2wav_case(kind: str, name: str, inputs: dict[str, Tensor], **hyper: object) -> Case:
    models = {"flow": TOKEN2WAV_FLOW, "vocoder": VOCODER}
    noise = {"vocoder_noise": {"seed": 650}}
    return roles_case(
        "token2wav", kind, name, models | hyper, inputs, weight_scale=TOKEN2WAV_SCALE, generated_inputs=noise
    )


def trace(draw: Draw, name: str, tokens: int, prompt_tokens: int, stream: bool, speed: float) -> None:
    """Official calls, each with what it gave the vocoder and what came out."""
    calls = []
    for call in official_plan(prompt_tokens, tokens, stream=stream):
        frames = int(call.frames / speed)
        facts = {"tokens_given_to_flow": call.tokens, "streaming": call.streaming, "finalize": call.final}
        facts["vocoder_frames"] = frames
        calls.append(facts | {"audio_samples": call.samples if speed == 1 else 480 * frames})
    hyper = {**STREAM, "stream": stream, "speed": speed, "plan": calls}
    case = token2wav_case("trace", name, spoken(draw, tokens, prompt_tokens), **hyper)
    got = computed(cases_token2wav, cases_token2wav.run_trace, case)
    tolerance = {"vocoder_mel": 1e-4, "f0": 2e-3, "audio": 1e-3}  # the excitations, half the size, are left out
    parts = {name: name.partition("_")[2] for name in got}
    kept = picked(got, [name for name, part in parts.items() if part in tolerance])
    save_roles(case, kept, {name: tolerance[parts[name]] for name in kept})


def exact_stream(draw: Draw) -> None:
    tokens = 19
    inputs = spoken(draw, tokens, 10)
    blank = {"mel": torch.zeros(1, MELS, 2 * tokens), "wave": torch.zeros(1, 960 * tokens)}
    case = token2wav_case("exact_streaming", "exact_stream", inputs | blank, token_counts_to_try=[18])
    case.spec["tolerance"] = tolerance = {"mel": 1e-4, "f0": 2e-3, "wave": 1e-3}
    got = computed(cases_token2wav, cases_token2wav.run_exact, case)
    save_roles(case, picked(got, tolerance), tolerance)


if __name__ == "__main__":
    main()
