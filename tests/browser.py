"""A headless Chromium for the tests of the page, where the machine has one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# WebGL by software, as test machines have no GPU; no sandbox, as a container's root may have none.
ARGUMENTS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Open a browser, or skip the test and say why; with DNA_REQUIRE_BROWSER=1, fail."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright (hebbian-dna[test])")
    with api.sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        found = next(filter(None, map(shutil.which, NAMES)), own if Path(own).exists() else None)
        if found is None:
            missing = f"needs Chromium: none of {', '.join(NAMES)}, nor playwright's own"
            if os.environ.get("DNA_REQUIRE_BROWSER"):
                pytest.fail(missing, pytrace=False)
            pytest.skip(missing)
        browser = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()
