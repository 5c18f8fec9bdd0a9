"""A text cut anywhere, as it may arrive."""

from __future__ import annotations

import itertools

from hypothesis import strategies as st


def draw_cuts(data: st.DataObject, text: str) -> list[str]:
    at = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return [text[a:b] for a, b in itertools.pairwise([0, *at, len(text)])]
