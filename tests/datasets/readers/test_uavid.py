import numpy as np
import pytest

from rsseg_tf.config import DataConfig
from rsseg_tf.datasets import open_dataset, write_image
from rsseg_tf.datasets.catalog import list_dataset
from rsseg_tf.datasets.readers.uavid import SEQUENCES
from rsseg_tf.errors import DataError
from tests.datasets.readers.layouts import write_flat, write_many

FRAMES = ("000000.png", "000100.png")
TREE = (0, 128, 0)
NAMES = ("clutter", "building", "road", "static car", "tree", "low vegetation", "human", "moving car")
COLORS = (  # of the toolkit's class list, in its order
    (0, 0, 0),
    (128, 0, 0),
    (128, 64, 128),
    (192, 0, 192),
    (0, 128, 0),
    (128, 128, 0),
    (64, 64, 0),
    (64, 0, 128),
)


def config(root, **settings):
    return DataConfig(name="uavid", root=str(root), **settings)


def write_uavid(root, *, folders=("uavid_train", "uavid_val", "uavid_test"), size=(8, 12)):
    sequences = [f"{folders[0]}/seq2", f"{folders[0]}/seq10", f"{folders[1]}/seq16", f"{folders[2]}/seq21"]
    write_many([root / seq / "Images" / frame for seq in sequences for frame in FRAMES], (90, 90, 90), size=size)
    write_many([root / seq / "Labels" / frame for seq in sequences[:3] for frame in FRAMES], TREE, size=size)


@pytest.mark.parametrize(
    "folders", [("uavid_train", "uavid_val", "uavid_test"), ("train", "valid", "test"), ("train", "val", "test")]
)
def test_archive_and_toolkit_layouts_read_alike(tmp_path, folders):
    write_uavid(tmp_path, folders=folders)
    dataset = open_dataset(config(tmp_path))
    assert dataset.splits() == ("train", "val", "test")
    names = [sample.name for sample in dataset.samples("train")]
    assert names == ["seq2/000000", "seq2/000100", "seq10/000000", "seq10/000100"]


def test_frames_of_true_size_read_as_rgb_and_ids(tmp_path):
    write_uavid(tmp_path, size=(2160, 3840))
    dataset = open_dataset(config(tmp_path))
    image, mask = dataset.read(dataset.samples("val")[0])
    assert image.shape == (2160, 3840, 3)
    assert (mask == dataset.palette.names.index("tree")).all()


