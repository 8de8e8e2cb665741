"""The job of `rsseg-tf prune`: a dense `.keras` in, a slimmer retrained one and its plan in a run folder out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from rsseg_tf import pruning
from rsseg_tf.benchmark.profile import load_profile
from rsseg_tf.config import Config
from rsseg_tf.config.export import check_export
from rsseg_tf.config.parsing import no_such_choice
from rsseg_tf.config.pruning import ACCURACY, ARENA, LATENCY, Limits, PruneConfig, Target
from rsseg_tf.config.reading import differing
from rsseg_tf.config.setting import part
from rsseg_tf.errors import ConfigError, extras_named
from rsseg_tf.progress import say, warn
from rsseg_tf.run_folder import open_run
from rsseg_tf.runs import write_text
from rsseg_tf.steps.control import carry_out, check_controls, control_folder
from rsseg_tf.steps.fit import MODEL, PLAN, PRUNING_LOG, finish_run, keeping
from rsseg_tf.steps.opening import find_model
from rsseg_tf.steps.shared.exported import int8_graph
from rsseg_tf.steps.shared.progress import PruningProgress
from rsseg_tf.steps.shared.retraining import Retraining
from rsseg_tf.steps.shared.training_data import batches_as_asked, recalibrate, scoring_loss
from rsseg_tf.steps.shared.validation import evaluation, validation
from rsseg_tf.text import counted, listed
from rsseg_tf.tracing.precision import use_precision
from rsseg_tf.training.loop import Outcome
from rsseg_tf.training.strategy import Replicas, check_shares, open_replicas, watching

_STATE = "pruning.npz"

_THIN = 0.1
"""Share of its channels that a layer has to keep, or there is a warning."""

_NAMED = 6
"""Layers that a message names."""


@extras_named()
def prune(model: Path | str, config: Config, folder: Path | str, *, overwrite: bool = False) -> Mapping[str, Any]:
    """Remove channels of a trained model loop by loop, retrain, and leave the result in `folder`.

    The folder gets `model.keras`, `plan.json` (which channels of the dense model stay), `pruning.csv` (shares of its
    MACs and parameters left after each loop), `log.csv` and `manifest.json`; a control (`prune.control`) has the
    folder of a run in there.
    The same call on the folder of a killed run resumes where it stopped. Several workers share the batches that
    are scored, those that retrain, and the validation; only the first of them keeps its folder.

    Args:
        model: the `.keras` file, or the folder of a finished run.
        config: the settings; `config.prune` says how much goes.
        folder: of the new run; it is made.
        overwrite: replace a run that lies there.

    Returns:
        `model` (path), `params`, `macs`, `dense_params`, `dense_macs` (both of the dense model without taps that never
        meet the picture, which are gone before anything else), `val_miou_before_retraining`,
        `val_miou`, `best_epoch` and `averaged` (whether the weights are the mean of those before and after retraining),
        `loops` (fewer than asked for where a floor stopped them), `resumed`; with a profile also `latency_ms` and
        `dense_latency_ms`, estimated from it; with a target in `arena_bytes` that and `dense_arena_bytes`; with
        controls also `controls`: by kind their `model`, `val_miou`, `best_epoch` and `averaged`, and the
        `difference` of the pruned model's val mIoU from theirs.

    Raises:
        RssegError: of any kind, before the folder is touched where settings, data or model are at fault.
    """
    dense_path = find_model(model)
    if Path(folder).resolve() == dense_path.resolve().parent:
        raise ConfigError(f"`{folder}` holds the model that is to be pruned", hint="choose another --out")
    if not config.prune.given:
        raise ConfigError("the targets of `prune` keep everything", hint="for example prune.macs=0.5")
    if ARENA in config.prune.given:
        check_export(config.export)
    check_controls(config.prune, config.prune.controls)
    if config.prune.profile and (doubt := load_profile(Path(config.prune.profile)).doubt):
        warn(f"`{config.prune.profile}`: {doubt}")
    replicas = open_replicas(config.strategy)
    check_shares(config.prune.retrain.batch_size, replicas, config.prune.retrain.accumulate)
    with keeping(Path(folder), replicas) as own:
        return _prune(dense_path, config, own, replicas, overwrite=overwrite)


def _prune(dense_path: Path, config: Config, folder: Path, replicas: Replicas, *, overwrite: bool) -> Mapping[str, Any]:
    job = Retraining.of(dense_path, config, replicas, out=folder)
    _check_floors(config.prune, job.dataset.palette.names)
    with open_run(folder, job.config_text, overwrite=overwrite) as run:
        with watching(replicas, lambda: "pruning"):
            replicas.check_same(f"`{dense_path}`", job.dense_hash)
            slim, plan = _slimmed(job, run.folder)
            score = validation(slim, job.dataset, config, replicas)
            score_before = score()
        say(f"pruned: val mIoU {100 * score_before:.2f} before retraining")
        outcome = Outcome(0, score_before, ())
        if config.prune.retrain.epochs:
            has_teacher = config.prune.distill.weight > 0
            outcome = job.run(
                slim, score, folder=run.folder, title="retrain", has_teacher=has_teacher, start=score_before
            )
        before, after = plan.dense_cost, pruning.cost(slim)
        results = {
            "model": str(folder / MODEL),
            "params": after.params,
            "macs": after.macs,
            "dense_params": before["params"],
            "dense_macs": before["macs"],
            "val_miou_before_retraining": score_before,
            "val_miou": outcome.best_val_miou,
            "best_epoch": outcome.best_epoch,
            "averaged": outcome.is_average,
            "loops": plan.details["loops"],
            **_measured(plan),
            **_controls(job, run.folder, folder, outcome, loops=plan.details["loops"]),
            "resumed": run.resumed,
        }
        finish_run(
            run.folder,
            slim,
            config=config,
            dataset=job.dataset,
            inputs=job.all_inputs,
            results=results,
        )
    return results


def _slimmed(job: Retraining, folder: Path) -> tuple[keras.Model, pruning.Plan]:
    """Return the pruned model with recalibrated batch norms, and its plan, which is left in the folder."""
    settings, schedule = job.config.prune, job.schedule
    precision = use_precision(settings.retrain.precision)
    steps = settings.retrain.epochs * schedule.steps
    say(f"prune: {settings.loops} loops, then {steps} steps of retraining, in {precision}")
    if own := differing(settings, PruneConfig()):
        say(f"prune settings other than the defaults: {', '.join(own)}")  # a run's record may hold those of its time
    loss = scoring_loss(schedule, job.config, settings.criterion, num_classes=job.num_classes)
    job.replicas.file_from_chief(folder / _STATE)
    slim, plan = pruning.prune_loop(
        job.dense,
        batches=lambda loop: batches_as_asked(schedule, epoch=loop, count=settings.batches),
        loss=loss,
        target=_target(job.dense, settings),
        loop=settings,
        hooks=pruning.Hooks(
            on_loop=_LoopLog(folder / PRUNING_LOG, PruningProgress(settings.loops)),
            tune=job.tuner(),
            accuracy=_Measured(job),
            file=lambda model: int8_graph(model, job.config.export),
            together=job.replicas,
            state_path=folder / _STATE,
        ),
    )
    if plan.details["stopped"]:
        say(f"a floor was passed in loop {plan.details['stopped']['loop']:g}: back to loop {plan.details['loops']}")
    if thin := _thin_layers(plan, settings):
        how = "left with a tenth of the channels, or with as few as may be"
        warn(f"{counted(len(thin), 'layer')} {how}: {listed(thin, most=_NAMED)}")
    write_text(folder / PLAN, plan.to_json())
    recalibrate(slim, schedule, settings)
    return job.replicas.mirrored(slim), plan


def _target(dense: keras.Model, settings: PruneConfig) -> Target:
    """Return the targets, with one for the parameters that follows from the others where none is set."""
    target = part(settings, Target)
    shares = [share for metric, share in target.given.items() if metric not in (LATENCY, ARENA)]
    if LATENCY in target.given and settings.profile:
        shares.append(target.latency_ms / load_profile(Path(settings.profile)).total_ms)
    params = max(shares, default=1.0) + settings.params_margin
    if "params" in target.given or params >= 1:
        return target
    groups = pruning.find_groups(pruning.prunable(dense))
    least = pruning.largest_cut(groups, **vars(part(settings, Limits)))
    return replace(target, params=min(1.0, max(params, least.share("params"))))


def _thin_layers(plan: pruning.Plan, settings: PruneConfig) -> list[str]:
    """Return the layers of which so little is left that what they did for a rare class may be gone, in words."""
    left = {name: (len(kept), plan.widths[name]) for name, kept in plan.keep.items()}
    return [
        f"`{name}` ({kept} of {width})"
        for name, (kept, width) in left.items()
        if kept <= max(_THIN * width, min(settings.min_channels, width / 2))
    ]


def _controls(job: Retraining, place: Path, folder: Path, pruned: Outcome, *, loops: int) -> dict[str, Any]:
    """Return what the controls that are asked for reach on val, and how far the pruned model is from that.

    They are trained in `place`, which becomes `folder` in the end.
    """
    found = {}
    for kind in job.config.prune.controls:
        control = carry_out(job, control_folder(place, kind), kind, loops=loops, known_as=control_folder(folder, kind))
        kept = {key: control[key] for key in ("model", "val_miou", "best_epoch", "averaged")}
        found[kind] = {**kept, "difference": pruned.best_val_miou - control["val_miou"]}
    return {"controls": found} if found else {}


def _measured(plan: pruning.Plan) -> dict[str, float]:
    """Return latency and memory of the pruned and the dense model, where a profile or a target has the plan tell."""
    metrics = [metric for metric in (LATENCY, ARENA) if metric in plan.cost]
    costs = {"": plan.cost, "dense_": plan.dense_cost}
    return {f"{kind}{metric}": cost[metric] for metric in metrics for kind, cost in costs.items()}


def _check_floors(settings: PruneConfig, names: Sequence[str]) -> None:
    for setting in ("floor", "small_object_floor"):
        for name in getattr(settings, setting):
            if name not in names:
                raise no_such_choice(f"the class in `prune.{setting}`", name, names)


class _LoopLog:
    """Writes a line of `pruning.csv` for each loop, and shows it; loops that are repeated replace their lines.

    If a profile was measured, the estimated milliseconds are in a column of their own; so is the memory of activations
    that has a target.
    """

    def __init__(self, path: Path, show: PruningProgress) -> None:
        self._path, self._show = path, show
        self._lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []

    def __call__(self, loop: int, plan: pruning.Plan) -> None:
        values = {"loop": loop, "macs": plan.share("macs"), "params": plan.share("params")}
        values |= {metric: plan.cost[metric] for metric in (LATENCY, ARENA) if metric in plan.cost}
        self._lines = [",".join(values), *self._lines[1:loop], ",".join(map(repr, values.values()))]
        write_text(self._path, "\n".join(self._lines) + "\n")
        self._show(loop, plan)


class _Measured:
    """Measures what floors are about on the val split; a model that was measured before is not traced again."""

    def __init__(self, job: Retraining) -> None:
        self._data = job.dataset, job.config, job.replicas
        self._model: keras.Model | None = None

    def __call__(self, model: keras.Model) -> dict[str, float]:
        if model is not self._model:
            self._model, self._score = model, evaluation(model, *self._data)
        found = self._score()
        by_class = {"floor": found.iou, "small_object_floor": found.small_object_recall}
        values = {f"{key}.{name}": value for key, scores in by_class.items() for name, value in scores.items()}
        return {ACCURACY: found.miou, **{name: math.nan if value is None else value for name, value in values.items()}}
