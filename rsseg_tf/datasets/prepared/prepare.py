"""Fills a store of prepared pairs, in parallel processes; a killed or failed run goes on where it was."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
_WORKER = (sys.executable, "-m", "rsseg_tf.datasets.prepared.worker")


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
    """Have the store hold `samples`, but for those with problems.

    What is there and was made from other files is made again. Two runs that fill one store wait for each other.

    Args:
        dataset: reads the files.
        store: what to fill.
        samples: what it shall hold.
        processes: how many to read files in; 0 for one a CPU, fewer for few samples.
        progress: is told of samples, if anything is to be done.

    Raises:
        RssegError: the disk is full, or a process ended early.
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
    answers: queue.Queue[tuple[int, dict[str, Any]]] = queue.Queue()
    shares = [samples[place::count] for place in range(count)]
    children = [_child() for _ in shares]
    listeners = [threading.Thread(target=_listen, args=(place, child, answers)) for place, child in enumerate(children)]
    try:
        for listener in listeners:
            listener.start()
        for child, share in zip(children, shares, strict=True):
            _tell(child, (dataset, store, share))
        while count:
            place, answer = answers.get()
            _require_well(answer)
            if "index" in answer:
                yield shares[place][answer["index"]], examination_of(answer["examination"])
            else:
                count -= 1
    finally:
        for child, listener in zip(children, listeners, strict=True):
            child.kill()
            listener.join()


def _child() -> subprocess.Popen[bytes]:
    """A process in a session of its own, so that Ctrl-C reaches us alone and we end it."""
    return subprocess.Popen(_WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)


def _tell(child: subprocess.Popen[bytes], job: object) -> None:
    """Give a process its job and nothing after it."""
    if child.stdin is not None:
        with contextlib.suppress(BrokenPipeError), child.stdin:  # it died at once: its exit code is told later
            pickle.dump(job, child.stdin)


def _listen(place: int, child: subprocess.Popen[bytes], answers: queue.Queue[tuple[int, dict[str, Any]]]) -> None:
    """Pass on what a process says, line by line, and at last the exit code that it ended with."""
    if child.stdout is not None:
        with child.stdout, contextlib.suppress(ValueError):  # a line that a kill cut off
            for line in child.stdout:
                answers.put((place, json.loads(line)))
    answers.put((place, {"ended": child.wait()}))


def _require_well(answer: Mapping[str, Any]) -> None:
    if "error" in answer:
        raise RssegError(answer["error"], hint=answer["hint"])
    if answer.get("ended"):
        raise RssegError(
            f"a process that prepares images ended with exit code {answer['ended']}",
            hint="is memory short? the same command goes on where it was",
        )


@contextlib.contextmanager
def _locked(store: Store) -> Iterator[None]:
    """The only run that fills the store, after what a killed one left half-written has been removed."""
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
