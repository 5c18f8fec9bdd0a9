"""Golden cases of the two front-end networks: the speech tokenizer and the speaker encoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cosy.config import SpeakerEncoderConfig, SpeechTokenizerConfig
from cosy.models.speaker_encoder import SpeakerEncoder
from cosy.models.speech_tokenizer import SpeechTokenizer, Windows, length_mask
from tests.golden import Case, close


def tolerance(case: Case, name: str) -> Any:
    """The tolerance whose key names the tensor: keys may list several, or a family such as `mid`."""
    for key, value in case.spec["tolerance"].items():
        if name in key.split(", ") or name.split(".")[0] == key:
            return value
    raise AssertionError(f"{case.name}: no tolerance for {name}")


def is_speech_tokenizer(case: Case) -> bool:
    return case.spec.get("module") == "speech_tokenizer"


def run_speech_tokenizer(case: Case) -> None:
    hyper = case.spec["hyper_parameters"]
    model = SpeechTokenizer(
        SpeechTokenizerConfig(
            n_mels=hyper["n_mels"],
            n_state=hyper["state"],
            n_head=hyper["heads"],
            n_layer=hyper["layers"],
            fsmn_kernel=hyper["fsmn_kernel"],
            attn_ln_eps=hyper["attn_ln_eps"],
            mlp_ln_eps=hyper["mlp_ln_eps"],
            rope_theta=hyper["rope_theta"],
        )
    )
    case.load(model)
    long = int(case.tensors["mel_len"].max()) > hyper["window_frames"]
    with torch.inference_mode():
        got = windowed(model, case) if long else batched(model, case)
    expected = {name: value for name, value in case.tensors.items() if name not in ("mel", "mel_len")}
    assert got.keys() == expected.keys()
    valid = length_mask(expected["codes_len"], expected["codes"].shape[1])
    for name, value in expected.items():
        if name == "codes":  # beyond a row's end they mean nothing
            got[name], value = got[name] * valid, value * valid
        close(f"{case.name} {name}", got[name], value, tolerance(case, name))


def batched(model: SpeechTokenizer, case: Case) -> dict[str, Tensor]:
    mel, lengths = case.tensors["mel"], case.tensors["mel_len"]
    hidden, _ = model.hidden(mel, lengths)
    codes, codes_len = model(mel, lengths)
    pre_round = model.project(hidden) * length_mask(codes_len, hidden.shape[1])[..., None]
    return {"codes": codes, "codes_len": codes_len, "hidden": hidden, "pre_round": pre_round}


def windowed(model: SpeechTokenizer, case: Case) -> dict[str, Tensor]:
    hyper = case.spec["hyper_parameters"]
    windows = Windows(hyper["window_frames"], hyper["window_stride"], hyper["overlap_tokens_dropped_each_side"])
    mel, lengths = case.tensors["mel"], case.tensors["mel_len"]
    rows = [
        model.tokenise_long(mel[row : row + 1, :, :length], official_windows=True, windows=windows)
        for row, length in enumerate(lengths.tolist())
    ]
    codes = torch.zeros_like(case.tensors["codes"], dtype=torch.int64)
    for row, found in enumerate(rows):
        codes[row, : len(found)] = found
    return {"codes": codes, "codes_len": torch.tensor([len(found) for found in rows])}


def is_speaker_encoder(case: Case) -> bool:
    return case.spec.get("module") == "speaker_encoder"


def run_speaker_encoder(case: Case) -> None:
    model = SpeakerEncoder(speaker_config(case))
    case.load(model)
    got: dict[str, Tensor] = {}
    expected = {name: value for name, value in case.tensors.items() if name != "features"}
    for name in expected:
        if name.startswith("mid."):
            module = model.head if name == "mid.head" else model.xvector.get_submodule(name.removeprefix("mid."))
            module.register_forward_hook(lambda _module, _args, out, name=name: got.__setitem__(name, out))
    with torch.inference_mode():
        got["embedding"] = model(case.tensors["features"])
    for name, value in expected.items():
        close(f"{case.name} {name}", got[name], value, tolerance(case, name))


def speaker_config(case: Case) -> SpeakerEncoderConfig:
    hyper = case.spec["hyper_parameters"]
    return SpeakerEncoderConfig(
        feat_dim=hyper["feat_dim"],
        embedding_size=hyper["embedding_size"],
        front_channels=case.state_shapes()["head.conv1.weight"][0],
        init_channels=hyper["init_channels"],
        growth_rate=hyper["growth_rate"],
        bn_size=hyper["bn_size"],
        block_layers=tuple(block["layers"] for block in hyper["blocks"]),
        block_dilations=tuple(block["dilation"] for block in hyper["blocks"]),
        segment_pool=hyper["segment_pool"],
    )


RUNNERS = [(is_speech_tokenizer, run_speech_tokenizer), (is_speaker_encoder, run_speaker_encoder)]
