"""Whether our backbones with torchvision's weights compute what torchvision's own networks do.

python tools/peers/torchvision_features.py --venv peers/torchvision --work peers/features --out peers/features.json

The weights are random, batch-norm statistics and offsets too. In its own environment torchvision writes a state dict
of each network, in both layouts of `.pth` files, and features at stride 32; here they are read as `model.weights`
reads them, and our features at stride 16 are compared at every second place.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from own_venv import OwnVenv, is_finished, is_inside, write_result

REQUIREMENTS = ("torch==2.14.1", "torchvision==0.29.1", "numpy")
NETWORKS = ("resnet18", "resnet34", "resnet50", "resnet101", "mobilenet_v2")
SIDE = 96
_FEATURES = "features.npz"
LAYOUTS = {"": True, "_legacy": False}
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def write_features(folder: Path) -> None:
    """State dicts and features of torchvision's networks."""
    import torch
    import torchvision

    torch.manual_seed(0)
    pixels = np.random.default_rng(0).uniform(0, 255, (1, SIDE, SIDE, 3)).astype(np.float32)
    normalized = (pixels / 255 - np.float32(_MEAN)) / np.float32(_STD)
    image = torch.tensor(np.moveaxis(normalized, -1, 1).copy())
    found = {"pixels": pixels}
    for name in NETWORKS:
        network = getattr(torchvision.models, name)(weights=None).eval()
        for norm in (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)):
            norm.running_mean.normal_(0, 0.3)
            norm.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
            torch.nn.init.normal_(norm.bias, 0, 0.3)
        for suffix, is_zip in LAYOUTS.items():
            torch.save(network.state_dict(), folder / f"{name}{suffix}.pth", _use_new_zipfile_serialization=is_zip)
        body = network.features[:-1] if name == "mobilenet_v2" else torch.nn.Sequential(*[*network.children()][:-2])
        with torch.no_grad():
            found[name] = np.moveaxis(body(image).numpy(), 1, -1)
    np.savez(folder / _FEATURES, **found)


def differences(folder: Path) -> dict[str, float]:
    """Network → the largest difference of any feature, relative to the largest feature, over both layouts."""
    import keras

    from rsseg_tf.models.deeplab import deeplab_v3_plus
    from rsseg_tf.models.weights.pretrained import initialize

    with np.load(folder / _FEATURES) as stored:
        expected = dict(stored)
    pixels = expected.pop("pixels")
    worst = dict.fromkeys(expected, 0.0)
    for name, features in expected.items():
        for suffix in LAYOUTS:
            model = deeplab_v3_plus(name, 5, (SIDE, SIDE, 3))
            initialize(model, str(folder / f"{name}{suffix}.pth"), backbone=name)
            ours = keras.Model(model.input, model.get_layer("aspp_1x1_conv").input)(pixels)
            difference = np.abs(np.asarray(ours)[:, ::2, ::2] - features).max() / np.abs(features).max()
            worst[name] = max(worst[name], float(difference))
    return worst


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description="Compare features with torchvision's.")
    made.add_argument("--venv", type=Path, required=True, help="its virtual environment; made where it is not there")
    made.add_argument("--work", type=Path, required=True, help="folder of the state dicts")
    made.add_argument("--out", type=Path, required=True, help="JSON file")
    return made


def main() -> int:
    """Have torchvision write its part, then compare here."""
    options = parser().parse_args()
    if is_inside():
        write_features(options.work)
        return 0
    if is_finished(options.out):
        return 0
    options.work.mkdir(parents=True, exist_ok=True)
    venv = OwnVenv(options.venv, REQUIREMENTS)
    venv.make()
    code = venv.run(Path(__file__), sys.argv[1:])
    if code == 0:
        worst = differences(options.work)
        write_result(options.out, {"differences": worst, "requirements": list(REQUIREMENTS)})
        print("\n".join(f"{name:12}  {value:.1e}" for name, value in worst.items()))
    return code


if __name__ == "__main__":
    sys.exit(main())
