"""Every method trains by the one trainer: a few steps of the small model, exactly resumed, drawn from what is left."""

from __future__ import annotations

import json

import pytest
import torch

from occlusionformer.embedded.generator import load_embedded
from occlusionformer.generation import GenerationRequest, compose_prompt
from occlusionformer.layout import Box, FrontToBack, Instance, Layout
from occlusionformer.methods.registry import OURS
from occlusionformer.training import SettingsError, override, recipe
from occlusionformer.training.method_settings import SETTINGS_OF
from occlusionformer.training.sampler import Draw
from occlusionformer.training.trainer import Trainer

from .runs import QUIET, tiny_trainer

LAYOUT = Layout(
    prompt="a plain blue background",
    width=128,
    height=128,
    instances=(
        Instance(id="a", caption="a cat", box=Box(0.1, 0.1, 0.6, 0.6)),
        Instance(id="b", caption="a vase", box=Box(0.3, 0.3, 0.9, 0.9)),
    ),
    order=FrontToBack(front_to_back=("a", "b")),
)
SMALL = (*QUIET, "steps=4", "batch=2", "saving.every=2", "execution.workers=0", "data.world.max_instances=3")


def embedded(name: str, *assignments: str):
    return override(recipe("embedded"), (f"model.method={name}", *SMALL, *assignments))


def test_there_are_settings_for_every_method():
    assert sorted(SETTINGS_OF) == sorted(OURS)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(OURS))
def test_a_method_trains_resumes_exactly_and_is_drawn(name, tmp_path):
    config = embedded(name)
    whole = Trainer(config, tmp_path / "whole")
    whole.run()
    first = Trainer(config, tmp_path / "parts")
    loader = first._loader()
    assert loader is not None
    first.run(lambda step, figures: None) if False else _until(first, 2)
    second = Trainer(config, tmp_path / "parts", resume=True)
    assert second.step == 2
    second.run()
    for key, value in whole.parameters.items():
        assert torch.equal(value, second.parameters[key]), key
    line = json.loads((tmp_path / "whole" / "log.jsonl").read_text().splitlines()[0])
    assert line["flow"] > 0
    drawer = load_embedded(str(tmp_path / "whole"))
    assert drawer.pipeline.branch.name == name
    picture = drawer.generate([GenerationRequest(layout=LAYOUT, steps=1, seed=1)])[0]
    assert picture.image.size == (128, 128)


def _until(trainer: Trainer, steps: int) -> None:
    """Stop as a signal would, after so many steps."""
    take = trainer._take_step

    def counting(*arguments) -> None:
        trainer.stopping = trainer.step == steps - 1
        take(*arguments)

    trainer._take_step = counting
    trainer.run()
    assert trainer.step == steps


def test_a_method_with_nothing_to_train_over_a_frozen_backbone_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="expected something to train, got method larender over a frozen backbone"):
        tiny_trainer(tmp_path, "model.method=larender")


def test_a_method_is_chosen_by_name_and_its_settings_after_it():
    config = override(recipe("embedded"), ["model.method=eligen", "model.method.rank=8"])
    assert (config.model.method.name, config.model.method.rank) == ("eligen", 8)
    with pytest.raises(SettingsError) as refused:
        override(recipe("embedded"), ["model.method=magic", "model.method.rank=8"])
    assert refused.value.problems[0].startswith(
        "model.method: expected occlusionformer, instanceassemble, creatilayout"
    )


def test_prompts_name_instances_where_that_is_asked_for_or_nothing_else_tells_them(tmp_path):
    named = "model.captions_in_prompt=true"
    for lines, expected in [
        (("none",), True), (("gligen",), False), (("gligen", named), True), (("occlusionformer", named), True)
    ]:  # fmt: skip
        trainer = Trainer(embedded(*lines), tmp_path / "-".join(lines))
        item = trainer.examples[Draw(index=0, ordinal=0, canvas=(128, 128))]
        assert item.prompt == compose_prompt(item.layout, captions=expected), lines
        assert trainer.pipeline.config.captions_in_prompt is expected
    with pytest.raises(SettingsError, match="captions_in_prompt: expected null for family tiny, got true"):
        override(recipe("overfit"), [named])


def test_a_fresh_method_starts_over_the_packaged_backbone(tmp_path):
    start = ("model.looks_placed=true", "model.init_from=packaged", "model.init_parts=backbone")
    config = embedded("gligen", *start, "model.train_backbone=false")
    trainer = Trainer(config, tmp_path)
    assert all(name.startswith("branch.") for name in trainer.parameters)
    packaged = load_embedded(None).pipeline.transformer.state_dict()
    for key, value in trainer.pipeline.transformer.state_dict().items():
        assert torch.equal(value, packaged[key]), key
    trainer.run()
    assert not (tmp_path / "backbone.safetensors").exists()
    assert load_embedded(str(tmp_path)).pipeline.branch.name == "gligen"


def test_pure_noise_hidden_weight_and_likeness_change_what_is_learned(tmp_path):
    losses = {}
    for setting in ("objective.pure_noise=0", "objective.pure_noise=1", "objective.hidden_weight=5",
                    "objective.least_likeness=0.2"):  # fmt: skip
        trainer = tiny_trainer(tmp_path / setting, setting)
        torch.manual_seed(0)
        torch.nn.init.normal_(trainer.pipeline.branch.dual["0"].project.weight, std=0.1)
        part = trainer.examples.collate([trainer.examples[draw] for draw in trainer.data.draws[:4]])
        inputs = trainer.inputs(part)
        losses[setting] = trainer.objective(inputs)[0].sum().item()
        if setting.endswith("noise=1"):
            assert inputs.time_B.tolist() == [1.0] * 4
    assert len(set(losses.values())) == len(losses)


def test_what_is_exported_is_between_averages_and_last_weights(tmp_path):
    for share in (0.0, 0.5, 1.0):
        trainer = tiny_trainer(tmp_path / str(share), f"saving.last_share={share}")
        trainer.run()
        branch = type(trainer.pipeline.branch).from_pretrained(tmp_path / str(share) / "branch")
        name = "branch.embedder.text_in.weight"
        expected = torch.lerp(trainer.average.values[name], trainer.parameters[name].detach(), share)
        torch.testing.assert_close(branch.embedder.text_in.weight, expected)
