from __future__ import annotations

import math

import pytest

from cosy.eval.figures import Mean, Share


def test_a_share_and_its_standard_error() -> None:
    share = Share(20, 100)
    assert share.value == 0.2
    assert share.standard_error == pytest.approx(0.04)
    assert str(share) == "20.0 ± 4.0 %"


def test_nothing_counted_still_leaves_room() -> None:
    assert Share(0, 500).at_most == pytest.approx(0.0076, abs=1e-4)  # Wilson's table
    assert Share(500, 500).at_most == pytest.approx(1.0)


@pytest.mark.parametrize(("count", "of"), [(1, 0), (-1, 5), (6, 5)])
def test_impossible_shares_are_refused(count: int, of: int) -> None:
    with pytest.raises(ValueError, match="a share needs"):
        Share(count, of)


def test_a_mean_and_its_standard_error() -> None:
    mean = Mean.over([1.0, 2.0, 3.0])
    assert mean is not None
    assert (mean.value, mean.of) == (2.0, 3)
    assert mean.standard_error == pytest.approx(1 / math.sqrt(3))


def test_a_single_value_has_no_error_and_none_has_no_mean() -> None:
    single = Mean.over([1.0])
    assert single is not None
    assert single.as_data() == {"mean": 1.0, "standard_error": None, "of": 1}
    assert Mean.over([]) is None
