# Part of _kernels.pyx: images resampled, and smoothed noise.
def warp(x, matrix, field=None, double fill=0.0):
    """x (B, C, H, W) float32 or float64, matrix (B, 2, 3) float64, field None or (B, 2, H, W) of x's dtype -> (B, C, H, W), new:
    out[b, c, i, j] = bilinear sample of x[b, c] at (row, column) = matrix[b] @ (i, j, 1) + field[b, :, i, j]; `fill` lies outside,
    and is what a coordinate that is NaN or infinite gives. Any strides."""
    cdef cnp.ndarray a = contiguous(x, "warp", -1), d = None, out
    cdef cnp.ndarray m = contiguous(matrix, "warp matrix", TT_F64)
    cdef int dtype = dtype_of(a), threads
    cdef tt_warp_args q
    cdef Block scratch
    if cnp.PyArray_NDIM(a) != 4:
        raise ValueError(f"warp: expected images (B, C, H, W), got {np.shape(a)}")
    q.images, q.channels, q.height, q.width = cnp.PyArray_DIM(a, 0), cnp.PyArray_DIM(a, 1), cnp.PyArray_DIM(a, 2), cnp.PyArray_DIM(a, 3)
    if np.shape(m) != (q.images, 2, 3):
        raise ValueError(f"warp: expected matrix {(q.images, 2, 3)} for images {np.shape(a)}, got {np.shape(m)}")
    if field is not None:
        d = contiguous(field, "warp field", dtype)
        if np.shape(d) != (q.images, 2, q.height, q.width):
            raise ValueError(f"warp: expected field {(q.images, 2, q.height, q.width)} for images {np.shape(a)}, got {np.shape(d)}")
    if (q.height + 3) > 0x7fffffff // (q.width + 3):
        raise ValueError(f"warp: images of {q.height} x {q.width} are too large: at most 2^31 pixels")
    out = new_array(4, cnp.PyArray_DIMS(a), typenum(dtype))
    if cnp.PyArray_SIZE(a) == 0:
        return out
    q.x = cnp.PyArray_DATA(a)
    q.matrix = <const double *>cnp.PyArray_DATA(m)
    q.field = cnp.PyArray_DATA(d) if d is not None else NULL
    q.fill = fill
    q.y = cnp.PyArray_DATA(out)
    threads = tt_warp_threads(&q)
    scratch = new_block(K.warp_scratch[dtype](&q) * <size_t>threads)
    with nogil:
        tt_warp(K, dtype, &q, scratch.ptr, threads)
    return out


def smooth(x, taps):
    """x (..., H, W) float32 or float64, taps (2 r + 1,) float64 -> new array of x's shape: each plane convolved with `taps` (which
    are rounded to x's dtype) along its columns and then along its rows, 0 being outside. Any strides."""
    cdef cnp.ndarray a = contiguous(x, "smooth", -1), k = contiguous(taps, "smooth taps", TT_F64), out
    cdef int dtype = dtype_of(a), nd = cnp.PyArray_NDIM(a), threads
    cdef tt_smooth_args q
    cdef Block scratch
    if nd < 2 or cnp.PyArray_NDIM(k) != 1 or cnp.PyArray_SIZE(k) % 2 == 0:
        raise ValueError(f"smooth: expected planes (..., H, W) and an odd number of taps, got {np.shape(a)} and {np.shape(k)}")
    out = new_array(nd, cnp.PyArray_DIMS(a), typenum(dtype))
    if cnp.PyArray_SIZE(a) == 0:
        return out
    q.height, q.width = cnp.PyArray_DIM(a, nd - 2), cnp.PyArray_DIM(a, nd - 1)
    q.planes = cnp.PyArray_SIZE(a) // (q.height * q.width)
    q.radius = cnp.PyArray_SIZE(k) // 2
    q.x = cnp.PyArray_DATA(a)
    q.taps = <const double *>cnp.PyArray_DATA(k)
    q.y = cnp.PyArray_DATA(out)
    threads = tt_smooth_threads(&q)
    scratch = new_block(K.smooth_scratch[dtype](&q) * <size_t>threads)
    with nogil:
        tt_smooth(K, dtype, &q, scratch.ptr, threads)
    return out
