"""Nested structures in files come back as they were, types too."""

import json
import math
import struct
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn, optim
from tinytensor.data import DataLoader, TensorDataset
from tinytensor.optim import lr_scheduler
from tinytensor.serialize import load_metadata

pytest.importorskip("safetensors")


def same(a, b):
    """Equal in structure, types, order of keys and every bit."""
    if isinstance(a, tt.Tensor):
        return type(b) is tt.Tensor and not b.requires_grad and same(a.detach().numpy(), b.numpy())
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(type(k) is type(j) for k, j in zip(a, b)) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    if isinstance(a, np.generic):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return struct.pack("<d", a) == struct.pack("<d", b)
    return a == b


def there_and_back(value, path):
    tt.save(value, path)
    return tt.load(path)


VALUES = {
    "nothing": None,
    "numbers": [
        0,
        -1,
        2**63 - 1,
        -(2**63),
        2**63,
        2**64,
        -(10**5000),
        0.1,
        -0.0,
        5e-324,
        1.7976931348623157e308,
        math.inf,
    ],
    "more numbers": (-math.inf, math.nan, True, False, 1.0, 1),
    "text": ["", "é\n\0", "\ud800", '{"dict": []}', "NaN"],
    "empty": [{}, [], (), "", ((),), [{}], {"": {}}],
    "keys": {0: "int", "0": "str", -1: None, "a.b": 1, "a": {"b": 2}, "tensor": {"tensor": "a"}, "~": [[1, [2, (3,)]]]},
    "mappings": [OrderedDict(b=1, a=2), Counter({3: 2, "x": 1}), {"b": 1, "a": 2}],
    "a tensor": tt.tensor([1.0, 2.0]),
    "a 0-d tensor": [tt.tensor(2.5), tt.tensor(True), np.array(3)],
    "tensors": [
        tt.from_numpy(np.arange(6).astype(dtype).reshape(2, 3))
        for dtype in ("float32", "float64", "int64", "uint8", "bool")
    ],
    "arrays": [
        np.arange(4).astype(dtype)
        for dtype in ("int8", "int16", "uint16", "int32", "uint32", "uint64", "float16", "bool")
    ],
    "no elements": {"x": tt.zeros(0, 3), "y": np.zeros((2, 0), np.int32)},
    "scalars": [
        np.float64(0.1),
        np.float32("nan"),
        np.float16(2),
        np.int64(-3),
        np.uint64(2**64 - 1),
        np.int8(-1),
        np.bool_(True),
    ],
    "names that meet": {
        "a": {"b": tt.ones(1), 0: tt.ones(2)},
        "a.b": tt.ones(3),
        "a.b~2": [tt.ones(4)],
        "a.0": tt.ones(5),
        1: None,
    },
    "names of no use": {"\ud800": tt.ones(1), "?": tt.ones(2), "__metadata__": [tt.ones(3)], "": tt.ones(4)},
}


@pytest.mark.parametrize("case", VALUES)
def test_a_structure_comes_back(tmp_path, case):
    value = VALUES[case]
    assert same(value, there_and_back(value, tmp_path / "file"))


