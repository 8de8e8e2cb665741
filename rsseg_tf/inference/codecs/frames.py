"""What a video is to a job: a source, frames with their times, something that takes frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from rsseg_tf.inference.tiling import Image

USUAL_FPS = 25.0
FASTEST_FPS = 1000.0

_ENOUGH = 0.95
"""Share of the frames that a file promises which a sound one has: some count a few that are never shown."""


@dataclass(frozen=True)
class Source:
    """A video file or a camera that opened.

    Attributes:
        name: of the results.
        label: what messages call it.
        height: of a frame, in pixels.
        width: of a frame.
        fps: frames per second, on average.
        frames: about how many there are, 0 where unknown.
        is_camera: whether it runs until it is stopped.
        is_counted: whether the file says how many frames there are.
    """

    name: str
    label: str
    height: int
    width: int
    fps: float
    frames: int
    is_camera: bool
    is_counted: bool = False


@dataclass(frozen=True)
class Frame:
    """A picture, uint8 (H, W, 3) RGB, and its time in seconds since the first one."""

    image: Image
    seconds: float


class Player(Protocol):
    """A source that is open.

    Attributes:
        source: what it is.
        is_damaged: whether a part of the file could not be played; known once its frames have ended.
    """

    source: Source
    is_damaged: bool

    def frames(self, *, every: int) -> Iterator[Frame]:
        """Yield every Nth frame, once; one that is damaged is left out, as players do."""
        ...

    def close(self) -> None:
        """Let go of the file or the camera."""
        ...


class Recorder(Protocol):
    """A video that is being written."""

    def write(self, image: Image, seconds: float) -> None:
        """Add a frame of the size of the first one, later than the one before.

        Raises:
            OSError: if the disk is full and the library says so.
        """
        ...

    def close(self) -> None:
        """Finish the file.

        Raises:
            OSError: as `write`.
        """
        ...


def ends_early(played: int, source: Source) -> bool:
    """Return whether a file ends clearly before all frames that it promises were played."""
    return played < _ENOUGH * source.frames - 1


def usable_fps(fps: float) -> float:
    """Return the rate that a source claims, or the usual one where it cannot be that."""
    return fps if 0 < fps < FASTEST_FPS else USUAL_FPS
