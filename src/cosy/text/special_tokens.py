"""The special tokens of CosyVoice 2, and where one begins that a text has not ended yet."""

from __future__ import annotations

import re

END_OF_PROMPT = "<|endofprompt|>"

SPECIAL_TOKENS = (  # ids follow the base vocabulary in this order: 151643, 151644, ...
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    END_OF_PROMPT,
    "[breath]",
    "<strong>",
    "</strong>",
    "[noise]",
    "[laughter]",
    "[cough]",
    "[clucking]",
    "[accent]",
    "[quick_breath]",
    "<laughter>",
    "</laughter>",
    "[hissing]",
    "[sigh]",
    "[vocalized-noise]",
    "[lipsmack]",
    "[mn]",
)
SPECIAL = re.compile("|".join(map(re.escape, SPECIAL_TOKENS)))

_LONGEST = max(map(len, SPECIAL_TOKENS))
_STARTS = {token[:length] for token in SPECIAL_TOKENS for length in range(1, len(token))}


def unfinished(text: str) -> int:
    """Where the special token begins that `text` ends in the middle of; the length of `text` if there is none."""
    starts = (at for at in range(max(0, len(text) - _LONGEST), len(text)) if text[at:] in _STARTS)
    return next(starts, len(text))
