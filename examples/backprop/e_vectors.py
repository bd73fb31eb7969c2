"""Vectors: f = ||W x||^2. Each gradient has the shape of what it belongs to."""

import sys
from pathlib import Path

import numpy as np

import tinytensor as tt

out = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
out.mkdir(parents=True, exist_ok=True)

W = np.array([[0.1, 0.5], [-0.3, 0.8]])
x = np.array([[0.2], [0.4]])  # a column
q = W @ x
f = (q**2).sum()
print("q^T =", q.T, "f =", f.round(9))

dq = 2 * q
dW = dq @ x.T  # (2, 1) @ (1, 2)
dx = W.T @ dq  # (2, 2) @ (2, 1)
print("dW =", dW, "dx =", dx, sep="\n")

moved, h = W.copy(), 1e-6
moved[0, 1] += h
slope = (((moved @ x) ** 2).sum() - f) / h
print(f"W[0, 1] + h: slope {slope:.4f}; 2 q[0] x[1] = {2 * q[0, 0] * x[1, 0]:.4f}")

W = tt.tensor(W, requires_grad=True)
x = tt.tensor(x, requires_grad=True)
q = W @ x
f = (q**2).sum()
f.backward()
assert tt.allclose(W.grad, tt.tensor(dW)) and tt.allclose(x.grad, tt.tensor(dx))
for name, t in [("W", W), ("x", x)]:
    print(f"{name} {t.shape}, d{name} {t.grad.shape}")

print(f.explain())

tt.viz.draw(f).save(out / "e_vectors.svg")

X = tt.randn(3, 100, requires_grad=True)  # 100 columns, of 3 numbers each
V = tt.randn(5, 3, requires_grad=True)
Q = V @ X
loss = (Q**2).sum()
loss.backward()
for node in tt.viz.trace(loss).nodes:
    if node.name == "Q":
        print(*[edge.local for edge in node.inputs], sep="\n")
