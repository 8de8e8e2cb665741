"""What Vela, Arm's compiler for Ethos-U, makes of an int8 file: what maps, cycles by its estimate, memory.

The figures are Vela's own words for its default system of each accelerator; no device is needed or asked.
"""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rsseg_tf.errors import CheckFailedError, MissingExtraError, ModelError
from rsseg_tf.text import listed, text_table
from rsseg_tf.tflite.flatbuffer import parse_model, read_content
from rsseg_tf.tflite.graph import TFLiteModel
from rsseg_tf.tflite.layer_names import layers_by_op

USUAL: Mapping[str, str] = {
    "ethos-u55": "ethos-u55-256",
    "ethos-u65": "ethos-u65-512",
    "ethos-u85": "ethos-u85-256",
}
"""Name in `export.target` → the accelerator that is asked about."""

_TIMEOUT_S = 1800
_SHOWN = 10


@dataclass(frozen=True)
class MappedLayer:
    """What the operators of one layer take.

    Attributes:
        layer: the Keras layer, else the name of what is computed.
        cycles: by Vela's estimate.
        share: of all cycles.
    """

    layer: str
    cycles: int
    share: float


@dataclass(frozen=True)
class VelaReport:
    """A file on one accelerator.

    Attributes:
        accelerator: a name in `rsseg_tf.number_formats.ACCELERATORS`.
        system: Vela's name of the system around it, and of how its memory is used.
        cycles: of one run.
        milliseconds: of one run at the system's clock.
        sram_bytes: that activations need.
        on_cpu: operators that are left to the processor, as `TYPE of layer`.
        layers: the costliest first.
    """

    accelerator: str
    system: str
    cycles: int
    milliseconds: float
    sram_bytes: int
    on_cpu: tuple[str, ...]
    layers: tuple[MappedLayer, ...]

    def record(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def require_installed() -> None:
    """Check that Vela is there.

    Raises:
        MissingExtraError: if it is not.
    """
    if importlib.util.find_spec("ethosu") is None:
        raise MissingExtraError("ethos-u-vela", extra="ethosu")


def estimate(path: Path, accelerator: str, *, layer_names: Sequence[str] = (), name: str | None = None) -> VelaReport:
    """Return what Vela says of an int8 file.

    Args:
        path: the `.tflite` file.
        accelerator: a name in `rsseg_tf.number_formats.ACCELERATORS`.
        layer_names: of the Keras model, to name the operators by.
        name: what errors call the file, where not by its path.

    Raises:
        MissingExtraError: where Vela is not installed.
        ModelError: if it cannot compile the file.
    """
    require_installed()
    shown = name or str(path)
    model = parse_model(read_content(path), name=shown)
    with tempfile.TemporaryDirectory() as scratch:
        _compile(path, accelerator, Path(scratch), name=shown)
        (summary,) = _rows(scratch, "*_summary_*.csv")
        operators = _rows(scratch, "*_per-layer.csv")
    layers = _layer_of_tensor(model, layer_names)
    total = float(summary["cycles_total"])
    return VelaReport(
        accelerator=accelerator,
        system=f"{summary['system_config']}, {summary['memory_mode']}",
        cycles=round(total),
        milliseconds=1e3 * float(summary["inference_time"]),
        sram_bytes=round(1024 * float(summary["sram_memory_used"])),
        on_cpu=tuple(
            f"{row['Original Operator']} of {layers.get(row['Name'], row['Name'])}"
            for row in operators
            if row["Target"] == "CPU"
        ),
        layers=_by_layer(operators, layers, total=total),
    )


def require_on_npu(report: VelaReport) -> None:
    """Check that no operator is left to the processor.

    Raises:
        CheckFailedError: if one is; the message names them.
    """
    if report.on_cpu:
        named = listed(report.on_cpu, most=_SHOWN)
        raise CheckFailedError(
            f"Vela leaves {len(report.on_cpu)} operators to the CPU of {report.accelerator}: {named}",
            hint="choose another head or architecture, or export.target=cpu to write the file as it is",
        )


def format_vela(record: Mapping[str, Any]) -> str:
    """Return what `VelaReport.record` holds as text: the whole, then the costliest layers."""
    on_cpu = ", ".join(record["on_cpu"]) or "none"
    head = (
        f"{record['accelerator']} ({record['system']}), by Vela's estimate: {record['cycles'] / 1e6:.1f} M cycles, "
        f"{record['milliseconds']:.1f} ms, {record['sram_bytes'] / 1e6:.2f} MB of SRAM\noperators on the CPU: {on_cpu}"
    )
    rows = [(each["layer"], f"{each['cycles']:,}", f"{100 * each['share']:.1f}") for each in record["layers"][:_SHOWN]]
    return f"{head}\n\n{text_table([('layer', 'cycles', '%'), *rows], align='<')}"


def _compile(path: Path, accelerator: str, scratch: Path, *, name: str) -> None:
    words = [sys.executable, "-P", "-m", "ethosu.vela", str(path), "--accelerator-config", accelerator]
    try:
        done = subprocess.run(
            [*words, "--output-dir", str(scratch), "--verbose-performance"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"Vela did not compile `{name}` within {_TIMEOUT_S} s") from error
    if done.returncode or not list(scratch.glob("*_summary_*.csv")):
        lines = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
        raise ModelError(
            f"Vela cannot compile `{name}`: {lines[-1].strip() if lines else f'exit code {done.returncode}'}",
            hint="give an int8 file, such as export-tflite writes",
        )


def _rows(folder: str, pattern: str) -> list[dict[str, str]]:
    with next(Path(folder).glob(pattern)).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _layer_of_tensor(model: TFLiteModel, layer_names: Sequence[str]) -> dict[str, str]:
    names = zip(model.ops, layers_by_op(model, layer_names), strict=True)
    return {tensor.name: layer for op, layer in names for tensor in op.outputs}


def _by_layer(
    operators: Sequence[Mapping[str, str]], layers: Mapping[str, str], *, total: float
) -> tuple[MappedLayer, ...]:
    cycles: dict[str, float] = {}
    for row in operators:
        layer = layers.get(row["Name"], row["Name"])
        cycles[layer] = cycles.get(layer, 0.0) + float(row["Op Cycles"])
    found = [MappedLayer(layer, round(each), each / total if total else 0.0) for layer, each in cycles.items()]
    return tuple(sorted(found, key=lambda each: -each.cycles))
