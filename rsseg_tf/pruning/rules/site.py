"""Channel ids: one integer for every output channel that a layer creates, carried by every tensor.

A walk over the graph (`rsseg_tf.pruning.wiring`) visits every call of a layer. The layer's rule sees
the call as a `Site`: it reads the ids of the inputs, says which ids the layer's variables are indexed by,
which ids must go together, which must stay, and returns the ids of the output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.graphs import Call
from rsseg_tf.graphs.facts import Labels

Ids = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Signal:
    """A tensor as pruning sees it.

    Attributes:
        shape: without the batch axis; None where unknown. Channels are the last axis, unless `axes` says otherwise.
        ids: the channel id of each channel, int64 (C,); of channels that are spread over axes, as these are.
        dead: what each channel emits once it is removed by mask, float64 like `ids`: 0 after a layer with
            weights, sigmoid(0) after a sigmoid; NaN where the value would not be the same everywhere.
        axes: the axes of `shape` that channels are spread over, in order, such as heads and the width of each; none of
            a tensor without channels; None for the last alone.
    """

    shape: tuple[int | None, ...]
    ids: Ids
    dead: Values
    axes: tuple[int, ...] | None = None

    @property
    def places(self) -> tuple[int, ...]:
        """The axes of `shape` that hold channels."""
        return (len(self.shape) - 1,) if self.axes is None else self.axes

    @property
    def positions(self) -> int | None:
        """Product of the axes that hold no channels, None where one is unknown."""
        return product_of(tuple(size for axis, size in enumerate(self.shape) if axis not in self.places))

    def laid_out(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return one value a channel, with an axis for the batch and for each axis of `shape`."""
        sizes = dict(zip(self.places, self.ids.shape, strict=True))
        return values.reshape(1, *(sizes.get(axis, 1) for axis in range(len(self.shape))))


@dataclass
class LayerNotes:
    """What the walk wrote down about one layer.

    Attributes:
        axes: label of a variable's axis (such as `in`, `out`) → the ids that index it.
        resize: key of the layer's config → the ids whose number it holds; of two axes, those of its last two entries.
        folds: per channel of `in`, the constant that a removed one keeps sending; None until known.
        creates: whether the ids of `out` are the layer's own.
        positions: `in` or `out` → positions summed over the calls, None where unknown.
        emitted: the ids of what the layer returns; None where no rule says so.
    """

    axes: dict[str, Ids] = field(default_factory=dict)
    resize: dict[str, Ids] = field(default_factory=dict)
    folds: Values | None = None
    creates: bool = False
    positions: dict[str, int | None] = field(default_factory=dict)
    emitted: Ids | None = None


@dataclass(frozen=True, eq=False)
class Freeze:
    """Channel ids that must stay, and why."""

    ids: Ids
    layer: str
    reason: str


@dataclass(frozen=True, eq=False)
class Heads:
    """Channels of which one stays where its head and its place within the heads both stay.

    Attributes:
        cells: the ids of the channels, (heads, width).
        rows: an id for each head, (heads,).
        columns: an id for each place within the heads, (width,).
        layer: which says so.
    """

    cells: Ids
    rows: Ids
    columns: Ids
    layer: str


@dataclass
class Ledger:
    """Everything that the walk wrote down: notes by layer, pairs of ids that go together, and freezes.

    Attributes:
        count: how many ids there are.
        notes: by name of the layer.
        couples: pairs of ids, (2, n).
        freezes: what must stay.
        grids: ids that are spread over two axes.
        heads: those of them whose rows are heads, by their ids.
    """

    count: int = 0
    notes: dict[str, LayerNotes] = field(default_factory=dict)
    couples: list[Ids] = field(default_factory=list)
    freezes: list[Freeze] = field(default_factory=list)
    grids: list[Ids] = field(default_factory=list)
    heads: dict[tuple[int, bytes], Heads] = field(default_factory=dict)

    def heads_of(self, grid: Ids, layer: str) -> Heads:
        """Return the heads that are the rows of a grid, which `layer` says that they are."""
        key = (len(grid), grid.tobytes())
        if key not in self.heads:
            rows, columns = map(self.new_ids, grid.shape)
            self.heads[key] = Heads(grid, rows, columns, layer)
        return self.heads[key]

    def new_ids(self, number: int) -> Ids:
        """Return ids that no channel has yet."""
        self.count += number
        return np.arange(self.count - number, self.count)


