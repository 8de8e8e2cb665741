"""How much of a `.tflite` file the Edge TPU would run, by published limits: the compiler itself is closed."""

from __future__ import annotations

import dataclasses
import itertools
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rsseg_tf.errors import CheckFailedError
from rsseg_tf.tflite.edgetpu.ops import limits_of
from rsseg_tf.tflite.edgetpu.rules import CACHE_BYTES, CORAL, CPU, ISSUE, NOTE, RISK, SMALLER, Limit
from rsseg_tf.tflite.flatbuffer import read_model
from rsseg_tf.tflite.graph import Op, TFLiteModel
from rsseg_tf.tflite.layer_names import layers_by_op

_NAMED = 3
_LOW_HEAD = "export with --for edgetpu: the host enlarges, the Edge TPU stops before"


@dataclass(frozen=True)
class Finding:
    """A limit that an operator of the file, or the file as a whole, runs into.

    Attributes:
        severity: `cpu` where the operator does not map, `risk` where it may not, `note` otherwise.
        op: the operator's place in the order of execution; None for the whole file.
        type: the operator, such as `CONV_2D`.
        layer: what made it, as the file names it.
        reason: what the limit is.
        fix: what to do about it.
        source: who published it.
    """

    severity: str
    op: int | None
    type: str
    layer: str
    reason: str
    fix: str
    source: str


