# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=False
"""Bindings of csrc: one per kernel signature, never per op. They check, allocate from the pool and release the GIL."""

import os

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.list cimport PyList_GET_ITEM
from cpython.ref cimport Py_INCREF, PyObject, PyTypeObject
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memset
from tt cimport *

cnp.import_array()

# ------------------------------------------------------------------------------------------------------------ dispatch
cdef const tt_kernels *K = NULL


def _choose():
    global K, _ISAS
    forced = os.environ.get("TINYTENSOR_ISA", "")
    _ISAS = []
    while tt_isa_name(len(_ISAS)) != NULL:
        _ISAS.append(tt_isa_name(len(_ISAS)).decode())
    K = tt_find(forced.encode()) if forced else tt_best()
    if K == NULL:
        raise ImportError(f"TINYTENSOR_ISA={forced!r}: this build on this CPU can run {', '.join(isas())}; unset it or set one of these")


def isa():
    """The instruction set in use: generic, avx2 or avx512."""
    return K.name.decode()


def isas():
    """The instruction sets that are built in and that this CPU can run, best first."""
    return [n for n in _ISAS if tt_find(n.encode()) != NULL]


def fused():
    """Whether multiply-add is one rounding (all sets but generic): their results have the same bits."""
    return bool(K.fused)


def get_num_threads():
    return tt_get_threads()


def set_num_threads(int n):
    with nogil:  # a kernel may run
        tt_set_threads(n)


cdef class ThreadCount:
    """A context manager that sets the number of threads, and puts the old one back. It is C, where no signal is handled: Ctrl-C
    finds it set inside the block and put back behind it."""

    cdef readonly int n
    cdef list before

    def __init__(self, int n):
        self.n, self.before = n, []

    def __enter__(self):
        self.before.append(tt_get_threads())
        set_num_threads(self.n)

    def __exit__(self, kind=None, error=None, trace=None):  # *error would ask for memory before anything is put back
        cdef Py_ssize_t last = len(self.before) - 1
        if last < 0:
            raise RuntimeError(f"{type(self).__name__}: left more often than entered")
        cdef int n = self.before[last]
        with nogil:
            tt_set_threads(n)
        self.before.pop()

    def __reduce__(self):
        return type(self), (self.n,)


def set_thread_work(double ns=2500):
    """Nanoseconds of work that a kernel must have for each of two threads; tests lower it, so that all kernels are divided."""
    tt_set_thread_work(ns)


def set_spin(double us=40):
    """Microseconds for which a thread without work looks out for more before it sleeps; for measurements."""
    tt_set_spin(<long long>(us * 1000))


def set_helpful(bint on=True):
    """Whether a kernel's caller does the parts that no other thread has begun; tests want each to be done by its own."""
    tt_set_helpful(on)


def seen_threads(bint reset=False):
    """How many distinct threads ran kernels since the last reset."""
    return tt_seen_threads(reset)


def set_flush_denormal(bint mode):
    return bool(tt_set_flush(mode))


def get_flush_denormal():
    return bool(tt_get_flush())


cdef int flushing = 0  # how many blocks of Flushing are open, in all threads
cdef bint flushed_before = False


@cython.final
cdef class Flushing:
    """A context manager that has subnormals flushed; the last of several, in threads, puts back what was before the first. In C,
    as ThreadCount is, so that Ctrl-C finds it set inside the block and put back behind it."""

    cdef readonly bint on
    cdef Py_ssize_t inside

    def __init__(self, bint on=True):
        self.on, self.inside = on, 0

    def __enter__(self):
        global flushing, flushed_before
        self.inside += 1
        if self.on:
            if flushing == 0:
                flushed_before = tt_get_flush()
            flushing += 1
            tt_set_flush(True)

    def __exit__(self, kind=None, error=None, trace=None):
        global flushing
        if self.inside == 0:
            raise RuntimeError("Flushing: left more often than entered")
        self.inside -= 1
        if self.on:
            flushing -= 1
            if flushing == 0:
                tt_set_flush(flushed_before)


