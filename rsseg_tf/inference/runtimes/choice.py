"""Which runtime carries a file out: the one that is asked for, or the fastest of those installed."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from rsseg_tf.errors import ConfigError, MissingExtraError

RuntimeName = Literal["litert", "openvino", "onnxruntime"]
AUTO = "auto"
RUNTIMES: tuple[str, ...] = get_args(RuntimeName)
CHOICES = (*RUNTIMES, AUTO)


@dataclass(frozen=True)
class _Runtime:
    """What is known of a runtime.

    Attributes:
        reads: endings of the files that it takes.
        package: that it comes in; None for what the base installation has, under more than one name.
    """

    reads: tuple[str, ...]
    package: str | None = None


_KNOWN: Mapping[str, _Runtime] = {
    "litert": _Runtime((".tflite",)),
    "openvino": _Runtime((".tflite", ".onnx"), "openvino"),
    "onnxruntime": _Runtime((".onnx",), "onnxruntime"),
}

_FASTEST: Mapping[str, Sequence[str]] = {
    "x86_64": ("openvino", "litert", "onnxruntime"),
    "AMD64": ("openvino", "litert", "onnxruntime"),
}
_ELSEWHERE = ("litert", "onnxruntime", "openvino")
"""Measured on AVX512-VNNI: OpenVINO takes 0.84 to 0.90 of XNNPACK's time, and less than ONNX Runtime. Elsewhere it was
not measured, and XNNPACK's kernels are made for ARM."""


def runtime_for(path: Path, asked: str = "litert") -> str:
    """Return the name of the runtime for a file.

    Args:
        path: a model file.
        asked: a name in `RUNTIMES`, or `auto` for the fastest that is installed and reads such files.

    Raises:
        ConfigError: if there is no such runtime, or it does not read such files.
        MissingExtraError: if it is not installed.
    """
    if asked not in CHOICES:
        raise ConfigError(f"unknown runtime `{asked}`", hint=f"known: {', '.join(CHOICES)}")
    able = [name for name in RUNTIMES if _ending(path) in _KNOWN[name].reads]
    if asked == AUTO:
        order = [name for name in _FASTEST.get(platform.machine(), _ELSEWHERE) if name in able]
        return next((name for name in order if _is_installed(name)), order[0])
    if asked not in able:
        raise ConfigError(f"{asked} does not read `{path}`", hint=f"use --runtime {' or '.join([*able, AUTO])}")
    package = _KNOWN[asked].package
    if package and not _is_installed(asked):
        raise MissingExtraError(package, extra=package)
    return asked


def _ending(path: Path) -> str:
    return ".onnx" if path.suffix.lower() == ".onnx" else ".tflite"


def _is_installed(name: str) -> bool:
    package = _KNOWN[name].package
    return package is None or importlib.util.find_spec(package) is not None
