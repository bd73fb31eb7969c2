/* Reductions of one shape everywhere: lane i of V takes elements i mod TT_LANES; TT_RED_BLOCK vectors are added one after the
   other; blocks are joined by a binary tree that depends on their number alone, then the lanes by halves. */

TT_INLINE real F(red_neutral)(int op) {
    return op == TT_PROD ? (real)1 : op == TT_MAX ? -(real)INFINITY : op == TT_MIN ? (real)INFINITY : (real)0;
}
TT_INLINE VT F(red_acc)(int op, VT a, VT x, VT y) {
    switch (op) {
    case TT_PROD: return V(mul)(a, x);
    case TT_MAX: return V(max)(a, x);
    case TT_MIN: return V(min)(a, x);
    case TT_SUMSQ: return V(fma)(x, x, a);
    case TT_DOT: return V(fma)(x, y, a);
    default: return V(add)(a, x);
    }
}
TT_INLINE VT F(red_two)(int op, VT a, VT b) {
    return F(red_acc)(op == TT_SUMSQ || op == TT_DOT ? TT_SUM : op, a, b, b);
}
/* the same on one element, for columns and for the last tree */
TT_INLINE real F(red_acc1)(int op, real a, real x) {
    switch (op) {
    case TT_PROD: return a * x;
    case TT_MAX: return (x > a || x != x) && a == a ? x : a;
    case TT_MIN: return (x < a || x != x) && a == a ? x : a;
    case TT_SUMSQ: return FMA(x, x, a);
    default: return a + x;
    }
}
TT_INLINE real F(red_two1)(int op, real a, real b) { return F(red_acc1)(op == TT_SUMSQ ? TT_SUM : op, a, b); }

typedef struct {
    VT stack[TT_RED_DEPTH];
    size_t count;
    int depth;
} F(red_tree);

TT_INLINE void F(red_push)(int op, F(red_tree) *t, VT v) {
    for (size_t c = t->count++; c & 1; c >>= 1) v = F(red_two)(op, t->stack[--t->depth], v);
    t->stack[t->depth++] = v;
}
TT_INLINE VT F(red_top)(int op, F(red_tree) *t) {
    VT v = t->stack[--t->depth];
    while (t->depth) v = F(red_two)(op, t->stack[--t->depth], v);
    return v;
}
TT_INLINE real F(red_lanes)(int op, VT v) {
    real t[TT_LANES];
    V(store)(t, v);
    for (int h = TT_LANES / 2; h; h /= 2)
        for (int i = 0; i < h; i++) t[i] = F(red_two1)(op == TT_DOT ? TT_SUM : op, t[i], t[i + h]);
    return t[0];
}
/* the last, short vector is filled up with what changes nothing */
TT_INLINE VT F(red_tail)(int op, const real *x, int n) {
    real t[TT_LANES];
    for (int i = 0; i < TT_LANES; i++) t[i] = F(red_neutral)(op);
    memcpy(t, x, (size_t)n * sizeof(real));
    return V(load)(t);
}
TT_INLINE VT F(red_some)(int op, ptrdiff_t n, const real *x, const real *y) { /* at most one block */
    VT a = V(set)(F(red_neutral)(op));
    ptrdiff_t i = 0;
    for (; i + TT_LANES <= n; i += TT_LANES) a = F(red_acc)(op, a, V(load)(x + i), V(load)(y + i));
    if (i < n) a = F(red_acc)(op, a, F(red_tail)(op, x + i, (int)(n - i)), F(red_tail)(op, y + i, (int)(n - i)));
    return a;
}
#define BLOCK (TT_RED_BLOCK * TT_LANES)
/* x, y: n elements; four blocks are in flight to hide the latency of an addition */
TT_INLINE VT F(red_any)(int op, ptrdiff_t n, const real *x, const real *y) {
    if (n <= BLOCK) return F(red_some)(op, n, x, y);
    F(red_tree) t;
    t.count = 0, t.depth = 0;
    ptrdiff_t i = 0;
    for (; i + 4 * BLOCK <= n; i += 4 * BLOCK) {
        VT a0 = V(set)(F(red_neutral)(op)), a1 = a0, a2 = a0, a3 = a0;
        for (ptrdiff_t j = i; j < i + BLOCK; j += TT_LANES) {
            a0 = F(red_acc)(op, a0, V(load)(x + j), V(load)(y + j));
            a1 = F(red_acc)(op, a1, V(load)(x + j + BLOCK), V(load)(y + j + BLOCK));
            a2 = F(red_acc)(op, a2, V(load)(x + j + 2 * BLOCK), V(load)(y + j + 2 * BLOCK));
            a3 = F(red_acc)(op, a3, V(load)(x + j + 3 * BLOCK), V(load)(y + j + 3 * BLOCK));
        }
        F(red_push)(op, &t, a0);
        F(red_push)(op, &t, a1);
        F(red_push)(op, &t, a2);
        F(red_push)(op, &t, a3);
    }
    for (; i < n; i += BLOCK) F(red_push)(op, &t, F(red_some)(op, n - i < BLOCK ? n - i : BLOCK, x + i, y + i));
    return F(red_top)(op, &t);
}
/* a whole row in one go: what the parts and the join below give, too */
TT_INLINE real F(red_row)(int op, ptrdiff_t n, const real *x, const real *y) { return F(red_lanes)(op, F(red_any)(op, n, x, y)); }