_choose()
OPS = {tt_map_infos[i].name.decode(): i for i in range(TT_MAPS)}
INPUTS = tuple([tt_map_infos[i].inputs for i in range(TT_MAPS)])
SUM, PROD, MAX, MIN, SUMSQ, DOT = range(6)
SOFTMAX, SOFTMAX_GRAD, LOG_SOFTMAX, LOG_SOFTMAX_GRAD, LOGSUMEXP = range(5)
UNIFORM, NORMAL, KEEP = range(3)
REDUCE_NAMES = ("sum", "prod", "amax", "amin", "norm", "dot")

include "_memory.pxi"

# ------------------------------------------------------------------------------------------------------------- helpers
cdef inline int dtype_of(cnp.ndarray a) noexcept:
    cdef int t = cnp.PyArray_TYPE(a)
    return TT_F32 if t == cnp.NPY_FLOAT else TT_F64 if t == cnp.NPY_DOUBLE else -1


cdef inline int typenum(int dtype) noexcept:
    return cnp.NPY_FLOAT if dtype == TT_F32 else cnp.NPY_DOUBLE


cdef cnp.ndarray usable(object x, str name, int dtype):
    """x as an aligned native array of the given kernel dtype (-1: any float)."""
    if not cnp.PyArray_Check(x):
        raise TypeError(f"{name}: expected an array, got {type(x).__name__}")
    cdef cnp.ndarray a = x
    cdef int have = dtype_of(a)
    if have < 0 or (dtype >= 0 and have != dtype):
        want = "float32 or float64" if dtype < 0 else "float32" if dtype == TT_F32 else "float64"
        raise TypeError(f"{name}: expected {want}, got {a.dtype}")
    if cnp.PyArray_NDIM(a) > TT_MAX_DIMS:
        raise ValueError(f"{name}: at most {TT_MAX_DIMS} dimensions, got {cnp.PyArray_NDIM(a)}; reshape it")
    if not cnp.PyArray_ISBEHAVED_RO(a):
        a = np.array(a, dtype=a.dtype.newbyteorder("="), order="C")
    return a


cdef cnp.ndarray contiguous(object x, str name, int dtype):
    cdef cnp.ndarray a = usable(x, name, dtype)
    return a if cnp.PyArray_IS_C_CONTIGUOUS(a) else np.ascontiguousarray(a)


cdef cnp.ndarray behaved(object x):
    """x as an aligned native C-contiguous array of its dtype."""
    cdef cnp.ndarray a = np.ascontiguousarray(x)
    return a if cnp.PyArray_ISBEHAVED_RO(a) else np.array(a, dtype=a.dtype.newbyteorder("="), order="C")


cdef cnp.ndarray int64s(object x, str name):
    cdef cnp.ndarray a = behaved(x)
    if cnp.PyArray_TYPE(a) != cnp.NPY_INT64:
        if a.dtype != np.int64:  # NumPy has two C types of 8 bytes
            raise TypeError(f"{name}: expected int64, got {a.dtype}")
        a = a.view(np.int64)
    return a


cdef int known(int op, int count) except -1:
    """Refuse what is no elementwise kernel of `count` inputs."""
    if op < 0 or op >= TT_MAPS or tt_map_infos[op].inputs != count:
        raise ValueError(f"there is no elementwise kernel {op} of {count} inputs")
    return 0


