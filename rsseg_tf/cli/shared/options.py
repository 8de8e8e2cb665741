"""Options that several commands share, and how a command prints its result."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rsseg_tf.errors import ConfigError
from rsseg_tf.quiet import quiet_stderr
from rsseg_tf.runs import json_ready

if TYPE_CHECKING:
    from rsseg_tf.inference.predict import ForeignModel

Command = TypeVar("Command", bound=Callable[..., Any])

ANY_PATH = click.Path(path_type=Path)


class Number(click.FloatRange):
    """A number within limits, which `nan` is not."""

    name = "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number that a word stands for."""
        number = super().convert(value, param, ctx)
        return self.fail(f"{value} is no number.", param, ctx) if math.isnan(number) else number


MOST_THREADS = 1024

config_option = click.option(
    "-c", "--config", "config_path", type=ANY_PATH, help="YAML file with the settings; rsseg-tf settings lists them."
)
overrides_argument = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
model_argument = click.argument("model", type=ANY_PATH)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace an existing run in the output folder.")
delegate_option = click.option("--delegate", help="Delegate: edgetpu, or the path of a shared library (TFLite).")
runtime_option = click.option(
    "--runtime",
    type=click.Choice(["litert", "openvino", "onnxruntime", "auto"]),
    help="What runs the file; auto for the fastest that is installed (TFLite, ONNX).",
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(min=1, max=MOST_THREADS),
    default=1,
    show_default=True,
    help="CPU threads (TFLite).",
)


def out_option(description: str = "Folder of the run.", **attributes: Any) -> Callable[[Command], Command]:
    """Return `--out PATH`, where the result goes; required unless `attributes` say otherwise."""
    return click.option("-o", "--out", type=ANY_PATH, help=description, **{"required": True, **attributes})


def split_option(description: str = "Split to score.", *, default: str = "test") -> Callable[[Command], Command]:
    """Return `--split NAME`: which images."""
    return click.option("--split", default=default, show_default=True, help=description)


def opening_options(command: Command) -> Command:
    """Return the options for opening a .tflite file; `opening` turns them into arguments."""
    for option in (
        click.option(
            "--std",
            type=Number(min=0, max=1e6, min_open=True),
            help="Divisor of pixels (foreign .tflite): it gets (pixel - mean) / std.",
        ),
        click.option("--mean", type=Number(min=-1e6, max=1e6), help="Mean of pixels (foreign .tflite); see --std."),
        click.option(
            "--fitting", type=click.Choice(["crop", "resize"]), help="Tiles or whole images (foreign .tflite)."
        ),
        click.option("--names", metavar="A,B,…", help="Class names, in order (foreign .tflite)."),
        click.option(
            "--output",
            "output_name",
            metavar="NAME",
            help="Name or number of the output that holds the classes (foreign .tflite with several).",
        ),
        runtime_option,
        delegate_option,
        threads_option,
    ):
        command = option(command)
    return command


def opening(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `rsseg_tf.steps.opening.open_model` that the values of `opening_options` stand for."""
    return {
        "threads": values["threads"],
        "delegate": values["delegate"],
        "runtime": values["runtime"] or "",
        "foreign": _foreign_model(values),
    }


def paths_argument(metavar: str) -> Callable[[Command], Command]:
    """Return one or more paths, among them `key=value` words; see `paths_and_overrides`."""
    return click.argument("words", nargs=-1, required=True, metavar=f"{metavar}... [KEY=VALUE]...")


def paths_and_overrides(words: tuple[str, ...]) -> tuple[list[Path], tuple[str, ...]]:
    """Return the paths among `words`, and the words that override settings: those with a `=` that name no file.

    Raises:
        ConfigError: if there is no path.
    """
    overrides = tuple(word for word in words if "=" in word and not Path(word).exists())
    paths = [Path(word) for word in words if word not in overrides]
    if not paths:
        raise ConfigError("only settings were given", hint="name a file or folder first")
    return paths, overrides


def _foreign_model(values: Mapping[str, Any]) -> ForeignModel | None:
    """Return what the options say about a file that does not describe itself; None where they say nothing."""
    if all(values[name] is None for name in ("names", "fitting", "mean", "std", "output_name")):
        return None
    from rsseg_tf.inference.predict import ForeignModel
    from rsseg_tf.tflite.ports import Normalization

    names = tuple(name.strip() for name in (values["names"] or "").split(",") if name.strip())
    given = {name: values[name] for name in ("mean", "std") if values[name] is not None}
    normalization = Normalization(**given) if given else None
    return ForeignModel(names, values["fitting"] or "crop", normalization, values["output_name"] or "")


def print_result(result: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print `result` to stdout, as JSON or as the prepared `text`."""
    click.echo(json.dumps(json_ready(result), ensure_ascii=False, allow_nan=False) if as_json else text)


def quiet_tensorflow() -> None:
    """Import TensorFlow and start it while stderr is closed: its C++ side prints lines about drivers.

    A worker of a cluster is not started here: it has to join the others first.
    """
    with quiet_stderr():
        import tensorflow as tf

        if not os.environ.get("TF_CONFIG"):
            tf.config.list_logical_devices()
