"""The same runs by PyTorch, where it is installed."""

import inspect

import numpy as np
import pytest
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


@pytest.mark.parametrize(
    "options",
    [
        {"line_search_fn": "strong_wolfe", "max_iter": 3},
        {"line_search_fn": "strong_wolfe", "max_iter": 30, "history_size": 4},
        {"line_search_fn": "strong_wolfe", "lr": 0.01, "max_eval": 9},
        {"line_search_fn": "strong_wolfe", "lr": 50.0, "max_iter": 5},
        {"lr": 0.002, "max_iter": 10},
        {"lr": 0.002, "history_size": 3, "max_eval": 6},
    ],
)
def test_lbfgs(options):
    start = np.array([-1.2, 1.0, 0.7, -0.3])
    p, q = tt.from_numpy(start.copy()).requires_grad_(), torch.tensor(start, requires_grad=True)

    def rosenbrock(v):
        return (100 * (v[1:] - v[:-1] ** 2) ** 2 + (1 - v[:-1]) ** 2).sum()

    def closure_of(optimizer, v):
        def closure():
            optimizer.zero_grad()
            loss = rosenbrock(v)
            loss.backward()
            return loss

        return closure

    ours, theirs = optim.LBFGS([p], **options), torch.optim.LBFGS([q], **options)
    for _ in range(4):
        mine, its = ours.step(closure_of(ours, p)), theirs.step(closure_of(theirs, q))
        np.testing.assert_allclose(mine.item(), its.item(), rtol=1e-7)
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-7)
        assert ours.state[p]["func_evals"] == theirs.state[q]["func_evals"]
        assert ours.state[p]["n_iter"] == theirs.state[q]["n_iter"]


S, T = schedules, torch.optim.lr_scheduler
SCHEDULES = {
    "step": lambda m, o: m.StepLR(o, 3, 0.5),
    "multistep": lambda m, o: m.MultiStepLR(o, [2, 5, 5, 9], 0.5),
    "exponential": lambda m, o: m.ExponentialLR(o, 0.9),
    "constant": lambda m, o: m.ConstantLR(o, 0.25, 4),
    "linear": lambda m, o: m.LinearLR(o, 0.2, 0.9, 8),
    "polynomial": lambda m, o: m.PolynomialLR(o, 9, 2.0),
    "cosine": lambda m, o: m.CosineAnnealingLR(o, 8, 0.001),
    "restarts": lambda m, o: m.CosineAnnealingWarmRestarts(o, 3, 2, 0.001),
    "restarts equal": lambda m, o: m.CosineAnnealingWarmRestarts(o, 4),
    "lambda": lambda m, o: m.LambdaLR(o, [lambda e: 0.9**e, lambda e: 1 / (e + 1)]),
    "multiplicative": lambda m, o: m.MultiplicativeLR(o, lambda e: 0.8 + 0.01 * e),
    "cycle": lambda m, o: m.OneCycleLR(o, [0.7, 0.1], total_steps=30),
    "cycle in three": lambda m, o: m.OneCycleLR(
        o, 0.7, epochs=5, steps_per_epoch=6, three_phase=True, anneal_strategy="linear"
    ),
    "triangular": lambda m, o: m.CyclicLR(o, 0.01, [0.5, 0.1], 3, 5),
    "triangular2": lambda m, o: m.CyclicLR(o, [0.01, 0.02], 0.5, 4, mode="triangular2"),
    "exp range": lambda m, o: m.CyclicLR(o, 0.01, 0.5, 4, mode="exp_range", gamma=0.9, cycle_momentum=False),
    "own scale": lambda m, o: m.CyclicLR(o, 0.01, 0.5, 4, scale_fn=lambda x: 1 / x),
    "own scale by step": lambda m, o: m.CyclicLR(o, 0.01, 0.5, 4, scale_fn=lambda x: 0.9**x, scale_mode="iterations"),
    "warm-up": lambda m, o: m.SequentialLR(o, [m.LinearLR(o, 0.1, 1.0, 5), m.CosineAnnealingLR(o, 20)], [5]),
    "three in turn": lambda m, o: m.SequentialLR(
        o, [m.ConstantLR(o, 0.1, 3), m.ExponentialLR(o, 0.9), m.StepLR(o, 2, 0.5)], [3, 9]
    ),
    "in turn, later": lambda m, o: m.SequentialLR(o, [m.LambdaLR(o, lambda e: 0.5**e), m.PolynomialLR(o, 6)], [4]),
    "multiplicative second": lambda m, o: m.SequentialLR(
        o, [m.ConstantLR(o, 0.5, 9), m.MultiplicativeLR(o, lambda e: 0.9)], [4]
    ),
    "restarts second": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o, 0.5, 1.0, 4), m.CosineAnnealingWarmRestarts(o, 3, 2)], [4]
    ),
    "chained": lambda m, o: m.ChainedScheduler([m.LinearLR(o, 0.1, 1.0, 5), m.ExponentialLR(o, 0.9)]),
}


def pair():
    ours = optim.SGD([{"params": [tt.ones(2, requires_grad=True)], "lr": lr} for lr in (0.5, 0.02)], momentum=0.9)
    theirs = torch.optim.SGD(
        [{"params": [torch.ones(2, requires_grad=True)], "lr": lr} for lr in (0.5, 0.02)], momentum=0.9
    )
    return ours, theirs


def same(ours, theirs, mine, its):
    assert mine.get_last_lr() == pytest.approx(its.get_last_lr(), rel=1e-12, abs=1e-15)
    for a, b in zip(ours.param_groups, theirs.param_groups, strict=True):
        assert (a["lr"], a["momentum"]) == pytest.approx((b["lr"], b["momentum"]), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name):
    ours, theirs = pair()
    mine, its = SCHEDULES[name](S, ours), SCHEDULES[name](T, theirs)
    same(ours, theirs, mine, its)
    for _ in range(25):
        for each in (ours, theirs, mine, its):
            each.step()
        same(ours, theirs, mine, its)


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 1},
        {"mode": "max", "patience": 0, "factor": 0.5, "min_lr": [0.1, 0.01]},
        {"patience": 1, "threshold": 0.3, "threshold_mode": "abs", "cooldown": 2},
        {"mode": "max", "patience": 2, "threshold": 0.2, "threshold_mode": "abs", "eps": 0.1},
    ],
)
def test_plateau(options):
    ours, theirs = pair()
    mine, its = S.ReduceLROnPlateau(ours, **options), T.ReduceLROnPlateau(theirs, **options)
    for measure in [1.0, 0.9, 0.95, 0.94, float("nan"), 0.8, 0.8, 0.9, 1.5, 1.4, 1.6, 0.1, 0.1, 0.2, 0.2, 0.2]:
        mine.step(measure)
        its.step(measure)
        same(ours, theirs, mine, its)
        assert mine.in_cooldown == its.in_cooldown


@pytest.mark.parametrize("arguments", [(0.1,), ([0.1, 0.3], 4, "linear"), (0.1, 0)])
def test_swalr(arguments):
    ours, theirs = pair()
    before, its_before = S.ExponentialLR(ours, 0.9), T.ExponentialLR(theirs, 0.9)
    mine, its = swa_utils.SWALR(ours, *arguments), torch.optim.swa_utils.SWALR(theirs, *arguments)
    same(ours, theirs, mine, its)
    for epoch in range(15):
        for each in (ours, theirs, *((before, its_before) if epoch < 3 else (mine, its))):
            each.step()
        for a, b in zip(ours.param_groups, theirs.param_groups, strict=True):
            assert a["lr"] == pytest.approx(b["lr"], rel=1e-12)


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
