import json
import stat

import pytest

from rsseg_tf import runs
from rsseg_tf.errors import RssegError


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