class _Names(Protocol):
    """What a `Site` asks of the rule of its layer."""

    @property
    def axes(self) -> Mapping[str, Labels]: ...
    @property
    def bias(self) -> str: ...
    @property
    def activation(self) -> str: ...


class Site:
    """One call of a layer, as its rule sees it.

    Attributes:
        layer: the layer or operation.
        inputs: what flows in.
        output_shape: of the first output, without the batch axis.
        activation: what the layer applies to each sum, a function or a layer; None for nothing.
        has_bias: whether the layer adds a variable of its own to each output channel.
    """

    def __init__(self, call: Call, inputs: tuple[Signal, ...], ledger: Ledger, rule: _Names | None = None) -> None:
        self.layer = call.operation
        activation = getattr(call.operation, rule.activation, None) if rule else None
        self.activation: Any = keras.activations.get(activation) if isinstance(activation, str) else activation
        self.has_bias = rule is not None and getattr(call.operation, rule.bias, None) is not None
        self._folds = rule is not None and any({"in", "out"} <= set(labels) for labels in rule.axes.values())
        self.inputs = inputs
        self.output_shape: tuple[int | None, ...] = tuple(call.outputs[0].shape[1:])
        self._call = call
        self._ledger = ledger
        self._notes = ledger.notes.setdefault(call.operation.name, LayerNotes())

    @property
    def width(self) -> int:
        """Number of channels that come out; 0 where unknown."""
        return (self.output_shape[-1] or 0) if self.output_shape else 0

    @property
    def constants(self) -> list[Any]:
        """Arrays that the call takes besides the tensors of the graph."""
        return self._call.constants

    @property
    def arguments(self) -> list[Any]:
        """What the call takes besides the tensors of the graph."""
        return self._call.arguments

    def axis(self, label: str, ids: Ids) -> None:
        """Say that the variable axes called `label` are indexed by `ids`."""
        if label in self._notes.axes:
            self.join(self._notes.axes[label], ids)
        else:
            self._notes.axes[label] = ids

    def created(self, number: int) -> Ids:
        """Return the layer's own ids: new in its first call, the same in every further one."""
        if not self._notes.creates:
            self._notes.creates = True
            self._notes.axes["out"] = self._ledger.new_ids(number)
        return self._notes.axes["out"]

    def new_ids(self, number: int) -> Ids:
        """Return ids that no channel has yet."""
        return self._ledger.new_ids(number)

    def join(self, first: Ids, second: Ids) -> None:
        """Say that the channels of `first` and `second` can only go together, pair by pair."""
        if first.shape != second.shape:
            self.freeze(np.concatenate([first, second], None), "takes tensors with different numbers of channels")
        else:
            self._ledger.couples.append(np.stack([first.reshape(-1), second.reshape(-1)]))

    def spread(self, ids: Ids) -> Ids:
        """Say that channels are spread over two axes, (rows, columns), so that whole columns go, or rows (`heads`)."""
        self._ledger.grids.append(ids)
        return ids

    def heads(self, grid: Ids) -> Heads:
        """Say that the rows of a grid are heads: whole rows go, and whole columns, without regard to each other."""
        return self._ledger.heads_of(grid, self.layer.name)

    def freeze(self, ids: Ids, reason: str) -> None:
        """Say that channels must stay. `reason` continues a sentence that begins with the layer's name."""
        if ids.size:
            self._ledger.freezes.append(Freeze(ids.reshape(-1), self.layer.name, reason))

    def resize(self, key: str, ids: Ids) -> None:
        """Say that the layer's config holds the number of `ids` that stay under `key` (or last in a shape there)."""
        self._notes.resize[key] = ids

    def contract(self, signal: Signal, *, can_fold: bool) -> None:
        """Say that the layer sums over the channels of `signal`, its variables' axis `in`.

        A removed channel that still sends a constant is folded into the layer's bias where `can_fold`
        (the layer has a bias and no zero padding) and one variable goes from `in` to `out`; elsewhere it is frozen.
        """
        self.axis("in", signal.ids)
        dead = signal.dead
        earlier = self._notes.folds
        lost = np.isnan(dead) | ((dead != 0) & (not (can_fold and self._folds)))
        if earlier is not None:
            lost |= earlier != dead
        self.freeze(signal.ids[lost], "would keep receiving a constant that no bias can absorb")
        self._notes.folds = np.where(lost, 0.0, dead)

    def evaluate(self, unknown: Sequence[float]) -> Values:
        """Return what the layer makes of removed channels, for layers that act on each element alone.

        Args:
            unknown: what takes the place of values that are not the same everywhere, in turn.

        Returns:
            One row for each of `unknown`, float64, with a value a channel.
        """
        rows = [[np.where(np.isnan(signal.dead), each, signal.dead) for each in unknown] for signal in self.inputs]
        values = [
            np.concatenate([signal.laid_out(each) for each in own]).astype(np.float32)
            for signal, own in zip(self.inputs, rows, strict=True)
        ]
        found = self._call.evaluate(values).reshape(len(unknown), -1)
        shape = self.inputs[0].ids.shape
        return found.reshape(-1, *shape) if found[0].size == self.inputs[0].ids.size else found

    def output(
        self, ids: Ids, dead: Values | float = 0.0, *, axes: tuple[int, ...] | None = None, part: int = 0
    ) -> Signal:
        """Return the signal that flows out, of several the one numbered `part`; `axes` as in `Signal`."""
        self._notes.emitted = ids.reshape(-1)
        last = (len(self.output_shape) - 1,)
        dead = np.broadcast_to(np.asarray(dead, np.float64), ids.shape)
        shape = tuple(self._call.outputs[part].shape[1:]) if part else self.output_shape
        return Signal(shape, ids, dead, None if axes == last else axes)

    def keep_shape(self) -> None:
        """Take sizes that Keras leaves open from what comes in, for layers that change none but by spreading ones."""
        shapes = [signal.shape for signal in self.inputs if len(signal.shape) == len(self.output_shape)]

        def known(sizes: tuple[int | None, ...]) -> int | None:
            most = max((size or 0 for size in sizes), default=0)
            return most if most > 1 or (most and None not in sizes) else None

        incoming = zip(*shapes, strict=True) if shapes else [()] * len(self.output_shape)
        self.output_shape = tuple(
            known(sizes) if size is None else size for size, sizes in zip(self.output_shape, incoming, strict=True)
        )

    def unknown(self) -> tuple[Signal, ...]:
        """Return the tensors that come out as if no rule described them."""
        return tuple(new_signal(self._ledger, tensor) for tensor in self._call.outputs)

    def count_positions(self, output: Signal) -> None:
        """Add this call's positions to the layer's."""
        for label, signal in (("in", self.inputs[0] if self.inputs else output), ("out", output)):
            so_far = self._notes.positions.get(label, 0)
            here = signal.positions
            self._notes.positions[label] = None if so_far is None or here is None else so_far + here


def new_signal(ledger: Ledger, tensor: keras.KerasTensor) -> Signal:
    """Return a tensor that no rule describes, whose channels must stay; one of unknown width has no ids."""
    shape = tuple(tensor.shape[1:])
    width = shape[-1] if shape and shape[-1] is not None else 0
    return Signal(shape, ledger.new_ids(width), np.zeros(width))


def product_of(sizes: tuple[int | None, ...]) -> int | None:
    """Return the product of sizes, None where one is unknown."""
    known = [size for size in sizes if size is not None]
    return int(np.prod(known, dtype=np.int64)) if len(known) == len(sizes) else None
