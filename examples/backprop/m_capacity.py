"""Capacity and regularization: networks of 3, 6 and 20 hidden units, then 20 with three strengths of weight decay."""

import sys
from pathlib import Path

import tinytensor as tt
from tinytensor import nn, optim

out = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
out.mkdir(parents=True, exist_ok=True)


def sample(n, wrong):
    """Points in two classes with a wave between; a share of the labels is wrong."""
    x = tt.rand(n, 2) * 6 - 3
    y = x[:, 1] > 1.2 * tt.sin(1.5 * x[:, 0])
    return x, (y ^ (tt.rand(n) < wrong)).long()


tt.manual_seed(0)
x, y = sample(100, wrong=0.1)
new_x, new_y = sample(5000, wrong=0.0)


def train(hidden, decay):
    tt.manual_seed(0)
    model = nn.MLP([2, hidden, 2], nn.Tanh)
    weights = [p for p in model.parameters() if p.dim() == 2]
    biases = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": weights, "weight_decay": decay}, {"params": biases}]
    optimizer = optim.Adam(groups, lr=0.05)
    for _ in range(2000):
        loss = tt.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    norm = sum((p.detach() ** 2).sum().item() for p in weights) ** 0.5
    return model, norm


def right(model, x, y):
    return 100 * (model(x).argmax(1) == y).float().mean().item()


models = {}
print("hidden  decay   norm of the weights   right: training   new points")
for hidden, decay in (3, 0), (6, 0), (20, 0), (20, 0.001), (20, 0.01), (20, 0.1):
    model, norm = train(hidden, decay)
    print(f"{hidden:6}  {decay:5}   {norm:19.1f}", end="   ")
    print(f"{right(model, x, y):13.0f} %   {right(model, new_x, new_y):8.1f} %")
    models[f"{hidden} hidden units, weight decay {decay}"] = model
tt.viz.plot_boundaries(models, x.numpy(), y.numpy(), out / "m_capacity.png")
