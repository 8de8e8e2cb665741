"""The names by which a program asks a `.tflite` file for its input and its output.

Without a SignatureDef a file cannot be run by names (`get_signature_runner`, `CompiledModel`), and tools that quantize
by example, such as ai-edge-quantizer, refuse it.
"""

from __future__ import annotations

from typing import Any

from rsseg_tf.errors import ModelError
from rsseg_tf.tflite.front.root import GIVE, IDENTIFIER, SIGNATURES_SLOT, Front, offsets_vector, with_root
from rsseg_tf.tflite.runtime import schema

SIGNATURE = "serving_default"
"""Key of the signature, TensorFlow's for a model that has one."""

IMAGE = "image"
"""Name of the input."""


def with_signature(file: bytes, *, head: str) -> bytes:
    """Return the file with the signature `serving_default`, from `image` to an output called after the head.

    Args:
        file: a TFLite file of one input and one output; a signature that it has is replaced.
        head: a name in `rsseg_tf.number_formats.HEADS`.

    Raises:
        ModelError: if it is no such file.
    """
    graph = schema.Model.GetRootAs(file).Subgraphs(0) if file[4:8] == IDENTIFIER else None
    if graph is None or graph.InputsLength() != 1 or graph.OutputsLength() != 1:
        raise ModelError("not a TFLite model of one input and one output", hint=GIVE)

    def added(front: Front) -> dict[int, int]:
        ports = ((IMAGE, graph.Inputs(0)), (head, graph.Outputs(0)))
        inputs, outputs = (
            offsets_vector(front.builder, [_port(front.builder, name, int(tensor))]) for name, tensor in ports
        )
        return {SIGNATURES_SLOT: offsets_vector(front.builder, [_signature(front.builder, inputs, outputs)])}

    return with_root(file, added)


def _port(builder: Any, name: str, tensor: int) -> int:
    text = builder.CreateString(name)
    schema.TensorMapStart(builder)
    schema.TensorMapAddName(builder, text)
    schema.TensorMapAddTensorIndex(builder, tensor)
    offset: int = schema.TensorMapEnd(builder)
    return offset


def _signature(builder: Any, inputs: int, outputs: int) -> int:
    key = builder.CreateString(SIGNATURE)
    schema.SignatureDefStart(builder)
    schema.SignatureDefAddInputs(builder, inputs)
    schema.SignatureDefAddOutputs(builder, outputs)
    schema.SignatureDefAddSignatureKey(builder, key)
    offset: int = schema.SignatureDefEnd(builder)
    return offset
