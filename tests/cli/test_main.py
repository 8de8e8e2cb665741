import click
import pytest

from rsseg_tf.cli import main as program
from rsseg_tf.errors import CheckFailedError, ConfigError, DataError


def failing_with(error: BaseException) -> click.Command:
    @click.command()
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("`a.png` is damaged", hint="take it out"), 1),
        (ConfigError("no such thing", hint="try another"), 2),
        (CheckFailedError("not int8", hint="look"), 3),
        (FileNotFoundError(2, "No such file or directory", "b.png"), 1),
        (KeyboardInterrupt(), 130),
        (ModuleNotFoundError("No module named 'rasterio'", name="rasterio"), 2),
    ],
)
def test_every_error_ends_in_one_message_and_its_exit_code(capsys, error, code):
    assert program.main([], command=failing_with(error)) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("error:") == 1
    assert "Traceback" not in captured.err


def test_a_hint_follows_the_message(capsys):
    program.main([], command=failing_with(ConfigError("no such thing", hint="try another")))

    assert capsys.readouterr().err == "error: no such thing\nhint: try another\n"


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (PermissionError(13, "Permission denied", "data"), "permission to read"),
        (FileNotFoundError(2, "No such file or directory", "b.png"), "check the path"),
        (OSError(28, "No space left on device"), "free some space"),
        (OSError(5, "Input/output error", "b.png"), "check the disk"),
    ],
)
def test_an_error_of_the_system_says_what_to_do(capsys, error, hint):
    assert program.main([], command=failing_with(error)) == 1
    assert hint in capsys.readouterr().err.partition("hint: ")[2]


def test_a_bug_of_ours_keeps_its_traceback():
    with pytest.raises(ModuleNotFoundError):
        program.main([], command=failing_with(ModuleNotFoundError("No module named 'nonsense'", name="nonsense")))


@pytest.mark.parametrize("arguments", [["fitt"], ["fit", "--epochs", "3"], ["prune"]])
def test_a_wrong_command_line_exits_with_2(arguments, capsys):
    assert program.main(arguments) == 2
    assert "Usage" in capsys.readouterr().err


def test_the_list_of_commands_is_the_table(capsys):
    assert program.main(["--help"]) == 0
    listed = capsys.readouterr().out

    assert all(f"\n  {name} " in listed for name in program.COMMANDS)
