"""Handwritten digits with a two-layer network from tinytensor.nn, trained by an optimizer."""

import sys

import tinytensor as tt
from tinytensor import nn, optim
from tinytensor.data import batches, mnist

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
tt.manual_seed(0)
data = mnist()
model = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer = optim.SGD(model.parameters(), lr=0.1)
loss_function = nn.CrossEntropyLoss()

for _ in range(epochs):
    for x, y in batches(data.train_images, data.train_labels, 64):
        loss = loss_function(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

model.eval()
with tt.no_grad():
    x, y = next(batches(data.test_images, data.test_labels, 10_000, shuffle=False))
    right = (model(x).argmax(dim=1) == y).sum().item()
print(f"test accuracy {right / 100:.2f} %")
