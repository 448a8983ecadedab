"""Limits on a single request, checked before any costly work begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from occlusionformer.apps.studio.errors import ApiError, FieldProblem
from occlusionformer.layout import Layout


@dataclass(frozen=True, kw_only=True)
class StudioLimits:
    """Sizes in pixels, characters and bytes, times in seconds."""

    images: int = 4
    steps: int = 100
    instances: int = 64
    """The published demo stops at 50."""
    side: int = 2048
    pixels: int = 2 * 1024 * 1024
    """FLUX was trained on up to two million pixels."""
    mask_pixels: int = 2**26
    """Over all instances and pictures of a job; each takes 4 bytes of memory."""
    caption_characters: int = 500
    prompt_characters: int = 2000
    body_bytes: int = 1024 * 1024
    """A layout of 64 instances with captions of full length takes 50 kB; run-length masks take the rest."""
    values: int = 20_000
    """Objects, lists, and their items in a body."""
    depth: int = 32
    """Levels of objects and lists in a body; a layout has seven."""
    job_seconds: int = 1800
    """For drawing a job, checked after every step."""
    body_seconds: float = 10.0
    """For receiving a body."""

    def as_json(self) -> dict[str, int]:
        names = (
            "images", "steps", "instances", "side", "pixels", "mask_pixels", "caption_characters", "prompt_characters",
            "body_bytes", "values", "depth", "job_seconds",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def check_count(self, layout: Any, field: str) -> None:
        """Refuse a layout with too many instances before it is parsed."""
        instances = layout.get("instances") if isinstance(layout, dict) else None
        if isinstance(instances, list) and len(instances) > self.instances:
            text = f"expected at most {self.instances}, got {len(instances)}"
            raise ApiError("invalid", [FieldProblem(f"{field}.instances", text)])

    def layout_problems(self, layout: Layout, field: str) -> list[FieldProblem]:
        """Problems of a layout that exceeds the limits."""
        found = [
            *_at_most(f"{field}.instances", len(layout.instances), self.instances, ""),
            *_at_most(f"{field}.width", layout.width, self.side, " pixels"),
            *_at_most(f"{field}.height", layout.height, self.side, " pixels"),
            *_at_most(f"{field}.prompt", len(layout.prompt), self.prompt_characters, " characters"),
        ]
        for place, instance in enumerate(layout.instances[: self.instances]):
            where = f"{field}.instances[{place}]"
            for name, text in (("id", instance.id), ("caption", instance.caption), ("category", instance.category)):
                found += _at_most(f"{where}.{name}", len(text or ""), self.caption_characters, " characters")
        if not found:
            found += _at_most(field, layout.width * layout.height, self.pixels, " pixels in all")
        return found


def _at_most(field: str, amount: int, most: int, unit: str) -> list[FieldProblem]:
    return [FieldProblem(field, f"expected at most {most}{unit}, got {amount}")] if amount > most else []
