"""A survey of many images, and of mosaics cut into bands, predicted by workers: the files are those of one process.

Small images go to workers some at a time, a mosaic in runs of bands. Workers keep bands as parts in the folder of the
results; one thread here writes them into the GeoTIFF as they come. So a run that ends early goes on where it stopped,
with or without workers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsseg_tf.cluster.engine import Cluster, Task
from rsseg_tf.cluster.worker import Model, Predicted, Ticket, Work, not_here, predict_bands, predict_some, wrong_here
from rsseg_tf.datasets.files.place import Place
from rsseg_tf.datasets.files.raster import library, open_dataset_of
from rsseg_tf.datasets.files.remote import bytes_of
from rsseg_tf.datasets.files.stored import LARGE_PIXELS
from rsseg_tf.datasets.images.channels import AS_THEY_ARE, Channels
from rsseg_tf.datasets.images.header import size_of
from rsseg_tf.datasets.images.picture import open_picture
from rsseg_tf.errors import ConfigError, extras_named, unreadable
from rsseg_tf.inference.files.bands import Mosaic, grid_of, kept_band
from rsseg_tf.inference.files.images import (
    Named,
    Opened,
    Wanted,
    earlier_of,
    job_of,
    opened_for,
    recorded,
)
from rsseg_tf.inference.folders import (
    TICKET,
    check_possible,
    fetched_within,
    marked_unfinished,
    named_images,
)
from rsseg_tf.inference.mosaic import assembled, parts_of
from rsseg_tf.inference.parts import Band, Parts
from rsseg_tf.inference.predict import CLASS_MAP, Products, TiledPredictor
from rsseg_tf.inference.tiling import TileGrid
from rsseg_tf.progress import Advance, warning_once
from rsseg_tf.run_folder import only_writer
from rsseg_tf.runs import write_json

_TASK_S = 4.0
"""How long a worker is to be busy with a task of small images, so that dealing them does not count."""
_LEAST_ROWS = 4
"""Rows of windows in a run of bands: each run predicts the row above it once more."""
_WAIT_S = 0.1


@extras_named()
def predict_shared(  # noqa: PLR0913 - as `predict_files`
    cluster: Cluster,
    model: Model,
    predictor: TiledPredictor,
    images: Path | str | Iterable[Path | str],
    out: Path | str,
    *,
    channels: Channels = AS_THEY_ARE,
    products: Products = CLASS_MAP,
    overwrite: bool = False,
    progress: Callable[[Advance], None] | None = None,
) -> list[dict[str, Any]]:
    """Predict images with the workers of a cluster; see `rsseg_tf.inference.folders.predict_files`.

    Args:
        cluster: the workers.
        model: as they open it.
        predictor: the same, as it is known here; its network is not used.
        images: as for `predict_files`; workers have to see them under the same paths.
        out: the folder for the results, which workers see too.
        channels: as for `predict_files`.
        products: as for `predict_files`.
        overwrite: as for `predict_files`.
        progress: called a few times a second.

    Returns:
        One record an image, in order.

    Raises:
        RssegError: as `predict_files`; or workers cannot do the work, or are lost.
    """
    folder = Path(out).absolute()
    named = [dataclasses.replace(each, path=each.path.absolute()) for each in named_images(images, folder)]
    check_possible(predictor, products)
    check_workers(cluster, model)
    seen = predictor.channels_for(channels)
    with (
        only_writer(folder),
        marked_unfinished(folder, named) as resumes,
        fetched_within(folder),
        _ticket(folder) as ticket,
    ):
        wanted = Wanted(folder, seen, products, overwrite, resumes)
        facts = dataclasses.replace(predictor, infer=not_here)
        survey = _Survey(cluster, Work(model, facts, wanted, ticket), named, progress)
        with contextlib.closing(survey):
            return survey.run()


def check_workers(cluster: Cluster, model: Model) -> None:
    """Check that every worker can do the work.

    Raises:
        ConfigError: if one has another version, or lacks the model or an extra.
    """
    for address, wrong in cluster.everywhere(wrong_here, model).items():
        if isinstance(wrong, OSError):  # it ended meanwhile: whoever takes its place is checked when it gets work
            continue
        if isinstance(wrong, Exception):
            raise ConfigError(
                f"the worker {address} cannot use rsseg_tf: {wrong}", hint="pip install 'rsseg-tf[geo,cluster]' there"
            ) from wrong
        if wrong is not None:
            message, hint = wrong
            raise ConfigError(f"{address}: {message}", hint=hint)


@contextlib.contextmanager
def _ticket(folder: Path) -> Iterator[Ticket]:
    ticket = Ticket(folder / TICKET, uuid.uuid4().hex)
    write_json(ticket.path, ticket.run)
    try:
        yield ticket
    finally:
        ticket.path.unlink(missing_ok=True)


@dataclass
class _Large:
    """A mosaic that is under way."""

    index: int
    opened: Opened
    parts: Parts
    rows: int
    kept: int
    pixels: int
    started: float = field(default_factory=time.perf_counter)

    share: float = 0.0

    def look(self) -> None:
        """See how much of it is done; its parts go once all of it is."""
        self.share = max(self.share, self.parts.count() / self.rows)


class _Survey:
    """What is done and what is not; see `predict_shared`."""

    def __init__(
        self,
        cluster: Cluster,
        work: Work,
        named: Sequence[Named],
        progress: Callable[[Advance], None] | None,
    ) -> None:
        self._cluster, self._work, self._named, self._progress = cluster, work, named, progress
        self._tell = warning_once()
        self._records: dict[int, dict[str, Any]] = {}
        self._pixels = 0
        self._large: list[_Large] = []
        self._seconds_an_image = 0.0
        self._over = threading.Event()
        self._writer = ThreadPoolExecutor(1)
        self._written: list[tuple[_Large, Future[tuple[dict[str, Any], int]]]] = []

    def close(self) -> None:
        """Have the thread that writes mosaics end."""
        self._over.set()
        self._writer.shutdown()

    def run(self) -> list[dict[str, Any]]:
        """Return the record of every image, in order, once all are predicted."""
        for task, result in self._cluster.results(self._tasks(), tick=self._tick):
            if isinstance(result, Predicted):
                self._take(task.about, result)
        while self._written:
            self._tick()
            time.sleep(_WAIT_S)
        self._tick()
        return [self._records[index] for index in range(len(self._named))]

    def _tasks(self) -> Iterator[Task]:
        """Yield the work: mosaics first, which take the longest."""
        sizes = {index: _pixels(each) for index, each in enumerate(self._named)}
        can_cut = self._work.facts.fitting == "crop"
        large = {index: pixels for index, pixels in sizes.items() if can_cut and pixels > LARGE_PIXELS}
        for place, index in enumerate(large):
            yield from self._bands(index, mosaics_left=len(large) - place)
        small = [index for index in sizes if index not in large]
        while small:
            count = self._count(len(small))
            chosen, small = small[:count], small[count:]
            yield self._some(chosen)

    def _some(self, indices: Sequence[int]) -> Task:
        """Return the task of predicting some small images."""
        named = [self._named[index] for index in indices]
        name = f"`{named[0].said}`" + (f" and {len(named) - 1} more" if len(named) > 1 else "")
        return Task(name, predict_some, (self._work, named), about=indices)

    def _count(self, left: int) -> int:
        """Return how many small images the next task has: fewer to begin with, and towards the end."""
        fair = math.ceil(left / (4 * self._cluster.workers))
        return max(1, min(fair, int(_TASK_S / self._seconds_an_image) if self._seconds_an_image else 4))

    def _bands(self, index: int, *, mosaics_left: int) -> Iterator[Task]:
        """Yield the runs of bands of a mosaic: as many as there are workers for it, none if it was done before."""
        job = job_of(self._work.facts, self._named[index], self._work.wanted, self._tell)
        if (record := earlier_of(job)) is not None:
            self._records[index] = record
            return
        opened = opened_for(job)
        if opened.pixels is not None:
            yield self._some([index])
            return
        with _mosaic(opened) as mosaic:
            grid = grid_of(opened.job.predictor, mosaic)
            pixels = mosaic.picture.height * mosaic.picture.width
        rows = len(grid.tops) if grid else 1
        parts = parts_of(job.target, job.key, overwrite=job.overwrite)
        large = _Large(index, opened, parts, rows, parts.count(), pixels)
        self._large.append(large)
        self._written.append((large, self._writer.submit(self._write, large)))
        pieces = max(1, min(math.ceil(self._cluster.workers / mosaics_left), rows // _LEAST_ROWS))
        sent = dataclasses.replace(opened, place=None, areas=None, job=dataclasses.replace(opened.job, tell=_silent))
        for run in cut_rows([*parts.missing(range(rows))], pieces):
            yield Task(f"rows of `{job.image}`", predict_bands, (self._work, sent, run))

    def _write(self, large: _Large) -> tuple[dict[str, Any], int]:
        """Write a mosaic's results, while its bands come."""
        job = large.opened.job
        with _mosaic(large.opened) as mosaic:
            grid = grid_of(job.predictor, mosaic)
            made = assembled(mosaic, large.parts, job.target, bands=self._awaited(large, mosaic, grid))
        seconds = time.perf_counter() - large.started
        run = {"seconds": seconds, "workers": self._cluster.workers, "bands_resumed": large.kept}
        return recorded(large.opened, {**made, "run": run})

    def _awaited(self, large: _Large, mosaic: Mosaic, grid: TileGrid | None) -> Iterator[Band]:
        for row in range(large.rows):
            while not large.parts.has(row):
                if self._over.wait(_WAIT_S):
                    raise InterruptedError
            yield kept_band(mosaic, grid, large.parts, row)

    def _take(self, indices: Sequence[int], result: Predicted) -> None:
        for index, (record, pixels) in zip(indices, result.records, strict=True):
            self._records[index] = record
            self._pixels += pixels
        for message, hint in result.told:
            self._tell(message, hint)
        self._seconds_an_image = max(1e-4, result.seconds / len(indices))

    def _tick(self) -> None:
        """Take the mosaics that are written, and tell how far all is."""
        for large, written in [*self._written]:
            if written.done():
                self._written.remove((large, written))
                self._large.remove(large)
                self._records[large.index], pixels = written.result()
                self._pixels += pixels
        if not self._progress:
            return
        for large in self._large:
            large.look()
        shares = [(large.share, large.pixels) for large in self._large]
        images = len(self._records) + sum(share for share, _ in shares)
        pixels = self._pixels + round(sum(share * size for share, size in shares))
        self._progress(Advance(images, len(self._named), pixels))


def _silent(_message: str, _hint: str) -> None:
    """Say nothing: it was said where the image was opened first."""


@contextlib.contextmanager
def _mosaic(opened: Opened) -> Iterator[Mosaic]:
    job = opened.job
    with open_picture(job.image, job.channels, size=opened.size) as picture:
        yield Mosaic(picture, opened.place or Place(), opened.areas, job.predictor.palette, job.products)


def cut_rows(runs: Sequence[range], pieces: int) -> Iterator[range]:
    """Yield runs of rows in pieces of about the same length, as many as there would be of all together."""
    most = math.ceil(sum(map(len, runs)) / pieces)
    for run in runs:
        count = math.ceil(len(run) / most)
        edges = [run.start + len(run) * number // count for number in range(count + 1)]
        yield from (range(first, end) for first, end in itertools.pairwise(edges))


def _pixels(named: Named) -> int:
    """Return how many pixels a file has, by its header or else by GDAL; one on the network at most as many as bytes."""
    image = named.path
    if named.url:
        return bytes_of(named.url)
    try:
        height, width = size_of(image)
    except OSError as error:
        raise unreadable(image, error) from error
    if height * width or library() is None:
        return height * width
    with open_dataset_of(image) as dataset:
        return int(dataset.height * dataset.width)
