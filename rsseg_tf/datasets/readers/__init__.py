"""One reader for each layout of files; `rsseg_tf.open_dataset` picks the one that `data.name` names."""
