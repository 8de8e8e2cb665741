"""The one reader of the JSON and CSV that a report shows: they are as the commands write them, or refused."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsseg_tf.errors import ConfigError, first_line, unreadable

Facts = Mapping[str, Any]

MOST = 2.0**48
"""The largest count or amount: sums of many, and percentages, stay numbers."""

_MOST_ROWS = 3000  # of a figure: matplotlib draws up to 65,535 pixels
_AGAIN = "write it again with the command that made it"


@dataclass(frozen=True)
class Plain:
    """A value that holds nothing else: what it must be, in words, and whether it is."""

    words: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class Several:
    """A list of values of one kind, `least` or more."""

    kind: Kind
    least: int = 0
    most: float = math.inf


@dataclass(frozen=True)
class Named:
    """An object of any names with values of one kind."""

    kind: Kind
    most: float = math.inf


@dataclass(frozen=True)
class Fields:
    """An object of known names: those that must be there, those that may, and what holds of it as a whole.

    Attributes:
        musts: name → kind.
        mays: likewise; what is null is not there.
        agrees: returns what is wrong with an object whose fields are right, empty for nothing.
    """

    musts: Mapping[str, Kind]
    mays: Mapping[str, Kind] = field(default_factory=dict)
    agrees: Callable[[Facts], str] = lambda _facts: ""


Kind = Plain | Several | Named | Fields


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MOST


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and _is_number(value)


ANY = Plain("a value", lambda _value: True)
TEXT = Plain("text", lambda value: isinstance(value, str))
NAME = Plain("the name of a file", lambda value: isinstance(value, str) and bool(re.fullmatch(r"[\w.-]+", value)))
FLAG = Plain("true or false", lambda value: isinstance(value, bool))
COUNT = Plain("a whole number from 0", lambda value: _is_whole(value) and value >= 0)
AMOUNT = Plain("a number above 0", lambda value: _is_number(value) and value > 0)
SHARE = Plain("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1)
CHANGE = Plain("a number from -1 to 1", lambda value: _is_number(value) and -1 <= value <= 1)
PLACE = Plain("a whole number from -2000 to 2000", lambda value: _is_whole(value) and abs(value) <= 2000)
UNKNOWN_SHARE = Plain(f"{SHARE.words}, or null", lambda value: value is None or SHARE.holds(value))
OBJECT = Plain("an object", lambda value: isinstance(value, Mapping))


def _evaluation_agrees(facts: Facts) -> str:
    names = facts["class_names"]
    if len(set(names)) < len(names):
        return "`class_names` has a name twice"
    images, counted = facts.get("image_names") or (), facts.get("image_confusions")
    by_image = [] if counted is None else counted
    if not all(_is_square(each, len(names)) for each in (facts["confusion"], *by_image)):
        return "a table of pixels has not a row and a column for each class"
    if counted is not None and len(counted) != len(images):
        return "`image_confusions` has not a table for each of `image_names`"
    if any(facts.get(key) is not None and set(facts[key]) != set(names) for key in _OBJECTS):
        return "small objects are not counted for each class"
    for key in _IMAGE_OBJECTS:
        rows = facts.get(key)
        if rows is not None and (len(rows) != len(by_image) or any(len(row) != len(names) for row in rows)):
            return f"`{key}` has not a number for each image and class"
    return ""


def _is_square(table: Sequence[Sequence[int]], side: int) -> bool:
    return len(table) == side and all(len(row) == side for row in table)


def _ranges_agree(facts: Facts) -> str:
    layers = set(facts["layers"])
    if any(tensor["layer"] not in layers for tensor in facts["tensors"]):
        return "a tensor is of a layer that is not listed"
    if any(tensor["window"]["low"] > tensor["window"]["high"] for tensor in facts["tensors"]):
        return "a window ends before it begins"
    return ""


def _plan_agrees(facts: Facts) -> str:
    missing = facts["widths"].keys() - facts["keep"].keys()
    return f"`keep` lacks a layer of `widths`: {min(missing)}" if missing else ""


_OBJECTS = ("small_objects", "small_objects_found")
_IMAGE_OBJECTS = ("image_small_objects", "image_small_objects_found")
_TABLE = Several(Several(COUNT))
_BY_CLASS = ("iou", "boundary_f1_per_class", "precision", "recall", "f1", "small_object_recall")

EVALUATION = Fields(
    {"class_names": Several(TEXT, least=1, most=256), "confusion": _TABLE},
    {
        **dict.fromkeys(("miou", "accuracy", "boundary_f1", "mean_accuracy", "frequency_weighted_iou"), SHARE),
        **dict.fromkeys(_BY_CLASS, Named(UNKNOWN_SHARE)),
        **dict.fromkeys(_OBJECTS, Named(COUNT)),
        **dict.fromkeys(_IMAGE_OBJECTS, _TABLE),
        **dict.fromkeys(("model", "sha256", "split", "data_sha256", "pixels"), TEXT),
        **dict.fromkeys(("absent", "image_names"), Several(TEXT)),
        "images": COUNT,
        "image_confusions": Several(_TABLE),
    },
    _evaluation_agrees,
)
BENCHMARK = Fields({"sha256": TEXT, "p50_ms": AMOUNT})
_TENSOR = Fields(
    {
        **dict.fromkeys(("kind", "layer", "name"), TEXT),
        **dict.fromkeys(("underflow", "overflow"), SHARE),
        **{"lowest": PLACE, "counts": Several(COUNT, most=2000), "nonzero": COUNT},
        "window": Fields({"low": PLACE, "high": PLACE}),
    }
)
RANGES = Fields(
    {
        **{"model": TEXT, "samples": COUNT, "layers": Several(TEXT)},
        "tensors": Several(_TENSOR, least=1, most=_MOST_ROWS),
    },
    agrees=_ranges_agree,
)
_CELL = Fields(
    {"backbone": TEXT, "quantized": FLAG, "pruned": FLAG},
    {
        **dict.fromkeys(("accuracy", "miou", "boundary_f1"), SHARE),
        **dict.fromkeys(("params", "macs", "file_bytes"), COUNT),
        "control": TEXT,
    },
)
_DIFFERENCE = Fields(
    {
        **{"backbone": TEXT, "seed": COUNT, "quantized": FLAG, "control": TEXT, "images": COUNT, "loss": TEXT},
        "is_clear": FLAG,
    },
    dict.fromkeys(("difference", "low", "high"), CHANGE),
)
ABLATION = Fields(
    {
        **{"backbones": Several(NAME), "repeats": COUNT, "data": TEXT, "split": TEXT},
        "cells": Several(_CELL),
    },
    {"differences": Several(_DIFFERENCE)},
)
_ORIGIN = dict.fromkeys(("versions", "machine", "git"), Named(ANY))
RUN = Fields(
    {"outputs": Named(TEXT), "inputs": Named(TEXT), "results": OBJECT},
    {**_ORIGIN, "command": Several(TEXT), "seed": COUNT},
)
RESULTS = Fields({}, {"params": COUNT, "macs": COUNT, "control": TEXT, "val_miou_before_retraining": SHARE})
PLAN = Fields({"keep": Named(Several(COUNT)), "widths": Named(COUNT, most=_MOST_ROWS)}, agrees=_plan_agrees)
EXPORTED = Fields(
    {},
    {
        **_ORIGIN,
        **{"sha256": TEXT, "type": TEXT, "made_from": Named(TEXT), "settings": OBJECT},
        "calibration": Fields({"samples": COUNT, "sha256": TEXT}),
        "agreement": Fields({"samples": COUNT, "argmax": SHARE}),
    },
)


def read_facts(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        DataError: if the system does not let it be read.
        ConfigError: if it holds no JSON object, or numbers or text that JSON does not have.
    """
    try:
        facts = json.loads(path.read_bytes().decode("utf-8"), parse_constant=_refuse)
        json.dumps(facts, ensure_ascii=False).encode("utf-8")
    except OSError as error:
        raise unreadable(path, error) from error
    except RecursionError as error:
        raise ConfigError(f"`{path}` is not JSON: it is nested too deep", hint=_AGAIN) from error
    except ValueError as error:
        raise ConfigError(f"`{path}` is not JSON: {first_line(error)}", hint=_AGAIN) from error
    if not isinstance(facts, dict):
        raise ConfigError(f"`{path}` holds no JSON object", hint=_AGAIN)
    return facts


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no number")


