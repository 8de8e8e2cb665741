"""Settings of the network and of its training."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal

from rsseg_tf.config.setting import Rule, setting
from rsseg_tf.errors import ConfigError

_ZOOM = Rule("[low, high] with 0 < low <= high <= 100", lambda pair: 0 < pair[0] <= pair[1] <= 100)


@dataclass(frozen=True)
class Heads:
    """What follows the backbone, where most of a small network's time goes; the defaults are the paper's.

    Attributes:
        aspp: the dilated convolutions of the ASPP: `full`, or `separable` into a depthwise one and a 1×1, each with
            batch norm and ReLU, as the original DeepLabV3+ has them.
        decoder: the two convolutions of the decoder, likewise; `none` enlarges the classes from the ASPP at once.
        aspp_width: channels of each branch of the ASPP, and of what they are joined to.
        low_level_width: channels of the decoder's low-level branch.
        decoder_width: channels of the decoder's convolutions.
    """

    aspp: Literal["full", "separable"] = "full"
    decoder: Literal["full", "separable", "none"] = "full"
    aspp_width: int = setting(256, at_least=1, at_most=4096)
    low_level_width: int = setting(48, at_least=1, at_most=4096)
    decoder_width: int = setting(256, at_least=1, at_most=4096)


@dataclass(frozen=True)
class ModelConfig(Heads):
    """The network; see `rsseg_tf.models`.

    Attributes:
        architecture: what stands on the backbone: DeepLabV3+ is the paper's and has all settings of this section; the
            light `bisenet`, `shelfnet18` (on resnet18 alone), `lr_aspp` (which has `output_stride`) and `segformer_b0`
            (a transformer, on mit_b0 alone) keep the widths that were published. ShelfNet uses its convolutions twice,
            and SegFormer has attention: `int8-qat` takes neither.
        backbone: one of resnet18, resnet34, resnet50, resnet101, mobilenet_v2, efficientnet_lite0,
            `keras.applications.NAME`, or `keras_cv.PRESET`, where a folder with a preset's files may stand for the
            preset. ShelfNet and SegFormer have their own.
        width: share of the backbone's channels that each of its layers has, in multiples of 8: 0.5 is about a quarter
            of its weights. For our own backbones, and those of `keras.applications` that come in widths (MobileNet,
            V2 and V3). ImageNet weights are published for few of them.
        upsampling: `transposed` is the paper's.
        image_pooling: the fifth branch of the original ASPP.
        output_stride: height of the input over height of the last stage. 32, as networks are pretrained, takes least
            time; 16 is the paper's. `bisenet`, `shelfnet18` and `segformer_b0` go down to 1/32.
        weights: what to begin with: `none`, `imagenet`, or a path (`.keras`, `.pth`, `.safetensors`, `.weights.h5`);
            see `rsseg_tf.models.weights.pretrained.initialize`.
        output: of a network from elsewhere with several outputs: the name, or the number from 0 on, of the one that
            holds the classes, for all commands but `fit`. By default the only one as high and wide as the image.
    """

    architecture: Literal["deeplab_v3_plus", "bisenet", "shelfnet18", "lr_aspp", "segformer_b0"] = "deeplab_v3_plus"
    backbone: str = "resnet18"
    width: float = setting(1.0, at_least=0.1, at_most=4)
    upsampling: Literal["bilinear", "transposed"] = "bilinear"
    image_pooling: bool = False
    output_stride: Literal[8, 16, 32] = 16
    weights: str = "none"
    output: str = ""

    @property
    def stands_on(self) -> str:
        """The backbone that the network has: the one of this section, unless its architecture has one of its own."""
        return _BACKBONES.get(self.architecture, self.backbone)

    @property
    def network(self) -> str:
        """What tables call the network: its backbone, after its architecture where that is not DeepLabV3+."""
        if self.architecture == _DEFAULT_ARCHITECTURE:
            return self.backbone
        return self.architecture if self.architecture in _BACKBONES else f"{self.architecture}-{self.backbone}"


_DEFAULT_ARCHITECTURE = "deeplab_v3_plus"
_HAVING = {
    "upsampling": (_DEFAULT_ARCHITECTURE,),
    "image_pooling": (_DEFAULT_ARCHITECTURE,),
    "output_stride": (_DEFAULT_ARCHITECTURE, "lr_aspp"),
    **{item.name: (_DEFAULT_ARCHITECTURE,) for item in fields(Heads)},
}
"""Setting → the architectures that have it."""
_BACKBONES = {"shelfnet18": "resnet18", "segformer_b0": "mit_b0"}
"""Architecture → the one backbone that it stands on."""


def check_network(settings: ModelConfig) -> None:
    """Check that the architecture has what the other settings ask for.

    Raises:
        ConfigError: if it does not; the message names the setting and the architectures that have it.
    """
    usual, own = ModelConfig(), settings.architecture
    if settings.output:
        raise ConfigError(
            f"`model.output={settings.output}` is for networks from elsewhere, ours have one output",
            hint="leave out `model.output`",
        )
    for name, having in _HAVING.items():
        value = getattr(settings, name)
        if own not in having and value != getattr(usual, name):
            raise ConfigError(
                f"`model.{name}={str(value).lower()}` is for {' and '.join(having)}, the architecture is `{own}`",
                hint=f"leave `model.{name}` at {str(getattr(usual, name)).lower()}, or choose "
                f"model.architecture={having[0]}",
            )
    if own in _BACKBONES and settings.backbone not in (usual.backbone, settings.stands_on):
        raise ConfigError(
            f"`{own}` has a backbone of its own, {settings.stands_on}, got `model.backbone={settings.backbone}`",
            hint="leave out `model.backbone`, or choose another model.architecture",
        )


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes to a training sample; the defaults are the paper's.

    Attributes:
        flip_horizontal: mirror left to right, with probability one half.
        flip_vertical: mirror top to bottom, with probability one half.
        translate_px: shift by up to this many pixels along each axis.
        scale: zoom by a factor drawn log-uniformly between these two.
        rotate_deg: turn by up to this many degrees either way; 180 for views from straight above.
        color: strength of brightness, contrast and saturation changes, 0 for none, about 0.3 for strong; of the first
            three bands alone.
        blur_px: blur half of the windows by a Gaussian of up to this many pixels, 0 for none.
        noise: add noise with a standard deviation of up to this many of 255 gray levels, 0 for none.
        erase: paint over a rectangle of up to this share of the window's height and width and leave it out of the
            loss, in half of the windows; 0 for none.
    """

    flip_horizontal: bool = True
    flip_vertical: bool = False
    translate_px: int = setting(10, at_least=0, at_most=10_000)
    scale: tuple[float, float] = setting((1.0, 1.0), rule=_ZOOM)
    rotate_deg: float = setting(0.0, at_least=0, at_most=180)
    color: float = setting(0.0, at_least=0, at_most=1)
    blur_px: float = setting(0.0, at_least=0, at_most=100)
    noise: float = setting(0.0, at_least=0, at_most=255)
    erase: float = setting(0.0, at_least=0, at_most=1)


