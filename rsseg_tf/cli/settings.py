"""`rsseg-tf settings`."""

from __future__ import annotations

import click

from rsseg_tf.cli.shared import options
from rsseg_tf.config import listing


def setting_choices() -> listing.Choices:
    """Return the values of settings that are the keys of a table above the configuration."""
    from rsseg_tf.datasets.catalog import READERS

    return {"data.name": tuple(READERS)}


@click.command(name="settings")
@click.argument("section", default="")
@options.json_option
def command(section: str, as_json: bool) -> None:
    """List every setting: what it may be, its default, what it does.

    SECTION is a section of settings, such as fit or prune.retrain, or a single setting.

    For example: rsseg-tf settings fit.augment
    """
    choices = setting_choices()
    sections = listing.chosen_sections(section, choices) if section else listing.all_sections(choices)
    options.print_result(listing.as_json(sections), listing.as_text(sections), as_json=as_json)
