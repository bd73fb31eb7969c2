"""Templates: what the first layer's weights look like, as images, after a short training on handwritten digits."""

import sys
from pathlib import Path

import tinytensor as tt
from tinytensor import nn, optim

out = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
out.mkdir(parents=True, exist_ok=True)

mnist = tt.data.mnist()
digits = tt.data.ImageDataset(mnist.train_images[:10_000], mnist.train_labels[:10_000])
images, labels = next(iter(tt.data.DataLoader(digits, batch_size=10_000)))
tests = tt.data.ImageDataset(mnist.test_images, mnist.test_labels)


def train(model, optimizer):
    for _ in range(4):
        for x, y in tt.data.DataLoader(digits, batch_size=100, shuffle=True):
            loss = tt.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    reached = tt.train.evaluate(model, tests, "cross_entropy", ["accuracy"])
    return f"{100 * reached['accuracy']:.1f} % of the test digits right"


tt.manual_seed(0)
linear = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
right = train(linear, optim.SGD(linear.parameters(), lr=0.1, weight_decay=0.01))
templates = linear[1].weight.detach()
print(f"linear classifier: weights {tuple(templates.shape)}, {right}")
tt.viz.plot_weights(templates, (28, 28), out / "n_linear.png")

means = tt.stack([images[labels == digit].mean(0).flatten() for digit in range(10)])
print("best template for the mean 0, 1, ... 9:", linear(means).argmax(1).tolist())
scores = templates @ tests[0][0].flatten() + linear[1].bias.detach()
scores = [round(score, 1) for score in scores.tolist()]
print(f"scores of a test image, a {mnist.test_labels[0]}:", *scores)

tt.manual_seed(0)
network = nn.Sequential(nn.Flatten(), nn.Linear(784, 40), nn.ReLU(), nn.Linear(40, 10))
optimizer = optim.SGD(network.parameters(), lr=0.2, momentum=0.9, weight_decay=0.001)
right = train(network, optimizer)
print(f"40 hidden units: weights {tuple(network[1].weight.shape)}, {right}")
tt.viz.plot_weights(network[1].weight, (28, 28), out / "n_hidden.png")
fires = (network[:3](images) > 0).sum(0).tolist()
rare = {unit: count for unit, count in enumerate(fires) if count < 100}
print("fire for under 1 % of 10000 digits (unit: digits):", rare)
