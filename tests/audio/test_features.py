from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cosy.audio.features import (
    hann,
    kaldi_fbank,
    kaldi_filters,
    log_mel_16k,
    mel_spectrogram,
    povey,
    slaney_filters,
    speaker_features,
)
from cosy.errors import AudioError
from tests.audio.signals import chirp, noise


def tone(samples: int, rate_hz: int) -> Tensor:
    return torch.from_numpy(chirp(samples / rate_hz, rate_hz) + noise(samples, 0.01))


@settings(deadline=None, max_examples=20)
@given(samples=st.integers(721, 10_000), rows=st.integers(1, 3))
def test_the_mel_has_one_frame_per_480_samples(samples: int, rows: int) -> None:
    assert mel_spectrogram(torch.zeros(rows, samples)).shape == (rows, 80, samples // 480)


@settings(deadline=None, max_examples=20)
@given(samples=st.integers(400, 10_000))
def test_the_16_khz_features_have_a_frame_every_10_ms(samples: int) -> None:
    wave = torch.zeros(samples)
    assert log_mel_16k(wave).shape == (1, 128, samples // 160)
    assert kaldi_fbank(wave).shape == speaker_features(wave).shape == (1 + (samples - 400) // 160, 80)


@pytest.mark.parametrize(
    ("feature", "shortest"),
    [(lambda w: mel_spectrogram(w[None]), 721), (log_mel_16k, 201), (kaldi_fbank, 400), (speaker_features, 400)],
    ids=["mel", "log-mel", "fbank", "speaker"],
)
def test_too_short_audio_is_refused_with_the_length_it_needs(feature, shortest: int) -> None:
    feature(torch.zeros(shortest))
    with pytest.raises(AudioError, match=rf"{shortest - 1} samples .* at least {shortest} samples"):
        feature(torch.zeros(shortest - 1))


def test_digital_silence_gives_the_floor_of_every_feature() -> None:
    torch.testing.assert_close(mel_spectrogram(torch.zeros(1, 4800)), torch.full((1, 80, 10), -11.512925))
    torch.testing.assert_close(log_mel_16k(torch.zeros(1600)), torch.full((1, 128, 10), -1.5))
    torch.testing.assert_close(kaldi_fbank(torch.zeros(1600)), torch.full((8, 80), -15.942385))


def test_rows_of_a_batch_do_not_influence_each_others_mel() -> None:
    wave = torch.stack([tone(9700, 24_000), 0.1 * tone(9700, 24_000).flip(0)])
    alone = torch.cat([mel_spectrogram(row[None]) for row in wave])
    torch.testing.assert_close(mel_spectrogram(wave), alone, rtol=0, atol=1e-5)


def test_a_mel_frame_depends_on_its_own_1920_samples_only() -> None:
    wave = tone(24_000, 24_000)[None]
    other = wave.clone()
    other[:, 480 * 20 + 1200 :] = 0
    torch.testing.assert_close(mel_spectrogram(wave)[..., :21], mel_spectrogram(other)[..., :21])


def test_an_fmax_of_none_reaches_the_nyquist_frequency() -> None:
    high = torch.sin(2 * torch.pi * 10_000 * torch.arange(24_000) / 24_000)[None]
    assert mel_spectrogram(high, fmax=None).max() > 0 > mel_spectrogram(high, fmax=8000).max()


def test_the_log_mel_spans_at_most_eight_decades_under_its_loudest_value() -> None:
    mel = log_mel_16k(torch.cat([tone(8000, 16_000), torch.zeros(8000)]))
    assert mel.max() - mel.min() == pytest.approx(2.0)


def test_speaker_features_have_no_mean_over_time() -> None:
    assert speaker_features(tone(16_000, 16_000)).mean(0).abs().max() < 1e-4


def test_speaker_features_ignore_the_level() -> None:
    wave = torch.from_numpy(noise(16_000))  # every band well above the floor
    torch.testing.assert_close(speaker_features(wave), speaker_features(0.5 * wave), rtol=0, atol=1e-3)


def test_gradients_flow_through_the_mel_even_at_silence() -> None:
    wave = torch.zeros(1, 4800).requires_grad_()
    mel_spectrogram(wave + 0.0).sum().backward()
    assert wave.grad is not None
    assert wave.grad.isfinite().all()


def test_constants_first_cached_under_inference_mode_still_serve_training() -> None:
    for cached in (slaney_filters, kaldi_filters, hann, povey):
        cached.cache_clear()
    with torch.inference_mode():
        mel_spectrogram(torch.zeros(1, 960))
    wave = torch.randn(1, 960, requires_grad=True)
    mel_spectrogram(wave).sum().backward()


def test_the_mel_is_float32_under_autocast() -> None:
    wave = tone(9600, 24_000)[None]
    with torch.autocast("cpu", torch.bfloat16):
        mel = mel_spectrogram(wave)
    torch.testing.assert_close(mel, mel_spectrogram(wave))


def test_filters_differing_in_any_parameter_do_not_share_a_cache_entry() -> None:
    assert slaney_filters(24_000, 1920, 80, 0.0, 8000.0).sum() != slaney_filters(24_000, 1920, 80, 0.0, None).sum()
    assert slaney_filters(16_000, 400, 80).shape != slaney_filters(16_000, 512, 80).shape


@pytest.mark.parametrize("bands", [(24_000, 1920, 80), (16_000, 400, 128)])
def test_no_band_of_the_slaney_bank_is_empty(bands: tuple[int, int, int]) -> None:
    assert (slaney_filters(*bands).amax(1) > 0).all()


def test_the_filter_bank_agrees_with_kaldi_native_fbank() -> None:
    knf = pytest.importorskip("kaldi_native_fbank")
    wave = tone(16_000, 16_000)
    options = knf.FbankOptions()
    options.frame_opts.dither, options.frame_opts.samp_freq, options.mel_opts.num_bins = 0, 16_000, 80
    reference = knf.OnlineFbank(options)
    reference.accept_waveform(16_000, wave.tolist())
    frames = np.stack([reference.get_frame(i) for i in range(reference.num_frames_ready)])
    torch.testing.assert_close(kaldi_fbank(wave), torch.from_numpy(frames), rtol=0, atol=2e-3)


def test_the_slaney_bank_agrees_with_librosa() -> None:
    filters = pytest.importorskip("librosa.filters")
    for rate_hz, n_fft, bands in [(24_000, 1920, 80), (16_000, 400, 128)]:
        reference = torch.from_numpy(filters.mel(sr=rate_hz, n_fft=n_fft, n_mels=bands))
        torch.testing.assert_close(slaney_filters(rate_hz, n_fft, bands), reference, rtol=0, atol=1e-8)
