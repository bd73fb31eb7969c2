"""Module: registration, listings, state, modes, dtype, printing, copies, places of errors."""

import collections
import contextlib
import copy
import gc
import pickle
import sys
import weakref

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn


class Net(nn.Module):
    """Two layers, a buffer, a scale: every kind of entry once."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(3, 4)
        self.act = nn.ReLU()
        self.scale = nn.Parameter(tt.ones(4))
        self.register_buffer("mean", tt.zeros(3))
        self.register_buffer("scratch", tt.zeros(2), persistent=False)
        self.fc2 = nn.Linear(4, 2, bias=False)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x - self.mean)) * self.scale)


def bits(tensor):
    return tensor.detach().numpy().tobytes()


# --- parameters -----------------------------------------------------------------------------------


def test_parameter():
    source = tt.tensor([1.0, 2.0])
    p = nn.Parameter(source)
    assert isinstance(p, tt.Tensor)
    assert p.requires_grad and p.is_leaf
    assert not source.requires_grad
    assert np.shares_memory(p.detach().numpy(), source.numpy())
    assert not nn.Parameter(source, requires_grad=False).requires_grad
    assert type(p * 2) is tt.Tensor
    assert type(p.detach()) is tt.Tensor
    assert repr(p) == "Parameter containing:\ntensor([1., 2.], requires_grad=True)"


def test_parameter_of_a_computed_tensor_is_a_leaf():
    x = tt.tensor([1.0, 2.0], requires_grad=True)
    p = nn.Parameter(x * 2)
    assert p.is_leaf
    (p * 3).sum().backward()
    assert p.grad.tolist() == [3.0, 3.0]
    assert x.grad is None


def test_parameter_refuses_what_cannot_have_a_gradient():
    with pytest.raises((RuntimeError, TypeError), match="int64"):
        nn.Parameter(tt.tensor([1, 2]))
    assert nn.Parameter(tt.tensor([1, 2]), requires_grad=False).dtype == tt.int64


@pytest.mark.parametrize("carry", [copy.deepcopy, copy.copy, lambda p: pickle.loads(pickle.dumps(p))])
def test_parameter_copies_keep_type_flag_and_layout(carry):
    base = np.arange(6, dtype=np.float32).reshape(3, 2)
    for flag in (True, False):
        p = nn.Parameter(tt.from_numpy(base).T, requires_grad=flag)
        q = carry(p)
        assert type(q) is nn.Parameter
        assert q.requires_grad is flag
        assert q.is_leaf
        assert q._data.strides == p._data.strides
        assert bits(q) == bits(p)


def test_deepcopied_parameter_has_its_own_memory():
    p = nn.Parameter(tt.ones(3))
    q = copy.deepcopy(p)
    with tt.no_grad():
        q.zero_()
    assert p.tolist() == [1, 1, 1]


# --- registration ---------------------------------------------------------------------------------


def test_attributes_register():
    net = Net()
    assert list(net._parameters) == ["scale"]
    assert list(net._modules) == ["fc1", "act", "fc2"]
    assert list(net._buffers) == ["mean", "scratch"]
    assert net.scale is net._parameters["scale"]
    assert net.mean is net._buffers["mean"]
    assert {"scale", "fc1", "mean", "forward", "training"} <= set(dir(net))


def test_a_name_means_one_thing():
    net = Net()
    net.scale = None
    assert net.scale is None
    assert "scale" not in dict(net.named_parameters())
    net.scale = nn.Parameter(tt.zeros(4))
    assert "scale" in dict(net.named_parameters())
    net.plain = 3
    net.plain = nn.Parameter(tt.zeros(1))
    assert "plain" not in net.__dict__
    assert "plain" in dict(net.named_parameters())
    net.mean = nn.Parameter(tt.zeros(3))
    assert "mean" not in dict(net.named_buffers())
    net.mean = None
    del net.mean
    net.act = None
    assert net.act is None
    assert [name for name, _ in net.named_children()] == ["fc1", "fc2"]
    net.act = nn.Tanh()
    assert net._modules["act"] is net.act
    net.other = 3
    net.other = nn.Tanh()
    assert net.other is net._modules["other"]
    net.scratch = tt.ones(5)
    assert dict(net.named_buffers())["scratch"].tolist() == [1] * 5
    net.scratch = None
    assert list(net.buffers()) == []
    net.scratch = nn.Tanh()
    assert net.scratch is net._modules["scratch"]
    net.mean = nn.ReLU()
    assert dict(net.named_children())["mean"] is net.mean


def test_wrong_kinds_are_refused():
    net = Net()
    with pytest.raises(TypeError, match="cannot assign 'Tensor' as parameter 'scale'"):
        net.scale = tt.zeros(4)
    with pytest.raises(TypeError, match="cannot assign 'int' as child module 'fc1'"):
        net.fc1 = 3
    with pytest.raises(TypeError, match="cannot assign 'int' as buffer 'mean'"):
        net.mean = 3
    with pytest.raises(TypeError, match="cannot assign 'Tensor' object to parameter 'w'"):
        net.register_parameter("w", tt.zeros(4))
    with pytest.raises(TypeError, match="cannot assign 'ndarray' object to buffer 'b'"):
        net.register_buffer("b", np.zeros(4))
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        net.add_module("m", 3)
    with pytest.raises(TypeError, match="parameter name should be a string"):
        net.register_parameter(3, None)
    for name, message in (
        ("a.b", "name can.*contain"),
        ("", "name can.*be empty"),
        ("forward", "'forward' already exists"),
    ):
        with pytest.raises(KeyError, match=message):
            net.register_parameter(name, None)
        with pytest.raises(KeyError, match=message):
            net.register_buffer(name, None)
        with pytest.raises(KeyError, match=message):
            net.add_module(name, None)


def test_computed_parameter_is_refused():
    x = tt.ones(2, requires_grad=True)
    p = nn.Parameter(tt.zeros(2), requires_grad=False)
    p.copy_(x * 2)
    assert not p.is_leaf
    with pytest.raises(ValueError, match="cannot assign non-leaf Tensor to parameter 'w'"):
        nn.Module().w = p


def test_registering_a_buffer_again_changes_whether_it_is_saved():
    net = nn.Module()
    net.register_buffer("b", tt.zeros(1), persistent=False)
    assert list(net.state_dict()) == []
    net.register_buffer("b", tt.zeros(1))
    assert list(net.state_dict()) == ["b"]
    net.register_buffer("b", tt.zeros(1), persistent=False)
    net.b = nn.Parameter(tt.zeros(1))
    assert list(net.state_dict()) == ["b"]


def test_registering_before_init():
    class Early(nn.Module):
        def __init__(self, entry):
            self.entry = entry
            super().__init__()

    with pytest.raises(AttributeError, match=r"cannot assign parameter before Module.__init__\(\) call"):
        Early(nn.Parameter(tt.zeros(1)))
    with pytest.raises(AttributeError, match=r"cannot assign module before Module.__init__\(\) call"):
        Early(nn.ReLU())


def test_unknown_attribute():
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'fc9'"):
        Net().fc9  # noqa: B018


def test_delattr():
    net = Net()
    del net.fc1, net.scale, net.mean
    assert list(net.state_dict()) == ["fc2.weight"]
    with pytest.raises(AttributeError):
        del net.fc1


def test_forward_is_required():
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match=r'Module \[Empty\] is missing the required "forward" function'):
        Empty()(1)


# --- listings -------------------------------------------------------------------------------------


def test_listings_in_pytorchs_order():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == ["scale", "fc1.weight", "fc1.bias", "fc2.weight"]
    assert [name for name, _ in net.named_parameters(recurse=False)] == ["scale"]
    assert [name for name, _ in net.named_parameters(prefix="net")][1] == "net.fc1.weight"
    assert [name for name, _ in net.named_modules()] == ["", "fc1", "act", "fc2"]
    assert [name for name, _ in net.named_children()] == ["fc1", "act", "fc2"]
    assert [name for name, _ in net.named_buffers()] == ["mean", "scratch"]
    assert list(net.modules()) == [net, net.fc1, net.act, net.fc2]
    assert list(net.children()) == [net.fc1, net.act, net.fc2]
    assert [p.shape for p in net.parameters()] == [(4,), (4, 3), (4,), (2, 4)]
    assert [b.shape for b in net.buffers()] == [(3,), (2,)]


def test_shared_parts_are_listed_once():
    inner = nn.Linear(3, 3)
    net = nn.Sequential(inner, nn.ReLU(), inner, nn.Linear(3, 3))
    net[3].weight = inner.weight
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias", "3.bias"]
    assert [name for name, _ in net.named_modules()] == ["", "0", "1", "3"]
    assert len(list(net.children())) == 3
    assert [name for name, _ in net.named_parameters(remove_duplicate=False)] == [
        "0.weight", "0.bias", "2.weight", "2.bias", "3.weight", "3.bias",
    ]  # fmt: skip
    # The state is under every name, so that a file is complete for any reader.
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias", "3.weight", "3.bias"]


def test_shared_buffers_are_listed_once():
    net = nn.Sequential(Net(), Net())
    net[1].mean = net[0].mean
    assert [name for name, _ in net.named_buffers()] == ["0.mean", "0.scratch", "1.scratch"]
    assert [name for name, _ in net.named_buffers(recurse=False)] == []
    assert [name for name, _ in net[0].named_buffers(prefix="x", recurse=False)] == ["x.mean", "x.scratch"]
    assert len(list(net.named_buffers(remove_duplicate=False))) == 4
    assert len(list(net.buffers())) == 3
    assert list(net.buffers(recurse=False)) == []
    assert list(net.parameters(recurse=False)) == []


def test_gradient_of_a_shared_parameter_is_the_sum():
    inner = nn.Linear(1, 1, bias=False)
    with tt.no_grad():
        inner.weight.copy_(tt.tensor([[3.0]]))
    nn.Sequential(inner, inner)(tt.tensor([[2.0]])).sum().backward()
    assert inner.weight.grad.tolist() == [[12.0]]


# --- state ----------------------------------------------------------------------------------------


def test_state_dict_is_detached_and_shares_memory():
    net = Net()
    state = net.state_dict()
    assert type(state) is dict
    assert list(state) == ["scale", "mean", "fc1.weight", "fc1.bias", "fc2.weight"]
    assert not any(t.requires_grad for t in state.values())
    state["scale"].zero_()
    assert net.scale.tolist() == [0, 0, 0, 0]
    assert net.state_dict(keep_vars=True)["scale"] is net.scale
    assert list(net.fc1.state_dict(prefix="x.")) == ["x.weight", "x.bias"]


def test_load_state_dict_copies_into_the_modules_memory():
    source, target = Net(), Net()
    memory = {name: t._data for name, t in target.state_dict(keep_vars=True).items()}
    result = target.load_state_dict(source.state_dict())
    assert result == ([], [])
    assert result.missing_keys == [] and result.unexpected_keys == []
    assert repr(result) == "<All keys matched successfully>"
    for name, t in target.state_dict(keep_vars=True).items():
        assert t._data is memory[name]
        assert bits(t) == bits(source.state_dict()[name])
        assert not np.shares_memory(t._data, source.state_dict()[name]._data)
    assert target.fc1.weight.requires_grad and target.fc1.weight.is_leaf


def test_load_state_dict_from_arrays_casts():
    target = nn.Linear(3, 2)
    weight = np.arange(6, dtype=np.float64).reshape(2, 3)
    target.load_state_dict({"weight": weight, "bias": tt.tensor([7, 8])})
    assert target.weight.dtype == tt.float32
    assert target.weight.tolist() == weight.tolist()
    assert target.bias.tolist() == [7, 8]


def test_load_state_dict_names_every_misfit_and_changes_nothing():
    net = Net()
    before = {name: bits(t) for name, t in net.state_dict().items()}
    state = Net().state_dict()
    state["extra"] = state.pop("scale")
    state["fc1.weight"] = tt.zeros(5, 3)
    state["fc1.bias"] = [1, 2]
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    assert str(caught.value) == (
        "Error(s) in loading state_dict for Net:\n"
        '\tMissing key(s) in state_dict: "scale". \n'
        '\tUnexpected key(s) in state_dict: "extra". \n'
        "\tsize mismatch for fc1.weight: copying a param with shape (5, 3) from checkpoint, "
        "the shape in current model is (4, 3).\n"
        '\tWhile copying the parameter named "fc1.bias", expected Tensor or array from checkpoint '
        "but received <class 'list'>"
    )
    assert {name: bits(t) for name, t in net.state_dict().items()} == before
    with pytest.raises(TypeError, match="Expected state_dict to be dict-like, got <class 'list'>"):
        net.load_state_dict([1])


def test_load_state_dict_not_strict():
    source, net = Net(), Net()
    state = source.state_dict()
    state["extra"] = state.pop("scale")
    result = net.load_state_dict(state, strict=False)
    assert result.missing_keys == ["scale"]
    assert result.unexpected_keys == ["extra"]
    assert repr(result) == "IncompatibleKeys(missing_keys=['scale'], unexpected_keys=['extra'])"
    assert bits(net.fc1.weight) == bits(source.fc1.weight)
    only = net.load_state_dict({k: v for k, v in source.state_dict().items() if k != "mean"}, strict=False)
    assert repr(only) == "IncompatibleKeys(missing_keys=['mean'], unexpected_keys=[])"
    state["fc2.weight"] = tt.zeros(1)
    with pytest.raises(RuntimeError, match=r"size mismatch for fc2\.weight"):
        net.load_state_dict(state, strict=False)


# --- modes, gradients, dtype ----------------------------------------------------------------------


def test_train_and_eval():
    net = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5)))
    assert net.training
    assert net.eval() is net
    assert [m.training for m in net.modules()] == [False] * 4
    assert net.train() is net
    assert [m.training for m in net.modules()] == [True] * 4
    with pytest.raises(ValueError, match="training mode is expected to be boolean"):
        net.train("yes")


def test_freezing():
    net = Net()
    assert net.fc1.requires_grad_(False) is net.fc1
    net(tt.ones(2, 3)).sum().backward()
    assert net.fc1.weight.grad is None and net.fc1.bias.grad is None
    assert net.fc2.weight.grad is not None
    net.fc1.requires_grad_()
    net(tt.ones(2, 3)).sum().backward()
    assert net.fc1.weight.grad is not None


def test_zero_grad():
    net = Net()
    net(tt.ones(2, 3)).sum().backward()
    kept = net.fc2.weight.grad
    net.zero_grad(set_to_none=False)
    assert np.shares_memory(net.fc2.weight.grad._data, kept._data)
    assert kept.tolist() == [[0] * 4] * 2
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_apply_goes_children_first():
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU()))
    seen = []
    assert net.apply(seen.append) is net
    assert seen == [net[0], net[1][0], net[1], net]


def test_dtype():
    net = Net()
    net.register_buffer("count", tt.tensor([3]))
    weight = net.fc1.weight
    net(tt.ones(2, 3)).sum().backward()
    values = weight.tolist()
    assert net.double() is net
    assert net.fc1.weight is weight
    assert {p.dtype for p in net.parameters()} == {tt.float64}
    assert net.mean.dtype == tt.float64
    assert net.count.dtype == tt.int64
    assert weight.grad.dtype == tt.float64
    assert weight.tolist() == values
    assert weight._data.T.flags.c_contiguous
    assert weight.is_leaf and weight.requires_grad
    net.zero_grad()
    net(tt.ones(2, 3, dtype=tt.float64)).sum().backward()
    assert weight.grad.dtype == tt.float64
    assert net.float().fc1.weight.dtype == tt.float32
    assert net.to(tt.float64).mean.dtype == tt.float64
    with pytest.raises(TypeError, match="only accepts floating point dtypes, but got desired dtype=int64"):
        net.to(tt.int64)


# --- printing -------------------------------------------------------------------------------------


def test_repr_is_pytorchs():
    net = nn.Sequential(
        collections.OrderedDict(
            flat=nn.Flatten(),
            body=nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Dropout(0.2)),
            head=nn.Linear(128, 10, bias=False),
        )
    )
    assert repr(net) == (
        "Sequential(\n"
        "  (flat): Flatten(start_dim=1, end_dim=-1)\n"
        "  (body): Sequential(\n"
        "    (0): Linear(in_features=784, out_features=128, bias=True)\n"
        "    (1): ReLU()\n"
        "    (2): Dropout(p=0.2, inplace=False)\n"
        "  )\n"
        "  (head): Linear(in_features=128, out_features=10, bias=False)\n"
        ")"
    )


def test_repr_with_extra_lines():
    class Both(nn.Module):
        def __init__(self, extra):
            super().__init__()
            self.extra = extra

        def extra_repr(self):
            return self.extra

    assert repr(Both("")) == "Both()"
    assert repr(Both("a=1")) == "Both(a=1)"
    assert repr(Both("a=1\nb=2")) == "Both(\n  a=1\n  b=2\n)"
    both = Both("a=1")
    both.child = nn.ReLU()
    assert repr(both) == "Both(\n  a=1\n  (child): ReLU()\n)"
    assert repr(nn.Sequential()) == "Sequential()"


# --- copies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("carry", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_independent_and_keep_sharing(carry):
    net = Net()
    net.again = net.fc1
    net.fc2.extra = net.scale
    net.eval()
    x = tt.ones(2, 3)
    twin = carry(net)
    assert bits(twin(x)) == bits(net(x))
    assert twin.again is twin.fc1
    assert twin.fc2.extra is twin.scale
    assert twin.training is False
    assert list(twin.state_dict()) == list(net.state_dict())
    assert twin.fc1.weight._data.T.flags.c_contiguous
    with tt.no_grad():
        twin.fc1.weight.zero_()
    assert bits(twin(x)) != bits(net(x))
    twin(x).sum().backward()
    assert twin.fc2.weight.grad is not None
    assert net.fc2.weight.grad is None


# --- places of errors -----------------------------------------------------------------------------


def test_error_says_where():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU(), nn.Linear(5, 2)))

        def forward(self, x):
            return self.body(x)

    with pytest.raises(ValueError, match="Linear") as caught:
        Model()(tt.ones(7, 4))
    assert str(caught.value) == "Model.body.1.1 (Linear 5 -> 2): expected (*, 5), got (7, 3)"
    assert not hasattr(caught.value, "__notes__")


def test_error_of_the_users_own_code_keeps_its_message():
    class Picky(nn.Module):
        def forward(self, x):
            raise ValueError("mine")

    with pytest.raises(ValueError, match=r"^mine") as caught:
        nn.Sequential(nn.Identity(), nn.Sequential(Picky()))(1)
    assert str(caught.value) == "mine"
    assert caught.value.__notes__ == ["in module 1.0 (Picky) of Sequential"]
    if sys.version_info >= (3, 11):
        import traceback

        assert "in module 1.0 (Picky) of Sequential\n" in traceback.format_exception(caught.value)


def test_error_in_a_lone_module_and_own_notes():
    class Broken(nn.Module):
        def forward(self, x):
            error = KeyError("x")
            error.__notes__ = ["mine"]
            raise error

    with pytest.raises(KeyError) as caught:
        Broken()(1)
    assert caught.value.__notes__ == ["mine", "in module Broken"]
    with pytest.raises(KeyError) as caught:
        nn.Sequential(nn.Identity(), Broken())(1)
    assert caught.value.__notes__ == ["mine", "in module 1 (Broken) of Sequential"]


def test_an_error_in_a_module_goes_without_the_collector():
    """Its place is read from frames, which must not hold it: a cycle would keep every array of the call."""
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    gc.collect()
    gc.disable()
    try:
        for _ in range(2):
            x = tt.ones(5, 7)
            memory = weakref.ref(x)
            with contextlib.suppress(ValueError):
                net(x)
            del x
            assert memory() is None
    finally:
        gc.enable()
