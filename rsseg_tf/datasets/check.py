"""A walk over a whole data set that reports everything wrong with it at once."""

from __future__ import annotations

import itertools
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.catalog import AnyDataset
from rsseg_tf.datasets.palette import IGNORE
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.errors import DataError
from rsseg_tf.runs import file_hash

_LOG_ERRORS = 2
_LOG_PREFIX = re.compile(
    r"^\[\w+:\S+\] \S+ \S+:\d+ \S+ "
)  # such as "[ERROR:0@1.07] global grfmt_tiff.cpp:117 TIFF_Error "
_SPLIT_BY_FOLDER = "images of one flight or video look alike: split by folder for an honest test"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and what to do about it; `split` and `sample` are empty where none is meant."""

    message: str
    hint: str = ""
    split: str = ""
    sample: str = ""


@dataclass(frozen=True)
class SplitSummary:
    """What a split holds.

    Attributes:
        images: number of samples.
        labelled: how many of them have a readable mask.
        pixels: class → its pixels in all masks.
        ignored: pixels without a label.
        sizes: the sizes of the images, as WIDTH×HEIGHT, smallest area first.
    """

    images: int
    labelled: int
    pixels: dict[str, int]
    ignored: int
    sizes: tuple[str, ...]


@dataclass(frozen=True)
class DatasetReport:
    """What a check found.

    Attributes:
        splits: split → what it holds.
        problems: what makes the data set wrong to use.
        warnings: what may be meant that way.
    """

    splits: dict[str, SplitSummary]
    problems: tuple[Finding, ...]
    warnings: tuple[Finding, ...]


@dataclass
class _Tally:
    counts: NDArray[np.int64]
    sizes: set[tuple[int, int]]
    labelled: int = 0


def check_dataset(dataset: AnyDataset, *, watch: Callable[[int, int], None] | None = None) -> DatasetReport:
    """Read everything in a data set and say what is wrong.

    Looked for: what did not pair up, files that do not decode or decode with complaints, images and masks of
    different sizes, colours that are no class, an image or a video sequence in two splits, classes without a pixel.

    Args:
        dataset: from `list_dataset`.
        watch: called with (samples done, samples in all) after each sample.
    """
    findings = [Finding(problem.message, problem.hint) for problem in dataset.problems]
    splits = [split for split in dataset.splits() if split not in dataset.aliases]
    total = sum(len(dataset.samples(split)) for split in splits)
    done = itertools.count(1)
    summaries: dict[str, SplitSummary] = {}
    for split in splits:
        samples = dataset.samples(split)
        tally = _Tally(np.zeros(256, np.int64), set())
        for sample in samples:
            findings += [
                Finding(error.message, error.hint, split, sample.name) for error in _problems(dataset, sample, tally)
            ]
            if watch:
                watch(next(done), total)
        summaries[split] = _summary(dataset.palette.names, tally, images=len(samples))
    leaks, doubts = _shared(dataset, splits)
    doubts += _unseen(summaries)
    return DatasetReport(summaries, tuple(findings + leaks), tuple(doubts))


def _problems(dataset: AnyDataset, sample: Sample, tally: _Tally) -> Iterator[DataError]:
    """What is wrong with one pair; what is right is added to the tally."""
    if sample.mask is None and sample.image is not None:
        yield from _failures(lambda: tally.sizes.add(dataset.read_image(sample).shape[1::-1]))
        return
    try:
        image, mask = dataset.read(sample)
    except DataError as error:
        apart = [*_failures(lambda: dataset.read_image(sample)), *_failures(lambda: dataset.read_mask(sample))]
        yield from apart or [error]
        return
    tally.sizes.add(image.shape[1::-1])
    tally.labelled += 1
    tally.counts += np.bincount(mask.reshape(-1), minlength=256)
    if (mask == IGNORE).all():
        yield DataError(f"`{sample.mask}` holds no class at all, only ignored pixels", hint="drop the pair")
    for path in (sample.image, sample.mask):
        complaint = decoder_complaint(path) if path else ""
        if complaint:
            yield DataError(f"`{path}` decodes, but with errors: {complaint}", hint="fetch or export the file again")


def _failures(read: Callable[[], object]) -> Iterator[DataError]:
    try:
        read()
    except DataError as error:
        yield error


def decoder_complaint(path: Path) -> str:
    """What the image library says on stderr about a file that it nevertheless decodes; one line, empty for nothing.

    It takes over the process's stderr while it decodes, so that it is for a program that checks
    files one after the other, not for a training.
    """
    level = cv2.utils.logging.getLogLevel()
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        try:
            cv2.utils.logging.setLogLevel(_LOG_ERRORS)
            os.dup2(caught.fileno(), 2)
            cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            cv2.utils.logging.setLogLevel(level)
        caught.seek(0)
        said = caught.read().decode("utf-8", "replace").strip()
    return _LOG_PREFIX.sub("", said.partition("\n")[0]).strip()


def _summary(names: tuple[str, ...], tally: _Tally, *, images: int) -> SplitSummary:
    pixels = {name: int(tally.counts[index]) for index, name in enumerate(names)}
    sizes = sorted(tally.sizes, key=lambda size: size[0] * size[1])
    return SplitSummary(
        images=images,
        labelled=tally.labelled,
        pixels=pixels,
        ignored=int(tally.counts[IGNORE]),
        sizes=tuple(f"{width}×{height}" for width, height in sizes),
    )


def _shared(dataset: AnyDataset, splits: list[str]) -> tuple[list[Finding], list[Finding]]:
    """Images in two splits, which is wrong, and folders of images in two splits, which may be meant."""
    contents: dict[str, list[tuple[str, Sample]]] = {}
    scenes: dict[str, dict[str, None]] = {}
    for split in splits:
        for sample in dataset.samples(split):
            if sample.image is not None and sample.image.is_file():
                contents.setdefault(file_hash(sample.image), []).append((split, sample))
                scenes.setdefault(sample.name.rpartition("/")[0], {})[split] = None
    leaks, doubts = [], []
    for places in contents.values():
        listed = ", ".join(f"`{sample.image}` ({split})" for split, sample in places)
        if len({split for split, _ in places}) > 1:
            leaks.append(Finding(f"one image is in several splits: {listed}", "keep it in one of them"))
        elif len(places) > 1:
            doubts.append(Finding(f"one image is there several times: {listed}", "keep it once"))
    spread = [f"`{scene}` ({', '.join(found)})" for scene, found in scenes.items() if len(found) > 1]
    if spread and len(scenes) > 1:
        shared = Finding(f"images of one folder are in several splits: {', '.join(spread)}", _SPLIT_BY_FOLDER)
        (leaks if dataset.folders_are_sequences else doubts).append(shared)
    return leaks, doubts


def _unseen(summaries: dict[str, SplitSummary]) -> list[Finding]:
    return [
        Finding(f"no pixel of {', '.join(f'`{name}`' for name in missing)} in `{split}`", "", split)
        for split, summary in summaries.items()
        if summary.labelled and (missing := [name for name, count in summary.pixels.items() if not count])
    ]


def described(report: DatasetReport) -> str:
    """The report as text: what each split holds, then every warning and problem."""
    lines = []
    for split, summary in report.splits.items():
        sizes = " … ".join(dict.fromkeys((summary.sizes[0], summary.sizes[-1]))) if summary.sizes else "no size"
        lines.append(f"{split}: {summary.images} images, {summary.labelled} with masks, {sizes}")
        labelled = sum(summary.pixels.values())
        for name, count in summary.pixels.items() if labelled else ():
            lines.append(f"  {name:24} {count / labelled:7.2%}")
        if summary.ignored:
            lines.append(f"  {'(ignored)':24} {summary.ignored / (labelled + summary.ignored):7.2%}")
    for title, findings in (("warning", report.warnings), ("problem", report.problems)):
        lines += [
            f"{title}: {finding.message}" + (f" ({finding.hint})" if finding.hint else "") for finding in findings
        ]
    lines.append("no problems" if not report.problems else f"{len(report.problems)} problems")
    return "\n".join(lines)
