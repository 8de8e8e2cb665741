"""Groups: the channels of a model that can only be removed together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import keras
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import ModelError
from rsseg_tf.pruning.components import Part
from rsseg_tf.pruning.cost import Cost, CostTerms, Term, cost_terms, variable_terms, wired_cost
from rsseg_tf.pruning.plan import Plan
from rsseg_tf.pruning.rules.site import Ids
from rsseg_tf.pruning.rules.table import Rules
from rsseg_tf.pruning.widths import Membership
from rsseg_tf.pruning.wiring import Wiring, trace


@dataclass(frozen=True)
class Family:
    """Groups that take the same share of every layer, such as the channels of one residual stage.

    Attributes:
        groups: their numbers, int64.
        members: layer that creates channels → how many of them go with each group.
        part: what each group takes of attention: `heads`, a whole one, or `widths`, a channel of every head.
    """

    groups: Ids
    members: Mapping[str, int]
    part: Part = ""

    def __len__(self) -> int:
        return len(self.groups)


@dataclass(frozen=True)
class Groups:
    """The groups of one model, numbered from 0; `print` lists them by family with members and cost.

    Attributes:
        model: the model's name.
        wiring: which channel ids index which variables, and each id's group.
        families: the groups, by what they take from each layer.
    """

    model: str
    wiring: Wiring
    families: tuple[Family, ...]

    def __len__(self) -> int:
        return self.wiring.group_count

    @property
    def frozen(self) -> Mapping[str, str]:
        """Layer → why all or some of the channels that it creates, or that meet it, must stay."""
        return self.wiring.frozen

    @cached_property
    def family_of(self) -> NDArray[np.int64]:
        """Number of the family of each group, (groups,)."""
        numbers = np.zeros(len(self), np.int64)
        for number, family in enumerate(self.families):
            numbers[family.groups] = number
        return numbers

    @cached_property
    def terms(self) -> CostTerms:
        """The cost as a function of how many groups of each family stay."""
        return self.terms_with(())

    def terms_with(self, measured: Sequence[Term]) -> CostTerms:
        """Return the `terms`, and those of a metric that does not follow from the graph, such as latency."""
        return cost_terms([*variable_terms(self.wiring), *measured], self.membership)

    @cached_property
    def membership(self) -> Membership:
        """The families of the channel ids."""
        family_of = np.append(self.family_of, -1)  # −1 is the last
        return Membership(family_of[self.wiring.group_of], family_of[self.wiring.also_of], self.counts)

    @property
    def counts(self) -> NDArray[np.float64]:
        """How many groups each family has, (families,)."""
        return np.asarray([len(family) for family in self.families], np.float64)

    def each(self, metric: str) -> NDArray[np.float64]:
        """Return what one group of each family adds to a metric of the dense model, (families,); NaN if open."""
        slope = self.terms.slope(metric, self.counts)
        return slope if getattr(self.cost(), metric) is not None else np.full_like(slope, np.nan)

    def members(self, group: int) -> Mapping[str, tuple[int, ...]]:
        """Return layer → the output channels that go with a group, for the layers that create channels."""
        found = {}
        for name, ids in self._created():
            channels = np.flatnonzero(np.any([each == group for each in self.wiring.groups_of(ids)], axis=0))
            if len(channels):
                found[name] = tuple(channels.tolist())
        return found

    def counts_kept(self, removed: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return how many groups of each family stay, (families,), without those where `removed`, bool (groups,)."""
        return self.counts - np.bincount(self.family_of[removed], minlength=len(self.families))

    def plan(self, removed: NDArray[np.bool_], **details: object) -> Plan:
        """Return the plan that removes the groups where `removed`, bool (groups,), and what it leaves of the cost."""
        kept = self.wiring.kept(removed)
        keep = {name: tuple(np.flatnonzero(kept[ids]).tolist()) for name, ids in self._created() if not kept[ids].all()}
        dense, slim = wired_cost(self.wiring, np.ones_like(kept)), wired_cost(self.wiring, kept)
        return Plan.of(keep, {name: len(ids) for name, ids in self._created() if name in keep}, dense, slim, **details)

    def removed(self, plan: Plan) -> NDArray[np.bool_]:
        """Return which groups a plan removes, bool (groups,).

        Raises:
            ModelError: if the plan was made for another model.
        """
        return removed_groups(self.wiring, plan)

    def cost(self, plan: Plan | None = None) -> Cost:
        """Return what the model costs, with a plan once rebuilt; exact and without building it.

        Raises:
            ModelError: if the plan was made for another model.
        """
        return wired_cost(self.wiring, self.wiring.kept(self.removed(plan) if plan else np.zeros(len(self), bool)))

    def _created(self) -> Iterator[tuple[str, Ids]]:
        for layer in self.wiring.layers.values():
            if layer.creates:
                yield layer.name, layer.axes["out"]

    def __str__(self) -> str:
        params, macs = self.each("params"), self.each("macs")
        costs = [f"{params[i]:,.0f} params, {_number(macs[i])} MACs" for i in range(len(self.families))]
        lines = [f"{self.model}: {len(self)} groups in {len(self.families)} families"]
        lines += [
            f"{len(family):6} {family.part or 'groups'} of {_listed(family.members)}: {each} each"
            for family, each in zip(self.families, costs, strict=True)
        ]
        lines += [f"frozen `{name}`: {reason}" for name, reason in self.frozen.items()]
        return "\n".join(lines)


