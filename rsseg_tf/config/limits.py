"""The range of every number in the settings."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

from rsseg_tf.errors import ConfigError

_Limits = Mapping[str, tuple[float, float]]

_POSITIVE = (1, math.inf)
_NOT_NEGATIVE = (0, math.inf)
_SHARE = (0, 1)
_ABOVE_ZERO = (1e-12, math.inf)

LIMITS: _Limits = {
    "seed": _NOT_NEGATIVE,
    "data.ground_sampling_distance_m": _NOT_NEGATIVE,
    "data.scenes.seed": (-1, math.inf),
    "prune.loops": _POSITIVE,
    "prune.batches": _POSITIVE,
    "prune.macs": (1e-12, 1),
    "prune.params": (1e-12, 1),
    "prune.int8_bytes": (1e-12, 1),
    "prune.latency_ms": _NOT_NEGATIVE,
    "prune.tune_steps": _NOT_NEGATIVE,
    "prune.recalibrate_every": _NOT_NEGATIVE,
    "prune.accuracy_floor": _SHARE,
    "prune.check_every": _POSITIVE,
    "prune.round_to": _POSITIVE,
    "prune.min_channels": _POSITIVE,
    "prune.recalibration_batches": _POSITIVE,
    "prune.distill.weight": _SHARE,
    "prune.distill.temperature": _ABOVE_ZERO,
    "export.calibration_samples": _POSITIVE,
    "export.check_samples": _POSITIVE,
    "export.qat.epochs": _POSITIVE,
    "export.qat.steps_per_epoch": _NOT_NEGATIVE,
    "export.qat.batch_size": _POSITIVE,
    "export.qat.learning_rate": _ABOVE_ZERO,
    "export.qat.distill.weight": _SHARE,
    "export.qat.distill.temperature": _ABOVE_ZERO,
    "export.layer_error": _NOT_NEGATIVE,
    "export.keep_float": _NOT_NEGATIVE,
    "evaluate.overlap": _NOT_NEGATIVE,
    "evaluate.boundary_tolerance": (1e-12, 1),
    "evaluate.boundary_tolerance_px": _NOT_NEGATIVE,
    "evaluate.small_object_px": _POSITIVE,
}
"""Setting → least and greatest value."""

FIT_LIMITS: _Limits = {
    "epochs": _POSITIVE,
    "batch_size": _POSITIVE,
    "steps_per_epoch": _NOT_NEGATIVE,
    "learning_rate": _ABOVE_ZERO,
    "momentum": _SHARE,
    "weight_decay": _NOT_NEGATIVE,
    "step_epochs": _POSITIVE,
    "step_factor": _ABOVE_ZERO,
    "warmup_steps": _NOT_NEGATIVE,
    "l2": _NOT_NEGATIVE,
    "label_smoothing": (0, 0.99),
    "ema": (0, 0.999999),
    "validate_every": _POSITIVE,
    "checkpoint_steps": _POSITIVE,
    "accumulate": _POSITIVE,
    "augment.translate_px": (0, 10_000),
    "augment.rotate_deg": (0, 180),
    "augment.color": _SHARE,
    "augment.blur_px": _NOT_NEGATIVE,
    "augment.noise": (0, 255),
    "augment.erase": _SHARE,
    "hard_pixels": (1e-12, 1),
    "dice": _NOT_NEGATIVE,
    "lovasz": _NOT_NEGATIVE,
    "class_sampling": _SHARE,
}


def check_limits(settings: Any, where: str, limits: _Limits) -> None:
    """Nothing, if every setting is within its limits.

    Args:
        settings: a dataclass, perhaps of dataclasses.
        where: what goes before a name in messages, such as `fit.`.
        limits: dotted name → least and greatest value.

    Raises:
        ConfigError: one is not.
    """
    for name, (least, greatest) in limits.items():
        value = functools.reduce(getattr, name.split("."), settings)
        if not least <= value <= greatest:
            raise ConfigError(f"`{where}{name}` must be {_range(least, greatest)}, got {value}")


def _range(least: float, greatest: float) -> str:
    lower = "above 0" if least == 1e-12 else f"at least {least:g}"
    return lower if greatest == math.inf else f"{lower} and at most {greatest:g}"
