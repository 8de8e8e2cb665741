"""From aerial images with masks to a small, fast, proven int8 model on an edge board.

The names in `__all__` are what Python programs use; docs/python.md has examples. Each is imported when it is asked
for, so `import rsseg_tf` is fast, and only `fit`, `prune`, `export`, `pruning` and `.keras` files need TensorFlow.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rsseg_tf import pruning
    from rsseg_tf.config import Config, load_config
    from rsseg_tf.datasets import open_dataset, read_image
    from rsseg_tf.errors import RssegError
    from rsseg_tf.evaluation import compare, evaluate
    from rsseg_tf.inference import TFLiteRunner, predict_files
    from rsseg_tf.metrics import ConfusionMatrix, boundary_f1
    from rsseg_tf.steps.export import export
    from rsseg_tf.steps.fit import fit
    from rsseg_tf.steps.opening import open_model
    from rsseg_tf.steps.prune import prune
else:
    from rsseg_tf.lazy import offering

    __getattr__, __dir__ = offering(
        __name__,
        {
            "config": ["Config", "load_config"],
            "datasets": ["open_dataset", "read_image"],
            "errors": ["RssegError"],
            "evaluation": ["compare", "evaluate"],
            "inference": ["TFLiteRunner", "predict_files"],
            "metrics": ["ConfusionMatrix", "boundary_f1"],
            "pruning": ["pruning"],
            "steps.export": ["export"],
            "steps.fit": ["fit"],
            "steps.opening": ["open_model"],
            "steps.prune": ["prune"],
        },
    )

__all__ = [
    "Config",
    "ConfusionMatrix",
    "RssegError",
    "TFLiteRunner",
    "boundary_f1",
    "compare",
    "evaluate",
    "export",
    "fit",
    "load_config",
    "open_dataset",
    "open_model",
    "predict_files",
    "prune",
    "pruning",
    "read_image",
]