@dataclass(frozen=True)
class EdgeTPUReport:
    """What the Edge TPU would run of a file: an estimate.

    Attributes:
        ops_mapped: operators that it runs.
        ops_total: operators of the file.
        mac_share: share of the multiply-accumulates that it runs, if everything at risk maps.
        mac_share_at_worst: the same if nothing at risk maps.
        weight_bytes: bytes of the weights of the operators that it runs.
        cache_bytes: of the chip's memory; the compiler leaves 6 to 7.5 MiB of the 8 for weights in reports.
        streamed_bytes: bytes of weights that cannot be kept on the chip and cross the bus at every run, at least.
        findings: in the order of execution.
    """

    ops_mapped: int
    ops_total: int
    mac_share: float
    mac_share_at_worst: float
    weight_bytes: int
    cache_bytes: int
    streamed_bytes: int
    findings: tuple[Finding, ...]

    @property
    def maps_fully(self) -> bool:
        """Whether no published limit keeps an operator from the Edge TPU."""
        return self.ops_mapped == self.ops_total

    def record(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        values = asdict(self)
        return {"maps_fully": self.maps_fully, **values, "findings": [asdict(finding) for finding in self.findings]}


def lint(model: TFLiteModel, *, layer_names: Sequence[str] = ()) -> EdgeTPUReport:
    """Return what the Edge TPU would run of `model`.

    The compiler maps one piece of the graph, from its beginning to the first operator that does not map: that one
    and all after it run on the CPU (Coral, "TensorFlow models on the Edge TPU", compiling; google-coral/edgetpu#317).
    Operators that quantize float inputs stay in front of the piece and do not end it.

    Args:
        model: a graph.
        layer_names: the Keras model's layers in topological order, after which findings are named; else they are named
            after the last of the names that the converter joined to one.
    """
    limits = {op.index: [*_limits(op, model), *_after_padding(op, model)] for op in model.ops}
    mapped = _mapped(model, limits, {CPU})
    surely_mapped = _mapped(model, limits, {CPU, RISK})
    weight_bytes = _weight_bytes(mapped)
    streamed_bytes = max(0, weight_bytes - CACHE_BYTES)
    names = [name.rpartition(";")[2] for name in layers_by_op(model, layer_names)]
    findings = [
        Finding(op=op.index, type=op.name, layer=names[op.index], **asdict(limit))
        for op, limit in _pairs(model, limits)
    ]
    return EdgeTPUReport(
        ops_mapped=len(mapped),
        ops_total=len(model.ops),
        mac_share=_mac_share(mapped, model),
        mac_share_at_worst=_mac_share(surely_mapped, model),
        weight_bytes=weight_bytes,
        cache_bytes=CACHE_BYTES,
        streamed_bytes=streamed_bytes,
        findings=(*findings, *_streaming(streamed_bytes)),
    )


def require_mapped(path: Path, *, out: Path, layer_names: Sequence[str] = ()) -> EdgeTPUReport:
    """Return the report on the file `path`, which errors call `out`.

    Raises:
        CheckFailedError: if an operator does not map; the message names the layers and says what to do.
    """
    report = lint(read_model(path), layer_names=layer_names)
    if not report.maps_fully:
        reasons = textwrap.indent("\n".join(_grouped(report.record()["findings"], {CPU})), "  ")
        raise CheckFailedError(
            f"`{out}` would not run on the Edge TPU alone: {report.ops_mapped} of {report.ops_total} operators map\n"
            f"{reasons}",
            hint="docs/edgetpu.md says what maps",
        )
    return report


def format_report(facts: Mapping[str, Any]) -> str:
    """Return what `EdgeTPUReport.record` holds, as text: the shares, then two lines per kind of finding."""
    share, worst = facts["mac_share"], facts["mac_share_at_worst"]
    at_worst = f", at worst {worst:.1%}" if worst != share else ""
    streamed = f", at least {facts['streamed_bytes'] / 1e6:.2f} MB streamed" if facts["streamed_bytes"] else ""
    sizes = f"{facts['weight_bytes'] / 1e6:.2f} MB, on a chip of {facts['cache_bytes'] / 1e6:.2f} MB{streamed}"
    lines = [
        "Edge TPU, estimated from published limits, not by its compiler",
        f"operators mapped     {facts['ops_mapped']} of {facts['ops_total']}",
        f"of the MACs          {share:.1%}{at_worst}",
        f"their weights        {sizes}",
        *_grouped(facts["findings"], {CPU, RISK, NOTE}),
    ]
    return "\n".join(lines)


def _mapped(model: TFLiteModel, limits: Mapping[int, Sequence[Limit]], stopping: set[str]) -> list[Op]:
    """Return the operators of the one piece, if a limit of a severity in `stopping` keeps an operator out."""
    kept_out = {index for index, found in limits.items() if any(limit.severity in stopping for limit in found)}
    inputs = {tensor.index for tensor in model.inputs}
    piece = itertools.takewhile(lambda op: op.index not in kept_out or _quantizes_input(op, inputs), model.ops)
    return [op for op in piece if op.index not in kept_out]


def _quantizes_input(op: Op, inputs: set[int]) -> bool:
    return op.name == "QUANTIZE" and op.inputs[0] is not None and op.inputs[0].index in inputs


def _limits(op: Op, model: TFLiteModel) -> list[Limit]:
    """Return the limits of the operator; the host can do what the last enlargement does."""
    is_last = any(tensor is result for tensor in op.outputs for result in model.outputs)
    if not (is_last and op.name == "RESIZE_BILINEAR"):
        return limits_of(op)
    return [dataclasses.replace(limit, fix=_LOW_HEAD) if limit.fix == SMALLER else limit for limit in limits_of(op)]


def _after_padding(op: Op, model: TFLiteModel) -> Iterator[Limit]:
    """Yield an addition right after a padding, which a compiler is reported to leave out."""
    sources = {tensor.index for tensor in op.inputs if tensor}
    padded = {tensor.index for other in model.ops if other.name == "PAD" for tensor in other.outputs}
    if op.name == "ADD" and sources & padded:
        yield Limit(
            RISK, "it adds right after a padding, which is reported to be left out", "pad elsewhere", f"{ISSUE}690"
        )


def _pairs(model: TFLiteModel, limits: Mapping[int, Sequence[Limit]]) -> Iterator[tuple[Op, Limit]]:
    return ((op, limit) for op in model.ops for limit in limits[op.index])


def _weight_bytes(ops: Sequence[Op]) -> int:
    weights = {tensor.index: tensor for op in ops for tensor in op.inputs if tensor and tensor.is_weight}
    return sum(tensor.nbytes for tensor in weights.values())


def _mac_share(ops: Sequence[Op], model: TFLiteModel) -> float:
    """Return the share of the multiply-accumulates; of the operators where there are none."""
    return sum(op.macs for op in ops) / model.macs if model.macs else len(ops) / len(model.ops)


def _streaming(streamed_bytes: int) -> Iterator[Finding]:
    if streamed_bytes:
        reason = f"{streamed_bytes / 1e6:.2f} MB of weights do not fit on the chip and cross the bus at every run"
        fix = "prune until the weights take about 6 MiB"
        yield Finding(NOTE, None, "", "", reason, fix, f"{CORAL}, coral.ai/docs/edgetpu/compiler")


def _grouped(findings: Sequence[Mapping[str, Any]], severities: set[str]) -> Iterator[str]:
    """Yield two lines for all findings of a severity that say the same about one kind of operator."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for severity in (CPU, RISK, NOTE):
        for each in findings:
            if each["severity"] == severity and severity in severities:
                key = tuple(each[name] for name in ("severity", "type", "reason", "fix", "source"))
                groups.setdefault(key, []).append(each["layer"])
    for (severity, kind, reason, fix, source), layers in groups.items():
        named = ", ".join(layers[:_NAMED]) + (f" and {len(layers) - _NAMED} more" if len(layers) > _NAMED else "")
        where = f"{kind} {named}: " if kind else ""
        yield f"{severity:<5}{where}{reason}\n     → {fix} ({source})"
