"""Passwords, rates and the archive, by themselves."""

from __future__ import annotations

import base64
import subprocess
import sys

import pytest

from occlusionformer.apps.studio.catalogue import Catalogue, public_name
from occlusionformer.apps.studio.finished_jobs import FinishedJobs, Retention
from occlusionformer.apps.studio.job import Job, Result
from occlusionformer.apps.studio.passwords import AuthFileError, Authority, hash_password, new_token, read_auth_file
from occlusionformer.apps.studio.rates import Rate, RateLimiter, Rates


def basic(name: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


def test_passwords_are_kept_hashed_and_salted():
    one, other = hash_password("ada", "correct horse"), hash_password("ada", "correct horse")
    assert one.digest != other.digest
    assert "horse" not in one.line()
    assert one.fits("correct horse")
    assert not one.fits("correct hors")


def test_an_authority_remembers_what_was_right_and_nothing_else():
    authority = Authority([hash_password("ada", "päss:word")])
    header = basic("ada", "päss:word")
    assert authority.remembers(header) is None
    assert authority.name_of(header) == "ada"
    assert authority.remembers(header) == "ada"
    assert authority.name_of(basic("ada", "päss")) is None
    assert authority.remembers(basic("ada", "päss")) is None


def test_a_user_may_have_a_password_and_tokens(tmp_path):
    (token, entry), (second, other) = new_token("ada"), new_token("ada")
    lines = [hash_password("ada", "a password").line(), entry.line(), other.line()]
    (tmp_path / "users").write_text("\n".join(lines))
    authority = read_auth_file(tmp_path / "users")
    headers = [f"Bearer {token}", f"bearer {second}", basic("ada", "a password")]
    assert [authority.name_of(header) for header in headers] == ["ada"] * 3


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["expected at least one"]),
        ("ada:correct horse", ["line 1"]),
        ("# comment\nada:scrypt:00:11\nada:md5:00", ["line 2", "line 3"]),
        (":sha256:" + "00" * 32, ["line 1"]),
    ],
)
def test_auth_files_are_refused_with_every_wrong_line(tmp_path, text, problems):
    (tmp_path / "users").write_text(text)
    with pytest.raises(AuthFileError) as refused:
        read_auth_file(tmp_path / "users")
    assert len(refused.value.problems) == len(problems)
    for told, expected in zip(refused.value.problems, problems, strict=True):
        assert expected in told


def test_a_name_has_one_password(tmp_path):
    (tmp_path / "users").write_text("\n".join(hash_password("ada", word).line() for word in ("first one", "second")))
    with pytest.raises(AuthFileError, match="expected every name once, got 'ada' again"):
        read_auth_file(tmp_path / "users")


def test_the_printed_line_opens(tmp_path):
    command = [sys.executable, "-m", "occlusionformer.apps.studio.passwords", "ada", "--token"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (tmp_path / "users").write_text(done.stdout)
    token = done.stderr.split()[-1]
    assert read_auth_file(tmp_path / "users").name_of(f"Bearer {token}") == "ada"
    assert token not in done.stdout


def test_buckets_fill_again_with_time():
    now = 0.0
    limiter = RateLimiter(Rates(read=Rate(2, 0.5)), clock=lambda: now)
    assert [limiter.take("ada", "read") for _ in range(3)] == [0, 0, 2.0]
    assert limiter.take("bob", "read") == 0
    assert limiter.take("ada", "generate") == 0
    now = 1.0
    assert limiter.take("ada", "read") == 1.0
    now = 2.0
    assert limiter.waiting("ada", "read") == 0
    assert [limiter.take("ada", "read") for _ in range(2)] == [0, 2.0]
    now = 1000.0
    assert [limiter.take("ada", "read") for _ in range(3)] == [0, 0, 2.0]


def test_only_so_many_clients_are_remembered():
    limiter = RateLimiter(Rates(read=Rate(1, 0.001)), most_clients=3, clock=lambda: 0.0)
    for client in "abcd":
        limiter.take(client, "read")
    assert [limiter.take(client, "read") > 0 for client in "dcb"] == [True, True, True]
    assert limiter.take("a", "read") == 0


def done_job(num_bytes: int) -> Job:
    job = Job(request=None, model="m", owner="")
    job.result = Result(pictures=(), instance_ids=(), timings={}, num_bytes=num_bytes)
    return job


def test_the_oldest_results_go_first():
    now = 0.0
    archive = FinishedJobs(Retention(jobs=3, num_bytes=100, seconds=10), clock=lambda: now)
    jobs = [done_job(30) for _ in range(4)]
    for job in jobs:
        archive.add(job)
    assert [archive.get(job.id) is job for job in jobs] == [False, True, True, True]
    large = done_job(95)
    archive.add(large)
    assert (len(archive), archive.num_bytes) == (1, 95)
    huge = done_job(500)
    archive.add(huge)
    assert (len(archive), archive.num_bytes, archive.get(huge.id)) == (1, 500, huge)
    now = 4.0
    assert archive.expires_in(huge.id) == 6.0
    now = 11.0
    assert archive.get(huge.id) is None
    assert archive.num_bytes == 0


def test_ids_cannot_be_guessed():
    ids = {Job(request=None, model="m", owner="").id for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(name) for name in ids} == {22}


def test_models_are_named_without_their_place(tmp_path):
    folder = tmp_path / "my-model"
    folder.mkdir()
    assert public_name(str(folder)) == "my-model"
    assert public_name("flux-dev:/home/ada/branch") == "flux-dev"
    assert public_name("embedded") == "embedded"
    with pytest.raises(ValueError, match="names that differ"):
        Catalogue([str(folder), str(folder)])
