"""Write docs/cli.md from every command's --help, and docs/settings.md from the settings."""

from __future__ import annotations

from pathlib import Path

import click

from rsseg_tf.cli.main import COMMANDS, cli
from rsseg_tf.cli.settings import setting_choices
from rsseg_tf.config.listing import all_sections, as_page

DOCS = Path(__file__).parent.parent / "docs"


def cli_page() -> str:
    """Return the page: one section a command (and sub-command)."""
    context = click.Context(cli, info_name="rsseg-tf", **cli.context_settings)
    sections = [
        "# Commands\n\nMade from `--help` by `make docs`.\n",
        _section("rsseg-tf", cli, context),
    ]
    for name in COMMANDS:
        command = cli.get_command(context, name)
        if command is None:
            raise KeyError(name)
        sections += _sections(f"rsseg-tf {name}", command, context)
    return "\n".join(sections)


def _sections(title: str, command: click.Command, parent: click.Context) -> list[str]:
    sections = [_section(title, command, parent)]
    if isinstance(command, click.Group):
        for name, sub in sorted(command.commands.items()):
            sections += _sections(f"{title} {name}", sub, parent)
    return sections


def _section(title: str, command: click.Command, parent: click.Context) -> str:
    context = click.Context(
        command, info_name=title, help_option_names=parent.help_option_names, max_content_width=100, terminal_width=100
    )
    return f"## {title}\n\n```text\n{command.get_help(context)}\n```\n"


def settings_page() -> str:
    """Return the page: one section a section of the settings."""
    return as_page(all_sections(setting_choices()))


PAGES = {"cli.md": cli_page, "settings.md": settings_page}
"""Page in docs/ → what makes it."""

if __name__ == "__main__":
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
        click.echo(f"{name} written")
