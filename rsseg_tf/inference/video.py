"""Videos and cameras through OpenCV: every frame's classes over the picture, and what they cover in all."""

from __future__ import annotations

import contextlib
import datetime
import glob
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rsseg_tf.datasets.images.channels import COLORS
from rsseg_tf.datasets.images.opencv_log import opencv_log
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.errors import ConfigError, DataError, RssegError
from rsseg_tf.inference.areas import area_table
from rsseg_tf.inference.mosaic import OVERLAY_SHARE
from rsseg_tf.inference.predict import TiledPredictor
from rsseg_tf.inference.prefetch import prefetched
from rsseg_tf.inference.tiling import Image
from rsseg_tf.progress import Advance
from rsseg_tf.runs import atomic_path, write_json

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
CAMERA = "camera:"

_USUAL_FPS = 25.0
_FASTEST_FPS = 1000.0
_FRAMES_AHEAD = 2


@dataclass(frozen=True)
class VideoSettings:
    """What becomes of the frames.

    Attributes:
        every: predict every Nth frame.
        most_frames: stop after this many frames; 0 for all.
        as_frames: class numbers of every predicted frame as a PNG, instead of an overlay video.
    """

    every: int = 1
    most_frames: int = 0
    as_frames: bool = False


@dataclass(frozen=True)
class Source:
    """A video file or a camera that opened.

    Attributes:
        name: of the results.
        label: what messages call it.
        height: of a frame, in pixels.
        width: of a frame.
        fps: frames per second, as the source says.
        frames: how many there are, 0 where unknown.
        is_camera: whether it runs until it is stopped.
    """

    name: str
    label: str
    height: int
    width: int
    fps: float
    frames: int
    is_camera: bool


def is_video(word: str) -> bool:
    """Return whether a word names a camera (`camera:0`) or, by its ending, video files."""
    return word.startswith(CAMERA) or word.lower().endswith(VIDEO_SUFFIXES)


def find_videos(words: Sequence[str]) -> list[str]:
    """Return the cameras and files that words and glob patterns name, each once, in order.

    Raises:
        DataError: if a word names nothing.
    """
    found: dict[str, None] = {}
    for word in words:
        is_there = word.startswith(CAMERA) or Path(word).is_file()
        matches = [word] if is_there else sorted(glob.glob(word, recursive=True))  # noqa: PTH207 - absolute patterns
        if not matches:
            raise DataError(f"no video at `{word}`", hint="give a video file, or camera:0 for the first camera")
        found.update(dict.fromkeys(matches))
    return list(found)


def predict_video(
    predictor: TiledPredictor,
    word: str,
    out: Path,
    *,
    settings: VideoSettings = VideoSettings(),
    progress: Callable[[Advance], None] | None = None,
) -> dict[str, Any]:
    """Predict the frames of a video file or a camera.

    Writes `NAME_overlay.mp4` (colors over the picture), or with `settings.as_frames` a PNG of class numbers a
    frame in `NAME_frames`, then `NAME_video.json`. NAME is the file's stem, or the camera and the time.

    Ctrl-C ends a camera as its last frame would. Of a video file it keeps what was made as
    `NAME_partial_overlay.mp4`, and re-raises KeyboardInterrupt.

    Args:
        predictor: the model.
        word: the file, or `camera:N`.
        out: the folder for the results.
        settings: which frames, and what becomes of them.
        progress: called after every frame, with 0 images done where the end is unknown.

    Returns:
        Frames, frames per second and the mean area of each class, as JSON values.

    Raises:
        ConfigError: if the model sees another number of bands than a video has colors.
        DataError: if it cannot be opened, or has no frame.
        RssegError: if the results cannot be written.
    """
    if predictor.num_bands != COLORS:
        raise ConfigError(
            f"`{word}` has {COLORS} colors, the model sees {predictor.num_bands} bands",
            hint="predict images that have them",
        )
    started = time.perf_counter()
    with _opened(word) as (capture, source):
        counts = np.zeros(predictor.palette.num_classes, np.int64)
        done = 0
        output = _frame_folder(out, source) if settings.as_frames else _overlay_video(out, source, settings, predictor)
        with output as (name, write), contextlib.closing(_classified(capture, predictor, settings)) as frames:
            with _ends_a_camera(source):
                for frame, classes in frames:
                    write(done, frame, classes)
                    counts += np.bincount(classes.ravel(), minlength=len(counts))
                    done += 1
                    if progress:
                        progress(Advance(_share(done, source, settings), 1, done * classes.size))
            if not done:
                raise DataError(f"`{source.label}` has no frame", hint="check that it plays, or name another source")
    seconds = time.perf_counter() - started
    record = _record(source, predictor, counts, frames=done)
    record |= {"output": name, "settings": asdict(settings), "run": {"seconds": seconds, "fps": done / seconds}}
    write_json(out / f"{source.name}_video.json", record)
    return record


