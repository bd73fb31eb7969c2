# Part of _tape.pyx: what nodes keep so that a graph can be explained after it ran; viz/trace.py reads it.
cdef enum:
    FEW = 16  # elements of an array that is kept whether it is asked for or not

cdef extern from "numpy/arrayobject.h":
    PyObject *PyArray_BASE(cnp.ndarray a)

cdef extern from "Python.h":
    PyTypeObject *Py_TYPE(PyObject *o)

cdef int walks = 0  # how many began


cdef inline bint is_few(object a) noexcept:
    return cnp.PyArray_SIZE(<cnp.ndarray>a) <= FEW


cdef inline bint watching(Node node) noexcept:
    return inspecting or node.inspected


cdef cnp.ndarray copy_of(cnp.ndarray a):
    cdef cnp.ndarray c = new_array(cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a))
    cnp.PyArray_CopyInto(c, a)
    return c


cdef object still(cnp.ndarray a):
    """`a` where it owns its memory, else a copy: a small view would keep a large array, and NumPy's memory has no version."""
    cdef PyObject *base = PyArray_BASE(a)
    if base != NULL and Py_TYPE(base) == <PyTypeObject *>Block and (<Block>base).ptr != NULL:
        return a
    return copy_of(a) if is_few(a) else a


cdef inline int note_value(Node node, cnp.ndarray out) except -1:
    """Keep the value of a node where it is small. By reference: a change in place takes a copy first, and is counted anyway."""
    cdef cnp.npy_intp n = 1
    cdef int i
    if inspecting:
        node.inspected = True
        remember_modules(node)
        n = 0
    for i in range(node.nd):
        n *= node.dims[i]
    if n <= FEW:
        node.value = still(out)
        node.value_version = version_of(node.value)
    return 0


cdef int note_constants(Node node, Op op, PyObject **values) except -1:
    """Keep the inputs that have no gradient, where they are small and the rule does not."""
    cdef Py_ssize_t k, n = PyTuple_GET_SIZE(node.parents)
    cdef list found = None
    for k in range(n):
        if <object>PyTuple_GET_ITEM(node.parents, k) is None:
            v = <object>values[op.at[k]]
            if cnp.PyArray_Check(v):
                v = v.copy() if is_few(v) or inspecting else None
            if found is None:
                found = [None] * n
            found[k] = v
    node.constants = found
    return 0


cdef inline int note_upstream(Walk w, Node node, object g) except -1:
    """Keep the gradient that reached a node where it is small. Nobody adds into an array that a node refers to."""
    node.walk = w.number
    node.downs = None
    if type(g) is ndarray:
        node.upstream = g if is_few(g) or watching(node) else None
    else:
        node.upstream = note_others(node, g)
    return 0


cdef object note_others(Node node, object g):
    """Of several outputs, or of a Tensor with a past: the array alone, so that no cycle comes to be."""
    if type(g) is list:
        return [None if one is None else note_others(node, one) for one in <list>g]
    array = (<TensorCore>g)._data if isinstance(g, TensorCore) else g
    return copy_of(array) if is_few(array) or watching(node) else None


cdef bint is_small(object v):
    """Whether a kept value may stay after backward."""
    if cnp.PyArray_Check(v):
        return is_few(v)
    if type(v) is tuple:
        for item in <tuple>v:
            if not is_small(item):
                return False
        return True
    return v is None or type(v) in PLAIN


cdef frozenset PLAIN = frozenset((int, float, bool, str, slice, type(Ellipsis), type(np.dtype("float32")), type(np.dtype("float64"))))


cdef inline int release(Node node) except -1:
    """Free what a node kept for backward; what is small stays for explanations alone."""
    if node.kept is not freed:
        node.past = node.kept if watching(node) or is_small(node.kept) else None
        node.kept = freed
    return 0


def keep_value(Node node not None, int slot, cnp.ndarray value not None):
    """Let a node that Python code made know the value of an output, as an op's node does by itself."""
    if slot and type(node.value) is not list:
        node.value = [node.value]
    if type(node.value) is not list:
        note_value(node, value)
        return
    value = copy_of(value) if inspecting or is_few(value) else None
    node.value += [None] * (slot + 1 - len(node.value))
    node.value[slot] = value


def part(Node node not None):
    """Before a change in place of what a node gave: its value goes into memory of its own."""
    if type(node.value) is ndarray and version_of(node.value) == node.value_version:
        node.value = copy_of(node.value)
        node.value_version = version_of(node.value)


def kept_names(Node node not None):
    """For each value that the rule names: (name, index of the input that it is, or -1, the value or None where it is gone)."""
    cdef Op op = node.op
    cdef int i, j = 0
    cdef list found = []
    if op.function is None:
        return found
    names = op.function.__code__.co_varnames[1 : op.asked + 1]
    kept = node.past if node.kept is freed else node.kept
    for i in range(op.asked):
        if op.kinds[i] >= NEEDS:
            continue
        skipped = op.when[i] >= 0 and op.parameters[op.when[i]] in op.inputs and node.parents[op.inputs.index(op.parameters[op.when[i]])] is None
        v = kept[j] if type(kept) is tuple and j < len(kept) else None
        if not skipped:
            intact = j >= COUNTED or node.versions[j] == UNCOUNTED or version_of_kept(v) == node.versions[j]
            found.append((names[i], op.which[i] if op.kinds[i] == INPUT else -1, v if v is not None and intact else None, op.kinds[i] in (INPUT, OUT, AUXILIARY)))
        j += 1
    return found


def noted(Node node not None):
    """What a node keeps for explanations: (value or a list of several, whether it is as it was, the walk that came last,
    its upstream gradient, downstream gradients, constants)."""
    cdef bint same = type(node.value) is not ndarray or version_of(node.value) == node.value_version
    return node.value, same, node.walk, node.upstream, node.downs, node.constants


def try_rule(Node node not None, g):
    """What the rule of a node gives for an upstream gradient, array or list of them, fitted to the inputs; nothing else changes.

    None where what it needs is gone, was changed in place since, or waits to be computed by open_again.
    """
    global grad_off
    cdef Walk w = Walk.__new__(Walk)
    cdef object before = node.kept, result, item
    cdef int recorded = grad_off, i
    w.retain_graph = True
    if node.kept is freed:
        if node.past is None:
            return None
        node.kept = node.past
    grad_off = True
    try:
        if type(node.kept) is Again:
            return None
        for i in range(min(COUNTED, len(<tuple>node.kept))):
            if node.versions[i] != UNCOUNTED and version_of_kept(node.kept[i]) != node.versions[i]:
                return None
        result = call_rule(w, node, g, (None,) * len(node.parents))
        if type(result) is not tuple and type(result) is not list:
            result = (result,)
        found = []
        for i, (parent, item) in enumerate(zip(node.parents, result)):
            if parent is None or item is None:
                found.append(None)
            else:
                found.append(fitted(item, parent, node.slots[i] if node.slots is not None else 0, node))
        return found
    finally:
        node.kept = before
        grad_off = recorded


def open_again(Node node not None):
    """Compute the kept values of a checkpoint's node anew, for several calls of try_rule; close_again takes what this gives."""
    before = node.kept if type(node.kept) is Again else None
    if before is not None:
        compute_again(node)
    return before


def close_again(Node node not None, before):
    """Put back what stood for the values that open_again computed."""
    if before is not None:
        node.kept = before
