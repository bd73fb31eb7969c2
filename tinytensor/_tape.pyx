# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, auto_pickle=False
"""The tape's hot core: what a Tensor holds, Node, the call of an op, and the walk back. No mathematics but accumulation."""

import os
import warnings
import weakref
from heapq import heappop, heappush

import numpy as np

from tinytensor import _kernels

cimport cython
cimport numpy as cnp
from cpython.dict cimport PyDict_GetItem
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject, PyTypeObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM
from libc.math cimport isfinite, pow, sqrt
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset
from tinytensor._kernels cimport Block, block_of, bump, is_alone, new_array, ours, run_map, run_optim, try_map
from tt cimport (
    TT_ADADELTA, TT_ADAGRAD, TT_ADAM, TT_ADAMAX, TT_LERP, TT_LION, TT_NADAM, TT_RADAM, TT_RMSPROP, TT_SGD, tt_hyper, tt_param,
)

cnp.import_array()

cdef extern from *:
    """
    #include "frameobject.h"
    #include "tt.h"
    /* 0: ops of this thread record */
    static TT_THREAD_LOCAL int grad_off;
    /* of this thread: 1 checks for NaN, 2 for infinities; and whether a rule runs now, whose ops are checked as a whole */
    static TT_THREAD_LOCAL int anomaly, in_rule;
    static TT_THREAD_LOCAL int inspecting; /* 1: nodes of this thread keep values and gradients of any size */

    static inline PyObject *frame_now(void) { PyObject *f = (PyObject *)PyEval_GetFrame(); Py_XINCREF(f); return f; }
    static inline PyObject *frame_back(PyObject *f) {
        PyObject *back = (PyObject *)PyFrame_GetBack((PyFrameObject *)f);
        if (!back) PyErr_Clear(); /* no memory for it: a line unknown is no error */
        return back;
    }
    static inline PyObject *frame_code(PyObject *f) { return (PyObject *)PyFrame_GetCode((PyFrameObject *)f); }
    #if PY_VERSION_HEX >= 0x030B0000
    static inline PyObject *frame_globals(PyObject *f) { return PyFrame_GetGlobals((PyFrameObject *)f); }
    static inline int frame_offset(PyObject *f) { return PyFrame_GetLasti((PyFrameObject *)f); }
    #else
    static inline PyObject *frame_globals(PyObject *f) { return PyObject_GetAttrString(f, "f_globals"); }
    static inline int frame_offset(PyObject *f) {
        PyObject *o = PyObject_GetAttrString(f, "f_lasti");
        int at = o ? (int)PyLong_AsLong(o) : -1;
        Py_XDECREF(o);
        return at;
    }
    #endif

    static inline PyObject *make(PyObject *kind, PyObject *none) {
        return ((PyTypeObject *)kind)->tp_new((PyTypeObject *)kind, none, NULL);
    }
    /* The array's buffer; the array, not the tensor, is its exporter. Cython has put None there. */
    static inline int buffer_of(PyObject *array, Py_buffer *view, int flags) {
        Py_CLEAR(view->obj);
        return PyObject_GetBuffer(array, view, flags);
    }
    /* Cython has no vectorcall for its classes: arguments come as an array, and methods without a bound object. */
    static void call_by_vector(PyTypeObject *t, Py_ssize_t offset) {
        t->tp_vectorcall_offset = offset;
        t->tp_call = PyVectorcall_Call;
        t->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR;
        PyType_Modified(t);
    }
    static PyObject *reraise(void) { return NULL; }
    static PyObject *owned_result(PyObject *result) { return result; }
    """
    int grad_off, anomaly, in_rule, inspecting
    PyObject *frame_now()
    PyObject *frame_back(PyObject *f)
    object frame_code(PyObject *f)
    object frame_globals(PyObject *f)
    int frame_offset(PyObject *f)
    object make(object kind, tuple none)
    int buffer_of(object array, Py_buffer *view, int flags) except -1
    void call_by_vector(PyTypeObject *t, Py_ssize_t offset)
    object reraise()
    object owned_result(PyObject *result)

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *o)
    Py_ssize_t PyVectorcall_NARGS(size_t nargsf)
    object PyObject_Vectorcall(object callable, PyObject **args, size_t nargsf, PyObject *names)
    PyObject *call_plainly "PyObject_Vectorcall"(object callable, PyObject **args, size_t nargsf, PyObject *names)
    object PyMethod_New(object function, object instance)

