"""Polygons are the class map, whatever strips it comes in."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio import features

from rsseg_tf.datasets.palette import IGNORE
from rsseg_tf.inference.polygons.outlines import Ring, simplified
from rsseg_tf.inference.polygons.regions import Region, RegionFinder


def found(classes: np.ndarray, cuts: tuple[int, ...] = (), *, least: float = 0.0, seed: int = 0) -> list[Region]:
    """The regions of a map whose rows come in parts, with a confidence that is random and rows of areas 1, 2, 3 …"""
    confidence = np.random.default_rng(seed).random(classes.shape, np.float32)
    areas = np.arange(1.0, len(classes) + 1)
    finder = RegionFinder(classes.shape[1], least_area_m2=least)
    regions: list[Region] = []
    for rows in np.split(np.arange(len(classes)), cuts):
        regions += finder.add(classes[rows], confidence=confidence[rows], row_areas_m2=areas[rows])
    return regions + list(finder.close())


def geometry(rings: list[Ring]) -> dict[str, object]:
    return {"type": "Polygon", "coordinates": [[*ring.tolist(), ring[0].tolist()] for ring in rings]}


def burned(regions: list[Region], shape: tuple[int, int]) -> np.ndarray:
    pairs = [(geometry(region.rings), region.number) for region in regions]
    return features.rasterize(pairs, shape, fill=IGNORE, dtype=np.uint8) if pairs else np.full(shape, IGNORE, np.uint8)


@st.composite
def maps(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, ...]]:
    height, width = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    classes = rng.choice(
        np.uint8([0, 1, 2, IGNORE]),
        (height, width),
        p=draw(st.sampled_from([(1, 0, 0, 0), (0.5, 0.2, 0.1, 0.2), (0.5, 0, 0, 0.5), (0.25,) * 4])),
    )
    inner = st.lists(st.integers(1, height - 1), unique=True).map(sorted) if height > 1 else st.just([])
    return classes, tuple(draw(inner))


@settings(max_examples=300, deadline=None)
@given(maps())
def test_burned_back_they_are_the_map(drawn: tuple[np.ndarray, tuple[int, ...]]) -> None:
    classes, cuts = drawn
    regions = found(classes, cuts)
    assert np.array_equal(burned(regions, classes.shape), classes)


@settings(max_examples=200, deadline=None)
@given(maps())
def test_they_are_the_polygons_of_gdal(drawn: tuple[np.ndarray, tuple[int, ...]]) -> None:
    classes, cuts = drawn
    expected = []
    for shape, number in features.shapes(classes, mask=classes != IGNORE, connectivity=4):
        rings = [np.array(ring[:-1]) for ring in shape["coordinates"]]
        expected.append((int(number), sum(map(area, rings[:1])) - sum(map(area, rings[1:]))))
    regions = found(classes, cuts)
    assert sorted((region.number, region.pixels) for region in regions) == sorted(expected)
    for region in regions:
        assert area(region.rings[0]) - sum(map(area, region.rings[1:])) == region.pixels


@settings(max_examples=200, deadline=None)
@given(maps())
def test_no_ring_visits_a_point_twice_and_holes_go_the_other_way(drawn: tuple[np.ndarray, tuple[int, ...]]) -> None:
    for region in found(*drawn):
        assert all(len({tuple(point) for point in ring.tolist()}) == len(ring) for ring in region.rings)
        assert [signed(ring) > 0 for ring in region.rings] == [True] + [False] * (len(region.rings) - 1)


@settings(max_examples=100, deadline=None)
@given(maps())
def test_sums_are_those_of_the_pixels(drawn: tuple[np.ndarray, tuple[int, ...]]) -> None:
    classes, cuts = drawn
    confidence = np.random.default_rng(0).random(classes.shape, np.float32)
    areas = np.repeat(np.arange(1.0, len(classes) + 1)[:, None], classes.shape[1], axis=1)
    for region in found(classes, cuts):
        inside = burned([region], classes.shape) != IGNORE
        assert np.all(classes[inside] == region.number)
        assert region.area_m2 == pytest.approx(areas[inside].sum())
        assert region.confidence == pytest.approx(confidence[inside].mean(), rel=1e-5)


@given(maps(), st.floats(0, 40))
def test_specks_are_left_out_by_their_whole_area(drawn: tuple[np.ndarray, tuple[int, ...]], least: float) -> None:
    every = [region.area_m2 for region in found(*drawn)]
    kept = [region.area_m2 for region in found(*drawn, least=least)]
    assert sorted(kept) == sorted(area for area in every if area >= least)


def test_a_slanting_line_is_one_and_nothing_moves_by_a_pixel() -> None:
    classes = np.full((60, 60), IGNORE, np.uint8)
    cv2.fillPoly(classes, [np.int32([[5, 5], [50, 20], [30, 55]])], 0)
    (region,) = found(classes, (20,))
    (ring,) = (simplified(ring) for ring in region.rings)
    assert len(ring) < len(region.rings[0]) / 3
    changed = np.count_nonzero(features.rasterize([geometry([ring])], classes.shape, fill=0) != (classes == 0))
    assert changed < 0.3 * len(region.rings[0])
    assert (
        max(cv2.pointPolygonTest(np.float32(ring)[:, None], (float(x), float(y)), True) for x, y in region.rings[0]) < 1
    )
    assert (
        min(cv2.pointPolygonTest(np.float32(ring)[:, None], (float(x), float(y)), True) for x, y in region.rings[0])
        > -1
    )


def test_one_pixel_stays_a_polygon() -> None:
    (region,) = found(np.zeros((1, 1), np.uint8))
    assert area(simplified(region.rings[0])) == 0.5


def signed(ring: Ring) -> float:
    x, y = ring.T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def area(ring: Ring) -> float:
    return abs(signed(ring))
