"""Modules found by path, the hooks of their state, what is assigned and what is kept beside Tensors; sharing, freezing, fusing."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn

F = nn.functional


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.BatchNorm1d(4))
        self.act = F.gelu
        self.head = nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        return self.head(self.act(self.body(x)))


class Counted(nn.Linear):
    """Keeps a number that is no Tensor."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.steps = 0

    def get_extra_state(self) -> Any:
        return {"steps": self.steps}

    def set_extra_state(self, state: Any) -> None:
        self.steps = state["steps"]


def bits(t: Any) -> bytes:
    return np.ascontiguousarray(t.detach().numpy()).tobytes()


def test_paths() -> None:
    net = Net()
    assert net.get_submodule("") is net
    assert net.get_submodule("body.2") is net.body[2]
    assert net.get_parameter("body.0.weight") is net.body[0].weight
    assert net.get_buffer("body.2.running_var") is net.body[2].running_var
    net.set_submodule("body.1", nn.Tanh())
    assert isinstance(net.body[1], nn.Tanh)
    for wrong, message in [
        (lambda: net.get_submodule("body.7"), "Sequential has no module `7`"),
        (lambda: net.get_parameter("body.1.weight"), "Tanh has no parameter `weight`"),
        (lambda: net.get_buffer("head.weight"), "Linear has no buffer `weight`"),
        (lambda: net.set_submodule("tail", nn.Tanh()), "Net has no module `tail`"),
    ]:
        with pytest.raises(AttributeError, match=message):
            wrong()
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        net.set_submodule("head", 3)  # type: ignore[arg-type]


def test_a_module_that_keeps_a_function_is_copied_and_pickled() -> None:
    net, x = Net().eval(), tt.randn(5, 3)
    net.loss = F.cross_entropy  # type: ignore[assignment]
    net.relu = F.relu  # type: ignore[assignment]
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other.act is F.gelu and other.relu is F.relu and other.loss is F.cross_entropy
        assert bits(other(x)) == bits(net(x))


def test_extra_state() -> None:
    net = nn.Sequential(Counted(), nn.Linear(2, 1))
    net[0].steps = 7
    state = net.state_dict()
    assert list(state) == ["0.weight", "0.bias", "0._extra_state", "1.weight", "1.bias"]
    other = nn.Sequential(Counted(), nn.Linear(2, 1))
    other.load_state_dict(state)
    assert other[0].steps == 7
    del state["0._extra_state"]
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "0._extra_state"'):
        other.load_state_dict(state)
    with pytest.raises(RuntimeError, match="get_extra_state is not defined"):
        nn.ReLU().get_extra_state()


def test_hooks_of_the_state() -> None:
    net, seen = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)), []
    net[1].register_state_dict_pre_hook(lambda module, prefix, keep_vars: seen.append(("before", prefix, keep_vars)))

    def renamed(module: Any, state: dict[str, Any], prefix: str, metadata: Any) -> None:
        state[f"{prefix}w"] = state.pop(f"{prefix}weight")

    handle = net[1].register_state_dict_post_hook(renamed)
    state = net.state_dict()
    assert list(state) == ["0.weight", "0.bias", "1.bias", "1.w"]
    assert seen == [("before", "1.", False)]
    handle.remove()
    assert "1.weight" in net.state_dict()

    other = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))

    def back(module: Any, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        state[f"{prefix}weight"] = state.pop(f"{prefix}w")

    other[1].register_load_state_dict_pre_hook(back)
    other.register_load_state_dict_post_hook(lambda module, keys: seen.append(keys.missing_keys))
    before = dict(state)
    other.load_state_dict(state)
    assert state.keys() == before.keys()  # the hook had a copy
    assert bits(other[1].weight) == bits(net[1].weight)
    assert seen[-1] == []


def test_assign_takes_the_tensors_themselves() -> None:
    net = nn.BatchNorm1d(3)
    state = {k: v.double() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    net.weight.requires_grad_(False)
    net.load_state_dict(state, assign=True)
    assert net.weight.dtype == net.running_mean.dtype == tt.float64
    assert np.shares_memory(net.bias.detach().numpy(), state["bias"].numpy())
    assert isinstance(net.weight, nn.Parameter) and not net.weight.requires_grad and net.bias.requires_grad
    with pytest.raises(RuntimeError, match="size mismatch for bias"):
        net.load_state_dict({**state, "bias": tt.ones(4)}, assign=True)


def test_a_destination_and_a_prefix() -> None:
    state: dict[str, Any] = {"there": 1}
    assert nn.Linear(1, 1).state_dict(state, prefix="a.") is state
    assert list(state) == ["there", "a.weight", "a.bias"]
    net = nn.Sequential(nn.Sequential(nn.Linear(1, 1, bias=False)))
    assert list(net.state_dict(prefix="old_")) == ["old_0.0.weight"]
    assert list(net.state_dict(prefix=".")) == [".0.0.weight"]


def test_a_hook_comes_after_its_own_part_and_before_the_next() -> None:
    net, seen = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)), []
    for module in (net, net[0], net[1]):
        module.register_state_dict_post_hook(lambda module, state, prefix, metadata: seen.append((prefix, len(state))))
    net.state_dict(prefix="a")
    assert seen == [("a0.", 2), ("a1.", 4), ("a", 4)]


