"""The results of a video: what they are called, which earlier ones hold, and what is in their place."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rsseg_tf.errors import ConfigError
from rsseg_tf.inference.codecs.opencv import CAMERA
from rsseg_tf.inference.files.names import output_names
from rsseg_tf.inference.files.records import earlier
from rsseg_tf.runs import write_json

_MADE_FROM = "made_from"


def video_names(videos: Sequence[str], images: Collection[str]) -> list[str]:
    """Return a name for each video's results, as `output_names` does; its record is not that of an image beside it.

    A camera has none here: it is called by its time.

    Args:
        videos: the files and cameras.
        images: what the results of images in the same folder are called.

    Examples:
        >>> video_names(["a/1.mp4", "b/1.mp4", "2.mp4"], ["2_video"])
        ['a_1_mp4', 'b_1_mp4', '2_mp4']
    """
    paths, taken = [Path(video) for video in videos], {image.lower() for image in images}
    names = [
        f"{name}_{path.suffix[1:]}" if f"{name}_video".lower() in taken else name
        for name, path in zip(output_names(paths), paths, strict=True)
    ]
    return ["" if video.startswith(CAMERA) else name for video, name in zip(videos, names, strict=True)]


def earlier_video(record: Path, key: Mapping[str, Any], outputs: Sequence[Path]) -> dict[str, Any] | None:
    """Return the record of an earlier call that came to its end, if it was made the same way.

    Args:
        record: its file.
        key: what the results depend on.
        outputs: files and folders that are to be written.

    Raises:
        ConfigError: if it was made from something else, or there is none and one of the outputs is there.
    """
    if _is_unfinished(record):
        return None
    found = earlier(record, key)
    if found is None and (there := [output for output in outputs if output.exists()]):
        raise ConfigError(f"`{there[0]}` is in the way", hint="choose another --out, or --overwrite")
    return found


@contextlib.contextmanager
def claimed(record: Path, key: Mapping[str, Any]) -> Iterator[None]:
    """Note within the block that what lies there is the unfinished work of a call, which the same call makes again."""
    write_json(record, {_MADE_FROM: dict(key)})
    try:
        yield
    finally:
        if _is_unfinished(record):
            record.unlink()


def _is_unfinished(record: Path) -> bool:
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(known, dict) and known.keys() == {_MADE_FROM}
