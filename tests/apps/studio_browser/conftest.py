"""A studio with a painter behind it, and a page in Debian's Chromium that may not complain or ask anybody else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import pytest

if find_spec("gradio") is None:  # not imported: that takes seconds
    pytest.skip("the studio needs gradio: pip install 'occlusionformer[studio]'", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser: pip install playwright")

from occlusionformer.apps.studio.rates import Rate, Rates  # noqa: E402
from occlusionformer.apps.studio.server import StudioConfig, StudioServer, build_studio  # noqa: E402
from tests.apps.studio_browser.editor import Editor  # noqa: E402
from tests.apps.studio_browser.slow_painter import SlowPainter  # noqa: E402

DESKTOP = {"width": 1440, "height": 900}
OFTEN = Rate(10_000, 10_000.0)


@dataclass(frozen=True)
class Running:
    """A server and what draws for it."""

    address: str
    painter: SlowPainter


@pytest.fixture(scope="session")
def studio(browser: sync_api.Browser) -> Iterator[Running]:
    painter = SlowPainter()
    config = StudioConfig(port=0, rates=Rates(generate=OFTEN, compute=OFTEN, read=OFTEN))
    server = StudioServer(build_studio(config, load=lambda name: painter))
    with server.running() as address:
        yield Running(address, painter)


@pytest.fixture(scope="module")
def visit(browser: sync_api.Browser, studio: Running) -> Iterator[Editor]:
    """A first-time visitor's page, used by all tests of a module."""
    context = browser.new_context(viewport=DESKTOP, accept_downloads=True, reduced_motion="reduce")
    context.set_default_timeout(30_000)
    editor = Editor(context.new_page(), studio.address)
    editor.open()
    yield editor
    context.close()


@pytest.fixture
def editor(visit: Editor, studio: Running) -> Iterator[Editor]:
    """The page with an empty canvas, nothing in its history and settings as they come."""
    studio.painter.seconds_a_step = 0.02
    studio.painter.steps_done.clear()
    visit.begin_anew()
    yield visit
    assert visit.complaints() == []
    assert visit.strangers() == []
