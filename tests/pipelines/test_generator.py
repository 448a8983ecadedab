"""The generator over a pipeline: order, seeds, batches, records, interruption."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from occlusionformer.generation import (
    CanvasError,
    GenerationInterruptedError,
    GenerationRequest,
    Generator,
    read_provenance,
    request_to_repeat,
)
from occlusionformer.pipelines import PipelineGenerator, load_flux_dev, load_pipeline
from tests.pipelines.tiny import seeded, three_apart, tiny_pipeline, two_overlapping


@pytest.fixture(scope="module")
def generator(pipeline) -> PipelineGenerator:
    return PipelineGenerator(pipeline, model="tiny", batch_size=2)


def pixels(result) -> np.ndarray:
    return np.asarray(result.image).astype(int)


def assert_same_pixels(one, other):
    """One grey level of slack: batches round differently in the last bits, and pixels are rounded after that."""
    assert np.abs(pixels(one) - pixels(other)).max() <= 1


def test_it_is_a_generator(generator):
    assert isinstance(generator, Generator)
    assert generator.generate([]) == []


def test_picture_is_the_pipelines(pipeline, generator):
    request = GenerationRequest(
        layout=two_overlapping(), seed=5, steps=3, guidance=2.0, grounding_ratio=1.0, strength=0.5
    )
    [result] = generator.generate([request])
    expected = pipeline(
        layout=two_overlapping(), generator=seeded(5), num_inference_steps=3, guidance_scale=2.0, grounding_ratio=1.0,
        strength=0.5,
    ).images[0]  # fmt: skip
    np.testing.assert_array_equal(np.asarray(result.image), np.asarray(expected))


def test_canvases_that_are_no_multiple_of_a_token(generator):
    odd = two_overlapping(width=100, height=70)
    with pytest.raises(CanvasError, match=r"^width: expected a multiple of 16, got 100; the nearest is 96\nheight: "):
        generator.generate([GenerationRequest(layout=two_overlapping(), seed=1), GenerationRequest(layout=odd, seed=1)])
    [rounded, given] = generator.generate(
        [
            GenerationRequest(layout=odd, seed=1, nearest_size=True, want_masks=True),
            GenerationRequest(layout=odd, seed=1, width=96, height=64),
        ]
    )
    assert rounded.image.size == (96, 64)
    assert (rounded.provenance["width"], rounded.provenance["height"]) == (96, 64)
    assert rounded.instance_masks[0].shape == (64, 96)
    np.testing.assert_array_equal(np.asarray(rounded.image), np.asarray(given.image))
    assert request_to_repeat(rounded.provenance).canvas == (96, 64)


def test_company_does_not_change_a_picture(generator):
    requests = [
        GenerationRequest(layout=two_overlapping("cat"), seed=1),
        GenerationRequest(layout=three_apart(), seed=2, want_masks=True),
        GenerationRequest(layout=two_overlapping("dog"), seed=3, steps=2),
        GenerationRequest(layout=two_overlapping("dog"), seed=4),
        GenerationRequest(layout=two_overlapping("cat"), seed=5),
        GenerationRequest(layout=two_overlapping(width=64), seed=1),
    ]
    together = generator.generate(requests)
    for request, result in zip(requests, together, strict=True):
        assert (result.image.width, result.image.height) == request.canvas
        assert result.provenance["seed"] == request.seed
        [alone] = generator.generate([request])
        assert_same_pixels(result, alone)


def test_only_requests_of_one_kind_are_batched(pipeline, monkeypatch):
    sizes = []
    call = type(pipeline).__call__

    def counted(self, **arguments):
        sizes.append((arguments["width"], arguments["num_inference_steps"], len(arguments["layout"])))
        return call(self, **arguments)

    monkeypatch.setattr(type(pipeline), "__call__", counted)
    requests = [GenerationRequest(layout=two_overlapping(), seed=n) for n in range(5)]
    requests.insert(1, GenerationRequest(layout=two_overlapping(), steps=2, seed=9))
    requests.insert(3, GenerationRequest(layout=two_overlapping(), width=64, seed=9))
    PipelineGenerator(pipeline, model="tiny", batch_size=3).generate(requests)
    assert sizes == [(96, 4, 3), (96, 4, 2), (96, 2, 1), (64, 4, 1)]


def test_maps_come_one_per_instance_where_asked(generator):
    plain, full = generator.generate(
        [
            GenerationRequest(layout=three_apart(), seed=1),
            GenerationRequest(layout=three_apart(), seed=1, want_masks=True, want_weights=True),
        ]
    )
    assert plain.instance_masks is plain.weights is None
    assert [mask.shape for mask in full.instance_masks] == [(64, 96)] * 3
    assert [weights.shape for weights in full.weights] == [(4, 6)] * 3


def test_seed_is_the_requests_then_the_layouts_then_a_fresh_one(generator):
    layout = two_overlapping(seed=11)
    results = generator.generate(
        [
            GenerationRequest(layout=layout, seed=0),
            GenerationRequest(layout=layout),
            GenerationRequest(layout=two_overlapping()),
            GenerationRequest(layout=two_overlapping()),
        ]
    )
    seeds = [result.provenance["seed"] for result in results]
    assert seeds[:2] == [0, 11]
    assert seeds[2] != seeds[3]


def test_record_repeats_the_picture(generator, tmp_path):
    request = GenerationRequest(layout=two_overlapping(), steps=3, grounding_ratio=0.7, strength=0.8)
    [result] = generator.generate([request])
    path = tmp_path / "picture.png"
    result.save(path)
    record = read_provenance(path)
    assert record == result.provenance
    [again] = generator.generate([request_to_repeat(record)])
    np.testing.assert_array_equal(pixels(again), pixels(result))


def test_record_names_every_setting(generator, pipeline):
    [result] = generator.generate([GenerationRequest(layout=two_overlapping(), seed=1)])
    record = result.provenance
    assert (record["model"], record["prompt"]) == ("tiny", "a garden, a red cat, a blue dog")
    assert (record["width"], record["height"], record["steps"]) == (96, 64, 4)
    assert (record["guidance"], record["grounding_ratio"], record["strength"]) == (3.5, 0.5, 1.0)
    assert (record["device"], record["dtype"]) == ("cpu", "float32")
    assert record["versions"]["torch"] == torch.__version__


def test_timings_add_up(generator):
    [result] = generator.generate([GenerationRequest(layout=two_overlapping(), seed=1)])
    timings = dict(result.timings)
    total = timings.pop("total")
    assert all(seconds > 0 for seconds in timings.values())
    assert sum(timings.values()) == pytest.approx(total, rel=1e-3)


def test_steps_are_counted_over_all_batches(generator):
    seen = []
    generator.generate(
        [GenerationRequest(layout=two_overlapping(), seed=n, steps=2) for n in range(3)],
        on_step=lambda step, total: seen.append((step, total)),
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("last", [1, 3])
def test_stopping_hands_out_nothing(generator, last):
    seen = []

    def stop(step, total):
        seen.append(step)
        return step < last

    with pytest.raises(GenerationInterruptedError, match=f"after step {last} of 4") as caught:
        generator.generate(
            [GenerationRequest(layout=two_overlapping(), seed=n, steps=2) for n in range(3)], on_step=stop
        )
    assert (caught.value.step, caught.value.total) == (last, 4)
    assert seen == list(range(1, last + 1))


def test_batch_size_is_checked(pipeline):
    with pytest.raises(ValueError, match="batch_size: expected at least 1, got 0"):
        PipelineGenerator(pipeline, model="tiny", batch_size=0)


def test_folder_is_opened(tmp_path):
    original = tiny_pipeline()
    original.save_pretrained(tmp_path)
    loaded = load_pipeline(str(tmp_path))
    request = GenerationRequest(layout=two_overlapping(), seed=1)
    [result], [expected] = loaded.generate([request]), PipelineGenerator(original, model="tiny").generate([request])
    if result.provenance["dtype"] == "float32":
        assert_same_pixels(result, expected)
    assert result.provenance["model"] == str(tmp_path)


def test_folder_without_a_pipeline_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"model: expected a folder with a model_index\.json, got"):
        load_pipeline(str(tmp_path))
    with pytest.raises(ValueError, match="got None"):
        load_pipeline(None)


def test_flux_dev_needs_a_checkpoint():
    with pytest.raises(ValueError, match="expected flux-dev:CHECKPOINT"):
        load_flux_dev(None)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_flux_dev("nowhere")
