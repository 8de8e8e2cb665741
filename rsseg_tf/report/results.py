"""The tables of the paper's results section, of our models: Tables II to V, and what the paper does not show."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from rsseg_tf.report.differences import control_table, difference_tables
from rsseg_tf.report.facts import Facts
from rsseg_tf.report.models import ModelRow, base_of
from rsseg_tf.report.paper import CLASS_IOU, paper_row
from rsseg_tf.report.tables import Column, Part, Spread, Table, Value

_BY_CLASS = (
    ("boundary_f1_per_class", "Boundary F1 by class, %", ""),
    ("precision", "Precision by class, %", ""),
    ("recall", "Recall by class, %", ""),
)
"""Score besides the IoU, as `Evaluation` names it, the title of its table, and a remark under it."""

_PAPER_HEADS = ("paper acc. %", "paper mIoU %", "paper mBF %", "paper MB", "paper params M")


def result_tables(rows: Sequence[ModelRow], ablations: Iterable[Facts], *, data_name: str) -> list[Table]:
    """Return every table that the models and ablations have figures for."""
    tables = [
        *(
            table
            for place, facts in enumerate(ablations, start=1)
            for table in (ablation_table(facts, place), control_table(facts, place))
        ),
        summary_table(rows, data_name=data_name),
        compression_table(rows),
        *difference_tables(rows),
        *class_tables(rows, data_name=data_name),
    ]
    return [table for table in tables if table.rows]


def summary_table(rows: Sequence[ModelRow], *, data_name: str) -> Table:
    """Return Table II: what pruning (P) and quantization (Q) cost and save, beside the paper's figures."""
    printed = [_paper_figures(row, data_name) for row in rows]
    with_paper = any(figure is not None for figures in printed for figure in figures)
    columns = (
        *(Column("model"), Column("backbone"), Column("P"), Column("Q"), Column("accuracy %", best="max")),
        *(Column("mIoU %", best="max"), Column("mBF %", best="max"), Column("params M", best="min")),
        *(Column("memory MB", best="min"), Column("file MB", best="min"), Column("GMACs", best="min")),
        Column("latency ms", best="min"),
        *(Column(head) for head in _PAPER_HEADS if with_paper),
    )
    values = [(*_summary(row), *(figures if with_paper else ())) for row, figures in zip(rows, printed, strict=True)]
    note = (
        "P: pruned. Q: 8 bits. mBF: boundary F1, averaged over images and classes. Memory is the paper's estimate, 4 "
        "bytes a parameter and 1 in 8 bits. Latency: median of one run in the interpreter; other work on the machine "
        "meanwhile shows in it."
    )
    return Table("summary", "Accuracy and size (the paper's Table II)", columns, tuple(values), note)


def _summary(row: ModelRow) -> tuple[Value, ...]:
    scores = [row.score(key) for key in ("accuracy", "miou", "boundary_f1")]
    sizes = (_scaled(row.params, 1e6), _scaled(row.memory_bytes, 1e6), row.file_bytes / 1e6, _scaled(row.macs, 1e9))
    return (row.name, row.backbone, row.is_pruned, row.is_quantized, *scores, *sizes, row.latency_ms)


def _paper_figures(row: ModelRow, data_name: str) -> tuple[float | None, ...]:
    known = row.backbone is not None and row.is_pruned is not None and not row.control
    printed = known and paper_row(
        data_name, backbone=str(row.backbone), pruned=bool(row.is_pruned), quantized=row.is_quantized
    )
    if not printed:
        return (None,) * len(_PAPER_HEADS)
    return printed.accuracy, printed.miou, printed.boundary_f1, printed.memory_mb, printed.params_m


def compression_table(rows: Sequence[ModelRow]) -> Table:
    """Return Table III's question, within one method: what is left of the dense model, and what it costs."""
    values: list[tuple[Value, ...]] = []
    for _, group in groupby(rows, key=lambda row: row.backbone):
        known = list(group)
        first = base_of(known[0], known)
        for row in (row for row in known if row is not first):
            shares = [_ratio(getattr(row, key), getattr(first, key)) for key in ("params", "macs", "file_bytes")]
            faster = _ratio(first.latency_ms, row.latency_ms, scale=1)
            lost = [_less(row.score(key), first.score(key)) for key in ("miou", "boundary_f1")]
            values.append((row.name, first.name, *shares, faster, *lost))
    columns = (
        *(Column("model"), Column("against"), Column("params left %", 1), Column("MACs left %", 1)),
        *(Column("file left %", 1), Column("times faster"), Column("Δ mIoU points"), Column("Δ mBF points")),
    )
    return Table("compression", "What is left, and what it costs (the paper's Table III)", columns, tuple(values))


