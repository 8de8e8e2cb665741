"""Settings of the TFLite file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from rsseg_tf.config.setting import setting
from rsseg_tf.config.training import Distillation
from rsseg_tf.errors import ConfigError
from rsseg_tf.number_formats import FORMATS, RECOVERY, CalibrationMethod, FormatName, Head


@dataclass(frozen=True)
class QatConfig:
    """Quantization-aware training before an `int8-qat` export; the augmentation and class weights are those of `fit`.

    Attributes:
        epochs: rounds of `steps_per_epoch` steps.
        steps_per_epoch: 0 for as many as one pass over the training split needs.
        batch_size: samples per step.
        learning_rate: the learning rate of the first step; decays to zero on a cosine schedule. Use at most a tenth of
            the last training rate.
        distill: learning from the float model in addition to the labels.
    """

    epochs: int = setting(2, at_least=1, at_most=1_000_000)
    steps_per_epoch: int = setting(100, at_least=0, at_most=10_000_000)
    batch_size: int = setting(4, at_least=1, at_most=4_096)
    learning_rate: float = setting(1e-5, above=0, at_most=1_000)
    distill: Distillation = field(default_factory=Distillation)


Target = Literal["cpu", "edgetpu", "ethos-u55", "ethos-u65", "ethos-u85", "micro"]

MICRO = "micro"
"""The target that is TFLite Micro."""

Rounding = Literal["gptq", "nearest"]
GPTQ: Rounding = "gptq"
"""The weights of a kernel are rounded together."""


@dataclass(frozen=True)
class ExportConfig:
    """The TFLite file.

    Attributes:
        type: number format of weights and activations; `rsseg-tf export-tflite --help` explains them.
        head: `logits` at full size, `logits-low` before the last resize, or `classes` (argmax in the graph).
        calibration_samples: training samples that the ranges of activations are measured on, for types that have such.
        check_samples: samples on which the file and the Keras model are compared.
        max_drop: mIoU points that the file may lose on them before the export fails; below 0, points that it must win.
        kernel_samples: of these, how many a file of integers also runs by the kernels that other runtimes and TFLite
            Micro have; 0 for none. The reference kernels take seconds for each.
        kernel_steps: steps of 255 that an operator's kernels may differ by on the same inputs before the export fails.
        target: `edgetpu` for a file that the Edge TPU compiler can map whole; see docs/edgetpu.md. `ethos-u55`,
            `ethos-u65` or `ethos-u85` for one that Arm's Vela maps whole, `micro` for one that needs less memory at
            once on a microcontroller; see docs/deploy.md.
        recover: (int8) what to do if the file loses more: nothing, or train and export it as `int8-qat`.
        qat: the training before an `int8-qat` file.
        calibration_method: how the range of an activation follows from what was seen: `min-max` is all of it; (int8)
            `percentile` leaves one value in ten thousand outside, `moving-average` averages the images' extremes, `mse`
            has the least squared error.
        layer_error: (int8) number of layers to list by the error that int8 adds in them, worst first; 0 for none.
        keep_float: (int8) number of worst layers to leave in float.
        rounding: (int8) of weights: `gptq` rounds those of a kernel together, so that its results change least over the
            calibration images, and corrects the biases; `nearest` takes the nearest step for each by itself.
        equalize: (int8) first make the channels between two convolutions equal in magnitude.
        bias_correction: (int8) subtract from the biases the mean error that rounded weights add; `gptq` always does.
    """

    type: FormatName = "int8"
    head: Head = "logits"
    calibration_samples: int = setting(128, at_least=1, at_most=1_000_000)
    check_samples: int = setting(32, at_least=1, at_most=1_000_000)
    max_drop: float = setting(2.0, at_least=-100, at_most=100)
    kernel_samples: int = setting(2, at_least=0, at_most=1_000_000)
    kernel_steps: int = setting(2, at_least=0, at_most=65_535)
    target: Target = "cpu"
    recover: Literal["none", "qat"] = "none"
    qat: QatConfig = field(default_factory=QatConfig)
    calibration_method: CalibrationMethod = "min-max"
    layer_error: int = setting(0, at_least=0, at_most=1_000_000)
    keep_float: int = setting(0, at_least=0, at_most=10_000)
    rounding: Rounding = "gptq"
    equalize: bool = False
    bias_correction: bool = False

    @property
    def throughout(self) -> bool:
        """Whether the target has nothing but integers: what a CPU would compute on floats is not left to it."""
        return self.target != "cpu"


def check_export(settings: ExportConfig) -> None:
    """Check that the file's type has what the other settings ask for.

    Raises:
        ConfigError: if it does not; the message names the setting and the types that have it.
    """
    for name in _of_other_types(settings):
        able = [kind for kind in get_args(FormatName) if name not in _of_other_types(replace(settings, type=kind))]
        raise ConfigError(
            f"`export.{name}={_word(settings, name)}` is for {' and '.join(able)} files, the type is `{settings.type}`",
            hint=f"leave `export.{name}` at {_word(_DEFAULTS, name)}, or choose export.type={able[0]}",
        )
    if (settings.target, settings.head) == (MICRO, "classes"):
        raise ConfigError(
            "TFLite Micro cannot run `export.head=classes`: its CAST has no uint8",
            hint="choose export.head=logits-low or logits",
        )


def as_type(settings: ExportConfig, number_format: FormatName) -> ExportConfig:
    """Return the settings of the same export as another type: what that type does not have is at its default."""
    other = replace(settings, type=number_format)
    return replace(other, **{name: getattr(_DEFAULTS, name) for name in _of_other_types(other)})


_DEFAULTS = ExportConfig()
_REPAIRS = ("keep_float", "layer_error", "rounding", "equalize", "bias_correction")


def _of_other_types(settings: ExportConfig) -> list[str]:
    """Return the settings that are not at their default and that the type of the file does not have."""
    known = FORMATS[settings.type]
    has = {
        **dict.fromkeys(_REPAIRS, known.can_be_repaired),
        "recover": settings.type in RECOVERY,
        "calibration_method": settings.calibration_method in known.calibration,
        "head": settings.head in known.heads,
        "target": known.is_int8,
    }
    return [name for name, is_had in has.items() if not is_had and getattr(settings, name) != getattr(_DEFAULTS, name)]


def _word(settings: ExportConfig, name: str) -> str:
    value = getattr(settings, name)
    return str(value).lower() if isinstance(value, bool) else str(value)
