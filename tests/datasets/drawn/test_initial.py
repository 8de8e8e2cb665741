"""What annotation programs export and what is published becomes a data set that trains, or says why not."""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from rsseg_tf.cli.main import cli, main
from rsseg_tf.config import load_config
from rsseg_tf.datasets import open_dataset, write_image
from rsseg_tf.datasets.check import check_dataset
from rsseg_tf.datasets.drawn.initial import initialize
from rsseg_tf.datasets.drawn.layouts import LAYOUTS
from rsseg_tf.datasets.drawn.shapes import unpacked_runs
from rsseg_tf.datasets.palette import parse_color
from rsseg_tf.errors import DataError

SIZE = (20, 30)


def photo(path: Path) -> Path:
    write_image(
        path, np.random.default_rng(zlib.crc32(path.as_posix().encode())).integers(0, 255, (*SIZE, 3), np.uint8)
    )
    return path


def opened(result: dict[str, Any]) -> Any:
    dataset = open_dataset(load_config(Path(result["config"])).data)
    assert check_dataset(dataset).problems == ()
    return dataset


def numbers_mask(path: Path, *values: int) -> None:
    mask = np.array(values, np.uint8)[np.arange(SIZE[1]) * len(values) // SIZE[1]]
    write_image(path, np.tile(mask, (SIZE[0], 1)))


def test_roboflow_masks_lie_beside_their_images(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        for number in range(2):
            photo(tmp_path / f"in/{split}/a{number}_jpg.rf.{number:032x}.jpg")
            numbers_mask(tmp_path / f"in/{split}/a{number}_jpg.rf.{number:032x}_mask.png", 0, 1)
        (tmp_path / f"in/{split}/_classes.csv").write_text("Pixel Value, Class\n0, background\n1, roof\n2, car\n")
    result = initialize(tmp_path / "in", tmp_path / "out")
    assert result["splits"] == {"train": 2, "val": 2, "test": 2}
    assert result["values"] == {"0": 6 * 300, "1": 6 * 300}
    assert opened(result).palette.names == ("background", "roof", "car")


@pytest.mark.parametrize("listed", [True, False])
def test_cvat_masks_have_the_colors_of_their_label_map(tmp_path: Path, listed: bool) -> None:
    (tmp_path / "in/ImageSets/Segmentation").mkdir(parents=True)
    (tmp_path / "in/labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroof:128,0,0::\n", encoding="utf-8"
    )
    for number in range(7):
        photo(tmp_path / f"in/JPEGImages/{number}.jpg")
        write_image(tmp_path / f"in/SegmentationClass/{number}.png", np.full((*SIZE, 3), (128, 0, 0), np.uint8))
    names = {"train": "0\n1\n2\n3\n4\n", "val": "5\n", "test": "6\n"} if listed else {"default": "0\n1\n"}
    for split, text in names.items():
        (tmp_path / f"in/ImageSets/Segmentation/{split}.txt").write_text(text)
    result = initialize(tmp_path / "in", tmp_path / "out")
    dataset = opened(result)
    assert dataset.palette.colors == ((0, 0, 0), (128, 0, 0))
    assert [len(dataset.samples(split)) for split in ("train", "val", "test")] == [5, 1, 1]
    if listed:
        assert dataset.samples("val")[0].image == tmp_path / "in/JPEGImages/5.jpg"


NAMED = [layout for layout in LAYOUTS if layout.marks and layout.classes and not callable(layout.classes)]


@pytest.mark.parametrize("layout", NAMED, ids=lambda layout: layout.name)
def test_published_layouts_are_known(tmp_path: Path, layout: Any) -> None:
    """Files under the names of the layout, one a class, with what is ignored."""
    values = [*layout.classes.values(), *layout.ignored]
    for pattern, write in ((layout.image_glob, photo), (layout.mask_glob, None)):
        for number in range(8):
            split = ("train", "val", "test")[number % 3]
            name = pattern.replace("{split}", split).replace("*/", f"city{number % 2}/").replace("*", str(number))
            path = tmp_path / "in" / name.replace(".EXT", ".JPG")
            if write:
                write(path)
            elif values[0].isdecimal():
                numbers_mask(path, *map(int, values))
            else:
                colors = np.array([parse_color(value) for value in values], np.uint8)
                write_image(path, np.tile(colors[np.arange(SIZE[1]) * len(values) // SIZE[1]], (SIZE[0], 1, 1)))
    for mark in layout.marks:
        if mark.endswith(".txt"):
            (tmp_path / "in" / mark).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "in" / mark).write_text("0\n1\n2\n3\n4\n5\n")
            (tmp_path / "in" / mark).with_name("val.txt").write_text("6\n7\n")
    result = initialize(tmp_path / "in", tmp_path / "out")
    assert result["layout"] == layout.name
    assert sum(result["splits"].values()) == 8
    dataset = opened(result)
    assert dataset.palette.names == tuple(layout.classes)
    _, mask = dataset.read(dataset.samples("train")[0])
    assert set(np.unique(mask)) == {*range(len(layout.classes)), *([255] if layout.ignored else [])}


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("img/{}.jpg", "gt/{}.png"),
        ("{split}/images/{}.tif", "{split}/labels/{}.tif"),
        ("{}.png", "{}_mask.png"),
        ("{split}/{}.PNG", "{split}/{}-label.png"),
        ("images/deep/{}.jpg", "annotations/deep/{}_label.png"),
    ],
)
def test_folders_under_other_names_are_known_and_their_values_counted(tmp_path: Path, image: str, mask: str) -> None:
    for number in range(9):
        split = ("train", "valid")[number % 2]
        photo(tmp_path / "in" / image.format(number, split=split))
        numbers_mask(tmp_path / "in" / mask.format(number, split=split), 3, 3, 7)
    result = initialize(tmp_path / "in", tmp_path / "out")
    assert result["values"] == {"3": 9 * 400, "7": 9 * 200}
    dataset = opened(result)
    assert dataset.palette.names == ("class 3", "class 7")
    assert sum(len(dataset.samples(split)) for split in dataset.splits()) == 9


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/{split}/{}.jpg", "masks/{split}/{}.png"),
        ("img/{split}/deep/{}.png", "gt/{split}/deep/{}_label.png"),
        ("{split}/images/{}.jpg", "{split}/masks/{}.png"),
    ],
)
@pytest.mark.parametrize("names", [("train", "val", "test"), ("Train", "Validation", "TEST")])
def test_folders_of_splits_are_the_splits_wherever_they_lie(tmp_path: Path, image: str, mask: str, names) -> None:
    for number in range(12):
        split = names[(0, 0, 1, 2)[number % 4]]
        photo(tmp_path / "in" / image.format(number, split=split))
        numbers_mask(tmp_path / "in" / mask.format(number, split=split), 0, 1)
    result = initialize(tmp_path / "in", tmp_path / "out")
    dataset = opened(result)

    assert result["splits"] == {"train": 6, "val": 3, "test": 3}
    for split, name in zip(("train", "val", "test"), names, strict=True):
        assert all(name in each.image.parts for each in dataset.samples(split))


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        ([f"images/test/{number}" for number in range(2)] + [f"images/{number}" for number in range(7)], (7, 1, 1)),
        ([f"images/test/{number}" for number in range(8)], (6, 1, 1)),
        ([f"test/images/{number}" for number in range(8)], (0, 0, 8)),
    ],
)
def test_folders_are_splits_where_there_is_one_to_train_on_or_nothing_else(tmp_path: Path, names, splits) -> None:
    for name in names:
        photo(tmp_path / f"in/{name}.jpg")
        numbers_mask(tmp_path / f"in/{name}.png".replace("images", "masks"), 0, 1)
    found = initialize(tmp_path / "in", tmp_path / "out")["splits"]
    assert tuple(found.get(split, 0) for split in ("train", "val", "test")) == splits


