"""Plans say everything that is wrong with them at once, and none has cells of unequal budget."""

from __future__ import annotations

import pytest

from occlusionformer.study.plan import UNTRAINED, read_plan
from occlusionformer.training import SettingsError
from tests.study.plans import SMALL, small, written


def problems_of(tmp_path, text):
    with pytest.raises(SettingsError) as error:
        read_plan(written(tmp_path, text))
    return error.value.problems


def test_all_cells_have_one_budget(tmp_path):
    plan = small(tmp_path)
    configs = [plan.config(cell, seed=0, rate=1e-3, images=plan.images) for cell in plan.cells]
    for name in ("steps", "batch", "seed", "data", "optimizer"):
        assert len({repr(getattr(config, name)) for config in configs}) == 1, name
    assert [config.model.method.name for config in configs] == ["occlusionformer", "none"]
    assert (plan.training_steps, plan.seeds_of(plan.cell("text"))) == (4, (0,))


def test_seeds_learn_from_other_scenes_and_rates_are_those_asked_for(tmp_path):
    plan = small(tmp_path)
    one, other = (plan.config(plan.cell("ours"), seed=seed, rate=3e-3, images=4) for seed in (0, 1))
    assert (one.seed, other.seed, one.optimizer.lr) == (0, 1, 3e-3)
    assert one.data.seed != other.data.seed


@pytest.mark.parametrize(
    "line", ["steps=5", "batch=4", "optimizer.lr=1e-4", "data.seed=3", "model.train_backbone=true", "data.count=9"]
)
def test_a_cell_may_not_have_another_budget_or_other_data(tmp_path, line):
    text = SMALL.replace('name = "text"', f'name = "text"\nsettings = ["{line}"]')
    (problem,) = problems_of(tmp_path, text)
    assert problem.startswith("cells[1].settings: expected settings that start with model.method., objective. or ")
    assert repr(line)[1:-1] in problem


@pytest.mark.parametrize("line", ["steps=5", "optimizer.lr=1e-4", "seed=4", "model.init_from=packaged"])
def test_settings_of_all_cells_leave_the_plan_its_own(tmp_path, line):
    problems = problems_of(tmp_path, SMALL.replace("settings = [\n", f'settings = [\n    "{line}",\n'))
    assert [problem for problem in problems if problem.startswith("settings[0]: expected none that the plan decides")]


def test_everything_wrong_is_told_at_once(tmp_path):
    text = (
        SMALL.replace('reference = "ours"', 'reference = "mine"')
        .replace("images = {images}", "images = 7")
        .replace('"world-complex"', '"world-hard"')
        .replace('method = "none"', 'method = "nothing"')
        .replace("seeds = 1", "seeds = 9")
        .replace('name = "ours"', 'name = "Ours!"')
    )
    found = "\n".join(problems_of(tmp_path, text))
    for said in (
        "reference: expected Ours! or text, got 'mine'",
        "images: expected a multiple of batch, 2, got 7",
        "benchmarks[1]: ",
        "cells[1].method: expected ",
        "cells[0].name: expected small letters, digits, - and _, got 'Ours!'",
    ):
        assert said in found


@pytest.mark.parametrize(("other", "problem"), [("nobody", "expected ours, got 'nobody'"), ("text", "expected ours")])
def test_a_rate_comes_from_a_cell_that_searches(tmp_path, other, problem):
    """Not from the cell itself either."""
    (found,) = problems_of(tmp_path, SMALL.replace('name = "text"', f'name = "text"\nrate_of = "{other}"'))
    assert found.startswith(f"cells[1].rate_of: {problem}")


def test_fields_have_types_and_unknown_ones_are_refused(tmp_path):
    found = "\n".join(problems_of(tmp_path, SMALL.replace("batch = 2", "batch = 0\ncolour = 3")))
    assert "batch: " in found
    assert "colour: " in found


def test_a_setting_that_no_method_has_is_refused(tmp_path):
    text = SMALL.replace('name = "text"', 'name = "text"\nsettings = ["model.method.densitty=static"]')
    (problem,) = problems_of(tmp_path, text)
    assert problem.startswith("cells[1]: ")
    assert "densitty" in problem


def test_a_frozen_backbone_has_to_come_from_somewhere(tmp_path):
    (problem,) = problems_of(tmp_path, SMALL.replace("trains_backbone = true", "trains_backbone = false", 1))
    assert problem == "cells[0].trains_backbone: expected true where the plan has no backbone, got false"
    (problem,) = problems_of(tmp_path, f'backbone = "weights"\n{SMALL}')
    assert problem.startswith("backbone: expected a folder with backbone.safetensors, got ")


def test_a_file_that_is_no_plan_is_refused(tmp_path):
    (tmp_path / "plan.toml").write_text("name = ")
    with pytest.raises(SettingsError, match="expected a plan in TOML"):
        read_plan(tmp_path / "plan.toml")
    with pytest.raises(SettingsError, match="expected a plan in TOML"):
        read_plan(tmp_path / "none.toml")


def test_variants_are_for_methods_without_training(tmp_path):
    text = SMALL.replace("seeds = 1", 'seeds = 1\nvariants = [["model.method.alpha=0.5"]]')
    (problem,) = problems_of(tmp_path, text)
    assert problem == "cells[1].variants: expected none for a method that is trained, got 1"
    assert set(UNTRAINED) == {"larender", "none"}
