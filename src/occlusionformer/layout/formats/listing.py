"""Formats whose list of boxes is the order: which end is in front, and how an order becomes a list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from occlusionformer.layout.formats.draft import Draft
from occlusionformer.layout.formats.format import ListOrder
from occlusionformer.layout.problems import LayoutError, Problem, one_of, shown
from occlusionformer.layout.schema import FrontToBack, Layout
from occlusionformer.layout.zorder import ZOrderCycle

LIST_ORDERS: tuple[ListOrder, ...] = ("back-to-front", "front-to-back", "none")


def back_to_front(layout: Layout) -> Sequence[int]:
    """The places of the instances from the farthest to the nearest, as a list that is an order has to have them.

    Instances that the order leaves open stay as they are listed; relations that loop are taken out as `cycles="break"`
    does, and without an order the instances stay as they are. `losses` tells what that changed.
    """
    count = len(layout.instances)
    order, zorder = layout.order, layout.zorder
    if zorder is None:
        return range(count)
    if isinstance(order, FrontToBack) and len(order.front_to_back) == count:
        places = {instance.id: place for place, instance in enumerate(layout.instances)}
        return [places[name] for name in reversed(order.front_to_back)]
    try:
        return zorder.back_to_front()
    except ZOrderCycle:
        return zorder.broken()[0].back_to_front()


def front_to_back(layout: Layout) -> Sequence[int]:
    """The places of the instances from the nearest to the farthest."""
    return back_to_front(layout)[::-1]


def written_in(layout: Layout, list_order: ListOrder) -> Sequence[int]:
    """The places of the instances in the order of a list: as they are where its places mean nothing."""
    if list_order == "none":
        return range(len(layout.instances))
    return back_to_front(layout) if list_order == "back-to-front" else front_to_back(layout)


def declare_list(draft: Draft, list_order: ListOrder) -> None:
    """The order of a draft whose instances stand in a list. Fewer than two have nothing to be said about them."""
    count = len(draft.instances)
    if list_order != "none" and count > 1:
        places = range(count)
        draft.front_to_back = places if list_order == "front-to-back" else places[::-1]


def declare_heights(draft: Draft, heights: Iterable[float], list_order: ListOrder) -> None:
    """The order of a draft with a height for every instance, the higher the nearer; equal ones go by the list."""
    ranked = list(heights)
    if list_order == "none":
        draft.depths = {place: 0.0 - height for place, height in enumerate(ranked)}
    elif len(ranked) > 1:
        step = 1 if list_order == "back-to-front" else -1
        draft.front_to_back = sorted(range(len(ranked)), key=lambda place: (ranked[place], step * place), reverse=True)


def checked_list_order(value: object, default: ListOrder = "back-to-front") -> ListOrder:
    """One of LIST_ORDERS, the default for None. Raises LayoutError."""
    if value is None:
        return default
    for known in LIST_ORDERS:
        if value == known:
            return known
    raise LayoutError([Problem(("list_order",), f"expected {one_of(LIST_ORDERS)}, got {shown(value)}")])
