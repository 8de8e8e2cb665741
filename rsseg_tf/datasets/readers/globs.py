"""Images and masks that two patterns name: a pair has the same text in place of every `*`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from rsseg_tf.datasets.readers.files import Listing, paired
from rsseg_tf.datasets.readers.layout import files_below
from rsseg_tf.datasets.readers.split_folders import SPLIT_OF
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.errors import ConfigError, DataError

SPLIT = "{split}"
_WORD = re.compile(r"\{split\}|\{[^{}/]*,[^{}/]*\}|\*\*/|\*|\?")
_MEANINGS = {SPLIT: "(?P<split>[^/]*)", "**/": "((?:.*/)?)", "*": "([^/]*)", "?": "([^/])"}


def glob_listing(
    root: Path, image_glob: str, mask_glob: str, *, files: Sequence[Path] | None = None
) -> tuple[list[Sample], Listing]:
    """Return what two patterns name below a folder: samples that have no split, and the listing of those that have one.

    `*` stands for any text within a name, `**/` for any folders, `?` for one letter, `{split}` for a folder such as
    `train`, `valid` or `testing`, which is the split, `{jpg,png}` for one of these texts.

    Args:
        root: the folder.
        image_glob: which files are images, such as `{split}/*.jpg`.
        mask_glob: which are their masks, such as `{split}/*_mask.png`.
        files: what `files_below` finds there, where that is known.

    Raises:
        ConfigError: if one pattern is missing, or they cannot be compared.
        DataError: if they name nothing, or a folder may not be listed.
    """
    patterns = image_glob, mask_glob
    words = [[word for word in _WORD.findall(pattern) if not word.startswith("{")] for pattern in patterns]
    if not all(patterns) or words[0] != words[1] or len({pattern.count(SPLIT) for pattern in patterns}) > 1:
        raise ConfigError(
            f"`data.folder.image_glob` and `mask_glob` must have the same wildcards, got `{image_glob}`, `{mask_glob}`",
            hint="for example {split}/*.jpg and {split}/*_mask.png",
        )
    files = files_below(root) if files is None else files
    images, masks = (_matches(root, files, pattern) for pattern in patterns)
    labels = {path for split in masks.values() for paths in split.values() for path in paths}
    for folder in images.values():  # a pattern for images may fit masks too: train/*.png and train/*_mask.png
        for key in [key for key, paths in folder.items() if paths[0] in labels]:
            del folder[key]
    if not any(images.values()):
        raise DataError(f"no file below `{root}` is as data.folder.image_glob says: `{image_glob}`", hint="correct it")
    splits: dict[str, list[Sample]] = {}
    problems: list[DataError] = []
    for split, found in images.items():
        prefix = f"{split}/" if split else ""
        if split and split not in masks:  # its labels are withheld
            splits[split] = [Sample(f"{prefix}{key}", paths[0], None) for key, paths in found.items()]
            continue
        splits[split], wrong = paired(found, masks.get(split, {}), prefix=prefix)
        problems += wrong
    named = {split: tuple(samples) for split, samples in splits.items() if split}
    incomplete = frozenset(named or {"train"}) if problems else frozenset()
    return splits.get("", []), Listing(named, tuple(problems), incomplete=incomplete)


def _matches(root: Path, files: Sequence[Path], pattern: str) -> dict[str, dict[str, list[Path]]]:
    """Return split, empty for none → what stands for the wildcards → files."""
    meaning, at = "", 0
    for word in _WORD.finditer(pattern):
        again = word[0] == SPLIT and "(?P<split>" in meaning
        meaning += re.escape(pattern[at : word.start()]) + ("(?P=split)" if again else _meaning(word[0]))
        at = word.end()
    expression = re.compile(meaning + re.escape(pattern[at:]))
    found: dict[str, dict[str, list[Path]]] = {}
    for path in files:
        match = expression.fullmatch(path.relative_to(root).as_posix())
        if match is None:
            continue
        folder = match.groupdict().get("split")
        split = "" if folder is None else SPLIT_OF.get(folder.lower())
        if split is None:
            continue
        place = expression.groupindex.get("split")
        key = "/".join(text.strip("/") for number, text in enumerate(match.groups(), 1) if number != place and text)
        found.setdefault(split, {}).setdefault(key, []).append(path)
    return found


def _meaning(word: str) -> str:
    if word in _MEANINGS:
        return _MEANINGS[word]
    return f"(?:{'|'.join(map(re.escape, word[1:-1].split(',')))})"
