"""Fetching from a server on this machine: whole, in pieces, cut, wrong, absent."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tinytensor.data import DownloadError
from tinytensor.data.download import checksum_of, download

MODULE = sys.modules["tinytensor.data.download"]
CONTENT = bytes(i * i % 251 for i in range(300_000))
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


class _Server(ThreadingHTTPServer):
    """`/plain` knows no Range, `/range` does; `/cut` and `/cutplain` break off the first answers half way; others are what they are
    called. `seen`: path and Range of each request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, str | None]] = []
        self.cuts = 1

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        wanted, kind = self.headers.get("Range"), self.path[1:]
        self.server.seen.append((kind, wanted))
        if kind in ("absent", "broken"):
            self.send_error(404 if kind == "absent" else 503)
            return
        begin = int(wanted[6:-1]) if wanted and "plain" not in kind else 0
        if begin >= len(CONTENT):
            self.send_error(416)
            return
        body = {"wrong": b"<html>log in first</html>"}.get(kind, CONTENT)[begin:]
        self.send_response(206 if begin else 200)
        if begin:
            shown = begin + 1 if kind == "elsewhere" else begin
            self.send_header("Content-Range", f"bytes {shown}-{len(CONTENT) - 1}/{len(CONTENT)}")
        if kind != "unsized":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if kind.startswith("cut") and self.server.cuts:
            self.server.cuts -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = _Server()
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new" / "folder" / "file.gz"


