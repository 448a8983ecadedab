"""`bench scenes` on the command line: the same figures as `eval`, and nothing left behind by what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from occlusionformer.evaluation.scenes.figures import COLUMNS
from tests.apps.conftest import Command

NUMBERS = ("value", "low", "high")


def test_both_commands_print_the_same_figures(run: Command, folder: Path):
    """One model, the same two layouts, whichever command draws and judges them."""
    bench = run("bench", "scenes", "--split", "simple", "--limit", "2", "--steps", "2", "--out", "bench", "--json")
    assert bench.code == 0, bench.err
    done = run("eval", "world-simple", "--judges", "art", "--limit", "2", "--steps", "2", "--out", "eval", "--json")
    assert done.code == 0, done.err
    figures = bench.json["splits"]["simple"]["figures"]
    assert list(figures) == list(COLUMNS)
    for name, column in COLUMNS.items():
        score = done.json["scores"][column]
        assert [figures[name][number] for number in NUMBERS] == [score[number] for number in NUMBERS], name
        assert figures[name]["pictures"] == score["num_images"]
    assert figures["occ"]["value"] < 1 or figures["miou"]["value"] < 1, "a perfect model would show nothing"
    drawn = [sorted((folder / each).glob("simple-*.png")) for each in ("eval/pictures", "bench/pictures")]
    assert [path.read_bytes() for path in drawn[0]] == [path.read_bytes() for path in drawn[1]]
    run_folder = folder / "bench" / bench.json["splits"]["simple"]["run"]
    compared = run("eval", "compare", run_folder, "eval", "--json")
    assert {each["paired"]["difference"] for each in compared.json["columns"] if each["paired"]} == {0.0}
    written = json.loads((folder / "bench" / "results.json").read_text())
    assert written["splits"]["simple"]["figures"] == figures
    assert "Figures" in (folder / "bench" / "report.html").read_text()


@pytest.mark.parametrize("command", [("bench", "scenes"), ("eval", "world-simple", "--judges", "art")])
def test_what_cannot_be_drawn_leaves_nothing_behind(run: Command, folder: Path, command: tuple[str, ...]):
    done = run(*command, "--limit", "1", "--model", "nobody", "--out", "out")
    assert done.code == 2
    assert done.err.startswith("model: expected a local folder or one of (")
    assert not (folder / "out").exists()


def test_a_size_between_two_tokens_is_refused(run: Command, folder: Path):
    done = run("bench", "scenes", "--limit", "1", "--size", "100", "--out", "out")
    assert (done.code, done.err) == (2, "size: expected a multiple of 16, got 100; the nearest is 96\n")
    assert not (folder / "out").exists()


def test_a_seed_that_leaves_no_room_for_the_layouts_is_refused(run: Command, folder: Path):
    done = run("eval", "world-regular", "--judges", "art", "--limit", "2", "--seed", 2**63 - 1, "--out", "out")
    expected = f"seed: expected at most {2**63 - 1 - 201} for the items of this benchmark, got {2**63 - 1}\n"
    assert (done.code, done.err) == (2, expected)
    assert not (folder / "out").exists()


def test_an_interrupted_command_says_where_it_goes_on(run: Command, folder: Path, monkeypatch: pytest.MonkeyPatch):
    from occlusionformer.evaluation.running import drawing
    from tests.evaluation.scenes.artist import Artist

    monkeypatch.setattr(drawing, "load_generator", lambda name: Artist((), stops_after=0))
    done = run("bench", "scenes", "--split", "simple", "--limit", "1", "--out", "out")
    expected = "interrupted: what was done is kept in out; the same command goes on from there\n"
    assert (done.code, done.err) == (130, expected)
