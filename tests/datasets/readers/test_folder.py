import numpy as np
import pytest

from rsseg_tf.config import DataConfig, FolderConfig, load_config
from rsseg_tf.datasets import open_dataset, write_image
from rsseg_tf.datasets.catalog import list_dataset
from rsseg_tf.datasets.readers.folder import parse_classes
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.datasets.splits.dealing import deal
from rsseg_tf.errors import ConfigError, DataError
from tests.datasets.readers.layouts import write_csv, write_flat

CLASSES = {"road": "010203", "roof": "FA0000"}


def config(root, **settings):
    unknown_colors = settings.pop("unknown_colors", "error")
    folder = FolderConfig(**{"classes": CLASSES, **settings})
    return DataConfig(name="folder", root=str(root), unknown_colors=unknown_colors, folder=folder)


def write_pair(root, stem, *, image="images/{}.jpg", mask="masks/{}.png", size=(8, 12)):
    write_flat(root / image.format(stem), size=size)
    write_flat(root / mask.format(stem), (1, 2, 3), size=size)


@pytest.fixture
def paired(tmp_path):
    for stem in ("b10", "b9", "deep/a"):
        write_pair(tmp_path, stem)
    return tmp_path


def test_stems_match_over_different_endings_in_natural_order(paired):
    assert [sample.name for sample in open_dataset(config(paired)).samples("train")] == ["b9", "b10", "deep/a"]


def test_pairs_read_as_image_and_ids(paired):
    dataset = open_dataset(config(paired))
    image, mask = dataset.read(dataset.samples("train")[0])
    assert image.shape == (8, 12, 3)
    assert (mask == 0).all()


def test_hidden_files_and_other_kinds_are_passed_over(paired):
    (paired / "images" / "._b9.jpg").write_bytes(b"resource fork")
    (paired / "masks" / "Thumbs.db").write_bytes(b"")
    assert len(open_dataset(config(paired)).samples("train")) == 3


def test_an_image_without_mask_is_an_error_that_names_it(paired):
    (paired / "masks/b9.png").unlink()
    with pytest.raises(DataError, match=r"images/b9\.jpg` has no mask") as caught:
        open_dataset(config(paired))
    assert caught.value.hint


def test_a_mask_without_image_is_an_error_that_names_it(paired):
    (paired / "images/b9.jpg").unlink()
    with pytest.raises(DataError, match=r"masks/b9\.png` has no image"):
        open_dataset(config(paired))


def test_one_stem_with_two_endings_is_an_error(paired):
    write_flat(paired / "images/b9.png")
    with pytest.raises(DataError, match=r"`b9` exists more than once: .*b9\.jpg`, .*b9\.png`"):
        open_dataset(config(paired))


def test_several_problems_are_counted(paired):
    (paired / "masks/b9.png").unlink()
    (paired / "masks/b10.png").unlink()
    with pytest.raises(DataError, match=r"has no mask \(and 1 more: `rsseg-tf data check` lists them\)"):
        open_dataset(config(paired))


def test_sizes_that_differ_are_an_error_that_names_both(paired):
    write_flat(paired / "masks/b9.png", (1, 2, 3), size=(9, 12))
    dataset = open_dataset(config(paired))
    with pytest.raises(DataError, match=r"b9\.jpg` is 12×8 pixels but its mask `.*b9\.png` is 12×9"):
        dataset.read(dataset.samples("train")[0])


def test_an_unset_root_is_an_error():
    with pytest.raises(DataError, match=r"`data\.root` is not set"):
        open_dataset(config(""))


def test_a_missing_root_is_an_error_that_names_it(tmp_path):
    with pytest.raises(DataError, match=r"none` does not exist") as caught:
        open_dataset(config(tmp_path / "none"))
    assert "images/" in caught.value.hint


