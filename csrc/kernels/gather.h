/* Rows by index. Indices were checked by the caller; x and y do not overlap. */

static void F(gather_u8)(ptrdiff_t n, const uint8_t *restrict x, void *yv, double scale, double shift) {
    real *restrict y = yv;
    const real a = (real)scale, b = (real)shift;
    _Pragma("omp simd") for (ptrdiff_t i = 0; i < n; i++) y[i] = FMA((real)x[i], a, b);
}
/* y[index[i], :] += x[i, :] in the order of i, so repeated rows add up in one order */
static void F(scatter_add)(ptrdiff_t n, ptrdiff_t width, const int64_t *index, const void *xv, void *yv) {
    const real *x = xv;
    for (ptrdiff_t i = 0; i < n; i++, x += width) {
        real *y = (real *)yv + index[i] * width;
        _Pragma("omp simd") for (ptrdiff_t j = 0; j < width; j++) y[j] += x[j];
    }
}