def test_pairs_beside_the_folders_of_splits_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(8):
        folder = ("train", "val", "more", "train")[number % 4]
        photo(tmp_path / f"in/images/{folder}/{number}.jpg")
        numbers_mask(tmp_path / f"in/masks/{folder}/{number}.png", 0, 1)
    result = initialize(tmp_path / "in", tmp_path / "out")

    assert result["splits"] == {"train": 4, "val": 2}
    assert re.search(r"more/2\.jpg` and 1 more images with masks lie beside", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("images", "masks"),
    [((".JPG", ".jpg"), (".png",)), ((".jpg", ".tif"), (".png", ".tif")), ((".PNG", ".png"), (".png",))],
)
def test_every_pair_counts_whatever_its_ending(tmp_path: Path, images, masks) -> None:
    for number in range(14):
        photo(tmp_path / f"in/images/{number}{images[number % len(images)]}")
        numbers_mask(tmp_path / f"in/masks/{number}{masks[number % len(masks)]}", 0, 1)
    result = initialize(tmp_path / "in", tmp_path / "out")

    assert result["splits"] == {"train": 10, "val": 2, "test": 2}
    opened(result)


def test_of_files_that_differ_in_the_ending_alone_one_is_the_image(tmp_path: Path) -> None:
    for number in range(7):
        for ending in ("jpg", "tif"):
            photo(tmp_path / f"in/images/{number}.{ending}")
        numbers_mask(tmp_path / f"in/masks/{number}.png", 0, 1)
    dataset = opened(initialize(tmp_path / "in", tmp_path / "out"))

    assert {each.image.suffix for split in dataset.splits() for each in dataset.samples(split)} == {".jpg"}


