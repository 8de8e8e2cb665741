"""The walk over the graph: from a model to what its variables' axes are indexed by and what goes together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import ModelError
from rsseg_tf.graphs import Call, calls, flatten, makers, private
from rsseg_tf.pruning.components import Part, components
from rsseg_tf.pruning.rules.flows import frozen, frozen_parts
from rsseg_tf.pruning.rules.grids import merged_shape
from rsseg_tf.pruning.rules.site import Freeze, Ids, LayerNotes, Ledger, Signal, Site, Values
from rsseg_tf.pruning.rules.table import Rule, Rules, check_rules, rule_for, why_frozen

CONTRACTED = "in"
"""Label of the axes that a layer sums over: removed channels are cut there by rebuild but not zeroed by mask."""


@dataclass(frozen=True)
class Variable:
    """A variable of a layer.

    Attributes:
        name: the layer's attribute, or the variable's own name where no rule names it.
        index: its place in `layer.weights`.
        shape: dense; axes that channels are spread over count as one.
        labels: axis → label, for the axes that channel ids index.
        positions: how often each element multiplies for one image, None where the input size is open.
        item_bytes: bytes of an element.
    """

    name: str
    index: int
    shape: tuple[int, ...]
    labels: Mapping[int, str]
    positions: int | None
    item_bytes: int


@dataclass(frozen=True)
class LayerWiring:
    """A layer and the channel ids of its axes.

    Attributes:
        kind: name of the type.
        axes: label → ids; those of `out` leave the layer.
        resize: config key → the ids whose number it holds; of two axes, those of its last two entries.
        folds: constant that a removed channel of `in` keeps sending, or None.
        creates: whether the ids of `out` are the layer's own.
        variables: all of the layer's, in the order of `layer.weights`.
        emitted: the ids of what the layer returns, in its last call; None where no rule says so.
        reads: the layers whose outputs it takes.
        bias: name of the variable that is added to each output channel.
        activation: attribute of the layer that holds what it applies to its sums.
        is_known: whether a rule describes it.
    """

    name: str
    kind: str
    axes: Mapping[str, Ids]
    resize: Mapping[str, Ids]
    folds: Values | None
    creates: bool
    variables: tuple[Variable, ...]
    emitted: Ids | None
    reads: tuple[str, ...]
    bias: str
    activation: str
    is_known: bool

    @property
    def multiplies(self) -> bool:
        """Whether the layer's variables multiply its input: a convolution or dense layer."""
        return any(variable.positions != 0 for variable in self.variables)

    @property
    def kernel(self) -> Variable:
        """The variable that holds the filters of a layer that multiplies: of a separable one, the pointwise half."""
        return [variable for variable in self.variables if variable.positions != 0][-1]

    @property
    def folding(self) -> Variable:
        """The variable from `in` to `out` of a layer that constants can be folded into."""
        return next(v for v in reversed(self.variables) if {CONTRACTED, "out"} <= set(v.labels.values()))


