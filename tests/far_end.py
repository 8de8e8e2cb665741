"""A child process for the tests of `rsseg_tf.child`: it does what the requests say."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from rsseg_tf import errors
from rsseg_tf.child import serve

os.write(1, b"noise of an import")  # as native code does, past Python and without an end of line


def behave(requests: Iterator[Any]) -> Iterator[dict[str, Any]]:
    for what, value in requests:
        os.write(1, b'{"error": "noise"}\nmore of it')
        if what == "raise":
            raise getattr(errors, value)("wrong", hint="mend it")
        if what == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if what == "hang":
            time.sleep(60)
        if what == "fail":
            raise ValueError("a bug")
        yield {what: value, "pid": os.getpid()}
    yield {"said": "no more"}


if __name__ == "__main__":
    sys.exit(serve(behave))