@pytest.mark.parametrize(("values", "names"), [((0, 255), ["0", "255"]), ((0, 1, 255), ["0", "1"])])
def test_255_is_a_class_of_masks_that_hold_but_one_other_value_and_always_said(tmp_path: Path, values, names) -> None:
    for number in range(9):
        photo(tmp_path / f"in/images/{number}.jpg")
        numbers_mask(tmp_path / f"in/masks/{number}.png", *values)
    result = initialize(tmp_path / "in", tmp_path / "out")
    assert "255" in result["values"]
    assert sum(result["values"].values()) == 9 * SIZE[0] * SIZE[1]
    assert opened(result).palette.names == tuple(f"class {name}" for name in names)


def test_numbers_that_no_class_can_have_are_refused(tmp_path: Path) -> None:
    for number in range(9):
        photo(tmp_path / f"in/images/{number}.jpg")
        mask = np.zeros(SIZE, np.uint16)
        mask[:4] = 600
        (tmp_path / "in/masks").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f"in/masks/{number}.png"), mask)
    with pytest.raises(DataError, match="the masks hold 600, a class is a whole number up to 255"):
        initialize(tmp_path / "in", tmp_path / "out")


def polygon_mask(points: list[tuple[float, float]]) -> np.ndarray:
    """Middles of pixels inside a polygon, by the sign of cross products of a convex one."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    sides = [
        (x1 - x0) * (rows - y0) - (y1 - y0) * (columns - x0)
        for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True)
    ]
    return np.all(np.stack(sides) > 0, axis=0)


ROOF = [(3.2, 2.1), (21.7, 4.3), (14.9, 17.6)]
CAR = [(8.0, 5.0), (12.0, 5.0), (12.0, 9.0), (8.0, 9.0)]


def labelme(path: Path, *shapes: dict[str, Any], size: tuple[int, int] = SIZE) -> Path:
    photo(path.with_suffix(".jpg"))
    content = {"shapes": shapes, "imagePath": path.with_suffix(".jpg").name, "imageData": None}
    path.write_text(json.dumps({**content, "imageHeight": size[0], "imageWidth": size[1]}))
    return path


def shape(label: str, points: list[tuple[float, float]], kind: str = "polygon", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, **more}


def drawn(result: dict[str, Any], name: str) -> np.ndarray:
    dataset = opened(result)
    (sample,) = (each for split in dataset.splits() for each in dataset.samples(split) if name in each.name)
    mask: np.ndarray = dataset.read(sample)[1]
    return mask


@pytest.mark.parametrize("background", ["", "ground"])
def test_labelme_outlines_lie_in_the_order_they_were_drawn(tmp_path: Path, background: str) -> None:
    (tmp_path / "in").mkdir()
    for number in range(8):
        labelme(tmp_path / f"in/{number}.json", shape("roof", ROOF), shape("car", [CAR[0], CAR[2]], "rectangle"))
    result = initialize(tmp_path / "in", tmp_path / "out", background=background)
    first = 1 if background else 0
    expected = np.full(SIZE, 0 if background else 255)
    expected[polygon_mask(ROOF)] = 1 + first
    expected[polygon_mask(CAR)] = first
    assert np.array_equal(drawn(result, "/5"), expected)
    assert result["splits"] == {"train": 6, "val": 1, "test": 1}
    assert list(result["classes"]) == (["ground"] if background else []) + ["car", "roof"]


@pytest.mark.parametrize("kind", ["rectangle", "rotation"])
def test_a_rectangle_may_be_said_by_four_corners(tmp_path: Path, kind: str) -> None:
    (tmp_path / "in").mkdir()
    labelme(tmp_path / "in/a_train.json", shape("car", CAR, kind))
    labelme(tmp_path / "in/b_val.json", shape("tree", ROOF))

    found = drawn(initialize(tmp_path / "in", tmp_path / "out"), "a_train")
    assert np.array_equal(found == 0, polygon_mask(CAR))


def test_images_of_one_name_in_several_folders_are_dealt_as_several(tmp_path: Path) -> None:
    for folder in "abc":
        (tmp_path / "in" / folder).mkdir(parents=True)
        for number in range(7):
            labelme(tmp_path / f"in/{folder}/im{number}.json", shape("roof", ROOF), shape("car", CAR))
    splits = initialize(tmp_path / "in", tmp_path / "out")["splits"]
    assert (min(splits["val"], splits["test"]), sum(splits.values())) == (2, 21)


def test_labelme_circles_and_masks(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    disc = np.zeros((6, 7), np.uint8)
    disc[1:5, 2:6] = 255
    text = base64.b64encode(cv2.imencode(".png", disc)[1].tobytes()).decode()
    stamp = shape("car", [(20, 10), (26, 15)], "mask", mask=text)
    labelme(tmp_path / "in/a_train.json", shape("tree", [(10, 10), (10, 14.5)], "circle"), stamp)
    labelme(tmp_path / "in/b_val.json", shape("tree", ROOF))
    found = drawn(initialize(tmp_path / "in", tmp_path / "out"), "a_train")
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    assert np.count_nonzero((found == 1) != (np.hypot(rows - 10, columns - 10) < 4.5)) <= 4
    assert np.array_equal(np.argwhere(found == 0).min(axis=0), [11, 22])
    assert np.count_nonzero(found == 0) == 16


@pytest.mark.parametrize("corner", [(-3, -2), (SIZE[1] - 4, SIZE[0] - 3), (-3, SIZE[0] - 3), (-9, 4)])
def test_a_labelme_mask_that_juts_out_of_the_image_is_cut_there(tmp_path: Path, corner: tuple[int, int]) -> None:
    (tmp_path / "in").mkdir()
    disc = np.random.default_rng(0).integers(0, 2, (6, 7), np.uint8) * 255
    text = base64.b64encode(cv2.imencode(".png", disc)[1].tobytes()).decode()
    left, top = corner
    stamp = shape("car", [corner, (left + 6, top + 5)], "mask", mask=text)
    labelme(tmp_path / "in/a_train.json", shape("tree", ROOF), stamp)
    labelme(tmp_path / "in/b_val.json", shape("car", ROOF))
    found = drawn(initialize(tmp_path / "in", tmp_path / "out"), "a_train")
    around = np.zeros((SIZE[0] + 20, SIZE[1] + 20), np.uint8)
    around[top + 10 : top + 16, left + 10 : left + 17] = disc
    assert np.array_equal(found == 0, around[10:-10, 10:-10] > 0)


def packed(runs: list[int]) -> str:
    """COCO's compressed form, after its description: the other way round than the code."""
    text = ""
    for place, run in enumerate(runs):
        value, more = run - (runs[place - 2] if place > 2 else 0), True
        while more:
            bits, value = value & 31, value >> 5
            more = not ((value == 0 and not bits & 16) or (value == -1 and bits & 16))
            text += chr((bits | (32 if more else 0)) + 48)
    return text


