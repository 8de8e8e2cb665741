"""The settings of a run: dataclasses with their defaults, and how YAML files and `key=value` words fill them."""

from rsseg_tf.config.data import DataConfig, EvaluateConfig, FolderConfig, IsprsConfig, ScenesConfig
from rsseg_tf.config.export import ExportConfig, QatConfig
from rsseg_tf.config.pruning import PruneConfig
from rsseg_tf.config.reading import dump_yaml, load_config, same_settings, to_dict
from rsseg_tf.config.root import Config
from rsseg_tf.config.training import AugmentConfig, Distillation, DistillConfig, FitConfig, ModelConfig, Recipe

__all__ = [
    "AugmentConfig",
    "Config",
    "DataConfig",
    "DistillConfig",
    "Distillation",
    "EvaluateConfig",
    "ExportConfig",
    "FitConfig",
    "FolderConfig",
    "IsprsConfig",
    "ModelConfig",
    "PruneConfig",
    "QatConfig",
    "Recipe",
    "ScenesConfig",
    "dump_yaml",
    "load_config",
    "same_settings",
    "to_dict",
]
