"""The IDX reader: every dtype, plain and gzip, and one clear error for anything else."""

import gzip
import os
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinytensor.data import IDXError, read_idx

DTYPES = ("uint8", "int8", "int16", "int32", "float32", "float64")
SHAPES = ((), (1,), (7,), (0,), (3, 0, 2), (2, 3, 4, 5))


@pytest.fixture(params=["plain", "gzip"])
def pack(request):
    return gzip.compress if request.param == "gzip" else bytes


def written(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_reads_what_was_written(tmp_path, to_idx, pack, dtype, shape):
    values = (np.random.default_rng(0).standard_normal(shape) * 100).astype(dtype)
    got = read_idx(written(tmp_path, pack(to_idx(np.asarray(values)))))
    assert got.dtype == np.dtype(dtype) and got.dtype.isnative
    assert got.shape == shape
    assert got.flags.c_contiguous and got.flags.writeable
    np.testing.assert_array_equal(got, values)


def test_large_gzip_is_read_whole(tmp_path, to_idx):
    values = np.random.default_rng(0).integers(0, 9, (700, 41, 67), dtype=np.uint8)  # many chunks, none of them even
    np.testing.assert_array_equal(read_idx(written(tmp_path, gzip.compress(to_idx(values)))), values)


def test_gzip_members_are_joined_and_padding_ignored(tmp_path, to_idx):
    values = np.arange(60, dtype=np.uint8).reshape(3, 20)
    raw = to_idx(values)
    content = gzip.compress(raw[:5]) + gzip.compress(b"") + gzip.compress(raw[5:]) + bytes(300_000)
    np.testing.assert_array_equal(read_idx(written(tmp_path, content)), values)


BROKEN = {
    "empty": (b"", "truncated: 0 bytes"),
    "three bytes": (b"\0\0\x08", "truncated: 3 bytes"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(50), "not an IDX file: it starts with 89 50 4e 47"),
    "unknown type": (b"\0\0\x0a\x01" + bytes(4), "type code 0a"),
    "65 dimensions": (b"\0\0\x08\x41" + bytes(4 * 65), "65 dimensions"),
    "half a header": (b"\0\0\x08\x03" + bytes(6), "3 dimensions ends after 10 bytes"),
    "a value short": (struct.pack(">BBBBI", 0, 0, 0x0B, 1, 3) + bytes(5), "truncated"),
    "a byte too many": (struct.pack(">BBBBI", 0, 0, 0x0B, 1, 3) + bytes(7), "trailing bytes"),
    "absurd": (struct.pack(">BBBB3I", 0, 0, 8, 3, *[2**32 - 1] * 3) + bytes(9), "truncated or foreign"),
    "absurd but empty": (struct.pack(">BBBB4I", 0, 0, 8, 4, 0, *[2**32 - 1] * 3), "absurd shape"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_content_names_file_and_fault(tmp_path, pack, case):
    content, message = BROKEN[case]
    path = written(tmp_path, pack(content))
    with pytest.raises(IDXError, match=message) as caught:
        read_idx(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_error_says_what_was_promised_and_found(tmp_path, to_idx):
    raw = to_idx(np.zeros((4, 6), np.float64))
    with pytest.raises(IDXError, match=r"promises 4 x 6 float64 values = 204 bytes.*holds at most 203"):
        read_idx(written(tmp_path, raw[:-1]))


@pytest.mark.parametrize("cut", [3, 12, -8, -1])
def test_gzip_stream_cut_short(tmp_path, to_idx, cut):
    packed = gzip.compress(to_idx(np.random.default_rng(0).integers(0, 256, 5000).astype(np.uint8)))
    with pytest.raises(IDXError, match="truncated"):
        read_idx(written(tmp_path, packed[:cut]))


@pytest.mark.parametrize("place", [-6, 40])
def test_gzip_with_a_flipped_byte(tmp_path, to_idx, place):
    packed = bytearray(gzip.compress(to_idx(np.random.default_rng(0).integers(0, 9, 5000).astype(np.uint8))))
    packed[place] ^= 0xFF
    with pytest.raises(IDXError):
        read_idx(written(tmp_path, bytes(packed)))


def peak_of_failing_read(path):
    tracemalloc.start()
    try:
        with pytest.raises(IDXError):
            read_idx(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_claimed_size_is_checked_before_memory_is_taken(tmp_path, pack):
    content = struct.pack(">BBBB2I", 0, 0, 0x08, 2, 20_000, 20_000) + bytes(99)
    assert peak_of_failing_read(written(tmp_path, pack(content))) < 2e6


def test_gzip_bomb_is_not_unpacked(tmp_path):
    header = struct.pack(">BBBBI", 0, 0, 0x08, 1, 10)
    bomb = zlib.compressobj(9, wbits=31)
    packed = bomb.compress(header + bytes(50_000_000)) + bomb.flush()
    assert len(packed) < 100_000
    assert peak_of_failing_read(written(tmp_path, packed)) < 2e6


def test_missing_folder_and_pipe(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        read_idx(tmp_path / "absent")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(IDXError, match="not a regular file"):
            read_idx(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_raise_nothing_but_idx_error(tmp_path, to_idx, data):
    raw = to_idx(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    raw = bytearray(gzip.compress(raw) if data.draw(st.booleans()) else raw)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, min(30, len(raw) - 1)))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))] + data.draw(st.binary(max_size=4))
    try:
        values = read_idx(written(tmp_path, bytes(raw)))
    except IDXError:
        return
    assert values.nbytes <= 24 * 8
