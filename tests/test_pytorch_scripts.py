"""Small programs as PyTorch's users write them, run with the imports changed and nothing else. Where PyTorch is installed it runs
the very text, too, and prints the same numbers: what is drawn at random comes from NumPy in those."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

HEAD = """
import copy
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split

rng = np.random.default_rng(0)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def start(model):
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.from_numpy(rng.uniform(-0.4, 0.4, tuple(p.shape)).astype(np.float32)))
    return model


def cloud(n, d, k):
    centres = rng.normal(size=(k, d)) * 2
    y = rng.integers(0, k, n)
    return torch.tensor(centres[y] + rng.normal(size=(n, d)), dtype=torch.float32), torch.from_numpy(y)


losses = []
"""

SCRIPTS = {
    "mlp with a loader": """
class Net(nn.Module):
    def __init__(self, in_features, hidden, classes):
        super(Net, self).__init__()
        self.fc1 = nn.Linear(in_features, hidden)
        self.fc2 = nn.Linear(hidden, classes)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = torch.flatten(x, start_dim=1)
        x = self.relu(self.fc1(x))
        return F.log_softmax(self.fc2(x), dim=1)


def train(model, device, loader, optimizer):
    model.train()
    for batch_idx, (data, target) in enumerate(loader):
        data, target = data.to(device), target.to(device, non_blocking=True)
        optimizer.zero_grad()
        output = model(data)
        loss = F.nll_loss(output, target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())


@torch.no_grad()
def test(model, device, loader):
    model.eval()
    total, correct = 0.0, 0
    for data, target in loader:
        data, target = data.to(device), target.to(device)
        output = model(data)
        total += F.nll_loss(output, target, reduction="sum").item()
        pred = output.argmax(dim=1, keepdim=True)
        correct += pred.eq(target.view_as(pred)).sum().item()
    return total / len(loader.dataset), correct / len(loader.dataset)


torch.manual_seed(1)
x, y = cloud(96, 12, 4)
data = TensorDataset(x.view(-1, 3, 4), y)
loader = DataLoader(data, batch_size=32, shuffle=False, num_workers=0)
model = start(Net(12, 16, 4)).to(device)
optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
for epoch in range(4):
    train(model, device, loader, optimizer)
    losses.extend(test(model, device, loader))
    scheduler.step()
losses.append(scheduler.get_last_lr()[0])
""",
    "convolutional": """
class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, kernel_size=3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, padding="same", bias=False), nn.BatchNorm2d(6), nn.LeakyReLU(0.1, inplace=True),
            nn.AdaptiveAvgPool2d((2, 2)),
        )
        self.classifier = nn.Linear(6 * 2 * 2, 3)

    def forward(self, x):
        x = self.features(x)
        x = x.view(x.size(0), -1)
        return self.classifier(x)


x, y = cloud(48, 64, 3)
x = x.reshape(-1, 1, 8, 8)
model = start(LeNet())
criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
optimizer = optim.AdamW(model.parameters(), lr=1e-2)
for epoch in range(3):
    for i in torch.arange(len(x)).split(16):
        loss = criterion(model(x[i]), y[i])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        losses.append(loss.item())
model.eval()
with torch.no_grad():
    prob = F.softmax(input=model(x), dim=-1)
    conf, label = torch.max(prob, dim=1)
losses.append(conf.mean().item())
losses.append((label == y).float().mean().item())
""",
    "regression with L-BFGS": """
x = torch.linspace(-1, 1, steps=40, dtype=torch.double).unsqueeze(1)
y = torch.sin(3 * x) + 0.3 * x ** 2
model = start(nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))).double()
optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=5, line_search_fn="strong_wolfe")
for _ in range(4):
    def closure():
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y) + 1e-3 * sum(p.pow(2.0).sum() for p in model.parameters())
        loss.backward()
        return loss
    losses.append(optimizer.step(closure).item())
""",
    "characters": """
