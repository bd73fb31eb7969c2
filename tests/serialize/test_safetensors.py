"""The safetensors format: every dtype, and headers that lie."""

import io
import json
import struct
import tracemalloc

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.serialize import load_metadata
from tinytensor.serialize.safetensors import write

library = pytest.importorskip("safetensors.numpy")


def safetensors_bytes(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def one(dtype, size, shape=(1,)):
    return safetensors_bytes({"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}, bytes(size))


def entry(begin, end, shape=None, dtype="U8"):
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


GOOD = library.save({"a": np.arange(6.0), "b": np.ones(2, np.float32)})
LONG = "n" * 10**5
DAMAGED = {
    "empty": b"",
    "seven bytes": bytes(7),
    "no header": bytes(8),
    "cut": GOOD[:-1],
    "longer": GOOD + b"\0",
    "text": b"a checkpoint of something else entirely",
    "huge header": struct.pack("<Q", 2**62) + bytes(40),
    "largest header": b"\xff" * 8 + b"{",
    "header behind the end": struct.pack("<Q", 41) + b"{" + bytes(39),
    "huge tensor": one("F32", 4, (2**40,)),
    "header cut": GOOD[:20],
    "a list": safetensors_bytes([]),
    "spaces first": safetensors_bytes(b" {}"),
    "more behind": safetensors_bytes(b"{}{}"),
    "no UTF-8": safetensors_bytes(b'{"\xff": 1}'),
    "deep": safetensors_bytes(b'{"a":' * 10**5 + b"1" + b"}" * 10**5),
    "deep lists": safetensors_bytes(b'{"a":' + b"[" * 10**6),
    "a long number": safetensors_bytes({"a": entry(0, 1, [1])}, b"\0").replace(b"[1]", b"[" + b"1" * 5000 + b"]"),
    "a name twice": safetensors_bytes(
        b'{"a":' + json.dumps(entry(0, 1)).encode() + b',"a":' + json.dumps(entry(1, 2)).encode() + b"}", b"12"
    ),
    "a gap": safetensors_bytes({"a": entry(0, 1), "b": entry(2, 3)}, b"123"),
    "an overlap": safetensors_bytes({"a": entry(0, 2), "b": entry(1, 3)}, b"123"),
    "the same bytes": safetensors_bytes({"a": entry(0, 2), "b": entry(0, 2)}, b"12"),
    "backwards": safetensors_bytes({"a": entry(2, 0, [0])}, b"12"),
    "behind the end": safetensors_bytes({"a": entry(0, 3)}, b"12"),
    "before the end": safetensors_bytes({"a": entry(0, 1)}, b"12"),
    "negative": safetensors_bytes({"a": entry(-1, 1)}, b"12"),
    "negative shape": safetensors_bytes({"a": entry(0, 2, [-1, -2])}, b"12"),
    "true for a size": safetensors_bytes({"a": entry(0, 1, [True])}, b"1"),
    "a float for a size": safetensors_bytes({"a": entry(0, 1, [1.0])}, b"1"),
    "text for a shape": safetensors_bytes({"a": entry(0, 1, "1")}, b"1"),
    "three offsets": safetensors_bytes({"a": {**entry(0, 1), "data_offsets": [0, 1, 1]}}, b"1"),
    "sizes that overflow": safetensors_bytes({"a": entry(0, 0, [2**32, 2**32], "F32")}),
    "sizes that overflow beside 0": safetensors_bytes({"a": entry(0, 0, [0, 2**64])}),
    "no dtype": safetensors_bytes({"a": {"shape": [1], "data_offsets": [0, 1]}}, b"1"),
    "dtype of a number": safetensors_bytes({"a": entry(0, 1, dtype=8)}, b"1"),
    "a number for a tensor": safetensors_bytes({"a": 3}),
    "a long name": safetensors_bytes({LONG: 3}),
    "metadata of numbers": safetensors_bytes({"__metadata__": {"a": 3}}),
    "metadata of a list": safetensors_bytes({"__metadata__": []}),
    "a name that controls a terminal": safetensors_bytes({"\x1b[2J\n": entry(1, 2)}, b"12"),
}


@pytest.mark.parametrize("case", DAMAGED)
@pytest.mark.parametrize("read", [tt.load, load_metadata])
def test_damaged_file(tmp_path, read, case):
    path = tmp_path / "damaged"
    path.write_bytes(DAMAGED[case])
    with pytest.raises(ValueError, match="damaged or not a safetensors file") as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 600 and str(caught.value).isprintable()


@pytest.mark.parametrize(
    "header, message",
    [
        ({"a": entry(0, 1, [1] * 65)}, "dimension"),
        ({"a": entry(0, 0, [0, 2**62], "F32"), "b": entry(0, 1)}, "too (big|large)"),
        (
            b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":' + b"[" * 10**6 + b"]" * 10**6 + b"}}",
            "recursion",
        ),
        (b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":' + b"1" * 10**6 + b"}}", ""),
    ],
    ids=["65 dimensions", "a size for no array", "depth where nobody looks", "digits where nobody looks"],
)
def test_what_the_library_lets_pass_is_refused_by_name(tmp_path, header, message):
    (tmp_path / "file").write_bytes(safetensors_bytes(header, b"1"))
    with pytest.raises(ValueError, match=f"damaged or not a safetensors file.*{message}") as caught:
        tt.load(tmp_path / "file")
    assert str(caught.value).startswith(f"{tmp_path / 'file'}: ")


