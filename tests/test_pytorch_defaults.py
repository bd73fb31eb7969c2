"""Each default is PyTorch's (tests/pytorch_defaults.json), but for those that are named here."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
import pytorch_defaults

import tinytensor as tt

RECORDED = pytorch_defaults.recorded()
NONE: Any = inspect.Parameter.empty
DIFFERENT: dict[tuple[str, str], Any] = {
    ("arange", "start"): NONE,  # one signature for both forms
    ("Tensor.type", "dtype"): NONE,
    ("nn.Parameter", "data"): NONE,
    ("kthvalue", "dim"): -1,  # what None means there
    ("topk", "dim"): -1,
    ("Tensor.kthvalue", "dim"): -1,
    ("Tensor.mode", "dim"): -1,
    ("Tensor.topk", "dim"): -1,
    ("nn.functional.softmax", "dim"): -1,  # theirs guesses, and warns
    ("nn.functional.log_softmax", "dim"): -1,
    ("nn.functional.softmin", "dim"): -1,
    ("load", "weights_only"): True,  # nothing else is read
    ("meshgrid", "indexing"): "ij",
    ("norm", "p"): 2,
    ("Tensor.norm", "p"): 2,
}


@pytest.mark.parametrize("name", RECORDED)
def test_the_defaults_are_pytorchs(name: str) -> None:
    own = inspect.signature(pytorch_defaults.found(tt, name)).parameters
    for key, value in RECORDED[name].items():
        wanted = DIFFERENT.get((name, key), value)
        assert own[key].default == (tuple(wanted) if isinstance(wanted, list) else wanted), key
        assert type(own[key].default) is type(wanted) or not isinstance(wanted, bool), key


def test_what_differs_is_recorded_and_differs() -> None:
    for (name, key), value in DIFFERENT.items():
        assert RECORDED[name][key] != value
    assert sum(map(len, RECORDED.values())) > 900


def test_the_record_is_pytorchs_own() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("torch.optim.swa_utils")
    pytest.importorskip("torch.utils.data")
    made_by = json.loads(pytorch_defaults.FILE.read_text())["made by"]
    if f"PyTorch {torch.__version__}" != made_by:
        pytest.skip(f"the record is that of {made_by}")
    theirs = pytorch_defaults.common(torch)
    for name, row in RECORDED.items():
        assert json.loads(json.dumps(theirs[name])) == row, name
    assert set(theirs) == set(RECORDED)  # a name that is new here has to be recorded
