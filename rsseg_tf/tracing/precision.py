"""The number format that convolutions are computed in while training."""

from __future__ import annotations

import re
from pathlib import Path

import tensorflow as tf

_BFLOAT16_FLAGS = {"amx_bf16", "avx512_bf16"}


def use_precision(precision: str) -> str:
    """Make the graphs that are traced from now on compute convolutions in `float32`, `bfloat16` or `auto`.

    TensorFlow's graph optimizer inserts the casts, so the model, its weights and its file stay float32.

    Returns:
        What `auto` chose on this machine, else `precision`.
    """
    chosen = native_precision() if precision == "auto" else precision
    tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": chosen == "bfloat16"})
    return chosen


def native_precision(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return `bfloat16` where the processor multiplies it in hardware, else `float32`."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "float32"
    flags = re.search(r"^flags\s*:(.*)$", text, flags=re.MULTILINE)
    return "bfloat16" if flags and _BFLOAT16_FLAGS & set(flags.group(1).split()) else "float32"
