"""`rsseg-tf report`."""

from __future__ import annotations

from pathlib import Path

import click

from rsseg_tf.cli.shared import options
from rsseg_tf.errors import CheckFailedError
from rsseg_tf.progress import progress_bar


@click.command(name="report")
@options.paths_argument("RUN")
@options.out_option("Folder of the page, tables and figures.")
@options.split_option("Split to score and show .tflite files on.")
@click.option(
    "--places",
    type=click.IntRange(min=0, max=1000),
    default=6,
    show_default=True,
    help="Number of pictures; 0 predicts nothing.",
)
@options.threads_option
@click.option("--benchmark", "measure", is_flag=True, help="Measure the latency of the .tflite files here.")
@options.json_option
def command(
    words: tuple[str, ...], out: Path, split: str, places: int, threads: int, measure: bool, as_json: bool
) -> None:
    """Write one HTML page, with tables and figures beside it, on every RUN.

    RUN is the folder of a finished fit, prune or ablate, a .tflite file, or JSON that evaluate, benchmark or ranges
    wrote. The .tflite files are scored on the same images, whose worst disagreements the page shows; settings that
    follow (rsseg-tf settings lists them), such as data.root=FOLDER, say where the data are now. The page lists
    problems with the inputs. Writes the page and exits with 3 if a file is not the one that its manifest names. An
    earlier report in the folder is replaced; files of others are not.

    For example: rsseg-tf report runs/dubai runs/dubai-pruned runs/*.tflite -o report
    """
    paths, overrides = options.paths_and_overrides(words)
    from rsseg_tf.report.build import Wanted, report

    wanted = Wanted(split=split, places=places, threads=threads, measure_latency=measure, overrides=overrides)
    with progress_bar(f"predict {split}") as progress:
        result = report(paths, out, wanted, progress=progress)
    for problem in result["problems"]:
        click.echo(f"problem: {problem['source']}: {problem['message']}", err=True)
    models = ", ".join(result["models"]) or "no model"
    options.print_result(result, f"{result['page']}: {models}; {len(result['files'])} files", as_json=as_json)
    changed = [problem["source"] for problem in result["problems"] if problem["is_mismatch"]]
    if changed:
        raise CheckFailedError(
            f"`{changed[0]}` is not the file that its manifest names ({len(changed)} in all)",
            hint="the page says so too; export or train again",
        )
