import json
import stat

import pytest

from rsseg_tf import runs
from rsseg_tf.errors import ConfigError, RssegError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")

    def write_half() -> None:
        with runs.atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_is_readable_by_others_as_the_umask_says(tmp_path):
    runs.write_text(tmp_path / "a.txt", "x")
    (tmp_path / "b.txt").write_text("x")

    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == stat.S_IMODE((tmp_path / "b.txt").stat().st_mode)


def test_a_folder_that_cannot_be_made_is_an_error_with_its_name(tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(RssegError, match="cannot write"):
        runs.write_text(tmp_path / "file" / "a.txt", "x")


def stopped_run(folder, text: str) -> None:
    """A run that saved a state and was killed."""
    with runs.open_run(folder, text):
        runs.write_text(folder / "state.npz", "half way")


def resumed(folder, text: str, *, overwrite: bool = False) -> bool:
    with runs.open_run(folder, text, overwrite=overwrite) as answer:
        return answer


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

    assert (tmp_path / "run" / runs.CONFIG).read_text() == "seed: 0\n"


def failing_run(folder, *, saves: bool) -> None:
    with runs.open_run(folder, "seed: 0\n"):
        if saves:
            runs.write_text(folder / "state.npz", "half way")
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
        runs.open_run(tmp_path / "run", "data: {name: folder, root: photos, folder: {split_by: neighbors}}\n"),
    ):
        raise ConfigError("started with different `data:train`")

    assert (tmp_path / "run" / runs.CONFIG).read_text() == record
    assert resumed(tmp_path / "run", "data: {name: folder, root: photos, folder: {split_by: name}}\n")


def test_a_folder_that_holds_nothing_but_settings_takes_new_ones(tmp_path):
    resumed(tmp_path / "run", "seed: 0\n")

    assert resumed(tmp_path / "run", "seed: 1\n") is False
    assert (tmp_path / "run" / runs.CONFIG).read_text() == "seed: 1\n"


def test_a_finished_run_is_replaced_only_on_request(tmp_path):
    folder = tmp_path / "run"
    stopped_run(folder, "seed: 0\n")
    runs.write_manifest(folder, seed=0, inputs={}, outputs=[], results={})

    with pytest.raises(ConfigError, match="finished run"):
        resumed(folder, "seed: 0\n")
    assert resumed(folder, "seed: 1\n", overwrite=True) is False
    assert not (folder / runs.MANIFEST).exists()


def test_a_folder_of_other_files_is_never_touched(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")

    with pytest.raises(ConfigError, match="not a run folder"):
        resumed(tmp_path, "seed: 0\n", overwrite=True)

    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_the_manifest_hashes_its_outputs(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"abc")

    runs.write_manifest(tmp_path, seed=7, inputs={"data": "1f"}, outputs=["model.bin"], results={"miou": 0.5})
    manifest = json.loads((tmp_path / runs.MANIFEST).read_text())

    assert manifest["outputs"]["model.bin"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert (manifest["seed"], manifest["inputs"], manifest["results"]) == (7, {"data": "1f"}, {"miou": 0.5})
    assert manifest["versions"]["numpy"]
    assert manifest["machine"]["cpu"]


def test_a_missing_or_broken_manifest_is_none(tmp_path):
    assert runs.read_manifest(tmp_path) is None
    (tmp_path / runs.MANIFEST).write_text("{")
    assert runs.read_manifest(tmp_path) is None
