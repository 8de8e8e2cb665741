"""Videos and cameras: every frame's classes over the picture, and what they cover in all."""

from __future__ import annotations

import contextlib
import glob
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rsseg_tf.datasets.files.resizing import Resizing
from rsseg_tf.datasets.images.channels import AS_THEY_ARE, COLORS, Channels
from rsseg_tf.datasets.images.picture import of_colors
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.datasets.images.resize import resized_image, resized_mask
from rsseg_tf.errors import ConfigError, DataError, RssegError
from rsseg_tf.inference.areas import area_table, check_resamples, given_sides_m, needs_resizing
from rsseg_tf.inference.codecs.ffmpeg import FfmpegPlayer, FfmpegRecorder, library
from rsseg_tf.inference.codecs.frames import Frame, Player, Recorder, Source
from rsseg_tf.inference.codecs.opencv import CAMERA, OpencvPlayer, OpencvRecorder
from rsseg_tf.inference.files.names import but_results
from rsseg_tf.inference.files.records import key_of
from rsseg_tf.inference.files.videos import claimed, earlier_video
from rsseg_tf.inference.mosaic import OVERLAY_SHARE
from rsseg_tf.inference.predict import TiledPredictor
from rsseg_tf.inference.prefetch import prefetched
from rsseg_tf.inference.tiling import Image
from rsseg_tf.progress import Advance, warn
from rsseg_tf.run_folder import only_writer, remove_own
from rsseg_tf.runs import atomic_path, write_json

