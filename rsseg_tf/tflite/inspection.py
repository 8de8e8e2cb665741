"""What a `.tflite` file is made of, as data and as text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rsseg_tf.runs import file_hash
from rsseg_tf.text import text_table
from rsseg_tf.tflite.arena import MICRO, arena_bytes
from rsseg_tf.tflite.edgetpu import lint as edgetpu_lint
from rsseg_tf.tflite.flatbuffer import parse_model, read_content
from rsseg_tf.tflite.graph import Op, Tensor
from rsseg_tf.tflite.guard import check_loads
from rsseg_tf.tflite.interpreter import delegate_partitions, open_interpreter
from rsseg_tf.tflite.layer_names import layers_by_op
from rsseg_tf.tflite.metadata import metadata_in

_NAME_WIDTH = 48


def inspect_tflite(path: Path, *, edgetpu: bool = False) -> dict[str, Any]:
    """Return facts about any TFLite file, as JSON values; with `edgetpu` also how much of it the Edge TPU would run.

    Returns:
        `file_bytes`, `sha256`, `partitions` (delegate partitions that the interpreter makes), `undelegated`
        (operators outside them), `ops` (operator → count), `float_ops` (their names), `params`, `macs`, `weight_bytes`,
        `arena_bytes` (of the activations, as LiteRT plans them), `micro_arena_bytes` (as TFLite Micro does), `inputs`,
        `outputs`, `metadata` (or null) and `layers`: of each operator `name`, `type`, `output_shape`, `dtype`,
        `params`, `macs`, `bytes`. Operators are named after the Keras layers that the metadata lists, else after the
        tensor that they compute. On request `edgetpu`: see `rsseg_tf.tflite.edgetpu.lint.EdgeTPUReport`.

    Raises:
        ModelError: if there is no such file, or one that cannot be run.
    """
    content = read_content(path)
    model = parse_model(content, name=str(path))
    metadata = metadata_in(content, path=path)
    check_loads(path, content)
    partitions, undelegated = delegate_partitions(open_interpreter(path, threads=1))
    layer_names = metadata.layers if metadata else ()
    names = layers_by_op(model, layer_names)
    return {
        "model": str(path),
        "file_bytes": len(content),
        "sha256": file_hash(path),
        "partitions": partitions,
        "undelegated": undelegated,
        "ops": model.op_counts,
        "float_ops": [names[op.index] for op in model.float_ops],
        "params": model.params,
        "macs": model.macs,
        "weight_bytes": model.weight_bytes,
        "arena_bytes": arena_bytes(model),
        "micro_arena_bytes": arena_bytes(model, MICRO),
        "inputs": [_port(tensor) for tensor in model.inputs],
        "outputs": [_port(tensor) for tensor in model.outputs],
        "metadata": None if metadata is None else asdict(metadata),
        "layers": [_layer(op, names[op.index]) for op in model.ops],
        **({"edgetpu": edgetpu_lint.lint(model, layer_names=layer_names).record()} if edgetpu else {}),
    }


def format_inspection(facts: Mapping[str, Any]) -> str:
    """Return what `inspect_tflite` found, as text: one line a fact, then a table of operators."""
    outside = f", outside them {', '.join(facts['undelegated'])}" if facts["undelegated"] else ""
    ops = ", ".join(f"{count} {name}" for name, count in facts["ops"].items())
    lines = [
        f"{facts['model']}  {facts['file_bytes'] / 1e6:.2f} MB  sha256 {facts['sha256'][:12]}",
        f"delegate partitions  {facts['partitions']}{outside}",
        f"operators            {ops}",
        f"float operators      {len(facts['float_ops']) or 'none'}",
        f"parameters           {facts['params']:,}  ({facts['weight_bytes'] / 1e6:.2f} MB)",
        f"multiply-accumulates {facts['macs']:,}",
        f"activation memory    {facts['arena_bytes'] / 1e6:.2f} MB, by TFLite Micro "
        f"{facts['micro_arena_bytes'] / 1e6:.2f} MB",
        *(f"input                {_port_text(port)}" for port in facts["inputs"]),
        *(f"output               {_port_text(port)}" for port in facts["outputs"]),
        f"metadata             {_metadata_text(facts['metadata'])}",
    ]
    mapping = ["", edgetpu_lint.format_report(facts["edgetpu"])] if "edgetpu" in facts else []
    return "\n".join([*lines, *mapping, "", format_layers(facts["layers"])])


def format_layers(layers: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of layers or operators: name, type, output shape, parameters, MACs, bytes."""
    return text_table([("name", "type", "output", "params", "MACs", "bytes"), *map(_layer_row, layers)], align="<<<")


def _layer_row(layer: Mapping[str, Any]) -> tuple[str, ...]:
    shape = "×".join("?" if side is None else str(side) for side in layer["output_shape"])
    name = textwrap.shorten(layer["name"], _NAME_WIDTH) if " " in layer["name"] else _end_of(layer["name"])
    macs = "?" if layer["macs"] is None else f"{layer['macs']:,}"
    return (name, layer["type"], shape, f"{layer['params']:,}", macs, f"{layer['bytes']:,}")


def _end_of(name: str) -> str:
    """Return the end of a long name, which is where the converter puts what distinguishes layers."""
    return name if len(name) <= _NAME_WIDTH else f"…{name[1 - _NAME_WIDTH :]}"


def _layer(op: Op, name: str) -> dict[str, Any]:
    result = op.outputs[0] if op.outputs else None
    weights = [tensor for tensor in op.inputs if tensor and tensor.is_weight]
    return {
        "name": name,
        "type": op.name,
        "output_shape": list(result.shape) if result else [],
        "dtype": result.dtype if result else "",
        "params": op.params,
        "macs": op.macs,
        "bytes": sum(tensor.nbytes for tensor in weights),
    }


def _port(tensor: Tensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "scale": float(tensor.scales[0]) if tensor.scales.size else None,
        "zero_point": int(tensor.zero_points[0]) if tensor.zero_points.size else None,
    }


def _port_text(port: Mapping[str, Any]) -> str:
    shape = "×".join(map(str, port["shape"]))
    scaling = "" if port["scale"] is None else f", scale {port['scale']:.6g}, zero point {port['zero_point']}"
    return f"{port['dtype']} {shape}{scaling}"


def _metadata_text(metadata: Mapping[str, Any] | None) -> str:
    if metadata is None:
        return "none"
    bands = f", bands {', '.join(map(str, metadata['bands']))}" if metadata["bands"] else ""
    scale = f", scaled by {', '.join(f'{value:g}' for value in metadata['scale'])}" if metadata["scale"] else ""
    names = ", ".join(metadata["class_names"])
    return f"{len(metadata['class_names'])} classes ({names}), {metadata['fitting']}{bands}{scale}"