# --------------------------------------------------------------------------------------------------------- elementwise
cdef object plain_map(int op, int count, object x, object y, object z, double p0, double p1, cnp.ndarray out):
    """Few elements in arrays of one float dtype and shape in C order, or one element and numbers: most calls. Else None."""
    cdef object given
    cdef cnp.ndarray a
    cdef PyObject *first = NULL  # borrowed from x, y, z
    cdef const void *data[3]
    cdef double values64[3]
    cdef float values32[3]
    cdef double p[2]
    cdef int o, nd = 0, t = 0, d
    cdef ptrdiff_t total = 1
    cdef bint numbers = False
    p[0], p[1] = p0, p1
    for o in range(count):
        given = x if o == 0 else y if o == 1 else z
        data[o] = NULL
        if cnp.PyArray_Check(given):
            a = <cnp.ndarray>given
            if first == NULL:
                first = <PyObject *>a
                nd, t, total = cnp.PyArray_NDIM(a), cnp.PyArray_TYPE(a), cnp.PyArray_SIZE(a)
                if (t != cnp.NPY_FLOAT and t != cnp.NPY_DOUBLE) or total > 2048:
                    return None
            elif cnp.PyArray_TYPE(a) != t or not same_shape(a, <cnp.ndarray>first):
                return None
            if not cnp.PyArray_ISCARRAY_RO(a):
                return None
            data[o] = cnp.PyArray_DATA(a)
        elif PyFloat_CheckExact(given):
            values64[o], numbers = PyFloat_AS_DOUBLE(given), True
        elif type(given) is int:
            values64[o], numbers = <double>given, True
        else:
            return None
    if first == NULL or op == TT_where or (numbers and total != 1):
        return None
    a = <cnp.ndarray>first
    if out is None:
        out = new_array(nd, cnp.PyArray_DIMS(a), t)
    elif cnp.PyArray_TYPE(out) != t or not cnp.PyArray_ISCARRAY(out) or not same_shape(out, a):
        return None
    for o in range(count):
        if data[o] == NULL:
            values32[o] = <float>values64[o]
            data[o] = <void *>&values32[o] if t == cnp.NPY_FLOAT else <void *>&values64[o]
    d = TT_F32 if t == cnp.NPY_FLOAT else TT_F64
    cdef uint64_t state = tt_flush_begin()
    K.map[op][d](total, data[0], data[1 if count > 1 else 0], data[2 if count > 2 else 0], cnp.PyArray_DATA(out), p)
    tt_flush_end(state)
    return out


cdef object try_map(int op, int count, object x, object y, object z, double p0, double p1, cnp.ndarray out):
    """An elementwise kernel; None where the dtypes are not those that it computes in."""
    cdef object given = plain_map(op, count, x, y, z, p0, p1, out)
    if given is not None:
        return given
    cdef int dtype = -1, nd = 0, o, d, k, und
    cdef double p[2]
    cdef double values64[3]
    cdef float values32[3]
    cdef cnp.npy_intp shape[TT_MAX_DIMS]
    cdef ptrdiff_t strides[4][TT_MAX_DIMS]
    cdef tt_operand operands[4]
    cdef cnp.ndarray a
    cdef PyObject *arrays[3]  # borrowed from x, y, z and `held`
    cdef list held = None
    cdef cnp.npy_intp n
    cdef ptrdiff_t total
    p[0], p[1] = p0, p1
    for o in range(count):
        given = x if o == 0 else y if o == 1 else z
        arrays[o] = NULL
        if not cnp.PyArray_Check(given):
            if op == TT_where and o == 0:
                return None
            try:
                values64[o] = <double>given
            except TypeError:
                return None
            values32[o] = <float>values64[o]
            continue
        a = given
        if op == TT_where and o == 0:
            if cnp.PyArray_TYPE(a) != cnp.NPY_BOOL:
                return None
        else:
            d = dtype_of(a)
            if d < 0 or (dtype >= 0 and dtype != d):
                return None
            dtype = d
        if not cnp.PyArray_ISBEHAVED_RO(a):
            a = np.array(a, dtype=a.dtype.newbyteorder("="))
            held = [a] if held is None else [*held, a]
        arrays[o] = <PyObject *>a
        und = cnp.PyArray_NDIM(a)
        if und > TT_MAX_DIMS:
            raise ValueError(f"{name_of(op)}: at most {TT_MAX_DIMS} dimensions, got {und}; reshape it")
        if und > nd:  # dimensions are counted from the last
            for k in range(nd):
                shape[und - 1 - k] = shape[nd - 1 - k]
            for k in range(und - nd):
                shape[k] = 1
            nd = und
        for k in range(und):
            n = cnp.PyArray_DIM(a, k)
            d = nd - und + k
            if n != shape[d]:
                if shape[d] == 1:
                    shape[d] = n
                elif n != 1:
                    raise shape_error(op, count, x, y, z)
    if dtype < 0:
        if out is None:
            return None
        dtype = dtype_of(out)
    if out is None:
        out = new_array(nd, shape, typenum(dtype))
    else:
        if dtype_of(out) != dtype or not cnp.PyArray_ISBEHAVED(out):
            raise TypeError(f"{name_of(op)}: cannot write a result of another dtype, or read-only memory, in place")
        if cnp.PyArray_NDIM(out) != nd:
            raise shape_error(op, count, x, y, z)
        for k in range(nd):
            if cnp.PyArray_DIM(out, k) != shape[k]:
                raise ValueError(f"{name_of(op)}: the result of shape {tuple([shape[i] for i in range(nd)])} does not fit in place into {np.shape(out)}")
    total = 1
    for k in range(nd):
        total *= shape[k]
    for o in range(count):
        if arrays[o] == NULL:
            operands[o].size = 4 if dtype == TT_F32 else 8
            operands[o].data = <char *>&values32[o] if dtype == TT_F32 else <char *>&values64[o]
            for k in range(nd):
                strides[o][k] = 0
        else:
            a = <cnp.ndarray>arrays[o]
            und = cnp.PyArray_NDIM(a)
            for k in range(nd):
                d = k - (nd - und)
                strides[o][k] = 0 if d < 0 or cnp.PyArray_DIM(a, d) == 1 else cnp.PyArray_STRIDE(a, d)
            operands[o].data = <char *>cnp.PyArray_DATA(a)
            operands[o].size = <int>cnp.PyArray_ITEMSIZE(a)
        operands[o].stride = strides[o]
    for k in range(nd):
        strides[3][k] = cnp.PyArray_STRIDE(out, k)
    operands[3].data = <char *>cnp.PyArray_DATA(out)
    operands[3].stride = strides[3]
    operands[3].size = <int>cnp.PyArray_ITEMSIZE(out)
    if total <= 8192:
        tt_map(K, op, dtype, nd, <ptrdiff_t *>shape, count, operands, &operands[3], p)
    else:
        with nogil:
            tt_map(K, op, dtype, nd, <ptrdiff_t *>shape, count, operands, &operands[3], p)
    return out