cdef extern from "pythread.h" nogil:
    ctypedef void *PyThread_type_lock
    PyThread_type_lock PyThread_allocate_lock()
    int PyThread_acquire_lock(PyThread_type_lock lock, int wait)
    void PyThread_release_lock(PyThread_type_lock lock)
    unsigned long PyThread_get_thread_ident()

cdef enum:
    MOST = 16  # parameters of an op, or of a rule
    COUNTED = 8  # kept values whose version can be counted
    DIMS = 4  # dimensions that lie in the node itself
    SPENT = 100  # graphs behind a running sum whose backward ran, at which it warns
    UNCOUNTED = 0xFFFFFFFF

cdef enum Kind:  # what a parameter of a rule is
    INPUT, OUT, SHAPE, ARGUMENT, AUXILIARY, NEEDS, INTO, NODE

cdef class Node
cdef class Op

cdef int ADD_KERNEL = _kernels.OPS["add"]
cdef frozenset OWN = frozenset(("tinytensor", "tinytensor.ops", "tinytensor.nn", "tinytensor.optim"))  # whose lines are not the user's
cdef object ndarray = np.ndarray
cdef object TENSOR = None  # the class of what ops give
cdef object respell = None  # what puts right the spelling of a call that does not fit
cdef object THEIRS = None  # the code object last seen that is not ours
cdef Py_ssize_t last_number = 0
cdef bint warned = False  # of a running sum
cdef list FLAGS = [[tuple([bool(m >> i & 1) for i in range(n)]) for m in range(1 << n)] for n in range(4)]


class Freed:
    """What stands in a node's place for kept values after backward."""


FREED = Freed()
cdef object freed = FREED


include "_modes.pxi"


# -------------------------------------------------------------------------------------------------------------- tensors
@cython.c_api_binop_methods(True)
cdef class TensorCore:
    """What a Tensor holds, and the operators that ops are reached by in the shortest way."""

    cdef object __weakref__
    cdef public cnp.ndarray _data
    cdef public TensorCore _grad
    cdef public object _hooks
    cdef public list _kin  # weak references to the tensors that views bind it to, itself among them
    cdef public Node _node
    cdef public int _slot
    cdef public bint _requires
    cdef public bint _grad_ours  # the tape allocated _grad, and may add into it
    cdef int _walk  # the walk back that alone made _grad, or 0
    cdef unsigned int _walk_version  # of _grad when that walk left it

    @property
    def shape(self):
        """Sizes of the dimensions."""
        return (<object>self._data).shape

    @property
    def dtype(self):
        """A NumPy dtype: float32, float64, int64, bool or uint8."""
        return (<object>self._data).dtype

    @property
    def ndim(self):
        """Number of dimensions."""
        return (<object>self._data).ndim

    @property
    def requires_grad(self):
        """Whether gradients flow to it."""
        return self._requires

    @requires_grad.setter
    def requires_grad(self, value):
        self.requires_grad_(value)

    @property
    def is_leaf(self):
        """Whether no recorded op made it."""
        return self._node is None

    @property
    def grad_fn(self):
        """The node that made it; None for a leaf."""
        return self._node

    @property
    def grad(self):
        """The accumulated gradient of a leaf, None before the first backward."""
        return self._grad

    @grad.setter
    def grad(self, value):
        if value is not None:
            if not isinstance(value, TensorCore):
                raise TypeError(f"grad: expected a Tensor or None, got {type(value).__name__}")
            if value.shape != self.shape or value.dtype != self.dtype:
                raise ValueError(f"grad: expected {self.dtype} {self.shape}, got {value.dtype} {value.shape}")
        self._grad = value
        self._grad_ours = False
        self._walk = 0

    def __getbuffer__(self, Py_buffer *view, int flags):
        if self._requires:
            raise BufferError("memoryview: this tensor requires grad; use t.detach()")
        buffer_of(self._data, view, flags)

    def __add__(x, y):
        return call_pair(ADD, x, y)

    def __sub__(x, y):
        return call_pair(SUB, x, y)

    def __mul__(x, y):
        return call_pair(MUL, x, y)

    def __truediv__(x, y):
        return call_pair(DIV, x, y)


