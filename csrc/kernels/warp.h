/* Images resampled by affine maps and fields of displacements, and the smoothing that makes such fields of noise. */

/* y[b, c, i, j] = bilinear sample of x[b, c] at A_b (i, j, 1) + d_b[:, i, j], `fill` outside. Coordinates count pixels, (row,
   column), from the centre of the first. A coordinate that is NaN or far outside gives fill. A neighbour of weight 0 is not
   looked at: its NaN does not spread, and a shift by whole pixels is exact. y overlaps nothing.
   scratch: warp_scratch reals for one thread. The image lies in it with a border of fill, one before and two after, so that no
   pixel needs a branch: a coordinate is clamped into the border, and raised by 1, so that cutting its fraction is floor. */
static size_t F(warp_scratch)(const tt_warp_args *a) {
    return (size_t)((a->height + 3) * (a->width + 3) + 2 * a->height * a->width) * sizeof(real);
}
static void F(warp)(const tt_warp_args *a, ptrdiff_t begin, ptrdiff_t end, void *scratch) {
    const ptrdiff_t h = a->height, w = a->width, n = h * w, step = w + 3;
    real *framed = scratch, *ys = framed + (h + 3) * step, *xs = ys + n;
    const real low = 0, bottom = (real)(h + 1), right = (real)(w + 1);
    for (ptrdiff_t i = 0; i < (h + 3) * step; i++) framed[i] = (real)a->fill;
    for (ptrdiff_t b = begin; b < end; b++) {
        const double *m = a->matrix + 6 * b;
        const real yi = (real)m[0], yj = (real)m[1], y0 = (real)(m[2] + 1), xi = (real)m[3], xj = (real)m[4], x0 = (real)(m[5] + 1);
        const real *dy = a->field ? (const real *)a->field + 2 * n * b : NULL, *dx = dy ? dy + n : NULL;
        for (ptrdiff_t i = 0; i < h; i++) {
            const real yr = FMA(yi, (real)i, y0), xr = FMA(xi, (real)i, x0);
            real *restrict yo = ys + i * w, *restrict xo = xs + i * w;
            if (dy)
                _Pragma("omp simd") for (int j = 0; j < (int)w; j++) {
                    real y = FMA(yj, (real)j, yr) + dy[i * w + j], x = FMA(xj, (real)j, xr) + dx[i * w + j];
                    y = y > low ? y : low, x = x > low ? x : low; /* NaN: low */
                    yo[j] = y < bottom ? y : bottom, xo[j] = x < right ? x : right;
                }
            else
                _Pragma("omp simd") for (int j = 0; j < (int)w; j++) {
                    real y = FMA(yj, (real)j, yr), x = FMA(xj, (real)j, xr);
                    y = y > low ? y : low, x = x > low ? x : low;
                    yo[j] = y < bottom ? y : bottom, xo[j] = x < right ? x : right;
                }
        }
        for (ptrdiff_t c = b * a->channels; c < (b + 1) * a->channels; c++) {
            const real *x = (const real *)a->x + c * n;
            real *restrict out = (real *)a->y + c * n;
            for (ptrdiff_t i = 0; i < h; i++) memcpy(framed + (i + 1) * step + 1, x + i * w, (size_t)w * sizeof(real));
            const int32_t down = (int32_t)step;
            _Pragma("omp simd") for (ptrdiff_t p = 0; p < n; p++) {
                const int32_t i = (int32_t)ys[p], j = (int32_t)xs[p], at = i * down + j;
                const real v = ys[p] - (real)i, u = xs[p] - (real)j;
                const real p00 = framed[at], p01 = framed[at + 1], p10 = framed[at + down], p11 = framed[at + down + 1];
                const real top = u > 0 ? FMA(u, p01 - p00, p00) : p00, under = u > 0 ? FMA(u, p11 - p10, p10) : p10;
                out[p] = v > 0 ? FMA(v, under - top, top) : top;
            }
        }
    }
}

