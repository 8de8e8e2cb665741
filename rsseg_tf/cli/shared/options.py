"""Options that several commands share, and how a command prints its result."""

from __future__ import annotations

import json
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


def config_option(command: Command) -> Command:
    """`-c FILE`: the YAML file with the settings."""
    about = "YAML file with the settings; rsseg-tf settings lists them."
    return click.option("-c", "--config", "config_path", type=ANY_PATH, help=about)(command)


def overrides_argument(command: Command) -> Command:
    """Trailing `key=value` words that override the YAML file."""
    return click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")(command)


def paths_argument(metavar: str) -> Callable[[Command], Command]:
    """One or more paths, among them `key=value` words; see `paths_and_overrides`."""
    return click.argument("words", nargs=-1, required=True, metavar=f"{metavar}... [KEY=VALUE]...")


def paths_and_overrides(words: tuple[str, ...]) -> tuple[list[Path], tuple[str, ...]]:
    """The paths among `words`, and the words that override settings: those with a `=` that name no file.

    Raises:
        ConfigError: there is no path.
    """
    overrides = tuple(word for word in words if "=" in word and not Path(word).exists())
    paths = [Path(word) for word in words if word not in overrides]
    if not paths:
        raise ConfigError("nothing but settings was given", hint="name a file or folder first")
    return paths, overrides


def json_option(command: Command) -> Command:
    """`--json`: the result as one JSON object on stdout."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(command)


def threads_option(command: Command) -> Command:
    """`--threads N`: CPU threads of the interpreter."""
    option = click.option(
        "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads (TFLite)."
    )
    return option(command)


def delegate_option(command: Command) -> Command:
    """`--delegate NAME`: what runs the graph in the CPU's place."""
    return click.option("--delegate", help="edgetpu, or the path of a delegate's shared library (TFLite).")(command)


def foreign_options(command: Command) -> Command:
    """`--names`, `--fitting`, `--mean` and `--std`: said of a .tflite file that does not describe itself."""
    for option in (
        click.option("--std", type=float, help="Foreign .tflite: the network sees (pixel - mean) / std."),
        click.option("--mean", type=float, help="Foreign .tflite: see --std."),
        click.option(
            "--fitting", type=click.Choice(["crop", "resize"]), help="Foreign .tflite: tiles or whole images."
        ),
        click.option("--names", metavar="A,B,…", help="Foreign .tflite: the class names, in order."),
    ):
        command = option(command)
    return command


def foreign_model(options: Mapping[str, Any]) -> ForeignModel | None:
    """What the options of `foreign_options` say of a file; None where they say nothing."""
    if all(options[name] is None for name in ("names", "fitting", "mean", "std")):
        return None
    from rsseg_tf.inference.predict import ForeignModel
    from rsseg_tf.inference.runner import Normalization

    names = tuple(name.strip() for name in (options["names"] or "").split(",") if name.strip())
    mean, std = options["mean"] or 0.0, 1.0 if options["std"] is None else options["std"]
    return ForeignModel(names, options["fitting"] or "crop", Normalization(mean, std))


def overwrite_option(command: Command) -> Command:
    """`--overwrite`: drop what lies in the output folder."""
    return click.option("--overwrite", is_flag=True, help="Replace a run that lies in the output folder.")(command)


def out_option(command: Command) -> Command:
    """`--out DIR`: the folder of the run."""
    return click.option("-o", "--out", type=ANY_PATH, required=True, help="Folder of the run.")(command)


def print_result(result: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print `result` to stdout, as JSON or as the prepared `text`."""
    click.echo(json.dumps(json_ready(result), ensure_ascii=False, allow_nan=False) if as_json else text)


def quiet_tensorflow() -> None:
    """Import TensorFlow and start it while stderr is closed: its C++ side greets with lines about drivers.

    A worker of a cluster is not started here: it has to join the others first.
    """
    with quiet_stderr():
        import tensorflow as tf

        if not os.environ.get("TF_CONFIG"):
            tf.config.list_logical_devices()
