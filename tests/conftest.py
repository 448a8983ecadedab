"""For all tests: no library looks for models, news or telemetry on the network; Ctrl-C works in the background too.

One browser serves every test that looks at a page: playwright allows one loop in a process.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests import clock, properties

if TYPE_CHECKING:
    from playwright.sync_api import Browser

os.environ["HF_HUB_OFFLINE"] = "1"
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs with the signal ignored

gc.disable()  # until all tests are found: what is imported for them stays, and looking through it takes 5 s a process

LEFT_OUT = pytest.StashKey[int]()
"""How many tests were left out because nobody asked for any by their marks."""

LEAN = ["--no-sandbox", "--disable-gpu", "--in-process-gpu", "--disable-dev-shm-usage", "--renderer-process-limit=1"]


def pytest_configure(config: pytest.Config) -> None:
    """Properties are read with their numbers of examples when test files are imported."""
    properties.load(config.option.markexpr)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What uses the browser is a browser test; without `-m`, tests for a quiet machine are left out."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
    if not config.option.markexpr:
        left = [item for item in items if item.get_closest_marker("timing")]
        items[:] = [item for item in items if item not in left]
        config.hook.pytest_deselected(items=left)
        config.stash[LEFT_OUT] = len(left)


def pytest_collection_finish() -> None:
    """Garbage is collected from here on, and never looked for among what was imported."""
    clock.keep_imported()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if count := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(f"left out {count} that bound wall-clock time: make test-timing, or -m timing")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright drives the browser: pip install playwright"
    )
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("no chromium on the PATH: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=LEAN)
        yield browser
        browser.close()
