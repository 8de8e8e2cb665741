"""A plan: which output channels of which layers stay. It can be printed, saved and replayed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from rsseg_tf.errors import ModelError
from rsseg_tf.pruning.cost import Cost
from rsseg_tf.runs import package_versions


@dataclass(frozen=True)
class Plan:
    """What a pruned model keeps.

    Attributes:
        keep: layer → sorted indices of the output channels that stay, for layers that lose some.
        widths: the same layers → how many output channels they have in the dense model.
        cost: metric (`params`, `macs`, `int8_bytes`, and `latency_ms` where there was a profile, `arena_bytes` where
            there was a file) → what is left of it; whole numbers but for the time, None where unknown.
        dense_cost: the same metrics of the dense model.
        details: how the plan was made: target, options, criterion, summary of the scores.
        versions: package → version.
    """

    keep: Mapping[str, tuple[int, ...]]
    widths: Mapping[str, int]
    cost: Mapping[str, Any]
    dense_cost: Mapping[str, Any]
    details: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=package_versions)

    @classmethod
    def of(
        cls, keep: Mapping[str, tuple[int, ...]], widths: Mapping[str, int], dense: Cost, slim: Cost, **details: object
    ) -> Plan:
        """Return the plan that keeps `keep`, with the metrics of both models."""
        metrics = ("params", "macs", "int8_bytes")
        return cls(
            keep=dict(keep),
            widths=dict(widths),
            cost={metric: getattr(slim, metric) for metric in metrics},
            dense_cost={metric: getattr(dense, metric) for metric in metrics},
            # As JSON gives it back, so that a plan equals what was saved of it.
            details=json.loads(json.dumps(details)),
        )

    def share(self, metric: str) -> float:
        """Return the share of a metric of the dense model, such as `params`, that is left; NaN where unknown."""
        left, dense = self.cost.get(metric), self.dense_cost.get(metric)
        return left / dense if left is not None and dense else float("nan")

    def to_json(self) -> str:
        """Return the plan as indented JSON."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Return the plan that `to_json` wrote.

        Raises:
            ModelError: if the text is not one.
        """
        try:
            raw = json.loads(text)
            keep = {name: tuple(int(i) for i in indices) for name, indices in raw["keep"].items()}
            widths = {name: int(raw["widths"][name]) for name in keep}
            for name, kept in keep.items():
                if not all(low < high for low, high in pairwise((-1, *kept, widths[name]))):
                    raise ValueError(f"`{name}` has {widths[name]} channels, and {kept} are to stay")
            costs = {key: _figures(raw[key]) for key in ("cost", "dense_cost")}
            rest = {key: dict(raw[key]) for key in ("details", "versions")}
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ModelError(
                f"this is not a pruning plan: {type(error).__name__}: {error}", hint="take one that prune wrote"
            ) from error
        return cls(keep=keep, widths=widths, **costs, **rest)

    def __str__(self) -> str:
        shares = ", ".join(f"{self.share(metric):.1%} of the {metric}" for metric in self.cost)
        width = max((len(name) for name in self.keep), default=0)
        rows = [f"{name:{width}} {len(kept):5} of {self.widths[name]}" for name, kept in self.keep.items()]
        return "\n".join([f"keeps {shares}", *rows])


def _figures(costs: Mapping[str, Any]) -> dict[str, Any]:
    """Return metrics, of which each is a finite number or unknown."""
    for metric, value in costs.items():
        if value is not None and (isinstance(value, bool) or not math.isfinite(value) or value < 0):
            raise ValueError(f"`{metric}` is {value}")
    return dict(costs)


def within(plan: Plan, base: Plan) -> Plan:
    """Return `plan`, made for the dense model, as a plan for the model that `base` left of it.

    Raises:
        ModelError: if `base` removed channels that `plan` keeps.
    """
    keep, widths = {}, {}
    for name, kept in plan.keep.items():
        left = np.asarray(base.keep.get(name, range(plan.widths[name])))
        if not np.isin(kept, left).all():
            raise ModelError(f"channels of `{name}` that the plan keeps were already removed")
        if len(kept) < len(left):
            keep[name] = tuple(np.flatnonzero(np.isin(left, kept)).tolist())
            widths[name] = len(left)
    return Plan(keep, widths, cost=plan.cost, dense_cost=base.cost, details=plan.details, versions=plan.versions)
