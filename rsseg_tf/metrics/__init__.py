"""How good a class map is: accuracy, intersection over union, boundary F1, small objects, and how two models differ."""

from rsseg_tf.metrics.bootstrap import Interval, iou_differences, miou_difference, recall_differences
from rsseg_tf.metrics.boundary import BoundaryF1, boundary_f1
from rsseg_tf.metrics.confusion import ConfusionMatrix
from rsseg_tf.metrics.metric import Metric
from rsseg_tf.metrics.objects import SmallObjectRecall

__all__ = [
    "BoundaryF1",
    "ConfusionMatrix",
    "Interval",
    "Metric",
    "SmallObjectRecall",
    "boundary_f1",
    "iou_differences",
    "miou_difference",
    "recall_differences",
]
