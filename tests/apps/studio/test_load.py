"""Many clients at once, by the same script that measures the full load."""

from __future__ import annotations

import asyncio
import tracemalloc

from benchmarks.studio_load import Order, load
from occlusionformer.apps.studio.finished_jobs import Retention
from occlusionformer.layout import Layout
from tests.apps.studio.fake import FakeGenerator, fruit, pixels_for

CLIENTS = 10
SECONDS = 5.0


def orders(count: int) -> list[Order]:
    found = []
    for seed in range(count):
        layout = fruit(prompt=f"background {seed % 3}")
        body = {"layout": layout, "seed": seed, "preview_every": 1, "want_masks": True, "want_weights": True}
        found.append(Order(body, pixels_for(Layout.model_validate(layout), seed)))
    return found


def test_ten_clients_lose_and_mix_up_nothing(serve):
    generator = FakeGenerator(seconds_per_step=0.002)
    studio = serve(generator, max_queue=4)
    tally = asyncio.run(load(studio.url, orders(20), clients=CLIENTS, seconds=SECONDS))
    assert (tally.wrong, tally.lost) == ([], [])
    assert set(tally.ends) <= {"done", "cancelled", "refused: queue_full"}
    assert tally.ends["done"] > 20
    assert generator.most_at_once == 1
    counts = studio.client.get("/api/health").json()["queue"]
    assert (counts["running"], counts["waiting"]) == (0, 0)


def test_memory_is_bounded_by_what_is_kept(serve):
    """After the archive is full, jobs leave nothing behind."""
    studio = serve(retention=Retention(jobs=8))

    def draw(count: int) -> int:
        for seed in range(count):
            studio.draw(layout=fruit(seed), want_masks=True, preview_every=1)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        draw(9)
        before = draw(1)
        after = draw(9)
    finally:
        tracemalloc.stop()
    assert after - before < 200_000  # a picture with its masks takes ten thousand bytes
    assert studio.studio.queue.kept_bytes < 8 * 12_000
