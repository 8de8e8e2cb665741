"""Dask as we use it: workers here or behind a scheduler, tasks that are dealt to them, and what may go wrong.

Tasks are submitted a few at a time, so that neither the scheduler nor we hold more, however many there are. A task
whose worker dies is carried out again by Dask, on another one.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import queue
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from rsseg_tf.errors import ConfigError, RssegError, extras_named, first_line

_TASKS_A_WORKER = 2
"""That are under way or on their way: the next one is there when one is done."""

_TICK_S = 0.3
_CONNECT_S = 10
_COUNT_S = 5.0
WITHOUT_WORKERS_S = 120.0
_SILENT = logging.CRITICAL + 1
_SETTINGS = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "2s",
    "distributed.admin.tick.interval": "500ms",
    "distributed.nanny.pre-spawn-environ.PYTHONSAFEPATH": "1",
}
"""Of Dask: by itself it looks at every process up to a hundred times a second, in time that is the network's, and its
workers would import from the working folder, which may be a stranger's."""


@dataclass(frozen=True)
class Task:
    """A function of this package that a worker calls, and what messages call it.

    Attributes:
        name: such as the image that it is about.
        function: at the top of a module, so that a worker finds it by its name.
        arguments: of it.
        about: whatever whoever made the task wants to know when it is done.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    about: Any = None


class Cluster:
    """Workers that are connected; see `open_cluster`.

    Attributes:
        dashboard: address of the page that shows what the workers do; empty for none.
    """

    def __init__(self, client: Any, address: str, *, restart: Callable[[], None] | None = None) -> None:
        self._client, self._address, self._restart = client, address, restart
        self._counted, self._workers, self._last_seen = 0.0, 0, time.monotonic()
        self.dashboard: str = client.dashboard_link if client.run_on_scheduler(_has_dashboard) else ""

    @property
    def workers(self) -> int:
        """How many there are, as of a few seconds ago; of those on this machine, missing ones are started again.

        Raises:
            RssegError: if there has been none for minutes.
        """
        now = time.monotonic()
        if now - self._counted > _COUNT_S:
            with self._while_connected():
                if self._restart:
                    self._restart()
                self._workers = len(self._client.nthreads())
            self._counted = now
            self._last_seen = now if self._workers else self._last_seen
        if now - self._last_seen > WITHOUT_WORKERS_S:
            raise RssegError(
                f"all workers of {self._address} are gone",
                hint="start workers again and repeat the command: what is done is kept",
            )
        return max(1, self._workers)

    def everywhere(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """Return what a function returns, or raises, on every worker, by the worker's address."""
        with self._while_connected():
            found: dict[str, Any] = self._client.run(function, *arguments, on_error="return")
        return found

    def results(self, tasks: Iterator[Task], *, tick: Callable[[], None]) -> Iterator[tuple[Task, Any]]:
        """Yield each task and its result, in the order in which they are done; tasks are taken when there is room.

        Args:
            tasks: in the order in which they begin.
            tick: called a few times a second.

        Raises:
            RssegError: out of a task, or if it ended several workers, or the scheduler is lost.
        """
        done: queue.Queue[Any] = queue.Queue()
        under_way: dict[Any, Task] = {}
        try:
            while True:
                while len(under_way) < _TASKS_A_WORKER * self.workers and (task := next(tasks, None)):
                    with self._while_connected():
                        future = self._client.submit(task.function, *task.arguments, pure=False)
                    under_way[future] = task
                    future.add_done_callback(done.put)
                if not under_way:
                    return
                tick()
                with contextlib.suppress(queue.Empty):
                    future = done.get(timeout=_TICK_S)
                    task = under_way.pop(future)
                    yield task, self._result(future, task)
        finally:
            with contextlib.suppress(Exception):  # of a scheduler that is lost, which was said
                self._client.cancel(list(under_way), force=True)

    def _result(self, future: Any, task: Task) -> Any:
        from distributed import KilledWorker

        try:
            with self._while_connected():
                return future.result()
        except KilledWorker as error:
            raise RssegError(
                f"workers ended without a word while they were at {task.name}",
                hint="is there memory enough? fewer workers need less",
            ) from error

    @contextlib.contextmanager
    def _while_connected(self) -> Iterator[None]:
        from distributed import CancelledError
        from distributed.comm import CommClosedError

        try:
            yield
        except (CancelledError, CommClosedError, TimeoutError) as error:
            raise RssegError(
                f"the scheduler at {self._address} was lost",
                hint="start it and its workers again and repeat the command: what is done is kept",
            ) from error


