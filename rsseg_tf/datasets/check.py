"""A walk over a whole data set that reports everything wrong with it at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rsseg_tf.datasets.catalog import AnyDataset
from rsseg_tf.datasets.examine import Examination, examine
from rsseg_tf.datasets.images.masks import unknown_in_all
from rsseg_tf.datasets.palette import IGNORE
from rsseg_tf.datasets.readers.files import FileDataset
from rsseg_tf.datasets.sample import Sample, hash_of
from rsseg_tf.datasets.splits.overlap import HINT, overlaps
from rsseg_tf.errors import DataError
from rsseg_tf.progress import Progress
from rsseg_tf.text import counted

FITTED = ("train", "val")
"""The splits that a training reads."""

_LISTED = 20
_FOLDERS_LISTED = 3
_SPLIT_BY_FOLDER = "images of one flight or video look alike: split by folder for an honest test"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and what to do about it; `split` and `sample` are empty if it concerns none."""

    message: str
    hint: str = ""
    split: str = ""
    sample: str = ""


@dataclass(frozen=True)
class SplitSummary:
    """What a split holds.

    Attributes:
        images: number of samples.
        labeled: how many of them have a readable mask.
        pixels: class → its pixels in all masks.
        ignored: pixels without a label.
        sizes: the sizes of the images, as WIDTH×HEIGHT, smallest area first.
    """

    images: int
    labeled: int
    pixels: dict[str, int]
    ignored: int
    sizes: tuple[str, ...]


@dataclass(frozen=True)
class DatasetReport:
    """What a check found.

    Attributes:
        splits: split → what it holds.
        contents: split → SHA-256 over the names and the bytes of its images and masks.
        problems: what makes the data set wrong to use.
        warnings: what may be intended.
        repeats: split → the split whose images it repeats on purpose, which is not checked twice.
        dealing: how the images were dealt to the splits; empty where files or folders say what is in which.
    """

    splits: dict[str, SplitSummary]
    contents: dict[str, str]
    problems: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    repeats: dict[str, str]
    dealing: str = ""

    @property
    def verdict(self) -> str:
        """How many problems there are."""
        return counted(len(self.problems), "problem") if self.problems else "no problems"


def check_dataset(dataset: AnyDataset, *, progress: Progress | None = None) -> DatasetReport:
    """Read everything in a data set and say what is wrong with it.

    Checked for: files that do not pair up, missing splits that a training needs, what `examine` finds in each sample,
    an image or a video sequence in two splits, classes without a pixel.

    Args:
        dataset: from `list_dataset`.
        progress: called with (samples done, samples in all) after each sample.
    """
    samples = all_samples(dataset)
    examinations: dict[Sample, Examination] = {}
    for done, sample in enumerate(samples, start=1):
        examinations[sample], _ = examine(dataset, sample)
        if progress:
            progress(done, len(samples))
    return report_of(dataset, examinations)


def with_overlaps(report: DatasetReport, dataset: AnyDataset, *, progress: Progress | None = None) -> DatasetReport:
    """Return a report that warns of ground that two splits show too, which is looked for now; see `overlaps`."""
    found = overlaps(dataset, progress=progress) if isinstance(dataset, FileDataset) else []
    warnings = (Finding(overlap.message, HINT, overlap.split) for overlap in found)
    return replace(report, warnings=(*report.warnings, *warnings))


def all_samples(dataset: AnyDataset) -> list[Sample]:
    """Return the samples of all splits, except those that repeat another split on purpose."""
    return [sample for members in _by_split(dataset).values() for sample in members]


def _by_split(dataset: AnyDataset) -> dict[str, tuple[Sample, ...]]:
    return {split: dataset.samples(split) for split in dataset.splits() if split not in dataset.aliases}