def test_no_text_and_fields_to_come_are_read(tmp_path):
    header = {"__metadata__": None, "a": {**entry(0, 1), "later": {"x": [1]}}}
    (tmp_path / "file").write_bytes(safetensors_bytes(header, b"\7"))
    assert {name: value.tolist() for name, value in tt.load(tmp_path / "file").items()} == {"a": [7]}
    assert load_metadata(tmp_path / "file") == {}


def test_a_large_number_in_a_small_file_asks_for_no_memory(tmp_path):
    tracemalloc.start()
    try:
        for shape in ([2**40], [0, 2**62], [2**31] * 2):
            (tmp_path / "file").write_bytes(safetensors_bytes({"a": entry(0, 0, shape, "F32")}))
            with pytest.raises(ValueError, match="file: "):
                tt.load(tmp_path / "file")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "dtype, size, why",
    [("C64", 8, "complex numbers are out of tinytensor's scope"), ("F8_E8M0", 1, "it cannot be read")],
)
def test_foreign_dtype(tmp_path, dtype, size, why):
    path = tmp_path / "foreign"
    path.write_bytes(one(dtype, size))
    with pytest.raises(ValueError, match=rf"foreign: tensor 'a' is {dtype}: {why}; load knows float32"):
        tt.load(path)


def test_a_file_of_another_kind_is_not_read_whole(tmp_path):
    tracemalloc.start()
    try:
        with open(tmp_path / "video", "wb") as file:
            file.write(bytes(8) + b"moov")
            file.truncate(2**28)  # a hole, which takes no room
        with pytest.raises(ValueError, match="video: damaged or not a safetensors file"):
            tt.load(tmp_path / "video")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_bool_is_zero_or_one_whatever_the_byte(tmp_path):
    (tmp_path / "bools").write_bytes(one("BOOL", 1)[:-1] + b"\x02")
    assert tt.load(tmp_path / "bools")["a"].numpy().tobytes() == b"\x01"


