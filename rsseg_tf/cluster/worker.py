"""What workers do: they find these functions by name, and have everything else from their arguments."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
from numpy.typing import NDArray

from rsseg_tf import __version__
from rsseg_tf.cluster.memory import keep_memory
from rsseg_tf.datasets.files.place import Place
from rsseg_tf.datasets.files.raster import library
from rsseg_tf.datasets.images.picture import open_picture
from rsseg_tf.errors import ConfigError, RssegError
from rsseg_tf.inference.files.bands import Mosaic, grid_of, new_bands
from rsseg_tf.inference.files.images import Named, Opened, Wanted, predict_images
from rsseg_tf.inference.mosaic import parts_of
from rsseg_tf.inference.predict import TiledPredictor
from rsseg_tf.inference.tiling import Image, Infer, Scores
from rsseg_tf.runs import file_hash
from rsseg_tf.steps.opening import open_model

_OPEN_MODELS = 8


@dataclass(frozen=True)
class Model:
    """A model as a worker opens it.

    Attributes:
        path: of the file, the same on every machine.
        sha256: of its bytes.
        opening: names and values of what `rsseg_tf.steps.opening.open_model` takes besides.
        version: of rsseg_tf.
        has_geo: whether rasterio, which sees other pixels in some files, is installed.
    """

    path: str
    sha256: str
    opening: tuple[tuple[str, Any], ...]
    version: str = __version__
    has_geo: bool = dataclasses.field(default_factory=lambda: library() is not None)

    def network(self) -> Infer:
        """Return the network, opened once a process, which runs in one thread at a time.

        Raises:
            ConfigError: if this worker has another version, or lacks the file or an extra.
        """
        return _network(self)

    def wrong_here(self) -> ConfigError | None:
        """Return the error that this process cannot do as the one that made this would; None if it can."""
        if self.version != __version__:
            return ConfigError(
                f"a worker has rsseg_tf {__version__}, this is {self.version}",
                hint="install the same version everywhere",
            )
        if self.has_geo and library() is None:
            return ConfigError(
                "a worker lacks the package `rasterio`", hint="on its machine: pip install 'rsseg-tf[geo,cluster]'"
            )
        try:
            found = file_hash(Path(self.path))
        except OSError as error:
            return ConfigError(
                f"a worker has no model at `{self.path}`: {error.strerror}",
                hint="put models, images and --out in a folder that all machines share under one path",
            )
        if found != self.sha256:
            return ConfigError(
                f"a worker has another model at `{self.path}`", hint="copy the file to the worker's machine again"
            )
        return None


@functools.lru_cache(maxsize=_OPEN_MODELS)
def _network(model: Model) -> Infer:
    if error := model.wrong_here():
        raise error
    keep_memory()
    opening = dict(model.opening)
    cv2.setNumThreads(opening.get("threads", 1))
    network, one = open_model(model.path, **opening).infer, threading.Lock()

    def infer(images: Image) -> Scores:
        with one:
            return network(images)

    return infer


def wrong_here(model: Model) -> tuple[str, str] | None:
    """Return message and hint of what keeps this worker from the work, None for nothing."""
    error = model.wrong_here()
    return None if error is None else (error.message, error.hint)


@dataclass(frozen=True)
class Ticket:
    """Says whether work is still wanted: a later run into the same folder, or the end of this one, takes it back.

    Attributes:
        path: of a file in the folder of the results.
        run: what the file holds while the run lasts.
    """

    path: Path
    run: str

    def check(self) -> None:
        """Stop work that nobody waits for.

        Raises:
            RssegError: if the run is over.
        """
        try:
            is_valid = json.loads(self.path.read_text(encoding="utf-8")) == self.run
        except (OSError, ValueError):
            is_valid = False
        if not is_valid:
            raise RssegError(f"`{self.path}` is gone or another run's", hint="run the command again")


@dataclass(frozen=True)
class Work:
    """What all tasks of a prediction share: the model, all about it but the network, and what is wanted."""

    model: Model
    facts: TiledPredictor
    wanted: Wanted
    ticket: Ticket

    def predictor(self) -> TiledPredictor:
        """Return the predictor, with this worker's network."""
        return dataclasses.replace(self.facts, infer=self.model.network())


def not_here(_images: Image) -> NDArray[Any]:
    """Stand for a network where only what is known about it is needed."""
    raise NotImplementedError


@dataclass(frozen=True)
class Predicted:
    """What became of some images: a record and the predicted pixels of each, the warnings, and how long it took."""

    records: Sequence[tuple[dict[str, Any], int]]
    told: Sequence[tuple[str, str]]
    seconds: float


def predict_some(work: Work, named: Sequence[Named]) -> Predicted:
    """Predict some images; see `rsseg_tf.inference.folders.predict_files`."""
    told: list[tuple[str, str]] = []
    started = time.perf_counter()

    def wanted_still() -> Iterator[Named]:
        for each in named:
            work.ticket.check()
            yield each

    made = predict_images(
        work.predictor(),
        wanted_still(),
        work.wanted,
        report=lambda _done, _total: work.ticket.check(),
        tell=lambda message, hint: told.append((message, hint)),
    )
    return Predicted(list(made), told, time.perf_counter() - started)


def predict_bands(work: Work, opened: Opened, rows: range) -> int:
    """Predict those bands of a mosaic that are not there yet, keep them, and return how many they were."""
    job = opened.job
    predictor = dataclasses.replace(job.predictor, infer=work.model.network())
    parts = parts_of(job.target, job.key, overwrite=False)
    done = 0
    with open_picture(job.image, job.channels, size=opened.size) as picture:
        mosaic = Mosaic(picture, Place(), None, predictor.palette, job.products)
        grid = grid_of(predictor, mosaic)
        for run in [*parts.missing(rows)]:
            with contextlib.closing(new_bands(predictor, mosaic, grid, run)) as bands:
                for band in bands:
                    work.ticket.check()
                    parts.save(band)
                    done += 1
    return done
