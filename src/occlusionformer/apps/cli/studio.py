"""The command `studio`: the editor in a browser, and its API, until Ctrl-C."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from occlusionformer.apps.cli.console import RefusedError, ending
from occlusionformer.apps.cli.draw_request import DEFAULT_MODEL, without_garbage_collection
from occlusionformer.generation import check_generator

HostOption = Annotated[str, typer.Option(help="Address to listen on; others than loopback need --auth-file.")]
PortOption = Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option(
        help="embedded, a pipeline folder, or flux-dev:CHECKPOINT; several times for several, the first is loaded "
        "at once. [default: embedded]",
        show_default=False,
    ),
]
AuthFileOption = Annotated[
    Path | None,
    typer.Option(
        help="Who may come in: a file made by `python -m occlusionformer.apps.studio.passwords`.", show_default=False
    ),
]
AllowHostOption = Annotated[
    list[str] | None,
    typer.Option(help="A further name the server goes by, such as that of a proxy.", show_default=False),
]
RootPathOption = Annotated[
    str, typer.Option(help="The path a proxy serves it under, such as /studio.", show_default=False)
]
ProxyOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Address or network of a proxy whose X-Forwarded-For is believed; nobody's is otherwise.",
        show_default=False,
    ),
]
MaxQueueOption = Annotated[int, typer.Option(min=1, max=1000, help="Jobs that may wait; more are turned away.")]


def studio(  # noqa: PLR0913 - a parameter for every option
    host: HostOption = "127.0.0.1",
    port: PortOption = 7860,
    model: ModelsOption = None,
    auth_file: AuthFileOption = None,
    allow_host: AllowHostOption = None,
    root_path: RootPathOption = "",
    proxy: ProxyOption = None,
    max_queue: MaxQueueOption = 16,
) -> None:
    """Edit layouts and draw them in a browser; nothing leaves this machine."""
    with ending(as_json=False) as outcome:
        missing = [name for name in ("gradio", "uvicorn") if find_spec(name) is None]
        if missing:
            needed = " and ".join(missing)
            raise RefusedError([f"studio: expected {needed} to be installed: pip install 'occlusionformer[studio]'"])
        models = tuple(model or [DEFAULT_MODEL])
        for name in models:
            check_generator(name)

        with without_garbage_collection():
            from occlusionformer.apps.studio.server import StudioConfig, StudioServer, build_studio

            config = StudioConfig(
                models=models,
                host=host,
                port=port,
                auth_file=auth_file,
                allowed_hosts=tuple(allow_host or ()),
                root_path=root_path,
                proxies=tuple(proxy or ()),
                max_queue=max_queue,
            )
            server = StudioServer(build_studio(config))
        outcome.note(f"the studio is at {server.url} (Ctrl-C ends it)")
    logging.getLogger("occlusionformer.apps.studio").addHandler(logging.StreamHandler())  # why a job failed
    server.run()
