"""Which of several outputs holds the classes."""

import pytest

from rsseg_tf.errors import ModelError
from rsseg_tf.tflite.outputs import scores_among

IMAGE = (64, 48)
FULL, OTHER, COARSE, LABEL = (64, 48, 6), (64, 48, 1), (8, 6, 6), (5,)


def among(outputs: dict, wanted: str | None = "") -> int:
    return scores_among(outputs, IMAGE, wanted=wanted, model="net.tflite", option="--output ")


@pytest.mark.parametrize("outputs", [{"a": COARSE}, {"a": FULL}, {"a": LABEL}])
@pytest.mark.parametrize("wanted", ["", "b", None])
def test_the_only_output_is_it(outputs, wanted):
    assert among(outputs, wanted) == 0


@pytest.mark.parametrize("full", [FULL, FULL[:2]])
def test_of_several_it_is_the_one_as_large_as_the_image(full):
    assert among({"aux": COARSE, "label": LABEL, "classes": full}) == 2
    assert among({"classes": full, "turned": (48, 64, 6), "open": (None, None, 6)}) == 0


@pytest.mark.parametrize(("wanted", "place"), [("depth", 1), ("0", 0), ("1", 1), ("2", 0)])
def test_a_wish_is_a_name_before_it_is_a_number(wanted, place):
    assert among({"2": FULL, "depth": OTHER}, wanted) == place


def test_where_any_will_do_none_is_refused():
    assert among({"aux": COARSE, "a": FULL, "b": FULL}, None) == 1
    assert among({"aux": COARSE, "label": LABEL}, None) == 0


def test_where_several_could_be_it_they_are_listed_with_the_option():
    with pytest.raises(ModelError, match=r"`net\.tflite` has 3 outputs, and 2 of them as high and wide") as caught:
        among({"aux": COARSE, "classes": FULL, "depth": OTHER})
    assert "--output 2; it has 0: `aux` 8×6×6, 1: `classes` 64×48×6, 2: `depth` 64×48×1" in caught.value.hint


def test_where_none_could_be_it_all_are_listed():
    with pytest.raises(ModelError, match="none of them as high and wide") as caught:
        among({"aux": COARSE, "open": (None, None, 6)})
    assert "0: `aux` 8×6×6, 1: `open` ?×?×6" in caught.value.hint


@pytest.mark.parametrize("wanted", ["2", "-1", "depths", "²"])
def test_an_output_that_is_not_there_is_an_error(wanted):
    with pytest.raises(ModelError, match=f"no output `{wanted}`") as caught:
        among({"aux": COARSE, "classes": FULL}, wanted)
    assert "1: `classes` 64×48×6" in caught.value.hint
