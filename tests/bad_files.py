"""Damaged and hostile files of every kind that is read: `python tests/bad_files.py [FILES=10000] [KIND ...]`.

Of each kind FILES files are drawn from a seed: good ones with bytes cut, flipped, added, repeated, numbers made huge, headers written anew with
what no header may hold, nesting without end, and what unpacks to far more than it is; pickles that would run a program; and once each an empty
file, a folder, a pipe, a device, a link to nothing and to itself, and bombs of gzip and zip. A process of its own reads them, with at most 2 GB of
address space more than it begins with and 20 s of work for a file. Each reader must load the file, or raise OSError or ValueError that names it; nothing
may be run, and no file may cost more memory than its kind is allowed (MOST below).

Prints a line a kind: files, loaded, refused, peak of memory. About 3 minutes for all kinds of 10,000 on two cores. Exit code 1 after any finding;
the file is kept beside its report.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

import tinytensor as tt
from tinytensor import _kernels, nn
from tinytensor.data import load_npz, read_csv, read_idx
from tinytensor.data.picture import read_picture
from tinytensor.serialize import load_metadata
from tinytensor.train import fit
from tinytensor.train.config import DataConfig, TrainConfig, read_toml
from tinytensor.train.history import History
from tinytensor.train.network import load_checkpoint

DEADLINE, HANGING = 20, 120  # seconds of work on a file; and in all
SPACE = 2 << 30
MARKER = "somebody-was-here"
Reader = Callable[[Path], object]


# ---------------------------------------------------------------------------------------------------------------- mutations
HUGE = (0, 1, 2**7, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 10**12)


def mutated(draw: random.Random, content: bytes) -> bytes:
    """Changed in one to four places."""
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        at = draw.randrange(len(content) + 1)
        if draw.random() < 0.3:
            at = min(at, draw.randrange(64))  # headers are at the beginning
        kind = draw.randrange(8)
        if kind == 0:
            content = content[:at]
        elif kind == 1:
            content = content[:at] + bytes(b ^ 1 << draw.randrange(8) for b in content[at : at + 1]) + content[at + 1 :]
        elif kind == 2:
            content = content[:at] + draw.randbytes(draw.randrange(1, 9)) + content[at:]
        elif kind == 3:
            content = content[:at] + content[at + draw.randrange(1, 40) :]
        elif kind == 4:
            content = content[: at + draw.randrange(1, 400)] + content[at:]
        elif kind == 5:
            size, order = draw.choice((1, 2, 4, 8)), draw.choice("<>")
            number = draw.choice(HUGE) & (1 << 8 * size) - 1
            content = content[:at] + number.to_bytes(size, "little" if order == "<" else "big") + content[at + size :]
        elif kind == 6:
            words = (
                b"-1",
                b"1e999",
                b"nan",
                b"null",
                b"[[",
                b"}",
                b'"',
                b"\0",
                b"\n",
                b",",
                b"9" * 30,
                b"\xff\xfe",
                b"\xf0\x9f",
            )
            content = content[:at] + draw.choice(words) + content[at + draw.randrange(4) :]
        else:
            content += draw.choice((b"\0" * 100, content[:200], draw.randbytes(20)))
    return content


def odd(draw: random.Random, depth: int = 0) -> Any:
    """Some value that JSON can hold and a header should not."""
    kind = draw.randrange(11)
    if kind < 4:
        return draw.choice((*HUGE, -1, -(2**63), 10**30, 1.5, float("nan"), float("inf"), -0.0))
    if kind < 6:
        return draw.choice(("", "F32", "F64", "I64", "C64", "F4", "x" * 300, "\0", "\U0001f600", "__metadata__"))
    if kind < 8:
        return draw.choice((None, True, False))
    if depth > 2:
        return []
    if kind < 10:
        return [odd(draw, depth + 1) for _ in range(draw.choice((0, 1, 2, 2, 3, 70)))]
    return {str(odd(draw, 3)): odd(draw, depth + 1) for _ in range(draw.randrange(4))}


def changed(draw: random.Random, tree: Any) -> Any:
    """A tree of JSON with something odd at some place."""
    if isinstance(tree, dict) and tree and draw.random() < 0.9:
        key = draw.choice(list(tree))
        made = {**tree, key: changed(draw, tree[key])}
        if draw.random() < 0.1:
            made[str(odd(draw))[:50]] = odd(draw)
        return made
    if isinstance(tree, list) and tree and draw.random() < 0.7:
        i = draw.randrange(len(tree))
        return [*tree[:i], changed(draw, tree[i]), *tree[i + 1 :]]
    return odd(draw)


class Payload:
    """A pickle of it would run a program where it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {MARKER}",)


