"""Networks of other people, built with random weights: KerasHub, keras_cv, keras-unet-collection and keras-unet.

Each at 128² (V-Net at 32³, a U-Net without padding at 252²) and at a size that its authors publish, but for networks
that differ in width alone. Those that do not build with Keras 3 are left out: TransUNET, Swin-UNET and ResUnet-a of
keras-unet-collection, the U-Net with attention of keras-unet. To have them all:

pip install --no-deps keras-hub==0.32.0 keras-unet-collection==0.1.13 keras-unet==0.1.2
pip install tokenizers sentencepiece tensorflow-text    # what keras-hub imports
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import keras

SIZE = 128
_SHAPE = (SIZE, SIZE, 3)
_CLASSES = 6


def _hub(kind: str, **config: Any) -> keras.Model:
    import keras_hub

    return getattr(keras_hub.models, kind)(**{"image_shape": _SHAPE, **config})


def _hub_resnet(**config: Any) -> keras.Model:
    basic = {"input_conv_filters": [64], "input_conv_kernel_sizes": [7], "stackwise_num_filters": [64, 128, 256, 512]}
    stages = {"stackwise_num_blocks": [3, 4, 6, 3], "stackwise_num_strides": [1, 2, 2, 2]}
    return _hub("ResNetBackbone", **{**basic, **stages, "block_type": "bottleneck_block", **config})


def _hub_efficientnet(kind: str) -> keras.Model:
    """Return EfficientNet-B0's stages of one type of block."""
    stages = {
        "stackwise_kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
        "stackwise_num_repeats": [1, 2, 2, 3, 3, 4, 1],
        "stackwise_input_filters": [32, 16, 24, 40, 80, 112, 192],
        "stackwise_output_filters": [16, 24, 40, 80, 112, 192, 320],
        "stackwise_expansion_ratios": [1, 6, 6, 6, 6, 6, 6],
        "stackwise_squeeze_and_excite_ratios": [0.25] * 7,
        "stackwise_strides": [1, 2, 2, 2, 1, 2, 1],
    }
    coefficients = {"stackwise_width_coefficients": [1.0] * 7, "stackwise_depth_coefficients": [1.0] * 7}
    blocks = {"stackwise_block_types": [kind] * 7}
    import keras_hub

    return keras_hub.models.EfficientNetBackbone(**stages, **coefficients, **blocks, input_shape=_SHAPE)


def _hub_mobilenet() -> keras.Model:
    return _hub(
        "MobileNetBackbone",
        stackwise_expansion=[[40, 56], [64, 144, 144], [72, 72], [144, 288, 288]],
        stackwise_num_blocks=[2, 3, 2, 3],
        stackwise_num_filters=[[16, 16], [24, 24, 24], [24, 24], [48, 48, 48]],
        stackwise_kernel_size=[[3, 3], [5, 5, 5], [5, 5], [5, 5, 5]],
        stackwise_num_strides=[[2, 1], [2, 1, 1], [1, 1], [2, 1, 1]],
        stackwise_se_ratio=[[None, None], [0.25, 0.25, 0.25], [0.3, 0.3], [0.3, 0.25, 0.25]],
        stackwise_activation=[["relu"] * 2, ["hard_swish"] * 3, ["hard_swish"] * 2, ["hard_swish"] * 3],
        stackwise_padding=[[1, 1], [2, 2, 2], [2, 2], [2, 2, 2]],
        output_num_filters=288,
        depthwise_filters=8,
        depthwise_stride=2,
        depthwise_residual=False,
        last_layer_filter=288,
        squeeze_and_excite=0.5,
    )


def _hub_hgnet(**config: Any) -> keras.Model:
    return _hub(
        "HGNetV2Backbone",
        depths=[1, 1, 2, 1],
        embedding_size=16,
        hidden_sizes=[64, 256, 512, 1024],
        stem_channels=[3, 16, 16],
        hidden_act="relu",
        stackwise_stage_filters=[
            (16, 16, 64, 1, 3, 3),
            (64, 32, 256, 1, 3, 3),
            (256, 64, 512, 2, 3, 5),
            (512, 128, 1024, 1, 3, 5),
        ],
        apply_downsample=[False, True, True, True],
        use_lightweight_conv_block=[False, False, True, True],
        **config,
    )


