/* Softmax and its relations over contiguous rows (rows, n). A row is shifted by its maximum first; its sum has reduce.h's
   shape. NaN anywhere in a row makes the row NaN; a row of -inf gives NaN (softmax) and -inf (logsumexp). */

/* sum over the row of exp(x - shift), or of w ((x - shift) - logs) for label smoothing; y, when given, keeps the terms.
   A block is padded to whole vectors, so that a row of ten classes costs one vector. */
TT_INLINE real F(row_terms)(int kind, ptrdiff_t n, const real *x, real shift, real logs, const real *w, real *y) {
    F(red_tree) t = {.count = 0, .depth = 0};
    real buf[BLOCK];
    for (ptrdiff_t s = 0; s < n; s += BLOCK) {
        ptrdiff_t len = n - s < BLOCK ? n - s : BLOCK, padded = (len + TT_LANES - 1) / TT_LANES * TT_LANES;
        for (ptrdiff_t i = len; i < padded; i++) buf[i] = kind == TERM_EXP ? -(real)INFINITY : 0;
        if (kind == TERM_EXP) {
            _Pragma("omp simd") for (ptrdiff_t i = 0; i < len; i++) buf[i] = x[s + i] - shift;
            _Pragma("omp simd") for (ptrdiff_t i = 0; i < padded; i++) buf[i] = VM(exp)(buf[i]);
        } else if (w) {
            _Pragma("omp simd") for (ptrdiff_t i = 0; i < len; i++) buf[i] = w[s + i] * ((x[s + i] - shift) - logs);
        } else {
            _Pragma("omp simd") for (ptrdiff_t i = 0; i < len; i++) buf[i] = (x[s + i] - shift) - logs;
        }
        if (y) memcpy(y + s, buf, (size_t)len * sizeof(real));
        F(red_push)(TT_SUM, &t, F(red_some)(TT_SUM, padded, buf, buf));
    }
    return n ? F(red_lanes)(TT_SUM, F(red_top)(TT_SUM, &t)) : 0;
}

static void F(softmax_rows)(ptrdiff_t rows, ptrdiff_t n, const void *xv, void *yv) {
    const real *x = xv;
    real *y = yv;
    for (ptrdiff_t r = 0; r < rows; r++, x += n, y += n) {
        real s = F(row_terms)(TERM_EXP, n, x, F(red_row)(TT_MAX, n, x, x), 0, NULL, y);
        _Pragma("omp simd") for (ptrdiff_t i = 0; i < n; i++) y[i] = y[i] / s;
    }
}
/* dx = y (g - sum(g y)) */
static void F(softmax_grad_rows)(ptrdiff_t rows, ptrdiff_t n, const void *gv, const void *yv, void *dxv) {
    const real *g = gv, *y = yv;
    real *dx = dxv;
    for (ptrdiff_t r = 0; r < rows; r++, g += n, y += n, dx += n) {
        real s = F(red_row)(TT_DOT, n, g, y);
        _Pragma("omp simd") for (ptrdiff_t i = 0; i < n; i++) dx[i] = y[i] * (g[i] - s);
    }
}
static void F(log_softmax_rows)(ptrdiff_t rows, ptrdiff_t n, const void *xv, void *yv) {
    const real *x = xv;
    real *y = yv;
    for (ptrdiff_t r = 0; r < rows; r++, x += n, y += n) {
        real m = F(red_row)(TT_MAX, n, x, x);
        real l = VM(log)(F(row_terms)(TERM_EXP, n, x, m, 0, NULL, NULL));
        _Pragma("omp simd") for (ptrdiff_t i = 0; i < n; i++) y[i] = (x[i] - m) - l;
    }
}
/* dx = g - exp(y) sum(g) */
static void F(log_softmax_grad_rows)(ptrdiff_t rows, ptrdiff_t n, const void *gv, const void *yv, void *dxv) {
    const real *g = gv, *y = yv;
    real *dx = dxv;
    for (ptrdiff_t r = 0; r < rows; r++, g += n, y += n, dx += n) {
        real s = F(red_row)(TT_SUM, n, g, g);
        _Pragma("omp simd") for (ptrdiff_t i = 0; i < n; i++) dx[i] = FMA(-VM(exp)(y[i]), s, g[i]);
    }
}
static void F(logsumexp_rows)(ptrdiff_t rows, ptrdiff_t n, const void *xv, void *yv) {
    const real *x = xv;
    real *y = yv;
    for (ptrdiff_t r = 0; r < rows; r++, x += n) {
        real m = F(red_row)(TT_MAX, n, x, x);
        real shift = m - m == 0 ? m : 0; /* an infinite maximum is not subtracted */
        y[r] = shift + VM(log)(F(row_terms)(TERM_EXP, n, x, shift, 0, NULL, NULL));
    }
}

