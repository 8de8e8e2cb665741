"""The pruning loop: score, choose, remove, many times, in small steps toward the target.

What removed channels did is taken over by those that stay (`reconstruct.py`). Between loops they are only zeroed, so
nothing is traced again; the graph is rebuilt smaller at the few loops where that pays (`shrinking.py`). The plan is
kept in terms of the dense model, and a run that is killed resumes from one file (`state.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from rsseg_tf.config.pruning import ARENA, LATENCY, Limits, Loop, Ranking, Target
from rsseg_tf.config.setting import check, part
from rsseg_tf.errors import ConfigError, RssegError
from rsseg_tf.graphs import prunable
from rsseg_tf.progress import warn
from rsseg_tf.pruning.cost import not_counted
from rsseg_tf.pruning.groups import Groups, find_groups
from rsseg_tf.pruning.latency import LatencyProfile, load_profile
from rsseg_tf.pruning.loop.floors import Floors, Measure
from rsseg_tf.pruning.loop.recalibrate import recalibrate
from rsseg_tf.pruning.loop.shrinking import Shrinking, Snapshot
from rsseg_tf.pruning.loop.state import LoopState, StateFile, is_state_of
from rsseg_tf.pruning.plan import Plan
from rsseg_tf.pruning.rules.table import Rules
from rsseg_tf.pruning.scoring.contributions import Loss
from rsseg_tf.pruning.scoring.scores import Scores
from rsseg_tf.pruning.select import choose
from rsseg_tf.pruning.together import ALONE, Together
from rsseg_tf.tflite.arena import MICRO, arena_bytes
from rsseg_tf.tflite.graph import TFLiteModel

BatchesOfLoop = Callable[[int], Iterable[tuple[Any, Any]]]

SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "geometric": lambda goal, done: goal**done,
    "linear": lambda goal, done: 1 - (1 - goal) * done,
    "cubic": lambda goal, done: goal + (1 - goal) * (1 - done) ** 3,
}
"""Name → share of the dense cost that may be left, of the final share and of how much of the loops is done.

