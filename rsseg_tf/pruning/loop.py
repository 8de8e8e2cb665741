"""The pruning loop: score, choose, remove, many times, in small steps towards the target.

Between loops removed channels are only zeroed, so nothing is traced again. The graph is rebuilt smaller
at the few loops where that pays: whenever its multiply-accumulates have fallen by `_REBUILD_BELOW` since the
last time. Everything is kept in terms of the dense model, so the plan replays on it, and a run that is
killed goes on from a small file of indices: weights follow from the dense model and the plan.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.pruning.groups import Groups, find_groups, kept_ids
from rsseg_tf.pruning.importance import Loss, Scorer
from rsseg_tf.pruning.plan import Plan, within
from rsseg_tf.pruning.ranking import Ranking
from rsseg_tf.pruning.rebuild import mask_wired, rebuild
from rsseg_tf.pruning.scores import Scores
from rsseg_tf.pruning.select import Target, choose
from rsseg_tf.pruning.wiring import trace
from rsseg_tf.runs import write_json
from rsseg_tf.settings import PruneConfig

_REBUILD_BELOW = 0.8
"""Share of the multiply-accumulates since the last rebuilding below which tracing again pays."""

_LEAST_LOOPS_LEFT = 16
"""With fewer loops to go, tracing again does not pay."""

BatchesOfLoop = Callable[[int], Iterable[tuple[Any, Any]]]
OnLoop = Callable[[int, float, float], None]


@dataclass(frozen=True)
class _State:
    """How far a loop got: what is gone, and what of it the graph was last rebuilt without."""

    loop: int
    plan: Plan
    base: Plan


def prune_loop(
    model: keras.Model,
    *,
    batches: BatchesOfLoop,
    loss: Loss,
    settings: PruneConfig,
    state_path: Path | None = None,
    on_loop: OnLoop | None = None,
) -> tuple[keras.Model, Plan]:
    """Prune a model in many small steps.

    After loop t of T at most target^(t/T) of the dense cost is left: every loop removes the same
    share of what is there.

    Args:
        model: the dense model; it stays as it is.
        batches: loop, counted from 0 → pairs (x, y) to score on; the same pairs in every run.
        loss: of (y, prediction), a scalar that is a mean over the batch.
        settings: criterion, loops, targets and limits.
        state_path: a JSON file that each loop renews, and from which a killed run goes on to the same plan.
        on_loop: called after each loop with its number, counted from 1, and the shares of the dense
            model's multiply-accumulates and parameters that are left.

    Returns:
        The slim model, not compiled, and the plan that makes it from the dense one.

    Raises:
        RssegError: the target cannot be met.
        ConfigError: the file at `state_path` is of another model or other settings.
    """
    groups = find_groups(model)
    fingerprint = _fingerprint(model, settings)
    state = _read_state(state_path, fingerprint) or _initial_state(groups)
    target = _target(settings)
    choose_all = _Chooser(groups, settings)
    choose_all(Scores("none", {}), target, state.plan)  # An unreachable target is told before the work.
    slim = _Shrinking(model, state, loss=loss, settings=settings)
    for loop in range(state.loop, settings.loops):
        scores = slim.scores(batches(loop))
        share = (loop + 1) / settings.loops
        plan = choose_all(scores, Target(**{m: s**share for m, s in target.shares.items()}), state.plan)
        slim.remove(plan, loops_left=settings.loops - loop - 1)
        state = _State(loop + 1, plan, slim.base)
        if state_path is not None:
            write_json(state_path, _as_json(state, fingerprint))
        if on_loop is not None:
            on_loop(loop + 1, plan.share("macs"), plan.share("params"))
    final = replace(state.plan, details={**state.plan.details, "loops": settings.loops})
    return rebuild(model, final), final


class _Chooser:
    """Chooses with the limits and the ranking of the settings."""

    def __init__(self, groups: Groups, settings: PruneConfig) -> None:
        self._groups = groups
        self._settings = settings
        self._ranking = Ranking(settings.aggregate, settings.normalise, settings.cost)

    def __call__(self, scores: Scores, target: Target, start: Plan) -> Plan:
        return choose(
            self._groups,
            scores,
            target,
            round_to=self._settings.round_to,
            min_channels=self._settings.min_channels,
            skip=self._settings.skip,
            ranking=self._ranking,
            start=start,
        )


class _Shrinking:
    """The model as it is between loops: rebuilt without what `base` removes, the rest masked."""

    def __init__(self, dense: keras.Model, state: _State, *, loss: Loss, settings: PruneConfig) -> None:
        self._dense = dense
        self._dense_wiring = trace(dense)
        self._loss = loss
        self._settings = settings
        self._start(state.base)
        self._mask(state.plan)

    def scores(self, batches: Iterable[tuple[Any, Any]]) -> Scores:
        """Scores of the dense model's channels; 0 for those that are gone."""
        found = self._scorer(batches)
        return Scores(found.criterion, {name: self._spread(name, values) for name, values in found.layers.items()})

    def remove(self, plan: Plan, *, loops_left: int) -> None:
        """Take out what `plan` removes, by mask or by rebuilding."""
        fallen = _size(plan) / _size(self.base)
        if fallen < _REBUILD_BELOW and loops_left >= _LEAST_LOOPS_LEFT:
            self._start(plan)
        else:
            self._mask(plan)

    def _start(self, base: Plan) -> None:
        self.base = base
        self._kept = kept_ids(self._dense_wiring, base)
        self._model = rebuild(self._dense, base)
        self._wiring = trace(self._model)
        self._scorer = Scorer(self._model, criterion=self._settings.criterion, loss=self._loss)

    def _mask(self, plan: Plan) -> None:
        mask_wired(self._model, self._wiring, kept_ids(self._wiring, within(plan, self.base)))

    def _spread(self, name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """A layer's scores at their places in the dense model."""
        kept = self._kept[self._dense_wiring.layers[name].axes["out"]]
        spread = np.zeros(len(kept))
        spread[kept] = values
        return spread


def _target(settings: PruneConfig) -> Target:
    return Target(
        macs=settings.macs if settings.macs < 1 else None, params=settings.params if settings.params < 1 else None
    )


def _size(plan: Plan) -> int:
    return plan.cost["macs"] or plan.cost["params"] or 1


def _initial_state(groups: Groups) -> _State:
    everything = groups.plan(np.zeros(len(groups), bool))
    return _State(0, everything, everything)


def _fingerprint(model: keras.Model, settings: PruneConfig) -> str:
    """A hash of the weights and of the settings that the plan depends on."""
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).tobytes())
    relevant = {key: value for key, value in asdict(settings).items() if key not in ("retrain", "distill")}
    digest.update(json.dumps(relevant, sort_keys=True).encode())
    return digest.hexdigest()


def _as_json(state: _State, fingerprint: str) -> Mapping[str, Any]:
    return {"fingerprint": fingerprint, "loop": state.loop, "plan": asdict(state.plan), "base": asdict(state.base)}


def _read_state(path: Path | None, fingerprint: str) -> _State | None:
    if path is None or not path.exists():
        return None
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        plan, base = (Plan.from_json(json.dumps(raw[key])) for key in ("plan", "base"))
        state = _State(int(raw["loop"]), plan, base)
    except (OSError, ValueError, KeyError, TypeError, ModelError) as error:
        raise ConfigError(f"`{path}` is not the state of a pruning run", hint="delete it to start anew") from error
    if raw.get("fingerprint") != fingerprint:
        raise ConfigError(f"`{path}` is the state of another model or other settings", hint="delete it to start anew")
    return state
