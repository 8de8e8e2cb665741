"""`rsseg_tf.models.deeplab` in PyTorch, layer for layer (bilinear upsampling, output stride 16, no image pooling)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import interpolate, relu

DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}
_ASPP_RATES = (6, 12, 18)


def conv_bn(channels: int, filters: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Return bias-free convolution and batch norm; stride 1 keeps the size."""
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(channels, filters, kernel, stride, padding, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(filters))


def conv_bn_relu(channels: int, filters: int, kernel: int, *, dilation: int = 1) -> nn.Sequential:
    """Return `conv_bn` and a ReLU."""
    return nn.Sequential(conv_bn(channels, filters, kernel, dilation=dilation), nn.ReLU())


class Block(nn.Module):
    """A residual block: basic where `expansion` is 1, else a bottleneck.

    Args:
        channels: of the input.
        width: of the inner convolutions.
        expansion: channels of the output over `width`.
        stride: of the block.
        dilations: of the 3×3 convolution that has the stride, and of those behind it.
    """

    def __init__(self, channels: int, width: int, expansion: int, *, stride: int, dilations: tuple[int, int]) -> None:
        super().__init__()
        before, after = dilations
        out = expansion * width
        if expansion == 1:
            steps = [
                conv_bn(channels, width, 3, stride=stride, dilation=before),
                conv_bn(width, width, 3, dilation=after),
            ]
        else:
            steps = [
                conv_bn(channels, width, 1),
                conv_bn(width, width, 3, stride=stride, dilation=before),
                conv_bn(width, out, 1),
            ]
        self.steps = nn.ModuleList(steps)
        self.shortcut = conv_bn(channels, out, 1, stride=stride) if stride != 1 or channels != out else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output, (N, expansion · width, H / stride, W / stride)."""
        y = x
        for step in self.steps[:-1]:
            y = relu(step(y))
        return relu(self.shortcut(x) + self.steps[-1](y))


def _stage(number: int, depth: int, expansion: int) -> nn.Sequential:
    """Return stage `number`, counted from 1; the last one dilates instead of striding."""
    width, last = 32 * 2**number, number == 4
    blocks = []
    for index in range(depth):
        first = index == 0
        channels = width * expansion if not first else 64 if number == 1 else width // 2 * expansion
        stride = 2 if first and 1 < number < 4 else 1
        dilations = ((1, 2) if first else (2, 2)) if last else (1, 1)
        blocks.append(Block(channels, width, expansion, stride=stride, dilations=dilations))
    return nn.Sequential(*blocks)


class DeepLabV3Plus(nn.Module):
    """The network, from normalized images (N, 3, H, W) to logits (N, num_classes, H, W); sizes divisible by 16.

    Args:
        backbone: a key of `DEPTHS`.
        num_classes: channels of the output.
    """

    def __init__(self, backbone: str, num_classes: int) -> None:
        super().__init__()
        expansion = 1 if backbone == "resnet18" else 4
        self.stem = nn.Sequential(conv_bn(3, 64, 7, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.stages = nn.ModuleList(_stage(i, depth, expansion) for i, depth in enumerate(DEPTHS[backbone], start=1))
        high = 512 * expansion
        branches = [conv_bn_relu(high, 256, 1), *(conv_bn_relu(high, 256, 3, dilation=rate) for rate in _ASPP_RATES)]
        self.aspp = nn.ModuleList(branches)
        self.project = conv_bn_relu(1024, 256, 1)
        self.low_level = conv_bn_relu(64 * expansion, 48, 1)
        self.decoder = nn.Sequential(conv_bn_relu(304, 256, 3), conv_bn_relu(256, 256, 3))
        self.classifier = nn.Conv2d(256, num_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits at the input's size."""
        x = low = self.stages[0](self.stem(x))
        for stage in self.stages[1:]:
            x = stage(x)
        x = self.project(torch.cat([branch(x) for branch in self.aspp], dim=1))
        x = torch.cat([interpolate(x, scale_factor=4, mode="bilinear"), self.low_level(low)], dim=1)
        return interpolate(self.classifier(self.decoder(x)), scale_factor=4, mode="bilinear")