def checked(facts: Any, kind: Kind, *, path: Path, where: str = "") -> Any:
    """Return `facts`, which a file holds, if they are of a kind.

    Args:
        facts: as JSON gives them.
        kind: what they must be.
        path: of the file, for the message.
        where: the place in it, likewise.

    Raises:
        ConfigError: if they are not; it names the first place that is wrong.
    """
    wrong = first_fault(facts, kind, where)
    if wrong:
        raise ConfigError(f"`{path}` is not as a command wrote it: {wrong}", hint=_AGAIN)
    return facts


def first_fault(value: Any, kind: Kind, where: str = "") -> str:
    """Return what is wrong with a value, empty if it is of its kind."""
    here = f"`{where or 'all of it'}`"
    if isinstance(kind, Plain):
        return "" if kind.holds(value) else f"{here} must be {kind.words}"
    if isinstance(kind, Several):
        if not isinstance(value, list) or not kind.least <= len(value) <= kind.most:
            return f"{here} must be a list" + (f" of {kind.least} to {kind.most:,}" if kind.least else "")
        return _first(first_fault(item, kind.kind, f"{where}[{place}]") for place, item in enumerate(value))
    if not isinstance(value, Mapping):
        return f"{here} must be an object"
    if isinstance(kind, Named):
        if len(value) > kind.most:
            return f"{here} has more than {kind.most:,} names"
        return _first(first_fault(item, kind.kind, f"{where}.{name}".strip(".")) for name, item in value.items())
    missing = [name for name in kind.musts if name not in value]
    if missing:
        return f"{here} has no `{missing[0]}`"
    there = {name: each for name, each in kind.mays.items() if value.get(name) is not None} | dict(kind.musts)
    inner = _first(first_fault(value[name], each, f"{where}.{name}".strip(".")) for name, each in there.items())
    return inner or kind.agrees(value)


def _first(faults: Iterable[str]) -> str:
    return next(filter(None, faults), "")


def read_log(path: Path, columns: Sequence[str]) -> tuple[Mapping[str, float], ...]:
    """Return the rows of a CSV file of numbers, by column; none where there is no file.

    Raises:
        DataError: if the system does not let it be read.
        ConfigError: if it lacks one of `columns`, or holds something else than numbers.
    """
    if not path.is_file():
        return ()
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            rows = tuple({key: _logged(value) for key, value in row.items()} for row in reader)
        missing = set(columns) - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"there is no column `{min(missing)}`")
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, TypeError, csv.Error) as error:
        raise ConfigError(f"`{path}` is not the log of a run: {first_line(error)}", hint=_AGAIN) from error
    return rows


def _logged(text: Any) -> float:
    number = float(text)
    if abs(number) > MOST and math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number
