"""Write docs/licenses.md: what each package of the release set (requirements.lock) says of its license."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "requirements.lock"
PAGE = ROOT / "docs" / "licenses.md"
_UNKNOWN = ("", "UNKNOWN")

_HEAD = """# Licenses of the release set

Made by `make licenses` from what each package in `requirements.lock` says of itself. rsseg_tf is under Apache-2.0.

| package | version | license |
| --- | --- | --- |
"""


def locked(lock: str) -> dict[str, str]:
    """Return package → version of a lock's lines."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))


def license_of(package: Distribution) -> str:
    """Return the license expression of a package, else its classifiers, else the first line of its license."""
    says = package.metadata
    classified = [line.rpartition(" :: ")[2] for line in says.get_all("Classifier") or () if line.startswith("License")]
    given = (says.get("License") or "").strip().splitlines()
    found = says.get("License-Expression") or ", ".join(classified) or (given[0] if given else "")
    return "not said" if found in _UNKNOWN else found.strip()


def page() -> str:
    """Return the page.

    Raises:
        SystemExit: if a package is not installed here.
    """
    rows = []
    for name, version in sorted(locked(LOCK.read_text()).items()):
        try:
            rows.append(f"| {name} | {version} | {license_of(distribution(name))} |\n")
        except PackageNotFoundError:
            raise SystemExit(f"{name} is not installed; hint: run this after `make setup`") from None
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"{PAGE.name} written")
