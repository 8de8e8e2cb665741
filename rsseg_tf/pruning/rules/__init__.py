"""What each type of layer does to channels. Public through `rsseg_tf.pruning`: `RULES`, `Rule` and `flows`."""
