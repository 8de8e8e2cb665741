"""What the table of number formats says of mixed types, and what the settings of an export make of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rsseg_tf.config import ExportConfig
from rsseg_tf.config.export import as_type, check_export
from rsseg_tf.errors import ConfigError
from rsseg_tf.number_formats import FORMATS

WISHES = [
    {"calibration_method": "mse"},
    {"recover": "qat"},
    {"keep_float": 2},
    {"layer_error": 3},
    {"equalize": True},
    {"bias_correction": True},
    {"rounding": "nearest"},
    {"head": "classes"},
    {"target": "edgetpu"},
]


@pytest.mark.parametrize(
    ("activations", "is_int8"),
    [
        ({"uint8", "int8"}, True),
        ({"uint8", "int8", "int16"}, False),
        ({"uint8", "int8", "float32"}, False),
    ],
)
def test_a_format_of_mixed_types_does_not_compute_on_8_bits_alone(activations, is_int8):
    mixed = replace(FORMATS["int8"], activations=frozenset(activations))

    assert mixed.is_int8 == is_int8


@pytest.mark.parametrize("number_format", FORMATS)
def test_a_setting_is_refused_or_has_an_effect(number_format):
    """`as_type` drops exactly what `check_export` refuses."""
    for wish in WISHES:
        asked = ExportConfig(type=number_format, **wish)
        kept = as_type(asked, number_format)
        check_export(kept)
        assert kept in (asked, ExportConfig(type=number_format))
        if kept != asked:
            with pytest.raises(ConfigError, match=f"`export.{next(iter(wish))}="):
                check_export(asked)
        else:
            check_export(asked)


def test_floats_have_none_of_what_is_for_integers():
    for wish in WISHES:
        if wish != {"head": "classes"}:
            with pytest.raises(ConfigError, match="the type is `float32`"):
                check_export(ExportConfig(type="float32", **wish))


@pytest.mark.parametrize("number_format", FORMATS)
def test_amounts_that_a_run_wrote_down_refuse_no_type(number_format):
    asked = ExportConfig(type=number_format, calibration_samples=3, check_samples=2, max_drop=7)

    check_export(asked)
    assert as_type(asked, number_format) == asked