cdef Op ADD, SUB, MUL, DIV


def set_operators(Op add, Op sub, Op mul, Op div):
    """Tell which ops +, -, * and / of tensors are."""
    global ADD, SUB, MUL, DIV
    ADD, SUB, MUL, DIV = add, sub, mul, div


def set_tensor_class(kind):
    """Tell of which class the outputs of ops are."""
    global TENSOR
    TENSOR = kind


cdef inline TensorCore tensor_of(cnp.ndarray array):
    cdef TensorCore t = <TensorCore>make(TENSOR, ())
    t._data = array
    return t


cdef inline TensorCore output_of(cnp.ndarray array, Node node, int slot):
    cdef TensorCore t = tensor_of(array)
    t._requires = True
    t._node = node
    t._slot = slot
    return t


def new(cnp.ndarray array not None):
    """A Tensor without history around an array, unchecked."""
    return tensor_of(array)


def made(cnp.ndarray array not None, Node node not None, int slot):
    """A Tensor that is an output of `node`."""
    return output_of(array, node, slot)


# ---------------------------------------------------------------------------------------------------------------- nodes
@cython.final
@cython.trashcan(True)
cdef class Node:
    """One op that ran: its rule, what the rule needs, and where the inputs came from.

    parents: for each differentiable input its Node, its leaf Tensor, or None (needs no gradient). slots: which output of
    the parent Node each input was; None: the first. kept: arguments of the rule, FREED after backward. number: creation
    order, which is a topological order. outputs: shapes and dtypes. hooks: (kind, slot, function). code, offset: the line.
    """

    cdef object __weakref__
    cdef readonly Op op
    cdef readonly tuple parents
    cdef readonly tuple slots
    cdef readonly object kept
    cdef readonly list hooks
    cdef public object code
    cdef public int offset
    cdef int spent  # of a running sum: how many of its terms' graphs ran backward, at least
    cdef readonly Py_ssize_t number
    cdef tuple more  # outputs behind the first
    cdef int nd, typenum  # of the first output
    cdef cnp.npy_intp *dims
    cdef cnp.npy_intp few[DIMS]
    cdef unsigned int versions[COUNTED]  # of the kept arrays
    cdef object value, past, upstream, notes  # kept for explanations; notes: None, or [constants, downstream gradients]
    cdef unsigned int value_version, upstream_version
    cdef int walk  # that came last; negative where it began here, and nowhere else
    cdef bint inspected

    def __init__(self, Op op not None, tuple parents not None, tuple slots, tuple kept not None, outputs, code, int offset):
        global last_number
        cdef int i
        (shape, dtype), *rest = outputs
        self.op, self.parents, self.slots, self.kept = op, parents, slots, kept
        self.code, self.offset = code, offset
        self.more = tuple(rest)
        make_room(self, len(shape))
        for i in range(self.nd):
            self.dims[i] = shape[i]
        self.typenum = np.dtype(dtype).num
        for i in range(COUNTED):
            self.versions[i] = UNCOUNTED
        last_number += 1
        self.number = last_number

    def __dealloc__(self):
        if self.dims != self.few:
            free(self.dims)

    @property
    def outputs(self):
        """Shape and dtype of each output."""
        return ((tuple([self.dims[i] for i in range(self.nd)]), cnp.PyArray_DescrFromType(self.typenum)), *(self.more or ()))

    @property
    def name(self):
        """The op's name in PyTorch's style, such as AddBackward."""
        return "".join([w[:1].upper() + w[1:] for w in self.op.__name__.strip("_").split("_")]) + "Backward"

    @property
    def line(self):
        """The source line that made it: `file:line`."""
        return where(self.code, self.offset)

    @property
    def next_functions(self):
        """For each input (the node that made it, which of its outputs it was): an AccumulateGrad for a leaf, None for what
        needs no gradient."""
        return tuple([(p if p is None or type(p) is Node else AccumulateGrad(p), self.slots[i] if self.slots is not None else 0)
                      for i, p in enumerate(self.parents)])

    def register_prehook(self, hook):
        """Call `hook(grad_outputs)`, a tuple, before the rule; a tuple that it returns takes the gradients' place."""
        return self.add_hook(BEFORE, 0, hook)

    def register_hook(self, hook):
        """Call `hook(grad_inputs, grad_outputs)`, two tuples with None for what has no gradient, after the rule; a tuple that
        it returns takes grad_inputs' place."""
        return self.add_hook(AFTER, 0, hook)

    def add_hook(self, int kind, int slot, hook):
        """Call `hook` when a walk comes here: kind by kind, in the order of registration. A RemovableHandle comes back."""
        if self.hooks is None:
            self.hooks = []
        entry = (kind, slot, hook)
        self.hooks.insert(sum([k <= kind for k, _, _ in self.hooks]), entry)
        ref = weakref.ref(self)

        def remove():
            node = ref()
            if node is not None:
                (<Node>node).remove_hook(entry)

        return RemovableHandle(remove)

    def remove_hook(self, tuple entry not None):
        """Take away an entry of `hooks`."""
        self.hooks = [e for e in self.hooks or () if e is not entry]

    def let_go(self, source, int index):
        """Hold the kept values no more: when backward needs them, `source(index)` gives a node of the same op that has them."""
        if node_keeps(self):
            self.kept = again(self, source, index)

    def __repr__(self):
        return f"<{self.name}>"

    def replace_kept(self, old, new):
        """Keep the array `new` where `old` was kept: the same values in memory that nobody else has."""
        cdef int i
        if any([v is old for v in self.kept]):
            self.kept = tuple([new if v is old else v for v in self.kept])
            for i in range(min(COUNTED, len(self.kept))):
                if self.versions[i] != UNCOUNTED:
                    self.versions[i] = version_of_kept(self.kept[i])


