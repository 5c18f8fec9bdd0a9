"""Golden cases of the acoustic front ends: mel, Whisper log-mel, filter bank, resampling."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from cosy.audio.constants import HOP_SAMPLES, MEL_BANDS, N_FFT, SAMPLE_RATE_HZ
from cosy.audio.features import kaldi_fbank, log_mel_16k, mel_spectrogram, slaney_filters, speaker_features
from cosy.audio.resample import resample
from tests.golden import Case, close


def run_filters(case: Case) -> None:
    hp = case.spec["hyper_parameters"]
    filters = slaney_filters(hp["sampling_rate"], hp["n_fft"], hp["num_mels"], hp["fmin"], hp["fmax"])
    row, col = filters.nonzero(as_tuple=True)
    got = {"row": row.int(), "col": col.int(), "value": filters[row, col]}
    check(case, got)


def run_mel(case: Case) -> None:
    hp = case.spec["hyper_parameters"]
    fixed = (hp["sampling_rate"], hp["n_fft"], hp["win_size"], hp["hop_size"], hp["num_mels"], hp["fmin"])
    assert fixed == (SAMPLE_RATE_HZ, N_FFT, N_FFT, HOP_SAMPLES, MEL_BANDS, 0)
    check(case, {"mel": mel_spectrogram(case.tensors["wave"], hp["fmax"])})


def run_log_mel(case: Case) -> None:
    check(case, {"mel": log_mel_16k(case.tensors["wave"])})


def run_fbank(case: Case) -> None:
    wave = case.tensors["wave"]
    check(case, {"fbank": kaldi_fbank(wave), "fbank_centred": speaker_features(wave)})


def run_resample(case: Case) -> None:
    hp = case.spec["hyper_parameters"]
    check(case, {"resampled": resample(case.tensors["wave"], hp["orig_freq"], hp["new_freq"])})


def check(case: Case, got: dict[str, Tensor]) -> None:
    """Compare with every tensor the case expects; one without a tolerance must be exact."""
    expected = {name for name, entry in case.spec["tensors"].items() if entry["role"] == "expected"}
    assert got.keys() == expected
    for name, value in got.items():
        close(name, value, case.tensors[name], case.spec["tolerance"].get(name, "exact"))


def run_prompt_features(case: Case) -> None:
    t, tolerance = case.tensors, case.spec["tolerance"]
    got = {
        "whisper_log_mel": log_mel_16k(t["wav16k"]),
        "fbank": kaldi_fbank(t["wav16k"]),
        "fbank_mean_normalised": speaker_features(t["wav16k"]),
        "prompt_mel": mel_spectrogram(t["wav24k"])[0].mT,
        "prompt_mel_fmax_none": mel_spectrogram(t["wav24k"], fmax=None)[0].mT,
    }
    resampled = {name.removesuffix(".in") for name in t if name.startswith("rs_") and name.endswith(".in")}
    got |= {f"{name}.out": resample(t[f"{name}.in"], *rates(name)) for name in resampled}
    inputs = {"wav16k", "wav24k"} | {f"{name}.in" for name in resampled}
    assert got.keys() == t.keys() - inputs
    for name, value in got.items():
        kind = "resample" if name.startswith("rs_") else next(k for k in tolerance if name.startswith(k))
        close(name, value, t[name], tolerance[kind])


def rates(name: str) -> tuple[int, int]:
    """The two rates in a name such as rs_44k1_16k: 44100 and 16000 Hz."""
    low, high = (part.partition("k") for part in name.split("_")[1:3])
    return hertz(low), hertz(high)


def hertz(part: tuple[str, str, str]) -> int:
    thousands, _, rest = part
    return round(1000 * float(f"{thousands}.{rest or 0}"))


def is_mel(kind: str) -> Callable[[Case], bool]:
    return lambda case: case.spec.get("module") == "mel" and case.spec.get("kind") == kind


def is_prompt_features(case: Case) -> bool:
    return case.spec.get("module") == "frontend" and {"wav16k", "wav24k"} <= case.spec.get("tensors", {}).keys()


RUNNERS = [
    (is_mel("mel_basis"), run_filters),
    (is_mel("mel24k"), run_mel),
    (is_mel("whisper128"), run_log_mel),
    (is_mel("fbank80"), run_fbank),
    (is_mel("resample"), run_resample),
    (is_prompt_features, run_prompt_features),
]
