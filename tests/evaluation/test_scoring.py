from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rsseg_tf.datasets.palette import Palette
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.errors import DataError, ModelError
from rsseg_tf.evaluation import share as counted
from rsseg_tf.evaluation.comparison import compare, compared
from rsseg_tf.evaluation.scoring import evaluate, evaluate_all
from rsseg_tf.evaluation.share import Count

PALETTE = Palette(("road", "roof", "tree"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)))


class Masks:
    """A data set whose images show their masks, in red."""

    palette = PALETTE

    def __init__(self, *masks: np.ndarray, labeled: bool = True) -> None:
        self._masks = masks
        self._labeled = labeled

    def splits(self) -> tuple[str, ...]:
        return ("test",)

    def samples(self, _split: str) -> tuple[Sample, ...]:
        mask = Path("mask.png") if self._labeled else None
        return tuple(Sample(str(number), Path("image.png"), mask) for number in range(len(self._masks)))

    def read_image(self, sample: Sample) -> np.ndarray:
        return np.repeat(self._masks[int(sample.name)][..., None], 3, axis=-1)

    def read_mask(self, sample: Sample) -> np.ndarray:
        return self._masks[int(sample.name)]

    def read(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        return self.read_image(sample), self.read_mask(sample)

    def fingerprint(self, split: str) -> str:
        return split


@dataclasses.dataclass
class Reader:
    """A predictor that reads the class out of red; what it was shown is kept."""

    palette: Palette = PALETTE
    input_size: tuple[int, int] = (16, 16)
    fitting: str = "crop"
    always: int | None = None
    shapes: list[tuple[int, ...]] = dataclasses.field(default_factory=list)

    def predict(self, image: np.ndarray) -> np.ndarray:
        self.shapes.append(image.shape[:2])
        seen = np.where(image[..., 0] == 255, 0, image[..., 0])
        return seen if self.always is None else np.full_like(seen, self.always)


def blocks(height: int = 32, width: int = 48, *ids: int) -> np.ndarray:
    """A mask of vertical stripes of the classes `ids`."""
    stripes = np.arange(width) * len(ids) // width
    return np.broadcast_to(np.array(ids, np.uint8)[stripes], (height, width)).copy()


def test_a_perfect_predictor_scores_one() -> None:
    score = evaluate(Reader(), Masks(blocks(32, 48, 0, 1, 2), blocks(20, 30, 2, 0)), "test")
    assert (score.accuracy, score.miou, score.boundary_f1) == (1.0, 1.0, 1.0)
    assert set(score.iou.values()) == {1.0}
    assert score.images == 2


def test_ignored_pixels_count_nowhere() -> None:
    score = evaluate(Reader(always=1), Masks(blocks(32, 48, 1, 255)), "test")
    assert score.accuracy == 1.0
    assert np.sum(score.confusion) == 32 * 24


def test_a_predictor_that_knows_one_class_has_its_share() -> None:
    score = evaluate(Reader(always=1), Masks(blocks(30, 30, 0, 1, 2)), "test")
    assert score.accuracy == pytest.approx(1 / 3)
    assert score.iou == {"road": 0.0, "roof": pytest.approx(1 / 3), "tree": 0.0}
    assert score.confusion == ((0, 300, 0), (0, 300, 0), (0, 300, 0))


def test_a_tiling_predictor_is_scored_at_full_resolution() -> None:
    reader = Reader()
    evaluate(reader, Masks(blocks(32, 48, 0, 1)), "test")
    assert reader.shapes == [(32, 48)]


def test_a_resizing_predictor_is_scored_at_its_input_size() -> None:
    reader = Reader(fitting="resize")
    score = evaluate(reader, Masks(blocks(32, 48, 0, 0, 2, 2)), "test")
    assert reader.shapes == [(16, 16)]
    assert np.sum(score.confusion) == 16 * 16
    assert score.accuracy == 1.0


def test_what_never_occurs_is_null_in_json() -> None:
    values = evaluate(Reader(), Masks(blocks(32, 48, 0, 1)), "test").to_dict()
    assert values["iou"] == {"road": 1.0, "roof": 1.0, "tree": None}
    assert json.loads(json.dumps(values, allow_nan=False)) == values


def test_where_nothing_is_labeled_there_is_no_score() -> None:
    score = evaluate(Reader(), Masks(blocks(32, 48, 255)), "test")
    assert math.isnan(score.miou)
    assert score.to_dict()["miou"] is None


def test_the_json_keys_are_stable() -> None:
    assert list(evaluate(Reader(), Masks(blocks(32, 48, 0)), "test").to_dict()) == [
        *("split", "images", "accuracy", "miou", "boundary_f1", "iou", "boundary_f1_per_class"),
        *("class_names", "confusion", "mean_accuracy", "frequency_weighted_iou", "precision", "recall", "f1"),
        *("absent", "small_objects", "small_objects_found", "small_object_recall", "data_sha256", "pixels"),
        *("image_names", "image_confusions", "image_small_objects", "image_small_objects_found"),
    ]


def test_the_text_shows_every_score() -> None:
    """Each field is given a value of its own, which must stand in the text."""
    score = evaluate(Reader(always=1), Masks(blocks(30, 30, 0, 1, 2)), "test")
    whole = {name: value for name, value in vars(score).items() if isinstance(value, float)}
    by_class = {
        name: value
        for name, value in vars(score).items()
        if isinstance(value, dict) and all(each is None or isinstance(each, float) for each in value.values())
    }
    marks = {name: (number + 1) / 1000 for number, name in enumerate([*whole, *by_class])}
    shown = dataclasses.replace(
        score,
        **{name: marks[name] for name in whole},
        **{name: dict.fromkeys(value, marks[name]) for name, value in by_class.items()},
    ).table()

    words = shown.split()
    assert {"accuracy", "mean_accuracy", "iou", "recall", "small_object_recall"} <= set(marks)
    assert [name for name, mark in marks.items() if f"{100 * mark:.2f}" not in words] == []


def test_the_table_names_every_class() -> None:
    lines = evaluate(Reader(), Masks(blocks(32, 48, 0, 1)), "test").table().splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["road", "roof", "tree", "mean"]
    assert lines[3].split()[1:] == ["–"] * 7
    assert "in no mean: tree" in lines[-1]


def test_progress_is_told_of_every_image() -> None:
    told: list[tuple[int, int]] = []
    masks = Masks(blocks(32, 48, 0), blocks(32, 48, 1))
    evaluate(Reader(), masks, "test", progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


def test_another_number_of_classes_is_refused_with_both_named() -> None:
    with pytest.raises(ModelError, match=r"2 classes \(water, land\).* 3 \(road, roof, tree\)"):
        evaluate(Reader(Palette(("water", "land"), ((0, 0, 9), (9, 0, 0)))), Masks(), "test")


def test_the_same_classes_in_another_order_are_scored_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    class Turned(Reader):
        def predict(self, image: np.ndarray) -> np.ndarray:
            return 2 - super().predict(image)

    turned = Turned(Palette(PALETTE.names[::-1], PALETTE.colors))
    score = evaluate(turned, Masks(blocks(32, 48, 0, 1, 2, 255)), "test")

    assert score.miou == 1.0
    assert score.class_names == ("tree", "roof", "road")
    assert "by name" in capsys.readouterr().err
    with pytest.raises(ModelError, match="number their classes differently"):
        evaluate_all([turned, Reader()], Masks(blocks(32, 48, 0, 1, 2)), "test")


def test_a_split_without_masks_is_refused() -> None:
    with pytest.raises(DataError, match="has no mask"):
        evaluate(Reader(), Masks(blocks(32, 48, 0), labeled=False), "test")


def test_images_add_up_to_the_whole() -> None:
    score = evaluate(Reader(always=1), Masks(blocks(30, 30, 0, 1, 2), blocks(30, 30, 1)), "test")
    assert score.image_confusions.sum(axis=0).tolist() == [list(row) for row in score.confusion]
    assert score.image_names == ("0", "1")


def test_several_models_score_as_each_alone() -> None:
    masks = Masks(blocks(30, 30, 0, 1, 2), blocks(30, 30, 1))
    together = evaluate_all([Reader(), Reader(always=1)], masks, "test")
    assert together == (evaluate(Reader(), masks, "test"), evaluate(Reader(always=1), masks, "test"))


def test_a_watcher_sees_the_pixels_that_are_scored() -> None:
    seen = []
    masks, readers = Masks(blocks(32, 48, 0, 1)), [Reader(fitting="resize"), Reader(fitting="resize", always=2)]
    evaluate_all(readers, masks, "test", watch=seen.append)
    (one,) = seen
    assert (one.done, one.total) == (1, 1)
    assert (one.name, one.image.shape, one.mask.shape) == ("0", (16, 16, 3), (16, 16))
    assert [np.unique(each).tolist() for each in one.predictions] == [[0, 1], [2]]


def test_models_that_see_other_sizes_are_refused() -> None:
    with pytest.raises(ModelError, match="different pixels: 16×16, whole images"):
        evaluate_all([Reader(), Reader(fitting="resize")], Masks(blocks(32, 48, 0)), "test")


def test_a_comparison_names_the_difference_and_its_interval() -> None:
    masks = Masks(*(blocks(30, 30, 0, 1, 2) for _ in range(4)))
    evaluations = evaluate_all([Reader(), Reader(always=1), Reader()], masks, "test")
    comparison = compared(["dense", "poor", "same"], evaluations)
    values = comparison.to_dict()
    assert [each["model"] for each in values["models"]] == ["dense", "poor", "same"]
    poor, same = values["differences"]
    assert poor["against"] == "dense"
    assert poor["high"] == pytest.approx(1 / 9 - 1)
    assert (poor["is_clear"], same["is_clear"], same["low"], same["high"]) == (True, False, 0, 0)
    lines = comparison.table().splitlines()
    assert lines[2].split() == [
        "B",
        "poor",
        "11.11",
        "33.33",
        *lines[2].split()[4:5],
        "-88.89",
        "-88.89",
        "…",
        "-88.89",
        "*",
    ]
    assert [line.endswith("*") for line in lines[1:4]] == [False, True, False]
    assert lines[5].split() == ["IoU", "%", "A", "B", "C"]
    assert [line.split()[0] for line in lines if "against A" in line] == ["B", "C"]
    assert [line for line in lines if line.startswith("poor: lost most: road -100.00 IoU points [-100.00, -100.00]")]
    assert lines[-1].startswith("* clear of 0; 4 images")
    assert (poor["lost_most"], poor["classes"]["tree"]["iou"]["is_clear"]) == ("road", True)
    assert poor["classes"]["roof"]["iou"]["difference"] == pytest.approx(1 / 3 - 1)
    assert json.loads(json.dumps(values, allow_nan=False)) == values


def test_small_objects_stand_as_counts_beside_their_shares() -> None:
    """Nine patches of tree, three of which the model that calls a third of them road still finds."""
    mask = blocks(30, 30, 0)
    mask[2:28:10, 2:28:10] = mask[3:29:10, 2:28:10] = 2

    class Blind(Reader):
        def predict(self, image: np.ndarray) -> np.ndarray:
            return np.where(np.arange(30) < 10, super().predict(image), 0)

    dense, blind = evaluate_all([Reader(), Blind()], Masks(mask, blocks(30, 30, 0)), "test")

    assert blind.small_objects_found["tree"] == 3
    assert blind.counts.objects[:, 2].tolist() == [[9, 3], [0, 0]]
    (line,) = [line for line in blind.table().splitlines() if line.startswith("tree")]
    assert line.endswith("33.33   3 of 9")
    (difference,) = compared(["dense", "blind"], [dense, blind]).to_dict()["differences"]
    tree = difference["classes"]["tree"]
    assert [tree[key] for key in ("small_objects", "found", "found_before")] == [9, 3, 9]
    assert tree["small_object_recall"]["difference"] == pytest.approx(-2 / 3)
    assert difference["loss"].startswith("lost most: tree")


class Part:
    """One of three processes, which adds what those before it gave; the last one knows the whole."""

    def __init__(self, process: int, given: list[list[np.ndarray]]) -> None:
        self.process, self._given = process, given

    def parts(self, count: Count, images: int) -> Iterator[counted.Part]:
        return count(range(self.process, images, 3))

    def summed(self, values: list[np.ndarray]) -> list[np.ndarray]:
        self._given.append([np.array(value, np.float64) for value in values])
        return [sum(parts) for parts in zip(*self._given, strict=True)]


@pytest.mark.parametrize("images", [1, 2, 3, 5])
def test_processes_that_share_the_images_find_what_one_finds(images: int) -> None:
    rng = np.random.default_rng(images)
    masks = [rng.integers(0, 3, (12, 15), dtype=np.uint8) for _ in range(images)]
    dataset, given = Masks(*masks), []
    whole = evaluate(Reader(always=1), dataset, "test")

    readers = [Reader(always=1) for _ in range(3)]
    parts = [evaluate(reader, dataset, "test", share=Part(k, given)) for k, reader in enumerate(readers)]

    assert sum(len(reader.shapes) for reader in readers) == images
    assert parts[-1].to_dict() == whole.to_dict()


def test_models_are_compared_by_their_evaluations_on_the_same_images() -> None:
    data = Masks(blocks(32, 48, 0, 1, 2), blocks(20, 30, 2, 0))
    models = {"good": Reader(), "poor": Reader(always=1)}

    comparison = compare(models, data)

    assert comparison.names == ("good", "poor")
    assert comparison.to_dict() == compared(["good", "poor"], evaluate_all([*models.values()], data, "test")).to_dict()