cdef int make_room(Node node, int nd) except -1:
    node.nd = nd
    node.dims = node.few
    if nd > DIMS:
        node.dims = <cnp.npy_intp *>malloc(nd * sizeof(cnp.npy_intp))
        if node.dims == NULL:
            node.dims = node.few
            raise MemoryError("tinytensor: could not allocate a node")
    return 0


cdef inline unsigned int version_of(object a):
    cdef Block b = block_of(a)
    return 0 if b is None else <unsigned int>b.version


cdef unsigned int version_of_kept(object v):
    """The version of a kept array; of a tuple, such as an index, the sum over its arrays."""
    cdef unsigned int total = 0
    if type(v) is tuple:
        for item in <tuple>v:
            if cnp.PyArray_Check(item):
                total += version_of(item)
        return total
    return version_of(v)


cdef Node new_node(Op op, tuple parents, tuple slots, tuple kept, cnp.ndarray out):
    """A node whose kept values are not counted yet, with the line that called us."""
    global last_number
    cdef Node node = Node.__new__(Node)
    node.op = op
    node.parents = parents
    node.slots = slots
    node.kept = kept
    make_room(node, cnp.PyArray_NDIM(out))
    if node.nd:  # a scalar's dims may be NULL
        memcpy(node.dims, cnp.PyArray_DIMS(out), node.nd * sizeof(cnp.npy_intp))
    node.typenum = cnp.PyArray_TYPE(out)
    last_number += 1
    node.number = last_number
    node.code = place(&node.offset)
    note_value(node, out)
    return node


include "_lines.pxi"
include "_op.pxi"
include "_hooks.pxi"
include "_trace.pxi"


# ------------------------------------------------------------------------------------------------------------- the walk
@cython.final
@cython.no_gc  # only a walk refers to it
@cython.freelist(16)
cdef class Pending:
    """A node that gradients have reached: the gradient of its output, or a list where it has several."""

    cdef Node node
    cdef object g


@cython.final
cdef class Walk:
    """The state of one walk back."""

    cdef bint create_graph, retain_graph
    cdef int number
    cdef object root  # where it began, where that is one
    cdef dict wanted  # {id of a leaf, or (node, slot): place in found}, or None: accumulate
    cdef list found
    cdef Pending newest  # later than all in the heap; mostly there is no other
    cdef dict others  # by number
    cdef list heap  # of negative numbers
    cdef list theirs  # gradients that it began with whose memory is the caller's, or None
    cdef dict hooked  # leaves whose hooks wait for the whole gradient
    cdef set useful, onward  # nodes that are wanted or lead to what is; those that lead there, whose rules run. None: all