`geometric` removes the same share of what is there each time, `linear` the same amount; `cubic` begins
fast and ends slowly (Zhu and Gupta 2017, eq. 1)."""


@dataclass(frozen=True)
class Hooks:
    """What a loop calls on its way, and where it keeps how far it is.

    Attributes:
        on_loop: after each loop, with its number, counted from 1, and the plan so far; a run that is killed before the
            loop is in the state file calls it for that loop again.
        tune: with the model and the loop, counted from 0, after each removal: trains it for a few steps.
            It must depend on nothing but its arguments, or a resumed run produces a different plan.
        accuracy: of the model as it is, for the accuracy floor; where the loop has floors by class, a mapping with a
            value for every name of `Loop.floors`.
        file: with the dense model's live taps: returns the graph of its int8 file, for a target in `arena_bytes`.
        together: those that prune the same model together, each scoring a part of the batches; the model, the
            batches, the settings and the state file have to be the same for all.
        state_path: an `.npz` file, renewed on the way, from which a killed run resumes to reach the same plan.
    """

    on_loop: Callable[[int, Plan], None] | None = None
    tune: Callable[[keras.Model, int], None] | None = None
    accuracy: Measure | None = None
    file: Callable[[keras.Model], TFLiteModel] | None = None
    together: Together = ALONE
    state_path: Path | str | None = None


_LOOP, _NO_HOOKS = Loop(), Hooks()


def prune_loop(  # noqa: PLR0913 - the loop, what it is of, and what it is by
    model: keras.Model,
    *,
    batches: BatchesOfLoop,
    loss: Loss,
    target: Target,
    loop: Loop = _LOOP,
    hooks: Hooks = _NO_HOOKS,
    rules: Rules | None = None,
) -> tuple[keras.Model, Plan]:
    """Prune a model in many small steps.

    What is pruned is `rsseg_tf.graphs.prunable` of the dense model. So taps of its kernels that never meet the picture
    go first: shares are of what is left, and the slim model has none.

    Args:
        model: the dense model; it stays as it is.
        batches: loop, counted from 0 → pairs (x, y) to score on; the same pairs in every run.
        loss: of (y, prediction), a scalar that is a mean over the batch.
        target: what may be left of the dense model at most.
        loop: how it gets there: criterion, ranking, limits, number of loops, schedule.
        hooks: what is called on the way, and the file that makes it resumable.
        rules: for layers that `RULES` does not know, as for `find_groups`.

    Returns:
        The slim model, not compiled, and the plan of what was removed. Where weights were neither reconstructed,
        tuned nor recalibrated on the way, the plan makes the same model of `prunable(model)`.

    Raises:
        RssegError: if the first removals already pass a floor.
        ConfigError: if the target cannot be met, a setting is out of its range, the dense model does not reach a
            floor, a hook is missing, or the file at `state_path` is of another model or other settings.
    """
    check(target)
    check(loop)
    if not callable(batches):
        raise ConfigError("`batches` is a function from the loop's number to pairs (x, y)", hint="lambda loop: pairs")
    _check_hooks(target, loop, hooks)
    state_path = None if hooks.state_path is None else Path(hooks.state_path)
    dense = prunable(model)
    if is_state_of(state_path, _fingerprint(model, target, loop)):  # of a version that kept all taps
        dense = model
    slim = partial(
        Shrinking,
        dense,
        criterion=loop.criterion,
        loss=loss,
        together=hooks.together,
        rules=rules,
        reconstructs=loop.reconstruct,
        ranks_by_rest=loop.ranks_by_rest(target),
    )
    file = hooks.file(dense) if hooks.file and ARENA in target.given else None
    groups = find_groups(dense, rules=rules)
    _warn_of_uncounted(groups, target, loop)
    choose_next = _Chooser(groups, target, loop, file)
    steps = _Steps(dense, choose_next, slim, loop=loop, hooks=hooks)
    states = StateFile(state_path, _fingerprint(dense, target, loop))
    state = states.read() or steps.start()
    while not state.stopped and state.now.loop < loop.loops:
        state = steps.advance(state, batches)
        if hooks.on_loop is not None:  # before the state says that it is done: no loop goes untold when killed
            hooks.on_loop(state.now.loop, state.now.plan)
        is_over = state.stopped or state.now.loop == loop.loops
        if is_over or (steps.forgets_nothing_at(state) and states.is_due(dense.weights)):
            states.renew(steps.with_weights(state))
    end = state.result
    if end.loop == 0:
        raise RssegError(
            f"the network fell below its floor within {loop.check_every} loops: {steps.floors.in_words(state.stopped)}",
            hint="lower that floor or prune.check_every, or raise prune.loops",
        )
    plan = replace(end.plan, details={**end.plan.details, "loops": end.loop, "stopped": dict(state.stopped)})
    return steps.model_of(state), plan


class _Steps:
    """One loop after the other, from state to state."""

    def __init__(
        self, dense: keras.Model, choose: _Chooser, shrink: Callable[[Snapshot], Shrinking], *, loop: Loop, hooks: Hooks
    ) -> None:
        self._dense = dense
        self._choose = choose
        self._shrink = shrink
        self._settings = loop
        self._hooks = hooks
        self.floors = Floors(loop, hooks.accuracy)
        self._slim: Shrinking | None = None

    def start(self) -> LoopState:
        """Return the dense model, after checking that the work can succeed."""
        everything = self._choose.everything
        self._choose(Scores("none", {}), done=1.0, start=everything)
        self.floors.require(self._dense)
        first = Snapshot(0, everything, everything)
        return LoopState(first, good=first, stopped={})

    def with_weights(self, state: LoopState) -> LoopState:
        """Return the state that `advance` returned last, complete."""
        return replace(state, now=self._model_at(state).snapshot(state.now.loop))

    def advance(self, state: LoopState, batches: BatchesOfLoop) -> LoopState:
        """Return the state after one more loop."""
        settings, number = self._settings, state.now.loop
        slim = self._model_at(state)
        look = slim.scores if self._looks_at_all(state) else slim.scores_of_one
        plan = self._choose(look(batches(number)), done=(number + 1) / settings.loops, start=state.now.plan)
        slim.reconstruct(plan, partial(batches, number))
        slim.remove(plan, loops_left=settings.loops - number - 1)
        if settings.tune_steps and self._hooks.tune:
            self._hooks.tune(slim.model, number)
            slim.trained()
        is_checked = bool(self.floors) and _is_turn(number, settings.check_every, settings.loops)
        if is_checked or (settings.recalibrate_every and _is_turn(number, settings.recalibrate_every, settings.loops)):
            recalibrate(slim.model, batches(number))
            slim.trained()
        state = replace(state, now=slim.snapshot(number + 1, weights=False))
        return self._judged(state, slim.model) if is_checked else state

    def forgets_nothing_at(self, state: LoopState) -> bool:
        """Return whether the next loop needs nothing that only memory holds, so that a killed run may begin with it."""
        return self._looks_at_all(state) or not self._settings.reconstruct

    def _looks_at_all(self, state: LoopState) -> bool:
        return state.now.loop % self._settings.refresh_every == 0 or self._model_at(state).needs_to_look

    def model_of(self, state: LoopState) -> keras.Model:
        """Return the slim model where the loop ends that ends at `state`."""
        at_hand = None if state.stopped else self._slim
        return (at_hand or self._shrink(state.result)).rebuilt()

    def _model_at(self, state: LoopState) -> Shrinking:
        if self._slim is None:
            self._slim = self._shrink(state.now)
        return self._slim

    def _judged(self, state: LoopState, model: keras.Model) -> LoopState:
        if missed := self.floors.missed(model):
            return replace(state, stopped={"loop": state.now.loop, **missed})
        return replace(state, good=self.with_weights(state).now)


class _Chooser:
    """Chooses with the target, limits and ranking of a loop."""

    def __init__(self, groups: Groups, target: Target, loop: Loop, file: TFLiteModel | None) -> None:
        self.everything = groups.plan(np.zeros(len(groups), bool))
        self._groups = groups
        self._goal = target.given
        self._loop = loop
        self._profile = _profile(target, loop)
        self._file = file

    def __call__(self, scores: Scores, *, done: float, start: Plan) -> Plan:
        """Return the plan that continues from `start` when the share `done`, 0 to 1, of the loops is done."""
        return choose(
            self._groups,
            scores,
            self._target(done),
            **vars(part(self._loop, Limits)),
            ranking=part(self._loop, Ranking),
            start=start,
            profile=self._profile,
            file=self._file,
        )

    def _target(self, done: float) -> Target:
        share = SCHEDULES[self._loop.schedule]
        dense = {LATENCY: self._profile.total_ms} if self._profile else {}
        if self._file and self._goal.get(ARENA, 0) > 1:
            dense[ARENA] = float(arena_bytes(self._file, MICRO))
        targets = {}
        for metric, goal in self._goal.items():
            whole = dense.get(metric, 1.0)
            targets[metric] = whole * share(min(1.0, goal / whole), done)
        return Target(**targets)


def _warn_of_uncounted(groups: Groups, target: Target, loop: Loop) -> None:
    """Warn where a share of the multiply-accumulates is asked for, and some are not known."""
    names = groups.cost().uncounted
    if names and "macs" in (*target.given, loop.cost):
        warn(not_counted(names), hint="give a rule (docs/pruning.md), or a target in params or latency_ms")


def _profile(target: Target, loop: Loop) -> LatencyProfile | None:
    if loop.profile:
        return load_profile(Path(loop.profile))
    if LATENCY in (*target.given, loop.cost):
        raise ConfigError(
            "latency as a target or as the cost needs `profile`, measured on the device",
            hint="rsseg-tf benchmark DENSE.tflite --profile FILE",
        )
    return None


def _is_turn(loop: int, every: int, loops: int) -> bool:
    """Return whether what is due after every `every` loops, and after the last, is due after `loop`, from 0."""
    return (loop + 1) % every == 0 or loop + 1 == loops


def _check_hooks(target: Target, loop: Loop, hooks: Hooks) -> None:
    if loop.schedule not in SCHEDULES:
        raise ConfigError(f"unknown schedule `{loop.schedule}`", hint=f"known: {', '.join(SCHEDULES)}")
    needs = {"tune_steps": "tune", **dict.fromkeys(("accuracy_floor", "floor", "small_object_floor"), "accuracy")}
    for setting, hook in needs.items():
        if getattr(loop, setting) and getattr(hooks, hook) is None:
            raise ConfigError(f"`{setting}` needs the hook `{hook}`", hint=f"pass hooks=Hooks({hook}=…)")
    if ARENA in target.given and hooks.file is None:
        raise ConfigError(f"`{ARENA}` needs the hook `file`", hint="pass hooks=Hooks(file=…)")


def _fingerprint(model: keras.Model, target: Target, loop: Loop) -> str:
    """Return a hash of the weights and settings that the plan depends on, those of a `PruneConfig` too."""
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).tobytes())
    settings = {**asdict(loop), **asdict(target)}  # a loop may hold targets that `target` follows from
    settings["redundancy"] = loop.ranks_by_rest(target)
    without = ("control", "params_margin", *(() if loop.tune_steps else ("retrain", "distill")))
    later = ("floor", "small_object_floor", "reconstruct", "redundancy")
    without += tuple(name for name in later if not settings[name])  # states from before them still serve
    without += () if ARENA in target.given else (ARENA,)
    without += () if loop.attention != Limits.attention else ("attention",)
    without += ("refresh_every",) if loop.refresh_every == 1 else ()
    relevant = {key: value for key, value in settings.items() if key not in without}
    relevant["normalise"] = relevant.pop("normalize")  # its name when the first states were written: they still serve
    digest.update(json.dumps(relevant, sort_keys=True).encode())
    return digest.hexdigest()
