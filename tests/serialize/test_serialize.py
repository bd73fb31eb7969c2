"""Saving and loading: safetensors, whole files only, nothing but values."""

import json
import os
import pickle
import sys

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn
from tinytensor.serialize import load_metadata

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


def test_names_come_back_in_their_order(tmp_path):
    state = {
        name: tt.zeros(i, dtype=dtype)
        for i, (name, dtype) in enumerate(zip("zbya", ("bool", "int64", "float32", "uint8")))
    }
    tt.save(state, tmp_path / "file")
    assert list(tt.load(tmp_path / "file")) == list("zbya")


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


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        tt.load(tmp_path / "absent")
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
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


def test_numpy_is_all_it_needs(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "safetensors"]:
        monkeypatch.setitem(sys.modules, name, None)
    tt.save({"a": np.arange(3)}, tmp_path / "file")
    np.testing.assert_array_equal(tt.load(tmp_path / "file")["a"].numpy(), [0, 1, 2])


PICKLES = {
    "a pickle": pickle.dumps({"a": 1}, 4),
    "torch.save before 1.6": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + pickle.dumps(1001, 2),
}


@pytest.mark.parametrize("read", [tt.load, load_metadata])
@pytest.mark.parametrize("case", PICKLES)
def test_a_pickle_is_known_and_not_read(tmp_path, read, case):
    (tmp_path / "model.pt").write_bytes(PICKLES[case])
    with pytest.raises(
        ValueError, match=r"model\.pt: this is a pickle.*never read.*safetensors\.torch\.save_file"
    ) as caught:
        read(tmp_path / "model.pt")
    assert "\n" not in str(caught.value)


def test_a_header_that_begins_as_a_pickle_is_read(tmp_path):
    for length in (0x0280, 0x0380, 0x0480):  # in bytes: the opcode of a pickle and its versions
        text = json.dumps({"__metadata__": {"note": "é"}}).encode()
        (tmp_path / "file").write_bytes(length.to_bytes(8, "little") + text + b" " * (length - len(text)))
        assert load_metadata(tmp_path / "file") == {"note": "é"} and tt.load(tmp_path / "file") == {}


def test_a_header_that_begins_as_an_archive_is_none(tmp_path):
    (tmp_path / "file").write_bytes(b"PK\3\4\0\0\0\0{}")
    with pytest.raises(ValueError, match=r"a safetensors file \(a file of 10 bytes with a header of 67324752"):
        tt.load(tmp_path / "file")
