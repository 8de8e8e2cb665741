"""Latency of a `.tflite` file operator by operator, measured on this device.

The Python interpreter has no profiler, and a delegate runs the whole graph as one node. So the file is cut into
models of one operator (`rsseg_tf.tflite.cutting`), and each is timed like a model of its own. What is in the figure of
an operator, and what is not:

* Caches. Each operator is run on what the one before it has just computed, copied into its input, so its
  activations are as warm as in the whole model and its weights as cold; timed again and again alone it would look
  faster than it is. The output is in memory of its own, while the whole model uses the same memory again and again.
* Borders. Every run enters the interpreter and the delegate anew and wakes the threads: a few microseconds, nothing
  to a convolution, all of a tiny operator. Several threads pay more of it, and the threads of other pieces may not
  have gone to sleep yet.
* Other load. An interruption falls into most runs of the whole model but into few runs of any one operator, whose
  median does not see it: on a busy machine `sum_ms` is far below `total_ms`.
* Fewer channels. Operators are run at fewer channels too, and the widest convolution at many widths
  (`rsseg_tf.benchmark.staircase`), on random numbers: what a slimmer network takes is estimated from that.
* Fusion. What a delegate does over several operators at once (a padding merged into a convolution) is not seen.

So the sum of the operators (`sum_ms`) is not the time of the whole model (`total_ms`), which is timed in the same
process, taking turns. How far apart they are tells how far to trust the parts.
"""

from __future__ import annotations

import itertools
import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rsseg_tf.benchmark.latency import check_settings, crash_on, turns
from rsseg_tf.benchmark.profile_worker import PIECES
from rsseg_tf.benchmark.staircase import TILES, Step, narrow_forms, staircase_forms, tile_of
from rsseg_tf.benchmark.system import read_system
from rsseg_tf.child import open_child
from rsseg_tf.errors import ConfigError, system_hint
from rsseg_tf.progress import Progress
from rsseg_tf.runs import file_hash, write_json
from rsseg_tf.tflite.cutting import Piece, cut
from rsseg_tf.tflite.flatbuffer import read_content
from rsseg_tf.tflite.layer_names import OpTensors
from rsseg_tf.tflite.narrowing import Narrowed, channels

KIND = "rsseg-tf latency profile"
FORMAT = 2

_CALL_MS = 0.002
"""What it takes to call an operator by itself, which the whole model does not pay."""

_FAR_APART = 0.1
"""Share of a model's time by which its operators' sum may differ; on a quiet machine they agree within a percent."""


