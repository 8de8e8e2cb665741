"""Sound files of every kind that is fuzzed, and what reads each."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import cv2
import numpy as np

from rsseg_tf.benchmark.profile import LatencyProfile, OpLatency, load_profile, save_profile
from rsseg_tf.config import load_config
from rsseg_tf.config.data import DataConfig, FolderConfig
from rsseg_tf.datasets.catalog import open_dataset
from rsseg_tf.datasets.readers.folder import parse_classes
from rsseg_tf.errors import RssegError
from rsseg_tf.report.facts import read_log
from rsseg_tf.report.sources import read_sources
from rsseg_tf.tflite import guard
from rsseg_tf.tflite.arena import plan_arena
from rsseg_tf.tflite.cutting import cut
from rsseg_tf.tflite.edgetpu.lint import lint
from rsseg_tf.tflite.flatbuffer import parse_model, read_content
from rsseg_tf.tflite.inspection import format_inspection, inspect_tflite
from rsseg_tf.tflite.layer_names import OpTensors, op_tensors
from rsseg_tf.tflite.metadata import metadata_in, verify_seal
from tools.faults import foreign
from tools.faults.foreign import write_foreign

_GUARD_S = 5
"""That an interpreter may take in its own process: native code may loop on a damaged file, which the guard ends."""


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        names: of the sound files.
        read: what is done with a file, as the commands do it.
        loads: what must be imported beforehand, so that no case is charged for it.
        few: how many cases show in a moment that it is read at all.
    """

    names: tuple[str, ...]
    read: Callable[[Path], object]
    loads: Callable[[], object] = bool
    few: int = 100


def _read_graph(path: Path) -> None:
    content = read_content(path)
    model = parse_model(content, name=str(path))
    plan_arena(model)
    op_tensors(model)
    lint(model)
    with mock.patch.object(guard, "TIMEOUT_S", _GUARD_S):
        format_inspection(inspect_tflite(path, edgetpu=True))
    cut(content, name=str(path))


def _read_metadata(path: Path) -> None:
    content = read_content(path)
    metadata_in(content, path=path)
    verify_seal(content)


def _read_torch(path: Path) -> None:
    from rsseg_tf.models.weights.conversion import state_dict  # Keras takes seconds, which few kinds need.
    from rsseg_tf.models.weights.torch_file import read_torch_file

    state_dict(read_torch_file(path), path=path)


def _read_safetensors(path: Path) -> None:
    from rsseg_tf.models.weights.conversion import state_dict
    from rsseg_tf.models.weights.safetensors_file import read_safetensors

    state_dict(read_safetensors(path), path=path)


def _read_palette(path: Path) -> None:
    parse_classes(load_config(path).data.folder)


def _read_mask(path: Path) -> None:
    """Read it as a mask of numbers and as one of colors; a sound one is either."""
    errors = []
    for classes in ({"land": "0", "sea": "1"}, {"land": "102030", "sea": "405060"}):
        _, reader = parse_classes(FolderConfig(classes=classes), ignore_unknown=True)
        try:
            reader.read(path)
        except RssegError as error:
            errors.append(error)
    if len(errors) > 1:
        raise errors[0]


def _read_plan(path: Path) -> None:
    from rsseg_tf.pruning.plan import Plan

    str(Plan.from_json(path.read_text(encoding="utf-8", errors="replace")))


def _read_state(path: Path) -> None:
    from rsseg_tf.pruning.loop.state import StateFile

    StateFile(path, "sound").read()


def _read_results(path: Path) -> None:
    read_sources([path])


def _read_pairs(path: Path) -> None:
    (path.parent / "numbers.png").touch()
    folder = FolderConfig(pairs=str(path.absolute()), classes={"land": "0", "sea": "1"})
    open_dataset(DataConfig(name="folder", root=str(path.parent), folder=folder))


def _read_run_log(path: Path) -> None:
    read_log(path, ("epoch", "loss", "val_miou"))


def _pruning() -> None:
    import rsseg_tf.pruning  # noqa: F401


def _weights() -> None:
    import rsseg_tf.models.weights.conversion  # noqa: F401


