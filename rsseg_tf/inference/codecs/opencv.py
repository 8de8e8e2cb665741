"""Cameras, and videos where PyAV is not installed, through OpenCV."""

from __future__ import annotations

import datetime
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2

from rsseg_tf.datasets.images.opencv_log import opencv_log
from rsseg_tf.errors import DataError, RssegError
from rsseg_tf.inference.codecs.frames import Frame, Source, ends_early, usable_fps
from rsseg_tf.inference.tiling import Image
from rsseg_tf.quiet import quiet_stderr

CAMERA = "camera:"

_HINT = "is it a video that OpenCV can play? PyAV plays more: pip install 'rsseg-tf[video]'"


class OpencvPlayer:
    """A camera or a video file; implements `Player`.

    Args:
        word: the file, or `camera:N`.

    Raises:
        DataError: if it cannot be opened, or no frame of the file can be decoded.
    """

    def __init__(self, word: str) -> None:
        self.is_damaged = False
        self._is_camera = word.startswith(CAMERA)
        number = word.removeprefix(CAMERA)
        if self._is_camera and not number.isdecimal():
            raise DataError(f"no camera `{word}`", hint="give its number, such as camera:0 for /dev/video0")
        with opencv_log(), quiet_stderr():  # FFmpeg in OpenCV has a log of its own
            self._capture: Any = cv2.VideoCapture(int(number) if self._is_camera else word)
            if not self._capture.isOpened():
                hint = "is it plugged in, and free?" if self._is_camera else _HINT
                raise DataError(f"cannot open `{word}`", hint=hint)
            if self._is_camera:
                self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # or a slow board would see the past
        self._first = None if self._is_camera else self._required(word)
        self.source = self._source(word)

    def _required(self, word: str) -> Frame:
        """Return the first frame of a file: FFmpeg opens files of which it decodes nothing, and tells stderr alone."""
        with opencv_log(), quiet_stderr():
            found = self._retrieved() if self._capture.grab() else None
        if found is None:
            kind = (
                int(self._capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("ascii", "replace").strip("\0")
            )
            self.close()
            raise DataError(
                f"`{word}` opens, but OpenCV decodes no frame of it; its codec is `{kind}`",
                hint="if it plays elsewhere: pip install 'rsseg-tf[video]', which decodes more, or convert it to H.264",
            )
        return found

    def _source(self, word: str) -> Source:
        now = datetime.datetime.now(datetime.UTC)
        frames = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        size = self._first.image.shape if self._first else None
        return Source(
            name=f"{word.replace(':', '')}_{now:%Y%m%dT%H%M%SZ}" if self._is_camera else Path(word).stem,
            label=word,
            height=size[0] if size else int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            width=size[1] if size else int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            fps=usable_fps(self._capture.get(cv2.CAP_PROP_FPS)),
            frames=0 if self._is_camera else max(int(frames), 0),
            is_camera=self._is_camera,
        )

    def frames(self, *, every: int) -> Iterator[Frame]:
        """See `Player.frames`."""
        started = None
        for number in itertools.count():
            if number == 0 and self._first is not None:
                frame: Frame | None = self._first
            elif not self._capture.grab():
                self.is_damaged = ends_early(number, self.source)
                return
            else:
                frame = self._retrieved() if number % every == 0 else None
            if frame is not None:
                started = frame.seconds if started is None else started
                yield Frame(frame.image, frame.seconds - started)

    def _retrieved(self) -> Frame | None:
        seconds = time.monotonic() if self._is_camera else self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        ok, bgr = self._capture.retrieve()
        return Frame(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), seconds) if ok else None

    def close(self) -> None:
        """See `Player.close`."""
        self._capture.release()


class OpencvRecorder:
    """An MPEG-4 video of one rate; implements `Recorder`, but for the times.

    OpenCV's encoder drops the last row or column of an odd size, which is therefore doubled.

    Args:
        path: the file.
        source: whose size the frames have.
        fps: frames per second.

    Raises:
        RssegError: if OpenCV cannot write it.
    """

    def __init__(self, path: Path, source: Source, *, fps: float) -> None:
        self._more = source.height % 2, source.width % 2
        size = (source.width + self._more[1], source.height + self._more[0])
        self._writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
        if not self._writer.isOpened():
            raise RssegError(f"cannot write `{path}`", hint="OpenCV here has no MPEG-4 encoder: use --frames")

    def write(self, image: Image, seconds: float) -> None:
        """See `Recorder.write`."""
        del seconds  # it writes frames of one rate
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        self._writer.write(cv2.copyMakeBorder(bgr, 0, self._more[0], 0, self._more[1], cv2.BORDER_REPLICATE))

    def close(self) -> None:
        """See `Recorder.close`."""
        self._writer.release()