def report_of(dataset: AnyDataset, examinations: Mapping[Sample, Examination]) -> DatasetReport:
    """Return the report on the examinations of all samples.

    Args:
        dataset: from `list_dataset`.
        examinations: of every sample.
    """
    samples = _by_split(dataset)
    findings = [Finding(problem.message, problem.hint) for problem in dataset.problems] + _not_trainable(dataset)
    findings += _wrong(samples, examinations)
    summaries = {
        split: _summary(dataset.palette.names, [examinations[sample] for sample in members])
        for split, members in samples.items()
    }
    leaks, doubts = _shared(dataset, samples, examinations)
    doubts += _doubted(samples, examinations)
    doubts += [Finding(doubt.message, doubt.hint) for doubt in dataset.doubts]
    contents = {split: _content(members, examinations) for split, members in samples.items()}
    repeats = {split: shown for split, shown in dataset.aliases.items() if shown in contents}
    contents |= {split: contents[shown] for split, shown in repeats.items()}
    return DatasetReport(
        splits=summaries,
        contents=contents,
        problems=tuple(findings + leaks),
        warnings=tuple(doubts + _unseen(dataset, summaries)),
        repeats=repeats,
        dealing=dataset.dealing if isinstance(dataset, FileDataset) else "",
    )


def _wrong(samples: Mapping[str, Sequence[Sample]], examinations: Mapping[Sample, Examination]) -> Iterator[Finding]:
    """Yield what is wrong with single samples; values that are no class together, where several masks have some."""
    every = [(split, sample, examinations[sample]) for split, members in samples.items() for sample in members]
    unknown = {sample.mask: found.unknown for _, sample, found in every if sample.mask and found.unknown}
    together = len(unknown) > 1
    if together:
        hint = next(found.problems[0][1] for _, _, found in every if found.unknown)
        yield Finding(unknown_in_all(unknown), hint)
    for split, sample, found in every:
        for message, hint in found.problems[1 if together and found.unknown else 0 :]:
            yield Finding(message, hint, split, sample.name)


def _doubted(samples: Mapping[str, Sequence[Sample]], examinations: Mapping[Sample, Examination]) -> Iterator[Finding]:
    """Yield the doubts about single samples, those with one hint once."""
    found: dict[str, list[Finding]] = {}
    for split, members in samples.items():
        for sample in members:
            for message, hint in examinations[sample].doubts:
                found.setdefault(hint, []).append(Finding(message, hint, split, sample.name))
    for alike in found.values():
        more = f" (and {len(alike) - 1} more like it)" if len(alike) > 1 else ""
        yield replace(alike[0], message=f"{alike[0].message}{more}")


def _content(samples: Sequence[Sample], examinations: Mapping[Sample, Examination]) -> str:
    found = ((sample.name, examinations[sample]) for sample in samples)
    return hash_of([(name, each.image_sha256, each.mask_sha256) for name, each in found])


def _not_trainable(dataset: AnyDataset) -> list[Finding]:
    """Return what keeps a training from learning from `train`, from choosing its weights by `val`, or from either."""
    found = []
    if len(dataset.palette.names) == 1:
        only = dataset.palette.names[0]
        message = f"`{only}` is the single class, and a network of one class can say nothing else"
        found.append(Finding(message, "name a second one, such as background, instead of ignoring the rest"))
    for split in FITTED:
        members = dataset.samples(split) if split in dataset.splits() else ()
        bare = [sample for sample in members if sample.image is not None and sample.mask is None]
        if not members and split not in dataset.incomplete:
            there = ", ".join(f"`{name}`" for name in dataset.splits())
            message = f"the split `{split}` is empty" + (f"; there are {there}" if there else "")
            found.append(Finding(message, dataset.split_hint, split))
        elif bare:
            count = f"{len(bare)} of the {len(members)} images" if len(bare) < len(members) else "the images"
            message = f"{count} of `{split}` have no mask, such as `{bare[0].image}`"
            found.append(Finding(message, "`fit` needs the masks of train and val", split, bare[0].name))
    return found


def require_sound(report: DatasetReport) -> None:
    """Check that the report names no problem.

    Raises:
        DataError: if it did; a single problem as it is, several as a list.
    """
    if len(report.problems) == 1:
        raise DataError(report.problems[0].message, hint=report.problems[0].hint)
    if report.problems:
        listed = [f"  {_line(finding)}" for finding in report.problems[:_LISTED]]
        more = len(report.problems) - _LISTED
        raise DataError(
            "\n".join([f"the data set has {report.verdict}:", *listed]),
            hint=f"`rsseg-tf data check` lists {more} more" if more > 0 else "",
        )