/* y[i, j] = sum over s, t of taps[s] taps[t] x[i + s - r, j + t - r], x being finite, and 0 outside: planes (h, w), 2 r + 1 taps.
   Each of the two sums is one fma chain over ascending taps; a tile takes TALL rows of it by WIDE columns, in which the taps that
   a row or a column has not are 0. y overlaps nothing.
   scratch: smooth_scratch reals for one thread: the plane and TALL finished rows, in whole tiles; taps, and taps backwards. */
#define TALL 4
#define VECTORS CAT(TT_NV, SUFFIX)
#define WIDE (VECTORS * TT_LANES)
#define WHOLE(w) (((w) + WIDE - 1) / WIDE * WIDE)
#define EACH_ROW _Pragma("GCC unroll 4") for (int m = 0; m < TALL; m++)
#define EACH_VECTOR _Pragma("GCC unroll 2") for (int v = 0; v < VECTORS; v++)
static size_t F(smooth_scratch)(const tt_smooth_args *a) {
    return (size_t)((a->height + TALL) * WHOLE(a->width) + 2 * (TALL + WIDE + 2 * a->radius + 1)) * sizeof(real);
}
static void F(smooth)(const tt_smooth_args *a, ptrdiff_t begin, ptrdiff_t end, void *scratch) {
    const ptrdiff_t h = a->height, w = a->width, r = a->radius, whole = WHOLE(w);
    real *rows = scratch, *lines = rows + h * whole, *down = lines + TALL * whole + TALL, *across = down + 2 * r + 1 + TALL + WIDE;
    memset(scratch, 0, F(smooth_scratch)(a));
    for (ptrdiff_t t = 0; t <= 2 * r; t++) down[t] = across[2 * r - t] = (real)a->taps[t];
    for (ptrdiff_t b = begin; b < end; b++) {
        const real *x = (const real *)a->x + b * h * w;
        real *y = (real *)a->y + b * h * w;
        for (ptrdiff_t i = 0; i < h; i++) memcpy(rows + i * whole, x + i * w, (size_t)w * sizeof(real));
        for (ptrdiff_t i = 0; i < h; i += TALL) {
            const ptrdiff_t top = i < r ? 0 : i - r, under = h - i < TALL + r ? h : i + TALL + r;
            for (ptrdiff_t j = 0; j < whole; j += WIDE) {
                VT s[TALL][VECTORS];
                EACH_ROW EACH_VECTOR s[m][v] = V(zero)();
                for (ptrdiff_t q = top; q < under; q++) {
                    VT from[VECTORS];
                    EACH_VECTOR from[v] = V(load)(rows + q * whole + j + v * TT_LANES);
                    EACH_ROW EACH_VECTOR s[m][v] = V(fma)(V(set)(down[q - i - m + r]), from[v], s[m][v]);
                }
                EACH_ROW EACH_VECTOR V(store)(lines + m * whole + j + v * TT_LANES, s[m][v]);
            }
            for (ptrdiff_t j = 0; j < w; j += WIDE) {
                const ptrdiff_t left = j < r ? 0 : j - r, right = w - j < WIDE + r ? w : j + WIDE + r;
                VT s[TALL][VECTORS];
                EACH_ROW EACH_VECTOR s[m][v] = V(zero)();
                for (ptrdiff_t q = left; q < right; q++) {
                    VT band[VECTORS];
                    EACH_VECTOR band[v] = V(load)(across + r - q + j + v * TT_LANES);
                    EACH_ROW EACH_VECTOR s[m][v] = V(fma)(V(set)(lines[m * whole + q]), band[v], s[m][v]);
                }
                EACH_ROW EACH_VECTOR {
                    const ptrdiff_t n = w - j - v * TT_LANES;
                    real *to = y + (i + m) * w + j + v * TT_LANES;
                    if (i + m >= h || n <= 0) continue;
                    if (n < TT_LANES) V(store_n)(to, s[m][v], (int)n);
                    else V(store)(to, s[m][v]);
                }
            }
        }
    }
}
#undef TALL
#undef VECTORS
#undef WIDE
#undef WHOLE
#undef EACH_ROW
#undef EACH_VECTOR