VIDEO_SUFFIXES = (
    *(".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".flv"),
    *(".3gp", ".ogv"),
)

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


def find_videos(words: Sequence[str], out: Path) -> list[str]:
    """Return the cameras and files that words and glob patterns name, each once, in order, without results in `out`.

    Raises:
        DataError: if a word names nothing.
    """
    found: dict[str, None] = {}
    for word in words:
        is_there = word.startswith(CAMERA) or Path(word).is_file()
        matches = [word] if is_there else sorted(glob.glob(word, recursive=True))  # noqa: PTH207 - absolute patterns
        if not matches:
            raise DataError(f"no video at `{word}`", hint="give a video file, or camera:0 for the first camera")
        kept = matches if is_there else [str(path) for path in but_results([Path(match) for match in matches], out)]
        found.update(dict.fromkeys(kept))
    return list(found)


def videos_within(words: Sequence[str]) -> list[str]:
    """Return the video files that lie in those words that are folders, or below, in order."""
    folders = [Path(word) for word in words if Path(word).is_dir()]
    return [str(path) for folder in folders for path in sorted(folder.rglob("*")) if is_video(path.name)]


def predict_video(  # noqa: PLR0913 - as `predict_files`
    predictor: TiledPredictor,
    word: str,
    out: Path,
    *,
    name: str = "",
    channels: Channels = AS_THEY_ARE,
    settings: VideoSettings = VideoSettings(),
    overwrite: bool = False,
    progress: Callable[[Advance], None] | None = None,
) -> dict[str, Any]:
    """Predict the frames of a video file or a camera.

    Writes `NAME_overlay.mp4` (colors over the picture), or with `settings.as_frames` a PNG of class numbers a
    frame in `NAME_frames`, then `NAME_video.json`. NAME is the file's stem, or the camera and the time. A file that was
    predicted before in the same way is not predicted again.

    Where `predictor.resamples`, the network sees each frame at the resolution that it learned; maps and overlay have
    the video's own. Frames of another size on the ground that are not resampled are warned of.

    Ctrl-C ends a camera as its last frame would. Of a video file it keeps what was made as
    `NAME_partial_overlay.mp4`, and re-raises KeyboardInterrupt.

    Args:
        predictor: the model.
        word: the file, or `camera:N`.
        out: the folder for the results.
        name: of the results, in place of the file's stem.
        channels: what the network gets of the three colors; what the model says, where they say nothing.
        settings: which frames, and what becomes of them.
        overwrite: predict again what lies in `out`.
        progress: called after every frame, with 0 images done where the end is unknown.

    Returns:
        Frames, frames per second and the mean area of each class, as JSON values. `keeps_times` says whether the
        overlay shows its frames when they were taken: PyAV writes any times, OpenCV frames of one rate. With
        `settings.as_frames` the time of each frame is in `seconds`. Of a file that ends early, or is damaged on the
        way, `is_damaged` is there and true.

    Raises:
        ConfigError: if the model sees another number of bands than a video has colors, or frames are to be resampled
            and nothing says how large pixels are; if `out` holds the video, results of another model, video or
            settings, or others in their place, or another process writes to it.
        DataError: if it cannot be opened, or has no frame.
        RssegError: if the results cannot be written.
    """
    seen = _channels_for(predictor, channels, word)
    check_resamples(predictor)
    if Path(word).is_file() and Path(word).resolve().parent == out.resolve():
        raise ConfigError(f"`{out}` holds videos to predict", hint="choose another --out")
    with contextlib.closing(_opened(word)) as player, only_writer(out):
        source = replace(player.source, name=name or player.source.name)
        record = out / f"{source.name}_video.json"
        key = {} if source.is_camera else {**key_of(predictor, Path(word), seen), "settings": asdict(settings)}
        frames = out / f"{source.name}_frames"
        if not overwrite and not source.is_camera:
            outputs = [frames if settings.as_frames else out / f"{source.name}_overlay.mp4"]
            if (known := earlier_video(record, key, outputs)) is not None:
                return known
        if record.exists():
            remove_own(frames, "[0-9]" * 6 + ".png")
        with claimed(record, key):
            made = {
                **_made(predictor, player, out, source=source, channels=seen, settings=settings, progress=progress),
                "made_from": key,
            }
            write_json(record, made)
    return made


def _channels_for(predictor: TiledPredictor, given: Channels, word: str) -> Channels:
    is_named = bool(given.bands or predictor.channels.bands)
    if predictor.num_bands > COLORS or (predictor.num_bands < COLORS and not is_named):
        raise ConfigError(
            f"`{word}` has {COLORS} colors, the model sees {predictor.num_bands} bands",
            hint="predict images that have them",
        )
    seen = predictor.channels_for(given)
    if max(seen.bands, default=COLORS) > COLORS:
        raise ConfigError(
            f"`{word}` has {COLORS} colors, band {max(seen.bands)} is to be seen", hint="predict images that have it"
        )
    return seen


def _made(  # noqa: PLR0913 - what a frame goes through
    predictor: TiledPredictor,
    player: Player,
    out: Path,
    *,
    source: Source,
    channels: Channels,
    settings: VideoSettings,
    progress: Callable[[Advance], None] | None,
) -> dict[str, Any]:
    """Return the record of a video whose frames are predicted and written."""
    started = time.perf_counter()
    counts, times = np.zeros(predictor.palette.num_classes, np.int64), list[float]()
    rate = source.fps / settings.every
    predict = _predicting(predictor, source, channels)
    output = _frame_folder(out, source) if settings.as_frames else _overlay_video(out, source, settings, predictor)
    with output as (name, write), contextlib.closing(_classified(player, predict, settings)) as frames:
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
    record |= {"is_damaged": True} if player.is_damaged else {}
    return record | {"settings": asdict(settings), "run": {"seconds": seconds, "fps": len(times) / seconds}}


def _record(source: Source, predictor: TiledPredictor, counts: Any, *, frames: int) -> dict[str, Any]:
    meters = predictor.ground_sampling_distance_m
    areas = counts * meters**2 / frames if meters else None
    return {
        "video": source.label,
        "height": source.height,
        "width": source.width,
        "frames": frames,
        "frames_in_file": source.frames if source.is_counted else None,
        "source_fps": source.fps,
        "classes": area_table(predictor.palette.names, counts, areas),
        "model_sha256": predictor.model_sha256,
    }


def _opened(word: str) -> Player:
    """Return a camera, or a file as PyAV plays it, or where that is not installed as OpenCV does."""
    return OpencvPlayer(word) if word.startswith(CAMERA) or library() is None else FfmpegPlayer(word)


def _predicting(predictor: TiledPredictor, source: Source, channels: Channels) -> Callable[[Image], Image]:
    """Return what predicts a frame, at the resolution that the network learned if it is to resample."""
    known = given_sides_m(predictor)
    if not needs_resizing(predictor, source.label, known, tell=lambda text, hint: warn(text, hint=hint)) or not known:
        return lambda image: predictor.predict(of_colors(image, channels))
    own = source.height, source.width
    size = Resizing.to(*own, before=known, after=predictor.learned_pixel_m, name=source.label).after
    return lambda image: resized_mask(
        predictor.predict(resized_image(of_colors(image, channels), size)), image.shape[:2]
    )


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
