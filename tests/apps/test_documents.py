"""The commands about layout files."""

from __future__ import annotations

import json
from pathlib import Path

from occlusionformer.layout import FORMATS, Layout, read_layout
from tests.apps.conftest import Command
from tests.apps.examples import DRAWABLE, EXAMPLES, GARDEN, RING, TWO_FRUITS, format_of
from tests.apps.painter import Painter
from tests.tables import for_each


def test_validate_says_what_is_in_the_files(run: Command):
    result = run("validate", TWO_FRUITS, RING)
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        f"{TWO_FRUITS}: ok (128 x 128, 2 instances, 1 relation)",
        f"{RING}: ok (128 x 128, 3 instances, 3 relations, loop basketball > drum > bear > basketball)",
    ]


def test_validate_as_json(run: Command):
    assert run("validate", RING, "--json").json == {
        "layouts": [
            {
                "file": str(RING),
                "width": 128,
                "height": 128,
                "instances": 3,
                "relations": 3,
                "loops": [["basketball", "drum", "bear"]],
                "broken_pairs": [],
            }
        ]
    }


def test_validate_tells_what_breaking_a_loop_takes_out(run: Command, folder: Path):
    (folder / "ring.json").write_text(RING.read_text().replace('"allow"', '"break"'))
    result = run("validate", "ring.json")
    assert result.out == "ring.json: ok (128 x 128, 3 instances, 2 relations, taken out bear > basketball)\n"


def test_validate_lists_the_problems_of_all_files(run: Command, folder: Path):
    (folder / "a.json").write_text(TWO_FRUITS.read_text().replace('"a red apple"', '""'))
    (folder / "b.json").write_text("[]]")
    result = run("validate", "a.json", TWO_FRUITS, "b.json", "c.json")
    assert (result.code, result.out) == (2, "")
    assert [line.split(":")[0] for line in result.err.splitlines()] == ["a.json", "b.json", "c.json"]
    assert run("validate", "a.json", "c.json", "--json").json == {
        "problems": ["a.json: instances[0].caption: expected some text, got ''", "c.json: no such file"]
    }


@for_each("path", DRAWABLE, ids=lambda path: path.stem)
@for_each("target", FORMATS)
def test_convert_there_and_back(path: Path, target: str, run: Command, folder: Path):
    """What a format can hold comes back; what it cannot is refused with a line for each."""
    there = run("convert", path, "there.txt", "--from", format_of(path), "--to", target)
    if there.code == 0:
        assert run("convert", "there.txt", "back.txt", "--from", target, "--to", format_of(path)).code == 0
        before, after = read_layout(path, format_of(path)), read_layout(Path("back.txt"), format_of(path))
        assert [i.caption for i in after.instances] == [i.caption for i in before.instances]
        assert after.zorder == before.zorder
        for name in ("there.txt", "back.txt"):
            (folder / name).unlink()
    else:
        assert (there.code, there.out) == (2, "")
        assert all(f"the {target} format cannot " in line for line in there.err.splitlines())
    assert list(folder.iterdir()) == []


def test_some_conversions_lose_nothing(run: Command, folder: Path):
    assert run("convert", GARDEN, "out.json", "--to", "published").code == 0
    assert run("convert", EXAMPLES / "harbour.sa-z.json", "out.json", "--from", "sa-z").code == 0
    assert read_layout(Path("out.json")) == read_layout(EXAMPLES / "harbour.sa-z.json", "sa-z")


def test_lossy_conversion_says_what_is_lost(run: Command, folder: Path):
    source = EXAMPLES / "glass-and-shape.json"
    refused = run("convert", source, "out.json", "--to", "published")
    assert refused.code == 2
    assert "instances[1].opacity: the published format cannot hold 0.5" in refused.err.splitlines()
    result = run("convert", source, "out.json", "--to", "published", "--lossy", "--json")
    assert result.code == 0
    assert result.json == {"output": "out.json", "layouts": 1, "lost": refused.err.splitlines()}
    assert all(instance.opacity == 1 for instance in read_layout(Path("out.json"), "published").instances)


def test_convert_several_layouts(run: Command, folder: Path):
    layout = json.loads(TWO_FRUITS.read_text())
    (folder / "many.json").write_text(json.dumps([layout, layout]))
    assert run("convert", "many.json", "out.json", "--to", "published").out == "out.json (2 layouts)\n"
    assert len(json.loads(Path("out.json").read_text())) == 2


def test_convert_takes_prompt_and_canvas_for_formats_without(run: Command, folder: Path):
    (folder / "boxes.json").write_text('[{"bbox": [0.1, 0.1, 0.5, 0.5], "label": "a dog"}]')
    bare = run("convert", "boxes.json", "out.json", "--from", "simpletuner")
    assert (bare.code, "prompt" in bare.err, "width" in bare.err) == (2, True, True)
    options = ["--from", "simpletuner", "--prompt", "a lawn", "--canvas", "64x32"]
    assert run("convert", "boxes.json", "out.json", *options).code == 0
    layout = read_layout(Path("out.json"))
    assert (layout.prompt, layout.width, layout.height) == ("a lawn", 64, 32)


def test_the_layout_of_a_picture(run: Command, painter: Painter, folder: Path):
    run("generate", TWO_FRUITS)
    assert run("validate", "out.png").out == "out.png: ok (128 x 128, 2 instances, 1 relation)\n"
    assert run("convert", "out.png", "layout.json").code == 0
    assert read_layout(Path("layout.json")) == read_layout(TWO_FRUITS)


def test_convert_into_a_folder_that_is_missing(run: Command, folder: Path):
    result = run("convert", TWO_FRUITS, "nowhere/out.json")
    assert (result.code, result.err) == (2, "OUT: expected a file in an existing folder, got 'nowhere/out.json'\n")


def test_schema_is_the_one_of_the_layout(run: Command):
    for arguments in ([], ["--json"]):
        assert run("schema", *arguments).json == Layout.model_json_schema()
