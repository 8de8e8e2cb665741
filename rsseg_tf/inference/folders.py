"""Class maps of files and folders of images, each with an overlay and the area of every class."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rsseg_tf.datasets.files.finding import find_images
from rsseg_tf.datasets.files.remote import remote_of
from rsseg_tf.datasets.images.channels import AS_THEY_ARE, Channels
from rsseg_tf.errors import ConfigError, extras_named
from rsseg_tf.inference.areas import check_resamples
from rsseg_tf.inference.files.images import Named, Wanted, predict_images
from rsseg_tf.inference.files.names import but_results, first_in_the_way, output_names
from rsseg_tf.inference.files.records import record_of
from rsseg_tf.inference.predict import CLASS_MAP, Products, TiledPredictor
from rsseg_tf.progress import Advance, warning_once
from rsseg_tf.run_folder import only_writer

TICKET = "workers.ticket"
"""File in the folder of the results that says for which run workers may write there; results never end so."""

UNFINISHED = "predict.unfinished"
"""File in the folder of the results while a call is under way there, and after one that did not end well."""

FETCHED = "fetched"
"""Folder within that of the results for images on the network, while they are predicted."""


@extras_named()
def predict_files(  # noqa: PLR0913 - the door's arguments are settled
    predictor: TiledPredictor,
    images: Path | str | Iterable[Path | str],
    out: Path | str,
    *,
    channels: Channels = AS_THEY_ARE,
    products: Products = CLASS_MAP,
    overwrite: bool = False,
    progress: Callable[[Advance], None] | None = None,
) -> list[dict[str, Any]]:
    """Predict images and write, for each, `NAME_classes.png`, `NAME_overlay.jpg` and `NAME.json`.

    Beside the class map lies `NAME_classes.qml`, by which QGIS shows names and colors of the classes.

    An image that says where it lies (in it, or in a world file beside it), and a PNG or TIFF of more than 50
    megapixels, needs rasterio: it is read in rows, its class map is `NAME_classes.tif` with the same georeference or
    ground control points, its overlay at most 2048 pixels wide and high. Without rasterio a world file is copied
    beside the class map.

    The JSON file is written last and holds what is returned: pixels, share and, where the size of a pixel is known,
    square meters of every class. An image that was predicted before by the same model is not predicted again, and a
    large one is resumed where it stopped, so a killed run needs no more than the same call.

    Args:
        predictor: the model.
        images: an image file, a folder of them, a glob pattern or an address (`https://…`, `s3://…`), or several.
        out: the folder for the results.
        channels: what the network gets from images that are not 8-bit RGB; what the model says, where they say nothing.
        products: what is made besides: polygons, a map of confidence, in steps of 1/250.
        overwrite: predict again what lies in `out`.
        progress: called after every image, and after every few rows of a large one.

    Returns:
        One record an image, in order.

    Raises:
        DataError: if there is no such image, or one that cannot be read.
        ConfigError: if `out` holds the images, or results of another model, another process writes to it, `products`
            cannot be made, an image lacks a band that is asked for, or the model sees another number of them.
        MissingExtraError: if an image is to be read through rasterio, which is not installed.
    """
    folder = Path(out)
    named = named_images(images, folder)
    check_possible(predictor, products)
    seen = predictor.channels_for(channels)
    records: list[dict[str, Any]] = []
    pixels = 0

    def advance(done: int = 0, total: int = 1) -> None:
        if progress:
            progress(Advance(len(records) + done / total, len(named), pixels + done))

    with only_writer(folder), marked_unfinished(folder, named) as resumes, fetched_within(folder):
        (folder / TICKET).unlink(missing_ok=True)  # of a run with workers that was killed: what it dealt is over
        wanted = Wanted(folder, seen, products, overwrite, resumes)
        made = predict_images(predictor, named, wanted, report=advance, tell=warning_once())
        with contextlib.closing(made):
            for record, predicted in made:
                records.append(record)
                pixels += predicted
                advance()
    return records


def named_images(images: Path | str | Iterable[Path | str], out: Path) -> list[Named]:
    """Return the images that words name, without results of an earlier call, and what their results are called.

    Raises:
        DataError: if there is no such image.
        ConfigError: if `out`, for the results, holds images to predict, or an address is none that is known.
    """
    words = [str(images)] if isinstance(images, str | Path) else [str(word) for word in images]
    remotes = {word: remote for word in words if (remote := remote_of(word))}
    local = [word for word in words if word not in remotes]
    found = but_results(find_images(local), out)
    if any(image.resolve().parent == out.resolve() for image in found):
        raise ConfigError(f"`{out}` holds images to predict", hint="choose another --out")
    places = [*found, *(remote.path for remote in remotes.values())]
    names = iter(output_names(places))
    here = [Named(image, next(names), str(image)) for image in found]
    fetched = [(remote, next(names)) for remote in remotes.values()]
    return here + [
        Named(out / FETCHED / f"{name}{remote.path.suffix}", name, remote.said, remote.url) for remote, name in fetched
    ]


def check_possible(predictor: TiledPredictor, products: Products) -> None:
    """Check that a model can do what is asked of it.

    Raises:
        ConfigError: if it does not say how sure it is, or cannot resample.
    """
    if products.need_confidence and not predictor.score_unit:
        raise ConfigError(
            "the model gives class numbers alone, not how sure it is of them", hint="export it with export.head=logits"
        )
    check_resamples(predictor)


@contextlib.contextmanager
def marked_unfinished(out: Path, named: Sequence[Named]) -> Iterator[bool]:
    """Yield whether results without a record in a folder can only be of ours: of a call that did not end well, or none.

    Within the block the folder says that this call is under way, and afterwards too where such results lie there.
    """
    mark = out / UNFINISHED
    resumes = mark.exists() or not any(out.iterdir())
    with contextlib.suppress(OSError):  # whoever writes a result there says what is wrong
        mark.touch()
    try:
        yield resumes
    finally:
        targets = [out / each.name for each in named]
        if not any(not record_of(target).exists() and first_in_the_way(target) for target in targets):
            mark.unlink(missing_ok=True)


@contextlib.contextmanager
def fetched_within(out: Path) -> Iterator[None]:
    """Remove, at the end of the block, the folder that images on the network are fetched to, if nothing is in it."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            (out / FETCHED).rmdir()