def test_a_file_as_root_is_an_error(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        open_dataset(config(write_flat(tmp_path / "a.png")))


def test_an_empty_root_is_an_error(tmp_path):
    with pytest.raises(DataError, match="is empty"):
        open_dataset(config(tmp_path))


def test_a_root_without_masks_folder_is_an_error(tmp_path):
    write_flat(tmp_path / "images/a.png")
    with pytest.raises(DataError, match=r"no folder `.*masks`"):
        open_dataset(config(tmp_path))


def test_folders_without_images_are_an_error(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.gif").write_bytes(b"GIF89a")
    with pytest.raises(DataError, match="no PNG, JPEG or TIFF files"):
        open_dataset(config(tmp_path))


def test_an_absent_split_is_an_error_that_names_those_there_are(paired):
    with pytest.raises(DataError, match="no split `val`") as caught:
        open_dataset(config(paired)).samples("val")
    assert caught.value.hint == "known splits: `train`"


@pytest.fixture
def listed(tmp_path):
    for stem in ("1", "2", "3"):
        write_pair(tmp_path, stem, image="Tile {}/i.jpg", mask="Tile {}/m.png")
    write_csv(
        tmp_path / "splits.csv",
        "Tile 1/i.jpg,Tile 1/m.png,train",
        "Tile 2/i.jpg,Tile 2/m.png,val",
        "Tile 3/i.jpg,,test",
    )
    return tmp_path


def test_a_csv_file_decides_pairs_and_splits(listed):
    dataset = open_dataset(config(listed, pairs="splits.csv"))
    assert dataset.splits() == ("train", "val", "test")
    assert dataset.samples("val")[0].name == "Tile 2/i"


@pytest.mark.parametrize(("split", "hint"), [("trian", "did you mean `train`?"), ("xyz", "a training reads train and")])
def test_a_split_of_an_unusual_name_is_doubted(listed, split, hint):
    write_csv(listed / "splits.csv", "Tile 1/i.jpg,Tile 1/m.png,train", f"Tile 2/i.jpg,Tile 2/m.png,{split}")
    (doubt,) = list_dataset(config(listed, pairs="splits.csv")).doubts
    assert doubt.message == f"`{listed / 'splits.csv'}` names the split `{split}` (1 pair)"
    assert hint in doubt.hint


def test_an_empty_mask_cell_means_withheld_labels(listed):
    dataset = open_dataset(config(listed, pairs="splits.csv"))
    sample = dataset.samples("test")[0]
    assert sample.mask is None
    with pytest.raises(DataError, match="its labels are withheld"):
        dataset.read(sample)


def test_a_byte_order_mark_and_further_columns_do_no_harm(listed):
    text = "note,image,mask,split\nx,Tile 1/i.jpg, Tile 1/m.png ,train\n"
    (listed / "splits.csv").write_text(text, encoding="utf-8-sig")
    assert len(open_dataset(config(listed, pairs="splits.csv")).samples("train")) == 1


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_header_says_what_separates_the_cells_and_may_hold_spaces(listed, delimiter):
    rows = [("image", " mask", " split "), ("Tile 1/i.jpg", " Tile 1/m.png", " train")]
    (listed / "splits.csv").write_text("".join(f"{delimiter.join(row)}\r\n" for row in rows), encoding="utf-8")
    (sample,) = open_dataset(config(listed, pairs="splits.csv")).samples("train")
    assert (sample.name, sample.mask) == ("Tile 1/i", listed / "Tile 1/m.png")


def test_lines_with_too_few_cells_are_problems_beside_others(listed):
    write_csv(
        listed / "splits.csv", "Tile 1/i.jpg", "Tile 2/i.jpg,Tile 2/m.png,val", "Tile 3/i.jpg,none.png,train", "x,"
    )
    dataset = list_dataset(config(listed, pairs="splits.csv"))
    messages = [problem.message.removeprefix(f"`{listed / 'splits.csv'}` ") for problem in dataset.problems]
    assert [message.partition(" `")[0] for message in messages] == [
        "line 2 has too few cells",
        "line 4 names the mask",
        "line 5 has too few cells",
    ]
    assert len(dataset.samples("val")) == 1


BAD_CSVS = {
    "image,split\na,train\n": "lacks the column `mask`",
    "": "lacks the column `image`, `mask`, `split`",
    "image,mask,split\n": "lists no pairs",
    "image,mask,split\nTile 1/i.jpg\n": "line 2 has too few cells",
    'image,mask,split\n"Tile 1/i.jpg,x,train\n': "unexpected end of data",
    "image,mask,split\nnone.jpg,Tile 1/m.png,train\n": r"line 2 names the image `.*none\.jpg`, which does not exist",
    "image,mask,split\nTile 1/i.jpg,none.png,train\n": r"line 2 names the mask `.*none\.png`, which does not exist",
    "image,mask,split\nTile 1/i.jpg,Tile 1/m.png,\n": "line 2 has no split",
    "image,mask,split\n,Tile 1/m.png,train\n": "line 2 has no image",
    "image,mask,split\nTile 1/i.jpg,Tile 1/m.png,a\nTile 1/i.jpg,Tile 1/m.png,a\n": "line 3 lists `Tile 1/i.jpg` again",
}


@pytest.mark.parametrize(("text", "words"), BAD_CSVS.items())
def test_a_csv_file_that_is_wrong_is_an_error_that_names_it(listed, text, words):
    (listed / "splits.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words) as caught:
        open_dataset(config(listed, pairs="splits.csv"))
    assert "splits.csv" in caught.value.message


def test_a_csv_file_of_bytes_is_an_error(listed):
    (listed / "splits.csv").write_bytes(b"\xff\xfe\x00image")
    with pytest.raises(DataError, match=r"cannot read `.*splits\.csv`"):
        open_dataset(config(listed, pairs="splits.csv"))


def test_a_missing_csv_file_is_an_error(listed):
    with pytest.raises(DataError, match=r"none\.csv`: No such file"):
        open_dataset(config(listed, pairs="none.csv"))


def test_the_fingerprint_follows_files_and_not_their_place(listed, tmp_path_factory):
    before = open_dataset(config(listed, pairs="splits.csv")).fingerprint("train")
    moved = listed.rename(tmp_path_factory.mktemp("other") / "place")
    assert open_dataset(config(moved, pairs="splits.csv")).fingerprint("train") == before
    write_flat(moved / "Tile 1/i.jpg", size=(64, 64))
    assert open_dataset(config(moved, pairs="splits.csv")).fingerprint("train") != before


def test_numbers_as_classes_read_masks_of_numbers(tmp_path):
    write_flat(tmp_path / "images/a.jpg")
    write_image(tmp_path / "masks/a.png", np.full((8, 12), 2, np.uint8))
    dataset = open_dataset(config(tmp_path, classes={"road": "1", "roof": "2"}, ignore_colors=("0",)))
    assert (dataset.read_mask(dataset.samples("train")[0]) == 1).all()
    assert len(set(dataset.palette.colors)) == 2


def test_masks_of_numbers_are_shown_in_the_colors_given():
    classes = {"land": "0", "road": "1", "roof": "2"}
    plain, _ = parse_classes(FolderConfig(classes=classes))
    taken = "".join(f"{part:02x}" for part in plain.colors[0])
    palette, _ = parse_classes(FolderConfig(classes=classes, colors={"roof": taken, "road": "6EC1E4"}))
    assert palette.names == ("land", "road", "roof")
    assert palette.colors == (plain.colors[1], (0x6E, 0xC1, 0xE4), plain.colors[0])
    every, _ = parse_classes(
        FolderConfig(classes=classes, colors={"land": "000000", "road": "0000FF", "roof": "00FF00"})
    )
    assert every.colors == ((0, 0, 0), (0, 0, 255), (0, 255, 0))


@pytest.mark.parametrize(
    ("classes", "colors", "words"),
    [
        ({"road": "1"}, {"raod": "6EC1E4"}, "`raod`"),
        ({"road": "1"}, {"road": "blue"}, r"`data\.folder\.colors\.road` must be six hexadecimal digits"),
        ({"road": "1", "roof": "2"}, {"road": "6EC1E4", "roof": "#6ec1e4"}, "uses `#6ec1e4` twice"),
        ({"road": "6EC1E4"}, {"road": "6EC1E4"}, "is for masks of numbers"),
    ],
)
def test_colors_that_cannot_be_shown_are_refused(classes, colors, words):
    with pytest.raises(ConfigError, match=words) as caught:
        parse_classes(FolderConfig(classes=classes, colors=colors))
    assert caught.value.hint


def test_ignored_colors_become_255(paired):
    dataset = open_dataset(config(paired, classes={"roof": "FA0000"}, ignore_colors=("#010203",)))
    assert (dataset.read_mask(dataset.samples("train")[0]) == 255).all()


BAD_CLASSES = [
    ({}, (), "1 to 254 classes, got 0"),
    ({"road": "red"}, (), r"`data\.folder\.classes\.road` must be six hexadecimal digits .*, got `red`"),
    ({"road": "1", "water": "blue"}, (), r"classes\.water` must be .* or a number up to 255, got `blue`"),
    ({"road": "1", "water": "-2"}, (), r"classes\.water` must be .* or a number up to 255, got `-2`"),
    ({"road": "1"}, ("black",), r"`data\.folder\.ignore_colors` must be .*, got `black`"),
    ({"road": "1", "water": "00FF00"}, (), "mix numbers and colors: `1` and `#00FF00`"),
    ({"road": "1"}, ("000000",), "mix numbers and colors: `1` and `#000000`"),
    ({"road": "", "water": ""}, (), r"`data\.folder\.classes\.road` has no value"),
    ({"road": "300"}, (), "numbers up to 255"),
    ({"road": "1", "roof": "1"}, (), "use `1` twice"),
    ({"road": "1", "roof": "01"}, (), "use `01` twice"),
    ({"road": "010203"}, ("010203",), "use `010203` twice"),
    ({"road": "fa0000", "roof": "FA0000"}, (), "use `FA0000` twice"),
    ({"road": "fa0000"}, ("#FA0000",), "use `#FA0000` twice"),
    ({str(index): str(index) for index in range(255)}, (), "got 255"),
]


@pytest.mark.parametrize(("classes", "ignore", "words"), BAD_CLASSES)
def test_classes_that_cannot_be_told_apart_are_refused(classes, ignore, words):
    with pytest.raises(ConfigError, match=words):
        parse_classes(FolderConfig(classes=classes, ignore_colors=ignore))


def test_a_color_that_yaml_takes_for_a_comment_is_to_be_quoted(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("data:\n  name: folder\n  folder:\n    classes:\n      road: #3C1098\n      water: #E2A929\n")
    with pytest.raises(ConfigError, match=r"`data\.folder\.classes\.road` has no value") as caught:
        open_dataset(load_config(path).data)
    assert '"#3C1098"' in caught.value.hint


@pytest.mark.parametrize("by", ["neighbors", "name"])
def test_pairs_matched_by_stem_are_dealt_as_the_setting_says(tmp_path, by):
    names = [f"photo{number:02}" for number in range(35)]
    for name in names:
        write_pair(tmp_path, name)
    dataset = open_dataset(config(tmp_path, split_by=by))
    found = {split: [sample.name for sample in dataset.samples(split)] for split in dataset.splits()}
    assert found == {
        split: [sample.name for sample in members]
        for split, members in deal([Sample(name, None, None) for name in names], by).splits.items()
    }
    assert ("a hash of each name" if by == "name" else "the numbers in names (35 images in 1 group") in dataset.dealing


def test_a_list_is_not_dealt(listed):
    assert list_dataset(config(listed, pairs="splits.csv")).dealing == ""


IN_SPLITS = ["train/a", "train/deep/b", "val/a", "test/c"]


def split_pairs(root, layout, stems=IN_SPLITS):
    for stem in stems:
        split, _, rest = stem.partition("/")
        image, mask = (layout.format(kind=kind, split=split, rest=rest) for kind in ("images", "masks"))
        write_pair(root, rest, image=f"{image}.jpg", mask=f"{mask}.png")


@pytest.mark.parametrize("layout", ["{kind}/{split}/{rest}", "{split}/{kind}/{rest}"])
@pytest.mark.parametrize("val", ["val", "valid", "Validation"])
def test_folders_named_as_splits_are_the_splits(tmp_path, layout, val):
    stems = [stem.replace("val", val) for stem in IN_SPLITS]
    split_pairs(tmp_path, layout, stems)
    dataset = open_dataset(config(tmp_path))
    assert dataset.splits() == ("train", "val", "test")
    found = [sample for split in dataset.splits() for sample in dataset.samples(split)]
    assert [sample.name for sample in found] == stems
    for sample in found:
        assert sample.image.stem == sample.mask.stem == sample.name.rpartition("/")[2]
        assert (dataset.read(sample)[1] == 0).all()


def test_a_split_without_a_folder_of_masks_has_no_labels(tmp_path):
    split_pairs(tmp_path, "{kind}/{split}/{rest}", ["train/a", "val/a"])
    write_flat(tmp_path / "images/test/c.jpg")
    dataset = open_dataset(config(tmp_path))
    assert [(sample.name, sample.mask) for sample in dataset.samples("test")] == [("test/c", None)]


def test_images_beside_the_folders_of_splits_are_a_problem(tmp_path):
    split_pairs(tmp_path, "{kind}/{split}/{rest}")
    write_pair(tmp_path, "more/x")
    with pytest.raises(DataError, match=r"more/x\.jpg` and 0 more images lie beside the folders of splits"):
        open_dataset(config(tmp_path))


def test_an_image_of_a_split_without_its_mask_is_a_problem(tmp_path):
    split_pairs(tmp_path, "{kind}/{split}/{rest}")
    (tmp_path / "masks/val/a.png").unlink()
    with pytest.raises(DataError, match=r"images/val/a\.jpg` has no mask"):
        open_dataset(config(tmp_path))


@pytest.mark.parametrize(("image", "mask"), [("{}_sat", "{}_mask"), ("{}", "{}_lab")])
def test_stems_that_differ_by_their_endings_are_one_error_with_a_way_out(tmp_path, image, mask):
    for stem in "abc":
        write_pair(tmp_path, stem, image=f"images/{image}.jpg", mask=f"masks/{mask}.png")
    with pytest.raises(DataError, match="no image has the stem of a mask") as caught:
        open_dataset(config(tmp_path))
    assert "data.folder.pairs" in caught.value.hint
