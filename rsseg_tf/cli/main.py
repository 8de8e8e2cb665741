"""The `rsseg-tf` program: a table of commands, loaded when called, and the one error boundary."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence

import click

from rsseg_tf import __version__
from rsseg_tf.errors import RssegError, extras_named, system_hint

COMMANDS = {
    "demo": ("demo", "Show the whole job on generated scenes, in minutes."),
    "data": ("data", "Check, show and make data sets."),
    "settings": ("settings", "List every setting, its values, default and what it does."),
    "fit": ("fit", "Train a segmentation network."),
    "prune": ("prune", "Remove the channels that matter least, then retrain."),
    "export-tflite": ("export.tflite", "Write a TFLite file and prove what is in it."),
    "export-onnx": ("export.onnx", "Write an ONNX file for QGIS, ONNX Runtime and OpenVINO, and prove it."),
    "evaluate": ("evaluate", "Score a .keras or .tflite model on a split."),
    "predict": ("predict", "Predict class maps of whole images."),
    "benchmark": ("benchmark", "Measure latency and memory of TFLite files."),
    "inspect": ("inspect", "Print what a .keras or .tflite model is made of."),
    "ranges": ("ranges", "Show which bits the numbers of a .keras model need."),
    "ablate": ("ablate", "Repeat the paper's Table II over several seeds."),
    "report": ("report", "Write one HTML page on runs, files and results."),
}
"""Command → module in `rsseg_tf.cli` that holds it as `command`, and the line that lists it."""


class _LazyGroup(click.Group):
    """A group that imports a command's module only when that command is called."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"rsseg_tf.cli.{COMMANDS[cmd_name][0]}").command
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="rsseg-tf")
def cli() -> None:
    """Aerial images with masks in, a small, fast, proven int8 model out."""


def main(arguments: Sequence[str] | None = None, *, command: click.Command = cli, name: str = "rsseg-tf") -> int:
    """Run the program; every error that a user can cause ends in one message.

    Args:
        arguments: the words after the program's name; by default those that it was called with.
        command: what to run; the programs in `tools/` end their errors here too.
        name: of the program.

    Returns:
        0 when all went well, 1 when it failed, 2 for a bad command line or configuration,
        3 when a check failed, 130 after Ctrl-C.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    _fill_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    try:
        with extras_named():
            command.main(args=None if arguments is None else list(arguments), prog_name=name, standalone_mode=False)
    except RssegError as error:
        return _complain(error.message, hint=error.hint, exit_code=error.exit_code)
    except click.exceptions.Abort:
        return _complain("interrupted", exit_code=130)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except MemoryError:
        return _complain("this needs more memory than is left", hint="use smaller images, windows or batches")
    except OSError as error:
        place = f"`{error.filename}`: " if error.filename else ""
        return _complain(f"{place}{error.strerror or error}", hint=system_hint(error))
    return 0


def _fill_streams() -> None:
    """Let standard streams that are closed lead nowhere: the next file that is opened would get their place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w")


def _complain(message: str, *, hint: str = "", exit_code: int = 1) -> int:
    color = False if os.environ.get("NO_COLOR") else None
    click.echo(f"{click.style('error:', fg='red', bold=True)} {message}", err=True, color=color)
    if hint:
        click.echo(f"{click.style('hint:', fg='cyan')} {hint}", err=True, color=color)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
