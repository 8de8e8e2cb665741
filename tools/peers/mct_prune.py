"""What Sony's model-compression-toolkit makes of the same trained network at the same share of the parameters.

python tools/peers/mct_prune.py --venv peers/mct -c configs/dubai_r18.yaml --model runs/dubai/model.keras \
    --params 0.4 --out peers/mct_r18.json

It knows Keras 2 only, so the script makes `--venv` with TensorFlow 2.15 and runs there. `rsseg_tf.models` builds the
very same graph under Keras 2; weights and images go over as NumPy files. Its budget is memory of the weights, so the
share of the parameters is given. The result says which layers it pruned, which it left, and what is kept of each;
`compare_pruning.py --methods kept:peers/mct_r18.json` then retrains what it chose beside the others.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from own_venv import OwnVenv, add_model_arguments, is_finished, is_inside, write_result

REQUIREMENTS = ("model-compression-toolkit==2.6.1", "tensorflow==2.15.1", "numpy<2", "setuptools<81")
PYTHON = "python3.11"
"""The newest that TensorFlow 2.15 has wheels for."""

ROOT = Path(__file__).parents[2]
_BYTES_PER_PARAM = 4
_TWIN = "twin.npz"


def write_twin(options: argparse.Namespace, folder: Path) -> None:
    """Write weights of the model by layer, its make, and images to score on, for the other environment."""
    from rsseg_tf.config import AugmentConfig, load_config
    from rsseg_tf.datasets.catalog import open_dataset
    from rsseg_tf.models.weights.pretrained import load_keras_model
    from rsseg_tf.steps.shared.training_data import windows_of

    config = load_config(options.config, options.overrides)
    dataset = open_dataset(config.data, seed=config.seed)
    model = load_keras_model(options.model)
    source = windows_of(dataset, config, AugmentConfig(flip_horizontal=False, translate_px=0))
    images = [source.window(index % source.count, epoch=0, position=index)[0] for index in range(options.images)]
    make = {
        "backbone": config.model.backbone,
        "num_classes": model.output_shape[-1],
        "input_shape": model.input_shape[1:],
        "upsampling": config.model.upsampling,
        "image_pooling": config.model.image_pooling,
        "output_stride": config.model.output_stride,
    }
    arrays = {
        f"{layer.name}:{index}": weight for layer in model.layers for index, weight in enumerate(layer.get_weights())
    }
    np.savez(folder / _TWIN, make=np.array(json.dumps(make)), images=np.stack(images), **arrays)


def read_twin(path: Path) -> tuple[Any, np.ndarray]:
    """Return the network under Keras 2 with the weights in `path`, and the images."""
    import keras

    keras.KerasTensor = keras.__internal__.KerasTensor  # only named in annotations of `rsseg_tf.models`
    from rsseg_tf.models.deeplab import deeplab_v3_plus

    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    model = deeplab_v3_plus(**json.loads(str(arrays["make"])))
    for layer in model.layers:
        names = [f"{layer.name}:{index}" for index in range(len(layer.get_weights()))]
        layer.set_weights([arrays[name] for name in names])
    return model, arrays["images"]


def prune(path: Path, share: float, *, approximations: int) -> dict[str, Any]:
    """Prune the twin to `share` of the memory of its weights; what went and what stayed."""
    import model_compression_toolkit as mct

    model, images = read_twin(path)

    def representative() -> Iterator[list[np.ndarray]]:
        for image in images:
            yield [image[None].astype(np.float32)]

    started = time.perf_counter()
    slim, info = mct.pruning.keras_pruning_experimental(
        model=model,
        target_resource_utilization=mct.core.ResourceUtilization(
            weights_memory=share * model.count_params() * _BYTES_PER_PARAM
        ),
        representative_data_gen=representative,
        pruning_config=mct.pruning.PruningConfig(num_score_approximations=approximations),
    )
    keep = {node.name: np.flatnonzero(mask).tolist() for node, mask in info.pruning_masks.items()}
    before, after = filters_of(model), filters_of(slim)
    return {
        "seconds": time.perf_counter() - started,
        "dense_params": model.count_params(),
        "params": slim.count_params(),
        "pruned": {name: [count, after.get(name)] for name, count in before.items() if after.get(name) != count},
        "untouched": [name for name, count in before.items() if after.get(name) == count],
        "keep": keep,
        "versions": {"model-compression-toolkit": mct.__version__},
    }


def filters_of(model: Any) -> dict[str, int]:
    """Return layer → number of its filters."""
    found = {layer.name: getattr(layer, "filters", getattr(layer, "units", None)) for layer in model.layers}
    return {name: int(count) for name, count in found.items() if count is not None}


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(description="Prune the trained network with model-compression-toolkit.")
    add_model_arguments(made)
    made.add_argument("--params", type=float, default=0.4, help="share of the weights' memory to keep; default 0.4")
    made.add_argument("--images", type=int, default=32, help="training windows to score on; default 32")
    made.add_argument(
        "--approximations", type=int, default=32, help="of its Hessian scores, at most --images; default 32"
    )
    return made


def main() -> int:
    """Write the twin, make the environment and run there; or prune where this is it."""
    options = parser().parse_args()
    if is_inside():
        result = prune(Path(os.environ["RSSEG_TWIN"]), options.params, approximations=options.approximations)
        write_result(options.out, result)
        print(
            f"model-compression-toolkit {result['versions']['model-compression-toolkit']}: "
            f"{result['params'] / result['dense_params']:.1%} of the parameters left, {result['seconds']:.0f} s; "
            f"{len(result['pruned'])} layers pruned, {len(result['untouched'])} left as they were"
        )
        return 0
    if is_finished(options.out):
        return 0
    venv = OwnVenv(options.venv, REQUIREMENTS, python=PYTHON)
    venv.make()
    with tempfile.TemporaryDirectory() as folder:
        write_twin(options, Path(folder))
        extra = {"PYTHONPATH": str(ROOT), "RSSEG_TWIN": str(Path(folder) / _TWIN), "TQDM_DISABLE": "1"}
        return venv.run(Path(__file__), sys.argv[1:], extra)


if __name__ == "__main__":
    sys.exit(main())