def _summary(names: tuple[str, ...], examinations: Sequence[Examination]) -> SplitSummary:
    pixels: Counter[int] = Counter()
    for examination in examinations:
        pixels.update(examination.pixels)
    sizes = sorted({examination.size for examination in examinations if any(examination.size)}, key=_area)
    return SplitSummary(
        images=len(examinations),
        labeled=sum(bool(examination.pixels) for examination in examinations),
        pixels={name: pixels[index] for index, name in enumerate(names)},
        ignored=pixels[IGNORE],
        sizes=tuple(f"{width}×{height}" for width, height in sizes),
    )


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _shared(
    dataset: AnyDataset, samples: Mapping[str, Sequence[Sample]], examinations: Mapping[Sample, Examination]
) -> tuple[list[Finding], list[Finding]]:
    """Return images in two splits, which is wrong, and folders of images in two splits, which may be intended."""
    contents: dict[str, list[tuple[str, Sample]]] = {}
    scenes: dict[str, dict[str, None]] = {}
    for split, members in samples.items():
        for sample in members:
            if examinations[sample].image_sha256:
                contents.setdefault(examinations[sample].image_sha256, []).append((split, sample))
                scenes.setdefault(sample.name.rpartition("/")[0], {})[split] = None
    leaks, doubts = [], []
    for places in contents.values():
        listed = ", ".join(f"`{sample.image}` ({split})" for split, sample in places)
        if len({split for split, _ in places}) > 1:
            leaks.append(Finding(f"one image is in several splits: {listed}", "keep it in one of them"))
        elif len(places) > 1:
            doubts.append(Finding(f"one image appears several times: {listed}", "keep one copy"))
    spread = [f"`{scene}` ({', '.join(found)})" for scene, found in scenes.items() if len(found) > 1]
    if spread and len(scenes) > 1:
        listed = ", ".join(spread if dataset.folders_are_sequences else _cut(spread))
        shared = Finding(f"images of one folder are in several splits: {listed}", _SPLIT_BY_FOLDER)
        (leaks if dataset.folders_are_sequences else doubts).append(shared)
    return leaks, doubts


def _cut(items: list[str]) -> list[str]:
    """Return the first few of many."""
    more = len(items) - _FOLDERS_LISTED
    return [*items[:_FOLDERS_LISTED], f"and {more} more"] if more > 0 else items


def _unseen(dataset: AnyDataset, summaries: dict[str, SplitSummary]) -> list[Finding]:
    hint = dataset.unseen_hint if isinstance(dataset, FileDataset) else ""
    return [
        Finding(
            f"no pixel of {', '.join(f'`{name}`' for name in missing)} in `{split}`",
            hint * bool(summary.ignored),
            split,
        )
        for split, summary in summaries.items()
        if summary.labeled and (missing := [name for name, count in summary.pixels.items() if not count])
    ]


def described(report: DatasetReport) -> str:
    """Return the report as text: what each split holds, then every warning and problem."""
    lines = []
    for split, summary in report.splits.items():
        sizes = " … ".join(dict.fromkeys((summary.sizes[0], summary.sizes[-1]))) if summary.sizes else "no size"
        labeled = sum(summary.pixels.values())
        shares = "; of the labeled pixels:" if labeled else ""
        lines.append(f"{split}: {counted(summary.images, 'image')}, {summary.labeled} with masks, {sizes}{shares}")
        for name, count in summary.pixels.items() if labeled else ():
            lines.append(f"  {name:24} {count / labeled:7.2%}")
        if summary.ignored:
            lines.append(f"  {'(ignored)':24} {summary.ignored / (labeled + summary.ignored):7.2%} of all pixels")
    lines += [f"splits: {report.dealing}"] if report.dealing else []
    lines += [f"{split}: repeats {shown}" for split, shown in report.repeats.items()]
    for title, findings in (("warning", report.warnings), ("problem", report.problems)):
        lines += [f"{title}: {_line(finding)}" for finding in findings]
    lines.append(report.verdict)
    return "\n".join(lines)


def _line(finding: Finding) -> str:
    return finding.message + (f" ({finding.hint})" if finding.hint else "")
