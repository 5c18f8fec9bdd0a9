"""Golden cases of the vocoder: blocks, F0, source, decoder, whole inference, discriminators and losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cosy.config import VocoderConfig
from cosy.models import vocoder_loss as loss
from cosy.models.discriminators import Discriminators
from cosy.models.f0_predictor import F0Predictor
from cosy.models.source import Source
from cosy.models.vocoder import ResBlock, Vocoder
from tests.golden import Case, close


def config_of(case: Case) -> VocoderConfig:
    """The case's hyper-parameters; names that only the case uses are translated, absent ones keep their default."""
    values = dict(case.spec["hyper_parameters"])
    istft = values.pop("istft_params", None) or {k: values[k] for k in ("n_fft", "hop_len") if k in values}
    values |= {f"istft_{key}": value for key, value in istft.items()}
    known = {key: frozen(value) for key, value in values.items() if key in VocoderConfig.__dataclass_fields__}
    return VocoderConfig(**known)


def frozen(value: Any) -> Any:
    return tuple(frozen(item) for item in value) if isinstance(value, list) else value


def generated(case: Case, name: str) -> Tensor:
    rule = case.spec["generated_inputs"][name]
    draw = np.random.default_rng(rule["seed"]).standard_normal(tuple(rule["shape"]), dtype=np.float32)
    return torch.from_numpy(draw)


def check(case: Case, results: dict[str, Tensor]) -> None:
    """Every expected tensor of the case, to the case's tolerance."""
    expected = [name for name, entry in case.spec["tensors"].items() if entry["role"] == "expected"]
    assert expected
    assert set(expected) <= results.keys(), f"{case.name}: not computed: {sorted(set(expected) - results.keys())}"
    for name in expected:
        close(f"{case.name} {name}", results[name], case.tensors[name], case.spec["tolerance"][name])


def vocoder(case: Case) -> Vocoder:
    network = Vocoder(config_of(case))
    case.load(network)
    return network


@torch.no_grad()
def run_resblock(case: Case) -> None:
    hyper = case.spec["hyper_parameters"]
    block = ResBlock(hyper["channels"], hyper["kernel_size"], tuple(hyper["dilations"]))
    case.load(block)
    x = case.tensors["x"]
    check(case, {"snake": block.activations1[0](x), "y": block(x)})


@torch.no_grad()
def run_stft(case: Case) -> None:
    real, imag = Vocoder(small(config_of(case))).stft(case.tensors["source"]).chunk(2, 1)
    check(case, {"real": real, "imag": imag})


@torch.no_grad()
def run_istft_head(case: Case) -> None:
    config = config_of(case)
    unlimited = Vocoder(small(config)).istft(case.tensors["head"])
    check(case, {"unlimited": unlimited, "wave": unlimited.clamp(-config.audio_limit, config.audio_limit)})


def small(config: VocoderConfig) -> VocoderConfig:
    """A network around the transforms, which have no weights."""
    return VocoderConfig(
        base_channels=8,
        f0_cond_channels=8,
        istft_n_fft=config.istft_n_fft,
        istft_hop_len=config.istft_hop_len,
        audio_limit=config.audio_limit,
    )


@torch.no_grad()
def run_f0(case: Case) -> None:
    network = F0Predictor(**case.spec["hyper_parameters"])
    case.load(nn.ModuleDict({"f0_predictor": network}))
    mel = case.tensors["mel"]
    check(case, {"f0": network(mel)})
    check(case, {"f0": network.precise(mel)})


@torch.no_grad()
def run_source(case: Case) -> None:
    config = config_of(case)
    assert config.hop_samples == case.spec["hyper_parameters"]["upsample_scale"]
    network = Source(config)
    case.load(nn.ModuleDict({"m_source": network}))
    f0, noise = case.tensors["f0"], generated(case, "noise")
    half = config.hop_samples // 2
    sines, voiced = network.sines(f0, network.init_state(len(f0)), final=True)
    sines, voiced = network.add_noise(sines[:, half:], voiced[:, half:], noise), voiced[:, half:]
    source = network(f0, noise)
    results = {"sine_waves": sines.transpose(1, 2), "uv": voiced.float(), "source": source}
    if "source_tail" in case.tensors:
        results["source_tail"] = source[:, :, -case.tensors["source_tail"].shape[2] :]
    check(case, results)


