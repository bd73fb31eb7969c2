/* Softmax and its relations over contiguous rows (rows, n). A row is shifted by its maximum first; its sum has reduce.h's
   shape. NaN anywhere in a row makes the row NaN; a row of -inf gives NaN (softmax) and -inf (logsumexp). */

/* the largest element that is no NaN: whoever subtracts it gets NaN from the others */
TT_INLINE real F(row_max)(ptrdiff_t n, const real *x) {
    real m = -(real)INFINITY;
#ifdef __clang__ /* it makes no vectors of the reduction below */
    real lanes[TT_LANES];
    ptrdiff_t done = 0;
    for (int l = 0; l < TT_LANES; l++) lanes[l] = m;
    for (; done + TT_LANES <= n; done += TT_LANES)
        _Pragma("omp simd") for (int l = 0; l < TT_LANES; l++) lanes[l] = x[done + l] > lanes[l] ? x[done + l] : lanes[l];
    for (int l = 0; l < TT_LANES; l++) m = lanes[l] > m ? lanes[l] : m;
    for (; done < n; done++) m = x[done] > m ? x[done] : m;
#else
    _Pragma("omp simd reduction(max : m)") for (ptrdiff_t i = 0; i < n; i++) m = x[i] > m ? x[i] : m;
#endif
    return m;
}
/* sum over the row of exp(x - shift), or of w ((x - shift) - logs) for label smoothing.
   A block is padded to whole vectors, so that a row of ten classes costs one vector. */
TT_INLINE real F(row_terms)(int kind, ptrdiff_t n, const real *x, real shift, real logs, const real *w) {
    F(red_tree) t;
    t.count = 0, t.depth = 0;
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
        F(red_push)(TT_SUM, &t, F(red_some)(TT_SUM, padded, buf, buf));
    }
    return n ? F(red_lanes)(TT_SUM, F(red_top)(TT_SUM, &t)) : 0;
}

/* y = exp(x - shift), and its sum in the shape of every sum */
TT_INLINE real F(row_exp)(ptrdiff_t n, const real *x, real shift, real *y) {
    F(red_tree) t;
    t.count = 0, t.depth = 0;
    for (ptrdiff_t s = 0; s < n; s += BLOCK) {
        const ptrdiff_t len = n - s < BLOCK ? n - s : BLOCK, whole = len / TT_LANES * TT_LANES, tail = len - whole;
        VT a = V(zero)();
        for (ptrdiff_t i = s; i < s + whole; i += TT_LANES) { /* the sum hides behind the exponentials */
            _Pragma("omp simd") for (ptrdiff_t l = i; l < i + TT_LANES; l++) y[l] = VM(exp)(x[l] - shift);
            a = V(add)(a, V(load)(y + i));
        }
        if (tail) { /* as a whole vector */
            real buf[TT_LANES];
            for (ptrdiff_t i = 0; i < TT_LANES; i++) buf[i] = i < tail ? x[s + whole + i] - shift : -(real)INFINITY;
            _Pragma("omp simd") for (ptrdiff_t i = 0; i < TT_LANES; i++) buf[i] = VM(exp)(buf[i]);
            const VT e = V(load)(buf);
            V(store_n)(y + s + whole, e, (int)tail);
            a = V(add)(a, e);
        }
        F(red_push)(TT_SUM, &t, a);
    }
    return n ? F(red_lanes)(TT_SUM, F(red_top)(TT_SUM, &t)) : 0;
}
static void F(softmax_rows)(ptrdiff_t rows, ptrdiff_t n, const void *xv, void *yv) {
    const real *x = xv;
    real *y = yv;
    for (ptrdiff_t r = 0; r < rows; r++, x += n, y += n) {
        const real share = 1 / F(row_exp)(n, x, F(row_max)(n, x), y); /* a division costs ten products */
        _Pragma("omp simd") for (ptrdiff_t i = 0; i < n; i++) y[i] = y[i] * share;
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
        real m = F(row_max)(n, x);
        real l = VM(log)(F(row_terms)(TERM_EXP, n, x, m, 0, NULL));
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
        real m = F(row_max)(n, x);
        real shift = m - m == 0 ? m : 0; /* an infinite maximum is not subtracted */
        y[r] = shift + VM(log)(F(row_terms)(TERM_EXP, n, x, shift, 0, NULL));
    }
}

/* Few classes: ROWS rows side by side, the same operations in the same tree for each. max and log(sum exp) of row r -> m[r], l[r] */
#define ROWS 16
#define FEW 64
static void F(few_stats)(ptrdiff_t rows, ptrdiff_t n, const real *x, real *restrict m, real *restrict l) {
    real t[FEW][ROWS], sum[TT_LANES][ROWS];
    for (ptrdiff_t r = 0; r < ROWS; r++) /* a block of fewer rows repeats its last one */
        for (ptrdiff_t c = 0; c < n; c++) t[c][r] = x[(r < rows ? r : rows - 1) * n + c];
    _Pragma("omp simd") for (int r = 0; r < ROWS; r++) m[r] = -(real)INFINITY;
    for (ptrdiff_t c = 0; c < n; c++) _Pragma("omp simd") for (int r = 0; r < ROWS; r++) m[r] = F(red_acc1)(TT_MAX, m[r], t[c][r]);
    for (int i = 0; i < TT_LANES; i++) _Pragma("omp simd") for (int r = 0; r < ROWS; r++) sum[i][r] = 0;
    for (ptrdiff_t c = 0; c < n; c++) _Pragma("omp simd") for (int r = 0; r < ROWS; r++) sum[c % TT_LANES][r] += VM(exp)(t[c][r] - m[r]);
    for (int h = TT_LANES / 2; h; h /= 2)
        for (int i = 0; i < h; i++) _Pragma("omp simd") for (int r = 0; r < ROWS; r++) sum[i][r] = F(red_two1)(TT_SUM, sum[i][r], sum[i + h][r]);
    _Pragma("omp simd") for (int r = 0; r < ROWS; r++) l[r] = VM(log)(sum[0][r]);
}

