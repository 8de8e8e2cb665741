"""Images that nobody has dealt: neighbors stay together, the same on every machine."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsseg_tf.datasets.sample import Sample
from rsseg_tf.datasets.splits.dealing import deal
from tests.datasets.splits.surveys import METERS_A_DEGREE, ground, with_place
from tests.inference.rasters import geotiff, origin

DUBAI = Path("/work/shared/data/dubai")
MANNERS = ("neighbors", "name")


def named(*names: str) -> list[Sample]:
    return [Sample(name, None, None) for name in names]


def split_of(samples: list[Sample], by: str = "neighbors") -> dict[str, str]:
    return {each.name: split for split, members in deal(samples, by).splits.items() for each in members}


def counts(samples: list[Sample], by: str = "neighbors") -> dict[str, int]:
    return {split: len(members) for split, members in deal(samples, by).splits.items()}


NAMES = st.lists(st.from_regex(r"[ab]{1,2}/?[c-e][0-9]{0,3}(_[0-9]{1,7})?", fullmatch=True), unique=True, max_size=60)


@given(NAMES, st.randoms(use_true_random=False), st.sampled_from(MANNERS))
def test_everything_is_dealt_once_whatever_the_order(names: list[str], rng: random.Random, by: str) -> None:
    dealing = deal(named(*names), by)
    for members in dealing.splits.values():
        assert [each.name for each in members] == [name for name in names if name in {each.name for each in members}]
    assert sorted(each.name for members in dealing.splits.values() for each in members) == sorted(names)
    shuffled = rng.sample(names, len(names))
    assert split_of(named(*shuffled), by) == split_of(named(*names), by)


@given(NAMES, st.sampled_from(MANNERS))
def test_shares_are_near_a_seventh_however_large_the_groups(names: list[str], by: str) -> None:
    if len(names) < 7:
        assert set(counts(named(*names), by)) == {"train"}
        return
    held = round(len(names) / 7)
    found = counts(named(*names), by)
    assert held / 2 <= found["val"] <= 1.5 * held
    assert held / 2 <= found["test"] <= 1.5 * held


def test_a_name_decides_as_it_always_has() -> None:
    """The splits of runs from before: what they were trained on must not turn up in test."""
    found = split_of(named(*(f"photo{number:02}" for number in range(35))), "name")
    assert [name for name, split in found.items() if split == "test"] == [
        "photo05", "photo07", "photo21", "photo22", "photo23",
    ]  # fmt: skip
    assert [name for name, split in found.items() if split == "val"] == [
        "photo04", "photo10", "photo11", "photo19", "photo31",
    ]  # fmt: skip


WORDS = st.lists(st.text("abcdefgh", min_size=1, max_size=6), unique=True, min_size=7, max_size=50)


@given(WORDS)
def test_without_numbers_or_positions_neighbors_are_dealt_as_names(names: list[str]) -> None:
    assert split_of(named(*names)) == split_of(named(*names), "name")


@pytest.mark.parametrize(
    "name",
    [
        "DJI_{:04}",
        "DJI_20240301{0:06}_{0:04}_V",
        "survey/frame_{:06}",
        "{}",
        "clip.{:05}.rf.0123456789abcdef",
        "photo{:03}0",
    ],
)
def test_one_flight_is_cut_into_a_run_for_each_split(name: str) -> None:
    names = [name.format(number) for number in range(100, 163)]
    found = split_of(named(*names))
    assert counts(named(*names)) == {"train": 45, "val": 9, "test": 9}
    for split in ("val", "test"):
        places = [place for place, each in enumerate(names) if found[each] == split]
        assert places == list(range(places[0], places[0] + 9))
    assert "1 large group cut into 7 blocks" in deal(named(*names)).words


def test_runs_that_are_small_enough_stay_whole() -> None:
    flights = [[f"DJI_{start + number:04}" for number in range(5)] for start in range(0, 1400, 100)]
    found = split_of(named(*(name for flight in flights for name in flight)))
    assert all(len({found[name] for name in flight}) == 1 for flight in flights)
    assert sorted(found.values()).count("val") == sorted(found.values()).count("test") == 10


@pytest.mark.parametrize("name", ["Tile {0}/image_part_{1:03}", "tile{0}_part{1}", "tile{0}/{1}"])
def test_pictures_cut_into_parts_stay_whole(name: str) -> None:
    """The layout of the Dubai data set: eight pictures of nine parts."""
    found = {(tile, part): name.format(tile, part) for tile in range(1, 9) for part in range(1, 10)}
    dealt = split_of(named(*found.values()))
    splits = [{dealt[each] for (tile, _), each in found.items() if tile == number} for number in range(1, 9)]
    assert all(len(each) == 1 for each in splits)
    assert counts(named(*found.values())) == {"train": 54, "val": 9, "test": 9}


def test_a_large_flight_goes_to_train_where_small_ones_fill_the_others() -> None:
    flight = [f"flight/{number:04}" for number in range(70)]
    single = [f"places/{name}" for name in "abcdefghijklmnopqrstuvwxyz"]
    found = split_of(named(*flight, *single))
    assert {found[name] for name in flight} == {"train"}
    assert deal(named(*flight, *single)).words.endswith("all of them whole")


def test_copies_of_one_image_stay_together() -> None:
    names = [f"img{number}_jpg.rf.{copy:032x}" for number in range(40) for copy in range(3)]
    found = split_of(named(*names))
    assert all(len({found[name] for name in names if name.startswith(f"img{number}_")}) == 1 for number in range(40))


def photos(folder: Path, places: list[tuple[float, float]]) -> list[Sample]:
    """Photos of cameras so many meters north and east of a place; their names say nothing."""
    made = []
    for number, (north, east) in enumerate(places):
        name = f"{'abcdefghijklmnopqrstuvwxyz'[number % 26]}{'abcdefghijklmnopqrstuvwxyz'[number // 26]}"
        latitude, longitude = 25 + north / METERS_A_DEGREE, 55 + east / METERS_A_DEGREE / 0.9063
        path = with_place(folder / f"{name}.jpg", ground(8, 8), latitude, longitude)
        made.append(Sample(name, path, None))
    return made


def test_places_that_are_apart_stay_whole(tmp_path: Path) -> None:
    sites = [(1500.0 * (site // 3), 1500.0 * (site % 3)) for site in range(9)]
    samples = photos(tmp_path, [(north + 30 * step, east) for north, east in sites for step in range(4)])
    found = split_of(samples)
    names = [each.name for each in samples]
    assert all(len({found[name] for name in names[4 * site : 4 * site + 4]}) == 1 for site in range(9))
    assert counts(samples) == {"train": 28, "val": 4, "test": 4}
    assert deal(samples).words == "dealt by position (36 images in 9 groups of neighbors); all of them whole"


def test_one_survey_is_cut_into_compact_blocks(tmp_path: Path) -> None:
    places = [(40.0 * row, 40.0 * column) for row in range(9) for column in range(7)]
    samples = photos(tmp_path, places)
    found = split_of(samples)
    assert counts(samples) == {"train": 45, "val": 9, "test": 9}
    for split in ("val", "test"):
        block = [place for place, each in zip(places, samples, strict=True) if found[each.name] == split]
        norths, easts = zip(*block, strict=True)
        assert max(norths) - min(norths) <= 160
        assert max(easts) - min(easts) <= 160


def test_a_survey_shares_less_ground_between_splits_than_by_name(tmp_path: Path) -> None:
    """Photos of 100 m on two sites, 40 m apart: what counts is how many of test and val show ground of train."""
    places = [(40.0 * row + far, 40.0 * column) for far in (0, 5000) for row in range(6) for column in range(6)]
    samples = photos(tmp_path, places)

    def leaks(by: str) -> int:
        found = [split_of(samples, by)[each.name] for each in samples]
        pairs = list(zip(places, found, strict=True))
        train = [place for place, split in pairs if split == "train"]
        return sum(
            any(abs(north - other[0]) < 100 and abs(east - other[1]) < 100 for other in train)
            for (north, east), split in pairs
            if split != "train"
        )

    assert leaks("name") == 20
    assert leaks("neighbors") <= 14


def test_a_place_photographed_twice_is_in_one_split(tmp_path: Path) -> None:
    samples = photos(tmp_path, [(50.0 * step, 0.0) for step in range(20) for _ in range(2)])
    found = split_of(samples)
    names = [each.name for each in samples]
    assert all(found[names[place]] == found[names[place + 1]] for place in range(0, 40, 2))


def test_photos_of_one_place_are_dealt_too(tmp_path: Path) -> None:
    assert counts(photos(tmp_path, [(0.0, 0.0)] * 14)) == {"train": 10, "val": 2, "test": 2}


def test_tiles_of_a_mosaic_are_dealt_by_their_georeference(tmp_path: Path) -> None:
    """Their names are shuffled, so that numbers would tear neighbors apart."""
    order = random.Random(0).sample(range(49), 49)
    samples, places = [], {}
    for number, place in enumerate(order):
        row, column = divmod(place, 7)
        where = origin(325_000 + 8 * column, 2_780_000 - 8 * row, 0.5)
        samples.append(
            Sample(f"t{number}", geotiff(tmp_path / f"t{number}.tif", ground(16, 16), transform=where), None)
        )
        places[f"t{number}"] = (row, column)
    found = split_of(samples)
    assert counts(samples) == {"train": 35, "val": 7, "test": 7}
    for split in ("val", "test"):
        rows, columns = zip(*(places[name] for name, each in found.items() if each == split), strict=True)
        assert (max(rows) - min(rows) + 1) * (max(columns) - min(columns) + 1) <= 12


def test_images_without_a_position_are_dealt_by_number_beside_those_with_one(tmp_path: Path) -> None:
    samples = photos(tmp_path, [(2000.0 * step, 0.0) for step in range(14)]) + named(*(f"x{n}" for n in range(2)))
    assert deal(samples).words == (
        "dealt by position (14 images in 14 groups of neighbors) and the numbers in names (2 images in 1 group of "
        "neighbors); all of them whole"
    )


@pytest.mark.skipif(not DUBAI.is_dir(), reason="the Dubai data lie beside the repository in development alone")
def test_the_pictures_of_dubai_stay_whole() -> None:
    images = sorted(DUBAI.glob("Tile */images/*.jpg"))
    samples = [Sample(f"{path.parts[-3]}/{path.stem}", path, None) for path in images]
    found = split_of(samples)
    tiles = {name.partition("/")[0] for name in found}
    assert len(tiles) == 8
    for tile in tiles:
        assert len({split for name, split in found.items() if name.startswith(f"{tile}/")}) == 1
