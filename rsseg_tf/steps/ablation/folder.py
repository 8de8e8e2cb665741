"""Whether what lies in the folder of an ablation is of the same settings and files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rsseg_tf.config import Config, dump_yaml, same_settings
from rsseg_tf.datasets.check import FITTED
from rsseg_tf.errors import ConfigError
from rsseg_tf.report.sources import ABLATION
from rsseg_tf.run_folder import holds_nothing
from rsseg_tf.runs import CONFIG
from rsseg_tf.steps.ablation.recipes import Extent
from rsseg_tf.steps.fit import MODEL
from rsseg_tf.steps.opening import splits_error
from rsseg_tf.steps.shared.data import sound_dataset
from rsseg_tf.steps.shared.teaching import OwnTeacher


def repeat_folder(folder: Path, settings: Config) -> Path:
    """Return the folder of a repeat: of its network and seed."""
    return folder / settings.model.network / f"seed{settings.seed}"


def check_folder(folder: Path, recipes: Mapping[str, Config], extent: Extent) -> None:
    """Check that the folder is new, or what lies in it was made with these settings.

    Raises:
        ConfigError: if it was made with others, or is no ablation.
    """
    if folder.exists() and not holds_nothing(folder) and not (folder / ABLATION).is_file():
        raise ConfigError(f"`{folder}` exists and is not an ablation", hint="choose another --out")
    for config in recipes.values():
        for settings in (replace(config, seed=config.seed + repeat) for repeat in range(extent.repeats)):
            path = repeat_folder(folder, settings) / "dense" / CONFIG
            if path.is_file() and not same_settings(path.read_text(encoding="utf-8"), dump_yaml(settings)):
                raise ConfigError(f"`{path.parent}` was made with other settings", hint="choose another --out")
            if error := splits_error(path.with_name(MODEL), settings.data):
                raise error


def inputs_of(recipes: Mapping[str, Config], folder: Path, extent: Extent) -> dict[str, str]:
    """Return name → hash of what all repeats learn from and are scored on: images and masks, and teachers.

    Raises:
        RssegError: if something is wrong with them.
    """
    first = next(iter(recipes.values()))
    _, inputs = sound_dataset(first, splits=(*FITTED, extent.split))
    for config in recipes.values():
        for section, settings in (("fit.distill", config.fit.distill), ("prune.distill", config.prune.distill)):
            inputs |= OwnTeacher.of(settings, section=section, out=folder).inputs
    return inputs


def check_inputs(folder: Path, inputs: Mapping[str, str]) -> None:
    """Check that what lies in the folder was made from the same files.

    Raises:
        ConfigError: if it was made from others.
    """
    known = json.loads((folder / ABLATION).read_text(encoding="utf-8")) if (folder / ABLATION).is_file() else {}
    before = known.get("inputs", {})  # earlier versions kept none
    changed = [name for name in before if name in inputs and before[name] != inputs[name]]
    if changed:
        raise ConfigError(
            f"`{folder}` was made from other files: {', '.join(f'`{name}`' for name in changed)} changed since",
            hint="choose another --out, or bring them back",
        )
