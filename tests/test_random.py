"""The generator: Philox 4x32-10's published answers, indexed by element, and what is drawn from it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
import tinytensor.nn.functional as F
from tinytensor import _kernels
from tinytensor import random as tr

MASK = 0xFFFFFFFF


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> list[int]:
    """Salmon et al. (2011), as published."""
    c, (k0, k1) = list(counter), key
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k0, b & MASK, (a >> 32) ^ c[3] ^ k1, a & MASK]
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c


def words(seed: int, counter: int) -> list[int]:
    return philox((counter & MASK, counter >> 32, 0, 0), (seed & MASK, seed >> 32))


def test_the_reference_gives_the_published_answers() -> None:
    """Random123's kat_vectors for philox4x32-10."""
    assert philox((0,) * 4, (0,) * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox((MASK,) * 4, (MASK,) * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    pi = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
    assert philox(pi, (0xA4093822, 0x299F31D0)) == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


@pytest.mark.parametrize(
    "seed,offset", [(0, 0), (1, 0), (0, 1), (2**64 - 1, 2**64 - 3), (0x123456789ABCDEF0, 2**32 - 1), (7, 12345)]
)
def test_uniform_numbers_are_philoxs(seed: int, offset: int) -> None:
    n = 2003  # blocks are made 64 at a time
    blocks = [words(seed, (offset + i) % 2**64) for i in range(1002)]
    flat = [w for b in blocks for w in b]
    low = tr.Generator()
    low.set_state({"seed": seed, "offset": offset})
    assert tt.rand(n, generator=low).tolist() == [(w >> 8) * 2.0**-24 for w in flat[:n]]
    high = tr.Generator()
    high.set_state({"seed": seed, "offset": offset})
    assert tt.rand(n, generator=high, dtype=tt.float64).tolist() == [
        ((flat[2 * i] << 32 | flat[2 * i + 1]) >> 11) * 2.0**-53 for i in range(n)
    ]
    ints = tr.Generator()
    ints.set_state({"seed": seed, "offset": offset})
    assert tt.randint(-5, 995, (n,), generator=ints).tolist() == [
        ((flat[2 * i] << 32 | flat[2 * i + 1]) * 1000 >> 64) - 5 for i in range(n)
    ]


def test_normal_numbers_are_box_and_mullers() -> None:
    u = tt.rand(1000, generator=tt.Generator(3), dtype=tt.float64).numpy()
    r, t = np.sqrt(-2 * np.log(1 - u[::2])), 2 * np.pi * u[1::2]
    want = np.stack([r * np.cos(t), r * np.sin(t)], 1).reshape(-1)
    np.testing.assert_allclose(
        tt.randn(1000, generator=tt.Generator(3), dtype=tt.float64).numpy(), want, rtol=1e-13, atol=1e-14
    )


# ---------------------------------------------------------------------------------------------------------------- state
def test_equal_seeds_equal_bits() -> None:
    a, b = tt.Generator(5), tt.Generator(5)
    for call in (
        lambda g: tt.rand(7, generator=g),
        lambda g: tt.randn(3, generator=g),
        lambda g: tt.randperm(9, generator=g),
        lambda g: tt.randint(9, (3,), generator=g),
    ):
        assert call(a).tolist() == call(b).tolist()
    assert a.get_state() == b.get_state()
    assert tt.rand(20, generator=tt.Generator(1)).tolist() != tt.rand(20, generator=tt.Generator(2)).tolist()


def test_the_default_generator() -> None:
    tt.manual_seed(3)
    assert tt.initial_seed() == 3
    a = (tt.rand(5).tolist(), tt.randn(5).tolist(), F.dropout(tt.ones(9)).tolist())
    tt.manual_seed(3)
    assert a == (tt.rand(5).tolist(), tt.randn(5).tolist(), F.dropout(tt.ones(9)).tolist())
    tt.manual_seed(-1)
    assert tt.initial_seed() == 2**64 - 1


def test_states_go_on_where_they_were() -> None:
    g = tt.Generator(8)
    tt.rand(13, generator=g)
    state = g.get_state()
    want = tt.rand(10, generator=g).tolist()
    h = tt.Generator(0)
    h.set_state(state)
    assert tt.rand(10, generator=h).tolist() == want
    assert repr(tt.Generator(8)) == "Generator(seed=8, offset=0)"


def test_draws_do_not_overlap() -> None:
    """One after the other they are parts of one stream: no number is used twice."""
    g = tt.Generator(1)
    parts = [tt.rand(n, generator=g, dtype=tt.float64).tolist() for n in (1, 2, 3, 8, 5)]
    flat = [v for p in parts for v in p]
    assert len(set(flat)) == len(flat)


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_change_no_bit(threads: int) -> None:
    n = 300_001
    calls: list[Any] = [
        lambda: tt.rand(n, generator=tt.Generator(1)), lambda: tt.randn(n, generator=tt.Generator(1)), lambda: tt.randn(n, generator=tt.Generator(1), dtype=tt.float64),
        lambda: F.dropout(tt.ones(n), 0.3, True, generator=tt.Generator(1)),
    ]  # fmt: skip
    with tt.threads(1):
        one = [c().numpy() for c in calls]
    with tt.threads(threads):
        _kernels.seen_threads(True)
        for c, w in zip(calls, one):
            assert c().numpy().tobytes() == w.tobytes()
        assert _kernels.seen_threads(True) == threads


def test_an_element_does_not_depend_on_how_many_there_are() -> None:
    for call in (tt.rand, tt.randn):
        for dtype in (tt.float32, tt.float64):
            whole = call(5000, generator=tt.Generator(1), dtype=dtype).numpy()
            for n in (1, 2, 3, 5, 63, 64, 65, 255, 256, 257, 1023, 4999):
                assert call(n, generator=tt.Generator(1), dtype=dtype).numpy().tobytes() == whole[:n].tobytes()
            assert call(50, 100, generator=tt.Generator(1), dtype=dtype).numpy().tobytes() == whole.tobytes()


# ----------------------------------------------------------------------------------------------------------- statistics
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_moments(dtype: str) -> None:
    """Of a fixed seed, within five standard errors."""
    n = 400_000
    u = tt.rand(n, generator=tt.Generator(1), dtype=dtype).numpy().astype(np.float64)
    assert 0 <= u.min() < 1e-4
    assert 1 - 1e-4 < u.max() < 1
    assert abs(u.mean() - 0.5) < 5 * math.sqrt(1 / 12 / n)
    assert abs(u.var() - 1 / 12) < 5 * math.sqrt(1 / 180 / n)
    z = tt.randn(n, generator=tt.Generator(2), dtype=dtype).numpy().astype(np.float64)
    for power, want, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - want) < 5 * math.sqrt(spread / n)
    assert abs((z[::2] * z[1::2]).mean()) < 5 * math.sqrt(2 / n)
    assert abs((np.abs(z) < 1).mean() - 0.6826895) < 5 * math.sqrt(0.2166 / n)


def test_ranges() -> None:
    u = tr.uniform((100_000,), -3.0, 7.0, generator=tt.Generator(1))
    assert -3 <= u.min() < -2.99
    assert 6.99 < u.max() < 7
    z = tr.normal((100_000,), 5.0, 0.1, np.float64, tt.Generator(1))
    assert abs(z.mean() - 5) < 5 * 0.1 / math.sqrt(100_000)
    assert abs(z.std() - 0.1) < 0.002


def test_the_upper_bound_is_never_reached() -> None:
    """Rounding must not turn the largest number below 1 into the bound itself."""
    g = tt.Generator()
    state = {"seed": 4, "offset": 2598792}  # found by search: its first number is the largest of float32
    g.set_state(state)
    assert tt.rand(1, generator=g).item() == 1 - 2**-24
    for low, high in ((-0.1, 0.1), (0.0, 3.0), (1.0, 1.5), (-5.0, -4.0), (0.3, 0.7)):
        g.set_state(state)
        (u,) = tr.uniform((1,), low, high, generator=g)
        assert np.float32(low) <= u < np.float32(high)


def test_randint() -> None:
    t = tt.randint(10, (10_000,), generator=tt.Generator(1))
    counts = np.bincount(t.numpy(), minlength=10)
    assert (len(counts), t.dtype) == (10, tt.int64)
    assert ((counts - 1000) ** 2 / 1000).sum() < 27.9  # chi-squared, 9 degrees of freedom: one in a thousand
    big = tt.randint(-(2**63), 2**63 - 1, (1000,), generator=tt.Generator(1)).numpy()
    assert big.min() < -(2**62)
    assert big.max() > 2**62
    assert tt.randint(3, 4, (5,)).tolist() == [3] * 5
    assert tt.randint(2, (3,), dtype=tt.float32).dtype == tt.float32
    assert tt.randint(2, size=(3, 1)).shape == (3, 1)
    for bad in (lambda: tt.randint(3, 3, (1,)), lambda: tt.randint(5), lambda: tt.randint(0, 5)):
        with pytest.raises(ValueError, match="randint"):
            bad()


def test_randperm() -> None:
    for n in (0, 1, 2, 17, 1000, 60_000):
        p = tt.randperm(n, generator=tt.Generator(n))
        assert p.dtype == tt.int64
        assert (np.sort(p.numpy()) == np.arange(n)).all()
    seen = {tuple(tt.randperm(3, generator=tt.Generator(s)).tolist()): 0 for s in range(200)}
    assert len(seen) == 6
    places = np.zeros((5, 5))
    for s in range(5000):
        places[np.arange(5), tt.randperm(5, generator=tt.Generator(s)).numpy()] += 1
    assert np.abs(places - 1000).max() < 5 * math.sqrt(1000 * 0.8)
    with pytest.raises(ValueError, match="n >= 0"):
        tt.randperm(-1)


def test_likes_and_options() -> None:
    x = tt.zeros(2, 3, dtype=tt.float64)
    for like in (tt.rand_like, tt.randn_like):
        assert (like(x).shape, like(x).dtype) == ((2, 3), tt.float64)
        assert like(x, dtype=tt.float32).dtype == tt.float32
    assert tt.rand(2, 3).shape == tt.rand((2, 3)).shape == (2, 3)
    assert tt.randn(2, requires_grad=True).requires_grad
    assert tt.rand(0).shape == (0,)
    with pytest.raises(ValueError, match="negative size"):
        tt.rand(-2)
    with pytest.raises(TypeError, match="random"):
        tt.rand(2, dtype=tt.int64)


# -------------------------------------------------------------------------------------------------------------- dropout
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout(p: float, dtype: str) -> None:
    n = 100_000
    x = tt.ones(n, dtype=dtype, requires_grad=True)
    y = F.dropout(x, p, True, generator=tt.Generator(1))
    kept = y.detach().numpy() != 0
    assert abs(kept.mean() - (1 - p)) < 5 * math.sqrt(p * (1 - p) / n)
    assert abs((kept[1:] & kept[:-1]).mean() - (1 - p) ** 2) < 0.01
    np.testing.assert_allclose(y.detach().numpy()[kept], 1 / (1 - p), rtol=1e-6)
    y.sum().backward()
    assert x.grad.numpy().tobytes() == y.detach().numpy().tobytes()  # one mask both ways


def test_dropout_off_and_errors() -> None:
    x = tt.ones(5)
    assert F.dropout(x, 0.5, False) is x
    assert F.dropout(x, 0.0) is x
    assert F.dropout(x, 1.0).tolist() == [0] * 5
    for p in (-0.1, 1.5):
        with pytest.raises(ValueError, match="p must be between 0 and 1"):
            F.dropout(x, p)
    with pytest.raises(TypeError, match="expected a float tensor, got int64"):
        F.dropout(tt.tensor([1]), 0.5)


def test_fork_rng_puts_the_default_generator_back():
    tt.manual_seed(3)
    tt.rand(5)
    with tt.random.fork_rng():
        inside = tt.rand(4)
        tt.manual_seed(7)
    assert tt.rand(4).tolist() == inside.tolist()
    with pytest.raises(ZeroDivisionError), tt.random.fork_rng():
        state = tt.random.default_generator.get_state()
        tt.rand(1)
        _ = 1 / 0
    assert tt.random.default_generator.get_state() == state
