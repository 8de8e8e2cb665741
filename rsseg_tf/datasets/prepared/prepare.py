"""Fills a store of prepared pairs, in parallel processes; a killed or failed run resumes where it stopped."""

from __future__ import annotations

import contextlib
import os
import queue
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rsseg_tf.child import Child, open_child
from rsseg_tf.datasets.examine import Examination
from rsseg_tf.datasets.prepared.entry import Entry, examination_of
from rsseg_tf.datasets.prepared.store import PreparedDataset, Store, describe_store
from rsseg_tf.datasets.readers.files import FileDataset
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.errors import RssegError
from rsseg_tf.progress import Progress
from rsseg_tf.runs import remove_leftovers

_LOCK = "lock"
_WORTH_A_PROCESS = 8
_WORKER = "rsseg_tf.datasets.prepared.worker"


@dataclass(frozen=True)
class Preparation:
    """What a store holds after it has been filled.

    Attributes:
        dataset: reads from it.
        examinations: sample → what reading it showed, now or when it was stored.
        made: how many samples were read now.
    """

    dataset: PreparedDataset
    examinations: Mapping[Sample, Examination]
    made: int


def prepare(
    dataset: FileDataset,
    store: Store,
    samples: Sequence[Sample],
    *,
    processes: int = 0,
    progress: Progress | None = None,
) -> Preparation:
    """Fill the store with `samples`, except those with problems.

    Entries that were made from other files are made again. Two runs that fill one store wait for each other.

    Args:
        dataset: reads the files.
        store: what to fill.
        samples: what it should hold.
        processes: how many to read files in; 0 for one per CPU, fewer for few samples.
        progress: called with (samples done, samples in all), if there is anything to do.

    Raises:
        RssegError: if the disk is full, or a process ended early.
    """
    unique = list(dict.fromkeys(samples))
    entries, examinations = _found(store, unique), {}
    if len(entries) < len(unique):
        with _locked(store):
            missing = [sample for sample in unique if sample not in entries]
            entries |= _found(store, missing)
            missing = [sample for sample in missing if sample not in entries]
            examinations = _made(
                dataset,
                store,
                missing,
                processes=processes or min(_cpus(), len(missing) // _WORTH_A_PROCESS),
                progress=progress,
            )
        entries |= _found(store, [sample for sample, found in examinations.items() if not found.problems])
    known = {sample: entry.examination for sample, entry in entries.items()}
    return Preparation(PreparedDataset(dataset, store, entries), {**examinations, **known}, len(examinations))


def _found(store: Store, samples: Sequence[Sample]) -> dict[Sample, Entry]:
    found = ((sample, store.find(sample)) for sample in samples)
    return {sample: entry for sample, entry in found if entry is not None}


def _made(
    dataset: FileDataset, store: Store, samples: Sequence[Sample], *, processes: int, progress: Progress | None
) -> dict[Sample, Examination]:
    describe_store(store)
    examinations: dict[Sample, Examination] = {}
    made = _in_processes(dataset, store, samples, processes) if processes > 1 else _in_turn(dataset, store, samples)
    with contextlib.closing(made):  # so that no process outlives an error here
        for sample, examination in made:
            examinations[sample] = examination
            if progress:
                progress(len(examinations), len(samples))
    return examinations


def _in_turn(dataset: FileDataset, store: Store, samples: Sequence[Sample]) -> Generator[tuple[Sample, Examination]]:
    for sample in samples:
        yield sample, store.make(dataset, sample)


def _in_processes(
    dataset: FileDataset, store: Store, samples: Sequence[Sample], count: int
) -> Generator[tuple[Sample, Examination]]:
    idle: queue.SimpleQueue[Child] = queue.SimpleQueue()

    def made(sample: Sample) -> tuple[Sample, Examination]:
        child = idle.get()
        try:
            return sample, examination_of(child.ask(sample))
        finally:
            idle.put(child)

    with ThreadPoolExecutor(count) as pool, contextlib.ExitStack() as stack:
        children = [stack.enter_context(open_child(_WORKER, ended=_ended, is_quiet=False)) for _ in range(count)]
        for child in children:
            child.tell((dataset, store))
            idle.put(child)
        yield from pool.map(made, samples)


def _ended(code: int | None) -> RssegError:
    return RssegError(
        f"a process that prepares images ended with exit code {code}",
        hint="out of memory? rerun the same command to resume",
    )


@contextlib.contextmanager
def _locked(store: Store) -> Iterator[None]:
    """Hold the store's lock, after removing what a killed run left half-written."""
    import fcntl  # not on Windows, where no other command needs it

    try:
        store.folder.mkdir(parents=True, exist_ok=True)
        stream = (store.folder / _LOCK).open("wb")
    except OSError as error:
        raise RssegError(
            f"cannot write `{store.folder}`: {error.strerror}", hint="set data.cache_dir to a folder that you can write"
        ) from error
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)  # the system lets go of it when we end, however that may be
        remove_leftovers(store.folder)
        yield


def _cpus() -> int:
    return len(os.sched_getaffinity(0))
