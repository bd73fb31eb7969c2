# Part of _kernels.pyx: matrix products, and the layer that is one product, forward and backward.
cdef cnp.ndarray whole_strides(cnp.ndarray a):
    """`a`, or a copy where its strides are no multiple of its elements."""
    cdef int i
    for i in range(cnp.PyArray_NDIM(a)):
        if cnp.PyArray_STRIDE(a, i) % cnp.PyArray_ITEMSIZE(a):
            return np.ascontiguousarray(a)
    return a


cdef int multiply(tt_gemm_args *g, int dtype, ptrdiff_t batch, const ptrdiff_t *offsets) except -1:
    cdef int threads = tt_gemm_threads(g, batch)
    cdef Block scratch = new_block(tt_gemm_scratch(K, dtype, g, batch, threads))
    if g.m * g.n * g.k * batch <= 8192:
        tt_gemm(K, dtype, g, batch, offsets, scratch.ptr, threads)
    else:
        with nogil:
            tt_gemm(K, dtype, g, batch, offsets, scratch.ptr, threads)
    return 0


cdef inline void matrices(tt_gemm_args *g, cnp.ndarray a, cnp.ndarray b, cnp.ndarray c):
    """The last two dimensions of a, b and c, whose strides are whole."""
    cdef int na = cnp.PyArray_NDIM(a), nb = cnp.PyArray_NDIM(b), nc = cnp.PyArray_NDIM(c)
    cdef ptrdiff_t size = cnp.PyArray_ITEMSIZE(c)
    memset(g, 0, sizeof(tt_gemm_args))
    g.m = cnp.PyArray_DIM(c, nc - 2)
    g.n = cnp.PyArray_DIM(c, nc - 1)
    g.k = cnp.PyArray_DIM(a, na - 1)
    g.a = cnp.PyArray_DATA(a)
    g.b = cnp.PyArray_DATA(b)
    g.c = g.y = cnp.PyArray_DATA(c)
    g.a_row = cnp.PyArray_STRIDE(a, na - 2) // size
    g.a_col = cnp.PyArray_STRIDE(a, na - 1) // size
    g.b_row = cnp.PyArray_STRIDE(b, nb - 2) // size
    g.b_col = cnp.PyArray_STRIDE(b, nb - 1) // size
    g.c_row = g.n


def matmul(x, y):
    """(..., m, k) @ (..., k, n) -> (..., m, n); leading dimensions broadcast; any strides, no copy."""
    cdef cnp.ndarray a = usable(x, "matmul", -1)
    cdef int dtype = dtype_of(a)
    cdef cnp.ndarray b = usable(y, "matmul", dtype), c
    cdef int na = cnp.PyArray_NDIM(a), nb = cnp.PyArray_NDIM(b), nd, i, d
    cdef ptrdiff_t size = 4 if dtype == TT_F32 else 8, batch = 1, j, rest, q, oa, ob
    cdef cnp.npy_intp dims[TT_MAX_DIMS]
    cdef tt_gemm_args g
    cdef ptrdiff_t *offsets = NULL
    cdef Block room
    if na < 2 or nb < 2 or cnp.PyArray_DIM(a, na - 1) != cnp.PyArray_DIM(b, nb - 2):
        raise ValueError(f"matmul: shapes {np.shape(x)} and {np.shape(y)} do not fit: the last dimension of the first must "
                         "equal the second-to-last of the second")
    a = whole_strides(a)
    b = whole_strides(b)
    nd = na if na > nb else nb
    for i in range(nd - 2):
        d = i - (nd - na)
        j = cnp.PyArray_DIM(a, d) if d >= 0 else 1
        d = i - (nd - nb)
        q = cnp.PyArray_DIM(b, d) if d >= 0 else 1
        if j != q and j != 1 and q != 1:
            raise ValueError(f"matmul: batch dimensions of {np.shape(x)} and {np.shape(y)} cannot be broadcast together")
        dims[i] = j if q == 1 else q
        batch *= dims[i]
    dims[nd - 2] = cnp.PyArray_DIM(a, na - 2)
    dims[nd - 1] = cnp.PyArray_DIM(b, nb - 1)
    c = new_array(nd, dims, typenum(dtype))
    matrices(&g, a, b, c)
    if cnp.PyArray_SIZE(c) == 0:
        return c
    if g.k == 0:
        c.fill(0)
        return c
    if batch > 1 and nb == 2 and cnp.PyArray_IS_C_CONTIGUOUS(a):
        g.m *= batch  # one tall product: every row is its own chain
        g.a_row, g.a_col = g.k, 1  # a dimension of one element may have any stride
        batch = 1
    elif batch > 1 or nd > 2:
        room = new_block(<size_t>batch * 3 * sizeof(ptrdiff_t))
        offsets = <ptrdiff_t *>room.ptr
        for j in range(batch):
            rest = j
            oa = ob = 0
            for i in range(nd - 3, -1, -1):
                q = rest % dims[i]
                rest = rest // dims[i]
                d = i - (nd - na)
                if d >= 0 and cnp.PyArray_DIM(a, d) > 1:
                    oa += q * cnp.PyArray_STRIDE(a, d)
                d = i - (nd - nb)
                if d >= 0 and cnp.PyArray_DIM(b, d) > 1:
                    ob += q * cnp.PyArray_STRIDE(b, d)
            offsets[3 * j] = oa
            offsets[3 * j + 1] = ob
            offsets[3 * j + 2] = j * g.m * g.n * size
    multiply(&g, dtype, batch, offsets)
    return c


