"""Whether a quantized file says the same by every set of kernels that may run it.

A desktop and most boards run XNNPACK's kernels; a runtime without it, or the part of a graph that a delegate leaves,
the built-in ones; TFLite Micro the reference ones, bit for bit. Each rounds its own way, by a step or two. But some
are wrong by more: the built-in and the reference resize step by a ratio rounded to 1/1024, which is exact for powers
of two alone. So each operator is also run by itself, on what the reference kernels computed before it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import CheckFailedError, ModelError
from rsseg_tf.quiet import quiet_stderr
from rsseg_tf.text import counted
from rsseg_tf.tflite.cutting import Piece, cut
from rsseg_tf.tflite.flatbuffer import parse_model
from rsseg_tf.tflite.layer_names import layers_by_op
from rsseg_tf.tflite.runtime import load_runtime

Image: TypeAlias = NDArray[np.uint8]

USUAL = "xnnpack"
REFERENCE = "reference"
KERNELS: Mapping[str, str] = {
    USUAL: "AUTO",
    "built-in": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    REFERENCE: "BUILTIN_REF",
}
"""Set of kernels → what the interpreter calls it."""

_INTEGERS = ("int8", "uint8", "int16")


@dataclass(frozen=True)
class Difference:
    """How a whole file differs by one set of kernels from what it says by XNNPACK's.

    Attributes:
        kernels: a name in `KERNELS`.
        classes: share of the pixels that have another class.
        outputs: share of the output's numbers that are others.
        steps: the most that one of them differs by, in steps of its type.
    """

    kernels: str
    classes: float
    outputs: float
    steps: int


@dataclass(frozen=True)
class Parting:
    """The operator that differs most from the reference kernels on the same inputs.

    Attributes:
        layer: the Keras layer that it came from, else the name of what it computes.
        type: such as `RESIZE_BILINEAR`.
        kernels: by which it differs.
        steps: the most that a number differs by.
    """

    layer: str
    type: str
    kernels: str
    steps: int


@dataclass(frozen=True)
class KernelAgreement:
    """What a file says by each set of kernels.

    Attributes:
        samples: images that it saw.
        differences: of each set other than XNNPACK.
        parting: the operator that differs most; None where none does.
    """

    samples: int
    differences: tuple[Difference, ...]
    parting: Parting | None

    def record(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return {
            "samples": self.samples,
            "differences": [asdict(difference) for difference in self.differences],
            "parting": asdict(self.parting) if self.parting else None,
        }


def is_quantized(content: bytes, *, name: str) -> bool:
    """Return whether a file makes integers of integers, which each kernel rounds its own way; `name` is for errors."""
    graph = parse_model(content, name=name)
    return {graph.inputs[0].dtype, graph.outputs[0].dtype} <= set(_INTEGERS)


def compare_kernels(
    content: bytes, images: Sequence[Image], *, name: str, layer_names: Sequence[str] = ()
) -> KernelAgreement:
    """Return how the kernels differ over images.

    Args:
        content: the bytes of a file that takes pixels as uint8, such as ours of 8 or 16 bits.
        images: uint8 (h, w, bands) of the network's size.
        name: what errors call the file.
        layer_names: of the Keras model, to name the operators by.

    Raises:
        ModelError: if it is no TFLite file, or one of the sets cannot run it; the message names the operator.
    """
    model = parse_model(content, name=name)
    layers = layers_by_op(model, layer_names)
    outputs = {kernels: _Whole(content, kernels, name=name) for kernels in KERNELS if kernels != REFERENCE}
    reference = _Whole(content, REFERENCE, name=name, keeps_all=True)
    pieces = [_Operator(piece, layers[piece.op.index]) for piece in cut(content, name=name) if _is_integer(piece)]
    counts = {kernels: _Count() for kernels in KERNELS if kernels != USUAL}
    for image in images:
        usual = outputs[USUAL].run(image)
        counts[REFERENCE].add(usual, reference.run(image))
        for kernels, whole in outputs.items():
            if kernels != USUAL:
                counts[kernels].add(usual, whole.run(image))
        for piece in pieces:
            piece.compare(reference)
    differences = tuple(count.difference(kernels) for kernels, count in counts.items())
    return KernelAgreement(len(images), differences, _worst(pieces))


def require_same(agreement: KernelAgreement, *, most_steps: int, setting: str) -> None:
    """Check that no operator differs from its reference by more than `most_steps`, which the user set as `setting`.

    Raises:
        CheckFailedError: if one does.
    """
    parting = agreement.parting
    if parting is None or parting.steps <= most_steps:
        return
    most = max(difference.classes for difference in agreement.differences)
    instead = "enlarge by powers of two alone, then crop; or " if "RESIZE" in parting.type else ""
    raise CheckFailedError(
        f"the file says something else where other kernels run it: {parting.type} of `{parting.layer}` differs by "
        f"{counted(parting.steps, 'step')} between the {parting.kernels} and the reference kernels, {most_steps} "
        f"allowed; {100 * most:.2f} % of the pixels have another class",
        hint=f"{instead}raise {setting} to accept it",
    )


def format_agreement(record: Mapping[str, Any]) -> str:
    """Return what `KernelAgreement.record` holds as text."""
    lines = [
        f"{each['kernels']} kernels, not {USUAL}: {100 * each['classes']:.2f} % of the pixels have another class, "
        f"{100 * each['outputs']:.1f} % of the outputs another value, by at most {each['steps']}"
        for each in record["differences"]
    ]
    if parting := record["parting"]:
        lines.append(
            f"they part most at {parting['type']} of {parting['layer']}: {parting['kernels']} differs by "
            f"{parting['steps']} from the reference on the same inputs"
        )
    return "\n".join(lines)


class _Whole:
    """A file run by one set of kernels."""

    def __init__(self, content: bytes, kernels: str, *, name: str, keeps_all: bool = False) -> None:
        runtime = load_runtime()
        try:
            with quiet_stderr():
                self._native = runtime.Interpreter(
                    model_content=content,
                    num_threads=os.cpu_count(),
                    experimental_preserve_all_tensors=keeps_all,
                    experimental_op_resolver_type=getattr(runtime.OpResolverType, KERNELS[kernels]),
                )
                self._native.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"the {kernels} kernels refuse `{name}`: {error}") from error
        self.inputs = [int(port["index"]) for port in self._native.get_input_details()]
        self.outputs = [int(port["index"]) for port in self._native.get_output_details()]
        self._name = f"`{name}` by the {kernels} kernels"

    def run(self, image: Image) -> NDArray[Any]:
        """Return the output for an image."""
        return self.results([image[None]])[0]

    def results(self, values: Iterable[NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the outputs for arrays in the order of the inputs."""
        for index, value in zip(self.inputs, values, strict=True):
            self._native.set_tensor(index, value)
        try:
            self._native.invoke()
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"{self._name} failed to run: {error}") from error
        return [self.value(index) for index in self.outputs]

    def value(self, index: int) -> NDArray[Any]:
        """Return a tensor after the last run."""
        found: NDArray[Any] = self._native.get_tensor(index)
        return found