def test_the_comparison_of_these_tests_compares():
    for a, b in [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ([1], (1,)),
        ({1: 2}, {"1": 2}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ]:
        assert same(a, a) and not same(a, b)
    assert not same(tt.ones(2), np.ones(2, np.float32)) and not same(np.ones(2), np.ones((2, 1)))
    assert not same(OrderedDict(a=1), {"a": 1}) and not same(np.float32(1), np.float64(1))


def test_other_programs_find_the_tensors_by_their_paths(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    model = nn.Linear(2, 3)
    state = {
        "model": model.state_dict(),
        "optimizer": {"state": {0: {"step": 3, "exp_avg": tt.ones(3, 2)}}},
        "log": [1.0],
    }
    tt.save(state, tmp_path / "file", {"note": "kept"})
    found = library.load_file(tmp_path / "file")
    assert set(found) == {"model.weight", "model.bias", "optimizer.state.0.exp_avg"}
    np.testing.assert_array_equal(found["model.weight"], model.weight.detach().numpy())
    assert load_metadata(tmp_path / "file") == {"note": "kept"}
    assert same(tt.load(tmp_path / "file"), state)


def test_what_has_gradients_or_strides_comes_back_as_plain_values(tmp_path):
    value = [nn.Parameter(tt.ones(2)), tt.ones(2, 3, requires_grad=True).T * 2, np.arange(6, dtype=">i4")[::-2]]
    got = there_and_back(value, tmp_path / "file")
    assert type(got[0]) is tt.Tensor and not got[0].requires_grad and got[1].shape == (3, 2)
    assert got[1].is_contiguous() and got[2].tolist() == [5, 3, 1] and got[2].dtype == np.int32
    default = defaultdict(list, {"a": [1]})
    assert same(there_and_back({"x": default}, tmp_path / "file"), {"x": {"a": [1]}})


def test_a_tensor_that_comes_twice_is_two_afterwards(tmp_path):
    shared = tt.arange(3)
    first, second = there_and_back([shared, shared], tmp_path / "file")
    first += 1
    assert (first.tolist(), second.tolist()) == ([1, 2, 3], [0, 1, 2])


def trained(make):
    tt.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = make(model.parameters())
    schedule = lr_scheduler.MultiStepLR(optimizer, [2, 2, 5], gamma=0.5)
    return model, optimizer, schedule


def steps(model, optimizer, schedule, count):
    x, y = tt.randn(8, 3), tt.randn(8, 1)
    for _ in range(count):

        def closure():
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            return loss

        optimizer.step(closure)
        schedule.step()


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, 0.1, momentum=0.9),
        lambda p: optim.Adam(p, amsgrad=True),
        lambda p: optim.NAdam(p),
        lambda p: optim.Adadelta(p),
        lambda p: optim.LBFGS(list(p), max_iter=3),
    ],
    ids=["SGD", "Adam", "NAdam", "Adadelta", "LBFGS"],
)
def test_a_training_goes_on_from_a_file_bit_for_bit(tmp_path, make):
    def state(parts):
        return {name: part.state_dict() for name, part in zip(("model", "optimizer", "schedule"), parts)}

    whole = trained(make)
    steps(*whole, 3)
    tt.save({**state(whole), "generator": tt.random.default_generator.get_state()}, tmp_path / "file")
    kept = tt.load(tmp_path / "file")
    assert same(state(whole), {name: kept[name] for name in ("model", "optimizer", "schedule")})
    steps(*whole, 3)
    resumed = trained(make)
    for part, name in zip(resumed, ("model", "optimizer", "schedule")):
        part.load_state_dict(kept[name])
    tt.random.default_generator.set_state(kept["generator"])
    steps(*resumed, 3)
    assert same(state(whole), state(resumed))


@pytest.mark.parametrize(
    "make",
    [
        lambda o: lr_scheduler.ReduceLROnPlateau(o),
        lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.LinearLR(o), lr_scheduler.CosineAnnealingLR(o, 9)], [3]),
        lambda o: lr_scheduler.OneCycleLR(o, 0.1, 10),
        lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 0.9**epoch),
    ],
    ids=["plateau", "sequential", "one cycle", "lambda"],
)
def test_the_state_of_a_schedule_comes_back(tmp_path, make):
    optimizer = optim.SGD([nn.Parameter(tt.ones(2))], 0.1)
    schedule = make(optimizer)
    optimizer.step()
    schedule.step(*([1.0] if isinstance(schedule, lr_scheduler.ReduceLROnPlateau) else []))
    assert same(schedule.state_dict(), there_and_back(schedule.state_dict(), tmp_path / "file"))


def test_the_state_of_a_loader_comes_back(tmp_path):
    loader = DataLoader(TensorDataset(tt.arange(20)), batch_size=3, shuffle=True)
    batches = iter(loader)
    next(batches)
    assert same(loader.state_dict(), there_and_back(loader.state_dict(), tmp_path / "file"))


class Odd:
    pass


ITSELF = []
ITSELF.append(ITSELF)


