"""Arguments and options that several commands share: the same word means the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from occlusionformer.layout import FORMATS

FORMAT_NAMES = ", ".join(FORMATS)

LayoutPath = Annotated[
    Path,
    typer.Argument(
        metavar="LAYOUT", help="A layout file, or a PNG that `generate` wrote; - for a pipe.", show_default=False
    ),
]
FormatOption = Annotated[str, typer.Option("--format", help=f"Format of the layout file: {FORMAT_NAMES}.")]
PromptOption = Annotated[
    str | None, typer.Option(help="The prompt, for formats whose documents may have none (coco, gligen).")
]
CanvasOption = Annotated[
    str | None,
    typer.Option(metavar="WxH", help="The canvas in pixels, for formats whose documents may have none (gligen)."),
]
ImageOption = Annotated[
    str | None,
    typer.Option(metavar="ID_OR_FILE", help="Which image of a document with several: its id or its file name (coco)."),
]
NoRegionsOption = Annotated[
    bool, typer.Option("--no-regions", help="Leave masks and polygons unread: boxes alone (coco, sa-z).")
]
CyclesOption = Annotated[
    str | None,
    typer.Option(metavar="error|allow|break", help="What to do about loops, for formats that cannot say it."),
]
MaxInstancesOption = Annotated[int, typer.Option(min=0, help="Layouts with more instances than this are refused.")]
ModelOption = Annotated[
    str | None,
    typer.Option(
        help="embedded, a pipeline folder, or flux-dev:CHECKPOINT. [default: embedded, or the model of the PNG]",
        show_default=False,
    ),
]
SeedOption = Annotated[
    int | None,
    typer.Option(help="Start of the random numbers. [default: the layout's, else a new one]", show_default=False),
]
StepsOption = Annotated[int | None, typer.Option(help="Denoising steps. [default: the model's]", show_default=False)]
GuidanceOption = Annotated[
    float | None, typer.Option(help="Guidance of a distilled backbone. [default: the model's]", show_default=False)
]
GroundingRatioOption = Annotated[
    float | None,
    typer.Option(
        help="Share of the steps, from the first, on which the layout is obeyed. [default: the model's]",
        show_default=False,
    ),
]
StrengthOption = Annotated[
    float | None,
    typer.Option(help="Factor on what the layout adds; 0 is the backbone alone. [default: 1]", show_default=False),
]
SizeOption = Annotated[
    str | None,
    typer.Option(
        metavar="WxH|nearest",
        help="Size of the picture in pixels; nearest: the layout's, or the next one that the model can draw. "
        "[default: the layout's]",
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON value on stdout, problems included, and nothing else.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print no warnings and no notes.")]

MAX_INSTANCES = 1000
"""The model has no limit; a typing mistake in a script should not fill the memory."""
