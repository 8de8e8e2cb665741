"""How much each channel matters; public through `rsseg_tf.pruning`, as `score`, `CRITERIA` and `oracle`."""
