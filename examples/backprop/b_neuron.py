"""The sigmoid neuron 1 / (1 + exp(-(w0 x0 + w1 x1 + w2))): gate by gate, and as one gate."""

import math
import sys
from pathlib import Path

import tinytensor as tt

out = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
out.mkdir(parents=True, exist_ok=True)

w0, w1, w2 = (tt.tensor(v, requires_grad=True) for v in (2.0, -3.0, -3.0))
x0, x1 = (tt.tensor(v, requires_grad=True) for v in (-1.0, -2.0))


def show_gradients():
    dw = ", ".join(f"{w.grad.item():.2f}" for w in (w0, w1, w2))
    dx = ", ".join(f"{x.grad.item():.2f}" for x in (x0, x1))
    print(f"f = {f.item():.2f}, dw = [{dw}], dx = [{dx}]")


s = w0 * x0 + w1 * x1 + w2
a = -s
e = tt.exp(a)
c = 1 + e
f = tt.reciprocal(c)
s.retain_grad()
f.backward()
show_gradients()

drawing = tt.viz.draw(f)
drawing.save(out / "b_gates.svg")
drawing.save(out / "b_gates.html")

# from the end to s by hand: each gate's local gradient times what comes from above
gates = [
    ("1/x", "-1/x^2", c, lambda x: -1 / x**2),
    ("c+x", "1", e, lambda x: 1.0),
    ("e^x", "e^x", a, lambda x: math.exp(x)),
    ("ax", "a = -1", s, lambda x: -1.0),
]
print("gate  its x   local gradient    upstream x local = downstream")
gradient = 1.0
for gate, rule, x, local in gates:
    upstream, slope = gradient, local(x.item())
    gradient = upstream * slope
    print(f"{gate:4} {x.item():6.2f}   {rule:7} = {slope:5.2f}", end="   ")
    print(f"{upstream:8.2f} x {slope:5.2f} = {gradient:5.2f}")
assert math.isclose(gradient, s.grad.item(), rel_tol=1e-5)

right = tt.name(s.detach().requires_grad_(), "s")  # the four gates alone
tt.viz.draw(tt.reciprocal(1 + tt.exp(-right))).save(out / "b_four_gates.svg")

for w in (w0, w1, w2, x0, x1):
    w.grad = None
f = tt.sigmoid(w0 * x0 + w1 * x1 + w2)
f.backward()
show_gradients()
value = f.item()
print(f"(1 - f) f = {1 - value:.2f} x {value:.2f} = {(1 - value) * value:.2f}")

tt.viz.draw(f).save(out / "b_sigmoid.svg")