cdef cnp.ndarray rows_of(cnp.ndarray x):
    """x (..., n) as a matrix (rows, n): a view, or a copy where its memory cannot be one."""
    if cnp.PyArray_NDIM(x) == 2:
        return whole_strides(x)
    return np.ascontiguousarray(x).reshape(-1, cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1))


def linear_shapes(x, weight, bias):
    """The error for shapes that do not fit, or None."""
    a, w = np.shape(x), np.shape(weight)
    if a and len(w) == 2 and a[len(a) - 1] == w[1] and (bias is None or np.shape(bias) == (w[0],)):
        return None
    last = "no bias" if bias is None else f"bias {np.shape(bias)}"
    return ValueError(f"linear: expected input (*, in), weight (out, in) and bias (out), got input {a}, weight {w} and {last}")


def linear(x, weight, bias=None, int act=-1, double p0=0, double p1=0, bint keep=False):
    """y = act(x @ weight^T + bias): x (*, in), weight (out, in) -> (y (*, out), z, turned). The bias is added after each
    product's chain; act: an elementwise kernel of one input, or -1. z: what went into act where `keep` asks for it, else None.
    turned: whether the weight lies in memory as (in, out)."""
    if act != -1:
        known(act, 1)
    cdef cnp.ndarray a = usable(x, "linear", -1)
    cdef int dtype = dtype_of(a), nd = cnp.PyArray_NDIM(a), i
    cdef cnp.ndarray w = usable(weight, "linear weight", dtype), b = None, y, z = None, flat, to
    cdef cnp.npy_intp dims[TT_MAX_DIMS]
    cdef double p[2]
    cdef tt_gemm_args g
    if nd == 0 or cnp.PyArray_NDIM(w) != 2 or cnp.PyArray_DIM(a, nd - 1) != cnp.PyArray_DIM(w, 1):
        raise linear_shapes(x, weight, bias)
    w = whole_strides(w)
    for i in range(nd - 1):
        dims[i] = cnp.PyArray_DIM(a, i)
    dims[nd - 1] = cnp.PyArray_DIM(w, 0)
    if bias is not None:
        b = contiguous(bias, "linear bias", dtype)
        if cnp.PyArray_NDIM(b) != 1 or cnp.PyArray_DIM(b, 0) != dims[nd - 1]:
            raise linear_shapes(x, weight, bias)
    cdef bint turned = not cnp.PyArray_IS_C_CONTIGUOUS(w) and cnp.PyArray_IS_F_CONTIGUOUS(w)
    y = new_array(nd, dims, typenum(dtype))
    if keep and act >= 0:
        z = new_array(nd, dims, typenum(dtype))
    if cnp.PyArray_SIZE(y) == 0:
        return y, z, turned
    to = y if z is None else z
    if cnp.PyArray_DIM(w, 1) == 0:
        to[...] = 0 if b is None else b
        if act >= 0:
            run_map(act, 1, to, None, None, p0, p1, y)
        return y, z, turned
    flat = rows_of(a)
    memset(&g, 0, sizeof(g))
    g.m = cnp.PyArray_DIM(flat, 0)
    g.n = dims[nd - 1]
    g.k = cnp.PyArray_DIM(w, 1)
    g.a = cnp.PyArray_DATA(flat)
    g.b = cnp.PyArray_DATA(w)
    g.a_row = cnp.PyArray_STRIDE(flat, 0) // cnp.PyArray_ITEMSIZE(flat)
    g.a_col = cnp.PyArray_STRIDE(flat, 1) // cnp.PyArray_ITEMSIZE(flat)
    g.b_row = cnp.PyArray_STRIDE(w, 1) // cnp.PyArray_ITEMSIZE(w)
    g.b_col = cnp.PyArray_STRIDE(w, 0) // cnp.PyArray_ITEMSIZE(w)
    g.c = cnp.PyArray_DATA(to)
    g.y = cnp.PyArray_DATA(y)
    g.c_row = g.n
    if b is not None:
        g.bias = cnp.PyArray_DATA(b)
    if act == TT_relu and z is None:
        g.relu = 1
    elif act >= 0:
        p[0] = p0
        p[1] = p1
        g.act = K.map[act][dtype]
        g.act_p = p
    multiply(&g, dtype, 1, NULL)
    return y, z, turned


