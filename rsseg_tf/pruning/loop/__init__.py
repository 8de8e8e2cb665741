"""Scoring and removing in many small steps; public through `rsseg_tf.pruning`, as `prune_loop` and `recalibrate`."""