cdef object run_map(int op, int count, object x, object y, object z, double p0, double p1, cnp.ndarray out):
    """try_map, or a TypeError that tells why not."""
    cdef object result = try_map(op, count, x, y, z, p0, p1, out)
    if result is not None:
        return result
    cdef list given = [x, y, z][:count], kinds = []
    if op == TT_where:
        condition = given.pop(0)
        if not cnp.PyArray_Check(condition) or cnp.PyArray_TYPE(condition) != cnp.NPY_BOOL:
            raise TypeError(f"where: expected a bool condition, got {getattr(condition, 'dtype', type(condition).__name__)}")
    for v in given:
        if cnp.PyArray_Check(v):
            if dtype_of(v) < 0:
                raise TypeError(f"{name_of(op)}: expected float32 or float64, got {v.dtype}")
            kinds.append(v.dtype)
        else:
            <double>v  # raises for what is no number
    if len(kinds) > 1:
        raise TypeError(f"{name_of(op)}: expected one dtype, got {' and '.join(sorted({str(k) for k in kinds}))}")
    raise TypeError(f"{name_of(op)}: expected at least one float array")


cdef object name_of(int op):
    return tt_map_infos[op].name.decode()


cdef inline bint same_shape(cnp.ndarray a, cnp.ndarray b) noexcept:
    cdef int nd = cnp.PyArray_NDIM(a)
    return nd == cnp.PyArray_NDIM(b) and (nd == 0 or memcmp(cnp.PyArray_DIMS(a), cnp.PyArray_DIMS(b), <size_t>nd * sizeof(cnp.npy_intp)) == 0)


cdef object shape_error(int op, int count, object x, object y, object z):
    shapes = [str(np.shape(v)) for v in (x, y, z)[:count]]
    return ValueError(f"{name_of(op)}: shapes {' and '.join(shapes)} cannot be broadcast together: "
                      "sizes must be equal or 1, counted from the last dimension")


def map1(int op, x, double p0=0, double p1=0):
    """Elementwise kernel of one array: float32 or float64, any strides -> new C-contiguous array."""
    known(op, 1)
    return run_map(op, 1, x, None, None, p0, p1, None)


def map2(int op, x, y, out=None):
    """Elementwise kernel of two, one of which may be a Python number; `out` may be one of them."""
    known(op, 2)
    if out is not None and not cnp.PyArray_Check(out):
        raise TypeError(f"{name_of(op)}: expected an array as out, got {type(out).__name__}")
    return run_map(op, 2, x, y, None, 0, 0, out)


def map3(int op, x, y, z, double p0=0, double p1=0):
    """Elementwise kernel of three."""
    known(op, 3)
    return run_map(op, 3, x, y, z, p0, p1, None)


