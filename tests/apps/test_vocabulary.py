"""The command `vocabulary`, and what drawing commands say of words that are not known."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from occlusionformer.embedded.nearest import NearestObjects
from occlusionformer.embedded.text import packaged_reader
from occlusionformer.embedded.vocabulary import packaged_vocabulary
from tests.apps.conftest import Command
from tests.apps.examples import TWO_FRUITS
from tests.tables import for_each

CHANDELIER = "warning: instances[0].caption: no object for 'chandelier': nearest is 'light bulb'\n"
COLOURS = "red, orange, yellow, green, teal, blue, purple, pink, brown, white, grey, black"
SMALL = ("--steps", 1, "--size", "64x64")


def with_caption(folder: Path, caption: str) -> str:
    value = json.loads(TWO_FRUITS.read_text())
    value["instances"][0]["caption"] = caption
    (folder / "layout.json").write_text(json.dumps(value))
    return "layout.json"


def test_all_objects_are_listed_by_category(run: Command):
    result = run("vocabulary")
    lines = result.out.splitlines()
    assert (result.code, result.err) == (0, "")
    assert lines[0] == "animal:"
    assert "  cat* (kitten, tabby, house cat)" in lines
    assert "  lion (big cat with a mane, king of beasts)" in lines
    assert lines[-2].startswith("416 of 416 objects, 1023 words (animal 82, building 17, clothes 20, ")
    assert lines[-1] == f"colours, of objects marked *: {COLOURS}"


def test_a_word_is_searched(run: Command):
    assert run("vocabulary", "PUPP").out == (
        "animal:\n  dog* (puppy, hound, labrador)\n1 of 416 objects, 4 words (animal 1)\n"
        f"colours, of objects marked *: {COLOURS}\n"
    )


def test_a_category_is_a_filter(run: Command):
    result = run("vocabulary", "ball", "--category", "sport")
    assert result.out.splitlines()[:-2] == [
        "sport:",
        "  soccer ball* (football)",
        "  baseball (ball with red seams)",
        "  basketball* (orange ball)",
    ]
    wrong = run("vocabulary", "--category", "sports")
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err.startswith("category: expected one of animal, building, clothes, food, ")
    assert wrong.err.endswith(", got 'sports'\n")


def test_json(run: Command):
    value = json.loads(run("vocabulary", "kitten", "--json").out)
    assert value == {
        "objects": [
            {
                "name": "cat",
                "category": "animal",
                "synonyms": ["kitten", "tabby", "house cat"],
                "adjectives": ["orange", "striped"],
                "recolourable": True,
            }
        ],
        "colours": COLOURS.split(", "),
        "categories": {"animal": 1},
        "count": 1,
        "words": 4,
        "drawn_as": None,
        "colour": None,
    }
    unknown = json.loads(run("vocabulary", "chandelier", "--json").out)
    assert (unknown["count"], unknown["objects"], unknown["drawn_as"]) == (0, [], "light bulb")
    coloured = json.loads(run("vocabulary", "a black cat sitting", "--json").out)
    assert (coloured["count"], coloured["drawn_as"], coloured["colour"]) == (0, "cat", "black")


@for_each(
    "text, end",
    [
        ("a black cat sitting", "'a black cat sitting' is drawn as 'cat', black\n"),
        ("a cat sitting", "'a cat sitting' is drawn as 'cat'\n"),
        ("a blue wolf", "'a blue wolf' is drawn as 'wolf', in its own colours\n"),
        ("two people kissing", "  kissing couple (two people kissing, kiss)\n"),
        ("teal cat", "  cat* (kitten, tabby, house cat)\n"),
        ("teal", "\ncolours, of objects marked *: red, orange, yellow, green, teal, "),
        ("an orange", "'an orange' is drawn as 'orange', in its own colours\n"),
        ("котёнок", "no object for 'котёнок'\n"),
    ],
)
def test_a_caption_is_told_what_it_is_drawn_as(run: Command, text: str, end: str):
    result = run("vocabulary", text)
    assert (result.code, result.err) == (0, "")
    assert end in result.out


def test_what_is_not_known_is_the_nearest(run: Command):
    nearest = NearestObjects(packaged_vocabulary(), packaged_reader()).of("chandelier")
    assert run("vocabulary", "chandelier").out == f"no object for 'chandelier': nearest is {nearest.name!r}\n"
    assert nearest.name == "light bulb"


def test_listing_loads_no_model():
    script = (
        "import sys\nfrom occlusionformer.apps.cli import main\n"
        "try:\n    main(['vocabulary', 'cat'])\nexcept SystemExit as ended:\n    assert ended.code == 0\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_an_unknown_word_is_drawn_and_said(run: Command, folder: Path):
    result = run("generate", with_caption(folder, "chandelier"), *SMALL)
    assert (result.code, result.err) == (0, CHANDELIER)
    assert (folder / "out.png").exists()
    known = run("generate", with_caption(folder, "a black cat sitting"), *SMALL)
    assert (known.code, known.err) == (0, "")


def test_quiet_is_quiet(run: Command, folder: Path):
    result = run("generate", with_caption(folder, "chandelier"), *SMALL, "--quiet")
    assert (result.code, result.err) == (0, "")
    sheet = run("orders", with_caption(folder, "chandelier"), *SMALL, "-q", "--output", "sheet.png")
    assert (sheet.code, sheet.err) == (0, "")


def test_json_stays_json(run: Command, folder: Path):
    result = run("generate", with_caption(folder, "chandelier"), *SMALL, "--json")
    assert json.loads(result.out)["output"] == "out.png"
    assert result.err == CHANDELIER