class _Operator:
    """One operator by every set of kernels but the reference's, which has run it already."""

    def __init__(self, piece: Piece, layer: str) -> None:
        self.layer, self.type = layer, piece.op.name
        self.steps = {kernels: 0 for kernels in KERNELS if kernels != REFERENCE}
        self._piece = piece
        self._runs = {kernels: _Whole(piece.content, kernels, name=layer) for kernels in self.steps}

    def compare(self, reference: _Whole) -> None:
        """Note by how much each set differs from the last run of the reference."""
        values = [reference.value(index) for index in self._piece.inputs]
        expected = [reference.value(index) for index in self._piece.outputs]
        for kernels, run in self._runs.items():
            found = run.results(values)
            far = max(_farthest(one, other) for one, other in zip(expected, found, strict=True))
            self.steps[kernels] = max(self.steps[kernels], far)


class _Count:
    """What differs, added up over images."""

    def __init__(self) -> None:
        self._pixels = self._other_class = self._numbers = self._others = self._steps = 0

    def add(self, usual: NDArray[Any], found: NDArray[Any]) -> None:
        """Add one image."""
        classes = _classes(usual) != _classes(found)
        self._pixels, self._other_class = self._pixels + classes.size, self._other_class + int(classes.sum())
        self._numbers, self._others = self._numbers + usual.size, self._others + int((usual != found).sum())
        self._steps = max(self._steps, _farthest(usual, found))

    def difference(self, kernels: str) -> Difference:
        """Return the shares."""
        pixels, numbers = max(1, self._pixels), max(1, self._numbers)
        return Difference(kernels, self._other_class / pixels, self._others / numbers, self._steps)


def _classes(output: NDArray[Any]) -> NDArray[Any]:
    """Return the class of each pixel of scores (1, h, w, C); class maps (1, h, w), and one score a pixel, are one."""
    return output.argmax(axis=-1) if output.ndim == 4 and output.shape[-1] > 1 else output


def _farthest(one: NDArray[Any], other: NDArray[Any]) -> int:
    return int(np.abs(one.astype(np.int64) - other.astype(np.int64)).max(initial=0))


def _is_integer(piece: Piece) -> bool:
    return all(tensor.dtype in _INTEGERS for tensor in piece.op.outputs) and bool(piece.inputs)


def _worst(operators: Sequence[_Operator]) -> Parting | None:
    every = [
        Parting(each.layer, each.type, kernels, steps) for each in operators for kernels, steps in each.steps.items()
    ]
    worst = max(every, key=lambda parting: parting.steps, default=None)
    return worst if worst and worst.steps else None
