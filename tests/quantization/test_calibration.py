import numpy as np
import pytest

from rsseg_tf.errors import DataError
from rsseg_tf.quantization.calibration import Candidate, choose_calibration


def candidate(number: int, *classes: int) -> Candidate:
    mask = np.resize(np.array(classes, np.uint8), (4, 4))
    return Candidate(f"window{number}", np.full((4, 4, 3), number, np.uint8), mask)


def crowd() -> list[Candidate]:
    """Two hundred windows of class 0, of which one shows class 1 and one class 2."""
    rare = {17: (0, 1), 101: (0, 0, 0, 2)}
    return [candidate(number, *rare.get(number, (0,))) for number in range(200)]


@pytest.mark.parametrize("seed", range(5))
def test_rare_classes_are_always_there(seed):
    chosen = choose_calibration(crowd(), count=8, num_classes=3, seed=seed)

    assert {"window17", "window101"} <= set(chosen.names)
    assert all(pixels > 0 for pixels in chosen.class_pixels)
    assert len(set(chosen.names)) == 8


def test_the_seed_decides():
    first, again, other = (choose_calibration(crowd(), count=8, num_classes=3, seed=seed) for seed in (1, 1, 2))

    assert first.names == again.names
    assert first.sha256 == again.sha256
    assert other.sha256 != first.sha256


def test_the_record_counts_what_was_chosen():
    chosen = choose_calibration([candidate(0, 0, 1), candidate(1, 255)], count=9, num_classes=2, seed=0)

    assert chosen.record() == {"samples": 2, "sha256": chosen.sha256, "class_pixels": [8, 8]}


def test_nothing_to_choose_from_is_an_error():
    with pytest.raises(DataError, match="no training images"):
        choose_calibration([], count=3, num_classes=2, seed=0)
