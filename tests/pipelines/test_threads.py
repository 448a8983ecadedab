"""Threads that share a loaded generator draw what one after the other draws."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from occlusionformer.embedded.generator import load_embedded
from occlusionformer.generation import GenerationRequest
from occlusionformer.pipelines import PipelineGenerator
from tests.pipelines.tiny import tiny_pipeline, two_overlapping

THREADS = 4


def requests(thread: int) -> list[GenerationRequest]:
    """Different numbers of steps, ratios and sizes, so that threads would get in each other's way."""
    return [
        GenerationRequest(
            layout=two_overlapping("cat" if thread % 2 else "dog", width=64 + 16 * thread),
            seed=10 * thread + number,
            steps=2 + (thread + number) % 4,
            grounding_ratio=0.25 * (1 + thread % 4),
            want_masks=thread == 1,
        )
        for number in range(3)
    ]


def pixels(results) -> list[np.ndarray]:
    return [np.asarray(result.image) for result in results]


def drawn_at_once(generators: list[PipelineGenerator]) -> list[list[np.ndarray]]:
    """By a thread each, all begun together."""
    start = threading.Barrier(len(generators))

    def draw(thread: int) -> list[np.ndarray]:
        start.wait()
        return pixels(generators[thread].generate(requests(thread)))

    with ThreadPoolExecutor(len(generators)) as pool:
        return list(pool.map(draw, range(len(generators))))


def assert_equal(found: list[list[np.ndarray]], expected: list[list[np.ndarray]]) -> None:
    for one, other in zip(found, expected, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_threads_with_one_generator():
    generator = PipelineGenerator(tiny_pipeline(), model="tiny")
    expected = [pixels(generator.generate(requests(thread))) for thread in range(THREADS)]
    assert_equal(drawn_at_once([generator] * THREADS), expected)


def test_threads_with_generators_over_one_pipeline():
    pipeline = tiny_pipeline()
    expected = [pixels(PipelineGenerator(pipeline, model="a").generate(requests(thread))) for thread in range(THREADS)]
    assert_equal(drawn_at_once([PipelineGenerator(pipeline, model=str(n)) for n in range(THREADS)]), expected)


def test_two_threads_with_the_embedded_model():
    generator = load_embedded(None)
    expected = [pixels(generator.generate(requests(thread))) for thread in range(2)]
    assert_equal(drawn_at_once([generator] * 2), expected)


def test_threads_that_load():
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(load_embedded, [None, None])
    assert_equal([pixels(first.generate(requests(0)))], [pixels(second.generate(requests(0)))])


def test_a_thread_whose_call_fails_lets_the_others_on():
    generator = PipelineGenerator(tiny_pipeline(), model="tiny")

    def fail(step: int, total: int) -> bool:
        raise KeyError(step)

    with pytest.raises(KeyError):
        generator.generate(requests(0), on_step=fail)
    assert len(drawn_at_once([generator] * 2)) == 2


def test_a_call_from_its_own_callback_is_an_error_instead_of_a_standstill():
    generator = PipelineGenerator(tiny_pipeline(), model="tiny")
    with pytest.raises(RuntimeError, match="generate: called from a callback of a call that is in progress"):
        generator.generate(requests(0), on_step=lambda step, total: bool(generator.generate(requests(1))))
