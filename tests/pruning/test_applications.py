"""The law on every convolutional network of keras.applications; tools/prune_applications.py examines each."""

import keras
import pytest

from tests.test_docs import load_tool

TOOL = load_tool("prune_applications")
FAST = ("DenseNet121", "EfficientNetB0", "MobileNetV2", "ResNet50V2")
OTHERS = sorted(set(TOOL.SMALLEST_INPUT) - {*FAST, "ConvNeXtLarge", "ConvNeXtXLarge"})
"""ConvNeXtLarge and XLarge differ from ConvNeXtBase in width only, and take gigabytes."""


def check(name):
    row = TOOL.examine(name)
    assert row["holds"], row
    assert row["params_built"] < 0.4 * row["params"]
    # With weights under which the input hardly matters, the law would hold whatever goes wrong near it.
    assert row["signal"] > 0.001
    return row


@pytest.mark.parametrize("name", FAST)
def test_law_holds(name):
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_law_holds_for_every_other_network(name):
    check(name)


def test_no_network_is_left_out():
    public = {name for name in dir(keras.applications) if name[0].isupper()}
    assert public == set(TOOL.SMALLEST_INPUT)


def test_the_table_marks_what_does_not_hold():
    row = {
        "name": "Net",
        "input_size": [32, 32],
        "groups": 4872,
        "families": 27,
        "frozen": {"input": "is an input of the model"},
        "params": 2542856,
        "can_go": 0.987,
        "int8_partitions": [1, 2],
        "params_built": 911224,
        "signal": 0.5,
        "cost_as_predicted": True,
        "largest_error": 2e-7,
        "holds": True,
        "seconds": 14.7,
    }
    bad = {**row, "cost_as_predicted": False, "largest_error": 0.25, "holds": False}
    lines = TOOL.table({"good": row, "bad": bad, "ugly": {**bad, "largest_error": None}}).splitlines()
    assert lines[2:] == [
        "| Net | 32×32 | 4,872 | 27 | 1 | 2,542,856 | 98.7% | 911,224 | yes | 0.5 | 2.0e-07 | 1 → 2 | 15 |",
        "| Net | 32×32 | 4,872 | 27 | 1 | 2,542,856 | 98.7% | 911,224 | **no** | 0.5 | **2.5e-01** | 1 → 2 | 15 |",
        "| Net | 32×32 | 4,872 | 27 | 1 | 2,542,856 | 98.7% | 911,224 | **no** | 0.5 | **NaN** | 1 → 2 | 15 |",
    ]
    assert {line.count("|") for line in lines} == {14}
