"""The grid of an image in another size, on the same ground."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from rsseg_tf.datasets.files.place import Place
from rsseg_tf.errors import ConfigError

_MOST_SIDE = 1_000_000


@dataclass(frozen=True)
class Resizing:
    """From the grid of an image to one of the same ground; height and width of both."""

    before: tuple[int, int]
    after: tuple[int, int]

    @classmethod
    def to(cls, height: int, width: int, *, before: tuple[float, float], after: float, name: str) -> Resizing:
        """Return the grid of square pixels with sides of another length.

        Args:
            height: of the image.
            width: of the image.
            before: height and width of its pixels.
            after: the new side, in the same unit.
            name: what messages call the image.

        Raises:
            ConfigError: if it is too large for an image.
        """
        size = max(1, round(height * before[0] / after)), max(1, round(width * before[1] / after))
        if max(size) > _MOST_SIDE:
            raise ConfigError(
                f"at the model's resolution `{name}` would have {size[0]:,}×{size[1]:,} pixels",
                hint="check --gsd, or predict without --resample",
            )
        return cls((height, width), size)

    def place(self, place: Place | None) -> Place | None:
        """Return where the new grid lies, from where the old one does."""
        if place is None:
            return None
        down, right = (before / after for before, after in zip(self.before, self.after, strict=True))
        transform, control = place.transform, place.control
        if transform is not None:
            transform = transform @ type(transform).scale(right, down)
        if control is not None:
            control = [_moved(point, right, down) for point in control[0]], control[1]
        return replace(place, transform=transform, control=control)

    def side(self, side: float) -> float:
        """Return the side of a new pixel, from that of an old one."""
        down, right = (before / after for before, after in zip(self.before, self.after, strict=True))
        return side * float((down * right) ** 0.5)


def _moved(point: Any, right: float, down: float) -> Any:
    kind = type(point)
    return kind(point.row / down, point.col / right, point.x, point.y, point.z, point.id, point.info)