KINDS: Mapping[str, Kind] = {
    "flatbuffer": Kind(("int8.tflite", "sealed.tflite"), _read_graph, few=60),
    "metadata": Kind(("sealed.tflite",), _read_metadata),
    "pth": Kind(("archive.pth", "legacy.pth"), _read_torch, _weights),
    "safetensors": Kind(("weights.safetensors",), _read_safetensors, _weights),
    "config": Kind(("config.yaml",), lambda path: load_config(path)),
    "palette": Kind(("colors.yaml", "numbers.yaml"), _read_palette),
    "mask": Kind(("numbers.png", "colors.png"), _read_mask),
    "plan": Kind(("plan.json",), _read_plan, _pruning),
    "profile": Kind(("profile.json",), load_profile),
    "state": Kind(("state.npz",), _read_state, _pruning),
    "results": Kind(("evaluation.json", "bench.json", "ranges.json"), _read_results),
    "pairs": Kind(("pairs.csv",), _read_pairs),
    "log": Kind(("log.csv",), _read_run_log),
    "outlines": Kind(("coco.json", "labelme.json", "studio.json"), foreign.read_outlines, few=30),
    "polygons": Kind(("polygons.geojson",), foreign.read_polygons, foreign.load_for_maps, few=30),
    "geotiff": Kind(("ortho.tif", "packed.tif"), foreign.read_geotiff, foreign.load_for_maps, few=20),
    "archive": Kind(("network.keras",), foreign.read_archive, foreign.load_for_networks),
    "keras": Kind(("network.keras",), foreign.read_keras, foreign.load_for_networks, few=12),
    "onnx": Kind(("network.onnx",), foreign.read_onnx, few=10),
}
"""What `docs/robustness.md` counts, by kind."""

_COLORS = "data: {name: folder, root: x, folder: {classes: {land: 102030, sea: '#405060'}, ignore_colors: [000000]}}\n"
_NUMBERS = "data: {name: folder, root: x, folder: {classes: {land: 1, sea: 2}, colors: {land: 102030, sea: 405060}}}\n"


def write_samples(folder: Path) -> None:
    """Write the sound files of all kinds; they are the tests' own."""
    from rsseg_tf.cli.main import main
    from rsseg_tf.tflite.metadata import embed_metadata
    from tests.models.weights.weight_files import write_safetensors, write_torch
    from tests.report.data import make_data, make_file, make_run
    from tests.report.pictures.test_heatmap import RANGES
    from tests.tflite.networks import METADATA, tiny_model

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "int8.tflite").write_bytes(tiny_model("int8"))
    (folder / "sealed.tflite").write_bytes(embed_metadata(tiny_model("int8"), METADATA))
    arrays = {"fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "fc.bias": np.ones(2, np.float32)}
    write_torch(folder / "archive.pth", arrays)
    write_torch(folder / "legacy.pth", arrays, legacy=True)
    write_safetensors(folder / "weights.safetensors", arrays)
    (folder / "colors.yaml").write_text(_COLORS)
    (folder / "numbers.yaml").write_text(_NUMBERS)
    _write_masks(folder)
    _write_of_pruning(folder)
    write_foreign(folder)

    config = make_data(folder / "data")
    run = make_run(folder / "run", config)
    (folder / "config.yaml").write_bytes((run / "config.yaml").read_bytes())
    (folder / "log.csv").write_bytes((run / "log.csv").read_bytes())
    (folder / "pairs.csv").write_text("image,mask,split\nnumbers.png,numbers.png,train\nnumbers.png,,test\n")
    file = make_file(folder / "run.tflite", run, config, kind="int8")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        main(["evaluate", str(file), "-c", str(run / "config.yaml"), "--json"])
    (folder / "evaluation.json").write_text(printed.getvalue())
    (folder / "bench.json").write_text(json.dumps({"results": [{"sha256": "0" * 64, "p50_ms": 3.0}]}))
    (folder / "ranges.json").write_text(json.dumps(RANGES))


def _write_masks(folder: Path) -> None:
    numbers = np.random.default_rng(0).integers(0, 2, (9, 7))
    cv2.imwrite(str(folder / "numbers.png"), numbers.astype(np.uint8))
    colors = np.array([[0x10, 0x20, 0x30], [0x40, 0x50, 0x60]], np.uint8)
    cv2.imwrite(str(folder / "colors.png"), colors[numbers][..., ::-1])


def _write_of_pruning(folder: Path) -> None:
    from rsseg_tf.pruning.loop.shrinking import Snapshot
    from rsseg_tf.pruning.loop.state import LoopState, StateFile
    from rsseg_tf.pruning.plan import Plan

    cost = {"params": 500, "macs": 4000, "int8_bytes": 600}
    plan = Plan({"stem": (0, 2)}, {"stem": 4}, cost, {"params": 900, "macs": 9000, "int8_bytes": 1000})
    (folder / "plan.json").write_text(plan.to_json())
    snapshot = Snapshot(1, plan, plan, (np.ones((2, 3), np.float32), np.zeros(2, np.float32)))
    StateFile(folder / "state.npz", "sound").renew(LoopState(snapshot, snapshot, {"accuracy": 0.5}))
    layer = OpLatency(0, "CONV_2D", OpTensors("stem", ("in", "kernel"), ("out",)), (1, 8, 8, 4), 9, 0.5)
    measured = LatencyProfile("m.tflite", "0" * 64, 1, 9, "a CPU", None, exact=True, total_ms=0.5, layers=(layer,))
    save_profile(folder / "profile.json", measured)
