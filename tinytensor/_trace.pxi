# Part of _tape.pyx: what nodes keep so that a graph can be explained after it ran; viz/trace.py reads it.
cdef enum:
    FEW = 16  # elements of an array that is kept whether it is asked for or not
    SIZES = 32  # of an array whose shape is remembered

cdef extern from "numpy/arrayobject.h":
    PyObject *PyArray_BASE(cnp.ndarray a)

cdef extern from "Python.h":
    PyTypeObject *Py_TYPE(PyObject *o)

cdef extern from "weakrefobject.h":
    object PyWeakref_NewRef(object o, PyObject *callback)

cdef int walks = 0  # how many began
cdef int inspectors = 0  # threads inside tt.inspect: 0 spares ops the look at their thread's own flag


@cython.final
@cython.no_gc
@cython.freelist(16)
cdef class Shade:
    """An array that a node knows and does not keep alive, with a copy where it is small."""

    cdef object ref, copy
    cdef unsigned int version
    cdef int nd, typenum
    cdef cnp.npy_intp dims[SIZES]


cdef Shade shade_of(cnp.ndarray a):
    cdef Shade s = Shade.__new__(Shade)
    s.ref = PyWeakref_NewRef(a, NULL)
    s.version = version_of(a)
    s.nd, s.typenum = min(cnp.PyArray_NDIM(a), SIZES), cnp.PyArray_TYPE(a)
    if s.nd:  # a scalar's dims may be NULL
        memcpy(s.dims, cnp.PyArray_DIMS(a), s.nd * sizeof(cnp.npy_intp))
    s.copy = copy_of(a) if is_few(a) or (inspectors and inspecting) else None
    return s


cdef object seen_by(Shade s):
    """The array as it was; None where it is gone or was changed."""
    if s.copy is not None:
        return s.copy
    a = s.ref()
    return a if a is not None and version_of(a) == s.version else None


cdef object identity(object v):
    """Of an array (itself, or its weak reference where it is gone: the same for all nodes that it went into; shape; dtype)."""
    if type(v) is not Shade:
        return (v, v.shape, v.dtype) if cnp.PyArray_Check(v) else None
    a = (<Shade>v).ref()
    shape = tuple([(<Shade>v).dims[i] for i in range((<Shade>v).nd)])
    return (<Shade>v).ref if a is None else a, shape, cnp.PyArray_DescrFromType((<Shade>v).typenum)


cdef inline bint is_few(object a) noexcept:
    return cnp.PyArray_SIZE(<cnp.ndarray>a) <= FEW


cdef inline bint watching(Node node) noexcept:
    return node.inspected or (inspectors and inspecting)


cdef cnp.ndarray copy_of(cnp.ndarray a):
    cdef cnp.ndarray c
    if not ours(cnp.PyArray_TYPE(a)):  # a constant of the user's may be of any dtype
        return cnp.PyArray_NewCopy(a, cnp.NPY_CORDER)
    c = new_array(cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a))
    cnp.PyArray_CopyInto(c, a)
    return c


cdef inline bint owns(cnp.ndarray a) noexcept:
    cdef PyObject *base = PyArray_BASE(a)
    return base != NULL and Py_TYPE(base) == <PyTypeObject *>Block and (<Block>base).ptr != NULL


cdef inline object still(cnp.ndarray a):
    """`a` where it owns its memory, else a copy: a small view would keep a large array, and NumPy's memory has no version."""
    return a if owns(a) or not is_few(a) else copy_of(a)


cdef inline int note_value(Node node, cnp.ndarray out) except -1:
    """Keep the value of a node where it is small. By reference: a change in place takes a copy first, and is counted anyway."""
    cdef cnp.npy_intp n = 1
    cdef int i
    if inspectors and inspecting:
        node.inspected = True
        remember_modules(node)
        node.value = still(out)
        node.value_version = version_of(node.value)
        return 0
    for i in range(node.nd):
        n *= node.dims[i]
    if n <= FEW:
        if owns(out):
            node.value = out
            node.value_version = <unsigned int>(<Block>PyArray_BASE(out)).version
        else:
            node.value = copy_of(out)
            node.value_version = version_of(node.value)
    return 0


cdef int note_constants(Node node, Op op, PyObject **values, int lacking) except -1:
    """Know the inputs that have no gradient and that the rule does not keep: bit k of `lacking` for input k."""
    cdef Py_ssize_t k, n = PyTuple_GET_SIZE(node.parents)
    cdef list found = [None] * n
    for k in range(n):
        if lacking >> k & 1:
            found[k] = constant_of(<object>values[op.at[k]])
    node.notes = [found, None]
    return 0


cdef inline object constant_of(object v):
    """What a node knows of an input without gradient."""
    return shade_of(v) if cnp.PyArray_Check(v) else v


cdef inline int note_upstream(Walk w, Node node, object g) except -1:
    """Keep the gradient that reached a node where it is small. Nobody adds into an array that a node refers to."""
    node.walk = -w.number if node is w.root else w.number
    if node.notes is not None:
        (<list>node.notes)[1] = None
    if type(g) is ndarray:
        node.upstream = None
        if is_few(g) or watching(node):
            node.upstream = copy_of(g) if w.theirs is not None and any([g is t for t in w.theirs]) else still(g)
            node.upstream_version = version_of(node.upstream)
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
    """Whether a kept value may stay after backward: it holds no large memory."""
    if v is None or type(v) is float or type(v) is bool:
        return True
    if cnp.PyArray_Check(v):
        return is_few(v) and (PyArray_BASE(v) == NULL or owns(v))
    if isinstance(v, tuple):
        for item in <tuple>v:
            if not is_small(item):
                return False
        return True
    return type(v) in PLAIN