# ---------------------------------------------------------------------------------------------------------- reductions
def reduce(int op, x, axes=None, bint keepdim=False):
    """Reduce over `axes` (normalised, ascending; None: all): float32 or float64 -> new array. ValueError for the maximum or
    minimum of nothing."""
    if op < 0 or op >= TT_DOT:
        raise ValueError(f"there is no reduction {op}")
    cdef cnp.ndarray a = usable(x, REDUCE_NAMES[op], -1)
    cdef int dtype = dtype_of(a), nd = cnp.PyArray_NDIM(a), i, onto = 0, first = -1, last = -1, hit = 0
    cdef cnp.npy_intp dims[TT_MAX_DIMS]
    cdef bint reduced[TT_MAX_DIMS]
    cdef ptrdiff_t outer = 1, n = 1, inner = 1
    for i in range(nd):
        reduced[i] = axes is None
    if axes is not None:
        for i in axes:
            if i < 0 or i >= nd or reduced[i]:
                raise ValueError(f"{REDUCE_NAMES[op]}: axes {axes} are not each one of 0 to {nd - 1}, once")
            reduced[i] = True
    for i in range(nd):
        if reduced[i]:
            hit += 1
            n *= cnp.PyArray_DIM(a, i)
            if first < 0:
                first = i
            last = i
            if keepdim:
                dims[onto] = 1
                onto += 1
        else:
            dims[onto] = cnp.PyArray_DIM(a, i)
            onto += 1
    if n == 0 and (op == TT_MAX or op == TT_MIN):
        raise ValueError(f"{REDUCE_NAMES[op]}: cannot reduce over no elements: shape {np.shape(a)}, dim {axes}")
    cdef cnp.ndarray out = new_array(onto, dims, typenum(dtype))
    if hit == 0 or last - first + 1 == hit:
        if not cnp.PyArray_IS_C_CONTIGUOUS(a):
            a = np.ascontiguousarray(a)
        for i in range(nd):
            if not reduced[i]:
                if hit and i > last:
                    inner *= cnp.PyArray_DIM(a, i)
                else:
                    outer *= cnp.PyArray_DIM(a, i)
    else:  # scattered axes: kept ones first, then the reduced in their order
        order = [i for i in range(nd) if not reduced[i]] + [i for i in range(nd) if reduced[i]]
        a = np.ascontiguousarray(a.transpose(order))
        for i in range(nd):
            if not reduced[i]:
                outer *= cnp.PyArray_DIM(x, i)
    if outer == 0 or inner == 0:
        return out
    cdef Block scratch = new_block(tt_reduce_scratch(outer, n, inner) + 64)
    cdef void *data = cnp.PyArray_DATA(a)
    cdef void *to = cnp.PyArray_DATA(out)
    if outer * n * inner <= 8192:
        tt_reduce(K, op, dtype, outer, n, inner, data, NULL, to, scratch.ptr)
    else:
        with nogil:
            tt_reduce(K, op, dtype, outer, n, inner, data, NULL, to, scratch.ptr)
    return out


def dot(x, y):
    """Sum of products of two vectors of one length, in the shape of every sum -> 0-d array."""
    cdef cnp.ndarray a = contiguous(x, "dot", -1)
    cdef cnp.ndarray b = contiguous(y, "dot", dtype_of(a))
    if cnp.PyArray_NDIM(a) != 1 or cnp.PyArray_NDIM(b) != 1 or cnp.PyArray_SIZE(a) != cnp.PyArray_SIZE(b):
        raise ValueError(f"dot: expected two vectors of one length, got {np.shape(a)} and {np.shape(b)}")
    cdef ptrdiff_t n = cnp.PyArray_SIZE(a)
    cdef cnp.ndarray out = new_array(0, NULL, cnp.PyArray_TYPE(a))
    cdef Block scratch = new_block(tt_reduce_scratch(1, n, 1) + 64)
    cdef void *pa = cnp.PyArray_DATA(a)
    cdef void *pb = cnp.PyArray_DATA(b)
    cdef void *to = cnp.PyArray_DATA(out)
    cdef int dtype = dtype_of(a)
    with nogil:
        tt_reduce(K, TT_DOT, dtype, 1, n, 1, pa, pb, to, scratch.ptr)
    return out


