"""Ultralytics' semantic YOLO on the data of a configuration: trained, made int8, scored and timed beside our files.

python tools/peers/yolo_sem.py --venv peers/yolo -c configs/dubai_r18.yaml --out runs/frontier/yolo26n-s0.json \
    --steps 800 --beside runs/frontier/r18-800-s0.tflite

Its own package trains it from random weights by its own recipe, on windows that our pipeline draws, as many a step and
as many steps as ours. ONNX Runtime runs it float and as QDQ, OpenVINO float and as NNCF quantizes it; the int8 ranges
come from training windows. Scores are of whole images, tiled and blended by the same code as ours, its classes at
stride 8 enlarged as its package does. All are timed in turns in one process. The package is under AGPL-3.0: it stays in
its own environment, and nothing of it is part of rsseg_tf.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from own_venv import OwnVenv, is_finished, is_inside, write_result
from runtimes import Image, Network, latencies, litert, onnx_int8, score

REQUIREMENTS = (
    "ultralytics==8.4.190",
    "torch==2.14.1",
    "onnx==1.23.2",
    "onnxslim==0.1.98",
    "onnxruntime==1.32.0",
    "openvino==2026.4.1",
    "nncf==3.4.0",
    "ai-edge-litert==2.3.0",
    "opencv-python-headless==5.0.0.93",
    "click",
    "PyYAML",
)
ROOT = Path(__file__).parents[2]
SCORES = "scores.onnx"
_CALIBRATION = 128
_MOST_WINDOWS = 1600


def write_windows(options: argparse.Namespace, folder: Path) -> None:
    """Write training and val windows as the package wants them: images and masks of class numbers, 255 for none."""
    from rsseg_tf.config import load_config
    from rsseg_tf.datasets.catalog import open_dataset
    from rsseg_tf.steps.shared.windows import windows

    config = load_config(options.config, (*options.overrides, f"seed={options.seed}"))
    dataset = open_dataset(config.data, seed=config.seed)
    for split, count in (("train", windows_an_epoch(options, config.fit.batch_size)), ("val", 64)):
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
        for place, (_, image, mask) in enumerate(windows(dataset, config, split, count=count)):
            cv2.imwrite(str(folder / "images" / split / f"{place:05d}.png"), image[..., ::-1])
            cv2.imwrite(str(folder / "masks" / split / f"{place:05d}.png"), mask)
    names = "".join(f"  {number}: {name}\n" for number, name in enumerate(dataset.palette.names))
    (folder / "data.yaml").write_text(
        f"path: {folder.resolve()}\ntrain: images/train\nval: images/val\nmasks_dir: masks\nnames:\n{names}",
        encoding="utf-8",
    )


def windows_an_epoch(options: argparse.Namespace, batch: int) -> int:
    """Return how many windows an epoch has: those of all steps in as few epochs as the disk shall hold."""
    drawn = options.steps * batch
    return -(-drawn // -(-drawn // _MOST_WINDOWS))


def train(options: argparse.Namespace, folder: Path) -> Path:
    """Train it from random weights; return its float ONNX file."""
    from ultralytics import YOLO

    from rsseg_tf.config import load_config

    config = load_config(options.config, options.overrides)
    batch, (height, _) = config.fit.batch_size, config.data.input_size
    epochs = -(-options.steps * batch // windows_an_epoch(options, batch))
    model = YOLO(f"{options.network}.yaml")
    settings = {"imgsz": height, "batch": batch, "epochs": epochs, "seed": options.seed, "device": "cpu"}
    quiet = {"plots": False, "workers": 1, "pretrained": False, "project": str(folder), "name": "run"}
    model.train(data=str(folder / "data.yaml"), exist_ok=True, **settings, **quiet)
    best = YOLO(str(Path(model.trainer.best)))
    return before_enlarging(Path(best.export(format="onnx", imgsz=height, simplify=True)))


def before_enlarging(path: Path) -> Path:
    """Return the exported file without its end, which enlarges the scores and takes the best class of each pixel."""
    import onnx
    from onnx.utils import extract_model

    graph = onnx.load(path).graph
    last = [node for node in graph.node if node.op_type == "Resize"][-1]
    cut = path.with_name(SCORES)
    extract_model(str(path), str(cut), [graph.input[0].name], [last.input[0]])
    return cut


def pixels(image: Image) -> NDArray[np.float32]:
    """Return its input, (1, 3, h, w) from 0 to 1, of pixels (h, w, 3)."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32) / 255


def enlarged(run: Callable[[NDArray[np.float32]], NDArray[Any]]) -> Network:
    """Return a network that gives scores at the size of its input from one that gives (1, C, h / 8, w / 8)."""

    def network(image: Image) -> NDArray[Any]:
        scores = np.ascontiguousarray(run(pixels(image))[0].transpose(1, 2, 0))
        return cv2.resize(scores, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)

    return network


