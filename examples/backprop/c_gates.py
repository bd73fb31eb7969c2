"""What each gate does with the gradient: add distributes, mul swaps, max routes, copy adds."""

import sys
from pathlib import Path

import tinytensor as tt

out = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
out.mkdir(parents=True, exist_ok=True)


def leaf(value):
    return tt.tensor(value, requires_grad=True)


x, y, z, w = leaf(3.0), leaf(-4.0), leaf(2.0), leaf(-1.0)
product = x * y
largest = tt.maximum(z, w)
total = product + largest
f = total * 2
f.backward()
print(f.explain())

tt.viz.draw(f).save(out / "c_gates.svg")

a, b, c = leaf(3.0), leaf(-4.0), leaf(2.0)
f = a * b + a * c  # a has two uses: a copy gate
f.backward()
for line in f.explain().leaves():
    print(line)

tt.viz.draw(f).save(out / "c_copy.svg")

# the max gate at a tie
h = 0.001
for name, u, v in [("u > v", 5.0, 3.0), ("tie", 3.0, 3.0)]:
    whole = [float(u >= v), float(v >= u)]  # the lecture's 1(u >= v) and 1(v >= u)
    u, v = leaf(u), leaf(v)
    tt.maximum(u, v).backward()
    ours = [u.grad.item(), v.grad.item()]
    with tt.no_grad():  # move both inputs
        slope = ((tt.maximum(u + h, v + h) - tt.maximum(u, v)) / h).item()
    print(f"{name:5}  lecture {whole}, sum {sum(whole):g}", end="   ")
    print(f"ours {ours}, sum {sum(ours):g}   slope {slope:.2f}")

# max pooling: a max gate on each 2x2 window
image = leaf([[[[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 3, 3, 4]]]])
pooled = tt.nn.functional.max_pool2d(image, 2)
upstream = tt.tensor([[[[10.0, 20], [30, 40]]]])
pooled.backward(upstream)
print(pooled.detach())
print(image.grad)

tt.viz.draw(pooled).save(out / "c_pooling.svg")
