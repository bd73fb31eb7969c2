"""The main job at its smallest: the network of the README on the real data."""

from __future__ import annotations

import numpy as np

import tinytensor as tt
from tinytensor import data, nn, optim
from tinytensor.nn import functional as F


def test_784_128_10_plain_sgd_reaches_97_percent() -> None:
    tt.manual_seed(0)
    images = data.mnist()
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    opt = optim.SGD(model.parameters(), lr=0.1)
    for _ in range(10):
        for x, y in data.batches(images.train_images, images.train_labels, 64):
            opt.zero_grad()
            F.cross_entropy(model(x), y).backward()
            opt.step()
    right = 0
    with tt.no_grad():
        for x, y in data.batches(images.test_images, images.test_labels, 1000, shuffle=False):
            right += int((model(x).argmax(1) == y).sum().item())
    assert right / 10000 >= 0.97


def test_100_steps_in_float64_equal_numpy() -> None:
    tt.manual_seed(3)
    images = data.mnist()
    rng = np.random.default_rng(5)
    w1, w2 = rng.normal(0, 0.05, (128, 784)), rng.normal(0, 0.1, (10, 128))
    b1, b2 = rng.normal(0, 0.1, 128), rng.normal(0, 0.1, 10)
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)).to(tt.float64)
    values = {"0.weight": w1, "0.bias": b1, "2.weight": w2, "2.bias": b2}
    model.load_state_dict({k: tt.tensor(v) for k, v in values.items()})
    opt = optim.SGD(model.parameters(), lr=0.1)
    order = rng.permutation(60000)[: 100 * 64].reshape(100, 64)
    for index in order:
        x = images.train_images[index].reshape(64, 784) / 255.0
        y = images.train_labels[index].astype(np.int64)
        # NumPy, by hand
        z = x @ w1.T + b1
        h = np.maximum(z, 0)
        s = h @ w2.T + b2
        s = s - s.max(1, keepdims=True)
        p = np.exp(s) / np.exp(s).sum(1, keepdims=True)
        expected = -np.log(p[np.arange(64), y]).mean()
        ds = p.copy()
        ds[np.arange(64), y] -= 1
        ds /= 64
        dz = (ds @ w2) * (z > 0)
        w2, b2 = w2 - 0.1 * ds.T @ h, b2 - 0.1 * ds.sum(0)
        w1, b1 = w1 - 0.1 * dz.T @ x, b1 - 0.1 * dz.sum(0)
        # ours
        opt.zero_grad()
        loss = F.cross_entropy(model(tt.tensor(x)), tt.tensor(y))
        loss.backward()
        opt.step()
        assert abs(loss.item() - expected) <= 1e-10