def _hub_mit() -> keras.Model:
    """Return MiT-B0."""
    return _hub(
        "MiTBackbone",
        num_layers=4,
        hidden_dims=[32, 64, 160, 256],
        layerwise_depths=[2, 2, 2, 2],
        layerwise_num_heads=[1, 2, 5, 8],
        layerwise_sr_ratios=[8, 4, 2, 1],
        layerwise_patch_sizes=[7, 3, 3, 3],
        layerwise_strides=[4, 2, 2, 2],
        max_drop_path_rate=0.1,
    )


def _hub_segformer() -> keras.Model:
    import keras_hub

    backbone = keras_hub.models.SegFormerBackbone(image_encoder=_hub_mit(), projection_filters=256)
    return keras_hub.models.SegFormerImageSegmenter(backbone, num_classes=_CLASSES)


def _hub_deeplab() -> keras.Model:
    import keras_hub

    backbone = _hub(
        "DeepLabV3Backbone",
        image_encoder=_hub_resnet(),
        projection_filters=48,
        low_level_feature_key="P2",
        spatial_pyramid_pooling_key="P5",
        upsampling_size=8,
        dilation_rates=[6, 12, 18],
    )
    return keras_hub.models.DeepLabV3ImageSegmenter(backbone, num_classes=_CLASSES)


def _hub_basnet() -> keras.Model:
    import keras_hub

    encoder = _hub_resnet(stackwise_num_blocks=[2, 2, 2, 2], block_type="basic_block", image_shape=(None, None, 3))
    backbone = _hub("BASNetBackbone", image_encoder=encoder, num_classes=1)
    return keras_hub.models.BASNetImageSegmenter(backbone)


_VIT_TINY = {"patch_size": 16, "num_layers": 12, "num_heads": 3, "hidden_dim": 192}
_DINO_SMALL = {"num_layers": 12, "num_heads": 6, "hidden_dim": 384, "intermediate_dim": 1536}


def _hub_dino(kind: str, **config: Any) -> keras.Model:
    return _hub(kind, **{**_DINO_SMALL, "use_mask_token": False, **config})


def _hub_depth_anything() -> keras.Model:
    encoder = _hub_dino("DINOV2Backbone", patch_size=14, image_shape=(126, 126, 3))
    import keras_hub

    return keras_hub.models.DepthAnythingBackbone(
        image_encoder=encoder,
        reassemble_factors=[4, 2, 1, 0.5],
        neck_hidden_dims=[48, 96, 192, 384],
        fusion_hidden_dim=64,
        head_hidden_dim=32,
        head_in_index=-1,
        feature_keys=["stage3", "stage6", "stage9", "stage12"],
    )


