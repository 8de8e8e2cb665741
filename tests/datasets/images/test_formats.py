"""The law: what one command sees in a file, every command sees, to the pixel."""

from __future__ import annotations

import builtins
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rsseg_tf.config import AugmentConfig, DataConfig, FolderConfig
from rsseg_tf.datasets.catalog import list_dataset
from rsseg_tf.datasets.check import check_dataset
from rsseg_tf.datasets.files.raster import open_dataset_of
from rsseg_tf.datasets.images.channels import Channels
from rsseg_tf.datasets.images.masks import IndexMasks
from rsseg_tf.datasets.images.pixels import read_image, read_indices, write_image
from rsseg_tf.datasets.images.windows import read_picture
from rsseg_tf.datasets.palette import IGNORE
from rsseg_tf.datasets.readers.files import FileDataset
from rsseg_tf.errors import DataError, MissingExtraError, RssegError
from rsseg_tf.evaluation.scoring import evaluate
from rsseg_tf.inference.folders import predict_files
from rsseg_tf.inference.predict import TiledPredictor
from rsseg_tf.training.pipeline import TrainingSource
from tests.datasets.images.formats import FORMATS, LABELS, MASKS, RGB, SHAPE, Format, MaskFormat, tiff
from tests.inference.rasters import PALETTE as CLASSES
from tests.test_architecture import ROOT

IDS = {number: number for number in range(6)}
READ = [each for each in FORMATS if each.pixels is not None]
PAGE = ROOT / "docs/data.md"
REFUSED = [each for each in FORMATS if each.pixels is None]


