"""The data that models are scored on, as they see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rsseg_tf.config import DataConfig
from rsseg_tf.datasets.images.channels import Channels
from rsseg_tf.errors import ModelError
from rsseg_tf.inference.predict import TiledPredictor


def data_for(predictors: Sequence[TiledPredictor], data: DataConfig) -> DataConfig:
    """Return the settings to read data with: in the bands that the models see, unless the settings say which.

    Prepared pairs are used only where they have every model's size.

    Raises:
        ModelError: if the models see different bands, and the settings do not say which.
        ConfigError: if the settings name another number of bands than a model sees.
    """
    seen = {each.channels_for(Channels.of(data.bands, data.scale)) for each in predictors}
    if len(seen) > 1:
        named = ", ".join(sorted(f"bands {list(each.bands)} scaled by {each.scale}" for each in seen))
        raise ModelError(f"the models see different colors: {named}", hint="set data.bands and data.scale")
    for each in seen:
        data = replace(data, bands=each.bands, scale=each.scale or ())
    same = all(
        each.fitting == data.fitting and (data.fitting == "crop" or each.input_size == data.input_size)
        for each in predictors
    )
    return data if same else replace(data, cache_dir="")