def test_to_a_device_and_a_dtype() -> None:
    net = Net()
    assert net.to("cpu") is net and net.to(tt.device("cpu")).cpu() is net
    assert net.to(tt.device("cpu"), tt.float64).head.weight.dtype == tt.float64
    assert net.to(dtype=tt.float32).type(tt.float64).to(tt.ones(1)).head.bias.dtype == tt.float32
    with pytest.raises(RuntimeError, match="tinytensor computes on the CPU, got 'cuda'"):
        net.to("cuda")
    for make in (nn.Linear, nn.Embedding, lambda a, b, device: nn.Conv2d(a, b, 1, device=device)):
        with pytest.raises(RuntimeError, match="got 'mps'"):
            make(2, 3, device="mps")


def test_a_sequential_is_a_list() -> None:
    a, b, c = nn.Linear(2, 2), nn.ReLU(), nn.Tanh()
    net = nn.Sequential(a, b)
    assert list(net + nn.Sequential(c)) == [a, b, c]
    assert list(net * 2) == list(2 * net) == [a, b, a, b]
    net += nn.Sequential(c)
    assert net.insert(1, c) is net and list(net) == [a, c, b, c] and list(net._modules) == ["0", "1", "2", "3"]
    assert net.pop(-1) is c and net.extend([b, a]) is net and list(net) == [a, c, b, b, a]
    net *= 2
    assert len(net) == 10
    with pytest.raises(IndexError, match="index 12 is out of range"):
        net.insert(12, a)
    with pytest.raises(ValueError, match="once or more, got 0"):
        net * 0
    with pytest.raises(TypeError, match="str is not a Module subclass"):
        net.insert(0, "a")  # type: ignore[arg-type]


IN_PLACE = [
    nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Mish, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.ELU, nn.CELU, nn.RReLU, nn.Dropout,
    nn.AlphaDropout, nn.Dropout1d, nn.Dropout2d,
]  # fmt: skip


@pytest.mark.parametrize("kind", IN_PLACE)
def test_inplace_changes_its_input_and_no_bit_of_a_gradient(kind: Any) -> None:
    start, found = tt.randn(3, 2, 4) if kind is nn.Dropout1d else tt.randn(3, 2, 4, 4), []
    for inplace in (False, True):
        tt.manual_seed(5)
        x = start.clone().requires_grad_()
        z = x * 2
        y = kind(inplace=inplace)(z)
        assert (y is z) is inplace
        (y * y).sum().backward()
        found.append((bits(y), bits(x.grad)))
    assert found[0] == found[1]
    with pytest.raises(RuntimeError, match="a leaf that requires grad cannot be changed in place"):
        kind(inplace=True)(start.clone().requires_grad_())


def test_dropout_in_place_changes_nothing_in_evaluation() -> None:
    x = tt.randn(4, requires_grad=True)
    y = x.exp()
    z = y * y
    assert nn.Dropout(0.5, inplace=True).eval()(y) is y
    z.sum().backward()  # y, which z keeps, was not changed
    np.testing.assert_allclose(x.grad.numpy(), 2 * z.detach().numpy(), rtol=1e-6)


def gradients(net: nn.Module, x: tt.Tensor) -> list[bytes]:
    net.zero_grad()
    y = net(x)
    (y * y).sum().backward()
    return [bits(y), *[bits(p.grad) for p in net.parameters() if p.grad is not None]]


def unfused(net: nn.Module) -> nn.Module:
    """The same modules, called one by one."""
    other = copy.deepcopy(net)
    for m in other.modules():
        if isinstance(m, nn.Linear):
            m.register_forward_hook(lambda *a: None)
    return other


def nodes(y: tt.Tensor) -> int:
    seen: set[int] = set()
    waiting = [y.grad_fn]
    while waiting:
        node: Any = waiting.pop()
        if node is not None and not isinstance(node, tt.Tensor) and id(node) not in seen:
            seen.add(id(node))
            waiting += node.parents
    return len(seen)


def test_fusing_goes_with_the_network_as_it_is() -> None:
    """Shared, replaced, in place, frozen, in both modes: the node of a pair is one, and no bit differs from the parts'."""
    x, shared = tt.randn(5, 4), nn.Linear(4, 4)
    nets = [
        nn.Sequential(shared, nn.ReLU(), shared, nn.ReLU(inplace=True), shared),
        nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Dropout(0.0), nn.Linear(4, 4), nn.GELU()),
        nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.SiLU()), nn.ELU(0.5)),
    ]
    nets[0].append(nn.Linear(4, 4))
    nets[0][1] = nn.LeakyReLU(0.3, inplace=True)  # replaced after it ran
    nets[1][0].requires_grad_(False)
    nets[2][1][0].weight = nn.Parameter(tt.ones(4, 4))
    for net in nets:
        for training in (True, False):
            net.train(training)
            assert gradients(net, x) == gradients(unfused(net), x)
    assert nodes(nets[0](x)) == nodes(unfused(nets[0])(x)) - 2
    nets[0][1] = nn.Identity()
    assert nodes(nets[0](x)) == 4
    assert gradients(nets[0], x) == gradients(unfused(nets[0]), x)