def test_coco_runs_areunpacked_runs() -> None:
    runs = np.random.default_rng(0).integers(0, 5000, 301).tolist()
    assert list(unpacked_runs(packed(runs))) == runs


@pytest.mark.parametrize("kind", ["polygon", "runs", "packed"])
@pytest.mark.parametrize("layout", ["roboflow", "coco"])
def test_coco_areas_of_each_kind(tmp_path: Path, kind: str, layout: str) -> None:
    def segmentation(points: list[tuple[float, float]]) -> Any:
        if kind == "polygon":
            return [[value for point in points for value in point]]
        flat = np.concatenate([[False], polygon_mask(points).T.ravel(), [False]])
        edges = np.flatnonzero(np.diff(flat))
        runs = np.diff(np.concatenate([[0], edges, [SIZE[0] * SIZE[1]]])).tolist()
        return {"size": SIZE, "counts": packed(runs) if kind == "packed" else runs}

    for split in ("train", "valid"):
        folder = tmp_path / "in" / (split if layout == "roboflow" else "images")
        photo(folder / f"{split}.jpg")
        areas = [(7, CAR, 16), (4, ROOF, 130)]
        content = {
            "images": [{"id": 5, "file_name": f"{split}.jpg", "height": SIZE[0], "width": SIZE[1]}],
            "categories": [{"id": 4, "name": "roof"}, {"id": 7, "name": "car"}, {"id": 0, "name": "things"}],
            "annotations": [
                {
                    "id": number,
                    "image_id": 5,
                    "category_id": category,
                    "area": area,
                    "segmentation": segmentation(points),
                }
                for number, (category, points, area) in enumerate(areas)
            ],
        }
        name = f"{split}/_annotations.coco.json" if layout == "roboflow" else f"annotations/instances_{split}.json"
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_text(json.dumps(content))
    result = initialize(tmp_path / "in", tmp_path / "out")
    assert result["splits"] == {"train": 1, "val": 1}
    expected = np.full(SIZE, 255)
    expected[polygon_mask(ROOF)] = 1
    expected[polygon_mask(CAR)] = 0
    assert np.array_equal(drawn(result, "valid"), expected)


def coco(root: Path, *annotations: dict[str, Any], image: str = "a.jpg") -> None:
    photo(root / image)
    images = [{"id": 5, "file_name": image, "height": SIZE[0], "width": SIZE[1]}]
    categories = [{"id": 4, "name": "roof"}, {"id": 7, "name": "car"}]
    content = {"images": images, "categories": categories, "annotations": [{"image_id": 5, **e} for e in annotations]}
    (root / "c_train.json").write_text(json.dumps(content))
    labelme(root / "b_val.json", shape("roof", ROOF), shape("car", CAR))


def flat(points: list[tuple[float, float]]) -> list[float]:
    return [value for point in points for value in point]


@pytest.mark.parametrize("area", [{}, {"area": 0}, {"area": None}])
def test_coco_without_areas_has_smaller_ones_above_larger_ones(tmp_path: Path, area: dict[str, Any]) -> None:
    coco(
        tmp_path / "in",
        {"category_id": 7, "segmentation": [flat(CAR)], **area},
        {"category_id": 4, "segmentation": [flat(ROOF)], **area},
    )
    found = drawn(initialize(tmp_path / "in", tmp_path / "out"), "/a")
    assert np.array_equal(found == 0, polygon_mask(CAR))


