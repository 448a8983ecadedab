"""Many clients at once before one studio: no lost request, no mixed-up picture, no growing memory.

    python benchmarks/studio_load.py --clients 50 --seconds 120

starts a studio in a process of its own, draws a few pictures alone, then lets the clients ask for the same ones all at
once and compares every pixel. Prints one JSON value; exit code 1 where anything was lost, wrong or grew.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

CANCELLED_SHARE = 0.1
"""Of the jobs that were let in."""

LONGEST_PAUSE = 1.0
"""Seconds; clients come back sooner than Retry-After asks, to keep the line full."""

ALLOWED_GROWTH = 0.05
"""Of the server's memory between the middle and the end of the run."""


@dataclass(frozen=True)
class Order:
    """What a client asks for, and the picture it has to get."""

    body: dict[str, Any]
    pixels: NDArray[np.uint8]


@dataclass
class Tally:
    """How the requests ended."""

    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """From the request to the picture, of the jobs that were done."""

    def as_json(self) -> dict[str, Any]:
        waits = sorted(self.seconds) or [0.0]
        return {
            "ends": dict(sorted(self.ends.items())),
            "wrong": self.wrong[:10],
            "lost": self.lost[:10],
            "median_seconds": round(waits[len(waits) // 2], 3),
            "slowest_seconds": round(waits[-1], 3),
        }


def pixels_of(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


async def load(url: str, orders: Sequence[Order], *, clients: int, seconds: float, seed: int = 0) -> Tally:
    """Every client asks, again and again; each request is followed to its end."""
    tally = Tally()
    end = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
        await asyncio.gather(
            *(_one_client(client, orders, tally, end, random.Random(f"{seed} {number}")) for number in range(clients))
        )
    return tally


async def _one_client(
    client: httpx.AsyncClient, orders: Sequence[Order], tally: Tally, end: float, chance: random.Random
) -> None:
    while time.monotonic() < end:
        order = chance.choice(orders)
        try:
            tally.ends[await _one_request(client, order, tally, chance)] += 1
        except (httpx.HTTPError, KeyError, ValueError) as error:
            tally.ends["lost"] += 1
            tally.lost.append(f"{type(error).__name__}: {error}")


async def _one_request(client: httpx.AsyncClient, order: Order, tally: Tally, chance: random.Random) -> str:
    start = time.monotonic()
    answer = await client.post("/api/generate", json=order.body)
    if answer.status_code == 429:
        pause = min(float(answer.headers["Retry-After"]), LONGEST_PAUSE)
        await asyncio.sleep(pause * chance.uniform(0.5, 1.0))
        return f"refused: {answer.json()['code']}"
    answer.raise_for_status()
    job = answer.json()["job"]
    if chance.random() < CANCELLED_SHARE:
        await asyncio.sleep(chance.uniform(0, 0.5))
        (await client.post(f"/api/jobs/{job}/cancel")).raise_for_status()
    last, value = await _last_event(client, job)
    if last == "done":
        tally.seconds.append(time.monotonic() - start)
        [image] = value["images"]
        png = (await client.get(image["png"])).raise_for_status().content
        if image["seed"] != order.body["seed"] or not np.array_equal(pixels_of(png), order.pixels):
            tally.wrong.append(f"job {job}: asked for seed {order.body['seed']}, got seed {image['seed']}")
    elif last != "cancelled":
        raise ValueError(f"job {job} ended in {last}: {value}")
    return last


async def _last_event(client: httpx.AsyncClient, job: str) -> tuple[str, dict[str, Any]]:
    name, value = "", "{}"
    async with client.stream("GET", f"/api/jobs/{job}/events") as stream:
        stream.raise_for_status()
        async for line in stream.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                value = line.removeprefix("data: ")
    return name, json.loads(value)


def orders_drawn_alone(url: str, layouts: Sequence[dict[str, Any]], *, each: int, steps: int) -> list[Order]:
    """Pictures drawn one after the other, with nobody else there."""
    orders = []
    with httpx.Client(base_url=url, timeout=600) as client:
        for number, layout in enumerate(layout for layout in layouts for _ in range(each)):
            body = {"layout": layout, "seed": 1000 + number, "steps": steps, "preview_every": 2, "want_masks": True}
            job = client.post("/api/generate", json=body).raise_for_status().json()["job"]
            client.get(f"/api/jobs/{job}/events").raise_for_status()
            png = client.get(f"/api/jobs/{job}/images/0.png").raise_for_status().content
            orders.append(Order(body, pixels_of(png)))
    return orders


async def memory_while(pid: int, work: asyncio.Task[Tally]) -> list[float]:
    """Resident megabytes of a process, every second until the work is done."""
    found = []
    while not work.done():
        status = Path(f"/proc/{pid}/status").read_text()
        found.append(int(status.partition("VmRSS:")[2].split()[0]) / 1024)
        await asyncio.wait([work], timeout=1.0)
    return found


def serve(model: str, address: Connection) -> None:
    """A studio without a rate limit: all clients come from one address here."""
    from occlusionformer.apps.studio.rates import Rate, Rates
    from occlusionformer.apps.studio.server import StudioConfig, StudioServer, build_studio

    unlimited = Rates(generate=Rate(1e9, 1e9), compute=Rate(1e9, 1e9), read=Rate(1e9, 1e9))
    server = StudioServer(build_studio(StudioConfig(models=(model,), port=0, rates=unlimited)))
    address.send(server.address)
    server.run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--steps", type=int, default=4)
    asked = parser.parse_args()
    layouts = [
        json.loads(path.read_text()) for path in (Path("examples/two-fruits.json"), Path("examples/three-animals.json"))
    ]
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    server = context.Process(target=serve, args=(asked.model, theirs))
    server.start()
    try:
        url = mine.recv()
        orders = orders_drawn_alone(url, layouts, each=8, steps=asked.steps)
        tally, memory = asyncio.run(_measured(url, orders, server.pid, asked))
    finally:
        server.terminate()
        server.join()
    middle, last = memory[len(memory) // 2], memory[-1]
    told = {**tally.as_json(), "memory_mb": {"start": memory[0], "middle": middle, "end": last, "most": max(memory)}}
    sys.stdout.write(json.dumps(told, indent=2) + "\n")
    sys.exit(1 if tally.wrong or tally.lost or last > middle * (1 + ALLOWED_GROWTH) else 0)


async def _measured(
    url: str, orders: Sequence[Order], pid: int | None, asked: argparse.Namespace
) -> tuple[Tally, list[float]]:
    assert pid is not None
    work = asyncio.create_task(load(url, orders, clients=asked.clients, seconds=asked.seconds))
    memory = await memory_while(pid, work)
    return await work, memory


if __name__ == "__main__":
    main()
