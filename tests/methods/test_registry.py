"""Methods by name."""

from importlib.metadata import EntryPoint

import pytest

from occlusionformer.methods import registry
from occlusionformer.methods.none import NoLayout
from occlusionformer.methods.registry import OURS, UnknownMethodError, method_class, method_names


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_name_leads_to_a_method_that_calls_itself_so(name):
    assert method_class(name).name == name


def offered(monkeypatch, *entries: EntryPoint) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: list(entries))


def test_an_unknown_name_is_told_the_known_ones(monkeypatch):
    offered(monkeypatch)
    with pytest.raises(
        UnknownMethodError, match=rf"method: expected one of \({', '.join(sorted(OURS))}\), got 'magic'"
    ):
        method_class("magic")


def test_other_packages_may_add_theirs(monkeypatch):
    offered(
        monkeypatch,
        EntryPoint("theirs", "occlusionformer.methods.none:NoLayout", registry.ENTRY_POINT_GROUP),
        EntryPoint("wrong", "occlusionformer.methods.registry:OURS", registry.ENTRY_POINT_GROUP),
        EntryPoint("none", "elsewhere:Nothing", registry.ENTRY_POINT_GROUP),
    )
    assert method_names() == sorted({*OURS, "theirs", "wrong"})
    assert method_class("theirs") is NoLayout
    with pytest.raises(TypeError, match=r"method: entry point 'wrong' names .*, which is no Method"):
        method_class("wrong")
    with pytest.raises(ValueError, match=r"method: expected one package to offer 'none', got elsewhere:Nothing, "):
        method_class("none")
