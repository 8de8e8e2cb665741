import numpy as np
import pytest

from rsseg_tf.config import DataConfig, IsprsConfig, load_config
from rsseg_tf.datasets import open_dataset, write_image
from rsseg_tf.datasets.catalog import list_dataset
from rsseg_tf.datasets.readers.isprs import POTSDAM, VAIHINGEN
from rsseg_tf.errors import ConfigError, DataError
from tests.datasets.readers.layouts import write_flat, write_many

ALL_TILES = sorted({tile for split in VAIHINGEN.splits["challenge"].values() for tile in split}, key=int)
CAR = (255, 255, 0)


def config(root, **settings):
    name, unknown_colors = settings.pop("name", "vaihingen"), settings.pop("unknown_colors", "error")
    return DataConfig(name=name, root=str(root), unknown_colors=unknown_colors, isprs=IsprsConfig(**settings))


def write_vaihingen(root, *, full="gts_for_participants/", eroded="gts_eroded_for_participants/"):
    write_many([root / f"top/top_mosaic_09cm_area{tile}.tif" for tile in ALL_TILES], (90, 50, 40))
    write_many([root / f"{full}top_mosaic_09cm_area{tile}.tif" for tile in ALL_TILES], CAR)
    first, *others = [root / f"{eroded}top_mosaic_09cm_area{tile}_noBoundary.tif" for tile in ALL_TILES]
    picture = np.full((8, 12, 3), CAR, np.uint8)
    picture[0] = 0
    write_image(first, picture)
    for path in others:
        path.hardlink_to(first)


def test_the_benchmark_has_33_tiles_and_the_papers_split_is_part_of_them():
    assert len(ALL_TILES) == 33
    paper = VAIHINGEN.splits["paper"]
    assert not set(paper["train"]) & set(paper["test"])
    assert {*paper["train"], *paper["test"]} <= set(ALL_TILES)


def test_the_potsdam_split_has_the_38_published_tiles():
    split = POTSDAM.splits["challenge"]
    assert (len(split["train"]), len(split["test"])) == (24, 14)
    assert not set(split["train"]) & set(split["test"])


COMPLETE = "ISPRS_semantic_labeling_Vaihingen_ground_truth"


@pytest.mark.parametrize(
    ("full", "eroded"),
    [
        ("gts_for_participants/", "gts_eroded_for_participants/"),
        ("", ""),
        (f"{COMPLETE}_COMPLETE/", f"{COMPLETE}_eroded_COMPLETE/"),
    ],
    ids=["for participants", "complete", "complete, each in a folder of its own"],
)
def test_all_archives_read_alike(tmp_path, full, eroded):
    write_vaihingen(tmp_path, full=full, eroded=eroded)
    dataset = open_dataset(config(tmp_path))
    assert [sample.name for sample in dataset.samples("test")] == ["area11", "area15", "area28", "area30", "area34"]
    image, mask = dataset.read(dataset.samples("train")[0])
    assert image[0, 0].tolist() == [90, 50, 40]
    assert (mask == dataset.palette.names.index("car")).all()


def test_val_repeats_test(tmp_path):
    write_vaihingen(tmp_path)
    dataset = open_dataset(config(tmp_path))
    assert dataset.samples("val") == dataset.samples("test")


def test_the_challenge_split_uses_every_tile(tmp_path):
    write_vaihingen(tmp_path)
    dataset = open_dataset(config(tmp_path, split="challenge"))
    assert (len(dataset.samples("train")), len(dataset.samples("test"))) == (16, 17)


def test_eroded_outlines_are_ignored_where_scores_are_taken_but_not_in_training(tmp_path):
    write_vaihingen(tmp_path)
    dataset = open_dataset(config(tmp_path, ground_truth="eroded"))
    ignored = {split: (dataset.read_mask(dataset.samples(split)[0]) == 255).sum() for split in dataset.splits()}
    assert ignored == {"train": 0, "val": 12, "test": 12}


