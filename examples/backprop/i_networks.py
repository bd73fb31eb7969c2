"""Networks of two and three layers made of tensors, on points that no line separates; and what they are without max(0, .)."""

import sys
from collections.abc import Callable
from pathlib import Path

import tinytensor as tt
from tinytensor import viz

out = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
out.mkdir(parents=True, exist_ok=True)
tt.manual_seed(0)

# a disc inside a horseshoe; the third input is 1, so that what a unit cuts can be shifted
y = tt.randint(0, 2, (300,))
angle, radius = (6.3 - 2.0 * y) * tt.rand(300), y + 0.7 * tt.rand(300)
x = tt.stack([radius * tt.cos(angle), radius * tt.sin(angle), tt.ones(300)], 1)


def weight(rows: int, columns: int) -> tt.Tensor:
    return (tt.randn(rows, columns) * (2 / rows) ** 0.5).requires_grad_()


def train(f: Callable[..., tt.Tensor], *weights: tt.Tensor) -> None:
    for _ in range(300):
        loss = tt.cross_entropy(f(x, *weights), y)
        loss.backward()
        with tt.no_grad():
            for W in weights:
                W -= 0.5 * W.grad
                W.grad = None
    right = (f(x, *weights).argmax(1) == y).sum().item()
    count = sum(W.numel() for W in weights)
    print(f"{f.__name__}: {count} weights, loss {loss.item():.2f}, {right} of 300 right")


def two_layers(x: tt.Tensor, W1: tt.Tensor, W2: tt.Tensor) -> tt.Tensor:
    return tt.relu(x @ W1) @ W2


W1, W2 = weight(3, 20), weight(20, 2)
train(two_layers, W1, W2)


def three_layers(x: tt.Tensor, W1: tt.Tensor, W2: tt.Tensor, W3: tt.Tensor) -> tt.Tensor:
    return tt.relu(tt.relu(x @ W1) @ W2) @ W3


V1, V2, V3 = weight(3, 20), weight(20, 20), weight(20, 2)
train(three_layers, V1, V2, V3)


def linear(x: tt.Tensor, W: tt.Tensor) -> tt.Tensor:
    return x @ W


W = weight(3, 2)
train(linear, W)


def without_max(x: tt.Tensor, W1: tt.Tensor, W2: tt.Tensor) -> tt.Tensor:
    return x @ W1 @ W2


U1, U2 = weight(3, 20), weight(20, 2)
train(without_max, U1, U2)

# two matrices one after the other are one matrix: their product
product = (U1 @ U2).detach()
print("W1 W2 is", product.shape, product.round(decimals=2))
print("same scores:", tt.allclose(x @ U1 @ U2, x @ product, atol=1e-5))
print("and with max(0, .):", tt.allclose(tt.relu(x @ W1) @ W2, x @ (W1 @ W2), atol=1e-5))

models = {
    "linear: x W": (linear, W),
    "two layers without max: x W1 W2": (without_max, U1, U2),
    "two layers: max(0, x W1) W2": (two_layers, W1, W2),
    "three layers": (three_layers, V1, V2, V3),
}
viz.plot_boundaries(
    {name: lambda p, f=f, w=w: f(tt.cat([p, tt.ones(len(p), 1)], 1), *w) for name, (f, *w) in models.items()},
    x[:, :2].numpy(), y.numpy(), out / "i_boundaries.png", across=2,
)  # fmt: skip

# backward by hand: what loss.backward() does for the two-layer network
with tt.inspect():
    loss = tt.cross_entropy(two_layers(x, W1, W2), y)
    loss.backward()
drawing = viz.draw(loss)
drawing.save(out / "i_graph.svg")
drawing.save(out / "i_graph.html")
with tt.no_grad():
    h = tt.relu(x @ W1)
    dscores = (tt.softmax(h @ W2, 1) - tt.one_hot(y, 2)) / len(y)
    dW2 = h.T @ dscores
    dh = dscores @ W2.T
    dW1 = x.T @ (dh * (h > 0))
for by_hand, W in ((dW1, W1), (dW2, W2)):
    print("by hand as by backward():", tt.allclose(by_hand, W.grad, atol=1e-6))
