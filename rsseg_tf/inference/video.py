"""Videos and cameras: every frame's classes over the picture, and what they cover in all."""

from __future__ import annotations

import contextlib
import glob
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rsseg_tf.datasets.files.resizing import Resizing
from rsseg_tf.datasets.images.channels import COLORS
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.datasets.images.resize import resized_image, resized_mask
from rsseg_tf.errors import ConfigError, DataError, RssegError
from rsseg_tf.inference.areas import area_table, check_resamples, given_pixel_m, needs_resizing
from rsseg_tf.inference.codecs.ffmpeg import FfmpegPlayer, FfmpegRecorder, library
from rsseg_tf.inference.codecs.frames import Frame, Player, Recorder, Source
from rsseg_tf.inference.codecs.opencv import CAMERA, OpencvPlayer, OpencvRecorder
from rsseg_tf.inference.mosaic import OVERLAY_SHARE
from rsseg_tf.inference.predict import TiledPredictor
from rsseg_tf.inference.prefetch import prefetched
from rsseg_tf.inference.tiling import Image
from rsseg_tf.progress import Advance, warn
from rsseg_tf.runs import atomic_path, write_json

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")

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


def videos_within(words: Sequence[str]) -> list[str]:
    """Return the video files that lie in those words that are folders, or below, in order."""
    folders = [Path(word) for word in words if Path(word).is_dir()]
    return [str(path) for folder in folders for path in sorted(folder.rglob("*")) if is_video(path.name)]


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

    Where `predictor.resamples`, the network sees each frame at the resolution that it learned; maps and overlay have
    the video's own. Frames of another size on the ground that are not resampled are warned of.

    Ctrl-C ends a camera as its last frame would. Of a video file it keeps what was made as
    `NAME_partial_overlay.mp4`, and re-raises KeyboardInterrupt.

    Args:
        predictor: the model.
        word: the file, or `camera:N`.
        out: the folder for the results.
        settings: which frames, and what becomes of them.
        progress: called after every frame, with 0 images done where the end is unknown.

    Returns:
        Frames, frames per second and the mean area of each class, as JSON values. `keeps_times` says whether the
        overlay shows its frames when they were taken: PyAV writes any times, OpenCV frames of one rate. With
        `settings.as_frames` the time of each frame is in `seconds`.

    Raises:
        ConfigError: if the model sees another number of bands than a video has colors, or frames are to be resampled
            and nothing says how large pixels are.
        DataError: if it cannot be opened, or has no frame.
        RssegError: if the results cannot be written.
    """
    if predictor.num_bands != COLORS:
        raise ConfigError(
            f"`{word}` has {COLORS} colors, the model sees {predictor.num_bands} bands",
            hint="predict images that have them",
        )
    check_resamples(predictor)
    started = time.perf_counter()
    with contextlib.closing(_opened(word)) as player:
        source, counts, times = player.source, np.zeros(predictor.palette.num_classes, np.int64), list[float]()
        rate = source.fps / settings.every
        seen = _predicting(predictor, source)
        output = _frame_folder(out, source) if settings.as_frames else _overlay_video(out, source, settings, predictor)
        with output as (name, write), contextlib.closing(_classified(player, seen, settings)) as frames:
            with _ends_a_camera(source):
                for frame, classes in frames:
                    write(len(times), frame, classes)
                    counts += np.bincount(classes.ravel(), minlength=len(counts))
                    times.append(frame.seconds)
                    if progress:
                        progress(Advance(_share(len(times), source, settings), 1, len(times) * classes.size))
            if not times:
                raise DataError(f"`{source.label}` has no frame", hint="check that it plays, or name another source")
    seconds = time.perf_counter() - started
    record = _record(source, predictor, counts, frames=len(times))
    record |= {"output": name, "keeps_times": settings.as_frames or library() is not None or _is_steady(times, rate)}
    record |= {"seconds": times} if settings.as_frames else {}
    record |= {"settings": asdict(settings), "run": {"seconds": seconds, "fps": len(times) / seconds}}
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


def _opened(word: str) -> Player:
    """Return a camera, or a file as PyAV plays it, or where that is not installed as OpenCV does."""
    return OpencvPlayer(word) if word.startswith(CAMERA) or library() is None else FfmpegPlayer(word)


def _predicting(predictor: TiledPredictor, source: Source) -> Callable[[Image], Image]:
    """Return what predicts a frame, at the resolution that the network learned if it is to resample."""
    known = given_pixel_m(predictor)
    if not needs_resizing(predictor, source.label, known, tell=lambda text, hint: warn(text, hint=hint)) or not known:
        return predictor.predict
    own = source.height, source.width
    size = Resizing.to(*own, ratio=known / predictor.learned_pixel_m, name=source.label).after
    return lambda image: resized_mask(predictor.predict(resized_image(image, size)), image.shape[:2])


def _classified(player: Player, predict: Callable[[Image], Image], settings: VideoSettings) -> Any:
    """Return (frame, classes) of the frames to predict, decoded and predicted in threads of their own."""
    wanted = itertools.islice(player.frames(every=settings.every), settings.most_frames or None)
    frames = prefetched(wanted, depth=_FRAMES_AHEAD)
    return prefetched(((frame, predict(frame.image)) for frame in frames), depth=_FRAMES_AHEAD, source=frames)


def _is_steady(times: Sequence[float], fps: float) -> bool:
    """Return whether frames came at this rate, within half a step and a hundredth, or nobody knows when they came."""
    gaps = (abs(seconds - number / fps) - seconds / 100 for number, seconds in enumerate(times))
    return not any(times) or max(gaps) <= 0.5 / fps


@contextlib.contextmanager
def _ends_a_camera(source: Source) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if not source.is_camera:
            raise


@contextlib.contextmanager
def _frame_folder(out: Path, source: Source) -> Iterator[tuple[str, Callable[[int, Frame, Image], None]]]:
    folder = out / f"{source.name}_frames"

    def write(number: int, _frame: Frame, classes: Image) -> None:
        write_image(folder / f"{number:06d}.png", classes)

    yield folder.name, write


@contextlib.contextmanager
def _overlay_video(
    out: Path, source: Source, settings: VideoSettings, predictor: TiledPredictor
) -> Iterator[tuple[str, Callable[[int, Frame, Image], None]]]:
    """Yield a function that adds a frame to the video, which appears when the block ends, or is interrupted."""
    path, partial = (out / f"{source.name}{kind}_overlay.mp4" for kind in ("", "_partial"))
    interruption: KeyboardInterrupt | None = None
    written = 0
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(atomic_path(path))
        recorder = _recorder(temporary, source, fps=source.fps / settings.every)

        def write(_number: int, frame: Frame, classes: Image) -> None:
            nonlocal written
            colors = predictor.palette.colorize(classes)
            recorder.write(cv2.addWeighted(frame.image, 1 - OVERLAY_SHARE, colors, OVERLAY_SHARE, 0), frame.seconds)
            written += 1

        try:
            yield path.name, write
        except KeyboardInterrupt as error:
            interruption = error
        finally:
            recorder.close()
        _check_written(temporary, path, frames=written)
        if interruption:
            temporary.rename(partial)
            raise interruption


def _recorder(path: Path, source: Source, *, fps: float) -> Recorder:
    return OpencvRecorder(path, source, fps=fps) if library() is None else FfmpegRecorder(path, source, fps=fps)


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
