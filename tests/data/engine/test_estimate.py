"""Estimates: every number with its reason, and none where nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from occlusionformer.data.engine.estimate import amount_of, estimate, known_costs, totals
from occlusionformer.data.engine.models.registry import BUILT_IN
from occlusionformer.data.engine.plan import parse_plan, read_plan
from occlusionformer.data.engine.sources import make_source

PLANS = Path(__file__).parents[3] / "examples" / "plans"


def test_sa_z_is_millions_of_reconstructions():
    plan = read_plan(PLANS / "sa-z.yaml")
    amount = amount_of(plan, None)
    assert (amount.pictures, amount.instances) == (1_000_000, 5_690_000)
    assert amount.pairs == round(5_690_000 * 4.69 / 2)
    lines = {line.stage: line for line in estimate(plan, amount)}
    assert lines["amodal"].hours == pytest.approx(5_690_000 * 10 / 3600)
    assert lines["caption"].hours == pytest.approx(5_690_000 * 0.24 / 3600)
    assert lines["write"].gigabytes == pytest.approx(1010.5 + 5_690_000 * 3700 / 1e9)
    assert {line.shards for line in lines.values()} == {2000}
    assert totals(list(lines.values()))["unknown"] == []


def test_what_is_not_known_is_said():
    plan = parse_plan(
        {
            "name": "train",
            "source": {"kind": "scenes", "seed": 1, "count": 40, "size": 64},
            "stages": [{"stage": "caption", "model": "recorded:file"}, {"stage": "filter"}],
        }
    )
    amount = amount_of(plan, make_source(plan.source, Path()))
    assert amount.pictures == 40
    assert 2 * 40 <= amount.instances <= 6 * 40
    lines = estimate(plan, amount)
    assert [line.stage for line in lines] == ["load", "caption", "filter", "write"]
    assert lines[1].hours is None
    assert totals(lines)["unknown"] == ["caption by recorded"]


def test_every_cost_has_a_reason_and_is_of_a_model_there_is():
    for cost in known_costs():
        assert cost.basis in ("measured", "cited", "computed")
        assert len(cost.source) > 20
        assert cost.model in {"", "instaorder", *BUILT_IN}
        assert cost.seconds > 0