def _has_dashboard(dask_scheduler: Any) -> bool:
    """Return whether a scheduler shows pages; one with `--no-dashboard` keeps the port for its other answers."""
    return bool(getattr(dask_scheduler.http_application, "applications", ()))


@contextlib.contextmanager
def open_cluster(*, workers: int = 0, address: str = "") -> Iterator[Cluster]:
    """Yield workers: as many processes on this machine, which end with the block, or those behind a scheduler.

    Args:
        workers: how many to start here.
        address: of a scheduler, `tcp://HOST:PORT`, in their place.

    Raises:
        ConfigError: if that is no address, no scheduler listens there, or it has no workers.
        RssegError: if the workers do not start.
        MissingExtraError: if Dask is not installed.
    """
    if address:
        _require_listener(address)
    with extras_named():
        import dask
        import distributed
    _silence()
    with dask.config.set(_SETTINGS), contextlib.ExitStack() as stack:
        restart = None
        if address:
            client = stack.enter_context(_connected(distributed, address))
            if not client.nthreads():
                raise ConfigError(
                    f"the scheduler at {address} has no workers", hint=f"start some: dask worker {address}"
                )
        else:
            names = (*dask.config.get("distributed.nanny.pre-spawn-environ"), "PYTHONHASHSEED")
            stack.enter_context(_environment_kept(names))
            started = stack.enter_context(_started(distributed, workers))
            client = stack.enter_context(distributed.Client(started))
            restart = functools.partial(started.scale, workers)  # Dask gives a worker up that is slow to come back
        yield Cluster(client, address or "this machine", restart=restart)


def _require_listener(address: str) -> None:
    """Check that something listens at an address: Dask asks for half a minute, and complains after that."""
    try:
        parts = urlsplit(address)
        place = (parts.hostname or "", parts.port or 0)
    except ValueError:
        place = ("", 0)
    if not all(place) or parts.scheme not in ("tcp", "tls"):
        raise ConfigError(f"`{address}` is no address of a scheduler", hint="for example --cluster tcp://10.0.0.5:8786")
    try:
        socket.create_connection(place, timeout=_CONNECT_S).close()
    except OSError as error:
        raise ConfigError(
            f"no scheduler listens at {address}: {error.strerror or error}",
            hint="start one: dask scheduler, and on every machine: dask worker ADDRESS",
        ) from error


def _connected(distributed: Any, address: str) -> Any:
    try:
        return distributed.Client(address, timeout=_CONNECT_S)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"what listens at {address} does not answer as a scheduler of Dask: {first_line(error)}",
            hint="give the address that `dask scheduler` prints",
        ) from error


@contextlib.contextmanager
def _environment_kept(names: Iterable[str]) -> Iterator[None]:
    """Give variables their values back: Dask sets them for its workers in this process, and would leave them behind."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _started(distributed: Any, workers: int) -> Any:
    settings = {"threads_per_worker": 1, "memory_limit": 0, "dashboard_address": "127.0.0.1:0"}
    try:
        return distributed.LocalCluster(n_workers=workers, processes=True, silence_logs=_SILENT, **settings)
    except (OSError, RuntimeError, TimeoutError) as error:
        raise RssegError(f"{workers} workers did not start: {first_line(error)}", hint="use fewer workers") from error


def _silence() -> None:
    """Keep Dask from logging what we say, or mend, ourselves."""
    for name in [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]:
        logging.getLogger(name).setLevel(_SILENT)
