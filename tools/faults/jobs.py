"""The commands that are disturbed, on tiny networks and images, and what they begin with."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.faults.forks import run

SETTINGS = tuple(
    """
    data.name=scenes data.scenes.train=4 data.scenes.val=2 data.scenes.test=2 data.scenes.size=64
    data.input_size=[32,32] model.width=0.125 model.aspp_width=8 model.decoder_width=8 model.low_level_width=8
    fit.epochs=2 fit.batch_size=2 fit.steps_per_epoch=3 fit.checkpoint_steps=1 fit.deterministic=true fit.ema=0.9
    prune.loops=3 prune.batches=1 prune.macs=0.8 prune.recalibration_batches=1 prune.tune_steps=1 prune.retrain.epochs=1
    prune.retrain.batch_size=2 prune.retrain.steps_per_epoch=3 prune.retrain.checkpoint_steps=1
    prune.retrain.deterministic=true export.calibration_samples=2 export.check_samples=2 export.max_drop=100
    export.qat.epochs=1 export.qat.steps_per_epoch=2 export.qat.batch_size=2 evaluate.overlap=0
    """.split()  # noqa: SIM905 - as on a command line
)

NOTES = "out/run/notes.txt"


@dataclass(frozen=True)
class Job:
    """A command that is run in a folder of its own; `base` lies beside it.

    Attributes:
        name: what the tables call it.
        words: the command line.
        before: command lines whose result it replaces or adds to; made once and copied.
        keeps: a file of the user's that stays, whatever happens.
        has_network: whether it needs TensorFlow.
    """

    name: str
    words: tuple[str, ...]
    before: tuple[tuple[str, ...], ...] = ()
    keeps: str = ""
    has_network: bool = True


def _words(text: str, *more: str) -> tuple[str, ...]:
    return (*text.split(), *more)


_FIT = _words("fit -o out/run", *SETTINGS)
_PRUNE = _words("prune ../base/dense -o out/run")
_EXPORT = _words("export-tflite ../base/dense -o out/dense.tflite")
_PREDICT = _words("predict ../base/model.tflite ../base/mosaic.tif -o out --confidence --polygons gpkg")

_BURN = _words("data burn ../base/mosaic.tif ../base/polygons.geojson --attribute kind -o out --block 130 --gap 20")

_REPORT = _words("report ../base/dense ../base/model.tflite -o out --places 1")

JOBS = (
    Job("data burn", _BURN, has_network=False),
    Job("predict", _PREDICT, has_network=False),
    Job("predict --overwrite", (*_PREDICT, "--overwrite", "--overlap", "16"), (_PREDICT,), has_network=False),
    Job("fit", _FIT),
    Job("fit --overwrite", (*_FIT, "--overwrite", "seed=1"), (_FIT,), NOTES),
    Job("prune", _PRUNE),
    Job("prune --overwrite", (*_PRUNE, "--overwrite", "seed=1"), (_PRUNE,), NOTES),
    Job("export-tflite", _EXPORT),
    Job("export-tflite, again", (*_EXPORT, "export.equalize=true"), (_EXPORT,)),
    Job("export-tflite, int8-qat", (*_EXPORT, "export.type=int8-qat")),
    Job("report, again", _words("report ../base/dense -o out --places 0"), (_REPORT,), "out/figures/notes.txt"),
    Job("ranges", _words("ranges ../base/dense -o out")),
    Job("ablate", _words("ablate -o out/run --repeats 1", *SETTINGS)),
)


class Workshop:
    """A folder in which jobs find what they begin with; what was made there once serves again."""

    def __init__(self, folder: Path, *, model: Path | None = None) -> None:
        self.folder = folder
        self._base = folder / "base"
        if not (self._base / "mosaic.tif").exists():
            self._base.mkdir(parents=True, exist_ok=True)
            write_mosaic(self._base / "mosaic.tif", height=320)
        if not (self._base / "polygons.geojson").exists():
            (self._base / "polygons.geojson").write_text(json.dumps(squares()))
        if model:
            shutil.copyfile(model, self._base / "model.tflite")
        elif not (self._base / "model.tflite").exists():
            _succeed(_words("fit -o dense", *SETTINGS), self._base)
            _succeed(_words("export-tflite dense -o model.tflite"), self._base)

    def new(self, job: Job, name: str = "case") -> Path:
        """Return a new folder for a job, with what it replaces."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        return self.fill(folder, job)

    def fill(self, folder: Path, job: Job) -> Path:
        """Put what a job replaces into a folder, and return it."""
        shutil.copytree(self._started(job), folder, dirs_exist_ok=True)
        return folder

    def finished(self, job: Job) -> Path:
        """Return the folder that the undisturbed job left."""
        folder = self.folder / f"{_plain(job.name)}-whole"
        if not (folder / "out").exists():
            made = self.new(job, "making")
            _succeed(job.words, made)
            made.rename(folder)
        return folder

    def _started(self, job: Job) -> Path:
        folder = self.folder / f"{_plain(job.name)}-start"
        if not folder.exists():
            making = self.folder / "making"
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            for words in job.before:
                _succeed(words, making)
            if job.keeps:
                (making / job.keeps).write_text("mine")
            making.rename(folder)
        return folder


def _succeed(words: tuple[str, ...], folder: Path) -> None:
    ending = run(words, folder)
    if ending.code:
        raise SystemExit(f"{' '.join(words)} ends with {ending.code}: {ending.last}")


def _plain(name: str) -> str:
    return name.replace(" ", "_").replace(",", "")


def write_mosaic(path: Path, *, height: int, width: int = 96) -> None:
    """Write a GeoTIFF of random blocks."""
    import numpy as np
    import rasterio
    from rasterio.transform import Affine

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (3, height // 16, width // 16), np.uint8)
    pixels = coarse.repeat(16, 1).repeat(16, 2)
    place = {"crs": "EPSG:32640", "transform": Affine(0.5, 0, 325_000, 0, -0.5, 2_780_000)}
    shape = {"count": 3, "height": height, "width": width, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", **shape, **place) as mosaic:
        mosaic.write(pixels)


def squares() -> dict[str, Any]:
    """Return polygons over `write_mosaic`'s image as GeoJSON, in its coordinates."""

    def square(column: float, row: float, side: float) -> list[list[float]]:
        corners = [(0, 0), (0, side), (side, side), (side, 0), (0, 0)]
        return [[325_000 + (column + x) / 2, 2_780_000 - (row + y) / 2] for x, y in corners]

    features = [
        {
            "type": "Feature",
            "properties": {"kind": kind, "id": number},
            "geometry": {"type": "Polygon", "coordinates": [square(9, 60 * number + 4.3, 50)]},
        }
        for number, kind in enumerate(("roof", "road", "tree", "roof"))
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32640"}}
    return {"type": "FeatureCollection", "crs": crs, "features": features}
