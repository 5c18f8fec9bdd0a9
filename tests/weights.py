"""Weights from names: a tensor's values depend on its key and shape alone (the rule of the golden cases)."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np


def key_weight(key: str, shape: Sequence[int]) -> np.ndarray:
    """float32 array for state-dict entry `key`: unit-gain matrices, gains near one, small biases."""
    draw = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(tuple(shape), dtype=np.float32)
    if key.endswith(("running_var", "alpha")):
        draw = 1.0 + 0.1 * np.abs(draw)
    elif key.endswith("original0"):
        draw = np.abs(1.0 + 0.1 * draw)
    elif draw.ndim >= 2:
        draw = draw / math.sqrt(math.prod(shape[1:]))
    elif draw.ndim == 1 and key.endswith("weight"):
        draw = 1.0 + 0.1 * draw
    else:
        draw = 0.1 * draw
    return np.asarray(draw, dtype=np.float32)
