"""The methods that are compared: what each makes of the dense model before the retraining that all share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras

from comparison.kept import plan_of_kept, read_kept
from comparison.magnitude import MagnitudeMasks, copy_of
from comparison.same_share import l1_values, random_values, same_share_plan
from rsseg_tf import pruning
from rsseg_tf.config import Config, PruneConfig, load_config
from rsseg_tf.errors import ConfigError
from rsseg_tf.runs import write_text
from rsseg_tf.steps.fit import PLAN
from rsseg_tf.steps.shared.progress import PruningProgress
from rsseg_tf.steps.shared.training_data import batches_as_asked, recalibrate, scoring_loss
from rsseg_tf.training.pipeline import BatchSchedule

_STATE = "pruning.npz"
_OURS = re.compile(r"(?P<criterion>[a-z0-9-]+)(\+(?P<normalize>[a-z0-9]+))?(/(?P<cost>[a-z0-9_]+))?")


@dataclass(frozen=True)
class Method:
    """One way to make the dense model smaller.

    Attributes:
        name: as it was asked for, such as `ours:taylor-bn+mean/macs`.
        kind: a key of `MAKERS`.
        settings: `prune` settings that it overrides.
        file: JSON with what another program keeps.
    """

    name: str
    kind: str
    settings: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None

    @property
    def slug(self) -> str:
        """The name as a file's."""
        return re.sub(r"[^a-z0-9-]", "_", self.name)

    def configured(self, config: PruneConfig) -> PruneConfig:
        """Return `config` with the method's own settings."""
        return replace(config, **self.settings)  # type: ignore[arg-type]


def parse_methods(text: str) -> tuple[Method, ...]:
    """Return methods from a list such as `ours,ours:taylor-bn/macs,random,tfmot`; TFMOT's go last, they need ours.

    Raises:
        ConfigError: for an unknown method or setting, or one that comes twice.
    """
    methods = [_parse(name) for name in text.split(",")]
    names = [method.name for method in methods]
    if len(set(names)) < len(names):
        raise ConfigError(f"a method comes twice in `{text}`")
    return tuple(sorted(methods, key=lambda method: method.kind == "tfmot"))


def _parse(name: str) -> Method:
    kind, colon, rest = name.partition(":")
    if kind == "kept" and rest:
        return Method(name, kind, file=Path(rest))
    match = _OURS.fullmatch(rest)
    if kind not in MAKERS or kind == "kept" or (colon and (kind != "ours" or match is None)):
        known = "ours, ours:CRITERION[+NORMALIZE][/COST], l1-uniform, random, tfmot, kept:FILE"
        raise ConfigError(f"unknown method `{name}`", hint=f"known: {known}")
    settings = {key: value for key, value in match.groupdict().items() if value} if match else {}
    load_config(overrides=[f"prune.{key}={value}" for key, value in settings.items()])
    if settings.get("criterion", pruning.Loop.criterion) not in pruning.CRITERIA:
        raise ConfigError(f"unknown criterion in `{name}`", hint=f"known: {', '.join(pruning.CRITERIA)}")
    return Method(name, kind, settings)


@dataclass(frozen=True)
class Task:
    """What every method is given.

    Attributes:
        dense: the trained model.
        config: all settings; the method's own are in `config.prune`.
        schedule: of the training batches.
        params_share: share of the parameters that ours left, for the methods that need it.
        kept_file: JSON with what another program keeps, for `kept`.
    """

    dense: keras.Model
    config: Config
    schedule: BatchSchedule
    params_share: float | None = None
    kept_file: Path | None = None


def make(method: Method, task: Task, folder: Path) -> keras.Model:
    """Return the smaller model with recalibrated batch norms; a plan in `folder` is not made again."""
    model = MAKERS[method.kind](task, folder)
    recalibrate(model, task.schedule, task.config.prune)
    return model


def _planned(maker: Callable[[Task, Path], pruning.Plan]) -> Callable[[Task, Path], keras.Model]:
    """Return what rebuilds the dense model by the plan that `maker` makes, or made."""

    def rebuilt(task: Task, folder: Path) -> keras.Model:
        path = folder / PLAN
        if not path.exists():
            write_text(path, maker(task, folder).to_json())
        return pruning.rebuild(task.dense, pruning.Plan.from_json(path.read_text(encoding="utf-8")))

    return rebuilt


def _ours(task: Task, folder: Path) -> keras.Model:
    settings = task.config.prune
    slim, plan = pruning.prune_loop(
        task.dense,
        batches=lambda loop: batches_as_asked(task.schedule, epoch=loop, count=settings.batches),
        loss=scoring_loss(task.schedule, task.config, settings.criterion, num_classes=task.dense.output_shape[-1]),
        target=settings,
        loop=settings,
        hooks=pruning.Hooks(on_loop=PruningProgress(settings.loops), state_path=folder / _STATE),
    )
    write_text(folder / PLAN, plan.to_json())
    return slim


def _l1_uniform(task: Task, _folder: Path) -> pruning.Plan:
    groups = pruning.find_groups(task.dense)
    return same_share_plan(groups, l1_values(task.dense, groups), task.config.prune, criterion="l1-uniform")


def _random(task: Task, _folder: Path) -> pruning.Plan:
    groups = pruning.find_groups(task.dense)
    return same_share_plan(groups, random_values(groups, seed=task.config.seed), task.config.prune, criterion="random")


def _kept(task: Task, _folder: Path) -> pruning.Plan:
    if task.kept_file is None:
        raise ConfigError("`kept` needs a file")
    return plan_of_kept(pruning.find_groups(task.dense), read_kept(task.kept_file))


def _tfmot(task: Task, _folder: Path) -> keras.Model:
    if task.params_share is None:
        raise ConfigError(
            "`tfmot` zeroes the share of the parameters that another method removes", hint="name ours before it"
        )
    model = copy_of(task.dense)
    MagnitudeMasks(model, kept_share=task.params_share).hold()
    return model


MAKERS: Mapping[str, Callable[[Task, Path], Any]] = {
    "ours": _ours,
    "l1-uniform": _planned(_l1_uniform),
    "random": _planned(_random),
    "kept": _planned(_kept),
    "tfmot": _tfmot,
}
"""Kind of method → what makes the smaller model of a task, in a folder of its own."""
