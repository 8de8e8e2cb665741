"""The machines that TF_CONFIG names: read, checked, and put in our words where TensorFlow would crash or wait."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rsseg_tf.errors import ConfigError

CLUSTER = "TF_CONFIG"
"""The environment variable."""

EXAMPLE = '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}'
"""What is in it."""

KINDS = ("chief", "worker")


@dataclass(frozen=True)
class Cluster:
    """The processes that work together, one an address, and which of them this is.

    Args:
        addresses: HOST:PORT by kind of task.
        kind: of this process, `chief` or `worker`.
        index: of this process among those of its kind.
    """

    addresses: Mapping[str, Sequence[str]]
    kind: str
    index: int

    @property
    def own(self) -> str:
        """The address of this process."""
        return self.addresses[self.kind][self.index]

    @property
    def all(self) -> tuple[str, ...]:
        """The addresses of all processes, the chief's first."""
        return tuple(address for kind in KINDS for address in self.addresses.get(kind, ()))

    @property
    def others(self) -> tuple[str, ...]:
        """The addresses of all processes but this one."""
        return tuple(address for address in self.all if address != self.own)


def read_cluster() -> Cluster | None:
    """Return what TF_CONFIG says, None where it is not set or names no process.

    Raises:
        ConfigError: if it is not what TensorFlow reads, or does not say which of the processes this is.
    """
    text = os.environ.get(CLUSTER, "")
    if not text.strip():
        return None
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _fault(f"is not JSON: {error}") from error
    jobs = _mapping(_mapping(facts, "its value"), "`cluster`", key="cluster")
    addresses = {kind: _addresses(value, kind) for kind, value in jobs.items()}
    named = [address for some in addresses.values() for address in some]
    if twice := sorted({address for address in named if named.count(address) > 1}):
        raise _fault(f"gives the address {twice[0]} to more than one process")
    if not named:
        return None
    kind, index = _task(_mapping(facts, "`task`", key="task"), addresses)
    return Cluster(addresses, kind, index)


def split_address(address: str) -> tuple[str, int]:
    """Return the host, without the brackets of an IPv6 one, and the port of HOST:PORT.

    Raises:
        ValueError: if it is not that, or the port is not within 1 to 65535.
    """
    host, _, port = address.rpartition(":")
    if not host or host != "".join(host.split()) or not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ValueError(address)
    return host.removeprefix("[").removesuffix("]"), int(port)


def _fault(reason: str) -> ConfigError:
    return ConfigError(f"the environment variable {CLUSTER} {reason}", hint=f"for example {CLUSTER}='{EXAMPLE}'")


def _mapping(value: Any, name: str, *, key: str = "") -> Mapping[str, Any]:
    """Return `value`, or what it has under `key`, which must be a mapping."""
    if key and key not in value:
        raise _fault(f"lacks {name}")
    found = value[key] if key else value
    if not isinstance(found, dict):
        raise _fault(f"is wrong: {name} must be a mapping, got {json.dumps(found)}")
    return found


def _addresses(value: Any, kind: str) -> tuple[str, ...]:
    if kind not in KINDS:
        raise _fault(f"is wrong: `cluster` may name {' and '.join(KINDS)}, got `{kind}`")
    if not isinstance(value, list):
        raise _fault(f"is wrong: `{kind}` must be a list of HOST:PORT, got {json.dumps(value)}")
    if kind == "chief" and len(value) > 1:
        raise _fault(f"names {len(value)} chiefs, at most one is allowed")
    for address in value:
        try:
            split_address(address)
        except (AttributeError, ValueError) as error:
            raise _fault(
                f"is wrong: `{kind}` must be a list of HOST:PORT with ports from 1 to 65535, got {json.dumps(address)}"
            ) from error
    return tuple(value)


def _task(task: Mapping[str, Any], addresses: Mapping[str, Sequence[str]]) -> tuple[str, int]:
    for key in ("type", "index"):
        if key not in task:
            raise _fault(f"lacks the `{key}` of `task`, needed to identify this process")
    kind, index = task["type"], task["index"]
    if kind not in KINDS:
        raise _fault(f"is wrong: the `type` of `task` must be chief or worker, got {json.dumps(kind)}")
    if not isinstance(index, int) or isinstance(index, bool):
        raise _fault(f"is wrong: the `index` of `task` must be a whole number, got {json.dumps(index)}")
    count = len(addresses.get(kind, ()))
    if not 0 <= index < count:
        raise _fault(f"is wrong: the `index` of `task` is {index}, and `cluster` names {count} of type {kind}, from 0")
    return kind, index
