"""Images and masks that say themselves that they do not show the same."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from rasterio.transform import Affine

from rsseg_tf.config import DataConfig, FolderConfig
from rsseg_tf.datasets.catalog import list_dataset
from rsseg_tf.datasets.check import DatasetReport, check_dataset
from rsseg_tf.datasets.images.header import orientation
from rsseg_tf.datasets.images.pixels import read_indices
from rsseg_tf.datasets.opening import open_sound
from rsseg_tf.errors import DataError
from tests.datasets.images.formats import NIR, tiff
from tests.inference.rasters import UTM, geotiff, origin

RGB = np.random.default_rng(0).integers(1, 256, (20, 30, 3), np.uint8)
LABELS = np.random.default_rng(1).integers(0, 2, (20, 30), np.uint8)


def checked(root: Path, *, image: str = "a.tif", mask: str = "m.tif") -> DatasetReport:
    (root / "pairs.csv").write_text(f"image,mask,split\n{image},{mask},train\n{image},{mask},val\n")
    folder = FolderConfig(pairs="pairs.csv", classes={"ground": "0", "roof": "1"})
    return check_dataset(list_dataset(DataConfig(name="folder", root=str(root), folder=folder)))


def about(root: Path, *words: str, image: str = "a.tif", mask: str = "m.tif") -> list[tuple[str, str]]:
    """Message and hint of the findings that hold these words."""
    report = checked(root, image=image, mask=mask)
    found = [(finding.message, finding.hint) for finding in (*report.problems, *report.warnings)]
    return [each for each in found if all(word in each[0] for word in words)]


def test_a_pair_of_one_place_is_not_doubted(tmp_path: Path) -> None:
    geotiff(tmp_path / "a.tif", RGB)
    geotiff(tmp_path / "m.tif", LABELS[..., None], transform=origin(325_000.1, 2_780_000, 0.5))  # a fifth of a pixel
    assert about(tmp_path, "m.tif", "elsewhere") == []


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ({"transform": origin(325_003, 2_780_000, 0.5)}, "6 pixels away"),
        ({"transform": origin(325_000, 2_780_000, 1.0)}, "30 pixels away"),
        ({"transform": Affine(0.5, 0, 325_000, 0, 0.5, 2_779_990)}, "pixels away"),
        ({"crs": "EPSG:32639"}, "in other coordinates"),
    ],
)
def test_a_mask_that_lies_elsewhere_is_a_problem_with_a_way_out(
    tmp_path: Path, profile: dict[str, object], words: str
) -> None:
    geotiff(tmp_path / "a.tif", RGB)
    geotiff(tmp_path / "m.tif", LABELS[..., None], **{**UTM, **profile})
    ((_, hint), *_) = about(tmp_path, "m.tif` lies elsewhere", words)
    command = shlex.split(hint.partition(": ")[2])
    assert command[:2] == ["rio", "warp"]
    rio = Path(sys.executable).with_name("rio")
    subprocess.run([rio, *command[1:]], cwd=tmp_path, check=True, capture_output=True)
    assert about(tmp_path, "elsewhere", mask="NEW.tif") == []


def photo(root: Path, way: int, *, name: str = "a.jpg") -> None:
    """An image of 30×20 stored pixels that EXIF data turn."""
    exif = Image.Exif()
    exif[0x0112] = way
    Image.fromarray(cv2.GaussianBlur(RGB, (5, 5), 2)).save(root / name, exif=exif, quality=100)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("way", [1, 3, 6, 8])
def test_the_way_a_viewer_turns_a_file_is_found_in_it(tmp_path: Path, suffix: str, way: int) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        Image.fromarray(RGB).save(path, tiffinfo={274: way})
    else:
        photo(tmp_path, way, name=path.name)
    assert orientation(path) == way
    with Image.open(path) as picture:
        assert picture.getexif().get(0x0112, 1) == way


def test_a_mask_drawn_over_the_turned_image_is_told_so_with_a_way_out(tmp_path: Path) -> None:
    photo(tmp_path, 6)
    Image.fromarray(np.rot90(LABELS, -1)).save(tmp_path / "m.png")
    ((_, hint), *_) = about(tmp_path, "30×20 pixels but its mask", image="a.jpg", mask="m.png")
    assert "EXIF" in hint
    carried_out(hint, tmp_path, old="a.jpg")
    assert about(tmp_path, "its mask", image="NEW.png", mask="m.png") == []
    assert checked(tmp_path, image="NEW.png", mask="m.png").splits["train"].sizes == ("20×30",)


def carried_out(hint: str, folder: Path, *, old: str) -> None:
    program = hint.partition('python -c "')[2].rpartition('"')[0].replace("OLD.jpg", old)
    subprocess.run([sys.executable, "-c", program], cwd=folder, check=True)


@pytest.mark.parametrize("kind", ["gray", "palette", "bits"])
@pytest.mark.parametrize("way", [3, 6, 8])
def test_a_mask_that_is_turned_itself_is_stored_upright_with_its_numbers(tmp_path: Path, kind: str, way: int) -> None:
    """OpenCV would make colors of a palette, and stretch bits."""
    Image.fromarray(RGB).save(tmp_path / "a.png")
    back = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[way]
    mask = Image.fromarray(LABELS).transpose(back)
    if kind == "palette":
        mask.putpalette([0, 200, 0, 90, 0, 90])
    exif = Image.Exif()
    exif[0x0112] = way
    (mask.point(lambda number: 255 * number).convert("1") if kind == "bits" else mask).save(
        tmp_path / "m.png", exif=exif
    )
    words = ("its mask",) if way != 3 else ("turned by its EXIF data",)
    ((_, hint), *_) = about(tmp_path, *words, image="a.png", mask="m.png")
    carried_out(hint, tmp_path, old="m.png")
    report = checked(tmp_path, image="a.png", mask="NEW.png")
    assert report.splits["train"].pixels == {"ground": (LABELS == 0).sum(), "roof": (LABELS == 1).sum()}
    assert not about(tmp_path, *words, image="a.png", mask="NEW.png")


def test_a_tiff_that_is_turned_is_told_to_be_stored_without_the_tag(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    Image.fromarray(np.rot90(LABELS, 2).copy()).save(tmp_path / "m.tif", tiffinfo={274: 3})
    ((_, hint), *_) = about(tmp_path, "turned by its EXIF data", image="a.png")
    assert "without the tag 274" in hint
    tiff(np.rot90(read_indices(tmp_path / "m.tif"), 2)[..., None])(tmp_path / "NEW.tif")
    assert about(tmp_path, "EXIF", image="a.png", mask="NEW.tif") == []


@pytest.mark.parametrize(
    ("way", "shape", "doubted"), [(3, (20, 30), True), (6, (20, 20), True), (6, (20, 30), False), (1, (20, 30), False)]
)
def test_where_the_sides_do_not_tell_which_way_a_mask_was_drawn_it_is_doubted(
    tmp_path: Path, way: int, shape: tuple[int, int], doubted: bool
) -> None:
    exif = Image.Exif()
    exif[0x0112] = way
    Image.fromarray(RGB[: shape[0], : shape[1]]).save(tmp_path / "a.jpg", exif=exif)
    Image.fromarray(LABELS[: shape[0], : shape[1]]).save(tmp_path / "m.png")
    assert bool(about(tmp_path, "turned by its EXIF data", image="a.jpg", mask="m.png")) == doubted


def test_a_doubt_about_many_files_is_one_line(tmp_path: Path) -> None:
    lines = []
    for number in range(4):
        tiff(np.roll(NIR, number, axis=0))(tmp_path / f"{number}.tif")
        Image.fromarray(np.zeros(NIR.shape[:2], np.uint8)).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.tif,{number}.png,{'train' if number else 'val'}")
    (tmp_path / "pairs.csv").write_text("\n".join(["image,mask,split", *lines]))
    folder = FolderConfig(pairs="pairs.csv", classes={"ground": "0"})

    def doubts(**settings: object) -> list[str]:
        data = DataConfig(name="folder", root=str(tmp_path), folder=folder, **settings)
        return [found.message for found in check_dataset(list_dataset(data)).warnings if "alpha" in found.message]

    (doubt,) = doubts()
    assert "marked as alpha and holds other values: it is left out (and 3 more like it)" in doubt
    assert doubts(bands=(1, 2, 3)) == []


def test_a_check_kept_in_a_cache_doubts_the_same(tmp_path: Path) -> None:
    photo(tmp_path, 3)
    Image.fromarray(LABELS).save(tmp_path / "m.png")
    Image.fromarray(255 - RGB).save(tmp_path / "b.jpg")
    (tmp_path / "pairs.csv").write_text("image,mask,split\na.jpg,m.png,train\nb.jpg,m.png,val\n")
    folder = FolderConfig(pairs="pairs.csv", classes={"ground": "0", "roof": "1"})
    data = DataConfig(name="folder", root=str(tmp_path), folder=folder, cache_dir=str(tmp_path / "cache"))
    reports = [open_sound(data)[1] for _ in range(2)]
    assert reports[0] is not None
    assert reports[0] == reports[1]
    assert any("EXIF" in found.message for found in reports[0].warnings)


def test_a_place_that_cannot_be_read_is_one_more_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    Image.fromarray(LABELS).save(tmp_path / "m.png")

    def broken(path: Path) -> None:
        raise DataError(f"cannot read `{path}`: its world file makes no sense")

    monkeypatch.setattr("rsseg_tf.datasets.agreement.place_of", broken)
    report = checked(tmp_path, image="a.png", mask="m.png")
    assert [problem.sample for problem in report.problems if "makes no sense" in problem.message] == ["a", "a"]
    assert report.splits["train"].labeled == 1