@pytest.fixture
def without_rasterio(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def importing(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "rasterio":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", importing)


class Eye:
    """A network as large as the image, which remembers what it was shown."""

    def __init__(self, kind: Format) -> None:
        self.seen: list[np.ndarray] = []
        self._channels = kind.channels

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.seen += list(images)
        return np.repeat(images[..., :1], 3, axis=-1).astype(np.int16)

    def predictor(self) -> TiledPredictor:
        return TiledPredictor(
            self, CLASSES, input_size=SHAPE, model_sha256="m", channels=self._channels, num_bands=self._channels.count
        )


def written(kind: Format | MaskFormat, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"a{kind.suffix}"
    kind.write(path)
    return path


def pair_of(kind: Format, root: Path) -> FileDataset:
    """A data set of one pair, whose mask has a label everywhere."""
    written(kind, root / "images")
    write_image(root / "masks/a.png", np.zeros(SHAPE, np.uint8))
    (root / "pairs.csv").write_text(f"image,mask,split\nimages/a{kind.suffix},masks/a.png,train\n")
    classes = FolderConfig(pairs="pairs.csv", classes={"dark": "0", "bright": "1", "green": "2"})
    seen = {"bands": kind.channels.bands, "scale": kind.channels.scale or ()}
    dataset = list_dataset(DataConfig(name="folder", root=str(root), folder=classes, **seen))
    assert isinstance(dataset, FileDataset)
    return dataset


def test_every_command_sees_the_pixels_that_are_there(tmp_path: Path) -> None:
    for number, kind in enumerate(READ):
        root = tmp_path / str(number)
        dataset = pair_of(kind, root)
        (sample,) = dataset.samples("train")
        image, labels = dataset.read(sample)
        eye, scorer = Eye(kind), Eye(kind)
        (record,) = predict_files(eye.predictor(), [sample.image], root / "out")
        evaluate(scorer.predictor(), dataset, "train")
        source = TrainingSource(
            read=lambda _index, pair=(image, labels): pair,
            count=1,
            size=SHAPE,
            crop=True,
            augment=AugmentConfig(flip_horizontal=False, translate_px=0),
            seed=0,
            bands=kind.channels.count,
        )
        trained, learned = source.window(0, epoch=0, position=0)
        valid = np.ones(SHAPE, bool) if kind.valid is None else kind.valid
        assert np.abs(image.astype(int) - kind.pixels)[valid].max() <= kind.tolerance, kind.name
        for seen in (eye.seen[0], scorer.seen[0], trained):
            np.testing.assert_array_equal(seen, image, err_msg=kind.name)
        np.testing.assert_array_equal(labels == IGNORE, ~valid, err_msg=kind.name)
        np.testing.assert_array_equal(learned, labels, err_msg=kind.name)
        assert record["nodata_pixels"] == (~valid).sum(), kind.name
        classes = read_indices(root / "out" / record["files"]["classes"])
        np.testing.assert_array_equal(classes == IGNORE, ~valid, err_msg=kind.name)
        report = check_dataset(dataset)
        assert [problem for problem in report.problems if problem.sample] == [], kind.name
        assert report.splits["train"].ignored == (~valid).sum(), kind.name


def test_a_part_of_a_file_is_that_part_of_the_whole(tmp_path: Path) -> None:
    boxes = [(slice(3, 17), slice(10, 41)), (slice(0, SHAPE[0]), slice(50, SHAPE[1])), (slice(30, 31), slice(0, 56))]
    for number, kind in enumerate(READ):
        path = written(kind, tmp_path / str(number))
        pixels, valid = read_picture(path, channels=kind.channels)
        for box in boxes:
            part, held = read_picture(path, box, channels=kind.channels)
            np.testing.assert_array_equal(part, pixels[box], err_msg=kind.name)
            expected = np.ones_like(part[..., 0], bool) if valid is None else valid[box]
            np.testing.assert_array_equal(np.ones_like(expected) if held is None else held, expected, err_msg=kind.name)
    masks = IndexMasks(IDS)
    for number, kind in enumerate(MASKS):
        path = written(kind, tmp_path / f"mask{number}")
        for box in boxes:
            np.testing.assert_array_equal(masks.read(path, box), masks.read(path)[box], err_msg=kind.name)


@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.name)
def test_every_command_refuses_in_the_same_words(tmp_path: Path, kind: Format) -> None:
    dataset = pair_of(kind, tmp_path)
    (sample,) = dataset.samples("train")
    said = []
    for read in (
        lambda: dataset.read(sample),
        lambda: predict_files(Eye(kind).predictor(), [sample.image], tmp_path / "out"),
        lambda: evaluate(Eye(kind).predictor(), dataset, "train"),
    ):
        with pytest.raises(DataError, match=kind.words) as caught:
            read()
        said.append((caught.value.message, caught.value.hint))
    assert len(set(said)) == 1
    assert "data." in said[0][1] or "an image that has the band" in said[0][1]
    assert said[0] in {(problem.message, problem.hint) for problem in check_dataset(dataset).problems}


def hint_about(path: Path, **settings: Any) -> str:
    try:
        read_image(path, channels=Channels(**settings))
    except DataError as error:
        return error.hint
    return ""


@pytest.mark.parametrize("kind", [each for each in REFUSED if not each.channels.bands], ids=lambda kind: kind.name)
def test_what_the_error_says_is_enough_to_read_it(tmp_path: Path, kind: Format) -> None:
    """In as many steps as there are errors: bands, then a scale."""
    path = written(kind, tmp_path)
    settings: dict[str, Any] = {}
    while (hint := hint_about(path, **settings)) and len(settings) < 2:
        name, value = re.search(r"data\.(\w+)=\[([\d,.]+)\]", hint).groups()
        assert f"--{name} {value} for `predict`" in hint
        settings[name] = tuple(map(int if name == "bands" else float, value.split(",")))
    assert not hint
    assert settings


def rio(hint: str) -> None:
    """Carry out the command of a hint."""
    words = shlex.split(hint.partition("rio ")[2].partition(";")[0])
    subprocess.run([Path(sys.executable).with_name("rio"), *words], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("kind", "nothing"),
    [(np.int16, -9999), (np.float32, -9999), (np.float32, np.finfo(np.float32).min), (np.int32, 300)],
)
def test_a_number_for_nothing_that_the_file_does_not_name_can_be_named(
    tmp_path: Path, kind: type[np.number[Any]], nothing: float
) -> None:
    path = tmp_path / "a.tif"
    tiff(np.where(np.arange(SHAPE[1]) < 9, kind(nothing), LABELS.astype(kind))[..., None])(path)
    with pytest.raises(DataError, match="numbers that are not classes") as caught:
        IndexMasks(IDS).read(path)
    rio(caught.value.hint)
    expected = np.where(np.arange(SHAPE[1]) < 9, IGNORE, LABELS)
    np.testing.assert_array_equal(IndexMasks(IDS).read(path), expected)


def test_colors_of_classes_in_16_bits_are_stored_in_8(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    colors = np.array([(0, 0, 0), (255, 0, 130)], np.uint16)[LABELS % 2]
    tiff(colors, photometric="RGB")(path)
    with pytest.raises(DataError, match="expected 8 bits") as caught:
        read_picture(path, labels=True)
    rio(caught.value.hint.replace("NEW.tif", str(tmp_path / "NEW.tif")))
    np.testing.assert_array_equal(read_picture(tmp_path / "NEW.tif", labels=True)[0], colors)


def test_the_page_says_how_to_write_tiles(tmp_path: Path) -> None:
    tiff(np.repeat(RGB, 20, axis=0), photometric="RGB")(tmp_path / "IN.tif")
    (line,) = (line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("python -c"))
    subprocess.run([sys.executable, *shlex.split(line)[1:]], cwd=tmp_path, check=True, capture_output=True)
    with open_dataset_of(tmp_path / "OUT.tif") as made:
        assert made.block_shapes[0] == (256, 256)
        assert made.compression.value == "DEFLATE"
    np.testing.assert_array_equal(read_image(tmp_path / "OUT.tif"), np.repeat(RGB, 20, axis=0))


def seen_or_remedy(read: Callable[[Path], np.ndarray], path: Path) -> np.ndarray | None:
    """What a file shows, or None where the error says to install rasterio."""
    try:
        return read(path)
    except RssegError as error:
        if "rsseg-tf[geo]" not in error.hint:
            raise
        return None


def test_without_rasterio_a_file_shows_the_same_or_what_to_install(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    paths = [written(kind, tmp_path / str(number)) for number, kind in enumerate(READ)]
    readers = [partial(read_image, channels=kind.channels) for kind in READ]
    with_it = [read(path) for read, path in zip(readers, paths, strict=True)]
    request.getfixturevalue("without_rasterio")
    read = []
    for kind, read_one, path, expected in zip(READ, readers, paths, with_it, strict=True):
        if (seen := seen_or_remedy(read_one, path)) is not None:
            valid = slice(None) if kind.valid is None else kind.valid
            np.testing.assert_array_equal(seen[valid], expected[valid], err_msg=kind.name)
            read.append(kind.name)
    assert {"PNG", "JPEG", "TIFF", "TIFF, tiled, LZW", "TIFF, RGB and alpha"} <= set(read)


@pytest.mark.parametrize("kind", MASKS, ids=lambda kind: kind.name)
def test_the_number_that_is_stored_is_the_class(tmp_path: Path, kind: MaskFormat) -> None:
    valid = np.ones(SHAPE, bool) if kind.valid is None else kind.valid
    expected = np.where(valid, kind.numbers, IGNORE)
    np.testing.assert_array_equal(IndexMasks(IDS).read(written(kind, tmp_path)), expected)


def test_without_rasterio_a_mask_has_the_same_classes_or_says_what_to_install(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    paths = [written(kind, tmp_path / str(number)) for number, kind in enumerate(MASKS)]
    masks = IndexMasks(IDS)
    with_it = [masks.read(path) for path in paths]
    request.getfixturevalue("without_rasterio")
    read = []
    for kind, path, expected in zip(MASKS, paths, with_it, strict=True):
        if (seen := seen_or_remedy(masks.read, path)) is not None:
            np.testing.assert_array_equal(seen, expected, err_msg=kind.name)
            read.append(kind.name)
    assert {"PNG", "PNG, 1 bit", "TIFF", "TIFF, 1 bit (NBITS=1)"} <= set(read)


def test_a_number_for_nothing_that_is_a_class_is_a_class(tmp_path: Path) -> None:
    path = written(MASKS[[kind.name for kind in MASKS].index("TIFF, uint8, nodata")], tmp_path)
    seen = IndexMasks({**IDS, 9: 6}).read(path)
    assert (seen == 6).any()
    assert IGNORE not in seen


def test_numbers_that_are_no_class_are_named_whatever_their_type(tmp_path: Path) -> None:
    numbers = LABELS.astype(np.float32)[..., None]
    numbers[0, :3, 0] = (-9999, 0.5, 300)
    path = tmp_path / "a.tif"
    tiff(numbers)(path)
    with pytest.raises(DataError, match=r"-9999 \(1 pixels\)") as caught:
        IndexMasks(IDS).read(path)
    assert "0.5 (1 pixels)" in caught.value.message
    assert "300 (1 pixels)" in caught.value.message
    ignoring = IndexMasks(IDS, ignore_unknown=True).read(path)
    np.testing.assert_array_equal(ignoring[0, :4], [IGNORE, IGNORE, IGNORE, LABELS[0, 3]])


def outcome(read: Callable[[], object], kind: Format | MaskFormat) -> str:
    """What the table says: read, or the end of the error's first sentence."""
    try:
        read()
    except MissingExtraError:
        return "needs rasterio"
    except DataError as error:
        return "needs rasterio" if "rsseg-tf[geo]" in error.hint else f"refused: {error.message.partition('` ')[2]}"
    return "read" if kind.valid is None else "read, gaps ignored"


def table(folder: Path, use: pytest.FixtureRequest) -> str:
    """The table of docs/data.md, from files that are written and read now."""
    datasets = [pair_of(kind, folder / f"image{number}") for number, kind in enumerate(FORMATS)]
    masks = [written(kind, folder / f"mask{number}") for number, kind in enumerate(MASKS)]
    samples = [dataset.samples("train")[0] for dataset in datasets]

    def trained() -> list[str]:
        pairs = zip(datasets, samples, FORMATS, strict=True)
        return [outcome(partial(dataset.read, sample), kind) for dataset, sample, kind in pairs]

    def predicted(out: str) -> list[str]:
        return [
            outcome(partial(predict_files, Eye(kind).predictor(), [sample.image], folder / out / str(number)), kind)
            for number, (sample, kind) in enumerate(zip(samples, FORMATS, strict=True))
        ]

    def labeled() -> list[str]:
        return [outcome(partial(IndexMasks(IDS).read, path), kind) for path, kind in zip(masks, MASKS, strict=True)]

    columns, numbers = [trained(), predicted("with")], [labeled()]
    use.getfixturevalue("without_rasterio")
    columns, numbers = [*columns, trained(), predicted("without")], [*numbers, labeled()]
    assert columns[2] == columns[3]
    images = zip([kind.name for kind in FORMATS], *columns[:3], strict=True)
    heads = ("image", "`data check`, `fit`, `export-tflite`, `evaluate`", "`predict`", "all, without rasterio")
    lines = [heads, ("---",) * 4, *images]
    of_masks = zip([kind.name for kind in MASKS], *numbers, strict=True)
    more = [("mask of numbers", "read", "without rasterio"), ("---",) * 3, *of_masks]
    return "\n\n".join("\n".join(f"| {' | '.join(row)} |" for row in rows) for rows in (lines, more))


def test_the_page_has_the_table_of_what_is_read(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    made = table(tmp_path, request)
    assert made in PAGE.read_text(encoding="utf-8"), f"put this into {PAGE}:\n\n{made}"