def find_groups(model: keras.Model, *, rules: Rules | None = None) -> Groups:
    """Return the groups of a functional model; nested models are read as if they were inlined.

    Args:
        model: the dense model.
        rules: for layers that `RULES` does not know; they come before its rows, in this call alone.

    Raises:
        ModelError: if the model is subclassed, not built, or joins nested layers of the same name.

    Examples:
        >>> x = keras.Input((8, 8, 3))
        >>> y = keras.layers.Conv2D(4, 3, name="stem")(x)
        >>> groups = find_groups(keras.Model(x, keras.layers.Conv2D(2, 1, name="head")(y)))
        >>> len(groups), groups.members(0), groups.frozen["head"]
        (4, {'stem': (0,)}, 'is an output of the model')
    """
    wiring = trace(model, rules)
    return Groups(model.name, wiring, _families(wiring))


def kept_ids(wiring: Wiring, plan: Plan) -> NDArray[np.bool_]:
    """Return which channel ids stay under a plan, bool (ids,); errors are those of `removed_groups`."""
    return wiring.kept(removed_groups(wiring, plan))


def removed_groups(wiring: Wiring, plan: Plan) -> NDArray[np.bool_]:
    """Return which groups a plan removes, bool (groups,).

    Raises:
        ModelError: if the plan names layers, channels or widths that the model does not have, would
            leave a layer nothing, or removes part of a group.
    """
    kept = np.ones(len(wiring.group_of), bool)
    for name, channels in plan.keep.items():
        layer = wiring.layers.get(name)
        if layer is None or not layer.creates or len(layer.axes["out"]) != plan.widths[name]:
            came = "no such layer" if layer is None else f"{len(layer.axes.get('out', ()))} channels"
            if layer is not None and name in wiring.frozen and "has no rule" in wiring.frozen[name]:
                raise ModelError(
                    f"the plan removes channels of `{name}`, which {wiring.frozen[name]} here",
                    hint="give the `rules` that the plan was made with",
                )
            raise _misfit(f"`{name}` has {plan.widths[name]} channels in the plan, the model has {came}")
        ids = layer.axes["out"]
        if not channels or min(channels) < 0 or max(channels) >= len(ids):
            raise _misfit(f"the plan keeps channels {list(channels)} of the {len(ids)} of `{name}`")
        kept[np.delete(ids, channels)] = False
    if np.any(wiring.group_of[~kept] < 0):
        raise _misfit("it removes channels that must stay")
    created = np.concatenate([np.zeros(0, np.int64), *(x.axes["out"] for x in wiring.layers.values() if x.creates)])
    # A group goes where nothing of it stays. The last stands for −1.
    has_channels, stays = (np.zeros(wiring.group_count + 1, bool) for _ in range(2))
    for number in wiring.groups_of(created):
        has_channels[number] = True
        stays[number[kept[created]]] = True
    removed = (has_channels & ~stays)[:-1]
    if np.any(wiring.kept(removed)[created] != kept[created]):
        raise _misfit("it removes part of the channels that can only go together")
    return removed


def _misfit(what: str) -> ModelError:
    return ModelError(f"the plan does not fit this model: {what}", hint="apply it to the model that it was made for")


def _families(wiring: Wiring) -> tuple[Family, ...]:
    """Return groups by how many ids each has on every axis of every layer."""
    number = wiring.group_count
    signature = np.zeros(number, np.uint64)
    rng = np.random.default_rng(0)
    # Most layers pass on the array that they got: each is counted once.
    axes = {id(ids): ids for layer in wiring.layers.values() for ids in layer.axes.values()}
    for ids in axes.values():
        for groups in wiring.groups_of(ids):
            share = np.bincount(groups[groups >= 0], minlength=number).astype(np.uint64)
            signature += share * rng.integers(2**63, dtype=np.uint64)  # modulo 2⁶⁴: equal for others by 1e-15
    for part in sorted(set(wiring.parts)):
        signature[[own == part for own in wiring.parts]] += rng.integers(2**63, dtype=np.uint64)
    _, first, label, size = np.unique(signature, return_index=True, return_inverse=True, return_counts=True)
    members = np.split(np.argsort(label, kind="stable"), np.cumsum(size)[:-1]) if number else []
    return tuple(_family(wiring, members[each]) for each in np.argsort(first))


def _family(wiring: Wiring, groups: Ids) -> Family:
    members = {}
    for layer in wiring.layers.values():
        if layer.creates:
            count = sum(int((each == groups[0]).sum()) for each in wiring.groups_of(layer.axes["out"]))
            if count:
                members[layer.name] = count
    return Family(groups, members, wiring.parts[groups[0]])


def _number(value: float) -> str:
    return "unknown" if np.isnan(value) else f"{value:,.0f}"


def _listed(members: Mapping[str, int]) -> str:
    names = [name if count == 1 else f"{count} × {name}" for name, count in members.items()]
    return " + ".join(names)
