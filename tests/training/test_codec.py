"""The autoencoder has FLUX.1's latent geometry, learns, and its runs resume to the same bits."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from occlusionformer.data.world.artwork import world_art
from occlusionformer.data.world.scenes import WorldSpec, make_scene
from occlusionformer.embedded.autoencoder import (
    SceneAutoencoder,
    grid_loss,
    peak_signal_to_noise,
    steepness_loss,
    with_pixel_channels,
)
from occlusionformer.embedded.packaged import EMBEDDED
from occlusionformer.tensors.files import CheckpointError
from occlusionformer.training import CodecConfig, SettingsError, override, recipe
from occlusionformer.training.codec import CodecTrainer, DrawnLatents, as_pixels, rate_at, starting_model

SMALL = CodecConfig(
    steps=12, batch=2, crop=32, max_instances=2, save_every=4, report_every=6, probe_scenes=1, lr=3e-3, warmup=2
)


def trained(folder, config=SMALL, resume=False):
    trainer = CodecTrainer(config, folder, resume=resume)
    reports = {}
    result = trainer.run(lambda step, figures: reports.update({step: figures}))
    return trainer, reports, result


def stopped_and_resumed(folder, config, last):
    """The trainer of a run that was told to stop in one of its steps, and went on."""
    first = CodecTrainer(config, folder)
    crops = first.crops

    def stopping(step):
        first.stopping = step == last
        return crops(step)

    first.crops = stopping
    assert first.run(lambda step, figures: None).reason == "stopped"
    assert first.step == last + 1
    return trained(folder, config, resume=True)[0]


def test_latents_have_the_geometry_of_flux():
    torch.manual_seed(0)
    codec = SceneAutoencoder()
    latents = codec.encode(torch.zeros(2, 3, 192, 320)).latent_dist.mode()
    assert latents.shape == (2, 16, 24, 40)
    assert codec.decode(latents).sample.shape == (2, 3, 192, 320)
    assert sum(parameter.numel() for parameter in codec.parameters()) * 2 < 5e6
    with pytest.raises(ValueError, match="multiples of 8, got 100 and 64"):
        codec.encode(torch.zeros(1, 3, 100, 64))


def test_a_saved_codec_is_the_same_codec(tmp_path):
    codec = SceneAutoencoder(scaling_factor=0.9, shift_factor=0.1)
    codec.save_pretrained(tmp_path)
    again = SceneAutoencoder.from_pretrained(tmp_path)
    pixels = torch.rand(1, 3, 32, 32) * 2 - 1
    assert torch.equal(codec(pixels), again(pixels))
    assert (again.config.scaling_factor, again.config.shift_factor) == (0.9, 0.1)


@pytest.mark.slow
def test_it_learns_and_what_is_exported_has_unit_latents(tmp_path):
    trainer, reports, result = trained(tmp_path, SMALL.model_copy(update={"steps": 40, "report_every": 20}))
    assert result.reason == "finished"
    assert reports[40]["loss"] < 0.8 * reports[20]["loss"]
    exported = SceneAutoencoder.from_pretrained(tmp_path / "export")
    stored = load_file(tmp_path / "export" / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    crops = torch.cat([trainer.crops(number) for number in range(900, 930)])
    latents = exported.encode(crops).latent_dist.mode().detach()
    scaled = (latents - exported.config.shift_factor) * exported.config.scaling_factor
    assert float(scaled.std()) == pytest.approx(1, abs=0.35)
    assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [20, 40]


def test_a_stopped_run_resumes_to_the_same_bits(tmp_path):
    whole, _, _ = trained(tmp_path / "whole")
    second = stopped_and_resumed(tmp_path / "parts", SMALL, last=6)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
        assert torch.equal(whole.average[name], second.average[name]), name


def test_a_folder_with_a_run_is_refused_unless_it_is_resumed_with_its_settings(tmp_path):
    trained(tmp_path, SMALL.model_copy(update={"steps": 4}))
    with pytest.raises(SettingsError, match="expected a folder without checkpoints, or resume"):
        CodecTrainer(SMALL, tmp_path)
    with pytest.raises(SettingsError, match="crop: expected 32 as in the checkpoint, got 64"):
        CodecTrainer(SMALL.model_copy(update={"steps": 4, "crop": 64}), tmp_path, resume=True)


def pairs_file(folder, count=3, side=64):
    """Pictures that are plain but for an edge, and latents that are not those of the packaged encoder."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.zeros(count, side, side, 3, dtype=torch.uint8)
    pictures[:, :, side // 2 :] = 255
    latents = torch.randn(count, 16, side // 8, side // 8, generator=generator).half()
    save_file({"latents": latents, "pictures": pictures}, folder / "pairs.safetensors")
    return folder / "pairs.safetensors"


def test_drawn_latents_train_the_decoder_alone_and_runs_resume_to_the_same_bits(tmp_path):
    changes = {"trained": "decoder", "pairs": pairs_file(tmp_path), "init_from": EMBEDDED.codec, "steps": 6}
    config = SMALL.model_copy(update=changes)
    whole, _, _ = trained(tmp_path / "whole", config)
    before = SceneAutoencoder.from_pretrained(EMBEDDED.codec).float().state_dict()
    after = whole.model.state_dict()
    assert {name.split(".")[0] for name in after if not torch.equal(after[name], before[name])} == {"decoder"}
    exported, packaged = (
        SceneAutoencoder.from_pretrained(at).config for at in (whole.folder / "export", EMBEDDED.codec)
    )
    assert exported.scaling_factor == packaged.scaling_factor
    assert exported.shift_factor == packaged.shift_factor
    second = stopped_and_resumed(tmp_path / "parts", config, last=3)
    assert all(torch.equal(after[name], value) for name, value in second.model.state_dict().items())


def test_crops_of_drawn_latents_lie_under_their_pixels(tmp_path):
    path = pairs_file(tmp_path)
    stored = load_file(path)
    where = torch.arange(8 * 8).view(1, 1, 8, 8).expand(3, 16, 8, 8).half()
    pixels = where[:, 0].repeat_interleave(8, 1).repeat_interleave(8, 2)[..., None].expand(3, 64, 64, 3)
    save_file(stored | {"latents": where.contiguous(), "pictures": pixels.to(torch.uint8).contiguous()}, path)
    latents, pictures = DrawnLatents.read(path, 24).crops(np.random.default_rng(0), 5, 24)
    assert latents.shape == (5, 16, 3, 3)
    assert pictures.shape == (5, 3, 24, 24)
    assert torch.allclose((pictures[:, 0, ::8, ::8] + 1) * 127.5, latents[:, 0], atol=1e-3)


def test_pairs_of_other_shapes_are_refused(tmp_path):
    path = pairs_file(tmp_path)
    save_file({"latents": torch.zeros(2, 16, 4, 4), "pictures": torch.zeros(2, 32, 40, 3)}, path)
    with pytest.raises(CheckpointError, match=r"expected latents \(N, 16, h, w\) and pictures .*\(2, 32, 40, 3\)"):
        DrawnLatents.read(path, 32)
    with pytest.raises(CheckpointError, match="of 128 pixels a side or more"):
        DrawnLatents.read(pairs_file(tmp_path), 128)
    with pytest.raises(SettingsError, match="trained: expected decoder with pairs, whose latents are fixed, got all"):
        override(recipe("codec"), [f"pairs={path}"])
    with pytest.raises(SettingsError, match="init_from: expected the autoencoder whose decoder is trained, got null"):
        override(recipe("codec"), ["trained=decoder"])


def test_steepness_asks_for_strong_edges_wherever_they_lie():
    truth, moved, soft = torch.zeros(3, 1, 3, 33, 33)
    truth[..., 10:] = 1
    moved[..., 11:] = 1
    soft[..., 10:] = 0.5
    soft[..., 11:] = 1
    assert float(steepness_loss(truth, truth)) == 0
    assert float(steepness_loss(moved, truth)) < 0.2 * float(steepness_loss(soft, truth))


def test_the_rate_rises_stays_and_falls():
    config = CodecConfig(steps=100, warmup=9, decay_share=0.5)
    assert [round(rate_at(step, config), 2) for step in (0, 9, 30, 50, 75, 99)] == [0.1, 1, 1, 1, 0.5, 0.02]


def test_psnr():
    truth = torch.zeros(1, 3, 4, 4)
    assert peak_signal_to_noise(truth + 0.02, truth) == pytest.approx(40)


def test_the_recipe_takes_settings_by_name():
    assert override(recipe("codec"), ["steps=5", "precision=bf16"]).steps == 5
    with pytest.raises(SettingsError, match="stepz: unknown setting"):
        override(recipe("codec"), ["stepz=5"])


def test_the_packaged_autoencoder_keeps_what_scenes_look_like():
    """Held-out scenes; the decoder's log says 33.53 dB for these 8: it gave up 1.5 dB for edges in drawn pictures."""
    codec = SceneAutoencoder.from_pretrained(EMBEDDED.codec).float()
    assert (EMBEDDED.codec / "diffusion_pytorch_model.safetensors").stat().st_size < 5e6
    spec = WorldSpec(max_instances=10, pairs="any", wordings="any", colours="any")
    scenes = [make_scene(number, seed=1_000_003, spec=spec, art=world_art()).image for number in range(8)]
    pixels = as_pixels(np.stack(scenes))
    with torch.no_grad():
        latents = codec.encode(pixels).latent_dist.mode()
        found = codec.decode(latents).sample
    scaled = (latents - codec.config.shift_factor) * codec.config.scaling_factor
    assert float(scaled.std()) == pytest.approx(1, abs=0.1)
    each = [peak_signal_to_noise(one, same) for one, same in zip(found, pixels, strict=True)]
    assert sum(each) / len(each) > 33.4
    assert min(each) > 28.5


# Edges that lie on the decoder's own grid


def edges(*columns):
    """A picture of 64 x 64 pixels that is dark to the left and bright to the right of every column in turn."""
    pixels = torch.full((1, 3, 64, 64), -1.0)
    for number, column in enumerate(columns):
        pixels[..., column:] = 1.0 if number % 2 == 0 else -1.0
    return pixels


def test_edges_that_moved_onto_the_grid_are_told_from_those_that_moved_as_they_may():
    columns = (1, 10, 19, 28, 37, 46, 55)
    truth, moved = edges(*columns), edges(*(column + 1 for column in columns))
    on_the_grid = edges(*(8 * round(column / 8) for column in columns))
    assert float(grid_loss(truth, truth)) == 0
    assert 0 < float(grid_loss(moved, truth)) < 0.3 * float(grid_loss(on_the_grid, truth))
    turned = (on_the_grid.transpose(2, 3), truth.transpose(2, 3))
    assert float(grid_loss(*turned)) == pytest.approx(float(grid_loss(on_the_grid, truth)))


# Channels at the size of the picture


def test_channels_at_full_size_begin_as_the_same_decoder_and_learn_across_its_cells(tmp_path):
    plain = SceneAutoencoder()
    wider = with_pixel_channels(plain, 12)
    latents = torch.randn(1, 16, 4, 4)
    assert torch.equal(wider.decode(latents).sample, plain.decode(latents).sample)
    assert wider.config.pixel_channels == 12
    config = SMALL.model_copy(update={"pixel_channels": 5, "trained": "decoder", "init_from": tmp_path / "codec"})
    plain.save_pretrained(tmp_path / "codec")
    whole, _, _ = trained(tmp_path / "whole", config)
    second = stopped_and_resumed(tmp_path / "parts", config, last=3)
    after = whole.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in second.model.state_dict().items())
    exported = SceneAutoencoder.from_pretrained(tmp_path / "whole" / "export")
    assert exported.config.pixel_channels == 5
    assert exported.decoder[-1].weight.shape == (3, 5, 1, 1)
    assert exported.decoder[-2].second.weight.abs().max() > 0


def test_pairs_and_the_lines_of_the_grid_train_in_bf16_too(tmp_path):
    changes = {"trained": "decoder", "pairs": pairs_file(tmp_path), "init_from": EMBEDDED.codec, "precision": "bf16"}
    config = SMALL.model_copy(update=changes | {"steps": 2, "report_every": 1, "grid_weight": 6.0})
    _, reports, result = trained(tmp_path / "run", config)
    assert result.reason == "finished"
    assert all(np.isfinite(figures["loss"]) for figures in reports.values())


def test_other_channels_than_an_autoencoder_has_are_refused(tmp_path):
    SceneAutoencoder(pixel_channels=4).save_pretrained(tmp_path)
    assert starting_model(tmp_path).config.pixel_channels == 4
    with pytest.raises(CheckpointError, match="pixel_channels: expected 4, as the autoencoder has, got 8"):
        starting_model(tmp_path, 8)
    with pytest.raises(ValueError, match="pixel_channels: expected 0 or at least 3, got 2"):
        SceneAutoencoder(pixel_channels=2)
    with pytest.raises(SettingsError, match="pixel_channels: expected 0, or 3 or more for the colours, got 2"):
        override(recipe("codec"), ["pixel_channels=2"])


def test_a_checkpoint_with_channels_at_full_size_is_a_start(tmp_path):
    trained(tmp_path, SMALL.model_copy(update={"steps": 4, "pixel_channels": 4}))
    assert starting_model(tmp_path / "checkpoints" / "step-000000004").config.pixel_channels == 4
