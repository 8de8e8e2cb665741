"""One row per model: what is known about it from its run, its file, its evaluation and its benchmark, put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsseg_tf.config import Config
from rsseg_tf.number_formats import FORMATS, NumberFormat
from rsseg_tf.report.facts import Facts
from rsseg_tf.report.sources import MODEL, ExportedFile, Problem, Run, Sources, class_names
from rsseg_tf.tflite.flatbuffer import read_model


@dataclass(frozen=True)
class ModelRow:
    """A model of the report; None for what is unknown.

    Attributes:
        name: short, and of no other model of the report.
        run: folder of the run that it was made by, None where that is not among the inputs.
        path: its file.
        sha256: of its file.
        backbone: such as `resnet18`, or `bisenet-resnet18` where the architecture is not the usual one.
        is_pruned: whether channels were removed.
        control: `plain` or `teacher` of a dense model that was trained on as a control, empty for any other.
        number_format: such as `float32` or `int8`.
        params: of the Keras model.
        macs: multiply-accumulates of one run.
        file_bytes: size of the file.
        latency_ms: median of one run.
        scores: what `evaluate --json` says of it.
    """

    name: str
    run: Path | None
    path: Path
    sha256: str
    backbone: str | None
    is_pruned: bool | None
    control: str
    number_format: str
    params: int | None
    macs: int | None
    file_bytes: int
    latency_ms: float | None
    scores: Facts | None

    @property
    def is_quantized(self) -> bool:
        """Whether its weights have 8 bits."""
        return self._format.is_quantized

    @property
    def memory_bytes(self) -> int | None:
        """The paper's estimate: the bytes of a weight for each parameter, 4 where the format is not known."""
        if self.params is None:
            return None
        return self.params * self._format.weight_bytes

    @property
    def _format(self) -> NumberFormat:
        return FORMATS[self.number_format if self.number_format in FORMATS else "float32"]

    def score(self, key: str) -> float | None:
        """Return a score in percent."""
        value = self.scores.get(key) if self.scores else None
        return None if value is None else 100 * float(value)


def of_one_data_set(sources: Sources) -> tuple[Sources, Config | None]:
    """Return the inputs that are of the same data and classes as the first, and its settings.

    The others are named in the problems of what comes back: figures on other pixels are not comparable.
    """
    first = next(iter(_described(sources)), None)
    if first is None:
        return sources, None
    kept = Sources(benchmarks=sources.benchmarks, ranges=sources.ranges, ablations=sources.ablations)
    kept.problems.extend(sources.problems)
    kept.runs.extend(run for run in sources.runs if _belongs(run, first, kept.problems))
    kept.files.extend(file for file in sources.files if _belongs(file, first, kept.problems))
    names = class_names(first[1])
    for facts in sources.evaluations:
        if tuple(facts["class_names"]) == names:
            kept.evaluations.append(facts)
        else:
            kept.problems.append(_stranger(str(facts.get("model", "an evaluation")), facts["class_names"], first))
    return kept, first[1]


def model_rows(sources: Sources) -> list[ModelRow]:
    """Return the models of a report, each backbone dense, pruned, int8 and both, as in the paper's Table II."""
    scores = {str(facts.get("sha256")): facts for facts in sources.evaluations}
    latencies = {str(facts["sha256"]): float(facts["p50_ms"]) for facts in reversed(sources.benchmarks)}
    runs = {run.sha256: run for run in sources.runs}
    kept = [run for run in sources.runs if run.sha256 in scores and (run.path / MODEL).is_file()]
    names = _short_names([*(file.path for file in sources.files), *(run.path for run in kept)])
    rows = [_row_of_file(file, runs, names[file.path], scores, latencies) for file in sources.files]
    rows += [_row_of_run(run, names[run.path], scores) for run in kept]
    return sorted(rows, key=lambda row: (row.backbone or "", row.is_quantized, bool(row.is_pruned), row.control))


def base_of(row: ModelRow, rows: Sequence[ModelRow]) -> ModelRow:
    """Return the one of `rows` that `row` is judged against.

    That is the control of its backbone, with a teacher if there is one: a dense model trained as long as the pruned
    one. Without a control it is the first of the rows.
    """
    controls = [each for each in rows if each.control and each.backbone == row.backbone]
    return next((each for each in controls if each.control == "teacher"), controls[0] if controls else rows[0])