def stored(tmp_path, dtype, values, shape=None):
    """The Tensor of a file that holds an array's bytes as `dtype`."""
    shape = list(values.shape) if shape is None else shape
    header = {"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, values.nbytes]}}
    (tmp_path / "file").write_bytes(safetensors_bytes(header, values.tobytes()))
    return tt.load(tmp_path / "file")["a"]


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint16", "uint32", "uint64", "float16"])
def test_what_numpy_has_is_widened_without_loss(tmp_path, dtype):
    if dtype == "float16":
        values = np.arange(2**16, dtype=np.uint16).view(np.float16)
    else:
        limits = np.iinfo(dtype)
        values = np.array([limits.min, 0, 1, min(limits.max, 2**63 - 1)], dtype)
    library.save_file({"a": values, "scalar": np.array(values[3])}, tmp_path / "file")
    got = tt.load(tmp_path / "file")
    assert got["a"].dtype == ("float32" if dtype == "float16" else "int64")
    np.testing.assert_array_equal(got["a"].numpy(), values)
    np.testing.assert_array_equal(got["scalar"].numpy(), values[3])


def test_unsigned_integers_beyond_int64_are_refused(tmp_path):
    library.save_file({"a": np.array([2**63], np.uint64)}, tmp_path / "file")
    with pytest.raises(ValueError, match="file: tensor 'a' is U64 and holds 9223372036854775808, which int64 cannot"):
        tt.load(tmp_path / "file")


def test_every_bfloat16_is_the_float32_of_its_bits(tmp_path):
    bits = np.arange(2**16, dtype=np.uint16)
    got = stored(tmp_path, "BF16", bits).numpy()
    assert got.dtype == np.float32 and got.tobytes() == b"".join(b"\0\0" + struct.pack("<H", b) for b in bits.tolist())
    assert stored(tmp_path, "BF16", np.array(0x3FC0, np.uint16)).tolist() == 1.5


def float_of(byte, exponent_bits, bias, infinities):
    """An 8-bit float by its definition."""
    mantissa_bits = 7 - exponent_bits
    exponent, mantissa = (byte & 0x7F) >> mantissa_bits, byte & 2**mantissa_bits - 1
    sign = -1.0 if byte & 0x80 else 1.0
    if infinities and exponent == 2**exponent_bits - 1:
        return sign * np.inf if mantissa == 0 else np.nan
    if byte & 0x7F == 0x7F:
        return np.nan
    if exponent == 0:
        return sign * mantissa * 2.0 ** (1 - bias - mantissa_bits)
    return sign * (1 + mantissa / 2**mantissa_bits) * 2.0 ** (exponent - bias)


@pytest.mark.parametrize("dtype, rule", [("F8_E4M3", (4, 7, False)), ("F8_E5M2", (5, 15, True))])
def test_every_float_of_eight_bits(tmp_path, dtype, rule):
    got = stored(tmp_path, dtype, np.arange(256, dtype=np.uint8)).numpy()
    expected = np.array([float_of(byte, *rule) for byte in range(256)], np.float32)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(np.signbit(got[[0, 128]]), [False, True])
    assert stored(tmp_path, dtype, np.array(0x38, np.uint8)).dtype == "float32"


def test_no_elements_and_no_dimensions(tmp_path):
    for dtype in ("BOOL", "BF16", "F16", "F8_E4M3", "F8_E5M2", "U64", "F64"):
        empty = stored(tmp_path, dtype, np.zeros((0, 3), np.uint8))
        assert empty.shape == (0, 3)
        size = {"BF16": 2, "F16": 2, "U64": 8, "F64": 8}.get(dtype, 1)
        scalar = stored(tmp_path, dtype, np.zeros(size, np.uint8), [])
        assert scalar.shape == () and scalar.item() == 0


@pytest.mark.parametrize(
    "state, metadata, message",
    [
        ({"__metadata__": np.ones(1)}, None, "no name for a tensor"),
        ({"\ud800": np.ones(1)}, None, "cannot be written"),
        ({}, {"note": "\ud800"}, "cannot be written"),
        ({}, {"note": "x" * (10**8 + 1)}, "names and text that no file can hold .*header too large"),
    ],
    ids=["metadata's name", "a name of no Unicode", "text of no Unicode", "text of 100 MB"],
)
def test_names_that_no_file_can_hold(tmp_path, state, metadata, message):
    with pytest.raises(ValueError, match=message):
        tt.save(state, tmp_path / "file", metadata)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("metadata", [{}, {"a \u2028\x1f": '"\\\n'}])
def test_the_bytes_are_the_packages(metadata):
    """Every dtype, no elements, no dimensions, other strides and byte orders, names that sort and escape oddly."""
    arrays = [
        np.array(5),
        np.ones((0, 3)),
        np.arange(6).reshape(2, 3).T,
        np.arange(9)[::-2],
        np.zeros((1, 0)),
        np.ones(1),
    ]
    names = ("", "Z", "a", "\u00e9", "\U0001f600", "\uffff", '"\\\x7f\t')
    codes = ("?", "u1", "i1", "i2", "u2", "f2", ">i4", "u4", ">f4", "f8", "i8", ">u8")
    made = {
        f"{n}{c}": a.astype(c) for i, n in enumerate(names) for c, a in zip(codes, [*arrays[i % 6 :], *arrays, *arrays])
    }
    file = io.BytesIO()
    write(file, made, metadata)
    native = {name: a.astype(a.dtype.newbyteorder("="), order="C") for name, a in made.items()}
    assert file.getvalue() == library.save(native, metadata or None)