_HUB: Mapping[str, Callable[[], keras.Model]] = {
    "ResNet50": _hub_resnet,
    "ResNet18 V2": partial(
        _hub_resnet, stackwise_num_blocks=[2, 2, 2, 2], block_type="basic_block", use_pre_activation=True
    ),
    "ResNet-vd": partial(_hub_resnet, input_conv_filters=[32, 32, 64], input_conv_kernel_sizes=[3, 3, 3]),
    "ResNet50 vd": partial(
        _hub_resnet,
        input_conv_filters=[32, 32, 64],
        input_conv_kernel_sizes=[3, 3, 3],
        block_type="bottleneck_block_vd",
    ),
    "VGG16": partial(
        _hub,
        "VGGBackbone",
        stackwise_num_repeats=[2, 2, 3, 3, 3],
        stackwise_num_filters=[64, 128, 256, 512, 512],
    ),
    "DenseNet121": partial(_hub, "DenseNetBackbone", stackwise_num_repeats=[6, 12, 24, 16]),
    "Xception41": partial(
        _hub,
        "XceptionBackbone",
        stackwise_conv_filters=[[32, 64], [128] * 2, [256] * 2, [728] * 2, *[[728] * 3] * 8, [728, 1024], [1536] * 2],
        stackwise_pooling=[False, True, True, True, *[False] * 8, True, False],
    ),
    "CSPDarkNet": partial(
        _hub,
        "CSPNetBackbone",
        stem_filters=32,
        stem_kernel_size=3,
        stem_strides=1,
        stackwise_depth=[1, 2, 4],
        stackwise_strides=[1, 2, 2],
        stackwise_num_filters=[64, 128, 256],
        block_type="dark_block",
        stage_type="csp",
        stem_padding="same",
        bottle_ratio=[0.5, 1.0, 1.0],
        expand_ratio=[2.0, 1.0, 1.0],
        block_ratio=[1.0, 0.5, 0.5],
        down_growth=True,
    ),
    "EfficientNet v1": partial(_hub_efficientnet, "v1"),
    "EfficientNet fused": partial(_hub_efficientnet, "fused"),
    "EfficientNet unfused": partial(_hub_efficientnet, "unfused"),
    "EfficientNet cba": partial(_hub_efficientnet, "cba"),
    "MobileNet": _hub_mobilenet,
    "HGNetV2": partial(_hub_hgnet, use_learnable_affine_block=False),
    "HGNetV2 affine": partial(_hub_hgnet, use_learnable_affine_block=True),
    "RetinaNet pyramid": lambda: _hub(
        "RetinaNetBackbone", image_encoder=_hub_resnet(), min_level=3, max_level=7, use_p5=False
    ),
    "DeepLabV3+": _hub_deeplab,
    "BASNet": _hub_basnet,
    "MiT-B0": _hub_mit,
    "SegFormer-B0": _hub_segformer,
    "ViT tiny": partial(_hub, "ViTBackbone", mlp_dim=768, **_VIT_TINY),
    "DeiT tiny": partial(_hub, "DeiTBackbone", intermediate_dim=768, **_VIT_TINY),
    "DINOv2 small": partial(_hub_dino, "DINOV2Backbone", patch_size=14, image_shape=(126, 126, 3)),
    "DINOv3 small": partial(_hub_dino, "DINOV3Backbone", patch_size=16),
    "Depth Anything small": _hub_depth_anything,
    "Swin tiny": partial(
        _hub,
        "SwinTransformerBackbone",
        embed_dim=96,
        depths=(2, 2, 6, 2),
        num_heads=(3, 6, 12, 24),
        window_size=4,
    ),
    "ViTDet base": partial(
        _hub,
        "ViTDetBackbone",
        hidden_size=768,
        num_layers=12,
        intermediate_dim=3072,
        num_heads=12,
        global_attention_layer_indices=[2, 5, 8, 11],
    ),
}


def _cv(kind: str, **config: Any) -> keras.Model:
    import keras_cv

    return getattr(keras_cv.models, kind)(**{"input_shape": _SHAPE, "include_rescaling": False, **config})


def _cv_segmenter(kind: str, **config: Any) -> keras.Model:
    import keras_cv

    backbone = config.pop("on")
    return getattr(keras_cv.models, kind)(num_classes=_CLASSES, backbone=backbone(), **config)


_CV_MIT = partial(
    *(_cv, "MiTBackbone"),
    include_rescaling=False,
    depths=[2, 2, 2, 2],
    num_layers=4,
    blockwise_num_heads=[1, 2, 5, 8],
    blockwise_sr_ratios=[8, 4, 2, 1],
    end_value=0.1,
    patch_sizes=[7, 3, 3, 3],
    strides=[4, 2, 2, 2],
    embedding_dims=[32, 64, 160, 256],
    max_drop_path_rate=0.1,
)


_CV_STAGES = {
    "stackwise_filters": [64, 128, 256, 512],
    "stackwise_blocks": [3, 4, 6, 3],
    "stackwise_strides": [1, 2, 2, 2],
}
_CV_EFFICIENT = {
    "width_coefficient": 1.0,
    "depth_coefficient": 1.0,
    "stackwise_kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
    "stackwise_num_repeats": [1, 2, 2, 3, 3, 4, 1],
    "stackwise_input_filters": [32, 16, 24, 40, 80, 112, 192],
    "stackwise_output_filters": [16, 24, 40, 80, 112, 192, 320],
    "stackwise_expansion_ratios": [1, 6, 6, 6, 6, 6, 6],
    "stackwise_strides": [1, 2, 2, 2, 1, 2, 1],
}
_SQUEEZED = {"stackwise_squeeze_and_excite_ratios": [0.25] * 7}
_CV_RESNET_V2 = partial(_cv, "ResNetV2Backbone", **_CV_STAGES)