def class_tables(rows: Sequence[ModelRow], *, data_name: str) -> list[Table]:
    """Return Tables IV and V, one row per class, one column per model: IoU with the paper's, then the rest by class."""
    scored = [row for row in rows if row.scores]
    if not scored or scored[0].scores is None:
        return []
    names = list(scored[0].scores["class_names"])
    absent = sorted({name for row in scored if row.scores for name in row.scores.get("absent") or ()})
    note = f"In neither truth nor prediction, and in no mean: {', '.join(absent)}." if absent else ""
    printed = CLASS_IOU.get(data_name, {})
    tables = [_class_table("iou", "IoU by class, % (the paper's Tables IV and V)", names, scored, note, printed)]
    for key, title, remark in _BY_CLASS:
        if any(row.scores and row.scores.get(key) for row in scored):
            tables.append(_class_table(key, title, names, scored, remark, {}))
    if any(row.scores and row.scores.get("small_object_recall") for row in scored):
        tables.append(_objects_table(names, scored))
    return tables


def _objects_table(names: Sequence[str], rows: Sequence[ModelRow]) -> Table:
    """Return how many of the small objects each model found, in percent alone where they were not counted."""
    values = [(name, *(_objects_found(row.scores or {}, name) for row in rows)) for name in names]
    columns = (Column("class"), *(Column(row.name) for row in rows))
    note = "A small object is a connected patch of few pixels. With few of them, one more or less is many percent."
    return Table("small_object_recall", "Small objects found", columns, tuple(values), note)


def _objects_found(scores: Facts, name: str) -> Part | float | None:
    total, found = (scores.get(key) or {} for key in ("small_objects", "small_objects_found"))
    if name in total and name in found:
        return Part(int(found[name]), int(total[name]))
    return _scaled((scores.get("small_object_recall") or {}).get(name), 0.01)


def _class_table(
    key: str,
    title: str,
    names: Sequence[str],
    rows: Sequence[ModelRow],
    note: str,
    printed: Mapping[str, Mapping[str, float]],
) -> Table:
    columns = (Column("class"), *(Column(row.name) for row in rows), *(Column(name) for name in printed))
    values: list[tuple[Value, ...]] = [
        (
            name,
            *(_scaled(((row.scores or {}).get(key) or {}).get(name), 0.01) for row in rows),
            *(column.get(name) for column in printed.values()),
        )
        for name in names
    ]
    return Table(key, title, columns, tuple(values), note)


def ablation_table(ablation: Facts, place: int = 1) -> Table:
    """Return Table II over repeats: mean ± sample standard deviation over the seeds, beside the paper's mIoU.

    Where there are controls they stand between the dense and the pruned networks, in a column of their own.
    """
    groups: dict[tuple[str, bool, bool, str], list[Facts]] = {}
    for cell in ablation["cells"]:
        key = (cell["backbone"], cell["quantized"], cell["pruned"], cell.get("control") or "")
        groups.setdefault(key, []).append(cell)
    values: list[tuple[Value, ...]] = []
    for (backbone, quantized, pruned, control), cells in sorted(groups.items()):
        scores = [_spread(cells, key, 0.01) for key in ("accuracy", "miou", "boundary_f1")]
        sizes = [_spread(cells, *each) for each in (("params", 1e6), ("file_bytes", 1e6), ("macs", 1e9))]
        printed = paper_row(ablation["data"], backbone=backbone, pruned=pruned, quantized=quantized)
        paper = (printed.accuracy, printed.miou, printed.boundary_f1) if printed and not control else (None,) * 3
        values.append((backbone, pruned, quantized, control, len(cells), *scores, *sizes, *paper))
    columns = (
        *(Column("backbone"), Column("P"), Column("Q"), Column("control"), Column("seeds")),
        *(Column("accuracy %", best="max"), Column("mIoU %", best="max"), Column("mBF %", best="max")),
        *(Column("params M"), Column("file MB"), Column("GMACs"), *map(Column, _PAPER_HEADS[:3])),
    )
    with_paper = any(value is not None for row in values for value in row[-3:])
    with_control = any(row[3] for row in values)
    hidden = {*(() if with_control else (3,)), *(() if with_paper else range(len(columns) - 3, len(columns)))}
    shown = [number for number in range(len(columns)) if number not in hidden]
    rows = tuple(tuple(row[number] for number in shown) for row in values)
    note = f"Mean ± standard deviation over the seeds, on the {ablation['split']} split of {ablation['data']}."
    note += "" if with_control else " The pruned networks were trained for longer than the dense ones: --control tells."
    name = "ablation" if place == 1 else f"ablation_{place}"
    title = "Ablation: backbone × pruning × quantization (the paper's Table II)"
    return Table(name, title, tuple(columns[number] for number in shown), rows, note)


def _spread(cells: Sequence[Facts], key: str, scale: float) -> Spread | None:
    numbers = [float(cell[key]) / scale for cell in cells if cell.get(key) is not None]
    if not numbers:
        return None
    deviation = statistics.stdev(numbers) if len(numbers) > 1 else None
    return Spread(statistics.fmean(numbers), deviation, len(numbers))


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _ratio(part: float | None, whole: float | None, *, scale: float = 100) -> float | None:
    return scale * part / whole if part is not None and whole else None


def _less(value: float | None, base: float | None) -> float | None:
    return None if value is None or base is None else value - base