# ------------------------------------------------------------------------------------------------------- what files are made of
class Kind:
    """A kind of file: good ones, how they are damaged, and who reads them."""

    most = 300 << 20  # bytes of memory that one file may cost
    bomb = 1 << 29  # bytes that bombs unpack to
    suffix = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.good = self.make()
        self.readers = self.read()

    def make(self) -> list[bytes]:
        raise NotImplementedError

    def read(self) -> list[Reader]:
        raise NotImplementedError

    def draw(self, draw: random.Random) -> bytes:
        return mutated(draw, draw.choice(self.good))

    def bombs(self) -> list[bytes]:
        return []

    def saved(self, write: Callable[[Path], object], suffix: str = "") -> bytes:
        path = self.folder / f"good{suffix}"
        write(path)
        return path.read_bytes()


STATE = {"a": np.arange(5.0), "b.c": np.ones((2, 3), np.float32), "n": np.array(7), "m": np.array([True, False])}


class Safetensors(Kind):
    def make(self) -> list[bytes]:
        nested = {"model": {**STATE, 3: np.float32(1)}, "log": [1.5, None, "é"], "at": (2**70, -1)}
        return [self.saved(lambda p: tt.save(STATE, p, {"note": "x"})), self.saved(lambda p: tt.save(nested, p))]

    def read(self) -> list[Reader]:
        return [tt.load, load_metadata]

    def draw(self, draw: random.Random) -> bytes:
        content = draw.choice(self.good)
        if draw.random() < 0.5:
            return mutated(draw, content)
        length = int.from_bytes(content[:8], "little")
        header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
        if draw.random() < 0.3 and "tinytensor.structure" in header.get("__metadata__", {}):
            inside = changed(draw, json.loads(header["__metadata__"]["tinytensor.structure"]))
            header["__metadata__"]["tinytensor.structure"] = json.dumps(inside)
        for _ in range(draw.choice((0, 1, 1, 2, 3))):
            header = changed(draw, header)
        text = json.dumps(header).encode()
        special = draw.randrange(12)
        if special == 0:
            deep = draw.choice((100, 10_000, 100_000))
            text = b'{"a":' + b"[" * deep + b"]" * deep + b"}"
        elif special == 1:
            text = text[:-1] + b"," + text[1:]  # every name twice
        elif special == 2:
            text = text.replace(b"[", b"[" + b"9" * draw.choice((20, 400, 5000)) + b",", 1)
        length = len(text) if draw.random() < 0.9 else draw.choice(HUGE)
        return length.to_bytes(8, "little") + text + body

    def bombs(self) -> list[bytes]:
        entry = {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}
        text = json.dumps({"a": entry}).encode()
        many = json.dumps(
            {f"{i}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for i in range(100_000)}
        ).encode()
        return [len(t).to_bytes(8, "little") + t for t in (text, many, b'{"a":' * 100_000)]


def npy(descr: Any, fortran: Any, shape: Any, body: bytes, version: int = 1) -> bytes:
    text = (repr({"descr": descr, "fortran_order": fortran, "shape": shape}) + "\n").encode()
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2 if version == 1 else 4, "little") + text + body


