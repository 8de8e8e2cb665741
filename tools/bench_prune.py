"""Time a whole pruning loop against as many plain gradient steps of the dense model, in one run.

python tools/bench_prune.py --backbone resnet18 --precision auto --out bench_r18.json 2> bench_r18.log &

How the two take turns: `prune_loop` runs as it does for a user, and after every `--block` loops its `on_loop`
callback runs `--block` × `--batches` gradient steps of a second copy of the dense model, on the same batches. What
passes outside the callback is the pruning: reading the graph, tracing, scoring, choosing, masking, rebuilding, the
state file. So a change of clock or load that lasts longer than a block falls on both. The callback's own time
is left out of the pruning and counts as training, whose first step (it traces) is told apart.

Peak memory of each is taken in a process of its own. A part that `--out` already holds is not measured again.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from bench_work import Batch, Work, dense_model, gradient_step, prune, random_batches

from rsseg_tf.benchmark.system import memory_mb
from rsseg_tf.cli.main import main as run
from rsseg_tf.cli.shared.options import ANY_PATH, quiet_tensorflow
from rsseg_tf.errors import ConfigError, RssegError
from rsseg_tf.runs import cpu_model, git_state, package_versions, write_json

BARS = {"time": 0.5, "memory": 1.2}
"""Greatest ratios of pruning to training that the design allows."""

_TRACED = 2.0
"""A batch that takes so many times its loop's median was traced."""


