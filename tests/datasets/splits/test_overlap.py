"""Ground that two splits show is found where it is, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from rasterio.transform import Affine

from rsseg_tf.config import DataConfig, FolderConfig
from rsseg_tf.datasets import write_image
from rsseg_tf.datasets.catalog import list_dataset
from rsseg_tf.datasets.check import check_dataset, with_overlaps
from rsseg_tf.datasets.images.channels import visible
from rsseg_tf.datasets.splits.overlap import overlaps
from rsseg_tf.datasets.splits.similar import details_of, show_one_place
from tests.datasets.readers.layouts import write_csv
from tests.datasets.splits.surveys import ground
from tests.inference.rasters import geotiff, origin

DUBAI = Path("/work/shared/data/dubai")
GROUND = ground(1500, 1500)


def view(row: float, column: float, *, turned: float = 0, zoom: float = 1, side: int = 400) -> np.ndarray:
    """A photo of the ground from above this place, darker and with noise."""
    matrix = cv2.getRotationMatrix2D((column, row), turned, zoom)
    matrix[:, 2] += side / 2 - np.array([column, row])
    seen = cv2.warpAffine(GROUND, matrix, (side, side), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
    noise = np.random.default_rng(int(row + 7 * column)).normal(0, 4, seen.shape)
    return np.clip(seen * 0.9 + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("turned", "zoom"), [(0, 1), (10, 1), (180, 0.9), (90, 1.2)])
@pytest.mark.parametrize("apart", [0, 100, 200])
def test_photos_of_one_place_are_told_whichever_way_they_are_turned(turned: float, zoom: float, apart: int) -> None:
    first, second = details_of(view(600, 600)), details_of(view(600 + apart, 600, turned=turned, zoom=zoom))
    assert show_one_place(first, second)
    assert show_one_place(second, first)


def test_photos_of_other_places_are_told_apart() -> None:
    views = [details_of(view(row, column)) for row in (200, 700, 1200) for column in (200, 700, 1200)]
    assert not any(show_one_place(one, other) for place, one in enumerate(views) for other in views[:place])


def test_a_mirrored_photo_and_one_without_details_show_no_common_place() -> None:
    photo = view(600, 600)
    for other in (photo[:, ::-1].copy(), np.full_like(photo, 90), photo[:1, :1]):
        assert not show_one_place(details_of(photo), details_of(other))


def listed(root: Path, photos: dict[str, tuple[str, np.ndarray]]) -> DataConfig:
    """A data set of photos by name, each with its split."""
    for name, (_, photo) in photos.items():
        write_image(root / f"{name}.png", photo)
        write_image(root / f"{name}_mask.png", np.zeros(photo.shape[:2], np.uint8))
    write_csv(root / "pairs.csv", *(f"{name}.png,{name}_mask.png,{split}" for name, (split, _) in photos.items()))
    return DataConfig(name="folder", root=str(root), folder=FolderConfig("pairs.csv", {"ground": "0"}))


def test_the_check_warns_of_splits_that_share_ground(tmp_path: Path) -> None:
    data = listed(
        tmp_path,
        {
            "a": ("train", view(300, 300)),
            "b": ("train", view(300, 1100)),
            "c": ("test", view(450, 1100, turned=20)),
            "d": ("test", view(1100, 300)),
            "e": ("val", view(1100, 1100)),
        },
    )
    dataset = list_dataset(data)
    told: list[tuple[int, int]] = []
    report = with_overlaps(check_dataset(dataset), dataset, progress=lambda *counts: told.append(counts))
    assert [finding.message for finding in report.warnings] == [
        "1 of 2 images of `test` show ground that `train` shows too, such as `c` and `b`"
    ]
    assert "data.folder.pairs" in report.warnings[0].hint
    assert told == [(number, 4) for number in range(1, 5)]


def test_georeferences_count_for_more_than_what_is_seen(tmp_path: Path) -> None:
    """Two copies of one texture that lie elsewhere, and two textures that lie on one another."""
    same, other = ground(64, 64, seed=1), ground(64, 64, seed=2)
    places = {"a": ("train", same, 0), "b": ("val", same, 1000), "c": ("test", other, 16), "d": ("test", other, 32)}
    data = listed(tmp_path, {name: (split, pixels) for name, (split, pixels, _) in places.items()})
    for name, (_, pixels, east) in places.items():
        geotiff(tmp_path / f"{name}.tif", pixels, transform=origin(325_000 + east, 2_780_000, 0.5))
    lines = (tmp_path / "pairs.csv").read_text().splitlines()[1:]
    write_csv(tmp_path / "pairs.csv", *(line.replace(".png", ".tif", 1) for line in lines))
    found = overlaps(list_dataset(data))
    assert [(each.split, each.other, each.found) for each in found] == [("test", "train", {"c": "a"})]


@pytest.mark.parametrize("turned", [0, 30, 45, 200])
@pytest.mark.parametrize(("apart", "is_shared"), [(40, False), (30, True), (0, True)])
def test_turned_images_beside_one_another_share_no_ground(tmp_path: Path, turned, apart, is_shared) -> None:
    data = listed(tmp_path, {"a": ("train", ground(40, 60, seed=1)), "b": ("val", ground(40, 60, seed=2))})
    grid = origin(325_000, 2_780_000, 0.5) @ Affine.rotation(turned)
    for name, down in (("a", 0), ("b", apart)):
        geotiff(tmp_path / f"{name}.tif", np.zeros((40, 60, 3), np.uint8), transform=grid @ Affine.translation(0, down))
    lines = (tmp_path / "pairs.csv").read_text().splitlines()[1:]
    write_csv(tmp_path / "pairs.csv", *(line.replace(".png", ".tif", 1) for line in lines))
    assert [each.found for each in overlaps(list_dataset(data))] == ([{"b": "a"}] if is_shared else [])


def test_of_many_images_the_nearest_by_name_are_compared(tmp_path: Path) -> None:
    photos = {f"p{number:02}": ("train", ground(40, 40, seed=number)) for number in range(30)}
    photos |= {"p19": ("train", view(300, 300)), "p20": ("test", view(300, 350))}
    (found,) = overlaps(list_dataset(listed(tmp_path, photos)), most=2)
    assert found.found == {"p20": "p19"}


def test_what_cannot_be_read_shares_nothing(tmp_path: Path) -> None:
    data = listed(tmp_path, {"a": ("train", view(300, 300)), "b": ("test", view(300, 300))})
    (tmp_path / "b.png").write_bytes(b"")
    assert overlaps(list_dataset(data)) == []


@pytest.mark.skipif(not DUBAI.is_dir(), reason="the Dubai data lie beside the repository in development alone")
def test_of_dubai_three_pictures_are_known_to_overlap(tmp_path: Path) -> None:
    """Seen in the images: parts of tiles 1 and 3, of 4 and 8, of 7 and 8."""
    tiles = {"train": (1, 4, 7), "test": (3, 8)}
    rows = [
        f"{path.relative_to(DUBAI)},,{split}"
        for split, numbers in tiles.items()
        for number in numbers
        for path in sorted((DUBAI / f"Tile {number}/images").glob("*.jpg"))
    ]
    write_csv(tmp_path / "pairs.csv", *rows)
    folder = FolderConfig(str(tmp_path / "pairs.csv"), {"ground": "0"})
    (found,) = overlaps(list_dataset(DataConfig(name="folder", root=str(DUBAI), folder=folder)))
    assert {(name.partition("/")[0], other.partition("/")[0]) for name, other in found.found.items()} == {
        ("Tile 3", "Tile 1"),
        ("Tile 8", "Tile 4"),
        ("Tile 8", "Tile 7"),
    }


@pytest.mark.parametrize("count", [1, 2, 4, 6, 16])
def test_details_are_looked_for_in_what_people_see(count: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (600, 700, count), np.uint8)
    seen, same = details_of(image), details_of(visible(image))
    assert len(seen.words) > 100
    np.testing.assert_array_equal(seen.points, same.points)
    np.testing.assert_array_equal(seen.words, same.words)
