"""How good models are on a data set: scores of each class, and how sure the difference between two models is."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rsseg_tf.evaluation.comparison import Comparison, compare
    from rsseg_tf.evaluation.images import Seen
    from rsseg_tf.evaluation.scoring import Evaluation, evaluate, evaluate_all
else:
    from rsseg_tf.lazy import offering

    __getattr__, __dir__ = offering(
        __name__,
        {
            "comparison": ["Comparison", "compare"],
            "images": ["Seen"],
            "scoring": ["Evaluation", "evaluate", "evaluate_all"],
        },
    )

__all__ = ["Comparison", "Evaluation", "Seen", "compare", "evaluate", "evaluate_all"]
