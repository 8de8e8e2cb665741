"""Disturb commands: kill them, fill their disk, protect their folders; the same command, given again, must end whole.

    PYTHONPATH=. python -m tools.faults.disturb --work FOLDER --out faults.json --points 12

Each job is done once without trouble. Then it is disturbed at points that are spread over all the changes that it makes
in its folder (or at moments of its time), and given again when the trouble is over. It must end as the undisturbed one:
the same weights, plans, maps and files, nothing half-written, nothing left over, what was the user's still there; and
what went wrong must have been told in a message of ours. A job and kind that `--out` holds is not done again.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import click

from rsseg_tf.cli.shared.options import ANY_PATH
from rsseg_tf.runs import cpu_model, git_state, write_json
from tools.faults.disks import may_mount, resize, small_disk, used
from tools.faults.forks import Ending, Running, import_all, run
from tools.faults.jobs import JOBS, Job, Workshop
from tools.faults.traces import differences, half_written, trace
from tools.faults.trap import Fault, unprotect

Kind = Literal["kill", "moment", "full", "disk", "protect", "twice"]
KINDS: tuple[Kind, ...] = ("kill", "moment", "full", "disk", "protect", "twice")
"""SIGKILL before a rename or removal, SIGKILL at a moment, no space left from a change on, a file system that is too
small (where this process may mount one), folders protected at a change; or the same command once more at a moment,
while the first one is at it."""

_ROOM = 1 << 30


@dataclass
class Found:
    """What came of disturbing a job: how often it was, and what was wrong."""

    tried: int = 0
    wrong: list[str] = field(default_factory=list)


def disturb(shop: Workshop, job: Job, kind: Kind, *, points: int) -> Found:
    """Disturb a job at so many points, spread over it, and return what came of it."""
    whole, found = trace(shop.finished(job)), Found()
    if kind == "twice":
        return _at_once(shop, job, whole, points=points)
    if kind == "disk":
        return _on_small_disks(shop, job, whole, points=points)
    for name, fault, after_s in _troubles(shop, job, kind, points):
        case = shop.new(job)
        troubled = Fault(fault.kind, fault.at, case) if fault else None
        first = run(job.words, case, troubled, kill_after_s=after_s)
        unprotect(case)
        wrong = _wrong_at_once(first, case, is_killed=kind in ("kill", "moment"))
        wrong += _wrong_afterwards(first, job, case, whole)
        found.tried += 1
        found.wrong += [f"{name}: {each}" for each in wrong]
    return found


def _on_small_disks(shop: Workshop, job: Job, whole: dict[str, str], *, points: int) -> Found:
    """Do a job on file systems that hold a part of what it needs, and again when there is room."""
    found, case = Found(), shop.folder / "disk"
    seen = []
    with small_disk(case, size=_ROOM):
        shop.fill(case, job)
        least = used(case)
        Running(job.words, case).ended(meanwhile=lambda: seen.append(used(case)))
    needed = max(seen) - least
    for number in range(points):
        more = int(needed * (number + 0.5) / points)
        with small_disk(case, size=least + more):
            shop.fill(case, job)
            first = run(job.words, case)
            wrong = _wrong_at_once(first, case, is_killed=False)
            resize(case, size=_ROOM)
            wrong += _wrong_afterwards(first, job, case, whole)
        found.tried += 1
        found.wrong += [f"{more:,} of {needed:,} bytes: {each}" for each in wrong]
    return found


def _at_once(shop: Workshop, job: Job, whole: dict[str, str], *, points: int) -> Found:
    """Start a job again while it is at it: each of the two must end whole or be refused, and nothing be lost."""
    found = Found()
    seconds = run(job.words, shop.new(job)).seconds
    for number in range(points):
        after_s = seconds * number / points
        case = shop.new(job)
        first = Running(job.words, case)
        time.sleep(after_s)
        second = Running(job.words, case)
        endings = first.ended(), second.ended()
        wrong = [each for ending in endings for each in _wrong_at_once(ending, case, is_killed=False)]
        if all(ending.code for ending in endings):
            wrong.append(f"both end with an error: {endings[0].last}, {endings[1].last}")
        found.tried += 1
        found.wrong += [f"again after {after_s:.2f} s: {each}" for each in wrong + differences(whole, trace(case))]
    return found


def _troubles(shop: Workshop, job: Job, kind: Kind, points: int) -> Iterator[tuple[str, Fault | None, float | None]]:
    """Yield names of troubles with the fault to lay, or the seconds after which the process is killed."""
    case = shop.new(job)
    undisturbed = run(job.words, case, Fault("full" if kind == "moment" else kind, 0, case))
    if undisturbed.code:
        raise SystemExit(f"{job.name} ends with {undisturbed.code} without a fault: {undisturbed.last}")
    if kind == "moment":
        for number in range(points):
            after_s = undisturbed.seconds * (number + 0.5) / points
            yield f"killed after {after_s:.2f} s", None, after_s
        return
    number = min(points, undisturbed.changes)
    for index in range(number):
        at = 1 + index * undisturbed.changes // number
        yield f"{kind} at change {at} of {undisturbed.changes}", Fault(kind, at, case), None


def _wrong_at_once(ending: Ending, case: Path, *, is_killed: bool) -> list[str]:
    wrong = [f"half-written {name}" for name in half_written(case)]
    if "Traceback" in ending.said or ending.code == 99:
        wrong.append(f"a traceback: {ending.last}")
    if not is_killed and ending.code and "error:" not in ending.said.lower():
        wrong.append(f"ends with {ending.code} and says: {ending.last}")
    return wrong


def _wrong_afterwards(first: Ending, job: Job, case: Path, whole: dict[str, str]) -> list[str]:
    """Give the command again if it failed, and return what is not as in the undisturbed end."""
    wrong = []
    if first.code:
        second = run(job.words, case)
        is_over = second.code != 0 and "holds a finished run" in second.said
        wrong += [] if second.code == 0 or is_over else [f"then ends with {second.code}: {second.last}"]
    return wrong + differences(whole, trace(case))


def _table(results: dict[str, Any]) -> str:
    lines = ["| command | " + " | ".join(KINDS) + " |", "| --- " * (len(KINDS) + 1) + "|"]
    for job in JOBS:
        cells = [results.get(f"{job.name}, {kind}") for kind in KINDS]
        shown = [f"{cell['tried'] - len(_places(cell))} of {cell['tried']}" if cell else "–" for cell in cells]
        lines.append(f"| `{job.name}` | {' | '.join(shown)} |")
    return "\n".join(lines)


def _places(cell: dict[str, Any]) -> set[str]:
    return {each.partition(":")[0] for each in cell["wrong"]}


@click.command(name="disturb")
@click.option("--work", type=ANY_PATH, required=True, help="Folder for networks and cases.")
@click.option("--out", type=ANY_PATH, required=True, help="JSON file; what it holds is not done again.")
@click.option("--model", type=ANY_PATH, help="The .tflite to predict with; otherwise one is trained.")
@click.option("--points", type=click.IntRange(1), default=12, show_default=True, help="Of each job and kind.")
@click.option("--job", "names", multiple=True, help="Some jobs alone.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Some kinds alone.")
def main(
    work: Path, out: Path, model: Path | None, points: int, names: tuple[str, ...], kinds: tuple[Kind, ...]
) -> None:
    """Disturb commands, and print how many of each ended as the undisturbed one."""
    chosen = [job for job in JOBS if not names or job.name in names]
    tried = [kind for kind in kinds or KINDS if kind != "disk" or may_mount()]
    if "disk" in (kinds or KINDS) and "disk" not in tried:
        click.echo("disk: not tried, since this process may not mount file systems (root may, on Linux)", err=True)
    import_all(with_tensorflow=model is None or any(job.has_network for job in chosen))
    shop = Workshop(work.resolve(), model=model)
    results = json.loads(out.read_text()) if out.exists() else {"cpu": cpu_model(), "git": git_state()}
    for job in chosen:
        for kind in tried:
            title = f"{job.name}, {kind}"
            if title in results:
                continue
            found = disturb(shop, job, kind, points=points)
            results[title] = asdict(found)
            write_json(out, results)
            click.echo(f"{title}: {found.tried} tried; wrong: {found.wrong[:3]}", err=True)
    click.echo(_table(results))


if __name__ == "__main__":
    sys.exit(main())
