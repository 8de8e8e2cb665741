"""What a report is made from: run folders, exported files and JSON results, read and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsseg_tf.config import Config, load_config
from rsseg_tf.config.reading import changed
from rsseg_tf.datasets.catalog import palette_of
from rsseg_tf.errors import ConfigError, RssegError
from rsseg_tf.report import facts as kinds
from rsseg_tf.report.facts import Facts, checked, first_fault, read_facts, read_log
from rsseg_tf.runs import CONFIG, MANIFEST, file_hash, read_manifest
from rsseg_tf.tflite.metadata import ModelMetadata, metadata_in

ABLATION = "ablation.json"
MODEL = "model.keras"


@dataclass(frozen=True)
class Problem:
    """Something about an input that a reader of the report must know.

    Attributes:
        source: which input.
        message: what is wrong with it, and what that means for the page.
        is_mismatch: whether a file is not the one that its manifest names.
    """

    source: str
    message: str
    is_mismatch: bool = False


@dataclass(frozen=True)
class Run:
    """A finished `fit` or `prune`.

    Attributes:
        path: its folder.
        config: its settings.
        manifest: what its `manifest.json` holds.
        log: a row an epoch, by column of `log.csv`.
        plan: what its `plan.json` holds, None for a dense model.
        pruning: a row a pruning loop, by column of `pruning.csv`.
    """

    path: Path
    config: Config
    manifest: Facts
    log: tuple[Mapping[str, float], ...]
    plan: Facts | None
    pruning: tuple[Mapping[str, float], ...] = ()

    @property
    def sha256(self) -> str:
        """Of its model file."""
        return str(self.manifest["outputs"].get(MODEL, ""))

    @property
    def control(self) -> str:
        """Which control of a pruning it is, `plain` or `teacher`; empty for any other run."""
        return str(self.manifest["results"].get("control") or "")

    @property
    def data_sha256(self) -> str:
        """Fingerprint of the training split, empty where unknown."""
        return str(self.manifest["inputs"].get("data:train", ""))


@dataclass(frozen=True)
class ExportedFile:
    """A `.tflite` file and what was written beside it.

    Attributes:
        path: of the file.
        sha256: of the file.
        record: what its `.tflite.json` holds, empty where there is none.
        config: the settings it was exported with, None where unknown.
    """

    path: Path
    sha256: str
    record: Facts
    config: Config | None

    @property
    def data_sha256(self) -> str:
        """Fingerprint of the training split, empty where unknown."""
        return str((self.record.get("made_from") or {}).get("data:train", ""))

    @property
    def made_from(self) -> frozenset[str]:
        """SHA-256 of everything it was made from."""
        return frozenset((self.record.get("made_from") or {}).values())

    @property
    def metadata(self) -> ModelMetadata | None:
        """What the file says about itself."""
        return metadata_in(self.path.read_bytes(), path=self.path)


@dataclass
class Sources:
    """Everything that was read, in the order given."""

    runs: list[Run] = field(default_factory=list)
    files: list[ExportedFile] = field(default_factory=list)
    evaluations: list[Facts] = field(default_factory=list)
    benchmarks: list[Facts] = field(default_factory=list)
    ranges: list[Facts] = field(default_factory=list)
    ablations: list[Facts] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_sources(paths: Sequence[Path]) -> Sources:
    """Read every input; what can only partly be used is named in `problems`.

    Args:
        paths: run folders, ablation folders, `.tflite` files, and JSON files that `evaluate`, `benchmark` or
            `ranges` wrote.

    Raises:
        ConfigError: if one does not exist, or is not something that a report can show.
    """
    found = Sources()
    for path in dict.fromkeys(_subject(path) for path in paths):
        _read(path, found)
    return found


def _subject(path: Path) -> Path:
    """Return what a path stands for: the record of a `.tflite` for that file."""
    return path.with_suffix("") if path.name.endswith(".tflite.json") else path


def class_names(config: Config) -> tuple[str, ...]:
    """Return the classes of the data set of `config`."""
    return palette_of(config.data).names


def _read(path: Path, found: Sources) -> None:
    if (path / ABLATION).is_file():
        _read_ablation(path, found)
    elif path.is_dir():
        _read_run(path, found)
    elif path.suffix == ".tflite" and path.is_file():
        found.files.append(_exported_file(path, found.problems))
    elif path.suffix == ".json" and path.is_file():
        _read_json(path, found)
    else:
        what = "cannot be reported" if path.exists() else "does not exist"
        raise ConfigError(f"`{path}` {what}", hint="give run folders, .tflite files, or JSON results")


def _read_ablation(path: Path, found: Sources) -> None:
    """Read the table of an ablation, and everything of the first seed of each backbone."""
    ablation = checked(read_facts(path / ABLATION), kinds.ABLATION, path=path / ABLATION)
    found.ablations.append(ablation)
    for backbone in ablation["backbones"]:
        numbered = [each for each in (path / backbone).glob("seed*") if each.name[4:].isdecimal()]
        seeds = sorted(numbered, key=lambda folder: int(folder.name[4:]))
        whole = [folder for folder in seeds if (folder / "evaluation.json").is_file()]
        for folder in whole[:1]:
            for part in _parts(folder):
                _read(part, found)
        if len(whole) < ablation["repeats"]:
            message = f"{len(whole)} of {ablation['repeats']} repeats of {backbone} are done: rerun to continue"
            found.problems.append(Problem(str(path), message))
    if (path / "benchmark.json").is_file():
        _read(path / "benchmark.json", found)


def _parts(folder: Path) -> Iterator[Path]:
    runs = ("dense", "control-plain", "control-teacher", "pruned")
    yield from (folder / run for run in runs if (folder / run).is_dir())
    yield from sorted(folder.glob("*.tflite"))
    yield folder / "evaluation.json"


def _read_run(path: Path, found: Sources) -> None:
    manifest = read_manifest(path)
    if manifest is None and not (path / CONFIG).is_file():
        raise ConfigError(f"`{path}` is not a run folder", hint="give the --out of a finished fit, prune or ablate")
    wrong = _wrong_manifest(path, manifest)
    if manifest is None or wrong:
        state = wrong or "the run is unfinished"
        found.problems.append(Problem(str(path), f"{state}, so it is left out; repeat its command to finish it"))
        return
    for name, expected in manifest["outputs"].items():
        found.problems.extend(_mismatch(path / name, expected, named_by=MANIFEST))
    plan = path / "plan.json"
    found.runs.append(
        Run(
            path,
            load_config(path / CONFIG, is_record=True),
            manifest,
            read_log(path / "log.csv", ("epoch", "loss", "val_miou")),
            checked(read_facts(plan), kinds.PLAN, path=plan) if plan.is_file() else None,
            read_log(path / "pruning.csv", ("loop", "macs", "params")),
        )
    )


def _wrong_manifest(path: Path, manifest: Facts | None) -> str:
    """Return what is wrong with the manifest of a folder, empty for nothing or where there is none."""
    if manifest is None:
        return "its manifest cannot be read" if (path / MANIFEST).exists() else ""
    wrong = first_fault(manifest, kinds.RUN) or first_fault(manifest["results"], kinds.RESULTS, "results")
    return f"its manifest is not as a command wrote it: {wrong}" if wrong else ""


def _exported_file(path: Path, problems: list[Problem]) -> ExportedFile:
    beside = path.with_name(f"{path.name}.json")
    if not beside.is_file():
        problems.append(
            Problem(str(path), f"there is no `{beside.name}` beside it, so what it was made from is unknown")
        )
        return ExportedFile(path, file_hash(path), {}, None)
    record = checked(read_facts(beside), kinds.EXPORTED, path=beside)
    problems.extend(_mismatch(path, record.get("sha256") or "", named_by=beside.name))
    return ExportedFile(path, file_hash(path), record, _settings(record, beside, problems))


def _settings(record: Facts, beside: Path, problems: list[Problem]) -> Config | None:
    try:
        return changed(Config(), _as_text(record["settings"]), source=f"`{beside}`", is_record=True)
    except (RssegError, KeyError) as error:
        problems.append(Problem(str(beside), f"its settings cannot be read ({error}), so no pictures are made with it"))
        return None


def _as_text(value: Any) -> Any:
    """Return JSON values as the text that YAML would hold."""
    if isinstance(value, Mapping):
        return {key: _as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _mismatch(path: Path, expected: str, *, named_by: str) -> list[Problem]:
    if not path.is_file():
        return [Problem(str(path), f"`{named_by}` lists this file, which is missing", is_mismatch=True)]
    if file_hash(path) == expected:
        return []
    message = f"its bytes are not those that `{named_by}` names: it was changed since, so figures about it may not hold"
    return [Problem(str(path), message, is_mismatch=True)]


def _read_json(path: Path, found: Sources) -> None:
    facts = read_facts(path)
    if "models" in facts and "differences" in facts:
        found.evaluations.extend(_each(facts, "models", kinds.EVALUATION, path))
    elif {"miou", "confusion", "class_names"} <= facts.keys():
        found.evaluations.append(checked(facts, kinds.EVALUATION, path=path))
    elif "results" in facts:
        found.benchmarks.extend(_each(facts, "results", kinds.BENCHMARK, path))
    elif {"tensors", "layers", "samples"} <= facts.keys():
        found.ranges.append(checked(facts, kinds.RANGES, path=path))
    else:
        raise ConfigError(
            f"`{path}` is not a result that a report can show",
            hint="give what evaluate --json, benchmark --json or ranges wrote",
        )


def _each(facts: Facts, name: str, kind: kinds.Kind, path: Path) -> list[Facts]:
    listed: list[Facts] = checked(facts[name], kinds.Several(kind), path=path, where=name)
    return listed