def _record(source: Source, predictor: TiledPredictor, counts: Any, *, frames: int) -> dict[str, Any]:
    meters = predictor.ground_sampling_distance_m
    areas = counts * meters**2 / frames if meters else None
    return {
        "video": source.label,
        "height": source.height,
        "width": source.width,
        "frames": frames,
        "frames_in_file": None if source.is_camera else source.frames,
        "source_fps": source.fps,
        "classes": area_table(predictor.palette.names, counts, areas),
        "model_sha256": predictor.model_sha256,
    }


@contextlib.contextmanager
def _opened(word: str) -> Iterator[tuple[Any, Source]]:
    is_camera = word.startswith(CAMERA)
    number = word.removeprefix(CAMERA)
    if is_camera and not number.isdecimal():
        raise DataError(f"no camera `{word}`", hint="give its number, such as camera:0 for /dev/video0")
    with opencv_log():
        capture = cv2.VideoCapture(int(number) if is_camera else word)
        try:
            if not capture.isOpened():
                hint = "is it plugged in, and free?" if is_camera else "is it a video that OpenCV can play?"
                raise DataError(f"cannot open `{word}`", hint=hint)
            if is_camera:
                capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # or a slow board would see the past
            yield capture, _source(word, capture, is_camera=is_camera)
        finally:
            capture.release()


def _source(word: str, capture: Any, *, is_camera: bool) -> Source:
    fps = capture.get(cv2.CAP_PROP_FPS)
    now = datetime.datetime.now(datetime.UTC)
    return Source(
        name=f"{word.replace(':', '')}_{now:%Y%m%dT%H%M%SZ}" if is_camera else Path(word).stem,
        label=word,
        height=int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        width=int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        fps=fps if 0 < fps < _FASTEST_FPS else _USUAL_FPS,
        frames=0 if is_camera else max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0),
        is_camera=is_camera,
    )


def _classified(capture: Any, predictor: TiledPredictor, settings: VideoSettings) -> Any:
    """Return (frame, classes) of the frames to predict, decoded and predicted in threads of their own."""
    frames = prefetched(_frames(capture, settings), depth=_FRAMES_AHEAD)
    return prefetched(((frame, predictor.predict(frame)) for frame in frames), depth=_FRAMES_AHEAD)


def _frames(capture: Any, settings: VideoSettings) -> Iterator[Image]:
    taken, seen = 0, 0
    while not settings.most_frames or taken < settings.most_frames:
        if not capture.grab():
            return
        if seen % settings.every == 0:
            ok, bgr = capture.retrieve()
            if ok:
                taken += 1
                yield cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        seen += 1


@contextlib.contextmanager
def _ends_a_camera(source: Source) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if not source.is_camera:
            raise


@contextlib.contextmanager
def _frame_folder(out: Path, source: Source) -> Iterator[tuple[str, Callable[[int, Image, Image], None]]]:
    folder = out / f"{source.name}_frames"

    def write(number: int, _frame: Image, classes: Image) -> None:
        write_image(folder / f"{number:06d}.png", classes)

    yield folder.name, write


@contextlib.contextmanager
def _overlay_video(
    out: Path, source: Source, settings: VideoSettings, predictor: TiledPredictor
) -> Iterator[tuple[str, Callable[[int, Image, Image], None]]]:
    """Yield a function that adds a frame to the video, which appears when the block ends, or is interrupted."""
    path, partial = (out / f"{source.name}{kind}_overlay.mp4" for kind in ("", "_partial"))
    interruption: KeyboardInterrupt | None = None
    written = 0
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(atomic_path(path))
        fps = max(source.fps / settings.every, 1.0)
        writer = cv2.VideoWriter(str(temporary), cv2.VideoWriter.fourcc(*"mp4v"), fps, (source.width, source.height))
        if not writer.isOpened():
            raise RssegError(f"cannot write `{path}`", hint="OpenCV here has no MPEG-4 encoder: use --frames")

        def write(_number: int, frame: Image, classes: Image) -> None:
            nonlocal written
            colors = predictor.palette.colorize(classes)
            overlay = cv2.addWeighted(frame, 1 - OVERLAY_SHARE, colors, OVERLAY_SHARE, 0)
            writer.write(cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR))
            written += 1

        try:
            yield path.name, write
        except KeyboardInterrupt as error:
            interruption = error
        finally:
            writer.release()
        _check_written(temporary, path, frames=written)
        if interruption:
            temporary.rename(partial)
            raise interruption


def _check_written(temporary: Path, path: Path, *, frames: int) -> None:
    """Count the frames that can be read: OpenCV does not say when the disk is full."""
    check = cv2.VideoCapture(str(temporary))
    readable = int(check.get(cv2.CAP_PROP_FRAME_COUNT)) if check.isOpened() else 0
    check.release()
    if readable < frames:
        raise RssegError(f"cannot write `{path}`: {readable} of {frames} frames arrived", hint="is the disk full?")


def _share(done: int, source: Source, settings: VideoSettings) -> float:
    expected = -(-source.frames // settings.every)
    total = min(expected, settings.most_frames) if settings.most_frames and expected else expected
    total = total or settings.most_frames
    return min(done / total, 1.0) if total else 0.0
