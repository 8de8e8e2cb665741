"""The release set is locked by hash at the tested versions, and its licenses are listed."""

import re
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from tools.write_licenses import LOCK, PAGE, license_of, locked

ROOT = Path(__file__).parents[2]


def plain(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def test_the_lock_has_the_tested_versions_with_hashes_and_names_no_host():
    lock = LOCK.read_text()
    tested = {plain(name): version for name, version in locked((ROOT / "constraints.txt").read_text()).items()}

    assert {name: version for name, version in locked(lock).items() if tested.get(name, version) != version} == {}
    assert len(locked(lock).keys() & tested.keys()) > 0.9 * len(locked(lock))
    assert locked(lock).keys() >= {"numpy", "tensorflow", "rasterio", "av", "jinja2"}
    for block in re.split(r"\n(?=\w)", lock.partition("\nabsl")[2]):
        assert "--hash=sha256:" in block
    assert "://" not in lock


def test_the_page_lists_the_license_of_every_package_in_the_lock():
    listed = re.findall(r"^\| ([\w.-]+) \| (\S+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)

    assert {name: version for name, version, _ in listed[2:]} == locked(LOCK.read_text())
    assert all(license for _, _, license in listed)


class Package(Distribution):
    def __init__(self, said: str) -> None:
        self.said = said

    def read_text(self, filename: str) -> str | None:
        return self.said if filename == "METADATA" else None

    def locate_file(self, path: object) -> Path:
        return Path(str(path))


@pytest.mark.parametrize(
    ("said", "license_"),
    [
        ("License-Expression: MIT\nLicense: other", "MIT"),
        ("License: a text\nClassifier: License :: OSI Approved :: BSD License", "BSD License"),
        ("License: MIT\n        Copyright", "MIT"),
        ("License: UNKNOWN", "not said"),
        ("Name: a", "not said"),
    ],
)
def test_what_a_package_says_of_its_license(said, license_):
    assert license_of(Package(f"{said}\n")) == license_
