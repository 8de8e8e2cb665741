"""Two patterns name the pairs of a folder, however its files are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsseg_tf.config import FolderConfig
from rsseg_tf.datasets.readers.folder import Folder
from rsseg_tf.errors import ConfigError, RssegError
from tests.datasets.readers.layouts import write_flat

CLASSES = {"road": "010203"}


def folder(root: Path, images: str, masks: str) -> Folder:
    return Folder(str(root), FolderConfig(image_glob=images, mask_glob=masks, classes=CLASSES))


def write(root: Path, *names: str) -> None:
    for name in names:
        write_flat(root / name, (1, 2, 3))


def pairs(found: Folder, root: Path) -> dict[str, list[tuple[str, str | None]]]:
    return {
        split: [
            (str(each.image.relative_to(root)), str(each.mask.relative_to(root)) if each.mask else None)
            for each in found.samples(split)
        ]
        for split in found.splits()
    }


def test_images_and_masks_side_by_side(tmp_path: Path) -> None:
    write(tmp_path, "train/a.jpg", "train/a_mask.png", "valid/b.jpg", "valid/b_mask.png", "notes/x.jpg")
    found = folder(tmp_path, "{split}/*.jpg", "{split}/*_mask.png")
    assert found.problems == ()
    assert pairs(found, tmp_path) == {
        "train": [("train/a.jpg", "train/a_mask.png")],
        "val": [("valid/b.jpg", "valid/b_mask.png")],
    }


def test_a_mask_is_no_image_though_the_pattern_fits_it(tmp_path: Path) -> None:
    write(tmp_path, "train/a.png", "train/a_mask.png")
    found = folder(tmp_path, "{split}/*.png", "{split}/*_mask.png")
    assert found.problems == ()
    assert pairs(found, tmp_path) == {"train": [("train/a.png", "train/a_mask.png")]}


def test_braces_stand_for_one_of_several_texts(tmp_path: Path) -> None:
    write(tmp_path, "train/a.jpg", "train/a_mask.png", "train/b.JPG", "train/b_mask.png", "train/c.tif")
    found = folder(tmp_path, "{split}/*.{jpg,JPG}", "{split}/*_mask.png")
    assert found.problems == ()
    assert pairs(found, tmp_path)["train"] == [("train/a.jpg", "train/a_mask.png"), ("train/b.JPG", "train/b_mask.png")]


def test_a_split_is_named_twice_in_a_path(tmp_path: Path) -> None:
    write(tmp_path, "train/train-img/1.png", "train/train-lab/1_lab.png", "test/test-img/2.png")
    found = folder(tmp_path, "{split}/{split}-img/*.png", "{split}/{split}-lab/*_lab.png")
    assert pairs(found, tmp_path)["test"] == [("test/test-img/2.png", None)]
    assert pairs(found, tmp_path)["train"] == [("train/train-img/1.png", "train/train-lab/1_lab.png")]


def test_folders_of_any_depth_pair_by_their_names(tmp_path: Path) -> None:
    names = [f"{city}/{number}" for city in ("aachen", "lima/west") for number in range(5)]
    write(tmp_path, *(f"x/{name}.png" for name in names), *(f"y/{name}-label.png" for name in names))
    found = folder(tmp_path, "x/**/*.png", "y/**/*-label.png")
    assert sum(map(len, pairs(found, tmp_path).values())) == 10
    assert all(
        mask and image[2:-4] == mask[2:-10] for split in pairs(found, tmp_path).values() for image, mask in split
    )


def test_what_has_no_partner_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, "train/a.jpg", "train/a_mask.png", "train/b.jpg", "train/c_mask.png")
    said = [str(problem) for problem in folder(tmp_path, "{split}/*.jpg", "{split}/*_mask.png").problems]
    assert len(said) == 2
    assert "b.jpg" in said[0]
    assert "c_mask.png" in said[1]


@pytest.mark.parametrize(("images", "masks"), [("*.jpg", ""), ("*/*.jpg", "*.png"), ("{split}/*.jpg", "*.png")])
def test_patterns_that_cannot_be_compared_are_refused(tmp_path: Path, images: str, masks: str) -> None:
    write(tmp_path, "a.jpg")
    with pytest.raises(ConfigError, match="same wildcards"):
        folder(tmp_path, images, masks)


def test_patterns_that_name_nothing_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg")
    with pytest.raises(RssegError, match="image_glob"):
        folder(tmp_path, "*.tif", "*.png")


def test_what_has_no_split_is_dealt(tmp_path: Path) -> None:
    write(tmp_path, *(f"{kind}/{number}.png" for kind in "xy" for number in range(14)))
    found = folder(tmp_path, "x/*.png", "y/*.png")
    assert {split: len(members) for split, members in pairs(found, tmp_path).items()} == {
        "train": 10,
        "val": 2,
        "test": 2,
    }
    assert found.dealing
