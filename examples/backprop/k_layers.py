"""A neuron as a class, the same neuron as one row of a linear layer, and how layers and parameters are counted."""

import sys
from itertools import pairwise, product
from pathlib import Path

from matplotlib.figure import Figure

import tinytensor as tt
from tinytensor import nn

out = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
out.mkdir(parents=True, exist_ok=True)


class Neuron:
    """Weighs its inputs, adds its bias and fires at a rate between 0 and 1."""

    def __init__(self, weights, bias):
        self.w = tt.tensor(weights, requires_grad=True)
        self.b = tt.tensor(bias, requires_grad=True)

    def forward(self, x):
        return tt.sigmoid((self.w * x).sum() + self.b)


x = tt.tensor([-1.0, -2.0, 0.5], requires_grad=True)
neuron = Neuron([2.0, -3.0, 1.0], -3.5)
rate = neuron.forward(x)
tt.name(neuron.w, "w")
tt.name(neuron.b, "b")
rate.backward()
print(f"neuron: {rate.item():.4f}, dw = {neuron.w.grad}, db = {neuron.b.grad.item():.4f}")
print(f"dx = {x.grad}")
tt.viz.draw(rate).save(out / "k_neuron.svg")

tt.manual_seed(0)
layer = nn.Linear(3, 4)
with tt.no_grad():
    layer.weight[1] = neuron.w
    layer.bias[1] = neuron.b
rates = tt.sigmoid(layer(x))
print("layer:", rates)
rates[1].backward()
print("dW =", layer.weight.grad, sep="\n")
print("db =", layer.bias.grad)
assert rates[1].item() == rate.item()
assert tt.allclose(layer.weight.grad[1], neuron.w.grad)

for sizes in [3, 4, 2], [3, 4, 4, 1], [784, 128, 10]:
    model = nn.MLP(sizes, nn.Sigmoid)
    linears = [layer for layer in model if isinstance(layer, nn.Linear)]
    weights = sum(layer.weight.numel() for layer in linears)
    biases = sum(layer.bias.numel() for layer in linears)
    print(f"{'-'.join(map(str, sizes))}: {len(linears)} layers, {biases} neurons")
    products = " + ".join(f"{m} * {n}" for n, m in pairwise(sizes))
    total = sum(p.numel() for p in model.parameters())
    print(f"    {products} + {biases} = {weights} + {biases} = {total} parameters")

axes = Figure(figsize=(8, 3.6), layout="constrained").add_subplot()
sizes = [3, 4, 4, 1]
heights = [[row - size / 2 for row in range(size)] for size in sizes]
for column, here in enumerate(heights):
    axes.plot([column] * len(here), here, "o", ms=26, mfc="#56b4e9" if column else "white", mec="black", zorder=3)
    if column:
        wires = list(product(heights[column - 1], here))
        axes.plot([column - 1, column], list(zip(*wires)), color="#999999", lw=0.8)
        axes.text(
            column - 0.5, -2.7, f"layer {column}\nW ({len(here)}, {sizes[column - 1]}), b ({len(here)})", ha="center"
        )
axes.text(0, -2.7, "inputs:\nno layer", ha="center")
axes.set(xlim=(-0.6, 3.4), ylim=(-2.9, 1.6))
axes.set_axis_off()
axes.figure.savefig(out / "k_three_layers.png", dpi=110)
