"""Fair shares of the queue, of the workers, of what is kept and of the server."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from occlusionformer.apps.studio import service
from occlusionformer.apps.studio.errors import ApiError
from occlusionformer.apps.studio.finished_jobs import FinishedJobs, Retention
from occlusionformer.apps.studio.job import Job, JobResult
from occlusionformer.apps.studio.passwords import new_token
from occlusionformer.apps.studio.rates import Rates
from occlusionformer.apps.studio.shares import Concurrency, FairQueue, Turns
from tests.apps.studio.conftest import UNLIMITED
from tests.apps.studio.fake import FakeGenerator, fruit
from tests.tables import for_each


def job(client: str, num_bytes: int = 0) -> Job:
    made = Job(request=None, model="m", owner=client, client=client)
    made.result = JobResult(pictures=(), instance_ids=(), timings={}, num_bytes=num_bytes)
    return made


@pytest.fixture
def crowd(serve, tmp_path):
    """Start a studio with users; their clients, by name, and what lets the device go on."""
    go = threading.Event()
    opened: list[httpx.Client] = []

    def start(*names: str, **config: object) -> tuple[dict[str, httpx.Client], threading.Event]:
        tokens = {name: new_token(name) for name in names}
        path = tmp_path / "users"
        path.write_text("\n".join(entry.line() for _, entry in tokens.values()))
        path.chmod(0o600)
        generator = FakeGenerator(before_step=lambda step: go.wait(20))
        studio = serve(generator, host="0.0.0.0", auth_file=path, **config)
        for token, _ in tokens.values():
            opened.append(httpx.Client(base_url=studio.url, headers={"Authorization": f"Bearer {token}"}, timeout=30))
        return dict(zip(names, opened, strict=True)), go

    yield start
    go.set()
    for client in opened:
        client.close()


def post(client: httpx.Client, seed: int = 1) -> httpx.Response:
    return client.post("/api/generate", json={"layout": fruit(seed)})


@pytest.mark.parametrize("rates", [UNLIMITED, Rates()], ids=["at any rate", "at the rates of a server"])
def test_60_posts_of_one_user_leave_room_for_another(crowd, rates):
    clients, go = crowd("ada", "bob", "eve", rates=rates)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda seed: post(clients["ada"], seed), range(60)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} == {202, 429}
    assert 8 <= 60 - len(refused) <= 9, "half of the sixteen places, and the device"
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert {answer.json()["code"] for answer in refused} <= {"queue_full", "rate_limited"}
    others = [post(clients[name]) for name in ("bob", "eve")]
    assert [answer.status_code for answer in others] == [202, 202]
    assert [answer.json()["position"] for answer in others] == [2, 3], "next after one of ada's, in turns"
    go.set()


def test_what_is_refused_says_why(crowd):
    clients, _ = crowd("ada", "bob", max_queue=4)
    for _ in range(3):
        assert post(clients["ada"]).status_code == 202
        time.sleep(0.1)  # the device takes the first
    answer = post(clients["ada"])
    assert answer.json() == {
        "problems": [
            {"field": "", "message": "expected a queue with more free places (2 of 4) than you hold (2)"},
        ],
        "code": "queue_full",
    }  # fmt: skip
    assert post(clients["bob"]).status_code == 202
    answer = post(clients["bob"])
    message = "expected a queue with more free places (1 of 4) than you hold (1)"
    assert answer.json()["problems"] == [{"field": "", "message": message}]


def test_clients_take_turns_and_their_own_jobs_keep_their_order():
    queue = FairQueue(100)
    jobs = {name: job(name[0]) for name in ("a1", "a2", "a3", "b1", "c1", "b2")}
    for each in jobs.values():
        queue.add(each)
    order = ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert list(queue) == [jobs[name] for name in order]
    drawn = []
    while len(queue):
        expected = list(queue)
        drawn.append(queue.pop())
        assert drawn[-1] is expected[0]
        assert list(queue) == expected[1:], "what was told of the order before holds"
    assert drawn == [jobs[name] for name in order]


def test_a_job_that_leaves_makes_room():
    queue = FairQueue(4)
    first, second = job("a"), job("a")
    queue.add(first)
    assert queue.problem("a") is None
    queue.add(second)
    assert queue.problem("a") == "expected a queue with more free places (2 of 4) than you hold (2)"
    queue.remove(first)
    assert first not in queue
    assert second in queue
    assert queue.problem("a") is None
    for client in ("b", "c", "d"):
        assert queue.problem(client) is None
        queue.add(job(client))
    assert queue.problem("e") == "expected fewer than 4 jobs waiting"


@for_each("capacity", range(1, 20))
def test_whoever_comes_first_finds_a_place_unless_all_are_taken_by_different_clients(capacity):
    """However much the others ask for before."""
    queue = FairQueue(capacity)
    for client in range(capacity):
        assert queue.problem(str(client)) is None or len(queue) == capacity
        while queue.problem(str(client)) is None:
            queue.add(job(str(client)))
    assert len(queue) == capacity


def test_the_oldest_of_whoever_has_most_is_forgotten_first():
    kept = FinishedJobs(Retention(jobs=4, num_bytes=100))
    bob = job("bob", 10)
    kept.add(bob)
    ada = [job("ada", 20) for _ in range(9)]
    for each in ada:
        kept.add(each)
    assert kept.get(bob.id) is bob
    assert [kept.get(each.id) is not None for each in ada] == [False] * 6 + [True] * 3
    large = job("eve", 75)
    kept.add(large)
    assert kept.get(large.id) is large
    assert kept.get(bob.id) is bob
    assert kept.num_bytes <= 100


def test_a_client_waits_for_its_own_work_and_not_for_that_of_another():
    async def main() -> list[str]:
        turns, ended, go = Turns(workers=2), [], asyncio.Event()

        async def work(client: str, *, waits: bool = True) -> None:
            async with turns.turn(client):
                if waits:
                    await go.wait()
                ended.append(client)

        many = [asyncio.create_task(work("ada")) for _ in range(20)]
        await asyncio.sleep(0)
        await asyncio.wait_for(work("bob", waits=False), 1)
        go.set()
        await asyncio.gather(*many)
        assert not turns._own, "nothing is kept of clients that want nothing"
        return ended

    assert asyncio.run(main()) == ["bob"] + ["ada"] * 20


def test_checking_many_layouts_holds_nobody_up(crowd, monkeypatch):
    go = threading.Event()
    check = service.check_layout

    def slow_check(layout, limits):
        assert layout["prompt"] != "slow" or go.wait(20)
        return check(layout, limits)

    monkeypatch.setattr(service, "check_layout", slow_check)
    clients, _ = crowd("ada", "bob")
    with ThreadPoolExecutor(8) as pool:
        slow = [
            pool.submit(clients["ada"].post, "/api/validate", json={"layout": fruit(prompt="slow")}) for _ in range(8)
        ]
        time.sleep(0.3)
        assert clients["bob"].post("/api/validate", json={"layout": fruit()}, timeout=5).json()["valid"]
        assert not any(each.done() for each in slow)
        go.set()
        assert all(each.result().json()["valid"] for each in slow)


def test_requests_at_one_time_are_bounded_by_client_and_in_all():
    now = Concurrency(most=3, most_of_one=2)
    with now.one_more("ada"), now.one_more("ada"):
        with pytest.raises(ApiError, match="expected at most 2 requests of one user at one time") as refused:
            now.one_more("ada").__enter__()
        assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "2"})
        with now.one_more("bob"):
            with pytest.raises(ApiError, match="expected at most 3 requests at one time") as refused:
                now.one_more("eve").__enter__()
            assert (refused.value.status, refused.value.code) == (503, "busy")
        with now.one_more("eve"):
            pass
    with now.one_more("ada"):
        pass


def test_open_event_streams_of_one_user_leave_the_server_to_others(crowd):
    clients, go = crowd("ada", "bob")
    started = post(clients["ada"]).json()["job"]
    refused = []

    async def listen_and_ask() -> None:
        limits = httpx.Limits(max_connections=200)
        headers = clients["ada"].headers
        async with httpx.AsyncClient(base_url=clients["ada"].base_url, headers=headers, limits=limits) as many:
            requests = [many.build_request("GET", f"/api/jobs/{started}/events") for _ in range(70)]
            streams = await asyncio.gather(*(many.send(request, stream=True) for request in requests))
            refused.extend(stream for stream in streams if stream.status_code == 429)
            answer = await asyncio.to_thread(clients["bob"].get, "/api/health")
            assert answer.status_code == 200
            for stream in streams:
                await stream.aclose()

    asyncio.run(listen_and_ask())
    assert len(refused) == 6
    assert {answer.headers["retry-after"] for answer in refused} == {"2"}
    go.set()
