"""Aerial images with class masks, from files or generated."""

from rsseg_tf.datasets.catalog import open_dataset
from rsseg_tf.datasets.images.pixels import read_image, write_image
from rsseg_tf.datasets.palette import IGNORE, Palette
from rsseg_tf.datasets.sample import Dataset, Sample

__all__ = ["IGNORE", "Dataset", "Palette", "Sample", "open_dataset", "read_image", "write_image"]