def score_problems(sources: Sources, rows: Sequence[ModelRow]) -> list[Problem]:
    """Return what keeps scores from being shown, or from being compared."""
    known = {row.sha256 for row in rows}
    problems = [
        Problem(str(facts.get("model", "an evaluation")), "it scores a model that is not among the inputs")
        for facts in sources.evaluations
        if facts.get("sha256") not in known
    ]
    problems += [
        Problem(str(facts.get("model", "a benchmark")), "it times a model that is not among the inputs")
        for facts in sources.benchmarks
        if facts.get("sha256") not in known
    ]
    scored = [(row, row.scores) for row in rows if row.scores]
    for row, scores in scored[1:]:
        if scored_pixels(scores) != scored_pixels(scored[0][1]):
            message = f"it was scored on other pixels than {scored[0][0].name}: their scores are not comparable"
            problems.append(Problem(row.name, message))
    return problems


def scored_pixels(scores: Facts) -> tuple[Any, ...]:
    """Return what identifies the pixels that were scored: the images, their size, and the pixels of each true class."""
    labels = tuple(sum(row) for row in scores.get("confusion") or ())
    return scores.get("data_sha256"), scores.get("pixels"), tuple(scores.get("image_names") or ()), labels


def _row_of_file(
    file: ExportedFile, runs: dict[str, Run], name: str, scores: dict[str, Facts], latencies: dict[str, float]
) -> ModelRow:
    run = next((runs[sha256] for sha256 in sorted(file.made_from) if sha256 in runs), None)
    config = run.config if run else file.config
    return ModelRow(
        name=name,
        run=run.path if run else None,
        path=file.path,
        sha256=file.sha256,
        backbone=config.model.network if config else None,
        is_pruned=run.plan is not None if run else None,
        control=run.control if run else "",
        number_format=_number_format(file),
        params=run.manifest["results"].get("params") if run else None,
        macs=read_model(file.path).macs,
        file_bytes=file.path.stat().st_size,
        latency_ms=latencies.get(file.sha256),
        scores=scores.get(file.sha256),
    )


def _number_format(file: ExportedFile) -> str:
    """Return the format that the record beside the file names, else that of the file itself."""
    noted = file.metadata.notes if file.metadata else {}
    return str(file.record.get("type") or noted.get("type") or "unknown")


def _row_of_run(run: Run, name: str, scores: dict[str, Facts]) -> ModelRow:
    return ModelRow(
        name=name,
        run=run.path,
        path=run.path / MODEL,
        sha256=run.sha256,
        backbone=run.config.model.network,
        is_pruned=run.plan is not None,
        control=run.control,
        number_format="float32",
        params=run.manifest["results"].get("params"),
        macs=run.manifest["results"].get("macs"),
        file_bytes=(run.path / MODEL).stat().st_size,
        latency_ms=None,
        scores=scores[run.sha256],
    )


def _short_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Return the stem of each path, with as many folders before it as tell it from the others."""
    names = {path: path.stem for path in paths}
    for depth in range(1, 8):
        times = Counter(names.values())
        for path, name in names.items():
            if times[name] > 1:
                names[path] = "/".join([*path.parent.parts[-depth:], path.stem])
    return names


def _described(sources: Sources) -> Iterable[tuple[str, Config, str]]:
    """Yield the name, settings and data fingerprint of every input that has them."""
    yield from ((str(run.path), run.config, run.data_sha256) for run in sources.runs)
    yield from ((str(file.path), file.config, file.data_sha256) for file in sources.files if file.config)


def _belongs(source: Run | ExportedFile, first: tuple[str, Config, str], problems: list[Problem]) -> bool:
    names = _names_of(source)
    if names is not None and names != class_names(first[1]):
        problems.append(_stranger(str(source.path), names, first))
        return False
    if source.data_sha256 and first[2] and source.data_sha256 != first[2]:
        message = f"it was trained on other data than `{first[0]}`, so it is left out: report it on its own"
        problems.append(Problem(str(source.path), message))
        return False
    return True


def _names_of(source: Run | ExportedFile) -> tuple[str, ...] | None:
    if source.config is not None:
        return class_names(source.config)
    metadata = source.metadata if isinstance(source, ExportedFile) else None
    return metadata.class_names if metadata else None


def _stranger(source: str, names: Iterable[str], first: tuple[str, Config, str]) -> Problem:
    ours = ", ".join(class_names(first[1]))
    return Problem(
        source,
        f"its classes are {', '.join(names)}, those of `{first[0]}` {ours}: it is left out, report it on its own",
    )
