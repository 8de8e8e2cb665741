"""A pruning loop's state in a file, from which a killed run resumes to reach the same plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rsseg_tf.checkpoint import read_arrays, save_arrays
from rsseg_tf.errors import ConfigError, ModelError, RssegError
from rsseg_tf.pruning.loop.shrinking import Snapshot, Weights
from rsseg_tf.pruning.plan import Plan


@dataclass(frozen=True)
class LoopState:
    """How far a loop got.

    Attributes:
        now: the last loop that is done.
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


def save_state(path: Path, state: LoopState, fingerprint: str) -> None:
    """Write the state; `fingerprint` says which model and settings it belongs to."""
    info = {
        "fingerprint": fingerprint,
        "now": _info(state.now),
        "good": _info(state.good),
        "stopped": dict(state.stopped),
    }
    save_arrays(path, [*state.now.weights, *state.good.weights], info)


def is_state_of(path: Path | None, fingerprint: str) -> bool:
    """Return whether the file is a state with this fingerprint; a file that is none is an error of `read_state`."""
    try:
        return path is not None and path.exists() and read_arrays(path)[1].get("fingerprint") == fingerprint
    except RssegError:
        return False


def read_state(path: Path | None, fingerprint: str) -> LoopState | None:
    """Return the state that `save_state` wrote, None where there is none.

    Raises:
        ConfigError: if the file is not one, or of another model or other settings.
    """
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