@dataclass(frozen=True)
class Recipe:
    """One training; the defaults are the paper's (section 3.2).

    Attributes:
        epochs: passes over the training split.
        batch_size: samples per step.
        steps_per_epoch: 0 for as many as one pass needs (in `crop` fitting by the area of the images).
        optimizer: `sgd` with `momentum`, or `adamw` with `weight_decay`.
        learning_rate: the learning rate of the first epoch, after `warmup_steps`.
        momentum: share of the last step that `sgd` adds to the next.
        weight_decay: share of each weight that `adamw` subtracts, times the learning rate.
        schedule: `step` multiplies by `step_factor` every `step_epochs`, `cosine` falls to zero at the end.
        step_epochs: epochs between two steps of the `step` schedule.
        step_factor: what each of them multiplies the learning rate by.
        warmup_steps: training steps in which the learning rate rises from zero.
        l2: weight of half the sum of squares of kernels and batch-norm scales and offsets.
        class_weights: `none`, or `balanced` for the inverse square root of class frequency.
        label_smoothing: share of the target spread evenly over the classes.
        ema: decay of an exponential moving average of the weights, evaluated and saved; 0 for off.
        validate_every: epochs between two evaluations on the val split.
        precision: `bfloat16` lets TensorFlow compute convolutions in bfloat16 (weights stay float32), which is
            faster on processors that have it in hardware and slower on others; `auto` does so where they have it.
        checkpoint_steps: steps between two resumable states, in addition to one at the end of each epoch.
        hard_pixels: share of a batch's pixels, those with the largest loss, that the cross-entropy averages; 1 for all.
        dice: weight of a Dice loss added to the cross-entropy; 0 for off.
        lovasz: weight of a Lovász-softmax loss added to it; 0 for off.
        class_sampling: share of the windows that are laid around a pixel of a class drawn at random, whatever its
            area, instead of anywhere; 0 for off. With `resize` fitting it only chooses the images.
        deterministic: let TensorFlow compute in one order only, so that two runs end with the same bits; slower.
        accumulate: parts that a batch is computed in, one after the other, if it does not fit in memory as a whole.
            What looks at many pixels together sees one part: batch statistics, class weights, hard pixels, Dice,
            Lovász.
    """

    epochs: int = setting(80, at_least=1, at_most=1_000_000)
    batch_size: int = setting(8, at_least=1, at_most=4_096)
    steps_per_epoch: int = setting(0, at_least=0, at_most=10_000_000)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = setting(1e-3, above=0, at_most=1_000)
    momentum: float = setting(0.9, at_least=0, at_most=1)
    weight_decay: float = setting(1e-4, at_least=0, at_most=1_000)
    schedule: Literal["step", "cosine", "constant"] = "step"
    step_epochs: int = setting(10, at_least=1, at_most=1_000_000)
    step_factor: float = setting(0.3, above=0, at_most=1_000)
    warmup_steps: int = setting(0, at_least=0, at_most=1_000_000_000)
    l2: float = setting(1e-3, at_least=0, at_most=1_000)
    class_weights: Literal["none", "balanced"] = "none"
    label_smoothing: float = setting(0.0, at_least=0, at_most=0.99)
    ema: float = setting(0.0, at_least=0, at_most=0.999999)
    validate_every: int = setting(1, at_least=1, at_most=1_000_000)
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    checkpoint_steps: int = setting(100, at_least=1, at_most=10_000_000)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    hard_pixels: float = setting(1.0, above=0, at_most=1)
    dice: float = setting(0.0, at_least=0, at_most=1_000)
    lovasz: float = setting(0.0, at_least=0, at_most=1_000)
    class_sampling: float = setting(0.0, at_least=0, at_most=1)
    deterministic: bool = False
    accumulate: int = setting(1, at_least=1, at_most=4_096)


@dataclass(frozen=True)
class Distillation:
    """How much is learned from another model's predictions.

    Attributes:
        weight: share of the loss that is the distance to the teacher's predictions; 0 for off (the paper).
        temperature: softens both predictions.
    """

    weight: float = setting(0.5, at_least=0, at_most=1)
    temperature: float = setting(2.0, above=0, at_most=1_000)


@dataclass(frozen=True)
class DistillConfig(Distillation):
    """Learning from the predictions of a trained model.

    Attributes:
        teacher: a `.keras` file or the folder of a finished run, of any network: of the same classes by name, bands and
            input size. Empty in `fit` for none, in `prune` for the dense network.
    """

    teacher: str = ""


@dataclass(frozen=True)
class FitConfig(Recipe):
    """One training; the defaults are the paper's (section 3.2).

    Attributes:
        distill: learning from a trained model while training.
    """

    distill: DistillConfig = field(default_factory=DistillConfig)