@pytest.mark.parametrize("segmentation", [{}, {"segmentation": []}, {"segmentation": [[1, 2, 3, 4]]}])
def test_what_lies_in_a_box_without_an_outline_has_no_label(
    tmp_path: Path, segmentation: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    coco(
        tmp_path / "in",
        {"category_id": 4, "segmentation": [flat(ROOF)], "area": 130},
        {"category_id": 7, "bbox": [8, 5, 4, 4], "area": 16, **segmentation},
    )
    found = drawn(initialize(tmp_path / "in", tmp_path / "out", background="ground"), "/a")

    assert np.array_equal(found == 255, polygon_mask(CAR))
    assert "1 annotation without an outline" in capsys.readouterr().err


def test_run_lengths_of_another_size_are_refused(tmp_path: Path) -> None:
    runs = {"size": SIZE[::-1], "counts": [0, SIZE[0] * SIZE[1]]}
    coco(tmp_path / "in", {"category_id": 4, "segmentation": runs})
    with pytest.raises(DataError, match="run lengths of 30×20 pixels for an image of 20×30"):
        initialize(tmp_path / "in", tmp_path / "out")


def test_an_image_that_is_annotated_twice_is_refused(tmp_path: Path) -> None:
    coco(tmp_path / "in", {"category_id": 4, "segmentation": [flat(ROOF)]}, image="b_val.jpg")
    with pytest.raises(DataError, match=r"b_val\.jpg` is annotated in .*b_val\.json` and again in .*c_train\.json"):
        initialize(tmp_path / "in", tmp_path / "out")


def packed_brush(mask: np.ndarray, seed: int) -> list[int]:
    """RGBA bytes in the format of `rle-pack`, with runs of values and of one value in turn, lengths as they come."""
    values = np.repeat(np.where(mask.ravel(), 255, 0), 4).tolist()
    rng = np.random.default_rng(seed)
    lengths = [3, 4, 8, 16]
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{length - 1:04b}" for length in lengths)
    at = 0
    while at < len(values):
        choice = int(rng.integers(4))
        most = min(1 << lengths[choice], len(values) - at)
        same = next((step for step in range(most) if values[at + step] != values[at]), most)
        if same > 1 and rng.random() < 0.8:
            bits += f"1{choice:02b}{same - 1:0{lengths[choice]}b}{values[at]:08b}"
            at += same
        else:
            count = int(rng.integers(1, min(most, 40) + 1))
            bits += f"0{choice:02b}{count - 1:0{lengths[choice]}b}" + "".join(
                f"{v:08b}" for v in values[at : at + count]
            )
            at += count
    bits += "0" * (-len(bits) % 8)
    return [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]


def studio_task(image: str, *regions: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    results = [
        {"type": kind, "original_width": SIZE[1], "original_height": SIZE[0], "value": value} for kind, value in regions
    ]
    who = {"completed_by": {"email": "someone@example.org"}}
    drawn_twice = [{**who, "result": results[:1]}, {**who, "result": results}, {"was_cancelled": True, "result": [1]}]
    return {"id": 3, "data": {"image": image}, "annotations": drawn_twice}


@pytest.mark.parametrize("seed", range(3))
def test_label_studio_brushes_and_outlines(tmp_path: Path, seed: int) -> None:
    for split in ("train", "val"):
        photo(tmp_path / f"in/{split}/photos/{split}.jpg")
        percent = [(x / SIZE[1] * 100, y / SIZE[0] * 100) for x, y in ROOF]
        task = studio_task(
            f"/data/upload/1/0123abcd-{split}.jpg",
            ("brushlabels", {"format": "rle", "rle": packed_brush(polygon_mask(ROOF), seed), "brushlabels": ["roof"]}),
            (
                "rectanglelabels",
                {"x": 80, "y": 0, "width": 20, "height": 50, "rotation": 0, "rectanglelabels": ["sky"]},
            ),
            ("polygonlabels", {"points": percent[::-1], "polygonlabels": ["tree"]} if split == "val" else {}),
        )
        (tmp_path / f"in/{split}/project.json").write_text(json.dumps([task]))
    result = initialize(tmp_path / "in", tmp_path / "out")
    sky = np.zeros(SIZE, bool)
    sky[:10, 24:] = True
    for split, label in (("train", 0), ("val", 2)):
        expected = np.where(sky, 1, 255)
        expected[polygon_mask(ROOF)] = label
        assert np.array_equal(drawn(result, f"/{split}"), expected)
    written = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not any(b"someone" in content for content in written)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("/data/local-files/?d=survey/flightB/1.jpg", "survey/flightB"),
        ("/data/local-files/?d=survey%2FflightB%2F1.jpg", "survey/flightB"),
        ("s3://bucket/survey/flightA/1.jpg", "survey/flightA"),
        ("/data/upload/3/0123abcd-1.jpg", ""),
    ],
)
def test_of_images_of_one_name_the_one_in_the_tasks_folder_is_meant(tmp_path: Path, said: str, found: str) -> None:
    for flight in "AB":
        photo(tmp_path / f"in/survey/flight{flight}/1.jpg")
    photo(tmp_path / "in/2.jpg")
    box = ("rectanglelabels", {"x": 80, "y": 0, "width": 20, "height": 50, "rectanglelabels": ["sky"]})
    roof = ("rectanglelabels", {"x": 0, "y": 0, "width": 20, "height": 50, "rectanglelabels": ["roof"]})
    (tmp_path / "in/train.json").write_text(json.dumps([studio_task(said, box)]))
    (tmp_path / "in/val.json").write_text(json.dumps([studio_task("2.jpg", box, roof)]))
    if not found:
        with pytest.raises(DataError, match=r"flightA/1\.jpg` or .*flightB/1\.jpg"):
            initialize(tmp_path / "in", tmp_path / "out")
        return
    dataset = opened(initialize(tmp_path / "in", tmp_path / "out"))
    (sample,) = dataset.samples("train")
    assert sample.image == (tmp_path / "in" / found / "1.jpg").resolve()