cdef Pending reached(Walk w, Node node):
    """What is pending at a node, made if nothing is."""
    cdef Pending p = w.newest
    if p is not None and p.node is node:
        return p
    cdef bint later = node.number > p.node.number if p is not None else not w.heap or node.number > -<Py_ssize_t>w.heap[0]
    if not later and node.number in w.others:
        return <Pending>w.others[node.number]
    cdef Pending q = Pending.__new__(Pending)
    q.node = node
    if node.more:
        q.g = [None] * (1 + len(node.more))
    if later:
        w.newest = q
        q = p
    if q is not None:
        w.others[q.node.number] = q
        heappush(w.heap, -q.node.number)
    return w.newest if later else q


cdef Pending next_pending(Walk w):
    cdef Pending p = w.newest
    w.newest = None
    if p is None and w.heap:
        p = <Pending>w.others.pop(-<Py_ssize_t>heappop(w.heap))
    return p


cdef object plus(object a, object b):
    return run_map(ADD_KERNEL, 2, a, b, None, 0, 0, None) if type(a) is ndarray and type(b) is ndarray else a + b


cdef int arrive(Walk w, object parent, int slot, object g, Py_ssize_t refs) except -1:
    """A gradient reaches a node or a leaf; it may be kept, or added into, where it has no more than `refs` references."""
    cdef Pending p
    cdef object old
    if type(parent) is not Node:
        leaf_arrive(w, <TensorCore>parent, g, refs)
        return 0
    p = reached(w, <Node>parent)
    if (<Node>parent).more:
        p.g[slot] = g if p.g[slot] is None else plus(p.g[slot], g)
    elif p.g is None:
        p.g = g
    elif is_alone(<PyObject *>p.g, 1):
        run_map(ADD_KERNEL, 2, p.g, g, None, 0, 0, p.g)
    else:
        p.g = plus(p.g, g)
    return 0


cdef int leaf_arrive(Walk w, TensorCore leaf, object g, Py_ssize_t refs) except -1:
    if w.wanted is None:
        if leaf._hooks:
            before = w.hooked.get(id(leaf))
            w.hooked[id(leaf)] = (leaf, g if before is None else plus(before[1], g))
        else:
            add_to(leaf, g, refs, w.number)
        return 0
    at = w.wanted.get(id(leaf))
    if at is not None:
        if leaf._hooks:
            w.hooked[id(leaf)] = (leaf, None)
        w.found[at] = g if w.found[at] is None else plus(w.found[at], g)
    return 0


include "_locks.pxi"


cdef int add_to(TensorCore leaf, object g, Py_ssize_t refs, int walk) except -1:
    """Add g, of a walk, to leaf.grad; only memory that the tape allocated is written to."""
    lock_grads()
    try:
        return add_locked(leaf, g, refs, walk)
    finally:
        unlock_grads()


cdef int add_locked(TensorCore leaf, object g, Py_ssize_t refs, int walk) except -1:
    cdef TensorCore old = leaf._grad
    if type(g) is not ndarray:  # create_graph: gradients are tensors with a past
        leaf._grad = g.clone() if old is None else old + g  # a clone: other leaves may get the same tensor
        leaf._grad_ours = False
    elif old is None:
        if is_alone(<PyObject *>g, refs):
            leaf._grad = tensor_of(g)
        else:
            copy = _kernels.empty(g.shape, g.dtype)
            np.copyto(copy, g)
            leaf._grad = tensor_of(copy)
        leaf._grad_ours = True
    elif leaf._grad_ours and not old._requires and cnp.PyArray_ISBEHAVED(old._data) and block_of(g) is not block_of(old._data):
        run_map(ADD_KERNEL, 2, old._data, g, None, 0, 0, old._data)
        bump(old._data, ADDED)
    else:
        leaf._grad = tensor_of(run_map(ADD_KERNEL, 2, old._data, g, None, 0, 0, None))
        leaf._grad_ours = True
    note_added(leaf, walk, old is None)
    return 0


def accumulate(TensorCore leaf not None, g):
    """Add a gradient, an array or a Tensor with a past, to leaf.grad."""
    add_to(leaf, g, 0, walks)


