"""The commands `data convert`, `validate`, `stats`, `show` and `split`: data sets of annotated pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from occlusionformer.apps.cli import options
from occlusionformer.apps.cli.console import BAD_INPUT, RefusedError, ending
from occlusionformer.apps.cli.conversion import FORMATS, Conversion, run_conversion

if TYPE_CHECKING:
    from occlusionformer.data.records import Violation

REQUIREMENT_NAMES = "prompt, captions, visible, amodal, order, depth, images"
MOST_PICTURES = 24

FolderArgument = Annotated[Path, typer.Argument(metavar="DATA", help="The folder of a data set.", show_default=False)]

data = typer.Typer(
    name="data", help="Convert, check, count, show and split data sets of pictures with z-order.", no_args_is_help=True
)


@data.command()
def convert(  # noqa: PLR0913 - a parameter for every option
    source: Annotated[
        str, typer.Argument(metavar="IN", help="The file or folder to read, or `scenes`.", show_default=False)
    ],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="The data set to make: a new folder.", show_default=False)
    ],
    from_: Annotated[
        str | None, typer.Option("--from", help=f"Format of IN: {', '.join(FORMATS)}. [default: by IN]")
    ] = None,
    to: Annotated[str, typer.Option("--to", help="records, or sa-z for the published SA-Z file.")] = "records",
    split: Annotated[str, typer.Option(help="Name of the split that the records make.")] = "train",
    images: Annotated[
        Path | None, typer.Option(help="Folder with the pictures; they are put into tars beside the records.")
    ] = None,
    instances: Annotated[Path | None, typer.Option(help="For instaorder: the COCO instances file.")] = None,
    captions: Annotated[Path | None, typer.Option(help="For instaorder: the COCO captions file.")] = None,
    count: Annotated[int, typer.Option(min=1, help="For scenes: how many.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="For scenes: which series.")] = 0,
    size: Annotated[int, typer.Option(help="For scenes: side in pixels.")] = 256,
    bare: Annotated[
        bool, typer.Option("--bare", help="Keep pictures and visible masks alone, as `data build` takes them.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Pass over records that cannot be read and list them in rejected.jsonl.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Cut shapes off at the edges of the picture, leave out polygons and instances that cannot be read, "
            "and list every repair.",
        ),
    ] = False,
    lossy: Annotated[bool, typer.Option("--lossy", help="Leave out what the format of OUT cannot hold.")] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Turn other data sets, or layered scenes, into records; or records into the published SA-Z file."""
    wish = Conversion(
        source=source,
        target=target,
        from_=from_,
        to=to,
        split=split,
        images=images,
        instances=instances,
        captions=captions,
        scenes=(count, seed, size),
        bare=bare,
        skip_bad=skip_bad,
        lossy=lossy,
        repair=repair,
    )
    with ending(as_json) as outcome:
        made = run_conversion(wish)
        lines = [f"{target} ({made['records']} records)", *(f"repaired: {line}" for line in made.get("repairs", ()))]
        if made["rejected"]:
            lines.append(f"{made['rejected']} records passed over, see {target / 'rejected.jsonl'}")
        outcome.result(made, lines)


@data.command()
def validate(
    folder: FolderArgument,
    require: Annotated[
        str | None,
        typer.Option(
            help=f"What every record must have, separated by commas: {REQUIREMENT_NAMES}. [default: captions, unless "
            "no instance has one]",
            show_default=False,
        ),
    ] = None,
    images: Annotated[bool, typer.Option(help="Also decode every picture and hash every tar.")] = True,
    most: Annotated[int, typer.Option("--most", min=1, help="Stop after this many violations.")] = 1000,
    as_json: options.JsonOption = False,
) -> None:
    """Check a data set and list every violation with its file, record and field."""
    with ending(as_json) as outcome:
        from occlusionformer.data.records import RecordFolder, check_folder
        from occlusionformer.data.records.validation import usual_requirements

        if not folder.is_dir():
            raise RefusedError([f"DATA: expected a folder, got {folder}"])
        names = usual_requirements(folder) if require is None else require.split(",")
        needed = [name.strip() for name in names if name.strip()]
        found: list[Violation] = []
        for violation in check_folder(folder, require=needed, look_at_images=images):
            found.append(violation)
            if len(found) == most:
                break
        if found:
            value = {"violations": [_violation(violation) for violation in found], "stopped": len(found) == most}
            outcome.result(value, [str(violation) for violation in found])
            raise typer.Exit(BAD_INPUT)
        records = len(RecordFolder(folder))
        without = ", without captions" if require is None and not needed else ""
        outcome.result({"violations": [], "records": records}, [f"{folder}: ok ({records} records{without})"])


