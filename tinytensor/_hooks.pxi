# Part of _tape.pyx: hooks, which nodes a walk needs, and kept values that are computed anew.
cdef enum:  # kinds of hooks of a node, in the order of their calls
    GRADIENT  # of an output; a gradient that it returns takes the old one's place
    RETAIN  # sees what the hooks before made of it
    BEFORE  # the rule: gets all gradients of outputs
    AFTER  # the rule: gets the gradients of inputs, too

HOOK_GRADIENT, HOOK_RETAIN, HOOK_AFTER = GRADIENT, RETAIN, AFTER


class RemovableHandle:
    """What every register_..._hook gives back. `remove()` takes the hook away, as does the end of a `with handle:`."""

    def __init__(self, remove):
        self._remove = remove

    def remove(self):
        """Take the hook away; a second time does nothing."""
        if self._remove is not None:
            self._remove()
            self._remove = None

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.remove()


class AccumulateGrad:
    """Stands in `next_functions` for a leaf, its `variable`, that backward accumulates into. Equal for the same leaf."""

    name = "AccumulateGrad"
    next_functions = ()

    def __init__(self, variable):
        self.variable = variable

    def __eq__(self, other):
        return isinstance(other, AccumulateGrad) and other.variable is self.variable

    def __hash__(self):
        return hash((AccumulateGrad, id(self.variable)))

    def __repr__(self):
        return "<AccumulateGrad>"


@cython.final
cdef class PostAccumulate:
    """Marks a hook of a leaf that is called with the leaf, after the gradient was accumulated."""

    cdef object function

    def __init__(self, function):
        self.function = function


cdef inline bint has_hook(Node node, int kind):
    if not node.hooks:
        return False
    return any([k == kind for k, _, _ in node.hooks])


cdef object call_hook(Walk w, object hook, object g):
    t = g if isinstance(g, TensorCore) else tensor_of(g)
    version = version_of((<TensorCore>t)._data)
    r = hook(t)
    if version_of((<TensorCore>t)._data) != version:
        raise RuntimeError("a gradient hook changed its gradient in place, which others may hold, too: return a new Tensor instead")
    if r is None:
        return g
    if not isinstance(r, TensorCore) or r.shape != t.shape:
        raise RuntimeError(
            f"a gradient hook must return None or a Tensor of shape {t.shape}, got {r.shape if isinstance(r, TensorCore) else r}"
        )
    if r.dtype != t.dtype:
        r = r.to(t.dtype)
    return r if w.create_graph else (<TensorCore>r)._data


cdef object watched(Walk w, Node node, object g):
    """An upstream gradient after the hooks of its tensors, and noted where it is wanted."""
    cdef list grads = g if node.more else [g]
    for kind, slot, hook in list(node.hooks or ()):
        if kind <= RETAIN and grads[slot] is not None:
            grads[slot] = call_hook(w, hook, grads[slot])
    if w.wanted is not None:
        for slot in range(len(grads)):
            at = w.wanted.get((node, slot))
            if at is not None:
                w.found[at] = grads[slot]
    return g if node.more else grads[0]


cdef tuple as_tensors(object grads):
    return tuple([tensor_of(g) if cnp.PyArray_Check(g) else g for g in grads])


cdef list replaced(Walk w, Node node, str what, list grads, object r):
    """Gradients after a hook of a node gave `r`."""
    if isinstance(r, TensorCore):
        r = (r,)
    if not isinstance(r, (tuple, list)) or len(r) != len(grads) or not all([t is None or isinstance(t, TensorCore) for t in r]):
        raise RuntimeError(f"a hook of {node.name} must return None or a tuple of {len(grads)} {what} (Tensors or None), got {r!r}")
    return [t if t is None or w.create_graph else (<TensorCore>t)._data for t in r]


cdef object before_rule(Walk w, Node node, object g):
    cdef list grads = g if node.more else [g]
    for kind, _, hook in list(node.hooks):
        if kind == BEFORE:
            r = hook(as_tensors(grads))
            if r is not None:
                grads = replaced(w, node, "grad_outputs", grads, r)
    for i, ((shape, dtype), one) in enumerate(zip(node.outputs, grads)):
        if one is not None and (one.shape != shape or one.dtype != dtype):
            raise RuntimeError(f"a prehook of {node.name} gave {one.dtype} {one.shape} as gradient of output {i}: expected {dtype} {shape}")
    return grads if node.more else grads[0]


cdef object after_rule(Walk w, Node node, object result, object g):
    cdef list grads = list(result) if type(result) is tuple or type(result) is list else [result]
    outputs = as_tensors(g if node.more else [g])
    for kind, _, hook in list(node.hooks):
        if kind == AFTER:
            r = hook(as_tensors(grads), outputs)
            if r is not None:
                grads = replaced(w, node, "grad_inputs", grads, r)
    return tuple(grads)


