# Part of _kernels.pyx: who owns an array's memory, how often it changed, and the pool where freed memory waits.
cdef extern from *:
    """
    #if defined(__SANITIZE_ADDRESS__) || defined(TT_NO_POOL) /* to the byte, and freed at once: else what is wrong would not be seen */
    #define TT_POOL_LIMIT 0
    static void *tt_get(size_t n, size_t rounded) {
        void *p;
        (void)rounded;
        return posix_memalign(&p, 64, n) ? NULL : p;
    }
    #else
    #define TT_POOL_LIMIT ((size_t)1 << 30)
    static void *tt_get(size_t n, size_t rounded) {
        (void)n;
        return aligned_alloc(64, rounded);
    }
    #endif
    """
    const size_t TT_POOL_LIMIT
    void *tt_get(size_t n, size_t rounded) nogil

cdef extern from "Python.h":
    bint PyMemoryView_Check(object o)
    PyObject *PyMemoryView_GET_BASE(object o)
    Py_ssize_t Py_REFCNT(PyObject *o)
    PyTypeObject *Py_TYPE(PyObject *o)

cdef extern from "numpy/arrayobject.h":
    PyTypeObject PyArray_Type
    PyObject *PyArray_BASE(cnp.ndarray a)
    cnp.ndarray PyArray_NewFromDescr(PyTypeObject *kind, cnp.dtype descr, int nd, const cnp.npy_intp *dims, const cnp.npy_intp *strides,
                                     void *data, int flags, PyObject *like)

# Freed blocks wait in a list per size for the next array of that size, so a training loop asks the system for nothing.
cdef enum:
    CLASSES = 200
cdef void *pool_free[CLASSES]
cdef size_t pool_cached = 0
memset(pool_free, 0, sizeof(pool_free))


cdef inline int size_class(size_t n, size_t *rounded) noexcept nogil:
    """Classes of 64 bytes up to 1 KiB, then four per doubling."""
    cdef size_t units = (n + 63) >> 6
    if units <= 16:
        rounded[0] = units << 6
        return <int>units
    cdef int e = 4
    while (<size_t>1 << (e + 1)) < units:
        e += 1
    cdef size_t quarter = <size_t>1 << (e - 2)  # units lies in (2^e, 2^(e+1)]
    cdef size_t q = (units - (<size_t>1 << e) + quarter - 1) >> (e - 2)
    rounded[0] = ((<size_t>1 << e) + q * quarter) << 6
    return 16 + (e - 4) * 4 + <int>q


cdef inline size_t class_size(int cls) noexcept nogil:
    """The bytes of a class: what size_class rounds to."""
    cdef int e = (cls - 17) // 4 + 4
    return <size_t>cls << 6 if cls <= 16 else (<size_t>(4 + (cls - 17) % 4 + 1) << (e - 2)) << 6


@cython.final
@cython.no_gc  # only arrays refer to a Block, and the collector does not look into arrays: it could find no cycle
@cython.freelist(64)
cdef class Block:
    """Owns the memory of one array: pool memory, 16 bytes inside itself, or somebody else's kept alive. `version` counts
    changes in place, and is shared by every view; `changed` tells the line of the last one."""

    @property
    def changed(self):
        return None if self.rare is None else self.rare[1]

    @changed.setter
    def changed(self, where):
        set_rare(self, 1, where)

    def __dealloc__(self):
        global pool_cached
        cdef size_t size
        if self.cls > 0:
            size = class_size(self.cls)
            if pool_cached + size <= TT_POOL_LIMIT:
                (<void **>self.ptr)[0] = pool_free[self.cls]
                pool_free[self.cls] = self.ptr
                pool_cached += size
            else:
                free(self.ptr)


cdef int set_rare(Block b, int i, object value) except -1:
    if b.rare is None:
        if value is None:
            return 0
        b.rare = [None, None]
    b.rare[i] = value
    return 0


cdef Block new_block(size_t n):
    global pool_cached
    cdef Block b = Block.__new__(Block)
    cdef size_t rounded
    if n <= sizeof(b.inside):
        if TT_POOL_LIMIT or n == 0:
            b.ptr = b.inside
            return b
    if n > (<size_t>1 << 46):
        raise MemoryError(f"tinytensor: {n} bytes asked for")
    cdef int cls = size_class(n, &rounded)
    b.ptr = pool_free[cls]
    if b.ptr != NULL:
        pool_free[cls] = (<void **>b.ptr)[0]
        pool_cached -= rounded
    else:
        b.ptr = tt_get(n, rounded)
        if b.ptr == NULL:
            raise MemoryError(f"tinytensor: could not allocate {rounded} bytes")
    b.cls = cls
    return b


def pool_bytes():
    """Bytes that wait in the pool for reuse."""
    return pool_cached


def pool_limit():
    """Bytes that may wait there: 0 in a build for AddressSanitizer or valgrind."""
    return TT_POOL_LIMIT


def pool_clear():
    """Give the waiting blocks back to the system."""
    global pool_cached
    cdef void *p
    for i in range(CLASSES):
        while pool_free[i] != NULL:
            p = pool_free[i]
            pool_free[i] = (<void **>p)[0]
            free(p)
    pool_cached = 0


cdef cnp.dtype FLOAT32 = np.dtype("float32"), FLOAT64 = np.dtype("float64")


cdef bint ours(int typenum) noexcept nogil:
    """Whether memory of ours holds arrays of this dtype."""
    return (typenum == cnp.NPY_FLOAT or typenum == cnp.NPY_DOUBLE or typenum == cnp.NPY_INT64 or typenum == cnp.NPY_BOOL
            or typenum == cnp.NPY_UINT8)


