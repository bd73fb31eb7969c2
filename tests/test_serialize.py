"""Saving and loading: safetensors, whole files only, nothing but values."""

import json
import os
import struct
import sys

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn
from tinytensor.serialize import load_metadata, write_atomically

safetensors_numpy = pytest.importorskip("safetensors.numpy")

STATE = {
    "float32": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
    "float64": np.array([np.nan, -0.0, np.inf, 5e-324]),
    "int64": np.array([[-(2**63)], [2**63 - 1]]),
    "uint8": np.arange(5, dtype=np.uint8),
    "bool": np.array([True, False]),
    "scalar": np.array(2.5, np.float32),
    "empty": np.zeros((0, 3), np.float32),
}


def test_every_dtype_comes_back_bit_for_bit(tmp_path):
    path = tmp_path / "state.safetensors"
    tt.save({name: tt.from_numpy(value.copy()) for name, value in STATE.items()}, path, {"note": "é\n"})
    loaded = tt.load(path)
    assert set(loaded) == set(STATE)
    for name, value in STATE.items():
        got = loaded[name]
        assert isinstance(got, tt.Tensor) and not got.requires_grad
        assert got.dtype == value.dtype and got.shape == value.shape
        assert got.numpy().tobytes() == value.tobytes()
        assert got.numpy().flags.writeable
    assert load_metadata(path) == {"note": "é\n"}


def test_other_programs_read_it_and_it_reads_theirs(tmp_path):
    tt.save(STATE, tmp_path / "ours")
    for name, value in safetensors_numpy.load_file(tmp_path / "ours").items():
        assert value.tobytes() == STATE[name].tobytes()
    safetensors_numpy.save_file({"a": STATE["float32"]}, tmp_path / "theirs")
    np.testing.assert_array_equal(tt.load(tmp_path / "theirs")["a"].numpy(), STATE["float32"])
    assert load_metadata(tmp_path / "theirs") == {}


def test_strided_values_are_written_in_order(tmp_path):
    value = np.arange(24.0).reshape(4, 6)
    views = {"transposed": value.T, "stepped": value[::2, ::-3]}
    tt.save({name: tt.from_numpy(view) for name, view in views.items()}, tmp_path / "views")
    for name, got in tt.load(tmp_path / "views").items():
        np.testing.assert_array_equal(got.numpy(), views[name])


def test_a_model_comes_back(tmp_path):
    model, other = (nn.Sequential(nn.Linear(5, 3), nn.ReLU(), nn.Linear(3, 2)) for _ in range(2))
    tt.save(model.state_dict(), tmp_path / "model")
    other.load_state_dict(tt.load(tmp_path / "model"))
    x = tt.randn(4, 5)
    np.testing.assert_array_equal(model(x).detach().numpy(), other(x).detach().numpy())


def safetensors_bytes(header, body=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def one(dtype, size, shape=(1,)):
    return safetensors_bytes({"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}, bytes(size))


GOOD = safetensors_numpy.save({"a": np.arange(6.0), "b": np.ones(2, np.float32)})
DAMAGED = {
    "empty": b"",
    "cut": GOOD[:-1],
    "longer": GOOD + b"\0",
    "text": b"a checkpoint of something else entirely",
    "pickle": b"\x80\x04\x95" + bytes(40),
    "huge header": struct.pack("<Q", 2**62) + bytes(40),
    "huge tensor": one("F32", 4, (2**40,)),
    "header cut": GOOD[:20],
}


@pytest.mark.parametrize("case", DAMAGED)
@pytest.mark.parametrize("read", [tt.load, load_metadata])
def test_damaged_file(tmp_path, read, case):
    path = tmp_path / "damaged"
    path.write_bytes(DAMAGED[case])
    with pytest.raises(ValueError, match="damaged or not a safetensors file") as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "dtype, size, why",
    [("C64", 8, "complex numbers are out of tinytensor's scope"), ("F8_E8M0", 1, "it cannot be read")],
)
def test_foreign_dtype(tmp_path, dtype, size, why):
    path = tmp_path / "foreign"
    path.write_bytes(one(dtype, size))
    with pytest.raises(ValueError, match=rf"foreign: tensor 'a' is '{dtype}': {why}; load knows float32"):
        tt.load(path)


def test_a_bool_is_zero_or_one_whatever_the_byte(tmp_path):
    (tmp_path / "bools").write_bytes(one("BOOL", 1)[:-1] + b"\x02")
    assert tt.load(tmp_path / "bools")["a"].numpy().tobytes() == b"\x01"


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        tt.load(tmp_path / "absent")
    with pytest.raises(IsADirectoryError):
        tt.load(tmp_path)


@pytest.mark.parametrize(
    "state, metadata, message",
    [
        ({"a": np.array([object()])}, None, "save: a is an array of object"),
        ({"a": np.zeros(2, complex)}, None, "save: a is an array of complex128"),
        ({"a": np.zeros(2)}, {"epoch": 3}, "metadata must map str to str, got 'epoch': int"),
    ],
)
def test_save_takes_only_tensors_and_text(tmp_path, state, metadata, message):
    with pytest.raises(TypeError, match=message):
        tt.save(state, tmp_path / "file", metadata)
    assert os.listdir(tmp_path) == []


def test_an_old_file_survives_a_failed_write(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full_disk(descriptor):
        assert path.read_bytes() == b"old"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_write_follows_a_link_and_leaves_one_file(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_atomically(tmp_path / "link", b"content")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"content"
    assert sorted(os.listdir(tmp_path)) == ["link", "target"]


def test_numpy_is_all_it_needs(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "safetensors"]:
        monkeypatch.setitem(sys.modules, name, None)
    tt.save({"a": np.arange(3)}, tmp_path / "file")
    np.testing.assert_array_equal(tt.load(tmp_path / "file")["a"].numpy(), [0, 1, 2])
