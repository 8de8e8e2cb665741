"""`rsseg-tf report`."""

from __future__ import annotations

from pathlib import Path

import click

from rsseg_tf.cli.shared.options import ANY_PATH, json_option, paths_and_overrides, paths_argument, print_result
from rsseg_tf.errors import CheckFailedError
from rsseg_tf.progress import progress_bar


@click.command(name="report")
@paths_argument("RUN")
@click.option("-o", "--out", type=ANY_PATH, required=True, help="Folder of the page, tables and figures.")
@click.option("--split", default="test", show_default=True, help="Which images to score and show .tflite files on.")
@click.option(
    "--places", type=click.IntRange(min=0), default=6, show_default=True, help="Pictures; 0 predicts nothing."
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads.")
@click.option("--benchmark", "measure", is_flag=True, help="Measure the latency of the .tflite files here.")
@json_option
def command(  # noqa: PLR0913 - one parameter an option
    words: tuple[str, ...], out: Path, split: str, places: int, threads: int, measure: bool, as_json: bool
) -> None:
    """Write one HTML page, with tables and figures beside it, on every RUN.

    RUN is the folder of a finished fit, prune or ablate, a .tflite file, or JSON that evaluate, benchmark or ranges
    wrote. The .tflite files are scored on the same images, whose worst disagreements the page shows; settings that
    follow (rsseg-tf settings lists them), such as data.root=FOLDER, say where the data are now. What is wrong with an
    input is said on the page. Exits with 3, the page written, where a file is not the one that its manifest names.

    For example: rsseg-tf report runs/dubai runs/dubai-pruned runs/*.tflite -o report
    """
    paths, overrides = paths_and_overrides(words)
    from rsseg_tf.report.build import Wanted, report

    wanted = Wanted(split=split, places=places, threads=threads, measure_latency=measure, overrides=overrides)
    with progress_bar(f"predict {split}") as progress:
        result = report(paths, out, wanted, progress=progress)
    for problem in result["problems"]:
        click.echo(f"problem: {problem['source']}: {problem['message']}", err=True)
    models = ", ".join(result["models"]) or "no model"
    print_result(result, f"{result['page']}: {models}; {len(result['files'])} files", as_json=as_json)
    changed = [problem["source"] for problem in result["problems"] if problem["is_mismatch"]]
    if changed:
        raise CheckFailedError(
            f"`{changed[0]}` is not the file that its manifest names ({len(changed)} in all)",
            hint="the page says so too; make the file or its run again",
        )