class Stopwatch:
    """Batches that note how long their reader keeps each of them."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self._batches = batches
        self.seconds: dict[int, list[float]] = defaultdict(list)

    def __call__(self, loop: int) -> Iterator[Batch]:
        """Yield the batches of a loop."""
        for batch in self._batches:
            started = time.perf_counter()
            try:
                yield batch
            finally:  # a reader that takes no further one ends this here
                self.seconds[loop].append(time.perf_counter() - started)


class Turns:
    """A loop callback that lets the gradient steps have their turn after every block of loops."""

    def __init__(self, step: Callable[[Batch], None], batches: Sequence[Batch], *, block: int, loops: int) -> None:
        self._step, self._batches = step, batches
        self._block, self._loops = block, loops
        self._done = 0
        self.step_seconds: list[float] = []
        self.seconds = 0.0

    def __call__(self, loop: int, plan: Any) -> None:
        """Train if a block ends with `loop`, counted from 1."""
        started = time.perf_counter()
        if loop % self._block == 0 or loop == self._loops:
            for _ in range(loop - self._done):
                self._train()
            self._done = loop
            place = f"loop {loop}/{self._loops}  MACs {plan.share('macs'):.1%}  params {plan.share('params'):.1%}"
            log(f"{place}  step {statistics.median(self.step_seconds):.3f} s")
        self.seconds += time.perf_counter() - started

    def _train(self) -> None:
        for batch in self._batches:
            started = time.perf_counter()
            self._step(batch)
            self.step_seconds.append(time.perf_counter() - started)


def log(text: str) -> None:
    """Print a line with the time of day on stderr."""
    click.echo(f"{time.strftime('%H:%M:%S')} {text}", err=True)


def measure_time(work: Work, *, block: int) -> Mapping[str, float]:
    """Return seconds of both, taken in turns; see `time_figures`."""
    batches = random_batches(work)
    turns = Turns(gradient_step(dense_model(work)), batches, block=block, loops=work.loops)
    scored = Stopwatch(batches)
    started = time.perf_counter()
    share = prune(work, scored, turns)
    total = time.perf_counter() - started
    figures = time_figures(total - turns.seconds, scored.seconds, turns.step_seconds)
    return {"macs_share": share, "block": block, **figures}


def time_figures(prune_s: float, scored: Mapping[int, Sequence[float]], steps: Sequence[float]) -> Mapping[str, float]:
    """Return what the clocks say.

    Args:
        prune_s: seconds of the pruning, everything included.
        scored: loop → seconds of each batch that was scored.
        steps: seconds of each gradient step, two or more; the first one traces.

    Returns:
        `prune_s`, `train_s` (as many steps at the mean of those after the first, so without tracing),
        `train_traced_s` (all that the steps took), `ratio` (against `train_s`), `ratio_traced`, `step_p50_s`,
        `score_p50_s`, `score_tracing_s`, `train_tracing_s`, `traces` (loops that traced) and `other_s`
        (reading the graph, choosing, masking, rebuilding, the state file).
    """
    step_s = statistics.median(steps)
    medians = {loop: statistics.median(seconds[1:] or seconds) for loop, seconds in scored.items()}
    traced = {
        loop: seconds[0] - medians[loop] for loop, seconds in scored.items() if seconds[0] > _TRACED * medians[loop]
    }
    train_s = sum(steps[1:]) * len(steps) / (len(steps) - 1)
    return {
        "prune_s": prune_s,
        "train_s": train_s,
        "train_traced_s": sum(steps),
        "ratio": prune_s / train_s,
        "ratio_traced": prune_s / sum(steps),
        "step_p50_s": step_s,
        "score_p50_s": statistics.median(s for seconds in scored.values() for s in seconds),
        "score_tracing_s": sum(traced.values()),
        "train_tracing_s": max(0.0, steps[0] - step_s),
        "traces": len(traced),
        "other_s": prune_s - sum(sum(seconds) for seconds in scored.values()),
    }


def measure_memory(work: Work, what: str) -> Mapping[str, float]:
    """Return peak memory of this process in megabytes (1e6 bytes), and what it held before the work began."""
    batches = random_batches(work)
    held_mb = memory_mb("VmRSS") or float("nan")
    if what == "prune":
        prune(work, lambda _loop: batches)
    else:
        step = gradient_step(dense_model(work))
        for batch in batches * 2:
            step(batch)
    return {"held_mb": held_mb, "peak_mb": memory_mb("VmHWM") or float("nan")}


def _memory_in_child(work: Work, what: str) -> Mapping[str, float]:
    options = [word for key, value in asdict(work).items() for word in (f"--{key}", str(value))]
    command = [sys.executable, __file__, "--memory", what, *options]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode:
        raise RssegError(f"the process that measures the memory of `{what}` ended with {result.returncode}")
    figures: Mapping[str, float] = json.loads(result.stdout)
    return figures


def parts_to_measure(work: Work, *, block: int) -> Mapping[str, Callable[[], Mapping[str, float]]]:
    """Return name of a part → what measures it."""
    return {
        "time": lambda: measure_time(work, block=block),
        "memory_train": lambda: _memory_in_child(work, "train"),
        "memory_prune": lambda: _memory_in_child(work, "prune"),
    }


def measure(out: Path, work: Work, parts: Mapping[str, Callable[[], Mapping[str, float]]]) -> Mapping[str, Any]:
    """Measure the parts that `out` does not hold yet, and renew it after each.

    Raises:
        ConfigError: if `out` holds results of other work.
    """
    result = _read(out, work)
    for name, part in parts.items():
        if name not in result:
            log(f"measuring {name}")
            result = {**result, name: part()}
            write_json(out, result)
    return result


def _read(out: Path, work: Work) -> dict[str, Any]:
    if not out.exists():
        return {"work": asdict(work), "cpu": cpu_model(), "versions": package_versions(), "git": git_state()}
    held: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    if held.get("work") != asdict(work):
        raise ConfigError(f"`{out}` holds results of other work: {held.get('work')}", hint="choose another --out")
    return held


def markdown(result: Mapping[str, Any]) -> str:
    """Return the result as a table of one row."""
    work, seconds = result["work"], result["time"]
    memory = result["memory_prune"]["peak_mb"] / result["memory_train"]["peak_mb"]
    head = ["network", "pruning s", "gradient steps s", "ratio", "step s (p50)", "scored batch s (p50)"]
    head += ["tracing s", "other s", "peak memory MB", "memory ratio"]
    row = [
        f"{work['backbone']} {work['size']}², batch {work['batch']}, {work['precision']}, {work['loops']} loops × "
        f"{work['batches']} to {seconds['macs_share']:.0%} of the MACs",
        f"{seconds['prune_s']:.0f}",
        f"{seconds['train_s']:.0f} (with tracing {seconds['train_traced_s']:.0f})",
        f"{_judged(seconds['ratio'], BARS['time'])} (with tracing {seconds['ratio_traced']:.2f})",
        f"{seconds['step_p50_s']:.3f}",
        f"{seconds['score_p50_s']:.3f}",
        f"{seconds['score_tracing_s']:.1f} in {seconds['traces']}",
        f"{seconds['other_s']:.1f}",
        f"{result['memory_prune']['peak_mb']:.0f} against {result['memory_train']['peak_mb']:.0f}",
        _judged(memory, BARS["memory"]),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), row))


def _judged(ratio: float, bar: float) -> str:
    return f"{ratio:.2f} {'≤' if ratio <= bar else '>'} {bar}"


@click.command(name="bench_prune")
@click.option("--backbone", type=click.Choice(["resnet18", "resnet50"]), default="resnet18", show_default=True)
@click.option("--size", type=click.IntRange(32), default=256, show_default=True, help="Pixels a side.")
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="Images a batch.")
@click.option("--loops", type=click.IntRange(1), default=60, show_default=True)
@click.option("--batches", type=click.IntRange(2), default=4, show_default=True, help="Of each loop; not every loop scores all.")
@click.option("--macs", type=float, default=0.5, show_default=True, help="Share to keep.")
@click.option("--precision", type=click.Choice(["float32", "bfloat16", "auto"]), default="float32", show_default=True)
@click.option("--criterion", default="", help="As in prune.criterion; its default where not given.")
@click.option("--block", type=click.IntRange(1), default=5, show_default=True, help="Loops a turn.")
@click.option("--out", type=ANY_PATH, help="JSON file; parts that it holds are not measured again.")
@click.option("--memory", type=click.Choice(["prune", "train"]), help="Print this process's peak memory, no more.")
def main(block: int, out: Path | None, memory: str | None, **options: Any) -> None:
    """Time a pruning loop against plain gradient steps of the dense model, in turns, and take the memory of both."""
    quiet_tensorflow()
    from rsseg_tf.tracing.precision import use_precision

    work = Work(**{**options, "precision": use_precision(options["precision"])})
    if memory:
        click.echo(json.dumps(measure_memory(work, memory)))
        return
    if out is None:
        raise ConfigError("no file for the results", hint="give one with --out")
    click.echo(markdown(measure(out, work, parts_to_measure(work, block=block))))


if __name__ == "__main__":
    sys.exit(run(command=main, name="bench_prune"))
