"""TensorFlow's converter made well-behaved: silent, and failing with an error of ours."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from typing import Any

from absl import logging as absl_logging

from rsseg_tf.errors import ModelError, RssegError
from rsseg_tf.quiet import quiet_stderr


@contextlib.contextmanager
def converting(name: str = "the model", *, function: Any = None) -> Iterator[None]:
    """Keep the converter's own chatter off stderr, and make what it raises one line that begins with `name`.

    Args:
        name: of the model.
        function: the concrete function that is converted, to name the operations which TFLite does not have.

    Raises:
        ModelError: if the converter raises anything.
    """
    with _silence():
        try:
            yield
        except RssegError:
            raise
        except Exception as error:  # the converter raises whatever its C++ side throws
            raise ModelError(f"{name} cannot be converted: {_reason(error, function)}") from error


def _reason(error: Exception, function: Any) -> str:
    """Return the first line of an error, or the operations at fault by the names that their layers gave them."""
    kinds = set(re.findall(r"'tf\.(\w+)' op is neither a custom op nor a flex op", str(error)))
    nodes = [] if function is None else function.graph.as_graph_def().node
    named = [f"`{node.name}`" for node in nodes if node.op in kinds]
    if named:
        return f"TFLite has no operator {', '.join(sorted(kinds))}, needed for {', '.join(named)}"
    lines = str(error).strip().splitlines()
    return lines[0] if lines else repr(error)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep stderr silent within the block, from Python or from C++."""
    verbosity = absl_logging.get_verbosity()
    with quiet_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        absl_logging.set_verbosity(absl_logging.FATAL)
        try:
            yield
        finally:
            absl_logging.set_verbosity(verbosity)
