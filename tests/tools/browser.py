"""A real browser for tests of pages: headless Chromium where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

MEASURE = """<!doctype html><html><body><iframe id="page" width="{width}" height="900" src="{name}"></iframe><script>
onload = () => {{
  const inner = document.getElementById("page").contentDocument, body = inner.documentElement;
  const broken = [...inner.images].filter(image => !image.complete || !image.naturalWidth).length;
  const shown = [...inner.querySelectorAll(".large")].filter(e => getComputedStyle(e).display != "none").length;
  document.title = [body.scrollWidth, inner.images.length, broken, shown].join(" ");
}}
</script></body></html>"""


def browser() -> str:
    """Path of the browser; skips the test where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser here ({', '.join(NAMES)})")
    return found


def look(page: Path, width: int, fragment: str = "") -> tuple[int, int, int, int]:
    """Open a page in a frame of a width in pixels -> width of its content, pictures, broken ones, enlarged ones."""
    outer = page.with_name("outer.html")
    outer.write_text(MEASURE.format(width=width, name=page.name + fragment), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--hide-scrollbars"]
    profile = f"--user-data-dir={page.with_name('profile')}"
    command = [browser(), *flags, profile, "--virtual-time-budget=5000", "--dump-dom", outer.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    title = re.search(r"<title>(\d+) (\d+) (\d+) (\d+)</title>", done.stdout)
    assert title is not None, done.stderr[-2000:]
    content, pictures, broken, enlarged = map(int, title.groups())
    return content, pictures, broken, enlarged
