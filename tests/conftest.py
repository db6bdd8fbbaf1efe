"""Fixtures that several test files share."""

import os
import shutil
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real material beside the checkout (it is not redistributable, so not in the repository)."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{folder} is missing: CI must test on the real material")
        pytest.skip(f"{folder} is missing: tests on real material are not run")
    return folder


@pytest.fixture(scope="session")
def chromium():
    """Headless Chromium, driven by Playwright; WebGL is drawn by the processor."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("Chromium is not installed (`make chromium` does it): pages are not tried")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        switches = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        browser = playwright.chromium.launch(executable_path=executable, args=switches)
        yield browser
        browser.close()
