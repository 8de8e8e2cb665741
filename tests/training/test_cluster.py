"""What TF_CONFIG may say, and that everything else is one message with an example."""

import json

import pytest

from rsseg_tf.errors import ConfigError
from rsseg_tf.training.cluster import read_cluster, split_address

TWO = {"worker": ["a:1", "b:65535"]}
FIRST = {"type": "worker", "index": 0}


def says(cluster: object, task: object = FIRST) -> str:
    return json.dumps({"cluster": cluster, "task": task})


@pytest.mark.parametrize("text", ["", " ", says({}), '{"cluster": {"worker": []}}'])
def test_no_process_named_is_no_cluster(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)

    assert read_cluster() is None


def test_the_chief_comes_first_and_a_process_knows_the_others(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", says({**TWO, "chief": ["c:7"]}, {"type": "worker", "index": 1}))

    cluster = read_cluster()

    assert (cluster.all, cluster.own, cluster.others) == (("c:7", "a:1", "b:65535"), "b:65535", ("c:7", "a:1"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "must be a mapping, got []"),
        ("{}", "lacks `cluster`"),
        ('{"cluster": 3}', "`cluster` must be a mapping, got 3"),
        ('{"cluster": []}', "`cluster` must be a mapping, got []"),
        (says({"worker": "a:1"}), '`worker` must be a list of HOST:PORT, got "a:1"'),
        (says({"wroker": ["a:1", "b:1"]}), "`wroker`"),
        (says({"chief": ["a:1", "b:1"]}), "2 chiefs"),
        (says({"worker": ["a:1", "a:1"]}), "address a:1 to more than one"),
        (says({"chief": ["a:1"], "worker": ["a:1"]}), "address a:1 to more than one"),
        (json.dumps({"cluster": TWO}), "lacks `task`"),
        (says(TWO, "worker"), '`task` must be a mapping, got "worker"'),
        (says(TWO, {"type": "worker"}), "lacks the `index` of `task`"),
        (says(TWO, {"index": 0}), "lacks the `type` of `task`"),
        (says(TWO, {"type": ["worker"], "index": 0}), 'chief or worker, got ["worker"]'),
        (says(TWO, {"type": "evaluator", "index": 0}), 'chief or worker, got "evaluator"'),
        (says(TWO, {"type": "chief", "index": 0}), "names 0 of type chief"),
        (says(TWO, {"type": "worker", "index": "0"}), 'whole number, got "0"'),
        (says(TWO, {"type": "worker", "index": True}), "whole number, got true"),
        (says(TWO, {"type": "worker", "index": 0.5}), "whole number, got 0.5"),
        (says(TWO, {"type": "worker", "index": -1}), "is -1, and `cluster` names 2 of type worker"),
        (says(TWO, {"type": "worker", "index": 2}), "is 2, and `cluster` names 2 of type worker"),
    ],
)
def test_what_cannot_be_used_is_said_in_our_words(monkeypatch, text, said):
    monkeypatch.setenv("TF_CONFIG", text)

    with pytest.raises(ConfigError) as caught:
        read_cluster()

    assert "TF_CONFIG" in caught.value.message
    assert said in caught.value.message
    assert '{"worker": ["HOST:PORT", "HOST:PORT"]}' in caught.value.hint


@pytest.mark.parametrize(
    "address",
    [
        "a",
        ":1",
        "a:",
        "a:abc",
        "a:0",
        "a:65536",
        "a:70000",
        "a:-1",
        "a:1.5",
        "a:²",
        "a b:1",
        "a:1" + "0" * 5000,
        1,
        None,
    ],
)
def test_an_address_is_a_host_and_a_port(monkeypatch, address):
    monkeypatch.setenv("TF_CONFIG", says({"worker": ["b:1", address]}))

    with pytest.raises(ConfigError, match="HOST:PORT with ports from 1 to 65535"):
        read_cluster()


def test_the_brackets_of_an_address_are_not_the_hosts():
    assert split_address("[::1]:23") == ("::1", 23)
    assert split_address("node-1.cluster:65535") == ("node-1.cluster", 65535)
