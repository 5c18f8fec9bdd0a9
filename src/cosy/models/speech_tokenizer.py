"""Supervised speech tokenizer: log-mel of 16 kHz speech to 25 tokens per second, each one of 6561.

A subsampling front, transformer layers whose attention carries a depth-wise convolutional memory
(SAN-M, "FSMN"), and finite scalar quantisation of an eight-dimensional bottleneck.  It is the first
part of a speech recogniser (CosyVoice 2, section 2.2); it is not causal, so it needs the whole clip.
It knows nothing of audio: `cosy.audio.features` makes the mel.

Shape letters: B batch rows, T mel frames (100 per second), t tokens = ceil(T / 4), M mel bins,
D width, H heads, E = D / H head size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.config import SpeechTokenizerConfig

FSQ_DIMS = 8
FSQ_LEVELS = 3
FSQ_LIMIT = 0.9990000128746033  # float32 of 0.999: keeps the bottleneck inside (-1, 1)
FRAMES_PER_CODE = 4  # two convolutions of stride 2; 40 ms per token
WINDOW_BATCH = 8  # windows of a long clip computed together


@dataclass(frozen=True)
class Windows:
    """How a clip too long for one pass is cut, in mel frames of 10 ms."""

    frames: int = 3000  # the longest clip in one window, 30 s
    stride: int = 2600  # between window starts: 4 s of overlap
    drop_codes: int = 50  # dropped at each inner edge under the official rule, 2 s


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """Bool (B, size): True where a position lies within its row's length."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """(B, t, D) with zeros where `mask` (B, t) is False."""
    return x if mask is None else x * mask[..., None].to(x.dtype)


def halved(lengths: Tensor) -> Tensor:
    """Lengths after a convolution of stride 2: ceil(l / 2)."""
    return torch.div(lengths + 1, 2, rounding_mode="floor")


def rotary_table(size: int, head_size: int, theta: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine, float32 (size, E), of the angles p * theta^(-2i/E), both halves alike."""
    exponents = torch.arange(0, head_size, 2, device=device, dtype=torch.float32) / head_size
    angles = torch.arange(size, device=device)[:, None] * theta**-exponents
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary position of (B, H, t, E), half-split form, computed in float32."""
    cos, sin = table
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat([-second, first], dim=-1) * sin).to(x.dtype)


