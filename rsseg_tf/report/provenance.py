"""Where every input of a report comes from: hashes, versions, commands."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rsseg_tf.report.facts import Facts
from rsseg_tf.report.models import ModelRow
from rsseg_tf.report.sources import Run, Sources
from rsseg_tf.runs import package_versions


def provenance(sources: Sources, rows: Sequence[ModelRow]) -> dict[str, Mapping[str, Any]]:
    """Return input → what is known about its origin, in words."""
    facts: dict[str, Mapping[str, Any]] = {"this report": {"made with": _listed(package_versions())}}
    facts |= {str(run.path): _run_facts(run) for run in sources.runs}
    for file in sources.files:
        calibration = file.record.get("calibration") or {}
        facts[str(file.path)] = _known(
            {
                "SHA-256": file.sha256,
                "made from": _listed(file.record.get("made_from")),
                "calibrated on": f"{calibration['samples']} windows, SHA-256 {calibration['sha256']}"
                if calibration
                else "",
                "agrees with its Keras model on": _agreement(file.record.get("agreement")),
                "versions": _listed(file.record.get("versions")),
                "git": _listed(file.record.get("git")),
            }
        )
    for row in rows:
        if row.scores and row.scores.get("data_sha256"):
            scored = (
                f"{row.scores.get('images')} images of the {row.scores.get('split')} split, "
                f"SHA-256 {row.scores['data_sha256']}"
            )
            pixels = "at full size" if row.scores.get("pixels") == "full" else f"resized to {row.scores.get('pixels')}"
            facts[str(row.path)] = {**facts.get(str(row.path), {}), "scored on": f"{scored}, {pixels}"}
    return facts


def _run_facts(run: Run) -> Mapping[str, Any]:
    manifest = run.manifest
    return _known(
        {
            "command": shlex.join(manifest.get("command") or ()),
            "seed": manifest.get("seed"),
            "machine": _listed(manifest.get("machine")),
            "read": _listed(manifest.get("inputs")),
            "wrote": _listed(manifest.get("outputs")),
            "versions": _listed(manifest.get("versions")),
            "git": _listed(manifest.get("git")),
        }
    )


def _agreement(agreement: Facts | None) -> str:
    if not agreement:
        return ""
    return f"{100 * agreement['argmax']:.2f} % of the pixels of {agreement['samples']} validation windows"


def _known(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if value is not None and value != ""}


def _listed(facts: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{key} {value}" for key, value in (facts or {}).items())
