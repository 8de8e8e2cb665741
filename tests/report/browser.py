"""Headless Chromium as a test sees it: a page, a script that uses it, and what came of that."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--allow-file-access-from-files"),
    *("--virtual-time-budget=8000", "--enable-logging=stderr", "--v=0"),
)

_WRAPPER = """<!doctype html><html><body style="margin: 0">
<iframe id="frame" src="{page}" width="{width}" height="900" style="border: 0"></iframe><pre id="result">none</pre>
<script>
const frame = document.getElementById("frame");
frame.addEventListener("load", async () => {{
  const page = frame.contentDocument, errors = [];
  frame.contentWindow.addEventListener("error", (event) => errors.push(event.message));
  frame.contentWindow.addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
  const settle = () => new Promise((done) => setTimeout(done, 300));
  let value;
  try {{ value = await (async () => {{ {script} }})(); }} catch (error) {{ errors.push(String(error)); }}
  document.getElementById("result").textContent = JSON.stringify({{value, errors}});
}});
</script></body></html>"""


def use(page: Path, script: str, *, width: int = 1280) -> Any:
    """What a script returns that sees the loaded page as `page`; an error in it or on the page fails.

    Args:
        page: the HTML file.
        script: the body of an async function; `await settle()` lets the page react.
        width: of the window, in pixels.
    """
    wrapper = page.with_name(f"wrapper_{width}.html")
    wrapper.write_text(_WRAPPER.format(page=page.name, width=width, script=script), encoding="utf-8")
    command = [str(CHROMIUM), *_FLAGS, "--window-size=1400,1000", "--dump-dom", wrapper.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    found = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None
    result = json.loads(html.unescape(found.group(1)))
    assert result["errors"] == []
    assert console(done.stderr) == []
    return result["value"]


def console(log: str) -> list[str]:
    """What pages wrote to the console, errors and warnings among it."""
    return [line for line in log.splitlines() if "CONSOLE" in line]
