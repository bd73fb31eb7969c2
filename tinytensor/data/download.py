"""Fetching a file over HTTP: resumed where it was cut, checked against its checksum, put in place whole or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tinytensor.serialize.files import sync_folder

if TYPE_CHECKING:
    from http.client import HTTPResponse

__all__ = ["DownloadError", "checksum_of", "download"]

_CHUNK = 1 << 16
_MOST = 1 << 30  # bytes: a server that never stops must not fill the disk


class DownloadError(OSError):
    """A file could not be fetched; the message is one line and says from where, why, and what to do."""


class _Failed(Exception):
    """One attempt failed. `reached`: whether a server answered; `again`: whether the same address is worth another attempt."""

    def __init__(self, why: str, *, reached: bool = True, again: bool = False) -> None:
        super().__init__(why)
        self.reached, self.again = reached, again


def download(
    urls: Sequence[str],
    path: str | os.PathLike[str],
    checksum: str,
    *,
    timeout: float = 30.0,
    attempts: int = 3,
    limit: int = _MOST,
) -> Path:
    """Fetch a file from the first of `urls` (mirrors of one another) that gives it, to `path`; its folder is made.

    `checksum` is `"sha256:..."` or `"md5:..."`, in hexadecimal. What arrives is kept in `path` + `.part`, from which a later call
    goes on (by a Range request; a server that knows none begins anew); it gets its name only when it is whole, has this checksum
    and is on the disk. Each address is tried up to `attempts` times while its connection breaks; `timeout` is in seconds, for a
    connection that says nothing. More than `limit` bytes are refused. On a terminal tqdm, where installed, shows a bar.

    Returns `path`. Raises DownloadError (an OSError) where no address gives the file, ValueError for arguments that make no
    sense, OSError where the disk does not take it (the part is removed then: a full disk gets its space back).
    """
    target = Path(path)
    if not urls or any(not url.startswith(("http://", "https://")) for url in urls):
        raise ValueError(f"download: expected addresses that begin with http:// or https://, got {list(urls)}")
    if attempts < 1:
        raise ValueError(f"download: attempts must be at least 1, got {attempts}")
    kind, _, expected = checksum.partition(":")
    if kind not in ("sha256", "md5") or len(expected) != {"sha256": 64, "md5": 32}[kind]:
        raise ValueError(f"download: expected a checksum 'sha256:<64 digits>' or 'md5:<32 digits>', got {checksum!r}")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    failures: list[tuple[str, _Failed]] = []
    for url in urls:
        for attempt in range(attempts):
            try:
                _attempt(url, part, checksum, timeout, limit)
            except _Failed as failure:
                if failure.again and attempt + 1 < attempts:
                    continue
                failures.append((url, failure))
                break
            os.replace(part, target)
            sync_folder(target.parent)
            return target
    if any(failure.reached for _, failure in failures):
        raise DownloadError(f"cannot fetch {target.name}: " + "; ".join(f"{url}: {why}" for url, why in failures))
    hosts = ", ".join(f"{url.split('/')[2]} ({why})" for url, why in failures)
    raise DownloadError(f"no network: cannot fetch {target.name} from {hosts}")


def checksum_of(content: Any, kind: str) -> str:
    """The checksum `"kind:hexadecimal"` of bytes, or of a binary file from where it stands; `kind` is sha256 or md5."""
    import hashlib  # not before it is needed: it loads OpenSSL

    # MD5 is here for files whose authors publish nothing else; some systems forbid it for security, which this is not
    digest = hashlib.new(kind, usedforsecurity=False)
    if isinstance(content, bytes):
        digest.update(content)
    else:
        while piece := content.read(_CHUNK):
            digest.update(piece)
    return f"{kind}:{digest.hexdigest()}"


def _attempt(url: str, part: Path, checksum: str, timeout: float, limit: int) -> None:
    """Bring `part` from what it holds to the whole file, flushed to the disk. Raises _Failed, or OSError of the disk."""
    begun = part.stat().st_size if part.exists() else 0
    response, offset, total = _ask(url, begun, timeout)
    if response is not None:
        with response:
            if total is not None and total > limit:
                raise _Failed(f"it would be {total} bytes, more than the {limit} expected at most")
            try:
                with open(part, "r+b" if offset else "wb") as file:
                    file.seek(offset)
                    _copy(response, file, offset, total, limit, part.name.removesuffix(".part"))
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:  # of the disk: _copy makes a _Failed of those of the network
                part.unlink(missing_ok=True)
                raise
    with open(part, "rb") as file:
        found = checksum_of(file, checksum.partition(":")[0])
    if found != checksum.lower():
        part.unlink()
        # what was kept from an earlier call may be at fault: once more from its beginning
        raise _Failed(f"wrong checksum {found}, expected {checksum}; what arrived was deleted", again=begun > 0)


def _ask(url: str, begun: int, timeout: float) -> tuple[HTTPResponse | None, int, int | None]:
    """Ask for what is missing after `begun` bytes: the response, where its bytes belong, and the size of the whole file if known.
    No response where nothing is missing."""
    import http.client
    import socket
    import ssl
    import urllib.error
    import urllib.request

    # identity: a server that packs what it sends would change the bytes, and the positions in them
    headers = {"User-Agent": "tinytensor", "Accept-Encoding": "identity"}
    if begun:
        headers["Range"] = f"bytes={begun}-"
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and begun:  # no byte follows: it is whole, or the checksum will tell
            return None, begun, begun
        raise _Failed(f"HTTP {error.code} {error.reason}", again=error.code >= 500) from None
    except (OSError, http.client.HTTPException) as error:
        cause = getattr(error, "reason", error)
        reached = not isinstance(error, OSError) or isinstance(cause, ssl.SSLError)
        hopeless = isinstance(cause, (socket.gaierror, ssl.SSLError, ConnectionRefusedError, TimeoutError))
        raise _Failed(_say(cause), reached=reached, again=not hopeless) from None
    length = response.headers.get("Content-Length", "")
    size = int(length) if length.isascii() and length.isdigit() else None
    if response.status == 206:
        if not response.headers.get("Content-Range", "").startswith(f"bytes {begun}-"):
            response.close()
            raise _Failed("the server sent another part of the file than it was asked for")
        return response, begun, None if size is None else begun + size
    return response, 0, size


def _copy(response: HTTPResponse, file: IO[bytes], offset: int, total: int | None, limit: int, name: str) -> None:
    """Write the response's bytes, up to `total`, into `file` at its position `offset`."""
    import http.client

    bar = _bar(name, offset, total)
    done = offset
    try:
        while True:
            try:
                piece = response.read(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise _Failed(f"the connection broke after {done} bytes ({_say(error)})", again=True) from None
            if not piece:
                break
            done += len(piece)
            if done > limit:
                file.truncate(0)
                raise _Failed(f"more than the {limit} bytes expected at most")
            file.write(piece)
            if bar is not None:
                bar.update(len(piece))
    finally:
        if bar is not None:
            bar.close()
    if total is not None and done < total:
        raise _Failed(f"the connection broke after {done} of {total} bytes", again=True)


def _bar(name: str, offset: int, total: int | None) -> Any:
    """tqdm's bar, on a terminal and where it is installed."""
    if not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None

    return tqdm(desc=name, initial=offset, total=total, unit="B", unit_scale=True, leave=False)


def _say(error: object) -> str:
    """An error in few words, on one line."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(words).split())
