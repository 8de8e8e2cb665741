"""A process waits for the others, says so, and its waiting ends."""

import contextlib
import signal
import socket

import pytest

from rsseg_tf.errors import RssegError
from rsseg_tf.training import meeting
from rsseg_tf.training.cluster import Cluster
from rsseg_tf.training.meeting import default_signals, meet, wait_for


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def address(listener: socket.socket) -> str:
    return f"127.0.0.1:{listener.getsockname()[1]}"


def gone() -> str:
    with listening() as listener:
        return address(listener)


def test_who_listens_is_waited_for_no_longer():
    rounds = []
    with listening() as one, listening() as two:
        wait_for([address(one), address(two)], pause=lambda: rounds.append(1))

    assert rounds == []


def test_who_comes_late_is_waited_for():
    late = gone()
    rounds = []

    with contextlib.ExitStack() as open_until_then:

        def pause() -> None:
            rounds.append(late)
            if len(rounds) == 3:
                host, port = late.split(":")
                open_until_then.enter_context(socket.create_server((host, int(port))))

        wait_for([late], pause=pause)

    assert len(rounds) == 3


def test_who_was_seen_once_has_come():
    with listening() as first, contextlib.ExitStack() as open_until_then:
        late, rounds = gone(), []

        def pause() -> None:
            rounds.append(late)
            first.close()
            open_until_then.enter_context(socket.create_server(("127.0.0.1", int(late.split(":")[1]))))

        wait_for([address(first), late], pause=pause)

    assert rounds == [late]


@pytest.mark.parametrize("host", ["127.0.0.1", "a..b"])
def test_who_never_comes_is_named(host):
    never = gone().replace("127.0.0.1", host)
    with listening() as one:
        there = address(one)
        with pytest.raises(RssegError) as caught:
            wait_for([there, never], patience_s=0)

    assert "1 of 2 other workers did not answer" in caught.value.message
    assert never in caught.value.message
    assert there not in caught.value.message
    assert "each machine" in caught.value.hint


def test_a_port_that_is_taken_is_named():
    with listening() as other:
        taken = address(other)
        with pytest.raises(RssegError) as caught:
            meet(Cluster({"worker": [taken]}, "worker", 0))

    assert f"port {taken.split(':')[1]}" in caught.value.message
    assert "already in use" in caught.value.message
    assert "`index`" in caught.value.hint


def test_a_process_says_for_whom_it_waits_while_it_listens(monkeypatch, capsys):
    cluster = Cluster({"worker": [gone(), "c:1", "d:2"]}, "worker", 0)
    asked = []
    monkeypatch.setattr(
        socket, "create_server", lambda address, **_options: contextlib.nullcontext(asked.append(address[1]))
    )
    monkeypatch.setattr(meeting, "wait_for", asked.append)

    meet(cluster)

    assert capsys.readouterr() == ("", "worker 0 waits for 2 others: c:1, d:2\n")
    assert asked == [int(cluster.own.split(":")[1]), ("c:1", "d:2")]


def test_signals_are_as_before_after_the_block():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    with default_signals():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
