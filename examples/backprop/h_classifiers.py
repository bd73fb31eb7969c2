"""Two linear classifiers, the hinge loss (SVM) and softmax, each with a penalty on its weights, trained by gradient descent."""

import sys
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

import tinytensor as tt
from tinytensor import viz
from tinytensor.data import batches, mnist

out = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
out.mkdir(parents=True, exist_ok=True)
tt.manual_seed(0)
Loss = Callable[[tt.Tensor, tt.Tensor], tt.Tensor]  # scores (N, C) and classes (N,) to one loss for each (N,)


def hinge(s: tt.Tensor, y: tt.Tensor) -> tt.Tensor:
    """sum over j != y of max(0, s_j - s_y + 1)."""
    right = s.gather(1, y.reshape(-1, 1))
    return tt.relu(s - right + 1).sum(1) - 1  # j = y gave 1


def softmax(s: tt.Tensor, y: tt.Tensor) -> tt.Tensor:
    """-log(exp(s_y) / sum over j of exp(s_j))."""
    return -tt.log_softmax(s, 1).gather(1, y.reshape(-1, 1)).reshape(-1)


# three pictures, of a cat, a car and a frog, and their scores as cat, car, frog
scores = tt.tensor([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]]).requires_grad_()
classes = tt.tensor([0, 1, 2])
for loss in (hinge, softmax):
    losses = loss(scores, classes)
    (gradient,) = tt.autograd.grad(losses.sum(), [scores])
    each = ", ".join(f"{v:.2f}" for v in losses.tolist())
    print(f"{loss.__name__}: {each}; mean {losses.mean().item():.2f}")
    print("gradient of the sum", gradient.round(decimals=2))

# two rows of weights with the same score, and what the penalty says of them
x, one, even = tt.ones(4), tt.tensor([1.0, 0.0, 0.0, 0.0]), tt.full((4,), 0.25)
for w in (one, even):
    print(f"w = {w.tolist()}: w x = {(w @ x).item()}, squares {(w * w).sum().item()}")


def train(
    loss: Loss, x: tt.Tensor, y: tt.Tensor, W: tt.Tensor, rate: float, steps: int
) -> tuple[tt.Tensor, list[float]]:
    W, curve = W.clone().requires_grad_(), []
    for _ in range(steps):
        L = loss(x @ W, y).mean() + 0.001 * (W * W).sum()
        L.backward()
        with tt.no_grad():
            W -= rate * W.grad
        W.grad = None
        curve.append(L.item())
    return W.detach(), curve


# three clouds of points in the plane; the third input is 1, so that the last row of W is the bias
y = tt.randint(0, 3, (300,))
points = tt.tensor([[-2.0, -1.0], [2.0, -1.0], [0.0, 2.0]])[y] + 0.9 * tt.randn(300, 2)
x = tt.cat([points, tt.ones(300, 1)], 1)
W = 0.01 * tt.randn(3, 3)
models, curves = {}, {}
for loss in (hinge, softmax):
    trained, curve = train(loss, x, y, W, rate=0.1, steps=200)
    right = ((x @ trained).argmax(1) == y).sum().item()
    name = loss.__name__
    print(f"{name}: L = {curve[0]:.2f}, then {curve[-1]:.2f}; {right} of 300 right")
    models[name] = lambda p, W=trained: p @ W[:2] + W[2]
    curves[name] = curve
viz.plot_boundaries(models, points.numpy(), y.numpy(), out / "h_boundaries.png")

figure = Figure(figsize=(6, 3.6), layout="constrained")
axes = figure.add_subplot(xlabel="step", ylabel="L", yscale="log")
for (name, curve), color, style in zip(curves.items(), ("#0072b2", "#d55e00"), ("-", "--")):
    axes.plot(curve, style, color=color, label=name)
axes.grid(alpha=0.3, which="both")
axes.legend()
figure.savefig(out / "h_curves.png", dpi=110)

# the same W by the same steps on handwritten digits: 784 pixels, 10 classes
data = mnist()
x, y = next(batches(data.train_images, data.train_labels, 4000, shuffle=False))
test_x, test_y = next(batches(data.test_images, data.test_labels, 10_000, shuffle=False))
for loss, rate in ((hinge, 0.02), (softmax, 0.2)):
    W, curve = train(loss, x.flatten(1), y, tt.zeros(784, 10), rate, steps=60)
    right = ((test_x.flatten(1) @ W).argmax(1) == test_y).float().mean().item()
    print(f"{loss.__name__}: L = {curve[0]:.2f}, then {curve[-1]:.2f}; {right:.1%} right")
