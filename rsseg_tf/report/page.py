"""The report's page: one HTML file that needs nothing else."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsseg_tf.errors import MissingExtraError
from rsseg_tf.report.sources import Problem
from rsseg_tf.report.tables import Table
from rsseg_tf.runs import write_text


@dataclass(frozen=True)
class Picture:
    """A chart on the page.

    Attributes:
        name: its anchor.
        title: its caption.
        description: what it shows, for those who cannot see it.
        url: a data URL.
    """

    name: str
    title: str
    description: str
    url: str


@dataclass(frozen=True)
class Page:
    """Everything that a page shows.

    Attributes:
        title: of the page: what the data are called.
        summary: sentences with the most important facts.
        problems: what is wrong with the inputs.
        tables: in order.
        pictures: the charts, in order.
        classes: name and `#rrggbb` of each class.
        names: of the models that `places` compares.
        places: see `rsseg_tf.report.pictures.gallery.place_facts`.
        provenance: input → facts about where it comes from.

    What most readers come for is open: the chart of accuracy against cost, the tables of whole models, the places.
    """

    title: str
    summary: Sequence[str]
    problems: Sequence[Problem]
    tables: Sequence[Table]
    pictures: Sequence[Picture]
    classes: Sequence[tuple[str, str]] = ()
    names: Sequence[str] = ()
    places: Sequence[Mapping[str, Any]] = ()
    provenance: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def shown(self) -> list[Picture | Table]:
        """Charts and tables that are seen at once."""
        parts: list[Picture | Table] = [*self.pictures, *self.tables]
        return [part for part in parts if _is_shown(part)]

    @property
    def folded(self) -> list[Picture | Table]:
        """Tables and charts that are seen when their title is clicked."""
        parts: list[Picture | Table] = [*self.tables, *self.pictures]
        return [part for part in parts if not _is_shown(part)]


def _is_shown(part: Picture | Table) -> bool:
    return part.name in ("tradeoff", "summary") or part.name.startswith(("ablation", "control"))


def check_jinja() -> None:
    """Check that pages can be made.

    Raises:
        MissingExtraError: if Jinja2 is not installed.
    """
    if importlib.util.find_spec("jinja2") is None:
        raise MissingExtraError("jinja2", extra="report")


def write_page(path: Path, page: Page) -> None:
    """Write a page as one HTML file, with its style and script inside.

    Raises:
        MissingExtraError: if Jinja2 is not installed.
    """
    check_jinja()
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("rsseg_tf.report", "page_files"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    write_text(path, environment.get_template("report.html").render(page=page) + "\n")