def calibration_images(folder: Path) -> list[NDArray[np.float32]]:
    """Return its inputs that int8 ranges are measured on."""
    files = sorted((folder / "images/train").iterdir())[:_CALIBRATION]
    return [pixels(cv2.imread(str(file))[..., ::-1]) for file in files]


def openvino_int8(path: Path, images: list[NDArray[np.float32]]) -> Path:
    """Return the file that NNCF makes of a float ONNX one."""
    import nncf
    import openvino

    model = nncf.quantize(openvino.Core().read_model(path), nncf.Dataset(images), subset_size=len(images))
    quantized = path.with_suffix(".xml")
    openvino.save_model(model, quantized, compress_to_fp16=False)
    return quantized


def onnx_network(path: Path, threads: int) -> Network:
    """Return a file of it in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return enlarged(lambda image: np.asarray(session.run(None, {"images": image})[0]))


def openvino_network(path: Path, threads: int) -> Network:
    """Return a file of it in OpenVINO, set for latency."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    return enlarged(lambda image: np.asarray(compiled(image)[0]))


def file_bytes(path: Path) -> int:
    """Return the size of a model, with that of the weights beside it where OpenVINO keeps them apart."""
    parts = (path, path.with_suffix(".bin")) if path.suffix == ".xml" else (path,)
    return sum(part.stat().st_size for part in parts)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train it unless its file is there, make the int8 files, time and score all."""
    folder = options.out.with_suffix("")
    path = folder / "run/weights" / SCORES
    if not path.exists():
        path = train(options, folder)
    images = calibration_images(folder)
    openers: dict[str, tuple[Callable[[Path, int], Network], Path]] = {
        "ONNX Runtime, float32": (onnx_network, path),
        "ONNX Runtime, int8": (onnx_network, onnx_int8(path, "images", images)),
        "OpenVINO, float32": (openvino_network, path),
        "OpenVINO, int8": (openvino_network, openvino_int8(path, images)),
    }
    words = (*options.overrides, f"seed={options.seed}")
    rows: dict[str, dict[str, Any]] = {
        f"{options.network}, {name}": {
            "scores": score(opener(file, 2), options.config, words, "test"),
            "file_bytes": file_bytes(file),
        }
        for name, (opener, file) in openers.items()
    }
    networks = {f"{options.network}, {name}": opener(file, 1) for name, (opener, file) in openers.items()}
    for file in options.beside:
        for runtime in ("litert", "openvino"):
            networks[f"{file.stem}, {runtime}"] = litert(file, 1, runtime)
            rows[f"{file.stem}, {runtime}"] = {}
    image = cv2.imread(str(sorted((folder / "images/val").iterdir())[0]))[..., ::-1]
    for name, median in latencies(networks, np.ascontiguousarray(image), options.repeats).items():
        rows[name]["p50_ms"] = median
    packages = ("ultralytics", "torch", "onnxruntime", "openvino", "nncf", "ai-edge-litert")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {"rows": rows, "steps": options.steps, "seed": options.seed, "versions": versions}


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = [("network", "test mIoU %", "boundary F1 %", "ms (one thread)"), ("---",) * 4]
    for name, row in rows.items():
        scores = [f"{100 * row['scores'][key]:.2f}" if "scores" in row else "–" for key in ("miou", "boundary_f1")]
        lines.append((name, *scores, f"{row['p50_ms']:.2f}"))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(description="Train, quantize, score and time a semantic YOLO beside our files.")
    made.add_argument("--venv", type=Path, required=True, help="its virtual environment; made where it is not there")
    made.add_argument(
        "-c", "--config", type=Path, required=True, help="YAML file with the data, its size and the batch"
    )
    made.add_argument("--out", type=Path, required=True, help="JSON file; its folder of the same name holds the rest")
    made.add_argument("--network", default="yolo26n-sem", help="default yolo26n-sem")
    made.add_argument("--steps", type=int, default=800, help="gradient steps; default 800")
    made.add_argument("--seed", type=int, default=0, help="default 0")
    made.add_argument(
        "--beside",
        type=Path,
        nargs="*",
        default=[],
        help=".tflite files that are timed in the same turns, by LiteRT and by OpenVINO",
    )
    made.add_argument("--repeats", type=int, default=20, help="turns of 5 runs each; default 20")
    made.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings")
    return made


def main() -> int:
    """Write the windows, make the environment and run there; or measure where this is it."""
    options = parser().parse_args()
    if is_inside():
        result = measure(options)
        write_result(options.out, result)
        print(table(result["rows"]))
        return 0
    if is_finished(options.out):
        return 0
    folder = options.out.with_suffix("")
    if not (folder / "data.yaml").exists():
        write_windows(options, folder)
    venv = OwnVenv(options.venv, REQUIREMENTS)
    venv.make()
    offline = {"YOLO_OFFLINE": "true", "YOLO_CONFIG_DIR": str(folder.resolve())}
    return venv.run(Path(__file__), sys.argv[1:], {"PYTHONPATH": str(ROOT), **offline})


if __name__ == "__main__":
    sys.exit(main())
