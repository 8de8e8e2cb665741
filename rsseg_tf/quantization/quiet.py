"""TensorFlow's converter made well-behaved: silent, and failing with an error of ours."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator

from absl import logging as absl_logging

from rsseg_tf.errors import ModelError, RssegError


@contextlib.contextmanager
def converting(name: str = "the model") -> Iterator[None]:
    """Keep the converter's own chatter off stderr, and make what it raises one line that begins with `name`.

    Raises:
        ModelError: whatever the converter raises.
    """
    with _silence():
        try:
            yield
        except RssegError:
            raise
        except Exception as error:  # the converter raises whatever its C++ side throws
            reason = str(error).strip().splitlines()
            raise ModelError(f"{name} cannot be converted: {reason[0] if reason else error!r}") from error


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Nothing on stderr, from Python or from C++."""
    sys.stderr.flush()
    verbosity, kept = absl_logging.get_verbosity(), os.dup(2)
    with open(os.devnull, "w") as nowhere, warnings.catch_warnings():  # noqa: PTH123 - a device, not a file
        warnings.simplefilter("ignore")
        absl_logging.set_verbosity(absl_logging.FATAL)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            absl_logging.set_verbosity(verbosity)
