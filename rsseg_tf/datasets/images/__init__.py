"""Single files of images and masks: read, checked for damage, resized, written. Public: `rsseg_tf.read_image`."""
