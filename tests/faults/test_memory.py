"""The curve of `tools/faults/memory.py` is a law of its rows: flat stays flat, a line has its slope."""

import numpy as np
import pytest

from tools.faults.memory import curve


@pytest.mark.parametrize("mib_per_s", [0.0, 0.5])
def test_the_slope_is_that_of_what_comes_after_the_start(mib_per_s):
    seconds = np.arange(100.0)
    resident = np.where(seconds < 15, 7 * seconds, 100 + mib_per_s * (seconds - 15))

    found = curve(np.stack([seconds, resident], axis=1))

    assert found["slope_mib_per_min"] == pytest.approx(60 * mib_per_s, abs=1e-9)
    assert found["start_mib"] == pytest.approx(100 + mib_per_s * 5, abs=1)
    assert found["most_mib"] == found["end_mib"] == pytest.approx(100 + mib_per_s * 84)