def rows(int kind, x, y=None):
    """softmax and its relations over the last dimension of x; y: the kept value, for gradients (x is then the upstream)."""
    if kind < 0 or kind > TT_LOGSUMEXP or (y is None) == (kind == TT_SOFTMAX_GRAD or kind == TT_LOG_SOFTMAX_GRAD):
        raise ValueError(f"softmax: kind {kind} {'without' if y is None else 'with'} a kept value is none")
    cdef cnp.ndarray a = contiguous(x, "softmax", -1), b = None
    cdef int dtype = dtype_of(a), nd = cnp.PyArray_NDIM(a)
    if nd == 0:
        raise ValueError("softmax: expected at least one dimension, got a 0-d array")
    cdef ptrdiff_t n = cnp.PyArray_DIM(a, nd - 1)
    cdef ptrdiff_t count = cnp.PyArray_SIZE(a) // n if n else 0
    if y is not None:
        b = contiguous(y, "softmax", dtype)
        if np.shape(b) != np.shape(a):
            raise ValueError(f"softmax: gradient of shape {np.shape(a)} for a value of shape {np.shape(b)}")
    cdef bint whole = kind != TT_LOGSUMEXP
    cdef cnp.ndarray out = new_array(nd if whole else nd - 1, cnp.PyArray_DIMS(a), typenum(dtype))
    if not whole and n == 0:
        out.fill(-np.inf)
        return out
    cdef const void *pa = cnp.PyArray_DATA(a)
    cdef const void *pb = cnp.PyArray_DATA(b) if b is not None else NULL
    cdef void *to = cnp.PyArray_DATA(out)
    if count * n <= 1024:
        tt_rows(K, kind, dtype, count, n, pa, pb, to)
    else:
        with nogil:
            tt_rows(K, kind, dtype, count, n, pa, pb, to)
    return out


# ------------------------------------------------------------------------------------------------------- cross entropy
cdef int xent_inputs(tt_xent_args *q, list keep, x, target, weight, int64_t ignore, double smoothing) except -1:
    cdef cnp.ndarray a = contiguous(x, "cross_entropy", -1)
    cdef cnp.ndarray t = int64s(target, "cross_entropy target")
    cdef cnp.ndarray w
    cdef ptrdiff_t i
    cdef int64_t v
    if cnp.PyArray_NDIM(a) != 2 or cnp.PyArray_NDIM(t) != 1 or cnp.PyArray_DIM(t, 0) != cnp.PyArray_DIM(a, 0):
        raise ValueError(f"cross_entropy: expected input (N, C) and target (N,), got {np.shape(a)} and {np.shape(t)}")
    memset(q, 0, sizeof(tt_xent_args))
    q.rows = cnp.PyArray_DIM(a, 0)
    q.classes = cnp.PyArray_DIM(a, 1)
    q.x = cnp.PyArray_DATA(a)
    q.target = <const int64_t *>cnp.PyArray_DATA(t)
    q.ignore = ignore
    q.smoothing = smoothing
    for i in range(q.rows):
        v = q.target[i]
        if (v < 0 or v >= q.classes) and v != ignore:
            raise IndexError(f"cross_entropy: target {v} at row {i} is outside the {q.classes} classes")
    keep += [a, t]
    if weight is not None:
        w = contiguous(weight, "cross_entropy weight", dtype_of(a))
        if cnp.PyArray_NDIM(w) != 1 or cnp.PyArray_DIM(w, 0) != q.classes:
            raise ValueError(f"cross_entropy: expected weight ({q.classes},), got {np.shape(w)}")
        q.weight = cnp.PyArray_DATA(w)
        keep.append(w)
    return dtype_of(a)


