"""A browser for pages that are made."""

import os
import shutil
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "headless_shell", "chrome-headless-shell")


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium: that of the variable CHROMIUM, of the PATH, or one that playwright has installed."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        known = [os.environ.get("CHROMIUM"), *map(shutil.which, NAMES), running.chromium.executable_path]
        path = next((path for path in known if path and Path(path).is_file()), None)
        if path is None:
            pytest.skip("no Chromium: set CHROMIUM to its file, or run: playwright install chromium")
        opened = running.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()
