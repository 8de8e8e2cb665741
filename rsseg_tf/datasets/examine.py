"""What reading one sample of a data set shows: its pixels, and everything that is wrong with it."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from rsseg_tf.datasets.agreement import SizesDifferError, misplaced, turned_doubt
from rsseg_tf.datasets.files.companions import content_hash, pixel_files
from rsseg_tf.datasets.files.opening import is_read_by_gdal, windowed_size
from rsseg_tf.datasets.files.stored import strips
from rsseg_tf.datasets.images.header import PNG
from rsseg_tf.datasets.images.masks import UnknownValuesError
from rsseg_tf.datasets.images.opencv_log import ERRORS, opencv_log
from rsseg_tf.datasets.images.picture import open_picture
from rsseg_tf.datasets.palette import IGNORE, Pixels
from rsseg_tf.datasets.parts import InParts, size_in_parts
from rsseg_tf.datasets.readers.files import FileDataset
from rsseg_tf.datasets.sample import Dataset, Sample
from rsseg_tf.errors import DataError
from rsseg_tf.quiet import quiet_stderr

_LOG_PREFIX = re.compile(r"^\[\w+:\S+\] \S+ \S+:\d+ \S+ ")
"""Such as `[ERROR:0@1.07] global grfmt_tiff.cpp:117 TIFF_Error `."""

Pair = tuple[Pixels, Pixels]


@dataclass(frozen=True)
class Examination:
    """What reading one sample showed.

    Attributes:
        problems: message and hint of each thing that is wrong.
        doubts: likewise of what may be intended.
        size: width and height of the image in pixels; (0, 0) where it cannot be read.
        pixels: class id → its pixels in the mask, 255 for those without a label; empty without a readable mask.
        image_sha256: of the image file; empty for generated images and where it cannot be read.
        mask_sha256: of the mask file, likewise, and empty where there is none.
        unknown: number or `#RRGGBB` in the mask that is no class → its pixels; the first problem is then about them.
    """

    problems: tuple[tuple[str, str], ...]
    size: tuple[int, int]
    pixels: Mapping[int, int]
    image_sha256: str
    mask_sha256: str
    doubts: tuple[tuple[str, str], ...] = ()
    unknown: Mapping[str, int] = field(default_factory=dict)


def examine(dataset: Dataset, sample: Sample) -> tuple[Examination, Pair | None]:
    """Read a sample and say what is wrong with it.

    Checked for: files that do not decode or decode with complaints, image and mask of different sizes or, as they say
    themselves, in different places, colors that are not classes, a mask without any label. In doubt: a band marked as
    alpha that holds something else, EXIF data that turn the one and not the other.

    A pair that is too large for it is read in parts.

    Returns:
        The examination, and image and mask; None where they cannot be read, were in parts, or the labels are withheld.
    """
    problems: list[DataError] = []
    failed: list[tuple[Path | None, DataError]] = []
    read = _Read()
    with quiet_stderr():  # what decoders say there is asked for again, file by file
        try:
            read = _read(dataset, sample)
        except DataError as error:
            is_told = isinstance(error, SizesDifferError) or _is_large(sample)
            failed = [] if is_told else list(_failures(dataset, sample))
            problems += [wrong for _, wrong in failed] or [error]
        problems.sort(key=lambda problem: not isinstance(problem, UnknownValuesError))
        problems += _wrongs(sample, read, failed={path for path, _ in failed})
        doubts = [] if problems else list(_doubts(dataset, sample, read))
    found = Examination(
        problems=tuple((problem.message, problem.hint) for problem in problems),
        size=read.size,
        pixels=read.pixels,
        image_sha256=_hash(sample.image),
        mask_sha256=_hash(sample.mask),
        doubts=tuple((doubt.message, doubt.hint) for doubt in doubts),
        unknown=next((problem.values for problem in problems if isinstance(problem, UnknownValuesError)), {}),
    )
    return found, read.pair


@dataclass(frozen=True)
class _Read:
    """Width and height, the pixels of each id in the mask, and the pair, unless it was read in parts."""

    size: tuple[int, int] = (0, 0)
    pixels: Mapping[int, int] = field(default_factory=dict)
    pair: Pair | None = None


def _read(dataset: Dataset, sample: Sample) -> _Read:
    if _withheld(sample):
        return _Read(_image_size(dataset, sample))
    size = size_in_parts(dataset, sample)
    if size is None or not isinstance(dataset, InParts):
        pair = dataset.read(sample)
        return _Read(_size(pair[0]), _counted(pair[1]), pair)
    counts: Counter[int] = Counter()
    for box in strips(*size):
        counts.update(_counted(dataset.read_part(sample, box)[1]))
    return _Read(size[::-1], dict(counts))


def _image_size(dataset: Dataset, sample: Sample) -> tuple[int, int]:
    """Return width and height of an image without labels, after reading all of it."""
    if sample.image is None or not isinstance(dataset, FileDataset) or (size := windowed_size(sample.image)) is None:
        return _size(dataset.read_image(sample))
    with open_picture(sample.image, dataset.channels) as picture:
        for box in strips(*size):
            picture.read(box)
    return size[::-1]


def _hash(path: Path | None) -> str:
    try:
        return "" if path is None else content_hash(pixel_files(path))
    except OSError:  # reading its pixels failed too: that is a problem already
        return ""


def _withheld(sample: Sample) -> bool:
    """Return whether there is an image without labels."""
    return sample.mask is None and sample.image is not None


def _failures(dataset: Dataset, sample: Sample) -> Iterator[tuple[Path | None, DataError]]:
    """Yield what fails where image and mask are read apart, with the file."""
    for path, read in ((sample.image, dataset.read_image), (sample.mask, dataset.read_mask)):
        if not (path is None and _withheld(sample)):
            try:
                read(sample)
            except DataError as error:
                yield path, error


def _is_large(sample: Sample) -> bool:
    """Return whether a file of a pair is not to be read as a whole."""
    try:
        return any(path is not None and windowed_size(path) is not None for path in (sample.image, sample.mask))
    except DataError:
        return False


def _wrongs(sample: Sample, read: _Read, *, failed: Collection[Path | None]) -> Iterator[DataError]:
    """Yield what is wrong with files that can be read."""
    if set(read.pixels) == {IGNORE}:
        yield DataError(f"`{sample.mask}` contains only ignored pixels", hint="drop the pair")
    if any(read.size):
        try:
            elsewhere = misplaced(sample, read.size)
        except DataError as error:  # OpenCV read the file, but GDAL cannot open it
            elsewhere = error
        if elsewhere:
            yield elsewhere
    for path in (sample.image, sample.mask):
        complaint = decoder_complaint(path) if path and path not in failed and _is_for_opencv(path) else ""
        if complaint:
            yield DataError(f"`{path}` decodes, but with errors: {complaint}", hint="fetch or export the file again")


def _doubts(dataset: Dataset, sample: Sample, read: _Read) -> Iterator[DataError]:
    """Yield what may be intended in files that can be read."""
    if sample.image is None:
        return
    if turned := turned_doubt(sample, read.size):
        yield turned
    if is_read_by_gdal(sample.image) and isinstance(dataset, FileDataset):
        with open_picture(sample.image, dataset.channels) as picture:
            if picture.is_alpha_doubted:
                yield DataError(
                    f"a band of `{sample.image}` is marked as alpha and holds other values: it is left out",
                    hint="data.bands=[1,2,3] says that it is no alpha, and which bands are the colors; "
                    "data.bands=[1,2,3,4] has the network see it too",
                )


def _is_for_opencv(path: Path) -> bool:
    """Return whether OpenCV decodes the file and might only complain: of a PNG the check sums were compared."""
    with path.open("rb") as stream:
        is_png = stream.read(len(PNG)) == PNG
    return not is_png and not is_read_by_gdal(path)


def _size(image: Pixels) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


def _counted(mask: Pixels) -> dict[int, int]:
    counts = np.bincount(mask.reshape(-1), minlength=256)
    return {index: int(count) for index, count in enumerate(counts) if count}


def decoder_complaint(path: Path) -> str:
    """Return what the image library says on stderr about a file that it decodes; one line, empty for nothing.

    It takes over the process's stderr while it decodes, so that it is for a program that checks
    files one after the other, not for a training.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with opencv_log(ERRORS), tempfile.TemporaryFile() as caught:
        try:
            os.dup2(caught.fileno(), 2)
            cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        caught.seek(0)
        said = caught.read().decode("utf-8", "replace").strip()
    return _LOG_PREFIX.sub("", said.partition("\n")[0]).strip()