@pytest.mark.parametrize(
    ("name", "image", "mask", "tile", "size"),
    [
        (
            "vaihingen",
            "top/top_mosaic_09cm_area1.tif",
            "gts_for_participants/top_mosaic_09cm_area1.tif",
            "area1",
            (2569, 1919),
        ),
        pytest.param(
            "potsdam",
            "2_Ortho_RGB/top_potsdam_2_10_RGB.tif",
            "5_Labels_all/top_potsdam_2_10_label.tif",
            "area2_10",
            (6000, 6000),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_tiles_of_true_size_read_pixel_by_pixel(tmp_path, name, image, mask, tile, size):
    if name == "vaihingen":
        write_vaihingen(tmp_path)
    else:
        tiles = [tile for split in POTSDAM.splits["paper"].values() for tile in split]
        write_many([tmp_path / f"2_Ortho_RGB/top_potsdam_{tile}_RGB.tif" for tile in tiles], (1, 2, 3))
        write_many([tmp_path / f"5_Labels_all/top_potsdam_{tile}_label.tif" for tile in tiles], CAR)
    rng = np.random.default_rng(0)
    colors = np.asarray(
        [(255, 255, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0)], np.uint8
    )
    blocks = rng.integers(0, 6, (-(-size[0] // 64), -(-size[1] // 64)))
    ids = np.kron(blocks, np.ones((64, 64), int))[: size[0], : size[1]]
    picture = np.stack([ids, ids * 7 + 5, np.add.outer(np.arange(size[0]), np.arange(size[1])) // 16], axis=2)
    picture = picture.astype(np.uint8)
    for path, content in ((image, picture), (mask, colors[ids])):
        (tmp_path / path).unlink()
        write_image(tmp_path / path, content)

    dataset = open_dataset(config(tmp_path, name=name))
    sample = next(sample for sample in dataset.samples("train") if sample.name == tile)
    pixels, labels = dataset.read(sample)

    np.testing.assert_array_equal(pixels, picture)
    np.testing.assert_array_equal(labels, ids)


def test_every_missing_tile_is_named_with_where_it_was_looked_for(tmp_path):
    write_vaihingen(tmp_path)
    (tmp_path / "top/top_mosaic_09cm_area7.tif").unlink()
    (tmp_path / "gts_for_participants/top_mosaic_09cm_area13.tif").unlink()
    words = r"image of tile 7 is missing: no `.*top/top_mosaic_09cm_area7\.tif` \(and 1 more"
    with pytest.raises(DataError, match=words) as caught:
        open_dataset(config(tmp_path))
    assert "COMPLETE" in caught.value.hint


def test_a_folder_without_any_tile_is_an_error(tmp_path):
    write_flat(tmp_path / "other.png")
    with pytest.raises(DataError, match="no tile with a mask"):
        open_dataset(config(tmp_path))


def test_potsdam_reads_its_own_names(tmp_path):
    tiles = [tile for split in POTSDAM.splits["paper"].values() for tile in split]
    write_many([tmp_path / f"2_Ortho_RGB/top_potsdam_{tile}_RGB.tif" for tile in tiles], (1, 2, 3))
    write_many([tmp_path / f"5_Labels_all/top_potsdam_{tile}_label.tif" for tile in tiles], CAR)
    dataset = open_dataset(config(tmp_path, name="potsdam"))
    assert dataset.samples("train")[0].name == "area2_10"
    assert (dataset.read(dataset.samples("test")[-1])[1] == 4).all()


def test_potsdams_masks_for_participants_stand_before_those_of_all(tmp_path):
    tiles = [tile for split in POTSDAM.splits["paper"].values() for tile in split]
    write_many([tmp_path / f"2_Ortho_RGB/top_potsdam_{tile}_RGB.tif" for tile in tiles], (1, 2, 3))
    write_many([tmp_path / f"5_Labels_all/top_potsdam_{tile}_label.tif" for tile in tiles], CAR)
    whole = tmp_path / "5_Labels_for_participants/top_potsdam_4_12_label.tif"
    write_flat(whole, (0, 0, 255))
    dataset = open_dataset(config(tmp_path, name="potsdam"))
    masks = {sample.name: sample.mask for sample in dataset.samples("train")}
    assert masks["area4_12"] == whole
    assert masks["area4_11"] == tmp_path / "5_Labels_all/top_potsdam_4_11_label.tif"


def test_a_tile_missing_among_the_rgb_ones_is_not_filled_by_infrared(tmp_path):
    tiles = [tile for split in POTSDAM.splits["paper"].values() for tile in split]
    write_many([tmp_path / f"2_Ortho_RGB/top_potsdam_{tile}_RGB.tif" for tile in tiles], (1, 2, 3))
    write_many([tmp_path / f"3_Ortho_IRRG/top_potsdam_{tile}_IRRG.tif" for tile in tiles], (7, 7, 7))
    write_many([tmp_path / f"5_Labels_all/top_potsdam_{tile}_label.tif" for tile in tiles], CAR)
    (tmp_path / "2_Ortho_RGB/top_potsdam_2_11_RGB.tif").unlink()
    (tmp_path / "3_Ortho_IRRG/top_potsdam_7_13_IRRG.tif").unlink()
    with pytest.raises(DataError, match=r"the image of tile 2_11 is missing: no `[^`]*2_11_RGB.tif`\n"):
        open_dataset(config(tmp_path, name="potsdam"))


@pytest.mark.parametrize(("ground_truth", "ending"), [("full", "label"), ("eroded", "label_noBoundary")])
def test_potsdams_labels_read_from_the_root(tmp_path, ground_truth, ending):
    tiles = [tile for split in POTSDAM.splits["paper"].values() for tile in split]
    write_many([tmp_path / f"2_Ortho_RGB/top_potsdam_{tile}_RGB.tif" for tile in tiles], (1, 2, 3))
    for kind in ("label", "label_noBoundary"):
        write_many([tmp_path / f"top_potsdam_{tile}_{kind}.tif" for tile in tiles], CAR)
    dataset = open_dataset(config(tmp_path, name="potsdam", ground_truth=ground_truth))
    assert dataset.samples("test")[0].mask == tmp_path / f"top_potsdam_2_13_{ending}.tif"
    assert dataset.samples("train")[0].mask == tmp_path / "top_potsdam_2_10_label.tif"


@pytest.mark.parametrize("folder", ["5_Labels_all_noBoundary", "5_Labels_all"])
def test_potsdams_eroded_masks_read_from_both_archives(tmp_path, folder):
    tiles = [tile for split in POTSDAM.splits["paper"].values() for tile in split]
    write_many([tmp_path / f"3_Ortho_IRRG/top_potsdam_{tile}_IRRG.tif" for tile in tiles], (1, 2, 3))
    write_many([tmp_path / f"5_Labels_all/top_potsdam_{tile}_label.tif" for tile in tiles], CAR)
    write_many([tmp_path / f"{folder}/top_potsdam_{tile}_label_noBoundary.tif" for tile in tiles], (0, 0, 0))
    dataset = open_dataset(config(tmp_path, name="potsdam", ground_truth="eroded"))
    assert (dataset.read_mask(dataset.samples("test")[0]) == 255).all()
    assert (dataset.read_mask(dataset.samples("train")[0]) == 4).all()


def test_clutter_can_be_left_out_as_in_the_paper(tmp_path):
    write_vaihingen(tmp_path)
    write_flat(tmp_path / "gts_for_participants/top_mosaic_09cm_area1.tif", (255, 0, 0), size=(8, 12))
    dataset = open_dataset(config(tmp_path, clutter="ignore"))

    assert dataset.palette.names == ("impervious surface", "building", "low vegetation", "tree", "car")
    assert (dataset.read_mask(dataset.samples("train")[0]) == 255).all()


def problems(data):
    return list_dataset(data).problems


def potsdam(root, tiles):
    write_many([root / f"2_Ortho_RGB/top_potsdam_{tile}_RGB.tif" for tile in tiles], (1, 2, 3))
    write_many([root / f"5_Labels_all/top_potsdam_{tile}_label.tif" for tile in tiles], CAR)


def test_tiles_are_left_out_on_request_whether_they_are_there_or_not(tmp_path):
    every = [tile for split in POTSDAM.splits["paper"].values() for tile in split]
    potsdam(tmp_path, [tile for tile in every if tile != "4_12"])
    missing = {tile for tile in every if f"tile {tile} is missing" in str(problems(config(tmp_path, name="potsdam")))}
    assert missing == {"4_12"}
    dataset = config(tmp_path, name="potsdam", leave_out=("7_10", "4_12"))
    assert problems(dataset) == ()
    kept = {sample.name for split in ("train", "test") for sample in open_dataset(dataset).samples(split)}
    assert kept == {f"area{tile}" for tile in every if tile not in ("7_10", "4_12")}


def test_the_error_about_a_missing_tile_says_how_to_do_without_it(tmp_path):
    every = [tile for split in POTSDAM.splits["paper"].values() for tile in split]
    potsdam(tmp_path, [tile for tile in every if tile != "4_12"])
    (problem, _) = problems(config(tmp_path, name="potsdam"))
    _, _, setting = problem.hint.rpartition("to do without it: ")
    values = load_config(overrides=["data.name=potsdam", f"data.root={tmp_path}", setting]).data
    assert values.isprs.leave_out == ("4_12",)
    assert problems(values) == ()


def test_a_tile_that_is_none_cannot_be_left_out(tmp_path):
    potsdam(tmp_path, ["2_10"])
    with pytest.raises(ConfigError, match="no tile 9_99") as caught:
        open_dataset(config(tmp_path, name="potsdam", leave_out=("9_99",)))
    assert "7_10" in caught.value.hint