def part_of(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def keep(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(content)


@pytest.mark.parametrize("checksum", [SHA256, MD5])
@pytest.mark.parametrize("kind", ["plain", "range", "unsized"])
def test_a_whole_file(server: _Server, target: Path, kind: str, checksum: str) -> None:
    assert download([server.url(kind)], target, checksum) == target
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["file.gz"]
    assert server.seen == [(kind, None)]


def test_an_old_file_is_replaced(server: _Server, target: Path) -> None:
    target.parent.mkdir(parents=True)
    target.write_bytes(b"old")
    download([server.url("range")], str(target), SHA256)
    assert target.read_bytes() == CONTENT


def test_goes_on_where_an_earlier_call_ended(server: _Server, target: Path) -> None:
    keep(target, CONTENT[:1000])
    download([server.url("range")], target, SHA256)
    assert target.read_bytes() == CONTENT
    assert server.seen == [("range", "bytes=1000-")]


def test_begins_anew_where_the_server_knows_no_range(server: _Server, target: Path) -> None:
    keep(target, CONTENT[:1000])
    download([server.url("plain")], target, SHA256)
    assert target.read_bytes() == CONTENT
    assert server.seen == [("plain", "bytes=1000-")]


@pytest.mark.parametrize("kind", ["cut", "cutplain"])
def test_a_cut_connection_is_taken_up_again(server: _Server, target: Path, kind: str) -> None:
    download([server.url(kind)], target, SHA256)
    assert target.read_bytes() == CONTENT
    assert server.seen == [(kind, None), (kind, "bytes=150000-")]


def test_what_has_come_stays_for_the_next_call(server: _Server, target: Path) -> None:
    server.cuts = 2
    with pytest.raises(
        DownloadError, match=r"cannot fetch file.gz: http.*: the connection broke after 225000 of 300000"
    ):
        download([server.url("cut")], target, SHA256, attempts=2)
    assert not target.exists() and part_of(target).stat().st_size == 225000
    download([server.url("cut")], target, SHA256)
    assert target.read_bytes() == CONTENT
    assert server.seen[-1] == ("cut", "bytes=225000-")


def test_a_part_that_was_whole_needs_no_byte(server: _Server, target: Path) -> None:
    keep(target, CONTENT)
    download([server.url("range")], target, SHA256)
    assert target.read_bytes() == CONTENT and not part_of(target).exists()


@pytest.mark.parametrize("size", [1000, len(CONTENT), len(CONTENT) + 5])
def test_a_foreign_part_is_thrown_away(server: _Server, target: Path, size: int) -> None:
    keep(target, b"x" * size)
    download([server.url("range")], target, SHA256)
    assert target.read_bytes() == CONTENT
    assert server.seen == [("range", f"bytes={size}-"), ("range", None)]


def test_wrong_content_is_deleted_and_said(server: _Server, target: Path) -> None:
    with pytest.raises(
        DownloadError, match=rf"wrong checksum sha256:[0-9a-f]{{64}}, expected {SHA256}; what .* deleted$"
    ):
        download([server.url("wrong")], target, SHA256)
    assert list(target.parent.iterdir()) == []
    assert len(server.seen) == 1  # the same bytes would come again


def test_the_next_mirror_is_asked(server: _Server, target: Path) -> None:
    kinds = ["absent", "broken", "wrong", "plain"]
    download([server.url(kind) for kind in kinds], target, SHA256, attempts=2)
    assert target.read_bytes() == CONTENT
    assert [kind for kind, _ in server.seen] == ["absent", "broken", "broken", "wrong", "plain"]


def test_every_mirror_is_named_on_one_line(server: _Server, target: Path) -> None:
    with pytest.raises(DownloadError, match=r"/absent: HTTP 404 Not Found; .*/broken: HTTP 503") as caught:
        download([server.url("absent"), server.url("broken")], target, SHA256)
    assert "\n" not in str(caught.value) and isinstance(caught.value, OSError)


def test_a_range_that_was_not_asked_for(server: _Server, target: Path) -> None:
    keep(target, CONTENT[:1000])
    with pytest.raises(DownloadError, match="another part of the file"):
        download([server.url("elsewhere")], target, SHA256)
    assert not target.exists()


@pytest.mark.parametrize(
    ("kind", "message"), [("plain", "would be 300000 bytes"), ("unsized", "more than the 1000 bytes")]
)
def test_more_than_was_expected(server: _Server, target: Path, kind: str, message: str) -> None:
    with pytest.raises(DownloadError, match=message):
        download([server.url(kind)], target, SHA256, limit=1000)
    assert sum(path.stat().st_size for path in target.parent.iterdir()) == 0


def test_no_network_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
    def nowhere(*args: Any, **options: Any) -> Any:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    monkeypatch.setenv("no_proxy", "*")
    message = (
        "no network: cannot fetch file.gz from data.example (Temporary failure in name resolution), "
        "mirror.example (Temporary failure in name resolution)"
    )
    with pytest.raises(DownloadError, match=f"^{re.escape(message)}$"):
        download(["https://data.example/file.gz", "http://mirror.example/file.gz"], target, SHA256)


def test_nobody_listens(server: _Server, target: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(
        DownloadError, match=r"^no network: cannot fetch file.gz from 127\.0\.0\.1:\d+ \(Connection refused\)$"
    ):
        download([f"http://127.0.0.1:{port}/file.gz"], target, SHA256)


def test_a_full_disk_leaves_nothing_and_keeps_the_old_file(
    server: _Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    target.parent.mkdir(parents=True)
    target.write_bytes(b"old")
    monkeypatch.setattr(MODULE, "open", Full, raising=False)
    with pytest.raises(OSError, match="No space left") as caught:
        download([server.url("plain"), server.url("range")], target, SHA256)
    assert caught.value.errno == errno.ENOSPC and not isinstance(caught.value, DownloadError)
    assert target.read_bytes() == b"old" and not part_of(target).exists()
    assert len(server.seen) == 1  # another mirror would not help


def test_a_file_system_that_flushes_no_folder(server: _Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def flush(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", flush)
    assert download([server.url("plain")], target, SHA256).read_bytes() == CONTENT


def test_a_server_that_says_nothing(server: _Server, target: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(DownloadError, match=r"cannot fetch file.gz from 127\.0\.0\.1:\d+ \(timed out\)$"),
    ):
        download([f"http://127.0.0.1:{silent.getsockname()[1]}/file.gz"], target, SHA256, timeout=0.02)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal_only(
    server: _Server, target: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tqdm")
    download([server.url("plain")], target, SHA256)
    assert capsys.readouterr() == ("", "")
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    download([server.url("plain")], target, SHA256)
    assert "file.gz" in terminal.getvalue() and "300k" in terminal.getvalue()
    monkeypatch.setitem(sys.modules, "tqdm", None)  # not installed: no bar, no error
    download([server.url("plain")], target, SHA256)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"urls": []}, "expected addresses"),
        ({"urls": ["file:///etc/passwd"]}, "expected addresses that begin with http"),
        ({"checksum": "sha1:" + "0" * 40}, "expected a checksum"),
        ({"checksum": "md5:" + "0" * 64}, "expected a checksum"),
        ({"attempts": 0}, "attempts must be at least 1"),
    ],
)
def test_arguments(target: Path, change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"urls": ["http://a.example/"], "checksum": SHA256} | change
    with pytest.raises(ValueError, match=message):
        download(path=target, **arguments)


def test_checksums_of_bytes_and_files() -> None:
    assert checksum_of(CONTENT, "sha256") == checksum_of(io.BytesIO(CONTENT), "sha256") == SHA256
    assert checksum_of(CONTENT, "md5") == MD5
