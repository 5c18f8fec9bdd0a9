"""Every rename between what a weight file spells and what the models are called.

The models use the official keys, so this page is short; all that differs is listed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from cosy.checkpoint.layout import Part

TRAINER_SCALARS = ("epoch", "step")  # plain integers that a trainer's checkpoint holds beside the weights

# The backbone's own output head: the same storage as the text embedding, never used (the speech head replaces it).
TIED_HEAD = "llm.model.lm_head.weight"
TEXT_EMBEDDING = "llm.model.model.embed_tokens.weight"


def canonical(part: Part, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """`state` with the keys of our modules; entries that no module has are left out only if listed above.

    The vocoder's file may hold a whole adversarial training (`generator.*`, `discriminator.*`) and any of
    the three spellings of weight normalisation.
    """
    state = {key: value for key, value in state.items() if key not in TRAINER_SCALARS}
    if part == "llm":
        state.pop(TIED_HEAD, None)
    if part == "hift":
        from cosy.models.vocoder import normalise_keys

        state = normalise_keys(state)
    return state


def official(part: Part, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The reverse of `canonical`: the keys an official .pt file holds."""
    if part == "llm":
        return {**state, TIED_HEAD: state[TEXT_EMBEDDING]}
    return dict(state)