/* loss[r] = -(1-s) w_t logp_t - s/C sum_c w_c logp_c; lse keeps the maximum and log of the sum for backward; 0 where ignored */
static void F(xent_rows)(const tt_xent_args *a, ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t n = a->classes;
    const real *w = a->weight;
    const real s = (real)a->smoothing;
    real *loss = a->loss, *lse = a->lse;
    for (ptrdiff_t r = begin; r < end; r++) {
        const real *x = (const real *)a->x + r * n;
        real m = F(red_row)(TT_MAX, n, x, x);
        real l = VM(log)(F(row_terms)(TERM_EXP, n, x, m, 0, NULL, NULL));
        lse[2 * r] = m;
        lse[2 * r + 1] = l;
        if (a->target[r] == a->ignore) { loss[r] = 0; continue; }
        real wt = w ? w[a->target[r]] : 1;
        real v = -((1 - s) * wt) * ((x[a->target[r]] - m) - l);
        if (s > 0) v -= s / (real)n * F(row_terms)(TERM_SMOOTH, n, x, m, l, w, NULL);
        loss[r] = v;
    }
}
/* out[r, c] = g_r (A p_c - [c = t] (1-s) w_t - s/C w_c), A = (1-s) w_t + s/C sum(w) */
static void F(xent_grad_rows)(const tt_xent_args *a, ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t n = a->classes;
    const real *w = a->weight, *lse = a->lse, *g = a->g;
    const real s = (real)a->smoothing, share = s / (real)n, total = w ? F(red_row)(TT_SUM, n, w, w) : (real)n;
    for (ptrdiff_t r = begin; r < end; r++) {
        const real *x = (const real *)a->x + r * n;
        real *o = (real *)a->out + r * n, m = lse[2 * r], l = lse[2 * r + 1];
        if (a->target[r] == a->ignore) { memset(o, 0, (size_t)n * sizeof(real)); continue; }
        real wt = (1 - s) * (w ? w[a->target[r]] : 1), all = FMA(share, total, wt), gr = g[r * a->g_step], gall = gr * all;
        real buf[BLOCK];
        for (ptrdiff_t b = 0; b < n; b += BLOCK) { /* padded like row_terms */
            ptrdiff_t len = n - b < BLOCK ? n - b : BLOCK, padded = (len + TT_LANES - 1) / TT_LANES * TT_LANES;
            for (ptrdiff_t i = len; i < padded; i++) buf[i] = 0;
            _Pragma("omp simd") for (ptrdiff_t i = 0; i < len; i++) buf[i] = (x[b + i] - m) - l;
            _Pragma("omp simd") for (ptrdiff_t i = 0; i < padded; i++) buf[i] = gall * VM(exp)(buf[i]);
            memcpy(o + b, buf, (size_t)len * sizeof(real));
        }
        o[a->target[r]] -= gr * wt;
        if (s > 0)
            for (ptrdiff_t c = 0; c < n; c++) o[c] -= gr * (share * (w ? w[c] : 1));
    }
}
#undef BLOCK
