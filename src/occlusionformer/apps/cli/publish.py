"""The command `publish`: a model as a folder for the Hub. It uploads nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from occlusionformer.apps.cli import options
from occlusionformer.apps.cli.console import ending, problems_of
from occlusionformer.apps.cli.sources import SourceContent, SourceOptions

FolderArgument = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="The folder to write, new or empty.", show_default=False)
]
ModelOption = Annotated[
    str | None, typer.Option(help="embedded, embedded:FOLDER as `train` leaves it, or a pipeline folder.")
]
BranchOption = Annotated[
    Path | None,
    typer.Option(help="A branch folder as `train` leaves it, or a published checkpoint; goes with --base."),
]
BaseOption = Annotated[
    str | None, typer.Option(help="The FLUX pipeline that --branch belongs to: a folder or a hub id.")
]
RepoOption = Annotated[
    str | None, typer.Option(metavar="USER/NAME", help="Its id on the Hub. [default: the folder's name]")
]
LicenceOption = Annotated[
    str | None, typer.Option(metavar="ID", help="Licence of the weights, by the Hub's names: apache-2.0, other.")
]
LicenceNameOption = Annotated[str | None, typer.Option(help="A short name, with --licence other.")]
LicenceLinkOption = Annotated[str | None, typer.Option(help="Where it can be read, with --licence other.")]
BaseModelOption = Annotated[
    str | None,
    typer.Option(metavar="USER/NAME", help="Whose weights the backbone has. [default: --base, if on the Hub]"),
]
ResultOption = Annotated[
    list[Path] | None,
    typer.Option("--result", help="Figures for the card: a result of `eval` or `bench scenes`. May be repeated."),
]
ExampleOption = Annotated[
    Path | None, typer.Option(help="The card's example: a layout file, or a PNG that `generate` wrote.")
]


def publish(  # noqa: PLR0913 - a parameter for every option
    folder: FolderArgument,
    model: ModelOption = None,
    branch: BranchOption = None,
    base: BaseOption = None,
    repo: RepoOption = None,
    licence: LicenceOption = None,
    licence_name: LicenceNameOption = None,
    licence_link: LicenceLinkOption = None,
    base_model: BaseModelOption = None,
    results: ResultOption = None,
    example: ExampleOption = None,
    steps: options.StepsOption = None,
    guidance: options.GuidanceOption = None,
    grounding_ratio: options.GroundingRatioOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Write a model as a folder for the Hub, with a model card. Nothing is uploaded."""
    with ending(as_json) as outcome:
        problems: list[str] = []
        content = _example(example, problems)
        from occlusionformer.apps.publishing import Publication, publish_folder

        settings = {"default_steps": steps, "default_guidance": guidance, "default_grounding_ratio": grounding_ratio}
        wish = Publication(
            folder=folder,
            model=model,
            branch=branch,
            base=base,
            repo=repo,
            licence=licence,
            licence_name=licence_name,
            licence_link=licence_link,
            base_model=base_model,
            results=tuple(results or ()),
            layout=None if content is None else content.layouts[0],
            picture=None if example is None or content is None or content.record is None else example.read_bytes(),
            settings={name: value for name, value in settings.items() if value is not None},
        )
        files = publish_folder(wish, problems)
        if repo is None:
            outcome.note(
                f"the card and the modular index call it {wish.repo_or_name!r}; --repo USER/NAME is for the Hub"
            )
        outcome.result({"output": str(folder), "files": files}, [f"{folder} ({len(files)} files)"])


def _example(path: Path | None, problems: list[str]) -> SourceContent | None:
    """The layout of the card's example, and the picture if there is one."""
    if path is None:
        return None
    try:
        content = SourceOptions("native", most=options.MAX_INSTANCES).read(path, one=True)
        content.layout()
    except ValueError as error:
        problems += [f"--example: {line}" for line in problems_of(error)]
        return None
    return content
