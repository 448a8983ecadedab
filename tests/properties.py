"""How many examples a property is tried with: all of them in `make test-all`, three in ten in the quick tests."""

from __future__ import annotations

from hypothesis import settings

ALL = 100
QUICK = 30

# Machines that share their cores are no reason to fail: no example has a time limit.
settings.register_profile("all", deadline=None, max_examples=ALL)
settings.register_profile("quick", deadline=None, max_examples=QUICK)


def load(markers: str) -> None:
    """Choose by the expression that chooses the tests. Properties without a number of their own follow it too."""
    settings.load_profile("quick" if "not slow" in markers else "all")


def examples(number: int) -> settings:
    """As `settings(max_examples=number)`, for a property that is worth more examples than others, or fewer."""
    return settings(max_examples=max(1, number * settings.default.max_examples // ALL))