text = "the quick brown fox jumps over the lazy dog. " * 3
chars = sorted(set(text))
stoi = {c: i for i, c in enumerate(chars)}
block = 4
X, Y = [], []
for i in range(len(text) - block):
    X.append([stoi[c] for c in text[i : i + block]])
    Y.append(stoi[text[i + block]])
X, Y = torch.tensor(X, dtype=torch.long), torch.tensor(Y)


class CharMLP(nn.Module):
    def __init__(self, vocab, dim=6, hidden=24):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.layers = nn.ModuleList([nn.Linear(block * dim, hidden), nn.Linear(hidden, hidden)])
        self.norm = nn.LayerNorm(hidden)
        self.head = nn.Linear(hidden, vocab)
        self.register_buffer("seen", torch.zeros(vocab, dtype=torch.long))

    def forward(self, idx, targets=None):
        if self.training:
            self.seen += torch.bincount(idx.flatten(), minlength=len(self.seen))
        x = self.embed(idx).view(idx.shape[0], -1)
        for layer in self.layers:
            x = F.gelu(layer(x))
        logits = self.head(self.norm(x))
        loss = None if targets is None else F.cross_entropy(input=logits, target=targets)
        return logits, loss


model = start(CharMLP(len(chars)))
optimizer = torch.optim.Adam(model.parameters(), lr=0.02, betas=(0.9, 0.99))
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.03, total_steps=12)
for step in range(12):
    ix = torch.from_numpy(rng.integers(0, len(X), size=(32,)))
    _, loss = model(X[ix], Y[ix])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    losses.append(loss.item())
losses.append(model.state_dict()["seen"].sum().item())
mask = torch.tril(torch.ones(3, 3)).bool()
losses.extend(torch.zeros(2, 3, 3).masked_fill(~mask, float("-inf")).softmax(dim=-1).sum(axis=(0, 1)).tolist())
""",
    "autoencoder": """
class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(10, 8), nn.BatchNorm1d(8), nn.ELU(), nn.Dropout(p=0.0), nn.Linear(8, 2))
        self.decoder = nn.Sequential(nn.Linear(2, 8), nn.SiLU(), nn.Dropout(p=0.0, inplace=True), nn.Linear(8, 10), nn.Sigmoid())

    def forward(self, x):
        z = self.encoder(x)
        return self.decoder(z), z


x = torch.from_numpy(rng.uniform(size=(40, 10))).float()
model = start(Autoencoder())
criterion = nn.BCELoss(reduction="mean")
optimizer = torch.optim.RMSprop(model.parameters(), lr=5e-3, alpha=0.9, centered=True, momentum=0.5)
plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="min", factor=0.5, patience=0)
for epoch in range(6):
    model.train()
    out, z = model(x)
    loss = criterion(out, x) + 0.01 * torch.norm(z, p=1) / len(z)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    plateau.step(loss.item())
    losses.append(loss.detach().cpu().numpy().item())
    with torch.no_grad():
        model.eval()
        losses.append(criterion(model(x)[0], x).item())
losses.extend(model.encoder[1].running_mean.tolist())
losses.append(model.encoder[1].num_batches_tracked.item())
""",
    "two optimizers": """
generator = nn.Sequential(nn.Linear(4, 16), nn.LeakyReLU(0.2), nn.Linear(16, 2))
critic = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
start(generator), start(critic)
bce = nn.BCEWithLogitsLoss()
opt_g = optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999))
opt_d = optim.Adam(critic.parameters(), lr=2e-3, betas=(0.5, 0.999))
for step in range(8):
    real = torch.tensor(rng.normal(size=(16, 2)) + 2, dtype=torch.float)
    noise = torch.tensor(rng.normal(size=(16, 4)), dtype=torch.float, device=device)
    ones, zeros = torch.ones(16, 1, device=device), real.new_zeros(16, 1)
    opt_d.zero_grad()
    fake = generator(noise)
    loss_d = bce(critic(real), ones) + bce(critic(fake.detach()), zeros)
    loss_d.backward()
    opt_d.step()
    for p in critic.parameters():
        p.requires_grad = False
    opt_g.zero_grad()
    loss_g = bce(critic(fake), torch.ones_like(zeros))
    loss_g.backward()
    opt_g.step()
    for p in critic.parameters():
        p.requires_grad = True
    losses += [loss_d.item(), loss_g.item()]