TT_INLINE void F(red_join)(int op, ptrdiff_t parts, const real *lanes, real *out) {
    F(red_tree) t;
    t.count = 0, t.depth = 0;
    if (!parts) { *out = F(red_neutral)(op); return; }
    for (ptrdiff_t i = 0; i < parts; i++) F(red_push)(op, &t, V(load)(lanes + i * TT_LANES));
    *out = F(red_lanes)(op, F(red_top)(op, &t));
}

/* x: (n, m), rows `stride` apart -> out (m): the same tree for every column, 32 columns at a time */
#define COLUMNS 32
TT_INLINE void F(red_outer)(int op, ptrdiff_t n, ptrdiff_t m, const real *x, ptrdiff_t stride, real *out) {
    real stack[TT_RED_DEPTH][TT_LANES][COLUMNS];
    if (n == 1) { /* the tree adds nothing to one element */
        _Pragma("omp simd") for (ptrdiff_t j = 0; j < m; j++) out[j] = F(red_two1)(op, F(red_acc1)(op, F(red_neutral)(op), x[j]), F(red_neutral)(op));
        return;
    }
    for (ptrdiff_t c = 0; c < m; c += COLUMNS) {
        ptrdiff_t w = m - c < COLUMNS ? m - c : COLUMNS;
        int depth = 0;
        size_t count = 0;
        for (ptrdiff_t b = 0; b < n || count == 0; b += BLOCK) {
            real(*a)[COLUMNS] = stack[depth];
            for (int l = 0; l < TT_LANES; l++)
                for (int j = 0; j < COLUMNS; j++) a[l][j] = F(red_neutral)(op);
            ptrdiff_t end = b + BLOCK < n ? b + BLOCK : n;
            for (ptrdiff_t k = b; k < end; k++) {
                real *r = a[k % TT_LANES];
                const real *xr = x + k * stride + c;
                if (w == COLUMNS) {
                    _Pragma("omp simd") for (int j = 0; j < COLUMNS; j++) r[j] = F(red_acc1)(op, r[j], xr[j]);
                } else {
                    _Pragma("omp simd") for (ptrdiff_t j = 0; j < w; j++) r[j] = F(red_acc1)(op, r[j], xr[j]);
                }
            }
            for (size_t s = count++; s & 1; s >>= 1, depth--)
                for (int l = 0; l < TT_LANES; l++)
                    _Pragma("omp simd") for (int j = 0; j < COLUMNS; j++)
                        stack[depth - 1][l][j] = F(red_two1)(op, stack[depth - 1][l][j], stack[depth][l][j]);
            depth++;
        }
        for (; depth > 1; depth--)
            for (int l = 0; l < TT_LANES; l++)
                _Pragma("omp simd") for (int j = 0; j < COLUMNS; j++)
                    stack[depth - 2][l][j] = F(red_two1)(op, stack[depth - 2][l][j], stack[depth - 1][l][j]);
        for (int h = TT_LANES / 2; h; h /= 2)
            for (int l = 0; l < h; l++)
                _Pragma("omp simd") for (int j = 0; j < COLUMNS; j++)
                    stack[0][l][j] = F(red_two1)(op, stack[0][l][j], stack[0][l + h][j]);
        memcpy(out + c, stack[0][0], (size_t)w * sizeof(real));
    }
}

#define REDUCE(name, op)                                                                                                 \
    static void F(name##_part)(ptrdiff_t n, const void *x, const void *y, void *lanes) { V(store)(lanes, F(red_any)(op, n, x, y)); } \
    static void F(name##_join)(ptrdiff_t parts, const void *lanes, void *out) { F(red_join)(op, parts, lanes, out); }
#define REDUCE_OUTER(name, op)                                                                                           \
    REDUCE(name, op)                                                                                                     \
    static void F(name##_outer)(ptrdiff_t n, ptrdiff_t m, const void *x, ptrdiff_t stride, void *out) { F(red_outer)(op, n, m, x, stride, out); }
REDUCE_OUTER(sum, TT_SUM)
REDUCE_OUTER(prod, TT_PROD)
REDUCE_OUTER(max, TT_MAX)
REDUCE_OUTER(min, TT_MIN)
REDUCE_OUTER(sumsq, TT_SUMSQ)
REDUCE(dot, TT_DOT)
#undef REDUCE
#undef REDUCE_OUTER
#undef COLUMNS
