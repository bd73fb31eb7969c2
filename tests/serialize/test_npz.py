"""NumPy's archives: NumPy reads ours, we read NumPy's, and nothing is unpickled."""

import io
import os
import struct
import zipfile

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn
from tinytensor.serialize import load_metadata


class Bomb:
    """What unpickling would run."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was read",))


STATE = {
    "layers/0.weight": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
    "é.npy": np.array([np.nan, -0.0, 5e-324]),
    "int64": np.array([-(2**63), 2**63 - 1]),
    "bool": np.array([True, False]),
    "uint8": np.array(7, np.uint8),
    "empty": np.zeros((0, 3)),
}


def test_numpy_reads_what_is_saved_and_so_does_load(tmp_path):
    path = tmp_path / "state.npz"
    tt.save({name: tt.from_numpy(value.copy()) for name, value in STATE.items()}, path)
    ours = tt.load(path)
    with np.load(path, allow_pickle=False) as theirs:
        assert theirs.files == list(ours) == list(STATE)
        for name, value in STATE.items():
            for got in (theirs[name], ours[name].numpy()):
                assert got.dtype == value.dtype and got.shape == value.shape and got.tobytes() == value.tobytes()
    assert load_metadata(path) == {}
    content = path.read_bytes()
    tt.save(STATE, path)
    assert path.read_bytes() == content  # no time of day in it
    assert os.listdir(tmp_path) == ["state.npz"]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_load_reads_what_numpy_saves(tmp_path, save):
    state = {
        **STATE,
        "columns first": np.asfortranarray(np.arange(24).reshape(2, 3, 4)),
        "big endian": np.arange(3, dtype=">f4"),
        "int16": np.arange(3, dtype=np.int16),
        "float16": np.float16(1.5),
        "zeros": np.zeros(10**6, np.float32),
    }
    with open(tmp_path / "any name", "wb") as file:
        save(file, **state)
    got = tt.load(tmp_path / "any name")
    assert list(got) == list(state)
    for name, value in state.items():
        np.testing.assert_array_equal(got[name].numpy(), value)
        assert got[name].is_contiguous()
    assert got["int16"].dtype == "int64" and got["float16"].dtype == "float32"


def test_a_model_comes_back_from_an_archive(tmp_path):
    model, other = (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)) for _ in range(2))
    model(tt.randn(5, 3))
    tt.save(model.state_dict(), tmp_path / "model.npz")
    other.load_state_dict(tt.load(tmp_path / "model.npz"))
    x = tt.randn(5, 3)
    assert model.eval()(x).tolist() == other.eval()(x).tolist()


@pytest.mark.parametrize(
    "value, metadata, message",
    [
        ({"a": {"b": tt.ones(1)}}, None, "takes a flat mapping from names to tensors, got a nested dict"),
        ([tt.ones(1)], None, "got a nested list"),
        ({"a": 1.0}, None, "got a nested dict"),
        ({"a": tt.ones(1)}, {"note": "x"}, "got metadata; use .safetensors"),
        ({"a": np.array([Bomb()])}, None, "save: a is an array of object"),
    ],
)
def test_an_archive_holds_named_tensors_alone(tmp_path, value, metadata, message):
    with pytest.raises(TypeError, match=message):
        tt.save(value, tmp_path / "file.npz", metadata)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a\0b", "n" * 70_000])
def test_names_that_no_archive_can_hold(tmp_path, name):
    with pytest.raises(ValueError, match="no name for an entry"):
        tt.save({name: tt.ones(1)}, tmp_path / "file.npz")
    assert list(tmp_path.iterdir()) == []


def npy(array=None, header=None, body=b""):
    if header is None:
        file = io.BytesIO()
        np.save(file, array)
        return file.getvalue()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + body


def archive(entries, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        for name, content in entries.items():
            made.writestr(name, content)
    return file.getvalue()


def described(descr="'<f4'", fortran="False", shape="(1,)", body=b"1234"):
    return archive(
        {
            "a.npy": npy(
                header=f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode(), body=body
            )
        }
    )


GOOD = archive({"a.npy": npy(np.arange(100.0)), "b.npy": npy(np.ones(3, np.float32))}, zipfile.ZIP_DEFLATED)
REFUSED = {
    "objects": (archive({"a.npy": npy(np.array([Bomb()]))}), "array 'a' holds Python objects: they are pickled"),
    "complex": (archive({"a.npy": npy(np.ones(2, complex))}), "array 'a' is of '<c16', which no tensor can be"),
    "text": (archive({"a.npy": npy(np.array(["abc"]))}), "array 'a' is of '<U3'"),
    "dates": (archive({"a.npy": npy(np.zeros(1, "M8[s]"))}), r"array 'a' is of '<M8\[s\]'"),
    "records": (archive({"a.npy": npy(np.zeros(1, [("x", "i4")]))}), "array 'a' is of \"\\[\\('x', '<i4'\\)\\]\""),
    "beyond int64": (
        archive({"a.npy": npy(np.array([2**64 - 1], np.uint64))}),
        "holds 18446744073709551615, which int64 cannot",
    ),
    "another archive": (archive({"text.txt": b"text"}), "entry 'text.txt' of the archive is no array"),
    "torch.save": (
        archive({"model/data.pkl": b"\x80\2", "model/data/0": b"1234"}),
        "this is a pickle, as torch.save writes",
    ),
    "another method": (archive({"a.npy": npy(np.ones(9))}, zipfile.ZIP_BZIP2), "is packed by method 12"),
    "a bomb": (archive({"a.npy": bytes(2**27)}, zipfile.ZIP_DEFLATED), r"\d+ bytes that unpack to 134217728"),
    "cut": (GOOD[:-1], "damaged or not an .npz"),
    "nothing but a beginning": (b"PK\3\4", "damaged or not an .npz"),
    "another byte": (GOOD[:90] + bytes([GOOD[90] ^ 1]) + GOOD[91:], "damaged or not an .npz"),
    "no header": (archive({"a.npy": b"1234"}), "array 'a' has no header"),
    "version 9": (archive({"a.npy": b"\x93NUMPY\x09\0" + bytes(90)}), "array 'a' has no header"),
    "long header": (
        archive({"a.npy": b"\x93NUMPY\2\0" + struct.pack("<I", 2**31)}),
        "array 'a' has a header of 2147483648",
    ),
    "code": (described(shape="__import__('os').abort()"), "an array's header is damaged"),
    "deep": (described(shape="(" * 3000), "an array's header is damaged"),
    "negative": (described(shape="(-1, -1)"), "an array's header is damaged"),
    "true": (described(shape="(True,)"), "an array's header is damaged"),
    "a list": (described(shape="[1]"), "an array's header is damaged"),
    "order of 2": (described(fortran="2"), "an array's header is damaged"),
    "huge": (described(shape="(2**40,)".replace("2**40", str(2**40))), "of <f4 and shape .* has 4 bytes"),
    "overflow": (described(shape=f"({2**32}, {2**32})", body=b""), "of <f4 and shape .* has 0 bytes"),
    "overflow beside 0": (described(shape=f"(0, {2**62})", body=b""), "damaged or not an .npz"),
    "too short": (described(shape="(2,)"), r"shape \(2,\) has 4 bytes"),
    "too long": (described(body=b"12345"), r"shape \(1,\) has 5 bytes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_archives_that_are_refused(tmp_path, case):
    content, message = REFUSED[case]
    path = tmp_path / "file.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        tt.load(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_comes_twice(tmp_path):
    with zipfile.ZipFile(tmp_path / "file", "w") as made:
        for _ in range(2):
            made.writestr("a.npy", npy(np.ones(1)))
    with pytest.raises(ValueError, match="the name 'a' comes twice"):
        tt.load(tmp_path / "file")


def test_a_bool_of_an_archive_is_zero_or_one(tmp_path):
    (tmp_path / "file").write_bytes(described(descr="'|b1'", body=b"\2"))
    assert tt.load(tmp_path / "file")["a"].numpy().tobytes() == b"\1"