inner = torch.rand(16, 1, requires_grad=False).mul(0).add(0.5) * real + 0.5 * fake.detach()
inner.requires_grad_(True)
gradients = torch.autograd.grad(outputs=critic(inner).sum(), inputs=inner, create_graph=True, retain_graph=True)[0]
penalty = ((gradients.norm(2, dim=1) - 1) ** 2).mean()
penalty.backward()
losses.append(penalty.item())
losses.append(critic[0].weight.grad.abs().sum().item())
""",
    "a function of one's own": """
class Ste(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input, scale):
        ctx.save_for_backward(input)
        ctx.scale = scale
        return torch.sign(input) * scale

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        grad_input = grad_output.clone()
        grad_input[input.abs() > 1] = 0
        return grad_input * ctx.scale, None


class Binary(nn.Linear):
    def forward(self, input):
        return F.linear(input, Ste.apply(self.weight, 0.5), self.bias)

    def extra_repr(self):
        return super().extra_repr() + ", binary"


x, y = cloud(32, 6, 2)
model = start(nn.Sequential(Binary(6, 12), nn.Hardtanh(), nn.Linear(12, 2)))
assert "binary" in repr(model)
optimizer = optim.SGD(model.parameters(), lr=0.05, nesterov=True, momentum=0.8)
for _ in range(6):
    loss = F.multi_margin_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
""",
    "frozen layers": """
class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU())
        self.fc = nn.Linear(16, 5)

    def forward(self, x):
        return self.fc(self.body(x))


model = start(Backbone())
weights = copy.deepcopy(model.state_dict())
other = Backbone()
print(other.load_state_dict({k: v for k, v in weights.items() if not k.startswith("fc")}, strict=False).missing_keys)
model = other
for param in model.parameters():
    param.requires_grad = False