def zipped(entries: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w", method) as archive:
        warnings.simplefilter("ignore")  # of names that come twice
        for name, content in entries:
            archive.writestr(name, content)
    return made.getvalue()


class Npz(Kind):
    suffix = ".npz"

    def make(self) -> list[bytes]:
        data = {"x": np.arange(12.0).reshape(4, 3), "y": np.arange(4)}
        return [
            self.saved(lambda p: tt.save(STATE, p), ".npz"),
            self.saved(lambda p: np.savez_compressed(p, **STATE), ".npz"),
            self.saved(lambda p: np.savez(p, **data), ".npz"),
            self.saved(lambda p: np.savez_compressed(p, **data), ".npz"),
        ]

    def read(self) -> list[Reader]:
        return [tt.load, load_metadata, load_npz]

    def draw(self, draw: random.Random) -> bytes:
        if draw.random() < 0.5:
            return mutated(draw, draw.choice(self.good))
        entries = []
        for name in ("x", "y"):
            descr = draw.choice(
                ("<f4", "<f8", "|O", "<U5", "<i8", "|b1", ">f4", "<f2", "<m8[s]", [("a", "<f4")], None, 3, "x" * 99)
            )
            shape = draw.choice(
                (
                    (3,),
                    (),
                    (3, 1),
                    (10**12,),
                    (-1, -3),
                    (2**63, 0),
                    (2**32, 2**32),
                    (1,) * 70,
                    3,
                    None,
                    ("x",),
                    (1.5,),
                    (True,),
                )
            )
            body = pickle.dumps([Payload()]) if descr == "|O" else draw.randbytes(draw.choice((0, 12, 24, 24, 48)))
            content = npy(descr, draw.choice((False, False, True, 1, None)), shape, body, draw.choice((1, 1, 2, 3, 4)))
            if draw.random() < 0.3:
                content = mutated(draw, content)
            if draw.random() < 0.05:
                content = b"\x93NUMPY\1\0\xff\xff" + b"(" * 65535
            entries.append((f"{name}.npy", content))
        if draw.random() < 0.1:
            entries.append(
                draw.choice(
                    (entries[0], ("../../x.npy", entries[0][1]), ("/x", b"x"), ("data.pkl", pickle.dumps(Payload())))
                )
            )
        method = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
        made = zipped(entries, method)
        return mutated(draw, made) if draw.random() < 0.3 else made

    def bombs(self) -> list[bytes]:
        zeros = npy("|u1", False, (self.bomb,), bytes(self.bomb))
        return [zipped([("x.npy", zeros), ("y.npy", npy("|u1", False, (self.bomb,), b""))])]


class Pickles(Kind):
    """What torch.save writes, old and new, with a program inside: none may be read."""

    suffix = ".pt"

    def make(self) -> list[bytes]:
        thing = {"weight": [1.0, 2.0], "run": Payload()}
        plain = [pickle.dumps(thing, protocol) for protocol in range(6)]
        magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
        new = zipped(
            [("archive/data.pkl", plain[2]), ("archive/version", b"3\n"), ("archive/data/0", bytes(16))],
            zipfile.ZIP_STORED,
        )
        return [*plain, magic + plain[2], new]

    def read(self) -> list[Reader]:
        return [tt.load, load_metadata, load_npz, load_checkpoint]

    def bombs(self) -> list[bytes]:
        return self.good


class Idx(Kind):
    def make(self) -> list[bytes]:
        return [self.idx(0x08, (3, 4, 5), bytes(range(60))), self.idx(0x0D, (7,), bytes(28)), self.idx(0x08, (), b"x")]

    @staticmethod
    def idx(code: int, shape: tuple[int, ...], body: bytes) -> bytes:
        return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape) + body

    def read(self) -> list[Reader]:
        return [read_idx]

    def draw(self, draw: random.Random) -> bytes:
        if draw.random() < 0.5:
            return mutated(draw, draw.choice(self.good))
        shape = tuple(
            draw.choice((0, 1, 2, 3, 255, 2**16, 2**31, 2**32 - 1))
            for _ in range(draw.choice((0, 1, 2, 3, 5, 64, 65, 200)))
        )
        return self.idx(draw.choice((8, 8, 9, 11, 12, 13, 14, 7, 255)), shape, draw.randbytes(draw.randrange(100)))

    def bombs(self) -> list[bytes]:
        return [self.idx(8, (10**6, 10**6), b"x" * 100), self.idx(8, (0, 2**32 - 1, 2**32 - 1, 2**32 - 1), b"")]


