import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsseg_tf.config import Config
from rsseg_tf.config.setting import Rule, check, setting
from rsseg_tf.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    share: float = setting(0.5, above=0, at_most=1)


@dataclass(frozen=True)
class Outer:
    count: int = setting(8, at_least=1)
    inner: Inner = field(default_factory=Inner)


@given(count=st.integers(-3, 3), share=st.floats(-1, 2) | st.sampled_from([float("nan"), float("inf"), 0.0, 1.0]))
def test_settings_pass_exactly_within_their_ranges(count, share):
    try:
        check(Outer(count, Inner(share)))
        passed = True
    except ConfigError:
        passed = False

    assert passed == (count >= 1 and 0 < share <= 1)


def test_an_error_has_the_dotted_name_the_range_and_what_came():
    with pytest.raises(ConfigError) as caught:
        check(Outer(inner=Inner(2.0)), "outer.")

    assert caught.value.message == "`outer.inner.share` must be above 0 and at most 1, got 2.0"


def test_a_mapping_is_a_default_of_its_own_for_each_and_is_checked_too():
    @dataclass(frozen=True)
    class Floors:
        floor: Mapping[str, float] = setting({}, rule=Rule("small", lambda floors: max(floors.values(), default=0) < 1))

    assert Floors().floor == {}
    assert Floors().floor is not Floors().floor
    check(Floors({"a": 0.5}))
    with pytest.raises(ConfigError, match=r"must be small, got \{'a': 2\}"):
        check(Floors({"a": 2}))


def numbers(settings: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    kinds = get_type_hints(type(settings))
    for item in fields(settings):
        value = getattr(settings, item.name)
        if is_dataclass(value):
            yield from numbers(value, f"{where}{item.name}.")
        elif kinds[item.name] in (int, float):
            yield f"{where}{item.name}", item.metadata.get("rule")


@pytest.mark.parametrize(("name", "rule"), list(numbers(Config())))
def test_no_number_may_be_so_large_that_it_takes_all_memory_or_not_a_number(name, rule):
    assert rule is not None, name
    assert not any(rule.holds(value) for value in (1e12, math.inf, math.nan))