def test_label_studio_regions_of_the_tool_without_labels_of_its_own_and_choices(tmp_path: Path) -> None:
    """`<Labels>` beside `<Rectangle>` gives two results for a region; choices may be of a region, and draw nothing."""
    photo(tmp_path / "in/a.jpg")
    photo(tmp_path / "in/b.jpg")
    place = {"x": 80, "y": 0, "width": 20, "height": 50}
    results = (
        ("rectangle", place),
        ("labels", {**place, "labels": ["sky"]}),
        ("choices", {**place, "choices": ["flat"]}),
    )
    (tmp_path / "in/train.json").write_text(json.dumps([studio_task("a.jpg", *results)]))
    (tmp_path / "in/val.json").write_text(json.dumps([studio_task("b.jpg", ("labels", {**place, "labels": ["tree"]}))]))
    found = drawn(initialize(tmp_path / "in", tmp_path / "out"), "/a")

    assert np.array_equal(found == 0, np.pad(np.ones((10, 6), bool), ((0, 10), (24, 0))))


def _brushes(root: Path) -> None:
    numbers_mask(root / "task-1-annotation-2-by-someone@example.org-tag-roof-0.png", 0, 255)


def _studio_cut(root: Path) -> None:
    photo(root / "a.jpg")
    value = {"rle": packed_brush(polygon_mask(ROOF), 0)[:40], "brushlabels": ["roof"]}
    (root / "p.json").write_text(json.dumps([studio_task("a.jpg", ("brushlabels", value))]))


def _coco_long_name(root: Path) -> None:
    _coco(root, corner=9, image="a" * 5_000)


def _labelme_long_name(root: Path) -> None:
    path = labelme(root / "a.json", shape("roof", ROOF))
    path.write_text(json.dumps({**json.loads(path.read_text()), "imagePath": "a" * 5_000}))


def _coco(root: Path, *, corner: Any, image: str = "a.jpg") -> None:
    photo(root / "a.jpg")
    area = {"image_id": 5, "category_id": 4, "segmentation": [[3, 2, 21, 4, 14, corner]]}
    images = [{"id": 5, "file_name": image, "height": SIZE[0], "width": SIZE[1]}]
    named = {"images": images, "categories": [{"id": 4, "name": "roof"}], "annotations": [area]}
    (root / "c.json").write_text(json.dumps(named))


def _coco_no_number(root: Path) -> None:
    _coco(root, corner=math.nan)


def _coco_text(root: Path) -> None:
    _coco(root, corner="far")


def _studio_no_number(root: Path) -> None:
    photo(root / "a.jpg")
    value = {"points": [(10, 10), (90, 10), (50, math.inf)], "polygonlabels": ["roof"]}
    (root / "p.json").write_text(json.dumps([studio_task("a.jpg", ("polygonlabels", value))]))


def _studio_of(root: Path, labels: list[str], **more: Any) -> None:
    photo(root / "a.jpg")
    value = {"x": 80, "y": 0, "width": 20, "height": 50, "rectanglelabels": labels}
    task = studio_task("a.jpg", ("rectanglelabels", value))
    task["annotations"][1]["result"][0].update(more)
    (root / "p.json").write_text(json.dumps([task]))


def _studio_two_labels(root: Path) -> None:
    _studio_of(root, ["roof", "car"])


def _studio_no_label(root: Path) -> None:
    _studio_of(root, [])


def _studio_turned(root: Path) -> None:
    _studio_of(root, ["roof"], image_rotation=90)


def _line(root: Path) -> None:
    labelme(root / "a.json", shape("roof", ROOF[:2], "line"))


def _turned(root: Path) -> None:
    labelme(root / "a.json", shape("roof", ROOF), size=SIZE[::-1])


def _lost(root: Path) -> None:
    labelme(root / "a.json", shape("roof", ROOF)).with_suffix(".jpg").unlink()


