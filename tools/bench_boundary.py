"""CPU time of boundary F1, against two plain ways to compute it that give the same scores.

`python tools/bench_boundary.py` prints one line a way: generated scenes of 540×960, six classes, the truth shifted
and with blots in it as prediction.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from rsseg_tf.datasets.scenes.dataset import render_scene
from rsseg_tf.metrics import boundary_f1

CLASSES = 6
TOLERANCE = 0.0075
REPEATS = 3


def main() -> None:
    """Print CPU seconds an image, and the ratio, of each way."""
    pairs = [_pair(seed) for seed in range(2)]
    ways: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
        "boundary_f1": lambda truth, prediction: boundary_f1(truth, prediction, num_classes=CLASSES),
        "SciPy: erosion, distance transform": lambda *pair: by_class(*pair, near=_near_by_transform),
        "SciPy: erosion, k-d tree": lambda *pair: by_class(*pair, near=_near_by_tree),
        "every pair of boundary pixels": lambda *pair: by_class(*pair, near=_near_by_pairs),
    }
    base = None
    for name, way in ways.items():
        seconds, scores = _timed(way, pairs, repeats=1 if "pair" in name else REPEATS)
        base = base or (seconds, scores)
        equal = np.allclose(scores, base[1], equal_nan=True, atol=1e-12)
        print(f"{name:36} {seconds:8.4f} s  {seconds / base[0]:7.1f}×  {'equal' if equal else 'DIFFERS'}")


def _pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = render_scene(rng, size=960)[1][:540]
    prediction = np.roll(truth, (2, 4), axis=(0, 1)).copy()
    for x, y, radius, index in rng.integers((0, 0, 5, 0), (960, 540, 40, CLASSES), (30, 4)).tolist():
        cv2.circle(prediction, (x, y), radius, index, -1)
    return truth, prediction


def _timed(
    way: Callable[[np.ndarray, np.ndarray], np.ndarray], pairs: list[tuple[np.ndarray, np.ndarray]], *, repeats: int
) -> tuple[float, np.ndarray]:
    times = []
    for _ in range(repeats):
        started = time.process_time()
        scores = [way(*pair) for pair in pairs]
        times.append((time.process_time() - started) / len(pairs))
    return min(times), np.array(scores)


def by_class(
    truth: np.ndarray, prediction: np.ndarray, *, near: Callable[[np.ndarray, np.ndarray, float], float]
) -> np.ndarray:
    """F1 of each class, with `near` to tell what share of one boundary lies near another."""
    limit_px = TOLERANCE * float(np.hypot(*truth.shape))
    scores = []
    for index in range(CLASSES):
        edges = [_edge(mask == index) for mask in (truth, prediction)]
        if not edges[0].any() or not edges[1].any():
            scores.append(0.0 if edges[0].any() else np.nan)
            continue
        precision, recall = near(edges[1], edges[0], limit_px), near(edges[0], edges[1], limit_px)
        scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return np.array(scores)


def _edge(inside: np.ndarray) -> np.ndarray:
    return inside & ~ndimage.binary_erosion(inside, border_value=0)


def _near_by_transform(edge: np.ndarray, target: np.ndarray, limit_px: float) -> float:
    return float((ndimage.distance_transform_edt(~target)[edge] < limit_px).mean())


def _near_by_tree(edge: np.ndarray, target: np.ndarray, limit_px: float) -> float:
    distances, _ = cKDTree(np.argwhere(target)).query(np.argwhere(edge))
    return float((distances < limit_px).mean())


def _near_by_pairs(edge: np.ndarray, target: np.ndarray, limit_px: float) -> float:
    targets = np.argwhere(target)
    near = [((targets - point) ** 2).sum(axis=1).min() < limit_px**2 for point in np.argwhere(edge)]
    return float(np.mean(near))


if __name__ == "__main__":
    main()
