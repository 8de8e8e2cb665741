"""Images a second of a machine, by how its cores are split: so many processes, each with so many threads."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rsseg_tf.child import Child, open_child
from rsseg_tf.errors import ModelError
from rsseg_tf.progress import Progress
from rsseg_tf.text import text_table

_SECONDS, _TURNS = 1.0, 3


@dataclass(frozen=True)
class Throughput:
    """What one split of the cores does.

    Attributes:
        processes: interpreters side by side, each in a process.
        threads: of each.
        images_per_s: of all together; the median of the turns.
        megapixels_per_s: of all together.
        ratio: against the first split.
    """

    processes: int
    threads: int
    images_per_s: float
    megapixels_per_s: float
    ratio: float

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return asdict(self)


def splits_of(cores: int) -> list[tuple[int, int]]:
    """Return how cores can be split: processes, in powers of two, and threads of each; the first uses one core.

    Examples:
        >>> splits_of(6)
        [(1, 1), (1, 6), (2, 3), (4, 1), (6, 1)]
    """
    powers = [2**power for power in range(cores.bit_length()) if 2**power <= cores]
    found = [(1, 1), *((processes, cores // processes) for processes in [*powers, cores])]
    return list(dict.fromkeys(found))


def throughput(
    model: Path,
    splits: Sequence[tuple[int, int]],
    *,
    delegate: Path | None = None,
    seconds: float = _SECONDS,
    turns: int = _TURNS,
    progress: Progress | None = None,
) -> list[Throughput]:
    """Run a model in every split of the cores, in turns, so that heat and other load fall on all alike.

    Args:
        model: a `.tflite` file.
        splits: processes, and threads of each; the first is what the others are compared with.
        delegate: shared library of a delegate.
        seconds: of each split in a turn.
        turns: how many.
        progress: called after each split of a turn.

    Raises:
        ModelError: if the file does not run, or there is no memory for so many processes.
    """
    rates: dict[tuple[int, int], list[float]] = {split: [] for split in splits}
    pixels = 0
    for turn in range(turns):
        for place, split in enumerate(splits):
            images, pixels = _measured(model, *split, delegate=delegate, seconds=seconds)
            rates[split].append(images)
            if progress:
                progress(turn * len(splits) + place + 1, turns * len(splits))
    medians = {split: statistics.median(rates[split]) for split in splits}
    first = medians[splits[0]]
    return [
        Throughput(*split, images_per_s=rate, megapixels_per_s=rate * pixels / 1e6, ratio=rate / first)
        for split, rate in medians.items()
    ]


def format_throughput(results: Sequence[Throughput]) -> str:
    """Return the results as a table."""
    rows = [
        ("processes", "threads each", "images/s", "MP/s", "ratio"),
        *(
            (
                str(each.processes),
                str(each.threads),
                f"{each.images_per_s:.1f}",
                f"{each.megapixels_per_s:.2f}",
                f"{each.ratio:.2f}",
            )
            for each in results
        ),
    ]
    return text_table(rows)


def _measured(model: Path, processes: int, threads: int, *, delegate: Path | None, seconds: float) -> tuple[float, int]:
    """Return the images a second of one split, and the pixels of an image."""
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(_child(model)) for _ in range(processes)]
        for child in children:
            child.tell((model, threads, delegate))
        facts = [child.read() for child in children]
        for child in children:
            child.tell(seconds)
        answers = [child.read() for child in children]
    return sum(each["images"] / each["seconds"] for each in answers), facts[0]["pixels"]


@contextlib.contextmanager
def _child(model: Path) -> Iterator[Child]:
    def ended(_code: int | None) -> ModelError:
        return ModelError(f"an interpreter of `{model}` ended", hint="is there memory for so many processes?")

    with open_child("rsseg_tf.benchmark.throughput_worker", ended=ended) as child:
        yield child
