"""Where scores are measured: the tensors behind each layer at which activation times gradient is summed.

For a layer that is linear in its weights, Σ ∂L/∂w·w over one filter equals Σ ∂L/∂y·y over the positions
of its output y (bias apart): Euler's theorem. So activations and their gradients give every Taylor
score, and the gradients of the kernels, a third of a training step, are never computed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from rsseg_tf.graphs import Call, calls, facts, readers
from rsseg_tf.pruning.wiring import LayerWiring, Variable, Wiring
from rsseg_tf.tracing.folding import Fold, foldable
from rsseg_tf.tracing.kept import counts_kept


@dataclass(frozen=True)
class Tap:
    """Where one layer's channels are judged.

    Attributes:
        layer: whose output channels.
        tensors: outputs, one a call; empty where `weights` are to be used.
        bias: what the output contains besides the filters' products, or None.
        weights: kernel and bias with their variables' wiring, where the tensors hide behind an activation.
        filter_size: number of weights of one filter.
    """

    layer: str
    tensors: tuple[keras.KerasTensor, ...]
    bias: Any = None
    weights: tuple[tuple[Any, Variable], ...] = ()
    filter_size: int = 1


class TapFinder:
    """Finds the taps of a flat model.

    Args:
        flat: the model.
        wiring: its wiring.
    """

    def __init__(self, flat: keras.Model, wiring: Wiring) -> None:
        self._wiring = wiring
        self._calls: dict[str, list[Call]] = defaultdict(list)
        every = calls(flat)
        for call in every:
            self._calls[call.operation.name].append(call)
        self._readers = readers(every)
        self._ends = {id(tensor) for tensor in flat.outputs}

    def filters(self, *, with_bias: bool) -> list[Tap]:
        """Return one tap for each layer that multiplies: its output, before any activation."""
        return [self._filter(layer, with_bias=with_bias) for layer in self._multiplying()]

    def gates(self) -> list[Tap]:
        """Return one tap for each place where a removed channel is zeroed last: norms, or filters without one.

        Where a ReLU alone reads a batch norm, the tap is behind it: y·∂L/∂y is the same there, as it passes on what is
        positive as it is and nothing of the rest, and the batch norm's own output need not be kept.
        """
        taps = []
        for layer in self._multiplying():
            norm = self._call_after(layer.name, lambda each: _is_norm(each) or counts_kept(each))
            end = norm and self._after(norm, _is_relu)
            taps.append(self._outputs(layer.name, [end]) if end else self._filter(layer, with_bias=True))
        return taps + [self._outputs(name, self._calls[name]) for name in self.lone_norms()]

    def activations(self) -> list[Tap]:
        """Return one tap for each layer that multiplies: its output after batch norm and activation."""
        taps = []
        for layer in self._multiplying():
            ends = [self._after(self._after(call, _is_norm), _is_activation) for call in self._calls[layer.name]]
            taps.append(self._outputs(layer.name, ends))
        return taps

    def norm_after(self, name: str) -> Call | None:
        """Return the call of the batch norm that alone reads a layer's output, or None."""
        return self._call_after(name, _is_norm)

    def folds(self) -> list[Fold]:
        """Return the batch norms that can be computed as a part of the layers before them."""
        return [self._fold(layer, norm.operation) for layer in self._multiplying() if (norm := self._foldable(layer))]

    def _foldable(self, layer: LayerWiring) -> Call | None:
        norm = self.norm_after(layer.name)
        if norm is None or len(self._calls[norm.operation.name]) > 1:
            return None
        rank = len(norm.outputs[0].shape)
        return norm if foldable(self.operation(layer.name), norm.operation, rank) else None

    def _fold(self, layer: LayerWiring, norm: keras.Operation) -> Fold:
        operation, kernel = self.operation(layer.name), layer.kernel
        filters = [axis for axis, label in kernel.labels.items() if label == "out"]
        rank = len(kernel.shape)
        return Fold(operation, norm, operation.weights[kernel.index], tuple(filters) or (rank - 2, rank - 1))

    def lone_norms(self) -> list[str]:
        """Return batch norms that follow no filter directly, as in pre-activation networks."""
        taken = {norm.operation.name for layer in self._multiplying() if (norm := self.norm_after(layer.name))}
        layers = self._wiring.layers
        norms = [name for name, own in self._calls.items() if _is_norm(own[0].operation) and name not in taken]
        return [name for name in norms if "out" in layers[name].axes]

    def operation(self, name: str) -> keras.Operation:
        """Return the layer of a name."""
        return self._calls[name][0].operation

    def width(self, name: str) -> int:
        """Return the number of output channels of a layer."""
        return len(self._wiring.layers[name].axes["out"])

    def multiplying(self) -> list[str]:
        """Return the names of the layers that have filters, in topological order."""
        return [layer.name for layer in self._multiplying()]

    def _multiplying(self) -> list[LayerWiring]:
        return [x for x in self._wiring.layers.values() if x.multiplies and "out" in x.axes]

    def _filter(self, layer: LayerWiring, *, with_bias: bool) -> Tap:
        operation = self.operation(layer.name)
        kernel = layer.kernel
        size = int(np.prod(kernel.shape)) // len(layer.axes["out"])
        bias = getattr(operation, layer.bias, None)
        if getattr(operation, layer.activation, None) not in (None, keras.activations.linear):
            chosen = [v for v in layer.variables if v == kernel or (with_bias and v.name == layer.bias)]
            weights = tuple((operation.weights[variable.index], variable) for variable in chosen)
            return Tap(layer.name, (), weights=weights, filter_size=size)
        outputs = tuple(call.outputs[0] for call in self._calls[layer.name])
        return Tap(layer.name, outputs, bias=None if with_bias else bias, filter_size=size)

    def _outputs(self, name: str, found: list[Call]) -> Tap:
        return Tap(name, tuple(call.outputs[0] for call in found))

    def _call_after(self, name: str, wanted: Callable[[keras.Operation], bool]) -> Call | None:
        """Return the call of a layer as `wanted` that alone reads the output of a layer called once, or None."""
        own = self._calls[name]
        after = self._after(own[0], wanted)
        return after if len(own) == 1 and after is not own[0] else None

    def _after(self, call: Call, wanted: Callable[[keras.Operation], bool]) -> Call:
        """Return the call of a layer as `wanted` that alone reads what `call` returns, else `call`."""
        tensor = call.outputs[0]
        behind = self._readers.get(id(tensor), [])
        alone = len(behind) == 1 and id(tensor) not in self._ends
        return behind[0] if alone and wanted(behind[0].operation) else call


def _is_norm(operation: keras.Operation) -> bool:
    return isinstance(operation, keras.layers.BatchNormalization)


def _is_relu(operation: keras.Operation) -> bool:
    if type(operation) is keras.layers.ReLU:
        return operation.max_value is None and not operation.negative_slope and not operation.threshold
    return type(operation) is keras.layers.Activation and operation.activation is keras.activations.relu


def _is_activation(operation: keras.Operation) -> bool:
    return facts(operation).is_activation
