"""Scores of models on a split, counted by workers: the numbers are those of one process."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsseg_tf.cluster.engine import Cluster, Task
from rsseg_tf.cluster.survey import check_workers
from rsseg_tf.cluster.worker import Model, not_here
from rsseg_tf.config import DataConfig, EvaluateConfig
from rsseg_tf.datasets.opening import open_prepared
from rsseg_tf.evaluation.images import SeenSplit, seen_by
from rsseg_tf.evaluation.share import Count, Part
from rsseg_tf.inference.predict import TiledPredictor
from rsseg_tf.progress import Progress

_TASKS_A_WORKER = 8


@dataclass(frozen=True)
class Scoring:
    """What workers have to know to count images.

    Attributes:
        models: as they open them.
        facts: all about each but its network.
        data: settings of the data set; they have to see its files under the same paths.
        seed: of generated scenes.
        split: which images.
        settings: of the metrics.
    """

    models: Sequence[Model]
    facts: Sequence[TiledPredictor]
    data: DataConfig
    seed: int
    split: str
    settings: EvaluateConfig

    @classmethod
    def of(
        cls, models: Sequence[Model], predictors: Sequence[TiledPredictor], data: DataConfig, **more: Any
    ) -> Scoring:
        """Return what workers have to know; `more` are the attributes after `data`."""
        root, cache_dir = (str(Path(place).absolute()) if place else "" for place in (data.root, data.cache_dir))
        facts = [dataclasses.replace(each, infer=not_here) for each in predictors]
        return cls(models, facts, dataclasses.replace(data, root=root, cache_dir=cache_dir), **more)


class DealtShare:
    """Images that are dealt to workers; a `rsseg_tf.evaluation.share.Share`.

    Args:
        cluster: the workers.
        scoring: what they count.
        progress: called with the images that are counted, and how many there are.

    Raises:
        ConfigError: if workers cannot do the work.
    """

    process = 0

    def __init__(self, cluster: Cluster, scoring: Scoring, progress: Progress) -> None:
        for model in scoring.models:
            check_workers(cluster, model)
        self._cluster, self._progress = cluster, progress
        self._scoring = pickle.dumps(scoring)

    def parts(self, _count: Count, images: int) -> Iterator[Part]:
        """Yield what workers count of all images, in their order, so that sums are those of one process."""
        pieces = min(images, _TASKS_A_WORKER * self._cluster.workers)
        edges = [images * number // pieces for number in range(pieces + 1)] if pieces else []
        tasks = (
            Task(f"images {first + 1} to {end}", count_some, (self._scoring, range(first, end)), about=first)
            for first, end in itertools.pairwise(edges)
        )
        found: dict[int, list[Part]] = {}
        at = 0
        for done, (task, parts) in enumerate(self._cluster.results(tasks, tick=lambda: None), start=1):
            found[task.about] = parts
            self._progress(images * done // pieces, images)
            while at < pieces and edges[at] in found:
                yield from found.pop(edges[at])
                at += 1

    def summed(self, values: Sequence[Any]) -> list[Any]:
        """Return `values`: all that workers counted came here."""
        return list(values)


def count_some(scoring: bytes, indices: Sequence[int]) -> list[Part]:
    """Return what is counted of some images; a worker's."""
    return list(_seen(scoring).counted(indices))


@functools.lru_cache(maxsize=1)
def _seen(pickled: bytes) -> SeenSplit:
    """Return the images of a split, listed once a process."""
    scoring: Scoring = pickle.loads(pickled)  # what Dask carries is pickled anyway
    pairs = zip(scoring.facts, scoring.models, strict=True)
    predictors = [dataclasses.replace(facts, infer=model.network()) for facts, model in pairs]
    dataset = open_prepared(scoring.data, seed=scoring.seed)
    return seen_by(predictors, dataset, scoring.split, settings=scoring.settings)