cdef int hook_leaves(Walk w) except -1:
    """The hooks of leaves, whose gradients are whole at the end of the walk."""
    cdef TensorCore leaf
    cdef list hooks
    for key in list(w.hooked):
        leaf, whole = w.hooked.pop(key)
        hooks = list((leaf._hooks or {}).values())
        if w.wanted is not None:
            whole = w.found[w.wanted[key]]
        for hook in hooks:
            if type(hook) is not PostAccumulate:
                whole = call_hook(w, hook, whole)
        if w.wanted is not None:
            w.found[w.wanted[key]] = whole
            continue
        add_to(leaf, whole, 1, w.number)
        whole = None
        call_post_accumulate(leaf)
    return 0


def call_post_accumulate(TensorCore leaf not None):
    """The hooks of a leaf that wait for its accumulated gradient."""
    for hook in list((leaf._hooks or {}).values()):
        if type(hook) is PostAccumulate:
            (<PostAccumulate>hook).function(leaf)


# ------------------------------------------------------------------------------------------------------ what is wanted
cdef inline bint leads(Walk w, object parent):
    return parent in w.useful if type(parent) is Node else id(parent) in w.wanted


cdef int plan(Walk w, roots) except -1:
    """Find the nodes that lead to something wanted."""
    cdef Py_ssize_t oldest = last_number
    cdef list stack = [], found = []
    cdef set seen = set()
    cdef Node node
    cdef object parent
    w.useful, w.onward = set(), set()
    for key in w.wanted:
        if type(key) is tuple:
            w.useful.add(key[0])
            oldest = min(oldest, (<Node>key[0]).number)
        else:
            oldest = 0  # a leaf: any node may lead to it
    for parent, _, _ in roots:
        if type(parent) is Node and parent not in seen:
            seen.add(parent)
            stack.append(parent)
    while stack:
        node = stack.pop()
        found.append(node)
        for parent in node.parents:
            if type(parent) is Node and (<Node>parent).number >= oldest and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    found.sort(key=number_of)
    for node in found:
        for parent in node.parents:
            if parent is not None and leads(w, parent):
                w.onward.add(node)
                w.useful.add(node)
                break
    return 0


def newest_number():
    """The place of the node made last."""
    return last_number


def number_of(Node node not None):
    """The place of a node in the order of creation."""
    return node.number


# ---------------------------------------------------------------------------------------------------- computed anew
@cython.final
cdef class Again:
    """Stands in a node's place for kept values that `source(index)` computes anew; `held`: those that are a leaf's own."""

    cdef object source
    cdef int index
    cdef tuple held


cdef bint node_keeps(Node node):
    return type(node.kept) is Again or (type(node.kept) is tuple and len(node.kept) > 0)


cdef Again again(Node node, object source, int index):
    cdef Again a = Again.__new__(Again)
    cdef list held = []
    cdef int i
    a.source, a.index = source, index
    if type(node.kept) is Again:
        a.held = (<Again>node.kept).held
        return a
    for i in range(node.op.asked):
        if node.op.kinds[i] < NEEDS:
            leaf = node.op.kinds[i] == INPUT and isinstance(node.parents[node.op.which[i]], TensorCore)
            held.append(node.kept[len(held)] if leaf else None)
    a.held = tuple(held)
    return a


cdef int compute_again(Node node) except -1:
    """Take the kept values from a node that was made anew, where it is of the same op on the same values."""
    cdef Again a
    cdef Node twin
    cdef tuple held
    while type(node.kept) is Again:  # a checkpoint inside a checkpoint gives another
        a = <Again>node.kept
        twin = a.source(a.index)
        if twin.op is not node.op or twin.outputs != node.outputs:
            raise RuntimeError(
                f"checkpoint: the function did something else when it ran again: {node.op.__name__} (made at {node.line}), then "
                f"{twin.op.__name__} (made at {twin.line}). It must depend on nothing but its arguments and tensors that stay"
            )
        held = (<Again>twin.kept).held if type(twin.kept) is Again else <tuple>twin.kept
        if memcmp(twin.versions, node.versions, sizeof(node.versions)) != 0 or any([v is not None and v is not held[i] for i, v in enumerate(a.held)]):
            raise RuntimeError(
                f"checkpoint: backward of {node.op.__name__} (made at {node.line}) needs an array that was changed or replaced since: "
                "change what a checkpoint reads only after backward"
            )
        node.kept = twin.kept
    return 0
