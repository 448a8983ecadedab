"""The studio under the path of a proxy, with a proxy that takes the path off in front of it and without one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from occlusionformer.apps.studio.server import StudioConfig, StudioServer, build_studio
from tests.apps.studio_browser.conftest import sync_api
from tests.apps.studio_browser.editor import Editor
from tests.apps.studio_browser.slow_painter import SlowPainter
from tests.apps.studio_browser.test_screens import keep

PREFIX = "/tools/studio"


@contextmanager
def proxy_that_takes_the_path_off(port: int) -> Iterator[int]:
    """The port of a proxy that passes on one request for each connection."""
    loop = asyncio.new_event_loop()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, _, rest = head.partition(b"\r\n")
        assert first.split(b" ")[1].startswith(f"{PREFIX}/".encode())
        first = first.replace(PREFIX.encode(), b"", 1)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        kept = [line for line in rest.split(b"\r\n") if line and not line.lower().startswith(b"connection:")]
        inner_writer.write(b"\r\n".join([first, *kept, b"Connection: close", b"", b""]))

        async def pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while part := await source.read(65536):
                sink.write(part)

        upwards = asyncio.create_task(pipe(reader, inner_writer))
        await pipe(inner_reader, writer)
        upwards.cancel()
        for each in (writer, inner_writer):
            each.close()

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(pass_on, "127.0.0.1", 0), loop).result(10)
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@pytest.fixture(params=["kept", "taken off"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    config = StudioConfig(port=0, root_path=PREFIX, serves_gradio=False)
    server = StudioServer(build_studio(config, load=lambda name: SlowPainter()))
    with server.running() as address:
        if request.param == "kept":
            yield f"{address}{PREFIX}/"
            return
        with proxy_that_takes_the_path_off(urlsplit(address).port or 0) as port:
            yield f"http://127.0.0.1:{port}{PREFIX}/"


def test_drawing_downloading_and_examples(browser: sync_api.Browser, address: str, tmp_path: Path) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(30_000)
    editor = Editor(context.new_page(), address)
    editor.open()
    editor.begin_anew()
    editor.draw((0.1, 0.2, 0.6, 0.7), "a red apple")
    editor.draw((0.4, 0.3, 0.9, 0.9), "a green pear", holding="Control")
    editor.generate()
    assert editor.at("picture").evaluate("image => image.naturalWidth") == 256
    editor.load(editor.document("coco"), "coco")
    assert sorted(editor.layers()) == ["a green pear", "a red apple"]
    keep(editor, f"under-a-path-{urlsplit(address).port}", tmp_path)
    assert editor.complaints() == []
    assert editor.strangers() == [], "nothing outside the path"
    context.close()