def linear_grad(g, x, weight, z, y, int act, double p0, double p1, bint turned, needs, into):
    """Gradients of `linear` to x, weight and bias, None where `needs` has no flag. x is used for the weight's, weight for x's. act:
    the activation's gradient kernel, or -1. One pass makes the gradient at z and its sum over rows, then a product each.
    turned: the weight's is to lie in memory as (in, out). into: None, or for each input None or the array that the
    gradient is added to and that comes back."""
    if act != -1:
        known(act, 3)
    cdef cnp.ndarray up = contiguous(g, "linear gradient", -1)
    cdef int dtype = dtype_of(up), nd = cnp.PyArray_NDIM(up)
    cdef cnp.ndarray w, dz = up, dx = None, dw = None, db = None, a, other
    cdef cnp.npy_intp dims[TT_MAX_DIMS]
    cdef tt_act_grad_args q
    cdef tt_gemm_args m
    cdef double p[2]
    cdef int i
    cdef ptrdiff_t n, k, rows, size = cnp.PyArray_ITEMSIZE(up)
    cdef bint add
    if nd == 0:
        raise ValueError("linear: the gradient has no dimensions")
    if needs[1] and (not cnp.PyArray_Check(x) or cnp.PyArray_TYPE(x) != cnp.PyArray_TYPE(up)):  # the forward pass promoted it
        x = np.asarray(x, dtype=up.dtype)
    if needs[0] and (not cnp.PyArray_Check(weight) or cnp.PyArray_TYPE(weight) != cnp.PyArray_TYPE(up)):
        weight = np.asarray(weight, dtype=up.dtype)
    n = cnp.PyArray_DIM(up, nd - 1)
    rows = 1
    for i in range(nd - 1):
        rows *= cnp.PyArray_DIM(up, i)
    memset(&q, 0, sizeof(q))
    q.rows, q.n, q.op = rows, n, act
    q.g = cnp.PyArray_DATA(up)
    if act >= 0:
        p[0] = p0
        p[1] = p1
        q.p = p
        a = contiguous(z, "linear", dtype)
        other = contiguous(y, "linear", dtype)
        if cnp.PyArray_SIZE(a) != cnp.PyArray_SIZE(up) or cnp.PyArray_SIZE(other) != cnp.PyArray_SIZE(up):
            raise ValueError(f"linear: gradient of shape {np.shape(g)} for a value of shape {np.shape(y)}")
        q.x = cnp.PyArray_DATA(a)
        q.y = cnp.PyArray_DATA(other)
        dz = new_array(nd, cnp.PyArray_DIMS(up), typenum(dtype))
        q.dz = cnp.PyArray_DATA(dz)
    if needs[2]:
        dims[0] = n
        db = new_array(1, dims, typenum(dtype))
        q.db = cnp.PyArray_DATA(db)
    if act >= 0 or needs[2]:
        if rows * n <= 8192:
            tt_act_grad(K, dtype, &q)
        else:
            with nogil:
                tt_act_grad(K, dtype, &q)
    if needs[2] and into is not None and into[2] is not None:
        db = run_map(TT_add, 2, into[2], db, None, 0, 0, into[2])
    if needs[1]:
        a = usable(x, "linear input", dtype)
        k = cnp.PyArray_DIM(a, cnp.PyArray_NDIM(a) - 1) if cnp.PyArray_NDIM(a) else 0
        if cnp.PyArray_NDIM(a) == 0 or cnp.PyArray_SIZE(a) != rows * k:
            raise ValueError(f"linear: gradient of shape {np.shape(g)} for input {np.shape(x)}")
        dw = into[1] if into is not None else None
        if dw is not None and (dtype_of(dw) != dtype or not cnp.PyArray_ISBEHAVED(dw) or cnp.PyArray_NDIM(dw) != 2
                               or cnp.PyArray_DIM(dw, 0) != n or cnp.PyArray_DIM(dw, 1) != k):
            raise ValueError(f"linear: a gradient of shape {(n, k)} cannot be added to {dw.dtype} {np.shape(dw)}")
        # within one block along the rows: the kernel's scratch grows with them
        add = dw is not None and rows * n * k > 0 and rows <= 1024 and (cnp.PyArray_IS_C_CONTIGUOUS(dw) or cnp.PyArray_IS_F_CONTIGUOUS(dw))
        if add:
            turned = not cnp.PyArray_IS_C_CONTIGUOUS(dw)
        else:
            dims[0] = k if turned else n
            dims[1] = n if turned else k
            dw = new_array(2, dims, typenum(dtype))
        if rows * n * k > 0:
            a = rows_of(a)
            memset(&m, 0, sizeof(m))
            m.c = m.y = cnp.PyArray_DATA(dw)
            m.add = add
            m.k = rows
            m.m, m.n = (k, n) if turned else (n, k)
            m.c_row = m.n
            if turned:
                m.a, m.b = cnp.PyArray_DATA(a), cnp.PyArray_DATA(dz)
                m.a_row, m.a_col, m.b_row, m.b_col = cnp.PyArray_STRIDE(a, 1) // size, cnp.PyArray_STRIDE(a, 0) // size, n, 1
            else:
                m.a, m.b = cnp.PyArray_DATA(dz), cnp.PyArray_DATA(a)
                m.a_row, m.a_col, m.b_row, m.b_col = 1, n, cnp.PyArray_STRIDE(a, 0) // size, cnp.PyArray_STRIDE(a, 1) // size
            multiply(&m, dtype, 1, NULL)
        else:
            dw.fill(0)
        if not add:
            if turned:
                dw = cnp.PyArray_Transpose(dw, NULL)
            if into is not None and into[1] is not None:
                dw = run_map(TT_add, 2, into[1], dw, None, 0, 0, into[1])
    if needs[0]:
        w = whole_strides(usable(weight, "linear weight", dtype))
        k = cnp.PyArray_DIM(w, 1) if cnp.PyArray_NDIM(w) == 2 else 0
        if cnp.PyArray_NDIM(w) != 2 or cnp.PyArray_DIM(w, 0) != n:
            raise ValueError(f"linear: gradient of shape {np.shape(g)} for weight {np.shape(weight)}")
        for i in range(nd - 1):
            dims[i] = cnp.PyArray_DIM(up, i)
        dims[nd - 1] = k
        dx = new_array(nd, dims, typenum(dtype))
        if rows * n * k > 0:
            memset(&m, 0, sizeof(m))
            m.m, m.n, m.k = rows, k, n
            m.a, m.b = cnp.PyArray_DATA(dz), cnp.PyArray_DATA(w)
            m.a_row, m.a_col, m.b_row, m.b_col = n, 1, cnp.PyArray_STRIDE(w, 0) // size, cnp.PyArray_STRIDE(w, 1) // size
            m.c = m.y = cnp.PyArray_DATA(dx)
            m.c_row = k
            multiply(&m, dtype, 1, NULL)
        else:
            dx.fill(0)
    return dx, dw, db
