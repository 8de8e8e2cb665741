"""Archives that lie otherwise than they were published: read where that is safe, else named with what to do."""

import shutil
from pathlib import Path
from typing import Any, cast

import pytest

from rsseg_tf.config import DataConfig, FolderConfig
from rsseg_tf.datasets.catalog import list_dataset, open_dataset
from rsseg_tf.datasets.check import check_dataset
from rsseg_tf.datasets.readers.layout import existing_root, unpacked_hint, unwrapped
from rsseg_tf.errors import DataError
from tests.datasets.readers.layouts import forbid, write_flat
from tests.datasets.readers.table import LAYOUTS, PARTS
from tests.datasets.readers.test_loveda import write_loveda
from tests.datasets.readers.test_uavid import write_uavid


def settings(name, root):
    return DataConfig(name=cast(Any, name), root=str(root), folder=FolderConfig(classes={"road": "1"}))


def listed(name, root):
    return list_dataset(settings(name, root))


def samples(name, root):
    dataset = listed(name, root)
    return [[sample.name for sample in dataset.samples(split)] for split in dataset.splits()]


def hint(name, root):
    with pytest.raises(DataError) as caught:
        listed(name, root)
    return caught.value.hint


def double(folder: Path):
    folder.rename(folder.with_name("moved"))
    folder.mkdir()
    folder.with_name("moved").rename(folder / folder.name)


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_a_folder_that_lies_in_itself_reads_like_one_that_does_not(tmp_path, name, part):
    LAYOUTS[name].write(tmp_path)
    before = samples(name, tmp_path)
    double(tmp_path / part)
    (tmp_path / part / "__MACOSX").mkdir()
    (tmp_path / part / f"{part}.zip").write_bytes(b"PK")
    assert samples(name, tmp_path) == before


def test_a_folder_with_more_than_itself_in_it_is_not_read_through(tmp_path):
    write_flat(tmp_path / "top/top/a.tif")
    assert unwrapped(tmp_path / "top") == tmp_path / "top/top"
    write_flat(tmp_path / "top/b.tif")
    assert unwrapped(tmp_path / "top") == tmp_path / "top"
    said = unpacked_hint(tmp_path, ["top"], layout="")
    assert said.startswith(f"`{tmp_path / 'top'}` holds a folder of its own name")


@pytest.mark.parametrize(("name", "part"), [*PARTS, ("folder", "images"), ("folder", "masks")])
def test_a_root_that_is_one_folder_too_deep_is_pointed_back(tmp_path, name, part):
    LAYOUTS[name].write(tmp_path)
    assert hint(name, tmp_path / part) == f"set data.root={tmp_path}"


def test_a_domain_as_the_root_is_pointed_back_over_its_split(tmp_path):
    write_loveda(tmp_path)
    assert hint("loveda", tmp_path / "Val/Urban") == f"set data.root={tmp_path}"


def test_the_current_folder_as_a_root_too_deep_is_pointed_back(tmp_path, monkeypatch):
    write_uavid(tmp_path)
    monkeypatch.chdir(tmp_path / "uavid_val")
    assert hint("uavid", ".") == f"set data.root={tmp_path}"


@pytest.mark.parametrize(("name", "part"), [*PARTS, ("folder", "masks")])
def test_an_archive_that_is_still_packed_is_named(tmp_path, name, part):
    LAYOUTS[name].write(tmp_path)
    if LAYOUTS[name].parts_are_splits:
        for other in {path for path in tmp_path.iterdir() if path.name != part}:
            shutil.rmtree(other)
    shutil.rmtree(tmp_path / part, ignore_errors=True)
    (tmp_path / f"{part}.zip").write_bytes(b"PK")
    assert hint(name, tmp_path).startswith(f"unpack `{part}.zip`; ")


@pytest.mark.parametrize(("name", "part"), [("uavid", "uavid_val"), ("loveda", "Val")])
def test_a_split_that_is_still_packed_is_named_by_the_check(tmp_path, name, part):
    LAYOUTS[name].write(tmp_path)
    shutil.rmtree(tmp_path / part)
    (tmp_path / f"{part}.zip").write_bytes(b"PK")
    (problem,) = [found for found in check_dataset(listed(name, tmp_path)).problems if found.split == "val"]
    assert problem.message.startswith("the split `val` is empty")
    assert problem.hint == f"unpack that part of the data set too: there is `{part}.zip`"


def test_of_many_archives_the_first_are_named(tmp_path):
    for number in range(9):
        (tmp_path / f"{number}.zip").write_bytes(b"PK")
    assert unpacked_hint(tmp_path, [], layout="so") == "unpack `0.zip`, `1.zip`, `2.zip`, `3.zip` and 5 more; so"


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_a_folder_that_may_not_be_listed_is_an_error_that_names_it(tmp_path, monkeypatch, name, part):
    LAYOUTS[name].write(tmp_path)
    forbid(monkeypatch, tmp_path / part)
    with pytest.raises(DataError) as caught:
        open_dataset(settings(name, tmp_path))
    assert caught.value.message == f"cannot read `{tmp_path / part}`: Permission denied"
    assert "permission to read" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "folders"),
    [
        ("uavid", ("uavid_train/seq2/Images", "uavid_train/seq10/Labels", "uavid_val")),
        ("loveda", ("Train/Urban/masks_png", "Train/Rural/images_png", "Val")),
    ],
)
def test_every_folder_that_may_not_be_listed_is_a_problem(tmp_path, monkeypatch, name, folders):
    LAYOUTS[name].write(tmp_path)
    forbid(monkeypatch, *(tmp_path / folder for folder in folders))
    messages = [problem.message for problem in listed(name, tmp_path).problems]
    assert messages == [f"cannot read `{tmp_path / folder}`: Permission denied" for folder in folders]


def test_a_folder_below_the_images_that_may_not_be_listed_is_an_error(tmp_path, monkeypatch):
    for name in ("images", "masks"):
        write_flat(tmp_path / name / "north/a.png")
    forbid(monkeypatch, tmp_path / "images/north")
    with pytest.raises(DataError, match=r"cannot read `.*images/north`: Permission denied"):
        listed("folder", tmp_path)


def test_a_root_that_may_not_be_listed_is_an_error_with_what_to_do(tmp_path, monkeypatch):
    write_flat(tmp_path / "a.png")
    forbid(monkeypatch, tmp_path)
    with pytest.raises(DataError, match=f"cannot read `{tmp_path}`: Permission denied") as caught:
        existing_root(str(tmp_path), layout="")
    assert "permission to read" in caught.value.hint


@pytest.mark.parametrize("name", ["vaihingen", "potsdam"])
def test_endings_in_upper_case_read_alike(tmp_path, name):
    LAYOUTS[name].write(tmp_path)
    before = samples(name, tmp_path)
    for path in list(tmp_path.rglob("*.tif")):
        path.rename(path.with_suffix(".TIF"))
    assert samples(name, tmp_path) == before
