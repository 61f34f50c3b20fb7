import os
import socket

import pytest

from bostruct.errors import LogError
from bostruct.runtime import regular_file
from bostruct.runtime.regular_file import (
    check_folder,
    check_regular_file,
    open_regular_file,
    read_regular_file,
)


def test_a_file_is_read(tmp_path):
    file = tmp_path / "a"
    assert check_regular_file(file) is None
    file.write_bytes(b"content")
    assert check_regular_file(file).st_size == 7
    assert read_regular_file(file, 7) == b"content"
    with pytest.raises(LogError, match="a has 7 bytes, more than the 6 expected"):
        read_regular_file(file, 6)
    descriptor = open_regular_file(file, os.O_RDWR)
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def kinds(folder):
    """Make one path of each kind that is no file."""
    folder.mkdir()
    (folder / "link").symlink_to(folder / "target")
    (folder / "target").write_text("mine")
    (folder / "dangling").symlink_to(folder / "nowhere")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    server = socket.socket(socket.AF_UNIX)
    server.bind(os.path.relpath(folder / "socket"))
    server.close()
    (folder / "device").symlink_to("/dev/zero")
    return {
        "link": "a link",
        "dangling": "a link",
        "folder": "a folder",
        "pipe": "a pipe",
        "socket": "a socket",
        "device": "a link",
    }


def test_what_is_no_file_is_refused_at_once(tmp_path):
    for name, kind in kinds(tmp_path / "x").items():
        path = tmp_path / "x" / name
        for opens in (
            check_regular_file,
            lambda path: read_regular_file(path, 9),
            lambda path: open_regular_file(path, os.O_RDWR | os.O_CREAT),
        ):
            with pytest.raises(LogError, match=f"{name} is {kind}, not a file"):
                opens(path)
    with pytest.raises(LogError, match="/dev/null is a device, not a file"):
        check_regular_file(regular_file.Path("/dev/null"))
    assert (tmp_path / "x" / "target").read_text() == "mine"
    assert not (tmp_path / "x" / "nowhere").exists()


def test_a_pipe_that_took_the_place_of_a_file(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(regular_file, "check_regular_file", lambda _: None)
    with pytest.raises(LogError, match="is a pipe, not a file"):
        open_regular_file(tmp_path / "pipe", os.O_RDONLY)


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(LogError, match=r"could not read .*a: No such file"):
        read_regular_file(tmp_path / "a", 1)
    (tmp_path / "file").touch()
    for check in (check_regular_file, check_folder):
        with pytest.raises(LogError, match=r"could not read .*below: Not a directory"):
            check(tmp_path / "file" / "below")


def test_a_folder_that_is_none(tmp_path):
    check_folder(tmp_path)
    check_folder(tmp_path / "absent")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(LogError, match="link is a link, not a folder"):
        check_folder(tmp_path / "link")
    (tmp_path / "file").touch()
    with pytest.raises(LogError, match="file is a file, not a folder"):
        check_folder(tmp_path / "file")
