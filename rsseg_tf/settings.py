"""The settings: one frozen dataclass a section, whose defaults are the defaults of every run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class ScenesConfig:
    """How many generated scenes each split holds, and their height and width in pixels."""

    train: int = 160
    val: int = 16
    test: int = 32
    size: int = 256


@dataclass(frozen=True)
class DataConfig:
    """Which images and masks, and how they become network inputs.

    Attributes:
        name: the reader. `folder` takes any pairs of images and masks.
        root: the folder of the data set, relative to the current folder.
        pairs: (folder) a CSV file below `root` with columns `image,mask,split`; empty: `images/` and
            `masks/` matched by stem, a seventh each for val and test by a hash of the name.
        classes: (folder) class name → colour `RRGGBB` for colour masks, or → integer for index masks.
        ignore_colors: (folder) colours or indices that become the ignore label 255.
        unknown_colors: (folder, uavid, vaihingen, potsdam) a colour outside the palette is an error, or ignored.
        split: (vaihingen) `paper` or `challenge`.
        ground_truth: (vaihingen, potsdam) `full` or `eroded` masks for the val and test splits.
        clutter: (vaihingen, potsdam) score the class clutter, or ignore it as the paper does.
        ground_sampling_distance_m: metres a pixel, 0 where unknown.
        input_size: height and width of what the network sees.
        fitting: `crop` cuts windows of `input_size` out of the images, `resize` resizes whole images.
        cache: keep decoded (and resized) images in memory between epochs.
    """

    name: Literal["scenes", "folder", "uavid", "vaihingen", "potsdam"] = "scenes"
    root: str = ""
    pairs: str = ""
    classes: Mapping[str, str] = field(default_factory=dict)
    ignore_colors: tuple[str, ...] = ()
    unknown_colors: Literal["error", "ignore"] = "error"
    split: Literal["paper", "challenge"] = "paper"
    ground_truth: Literal["full", "eroded"] = "full"
    clutter: Literal["score", "ignore"] = "score"
    ground_sampling_distance_m: float = 0.0
    input_size: tuple[int, int] = (256, 256)
    fitting: Literal["crop", "resize"] = "crop"
    cache: bool = True
    scenes: ScenesConfig = field(default_factory=ScenesConfig)


@dataclass(frozen=True)
class ModelConfig:
    """The network; see `rsseg_tf.models.deeplab.deeplab_v3_plus`.

    Attributes:
        backbone: resnet18, resnet34, resnet50, resnet101, mobilenet_v2, efficientnet_lite0, `keras.applications.NAME`,
            or `keras_cv.PRESET`, where a folder with a preset's files may stand for the preset.
        upsampling: `transposed` is the paper's.
        image_pooling: the fifth branch of the original ASPP.
        output_stride: height of the input over height of the last stage.
        weights: to begin from: `none`, `imagenet`, or a path (`.keras`, `.pth`, `.safetensors`, `.weights.h5`); see
            `rsseg_tf.models.pretrained.initialise`.
    """

    backbone: str = "resnet18"
    upsampling: Literal["bilinear", "transposed"] = "bilinear"
    image_pooling: bool = False
    output_stride: Literal[8, 16] = 16
    weights: str = "none"


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes to a training sample; the defaults are the paper's.

    Attributes:
        flip_horizontal: mirror left to right, with probability one half.
        flip_vertical: mirror top to bottom, with probability one half.
        translate_px: shift by up to so many pixels along each axis.
        scale: zoom by a factor drawn log-uniformly between these two.
        rotate_deg: turn by up to so many degrees either way; 180 for views from straight above.
        color: strength of brightness, contrast and saturation changes, 0 for none, about 0.3 for strong.
    """

    flip_horizontal: bool = True
    flip_vertical: bool = False
    translate_px: int = 10
    scale: tuple[float, float] = (1.0, 1.0)
    rotate_deg: float = 0.0
    color: float = 0.0


@dataclass(frozen=True)
class FitConfig:
    """One training; the defaults are the paper's (section 3.2).

    Attributes:
        epochs: passes over the training split.
        batch_size: samples a step.
        steps_per_epoch: 0 for as many as one pass needs (in `crop` fitting by the area of the images).
        optimizer: `sgd` with `momentum`, or `adamw` with `weight_decay`.
        learning_rate: of the first epoch, after `warmup_steps`.
        schedule: `step` multiplies by `step_factor` every `step_epochs`, `cosine` falls to zero at the end.
        l2: weight of half the sum of squares of kernels and batch-norm scales and offsets.
        class_weights: `none`, or `balanced` for the inverse square root of class frequency.
        label_smoothing: share of the target spread evenly over the classes.
        ema: decay of an exponential moving average of the weights, evaluated and saved; 0 for off.
        validate_every: epochs between two evaluations on the val split.
        precision: `bfloat16` lets TensorFlow compute convolutions in bfloat16 (weights stay float32), which is
            faster on processors that have it in hardware and slower on others; `auto` where they have it.
        checkpoint_steps: steps between two resumable states, beside one at the end of each epoch.
        accumulate: parts that a batch is computed in, one after the other, where all of it does not fit in memory.
    """

    epochs: int = 80
    batch_size: int = 8
    steps_per_epoch: int = 0
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 1e-4
    schedule: Literal["step", "cosine", "constant"] = "step"
    step_epochs: int = 10
    step_factor: float = 0.3
    warmup_steps: int = 0
    l2: float = 1e-3
    class_weights: Literal["none", "balanced"] = "none"
    label_smoothing: float = 0.0
    ema: float = 0.0
    validate_every: int = 1
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    checkpoint_steps: int = 100
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    accumulate: int = 1