@data.command()
def stats(
    folder: FolderArgument,
    write: Annotated[
        bool, typer.Option("--write", help="Also write statistics, schema and card into the folder anew.")
    ] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Count what a data set holds."""
    with ending(as_json) as outcome:
        from occlusionformer.data.records import statistics_of, write_descriptions

        counted = write_descriptions(folder) if write else statistics_of(folder)
        lines = [
            f"{split}: {name.replace('_', ' ')}: {value}"
            for split, numbers in counted["splits"].items()
            for name, value in numbers.items()
        ]
        outcome.result(counted, lines)


@data.command()
def show(
    folder: FolderArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page.")] = Path("records.html"),
    split: Annotated[str | None, typer.Option(help="Only of this split.", show_default=False)] = None,
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="Only this picture; may be given again.", show_default=False)
    ] = None,
    most: Annotated[int, typer.Option("--most", min=1, help="The most pictures on the page.")] = MOST_PICTURES,
    images: Annotated[
        Path | None, typer.Option(help="Folder with the pictures, for data sets that keep them elsewhere.")
    ] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Draw pictures with their boxes, masks and order on one page for the browser."""
    with ending(as_json) as outcome:
        from occlusionformer.apps.record_page import record_page
        from occlusionformer.data.records import RecordFolder
        from occlusionformer.layout import write_atomic

        page = record_page(RecordFolder(folder, split), ids=ids or [], most=most, image_root=images)
        write_atomic(output, page.html)
        outcome.result(
            {"output": str(output), "pictures": list(page.shown)}, [f"{output} ({len(page.shown)} pictures)"]
        )


@data.command()
def split(
    source: FolderArgument,
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.", show_default=False)],
    share: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=SHARE", help="A split and its share of the pictures; may be given again."),
    ] = None,
    hardest: Annotated[
        int, typer.Option(min=0, help="Pictures with the largest overlaps to set apart as the split `hard`.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Another seed, another assignment.")] = 0,
    as_json: options.JsonOption = False,
) -> None:
    """Copy a data set into splits. A picture's id alone decides which one it is in."""
    with ending(as_json) as outcome:
        from occlusionformer.data.records import Splitting, split_data_set

        shares = _shares(share or ["train=0.98", "validation=0.01", "test=0.01"])
        sizes = split_data_set(source, target, Splitting(shares=shares, seed=seed, hardest=hardest))
        lines = [str(target), *(f"{name}: {size} records" for name, size in sizes.items())]
        outcome.result({"output": str(target), "splits": sizes}, lines)


def _shares(texts: list[str]) -> dict[str, float]:
    shares: dict[str, float] = {}
    problems = []
    for text in texts:
        name, _, number = text.partition("=")
        try:
            shares[name] = float(number)
        except ValueError:
            problems.append(f"--share: expected NAME=SHARE like train=0.9, got {text!r}")
    if len(shares) + len(problems) < len(texts):
        problems.append("--share: expected every split once")
    if problems:
        raise RefusedError(problems)
    return shares


def _violation(violation: Violation) -> dict[str, Any]:
    from occlusionformer.layout.problems import path_text

    row, image_id = violation.record if violation.record is not None else (None, None)
    return {
        "file": violation.file,
        "record": row,
        "image_id": image_id,
        "field": path_text(violation.problem.path),
        "problem": violation.problem.text,
    }
