import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from rsseg_tf.errors import ConfigError
from rsseg_tf.run_folder import open_run, require_startable
from rsseg_tf.runs import CONFIG, MANIFEST, write_manifest, write_text


def stopped_run(folder, text: str) -> None:
    """A run that saved a state and was killed."""
    with open_run(folder, text) as run:
        write_text(run.folder / "state.npz", "half way")


def resumed(folder, text: str, *, overwrite: bool = False) -> bool:
    with open_run(folder, text, overwrite=overwrite) as run:
        return run.resumed


def test_a_new_folder_starts_and_an_unfinished_one_resumes(tmp_path):
    assert resumed(tmp_path / "run", "seed: 0\n") is False
    stopped_run(tmp_path / "run", "seed: 0\n")

    assert resumed(tmp_path / "run", "seed: 0\n") is True


@pytest.mark.parametrize(
    ("text", "is_same"),
    [
        ("prune: {normalise: l2}\n", True),
        ("# Of the model A\nprune: {normalise: l2}\n", False),
        ("prune: {normalise: mean}\n", False),
        ("prune: {no such setting: l2}\n", False),
        ("prune: [", False),
    ],
)
def test_what_settings_mean_decides_whether_a_run_is_resumed(tmp_path, capsys, text, is_same):
    stopped_run(tmp_path / "run", text)

    if is_same:
        assert resumed(tmp_path / "run", "prune: {normalize: l2}\n")
    else:
        with pytest.raises(ConfigError, match="other settings"):
            resumed(tmp_path / "run", "prune: {normalize: l2}\n")
    assert capsys.readouterr().err == ""


def test_an_unfinished_run_with_other_settings_is_not_touched(tmp_path):
    stopped_run(tmp_path / "run", "seed: 0\n")

    with pytest.raises(ConfigError, match="other settings"):
        resumed(tmp_path / "run", "seed: 1\n")

    assert (tmp_path / "run" / CONFIG).read_text() == "seed: 0\n"


def failing_run(folder, *, saves: bool) -> None:
    with open_run(folder, "seed: 0\n"):
        if saves:
            write_text(folder / "state.npz", "half way")
        raise ConfigError("no such target")


@pytest.mark.parametrize("saves", [False, True])
def test_a_run_that_fails_leaves_a_folder_only_if_it_saved_something(tmp_path, saves):
    with pytest.raises(ConfigError, match="no such target"):
        failing_run(tmp_path / "run", saves=saves)

    assert (tmp_path / "run").exists() is saves


def test_a_run_that_may_not_be_resumed_after_all_keeps_its_record(tmp_path):
    """One from before images were dealt by neighbors: its data show that it is another, and `name` resumes it."""
    record = "data: {name: folder, root: photos}\n"
    stopped_run(tmp_path / "run", record)

    with (
        pytest.raises(ConfigError, match="different `data:train`"),
        open_run(tmp_path / "run", "data: {name: folder, root: photos, folder: {split_by: neighbors}}\n"),
    ):
        raise ConfigError("started with different `data:train`")

    assert (tmp_path / "run" / CONFIG).read_text() == record
    assert resumed(tmp_path / "run", "data: {name: folder, root: photos, folder: {split_by: name}}\n")


def test_a_folder_that_holds_nothing_but_settings_takes_new_ones(tmp_path):
    resumed(tmp_path / "run", "seed: 0\n")

    assert resumed(tmp_path / "run", "seed: 1\n") is False
    assert (tmp_path / "run" / CONFIG).read_text() == "seed: 1\n"


def finished_run(folder: Path, text: str, *, says: str, overwrite: bool = False) -> None:
    with open_run(folder, text, overwrite=overwrite) as run:
        write_text(run.folder / "model.keras", says)
        write_text(run.folder / "tensorboard" / f"events.out.tfevents.{says}", "")
        write_manifest(run.folder, seed=0, inputs={}, outputs=["model.keras", CONFIG], results={})


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


RUN = {CONFIG, MANIFEST, "model.keras"}


def test_a_finished_run_is_replaced_only_on_request_and_files_of_others_stay(tmp_path):
    folder = tmp_path / "run"
    finished_run(folder, "seed: 0\n", says="old")
    (folder / "photos").mkdir()
    for name in ("notes.txt", "photos/a.png", "model.keras.bak", "tensorboard/mine.txt"):
        (folder / name).write_text("precious")
    for name in ("model_int8.tflite", "model_int8.tflite.json"):
        (folder / name).write_text("of the old model")

    with pytest.raises(ConfigError, match="finished run"):
        resumed(folder, "seed: 0\n")
    finished_run(folder, "seed: 1\n", says="new", overwrite=True)

    others = {"notes.txt", "photos/a.png", "model.keras.bak", "tensorboard/mine.txt"}
    assert names(folder) == RUN | others | {"tensorboard/events.out.tfevents.new"}
    assert (folder / "model.keras").read_text() == "new"
    assert all((folder / name).read_text() == "precious" for name in others)
    assert list(tmp_path.iterdir()) == [folder]


def test_the_old_run_stays_until_the_new_one_is_whole_and_a_killed_one_resumes(tmp_path):
    folder = tmp_path / "run"
    finished_run(folder, "seed: 0\n", says="old")

    with open_run(folder, "seed: 1\n", overwrite=True) as run:
        write_text(run.folder / "state.npz", "half way")
    assert (folder / "model.keras").read_text() == "old"
    assert resumed(folder, "seed: 1\n", overwrite=True)
    assert not resumed(folder, "seed: 2\n", overwrite=True)  # the unfinished one was of other settings
    assert (folder / "model.keras").read_text() == "old"


