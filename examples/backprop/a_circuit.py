"""A circuit of two gates, f = (x + y) z: values go forward, gradients backward."""

import sys
from pathlib import Path

import tinytensor as tt

out = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
out.mkdir(parents=True, exist_ok=True)

# forward
x, y, z = -2, 5, -4
q = x + y
f = q * z
print(f"q = {q}, f = {f}")

# backward: from the end, each gradient is upstream times local
df = 1
dq = df * z  # f = q z: the slope of f along q is z
dz = df * q
dx = dq * 1  # q = x + y: the slope of q along x is 1
dy = dq * 1
print(f"df/dq = {dq}, df/dx = {dx}, df/dy = {dy}, df/dz = {dz}")

# what the gradient says: move each input a little and see f move
h = 0.001
print(f"x + {h}: f moves by {((x + h) + y) * z - f:.4f}, and h df/dx is {h * dx:.4f}")
print(f"y + {h}: f moves by {(x + (y + h)) * z - f:.4f}, and h df/dy is {h * dy:.4f}")
print(f"z + {h}: f moves by {(x + y) * (z + h) - f:.4f}, and h df/dz is {h * dz:.4f}")

x = tt.tensor(-2.0, requires_grad=True)
y = tt.tensor(5.0, requires_grad=True)
z = tt.tensor(-4.0, requires_grad=True)
q = x + y
f = q * z
f.backward()
print("f =", f.item(), "gradients", [t.grad.item() for t in (x, y, z)])

print(f.explain())

drawing = tt.viz.draw(f)
drawing.save(out / "a_circuit.svg")
drawing.save(out / "a_circuit.html")