@pytest.mark.parametrize("size", [(2160, 3840), (2160, 4096)])
def test_a_frame_of_true_size_reads_pixel_by_pixel(tmp_path, size):
    write_uavid(tmp_path)
    ids = np.random.default_rng(0).integers(0, 8, (size[0] // 16, size[1] // 16)).repeat(16, axis=0).repeat(16, axis=1)
    picture = np.stack([ids * 20, ids + 100, 255 - ids * 3], axis=2).astype(np.uint8)
    write_image(tmp_path / "uavid_val/seq16/Images/000000.png", picture)
    write_image(tmp_path / "uavid_val/seq16/Labels/000000.png", np.asarray(COLORS, np.uint8)[ids])

    dataset = open_dataset(config(tmp_path))
    image, mask = dataset.read(dataset.samples("val")[0])

    np.testing.assert_array_equal(image, picture)
    np.testing.assert_array_equal(mask, ids)


@pytest.mark.parametrize(("index", "name"), list(enumerate(NAMES)), ids=NAMES)
def test_classes_follow_the_official_toolkit(tmp_path, index, name):
    write_uavid(tmp_path)
    write_flat(tmp_path / "uavid_val/seq16/Labels/000000.png", COLORS[index])
    dataset = open_dataset(config(tmp_path))
    assert (dataset.read_mask(dataset.samples("val")[0]) == index).all()
    assert dataset.palette.names[index] == name


def test_a_split_in_two_folders_is_an_error_that_names_both(tmp_path):
    write_uavid(tmp_path)
    (tmp_path / "valid").mkdir()
    with pytest.raises(DataError, match=r"uavid_val` and `.*valid` both hold the split `val`"):
        open_dataset(config(tmp_path))


def test_test_labels_are_withheld(tmp_path):
    write_uavid(tmp_path)
    sample = open_dataset(config(tmp_path)).samples("test")[0]
    assert sample.mask is None


def test_a_split_on_its_own_is_enough(tmp_path):
    write_many([tmp_path / "uavid_val/seq16/Images/000000.png"], (9, 9, 9))
    write_many([tmp_path / "uavid_val/seq16/Labels/000000.png"], TREE)
    assert open_dataset(config(tmp_path)).splits() == ("val",)


def test_a_frame_without_label_is_an_error_that_names_it(tmp_path):
    write_uavid(tmp_path)
    (tmp_path / "uavid_train/seq2/Labels/000100.png").unlink()
    with pytest.raises(DataError, match=r"seq2/Images/000100\.png` has no mask"):
        open_dataset(config(tmp_path))


def test_a_sequence_without_images_is_an_error_that_names_it(tmp_path):
    write_uavid(tmp_path)
    (tmp_path / "uavid_train/seq3").mkdir()
    with pytest.raises(DataError, match=r"no images in `.*seq3/Images`"):
        open_dataset(config(tmp_path))


def test_an_archive_left_beside_the_sequences_is_none_of_them(tmp_path):
    write_uavid(tmp_path)
    before = open_dataset(config(tmp_path)).samples("train")
    (tmp_path / "uavid_train/seq99.zip").write_bytes(b"PK")
    assert open_dataset(config(tmp_path)).samples("train") == before


def test_a_folder_that_is_not_uavid_is_an_error_with_the_layout(tmp_path):
    write_flat(tmp_path / "other/a.png")
    with pytest.raises(DataError, match="no UAVid sequence") as caught:
        open_dataset(config(tmp_path))
    assert "uavid_train/seq1/Images/000000.png" in caught.value.hint


@pytest.mark.parametrize(("unknown", "expected"), [("error", None), ("ignore", 255)])
def test_a_foreign_color_is_an_error_or_ignored(tmp_path, unknown, expected):
    write_uavid(tmp_path)
    write_flat(tmp_path / "uavid_val/seq16/Labels/000000.png", (1, 1, 1))
    dataset = open_dataset(config(tmp_path, unknown_colors=unknown))
    sample = dataset.samples("val")[0]
    if expected is None:
        with pytest.raises(DataError, match=r"seq16/Labels/000000\.png` .*#010101 \(96 pixels\)"):
            dataset.read_mask(sample)
    else:
        np.testing.assert_array_equal(dataset.read_mask(sample), expected)


def doubts(root):
    return [doubt.message for doubt in list_dataset(config(root)).doubts]


def test_what_the_published_splits_hold_beyond_these_files_is_doubted(tmp_path):
    write_uavid(tmp_path)
    found = doubts(tmp_path)
    assert any(message.startswith("`train` lacks seq1, seq3, seq4") for message in found)
    assert "`val` does not have 10 frames of seq16 (2 frames)" in found


def test_a_sequence_in_another_than_its_published_split_is_doubted(tmp_path):
    write_uavid(tmp_path)
    (tmp_path / "uavid_val/seq16").rename(tmp_path / "uavid_val/seq3")
    assert "`val` holds seq3, which UAVid does not have in that split" in doubts(tmp_path)


def test_the_published_files_raise_no_doubt(tmp_path):
    frames = [f"{frame:06d}.png" for frame in range(0, 1000, 100)]
    published = {"uavid_train": SEQUENCES["train"], "uavid_val": SEQUENCES["val"]}
    folders = [tmp_path / split / f"seq{number}" for split, numbers in published.items() for number in numbers]
    for kind, color in (("Images", (9, 9, 9)), ("Labels", TREE)):
        write_many([folder / kind / frame for folder in folders for frame in frames], color)
    assert (len(folders), doubts(tmp_path)) == (27, [])
    assert sorted(number for numbers in SEQUENCES.values() for number in numbers) == list(range(1, 43))
