"""Traces made by hand, for the tests of pictures."""

import numpy as np

from tinytensor.viz.trace import Edge, Summary, Trace, TraceNode


def node(index, op, kind, shape=(), inputs=(), value=None, grad=None, **more):
    """A node of which nothing is known but what is given."""
    known = {"gate": "", "name": None, "module": None, "dtype": "float32", "summary": None, "line": None, **more}
    return TraceNode(index, op, kind, shape=shape, inputs=list(inputs), value=value, grad=grad, **known)


def number(index, op, value, grad, inputs=(), **more):
    """A node of one number; inputs are (source, local, downstream)."""
    edges = [Edge(s, place, np.array(local), np.array(down)) for place, (s, local, down) in enumerate(inputs)]
    kind = more.pop("kind", "op" if edges else "leaf")
    return node(index, op, kind, (), edges, np.array(value), np.array(grad), **more)


def formula():
    """f = (x + y) z at x = -2, y = 5, z = -4."""
    nodes = [
        number(0, "leaf", -2.0, -4.0, name="x"),
        number(1, "leaf", 5.0, -4.0, name="y"),
        number(2, "leaf", -4.0, 3.0, name="z"),
        number(
            3, "add", 3.0, -4.0, [(0, 1.0, -4.0), (1, 1.0, -4.0)], name="q", gate="add: distributes", line="q = x + y"
        ),
        number(4, "mul", -12.0, 1.0, [(3, -4.0, -4.0), (2, 3.0, 3.0)], name="f", gate="mul: swaps", stored=["x", "y"]),
    ]
    return Trace(nodes, 4)


def copied():
    """f = x * x + <x>: x is used three times; its name would be markup."""
    nodes = [
        number(0, "leaf", 3.0, 7.0, name="<x>&"),
        number(1, "mul", 9.0, 1.0, [(0, 3.0, 3.0), (0, 3.0, 3.0)]),
        number(2, "add", 12.0, 1.0, [(1, 1.0, 1.0), (0, 1.0, 1.0)]),
    ]
    return Trace(nodes, 2)


def summary(seed, shape):
    def one(array):
        counts = [int(c) for c in np.histogram(array, 16)[0]]
        low, high, mean, norm = (float(x) for x in (array.min(), array.max(), array.mean(), np.linalg.norm(array)))
        return Summary(low, high, mean, norm, counts)

    draw = np.random.default_rng(seed)
    made = one(draw.normal(size=shape))
    made.grad = one(draw.normal(size=shape) * 0.01)
    return made


def network(layers=3, width=64, batch=32):
    """A multilayer perceptron with a cross-entropy and a penalty on its first weight."""
    nodes = []

    def add(op, kind, shape, inputs=(), **more):
        index = len(nodes)
        edges = [Edge(s, place, f"local of {nodes[s].name or nodes[s].op}", None) for place, s in enumerate(inputs)]
        nodes.append(node(index, op, kind, shape, edges, summary=summary(index, shape), **more))
        return index

    x = add("leaf", "leaf", (batch, 784), name="x")
    size = 784
    for layer in range(layers):
        last = layer == layers - 1
        out = 10 if last else width
        weight = add("leaf", "parameter", (out, size), name=f"{2 * layer}.weight")
        bias = add("leaf", "parameter", (out,), name=f"{2 * layer}.bias")
        x = add(
            "linear" if last else "linear_relu", "op", (batch, out), [x, weight, bias], module=f"{2 * layer}.linear"
        )
        size = out
    target = add("constant", "constant", (batch,), name="target")
    loss = add("cross_entropy", "op", (), [x, target])
    nodes[loss].value, nodes[loss].grad, nodes[loss].summary = np.array(2.31), np.array(1.0), None
    squared = add("square", "op", (width, 784), [1])
    total = add("sum", "op", (), [squared])
    nodes[total].value, nodes[total].grad, nodes[total].summary = np.array(50.2), np.array(1.0), None
    root = add("add", "op", (), [loss, total], name="loss")
    nodes[root].value, nodes[root].grad, nodes[root].summary = np.array(52.51), np.array(1.0), None
    return Trace(nodes, root)


def matrices():
    """f = ||W x||^2 with the lecture's numbers."""
    w, x, q = np.array([[0.1, 0.5], [-0.3, 0.8]]), np.array([0.2, 0.4]), np.array([0.22, 0.26])
    dw, dx = 2 * np.outer(q, x), 2 * w.T @ q
    nodes = [
        node(0, "leaf", "parameter", name="W", shape=(2, 2), value=w, grad=dw),
        node(1, "leaf", "leaf", name="x", shape=(2,), value=x, grad=dx),
        node(
            2,
            "mv",
            "op",
            name="q",
            shape=(2,),
            value=q,
            grad=2 * q,
            inputs=[Edge(0, 0, "g @ x.T", dw), Edge(1, 1, w, dx)],
        ),
        node(3, "square", "op", shape=(2,), value=q * q, grad=np.ones(2), inputs=[Edge(2, 0, 2 * q, 2 * q)]),
        number(4, "sum", 0.116, 1.0, [(3, [1.0, 1.0], [1.0, 1.0])], name="f"),
    ]
    return Trace(nodes, 4)


def chain(count):
    """A long chain: alternating ops, each with a constant of its own."""
    nodes = [number(0, "leaf", 0.5, 1.0, name="x")]
    while len(nodes) < count - 1:
        before = nodes[-1].index
        nodes.append(number(before + 1, "leaf", 1.0, 0.0, kind="constant"))
        nodes.append(number(before + 2, "add", 0.5 * before, 1.0, [(before, 1.0, 1.0), (before + 1, 1.0, 0.0)]))
    return Trace(nodes, len(nodes) - 1)
