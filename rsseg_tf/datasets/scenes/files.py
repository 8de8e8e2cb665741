"""Generated scenes written out as a folder data set."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from rsseg_tf.config import Config, DataConfig, ScenesConfig, dump_yaml
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.datasets.palette import format_color
from rsseg_tf.datasets.readers.pair_list import COLUMNS
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.datasets.scenes.dataset import Scenes
from rsseg_tf.errors import ConfigError
from rsseg_tf.progress import Progress
from rsseg_tf.run_folder import open_run
from rsseg_tf.runs import write_manifest, write_text

PAIRS = "splits.csv"
SNIPPET = "dataset.yaml"


def write_scenes(
    folder: Path,
    scenes: ScenesConfig,
    *,
    seed: int,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write scenes as images/ and masks/ with a list of splits and a configuration that reads them.

    The same call resumes where an earlier one was stopped; the manifest comes last.

    Args:
        folder: new, empty, or left by a stopped call.
        scenes: how many, and their size.
        seed: of all of them.
        overwrite: replace a finished or other set that lies in `folder`.
        progress: called with (scenes done, scenes in all) after each.

    Returns:
        The folder, the configuration file, and the number of scenes in each split.

    Raises:
        ConfigError: if there are no scenes, or other files lie in `folder`.
    """
    dataset = Scenes(scenes, seed=seed)
    listed = [(split, sample) for split in dataset.splits() for sample in dataset.samples(split)]
    if not listed:
        raise ConfigError("there are no scenes to write", hint="ask for at least 1")
    generated = Config(seed=seed, data=DataConfig(name="scenes", scenes=scenes))
    counts = {split: len(dataset.samples(split)) for split in dataset.splits()}
    with open_run(folder, dump_yaml(generated), overwrite=overwrite) as run:
        for done, (_, sample) in enumerate(listed, start=1):
            _write_pair(run.folder, dataset, sample)
            if progress:
                progress(done, len(listed))
        write_text(run.folder / PAIRS, _csv_text(listed))
        write_text(run.folder / SNIPPET, _snippet(folder, dataset, scenes))
        outputs = [PAIRS, SNIPPET, *(path for _, sample in listed for path in _paths(sample))]
        write_manifest(run.folder, seed=seed, inputs={}, outputs=outputs, results={"splits": counts})
    return {"folder": str(folder), "config": str(folder / SNIPPET), "splits": counts}


def split_counts(count: int, *, size: int) -> ScenesConfig:
    """Split a number of scenes, about a tenth of them for val and a seventh for test."""
    val, test = count // 10, count // 7
    return ScenesConfig(train=count - val - test, val=val, test=test, size=size)


def _write_pair(folder: Path, dataset: Scenes, sample: Sample) -> None:
    image_path, mask_path = (folder / path for path in _paths(sample))
    if not (image_path.is_file() and mask_path.is_file()):
        image, mask = dataset.read(sample)
        write_image(image_path, image)
        write_image(mask_path, dataset.palette.colorize(mask))


def _paths(sample: Sample) -> tuple[str, str]:
    stem = sample.name.replace("/", "_")
    return f"images/{stem}.png", f"masks/{stem}.png"


def _csv_text(listed: list[tuple[str, Sample]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([*_paths(sample), split] for split, sample in listed)
    return text.getvalue()


def _snippet(folder: Path, dataset: Scenes, scenes: ScenesConfig) -> str:
    side = min(256, scenes.size)
    classes = [
        f"      {name}: '{format_color(color).removeprefix('#')}'"
        for name, color in zip(dataset.palette.names, dataset.palette.colors, strict=True)
    ]
    lines = [
        "# Generated scenes; `root` is relative to the folder that commands run in.",
        "data:",
        "  name: folder",
        f"  root: {_quoted(folder.as_posix())}",
        f"  input_size: [{side}, {side}]",
        "  folder:",
        f"    pairs: {PAIRS}",
        "    classes:",
        *classes,
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