@pytest.mark.parametrize(
    "value, error, message",
    [
        ({"optimizer": {"state": {3: {"hook": print}}}}, TypeError, r"optimizer\.state\[3\]\.hook: builtin_function"),
        ([1, (2, {"a": Odd()})], TypeError, r"save: \[1\]\[1\]\.a: Odd cannot be saved"),
        (Odd(), TypeError, "save: the value: Odd cannot be saved; expected"),
        (nn.Linear(2, 3), TypeError, r"save: the value: Linear cannot be saved: save its state_dict\(\); expected"),
        ({"a": {1, 2}}, TypeError, "save: a: set cannot be saved"),
        ({"a": b"bytes"}, TypeError, "save: a: bytes cannot"),
        ({"a": 1j}, TypeError, "save: a: complex cannot"),
        ({"a": np.complex64(1)}, TypeError, "save: a: complex64 cannot"),
        ({"a": [np.zeros(2, complex)]}, TypeError, r"save: a\[0\] is an array of complex128"),
        ({"a": [np.array([Odd()])]}, TypeError, r"save: a\[0\] is an array of object"),
        ({"a": [np.zeros(2, [("x", "i4")])]}, TypeError, r"save: a\[0\] is an array of \["),
        ({"a": {(1, 2): 3}}, TypeError, r"save: a: expected str or int for a key, got \(1, 2\): tuple"),
        ({"a": {True: 3}}, TypeError, "save: a: expected str or int for a key, got True: bool"),
        ({2**63: 3}, ValueError, "save: the value has a key beyond 64 bits: 0x8000000000000000"),
        (ITSELF, ValueError, r"save: more than 100 levels at \[0\]\[0\].*contain itself"),
    ],
)
def test_anything_else_is_refused_by_its_path(tmp_path, value, error, message):
    with pytest.raises(error, match=message):
        tt.save(value, tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_metadata_does_not_forge_a_structure(tmp_path):
    with pytest.raises(ValueError, match=r"entry 'tinytensor\.structure' is save's own"):
        tt.save({}, tmp_path / "file", {"tinytensor.structure": "[]"})


def forged(path, skeleton):
    library = pytest.importorskip("safetensors.numpy")
    text = skeleton if isinstance(skeleton, str) else json.dumps(skeleton)
    path.write_bytes(library.save({"a": np.ones(2), "b": np.ones(1, np.uint16)}, {"tinytensor.structure": text}))


@pytest.mark.parametrize(
    "skeleton, message",
    [
        ([{"tensor": "a"}, {"tensor": "c"}], "refers to tensor 'c', which the file has not, or twice"),
        ([{"tensor": "a"}, {"tensor": "a"}, {"array": "b"}], "refers to tensor 'a', which the file has not, or twice"),
        ([{"tensor": "a"}], "does not refer to tensor 'b', which the file holds"),
        ([{"tensor": ["a"]}], "refers to tensor"),
        ({}, "not of one kind"),
        ({"tuple": [], "dict": []}, "not of one kind"),
        ({"module": "os"}, "'module' that makes no sense"),
        ({"tuple": {}}, "not of one kind|makes no sense"),
        ({"dict": [[1]]}, "a dict without pairs"),
        ({"dict": [[1, 2], [1, 3]]}, "comes twice"),
        ({"dict": [[None, 2]]}, "a key is no string"),
        ({"dict": [[[], 2]]}, "a key is no string"),
        ({"float": "1e3"}, "makes no sense"),
        ({"float": []}, "makes no sense"),
        ({"int": "zwölf"}, "invalid literal"),
        ({"scalar": ["float32", "00"]}, "a scalar of float32 with 1 bytes"),
        ({"scalar": ["bool", "02"]}, "a scalar of bool"),
        ({"scalar": ["object", "00"]}, "'scalar' that makes no sense"),
        ({"scalar": ["float32", "no hexadecimal"]}, "non-hexadecimal"),
        ({"scalar": []}, "'scalar' that makes no sense"),
        ("[" * 102 + "]" * 102, "more than 100 levels"),
        ("[" * 100_000, "nested too deeply"),
        ("[NaN]", "'NaN' that makes no sense"),
        ("1" * 5000, "Exceeds the limit"),
        ('{"tuple": [], "tuple": []}', "not of one kind"),
        ("", "Expecting value"),
    ],
)
def test_a_forged_structure_is_refused(tmp_path, skeleton, message):
    forged(tmp_path / "file", skeleton)
    with pytest.raises(ValueError, match=message) as caught:
        tt.load(tmp_path / "file")
    assert str(caught.value).startswith(f"{tmp_path / 'file'}: its structure is damaged (")


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: (value,), lambda value: {"a": value}])
def test_as_deep_as_may_be_and_no_deeper(tmp_path, wrap):
    value = tt.ones(2)
    for _ in range(100):
        value = wrap(value)
    assert same(value, there_and_back(value, tmp_path / "file"))
    with pytest.raises(ValueError, match="more than 100 levels"):
        tt.save(wrap(value), tmp_path / "file")
    assert same(value, tt.load(tmp_path / "file"))


def test_a_well_made_forgery_is_read(tmp_path):
    forged(tmp_path / "file", {"tuple": [{"tensor": "b"}, {"array": "a"}]})
    assert same(tt.load(tmp_path / "file"), (tt.ones(1, dtype="int64"), np.ones(2)))