def check_versions(Node node not None):
    """Raise when an array that the rule needs was changed in place after it was kept."""
    cdef int i
    if type(node.kept) is not tuple:
        if node.kept is freed:
            raise RuntimeError(
                f"backward through {node.op.__name__} (made at {node.line}) a second time: its kept values were freed. "
                "Pass retain_graph=True to the first backward"
            )
        compute_again(node)
    for i in range(min(COUNTED, len(<tuple>node.kept))):
        if node.versions[i] != UNCOUNTED and version_of_kept(node.kept[i]) != node.versions[i]:
            arrays = [a for a in (node.kept[i] if type(node.kept[i]) is tuple else [node.kept[i]]) if cnp.PyArray_Check(a)]
            last = [b.changed for b in [block_of(a) for a in arrays] if b is not None and b.changed]
            by = cause(last[0]) if last else ""
            raise RuntimeError(
                f"backward of {node.op.__name__} (made at {node.line}) needs an array of shape {arrays[0].shape} that was changed in "
                f"place{by} after the op kept it: change a clone() instead, or do it before the op"
            )


ADDED = (None, -1, "the accumulation of a gradient")


cdef object call_rule(Walk w, Node node, object g, tuple into):
    """What the rule of a node gives for an upstream gradient."""
    global in_rule
    cdef Op op = node.op
    cdef PyObject *args[MOST]
    cdef tuple kept = <tuple>node.kept, needs
    cdef int i, j = 0, kind
    if w.create_graph:
        kept = tensors_kept(node)
    args[0] = <PyObject *>g
    for i in range(op.asked):
        kind = op.kinds[i]
        if kind < NEEDS:
            args[i + 1] = PyTuple_GET_ITEM(kept, j)
            j += 1
        elif kind == NEEDS:
            needs = needs_of(node.parents) if w.onward is None else tuple([p is not None and leads(w, p) for p in node.parents])
            args[i + 1] = <PyObject *>needs
        elif kind == NODE:
            args[i + 1] = <PyObject *>node
        else:
            args[i + 1] = <PyObject *>into
    if not anomaly:
        return PyObject_Vectorcall(op.function, args, op.asked + 1, NULL)
    in_rule += 1
    try:
        return PyObject_Vectorcall(op.function, args, op.asked + 1, NULL)
    finally:
        in_rule -= 1


cdef tuple needs_of(tuple parents):
    cdef Py_ssize_t i, n = PyTuple_GET_SIZE(parents)
    cdef int mask = 0
    if n >= len(FLAGS):
        return tuple([p is not None for p in parents])
    for i in range(n):
        mask |= (<object>PyTuple_GET_ITEM(parents, i) is not None) << i
    return <tuple>(<list>FLAGS[n])[mask]


cdef tuple tensors_kept(Node node):
    """The kept inputs and output as the Tensors that they were, from their arrays and their places on the tape."""
    cdef list result = []
    cdef int i, kind
    for i in range(node.op.asked):
        kind = node.op.kinds[i]
        if kind >= NEEDS:
            continue
        v = node.kept[len(result)]
        if kind <= OUT and cnp.PyArray_Check(v):
            parent = node if kind == OUT else node.parents[node.op.which[i]]
            if parent is None:
                v = tensor_of(v)
            elif type(parent) is Node:
                v = output_of(v, parent, node.slots[node.op.which[i]] if kind == INPUT and node.slots is not None else 0)
            elif (<TensorCore>parent)._data is not v:
                raise RuntimeError(
                    "backward with create_graph: the data of a leaf was replaced since the op ran; derivatives of its gradient are lost"
                )
            else:
                v = parent
        result.append(v)
    return tuple(result)


