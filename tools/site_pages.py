"""Pages of the site that do not lie in `docs/`: the README as its start, and the API from the docstrings.

MkDocs calls these functions by their names, see `hooks` in `mkdocs.yml`.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
START = "index.md"
COPIED = ("CONTRIBUTING.md", "CHANGELOG.md", "LICENSE")
PACKAGES = ("rsseg_tf", "rsseg_tf.pruning")
"""Packages whose `__all__` is for other people's programs."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    files.append(File.generated(config, START, content=_text("README.md")))
    files.append(File.generated(config, "api.md", content=api_page()))
    for name in (*COPIED, *(path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").glob("*.yaml"))):
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, **_more: object) -> str:
    """Return a page with its links as the site has them: `docs/` is its root, and the README its start."""
    del page
    return re.sub(r"(\]\(|src=\")(?:docs/|\.\./)?(README\.md)?", _link, markdown)


def _link(found: re.Match[str]) -> str:
    return found[1] + (START if found[2] else "")


def api_page() -> str:
    """Return the page that documents every name which the packages offer."""
    parts = ["# API", "What Python programs use; examples are in [From Python](python.md) and [Pruning](pruning.md)."]
    for package in PACKAGES:
        parts.append(f"## {package}")
        parts += [f"::: {package}.{name}\n    options: {{heading_level: 3}}" for name in offered(package)]
    return "\n\n".join(parts) + "\n"


def offered(package: str) -> list[str]:
    """Return the names in the `__all__` of a package that are not packages of this page, read from its source."""
    source = ast.parse(_text(f"{package.replace('.', '/')}/__init__.py"))
    (names,) = (
        node.value
        for node in source.body
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]
    )
    return [name for name in ast.literal_eval(names) if f"{package}.{name}" not in PACKAGES]


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
