"""Picture prompts of an IP-adapter beside layouts: as in FluxPipeline, and every picture its own."""

from __future__ import annotations

import pytest
import torch

from occlusionformer.pipelines import OcclusionFormerPipeline
from tests.pipelines.tiny import seeded, stock_pipeline, three_apart, tiny_pipeline, two_overlapping

EMBED = 5
CALL = {"height": 64, "width": 96, "num_inference_steps": 2, "max_sequence_length": 24, "output_type": "pt"}


@pytest.fixture(scope="module")
def adapted() -> OcclusionFormerPipeline:
    """A pipeline whose transformer has a tiny IP-adapter of random weights."""
    pipeline = tiny_pipeline()
    noise = torch.Generator().manual_seed(4)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=noise) * 0.5

    keys = {}
    for block in range(2):
        for name in ("to_k_ip", "to_v_ip"):
            keys[f"{block}.{name}.weight"], keys[f"{block}.{name}.bias"] = random(32, 32), random(32)
    projection = {"proj.weight": random(4 * 32, EMBED), "proj.bias": random(4 * 32)}
    projection |= {"norm.weight": torch.ones(32), "norm.bias": torch.zeros(32)}
    pipeline.transformer._load_ip_adapter_weights([{"image_proj": projection, "ip_adapter": keys}])
    return pipeline


def pictures(*seeds: int) -> list[torch.Tensor]:
    """Embeddings of one picture a prompt."""
    rows = [torch.randn(1, EMBED, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return [torch.stack(rows)]


def test_without_a_layout_it_is_flux_pipeline(adapted):
    given = {"ip_adapter_image_embeds": pictures(1), "negative_ip_adapter_image_embeds": pictures(2)}
    arguments = {"prompt": "a red cat", "guidance_scale": 3.5, **CALL, **given}
    expected = stock_pipeline(adapted)(**arguments, generator=seeded(0)).images
    assert torch.equal(adapted(**arguments, generator=seeded(0)).images, expected)
    other = adapted(**{**arguments, "ip_adapter_image_embeds": pictures(3)}, generator=seeded(0)).images
    assert (other - expected).abs().max() > 1e-4


def test_every_picture_of_a_batch_follows_its_own_prompt_picture(adapted):
    """Given to the transformer; FluxPipeline's own argument shows every picture all of them."""
    layouts = [None, two_overlapping(), three_apart()]
    prompts = ["a garden", "a kitchen", "a table"]

    def drawn(indices: list[int], *seeds: int) -> torch.Tensor:
        return adapted(
            [prompts[index] for index in indices], layout=[layouts[index] for index in indices], **CALL,
            joint_attention_kwargs={"ip_adapter_image_embeds": pictures(*seeds)}, grounding_ratio=1.0,
            generator=seeded(*indices),
        ).images  # fmt: skip

    before, after = drawn([0, 1, 2], 1, 2, 3), drawn([0, 1, 2], 1, 4, 3)
    assert torch.equal(before[[0, 2]], after[[0, 2]])
    assert (before[1] - after[1]).abs().max() > 1e-4
    for index, seed in enumerate((1, 2, 3)):
        torch.testing.assert_close(before[index], drawn([index], seed)[0], atol=1e-5, rtol=0)


def test_embeddings_given_to_the_transformer_are_those_of_the_argument(adapted):
    extra = {"ip_adapter_image_embeds": pictures(1), "scale": 1.0}
    before = dict(extra)
    given = adapted(
        "a garden", layout=two_overlapping(), **CALL, joint_attention_kwargs=extra, generator=seeded(0)
    ).images
    named = adapted(
        "a garden", layout=two_overlapping(), **CALL, ip_adapter_image_embeds=pictures(1),
        negative_ip_adapter_image_embeds=pictures(9), generator=seeded(0),
    ).images  # fmt: skip
    assert torch.equal(given, named)
    assert extra == before