cdef frozenset PLAIN = frozenset((int, str, slice, type(Ellipsis), type(np.dtype("float32")), type(np.dtype("float64"))))


cdef inline int note_added(TensorCore leaf, int walk, bint anew) except -1:
    """Know of which walk alone a leaf's gradient is, and as which version: 0 where several added to it."""
    if leaf._walk != walk:
        leaf._walk = walk if anew else 0
    leaf._walk_version = version_of((<TensorCore>leaf._grad)._data)
    return 0


def walk_of(TensorCore leaf not None):
    """The walk that alone made a leaf's gradient, or 0; also where the gradient was changed in place since."""
    if leaf._grad is None or version_of((<TensorCore>leaf._grad)._data) != leaf._walk_version:
        return 0
    return leaf._walk


cdef int note_down(Node node, Py_ssize_t i, object g) except -1:
    """Keep the gradient that an input got from a node that is watched."""
    if node.notes is None:
        node.notes = [None, None]
    if node.notes[1] is None:
        node.notes[1] = [None] * len(node.parents)
    node.notes[1][i] = note_others(node, g)
    return 0


cdef inline int release(Node node) except -1:
    """Free what a node kept for backward; what is small stays, for explanations alone, and large constants are known, not held."""
    cdef tuple kept
    cdef Py_ssize_t i
    if type(node.kept) is tuple:
        kept = <tuple>node.kept
        if not watching(node):
            for i in range(PyTuple_GET_SIZE(kept)):
                if not is_small(<object>PyTuple_GET_ITEM(kept, i)):
                    kept = remnant(node, kept)
                    break
        node.past = kept
    node.kept = freed
    return 0


cdef tuple remnant(Node node, tuple kept):
    """Of kept values what may stay after backward."""
    cdef tuple found = PyTuple_New(PyTuple_GET_SIZE(kept))
    cdef Op op = node.op
    cdef int i, j = 0, kind
    for i in range(op.asked):
        kind = op.kinds[i]
        if kind >= NEEDS:
            continue
        v = <object>PyTuple_GET_ITEM(kept, j)
        if cnp.PyArray_Check(v):
            if is_few(v):
                v = v if is_small(v) else shade_of(v)
            elif kind == ARGUMENT or (kind == INPUT and <object>PyTuple_GET_ITEM(node.parents, op.which[i]) is None):
                v = shade_of(v)
            else:
                v = freed
        elif not is_small(v):
            if type(v) is tuple and is_small(still_items(v)):  # an index
                v = still_items(v)
                if j < COUNTED:
                    node.versions[j] = version_of_kept(v)
            else:
                v = freed
        Py_INCREF(v)
        PyTuple_SET_ITEM(found, j, v)
        j += 1
    return found


cdef tuple still_items(tuple items):
    return tuple([still(v) if cnp.PyArray_Check(v) else v for v in items])


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


def changed_leaves(Node node not None):
    """The leaves that the rule keeps, and whose memory was changed in place since; of others it is not known."""
    cdef Op op = node.op
    cdef int i, j = 0
    cdef list found = []
    for i in range(op.asked):
        if op.kinds[i] >= NEEDS:
            continue
        if op.kinds[i] == INPUT and op.function is not None and j < COUNTED and node.versions[j] != UNCOUNTED:
            leaf = node.parents[op.which[i]]
            if isinstance(leaf, TensorCore) and version_of((<TensorCore>leaf)._data) != node.versions[j]:
                found.append(leaf)
        j += 1
    return found


def kept_names(Node node not None):
    """For each value that the rule names: (name, index of the input that it is, or -1, the value or None where it is gone,
    whether it is an array of the op's, what tells an array from others)."""
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
        if not skipped:
            v = kept[j] if type(kept) is tuple and j < len(kept) else None
            same = intact(node, j, v)
            found.append((names[i], op.which[i] if op.kinds[i] == INPUT else -1, None if same is freed else same,
                          op.kinds[i] in (INPUT, OUT, AUXILIARY), identity(v)))
        j += 1
    return found


cdef object intact(Node node, int i, object v):
    """The kept value i where it is as it was; else `freed`."""
    if type(v) is Shade:
        v = seen_by(v)
        return freed if v is None else v
    if v is not freed and i < COUNTED and node.versions[i] != UNCOUNTED and version_of_kept(v) != node.versions[i]:
        return freed
    return v


def noted(Node node not None):
    """What a node keeps for explanations: (value or a list of several, whether it is as it was, the walk that came last, whether
    that began here alone, its upstream gradient, downstream gradients, constants as (value or None, what tells an array from
    others) or None)."""
    cdef bint same = type(node.value) is not ndarray or version_of(node.value) == node.value_version
    constants, downs = node.notes or (None, None)
    if constants is not None:
        constants = [(seen_by(v) if type(v) is Shade else v, identity(v)) for v in constants]
    upstream = node.upstream
    if type(upstream) is ndarray and version_of(upstream) != node.upstream_version:
        upstream = None
    return node.value, same, abs(node.walk), node.walk < 0, upstream, downs, constants


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
        given = [intact(node, i, v) for i, v in enumerate(<tuple>node.kept)]
        if any([v is freed for v in given]):
            return None
        node.kept = tuple(given)
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
