import cv2
import numpy as np
import pytest

from rsseg_tf.config import DataConfig
from rsseg_tf.datasets import open_dataset, write_image
from rsseg_tf.datasets.catalog import list_dataset
from rsseg_tf.datasets.check import check_dataset
from rsseg_tf.datasets.readers.loveda import IMAGES
from rsseg_tf.errors import DataError
from tests.datasets.readers.layouts import write_flat

PLACES = {  # as published: numbers go on from split to split and from domain to domain
    "Train/Rural": ("0", "1"),
    "Train/Urban": ("1366", "1367"),
    "Val/Rural": ("2522",),
    "Val/Urban": ("3514",),
    "Test/Rural": ("4191",),
    "Test/Urban": ("5167",),
}


def config(root, **settings):
    return DataConfig(name="loveda", root=str(root), **settings)


def write_loveda(root):
    for shade, (folder, numbers) in enumerate(PLACES.items()):
        for number in numbers:
            write_flat(root / folder / f"images_png/{number}.png", (shade * 10, int(number) % 250, 7))
            if not folder.startswith("Test"):
                write_image(root / folder / f"masks_png/{number}.png", np.full((8, 12), 2, np.uint8))


def test_both_domains_make_up_a_split(tmp_path):
    write_loveda(tmp_path)
    dataset = open_dataset(config(tmp_path))
    assert {split: [sample.name for sample in dataset.samples(split)] for split in dataset.splits()} == {
        "train": ["1366", "1367", "0", "1"],
        "val": ["3514", "2522"],
        "test": ["5167", "4191"],
    }


def test_an_image_of_true_size_reads_number_by_number(tmp_path):
    write_loveda(tmp_path)
    numbers = np.kron(np.random.default_rng(0).integers(0, 8, (32, 32)), np.ones((32, 32), int)).astype(np.uint8)
    picture = np.stack([numbers * 30, 255 - numbers, numbers + 9], axis=2)
    write_image(tmp_path / "Train/Urban/images_png/1366.png", picture)
    cv2.imwrite(str(tmp_path / "Train/Urban/masks_png/1366.png"), numbers)

    image, mask = (dataset := open_dataset(config(tmp_path))).read(dataset.samples("train")[0])

    np.testing.assert_array_equal(image, picture)
    np.testing.assert_array_equal(mask, np.where(numbers == 0, 255, numbers.astype(int) - 1))
    assert mask.shape == (1024, 1024)


@pytest.mark.parametrize(
    ("number", "name"),
    [(1, "background"), (2, "building"), (3, "road"), (4, "water"), (5, "barren"), (6, "forest"), (7, "agricultural")],
)
def test_classes_are_the_published_numbers(tmp_path, number, name):
    write_loveda(tmp_path)
    write_image(tmp_path / "Val/Rural/masks_png/2522.png", np.full((8, 12), number, np.uint8))
    dataset = open_dataset(config(tmp_path))
    assert (dataset.read_mask(dataset.samples("val")[1]) == dataset.palette.names.index(name)).all()


def test_the_masks_of_test_are_withheld(tmp_path):
    write_loveda(tmp_path)
    assert {sample.mask for sample in open_dataset(config(tmp_path)).samples("test")} == {None}


def test_an_image_without_its_mask_is_an_error_that_names_it(tmp_path):
    write_loveda(tmp_path)
    (tmp_path / "Train/Rural/masks_png/1.png").unlink()
    with pytest.raises(DataError, match=r"Rural/images_png/1\.png` has no mask"):
        open_dataset(config(tmp_path))


def test_a_mask_of_the_other_domain_is_no_mask(tmp_path):
    write_loveda(tmp_path)
    (tmp_path / "Train/Rural/masks_png/1.png").rename(tmp_path / "Train/Urban/masks_png/1.png")
    problems = [problem.message for problem in list_dataset(config(tmp_path)).problems]
    assert len(problems) == 2
    assert "has no mask" in problems[1]
    assert "has no image" in problems[0]


def test_a_number_in_two_splits_is_a_problem(tmp_path):
    write_loveda(tmp_path)
    for kind in ("images_png", "masks_png"):
        (tmp_path / f"Val/Rural/{kind}/2522.png").rename(tmp_path / f"Val/Rural/{kind}/1366.png")
    with pytest.raises(DataError, match=r"number 1366 appears twice: .*Train/Urban.*Val/Rural"):
        open_dataset(config(tmp_path))


def test_a_number_that_is_no_class_is_named_with_its_pixels(tmp_path):
    write_loveda(tmp_path)
    write_image(tmp_path / "Train/Urban/masks_png/1367.png", np.full((8, 12), 9, np.uint8))
    dataset = open_dataset(config(tmp_path))
    with pytest.raises(DataError, match=r"1367\.png` holds numbers that are not classes: 9 \(96 pixels\)"):
        dataset.read(dataset.samples("train")[1])


def test_domains_in_every_split_are_no_finding(tmp_path):
    write_loveda(tmp_path)
    report = check_dataset(list_dataset(config(tmp_path)))
    assert report.problems == ()
    assert [finding.message for finding in report.warnings if "folder" in finding.message] == []


def test_a_folder_that_is_not_loveda_is_an_error_with_the_layout(tmp_path):
    write_flat(tmp_path / "other/a.png")
    with pytest.raises(DataError, match="no LoveDA image") as caught:
        open_dataset(config(tmp_path))
    assert "Train/Urban/images_png" in caught.value.hint


def test_fewer_images_than_were_published_are_doubted(tmp_path):
    write_loveda(tmp_path)
    report = check_dataset(list_dataset(config(tmp_path)))
    assert "`Train/Urban` holds 2 of the 1156 pairs of LoveDA" in [finding.message for finding in report.warnings]


def test_the_published_images_are_5987():
    assert sum(sum(counts) for counts in IMAGES.values()) == 5987
    assert (sum(IMAGES["train"]), sum(IMAGES["val"]), sum(IMAGES["test"])) == (2522, 1669, 1796)