def xent(x, target, weight, int64_t ignore, double smoothing, str reduction="none"):
    """Loss of each row (N,), or their sum or mean (); what backward needs of the rows (N, 2); what a mean was divided by."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"cross_entropy: expected reduction 'mean', 'sum' or 'none', got {reduction!r}")
    cdef tt_xent_args q
    cdef list keep = []
    cdef int dtype = xent_inputs(&q, keep, x, target, weight, ignore, smoothing)
    cdef cnp.npy_intp dims[2]
    cdef ptrdiff_t i, count = 0
    cdef double over = 1
    cdef void *to
    dims[0] = q.rows
    dims[1] = 2
    cdef cnp.ndarray loss = new_array(1, dims, typenum(dtype)), lse = new_array(2, dims, typenum(dtype)), total
    q.loss = cnp.PyArray_DATA(loss)
    q.lse = cnp.PyArray_DATA(lse)
    if q.rows * q.classes <= 8192:
        tt_xent(K, dtype, 0, &q)
    else:
        with nogil:
            tt_xent(K, dtype, 0, &q)
    if reduction == "none":
        return loss, lse, over
    total = reduce(TT_SUM, loss)
    if reduction == "mean":
        if weight is None:
            for i in range(q.rows):
                count += q.target[i] != ignore
            over = count
        else:
            over = reduce(TT_SUM, keep[2].take(keep[1][keep[1] != ignore]))
        to = cnp.PyArray_DATA(total)
        if dtype == TT_F32:
            (<float *>to)[0] = (<float *>to)[0] / <float>over
        else:
            (<double *>to)[0] = (<double *>to)[0] / over
    return total, lse, over


def xent_grad(g, x, target, weight, int64_t ignore, double smoothing, lse):
    """Gradient of xent to x; g: () or (N,), the upstream gradient of each row's loss."""
    cdef tt_xent_args q
    cdef list keep = []
    cdef int dtype = xent_inputs(&q, keep, x, target, weight, ignore, smoothing)
    cdef cnp.ndarray up = contiguous(g, "cross_entropy", dtype), stats = contiguous(lse, "cross_entropy", dtype)
    if cnp.PyArray_SIZE(up) != (1 if cnp.PyArray_NDIM(up) == 0 else q.rows) or cnp.PyArray_SIZE(stats) != 2 * q.rows:
        raise ValueError(f"cross_entropy: upstream gradient of shape {np.shape(up)} for {q.rows} rows")
    cdef cnp.npy_intp dims[2]
    dims[0] = q.rows
    dims[1] = q.classes
    cdef cnp.ndarray out = new_array(2, dims, typenum(dtype))
    q.g = cnp.PyArray_DATA(up)
    q.g_step = cnp.PyArray_NDIM(up)
    q.lse = cnp.PyArray_DATA(stats)
    q.out = cnp.PyArray_DATA(out)
    if q.rows * q.classes <= 8192:
        tt_xent(K, dtype, 1, &q)
    else:
        with nogil:
            tt_xent(K, dtype, 1, &q)
    return out


include "_matmul.pxi"


# ------------------------------------------------------------------------------------------------------ rows by index
def gather_rows(src, index, dtype, double scale=1.0, double shift=0.0):
    """src (N, ...) uint8 or float, index (B,) int64 -> (B, ...) of `dtype`: src[index] * scale + shift, uint8 in one pass.
    IndexError names an index outside [-N, N)."""
    cdef cnp.ndarray ix = int64s(index, "gather_rows index")
    cdef int64_t *p = <int64_t *>cnp.PyArray_DATA(ix)
    cdef cnp.ndarray a = np.ascontiguousarray(src), out
    cdef ptrdiff_t i, n, width = 1, count = cnp.PyArray_SIZE(ix)
    cdef int nd = cnp.PyArray_NDIM(a), t = np.dtype(dtype).num, kind
    cdef cnp.npy_intp dims[TT_MAX_DIMS]
    cdef const uint8_t *x
    cdef void *y
    if nd == 0 or nd > TT_MAX_DIMS or cnp.PyArray_NDIM(ix) != 1 or t not in (cnp.NPY_FLOAT, cnp.NPY_DOUBLE):
        raise ValueError(f"gather_rows: expected src (N, ...), index (B,) and a float dtype, got {np.shape(a)}, {np.shape(ix)}, {np.dtype(dtype)}")
    n = cnp.PyArray_DIM(a, 0)
    for i in range(count):
        if p[i] < -n or p[i] >= n:
            raise IndexError(f"gather_rows: index {p[i]} at {i} is outside the {n} rows")
        if p[i] < 0:
            return gather_rows(src, np.where(ix < 0, ix + n, ix), dtype, scale, shift)
    if cnp.PyArray_TYPE(a) != cnp.NPY_UINT8:
        if dtype_of(a) < 0:
            raise TypeError(f"gather_rows: expected uint8, float32 or float64 rows, got {a.dtype}")
        out = owned(a.take(ix, axis=0).astype(dtype, copy=False))
        return out if scale == 1 and shift == 0 else run_map(OPS["add"], 2, run_map(OPS["mul"], 2, out, scale, None, 0, 0, None), shift, None, 0, 0, None)
    dims[0] = count
    for i in range(1, nd):
        dims[i] = cnp.PyArray_DIM(a, <int>i)
        width *= dims[i]
    out = new_array(nd, dims, t)
    kind = TT_F32 if t == cnp.NPY_FLOAT else TT_F64
    x = <const uint8_t *>cnp.PyArray_DATA(a)
    y = cnp.PyArray_DATA(out)
    with nogil:
        tt_gather_rows(K, kind, count, width, x, p, y, scale, shift)
    return out


