"""A pruning loop's state in a file, from which a killed run resumes to reach the same plan."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rsseg_tf.checkpoint import read_arrays, save_arrays
from rsseg_tf.errors import ConfigError, ModelError, RssegError
from rsseg_tf.pruning.loop.shrinking import Snapshot, Weights
from rsseg_tf.pruning.plan import Plan

_SMALL = 8_000_000
"""Bytes of weights that are written after every loop, whatever it takes."""

_SHARE = 0.02
"""Of the time that writing larger ones may take."""


@dataclass(frozen=True)
class LoopState:
    """How far a loop got.

    Attributes:
        now: the last loop that is done; in memory without weights, which the model at hand has.
        good: the last one that passed the floors.
        stopped: the `loop` in which the network fell below a floor, and what was measured by the name of that floor
            (`accuracy`, `floor.vehicle`); empty until then.
    """

    now: Snapshot
    good: Snapshot
    stopped: Mapping[str, float]

    @property
    def result(self) -> Snapshot:
        """Where the loop ends if it ends here."""
        return self.good if self.stopped else self.now


class StateFile:
    """The file of a loop's state, renewed after loops from which it can go on.

    A state of more than 8 MB waits until writing takes 2 % of the time at most; a loop that it does not hold yet is
    done again after a kill, to the same end.

    Args:
        path: where it is; None for nowhere.
        fingerprint: says which model and settings it belongs to.
        clock: seconds that have passed since whenever.
    """

    def __init__(self, path: Path | None, fingerprint: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._fingerprint = fingerprint
        self._clock = clock
        self._due = clock()

    def read(self) -> LoopState | None:
        """Return the state, None where there is none.

        Raises:
            ConfigError: if the file is not one, or of another model or other settings.
        """
        return _read(self._path, self._fingerprint)

    def is_due(self, weights: Sequence[Any]) -> bool:
        """Return whether a state with the values of `weights`, Keras variables, is to be written now."""
        is_small = sum(4 * math.prod(weight.shape) for weight in weights) <= _SMALL
        return self._path is not None and (is_small or self._clock() >= self._due)

    def renew(self, state: LoopState) -> None:
        """Write the state."""
        if self._path is None:
            return
        started = self._clock()
        plans = {"now": _info(state.now), "good": _info(state.good), "stopped": dict(state.stopped)}
        arrays = [*state.now.weights, *state.good.weights]
        save_arrays(self._path, arrays, {"fingerprint": self._fingerprint, **plans})
        ended = self._clock()
        self._due = ended + (ended - started) / _SHARE


def is_state_of(path: Path | None, fingerprint: str) -> bool:
    """Return whether the file is a state with this fingerprint; a file that is none is one of `StateFile.read`."""
    try:
        return path is not None and path.exists() and read_arrays(path)[1].get("fingerprint") == fingerprint
    except RssegError:
        return False


def _read(path: Path | None, fingerprint: str) -> LoopState | None:
    if path is None or not path.exists():
        return None
    try:
        arrays, info = read_arrays(path)
        number = int(info["now"]["weights"])
        now = _snapshot(info["now"], tuple(arrays[:number]))
        good = _snapshot(info["good"], tuple(arrays[number:]))
        state = LoopState(now, good, {key: float(value) for key, value in info["stopped"].items()})
    except (RssegError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"`{path}` is not the state of a pruning run", hint="delete it to start over") from error
    if info.get("fingerprint") != fingerprint:
        raise ConfigError(f"`{path}` is the state of another model or other settings", hint="delete it to start over")
    return state


def _info(snapshot: Snapshot) -> dict[str, Any]:
    plans = {"plan": asdict(snapshot.plan), "base": asdict(snapshot.base)}
    return {"loop": snapshot.loop, "weights": len(snapshot.weights), **plans}


def _snapshot(info: Mapping[str, Any], weights: Weights) -> Snapshot:
    plan, base = (Plan.from_json(json.dumps(info[key])) for key in ("plan", "base"))
    if len(weights) != info["weights"]:
        raise ModelError("weights are missing")
    return Snapshot(int(info["loop"]), plan, base, weights)