@dataclass(frozen=True)
class Wiring:
    """A flat graph's layers by name in topological order, and the groups of every channel id.

    Attributes:
        group_of: int64 (ids,), number of the group, −1 for channels that must stay.
        also_of: int64 (ids,), number of the other group that a channel of attention goes with, −1 for none.
        parts: what each group takes of attention, (groups,).
        frozen: layer → why some or all of its channels must stay.
    """

    layers: Mapping[str, LayerWiring]
    group_of: Ids
    also_of: Ids
    parts: tuple[Part, ...]
    frozen: Mapping[str, str]

    @property
    def group_count(self) -> int:
        """How many groups there are."""
        return len(self.parts)

    def groups_of(self, ids: Ids) -> tuple[Ids, Ids]:
        """Return the groups that ids go with, −1 for none: there is a second one in attention alone."""
        return self.group_of[ids], self.also_of[ids]

    def kept(self, removed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which ids stay, bool (ids,), without the groups where `removed`, bool (groups,)."""
        gone = np.append(removed, False)  # −1 is the last
        return np.asarray(~(gone[self.group_of] | gone[self.also_of]))

    def flat(self, model: keras.Model) -> keras.Model:
        """Return the flat graph of the model that this is the wiring of."""
        return flatten(model, whole=lambda layer: layer.name in self.layers)


def trace(model: keras.Model, rules: Rules | None = None) -> Wiring:
    """Return the wiring of `model`; nested models, and layers made of layers, are read as if they were inlined.

    Args:
        model: a functional model.
        rules: rows that come before those of `RULES`.

    Raises:
        ModelError: if the model's graph cannot be read, or a rule names what its layer does not have.
        ConfigError: if `rules` are not rules.
    """
    check_rules(rules)
    flat = flatten(model, whole=lambda layer: rule_for(layer, rules) is not None)
    every = calls(flat, with_inputs=True)
    operations = {call.operation.name: call.operation for call in every}
    rule_of = {name: rule_for(operation, rules) for name, operation in operations.items()}
    for name, rule in rule_of.items():
        if rule is not None:
            _check_names(operations[name], rule)
    ledger = Ledger()
    signals: dict[int, Signal] = {}
    for call in every:
        inputs = tuple(signals[id(tensor)] for tensor in call.inputs)
        outputs = _flow(call, rule_of[call.operation.name], inputs, ledger, rules)
        signals.update(zip(map(id, call.outputs), outputs, strict=True))
    for tensor in flat.outputs:
        _freeze_output(signals[id(tensor)], private.maker(tensor).name, rule_of, ledger)
    found = components(ledger)
    reads = _reads(every)
    layers = {
        name: _layer(operation, rule_of[name], ledger.notes[name], reads[name])
        for name, operation in operations.items()
    }
    effective = {id(freeze) for freeze in found.reasons.values()}
    blockers = [x for x in ledger.freezes if id(x) in effective or not rule_of[x.layer]]
    frozen_layers = _frozen_layers(layers, found.group_of, found.reasons, blockers)
    return Wiring(layers, found.group_of, found.also_of, found.parts, frozen_layers)


def _check_names(operation: keras.Operation, rule: Rule) -> None:
    """Check that a layer has what its rule names."""
    optional = [name for name, usual in ((rule.bias, "bias"), (rule.activation, "activation")) if name != usual]
    missing = [name for name in (*rule.axes, *optional) if not hasattr(operation, name)]
    if missing:
        raise ModelError(
            f"`{operation.name}` ({type(operation).__name__}) has no `{missing[0]}`, which its rule names",
            hint="a rule names attributes of the layer, as they are once it is built",
        )
    for name, labels in rule.axes.items():
        rank = len(getattr(getattr(operation, name), "shape", labels))
        if len(labels) > rank:
            raise ModelError(
                f"`{name}` of `{operation.name}` ({type(operation).__name__}) has {rank} axes, its rule labels "
                f"{len(labels)}",
                hint="label the last axes alone",
            )


def _flow(
    call: Call, rule: Rule | None, inputs: tuple[Signal, ...], ledger: Ledger, rules: Rules | None
) -> tuple[Signal, ...]:
    site = Site(call, inputs, ledger, rule)
    reason = why_frozen(call.operation, rules) if rule is None else _obstacle(call, rule, inputs)
    if reason is None and rule is not None:
        found = rule.flow(site)
        outputs = found if isinstance(found, tuple) else (found,)
        site.count_positions(outputs[0])
        return outputs
    return (frozen(site, reason or ""),) if len(call.outputs) == 1 else frozen_parts(site, reason or "")


def _freeze_output(output: Signal, maker: str, rule_of: Mapping[str, Rule | None], ledger: Ledger) -> None:
    """Freeze an output of the model, and the classes that some layer before it only enlarges."""
    ledger.freezes.append(Freeze(output.ids.reshape(-1), maker, "is an output of the model"))
    for name, rule in rule_of.items():
        notes = ledger.notes[name]
        ids = output.ids.reshape(-1)
        incoming, outgoing = notes.axes.get("in", ids), notes.axes.get("out", ids)
        enlarges = rule is not None and rule.enlarges and notes.creates
        if enlarges and len(incoming) == len(outgoing) and np.array_equal(outgoing, ids):
            ledger.freezes.append(Freeze(incoming, name, "enlarges an output of the model"))


def _obstacle(call: Call, rule: Rule, inputs: tuple[Signal, ...]) -> str | None:
    """Return why the call's rule cannot be applied, None where it can."""
    if getattr(call.operation, "data_format", None) == "channels_first":
        return "has the channels first"
    if (len(call.outputs) != 1 and not rule.splits) or not inputs or any(not signal.ids.size for signal in inputs):
        return "has tensors whose number of channels is not known"
    if not rule.spread and any(signal.axes is not None for signal in inputs):
        return "takes channels that are spread over several axes"
    named = {id(getattr(call.operation, name, None)) for name in rule.axes}
    others = [weight for weight in getattr(call.operation, "weights", ()) if id(weight) not in named]
    unknown = [weight.name for weight in others if np.prod(weight.shape) > 1]
    return f"holds `{unknown[0]}`, which its rule does not mention" if unknown else None


def _frozen_layers(
    layers: Mapping[str, LayerWiring], group_of: Ids, reasons: Mapping[int, Freeze], freezes: list[Freeze]
) -> dict[str, str]:
    """Return layer → why channels that it creates must stay, or why channels that meet it must."""
    own = {freeze.layer: freeze.reason for freeze in reversed(freezes)}
    frozen_layers = {}
    for name, layer in layers.items():
        ids = layer.axes["out"] if layer.creates else np.zeros(0, np.int64)
        stuck = ids[group_of[ids] < 0]
        if len(stuck):
            freeze = reasons[int(stuck[0])]
            share = "" if len(stuck) == len(ids) else f"{len(stuck)} of {len(ids)} channels: "
            where = "" if freeze.layer == name else f"`{freeze.layer}` "
            frozen_layers[name] = f"{share}{where}{freeze.reason}"
        elif name in own:
            frozen_layers[name] = own[name]
    return frozen_layers


def _reads(every: Sequence[Call]) -> dict[str, tuple[str, ...]]:
    """Return layer → the layers whose outputs it takes, over all of its calls."""
    made_by = makers(every)
    reads: dict[str, tuple[str, ...]] = {}
    for call in every:
        name = call.operation.name
        reads[name] = reads.get(name, ()) + tuple(made_by[id(tensor)].name for tensor in call.inputs)
    return reads


def _layer(operation: keras.Operation, known: Rule | None, notes: LayerNotes, reads: tuple[str, ...]) -> LayerWiring:
    rule = known or Rule(frozen_flow)
    resize = dict(notes.resize)
    resize.update({key: notes.axes[label] for key, label in rule.config.items() if label in notes.axes})
    return LayerWiring(
        name=operation.name,
        kind=type(operation).__name__,
        axes=notes.axes,
        resize=resize,
        folds=notes.folds if notes.folds is not None and np.any(notes.folds != 0) else None,
        creates=notes.creates,
        variables=tuple(_variables(operation, rule, notes)),
        emitted=notes.emitted,
        reads=reads,
        bias=rule.bias,
        activation=rule.activation,
        is_known=known is not None,
    )


def _variables(operation: keras.Operation, rule: Rule, notes: LayerNotes) -> list[Variable]:
    names = {id(getattr(operation, name, None)): name for name in rule.axes}
    variables = []
    for index, weight in enumerate(getattr(operation, "weights", ())):
        name = names.get(id(weight), "")
        trailing = rule.axes.get(name, ())
        shape = tuple(weight.shape)
        if rule.merges:
            shape = merged_shape(shape, [len(notes.axes.get(label or "", ())) for label in trailing])
        first = len(shape) - len(trailing)
        labels = {first + k: label for k, label in enumerate(trailing) if label is not None}
        variables.append(
            Variable(
                name=name or weight.name,
                index=index,
                shape=shape,
                labels={axis: label for axis, label in labels.items() if _indexes(notes.axes, label, shape[axis])},
                positions=notes.positions.get(rule.macs[name]) if name in rule.macs else 0,
                item_bytes=weight.value.dtype.size,
            )
        )
    return variables


def _indexes(axes: Mapping[str, Ids], label: str, length: int) -> bool:
    """Return whether ids index an axis: slopes that are shared and kernels of a depthwise block have length 1 there."""
    return label in axes and len(axes[label]) == length


def frozen_flow(site: Site) -> Signal:
    """Return the flow of a layer without a rule."""
    return frozen(site, why_frozen(site.layer))
