"""Flows of normalizations: what a channel that is removed leaves behind them."""

from __future__ import annotations

import numpy as np

from rsseg_tf.pruning.rules.flows import frozen
from rsseg_tf.pruning.rules.site import Signal, Site
from rsseg_tf.tracing.kept import counts_kept


def batch_norm(site: Site) -> Signal:
    """Pass on the channels that come in; with scale and offset zeroed they emit 0 whatever comes in."""
    layer, x = site.layer, site.inputs[0]
    if layer.axis not in (-1, len(x.shape)):
        return frozen(site, f"normalizes axis {layer.axis}, which is not the last")
    site.axis("out", x.ids)
    return site.output(x.ids, 0.0 if layer.scale else np.where(x.dead == 0, 0.0, np.nan))


def layer_norm(site: Site) -> Signal:
    """Pass on the channels that come in; masked, they are left out of mean and variance, and emit 0."""
    x = site.inputs[0]
    if not counts_kept(site.layer):
        return frozen(site, "normalizes over the channels, so each depends on all")
    site.axis("out", x.ids)
    return site.output(x.ids, 0.0)


def group_norm(site: Site) -> Signal:
    """Pass channels on where each is a group of its own (instance normalization), else keep them all."""
    layer, x = site.layer, site.inputs[0]
    if layer.axis not in (-1, len(x.shape)) or layer.groups not in (-1, len(x.ids)):
        return frozen(site, "normalizes over groups of channels, so each depends on others")
    site.axis("out", x.ids)
    site.resize("groups", x.ids)
    return site.output(x.ids, 0.0 if layer.scale else np.where(x.dead == 0, 0.0, np.nan))
