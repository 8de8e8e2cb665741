"""Files of every kind that the commands read, changed at random: each must be read or refused with an error of ours.

PYTHONPATH=. python -m tools.faults.fuzz --work fuzz --out fuzz.json --cases 100000

Cases run in batches, each in a process of its own that may take 1 GiB more than it began with, and 10 s a case. A
finding is any other error, a crash, a hang or a lack of memory; case and kind name it, so `--only KIND --first CASE
--cases 1` makes it again. A killed run goes on where it was.
"""

from __future__ import annotations

import collections
import contextlib
import faulthandler
import json
import mmap
import os
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from rsseg_tf.errors import RssegError
from rsseg_tf.runs import write_json
from tools.faults.mutation import mutated
from tools.faults.samples import KINDS, write_samples

CASE_S = 10
MEMORY = 1 << 30
BATCH = 20_000
_FINDINGS_KEPT = 40


class HangError(BaseException):
    """A case that takes longer than it may; no handler of ours may take it for an error of its own."""


@dataclass
class Tally:
    """What became of the cases of one kind.

    Attributes:
        cases: how many were tried.
        read: of them were read as if nothing were wrong.
        refused: of them ended in an error of the tree.
        seconds: they took together.
        slowest_s: the longest case took.
        findings: place and type of error → how many cases ended so, and the first of them.
    """

    cases: int = 0
    read: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    findings: dict[str, list[int]] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        """Add the cases of a batch."""
        for name in ("cases", "read", "refused", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        for place, (count, first) in other.findings.items():
            self.found(place, first, count=count)

    def found(self, place: str, case: int, *, count: int = 1) -> None:
        """Note a finding."""
        if place in self.findings or len(self.findings) < _FINDINGS_KEPT:
            self.findings.setdefault(place, [0, case])[0] += count


def try_cases(kind: str, samples: Path, cases: range, *, at: memoryview | None = None) -> Tally:
    """Read changed files of one kind in this process; `at` always holds the number of the case that is being read."""
    what, tally = KINDS[kind], Tally()
    sound = {name: (samples / name).read_bytes() for name in what.names}
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            if at is not None:
                struct.pack_into("q", at, 0, case)
            name = what.names[case % len(what.names)]
            suffix = Path(name).suffix
            path = Path(folder, f"case{suffix}")
            path.write_bytes(mutated(sound[name], suffix=suffix, seed=f"{kind}:{case}"))
            started = time.monotonic()
            _try(what.read, path, case, tally)
            took = time.monotonic() - started
            tally.slowest_s = max(tally.slowest_s, took)
            tally.seconds += took
            tally.cases += 1
    return tally


def _try(read: Any, path: Path, case: int, tally: Tally) -> None:
    try:
        try:
            _read(read, path)
        except HangError:  # of a busy or stopped machine: once is no finding
            _read(read, path)
        tally.read += 1
    except RssegError:
        tally.refused += 1
    except (Exception, HangError) as error:
        tally.found(_place_of(error), case)


def _read(read: Any, path: Path) -> None:
    with _limited():
        read(path)


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(CASE_S)
    faulthandler.dump_traceback_later(2 * CASE_S, exit=True)  # where native code never comes back to hear the signal
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _place_of(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "rsseg_tf" in Path(frame.filename).parts] or frames
    where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
    return f"{type(error).__name__} in {where}: {str(error).splitlines()[0][:80] if str(error) else ''}"


def run_batch(kind: str, samples: Path, cases: range) -> Tally:
    """Read changed files in a process of its own, and in another behind a case that ends it."""
    whole = Tally()
    with tempfile.NamedTemporaryFile() as place:
        place.write(struct.pack("q", cases.start))
        place.flush()
        while cases:
            command = [sys.executable, "-m", "tools.faults.fuzz", "--worker", place.name, "--samples", str(samples)]
            words = ["--only", kind, "--first", str(cases.start), "--cases", str(len(cases))]
            ended = subprocess.run([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
            with contextlib.suppress(ValueError):
                whole.add(Tally(**json.loads(ended.stdout)))
                return whole
            (bad,) = struct.unpack("q", Path(place.name).read_bytes())
            if len(cases) == 1:
                whole.add(Tally(cases=1))
                whole.found(f"the process ended with {ended.returncode}", bad)
                return whole
            before = range(cases.start, bad)
            whole.add(run_batch(kind, samples, before) if before else Tally())
            whole.add(run_batch(kind, samples, range(bad, bad + 1)))
            cases = range(bad + 1, cases.stop)
    return whole


def _work(place: Path, kind: str, samples: Path, cases: range) -> None:
    """Run a batch as the child process; its counts go to stdout."""
    KINDS[kind].loads()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    printed, sys.stdout = sys.stdout, sys.stderr
    with place.open("r+b") as stream, mmap.mmap(stream.fileno(), 8) as shared, memoryview(shared) as at:
        tally = try_cases(kind, samples, cases, at=at)
    printed.write(json.dumps(asdict(tally)))


@click.command()
@click.option("--work", type=click.Path(path_type=Path), default=Path("fuzz"), help="Folder for the sound files.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("fuzz.json"), help="Counts; a run goes on from them."
)
@click.option("--only", multiple=True, type=click.Choice(list(KINDS)), help="These kinds alone.")
@click.option("--first", type=click.IntRange(0), default=0, help="Number of the first case.")
@click.option("--cases", type=click.IntRange(1), default=100_000, help="Cases of each kind.")
@click.option("--worker", type=click.Path(path_type=Path), hidden=True)
@click.option("--samples", type=click.Path(path_type=Path), hidden=True)
def main(  # noqa: PLR0913 - one parameter an option
    work: Path, out: Path, only: tuple[str, ...], first: int, cases: int, worker: Path | None, samples: Path | None
) -> None:
    """Fuzz what reads files, kind by kind, and count what became of the cases."""
    if worker is not None and samples is not None:
        _work(worker, only[0], samples, range(first, first + cases))
        return
    if not (work / "ranges.json").is_file():
        write_samples(work)
    done = json.loads(out.read_text()) if out.is_file() else {}
    for kind in only or KINDS:
        tally = Tally(**done.get(kind, {}))
        while tally.cases < cases:
            begin = first + tally.cases
            tally.add(run_batch(kind, work, range(begin, min(begin + BATCH, first + cases))))
            done[kind] = asdict(tally)
            write_json(out, done)
        found = collections.Counter({place: count for place, (count, _) in tally.findings.items()})
        click.echo(f"{kind}: {tally.cases} cases, {tally.read} read, {tally.refused} refused, {found.total()} findings")


if __name__ == "__main__":
    main()
