"""Choosing which groups go: the least important ones, until the target is met."""

from __future__ import annotations

import difflib
import fnmatch
import math
from collections.abc import Sequence, Set
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.config.pruning import ARENA, LATENCY, AttentionParts, Limits, Ranking, Target
from rsseg_tf.config.setting import check
from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.pruning.arena import arena_of
from rsseg_tf.pruning.greedy import Costs, Greedy, Queue
from rsseg_tf.pruning.groups import Family, Groups
from rsseg_tf.pruning.latency import LatencyProfile, latency_terms
from rsseg_tf.pruning.plan import Plan
from rsseg_tf.pruning.scoring.ranking import group_scores
from rsseg_tf.pruning.scoring.scores import Scores
from rsseg_tf.tflite.graph import TFLiteModel

_RANKING = Ranking()

_USUAL_TILE = 16
"""Channels that most boards compute together: arm64 with dot products, Cortex-A53, AVX512-VNNI."""


def choose(  # noqa: PLR0913 - the door's arguments are settled
    groups: Groups,
    scores: Scores,
    target: Target,
    *,
    round_to: int = Limits.round_to,
    min_channels: int = Limits.min_channels,
    skip: Sequence[str] = (),
    attention: AttentionParts = Limits.attention,
    ranking: Ranking = _RANKING,
    start: Plan | None = None,
    profile: LatencyProfile | None = None,
    file: TFLiteModel | None = None,
) -> Plan:
    """Return the plan that meets a target by removing the groups that matter least.

    Groups are ranked over the whole model, in blocks that keep every layer's width a multiple of
    `round_to`. The cost is followed exactly, since it falls with the product of two widths.

    Args:
        groups: of the dense model.
        scores: of its channels.
        target: what may be left of the dense model's cost at most; all must be met.
        round_to: kept counts are multiples of this, or the dense count; the default is that of `Limits`, 8. 0 is the
            tile that the profile found, 16 where there is none.
        min_channels: no layer keeps fewer, unless it has fewer; 8 as well. Give 1 too where `round_to` is below 8 and
            layers may become that narrow.
        skip: patterns (as in a shell) of names of layers whose channels all stay.
        attention: what attention with several heads loses: `heads`, whole ones, `widths`, channels of every head, or
            `both`.
        ranking: how members' scores become a group's, how layers are made comparable, and what they are divided by.
        start: a plan whose removed groups stay removed.
        profile: latencies measured on the dense model; the plan's cost then has an estimate of `latency_ms`.
        file: the graph of the dense model's int8 file, as `rsseg_tf.tflite.flatbuffer.parse_model` reads it; the plan's
            cost then has `arena_bytes`.

    Raises:
        ConfigError: if a target or limit is out of its range, a pattern of `skip` names no layer, or latency is a
            target or the ranking's cost and there is no profile, or `arena_bytes` a target and there is no file, or
            one of another model; or if the target cannot be met: the message names the largest cut.
        ModelError: if the model's multiply-accumulates are needed and its input size is open.
    """
    check(target)
    limits = _limits(Limits(round_to, min_channels, tuple(skip), attention), profile)
    _check_skip(groups, limits.skip)
    values = group_scores(groups, scores, ranking)
    gone = groups.removed(start) if start else np.zeros(len(groups), bool)
    queues = [Queue.of(family, values, gone, stops=_allowed(family, limits)) for family in groups.families]
    costs = _costs(groups, {*target.given, ranking.cost}, profile, file)
    removed = Greedy(groups, queues, target, costs, ranking.cost).run(gone)
    plan = groups.plan(
        removed,
        target=target.given,
        limits=asdict(limits),
        ranking=asdict(ranking),
        scores=_summary(scores, values, removed),
    )
    given = ((LATENCY, profile is not None), (ARENA, file is not None))
    measured = [metric for metric, is_there in given if is_there]
    left, dense = (
        {metric: costs.total(metric, counts) for metric in measured}
        for counts in (groups.counts_kept(removed), groups.counts)
    )
    return replace(plan, cost={**plan.cost, **left}, dense_cost={**plan.dense_cost, **dense})


def _limits(limits: Limits, profile: LatencyProfile | None = None) -> Limits:
    check(limits)
    if limits.round_to:
        return limits
    return replace(limits, round_to=profile.tile if profile and profile.tile > 1 else _USUAL_TILE)