@torch.no_grad()
def run_decode(case: Case) -> None:
    network = vocoder(case)
    mel, source = case.tensors["mel"], case.tensors["source"]
    spectrum = network.stft(source)
    stages = list(network.stages(mel, spectrum))
    results = {f"stage{i}": x for i, x in enumerate(stages)} | {"source_stft": spectrum}
    results["head"] = network.conv_post(nn.functional.leaky_relu(stages[-1]))
    results["wave"] = network.decode(mel, source)
    check(case, results)


@torch.no_grad()
def run_inference(case: Case) -> None:
    network = vocoder(case)
    mel, noise = case.tensors["mel"], generated(case, "noise")
    wave, source = network(mel, noise, case.tensors.get("cache_source"))
    check(case, {"f0": network.f0(mel), "source": source, "wave": wave})


@torch.no_grad()
def run_gan_losses(case: Case) -> None:
    hyper = case.spec["hyper_parameters"]
    resolutions = list(zip(hyper["spec_fft"], hyper["spec_hop"], hyper["spec_win"], strict=True))
    critics = Discriminators(periods=hyper["mpd_periods"], resolutions=resolutions)
    case.load(nn.ModuleDict({"discriminator": critics}))
    weights = (hyper["mel_weight"], hyper["feature_weight"], hyper["tpr_weight"], hyper["tpr_tau"])
    assert weights == (loss.MEL_WEIGHT, loss.FEATURE_WEIGHT, loss.TPR_WEIGHT, loss.TPR_TAU)

    real, generated = case.tensors["real"], case.tensors["generated"]
    (real_scores, real_maps), (gen_scores, gen_maps) = critics(real), critics(generated)
    pairs = [pair for maps in zip(real_maps, gen_maps, strict=True) for pair in zip(*maps, strict=True)]
    results = {f"score_real_{k}": score for k, score in enumerate(real_scores)}
    results |= {f"score_gen_{k}": score for k, score in enumerate(gen_scores)}
    results["fmap_mean_abs_real"] = torch.stack([r.abs().mean() for r, _ in pairs])
    results["fmap_l1"] = torch.stack([(r - g).abs().mean() for r, g in pairs])

    f0_real, f0_generated = case.tensors["f0_real"], case.tensors["f0_generated"]
    g = loss.generator_loss(real_scores, gen_scores, real_maps, gen_maps, real, generated, f0_real, f0_generated)
    d = loss.discriminator_loss(real_scores, gen_scores)
    terms = {"gen_loss": g.total, "gen_loss_gen": g.adversarial, "gen_loss_fm": g.feature, "gen_loss_mel": g.mel}
    terms |= {"gen_loss_tpr": g.tpr, "gen_loss_f0": g.f0}
    terms |= {"disc_loss": d.total, "disc_loss_disc": d.adversarial, "disc_loss_tpr": d.tpr}
    check(case, results | {name: value.reshape(1) for name, value in terms.items()})


def run_loss_functions(case: Case) -> None:
    tensors, tau = case.tensors, case.spec["hyper_parameters"]["tau"]

    def numbered(prefix: str) -> list[Tensor]:
        return [tensors[f"{prefix}_{k}"] for k in range(len(tensors)) if f"{prefix}_{k}" in tensors]

    real, generated = numbered("real"), numbered("gen")
    real_maps, generated_maps = ([numbered(f"{p}_{k}") for k in range(len(real))] for p in ("fr", "fg"))
    results = {
        "generator_adversarial": loss.generator_adversarial(generated),
        "discriminator": loss.discriminator_adversarial(real, generated),
        "feature": loss.feature_matching(real_maps, generated_maps),
        "tpr_discriminator": loss.tpr(real, generated, tau),
        "tpr_generator": loss.tpr(generated, real, tau),
        "tpr_small": loss.tpr([0.1 * r for r in real], [0.1 * g for g in generated], tau),
    }
    check(case, {name: value.reshape(1) for name, value in results.items()})


def kind(name: str) -> Callable[[Case], bool]:
    return lambda case: case.spec.get("module") == "vocoder" and case.spec.get("kind") == name


RUNNERS = [
    (kind("resblock"), run_resblock),
    (kind("stft"), run_stft),
    (kind("istft_head"), run_istft_head),
    (kind("f0"), run_f0),
    (kind("source"), run_source),
    (kind("decode"), run_decode),
    (kind("inference"), run_inference),
    (kind("gan_losses"), run_gan_losses),
    (kind("loss_functions"), run_loss_functions),
]
