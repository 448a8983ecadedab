"""Passwords and tokens: kept hashed, counted before they are hashed, and right ones never locked out by wrong ones."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import re
import stat
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from occlusionformer.apps.studio.authority import Authority
from occlusionformer.apps.studio.passwords import add_line, hash_password, new_token
from occlusionformer.apps.studio.rates import Rate, Rates
from occlusionformer.apps.studio.sign_in import network_of
from occlusionformer.apps.studio.users_file import AuthFileError, read_users_file
from tests.apps.studio.conftest import UNLIMITED
from tests.apps.studio.sockets import answers_to, get
from tests.tables import for_each

PASSWORDS = {"ada": "correct horse", "bob": "battery staple"}


def basic(name: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def users(tmp_path_factory) -> Path:
    lines = [hash_password(*each).line() for each in PASSWORDS.items()]
    return written(tmp_path_factory.mktemp("auth") / "users", "\n".join(lines))


@pytest.fixture
def hashed(monkeypatch) -> list[bytes]:
    """Every password that is hashed."""
    seen: list[bytes] = []
    scrypt = hashlib.scrypt

    def watched(password, **options):
        seen.append(password)
        return scrypt(password, **options)

    monkeypatch.setattr(hashlib, "scrypt", watched)
    return seen


def health(url: str, authorization: str, **headers: str) -> bytes:
    return get(url, "/api/health", Authorization=authorization, **headers)


def test_passwords_are_kept_hashed_and_salted():
    one, other = hash_password("ada", "correct horse"), hash_password("ada", "correct horse")
    assert one.digest != other.digest
    assert "horse" not in one.line()
    assert one.fits("correct horse")
    assert not one.fits("correct hors")


def test_what_was_right_or_wrong_is_remembered_and_nothing_else():
    authority = Authority([hash_password("ada", "päss:word")])
    right, wrong = basic("ada", "päss:word"), basic("ada", "päss")
    assert authority.remembered(right) is None
    credential = authority.credential(right)
    assert (credential.name, credential.is_slow) == ("ada", True)
    assert authority.check(credential)
    assert authority.remembered(right) == "ada"
    assert not authority.check(authority.credential(wrong))
    assert authority.remembered(wrong) is None
    assert authority.credential(wrong) is None
    assert "päss" not in repr(credential)


def test_a_user_may_have_a_password_and_tokens(tmp_path):
    (token, entry), (second, other) = new_token("ada"), new_token("ada")
    lines = [hash_password("ada", "a password").line(), entry.line(), other.line()]
    authority = Authority(read_users_file(written(tmp_path / "users", "\n".join(lines))))
    found = [authority.credential(each) for each in (f"Bearer {token}", f"bearer {second}", basic("ada", "a password"))]
    assert [(each.name, authority.check(each)) for each in found] == [("ada", True)] * 3


@for_each("header", ["Basic ====", "Basic YWRh", "Bearer", "Digest x", "Basic " + "A" * 2000, "x"])
def test_headers_that_hold_no_credential(header):
    authority = Authority([hash_password("ada", "a password")])
    credential = authority.credential(header)
    assert credential is None or not authority.check(credential)


def flooded(url: str, names: list[str]) -> tuple[Counter[bytes], float]:
    """What 400 wrong passwords at once are answered, and the longest that ada, who is signed in, waits meanwhile."""
    guesses = [{"Authorization": basic(names[n % len(names)].format(n), f"guess {n}")} for n in range(400)]
    slowest = 0.0
    with ThreadPoolExecutor(1) as pool:
        flood = pool.submit(asyncio.run, answers_to(url, "/api/health", guesses))
        while not flood.done():
            began = time.monotonic()
            assert health(url, basic("ada", PASSWORDS["ada"])).startswith(b"HTTP/1.1 200")
            slowest = max(slowest, time.monotonic() - began)
        return Counter(answer[9:12] for answer in flood.result()), slowest


@pytest.mark.parametrize("names", [["ada"], ["nobody {}"], ["ada", "nobody {}"]], ids=["known", "unknown", "both"])
def test_400_wrong_passwords_at_once(serve, users, hashed, names):
    """At most ten are hashed, who is signed in is served, and others can sign in."""
    studio = serve(host="0.0.0.0", auth_file=users)
    assert health(studio.url, basic("ada", PASSWORDS["ada"])).startswith(b"HTTP/1.1 200")
    hashed.clear()
    codes, slowest = flooded(studio.url, names)
    assert set(codes) == {b"401", b"429"}
    assert sum(codes.values()) == 400
    assert codes[b"401"] == len(hashed) <= 10
    assert slowest < 8.0, "the bound of a quiet machine is tested apart; hashing 400 takes 20 seconds of computing"
    assert health(studio.url, basic("bob", PASSWORDS["bob"])).startswith(b"HTTP/1.1 200")


@pytest.mark.timing
def test_who_is_signed_in_waits_less_than_a_second_meanwhile(serve, users):
    studio = serve(host="0.0.0.0", auth_file=users)
    assert health(studio.url, basic("ada", PASSWORDS["ada"])).startswith(b"HTTP/1.1 200")
    assert flooded(studio.url, ["ada"])[1] < 1.0


def test_too_many_wrong_passwords_are_told_when_to_come_back(serve, users):
    studio = serve(host="0.0.0.0", auth_file=users, rates=Rates(wrong_password=Rate(2, 0.1)))
    answers = [health(studio.url, basic("bob", f"guess {n}")) for n in range(3)]
    assert [answer[9:12] for answer in answers] == [b"401", b"401", b"429"]
    assert 1 <= int(re.search(rb"\r\nretry-after: (\d+)\r\n", answers[2])[1]) <= 10, "a new guess every ten seconds"
    assert b'{"problems": [{"field": "", "message": "too many wrong passwords"}], "code": "rate_limited"}' in answers[2]


def test_a_program_with_an_old_password_locks_nobody_out(serve, users, hashed):
    """The same wrong password again and again is hashed and counted once."""
    studio = serve(host="0.0.0.0", auth_file=users)
    assert {health(studio.url, basic("ada", "last year's"))[9:12] for _ in range(50)} == {b"401"}
    assert len(hashed) - 1 == 1, "one for the names that do not exist"
    assert health(studio.url, basic("ada", PASSWORDS["ada"])).startswith(b"HTTP/1.1 200")


def test_a_right_password_sent_many_times_at_once_is_hashed_once(serve, users, hashed):
    studio = serve(host="0.0.0.0", auth_file=users)
    hashed.clear()
    headers = {"Authorization": basic("ada", PASSWORDS["ada"])}
    answers = asyncio.run(answers_to(studio.url, "/api/health", [headers] * 40))
    assert {answer[9:12] for answer in answers} == {b"200"}
    assert len(hashed) == 1


def test_wrong_passwords_count_by_address_behind_a_proxy_that_is_trusted(serve, users):
    few = Rates(wrong_password=Rate(1, 0.01))
    trusting = serve(host="0.0.0.0", auth_file=users, rates=few, proxies=("127.0.0.1",))
    assert health(trusting.url, basic("ada", "guess 1"), **{"X-Forwarded-For": "10.0.0.1"})[9:12] == b"401"
    assert health(trusting.url, basic("ada", "guess 2"), **{"X-Forwarded-For": "10.0.0.1"})[9:12] == b"429"
    assert health(trusting.url, basic("ada", "guess 2"), **{"X-Forwarded-For": "6.6.6.6, 10.0.0.1"})[9:12] == b"429"
    assert health(trusting.url, basic("ada", "guess 2"), **{"X-Forwarded-For": "10.0.0.2"})[9:12] == b"401"
    assert health(trusting.url, basic("ada", PASSWORDS["ada"]), **{"X-Forwarded-For": "10.0.0.3"})[9:12] == b"200"
    alone = serve(host="0.0.0.0", auth_file=users, rates=few)
    assert health(alone.url, basic("ada", "guess 1"), **{"X-Forwarded-For": "10.0.0.1"})[9:12] == b"401"
    assert health(alone.url, basic("ada", "guess 2"), **{"X-Forwarded-For": "10.0.0.2"})[9:12] == b"429"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
    ],
)
def test_who_has_a_whole_network_counts_once(address, network):
    assert network_of(address) == network


HELP = "expected NAME:scrypt:SALT:HASH or NAME:sha256:HASH as made by python -m occlusionformer.apps.studio.passwords"


@for_each(
    ("text", "problems"),
    [
        ("", ["auth-file: expected at least one name or token, got none"]),
        ("ada:correct horse", [f"auth-file: line 1: {HELP}"]),
        ("ada", [f"auth-file: line 1: {HELP}"]),
        (
            "# comment\nada:scrypt:00:11\n\nada:md5:00",
            [
                "auth-file: line 2: salt: expected 32 hexadecimal digits, got 2 characters",
                "auth-file: line 2: hash: expected 128 hexadecimal digits, got 2 characters",
                f"auth-file: line 4: {HELP}",
            ],
        ),
        (":sha256:" + "00" * 32, ["auth-file: line 1: expected a name in front of the first colon"]),
        ("ada:sha256:" + "0x" * 32, ["auth-file: line 1: hash: expected 64 hexadecimal digits, got other characters"]),
        ("ada:sha256:00:11", ["auth-file: line 1: expected NAME:sha256:HASH, got 2 parts after sha256"]),
    ],
)
def test_users_files_are_refused_with_everything_wrong(tmp_path, text, problems):
    with pytest.raises(AuthFileError) as refused:
        read_users_file(written(tmp_path / "users", text))
    assert refused.value.problems == problems
    assert "horse" not in str(refused.value)


def test_a_name_has_one_password(tmp_path):
    path = written(tmp_path / "users", "\n".join(hash_password("ada", word).line() for word in ("first one", "second")))
    with pytest.raises(AuthFileError, match="expected every name once, got 'ada' again"):
        read_users_file(path)


@for_each("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o666])
def test_a_users_file_that_others_can_read_or_write_is_refused(tmp_path, mode):
    path = written(tmp_path / "the users", hash_password("ada", "correct horse").line())
    path.chmod(mode)
    with pytest.raises(AuthFileError) as refused:
        read_users_file(path)
    expected = f"auth-file: expected a file for its owner alone, got mode {mode:04o}: chmod 600 '{path}'"
    assert refused.value.problems == [expected]
    path.chmod(0o400)
    assert [entry.name for entry in read_users_file(path)] == ["ada"]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "(No such file or directory)"),
        (lambda path: path.mkdir(), "(Is a directory)"),
        (lambda path: path.write_bytes(b"ada:\xff"), "expected UTF-8 text, got byte 0xff at 4 in "),
        (lambda path: path.write_bytes(b"#" * (2**20 + 1)), "expected at most 1048576 bytes, got more in "),
    ],
)
def test_what_is_no_users_file_is_named(tmp_path, make, told):
    path = tmp_path / "users"
    make(path)
    if path.is_file():
        path.chmod(0o600)
    with pytest.raises(AuthFileError) as refused:
        read_users_file(path)
    assert told in str(refused.value)
    assert repr(str(path)) in str(refused.value)


def test_the_command_makes_a_file_that_opens(tmp_path):
    path = tmp_path / "users"
    command = [sys.executable, "-m", "occlusionformer.apps.studio.passwords", "ada", "--token"]
    done = subprocess.run([*command, "--file", path], capture_output=True, text=True, check=True)
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    add_line(path, printed.stdout.strip())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    authority = Authority(read_users_file(path))
    for told in (done.stderr, printed.stderr):
        assert authority.credential(f"Bearer {told.split()[-1]}").name == "ada"
        assert told.split()[-1] not in printed.stdout
    assert done.stdout == ""


@pytest.mark.parametrize("name", ["", "a:b", " ada", "#ada", "a\nb"])
def test_names_that_a_line_cannot_hold_are_refused(name):
    command = [sys.executable, "-m", "occlusionformer.apps.studio.passwords", name, "--token"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 2
    assert "name: expected " in done.stderr


def test_a_signed_in_user_pays_nothing_again(serve, users, hashed):
    studio = serve(host="0.0.0.0", auth_file=users, rates=UNLIMITED)
    for _ in range(3):
        assert health(studio.url, basic("ada", PASSWORDS["ada"])).startswith(b"HTTP/1.1 200")
    assert hashed.count(PASSWORDS["ada"].encode()) == 1
