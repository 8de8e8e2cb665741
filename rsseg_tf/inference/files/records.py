"""The record of an image's results: what they were made from, and whether an earlier run made the same."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from rsseg_tf.datasets.files.companions import content_hash, files_of
from rsseg_tf.datasets.images.channels import Channels
from rsseg_tf.errors import ConfigError, unreadable
from rsseg_tf.inference.files.names import first_in_the_way, results_in
from rsseg_tf.inference.predict import CLASS_MAP, Products, TiledPredictor


def key_of(
    predictor: TiledPredictor, image: Path, channels: Channels, state: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return what a result depends on.

    Args:
        predictor: the model.
        image: the file.
        channels: what is seen of it.
        state: what tells a file on the network from another one, in place of a hash of its bytes.

    Raises:
        DataError: if the image cannot be read.
    """
    try:
        content = {"image_state": dict(state)} if state else {"image_sha256": content_hash(files_of(image))}
    except OSError as error:
        raise unreadable(image, error) from error
    return {
        "model_sha256": predictor.model_sha256,
        **content,
        "fitting": predictor.fitting,
        "overlap_px": predictor.overlap,
        "ground_sampling_distance_m": predictor.ground_sampling_distance_m,
        **({"overrides_georeference": True} if predictor.overrides_georeference else {}),
        **({"resamples": True} if predictor.resamples else {}),
        "bands": list(channels.bands),
        "scale": channels.scale and list(channels.scale),
    }


def asked(products: Products) -> dict[str, Any]:
    """Return what is wished besides a class map."""
    usual = dataclasses.asdict(CLASS_MAP)
    return {name: value for name, value in dataclasses.asdict(products).items() if value != usual[name]}


def earlier(path: Path, key: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the record of an earlier run, if there is one and it was made the same way."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, RecursionError):
        record = {}
    if not isinstance(record, dict) or record.get("made_from") != dict(key):
        raise ConfigError(
            f"`{path}` is the result of another model, image or setting", hint="choose another --out, or --overwrite"
        )
    return record


def record_of(target: Path) -> Path:
    """Return the file of an image's record; `target` is the folder and the name of its results."""
    return target.with_name(f"{target.name}.json")


def earlier_image(target: Path, key: Mapping[str, Any], *, resumes: bool) -> dict[str, Any] | None:
    """Return the record of an image that was predicted the same way, if there is one.

    Args:
        target: the folder and the name of its results.
        key: what they depend on.
        resumes: whether files that no record names can only be of an unfinished call.

    Raises:
        ConfigError: if it was made from something else, or there is none and a file is where a result is to be.
    """
    record = earlier(record_of(target), key)
    if record is None and not resumes and (taken := first_in_the_way(target)):
        raise ConfigError(f"`{taken}` is in the way", hint="choose another --out, or --overwrite")
    return record


def remove_others(target: Path, kept: Collection[str]) -> None:
    """Delete the files of an image that its record names, but for some: an earlier call made more than this one."""
    for name in results_in(record_of(target)) - set(kept):
        if name.startswith(f"{target.name}_"):
            target.with_name(name).unlink(missing_ok=True)
