"""Settings of the TFLite file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rsseg_tf.config.setting import setting
from rsseg_tf.config.training import DistillConfig
from rsseg_tf.number_formats import CalibrationMethod, FormatName, Head


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

    epochs: int = setting(2, at_least=1)
    steps_per_epoch: int = setting(100, at_least=0)
    batch_size: int = setting(4, at_least=1)
    learning_rate: float = setting(1e-5, above=0)
    distill: DistillConfig = field(default_factory=DistillConfig)


@dataclass(frozen=True)
class ExportConfig:
    """The TFLite file.

    Attributes:
        type: number format of weights and activations; `rsseg-tf export-tflite --help` explains them.
        head: `logits` at full size, `logits-low` before the last resize, or `classes` (argmax in the graph).
        calibration_samples: training samples that the int8 ranges are measured on.
        check_samples: samples on which the file and the Keras model are compared.
        max_drop: mIoU points that the file may lose on them before the export fails.
        target: `edgetpu` for a file that the Edge TPU compiler can map whole; see docs/edgetpu.md.
        recover: (int8) what to do if the file loses more: nothing, or train and export it as `int8-qat`.
        qat: the training before an `int8-qat` file.
        calibration_method: (int8) how the range of an activation follows from what was seen: `min-max` is all of it,
            `percentile` leaves one value in ten thousand outside, `moving-average` averages the images' extremes,
            `mse` has the least squared error.
        layer_error: (int8) number of layers to list by the error that int8 adds in them, worst first; 0 for none.
        keep_float: (int8) number of worst layers to leave in float.
        equalize: (int8) first make the channels between two convolutions equal in magnitude.
        bias_correction: (int8) subtract from the biases the mean error that rounded weights add.
    """

    type: FormatName = "int8"
    head: Head = "logits"
    calibration_samples: int = setting(128, at_least=1)
    check_samples: int = setting(32, at_least=1)
    max_drop: float = 2.0
    target: Literal["cpu", "edgetpu"] = "cpu"
    recover: Literal["none", "qat"] = "none"
    qat: QatConfig = field(default_factory=QatConfig)
    calibration_method: CalibrationMethod = "min-max"
    layer_error: int = setting(0, at_least=0)
    keep_float: int = setting(0, at_least=0)
    equalize: bool = False
    bias_correction: bool = False
