"""Settings of pruning and of the TFLite file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rsseg_tf.config.setting import setting
from rsseg_tf.config.training import DistillConfig, FitConfig
from rsseg_tf.number_formats import CalibrationMethod, FormatName, Head


@dataclass(frozen=True)
class PruneConfig:
    """Channel pruning and the retraining after it.

    Attributes:
        criterion: how a channel is scored; see `rsseg_tf.pruning.scoring.criteria`. The default agrees best with the
            oracle (docs/results.md); the paper's is `taylor`.
        aggregate: how the scores of the channels that go together become one.
        normalize: how layers are made comparable: by their `mean` or `l2` norm of scores, or `none`.
        cost: divide a group's score by what it adds to this metric, to the metrics that have a target (`target`), or by
            nothing (`none`).
        loops: times that scores are computed and groups removed.
        batches: training batches that each loop scores on.
        schedule: `geometric` removes the same share each time, `linear` the same amount, `cubic` ever less.
        macs: share of the dense model's multiply-accumulates to keep, 1 for no target.
        params: share of the dense model's parameters to keep, 1 for no target.
        int8_bytes: share of the int8 model's bytes to keep, 1 for no target.
        latency_ms: milliseconds that the network may take on the device of `profile`, 0 for no target.
        profile: what `rsseg-tf benchmark DENSE.tflite --profile FILE` wrote on that device.
        round_to: kept counts are multiples of this.
        min_channels: no layer keeps fewer.
        skip: patterns (as in a shell) of layer names whose channels all stay.
        class_weights: class weights of the loss that scores are taken of: those of `retrain`, `none` or `balanced`.
        tune_steps: gradient steps after each removal, at the learning rate of `retrain`.
        recalibrate_every: loops between two measurements of the batch-norm statistics, on the scoring batches;
            0 for none before the end.
        accuracy_floor: val mIoU, 0 to 1, that the network must keep before retraining; when it falls below, the
            loop goes back to the last plan that passed and stops. 0 for none.
        check_every: loops between two looks at the accuracy floor.
        recalibration_batches: training batches that batch-norm statistics are measured again on at the end.
        retrain: the training afterwards; the paper's is 20 epochs of the same settings.
        distill: learning from the dense model in it.
    """

    criterion: str = "taylor-bn"
    aggregate: Literal["sum", "mean", "max"] = "sum"
    normalize: Literal["none", "mean", "l2"] = "none"
    cost: Literal["target", "none", "params", "macs", "int8_bytes", "latency_ms"] = "none"
    loops: int = setting(60, at_least=1)
    batches: int = setting(4, at_least=1)
    schedule: Literal["geometric", "linear", "cubic"] = "geometric"
    macs: float = setting(0.5, above=0, at_most=1)
    params: float = setting(1.0, above=0, at_most=1)
    int8_bytes: float = setting(1.0, above=0, at_most=1)
    latency_ms: float = setting(0.0, at_least=0)
    profile: str = ""
    round_to: int = setting(8, at_least=1)
    min_channels: int = setting(8, at_least=1)
    skip: tuple[str, ...] = ()
    class_weights: Literal["retrain", "none", "balanced"] = "retrain"
    tune_steps: int = setting(0, at_least=0)
    recalibrate_every: int = setting(0, at_least=0)
    accuracy_floor: float = setting(0.0, at_least=0, at_most=1)
    check_every: int = setting(10, at_least=1)
    recalibration_batches: int = setting(16, at_least=1)
    retrain: FitConfig = field(default_factory=lambda: FitConfig(epochs=20))
    distill: DistillConfig = field(default_factory=DistillConfig)


@dataclass(frozen=True)
class QatConfig:
    """Quantization-aware training before an `int8-qat` export; the augmentation and class weights are those of `fit`.

    Attributes:
        epochs: rounds of `steps_per_epoch` steps.
        steps_per_epoch: 0 for as many as one pass over the training split needs.
        batch_size: samples a step.
        learning_rate: the learning rate of the first step; falls to zero as a cosine. A tenth of the training's last or
            less.
        distill: learning from the float model beside the labels.
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
        recover: (int8) what to do about a file that loses more: nothing, or train and export it as `int8-qat`.
        qat: the training before an `int8-qat` file.
        calibration_method: (int8) how the range of an activation follows from what was seen: `min-max` is all of it,
            `percentile` leaves one value in ten thousand outside, `moving-average` averages the images' extremes,
            `mse` has the least squared error.
        layer_error: (int8) list so many layers by the error that int8 adds in them, worst first; 0 for none.
        keep_float: (int8) so many of the worst layers stay float.
        equalize: (int8) make the channels between two convolutions equally loud first.
        bias_correction: (int8) take the mean that rounded weights add off the biases.
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
