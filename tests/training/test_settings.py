"""Settings are typed, everything wrong with them is said at once, and every recipe is a whole run."""

from __future__ import annotations

import inspect

import pytest

from occlusionformer.training import RECIPES, SettingsError, config_of_json, override, recipe
from tests.tables import for_each

RECIPE = for_each("name", RECIPES)


@RECIPE
def test_a_recipe_survives_being_written_down(name: str):
    config = recipe(name)
    assert config_of_json(config.model_dump_json(), type(config)) == config
    assert config.recipe == name


@RECIPE
def test_a_recipe_says_what_it_needs_and_what_to_expect(name: str):
    text = inspect.getdoc(RECIPES[name])
    assert "Hardware:" in text
    assert "Expected" in text
    assert any(unit in text for unit in ("Hours:", "Minutes:", "Seconds:"))


def test_the_paper_recipe_has_the_papers_numbers():
    config = recipe("paper")
    assert (config.steps, config.batch, config.model.method.lora_rank) == (200_000, 16, 4)
    assert (config.optimizer.lr, config.objective.align_weight, config.model.train_backbone) == (1e-4, 0.5, False)


def test_values_take_the_type_of_their_setting():
    config = override(
        recipe("embedded"),
        [
            "optimizer.lr=1e-3", "optimizer.name=muon", "logging.trackers=[]", "data.world.max_instances=12",
            "model.train_backbone=false", "optimizer.betas=[0.8, 0.9]", "data.cache=somewhere", "data.dropped_layout=0",
            "data.count=10", "steps=7",
        ],
    )  # fmt: skip
    assert config.optimizer.lr == 1e-3
    assert config.optimizer.betas == (0.8, 0.9)
    assert config.data.world.max_instances == 12
    assert str(config.data.cache) == "somewhere"
    assert (config.steps, config.model.train_backbone, config.logging.trackers) == (7, False, ())


def test_everything_wrong_is_said_at_once():
    wrong = [
        "optimizer.lr=fast",
        "optimizer.betas=0.9",
        "batch=0",
        "steps=1.5",
        "data.extent=both",
        "data.bogus=1",
        "nothing.at.all=1",
        "optimizer=adamw",
        "model.train_backbone",
        "model.base=folder",
        "data.world.min_instances=90",
    ]
    with pytest.raises(SettingsError) as caught:
        override(recipe("embedded"), wrong)
    named = {problem.split(":")[0] for problem in caught.value.problems}
    assert named == {
        "optimizer.lr", "optimizer.betas", "batch", "steps", "data.extent", "data.bogus", "nothing.at.all",
        "optimizer", "--set", "model.base", "data.world.min_instances",
    }  # fmt: skip
    assert "optimizer.lr: expected a number, got 'fast'" in caught.value.problems
    assert "batch: expected at least 1, got 0" in caught.value.problems


def test_an_unknown_recipe_is_refused_with_the_known_ones():
    known = "paper, embedded, embedded-finetune, embedded-backbone, overfit or codec"
    with pytest.raises(SettingsError, match=f"recipe: expected {known}, got 'x'"):
        recipe("x")
