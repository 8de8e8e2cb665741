"""Time Torch-Pruning's loop against plain gradient steps of the dense network, in one run, as `bench_prune.py` does.

python tools/peers/torch_pruning_loop.py --venv peers/torch --backbone resnet18 --out peers/torch_r18.json

The script makes `--venv` and runs in it; nothing is installed anywhere else. The network is ours in PyTorch. Each
loop accumulates gradients over `--batches` batches and lets Torch-Pruning shrink the network by global group Taylor
scores; after every `--block` loops as many gradient steps of the dense network are taken. The library counts
channels, not multiply-accumulates, so the share of channels is found by bisection with single-step prunings first.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib.metadata
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from own_venv import OwnVenv, is_finished, is_inside, write_result

if TYPE_CHECKING:
    import torch
    import torch_pruning

REQUIREMENTS = ("torch==2.13.0", "torch-pruning==1.6.1")
NUM_CLASSES = 8
DENSE_PARAMS = {"resnet18": 16_407_720, "resnet50": 39_758_504}
"""Backbone → learnable parameters of ours, which the PyTorch network must have too."""

_BISECTIONS = 6


def log(text: str) -> None:
    """Print a line with the time of day on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Bench:
    """The dense network, seeded batches in memory, and the clock of each part.

    Args:
        options: of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        import torch
        from torch_deeplab import DeepLabV3Plus

        torch.manual_seed(0)
        self.options = options
        self.model = DeepLabV3Plus(options.backbone, NUM_CLASSES)
        shape = (options.batch, options.size, options.size)
        self.batches = [
            (torch.randn(options.batch, 3, *shape[1:]), torch.randint(NUM_CLASSES, shape))
            for _ in range(options.batches)
        ]
        self.example = torch.zeros(1, 3, options.size, options.size)

    def loss(self, model: torch.nn.Module, batch: Any) -> torch.Tensor:
        """Return cross-entropy of one batch, convolutions in the precision asked for."""
        import torch

        images, labels = batch
        low = self.options.precision == "bfloat16"
        with torch.autocast("cpu", torch.bfloat16) if low else contextlib.nullcontext():
            logits = model(images)
        return torch.nn.functional.cross_entropy(logits.float(), labels)

    def gradient_step(self) -> Callable[[Any], None]:
        """Return one training step of a copy of the dense network: forward, backward, SGD with momentum."""
        import torch

        model = copy.deepcopy(self.model).train()
        optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)

        def step(batch: Any) -> None:
            optimizer.zero_grad()
            self.loss(model, batch).backward()
            optimizer.step()

        return step

    def accumulate(self, model: torch.nn.Module) -> None:
        """Compute gradients over all batches, under moving statistics."""
        model.eval()
        model.zero_grad()
        for batch in self.batches:
            self.loss(model, batch).backward()

    def pruner(self, model: torch.nn.Module, ratio: float, *, loops: int) -> torch_pruning.pruner.BasePruner:
        """Return Torch-Pruning's pruner of `ratio` of all channels, ranked over the whole network."""
        import torch_pruning

        return torch_pruning.pruner.BasePruner(
            model,
            self.example,
            importance=torch_pruning.importance.GroupTaylorImportance(),
            global_pruning=True,
            pruning_ratio=ratio,
            max_pruning_ratio=0.9,
            iterative_steps=loops,
            ignored_layers=[model.classifier],
            round_to=self.options.round_to,
        )

    def cost(self, model: torch.nn.Module) -> tuple[float, float]:
        """Return multiply-accumulates and parameters."""
        import torch_pruning

        macs, params = torch_pruning.utils.count_ops_and_params(model, self.example)
        return macs, params

    def channel_ratio(self) -> float:
        """Return the share of channels whose removal in one step leaves the share of multiply-accumulates asked for."""
        dense, _ = self.cost(self.model)
        low, high = 0.0, 0.9
        for _ in range(_BISECTIONS):
            ratio = (low + high) / 2
            model = copy.deepcopy(self.model)
            self.loss(model.eval(), self.batches[0]).backward()
            self.pruner(model, ratio, loops=1).step()
            macs, _ = self.cost(model)
            low, high = (ratio, high) if macs > self.options.macs * dense else (low, ratio)
        return high


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run both, in turns; seconds of each and their ratio."""
    bench = Bench(options)
    dense_macs, dense_params = bench.cost(bench.model)
    if dense_params != DENSE_PARAMS[options.backbone]:
        raise SystemExit(f"{dense_params:,} parameters, ours has {DENSE_PARAMS[options.backbone]:,}")
    ratio = options.channel_ratio or bench.channel_ratio()
    log(f"{dense_params:,.0f} parameters, {dense_macs / 1e9:.2f} GMACs; removing {ratio:.1%} of the channels")
    step = bench.gradient_step()
    steps: list[float] = []
    started = time.perf_counter()
    model = copy.deepcopy(bench.model)
    pruner = bench.pruner(model, ratio, loops=options.loops)
    setup_s = time.perf_counter() - started
    scoring, removing = [], []
    for loop in range(1, options.loops + 1):
        scoring.append(_seconds(lambda: bench.accumulate(model)))
        removing.append(_seconds(pruner.step))
        if loop % options.block == 0 or loop == options.loops:
            turns = loop * options.batches - len(steps)
            steps += [_seconds(lambda batch=batch: step(batch)) for batch in _taken(bench.batches, turns)]
            log(f"loop {loop}/{options.loops}  MACs {bench.cost(model)[0] / dense_macs:.1%}")
    macs, params = bench.cost(model)
    prune_s = setup_s + sum(scoring) + sum(removing)
    return {
        "work": {key: value for key, value in vars(options).items() if key not in ("venv", "out")},
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "torch-pruning")},
        "dense_params": dense_params,
        "macs_share": macs / dense_macs,
        "params_share": params / dense_params,
        "channel_ratio": ratio,
        "prune_s": prune_s,
        "train_s": sum(steps),
        "ratio": prune_s / sum(steps),
        "loop_p50_s": statistics.median(a + b for a, b in zip(scoring, removing, strict=True)),
        "step_p50_s": statistics.median(steps),
        "bookkeeping_s": setup_s + sum(removing),
    }


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _taken(batches: list[Any], count: int) -> list[Any]:
    return [batches[index % len(batches)] for index in range(count)]


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(description="Time Torch-Pruning's loop against plain gradient steps, in turns.")
    made.add_argument("--venv", type=Path, required=True, help="its virtual environment; made where it is not there")
    made.add_argument("--backbone", choices=["resnet18", "resnet50"], default="resnet18")
    for name, default in (("size", 256), ("batch", 8), ("loops", 60), ("batches", 4), ("block", 5), ("round-to", 8)):
        made.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    made.add_argument("--macs", type=float, default=0.5, help="share to keep; default 0.5")
    made.add_argument("--channel-ratio", type=float, default=0.0, help="share of channels to remove; 0: find it")
    made.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    made.add_argument("--out", type=Path, required=True, help="JSON file")
    return made


def main() -> int:
    """Make the environment and run there, or measure where this is it."""
    options = parser().parse_args()
    if not is_inside():
        if is_finished(options.out):
            return 0
        venv = OwnVenv(options.venv, REQUIREMENTS)
        venv.make()
        return venv.run(Path(__file__), sys.argv[1:])
    result = measure(options)
    write_result(options.out, result)
    print(
        f"| Torch-Pruning {result['versions']['torch-pruning']} | {options.backbone} | {result['prune_s']:.0f} s | "
        f"{result['train_s']:.0f} s | {result['ratio']:.2f} | {result['macs_share']:.0%} of the MACs | "
        f"{result['loop_p50_s']:.2f} s a loop | {result['bookkeeping_s']:.1f} s bookkeeping |"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
