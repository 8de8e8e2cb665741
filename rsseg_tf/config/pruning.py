"""Settings of pruning: small dataclasses that `rsseg_tf.pruning` takes, and the section `prune` made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Literal

from rsseg_tf.config.setting import Rule, setting
from rsseg_tf.config.training import DistillConfig, Recipe

Criterion = Literal["fisher", "taylor", "taylor-fo", "taylor-bn", "taylor-act", "l1", "l2", "bn-scale", "random"]
"""How a channel can be scored; `rsseg_tf.pruning.scoring.criteria` has the formula of each."""

Control = Literal["plain", "teacher"]
"""Without and with a teacher of the dense model that is trained on."""

AttentionParts = Literal["both", "heads", "widths"]
"""What can go of attention with several heads: whole heads, channels of every head, or both."""

LATENCY = "latency_ms"
"""The metric whose target is never a share."""

ARENA = "arena_bytes"
"""The metric whose target is a share, or bytes."""

ACCURACY = "accuracy"
"""What `accuracy_floor` is about, as a loop names it."""

_BY_CLASS = Rule(
    "numbers from 0 to 1 by class name",
    lambda floors: all(math.isfinite(least) and 0 <= least <= 1 for least in floors.values()),
)


@dataclass(frozen=True)
class Target:
    """What may be left of the dense model at most; several targets are all met.

    Attributes:
        macs: share of the dense model's multiply-accumulates to keep, 1 for no target.
        params: share of the dense model's parameters to keep, 1 for no target.
        int8_bytes: share of the int8 model's estimated bytes to keep, 1 for no target.
        latency_ms: milliseconds that the network may take on the device of a measured profile, 0 for no target.
        arena_bytes: share of the memory for the activations of the int8 file to keep, as TFLite Micro plans it; above 1
            its bytes, such as 262144; 1 for no target.
    """

    macs: float = setting(1.0, above=0, at_most=1)
    params: float = setting(1.0, above=0, at_most=1)
    int8_bytes: float = setting(1.0, above=0, at_most=1)
    latency_ms: float = setting(0.0, at_least=0, at_most=1_000_000_000)
    arena_bytes: float = setting(1.0, above=0, at_most=1_000_000_000)

    @property
    def given(self) -> dict[str, float]:
        """Metric → target, for the targets that are set."""
        values = {item.name: getattr(self, item.name) for item in fields(Target)}
        none = {item.name: item.default for item in fields(Target)}
        return {name: value for name, value in values.items() if value != none[name]}

    def goals(self, dense: Callable[[str], float]) -> dict[str, float]:
        """Return metric → the most that may be left, for the targets that are set; `dense` gives the dense totals."""
        absolute = {LATENCY, *([ARENA] if self.arena_bytes > 1 else [])}
        return {name: value if name in absolute else value * dense(name) for name, value in self.given.items()}


@dataclass(frozen=True)
class Ranking:
    """How scores of channels become the order in which groups are removed.

    Attributes:
        aggregate: how the scores of the channels that go together become one: `sum` is what first-order theory says.
        normalize: how layers are made comparable: by their `mean` or `l2` norm of scores, or `none`.
        cost: divide a group's score by what it adds to this metric, to the metrics of the targets (`target`), weighted
            so that several are met together, or by nothing (`none`).
    """

    aggregate: Literal["sum", "mean", "max"] = "sum"
    normalize: Literal["none", "mean", "l2"] = "none"
    cost: Literal["target", "none", "params", "macs", "int8_bytes", "latency_ms"] = "target"


_WORDS = {"auto": 0}


@dataclass(frozen=True)
class Limits:
    """What every layer keeps.

    Attributes:
        round_to: kept counts are multiples of this, or the dense count. Processors compute channels in tiles, and a
            tile that is not full costs as much as a full one: `auto` (0) takes the tile of `profile`, 16 without one,
            as on most boards.
        min_channels: no layer keeps fewer, unless it has fewer.
        skip: patterns (as in a shell) of names of layers whose channels all stay.
        attention: what attention with several heads loses: `heads`, whole ones, `widths`, channels of every head
            (queries and keys together, values by themselves), or `both`.
    """

    round_to: Annotated[int, _WORDS] = setting(8, at_least=0, at_most=4_096)
    min_channels: int = setting(8, at_least=1, at_most=1_000_000)
    skip: tuple[str, ...] = ()
    attention: AttentionParts = "both"


@dataclass(frozen=True)
class Loop(Ranking, Limits):
    """How pruning reaches its target in many small steps.

    Attributes:
        criterion: how a channel is scored. The default is best after retraining (docs/results_pruning.md); the paper's
            is `taylor`. In `rsseg-tf prune`, `fisher` is of labels drawn from the model's own predictions, the others
            are of the masks.
        loops: times that scores are computed and groups removed.
        refresh_every: loops from one that looks at all of its batches to the next. Those between score on the first one
            alone and reconstruct from what was seen last, which takes half of the time; 1 for all in every loop.
        schedule: `geometric` removes the same share each time, `linear` the same amount, `cubic` less each time.
        profile: what `rsseg-tf benchmark DENSE.tflite --profile FILE` wrote on the device of `latency_ms`.
        reconstruct: after each removal let the channels that stay take over, by least squares on the scoring batches,
            what those that go did for the layers that read them.
        redundancy: with `reconstruct`, rank each channel by what the others cannot explain of it. `auto` does so for
            `fisher`, unless a target is in milliseconds, for which it was worse (docs/results_pruning.md).
        tune_steps: gradient steps after each removal; in `rsseg-tf prune`, at the learning rate of `retrain`.
        recalibrate_every: loops between two measurements of the batch-norm statistics, on the scoring batches;
            0 for none before the end.
        accuracy_floor: accuracy, 0 to 1, that the network must keep before retraining (in `rsseg-tf prune`, the
            val mIoU); when it falls below, the loop goes back to the last plan that passed and stops. 0 for none.
        floor: class name → IoU, 0 to 1, that the class must keep in the same way, as `{vehicle: 0.3}`; in
            `rsseg-tf prune`, on val.
        small_object_floor: class name → share of its small objects, 0 to 1, that must still be found, likewise.
        check_every: loops between two checks of these floors.
    """

    criterion: Criterion = "fisher"
    loops: int = setting(60, at_least=1, at_most=100_000)
    refresh_every: int = setting(4, at_least=1, at_most=100_000)
    schedule: Literal["geometric", "linear", "cubic"] = "geometric"
    profile: str = ""
    reconstruct: bool = True
    redundancy: Literal["auto", "always", "never"] = "auto"
    tune_steps: int = setting(0, at_least=0, at_most=10_000_000)
    recalibrate_every: int = setting(0, at_least=0, at_most=100_000)
    accuracy_floor: float = setting(0.0, at_least=0, at_most=1)
    floor: Mapping[str, float] = setting({}, rule=_BY_CLASS)
    small_object_floor: Mapping[str, float] = setting({}, rule=_BY_CLASS)
    check_every: int = setting(10, at_least=1, at_most=100_000)

    def ranks_by_rest(self, target: Target) -> bool:
        """Return whether `redundancy` counts for a target."""
        if not self.reconstruct or self.redundancy == "never":
            return False
        return self.redundancy == "always" or (self.criterion == "fisher" and LATENCY not in target.given)

    @property
    def floors(self) -> dict[str, float]:
        """Measure → its least value, for the floors that are set: `accuracy`, and such as `floor.vehicle` by class."""
        by_class = {"floor": self.floor, "small_object_floor": self.small_object_floor}
        named = {f"{key}.{name}": least for key, floors in by_class.items() for name, least in floors.items()}
        return {name: least for name, least in ({ACCURACY: self.accuracy_floor} | named).items() if least > 0}


@dataclass(frozen=True)
class RetrainConfig(Recipe):
    """One training after pruning, by the same settings.

    Attributes:
        epochs: passes over the training split; 0 for no retraining.
    """

    epochs: int = setting(20, at_least=0, at_most=1_000_000)


@dataclass(frozen=True)
class PruneConfig(Loop, Target):
    """Channel pruning and the retraining after it.

    Attributes:
        batches: training batches that a loop looks at; see `refresh_every`.
        params_margin: where `params` is no target of its own: parameters that may be left beyond the share that the
            other targets leave (`arena_bytes` apart), as a share of the dense ones; 1 for as many as come out. Without
            it a network keeps most of its parameters, since those of small maps cost little time.
        class_weights: class weights of the loss that scores come from: `balanced`, so that frequent classes do not
            decide alone, `none`, or those of `retrain`.
        recalibration_batches: training batches that batch-norm statistics are measured again on after the last removal,
            and for the mean of the weights before and after retraining. 16 are too few: they cost up to 0.3 points.
        retrain: the training after pruning; the paper's is 20 epochs of the same settings. 0 epochs switch it off.
        distill: learning from the dense model, or from another teacher, during it.
        control: train the dense model on too, for as many steps by the same recipe, in a folder `control-plain` or
            `control-teacher` of the run: `plain` without and `teacher` with the teacher of `distill`, or `both`.
            Beside these the pruned one shows what pruning itself cost.
    """

    batches: int = setting(4, at_least=1, at_most=100_000)
    params_margin: float = setting(0.1, at_least=0, at_most=1)
    class_weights: Literal["retrain", "none", "balanced"] = "balanced"
    recalibration_batches: int = setting(64, at_least=1, at_most=100_000)
    retrain: RetrainConfig = field(default_factory=RetrainConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    control: Literal["none", "plain", "teacher", "both"] = "none"

    @property
    def controls(self) -> tuple[Control, ...]:
        """The controls that are asked for."""
        known: tuple[Control, ...] = ("plain", "teacher")
        return tuple(each for each in known if self.control in (each, "both"))
