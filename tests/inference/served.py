"""A folder behind a small HTTP server on the loopback interface."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Served:
    """The server.

    Attributes:
        url: of the folder.
        got: paths of the files whose content was asked for.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.got: list[str] = []


@contextlib.contextmanager
def served(folder: Path, *, says_when: bool = True) -> Iterator[Served]:
    """Serve a folder; `says_when` for a server that tells when a file was changed."""
    found = Served("")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_arguments: Any) -> None:
            pass

        def do_GET(self) -> None:
            found.got.append(self.path)
            super().do_GET()

        def send_header(self, keyword: str, value: str) -> None:
            if says_when or keyword != "Last-Modified":
                super().send_header(keyword, value)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