class IdxGzip(Idx):
    suffix = ".gz"

    def draw(self, draw: random.Random) -> bytes:
        if draw.random() < 0.5:
            return mutated(draw, gzip.compress(draw.choice(self.good), mtime=0))
        content = gzip.compress(super().draw(draw), draw.choice((0, 1, 9)), mtime=0)
        return content + draw.choice((b"", content, b"\0" * 50, b"x"))

    def bombs(self) -> list[bytes]:
        zeros = gzip.compress(self.idx(8, (10,), bytes(self.bomb)), 1)  # inflates to much more than its header says
        much = gzip.compress(self.idx(8, (10**6, 10**6), b"x" * 100))  # its header says much more than it holds
        return [zeros, much, gzip.compress(gzip.compress(bytes(1 << 20)))]


class Csv(Kind):
    suffix = ".csv"

    def make(self) -> list[bytes]:
        numbers = "\n".join(f"{i},{i / 3},{i % 2}" for i in range(50)).encode()
        return [
            b"a,b,c\n" + numbers, numbers, b'name;x\n"a ""b""";1\n"c\nd";?\n', b"x\ty\n1\t2\n3\tNA\n",
            b"epoch,step,train_loss\n1,10,0.5\n2,20,\n", gzip.compress(b"a,b,c\n" + numbers, mtime=0),
        ]  # fmt: skip

    def read(self) -> list[Reader]:
        return [read_csv, History.load_csv]

    def draw(self, draw: random.Random) -> bytes:
        if draw.random() < 0.6:
            return mutated(draw, draw.choice(self.good))
        words = (
            "1",
            "2.5",
            "-1e308",
            "1e999",
            "nan",
            "inf",
            "abc",
            '"',
            '""',
            '"a,b"',
            "?",
            "",
            " ",
            "\0",
            "é",
            "١",
            "0x10",
            "1_000",
            "9" * 5000,
            "x" * 200_000,
            "\r",
            "\ufeff",
            "=1+1",
        )
        lines = [
            draw.choice(",,,;\t").join(draw.choice(words) for _ in range(draw.choice((1, 2, 3, 3, 3, 200))))
            for _ in range(draw.randrange(6))
        ]
        text = draw.choice(("\n", "\r\n", "\r")).join(lines)
        made = (draw.choice(("", "epoch,step\n", "a,b,c\n")) + text).encode(
            draw.choice(("utf-8", "utf-8", "utf-16", "utf-8-sig"))
        )
        return gzip.compress(made, mtime=0) if draw.random() < 0.2 else made

    def bombs(self) -> list[bytes]:
        rows, quoted = b"1,2\n" * (1 << 17), b'"' + b"\n" * (1 << 20)
        found = [gzip.compress(bytes(self.bomb), 1), quoted, b"," * (1 << 20)]
        if self.bomb > 1 << 28:  # the long form's: rows are read until there are too many
            found += [gzip.compress(rows * (self.bomb >> 19), 1), gzip.compress(quoted * (self.bomb >> 20), 1)]
        return found