def test_what_is_frozen_has_no_gradient_computed() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3), nn.Linear(3, 2))
    net[0].requires_grad_(False)
    assert not net[:2](tt.ones(1, 3)).requires_grad  # nothing is recorded below
    net[3].weight.requires_grad_(False)
    y = net(tt.ones(4, 3))
    assert nodes(y) == 2
    assert [p is None for p in y.grad_fn.parents] == [False, True, False]  # x, weight, bias
    y.sum().backward()
    assert [n for n, p in net.named_parameters() if p.grad is not None] == ["2.weight", "2.bias", "3.bias"]


def test_a_shared_parameter_is_one_and_has_two_names() -> None:
    a, b = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    b.weight = a.weight
    net = nn.Sequential(a, nn.Tanh(), b)
    assert [n for n, _ in net.named_parameters()] == ["0.weight"]
    assert [n for n, _ in net.named_parameters(remove_duplicate=False)] == ["0.weight", "2.weight"]
    assert list(net.state_dict()) == ["0.weight", "2.weight"]
    x = tt.randn(2, 3, dtype=tt.float64)
    net.double()(x).sum().backward()
    w1, w2 = (a.weight.detach().clone().requires_grad_() for _ in range(2))
    F.linear(F.linear(x, w1).tanh(), w2).sum().backward()
    np.testing.assert_allclose(a.weight.grad.numpy(), (w1.grad + w2.grad).numpy(), rtol=1e-12)
    assert copy.deepcopy(net)[2].weight is not net[2].weight
    other = copy.deepcopy(net)
    assert other[0].weight is other[2].weight


def test_padding_modes_continue_the_image() -> None:
    x = tt.arange(9).float().reshape(1, 1, 3, 3)
    rows = {
        "reflect": [4, 3, 4, 5, 4],
        "replicate": [0, 0, 1, 2, 2],
        "circular": [8, 6, 7, 8, 6],
        "zeros": [0, 0, 0, 0, 0],
    }
    for mode, row in rows.items():
        conv = nn.Conv2d(1, 1, 1, padding=1, padding_mode=mode, bias=False)
        conv.weight.data.fill_(1)
        assert conv(x)[0, 0, 0].tolist() == row
    assert "padding_mode=reflect" in repr(nn.Conv1d(1, 1, 3, padding=1, padding_mode="reflect"))
    with pytest.raises(
        ValueError, match="padding_mode must be 'zeros', 'reflect', 'replicate' or 'circular', got 'mirror'"
    ):
        nn.Conv1d(1, 1, 3, padding_mode="mirror")


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_a_padding_by_name(mode: Any) -> None:
    conv = nn.Conv2d(1, 1, (3, 4), padding="same", padding_mode=mode)
    assert conv(tt.randn(1, 1, 5, 6)).shape == (1, 1, 5, 6) and "padding=same" in repr(conv)
    assert "padding=valid" in repr(nn.Conv1d(1, 1, 3, padding="valid", padding_mode=mode))
    with pytest.raises(ValueError, match=r"Conv2d: padding='same' needs stride 1, got \(1, 2\)"):
        nn.Conv2d(1, 1, 3, stride=(1, 2), padding="same", padding_mode=mode)
    with pytest.raises(ValueError, match="Conv1d: padding must be numbers, 'same' or 'valid', got 'full'"):
        nn.Conv1d(1, 1, 3, padding="full", padding_mode=mode)


def test_softmax_without_a_dim_takes_pytorchs() -> None:
    for shape, dim in (((4,), 0), ((2, 3), 1), ((2, 3, 4), 0), ((2, 3, 2, 2), 1)):
        x = tt.randn(*shape)
        assert bits(nn.Softmax()(x)) == bits(F.softmax(x, dim))


def test_vectors_that_are_there() -> None:
    rows = tt.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert nn.Embedding.from_pretrained(rows)(tt.tensor([1, 0])).tolist() == [[3, 4], [1, 2]]
    assert not nn.Embedding.from_pretrained(rows).weight.requires_grad
    assert nn.Embedding.from_pretrained(rows, freeze=False, padding_idx=1).weight.requires_grad
    state = tt.random.default_generator.get_state()
    layer = nn.Embedding.from_pretrained(rows)
    assert tt.random.default_generator.get_state() == state  # nothing was drawn for what is there
    assert np.shares_memory(layer.weight.detach().numpy(), rows.numpy())
    with pytest.raises(ValueError, match="expected a matrix of vectors"):
        nn.Embedding.from_pretrained(tt.ones(3))
    with pytest.raises(TypeError, match="from_pretrained: expected a Tensor, got list"):
        nn.Embedding.from_pretrained([[1.0, 2.0]])  # type: ignore[arg-type]
