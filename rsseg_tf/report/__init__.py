"""Results put together for people: one HTML page with tables, figures and pictures."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rsseg_tf.report.build import Wanted, report
else:
    from rsseg_tf.lazy import offering

    __getattr__, __dir__ = offering(__name__, {"build": ["Wanted", "report"]})

__all__ = ["Wanted", "report"]
