import numpy as np
import pytest

from rsseg_tf.errors import CheckFailedError
from rsseg_tf.number_formats import FORMATS
from rsseg_tf.quantization.checks import agreement


def compared(share_wrong: float) -> agreement.Agreement:
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 2, (100, 100)).astype(np.uint8)
    wrong = np.where(rng.random(mask.shape) < share_wrong, 1 - mask, mask).astype(np.uint8)
    return agreement.compare(
        [(np.zeros((100, 100, 3), np.uint8), mask)],
        keras_classes=lambda _image: mask,
        tflite_classes=lambda _image: wrong,
        num_classes=2,
    )


def test_equal_classes_agree_in_full():
    result = compared(0.0)

    assert (result.argmax, result.miou_keras, result.miou_tflite, result.drop) == (1.0, 1.0, 1.0, 0.0)


def test_the_drop_is_in_points():
    result = compared(0.1)

    assert result.argmax == pytest.approx(0.9, abs=0.01)
    assert result.drop == pytest.approx(100 * (1 - 0.9 / 1.1), abs=1.5)


@pytest.mark.parametrize("number_format", FORMATS)
def test_too_large_a_drop_fails_the_check_with_a_remedy_that_the_format_has(number_format):
    with pytest.raises(CheckFailedError, match="mIoU points") as caught:
        agreement.require(compared(0.1), max_drop=2, number_format=number_format)

    assert caught.value.exit_code == 3
    assert ("calibration_samples" in caught.value.hint) == bool(FORMATS[number_format].calibration)


def test_an_allowed_drop_passes():
    assert agreement.require(compared(0.1), max_drop=50, number_format="int8") is None


def test_images_without_labels_prove_nothing():
    blank = np.full((4, 4), 255, np.uint8)
    classify = lambda _image: np.zeros((4, 4), np.uint8)  # noqa: E731
    result = agreement.compare(
        [(np.zeros((4, 4, 3), np.uint8), blank)], keras_classes=classify, tflite_classes=classify, num_classes=2
    )

    with pytest.raises(CheckFailedError, match="none of 1 images"):
        agreement.require(result, max_drop=2, number_format="int8")
