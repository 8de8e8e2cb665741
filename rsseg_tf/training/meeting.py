"""Waiting for the other processes of a cluster, in Python: TensorFlow's own waiting has no end and hears no signal.

Each process listens on its port until it has seen all others listen, then leaves the port to TensorFlow's server. Who
has been seen once counts as there: between the two, nothing listens for a moment.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from rsseg_tf.errors import RssegError
from rsseg_tf.training.cluster import CLUSTER, Cluster, split_address

PATIENCE_S = 600.0
_CONNECT_S = 2.0
_pause = functools.partial(time.sleep, 0.5)


def meet(cluster: Cluster) -> None:
    """Wait until all processes of `cluster` are there; stderr says for whom.

    Raises:
        RssegError: if the port of this process is taken, or another one did not answer.
    """
    with _listening(split_address(cluster.own)[1]):
        if cluster.others:
            count, names = len(cluster.others), ", ".join(cluster.others)
            sys.stderr.write(f"{cluster.kind} {cluster.index} waits for {count} other{'s'[: count > 1]}: {names}\n")
            sys.stderr.flush()
            wait_for(cluster.others)


def wait_for(addresses: Sequence[str], *, patience_s: float = PATIENCE_S, pause: Callable[[], None] = _pause) -> None:
    """Wait until something has listened at each of `addresses`.

    Args:
        addresses: HOST:PORT.
        patience_s: how long to ask again.
        pause: called between two rounds.

    Raises:
        RssegError: if some did not answer; it names them, and why the first could not be reached.
    """
    deadline = time.monotonic() + patience_s
    missing = _unreached(addresses)
    while missing and time.monotonic() < deadline:
        pause()
        missing = _unreached(list(missing))
    if missing:
        reason = next(iter(missing.values()))
        raise RssegError(
            f"{len(missing)} of {len(addresses)} other workers did not answer within {patience_s / 60:.0f} minutes: "
            f"{', '.join(missing)} ({reason})",
            hint=f"start the same command on each machine that {CLUSTER} names, and open these ports in the firewall",
        )


@contextlib.contextmanager
def default_signals() -> Iterator[None]:
    """Let Ctrl-C end the process within the block, in which Python hears nothing.

    TensorFlow's server would keep SIGTERM to itself, so that nothing short of SIGKILL ended a training.
    """
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _listening(port: int) -> Iterator[None]:
    """Listen on `port` of this machine within the block.

    Raises:
        RssegError: if something else does.
    """
    both = socket.has_dualstack_ipv6()
    try:
        listener = socket.create_server(
            ("", port), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both, backlog=1024
        )
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        raise RssegError(
            f"this process cannot listen on port {port}, assigned by {CLUSTER}: "
            f"{'already in use' if taken else error.strerror}",
            hint="end that process, give each worker of one machine its own `index`, or name another port"
            if taken
            else "name another port",
        ) from error
    with listener:
        yield


def _unreached(addresses: Sequence[str]) -> dict[str, str]:
    """Return address → reason, for those at which nothing listens."""
    missing = {}
    for address in addresses:
        try:
            socket.create_connection(split_address(address), timeout=_CONNECT_S).close()
        except (OSError, UnicodeError) as error:  # The latter of a host that no name can be.
            missing[address] = getattr(error, "strerror", None) or str(error)
    return missing
