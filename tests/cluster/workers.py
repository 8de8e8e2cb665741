"""Workers that are there already, handed to a command that would start its own."""

from __future__ import annotations

import contextlib
from types import ModuleType
from typing import Any

import pytest

from rsseg_tf.cluster.engine import Cluster


def handed_out(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, engine: ModuleType) -> list[dict[str, Any]]:
    """Have commands get `cluster`, and return the list of what they ask for."""
    asked: list[dict[str, Any]] = []

    def hand_out(**settings: Any) -> contextlib.nullcontext[Cluster]:
        asked.append(settings)
        return contextlib.nullcontext(cluster)

    monkeypatch.setattr(engine, "open_cluster", hand_out)
    return asked
