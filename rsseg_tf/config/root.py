"""The settings: one frozen dataclass a section, whose defaults are the defaults of every run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rsseg_tf.config.data import DataConfig, EvaluateConfig
from rsseg_tf.config.export import ExportConfig
from rsseg_tf.config.pruning import PruneConfig
from rsseg_tf.config.setting import setting
from rsseg_tf.config.training import FitConfig, ModelConfig


@dataclass(frozen=True)
class Config:
    """Everything that a run depends on, besides the files it reads.

    Attributes:
        seed: decides everything that is drawn at random.
        strategy: how `fit` and `prune` share their work: `mirrored` shares each batch, and the batches that are scored,
            among the GPUs of a machine, `multiworker` among the machines that the environment variable TF_CONFIG names
            (the same command on each), `auto` picks one of them when there are several devices or machines. `evaluate`
            shares its images among such machines.
    """

    seed: int = setting(0, at_least=0, at_most=4_294_967_295)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    prune: PruneConfig = field(default_factory=lambda: PruneConfig(macs=0.5))
    export: ExportConfig = field(default_factory=ExportConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    strategy: Literal["auto", "none", "mirrored", "multiworker"] = "auto"
