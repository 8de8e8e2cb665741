"""The job of `rsseg-tf report`: results in, one HTML page, Markdown, CSV and figures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rsseg_tf.benchmark.latency import benchmark
from rsseg_tf.config import Config
from rsseg_tf.config.reading import overridden
from rsseg_tf.datasets.catalog import open_dataset, palette_of
from rsseg_tf.datasets.palette import format_color
from rsseg_tf.errors import ConfigError, DataError, ModelError
from rsseg_tf.evaluation.images import Seen
from rsseg_tf.evaluation.scoring import evaluate_all
from rsseg_tf.inference.predict import open_predictor, with_usual_overlap
from rsseg_tf.progress import Progress
from rsseg_tf.replaced import replaced, require_replaceable
from rsseg_tf.report.headline import headline
from rsseg_tf.report.models import model_rows, of_one_data_set, score_problems
from rsseg_tf.report.page import Page, Picture, check_jinja, write_page
from rsseg_tf.report.pictures.figures import Drawing, drawings, svg_url
from rsseg_tf.report.pictures.gallery import Gallery, place_facts
from rsseg_tf.report.pictures.heatmap import check_matplotlib, write_heatmap
from rsseg_tf.report.provenance import provenance
from rsseg_tf.report.results import result_tables
from rsseg_tf.report.sources import Problem, Sources, read_sources
from rsseg_tf.runs import write_text

PAGE = "index.html"
MARKDOWN = "report.md"
RECORD = "report.json"
_FIGURES = "figures"
_ENDINGS = (".png", ".svg")


@dataclass(frozen=True)
class Wanted:
    """What a report is to do besides reading.

    Attributes:
        split: which images the `.tflite` files are scored and shown on.
        places: pictures of where models disagree; 0 for none, and then nothing is predicted.
        threads: CPU threads.
        measure_latency: time the `.tflite` files, in turns.
        overrides: `key=value` words over the settings that the data are opened with.
    """

    split: str = "test"
    places: int = 6
    threads: int = 1
    measure_latency: bool = False
    overrides: tuple[str, ...] = ()


def report(paths: Sequence[Path], out: Path, wanted: Wanted, *, progress: Progress | None = None) -> Mapping[str, Any]:
    """Read runs, files and results, and write `index.html`, `report.md`, tables as CSV and figures into a folder.

    What an earlier report wrote there is replaced as a whole; `report.json` says what that was.

    Args:
        paths: see `rsseg_tf.report.sources.read_sources`.
        out: the folder.
        wanted: what to score, show and time.
        progress: called after every image.

    Returns:
        `page`, `markdown`, `files` (written), `models` (names) and `problems` (`source`, `message`, `is_mismatch`).

    Raises:
        MissingExtraError: if matplotlib or Jinja2 is not installed.
        ConfigError: if an input does not exist, or is not something that a report can show, or a file is in the way
            that no earlier report wrote.
    """
    check_matplotlib()
    check_jinja()
    require_replaceable(out, RECORD, (PAGE, MARKDOWN))
    sources, config = of_one_data_set(read_sources(paths))
    if config is not None:
        config = overridden(config, wanted.overrides)
    if wanted.measure_latency and sources.files:
        measured = benchmark([file.path for file in sources.files], threads=[wanted.threads])
        sources.benchmarks[:0] = [result.to_dict() for result in measured]
    shown = _shown(sources, config, wanted, progress) if config and wanted.places else _NOTHING
    sources.evaluations.extend(shown.evaluations)
    rows = model_rows(sources)
    sources.problems.extend(score_problems(sources, rows))
    data_name = config.data.name if config else ""
    tables = result_tables(rows, sources.ablations, data_name=data_name)
    names = {row.path: row.name for row in rows}
    drawn, heatmaps = drawings(rows, sources.runs), {f"ranges_{at}": each for at, each in enumerate(sources.ranges, 1)}
    figures = [f"{_FIGURES}/{name}{end}" for name in (*(each.name for each in drawn), *heatmaps) for end in _ENDINGS]
    result = {
        "page": str(out / PAGE),
        "markdown": str(out / MARKDOWN),
        "files": [PAGE, MARKDOWN, *(f"tables/{table.name}.csv" for table in tables), *figures],
        "models": [row.name for row in rows],
        "problems": [asdict(problem) for problem in sources.problems],
    }
    with replaced(out, RECORD, result):
        page = Page(
            title=_data_title(config),
            summary=headline(rows),
            problems=sources.problems,
            tables=tables,
            pictures=[*_charts(drawn, out / _FIGURES), *_heatmaps(heatmaps, out / _FIGURES)],
            classes=_legend(config) if shown.gallery else (),
            names=[names[path] for path in shown.paths],
            places=_places(shown, config, [names[path] for path in shown.paths]),
            provenance=provenance(sources, rows),
        )
        write_page(out / PAGE, page)
        write_text(out / MARKDOWN, _markdown(page))
        for table in tables:
            write_text(out / "tables" / f"{table.name}.csv", table.to_csv())
    return result


@dataclass(frozen=True)
class _Shown:
    """What was predicted for the report."""

    paths: tuple[Path, ...] = ()
    evaluations: tuple[Mapping[str, Any], ...] = ()
    gallery: Gallery | None = None


_NOTHING = _Shown()


def _shown(sources: Sources, config: Config, wanted: Wanted, progress: Progress | None) -> _Shown:
    """Return the `.tflite` files scored on the same images, and where they disagree; a problem if that fails."""
    order = [row.path for row in model_rows(sources)]
    files = sorted(sources.files, key=lambda file: order.index(file.path))
    if not files:
        message = "there is no .tflite file among the inputs, so there are no pictures; export-tflite makes one"
        sources.problems.append(Problem("pictures", message))
        return _NOTHING
    gallery = Gallery(wanted.places)

    def watch(seen: Seen) -> None:
        gallery.watch(seen.name, seen.image, seen.mask, seen.predictions)
        if progress:
            progress(seen.done, seen.total)

    try:
        dataset = open_dataset(config.data, seed=config.seed)
        opened = [open_predictor(file.path, threads=wanted.threads, palette=dataset.palette) for file in files]
        predictors = [with_usual_overlap(each, config.evaluate.overlap) for each in opened]
        scored = evaluate_all(predictors, dataset, wanted.split, settings=config.evaluate, watch=watch)
    except (DataError, ModelError, ConfigError) as error:
        hint = f" ({error.hint})" if error.hint else ""
        sources.problems.append(Problem("pictures", f"nothing could be predicted: {error.message}{hint}"))
        return _NOTHING
    facts = [{"sha256": file.sha256, **each.to_dict()} for file, each in zip(files, scored, strict=True)]
    return _Shown(tuple(file.path for file in files), tuple(facts), gallery)


def _data_title(config: Config | None) -> str:
    """Return what the data are called: a folder by its name, wherever it is given from."""
    if config is None:
        return "Models"
    return Path(config.data.root).resolve().name if config.data.name == "folder" else config.data.name


def _charts(drawn: Sequence[Drawing], folder: Path) -> list[Picture]:
    return [Picture(each.name, each.title, each.description, each.save(folder)) for each in drawn]


def _heatmaps(results: Mapping[str, Mapping[str, Any]], folder: Path) -> list[Picture]:
    pictures = []
    for name, ranges in results.items():
        write_heatmap(ranges, [folder / f"{name}{ending}" for ending in _ENDINGS])
        title = f"Where the most significant bits lie (the paper's Figure 1): {ranges['model']}"
        description = f"One row per layer of {ranges['model']}, one column per bit position"
        pictures.append(Picture(name, title, description, svg_url(folder / f"{name}.svg")))
    return pictures


def _legend(config: Config | None) -> list[tuple[str, str]]:
    if config is None:
        return []
    palette = palette_of(config.data)
    return [(name, format_color(color).lower()) for name, color in zip(palette.names, palette.colors, strict=True)]


def _places(shown: _Shown, config: Config | None, names: Sequence[str]) -> list[Mapping[str, Any]]:
    if shown.gallery is None or config is None:
        return []
    palette = palette_of(config.data)
    return [place_facts(place, palette, names) for place in shown.gallery.places]


def _markdown(page: Page) -> str:
    problems = [f"- **problem** `{problem.source}`: {problem.message}" for problem in page.problems]
    pictures = [f"![{picture.title}]({_FIGURES}/{picture.name}.png)\n" for picture in page.pictures]
    parts = [
        f"# {page.title}: segmentation report\n",
        *page.summary,
        "",
        *problems,
        "",
        *(table.to_markdown() for table in page.tables),
        *pictures,
    ]
    return "\n".join(parts)