def test_an_unfinished_run_of_the_same_settings_is_resumed_with_overwrite_too(tmp_path):
    stopped_run(tmp_path / "run", "seed: 0\n")

    assert resumed(tmp_path / "run", "seed: 0\n", overwrite=True)
    assert not resumed(tmp_path / "run", "seed: 1\n", overwrite=True)
    assert (tmp_path / "run" / "state.npz").exists()


@pytest.mark.parametrize("moves", [0, 1, 2])
def test_a_kill_at_the_very_beginning_keeps_no_one_from_starting(tmp_path, monkeypatch, moves):
    folder = tmp_path / "run"
    moved = iter(range(moves))

    def killed_replace(path, target):
        if next(moved, None) is None:
            raise KeyboardInterrupt
        return path.rename(target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed_replace)
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with contextlib.suppress(KeyboardInterrupt), open_run(folder, "seed: 0\n"):
            raise KeyboardInterrupt

    require_startable(folder, "seed: 0\n")
    assert resumed(folder, "seed: 0\n") is False


@pytest.mark.parametrize("again", [resumed, require_startable])
def test_a_kill_right_after_the_manifest_leaves_no_state_for_good(tmp_path, again):
    folder = tmp_path / "run"
    stopped_run(folder, "seed: 0\n")
    write_text(folder / "model.keras", "whole")
    write_manifest(folder, seed=0, inputs={}, outputs=["model.keras", CONFIG], results={})

    with pytest.raises(ConfigError, match="finished run"):
        again(folder, "seed: 0\n")

    assert names(folder) == RUN


@pytest.mark.parametrize("step", range(1, 18))
def test_a_kill_in_the_middle_of_the_replacement_loses_nothing(tmp_path, monkeypatch, step):
    folder = tmp_path / "run"
    finished_run(folder, "seed: 0\n", says="old")
    (folder / "notes.txt").write_text("precious")
    steps = iter(range(1, step))

    def killed(act):
        def acting(*arguments, **options):
            if next(steps, None) is None:
                raise KeyboardInterrupt
            return act(*arguments, **options)

        return acting

    def replace() -> None:
        with open_run(folder, "seed: 1\n", overwrite=True) as run:
            write_text(run.folder / "model.keras", "new")
            write_manifest(run.folder, seed=0, inputs={}, outputs=["model.keras", CONFIG], results={})
            for act in ("rename", "unlink", "rmdir"):
                monkeypatch.setattr(Path, act, killed(getattr(Path, act)))

    with contextlib.suppress(KeyboardInterrupt):
        replace()
    monkeypatch.undo()

    with pytest.raises(ConfigError, match="finished run"):
        resumed(folder, "seed: 1\n")
    assert names(folder) == RUN | {"notes.txt"}
    assert (folder / "model.keras").read_text() == "new"
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("files", [[CONFIG], [CONFIG, "photo.png"], ["thesis.tex"], [CONFIG, MANIFEST]])
def test_a_folder_of_other_files_is_never_touched(tmp_path, files):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in files:
        (folder / name).write_text("{}")

    for overwrite in (False, True):
        with pytest.raises(ConfigError, match=r"not a run folder|finished run") as caught:
            resumed(folder, "seed: 0\n", overwrite=overwrite)
        assert "--overwrite" not in (caught.value.hint or "")

    assert names(folder) == set(files)
    assert all((folder / name).read_text() == "{}" for name in files)


def test_two_processes_do_not_write_to_one_folder(tmp_path):
    code = "import sys; from rsseg_tf.run_folder import open_run; from pathlib import Path\n"
    code += "with open_run(Path(sys.argv[1]), 'seed: 0'): pass"
    with open_run(tmp_path / "run", "seed: 0\n") as run:
        write_text(run.folder / "state.npz", "half way")
        other = subprocess.run(
            [sys.executable, "-c", code, str(run.folder)], capture_output=True, text=True, check=False
        )
    assert "another process writes to" in other.stderr
    assert resumed(tmp_path / "run", "seed: 0\n")


def test_runs_within_the_replaced_one_go_with_it(tmp_path):
    folder = tmp_path / "run"
    finished_run(folder / "control-plain", "seed: 0\n", says="control")
    finished_run(tmp_path / "made", "seed: 0\n", says="old")
    for path in list((tmp_path / "made").iterdir()):
        path.rename(folder / path.name)
    finished_run(folder, "seed: 1\n", says="new", overwrite=True)

    assert names(folder) == RUN | {"tensorboard/events.out.tfevents.new"}


def test_a_replacement_that_is_not_over_is_left_to_the_process_that_makes_it(tmp_path):
    folder = tmp_path / "run"
    finished_run(folder, "seed: 0\n", says="old")
    with open_run(folder, "seed: 1\n", overwrite=True) as run:
        write_text(run.folder / "model.keras", "new")
        write_manifest(run.folder, seed=0, inputs={}, outputs=["model.keras", CONFIG], results={})
        with pytest.raises(ConfigError, match="another process writes to"):
            resumed(folder, "seed: 2\n")
        write_text(run.folder / "log.csv", "the end")

    assert names(folder) == RUN | {"log.csv"}
    assert (folder / "model.keras").read_text() == "new"
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("place", ["run.new", "run.old"])
def test_what_is_in_the_way_of_a_replacement_is_told_before_any_work(tmp_path, place):
    finished_run(tmp_path / "run", "seed: 0\n", says="old")
    (tmp_path / place).mkdir()
    (tmp_path / place / "thesis.tex").write_text("precious")

    with pytest.raises(ConfigError, match=rf"run\.{place[4:]}"):
        require_startable(tmp_path / "run", "seed: 1\n", overwrite=True)
    assert (tmp_path / place / "thesis.tex").read_text() == "precious"