/* loss[r] = -(1-s) w_t logp_t - s/C sum_c w_c logp_c; lse keeps the maximum and log of the sum for backward; 0 where ignored */
static void F(xent_rows)(const tt_xent_args *a, ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t n = a->classes;
    const real *w = a->weight;
    const real s = (real)a->smoothing;
    real *loss = a->loss, *lse = a->lse;
    real ms[ROWS], ls[ROWS];
    for (ptrdiff_t r = begin; r < end; r++) {
        const real *x = (const real *)a->x + r * n;
        real m, l;
        if (n > 0 && n <= FEW) {
            const ptrdiff_t at = (r - begin) % ROWS;
            if (at == 0) F(few_stats)(end - r < ROWS ? end - r : ROWS, n, x, ms, ls);
            m = ms[at], l = ls[at];
        } else {
            m = F(row_max)(n, x);
            l = VM(log)(F(row_terms)(TERM_EXP, n, x, m, 0, NULL));
        }
        lse[2 * r] = m;
        lse[2 * r + 1] = l;
        if (a->target[r] == a->ignore) { loss[r] = 0; continue; }
        real wt = w ? w[a->target[r]] : 1;
        real v = -((1 - s) * wt) * ((x[a->target[r]] - m) - l);
        if (s > 0) v -= s / (real)n * F(row_terms)(TERM_SMOOTH, n, x, m, l, w);
        loss[r] = v;
    }
}
/* scale[r] exp((x - m[r]) - l[r]) */
static void F(few_terms)(ptrdiff_t rows, ptrdiff_t n, const real *x, const real *m, const real *l, const real *scale, real *restrict out) {
    real t[FEW][ROWS];
    for (ptrdiff_t r = 0; r < ROWS; r++)
        for (ptrdiff_t c = 0; c < n; c++) t[c][r] = x[(r < rows ? r : rows - 1) * n + c];
    for (ptrdiff_t c = 0; c < n; c++) _Pragma("omp simd") for (int r = 0; r < ROWS; r++) t[c][r] = scale[r] * VM(exp)((t[c][r] - m[r]) - l[r]);
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t c = 0; c < n; c++) out[r * n + c] = t[c][r];
}

/* out[r, c] = g_r (A p_c - [c = t] (1-s) w_t - s/C w_c), A = (1-s) w_t + s/C sum(w) */
static void F(xent_grad_rows)(const tt_xent_args *a, ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t n = a->classes;
    const real *w = a->weight, *lse = a->lse, *g = a->g;
    const real s = (real)a->smoothing, share = s / (real)n, total = w ? F(red_row)(TT_SUM, n, w, w) : (real)n;
    const int few = n > 0 && n <= FEW;
    real ms[ROWS], ls[ROWS], scale[ROWS], wts[ROWS];
    for (ptrdiff_t s0 = begin; s0 < end; s0 += ROWS) {
        const ptrdiff_t rows = end - s0 < ROWS ? end - s0 : ROWS;
        for (ptrdiff_t i = 0; i < ROWS; i++) {
            const ptrdiff_t r = s0 + (i < rows ? i : rows - 1), t = a->target[r];
            wts[i] = (1 - s) * (w && t != a->ignore ? w[t] : 1);
            scale[i] = g[r * a->g_step] * FMA(share, total, wts[i]);
            ms[i] = lse[2 * r], ls[i] = lse[2 * r + 1];
        }
        if (few) F(few_terms)(rows, n, (const real *)a->x + s0 * n, ms, ls, scale, (real *)a->out + s0 * n);
        for (ptrdiff_t i = 0; i < rows; i++) {
            const ptrdiff_t r = s0 + i;
            const real *x = (const real *)a->x + r * n, gr = g[r * a->g_step];
            real *o = (real *)a->out + r * n;
            if (a->target[r] == a->ignore) { memset(o, 0, (size_t)n * sizeof(real)); continue; }
            if (!few) _Pragma("omp simd") for (ptrdiff_t c = 0; c < n; c++) o[c] = scale[i] * VM(exp)((x[c] - ms[i]) - ls[i]);
            o[a->target[r]] -= gr * wts[i];
            if (s > 0)
                for (ptrdiff_t c = 0; c < n; c++) o[c] -= gr * (share * (w ? w[c] : 1));
        }
    }
}
#undef BLOCK
#undef ROWS
#undef FEW
