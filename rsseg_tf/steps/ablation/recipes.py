"""Which networks an ablation trains, by what settings, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rsseg_tf.config import Config
from rsseg_tf.config.export import check_export
from rsseg_tf.config.pruning import Control
from rsseg_tf.errors import ConfigError
from rsseg_tf.models.architectures import require_network
from rsseg_tf.number_formats import FORMATS


@dataclass(frozen=True)
class Extent:
    """How far an ablation goes; a larger one builds on what a smaller one left.

    Attributes:
        repeats: seeds of each backbone, from `seed` of its settings upward.
        split: what the models are scored on.
        control: train the dense networks on too, with the teacher (where `prune.distill` has one) and without.
    """

    repeats: int = 5
    split: str = "test"
    control: bool = False

    def controls(self, config: Config) -> tuple[Control, ...]:
        """Return the controls of a pruning by `config`: those that its settings ask for, or all."""
        if not self.control:
            return config.prune.controls
        return ("plain", "teacher") if config.prune.distill.weight else ("plain",)


def recipes_of(configs: Sequence[Config], backbones: Sequence[str] = ()) -> dict[str, Config]:
    """Return network → the settings of its repeats.

    Args:
        configs: each for the network that it names, as the paper prunes ResNet-18 further than ResNet-50.
        backbones: what one configuration is to be repeated with instead of its own backbone.

    Raises:
        ConfigError: for an unknown backbone, a network that two configurations name or that lacks what one sets,
            different data, formats whose weights do not have 8 bits, or `backbones` with several configurations.
    """
    if backbones and len(configs) > 1:
        raise ConfigError(
            "--backbones cannot be combined with several -c",
            hint="each stands for the backbone that it names: omit --backbones, or give one -c",
        )
    named = [replace(configs[0], model=replace(configs[0].model, backbone=name)) for name in dict.fromkeys(backbones)]
    recipes: dict[str, Config] = {}
    for config in map(_with_fixed_data, named or configs):
        name = config.model.network
        require_network(config.model)  # an error before anything is trained
        if name in recipes:
            hint = "give each network one configuration, or run them separately, each with its --out"
            raise ConfigError(f"two configurations name the network `{name}`", hint=hint)
        _check_type(config)
        recipes[name] = config
    first, *others = (config.data for config in recipes.values())
    if any(data != first for data in others):
        raise ConfigError(
            "the configurations differ in `data`, so their scores would not be comparable",
            hint="all are trained and scored on the same images: make their data sections equal",
        )
    return recipes


def _check_type(config: Config) -> None:
    check_export(config.export)
    if not FORMATS[config.export.type].is_quantized:
        raise ConfigError(
            f"an ablation compares float32 files with quantized ones, and {config.export.type} is none",
            hint=f"choose one of {', '.join(name for name, known in FORMATS.items() if known.is_quantized)}",
        )


def _with_fixed_data(config: Config) -> Config:
    """Return the settings with scenes that do not change with the seed of a repeat."""
    scenes = config.data.scenes
    if scenes.seed >= 0 or config.data.name != "scenes":
        return config
    return replace(config, data=replace(config.data, scenes=replace(scenes, seed=config.seed)))