def _check_skip(groups: Groups, patterns: Sequence[str]) -> None:
    """Check that each pattern names a layer: one that was meant to be kept would be cut."""
    names = list(groups.wiring.layers)
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            close = difflib.get_close_matches(pattern, names, n=1)
            raise ConfigError(
                f"`{groups.model}` has no layer `{pattern}` to skip",
                hint=f"did you mean `{close[0]}`?" if close else "rsseg-tf inspect MODEL lists the layers",
            )


def _costs(groups: Groups, metrics: Set[str], profile: LatencyProfile | None, file: TFLiteModel | None) -> Costs:
    """Return the cost as a function of how many groups stay, with latency and memory where they are told."""
    if "macs" in metrics and groups.cost().macs is None:
        raise ModelError(
            f"the input size of `{groups.model}` is open, so its multiply-accumulates are not known",
            hint="build it with a fixed input size, or set a target for params",
        )
    if LATENCY in metrics and profile is None:
        raise ConfigError(
            f"`{LATENCY}` needs a latency profile of the dense model",
            hint="measure one on the device with `rsseg-tf benchmark MODEL.tflite --profile FILE.json`",
        )
    if ARENA in metrics and file is None:
        raise ConfigError(
            f"`{ARENA}` needs the int8 file of the dense model", hint="pass file=parse_model(…) of what `convert` made"
        )
    terms = groups.terms if profile is None else groups.terms_with(latency_terms(profile, groups.wiring))
    return Costs(terms, None if file is None else arena_of(file, groups))


def random_plan(groups: Groups, fraction: float = 0.5, *, seed: int) -> Plan:
    """Return the plan that removes a random `fraction` of the groups of every family, and leaves at least one.

    Raises:
        ConfigError: if `fraction` is not between 0 and 1.
    """
    if not 0 <= fraction <= 1:
        raise ConfigError(f"`fraction` must be between 0 and 1, got {fraction}")
    rng = np.random.default_rng(seed)
    removed = np.zeros(len(groups), bool)
    for family in groups.families:
        number = min(round(fraction * len(family)), len(family) - 1)
        removed[rng.permutation(family.groups)[:number]] = True
    return groups.plan(removed, random={"fraction": fraction, "seed": seed})


def largest_cut(
    groups: Groups,
    *,
    round_to: int = Limits.round_to,
    min_channels: int = Limits.min_channels,
    skip: Sequence[str] = (),
    attention: AttentionParts = Limits.attention,
) -> Plan:
    """Return the plan that removes as many groups as the limits of `choose` allow: no target can ask for more.

    Which groups of a family stay does not matter to its cost; here it is the last ones.

    Examples:
        >>> import keras
        >>> from rsseg_tf import pruning
        >>> x = keras.Input((8, 8, 3))
        >>> y = keras.layers.Conv2D(32, 3, name="stem")(x)
        >>> model = keras.Model(x, keras.layers.Conv2D(2, 1)(y))
        >>> len(largest_cut(pruning.find_groups(model), round_to=8).keep["stem"])
        8
    """
    limits = _limits(Limits(round_to, min_channels, tuple(skip), attention))
    _check_skip(groups, limits.skip)
    removed = np.zeros(len(groups), bool)
    for family in groups.families:
        removed[family.groups[: len(family) - _allowed(family, limits)[-1]]] = True
    return groups.plan(removed, limits=asdict(limits))


def _allowed(family: Family, limits: Limits) -> list[int]:
    """Return how many groups of a family may stay, largest first."""
    size = len(family)
    is_skipped = any(fnmatch.fnmatchcase(name, pattern) for name in family.members for pattern in limits.skip)
    if is_skipped or (family.part and limits.attention not in (family.part, "both")):
        return [size]
    # Of every head a multiple stays, so that any number of heads is one too.
    counts = [1] if family.part == "widths" else [*family.members.values()]
    least = max(1, *(math.ceil(limits.min_channels / count) for count in counts))
    step = math.lcm(*(limits.round_to // math.gcd(limits.round_to, count) for count in counts))
    return [size, *(count for count in range(size - 1, 0, -1) if count % step == 0 and count >= least)]


def _summary(scores: Scores, values: NDArray[np.float64], removed: NDArray[np.bool_]) -> dict[str, object]:
    return {
        "criterion": scores.criterion,
        "groups": len(values),
        "removed": int(removed.sum()),
        "mean_removed": float(values[removed].mean()) if removed.any() else None,
        "mean_kept": float(values[~removed].mean()) if (~removed).any() else None,
    }
