"""Averages of weights against their formulas and PyTorch's; SWALR against its closed form."""

import math

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn, optim
from tinytensor.optim import swa_utils


class Counting(nn.Module):
    """A layer with buffers of two types."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.scale = nn.Parameter(tt.ones(2, dtype=tt.float64))
        self.register_buffer("mean", tt.zeros(2))
        self.register_buffer("seen", tt.zeros(1, dtype=tt.int64))

    def forward(self, x):
        return self.linear(x)


def histories(model, averaged, steps=6):
    """Change the model at random and average; returns every parameter and buffer as it was at each update."""
    rng = np.random.default_rng(0)
    seen = []
    for _ in range(steps):
        with tt.no_grad():
            for p in [*model.parameters(), *model.buffers()]:
                p.copy_(np.asarray(rng.normal(size=p.shape) * 10, p.dtype))
        averaged.update_parameters(model)
        seen.append([p.detach().numpy().astype(np.float64) for p in [*model.parameters(), *model.buffers()]])
    return list(zip(*seen, strict=True))


def values(averaged):
    return [p.detach().numpy() for p in [*averaged.module.parameters(), *averaged.module.buffers()]]


def ema(history, decay):
    average = history[0]
    for now in history[1:]:
        average = decay * average + (1 - decay) * now
    return average


@pytest.mark.parametrize(
    ("options", "formula"),
    [
        ({}, lambda h: np.mean(h, axis=0)),
        ({"multi_avg_fn": swa_utils.get_swa_multi_avg_fn()}, lambda h: np.mean(h, axis=0)),
        ({"avg_fn": swa_utils.get_swa_avg_fn()}, lambda h: np.mean(h, axis=0)),
        ({"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.7)}, lambda h: ema(h, 0.7)),
        ({"avg_fn": swa_utils.get_ema_avg_fn(0.7)}, lambda h: ema(h, 0.7)),
        ({"avg_fn": lambda average, now, n: now * int(n)}, lambda h: h[-1] * 5),
    ],
)
@pytest.mark.parametrize("use_buffers", [False, True])
def test_averages(options, formula, use_buffers):
    model = Counting()
    averaged = swa_utils.AveragedModel(model, use_buffers=use_buffers, **options)
    before = values(averaged)
    memory = [p._data for p in averaged.module.parameters()]
    *floats, mean, seen = histories(model, averaged)
    assert averaged.n_averaged.item() == 6
    for value, history in zip(values(averaged), [*floats, mean] if use_buffers else floats, strict=False):
        np.testing.assert_allclose(value, formula(history), rtol=1e-5, atol=1e-5)
    if not use_buffers:
        np.testing.assert_array_equal(values(averaged)[-2], mean[-1])
        np.testing.assert_array_equal(values(averaged)[-1], seen[-1])
    assert all(p._data is array for p, array in zip(averaged.module.parameters(), memory, strict=True))
    assert before[0] is not model.linear.weight._data


@pytest.mark.parametrize(
    "options", [{"avg_fn": swa_utils.get_ema_avg_fn(0.5)}, {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.5)}]
)
def test_buffers_of_integers_are_averaged_and_cut_off(options):
    model = Counting()
    averaged = swa_utils.AveragedModel(model, use_buffers=True, **options)
    found = []
    for now in (10, 20, 30, 31):
        model.seen.fill_(now)
        averaged.update_parameters(model)
        found.append(averaged.module.seen.item())
    assert found == [10, 15, 22, 26]


def test_the_first_update_copies():
    model = Counting()
    averaged = swa_utils.AveragedModel(model, avg_fn=lambda average, now, n: average * math.nan)
    with tt.no_grad():
        model.linear.weight.add_(1)
    model.mean.fill_(3)
    model.seen.fill_(4)
    averaged.update_parameters(model)
    np.testing.assert_array_equal(averaged.module.linear.weight.detach().numpy(), model.linear.weight.detach().numpy())
    for mine, theirs in zip(averaged.module.buffers(), model.buffers(), strict=True):
        assert mine.tolist() == theirs.tolist() != [0] * mine.numel()
    x = tt.rand(4, 3)
    np.testing.assert_array_equal(averaged(x).detach().numpy(), model(x).detach().numpy())


def test_state_dict_goes_on():
    model = Counting()
    first = swa_utils.AveragedModel(model)
    histories(model, first, 3)
    second = swa_utils.AveragedModel(Counting())
    second.load_state_dict(first.state_dict())
    assert second.n_averaged.item() == 3
    histories(model, first, 2)
    histories(model, second, 2)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(values(first), values(second), strict=True))


def test_misfits_are_refused():
    averaged = swa_utils.AveragedModel(nn.Linear(3, 2))
    with pytest.raises(ValueError, match=r"expected parameter 0 to be float32 \(2, 3\), got float32 \(2, 4\)"):
        averaged.update_parameters(nn.Linear(4, 2))
    with pytest.raises(ValueError, match="expected a model of 2 parameters, got one of 1"):
        averaged.update_parameters(nn.Linear(3, 2, bias=False))
    assert averaged.n_averaged.item() == 0
    with pytest.raises(ValueError, match="only one of avg_fn and multi_avg_fn"):
        swa_utils.AveragedModel(nn.Linear(3, 2), avg_fn=min, multi_avg_fn=min)
    for make in (swa_utils.get_ema_avg_fn, swa_utils.get_ema_multi_avg_fn):
        with pytest.raises(ValueError, match=r"Invalid decay value 1\.5"):
            make(1.5)


def test_a_trained_average_predicts():
    tt.manual_seed(0)
    x = tt.rand(256, 2)
    y = (x[:, 0] > x[:, 1]).to(tt.int64)
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
    averaged = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.95))
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        nn.CrossEntropyLoss()(model(x), y).backward()
        optimizer.step()
        averaged.update_parameters(model)
    assert (averaged(x).argmax(1) == y).sum().item() > 240


class Normed(nn.Module):
    def __init__(self, momentum):
        super().__init__()
        self.norm = nn.BatchNorm1d(3, momentum=momentum)
        self.body = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 2), nn.BatchNorm1d(2))

    def forward(self, x):
        return self.body(self.norm(x))


@pytest.mark.parametrize("momentum", [0.3, None])
@pytest.mark.parametrize("pack", [lambda x: x, lambda x: (x, 0), lambda x: [x]])
def test_update_bn(momentum, pack):
    model = Normed(momentum)
    model.body.eval()
    batches = [tt.randn(n, 3) * 2 + 1 for n in (8, 5, 6)]
    model.norm.running_mean.fill_(99)
    model.norm.num_batches_tracked.fill_(50)
    swa_utils.update_bn([pack(x) for x in batches], model, device="cpu")
    norm = model.norm
    np.testing.assert_allclose(
        norm.running_mean.numpy(), np.mean([x.numpy().mean(0) for x in batches], axis=0), rtol=1e-4
    )
    np.testing.assert_allclose(
        norm.running_var.numpy(), np.mean([x.numpy().var(0, ddof=1) for x in batches], axis=0), rtol=1e-4
    )
    assert norm.num_batches_tracked.item() == model.body[2].num_batches_tracked.item() == 3
    assert (norm.momentum, model.body[2].momentum) == (momentum, 0.1)
    assert [m.training for m in (model, norm, model.body, *model.body)] == [True, True, False, False, False, False]
    assert norm.weight.grad is None


def test_update_bn_puts_modes_and_momenta_back_after_an_error():
    model = Normed(0.3).eval()
    with pytest.raises(ValueError, match="the second of size 3"):
        swa_utils.update_bn([tt.ones(4, 2)], model)
    assert model.norm.momentum == 0.3 and not any(m.training for m in model.modules())
    with pytest.raises(RuntimeError, match="got 'cuda'"):
        swa_utils.update_bn([], model, "cuda")


def test_update_bn_leaves_a_model_without_batch_norm_alone():
    def batches():
        raise AssertionError("the loader was asked")
        yield

    swa_utils.update_bn(batches(), nn.Linear(2, 2))


def optimizer_at(*rates):
    return optim.SGD([{"params": [tt.ones(2, requires_grad=True)], "lr": rate} for rate in rates])


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("epochs", [0, 1, 6])
def test_swalr(strategy, epochs):
    optimizer = optimizer_at(0.5, 0.02)
    scheduler = swa_utils.SWALR(optimizer, [0.1, 0.05], epochs, strategy)
    for epoch in range(9):
        t = min(epoch / epochs, 1) if epochs else 1
        share = (1 - math.cos(math.pi * t)) / 2 if strategy == "cos" else t
        wanted = [start + (goal - start) * share for start, goal in ((0.5, 0.1), (0.02, 0.05))]
        assert scheduler.get_last_lr() == pytest.approx(wanted, rel=1e-12)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("strategy", ["cos", "linear"])
def test_swalr_holds_its_rate_against_changes_once_it_is_there(strategy):
    optimizer = optimizer_at(0.5)
    scheduler = swa_utils.SWALR(optimizer, 0.125, 3, strategy)
    for step in range(8):
        optimizer.step()
        scheduler.step()
        if step >= 3:
            assert optimizer.param_groups[0]["lr"] == 0.125
            optimizer.param_groups[0]["lr"] = 7.0


def test_swalr_resumes():
    first = optimizer_at(0.5)
    scheduler = swa_utils.SWALR(first, 0.1, 8)
    for _ in range(3):
        first.step()
        scheduler.step()
    second = optimizer_at(0.5)
    other = swa_utils.SWALR(second, 0.2, 5, "linear")
    second.load_state_dict(first.state_dict())
    other.load_state_dict(scheduler.state_dict())
    for _ in range(7):
        for each in (first, second, scheduler, other):
            each.step()
        assert scheduler.get_last_lr() == other.get_last_lr()


def test_swalr_options_are_checked():
    with pytest.raises(TypeError, match="float is not an Optimizer"):
        swa_utils.SWALR(0.5, 0.1)
    for arguments, message in [
        ((0.1, -1), "anneal_epochs must be equal or greater than 0, got -1"),
        ((0.1, 5, "step"), "must be one of 'cos' or 'linear', instead got step"),
        (([0.1, 0.2],), "swa_lr must have the same length"),
    ]:
        with pytest.raises(ValueError, match=message):
            swa_utils.SWALR(optimizer_at(0.5), *arguments)
