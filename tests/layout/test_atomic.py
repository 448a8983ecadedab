"""Files are written whole or not at all."""

from __future__ import annotations

import os

import pytest

from occlusionformer.layout import atomic, write_atomic


def test_text_and_bytes_are_written_as_they_are(tmp_path):
    write_atomic(tmp_path / "text", "a café\r\n")
    write_atomic(str(tmp_path / "bytes"), b"\x00\xff\n")
    assert (tmp_path / "text").read_bytes() == "a café\r\n".encode()
    assert (tmp_path / "bytes").read_bytes() == b"\x00\xff\n"
    assert sorted(os.listdir(tmp_path)) == ["bytes", "text"]


def test_a_failure_keeps_the_old_file_and_leaves_no_other(tmp_path, monkeypatch):
    file = tmp_path / "layout.json"
    file.write_text("old")

    def full_disk(descriptor):
        raise OSError("no space left")

    monkeypatch.setattr(atomic.os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_atomic(file, "new")
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["layout.json"]


def test_nothing_is_written_into_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "none" / "file", "new")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")
def test_permissions_stay_and_links_are_followed(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    write_atomic(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "other").touch()
    write_atomic(tmp_path / "file", "new")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_long_names_are_written(tmp_path):
    name = "é" * 120
    write_atomic(tmp_path / name, "new")
    assert os.listdir(tmp_path) == [name]