cdef cnp.ndarray new_array(int nd, const cnp.npy_intp *dims, int typenum):
    if not ours(typenum):
        raise TypeError(f"tinytensor: no arrays of {cnp.PyArray_DescrFromType(typenum)} are made: float32, float64, int64, bool and uint8 are")
    cdef size_t n = 8 if typenum == cnp.NPY_DOUBLE or typenum == cnp.NPY_INT64 else 4 if typenum == cnp.NPY_FLOAT else 1
    cdef size_t most = <size_t>1 << 46
    for i in range(nd):
        if dims[i] < 0 or (<size_t>dims[i] > most // (n if n else 1)):  # the product of sizes must not wrap around
            if not any([dims[k] == 0 for k in range(nd)]):
                raise MemoryError(f"tinytensor: an array of shape {tuple([dims[k] for k in range(nd)])} is too large")
            n = 0
        n *= <size_t>dims[i]
    cdef Block b = new_block(n)
    cdef cnp.dtype d = FLOAT32 if typenum == cnp.NPY_FLOAT else FLOAT64 if typenum == cnp.NPY_DOUBLE else cnp.PyArray_DescrFromType(typenum)
    Py_INCREF(d)  # for the array
    cdef cnp.ndarray a = PyArray_NewFromDescr(&PyArray_Type, d, nd, dims, NULL, b.ptr, cnp.NPY_ARRAY_CARRAY, NULL)
    cnp.set_array_base(a, b)
    return a


def empty(shape, dtype):
    """An uninitialised C-contiguous array: over 16 bytes 64-byte aligned, from the pool."""
    cdef cnp.npy_intp dims[TT_MAX_DIMS]
    cdef int nd = 0
    cdef object total = 1
    if len(shape) > TT_MAX_DIMS:
        raise ValueError(f"empty: at most {TT_MAX_DIMS} dimensions, got {len(shape)}")
    for s in shape:
        if s < 0:
            raise ValueError(f"empty: negative size in shape {tuple(shape)}")
        if s > (1 << 62):
            raise MemoryError(f"empty: shape {tuple(shape)} is too large")
        total *= s
        dims[nd] = s
        nd += 1
    if total > (1 << 43):
        raise MemoryError(f"empty: shape {tuple(shape)} is too large")
    cdef int t = np.dtype(dtype).num
    if not ours(t):
        raise TypeError(f"empty: dtype {np.dtype(dtype)} is not supported: float32, float64, int64, bool and uint8 are")
    return new_array(nd, dims, t)


cdef Block block_of(object a):
    """The block at the end of the chain of bases, or None."""
    while cnp.PyArray_Check(a):
        a = cnp.get_array_base(a)
    if type(a) is Block:
        return <Block>a
    if PyMemoryView_Check(a) and PyMemoryView_GET_BASE(a) != NULL:  # what NumPy makes of a tensor's buffer
        return block_of(<object>PyMemoryView_GET_BASE(a))
    return None


def owned(cnp.ndarray a not None):
    """`a`, or a view of it whose memory is owned by a Block, so that it has a version; of byte-swapped memory a native copy."""
    if not cnp.PyArray_ISNOTSWAPPED(a):  # the view below would read it as native
        a = a.astype(a.dtype.newbyteorder("="))
    if block_of(a) is not None:
        return a
    cdef Block b = Block.__new__(Block)
    set_rare(b, 0, a)  # keeps the memory
    cdef cnp.ndarray v = cnp.PyArray_New(np.ndarray, cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a),
                                         cnp.PyArray_STRIDES(a), cnp.PyArray_DATA(a), 0, cnp.PyArray_FLAGS(a), None)
    cnp.set_array_base(v, b)
    return v


def block(a):
    """The Block that owns the memory of `a` (None: not ours)."""
    return block_of(a)


def version(a):
    """How many times the memory of `a` was changed in place."""
    cdef Block b = block_of(a)
    return b.version if b is not None else 0


cdef int bump(object a, object where) except -1:
    """Count a change in place of the memory of `a`, made at `where`: code object, offset, and what did it."""
    cdef Block b = block_of(a)
    if b is not None:
        b.version += 1
        set_rare(b, 1, where)
    return 0


def changed(a, where=None):
    """Count a change in place of the memory of `a`, made at `where`: code object, offset, and what did it."""
    bump(a, where)


cdef bint is_alone(PyObject *a, Py_ssize_t refs):
    """Whether an array of ours has no more than `refs` references, and its memory none but its: it may be kept, or written to."""
    if Py_REFCNT(a) != refs or not cnp.PyArray_CheckExact(<object>a) or not cnp.PyArray_ISWRITEABLE(<cnp.ndarray>a):
        return False
    a = PyArray_BASE(<cnp.ndarray>a)
    while a != NULL and cnp.PyArray_CheckExact(<object>a):
        if Py_REFCNT(a) != 1:
            return False
        a = PyArray_BASE(<cnp.ndarray>a)
    return a != NULL and Py_TYPE(a) == <PyTypeObject *>Block and (<Block>a).ptr != NULL and Py_REFCNT(a) == 1


def alone(list arrays, Py_ssize_t i):
    """Whether nothing but the list refers to arrays[i], its memory included: it may be kept without a copy."""
    if arrays is None or i < 0 or i >= len(arrays):
        raise IndexError(f"alone: {i} is no place in {arrays!r:.100}")
    return is_alone(PyList_GET_ITEM(arrays, i), 1)
