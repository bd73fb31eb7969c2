"""Gates as classes and a graph that runs them, beside the real tape: the same numbers."""

import math
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import tinytensor as tt

out = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
out.mkdir(parents=True, exist_ok=True)


class Multiply:
    def forward(self, x, y):
        self.x, self.y = x, y  # backward needs them
        return x * y

    def backward(self, dz):
        return dz * self.y, dz * self.x


class Add:
    def forward(self, x, y):
        return x + y

    def backward(self, dz):
        return dz, dz


class Sigmoid:
    def forward(self, x):
        self.out = 1 / (1 + math.exp(-x))
        return self.out

    def backward(self, dz):
        return (dz * (1 - self.out) * self.out,)


class Graph:
    def __init__(self, gates):
        """gates: for each value that is made, its gate and its inputs' names, in any order."""
        self.gates = gates
        sorter = TopologicalSorter({output: inputs for output, (_, inputs) in gates.items()})
        self.order = [name for name in sorter.static_order() if name in gates]

    def forward(self, values):
        values = dict(values)
        for name in self.order:
            gate, inputs = self.gates[name]
            values[name] = gate.forward(*[values[i] for i in inputs])
        return values

    def backward(self):
        gradients = {self.order[-1]: 1.0}  # the last gate makes the result
        for name in reversed(self.order):
            gate, inputs = self.gates[name]
            for i, gradient in zip(inputs, gate.backward(gradients[name])):
                gradients[i] = gradients.get(i, 0.0) + gradient  # a copy adds
        return gradients


graph = Graph(
    {
        "f": (Sigmoid(), ["s"]),
        "s": (Add(), ["r", "w2"]),
        "r": (Add(), ["p", "q"]),
        "p": (Multiply(), ["w0", "x0"]),
        "q": (Multiply(), ["w1", "x1"]),
    }
)
inputs = {"w0": 2.0, "w1": -3.0, "w2": -3.0, "x0": -1.0, "x1": -2.0}
values = graph.forward(inputs)
gradients = graph.backward()
print("forward: ", *graph.order)
print("backward:", *reversed(graph.order))

leaves = [tt.tensor(v, dtype=tt.float64, requires_grad=True) for v in inputs.values()]
w0, w1, w2, x0, x1 = leaves
f = tt.sigmoid(w0 * x0 + w1 * x1 + w2)
f.backward()
nodes = tt.viz.trace(f).nodes
print("the tape, backward:", *[node.op for node in reversed(nodes) if node.kind == "op"])

print("         our graph       the tape")
print(f" f   {values['f']:13.9f}  {f.item():13.9f}")
for name, t in zip(inputs, leaves):
    print(f"d{name}   {gradients[name]:13.9f}  {t.grad.item():13.9f}")

square = Graph({"f": (Multiply(), ["x", "x"])})
square.forward({"x": 3.0})
print("x * x at 3:", square.backward())


class Swap(tt.autograd.Function):
    """The multiply gate, run by the tape."""

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x * y

    @staticmethod
    def backward(ctx, dz):
        x, y = ctx.saved_tensors
        return dz * y, dz * x


for t in leaves:
    t.grad = None
f = tt.sigmoid(Swap.apply(w0, x0) + Swap.apply(w1, x1) + w2)
f.backward()
print(" ".join(f"{t.grad.item():.9f}" for t in leaves))
print(tt.testing.gradcheck(Swap.apply, [w0, x0]))

tt.viz.draw(f).save(out / "d_classes.svg")
