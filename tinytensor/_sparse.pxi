# Part of _kernels.pyx: products with a matrix of few entries, of which the zeros are left out.
def to_sparse(x, dtype):
    """x (N, D), C-contiguous uint8 or float, as compressed rows of `dtype`: (starts (N + 1,) int64, columns int32, values)."""
    cdef cnp.ndarray a = behaved(x), starts, columns, values
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise TypeError(f"to_sparse: expected float32 or float64 values, got {np.dtype(dtype)}")
    cdef int t = cnp.PyArray_TYPE(a), d = TT_F32 if np.dtype(dtype) == np.float32 else TT_F64
    cdef int kind = 0 if t == cnp.NPY_UINT8 else 1 if t == cnp.NPY_FLOAT else 2
    if cnp.PyArray_NDIM(a) != 2 or t not in (cnp.NPY_UINT8, cnp.NPY_FLOAT, cnp.NPY_DOUBLE) or not a.dtype.isnative or cnp.PyArray_DIM(a, 1) >= 2**31:
        raise TypeError(f"to_sparse: expected uint8, float32 or float64 rows (N, D), got {a.dtype} {np.shape(a)}")
    cdef ptrdiff_t n = cnp.PyArray_DIM(a, 0), width = cnp.PyArray_DIM(a, 1)
    starts = np.zeros(n + 1, np.int64)
    cdef int64_t *s = <int64_t *>cnp.PyArray_DATA(starts)
    cdef void *p = cnp.PyArray_DATA(a)
    cdef ptrdiff_t i
    with nogil:
        tt_nonzeros(K, d, kind, n, width, p, s, NULL, NULL)
        for i in range(n):
            s[i + 1] += s[i]
    columns, values = np.empty(s[n], np.int32), np.empty(s[n], dtype)
    cdef int32_t *c = <int32_t *>cnp.PyArray_DATA(columns)
    cdef void *v = cnp.PyArray_DATA(values)
    with nogil:
        tt_nonzeros(K, d, kind, n, width, p, s, c, v)
    return starts, columns, values


def sparse_product(begin, end, columns, values, b, bias=None, ptrdiff_t width=0):
    """A @ b + bias, or with width, the columns of A, transpose of A @ b, where row i of A has the entries begin[i] ... end[i] - 1 of
    columns (int32, ascending in a row) and values."""
    cdef cnp.ndarray y = contiguous(b, "sparse_product", -1), z = None, out
    cdef int dtype = dtype_of(y)
    cdef cnp.ndarray v = contiguous(values, "sparse_product", dtype), c = behaved(columns)
    cdef cnp.ndarray f = int64s(begin, "sparse_product begin"), t = int64s(end, "sparse_product end")
    cdef tt_sparse_args a
    cdef ptrdiff_t i, count = cnp.PyArray_SIZE(v)
    cdef cnp.npy_intp dims[2]
    if cnp.PyArray_NDIM(y) != 2 or cnp.PyArray_TYPE(c) != cnp.NPY_INT32 or cnp.PyArray_SIZE(c) != count or cnp.PyArray_SIZE(f) != cnp.PyArray_SIZE(t):
        raise ValueError(f"sparse_product: begin {np.shape(f)}, end {np.shape(t)}, columns {np.shape(c)} {c.dtype}, values {np.shape(v)} and b {np.shape(y)} do not fit")
    a.rows, a.n = cnp.PyArray_SIZE(f), cnp.PyArray_DIM(y, 1)
    a.from_, a.to = <int64_t *>cnp.PyArray_DATA(f), <int64_t *>cnp.PyArray_DATA(t)
    for i in range(a.rows):
        if not 0 <= a.from_[i] <= a.to[i] <= count:
            raise IndexError(f"sparse_product: row {i} has the entries {a.from_[i]} to {a.to[i]} of {count}")
    a.column, a.value, a.b, a.bias = <int32_t *>cnp.PyArray_DATA(c), cnp.PyArray_DATA(v), cnp.PyArray_DATA(y), NULL
    a.k = width if width else cnp.PyArray_DIM(y, 0)
    cdef bint inside = width >= 0
    cdef ptrdiff_t j
    with nogil:
        for i in range(a.rows):
            for j in range(a.from_[i], a.to[i]):
                inside &= 0 <= a.column[j] < a.k
    if not inside:
        raise IndexError(f"sparse_product: a column is outside 0 to {a.k - 1}")
    if not width:
        z = contiguous(bias, "sparse_product bias", dtype)
        if cnp.PyArray_SIZE(z) != a.n:
            raise ValueError(f"sparse_product: bias {np.shape(z)} does not fit b {np.shape(y)}")
        a.bias = cnp.PyArray_DATA(z)
    elif cnp.PyArray_DIM(y, 0) != a.rows:
        raise ValueError(f"sparse_product: b {np.shape(y)} does not have A's {a.rows} rows")
    dims[0], dims[1] = width if width else a.rows, a.n
    out = new_array(2, dims, typenum(dtype))
    a.c = cnp.PyArray_DATA(out)
    cdef bint outer = width != 0
    with nogil:
        tt_sparse(K, dtype, outer, &a)
    return out
