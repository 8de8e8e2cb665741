"""A process of its own, for native code that may crash, is measured, or runs alongside others of its kind.

Requests go down as pickled values; every answer comes up as JSON, or as an error that is raised here. An answer is
marked as in RFC 7464, so that nothing else that native code prints is taken for one.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, cast

from rsseg_tf.errors import ConfigError, DataError, ModelError, RssegError

_MARK = "\x1e"
_RUN = "import runpy, sys; _, module, *sys.path[:] = sys.argv; runpy.run_module(module, run_name='__main__')"
_ERRORS = {kind.__name__: kind for kind in (ConfigError, DataError, ModelError)}


class Child:
    """The near end of a child process; see `open_child`."""

    def __init__(self, process: subprocess.Popen[bytes], ended: Callable[[int | None], RssegError]) -> None:
        self._process, self._ended, self._is_late = process, ended, False
        self._requests, self._answers = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)

    def tell(self, request: object) -> None:
        """Send a request."""
        with contextlib.suppress(BrokenPipeError):  # it has ended, which the missing answer tells
            pickle.dump(request, self._requests)
            self._requests.flush()

    def read(self) -> dict[str, Any]:
        """Return the next answer.

        Raises:
            RssegError: if it is an error, or the process has ended.
        """
        for line in self._answers:
            _, mark, text = line.decode(errors="replace").rpartition(_MARK)
            if mark and text.endswith("\n"):
                return _result(json.loads(text))
        code = self._process.wait()
        raise self._ended(None if self._is_late else code)

    def ask(self, request: object) -> dict[str, Any]:
        """Send a request and return the answer to it; see `read`."""
        self.tell(request)
        return self.read()

    def end(self) -> None:
        """Say that there are no more requests."""
        with contextlib.suppress(BrokenPipeError):  # of one that it did not live to read
            self._requests.close()

    def stop(self) -> None:
        """End the process because it takes too long."""
        self._is_late = True
        self._process.kill()


def _result(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise _ERRORS.get(answer["error"], RssegError)(answer["message"], hint=answer["hint"])
    return answer


@contextlib.contextmanager
def open_child(
    module: str, *, ended: Callable[[int | None], RssegError], most_s: float | None = None, is_quiet: bool = True
) -> Iterator[Child]:
    """Run a module, which calls `serve`, as `python -m` does; the process ends with the block.

    It imports from where we import, while `python -m` looks into the working folder first, which may be a stranger's.
    It is in a session of its own, so that Ctrl-C reaches us alone.

    Args:
        module: its full name.
        ended: from the exit code of a process that ended without an answer to the error to raise; the code is None
            where the process took too long.
        most_s: seconds that the process may take; None for any number.
        is_quiet: whether what it says on stderr is dropped.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _RUN, module, *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if is_quiet else None,
        start_new_session=True,
    )
    child = Child(process, ended)
    timer = threading.Timer(most_s or 0, child.stop)
    if most_s is not None:
        timer.start()
    with process:
        try:
            yield child
        finally:
            timer.cancel()
            process.kill()
            child.end()


def prove(module: str, request: object, *, crash: str, late: str, hint: str, most_s: float) -> None:
    """Have a process of its own do something that may crash it, so that what crashes there is not done here.

    Within a program that Python is built into there is no such process, and nothing is proven.

    Args:
        module: its full name; it calls `serve` and answers once.
        request: what it is to do.
        crash: the message where it ends without an answer.
        late: the message where it takes longer than it may.
        hint: of an error that has none.
        most_s: seconds that it may take.

    Raises:
        ModelError: if it ends so, or in an error of the tree.
    """

    def ended(code: int | None) -> ModelError:
        return ModelError(late if code is None else crash)

    if not sys.executable:
        return
    try:
        with open_child(module, ended=ended, most_s=most_s) as child:
            child.ask(request)
    except RssegError as error:
        raise ModelError(error.message, hint=error.hint or hint) from error


def serve(work: Callable[[Iterator[Any]], Iterator[Mapping[str, Any]]]) -> int:
    """Send, from the child process, what `work` makes of the requests, and return the exit code.

    The process ends at once when nobody reads its answers any more, so that it does not outlive a killed parent.

    Args:
        work: a generator; a `RssegError` out of it is the last answer.
    """
    try:
        for answer in work(_requests()):
            _send(answer)
    except RssegError as error:
        _send({"error": type(error).__name__, "message": error.message, "hint": error.hint})
        return error.exit_code
    return 0


def _requests() -> Iterator[Any]:
    with contextlib.suppress(EOFError):
        while True:
            yield pickle.load(sys.stdin.buffer)  # our own parent wrote it


def _send(answer: Mapping[str, Any]) -> None:
    try:
        sys.stdout.write(f"{_MARK}{json.dumps(answer)}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os._exit(1)  # an ordinary end would flush once more, and complain on stderr
