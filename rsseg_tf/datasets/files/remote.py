"""Images at addresses on the network: fetched whole when their turn comes, since every pixel of them is read.

Addresses are those of fsspec (`https://…`, `s3://…`), or of GDAL for the same places (`/vsicurl/https://…`,
`/vsis3/BUCKET/…`).
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from rsseg_tf.errors import ConfigError, DataError, extras_named, first_line
from rsseg_tf.runs import atomic_path

_OF_GDAL = {"/vsicurl/": "", "/vsis3/": "s3://", "/vsigs/": "gs://", "/vsiaz/": "az://"}
_CARRIERS = ("aiohttp", "fsspec", "botocore", "s3fs", "gcsfs", "adlfs")
_CHANGES_WITH_CONTENT = ("ETag", "Content-MD5", "Digest", "Last-Modified", "LastModified", "md5Hash", "content_md5")


@dataclass(frozen=True)
class Remote:
    """An image on the network.

    Attributes:
        said: as it was named.
        url: of fsspec.
    """

    said: str
    url: str

    @property
    def path(self) -> Path:
        """Return what stands for a path where results are named after it."""
        named = PurePosixPath(urlsplit(self.url).path)
        return Path(named if named.name else "/image")


def remote_of(word: str) -> Remote | None:
    """Return the image on the network that a word names, None where it names files.

    Raises:
        ConfigError: for a place of GDAL's that fsspec does not know.
    """
    if "://" in word and not word.startswith("/"):
        return Remote(word, word)
    for start, scheme in _OF_GDAL.items():
        if word.startswith(start):
            return Remote(word, scheme + word.removeprefix(start))
    if word.startswith("/vsi"):
        known = ", ".join(_OF_GDAL)
        raise ConfigError(f"`{word}` is not fetched", hint=f"addresses begin with https://, s3:// or {known}")
    return None


def state_of(url: str) -> dict[str, str]:
    """Return size and what changes with the content of a file on the network; empty where the server says neither.

    Raises:
        DataError: if it is not there.
        ConfigError: if nothing installed fetches from there.
        MissingExtraError: if fsspec is not installed.
    """
    with _told(url) as fsspec:
        system, path = fsspec.core.url_to_fs(url)
        facts: Mapping[str, Any] = system.info(path)
    found = {name: str(facts[name]) for name in _CHANGES_WITH_CONTENT if facts.get(name)}
    return {"bytes": str(facts.get("size")), **found} if found else {}


def bytes_of(url: str) -> int:
    """Return the size of a file on the network, 0 where the server does not say.

    Raises:
        RssegError: as `state_of`.
    """
    with _told(url) as fsspec:
        system, path = fsspec.core.url_to_fs(url)
        return int(system.info(path).get("size") or 0)


def fetch(url: str, path: Path) -> None:
    """Copy a file on the network to `path`, which appears whole or not at all.

    Raises:
        RssegError: as `state_of`, or if it cannot be written.
    """
    with (
        atomic_path(path) as temporary,
        _told(url) as fsspec,
        fsspec.open(url) as source,
        temporary.open("wb") as target,
    ):
        shutil.copyfileobj(source, target, 1 << 20)


@contextlib.contextmanager
def _told(url: str) -> Iterator[Any]:
    """Yield fsspec; what it raises becomes an error that names the file."""
    with extras_named():
        import fsspec
    wrong, again = f"cannot fetch `{url}`", "check the address and the network, and try again"
    try:
        yield fsspec
    except ImportError as error:
        raise ConfigError(f"{wrong}: {first_line(error)}", hint="install the package that it names with pip") from error
    except FileNotFoundError as error:
        raise DataError(f"{wrong}: it is not there, or nothing answers", hint=again) from error
    except ValueError as error:
        raise ConfigError(f"{wrong}: {first_line(error)}", hint="give an https:// or s3:// address") from error
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in _CARRIERS:
            raise
        raise DataError(f"{wrong}: {first_line(error)}", hint=again) from error