class Picture(Kind):
    most = 1200 << 20  # of at most 50 million pixels
    suffix = ".png"

    def make(self) -> list[bytes]:
        from PIL import Image

        values = (np.arange(24 * 20 * 4).reshape(24, 20, 4) * 7 % 256).astype(np.uint8)
        found = []
        for mode, formats in {"RGBA": ("PNG", "TIFF", "WEBP"), "RGB": ("JPEG", "BMP", "PPM"), "L": ("PNG", "GIF", "EPS", "TGA", "ICO"), "P": ("PNG", "GIF")}.items():  # fmt: skip
            for name in formats:
                file = io.BytesIO()
                try:
                    Image.fromarray(values).convert(mode).save(file, name)
                except (OSError, KeyError):  # this Pillow was built without it
                    continue
                found.append(file.getvalue())
        file = io.BytesIO()
        Image.fromarray(values[:, :, 0].astype(np.uint16) * 200).save(file, "PNG")
        return [*found, file.getvalue()]

    def read(self) -> list[Reader]:
        return [read_picture, lambda p: read_picture(p, prepare="resize")]

    def draw(self, draw: random.Random) -> bytes:
        content = draw.choice(self.good)
        if content[:4] != b"\x89PNG" or draw.random() < 0.3:
            return mutated(draw, content)
        chunks, at = [], 8
        while at < len(content):
            size = int.from_bytes(content[at : at + 4], "big")
            chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
            at += size + 12
        i = draw.randrange(len(chunks))
        name, body = chunks[i]
        if name == b"IHDR" and draw.random() < 0.5:
            body = (
                struct.pack(
                    ">II", draw.choice((0, 1, 20, 7000, 7071, 65535, 2**31)), draw.choice((0, 1, 24, 7000, 2**31))
                )
                + body[8:]
            )
        elif body:
            body = mutated(draw, body)
        if draw.random() < 0.2:
            extra = draw.choice((b"tRNS", b"PLTE", b"zTXt", b"iTXt", b"eXIf", b"acTL", b"fcTL", b"gAMA", b"iCCP"))
            chunks.insert(draw.randrange(1, len(chunks)), (extra, draw.randbytes(draw.randrange(60))))
        chunks[min(i, len(chunks) - 1)] = name, body  # each with a right checksum
        return content[:8] + b"".join(
            len(b).to_bytes(4, "big") + n + b + zlib.crc32(n + b).to_bytes(4, "big") for n, b in chunks
        )

    def bombs(self) -> list[bytes]:
        def png(width: int, height: int, data: bytes, more: bytes = b"") -> bytes:
            parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")]
            return (
                b"\x89PNG\r\n\x1a\n"
                + more
                + b"".join(len(b).to_bytes(4, "big") + n + b + zlib.crc32(n + b).to_bytes(4, "big") for n, b in parts)
            )

        text = b"zTXt", b"x\0\0" + zlib.compress(bytes(self.bomb >> 1), 1)
        chunk = len(text[1]).to_bytes(4, "big") + text[0] + text[1] + zlib.crc32(text[0] + text[1]).to_bytes(4, "big")
        program = (
            f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n({MARKER}) (w) file closefile showpage\n".encode()
        )
        return [
            png(100_000, 100_000, zlib.compress(bytes(1 << 20))), png(2**31 - 1, 2**31 - 1, b""), png(7000, 7000, zlib.compress(b"")),
            png(20, 20, zlib.compress(bytes(420)), chunk), program,
        ]  # fmt: skip


class Toml(Kind):
    suffix = ".toml"

    def make(self) -> list[bytes]:
        return [
            b'[data]\nsource = "mnist"\n\n[train]\nhidden = [16, 8]\nlr = 0.1\nseed = 3\n\n[environment]\nversion = "0.1"\n'
        ]

    def read(self) -> list[Reader]:
        return [read_toml]

    def draw(self, draw: random.Random) -> bytes:
        if draw.random() < 0.5:
            return mutated(draw, self.good[0])
        name = draw.choice(("hidden", "lr", "seed", "epochs", "source", "nothing", '""', "a.b.c"))
        value = draw.choice(
            (
                "-1",
                "1e999",
                "nan",
                "[]",
                "{}",
                "true",
                '"x"',
                "9" * 5000,
                "0x" + "f" * 9000,
                "[" * 500,
                "1979-05-27",
                "{a=" * 300,
                "'''",
                "1_0_",
                "\ud800",
            )
        )
        text = f"[{draw.choice(('data', 'train', 'train', 'other', 'train.x', '[train]'))}]\n{name} = {value}\n"
        return text.encode(errors="surrogatepass")

    def bombs(self) -> list[bytes]:
        return [b"a = " + b"[" * 100_000, b"a" + b".a" * 100_000 + b" = 1", b"x = 1\n" * 100_000, bytes(1 << 26)]