cdef tuple into_of(Walk w, Node node, object g):
    """For each input the array of its gradient that the rule may add into: a leaf's, ours, in the dtype of the upstream
    gradient, and none that the rule reads."""
    cdef list arrays = [None] * len(node.parents)
    cdef TensorCore leaf
    cdef Block block
    cdef int i
    if w.create_graph or w.wanted is not None or has_hook(node, AFTER) or type(g) is not ndarray or anomaly or watching(node):
        return tuple(arrays)
    for i in range(len(arrays)):
        if not isinstance(node.parents[i], TensorCore):
            continue
        leaf = node.parents[i]
        if (not leaf._grad_ours or leaf._hooks or leaf._grad is None or leaf._grad._requires
                or cnp.PyArray_TYPE(leaf._grad._data) != cnp.PyArray_TYPE(<cnp.ndarray>g)
                or not cnp.PyArray_ISBEHAVED(leaf._grad._data) or not same_kind(leaf._grad._data, leaf._data) or sum([p is leaf for p in node.parents]) > 1):
            continue
        block = block_of(leaf._grad._data)
        if block is not None and block.ptr != NULL and block is not block_of(g) and not any([block is block_of(v) for v in node.kept]):
            arrays[i] = leaf._grad._data
    return tuple(arrays)


cdef inline bint same_kind(cnp.ndarray a, cnp.ndarray b) noexcept:
    return fits(a, cnp.PyArray_NDIM(b), cnp.PyArray_DIMS(b), cnp.PyArray_TYPE(b))


cdef inline bint fits(cnp.ndarray a, int nd, const cnp.npy_intp *dims, int typenum) noexcept:
    return (cnp.PyArray_TYPE(a) == typenum and cnp.PyArray_NDIM(a) == nd
            and (nd == 0 or memcmp(cnp.PyArray_DIMS(a), dims, nd * sizeof(cnp.npy_intp)) == 0))


def sum_to(g, tuple shape):
    """Sum a gradient back to the shape of an input that was broadcast."""
    extra = g.ndim - len(shape)
    axes = (*range(extra), *[i + extra for i, n in enumerate(shape) if n == 1 and g.shape[i + extra] != 1])
    if axes:
        g = _kernels.reduce(_kernels.SUM, g, axes) if type(g) is ndarray else g.sum(axes)
    return g.reshape(shape)


cdef object fitted(object g, object parent, int slot, Node node):
    """A gradient in its input's shape and dtype."""
    shape, dtype = (<Node>parent).outputs[slot] if type(parent) is Node else (parent.shape, parent.dtype)
    if g.shape != shape:
        try:
            g = sum_to(g, shape)
        except (ValueError, IndexError):
            raise RuntimeError(
                f"backward of {node.op.__name__}: its rule gave a gradient of shape {g.shape} for an input of shape {shape}"
            ) from None
    if g.dtype != dtype:
        g = g.astype(dtype) if type(g) is ndarray else g.to(dtype)
    return g


cdef int step(Walk w, Pending p) except -1:
    """Run the rule of one node, and send what it gives to the parents."""
    cdef Node node = p.node
    cdef object g = p.g, result, item, fit, parent
    cdef tuple into = None, grads
    cdef Py_ssize_t i, n = PyTuple_GET_SIZE(node.parents), refs
    cdef int slot
    cdef cnp.ndarray data
    cdef bint right
    p.g = None
    if node.hooks or w.wanted is not None:
        g = watched(w, node, g)
        if w.onward is not None and node not in w.onward:
            note_upstream(w, node, g)
            return 0
        if has_hook(node, BEFORE):
            g = before_rule(w, node, g)
    note_upstream(w, node, g)
    if node.op.wants_into:
        if type(node.kept) is Again:
            compute_again(node)  # a function of the user's: not under the lock
        lock_grads()  # the rule may add to gradients of leaves
        try:
            check_versions(node)
            into = into_of(w, node, g)
            result = call_rule(w, node, g, into)
        finally:
            unlock_grads()
    else:
        check_versions(node)
        result = call_rule(w, node, g, into)
    if anomaly:
        check_backward(node, g, result)
    if has_hook(node, AFTER):
        result = after_rule(w, node, result, g)
    if not w.retain_graph:
        release(node)
    g = None
    if type(result) is not tuple:
        result = tuple(result) if type(result) is list else (result,)
    grads = <tuple>result
    result = None
    if PyTuple_GET_SIZE(grads) != n:
        raise RuntimeError(f"backward of {node.op.__name__}: its rule gave {len(grads)} gradients for {n} inputs")
    refs = 2 if Py_REFCNT(<PyObject *>grads) == 1 else 0  # ours and the tuple's, which nobody else has
    for i in range(n):
        parent = <object>PyTuple_GET_ITEM(node.parents, i)
        item = <object>PyTuple_GET_ITEM(grads, i)
        if parent is None or item is None or (w.onward is not None and not leads(w, parent)):
            continue
        if watching(node):
            note_down(node, i, fitted(item, parent, node.slots[i] if node.slots is not None else 0, node))
        if into is not None and item is <object>PyTuple_GET_ITEM(into, i):
            bump(item, ADDED)
            note_added(<TensorCore>parent, w.number, False)
            continue
        slot = node.slots[i] if node.slots is not None else 0
        right = False
        if type(item) is ndarray:
            if type(parent) is not Node:
                right = same_kind(<cnp.ndarray>item, (<TensorCore>parent)._data)
            elif slot == 0:
                right = fits(<cnp.ndarray>item, (<Node>parent).nd, (<Node>parent).dims, (<Node>parent).typenum)
        if right:
            arrive(w, parent, slot, item, refs)
        else:
            fit = fitted(item, parent, slot, node)
            arrive(w, parent, slot, fit, refs + 1 if fit is item else 1)
            fit = None
    return 0


