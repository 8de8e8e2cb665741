"""Videos through PyAV, which brings FFmpeg with more codecs than OpenCV has, and keeps the time of every frame."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from rsseg_tf.errors import DataError, first_line
from rsseg_tf.inference.codecs.frames import Frame, Source, ends_early, usable_fps
from rsseg_tf.inference.tiling import Image

_TICKS = 60_000  # a second: MPEG-4 has no finer ones, and the usual rates are whole numbers of them
_SLOWEST = Fraction(1, 1000)
_BITS_A_PIXEL = 4.0  # a limit: what a frame takes follows from the quality
_FINEST, _COARSEST = "2", "5"  # of MPEG-4's 31 steps of rounding


def library() -> Any:
    """Return PyAV, or None where it is not installed."""
    try:
        import av
    except ImportError:
        return None
    return av


class FfmpegPlayer:
    """A video file; implements `Player`.

    Args:
        word: the file.

    Raises:
        DataError: if it cannot be opened, or no frame of it can be decoded.
    """

    def __init__(self, word: str) -> None:
        self.is_damaged = False
        av = library()
        self._errors = (av.error.FFmpegError, OSError, ValueError)
        try:
            self._container = av.open(word)
        except self._errors as error:
            said = first_line(error)
            raise DataError(f"cannot open `{word}`: {said}", hint="is it a video that FFmpeg plays?") from error
        try:
            self._stream: Any = next(iter(self._container.streams.video), None)
            if self._stream is None:
                raise DataError(f"`{word}` has no video", hint="give a file that shows something")
            self._stream.thread_type = "AUTO"
            self._decoded = self._pictures()
            self._first: Any = next(self._decoded, None)
            if self._first is None:
                codec = self._stream.codec_context.name
                raise DataError(
                    f"`{word}` opens, but FFmpeg decodes no frame of it; its codec is `{codec}`",
                    hint="check that it plays, or convert it to H.264",
                )
        except BaseException:
            self.close()
            raise
        self.source = self._source(word, self._image(self._first).shape)

    def _source(self, word: str, shape: tuple[int, ...]) -> Source:
        rate = float(self._stream.average_rate or self._stream.guessed_rate or 0)
        seconds = (self._container.duration or 0) / library().time_base
        return Source(
            name=Path(word).stem,
            label=word,
            height=shape[0],
            width=shape[1],
            fps=usable_fps(rate),
            frames=self._stream.frames or round(seconds * rate),
            is_camera=False,
            is_counted=self._stream.frames > 0,
        )

    def frames(self, *, every: int) -> Iterator[Frame]:
        """See `Player.frames`."""
        picture, number, last = self._first, 0, 0.0
        start = 0.0 if picture.time is None else picture.time
        while picture is not None:
            seconds = last + 1 / self.source.fps if picture.time is None else picture.time - start
            last = seconds = seconds if number else 0.0
            if number % every == 0:
                yield Frame(self._image(picture), seconds)
            picture, number = next(self._decoded, None), number + 1
        tells_length = self.source.is_counted or len(self._container.streams) == 1  # else sound may be what is longer
        self.is_damaged |= tells_length and ends_early(number, self.source)

    def _pictures(self) -> Iterator[Any]:
        """Yield decoded frames; packets that are damaged are left out."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except self._errors:  # the file is cut off
                packet, self.is_damaged = None, True
            try:
                yield from packet.decode() if packet else self._stream.decode(None)
            except self._errors as error:
                self.is_damaged |= not isinstance(error, EOFError)  # what ends a sound file
            if packet is None:
                return

    def _image(self, picture: Any) -> Image:
        """Return a frame as it is shown: turned as the file says, of the size of the first one."""
        turns = round(picture.rotation / 90) % 4
        pixels = picture.to_ndarray(format="rgb24", width=self._first.width, height=self._first.height)
        image: Image = np.ascontiguousarray(np.rot90(pixels, turns))
        return image

    def close(self) -> None:
        """See `Player.close`."""
        self._container.close()


class FfmpegRecorder:
    """An MPEG-4 video whose frames keep their times, of any size; implements `Recorder`.

    Args:
        path: the file.
        source: whose size the frames have.
        fps: how many frames a second are expected.
    """

    def __init__(self, path: Path, source: Source, *, fps: float) -> None:
        self._av = library()
        self._container = self._av.open(str(path), "w")
        rate = max(Fraction(fps).limit_denominator(1001), _SLOWEST)
        self._stream = self._container.add_stream("mpeg4", rate=rate, options={"qmin": _FINEST, "qmax": _COARSEST})
        self._stream.width, self._stream.height = source.width, source.height
        self._stream.pix_fmt = "yuv420p"
        self._stream.bit_rate = int(min(_BITS_A_PIXEL * source.width * source.height * max(fps, 1.0), 2**31 - 1))
        self._stream.codec_context.time_base = Fraction(1, _TICKS)
        self._last, self._step = -1, round(_TICKS / fps)

    def write(self, image: Image, seconds: float) -> None:
        """See `Recorder.write`."""
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        self._last = max(self._last + 1, round(seconds * _TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, _TICKS)
        self._mux(frame)

    def close(self) -> None:
        """See `Recorder.close`."""
        try:
            self._mux(None)
        finally:
            self._container.close()

    def _mux(self, frame: Any) -> None:
        for packet in self._stream.encode(frame):
            packet.duration = self._step  # counts for the last one alone, which would be shown for no time
            self._container.mux(packet)
