"""How good a class map is: accuracy, intersection over union, boundary F1."""

from rsseg_tf.metrics.boundary import BoundaryF1, boundary_f1
from rsseg_tf.metrics.confusion import ConfusionMatrix

__all__ = ["BoundaryF1", "ConfusionMatrix", "boundary_f1"]