class Checkpoint(Safetensors):
    """The state of `fit`, read to go on with it, and a network of the command line."""

    def make(self) -> list[bytes]:
        from tinytensor.train.network import Checkpoint as Saved
        from tinytensor.train.network import Description, ImageInput, Network

        path = self.folder / "state"
        path.unlink(missing_ok=True)
        self.fit(path)
        network = Network(
            Description(
                ImageInput(4, 4, 1.0, 0.0, "mnist"), 3, "classification", (), (5,), "relu", "none", 0.0, 0.0, "float32"
            )
        )
        saved = Saved.take(network, network.model, TrainConfig(), DataConfig(), {"epoch": 1}, {})
        return [path.read_bytes(), self.saved(saved.save)]

    @staticmethod
    def fit(path: Path, resume: bool = False) -> None:
        tt.manual_seed(0)
        model = nn.Linear(3, 2)
        fit(
            model,
            (tt.rand(8, 3), tt.randint(0, 2, (8,))),
            "cross_entropy",
            "adam",
            2,
            checkpoint=path,
            save_every=1,
            resume=resume,
            progress=False,
        )

    def read(self) -> list[Reader]:
        return [lambda p: self.fit(p, True), load_checkpoint]

    def draw(self, draw: random.Random) -> bytes:
        content = draw.choice(self.good)
        if draw.random() < 0.3:
            return mutated(draw, content)
        length = int.from_bytes(content[:8], "little")
        header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
        texts = header.get("__metadata__", {})
        for _ in range(draw.choice((1, 1, 2))):
            name = draw.choice(list(texts))
            try:
                texts[name] = json.dumps(changed(draw, json.loads(texts[name])))
            except ValueError:
                texts[name] = str(odd(draw))
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + body


KINDS: dict[str, type[Kind]] = {
    "safetensors": Safetensors, "npz": Npz, "pt": Pickles, "idx": Idx, "idx.gz": IdxGzip, "csv": Csv, "picture": Picture,
    "toml": Toml, "checkpoint": Checkpoint,
}  # fmt: skip


# ------------------------------------------------------------------------------------------------------------------ the reading
FORBIDDEN = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "pickle.find_class", "ctypes.dlopen", "socket.connect")  # fmt: skip


def peak() -> int:
    """The most memory that was resident since the mark was put back."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def mark() -> bool:
    """Put the mark of the most memory back to now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


