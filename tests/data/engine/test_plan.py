"""Plans: what they take, what they refuse, and what their hash depends on."""

from __future__ import annotations

from pathlib import Path

import pytest

from occlusionformer.data.engine.plan import STAGES, AmodalPlan, parse_plan, read_plan
from occlusionformer.layout import LayoutError
from tests.tables import for_each

PLANS = sorted((Path(__file__).parents[3] / "examples" / "plans").glob("*.yaml"))
SCENES = {"name": "train", "source": {"kind": "scenes", "seed": 1, "count": 4}, "stages": [{"stage": "clean"}]}


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.name)
def test_every_example_is_a_plan(path: Path):
    plan = read_plan(path)
    assert parse_plan(plan.model_dump(mode="json")) == plan


def test_every_problem_is_listed_at_once():
    wrong = {
        "name": "a b",
        "source": {"kind": "scenes", "seed": -1},
        "stages": [{"stage": "order"}, {"stage": "sing"}, {"stage": "clean", "min_side": 2, "colour": "red"}, 3],
        "shard_size": 0,
    }
    with pytest.raises(LayoutError) as caught:
        parse_plan(wrong)
    text = str(caught.value)
    for path in (
        "name: ",
        "source.seed: expected at least 0, got -1",
        "source.count: expected a value, got nothing",
        "stages[0].model: expected a value, got nothing",
        f"stages[1].stage: expected {', '.join(list(STAGES)[:-1])} or filter, got 'sing'",
        "stages[2].min_side: expected at most 1, got 2",
        "stages[2].colour: unknown field",
        "stages[3]: expected an object, got 3",
        "shard_size: expected at least 1, got 0",
    ):
        assert path in text


def _doubled(name: str) -> str:
    """Eight anchors that each name the one before ten times."""
    lines = [f"a0: &a0 [{name}]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9))]
    return "\n".join([*lines, "stages: *a8", "source: *a8", "name: *a8"])


@for_each(
    ("text", "message"),
    [
        ("a: [", "expected YAML or JSON"),
        ("[1, 2]", "expected an object"),
        ("[" * 20_000, "expected YAML or JSON of fewer levels"),
        ("a: 2020-99-99", "expected YAML or JSON: month must be in"),
        (f"a: {'1' * 5000}", "expected YAML or JSON: Exceeds the limit"),
        ("a: b\n" * 20_000, "expected a plan of at most 64 kB"),
        (
            "name: a\nstages: [{stage: clean, stage: order}]",
            r"plan\.yaml: .*every field once, got 'stage' again",
        ),
        ("null", r"plan\.yaml: expected an object, got null"),
        (_doubled("x"), r"name: expected text, got \[\[\[\[\.\.\."),
    ],
    ids=["cut", "list", "levels", "date", "digits", "long", "twice", "nothing", "aliases"],
)
def test_what_is_no_plan_is_refused(tmp_path: Path, text: str, message: str):
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(LayoutError, match=message):
        read_plan(path)
    with pytest.raises(LayoutError, match=r"gone\.yaml: no such file"):
        read_plan(tmp_path / "gone.yaml")


def test_where_it_runs_is_no_part_of_the_hash_and_everything_else_is():
    plan = parse_plan(SCENES)

    def hash_of(revision: str = "r", **changes: object) -> str:
        return parse_plan({**SCENES, **changes}).hash({"model": revision})

    assert hash_of() == plan.hash({"model": "r"})
    assert hash_of(stages=[{"stage": "clean", "actors": 9, "gpus": 1, "cpus": 3}]) == hash_of()
    assert hash_of(expected={"pictures": 1, "instances": 2}) == hash_of()
    changed = [
        hash_of("s"),
        hash_of(stages=[{"stage": "clean", "min_side": 0.5}]),
        hash_of(stages=[{"stage": "clean"}, {"stage": "filter"}]),
        hash_of(shard_size=7),
        hash_of(source={"kind": "scenes", "seed": 2, "count": 4}),
    ]
    assert len({*changed, hash_of()}) == len(changed) + 1


def test_resources_are_fields():
    assert set(AmodalPlan.model_fields) > AmodalPlan.RESOURCES