def scatter_add(cnp.ndarray out not None, index, src):
    """out[index[i]] += src[i] over rows, in the order of i; out (R, ...) C-contiguous, src (B, ...), index (B,) in [0, R)."""
    cdef int dtype = dtype_of(out)
    cdef cnp.ndarray x = contiguous(src, "scatter_add", dtype), ix = int64s(index, "scatter_add index")
    cdef int64_t *p = <int64_t *>cnp.PyArray_DATA(ix)
    cdef ptrdiff_t i, count = cnp.PyArray_SIZE(ix), width, n
    cdef uint64_t state
    cdef void *y = cnp.PyArray_DATA(out)
    cdef void *from_ = cnp.PyArray_DATA(x)
    if dtype < 0 or not cnp.PyArray_ISCARRAY(out) or cnp.PyArray_NDIM(out) == 0 or np.shape(x) != np.shape(ix) + np.shape(out)[1:]:
        raise ValueError(f"scatter_add: rows {np.shape(x)} at {np.shape(ix)} do not fit into {np.shape(out)}")
    n = cnp.PyArray_DIM(out, 0)
    for i in range(count):
        if p[i] < 0 or p[i] >= n:
            raise IndexError(f"scatter_add: index {p[i]} at {i} is outside the {n} rows")
    width = cnp.PyArray_SIZE(out) // n if n else 0
    with nogil:
        state = tt_flush_begin()
        K.scatter_add[dtype](count, width, p, from_, y)
        tt_flush_end(state)
    return out


include "_sparse.pxi"


# -------------------------------------------------------------------------------------------------------------- random
def random(int kind, shape, dtype, uint64_t key, uint64_t offset, double p0, double p1):
    """UNIFORM in [p0, p1), NORMAL with mean p0 and deviation p1, or KEEP: 1 / (1 - p0) with probability 1 - p0, else 0."""
    if kind < 0 or kind >= TT_RANDOMS:
        raise ValueError(f"there is no distribution {kind}")
    cdef cnp.ndarray out = empty(shape, dtype)
    cdef int d = dtype_of(out)
    cdef ptrdiff_t n = cnp.PyArray_SIZE(out)
    cdef void *y = cnp.PyArray_DATA(out)
    if d < 0:
        raise TypeError(f"random: expected float32 or float64, got {out.dtype}")
    with nogil:
        tt_random(K, kind, d, key, offset, n, y, p0, p1)
    return out


def randint(shape, int64_t low, int64_t high, uint64_t key, uint64_t offset):
    """Integers in [low, high)."""
    cdef cnp.ndarray out = empty(shape, np.int64)
    if high <= low:
        raise ValueError(f"randint: expected low < high, got {low} and {high}")
    tt_randint(key, offset, cnp.PyArray_SIZE(out), low, <uint64_t>high - <uint64_t>low, <int64_t *>cnp.PyArray_DATA(out))
    return out


def randperm(Py_ssize_t n, uint64_t key, uint64_t offset):
    """A permutation of 0 ... n - 1."""
    cdef cnp.ndarray out = empty((n,), np.int64)
    tt_randperm(key, offset, n, <int64_t *>cnp.PyArray_DATA(out))
    return out


include "_images.pxi"


# ---------------------------------------------------------------------------------------------------------- optimizers
cdef void run_optim(int kind, int dtype, const tt_param *params, ptrdiff_t count, const tt_hyper *h) noexcept nogil:
    """A step over all of `params`, in place."""
    tt_optim(K.optim[kind][dtype], params, count, h)