class Inside:
    """The process that reads."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder
        os.chdir(folder)
        self.kind = KINDS[name](folder)
        self.path = folder / f"file{self.kind.suffix}"
        self.counts: Counter[str] = Counter()
        self.most = 0
        self.watched = False
        for content in self.kind.good[:3]:  # what is imported at the first reading is no finding
            self.path.write_bytes(content)
            for read in self.kind.readers:
                with suppress(OSError, ValueError):
                    read(self.path)
        sys.addaudithook(self.audit)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.watched and event in FORBIDDEN:
            self.watched = False
            self.say("ran", f"{event} {arguments!r:.200}")

    def say(self, kind: str, detail: str) -> None:
        print(json.dumps({"finding": kind, "detail": detail}), flush=True)

    def one(self, at: int, put: Callable[[Path], None]) -> None:
        for number, read in enumerate(self.kind.readers):
            if self.path.is_symlink() or self.path.is_file() or self.path.is_fifo():
                self.path.unlink()
            elif self.path.is_dir():
                self.path.rmdir()
            put(self.path)
            marked = mark()
            before = peak()
            print(json.dumps({"at": at, "reader": number}), flush=True)
            signal.setitimer(signal.ITIMER_PROF, DEADLINE)
            signal.setitimer(signal.ITIMER_REAL, HANGING)
            self.watched = True
            error: BaseException | None = None
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    read(self.path)
            except BaseException as caught:
                error = caught
            self.watched = False
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            if error is None:
                self.counts["loaded"] += 1
            elif not isinstance(error, (OSError, ValueError)):
                self.say(f"{type(error).__name__}", f"{error!s:.300}")
            elif str(self.path) not in str(error):
                self.say("an error without the file's name", f"{error!r:.300}")
            elif len(str(error)) > 2000:
                self.say("an endless message", f"{len(str(error))} characters")
            else:
                self.counts["refused"] += 1
            del error
            used = peak() - before if marked else 0
            self.most = max(self.most, used)
            if used > self.kind.most and _kernels.pool_limit():  # a sanitizer keeps what is freed
                self.say("much memory", f"{used / 1e6:.0f} MB")
            if (self.folder / MARKER).exists() or (self.folder / "w").exists():
                self.say("ran", "the program in the file")
                (self.folder / MARKER).unlink(missing_ok=True)

    def all(self, first: int, count: int) -> None:
        special: list[Callable[[Path], None]] = [
            lambda p: p.write_bytes(b""), lambda p: p.mkdir(), lambda p: os.mkfifo(p), lambda p: p.symlink_to("/nowhere"),
            lambda p: p.symlink_to(p), lambda p: p.symlink_to("/dev/zero"), lambda p: p.symlink_to("/dev/null"), lambda p: None,
        ]  # fmt: skip
        if count < 1000:
            self.kind.bomb = 1 << 27
        bombs = self.kind.bombs()
        soft = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + SPACE
        resource.setrlimit(resource.RLIMIT_AS, (soft, resource.getrlimit(resource.RLIMIT_AS)[1]))
        makers = [*special, *((lambda p, b=b: p.write_bytes(b)) for b in bombs)]  # type: ignore[misc]
        for at in range(first, count + len(makers)):
            if at < len(makers):
                self.one(at, makers[at])
            else:
                content = self.kind.draw(
                    random.Random(f"{self.kind.suffix}{type(self.kind).__name__}{at - len(makers)}")
                )
                self.one(at, lambda p, c=content: p.write_bytes(c))  # type: ignore[misc]
        print(json.dumps({"done": dict(self.counts), "most": self.most}), flush=True)


def judge(name: str, count: int, keep: Path) -> int:
    """Read `count` files of a kind; returns how many findings there were."""
    first = findings = 0
    seen: Counter[str] = Counter()
    total: Counter[str] = Counter()
    most, started = 0, time.perf_counter()
    while True:
        with tempfile.TemporaryDirectory() as place:
            command = [sys.executable, __file__, "--inside", name, place, str(first), str(count)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            at, reader, done = -1, 0, False
            assert process.stdout is not None
            for line in process.stdout:
                try:
                    message = json.loads(line)
                except ValueError:
                    continue
                if "at" in message:
                    at, reader = message["at"], message["reader"]
                elif "finding" in message:
                    findings += 1
                    seen[message["finding"]] += 1
                    if seen[message["finding"]] <= 5:
                        print(
                            f"FINDING: {name} file {at}, reader {reader}: {message['finding']}: {message['detail']}",
                            flush=True,
                        )
                        _keep(Path(place), keep / f"{name}-{at}")
                elif "done" in message:
                    done = True
                    total.update(message["done"])
                    most = max(most, message["most"])
            code = process.wait()
            if done:
                break
            findings += 1
            hung = {-signal.SIGPROF: f"more than {DEADLINE} s of work", -signal.SIGALRM: f"no end within {HANGING} s"}
            what = hung.get(code, f"exit code {code}")
            print(f"FINDING: {name} file {at}, reader {reader}: {what}", flush=True)
            _keep(Path(place), keep / f"{name}-{at}")
            if at < first:
                return findings
            first = at + 1
    print(f"{name}: {count} files, loaded {total['loaded']} times, refused {total['refused']} times, at most {most / 1e6:.0f} MB, "
          f"{findings} findings, {time.perf_counter() - started:.0f} s", flush=True)  # fmt: skip
    return findings


def _keep(place: Path, to: Path) -> None:
    for path in place.glob("file*"):
        if path.is_file() and not path.is_symlink():
            to.parent.mkdir(exist_ok=True)
            to.with_name(to.name + path.suffix).write_bytes(path.read_bytes())


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--inside"]:
        name, place, first, count = arguments[1:]
        Inside(name, Path(place)).all(int(first), int(count))
        return 0
    count = int(arguments.pop(0)) if arguments and arguments[0].isdecimal() else 10_000
    if unknown := set(arguments) - set(KINDS):
        print(f"no kind {', '.join(unknown)}; there are {', '.join(KINDS)}", file=sys.stderr)
        return 2
    keep = Path(tempfile.gettempdir()) / "bad_files"
    findings = sum(judge(name, count, keep) for name in arguments or KINDS)
    print(f"{findings} findings, files in {keep}" if findings else "no findings")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