class MemoryAttention(nn.Module):
    """Multi-head self-attention plus a depth-wise convolutional memory of the values."""

    def __init__(self, config: SpeechTokenizerConfig) -> None:
        super().__init__()
        D, kernel = config.n_state, config.fsmn_kernel
        self.n_head = config.n_head
        self.query = nn.Linear(D, D)
        self.key = nn.Linear(D, D, bias=False)
        self.value = nn.Linear(D, D)
        self.out = nn.Linear(D, D)
        self.fsmn_block = nn.Conv1d(D, D, kernel, padding=kernel // 2, groups=D, bias=False)

    def forward(self, x: Tensor, table: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        """(B, t, D) -> (B, t, D); `mask` (B, t) is True at valid positions, None if all are."""
        value = self.value(x)
        q, k, v = (self._split(y) for y in (self.query(x), self.key(x), value))
        keys = None if mask is None else mask[:, None, None, :]
        y = F.scaled_dot_product_attention(rotate(q, table), rotate(k, table), v, attn_mask=keys)
        attended: Tensor = self.out(y.transpose(1, 2).flatten(2))  # (B, H, t, E) -> (B, t, D)
        return attended + self._memory(value, mask)

    def _split(self, x: Tensor) -> Tensor:
        B, t, _ = x.shape
        return x.view(B, t, self.n_head, -1).transpose(1, 2)  # (B, t, D) -> (B, H, t, E)

    def _memory(self, value: Tensor, mask: Tensor | None) -> Tensor:
        u = masked(value, mask)
        memory: Tensor = self.fsmn_block(u.transpose(1, 2)).transpose(1, 2) + u
        return masked(memory, mask)


class Block(nn.Module):
    """Pre-norm transformer layer."""

    def __init__(self, config: SpeechTokenizerConfig) -> None:
        super().__init__()
        D = config.n_state
        self.attn = MemoryAttention(config)
        self.attn_ln = nn.LayerNorm(D, eps=config.attn_ln_eps)
        self.mlp = nn.Sequential(nn.Linear(D, 4 * D), nn.GELU(), nn.Linear(4 * D, D))
        self.mlp_ln = nn.LayerNorm(D, eps=config.mlp_ln_eps)

    def forward(self, x: Tensor, table: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        """(B, t, D) -> (B, t, D)."""
        x = x + self.attn(self.attn_ln(x), table, mask)
        y: Tensor = x + self.mlp(self.mlp_ln(x))
        return y


class Encoder(nn.Module):
    """Subsampling by four, then the layers."""

    def __init__(self, config: SpeechTokenizerConfig) -> None:
        super().__init__()
        self.head_size = config.n_state // config.n_head
        self.rope_theta = config.rope_theta
        self.conv1 = nn.Conv1d(config.n_mels, config.n_state, 3, stride=2, padding=1)
        self.conv2 = nn.Conv1d(config.n_state, config.n_state, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))

    def forward(self, mel: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """mel (B, M, T), lengths (B,) -> hidden (B, t, D), zero beyond each row's length, and lengths (B,)."""
        # Without padding no mask is made, so attention may take its fastest form; an exported graph always has it.
        padded = torch.onnx.is_in_onnx_export() or bool((lengths < mel.shape[-1]).any())
        for conv in (self.conv1, self.conv2):
            if padded:
                mel = mel * length_mask(lengths, mel.shape[-1])[:, None, :].to(mel.dtype)
            mel, lengths = F.gelu(conv(mel)), halved(lengths)
        x = mel.transpose(1, 2)  # (B, D, t) -> (B, t, D)
        mask = length_mask(lengths, x.shape[1]) if padded else None
        table = rotary_table(x.shape[1], self.head_size, self.rope_theta, x.device)
        for block in self.blocks:
            x = block(x, table, mask)
        return masked(x, mask), lengths


class Codebook(nn.Module):
    """Finite scalar quantisation (Mentzer et al. 2023): eight bounded numbers of three levels each."""

    def __init__(self, n_state: int) -> None:
        super().__init__()
        self.project_down = nn.Linear(n_state, FSQ_DIMS)

    def forward(self, h: Tensor) -> Tensor:
        """Hidden (B, t, D) -> the values before rounding, float32 (B, t, 8) in (-1, 1), whatever the autocast."""
        with torch.autocast(h.device.type, enabled=False):
            down = self.project_down
            return FSQ_LIMIT * torch.tanh(F.linear(h.float(), down.weight.float(), down.bias.float()))


class SpeechTokenizer(nn.Module):
    """Log-mel to speech tokens.  State-dict keys are those of the public PyTorch form of the network."""

    def __init__(self, config: SpeechTokenizerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quantizer = nn.ModuleDict({"_codebook": Codebook(config.n_state)})

    def forward(self, mel: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of clips.

        mel: float (B, M, T) log-mel; lengths: integer (B,) valid frames per row.
        Returns codes int64 (B, ceil(T / 4)) in 0..6560, 0 beyond a row's end, and code lengths (B,).
        """
        h, code_lengths = self.hidden(mel, lengths)
        codes = self.codes_of(self.quantise(self.project(h)))
        return codes * length_mask(code_lengths, codes.shape[1]), code_lengths

    def hidden(self, mel: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encoder output (B, t, D), zero beyond each row's length, and code lengths ceil(l / 4)."""
        h, code_lengths = self.encoder(mel, lengths)
        return h, code_lengths

    def project(self, h: Tensor) -> Tensor:
        """Hidden (B, t, D) -> values before rounding, float32 (B, t, 8) in (-1, 1)."""
        z: Tensor = self.quantizer["_codebook"](h)
        return z

    @staticmethod
    def quantise(z: Tensor) -> Tensor:
        """Levels -1.0, 0.0 or 1.0, like `z` in shape and dtype; halves go to the even level 0."""
        return z.round()

    @staticmethod
    def straight_through(z: Tensor) -> Tensor:
        """The levels going forward, the identity going back: how gradients cross the rounding in training."""
        return z + (z.round() - z).detach()

    @staticmethod
    def codes_of(levels: Tensor) -> Tensor:
        """Levels (..., 8) in {-1, 0, 1} -> codes int64 (...,): base-three digits, the first least significant."""
        places = FSQ_LEVELS ** torch.arange(FSQ_DIMS, device=levels.device)
        return ((levels.long() + 1) * places).sum(-1)

    @staticmethod
    def levels_of(codes: Tensor) -> Tensor:
        """Codes (...,) in 0..6560 -> levels float32 (..., 8); the inverse of `codes_of`."""
        places = FSQ_LEVELS ** torch.arange(FSQ_DIMS, device=codes.device)
        digits = torch.div(codes[..., None], places, rounding_mode="floor") % FSQ_LEVELS
        return digits.float() - 1.0

    @torch.no_grad()
    def tokenise_long(self, mel: Tensor, *, official_windows: bool = False, windows: Windows | None = None) -> Tensor:
        """Codes int64 (ceil(T / 4),) of one clip of any length, mel (1, M, T).

        Clips above 30 s are tokenised in overlapping windows.  By default the last window is shifted
        back to full length and neighbours meet in the middle of their overlap, so no token is lost.
        `official_windows` keeps the published rule, which loses the end of a clip whose last window
        is shorter than the tokens dropped at its edges.
        """
        windows = windows or Windows()
        plan = official_plan if official_windows else window_plan
        kept: list[Tensor] = []
        pieces = plan(mel.shape[-1], windows)
        for first in range(0, len(pieces), WINDOW_BATCH):
            kept += self._window_codes(mel, pieces[first : first + WINDOW_BATCH])
        return torch.cat(kept)

    def _window_codes(self, mel: Tensor, pieces: list[Window]) -> list[Tensor]:
        clips = [mel[0, :, piece.start : piece.stop].T for piece in pieces]
        lengths = torch.tensor([len(clip) for clip in clips], device=mel.device)
        batch = nn.utils.rnn.pad_sequence(clips, batch_first=True).transpose(1, 2)  # (W, T, M) -> (W, M, T)
        codes, _ = self(batch, lengths)
        return [row[piece.first : piece.last] for row, piece in zip(codes, pieces, strict=True)]


@dataclass(frozen=True)
class Window:
    """One window of a long clip: mel frames [start, stop), of whose codes [first, last) are kept."""

    start: int
    stop: int
    first: int
    last: int


def codes_in(frames: int) -> int:
    """Codes of that many mel frames."""
    return -(-frames // FRAMES_PER_CODE)


def window_plan(frames: int, windows: Windows) -> list[Window]:
    """Windows whose kept codes tile the clip: the last is shifted back, neighbours meet mid-overlap."""
    if frames <= windows.frames:
        return [Window(0, frames, 0, codes_in(frames))]
    last_start = codes_in(frames - windows.frames) * FRAMES_PER_CODE  # on the grid of the codes
    starts = [*range(0, last_start, windows.stride), last_start]
    stops = [min(start + windows.frames, frames) for start in starts]
    cuts = [(start + stop) // (2 * FRAMES_PER_CODE) for start, stop in zip(starts[1:], stops[:-1], strict=True)]
    edges = [0, *cuts, codes_in(frames)]  # codes counted from the start of the clip
    origins = [start // FRAMES_PER_CODE for start in starts]
    return [
        Window(start, stop, begin - origin, end - origin)
        for start, stop, begin, end, origin in zip(starts, stops, edges[:-1], edges[1:], origins, strict=True)
    ]


def official_plan(frames: int, windows: Windows) -> list[Window]:
    """The published rule: a window at every stride, a fixed number of codes dropped at inner edges."""
    if frames <= windows.frames:
        return [Window(0, frames, 0, codes_in(frames))]
    plan = []
    for start in range(0, frames, windows.stride):
        stop = min(start + windows.frames, frames)
        count, is_last = codes_in(stop - start), start + windows.stride >= frames
        first = windows.drop_codes if start else 0
        plan.append(Window(start, stop, first, max(first, count if is_last else count - windows.drop_codes)))
    return plan