def _broken(root: Path) -> None:
    (root / "a.json").write_text("{")


def _without_keys(root: Path) -> None:
    (root / "a.json").write_text('{"images": [{}], "annotations": [], "categories": [{}]}')


def _smooth(root: Path) -> None:
    for number in range(3):
        photo(root / f"images/{number}.jpg")
        noise = np.random.default_rng(number).integers(0, 255, (*SIZE, 3), np.uint8)
        write_image(root / f"masks/{number}.png", noise)


def _alone(root: Path) -> None:
    photo(root / "images/a.jpg")


def _strange(root: Path) -> None:
    (root / "labelmap.txt").write_text("roof:red::\n")
    photo(root / "JPEGImages/a.jpg")
    write_image(root / "SegmentationClass/a.png", np.zeros((*SIZE, 3), np.uint8))


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (_line, "covers nothing"),
        (_turned, "EXIF"),
        (_lost, "not there"),
        (_broken, "no JSON"),
        (_without_keys, "COCO"),
        (_smooth, "more than 508 values"),
        (_alone, "image_glob"),
        (_strange, "red,green,blue"),
        (_brushes, "as JSON too"),
        (_studio_cut, "Label Studio writes"),
        (_studio_no_number, "Label Studio writes"),
        (_studio_two_labels, "the labels `roof`, `car`"),
        (_studio_no_label, "with no label"),
        (_studio_turned, "turned by 90 degrees"),
        (_coco_no_number, "COCO describes"),
        (_coco_text, "COCO describes"),
        (_coco_long_name, "not there"),
        (_labelme_long_name, "not there"),
    ],
)
def test_what_cannot_be_used_is_named_with_what_to_do(
    tmp_path: Path, write: Callable[[Path], None], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path / "in")
    assert main(["data", "init", str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 1
    err = capsys.readouterr().err
    assert said in err
    assert "hint:" in err
    assert "Traceback" not in err


def test_the_command_says_what_it_found(tmp_path: Path) -> None:
    for number in range(9):
        photo(tmp_path / f"in/img/{number}.jpg")
        numbers_mask(tmp_path / f"in/gt/{number}.png", 0, 1)
    done = CliRunner().invoke(
        cli, ["data", "init", str(tmp_path / "in"), "-o", str(tmp_path / "out")], catch_exceptions=False
    )
    assert re.search(r"img and gt: 7 train, 1 val, 1 test\n  0: 50.00% class 0\n", done.stdout)
    assert f"use -c {tmp_path / 'out/data.yaml'}" in done.stdout


def test_a_published_set_with_a_reader_of_its_own_gets_it(tmp_path: Path) -> None:
    (tmp_path / "in/Train/Urban").mkdir(parents=True)
    assert "name: loveda" in Path(initialize(tmp_path / "in", tmp_path / "out")["config"]).read_text()
    with pytest.raises(DataError, match="does not exist"):
        initialize(tmp_path / "none", tmp_path / "out")


@pytest.mark.parametrize("ending", ["", ".png"])
def test_lists_of_names_with_dots_in_them_are_the_splits(
    tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"frame.{number:06d}" for number in range(8)]
    for name in (*names, "another.1", "another.2"):
        photo(tmp_path / f"in/images/{name}.png")
        numbers_mask(tmp_path / f"in/masks/{name}.png", 0, 1)
    for split, listed in (("train", names[::2]), ("val", names[1::2])):
        (tmp_path / f"in/{split}.txt").write_text("./\n" + "".join(f"{name}{ending}\n" for name in listed))
    dataset = opened(initialize(tmp_path / "in", tmp_path / "out"))
    assert {split: len(dataset.samples(split)) for split in dataset.splits()} == {"train": 4, "val": 4}
    assert "another.1.png` and 1 more images with masks are in no list" in capsys.readouterr().err


def test_other_json_files_do_not_matter(tmp_path: Path) -> None:
    for number in range(8):
        photo(tmp_path / f"in/images/{number}.png")
        numbers_mask(tmp_path / f"in/masks/{number}.png", 0, 1)
    for name, text in (("numbers.json", "[1, 2]"), (".vscode/settings.json", "{ // no JSON"), ("images/._0.json", "x")):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_text(text)
    opened(initialize(tmp_path / "in", tmp_path / "out"))


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"shapes": [], "imagePath": "a.png", "imageHeight": 1e400, "imageWidth": 3}']
)
def test_annotations_that_are_damaged_are_one_error(tmp_path: Path, text: str) -> None:
    photo(tmp_path / "in/a.png")
    (tmp_path / "in/a.json").write_text(text)
    with pytest.raises(DataError, match=r"a\.json"):
        initialize(tmp_path / "in", tmp_path / "out")


def in_folders(root: Path, number: int) -> None:
    """Images and masks of equal names."""
    for name in map(str, range(number)):
        photo(root / f"images/{name}.png")
        numbers_mask(root / f"masks/{name}.png", 0, 1)


