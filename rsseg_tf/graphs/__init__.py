"""Keras graphs: read call by call, flattened, copied, and what is known of every type of layer."""

from rsseg_tf.graphs.copying import config_of, copy_graph, copy_of, new_inputs, refresh, without_values
from rsseg_tf.graphs.facts import FACTS, Facts, activation_name, facts, is_elementwise, keeps_values
from rsseg_tf.graphs.flattening import flatten, functional, run_through
from rsseg_tf.graphs.opening import why_whole
from rsseg_tf.graphs.prunable import channelwise, prunable
from rsseg_tf.graphs.taps import Window, live_taps, windows
from rsseg_tf.graphs.walk import (
    Call,
    all_layers,
    all_operations,
    all_within,
    calls,
    is_graph,
    makers,
    readers,
    times_read,
)

__all__ = [
    "FACTS",
    "Call",
    "Facts",
    "Window",
    "activation_name",
    "all_layers",
    "all_operations",
    "all_within",
    "calls",
    "channelwise",
    "config_of",
    "copy_graph",
    "copy_of",
    "facts",
    "flatten",
    "functional",
    "is_elementwise",
    "is_graph",
    "keeps_values",
    "live_taps",
    "makers",
    "new_inputs",
    "prunable",
    "readers",
    "refresh",
    "run_through",
    "times_read",
    "why_whole",
    "windows",
    "without_values",
]
