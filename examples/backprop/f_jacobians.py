"""Jacobians: what they look like, how large they are, and why backpropagation never builds one."""

import sys
from pathlib import Path

import tinytensor as tt
from tinytensor import viz
from tinytensor.func import jacobian, jvp, vjp

out = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
out.mkdir(parents=True, exist_ok=True)
tt.manual_seed(0)

# y = A x
A = tt.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
print("dy/dx", jacobian(lambda x: A @ x)(tt.tensor([7.0, 8.0, 9.0])))

# y = W x with respect to W: k = 2 outputs, m n = 2 * 3 inputs
x = tt.tensor([7.0, 8.0, 9.0])
J = jacobian(lambda W: W @ x)(A)
print("dy/dW", J.shape, "as a matrix", J.reshape(2, 2 * 3))
viz.jacobian(lambda W: W @ x, A).save(out / "f_blocks.png")

# max(0, x), elementwise
v = tt.tensor([3.0, -1.0, 2.0, -5.0])
print("d relu", jacobian(tt.relu)(v))
x = tt.randn(4096)
picture = viz.jacobian(tt.relu, x)
picture.save(out / "f_relu.png")
J = picture.matrix
print(f"J {J.shape}: {J.size:,} numbers, {J.nbytes / 2**20:.0f} MiB")
print((J != 0).sum(), "of them are not zero")


# the same for a batch of 100, and for a product X W
def show(name: str, outputs: int, inputs: int) -> None:
    numbers = outputs * inputs
    print(f"{name}: {outputs:,} x {inputs:,} = {numbers:,} numbers")
    print(f"    {4 * numbers:,} bytes = {4 * numbers / 2**30:,.0f} GiB")


batch, width = 100, 4096
show("relu, batch of 100", batch * width, batch * width)
N, D, M = 64, 4096, 4096
print(f"Y = X W: X is {N} x {D}, W is {D} x {M}, Y is {N} x {M}")
show("dY/dX", N * M, N * D)
show("dY/dW", N * M, D * M)

# small enough to build: the Jacobian is mostly zeros, and its product with dY is a small product
X, W, dY = tt.randn(3, 4), tt.randn(4, 2), tt.randn(3, 2)
JX = jacobian(lambda X: X @ W)(X).reshape(3 * 2, 3 * 4)
JW = jacobian(lambda W: X @ W)(W).reshape(3 * 2, 4 * 2)
dX = (dY.reshape(-1) @ JX).reshape(3, 4)
dW = (dY.reshape(-1) @ JW).reshape(4, 2)
print("dX = J^T dY is dY W^T:", tt.allclose(dX, dY @ W.T, atol=1e-6))
print("dW = J^T dY is X^T dY:", tt.allclose(dW, X.T @ dY, atol=1e-6))
viz.jacobian(lambda X: X @ W, X).save(out / "f_product.png")

# what backward does: a product with J, never J
X, dY = tt.randn(batch, width), tt.randn(batch, width)
Y, pull = vjp(tt.relu, X)
dX = pull(dY)
print(f"relu, batch of 100: dX has {dX.nbytes / 2**20:.1f} MiB")
print("dX is dY where X > 0:", tt.equal(dX, dY * (X > 0)))

# f(x + d) = f(x) + J d, and what is left out is of the order of d squared
x, d = tt.tensor([1.0, 2.0], dtype=tt.float64), tt.tensor([1.0, -1.0], dtype=tt.float64)


def f(x: tt.Tensor) -> tt.Tensor:
    return tt.stack([x[0] * x[1], x[0] ** 3])


value, slope = jvp(f, (x,), (d,))
print("f(x) =", value.tolist(), " J =", jacobian(f)(x).tolist(), " J d =", slope.tolist())
for h in (0.1, 0.01, 0.001):
    moved, linear = f(x + h * d), value + h * slope
    print(f"h = {h:<5}   f(x + h d) = ({moved[0].item():8.6f}, {moved[1].item():8.6f})")
    print(f"          f(x) + J h d = ({linear[0].item():8.6f}, {linear[1].item():8.6f})")
    print(f"              left out = {(moved - linear).abs().max().item():8.6f}")