@dataclass(frozen=True)
class OpLatency:
    """One operator of a profile.

    Attributes:
        op: its place in the file's order of execution.
        type: such as `CONV_2D`.
        tensors: names, from which `layer_names.layers_of_ops` finds the Keras layers.
        output_shape: of the first output.
        macs: multiply-accumulates.
        ms: median time.
        steps: the same at its own and at fewer channels; empty where they cannot be told or are few.
    """

    op: int
    type: str
    tensors: OpTensors
    output_shape: tuple[int, ...]
    macs: int
    ms: float
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class LatencyProfile:
    """Where a model's time goes on one device.

    Attributes:
        model: its path as given.
        sha256: of the file.
        threads: CPU threads.
        repeats: timed runs.
        cpu: the processor's name.
        governor: how the kernel chooses the clock.
        exact: whether the operators, run one by one, computed bit for bit what the whole model does.
        total_ms: median time of the whole model.
        tile: channels that the widest convolution computes together; 1 where no tile was found.
        staircase: output channels and milliseconds of that convolution, from which the tile was found.
        is_estimate: whether nothing was measured; see `rsseg_tf.benchmark.boards`.
        layers: the operators in the order of execution; those that only prepare constants are part of their readers.
    """

    model: str
    sha256: str
    threads: int
    repeats: int
    cpu: str
    governor: str | None
    exact: bool
    total_ms: float
    layers: tuple[OpLatency, ...]
    tile: int = 1
    staircase: tuple[tuple[int, float], ...] = ()
    is_estimate: bool = False

    @property
    def sum_ms(self) -> float:
        """Sum of the operators' medians."""
        return sum(layer.ms for layer in self.layers)

    @property
    def doubt(self) -> str:
        """Why the figures may be wrong: nothing was measured, or sum and whole are far apart; empty if neither."""
        if self.is_estimate:
            return f"an estimate for {self.cpu}: its milliseconds may be off by a factor of two"
        if abs(self.sum_ms - self.total_ms) <= max(_FAR_APART * self.total_ms, _CALL_MS * len(self.layers)):
            return ""
        return (
            f"the operators take {self.sum_ms:.1f} ms in sum, the whole model {self.total_ms:.1f} ms: "
            "the machine was likely busy, so measure again"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        values = asdict(self)
        layers = values.pop("layers")
        flat = [{key: value for part in (x, x.pop("tensors")) for key, value in part.items()} for x in layers]
        return {"kind": KIND, "format": FORMAT, **values, "sum_ms": self.sum_ms, "layers": flat}


def profile(
    path: Path,
    *,
    threads: int = 1,
    repeats: int = 50,
    warmup: int = 5,
    seed: int = 0,
    progress: Progress | None = None,
) -> LatencyProfile:
    """Time a model file and each of its operators, taking turns.

    Args:
        path: any `.tflite` file; it need not take images.
        threads: CPU threads.
        repeats: timed runs of the model and of every operator.
        warmup: runs of each before the timed ones.
        seed: of the random input.
        progress: called after every round with how many runs are done and how many there are.

    Raises:
        ModelError: if the file is not a model, crashes, or has operators that cannot be cut out.
        ConfigError: if there are no repeats or no threads.
    """
    check_settings((threads,), repeats, warmup)
    pieces = cut(read_content(path), name=str(path))
    forms = [narrow_forms(piece) for piece in pieces]
    stairs = staircase_forms(pieces)
    with tempfile.TemporaryDirectory() as scratch:
        _write_pieces(pieces, [*itertools.chain(*forms), *stairs], Path(scratch))
        with open_child("rsseg_tf.benchmark.profile_worker", ended=crash_on(path)) as child:
            differing = child.ask((path, Path(scratch), threads, seed))["differing"]
            child.ask(warmup)
            whole_ms: list[float] = []
            pieces_ms: list[list[float]] = []
            others_ms: list[list[float]] = []
            for turn in turns(repeats):
                times = child.ask(turn)
                whole_ms += times["whole_ms"]
                pieces_ms += times["pieces_ms"]
                others_ms += times["others_ms"]
                if progress:
                    progress(len(whole_ms), repeats)
    system = read_system()
    medians = np.median(pieces_ms, axis=0).tolist()
    others = iter(np.median(others_ms, axis=0).tolist())
    layers = tuple(_latency(*each, others) for each in zip(pieces, medians, forms, strict=True))
    staircase = tuple((form.outputs, ms) for form, ms in zip(stairs, others, strict=True))
    return LatencyProfile(
        model=str(path),
        sha256=file_hash(path),
        threads=threads,
        repeats=repeats,
        cpu=system.cpu,
        governor=system.governor,
        exact=not differing,
        total_ms=float(np.median(whole_ms)),
        layers=layers,
        tile=tile_of(dict(staircase)),
        staircase=staircase,
    )


def save_profile(path: Path, measured: LatencyProfile) -> None:
    """Write a profile as a JSON file that appears whole or not at all."""
    write_json(path, measured.to_dict())


def load_profile(path: Path) -> LatencyProfile:
    """Return the profile that `benchmark --profile` wrote to `path`.

    Raises:
        ConfigError: if there is no such file, or it is not a profile of this format.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw.pop("kind") != KIND or raw.pop("format") != FORMAT:
            raise ValueError("it is of another kind, or of another version's format")
        del raw["sum_ms"]
        layers = tuple(_from_json(layer) for layer in raw.pop("layers"))
        staircase = tuple((int(width), float(ms)) for width, ms in raw.pop("staircase"))
        figures = {"total_ms": float(raw["total_ms"]), "tile": int(raw["tile"])}
        loaded = LatencyProfile(**{**raw, **figures}, layers=layers, staircase=staircase)
        is_timed = 0 < loaded.total_ms < math.inf and 0 < loaded.sum_ms < math.inf
        times = [layer.ms for layer in layers] + [step.ms for layer in layers for step in layer.steps]
        if not is_timed or not all(0 <= ms < math.inf for ms in times):
            raise ValueError("it has no times")
        if loaded.tile not in TILES or not all(min(vars(x).values()) > 0 for layer in layers for x in layer.steps):
            raise ValueError("it has no widths")
        return loaded
    except OSError as error:
        wrong = f"cannot read the latency profile `{path}`: {error.strerror}"
        raise ConfigError(wrong, hint=system_hint(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ConfigError(
            f"`{path}` is not a latency profile: {type(error).__name__}: {error}",
            hint="measure one with `rsseg-tf benchmark MODEL.tflite --profile FILE.json`",
        ) from error


def format_profile(measured: LatencyProfile, *, most: int = 10) -> str:
    """Return the operators that take longest, as a text table."""
    slowest = sorted(measured.layers, key=lambda layer: -layer.ms)[:most]
    rest = measured.sum_ms - sum(layer.ms for layer in slowest)
    width = max(len(layer.type) for layer in slowest)
    lines = [f"{'ms':>8} {'share':>6} {'GMAC/s':>7}  {'type':{width}}  {'output':15} layer"]
    lines += [
        f"{layer.ms:8.3f} {layer.ms / measured.sum_ms:6.1%} {_speed(layer):>7}  {layer.type:{width}}  "
        f"{'×'.join(map(str, layer.output_shape)):15} {_label(layer)}"
        for layer in slowest
    ]
    if len(measured.layers) > len(slowest):
        lines.append(f"{rest:8.3f} {rest / measured.sum_ms:6.1%}          {len(measured.layers) - len(slowest)} others")
    lines.append(f"sum of operators {measured.sum_ms:.2f} ms, whole model {measured.total_ms:.2f} ms")
    if measured.doubt:
        lines.append(f"warning: {measured.doubt}")
    if not measured.exact:
        lines.append("one by one, the operators do not compute what the whole model does: treat the figures with care")
    return "\n".join(lines)


def _write_pieces(pieces: Sequence[Piece], others: Sequence[Narrowed], folder: Path) -> None:
    contents = [piece.content for piece in pieces] + [form.content for form in others]
    for number, content in enumerate(contents):
        (folder / f"{number}.tflite").write_bytes(content)
    wired = [
        {"file": f"{i}.tflite", "inputs": piece.inputs, "outputs": piece.outputs} for i, piece in enumerate(pieces)
    ]
    alone = [f"{number}.tflite" for number in range(len(pieces), len(contents))]
    (folder / PIECES).write_text(json.dumps({"pieces": wired, "others": alone}), encoding="utf-8")


def _latency(piece: Piece, ms: float, forms: Sequence[Narrowed], others: Iterator[float]) -> OpLatency:
    op = piece.op
    steps = [Step(form.inputs, form.outputs, next(others)) for form in forms]
    found = channels(piece)
    if found and steps:
        steps.insert(0, Step(*found, ms))
    return OpLatency(op.index, op.name, piece.tensors, op.outputs[0].shape, op.macs, ms, tuple(steps))


def _from_json(layer: Mapping[str, Any]) -> OpLatency:
    tensors = OpTensors(str(layer["output"]), tuple(layer["inputs"]), tuple(layer["constants"]))
    shape = tuple(int(side) for side in layer["output_shape"])
    steps = tuple(Step(int(x["inputs"]), int(x["outputs"]), float(x["ms"])) for x in layer["steps"])
    return OpLatency(
        int(layer["op"]), str(layer["type"]), tensors, shape, int(layer["macs"]), float(layer["ms"]), steps
    )


def _speed(layer: OpLatency) -> str:
    return f"{layer.macs / layer.ms / 1e6:.1f}" if layer.macs else "–"


def _label(layer: OpLatency) -> str:
    """Return the scope of the layer that the operator's output is named after."""
    model, *scopes = layer.tensors.output.split(";")[0].split("/")
    return (scopes[:-1] or [model])[0]