def run(roots, bint create_graph, bint retain_graph, dict wanted=None):
    """Walk back from roots (node or leaf, output slot, gradient) in descending creation order.

    With `wanted` ({leaf tensor's id, or (node, slot)}: index) nothing is accumulated: the gradients of the wanted come back,
    None where unreached, and no rule runs that does not lead to them. Gradients are arrays, or Tensors when create_graph.
    """
    global walks
    cdef Walk w = Walk.__new__(Walk)
    cdef Pending p
    walks += 1
    w.number, w.create_graph, w.retain_graph, w.wanted = walks, create_graph, retain_graph, wanted
    w.found = [None] * (max(wanted.values()) + 1 if wanted else 0)
    w.others, w.heap, w.hooked = {}, [], {}
    w.root = roots[0][0] if len(roots) == 1 else None
    if wanted is not None:
        plan(w, roots)
    for parent, slot, g in roots:
        if type(g) is ndarray and not is_alone(<PyObject *>g, 2):  # the roots' and ours
            w.theirs = [g] if w.theirs is None else [*w.theirs, g]
        if wanted is None or leads(w, parent):
            arrive(w, parent, slot, g, 0)
    while True:
        p = next_pending(w)
        if p is None:
            break
        step(w, p)
    hook_leaves(w)
    return w.found


def root_gradient(TensorCore t not None, gradient, bint create_graph, what):
    """The gradient a walk starts with: ones for a scalar, or what the caller gave, checked."""
    cdef cnp.ndarray data = t._data
    if anomaly:
        check_root(t, what)
    if gradient is None:
        if cnp.PyArray_SIZE(data) != 1:
            raise RuntimeError(
                f"{what}: the gradient of a tensor of shape {t.shape} needs to be told: "
                f"pass {'grad_outputs' if what == 'grad' else 'gradient'}=, or reduce it to a scalar"
            )
        ones = new_array(cnp.PyArray_NDIM(data), cnp.PyArray_DIMS(data), cnp.PyArray_TYPE(data))
        ones.fill(1)
        return tensor_of(ones) if create_graph else ones
    if not isinstance(gradient, TensorCore):
        gradient = tensor_of(np.asarray(gradient, dtype=t.dtype))
    if not same_kind((<TensorCore>gradient)._data, data):
        if gradient.shape != t.shape:
            raise RuntimeError(f"{what}: expected a gradient of shape {t.shape}, got {gradient.shape}")
        gradient = gradient.to(t.dtype)
    return gradient if create_graph else (<TensorCore>gradient)._data


def backward(tensors, gradients, retain_graph=None, bint create_graph=False):
    """Accumulate into `.grad` of every leaf that the tensors came from."""
    global grad_off
    cdef list roots = []
    cdef TensorCore t
    for t, g in zip(tensors, gradients):
        if not t._requires:
            raise RuntimeError(
                "backward: this tensor does not require grad and has no history; set requires_grad=True on what it came from"
            )
        roots.append((t if t._node is None else t._node, t._slot, root_gradient(t, g, create_graph, "backward")))
    cdef int before = grad_off
    grad_off = not create_graph
    try:
        run(roots, create_graph, create_graph if retain_graph is None else retain_graph)
    finally:
        grad_off = before


include "_optim.pxi"
