"""From aerial images with masks to a small, fast, proven int8 model on an edge board."""

__version__ = "0.1.0"
