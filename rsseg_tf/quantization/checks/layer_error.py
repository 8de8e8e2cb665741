"""How much error int8 adds in every layer, worst first, and which layers to leave in float for it.

Every figure is a signal-to-quantization-noise ratio in decibels: 10 · log10(signal / noise), the noise being the
mean square of the difference to the float model. It is taken channel by channel and averaged over them, and a
channel's signal is its variance: of a whole tensor, one loud channel or one large bias would hide that all
others are lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.quantization.checks.proof import is_named
from rsseg_tf.quantization.int8.calibrated import Images, with_verifiers
from rsseg_tf.quantization.int8.noise import ChannelNoise, dequantized, kernel_db, rounded
from rsseg_tf.quantization.int8.observe import TensorReader
from rsseg_tf.tflite.flatbuffer import Op, Tensor, TFLiteModel, parse_model
from rsseg_tf.tflite.layer_names import layers_by_op

_HALF_DB = 10 * np.log10(2)


@dataclass(frozen=True)
class LayerError:
    """The error of one operator, in decibels; None where there is nothing to compare.

    Attributes:
        layer: the Keras layer that it came from.
        op: such as `CONV_2D`.
        tensor: name of what it computes.
        local_db: of its result, when it alone is int8 and reads what the int8 layers before it output.
        rounding_db: of its exact result on the same inputs, merely rounded to its int8 output.
        cumulative_db: of its result in the whole int8 file against the float model.
        weights_db: of its learned constants, the worst where it has several; int32 biases aside.
    """

    layer: str
    op: str
    tensor: str
    local_db: float | None
    rounding_db: float | None
    cumulative_db: float | None
    weights_db: float | None

    @property
    def is_range(self) -> bool:
        """Whether at least half of the local noise comes from the output's range, not of the weights."""
        if self.local_db is None or self.rounding_db is None:
            return False
        return self.rounding_db - self.local_db <= _HALF_DB

    def record(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return asdict(self)


def layer_errors(
    file: bytes, calibrated: bytes, images: Images, *, layer_names: Sequence[str] = (), throughout: bool = False
) -> list[LayerError]:
    """Return the errors of every operator of an int8 file over `images`, worst local figure first.

    Args:
        file: from `rsseg_tf.quantization.int8.calibrated.quantize`.
        calibrated: the float file with ranges that it was made of.
        images: uint8 (H, W, C), two or more.
        layer_names: of the Keras model, to name the operators by.
        throughout: as the file was made.
    """
    graph = parse_model(calibrated, name="the float model")
    layers = layers_by_op(graph, layer_names)
    local, rounding = _local(with_verifiers(calibrated, throughout=throughout), graph, images)
    cumulative = _cumulative(file, calibrated, images)
    weights = _weights(parse_model(file, name="the int8 model"), graph)
    errors = [
        LayerError(
            layer=layers[op.index],
            op=op.name,
            tensor=name,
            local_db=local.get(name),
            rounding_db=rounding.get(name),
            cumulative_db=cumulative.get(name),
            weights_db=weights.get(name),
        )
        for op in graph.ops
        for name in [op.outputs[0].name]
    ]
    return sorted(errors, key=lambda error: np.inf if error.local_db is None else error.local_db)


def float_tensors(errors: Sequence[LayerError], calibrated: bytes, *, count: int) -> tuple[str, ...]:
    """Return the tensors whose operators must stay float to fix the `count` worst layers, for `quantize`.

    A layer's own operators; and where its noise comes from its output's range, those that read it too, since
    the result is rounded for any reader that is int8.
    """
    graph = parse_model(calibrated, name="the float model")
    ranked = list(dict.fromkeys(error.layer for error in errors if error.local_db is not None))[:count]
    chosen = [error for error in errors if error.layer in ranked]
    ranges = {error.tensor for error in chosen if error.is_range}
    wanted = {error.tensor for error in chosen}
    for op in graph.ops:
        if any(tensor and tensor.name in ranges for tensor in op.inputs):
            wanted.add(op.outputs[0].name)
    return tuple(op.outputs[0].name for op in graph.ops if op.outputs[0].name in wanted)


def _local(content: bytes, graph: TFLiteModel, images: Images) -> tuple[dict[str, float], dict[str, float]]:
    """Return tensor name → local and rounding figure, from a file in which every operator runs both ways."""
    pairs = list(_verified(parse_model(content, name="the verifying model"), graph))
    local = {name: ChannelNoise() for name, _, _ in pairs}
    rounding = {name: ChannelNoise() for name, _, _ in pairs}
    reader = TensorReader(content)
    for image in images:
        reader.run(image)
        for name, stored, exact in pairs:
            values = reader.tensor(exact.index)
            local[name].add(values, dequantized(stored, reader.tensor(stored.index)))
            rounding[name].add(values, rounded(stored, values))
    return _figures(local), _figures(rounding)


def _verified(model: TFLiteModel, graph: TFLiteModel) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield (name in the float file, int8 tensor, float tensor) of every operator that is verified."""
    names = [op.outputs[0].name for op in graph.ops]
    for op in model.ops:
        if op.name == "NumericVerify":
            stored, exact = op.inputs
            if stored is not None and exact is not None:
                yield _original(exact.name, names), stored, exact


def _original(name: str, names: Sequence[str]) -> str:
    return name if name in names else next((known for known in names if is_named(name, known)), name)


def _cumulative(file: bytes, calibrated: bytes, images: Images) -> dict[str, float]:
    """Return tensor name → figure of the int8 file against the float file, both on the pixels."""
    ours, theirs = parse_model(file, name="the int8 model"), parse_model(calibrated, name="the float model")
    stored = {tensor.name: tensor for op in ours.ops for tensor in op.outputs}
    pairs = [(stored[exact.name], exact) for op in theirs.ops for exact in op.outputs if exact.name in stored]
    noise = {exact.name: ChannelNoise() for _, exact in pairs if exact.is_float}
    readers = TensorReader(file), TensorReader(calibrated)
    for image in images:
        for reader in readers:
            reader.run(image)
        for tensor, exact in pairs:
            if exact.is_float:
                got = dequantized(tensor, readers[0].tensor(tensor.index))
                noise[exact.name].add(readers[1].tensor(exact.index), got)
    return _figures(noise)


def _weights(ours: TFLiteModel, theirs: TFLiteModel) -> dict[str, float]:
    originals: Mapping[str, Op] = {op.outputs[0].name: op for op in theirs.ops}
    figures = {}
    for op in ours.ops:
        exact = originals.get(op.outputs[0].name)
        found = list(_kernel_figures(op, exact)) if exact and exact.name == op.name else []
        if found:
            figures[op.outputs[0].name] = min(found)
    return figures


def _kernel_figures(op: Op, exact: Op) -> Iterator[float]:
    for stored, original in zip(op.inputs, exact.inputs, strict=True):
        if stored and original and stored.is_weight and original.is_weight and stored.dtype == "int8":
            yield kernel_db(stored, original.values())


def _figures(noise: Mapping[str, ChannelNoise]) -> dict[str, float]:
    figures: dict[str, NDArray[np.float64]] = {name: each.channel_db() for name, each in noise.items()}
    return {name: float(figure.mean()) for name, figure in figures.items() if figure.size}
