"""The job of `rsseg-tf export-onnx`: a `.keras` in, a checked `.onnx` that describes itself out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rsseg_tf.config import Config
from rsseg_tf.errors import ConfigError, extras_named
from rsseg_tf.inference.runtimes.exchanged import OnnxRunner
from rsseg_tf.inference.runtimes.seal import sealed
from rsseg_tf.number_formats import FormatName
from rsseg_tf.quantization.checks import agreement
from rsseg_tf.quantization.delegable import normalized_in_one
from rsseg_tf.quantization.exchange.description import checked, describe, not_for_deepness
from rsseg_tf.quantization.exchange.graph import onnx_model
from rsseg_tf.quantization.exchange.rounding import in_half, in_int8
from rsseg_tf.runs import atomic_path, require_output, write_json
from rsseg_tf.steps.opening import find_keras_model
from rsseg_tf.steps.shared.exported import Source, agreement_of, open_source, provenance, source_metadata

ONNX_TYPES: tuple[FormatName, ...] = ("float32", "float16", "int8")
"""Floats of 32 bits, floats of 16, or 8-bit integers between QuantizeLinear and DequantizeLinear."""


@extras_named()
def export_onnx(
    model: Path | str, config: Config, out: Path | str, *, number_format: FormatName = "float32"
) -> Mapping[str, Any]:
    """Write a trained model as the ONNX file `out`, which appears only once it has been checked.

    It takes `image`, float32 (1, bands, H, W) from 0 to 1, and returns `probabilities`, (1, C, H, W). Beside it lies
    `{out}.json`: the result, and what it was made from.

    Args:
        model: the `.keras` file, or the folder of a finished run.
        config: the settings; of `export` those count that calibrate and compare.
        out: the `.onnx` file.
        number_format: a name in `ONNX_TYPES`.

    Returns:
        `model` (path), `type`, `file_bytes`, `ops` (operator → count), `agreement`, `calibration` and `deepness`: why
        QGIS' plugin Deepness cannot run it, empty where it can.

    Raises:
        CheckFailedError: if it loses too much accuracy.
        MissingExtraError: where the packages of the extra `onnx` are not installed.
        RssegError: of any other kind where settings, data or model are at fault.
    """
    if number_format not in ONNX_TYPES:
        raise ConfigError(f"unknown type `{number_format}`", hint=f"known: {', '.join(ONNX_TYPES)}")
    path, out = find_keras_model(model), Path(out)
    if out.suffix.lower() != ".onnx":
        raise ConfigError(f"`{out}` does not end in .onnx, which tells these files", hint="choose another name")
    require_output(out, kinds=[".onnx"], reads=[path])
    source = open_source(path, _settings(config, number_format))
    metadata = source_metadata(source, number_format)
    made = _made(source, number_format)
    describe(made, metadata)
    with atomic_path(out) as temporary:
        temporary.write_bytes(sealed(checked(made).SerializeToString()))
        compared = agreement_of(source, OnnxRunner(temporary))
        agreement.require(compared, max_drop=source.config.export.max_drop, number_format=number_format)
    result = {
        "model": str(out),
        "type": number_format,
        "file_bytes": out.stat().st_size,
        "ops": _counts(made),
        "agreement": compared.record(),
        "calibration": source.calibration_record(number_format),
        "deepness": not_for_deepness(metadata),
    }
    write_json(out.with_name(f"{out.name}.json"), {**result, **provenance(source, out)})
    return result


def _settings(config: Config, number_format: FormatName) -> Config:
    """Return the settings with what an ONNX file has: one head, no target, and the type that is asked for."""
    return replace(
        config, export=replace(config.export, type=number_format, head="logits", target="cpu", recover="none")
    )


def _made(source: Source, number_format: FormatName) -> Any:
    if number_format == "int8":
        model = onnx_model(normalized_in_one(source.model))
        return in_int8(model, source.calibration.images, method=source.config.export.calibration_method)
    model = onnx_model(source.model)
    return in_half(model) if number_format == "float16" else model


def _counts(model: Any) -> dict[str, int]:
    kinds = [node.op_type for node in model.graph.node]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}
