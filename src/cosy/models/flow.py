"""The token-to-mel flow model: 25 Hz speech tokens to an 80-band log-mel at 50 Hz.

Letters: B batch, T tokens, F = 2T frames, M = 80 mel bands, P prompt tokens, L prompt frames.
The network is a pure function of its arguments: how it is run piece by piece is not its concern, but
noise, positions and chunk borders count from the first prompt token, so pieces can join.
Source: CosyVoice 2, section 2.5.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.config import FlowConfig
from cosy.errors import MismatchError, ParameterError
from cosy.models.flow_decoder import FlowDecoder, fixed_noise, time_grid
from cosy.models.flow_encoder import FlowEncoder
from cosy.nn.masks import valid_positions, zero_padding

__all__ = ["Flow", "fixed_noise", "time_grid"]


class Flow(nn.Module):
    """Encoder and flow-matching decoder; the state dict has exactly the keys of `flow.pt`."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        check(config)
        self.config = config
        self.input_embedding = nn.Embedding(config.vocab_size, config.input_size)
        self.spk_embed_affine_layer = nn.Linear(config.spk_embed_dim, config.output_size)
        self.encoder = FlowEncoder(config.encoder)
        self.encoder_proj = nn.Linear(config.encoder.output_size, config.output_size)
        self.decoder = FlowDecoder(config)

    def speaker(self, embedding: Tensor) -> Tensor:
        """Raw speaker vectors [B, 192] -> conditions [B, M]."""
        unit = F.normalize(embedding.float(), dim=1).to(self.spk_embed_affine_layer.weight.dtype)
        y: Tensor = self.spk_embed_affine_layer(unit)
        return y

    def embed(self, token: Tensor, token_len: Tensor | None = None) -> Tensor:
        """Token ids [B, T] -> embeddings [B, T, D]; ids below 0 count as 0, padding gives zeros."""
        valid = None if token_len is None else valid_positions(token_len, token.shape[1])[:, :, None]
        return zero_padding(self.input_embedding(token.clamp(min=0)), valid)

    def encode(
        self,
        token: Tensor,
        token_len: Tensor | None = None,
        *,
        streaming: bool = False,
        lookahead: Tensor | None = None,
    ) -> Tensor:
        """Token ids [B, T] -> mu [B, 2T, M].

        `token_len` [B]: valid tokens, None: no padding.  `streaming`: chunk masks instead of full attention.
        `lookahead` [B, 3]: the ids that follow `token`, None: the sequence ends there.
        """
        ahead = None if lookahead is None else self.embed(lookahead)
        x = self.encoder(self.embed(token, token_len), token_len, streaming=streaming, lookahead=ahead)
        mu: Tensor = self.encoder_proj(x)
        return mu

    def solve(
        self, mu: Tensor, cond: Tensor, spks: Tensor, *, streaming: bool, noise: Tensor, n_timesteps: int = 10
    ) -> Tensor:
        """mu [B, F, M], prompt mel `cond` [B, F, M], `spks` [B, M], `noise` [B or 1, M, F] -> mel [B, M, F] float32."""
        mel: Tensor = self.decoder(mu, cond, spks, streaming=streaming, noise=noise, n_timesteps=n_timesteps)
        return mel

    @torch.no_grad()
    def inference(
        self,
        token: Tensor,
        prompt_token: Tensor,
        prompt_feat: Tensor,
        embedding: Tensor,
        *,
        streaming: bool,
        finalize: bool,
        n_timesteps: int | None = None,
    ) -> Tensor:
        """Generated tokens [1, N] after a prompt -> their mel [1, M, F - L] float32.

        `prompt_token` [1, P]; `prompt_feat` [1, L, M], usually L = 2P; `embedding` [1, 192].
        `finalize`: all P+N tokens are spoken; otherwise the last 3 only tell what follows.
        `n_timesteps`: Euler steps, None: as configured.
        Raises ParameterError if no frame would be left to return.
        """
        token, lookahead = torch.cat([prompt_token, token], dim=1), None
        if not finalize:
            size = max(token.shape[1] - self.config.pre_lookahead_len, 0)
            token, lookahead = token[:, :size], token[:, size:]
        frames, prompt_frames = token.shape[1] * self.config.token_mel_ratio, prompt_feat.shape[1]
        if frames == 0 or prompt_frames > frames:
            raise ParameterError(
                f"{token.shape[1]} tokens give {frames} mel frames, which must exceed the prompt's {prompt_frames}: "
                "pass more tokens or a shorter prompt mel"
            )
        mu = self.encode(token, streaming=streaming, lookahead=lookahead)
        cond = F.pad(prompt_feat, (0, 0, 0, frames - prompt_frames)).to(mu)
        mel = self.solve(
            mu,
            cond,
            self.speaker(embedding),
            streaming=streaming,
            noise=fixed_noise(frames),
            n_timesteps=self.config.n_timesteps if n_timesteps is None else n_timesteps,
        )
        return mel[:, :, prompt_frames:]


def check(config: FlowConfig) -> None:
    """Raise MismatchError where the parts of a configuration do not fit each other."""
    encoder, estimator = config.encoder, config.estimator
    pairs = {
        "pre_lookahead_len of flow and encoder": (config.pre_lookahead_len, encoder.pre_lookahead_len),
        "estimator.in_channels and 4 x output_size": (estimator.in_channels, 4 * config.output_size),
        "estimator.out_channels and output_size": (estimator.out_channels, config.output_size),
        "estimator.static_chunk_size and 2 x encoder.static_chunk_size": (
            estimator.static_chunk_size,
            config.token_mel_ratio * encoder.static_chunk_size,
        ),
    }
    for names, (left, right) in pairs.items():
        if left != right:
            raise MismatchError(f"flow: {names} must be equal, got {left} and {right}")
