"""The commands about layout files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from occlusionformer.layout import FORMATS, Layout, read_layout
from occlusionformer.layout.formats.gligen import RENAMED, WRITTEN
from occlusionformer.pictures.maps import layout_maps
from tests.apps.conftest import Command
from tests.apps.examples import DRAWABLE, EXAMPLES, GARDEN, RING, TWO_FRUITS, format_of
from tests.apps.painter import Painter
from tests.tables import for_each


def test_validate_says_what_is_in_the_files(run: Command):
    result = run("validate", TWO_FRUITS, RING)
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        f"{TWO_FRUITS}: ok (256 x 256, 2 instances, 1 relation)",
        f"{RING}: ok (256 x 256, 3 instances, 3 relations, loop basketball > drum > bear > basketball)",
    ]


def test_validate_as_json(run: Command):
    assert run("validate", RING, "--json").json == {
        "layouts": [
            {
                "file": str(RING),
                "width": 256,
                "height": 256,
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
    assert result.out == "ring.json: ok (256 x 256, 3 instances, 2 relations, taken out bear > basketball)\n"


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
        told = [line for line in there.err.splitlines() if not line.startswith("warning: ")]
        assert told
        assert all(f"the {target} format cannot " in line for line in told)
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


def test_convert_writes_maps_of_colours_and_depth(run: Command, folder: Path):
    refused = run("convert", TWO_FRUITS, "out.png", "--to", "maps")
    assert (refused.code, list(folder.iterdir())) == (2, [])
    assert all("maps cannot" in line for line in refused.err.splitlines())
    done = run("convert", TWO_FRUITS, "out.png", "--to", "maps", "--lossy", "--json")
    assert done.json == {
        "output": "out.png",
        "layouts": 1,
        "lost": refused.err.splitlines(),
        "maps": ["out-colours.png", "out-depth.png"],
    }
    maps = layout_maps(read_layout(TWO_FRUITS))
    for name, pixels in (("colours", maps.colours), ("depth", maps.depth)):
        with Image.open(f"out-{name}.png") as image:
            assert np.array_equal(np.asarray(image), pixels)
    (folder / "many.json").write_text(f"[{TWO_FRUITS.read_text()}, {TWO_FRUITS.read_text()}]")
    several = run("convert", "many.json", "b.png", "--to", "maps", "--lossy")
    assert several.err == "--to maps: expected a document with one layout, got 2\n"


def test_convert_writes_the_order_in_words(run: Command, folder: Path):
    assert run("convert", TWO_FRUITS, "fruits.txt", "--to", "flux3", "--lossy").code == 0
    before = read_layout(TWO_FRUITS)
    text = Path("fruits.txt").read_text()
    assert text.startswith(f'{before.prompt} <apple_1> in front of <pear_1>. [{{"id": "')
    canvas = f"{before.width}x{before.height}"
    assert run("convert", "fruits.txt", "back.json", "--from", "flux3", "--canvas", canvas).code == 0
    after = read_layout(Path("back.json"))
    assert after.zorder == before.zorder
    assert [i.caption for i in after.instances] == [i.caption for i in before.instances]


def test_a_graph_of_comfyui_is_converted(run: Command, folder: Path):
    box = {"x": 0, "y": 0, "width": 64, "height": 48, "metadata": {"desc": "a cat"}}
    graph = {"nodes": [{"id": 1, "type": "CreateBoundingBoxes", "widgets_values": [64, 48, [box, box]]}], "links": []}
    (folder / "graph.json").write_text(json.dumps(graph))
    options = ["--from", "comfy", "--prompt", "a lawn"]
    assert run("convert", "graph.json", "out.json", *options).code == 0
    assert read_layout(Path("out.json")).zorder.edges == {(1, 0)}
    assert run("convert", "graph.json", "out.json", *options, "--list-order", "front-to-back").code == 0
    assert read_layout(Path("out.json")).zorder.edges == {(0, 1)}
    wrong = run("convert", "graph.json", "out.json", *options, "--list-order", "up")
    assert (wrong.code, wrong.err) == (2, "list_order: expected back-to-front, front-to-back or none, got 'up'\n")


def test_an_older_name_of_a_format_is_read_with_a_warning(run: Command, folder: Path):
    (folder / "boxes.json").write_text('[{"bbox": [0.1, 0.1, 0.5, 0.5], "label": "a dog"}]')
    options = ["--prompt", "a lawn", "--canvas", "64x32"]
    older = run("convert", "boxes.json", "older.json", "--from", "gligen", *options)
    assert (older.code, older.err) == (0, f"warning: {RENAMED}\n")
    assert run("convert", "boxes.json", "now.json", "--from", "simpletuner", *options).err == ""
    assert Path("older.json").read_text() == Path("now.json").read_text()
    written = run("convert", "now.json", "phrases.json", "--to", "gligen")
    assert (written.code, written.err) == (0, f"warning: {WRITTEN}\n")


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
    assert run("validate", "out.png").out == "out.png: ok (256 x 256, 2 instances, 1 relation)\n"
    assert run("convert", "out.png", "layout.json").code == 0
    assert read_layout(Path("layout.json")) == read_layout(TWO_FRUITS)


def test_convert_into_a_folder_that_is_missing(run: Command, folder: Path):
    result = run("convert", TWO_FRUITS, "nowhere/out.json")
    assert (result.code, result.err) == (2, "OUT: expected a file in an existing folder, got 'nowhere/out.json'\n")


def test_schema_is_the_one_of_the_layout(run: Command):
    for arguments in ([], ["--json"]):
        assert run("schema", *arguments).json == Layout.model_json_schema()
