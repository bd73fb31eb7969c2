"""Damaged and hostile files: tests/bad_files.py in its short form, and what it found."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tinytensor.data import load_npz, read_csv
from tinytensor.data.picture import read_picture
from tinytensor.train.config import read_toml
from tinytensor.train.history import History

pytest.importorskip("safetensors")
PROGRAM = Path(__file__).with_name("bad_files.py")


@pytest.mark.parametrize("kinds", ["safetensors npz pt", "idx idx.gz csv", "picture toml checkpoint"])
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux")
def test_they_load_or_are_refused_by_name(kinds: str) -> None:
    if "picture" in kinds:
        pytest.importorskip("PIL")
    done = subprocess.run([sys.executable, str(PROGRAM), "60", *kinds.split()], capture_output=True, text=True, timeout=600)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no findings" in done.stdout


@pytest.mark.parametrize("read", [read_toml, read_picture, History.load_csv])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, read: object) -> None:
    if read is read_picture:
        pytest.importorskip("PIL")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="expected a regular file, this is a pipe") as caught:
        read(tmp_path / "pipe")  # type: ignore[operator]
    assert caught.value.filename == str(tmp_path / "pipe")


def test_a_program_in_postscript_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither alone nor inside of a picture of the press, whatever stands for Ghostscript."""
    image = pytest.importorskip("PIL.Image")
    image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "a.eps")

    def field(number: int, body: bytes) -> bytes:
        return bytes([0x1C, 8 if number == 10 else 3, number]) + len(body).to_bytes(2, "big") + body

    size = field(20, b"\0\x14") + field(30, b"\0\x14")
    press = (
        field(60, b"\1\0")
        + size
        + field(120, b"\5")
        + field(10, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\n")
    )
    (tmp_path / "a.iim").write_bytes(press + bytes(8))
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None, raising=False)  # it is looked for once, by newer ones
    for name in ("a.eps", "a.iim"):
        with pytest.raises(ValueError, match=rf"{name}: (EPS|IPTC): PostScript is a program"):
            read_picture(tmp_path / name)
        assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("number", ["9" * 5000, "0x" + "f" * 9000])
def test_a_number_without_end_in_options(tmp_path: Path, number: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(f"[train]\nseed = {number}\n")
    try:
        read_toml(path)
    except ValueError as error:
        assert str(error).startswith(f"{path}: ")


def test_options_of_a_megabyte(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(b"a = " + b"[" * 1_000_000)
    with pytest.raises(ValueError, match=r"run.toml: more than 100,000 bytes"):
        read_toml(path)


def test_an_option_of_more_parts_than_any_has(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    for text in (
        "a" + ".a" * 5000 + " = 1",
        "[a" + " . a" * 70 + "]",
        "x = {a" + '."a"' * 70 + " = 1}",
        "a" + '.","' * 70 + " = 1",
    ):
        path.write_text(f"[train]\n{text}\n")
        with pytest.raises(ValueError, match=r"run.toml: a key of more than 64 parts"):
            read_toml(path)


def test_points_that_are_in_no_key_of_an_option(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("# " + "." * 80 + f"\n[train]\nlr = 0.1 # {'and so on. ' * 70}\n")
    assert read_toml(path)["train"] == {"lr": 0.1}


def test_a_field_without_end_in_a_history(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("epoch,step\n1," + "1" * 200_000)
    with pytest.raises(ValueError, match=r"history.csv: line 2: field larger than"):
        History.load_csv(path)


def test_a_bomb_of_gzip_is_not_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinytensor.data.table._ALWAYS", 1 << 16)
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"1,2\n" * (1 << 20), 9))
    with pytest.raises(ValueError, match=r"a.csv.gz: it unpacks to more than 100 times its size"):
        read_csv(path)


def test_a_bomb_of_zip_is_no_data_set(tmp_path: Path) -> None:
    made = io.BytesIO()
    np.save(made, np.zeros(80 << 20, np.uint8))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("x.npy", "y.npy"):
            archive.writestr(name, made.getvalue())
    with pytest.raises(ValueError, match=r"a.npz: \d+ bytes that unpack to \d+"):
        load_npz(tmp_path / "a.npz")
