"""`rsseg-tf demo`."""

from __future__ import annotations

from pathlib import Path

import click

from rsseg_tf.cli.shared import options


@click.command(name="demo")
@options.out_option("Folder of the demo.", required=False, default=Path("demo"), show_default=True)
@click.option("--overwrite", is_flag=True, help="Replace a finished demo in the folder.")
@options.json_option
def command(out: Path, overwrite: bool, as_json: bool) -> None:
    """Show the whole job on generated scenes: fit, prune, retrain, int8, score, time.

    Prints one table of four models and writes a page of overlays; takes minutes on two cores.
    The same command resumes after a kill.
    """
    options.quiet_tensorflow()
    from rsseg_tf.steps.demo import demo, format_demo

    result = demo(out, overwrite=overwrite)
    options.print_result(result, format_demo(result), as_json=as_json)
