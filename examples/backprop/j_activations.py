"""Activation functions: their slopes, where these vanish, ReLUs that die in a real training, and ten layers of sigmoids."""

import sys
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

import tinytensor as tt
from tinytensor import nn, optim

out = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
out.mkdir(parents=True, exist_ok=True)

tt.viz.plot_activations(out / "j_activations.png")
places = [-10.0, -2.0, 0.0, 2.0, 10.0]
print("slope f'(x) at x =    " + "".join(f"{at:8g}" for at in places))
for name, f in tt.viz.ACTIVATIONS.items():
    x = tt.tensor(places, requires_grad=True)
    f(x).sum().backward()
    slopes = [round(slope, 3) + 0 for slope in x.grad.tolist()]  # + 0: no -0
    print(f"{name:22}" + "".join(f"{slope:8.3f}" for slope in slopes))

for layers in (1, 2, 5, 10):
    z = tt.tensor(0.0, requires_grad=True)
    y = z
    for _ in range(layers):
        y = tt.sigmoid(y)
    y.backward()
    print(f"through {layers:2} sigmoids comes {z.grad.item():.1e} of the gradient")

mnist = tt.data.mnist()
digits = tt.data.ImageDataset(mnist.train_images[:5000], mnist.train_labels[:5000])
images, labels = next(iter(tt.data.DataLoader(digits, batch_size=5000)))
images = images.flatten(1)


def train(model, optimizer, epochs):
    for _ in range(epochs):
        for x, y in tt.data.DataLoader(digits, batch_size=100, shuffle=True):
            loss = tt.cross_entropy(model(x.flatten(1)), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return 100 * (model(images).argmax(1) == labels).float().mean().item()


def silent(model):
    """Of each hidden layer, the units that get no positive input from any digit."""
    with tt.no_grad():
        largest = [model[:end](images).amax(0).tolist() for end in (1, 3)]
    return [{unit for unit, value in enumerate(layer) if value <= 0} for layer in largest]


def network(activation):
    first, second, last = nn.Linear(784, 100), nn.Linear(100, 100), nn.Linear(100, 10)
    return nn.Sequential(first, activation(), second, activation(), last)


activations = {"ReLU": nn.ReLU, "leaky ReLU": partial(nn.LeakyReLU, 0.1), "ELU": nn.ELU}
for name, activation in activations.items():
    tt.manual_seed(0)
    model = network(activation)
    right = train(model, optim.Adam(model.parameters(), lr=0.01), epochs=2)
    counts = [len(units) for units in silent(model)]
    print(f"{name}: {counts} silent units, {right:.1f} % right")
    if name == "ReLU":
        weights, dead = model.state_dict(), silent(model)
        for finding in tt.diagnose(model, (images, labels)).findings:
            print(f"    {finding.name} in layer {finding.layer}: {finding.detail}")

for name, activation in activations.items():
    model = network(activation)
    model.load_state_dict(weights)
    right = train(model, optim.Adam(model.parameters(), lr=0.003), epochs=3)
    back = [len(before - now) for before, now in zip(dead, silent(model))]
    more = [len(now - before) for before, now in zip(dead, silent(model))]
    print(f"gone on with {name}: {back} come back, {more} more die, {right:.1f} % right")

axes = Figure(figsize=(7, 4), layout="constrained").add_subplot()
xavier, kaiming = nn.init.xavier_normal_, nn.init.kaiming_normal_
for activation, init, style in (nn.Sigmoid, xavier, "s--"), (nn.ReLU, kaiming, "o-"):
    tt.manual_seed(0)
    model = nn.MLP([784, *9 * [64], 10], activation)
    for linear in model[::2]:
        init(linear.weight)
    diagnosis = tt.diagnose(model, (images[:1000], labels[:1000]))
    norms = [layer.grad_norm for layer in diagnosis.layers if layer.kind == "Linear"]
    right = train(model, optim.SGD(model.parameters(), lr=0.1), epochs=3)
    found = diagnosis.names or ["no findings"]
    print(f"10 layers of {activation.__name__}, {right:.1f} % right; at the start:", *found)
    print("gradient by layer:", *(f"{norm:.0e}" for norm in norms))
    axes.semilogy(range(1, 11), norms, style, label=activation.__name__)
axes.set(xlabel="layer (1 sees the digits)", ylabel="gradient of its weights (norm)")
axes.set_xticks(range(1, 11))
axes.legend()
axes.grid(alpha=0.3)
axes.figure.savefig(out / "j_depth.png", dpi=110)
