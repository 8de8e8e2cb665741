from __future__ import annotations

import builtins
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rsseg_tf.cluster import engine
from rsseg_tf.cluster.engine import Cluster, Task, open_cluster
from rsseg_tf.errors import ConfigError, MissingExtraError, RssegError


def tasks(*functions: Any) -> Iterator[Task]:
    return (
        Task(f"task {number}", function, tuple(arguments)) for number, (function, *arguments) in enumerate(functions)
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_every_task_has_its_result(two: Cluster) -> None:
    assert two.workers == 2
    assert two.dashboard.startswith("http://127.0.0.1:")
    found = dict(two.results(tasks(*((pow, number, 2) for number in range(30))), tick=lambda: None))
    assert {task.arguments[0]: result for task, result in found.items()} == {n: n * n for n in range(30)}


def test_workers_leave_nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    before = dict(os.environ)

    with open_cluster(workers=1) as cluster:
        (kept,) = cluster.everywhere(os.getenv, "PYTHONSAFEPATH").values()

    assert kept == "1"
    assert dict(os.environ) == before


def test_tasks_are_taken_as_there_is_room(two: Cluster) -> None:
    taken = 0

    def counted() -> Iterator[Task]:
        nonlocal taken
        for task in tasks(*[(time.sleep, 0.05)] * 20):
            taken += 1
            yield task

    for done, _ in enumerate(two.results(counted(), tick=lambda: None), start=1):
        assert taken <= done + 4


def test_errors_of_the_tree_come_through_whole(two: Cluster) -> None:
    with pytest.raises(ConfigError) as caught:
        list(two.results(tasks((_fails, "config")), tick=lambda: None))
    assert (caught.value.message, caught.value.hint) == ("wrong", "do better")
    with pytest.raises(MissingExtraError, match="`rasterio`"):
        list(two.results(tasks((_fails, "extra")), tick=lambda: None))


def _fails(kind: str) -> None:
    raise ConfigError("wrong", hint="do better") if kind == "config" else MissingExtraError("rasterio", extra="geo")


def test_a_task_that_ends_every_worker_is_named(two: Cluster) -> None:
    with pytest.raises(RssegError, match="while they were at task 0"):
        list(two.results(tasks((_dies,)), tick=lambda: None))


def _dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Deserted:
    """A client of a scheduler whose workers are gone."""

    dashboard_link = ""

    def run_on_scheduler(self, _function: Any) -> bool:
        return False

    def nthreads(self) -> dict[str, int]:
        return {}

    def submit(self, *_arguments: Any, **_settings: Any) -> Any:
        return Never()

    def cancel(self, _futures: list[Any], **_settings: Any) -> None:
        pass


class Never:
    """A future that is never there."""

    def add_done_callback(self, _call: Any) -> None:
        pass


@pytest.mark.parametrize("shows", [True, False])
def test_the_address_of_a_page_is_that_of_one_that_is_there(shows: bool) -> None:
    distributed = pytest.importorskip("distributed")
    asked = {"n_workers": 1, "processes": False, "dashboard_address": ":0", "scheduler_kwargs": {"dashboard": shows}}
    with distributed.LocalCluster(**asked) as local, distributed.Client(local.scheduler_address) as client:
        assert bool(Cluster(client, "tcp://there").dashboard) is shows


def test_workers_that_are_gone_for_good_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "WITHOUT_WORKERS_S", 0.5)
    restarted: list[bool] = []
    cluster = Cluster(Deserted(), "tcp://there", restart=lambda: restarted.append(True))
    with pytest.raises(RssegError, match="all workers of tcp://there are gone"):
        list(cluster.results(tasks((pow, 2, 2)), tick=lambda: None))
    assert restarted


@pytest.mark.parametrize("address", ["nonsense", "tcp://", "tcp://host", "tcp://host:port", "http://127.0.0.1:80"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="no address of a scheduler"), open_cluster(address=address):
        pass


def test_a_scheduler_that_is_not_there_is_said_at_once() -> None:
    started = time.monotonic()
    with (
        pytest.raises(ConfigError, match="no scheduler listens"),
        open_cluster(address=f"tcp://127.0.0.1:{free_port()}"),
    ):
        pass
    assert time.monotonic() - started < 5


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def lacking(name: str, *more: Any) -> Any:
        if name.partition(".")[0] == "distributed":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return imported(name, *more)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(MissingExtraError) as caught, open_cluster(workers=2):
        pass
    assert "rsseg-tf[cluster]" in caught.value.hint


def dask(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def test_a_scheduler_without_workers_and_one_that_is_lost(tmp_path: Path) -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    scheduler = dask("scheduler", "--host", address, "--no-dashboard")
    worker = None
    try:
        _wait_for(address)
        with pytest.raises(ConfigError, match="has no workers"), open_cluster(address=address):
            pass
        options = ("--nthreads", "1", "--no-dashboard", "--no-nanny", "--death-timeout", "3")
        worker = dask("worker", address, *options, "--local-directory", str(tmp_path))
        _lose(address, scheduler)
    finally:
        for process in (scheduler, worker):
            if process:
                process.kill()
                process.wait()


def _lose(address: str, scheduler: subprocess.Popen[bytes]) -> None:
    with _as_soon_as_it_has_workers(address) as cluster:
        results = cluster.results(tasks(*[(time.sleep, 0.2)] * 30), tick=lambda: None)
        next(results)
        scheduler.kill()
        with pytest.raises(RssegError, match="was lost") as caught:
            list(results)
    assert "repeat the command" in caught.value.hint


def _as_soon_as_it_has_workers(address: str) -> Any:
    for _ in range(100):
        try:
            with open_cluster(address=address):
                pass
        except ConfigError:
            time.sleep(0.2)
        else:
            break
    return open_cluster(address=address)


def _wait_for(address: str) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return


def test_workers_import_nothing_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("multiprocessing", "rsseg_tf", "distributed"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(9)\n")
    monkeypatch.chdir(tmp_path)
    with open_cluster(workers=1) as cluster:
        assert list(cluster.everywhere(os.getcwd).values()) == [str(tmp_path)]