@dataclass(frozen=True)
class DistillConfig:
    """Learning from the dense model while retraining.

    Attributes:
        weight: share of the loss that is the distance to the dense model's predictions; 0 for off (the paper).
        temperature: softens both predictions.
    """

    weight: float = 0.5
    temperature: float = 2.0


@dataclass(frozen=True)
class PruneConfig:
    """Channel pruning and the retraining after it.

    Attributes:
        criterion: how a channel is scored; see `rsseg_tf.pruning.importance`. The default agrees best with the
            oracle (docs/results.md); the paper's is `taylor`.
        aggregate: how the scores of the channels that go together become one.
        normalise: how layers are made comparable: by their `mean` or `l2` norm of scores, or `none`.
        cost: divide a group's score by what it adds to this metric, or `none`.
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
        class_weights: of the loss that scores are taken of: those of `retrain`, `none` or `balanced`.
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
    normalise: Literal["none", "mean", "l2"] = "none"
    cost: Literal["none", "params", "macs", "int8_bytes", "latency_ms"] = "none"
    loops: int = 60
    batches: int = 4
    schedule: Literal["geometric", "linear", "cubic"] = "geometric"
    macs: float = 0.5
    params: float = 1.0
    int8_bytes: float = 1.0
    latency_ms: float = 0.0
    profile: str = ""
    round_to: int = 8
    min_channels: int = 8
    skip: tuple[str, ...] = ()
    class_weights: Literal["retrain", "none", "balanced"] = "retrain"
    tune_steps: int = 0
    recalibrate_every: int = 0
    accuracy_floor: float = 0.0
    check_every: int = 10
    recalibration_batches: int = 16
    retrain: FitConfig = field(default_factory=lambda: FitConfig(epochs=20))
    distill: DistillConfig = field(default_factory=DistillConfig)


@dataclass(frozen=True)
class QatConfig:
    """Quantization-aware training before an `int8-qat` export; the augmentation and class weights are those of `fit`.

    Attributes:
        epochs: rounds of `steps_per_epoch` steps.
        steps_per_epoch: 0 for as many as one pass over the training split needs.
        batch_size: samples a step.
        learning_rate: of the first step; falls to zero as a cosine. A tenth of the training's last or less.
        distill: learning from the float model beside the labels.
    """

    epochs: int = 2
    steps_per_epoch: int = 100
    batch_size: int = 4
    learning_rate: float = 1e-5
    distill: DistillConfig = field(default_factory=DistillConfig)


@dataclass(frozen=True)
class ExportConfig:
    """The TFLite file.

    Attributes:
        type: number format of weights and activations.
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

    type: Literal["int8", "int8-qat", "int16x8", "float32", "float16", "dynamic"] = "int8"
    head: Literal["logits", "logits-low", "classes"] = "logits"
    calibration_samples: int = 128
    check_samples: int = 32
    max_drop: float = 2.0
    target: Literal["cpu", "edgetpu"] = "cpu"
    recover: Literal["none", "qat"] = "none"
    qat: QatConfig = field(default_factory=QatConfig)
    calibration_method: Literal["min-max", "percentile", "moving-average", "mse"] = "min-max"
    layer_error: int = 0
    keep_float: int = 0
    equalize: bool = False
    bias_correction: bool = False


@dataclass(frozen=True)
class EvaluateConfig:
    """How whole images are predicted and scored.

    Attributes:
        overlap: pixels that neighbouring tiles share, at most half a tile.
        boundary_tolerance: boundary F1 tolerance as a share of the image diagonal.
    """

    overlap: int = 64
    boundary_tolerance: float = 0.0075


@dataclass(frozen=True)
class Config:
    """Everything that a run depends on, beside the files it reads.

    Attributes:
        strategy: of `fit`: `mirrored` shares each batch among the GPUs of a machine, `multiworker` among the
            machines that the environment variable TF_CONFIG names (the same command on each), `auto` does so where
            there are several.
    """

    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    prune: PruneConfig = field(default_factory=PruneConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    strategy: Literal["auto", "none", "mirrored", "multiworker"] = "auto"
