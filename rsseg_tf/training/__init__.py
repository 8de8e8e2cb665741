"""Training a segmentation network: batches, losses, steps, the loop, several machines; public as `rsseg_tf.fit`."""
