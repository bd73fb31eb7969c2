"""Handwritten digits with a two-layer network written by hand on Tensors: no layers, no optimizer."""

import sys

import tinytensor as tt
from tinytensor.data import batches, mnist

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
tt.manual_seed(0)
data = mnist()
w1, b1 = tt.randn(784, 128) * (2 / 784) ** 0.5, tt.zeros(128)
w2, b2 = tt.randn(128, 10) * (2 / 128) ** 0.5, tt.zeros(10)
parameters = [p.requires_grad_() for p in (w1, b1, w2, b2)]


def network(x: tt.Tensor) -> tt.Tensor:
    return tt.relu(x.flatten(1) @ w1 + b1) @ w2 + b2


for _ in range(epochs):
    for x, y in batches(data.train_images, data.train_labels, 64):
        loss = tt.cross_entropy(network(x), y)
        loss.backward()
        with tt.no_grad():
            for p in parameters:
                p -= 0.1 * p.grad
                p.grad = None

with tt.no_grad():
    x, y = next(batches(data.test_images, data.test_labels, 10_000, shuffle=False))
    right = (network(x).argmax(dim=1) == y).sum().item()
print(f"test accuracy {right / 100:.2f} %")
