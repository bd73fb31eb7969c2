"""Files appear whole or not at all, whatever goes wrong; pipes and devices are no files."""

import errno
import io
import os
import stat

import pytest

import tinytensor as tt
from tinytensor.serialize import atomically, files, load_metadata, write_atomically


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


def test_the_file_is_replaced_at_the_end_of_the_block(old):
    with atomically(old) as file:
        file.write(b"new")
        file.flush()
        assert old.read_bytes() == b"old"
    assert old.read_bytes() == b"new"
    assert os.listdir(old.parent) == ["file"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError("mine"), OSError("no number")])
def test_an_exception_leaves_the_old_file_and_passes_through(old, error):
    with pytest.raises(error if isinstance(error, type) else type(error)), atomically(old) as file:
        file.write(b"new")
        raise error
    assert old.read_bytes() == b"old"
    assert os.listdir(old.parent) == ["file"]


class FullDisk(io.FileIO):
    """A file on a disk that takes 100 bytes more."""

    def write(self, data):
        if self.tell() + len(data) > 100:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


@pytest.mark.parametrize("suffix", ["", ".npz"])
def test_a_full_disk(old, suffix, monkeypatch):
    pytest.importorskip("safetensors")
    path = old.rename(old.with_name("file" + suffix))
    monkeypatch.setattr(files, "open", FullDisk, raising=False)
    with pytest.raises(OSError, match="No space left on device") as caught:
        tt.save({"a": tt.ones(1000)}, path)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_at_the_end(old, call, monkeypatch):
    def fail(*arguments):
        assert old.read_bytes() == b"old"
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="Input/output error"):
        write_atomically(old, b"new")
    assert old.read_bytes() == b"old"
    assert os.listdir(old.parent) == ["file"]


def test_file_and_folder_are_on_the_disk_in_this_order(old, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def note_sync(descriptor):
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def note_replace(*names):
        done.append("replace")
        replace(*names)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    write_atomically(old, b"new")
    assert done == ["file", "replace", "folder"]


@pytest.mark.parametrize("number, passes", [(errno.EINVAL, True), (errno.ENOTSUP, True), (errno.EIO, False)])
def test_file_systems_that_cannot_flush_a_folder(old, number, passes, monkeypatch):
    fsync = os.fsync

    def fail_on_folders(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_on_folders)
    if passes:
        write_atomically(old, b"new")
    else:
        with pytest.raises(OSError, match="Input/output error"):
            write_atomically(old, b"new")
    assert old.read_bytes() == b"new"


def test_write_follows_a_link_and_leaves_one_file(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for content in (b"content", b"more"):
        write_atomically(tmp_path / "link", content)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "target").read_bytes() == content
    assert sorted(os.listdir(tmp_path)) == ["link", "target"]


def test_permissions_stay(old):
    old.chmod(0o640)
    write_atomically(old, b"new")
    assert stat.S_IMODE(old.stat().st_mode) == 0o640


def test_long_names_and_names_in_bytes(tmp_path):
    pytest.importorskip("safetensors")
    for name in ("n" * 255, "é" * 127, os.fsencode(tmp_path / "bytes")):
        path = name if isinstance(name, bytes) else tmp_path / name
        tt.save({"a": tt.ones(2)}, path)
        assert tt.load(path)["a"].tolist() == [1, 1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(old):
    old.parent.chmod(0o500)
    try:
        with pytest.raises(PermissionError) as caught:
            write_atomically(old, b"new")
    finally:
        old.parent.chmod(0o700)
    assert caught.value.filename == str(old) and old.read_bytes() == b"old"
    assert os.listdir(old.parent) == ["file"]


def test_a_folder_that_is_read_only(old, monkeypatch):
    def refuse(path, mode):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    monkeypatch.setattr(files, "open", refuse, raising=False)
    with pytest.raises(OSError, match="Read-only file system") as caught:
        write_atomically(old, b"new")
    assert caught.value.filename == str(old) and old.read_bytes() == b"old"


def test_targets_that_are_no_files(tmp_path):
    pytest.importorskip("safetensors")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    cases = [
        (tmp_path, IsADirectoryError, "Is a directory"),
        (tmp_path / "pipe", OSError, "expected a regular file, this is a pipe"),
        ("/dev/null", OSError, "expected a regular file, this is a device"),
        (tmp_path / "absent" / "file", FileNotFoundError, "No such file"),
        (tmp_path / "file" / "file", NotADirectoryError, "Not a directory"),
        (tmp_path / "loop", OSError, "symbolic links"),
    ]
    before = sorted(os.listdir(tmp_path))
    for path, error, message in cases:
        for use in (lambda path: tt.save({"a": tt.ones(1)}, path), tt.load, load_metadata):
            with pytest.raises(error, match=message) as caught:
                use(path)
            assert caught.value.filename == (path if isinstance(path, str) else str(path))
    assert sorted(os.listdir(tmp_path)) == before
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_an_error_of_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"), atomically(tmp_path / "out"):
        (tmp_path / "absent").read_bytes()
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_flushed_is_said_with_the_files_name(old, monkeypatch):
    def fail(descriptor, flush=os.fsync):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error") as caught:
        write_atomically(old, b"new")
    assert caught.value.filename == str(old)
    assert os.listdir(old.parent) == ["file"]