def pairs_text(*splits: str) -> str:
    lines = [f"images/{number}.png;masks/{number}.png;{split}" for number, split in enumerate(splits)]
    return "\n".join(["image;mask;split", *lines])


def test_a_list_of_pairs_says_what_is_in_which_split(tmp_path: Path) -> None:
    in_folders(tmp_path / "in", 30)
    splits = [("test", "val", "train")[number % 3] for number in range(30)]
    (tmp_path / "in/splits.csv").write_text(pairs_text(*splits))
    result = initialize(tmp_path / "in", tmp_path / "out")
    assert result["layout"] == "the pairs of `splits.csv`"
    assert result["splits"] == {"train": 10, "val": 10, "test": 10}
    dataset = opened(result)
    for split in ("train", "val", "test"):
        assert [each.name for each in dataset.samples(split)] == [
            f"images/{number}" for number, where in enumerate(splits) if where == split
        ]


def test_several_lists_of_pairs_or_one_that_names_what_is_not_there_are_refused(tmp_path: Path) -> None:
    in_folders(tmp_path / "in", 3)
    (tmp_path / "in/a.csv").write_text(pairs_text("train", "val", "test", "test"))
    with pytest.raises(DataError, match=r"images/3.png`, which does not exist"):
        initialize(tmp_path / "in", tmp_path / "out")
    (tmp_path / "in/b.csv").write_text(pairs_text("train", "val", "test"))
    with pytest.raises(DataError, match=r"a.csv`, .*b.csv` list pairs"):
        initialize(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(
    "content", [b"", b"a,b\n1,2\n", b"\xff\xfe\x00", b'image,mask,split"' + b"x" * 200_000, b"image,\0mask,split\n"]
)
def test_other_files_are_no_list(tmp_path: Path, content: bytes) -> None:
    in_folders(tmp_path / "in", 3)
    (tmp_path / "in/notes.csv").write_bytes(content)
    assert initialize(tmp_path / "in", tmp_path / "out")["layout"] == "images and masks"


def test_a_list_that_settings_do_not_name_is_told(tmp_path: Path) -> None:
    in_folders(tmp_path, 30)
    (tmp_path / "splits.csv").write_text(pairs_text(*["train"] * 30))
    words = ["data.name=folder", f"data.root={tmp_path}", "data.folder.classes={a: 0, b: 1}"]
    doubts = open_dataset(load_config(overrides=words).data).doubts
    assert [str(doubt) for doubt in doubts if "splits.csv" in str(doubt)]
    assert doubts[0].hint == "data.folder.pairs=splits.csv"


@pytest.mark.parametrize("what", ["images", "categories"])
def test_coco_ids_of_two_things_are_refused(tmp_path: Path, what: str) -> None:
    """As in files that were put together as they are."""
    coco(tmp_path / "in", {"category_id": 4, "segmentation": [flat(ROOF)]})
    path = tmp_path / "in/c_train.json"
    content = json.loads(path.read_text())
    content[what].append({**content[what][0], "name": "tree", "file_name": "b.jpg"})
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="more than once"):
        initialize(tmp_path / "in", tmp_path / "out")


def test_cocos_own_names_are_splits_and_folders(tmp_path: Path) -> None:
    for split in ("train2017", "val2017"):
        photo(tmp_path / f"in/{split}/a.jpg")
        content = {
            "images": [{"id": 5, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]}],
            "categories": [{"id": 4, "name": "roof"}, {"id": 7, "name": "car"}],
            "annotations": [
                {"image_id": 5, "category_id": number, "segmentation": [flat(points)]}
                for number, points in ((4, ROOF), (7, CAR))
            ],
        }
        (tmp_path / "in/annotations").mkdir(exist_ok=True)
        (tmp_path / f"in/annotations/instances_{split}.json").write_text(json.dumps(content))
    assert initialize(tmp_path / "in", tmp_path / "out")["splits"] == {"train": 1, "val": 1}


def test_roboflow_lists_that_differ_are_refused(tmp_path: Path) -> None:
    for split, names in (("train", "1, roof\n2, car"), ("test", "1, car\n2, roof")):
        photo(tmp_path / f"in/{split}/a.jpg")
        numbers_mask(tmp_path / f"in/{split}/a_mask.png", 1, 2)
        (tmp_path / f"in/{split}/_classes.csv").write_text(f"Pixel Value, Class\n{names}\n")
    with pytest.raises(DataError, match="the same numbers"):
        initialize(tmp_path / "in", tmp_path / "out")


def test_classes_of_one_color_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/labelmap.txt").write_text("# label:color_rgb:parts:actions\ncar:128,0,0::\ntruck:128,0,0::\n")
    photo(tmp_path / "in/JPEGImages/a.jpg")
    write_image(tmp_path / "in/SegmentationClass/a.png", np.full((*SIZE, 3), (128, 0, 0), np.uint8))
    with pytest.raises(DataError, match="`car`, `truck` are all `800000`"):
        initialize(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out/data.yaml").exists()