model.fc = nn.Linear(model.fc.in_features, 3)
start(model.fc)
nn.init.zeros_(model.fc.bias)
nn.init.constant_(tensor=model.fc.bias, val=0.1)
x, y = cloud(30, 8, 3)
optimizer = optim.Adagrad(filter(lambda p: p.requires_grad, model.parameters()), lr=0.1)
for _ in range(5):
    loss = nn.CrossEntropyLoss()(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
assert all(p.grad is None for p in model.body.parameters())
optimizer.add_param_group({"params": model.body[2].requires_grad_(True).parameters(), "lr": 0.01})
for _ in range(3):
    loss = F.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
losses.append(sum(p.numel() for p in model.parameters() if p.requires_grad))
losses.append(model.get_submodule("body.2").weight.std().item())
""",
    "a data set of one's own": """
class Words(Dataset):
    def __init__(self, n):
        self.items = [rng.integers(1, 9, size=rng.integers(2, 6)) for _ in range(n)]

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        item = torch.as_tensor(self.items[index])
        return item, float(item.float().mean())


def collate(batch):
    items, targets = zip(*batch)
    longest = max(len(i) for i in items)
    padded = torch.zeros(len(items), longest, dtype=torch.long)
    for row, item in enumerate(items):
        padded[row, : len(item)] = item
    return padded, torch.tensor(targets)


class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(num_embeddings=9, embedding_dim=5, padding_idx=0)
        self.out = nn.Linear(5, 1)

    def forward(self, ids):
        mask = (ids != 0).unsqueeze(-1).float()
        mean = (self.embed(ids) * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        return self.out(mean).squeeze(-1)


train, held = random_split(Words(40), [32, 8], generator=torch.Generator().manual_seed(0))
train.indices, held.indices = list(range(32)), list(range(32, 40))
loader = DataLoader(train, batch_size=8, collate_fn=collate, drop_last=True)
model = start(Bag())
optimizer = torch.optim.NAdam([{"params": model.embed.parameters(), "lr": 0.1}, {"params": model.out.parameters()}], lr=0.05)
for epoch in range(3):
    running = 0.0
    for i, (ids, target) in enumerate(loader, 0):
        optimizer.zero_grad()
        loss = nn.SmoothL1Loss(beta=0.5)(model(ids), target)
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 0.5)
        optimizer.step()
        running += loss.item() * ids.size(0)
    losses.append(running / len(train))
ids, target = next(iter(DataLoader(held, batch_size=len(held), collate_fn=collate)))
losses.extend(model(ids).detach().numpy().tolist())
""",
    "hooks": """
activations, gradients = {}, {}


def keep(name):
    def hook(module, args, output):
        activations[name] = output.detach()
    return hook


def keep_gradient(module, grad_input, grad_output):
    gradients[type(module).__name__] = grad_output[0].clone()


model = start(nn.Sequential(nn.Linear(6, 8), nn.Sigmoid(), nn.Linear(8, 8), nn.Softplus(), nn.Linear(8, 1)))
handles = [m.register_forward_hook(keep(n)) for n, m in model.named_modules() if isinstance(m, nn.Linear)]
handles.append(model[3].register_full_backward_hook(keep_gradient))
handles.append(model[0].weight.register_hook(lambda g: g * 0.5))
x = torch.from_numpy(rng.normal(size=(12, 6)).astype("float32"))
y = torch.sum(input=x, dim=1, keepdim=True)
optimizer = optim.Adadelta(model.parameters(), lr=1.0)
average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5))
for _ in range(4):
    loss = F.huber_loss(model(x), y, delta=0.7)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    average.update_parameters(model)
    losses.append(loss.item())
losses += [float(a.mean()) for a in activations.values()] + [g.abs().sum().item() for g in gradients.values()]
for h in handles:
    h.remove()
losses.append(average(x).mean().item())
assert sorted(dict(model.named_parameters())) == ["0.bias", "0.weight", "2.bias", "2.weight", "4.bias", "4.weight"]
vector = nn.utils.parameters_to_vector(model.parameters())
nn.utils.vector_to_parameters(vector * 0.5, model.parameters())
losses.append(model(x).mean(axis=0).item())
""",
}

SUMS = {  # of what PyTorch 2.13 gives
    "mlp with a loader": 9.1314,
    "convolutional": 10.755,
    "regression with L-BFGS": 0.96826,
    "characters": 1575.4,
    "autoencoder": 14.732,
    "two optimizers": 19.275,
    "a function of one's own": 1.8047,
    "frozen layers": 329.53,
    "a data set of one's own": 41.094,
    "hooks": 6.8523,
}


def translated(text: str) -> str:
    """The text with the imports changed."""
    text = re.sub(r"^(from|import) torch\.utils\.data\b", r"\1 tinytensor.data", text, flags=re.M)
    text = re.sub(r"^(from|import) torch\.", r"\1 tinytensor.", text, flags=re.M)
    return re.sub(r"^import torch$", "import tinytensor as torch", text, flags=re.M)


def losses_of(text: str, name: str) -> list[float]:
    names: dict[str, Any] = {"__name__": "script"}
    exec(compile(text, name, "exec"), names)
    losses: list[float] = names["losses"]
    return losses


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs(name: str) -> None:
    """It runs, gives the same again, and what PyTorch gives."""
    text = HEAD + SCRIPTS[name]
    ours = losses_of(translated(text), name)
    assert math.fsum(ours) == pytest.approx(SUMS[name], rel=1e-4)
    assert losses_of(translated(text), name) == ours
    pytest.importorskip("torch")
    theirs = losses_of(text, name)
    least = (
        1e-4 if name == "autoencoder" else 2e-5
    )  # RMSprop's first steps are signs: rounding of small gradients shows in codes
    np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=least)
