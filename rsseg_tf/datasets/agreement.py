"""Whether an image and its mask show one place, the same side up, as their files say."""

from __future__ import annotations

from pathlib import Path

from rsseg_tf.datasets.files.place import Place, place_of
from rsseg_tf.datasets.images.header import orientation, size_of
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.errors import DataError, unreadable
from rsseg_tf.runs import require_regular

_TURNED_ONCE = (5, 6, 7, 8)  # EXIF orientations that change rows for columns
_MOST_PX = 0.5
_REMEDY = (
    'store it upright: python -c "from PIL import Image, ImageOps; '
    "ImageOps.exif_transpose(Image.open('OLD.jpg')).save('NEW.png')\""
)
_TIFFS = (".tif", ".tiff")  # turned ones are garbled by Pillow 13 and not read by OpenCV 5


def misplaced(sample: Sample, size: tuple[int, int]) -> DataError | None:
    """Return the error that image and mask lie in different places, by their georeferences; None where they agree.

    Args:
        sample: image and mask.
        size: width and height of both.

    Raises:
        DataError: if a file cannot be opened.
    """
    if sample.image is None or sample.mask is None:
        return None
    image, mask = place_of(sample.image), place_of(sample.mask)
    if image is None or mask is None or image.transform is None or mask.transform is None:
        return None
    if image.crs is not None and mask.crs is not None and image.crs != mask.crs:
        how = f"in other coordinates, {mask.crs} for {image.crs}"
    elif (distance := _distance_px(image, mask, size)) > _MOST_PX:
        how = f"up to {distance:.3g} pixels away"
    else:
        return None
    return DataError(
        f"the mask `{sample.mask}` lies elsewhere than its image `{sample.image}`: {how}",
        hint=f"lay it on the image's grid: rio warp {sample.mask} NEW.tif --like {sample.image} --resampling nearest",
    )


def _distance_px(image: Place, mask: Place, size: tuple[int, int]) -> float:
    """Return how far the corners of a mask are from those of its image, in pixels of the image."""
    width, height = size
    to_pixels = ~image.transform
    a, b, c, d, e, f = to_pixels[:6]
    distances = []
    for column, row in ((0, 0), (width, 0), (0, height), (width, height)):
        p, q, r, s, t, u = mask.transform[:6]
        x, y = p * column + q * row + r, s * column + t * row + u
        distances += [abs(a * x + b * y + c - column), abs(d * x + e * y + f - row)]
    return max(distances)


def turned(sample: Sample) -> tuple[Path, int] | None:
    """Return the file of a pair that its EXIF data turns while those of the other do not, and how; None for neither.

    Raises:
        OSError: if a file cannot be read.
    """
    if sample.image is None or sample.mask is None:
        return None
    ways = {path: orientation(path) for path in (sample.image, sample.mask)}
    if len(set(ways.values())) == 1:
        return None
    path = sample.image if ways[sample.image] != 1 else sample.mask
    return path, ways[path]


def turned_doubt(sample: Sample, size: tuple[int, int]) -> DataError | None:
    """Return the doubt whether a mask was drawn over its image as it is stored or as it is shown.

    None where they have no such difference, or the sides of the image (`size`: width and height) tell.
    """
    found = turned(sample)
    if found is None or (found[1] in _TURNED_ONCE and size[0] != size[1]):
        return None
    return DataError(
        f"`{found[0]}` is turned by its EXIF data (orientation {found[1]}), the other file of the pair is not",
        hint=f"pixels are read as they are stored: look at `data show`, and if masks lie wrong, {_upright(found[0])}",
    )


class SizesDifferError(DataError):
    """An image and a mask that have not one height and width."""


def require_equal_headers(sample: Sample) -> None:
    """Check that an image and its mask say that they have one height and width, before they are decoded.

    Raises:
        SizesDifferError: if they say otherwise.
        DataError: if one of them cannot be read.
    """
    sizes = []
    for path in filter(None, (sample.image, sample.mask)):
        try:
            require_regular(path)
            sizes.append(size_of(path))
        except OSError as error:
            raise unreadable(path, error) from error
    if len(sizes) == 2 and all(map(all, sizes)):
        require_equal_sizes(sample, *sizes)


def require_equal_sizes(sample: Sample, image: tuple[int, ...], mask: tuple[int, ...]) -> None:
    """Check that an image and its mask have one height and width.

    Raises:
        SizesDifferError: if they have not.
    """
    if image != mask:
        (height, width), (mask_height, mask_width) = image, mask
        raise SizesDifferError(
            f"`{sample.image}` is {width}×{height} pixels but its mask `{sample.mask}` is {mask_width}×{mask_height}",
            hint=_size_hint(sample, (height, width), (mask_height, mask_width)),
        )


def _size_hint(sample: Sample, image: tuple[int, int], mask: tuple[int, int]) -> str:
    """Return what to do where an image and its mask have different heights and widths."""
    found = turned(sample) if image == mask[::-1] else None
    if found is not None and found[1] in _TURNED_ONCE:
        return f"EXIF data turn `{found[0]}` when it is shown, not when it is read: {_upright(found[0])}"
    return "resize the mask with nearest-neighbor sampling, or drop the pair"


def _upright(path: Path) -> str:
    return "store it upright, without the tag 274" if path.suffix.lower() in _TIFFS else _REMEDY