_CV: Mapping[str, Callable[[], keras.Model]] = {
    "ResNet34": partial(_cv, "ResNetBackbone", **_CV_STAGES, block_type="basic_block"),
    "ResNet50": partial(_cv, "ResNetBackbone", **_CV_STAGES),
    "ResNet50 V2": _CV_RESNET_V2,
    "DenseNet121": partial(_cv, "DenseNetBackbone", stackwise_num_repeats=[6, 12, 24, 16]),
    "VGG16": partial(_cv, "VGG16Backbone", include_top=False),
    "CSPDarkNet-S": partial(
        _cv, "CSPDarkNetBackbone", stackwise_channels=[64, 128, 256, 512], stackwise_depth=[1, 3, 3, 1]
    ),
    "EfficientNet-Lite0": partial(_cv, "EfficientNetLiteBackbone", **_CV_EFFICIENT),
    "EfficientNet V1 B0": partial(_cv, "EfficientNetV1Backbone", **_CV_EFFICIENT, **_SQUEEZED),
    "EfficientNet V2": partial(
        *(_cv, "EfficientNetV2Backbone"),
        **_CV_EFFICIENT,
        **_SQUEEZED,
        stackwise_conv_types=["fused"] * 3 + ["unfused"] * 4,
    ),
    "ViTDet base": partial(_cv, "ViTDetBackbone"),
    "MiT-B0": _CV_MIT,
    "YOLOv8": partial(_cv, "YOLOV8Backbone", stackwise_channels=[32, 64, 128, 256], stackwise_depth=[1, 2, 2, 1]),
    "DeepLabV3+": partial(_cv_segmenter, "DeepLabV3Plus", on=_CV_RESNET_V2),
    "SegFormer-B0": partial(_cv_segmenter, "SegFormer", on=_CV_MIT, projection_filters=256),
}


def _collection(kind: str, *args: Any, **config: Any) -> keras.Model:
    from keras_unet_collection import models

    return getattr(models, kind)(_SHAPE, *args, **config)


_WIDTHS = [16, 32, 64, 128]

_COLLECTION: Mapping[str, Callable[[], keras.Model]] = {
    "U-net": partial(_collection, "unet_2d", _WIDTHS, _CLASSES, batch_norm=True),
    "U-net++": partial(_collection, "unet_plus_2d", _WIDTHS, _CLASSES, batch_norm=True),
    "UNET 3+": partial(_collection, "unet_3plus_2d", _CLASSES, _WIDTHS, batch_norm=True),
    "Attention U-net": partial(_collection, "att_unet_2d", _WIDTHS, _CLASSES, batch_norm=True),
    "R2U-Net": partial(_collection, "r2_unet_2d", _WIDTHS, _CLASSES, batch_norm=True),
    "U^2-Net": partial(_collection, "u2net_2d", _CLASSES, _WIDTHS, batch_norm=True),
}


def _unet(kind: str, **config: Any) -> keras.Model:
    from keras_unet import models

    return getattr(models, kind)(**{"input_shape": _SHAPE, "num_classes": _CLASSES, **config})


_UNET: Mapping[str, Callable[[], keras.Model]] = {
    "U-Net": partial(_unet, "custom_unet"),
    "V-Net": partial(_unet, "custom_vnet", input_shape=(32, 32, 32, 1)),
    "satellite U-Net": partial(_unet, "satellite_unet"),
    "vanilla U-Net": partial(_unet, "vanilla_unet", input_shape=(252, 252, 3), filters=16),
}

FOREIGN: Mapping[str, Callable[[], keras.Model]] = {
    **{f"KerasHub {name}": build for name, build in _HUB.items()},
    **{f"keras_cv {name}": build for name, build in _CV.items()},
    **{f"keras-unet-collection {name}": build for name, build in _COLLECTION.items()},
    **{f"keras-unet {name}": build for name, build in _UNET.items()},
}
"""Library and name → how the network is built."""
