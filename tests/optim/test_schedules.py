"""Schedules against their closed formulas, alone, together and after a resume."""

import copy
import inspect
import itertools
import json
import math

import pytest

import tinytensor as tt
from tinytensor import optim
from tinytensor.optim import lr_scheduler as schedules


def make_optimizer(*lrs, kind=optim.SGD, **options):
    return kind([{"params": [tt.ones(2, requires_grad=True)], "lr": lr} for lr in lrs], **options)


def run(scheduler, steps):
    """Return the rates of each epoch, the first (before any step) included."""
    rates = [scheduler.get_last_lr()]
    for _ in range(steps):
        scheduler.optimizer.step()
        scheduler.step()
        rates.append(scheduler.get_last_lr())
        assert rates[-1] == [group["lr"] for group in scheduler.optimizer.param_groups]
    return rates


def close(actual, expected):
    for epoch, (rates, wanted) in enumerate(zip(actual, expected, strict=True)):
        assert rates == pytest.approx(wanted, rel=1e-12, abs=1e-15), f"epoch {epoch}"


@pytest.mark.parametrize(("size", "gamma"), [(3, 0.1), (1, 0.9)])
def test_step_lr(size, gamma):
    rates = run(schedules.StepLR(make_optimizer(0.5, 0.02), step_size=size, gamma=gamma), 10)
    close(rates, [[0.5 * gamma ** (e // size), 0.02 * gamma ** (e // size)] for e in range(11)])


@pytest.mark.parametrize(("first", "last", "total"), [(1 / 3, 1.0, 5), (1.0, 0.0, 7), (0.25, 0.5, 1)])
def test_linear_lr(first, last, total):
    rates = run(schedules.LinearLR(make_optimizer(0.5, 0.02), first, last, total), total + 4)
    share = [first + (last - first) * min(e, total) / total for e in range(total + 5)]
    close(rates, [[0.5 * s, 0.02 * s] for s in share])


@pytest.mark.parametrize(("t_max", "eta_min"), [(10, 0.0), (7, 0.003), (1, 0.0), (2, 0.01)])
def test_cosine_lr_falls_to_eta_min_and_rises_again(t_max, eta_min):
    rates = run(schedules.CosineAnnealingLR(make_optimizer(0.5, 0.02), t_max, eta_min), 4 * t_max + 1)

    def formula(base, epoch):
        return eta_min + (base - eta_min) * (1 + math.cos(math.pi * epoch / t_max)) / 2

    for epoch, (first, second) in enumerate(rates):
        assert first == pytest.approx(formula(0.5, epoch), rel=1e-9, abs=1e-15)
        assert second == pytest.approx(formula(0.02, epoch), rel=1e-9, abs=1e-15)
    assert rates[t_max] == pytest.approx([eta_min, eta_min], abs=1e-15)


def test_multi_step_lr():
    rates = run(schedules.MultiStepLR(make_optimizer(0.5, 0.02), [2, 5, 5, 9], 0.5), 10)
    passed = [sum(m <= e for m in (2, 5, 5, 9)) for e in range(11)]
    close(rates, [[0.5 * 0.5**n, 0.02 * 0.5**n] for n in passed])


def test_exponential_lr():
    close(run(schedules.ExponentialLR(make_optimizer(0.5), 0.9), 10), [[0.5 * 0.9**e] for e in range(11)])


@pytest.mark.parametrize("total", [0, 1, 4])
def test_constant_lr(total):
    rates = run(schedules.ConstantLR(make_optimizer(0.5), 0.25, total), 6)
    # as PyTorch's: over no epochs at all the factor is never taken back
    close(rates, [[0.125 if e < total or total == 0 else 0.5] for e in range(7)])


@pytest.mark.parametrize("power", [1.0, 2.0, 0.5])
def test_polynomial_lr(power):
    rates = run(schedules.PolynomialLR(make_optimizer(0.5, 0.02), 7, power), 10)
    share = [(1 - min(e, 7) / 7) ** power for e in range(11)]
    close(rates, [[0.5 * s, 0.02 * s] for s in share])


def cosine(start, low, share):
    return low + (start - low) * (1 + math.cos(math.pi * share)) / 2


def test_warm_restarts():
    rates = run(schedules.CosineAnnealingWarmRestarts(make_optimizer(0.5), 3, 2, 0.01), 22)
    shares = [i / 3 for i in range(3)] + [i / 6 for i in range(6)] + [i / 12 for i in range(12)] + [0, 1 / 24]
    close(rates, [[cosine(0.5, 0.01, s)] for s in shares])
    equal = run(schedules.CosineAnnealingWarmRestarts(make_optimizer(0.5), 4), 9)
    close(equal, [[cosine(0.5, 0, (e % 4) / 4)] for e in range(10)])


def test_warm_restarts_at_any_epoch():
    optimizer = make_optimizer(0.5)
    scheduler = schedules.CosineAnnealingWarmRestarts(optimizer, 3, 2)
    optimizer.step()
    for epoch, share in [(0.5, 0.5 / 3), (3.75, 0.75 / 6), (9 + 6.0, 0.5), (21.0, 0.0), (2.0, 2 / 3)]:
        scheduler.step(epoch)
        assert scheduler.get_last_lr() == pytest.approx([cosine(0.5, 0, share)], rel=1e-12)
        assert scheduler.last_epoch == math.floor(epoch)
    with pytest.raises(ValueError, match="non-negative epoch, but got -1"):
        scheduler.step(-1)


def triangle(step, up, down):
    step %= up + down
    return step / up if step <= up else (up + down - step) / down


@pytest.mark.parametrize(
    ("options", "scale"),
    [
        ({}, lambda e: 1.0),
        ({"mode": "triangular2"}, lambda e: 0.5 ** (e // 7)),
        ({"mode": "exp_range", "gamma": 0.9}, lambda e: 0.9**e),
        ({"scale_fn": lambda x: 1 / (x + 1)}, lambda e: 1 / (e // 7 + 2)),
        ({"scale_fn": lambda x: 0.8**x, "scale_mode": "iterations"}, lambda e: 0.8**e),
    ],
)
@pytest.mark.parametrize(("kind", "kind_options"), [(optim.SGD, {"momentum": 0.5}), (optim.NAdam, {})])
def test_cyclic_lr(options, scale, kind, kind_options):
    optimizer = make_optimizer(0.1, 0.2, kind=kind, **kind_options)
    scheduler = schedules.CyclicLR(optimizer, [0.01, 0.02], 0.5, 3, 4, **options)
    for step in range(20):
        share = triangle(step, 3, 4) * scale(step)
        assert scheduler.get_last_lr() == pytest.approx([0.01 + 0.49 * share, 0.02 + 0.48 * share], rel=1e-12)
        for group in optimizer.param_groups:
            momentum = group["momentum"] if kind is optim.SGD else group["betas"][0]
            assert momentum == pytest.approx(0.9 - 0.1 * share, rel=1e-12)
        optimizer.step()
        scheduler.step()


def test_multiplicative_lr():
    rates = run(schedules.MultiplicativeLR(make_optimizer(0.5, 0.02), [lambda e: 0.9, lambda e: e]), 5)
    close(rates, [[0.5 * 0.9**e, 0.02 * math.factorial(e)] for e in range(6)])


def test_warm_up_then_decay():
    optimizer = make_optimizer(0.5, 0.02)
    warm = schedules.LinearLR(optimizer, 0.1, 1.0, 4)
    scheduler = schedules.SequentialLR(optimizer, [warm, schedules.CosineAnnealingLR(optimizer, 8)], [4])
    share = [0.1 + 0.9 * e / 4 for e in range(4)] + [cosine(1, 0, e / 8) for e in range(8)]
    close(run(scheduler, 11), [[0.5 * s, 0.02 * s] for s in share])


@pytest.mark.parametrize(
    ("make", "shares"),
    [
        (lambda o: schedules.MultiStepLR(o, [0, 2, 2], 0.5), [0.5, 0.5, 0.125]),
        (lambda o: schedules.ConstantLR(o, 0.25, 2), [0.25, 0.25, 1]),
        (lambda o: schedules.ConstantLR(o, 0.25, 0), [1, 1, 1]),
        (lambda o: schedules.LinearLR(o, 0.25, 0.75, 2), [0.25, 0.5, 0.75]),
        (lambda o: schedules.StepLR(o, 2, 0.5), [1, 1, 0.5]),
        (lambda o: schedules.PolynomialLR(o, 2), [1, 0.5, 0]),
        (lambda o: schedules.ExponentialLR(o, 0.5), [1, 0.5, 0.25]),
    ],
)
def test_a_schedule_that_follows_another_begins_at_its_own_epoch_0(make, shares):
    optimizer = make_optimizer(0.5, 0.02)
    before = schedules.ExponentialLR(optimizer, 0.9)
    rates = run(schedules.SequentialLR(optimizer, [before, make(optimizer)], [3]), 5)
    close(rates, [[0.5 * s, 0.02 * s] for s in [1, 0.9, 0.81, *shares]])


def test_schedules_within_schedules():
    optimizer = make_optimizer(0.5)
    s = schedules
    inner = s.SequentialLR(optimizer, [s.ConstantLR(optimizer, 0.5, 9), s.ExponentialLR(optimizer, 0.9)], [2])
    both = s.ChainedScheduler([s.StepLR(optimizer, 2, 0.1), s.LinearLR(optimizer, 0.5, 1.0, 2)])
    first = s.LinearLR(optimizer, 0.2, 1.0, 3)
    scheduler = s.SequentialLR(optimizer, [first, inner, both], [3, 7])
    shares = [0.2, 0.2 + 0.8 / 3, 0.2 + 1.6 / 3, 0.5, 0.5, 1, 0.9, 0.5, 0.75, 0.1, 0.1, 0.01]
    close(run(scheduler, 11), [[0.5 * share] for share in shares])


def test_a_schedule_within_that_begins_with_its_second_part():
    optimizer = make_optimizer(0.5)
    s = schedules
    inner = s.SequentialLR(optimizer, [s.ConstantLR(optimizer, 0.1, 9), s.StepLR(optimizer, 1, 0.5)], [0])
    rates = run(s.SequentialLR(optimizer, [s.ConstantLR(optimizer, 0.3, 9), inner], [2]), 5)
    close(rates, [[0.5 * share] for share in (0.3, 0.3, 1, 0.5, 0.25, 0.125)])


def test_schedules_three_deep():
    optimizer = make_optimizer(0.5)
    s = schedules
    inner = s.SequentialLR(optimizer, [s.ExponentialLR(optimizer, 0.5), s.ConstantLR(optimizer, 0.1, 9)], [2])
    middle = s.SequentialLR(optimizer, [s.ConstantLR(optimizer, 0.2, 9), inner], [2])
    rates = run(s.SequentialLR(optimizer, [s.ConstantLR(optimizer, 0.3, 9), middle], [1]), 6)
    close(rates, [[0.5 * share] for share in (0.3, 0.2, 0.2, 1, 0.5, 0.1, 0.1)])


def test_a_state_of_more_or_fewer_schedules_is_refused_whole():
    optimizer = make_optimizer(0.5, 0.02)
    s = schedules
    two = s.LambdaLR(optimizer, [lambda e: 0.5**e, lambda e: 0.9**e])
    chained = s.ChainedScheduler([s.StepLR(optimizer, 2), s.ExponentialLR(optimizer, 0.9)])
    for scheduler, other, text in (
        (two, s.LambdaLR(make_optimizer(0.5), lambda e: 0.5**e), "has 1 functions of the epoch, this LambdaLR 2"),
        (chained, s.ChainedScheduler([s.StepLR(optimizer, 2)]), "has 1 schedules, this ChainedScheduler 2"),
    ):
        other.last_epoch = 77
        before = scheduler.state_dict()
        with pytest.raises(ValueError, match=text):
            scheduler.load_state_dict(other.state_dict())
        assert scheduler.state_dict() == before


def test_a_constant_of_no_epochs_is_none_where_it_comes_second():
    optimizer = make_optimizer(0.5)
    parts = [schedules.ExponentialLR(optimizer, 0.5), schedules.ConstantLR(optimizer, 0.1, 0)]
    close(run(schedules.SequentialLR(optimizer, parts, [2]), 3), [[0.5], [0.25], [0.5], [0.5]])


def test_chained_schedules_multiply():
    optimizer = make_optimizer(0.5)
    warm, decay = schedules.LinearLR(optimizer, 0.1, 1.0, 4), schedules.ExponentialLR(optimizer, 0.9)
    rates = run(schedules.ChainedScheduler([warm, decay]), 9)
    close(rates, [[0.5 * (0.1 + 0.9 * min(e, 4) / 4) * 0.9**e] for e in range(10)])


@pytest.mark.parametrize(
    ("options", "measures", "wanted"),
    [
        ({"patience": 1}, [3, 2, 2, 2, 2, 1.9, 1.9, 1.9], [1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01]),
        ({"patience": 0, "mode": "max", "factor": 0.5}, [1, 2, 2, 3, 2, 1], [1, 1, 0.5, 0.5, 0.25, 0.125]),
        ({"patience": 0, "threshold": 0.5}, [4, 2.1, 1.9, 1], [1, 0.1, 0.1, 0.01]),
        ({"patience": 0, "threshold": 0.5, "threshold_mode": "abs"}, [4, 3.6, 3.4, 2.8], [1, 0.1, 0.1, 0.1]),
        ({"patience": 0, "cooldown": 2}, [1, 1, 1, 1, 1], [1, 0.1, 0.1, 0.1, 0.01]),
        ({"patience": 0, "min_lr": 0.02}, [1, 1, 1, 1], [1, 0.1, 0.02, 0.02]),
        ({"patience": 0, "eps": 0.5}, [1, 1, 1], [1, 0.1, 0.1]),
        ({"patience": 0}, [1, math.nan], [1, 0.1]),
    ],
)
def test_plateau(options, measures, wanted):
    optimizer = make_optimizer(1.0)
    scheduler = schedules.ReduceLROnPlateau(optimizer, **options)
    rates = []
    for measure in measures:
        scheduler.step(tt.tensor(float(measure)))
        rates.append(optimizer.param_groups[0]["lr"])
        assert scheduler.get_last_lr() == [rates[-1]]
    assert rates == pytest.approx(wanted, rel=1e-12)


def test_plateau_resumes():
    measures = [1, 0.9, 0.9, 0.9, 0.8, 0.8, 0.8, 0.8, 0.8]
    first, second = make_optimizer(1.0), make_optimizer(1.0)
    options = {"patience": 1, "cooldown": 1}
    scheduler, other = (schedules.ReduceLROnPlateau(o, **options) for o in (first, second))
    for measure in measures[:5]:
        scheduler.step(measure)
    second.load_state_dict(first.state_dict())
    other.load_state_dict(scheduler.state_dict())
    for measure in measures[5:]:
        scheduler.step(measure)
        other.step(measure)
        assert scheduler.get_last_lr() == other.get_last_lr()
        assert scheduler.in_cooldown == other.in_cooldown


def test_plateau_with_a_group_added_later():
    optimizer = make_optimizer(1.0)
    scheduler = schedules.ReduceLROnPlateau(optimizer, patience=0, min_lr=0.5)
    listed = schedules.ReduceLROnPlateau(optimizer, patience=0, min_lr=[0.5])
    optimizer.add_param_group({"params": tt.ones(2, requires_grad=True), "lr": 2.0})
    scheduler.step(1)
    scheduler.step(1)
    assert scheduler.get_last_lr() == [0.5, 0.5]
    listed.step(1)
    with pytest.raises(RuntimeError, match=r"\(2\) differs from when ReduceLROnPlateau was made \(1\)"):
        listed.step(1)


def test_a_schedule_that_steps_before_its_optimizer_warns():
    optimizer = make_optimizer(0.5)
    scheduler = schedules.ExponentialLR(optimizer, 0.5)
    with pytest.warns(UserWarning, match=r"`lr_scheduler.step\(\)` before `optimizer.step\(\)`") as caught:
        scheduler.step()
    assert [w.filename for w in caught] == [__file__]
    scheduler.step()  # once is enough
    assert scheduler.get_last_lr() == [0.125]


@pytest.mark.parametrize("kind", [optim.SGD, optim.LBFGS])
def test_a_step_before_a_schedule_was_made_does_not_count(kind):
    p = tt.ones(2, requires_grad=True)

    def closure():
        loss = (p * p).sum()
        p.grad = None
        loss.backward()
        return loss

    optimizer = kind([p], lr=0.1)
    optimizer.step(closure)
    scheduler = schedules.SequentialLR(optimizer, [schedules.ConstantLR(optimizer)], [])
    with pytest.warns(UserWarning, match="before `optimizer"):
        scheduler.step()
    optimizer = kind([p], lr=0.1)
    scheduler = schedules.ConstantLR(optimizer)
    optimizer.step(closure)
    scheduler.step()
    schedules.ConstantLR(optimizer).step()


def test_an_optimizer_with_a_step_of_its_own_is_not_warned_of():
    class Plain(optim.Optimizer):
        def step(self, closure=None):
            pass

    scheduler = schedules.ExponentialLR(Plain([tt.ones(2, requires_grad=True)], {"lr": 0.5}), 0.5)
    scheduler.optimizer.step()
    scheduler.step()
    assert scheduler.get_last_lr() == [0.25]


def test_lambda_lr():
    one = run(schedules.LambdaLR(make_optimizer(0.5, 0.02), lambda e: 0.95**e), 6)
    close(one, [[0.5 * 0.95**e, 0.02 * 0.95**e] for e in range(7)])
    two = run(schedules.LambdaLR(make_optimizer(0.5, 0.02), [lambda e: 1 / (e + 1), lambda e: e + 2]), 6)
    close(two, [[0.5 / (e + 1), 0.02 * (e + 2)] for e in range(7)])


def one_cycle(step, total, pct, first, high, low, strategy, three_phase):
    """The 1cycle value at a step, written out independently: piecewise between knots, cosine or linear."""
    knots = [(0.0, first), (pct * total - 1, high)]
    if three_phase:
        knots.append((2 * pct * total - 2, first))
    knots.append((total - 1, low))
    for (x0, y0), (x1, y1) in itertools.pairwise(knots):
        if step <= x1:
            t = (step - x0) / (x1 - x0)
            weight = (1 - math.cos(math.pi * t)) / 2 if strategy == "cos" else t
            return y0 + (y1 - y0) * weight
    raise AssertionError(step)


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize(("kind", "options"), [(optim.SGD, {"momentum": 0.9}), (optim.Adam, {}), (optim.AdamW, {})])
def test_one_cycle(strategy, three_phase, kind, options):
    total, pct = 40, 0.3
    optimizer = make_optimizer(0.1, 0.2, kind=kind, **options)
    scheduler = schedules.OneCycleLR(
        optimizer,
        [0.5, 0.02],
        total_steps=total,
        pct_start=pct,
        anneal_strategy=strategy,
        three_phase=three_phase,
    )
    for step in range(total):
        rates = [
            one_cycle(step, total, pct, high / 25, high, high / 25 / 1e4, strategy, three_phase) for high in (0.5, 0.02)
        ]
        assert scheduler.get_last_lr() == pytest.approx(rates, rel=1e-12), step
        momentum = one_cycle(step, total, pct, 0.95, 0.85, 0.95, strategy, three_phase)
        for group in optimizer.param_groups:
            found = group["momentum"] if kind is optim.SGD else group["betas"][0]
            assert found == pytest.approx(momentum, rel=1e-12), step
            if kind is not optim.SGD:
                assert group["betas"][1] == 0.999
        optimizer.step()
        scheduler.step()
    # Stepped once more after the last batch, as training loops do: the last rate stays, none is negative.
    assert scheduler.get_last_lr() == pytest.approx([0.5 / 25e4, 0.02 / 25e4], rel=1e-12)
    with pytest.raises(ValueError, match=r"Tried to step 41 times\. The specified number of total steps is 40"):
        scheduler.step()


def test_one_cycle_by_epochs_without_momentum():
    optimizer = make_optimizer(0.1, momentum=0.9)
    scheduler = schedules.OneCycleLR(optimizer, 0.5, epochs=4, steps_per_epoch=10, cycle_momentum=False)
    assert scheduler.total_steps == 40
    rates = [rate for (rate,) in run(scheduler, 39)]
    assert max(rates) == rates[11] == pytest.approx(0.5)
    assert optimizer.param_groups[0]["momentum"] == 0.9


def test_one_cycle_rise_of_one_step_starts_at_the_top():
    scheduler = schedules.OneCycleLR(make_optimizer(0.1), 0.5, total_steps=10, pct_start=0.1)
    assert scheduler.get_last_lr() == [0.5]


def test_one_cycle_with_rise_or_fall_only():
    optimizer = make_optimizer(0.1)
    rise = run(schedules.OneCycleLR(optimizer, 0.5, total_steps=11, pct_start=1.0, anneal_strategy="linear"), 10)
    close(rise, [[0.02 + 0.48 * e / 10] for e in range(11)])
    fall = run(schedules.OneCycleLR(optimizer, 0.5, total_steps=10, pct_start=0.0, anneal_strategy="linear"), 9)
    close(fall, [[0.5 + (0.5 / 25e4 - 0.5) * (e + 1) / 10] for e in range(10)])


def test_one_cycle_of_one_step_is_its_end():
    scheduler = schedules.OneCycleLR(make_optimizer(0.1), 0.5, total_steps=1)
    assert scheduler.get_last_lr() == pytest.approx([0.5 / 25e4], rel=1e-9)


def test_two_schedules_multiply():
    optimizer = make_optimizer(0.5)
    warm = schedules.LinearLR(optimizer, 0.1, 1.0, 4)
    steps = schedules.StepLR(optimizer, 3, 0.5)
    for epoch in range(10):
        factor = (0.1 + 0.9 * min(epoch, 4) / 4) * 0.5 ** (epoch // 3)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5 * factor, rel=1e-12)
        optimizer.step()
        warm.step()
        steps.step()


MAKERS = {
    "step": lambda o, **k: schedules.StepLR(o, 3, 0.5, **k),
    "linear": lambda o, **k: schedules.LinearLR(o, 0.2, 0.9, 8, **k),
    "cosine": lambda o, **k: schedules.CosineAnnealingLR(o, 8, 0.001, **k),
    "lambda": lambda o, **k: schedules.LambdaLR(o, lambda e: 0.9**e, **k),
    "cycle": lambda o, **k: schedules.OneCycleLR(o, 0.7, total_steps=20, **k),
    "multistep": lambda o, **k: schedules.MultiStepLR(o, [2, 4, 4, 7], 0.5, **k),
    "exponential": lambda o, **k: schedules.ExponentialLR(o, 0.9, **k),
    "constant": lambda o, **k: schedules.ConstantLR(o, 0.3, 4, **k),
    "polynomial": lambda o, **k: schedules.PolynomialLR(o, 9, 2.0, **k),
    "restarts": lambda o, **k: schedules.CosineAnnealingWarmRestarts(o, 2, 2, **k),
    "multiplicative": lambda o, **k: schedules.MultiplicativeLR(o, lambda e: 0.9 + 0.01 * e, **k),
    "triangular": lambda o, **k: schedules.CyclicLR(o, 0.1, 0.9, 2, 3, mode="triangular2", **k),
}
COMPOUND = {
    "sequential": lambda o: schedules.SequentialLR(o, [MAKERS["linear"](o), MAKERS["restarts"](o)], [4]),
    "chained": lambda o: schedules.ChainedScheduler([MAKERS["linear"](o), MAKERS["exponential"](o)]),
    "nested": lambda o: schedules.SequentialLR(o, [COMPOUND["chained"](o), COMPOUND["sequential"](o)], [4]),
}


@pytest.mark.parametrize("name", [*MAKERS, *COMPOUND])
@pytest.mark.parametrize("seen", [3, 5])
def test_resume_by_state_dict(name, seen):
    make = {**MAKERS, **COMPOUND}[name]
    whole = run(make(make_optimizer(0.5, momentum=0.9)), 12)
    first = make_optimizer(0.5, momentum=0.9)
    scheduler = make(first)
    head = run(scheduler, seen)
    second = make_optimizer(0.5, momentum=0.9)
    other = make(second)
    second.load_state_dict(first.state_dict())
    other.load_state_dict(copy.deepcopy(scheduler.state_dict()))
    assert name == "chained" or other.last_epoch == seen
    assert "optimizer" not in scheduler.state_dict()
    assert head + run(other, 12 - seen)[1:] == whole


@pytest.mark.parametrize("name", [*MAKERS, *COMPOUND])
def test_state_dicts_survive_json(name):
    make = {**MAKERS, **COMPOUND}[name]
    first, second = make_optimizer(0.5, momentum=0.9), make_optimizer(0.5, momentum=0.9)
    scheduler, other = make(first), make(second)
    run(scheduler, 4)
    second.load_state_dict(first.state_dict())
    other.load_state_dict(json.loads(json.dumps(scheduler.state_dict())))
    assert run(other, 7)[1:] == run(scheduler, 7)[1:]


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("seen", [1, 6])
def test_resume_by_last_epoch(name, seen):
    whole = run(MAKERS[name](make_optimizer(0.5, momentum=0.9)), 12)
    optimizer = make_optimizer(0.5, momentum=0.9)
    run(MAKERS[name](optimizer), seen)
    resumed = MAKERS[name](optimizer, last_epoch=seen - 1)
    assert resumed.last_epoch == seen
    assert run(resumed, 12 - seen) == whole[seen:]


def test_defaults_are_pytorchs():
    def defaults(kind):
        return {
            name: p.default
            for name, p in inspect.signature(kind).parameters.items()
            if p.default is not inspect.Parameter.empty
        }

    assert defaults(schedules.StepLR) == {"gamma": 0.1, "last_epoch": -1}
    assert defaults(schedules.LinearLR) == {
        "start_factor": 1 / 3, "end_factor": 1.0, "total_iters": 5, "last_epoch": -1,
    }  # fmt: skip
    assert defaults(schedules.CosineAnnealingLR) == {"eta_min": 0.0, "last_epoch": -1}
    assert defaults(schedules.LambdaLR) == {"last_epoch": -1}
    assert defaults(schedules.MultiplicativeLR) == {"last_epoch": -1}
    assert defaults(schedules.ExponentialLR) == {"last_epoch": -1}
    assert defaults(schedules.MultiStepLR) == {"gamma": 0.1, "last_epoch": -1}
    assert defaults(schedules.ConstantLR) == {"factor": 1 / 3, "total_iters": 5, "last_epoch": -1}
    assert defaults(schedules.PolynomialLR) == {"total_iters": 5, "power": 1.0, "last_epoch": -1}
    assert defaults(schedules.CosineAnnealingWarmRestarts) == {"T_mult": 1, "eta_min": 0.0, "last_epoch": -1}
    assert defaults(schedules.SequentialLR) == {"last_epoch": -1}
    assert defaults(schedules.ChainedScheduler) == {"optimizer": None}
    assert defaults(schedules.CyclicLR) == {
        "step_size_up": 2000, "step_size_down": None, "mode": "triangular", "gamma": 1.0, "scale_fn": None,
        "scale_mode": "cycle", "cycle_momentum": True, "base_momentum": 0.8, "max_momentum": 0.9, "last_epoch": -1,
    }  # fmt: skip
    assert defaults(schedules.ReduceLROnPlateau) == {
        "mode": "min", "factor": 0.1, "patience": 10, "threshold": 1e-4, "threshold_mode": "rel", "cooldown": 0,
        "min_lr": 0, "eps": 1e-8,
    }  # fmt: skip
    assert defaults(schedules.OneCycleLR) == {
        "total_steps": None, "epochs": None, "steps_per_epoch": None, "pct_start": 0.3, "anneal_strategy": "cos",
        "cycle_momentum": True, "base_momentum": 0.85, "max_momentum": 0.95, "div_factor": 25.0,
        "final_div_factor": 1e4, "three_phase": False, "last_epoch": -1,
    }  # fmt: skip


def test_groups_added_later_keep_their_rate():
    optimizer = make_optimizer(0.5)
    scheduler = schedules.StepLR(optimizer, 1, 0.5)
    optimizer.add_param_group({"params": tt.ones(2, requires_grad=True), "lr": 0.3})
    optimizer.step()
    scheduler.step()
    assert scheduler.get_last_lr() == [0.25, 0.3]


def test_base_class_has_no_rate():
    with pytest.raises(NotImplementedError, match="LRScheduler does not define get_lr"):
        schedules.LRScheduler(make_optimizer(0.5))


def test_resume_without_initial_lr():
    with pytest.raises(KeyError, match=r"param 'initial_lr' is not specified in param_groups\[0\]"):
        schedules.StepLR(make_optimizer(0.5), 3, last_epoch=4)


def test_lambda_objects_keep_their_attributes():
    class Decay:
        def __init__(self, rate):
            self.rate = rate

        def __call__(self, epoch):
            return self.rate**epoch

    saved = schedules.LambdaLR(make_optimizer(0.5, 0.5), [Decay(0.5), lambda e: 1.0]).state_dict()
    assert saved["lr_lambdas"] == [{"rate": 0.5}, None]
    loaded = schedules.LambdaLR(make_optimizer(0.5, 0.5), [Decay(0.1), lambda e: 1.0])
    loaded.load_state_dict(saved)
    loaded.optimizer.step()
    loaded.step()
    assert loaded.get_last_lr() == [0.25, 0.5]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: schedules.StepLR(o, 0), "step_size >= 1, but got 0"),
        (lambda o: schedules.LinearLR(o, 0.0), "greater than 0 and less or equal to 1, but got 0.0"),
        (lambda o: schedules.LinearLR(o, 1.5), "greater than 0 and less or equal to 1, but got 1.5"),
        (lambda o: schedules.LinearLR(o, 0.5, -0.1), "between 0 and 1, but got -0.1"),
        (lambda o: schedules.LinearLR(o, total_iters=0), "total_iters >= 1, but got 0"),
        (lambda o: schedules.CosineAnnealingLR(o, 0), "T_max >= 1, but got 0"),
        (lambda o: schedules.LambdaLR(o, [abs, abs]), "Expected 1 lr_lambdas, but got 2"),
        (lambda o: schedules.MultiplicativeLR(o, [abs, abs]), "Expected 1 lr_lambdas, but got 2"),
        (lambda o: schedules.ConstantLR(o, 0.0), "greater than 0 and less or equal to 1, but got 0.0"),
        (lambda o: schedules.ConstantLR(o, 1.5), "greater than 0 and less or equal to 1, but got 1.5"),
        (lambda o: schedules.PolynomialLR(o, 0), "total_iters >= 1, but got 0"),
        (lambda o: schedules.CosineAnnealingWarmRestarts(o, 0), "positive integer T_0, but got 0"),
        (lambda o: schedules.CosineAnnealingWarmRestarts(o, 2, 0), "integer T_mult >= 1, but got 0"),
        (lambda o: schedules.CyclicLR(o, 0.1, 0.2, mode="square"), "mode 'square' is invalid and scale_fn is None"),
        (lambda o: schedules.CyclicLR(o, 0.1, 0.2, 0), "positive step sizes, but got 0 up and None down"),
        (lambda o: schedules.CyclicLR(o, 0.1, 0.2, 2, 0), "positive step sizes, but got 2 up and 0 down"),
        (lambda o: schedules.CyclicLR(o, 0.1, 0.2, scale_mode="epoch"), "scale_mode must be one of"),
        (lambda o: schedules.CyclicLR(o, [0.1, 0.2], 0.2), "base_lr must have the same length"),
        (lambda o: schedules.ReduceLROnPlateau(o, factor=1.0), "Factor should be < 1.0, but got 1.0"),
        (lambda o: schedules.ReduceLROnPlateau(o, "low"), "mode low is unknown"),
        (lambda o: schedules.ReduceLROnPlateau(o, threshold_mode="low"), "threshold mode low is unknown"),
        (lambda o: schedules.ReduceLROnPlateau(o, min_lr=[1, 2]), "min_lr must have the same length"),
        (lambda o: schedules.SequentialLR(o, [], []), "SequentialLR expects at least one scheduler"),
        (
            lambda o: schedules.SequentialLR(o, [schedules.ExponentialLR(o, 0.5)], [3]),
            "number of schedulers 1 and the number of milestones to be equal to 1",
        ),
        (
            lambda o: schedules.SequentialLR(o, [schedules.ReduceLROnPlateau(o)], []),
            "does not support `ReduceLROnPlateau` as its `step` needs a measure, but got one at index 0",
        ),
        (
            lambda o: schedules.ChainedScheduler(
                [schedules.ExponentialLR(o, 0.5), schedules.ExponentialLR(make_optimizer(1.0), 0.5)]
            ),
            "to belong to the same optimizer, but that of ExponentialLR at index 1 is another one",
        ),
        (lambda o: schedules.OneCycleLR(o, 0.1), "either total_steps OR"),
        (lambda o: schedules.OneCycleLR(o, 0.1, epochs=3), "either total_steps OR"),
        (lambda o: schedules.OneCycleLR(o, 0.1, total_steps=0), "positive integer total_steps, but got 0"),
        (
            lambda o: schedules.OneCycleLR(o, 0.1, total_steps=2.5),
            "positive integer total_steps, but got 2.5",
        ),
        (
            lambda o: schedules.OneCycleLR(o, 0.1, epochs=0, steps_per_epoch=3),
            "positive integer epochs, but got 0",
        ),
        (
            lambda o: schedules.OneCycleLR(o, 0.1, epochs=3, steps_per_epoch=-1),
            "integer steps_per_epoch, but got -1",
        ),
        (lambda o: schedules.OneCycleLR(o, 0.1, 10, pct_start=1.5), "between 0 and 1 pct_start, but got 1.5"),
        (
            lambda o: schedules.OneCycleLR(o, 0.1, 10, anneal_strategy="exp"),
            "'cos' or 'linear', instead got exp",
        ),
        (lambda o: schedules.OneCycleLR(o, [0.1, 0.2], 10), "max_lr must have the same length"),
        (
            lambda o: schedules.OneCycleLR(o, 0.1, 10, base_momentum=[0.1, 0.2]),
            "base_momentum must have the same",
        ),
    ],
)
def test_options_are_checked(make, message):
    optimizer = make_optimizer(0.5)
    with pytest.raises(ValueError, match=message):
        make(optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    "make",
    [*MAKERS.values(), schedules.ReduceLROnPlateau, lambda o: schedules.SequentialLR(o, [], [])],
)
def test_takes_optimizers_only(make):
    with pytest.raises(TypeError, match="list is not an Optimizer"):
        make([0.1])


def test_a_function_is_wanted_where_one_scales():
    for kind in (schedules.LambdaLR, schedules.MultiplicativeLR):
        with pytest.raises(TypeError, match="lr_lambda should be a function, but got float"):
            kind(make_optimizer(0.5, 0.5), [abs, 0.5])


def test_only_schedules_are_put_together():
    with pytest.raises(TypeError, match="ChainedScheduler expects schedulers, but got float at index 1"):
        schedules.ChainedScheduler([schedules.ExponentialLR(make_optimizer(0.5), 0.5), 0.5])


def test_the_state_of_a_callable_that_scales_cycles_is_saved():
    class Fade:
        def __init__(self, rate):
            self.rate = rate

        def __call__(self, cycle):
            return self.rate**cycle

    def make(rate):
        optimizer = make_optimizer(0.1)
        return schedules.CyclicLR(optimizer, 0.0, 1.0, 2, scale_fn=Fade(rate), cycle_momentum=False)

    saved = make(0.5).state_dict()
    assert saved["_scale_fn_custom"] == {"rate": 0.5}
    loaded = make(0.1)
    loaded.load_state_dict(saved)
    loaded.optimizer.step()
    loaded.step()
    assert loaded.get_last_lr() == [0.25]


@pytest.mark.parametrize("kind", [schedules.OneCycleLR, schedules.CyclicLR])
def test_a_cycle_needs_something_to_cycle(kind):
    class Plain(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.1})

    optimizer, options = Plain([tt.ones(2, requires_grad=True)]), {"max_lr": 0.1, "cycle_momentum": False}
    options |= {"total_steps": 10} if kind is schedules.OneCycleLR else {"base_lr": 0.1 / 25}
    assert kind(optimizer, **options).get_last_lr() == pytest.approx([0.1 / 25])
    with pytest.raises(ValueError, match="must support momentum or beta1"):
        kind(optimizer, **options | {"cycle_momentum": True})
