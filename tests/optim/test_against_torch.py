"""The same runs by PyTorch, where it is installed."""

import inspect

import numpy as np
import pytest
import pytorch_runs as runs
from formulas import CASES, IDS

import tinytensor as tt
from tinytensor import optim
from tinytensor.optim import lr_scheduler as schedules
from tinytensor.optim import swa_utils

torch = pytest.importorskip("torch")

FUSED = [(case, name) for case, name in zip(CASES, IDS, strict=True) if hasattr(torch.optim, case[0].__name__)]


@pytest.fixture(autouse=True)
def in_float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # in which PyTorch then keeps NAdam's product of momenta
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("case", [case for case, _ in FUSED], ids=[name for _, name in FUSED])
def test_fifty_steps(case):
    kind, _, options = case
    rng = np.random.default_rng(0)
    array = rng.normal(size=(4, 3))
    p, q = tt.from_numpy(array.copy()).requires_grad_(), torch.tensor(array, requires_grad=True)
    ours, theirs = kind([p], lr=0.01, **options), getattr(torch.optim, kind.__name__)([q], lr=0.01, **options)
    for _ in range(50):
        g = rng.normal(size=(4, 3))
        p.grad, q.grad = tt.from_numpy(g), torch.tensor(g)
        ours.step()
        theirs.step()
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-10, atol=1e-13)
    mine, its = ours.state_dict()["state"], theirs.state_dict()["state"]
    if its:
        assert set(mine[0]) == set(its[0])
    for key, value in (its[0] if its else {}).items():
        if value is not None:
            np.testing.assert_allclose(np.asarray(mine[0][key]), value.numpy(), rtol=1e-10, atol=1e-13)
    # Its state, read as arrays, goes on here.
    arrays = {n: {k: v.numpy() for k, v in state.items() if v is not None} for n, state in its.items()}
    other = kind([p], lr=0.01, **options)
    other.load_state_dict({"state": arrays, "param_groups": ours.state_dict()["param_groups"]})
    p.grad, q.grad = tt.from_numpy(g), torch.tensor(g)
    other.step()
    theirs.step()
    np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-10, atol=1e-13)


RECORDED = runs.recorded()


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.filterwarnings("ignore")
def test_the_recorded_runs_are_its(name):
    np.testing.assert_allclose(runs.run(torch, name), RECORDED[name], **runs.tolerance(name))


S, T = schedules, torch.optim.lr_scheduler


def pair():
    return runs.optimizer_of(tt), runs.optimizer_of(torch)


def same(ours, theirs, mine, its):
    assert mine.get_last_lr() == pytest.approx(its.get_last_lr(), rel=1e-12, abs=1e-15)
    for a, b in zip(ours.param_groups, theirs.param_groups, strict=True):
        assert (a["lr"], a["momentum"]) == pytest.approx((b["lr"], b["momentum"]), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    "name", [n for n in vars(schedules) if n[0].isupper() and hasattr(torch.optim.lr_scheduler, n)]
)
def test_schedules_take_the_same(name):
    ours, theirs = (
        {k: p.default for k, p in inspect.signature(getattr(room, name)).parameters.items() if k != "self"}
        for room in (schedules, torch.optim.lr_scheduler)
    )
    theirs.pop("verbose", None)
    assert ours == theirs
    assert list(ours) == list(theirs)


def test_restarts_between_epochs():
    ours, theirs = pair()
    mine, its = S.CosineAnnealingWarmRestarts(ours, 3, 2), T.CosineAnnealingWarmRestarts(theirs, 3, 2)
    ours.step()
    for epoch in [0.0, 0.25, 2.75, 3.0, 7.5, 9.0, 20.999, 22.5]:
        mine.step(epoch)
        its.step(epoch)
        same(ours, theirs, mine, its)


def test_update_bn():
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=(n, 3)) for n in (6, 4)]
    ours, theirs = tt.nn.BatchNorm1d(3).double(), torch.nn.BatchNorm1d(3).double()
    swa_utils.update_bn([tt.from_numpy(x) for x in batches], ours)
    torch.optim.swa_utils.update_bn([torch.from_numpy(x) for x in batches], theirs)
    for a, b in zip(ours.buffers(), theirs.buffers(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)


def test_a_state_of_pytorchs_adam_is_read_as_it_is_written():
    """The layout of state_dict is PyTorch's, numbers of parameters and groups included."""
    ours = optim.Adam(
        [{"params": [tt.ones(2, requires_grad=True)], "lr": 0.1}, {"params": [tt.ones(3, requires_grad=True)]}]
    )
    theirs = torch.optim.Adam(
        [{"params": [torch.ones(2, requires_grad=True)], "lr": 0.1}, {"params": [torch.ones(3, requires_grad=True)]}]
    )
    for optimizer, package in ((ours, tt), (theirs, torch)):
        for group in optimizer.param_groups:
            group["params"][0].grad = package.ones_like(group["params"][0]) * 0.5
        optimizer.step()
    its = theirs.state_dict()
    assert (
        [g["params"] for g in ours.state_dict()["param_groups"]]
        == [g["params"] for g in its["param_groups"]]
        == [[0], [1]]
    )
    assert list(ours.state_dict()["state"]) == list(its["state"])
    arrays = {n: {k: v.numpy() for k, v in state.items()} for n, state in its["state"].items()}
    ours.load_state_dict({"state": arrays, "param_groups": its["param_groups"]})
    assert ours.param_groups[0]["lr"] == 0.1 and ours.param_groups[1]["betas"] == (0.9, 0.999)
    ours.step()
    theirs.step()
    for a, b in zip(ours.param_groups, theirs.param_groups, strict=True):
        np.testing.assert_allclose(a["params"][0].detach().numpy(), b["params"][0].detach().numpy(), rtol=1e-6)
