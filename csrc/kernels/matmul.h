/* C (m, n) = A (m, k) @ B (k, n): one fma chain over k ascending for each output, whatever the shape, the blocks, the strides
   and the threads; NaN and inf follow the arithmetic. C must not overlap A or B. After the chain, in this order: + bias, C's old
   value + (add), and `act` over each finished run of a row. B is packed in panels of nv vectors, A in tiles of mr rows, unless
   reading them where they are costs less; transposes are strides. Goto and van de Geijn (2008). */

#define MR CAT(TT_MR, SUFFIX)
#define NV CAT(TT_NV, SUFFIX)
#define KC CAT(TT_KC, SUFFIX)
#define NC CAT(TT_NC, SUFFIX)
#define MC 8 /* row tiles packed at a time */
#define MAXV 8

/* One register tile: c (mr, nv vectors) from a, whose row i is at a + i (rows = 0) or a + i * a_row (rows = 1), a_col apart
   along k, and b (k rows, ldb apart). load: the chain goes on from c. bias (or NULL) and relu come after it. tail: lanes of the last vector, where masks are free; else
   all vectors are whole. */
#define EACH_ROW _Pragma("GCC unroll 16") for (int i = 0; i < mr; i++) /* unrolled, or the accumulators live in memory */
#define EACH_VECTOR _Pragma("GCC unroll 8") for (int v = 0; v < nv; v++)
#define LOAD(p) (TT_FREE_MASKS && v + 1 == nv ? V(load_n)((p) + v * TT_LANES, tail) : V(load)((p) + v * TT_LANES))
TT_INLINE void F(tile)(const int mr, const int nv, const int rows, ptrdiff_t k, const real *restrict a, ptrdiff_t a_row, ptrdiff_t a_col,
                       const real *restrict b, ptrdiff_t ldb, real *restrict c, ptrdiff_t ldc, int tail, int load,
                       const real *restrict bias, int relu) {
    VT acc[MR][MAXV], bv[MAXV];
    (void)tail;
    if (load) {
        EACH_ROW EACH_VECTOR acc[i][v] = LOAD(c + i * ldc);
    } else {
        EACH_ROW EACH_VECTOR acc[i][v] = V(zero)();
    }
    ptrdiff_t p = 0;
    if (rows) { /* three rows to a pointer: as many as an address can tell apart by a stride */
        const real *row[MR / 3 + 1];
        _Pragma("GCC unroll 8") for (int q = 0; 3 * q < mr; q++) row[q] = a + 3 * q * a_row;
        for (; p + 4 <= k; p += 4, b += 4 * ldb) {
            _Pragma("GCC unroll 4") for (int u = 0; u < 4; u++) {
                EACH_VECTOR bv[v] = LOAD(b + u * ldb);
                EACH_ROW {
                    VT av = V(set)(row[i / 3][i % 3 * a_row + u]);
                    EACH_VECTOR acc[i][v] = V(fma)(av, bv[v], acc[i][v]);
                }
            }
            _Pragma("GCC unroll 8") for (int q = 0; 3 * q < mr; q++) row[q] += 4;
        }
        a += p;
    }
    for (; p < k; p++, a += a_col, b += ldb) {
        EACH_VECTOR bv[v] = LOAD(b);
        EACH_VECTOR __builtin_prefetch(b + 8 * ldb + v * TT_LANES);
        EACH_ROW {
            VT av = V(set)(a[rows ? i * a_row : i]);
            EACH_VECTOR acc[i][v] = V(fma)(av, bv[v], acc[i][v]);
        }
    }
    if (bias) {
        EACH_VECTOR bv[v] = LOAD(bias);
        EACH_ROW EACH_VECTOR acc[i][v] = V(add)(acc[i][v], bv[v]);
    }
    if (relu) {
        EACH_ROW EACH_VECTOR acc[i][v] = V(relu)(acc[i][v]);
    }
    EACH_ROW EACH_VECTOR {
        if (TT_FREE_MASKS && v + 1 == nv) V(store_n)(c + i * ldc + v * TT_LANES, acc[i][v], tail);
        else V(store)(c + i * ldc + v * TT_LANES, acc[i][v]);
    }
}
#undef LOAD
#undef EACH_ROW
#undef EACH_VECTOR

typedef void (*F(tile_fn))(ptrdiff_t k, const real *a, ptrdiff_t a_row, ptrdiff_t a_col, const real *b, ptrdiff_t ldb, real *c, ptrdiff_t ldc, int tail, int load, const real *bias, int relu);
#define TILE_(mr, nv, rows)                                                                                              \
    static void F(tile_##mr##_##nv##_##rows)(ptrdiff_t k, const real *a, ptrdiff_t a_row, ptrdiff_t a_col, const real *b, ptrdiff_t ldb, real *c, ptrdiff_t ldc, int tail, int load, const real *bias, int relu) { \
        F(tile)(mr, nv, rows, k, a, a_row, a_col, b, ldb, c, ldc, tail, load, bias, relu);                               \
    }
#define TILE(mr, nv) TILE_(mr, nv, 0) TILE_(mr, nv, 1)
#define PAIR(mr, nv) {F(tile_##mr##_##nv##_0), F(tile_##mr##_##nv##_1)}
#define T1(mr) TILE(mr, 1)
#define T2(mr) T1(mr) TILE(mr, 2)
#define T4(mr) T2(mr) TILE(mr, 3) TILE(mr, 4)
#define T8(mr) T4(mr) TILE(mr, 5) TILE(mr, 6) TILE(mr, 7) TILE(mr, 8)
#define N1(mr) {PAIR(mr, 1)},
#define N2(mr) {PAIR(mr, 1), PAIR(mr, 2)},
#define N4(mr) {PAIR(mr, 1), PAIR(mr, 2), PAIR(mr, 3), PAIR(mr, 4)},
#define N8(mr) {PAIR(mr, 1), PAIR(mr, 2), PAIR(mr, 3), PAIR(mr, 4), PAIR(mr, 5), PAIR(mr, 6), PAIR(mr, 7), PAIR(mr, 8)},
TT_TILES(T1, T2, T4, T8)
static const F(tile_fn) F(tiles)[MR][MAXV][2] = {TT_TILES(N1, N2, N4, N8)};
#undef TILE
#undef TILE_
#undef PAIR
#undef T1
#undef T2
#undef T4
#undef T8
#undef N1
#undef N2
#undef N4
#undef N8

/* one run of w elements, filled up with zeros to width */
TT_INLINE void F(pack_run)(ptrdiff_t w, ptrdiff_t width, const real *restrict a, real *restrict p) {
    ptrdiff_t j = 0;
    for (; j + TT_LANES <= w; j += TT_LANES) V(store)(p + j, V(load)(a + j));
    if (j < width) V(store_n)(p + j, V(load_n)(a + j, (int)(w - j)), (int)(width - j < TT_LANES ? width - j : TT_LANES));
    for (j += TT_LANES; j < width; j += TT_LANES) V(store)(p + j, V(zero)());
}
/* a (n, k) with any strides -> panels p (k, each), one after the other; of the last, whose n is less, the rest is zero (pad), or it
   is narrower. Panels whose elements touch are filled GROUP at a time, along the rows of memory. */
#define GROUP 8
static void F(pack)(ptrdiff_t k, ptrdiff_t n, ptrdiff_t each, int pad, const real *restrict a, ptrdiff_t a_n, ptrdiff_t a_k, real *restrict p) {
    if (a_n == 1) {
        for (ptrdiff_t g = 0; g < n; g += GROUP * each) {
            const ptrdiff_t end = g + GROUP * each < n ? g + GROUP * each : n, whole = g + (end - g) / each * each, rest = end - whole, last = pad ? each : rest;
            for (ptrdiff_t i = 0; i < k; i++) {
                for (ptrdiff_t j = g; j < whole; j += each) F(pack_run)(each, each, a + i * a_k + j, p + j * k + i * each);
                if (rest) F(pack_run)(rest, last, a + i * a_k + whole, p + whole * k + i * last);
            }
        }
        return;
    }
    for (ptrdiff_t g = 0; g < n; g += each, p += each * k) {
        const ptrdiff_t w = n - g < each ? n - g : each, width = pad ? each : w;
        ptrdiff_t j = 0;
        if (a_k == 1) /* small squares turned in registers */
            for (; j + CAT(TT_TURN, SUFFIX) <= w; j += CAT(TT_TURN, SUFFIX)) {
                const real *s = a + (g + j) * a_n;
                real *d = p + j;
                ptrdiff_t i = 0;
                for (; i + CAT(TT_TURN, SUFFIX) <= k; i += CAT(TT_TURN, SUFFIX)) V(turn)(s + i, a_n, d + i * width, width);
                for (; i < k; i++)
                    for (int u = 0; u < CAT(TT_TURN, SUFFIX); u++) d[i * width + u] = s[u * a_n + i];
            }
        for (; j < w; j++)
            for (ptrdiff_t i = 0; i < k; i++) p[i * width + j] = a[i * a_k + (g + j) * a_n];
        for (; j < width; j++)
            for (ptrdiff_t i = 0; i < k; i++) p[i * width + j] = 0;
    }
}
#undef GROUP

/* c += t: a product added to what was there, rounded as if it had been stored first */
static void F(add_tile)(ptrdiff_t m, ptrdiff_t n, const real *restrict t, ptrdiff_t ldt, real *restrict c, ptrdiff_t ldc) {
    for (ptrdiff_t i = 0; i < m; i++)
        for (ptrdiff_t j = 0; j < n; j++) c[i * ldc + j] += t[i * ldt + j];
}

static void F(copy)(ptrdiff_t m, ptrdiff_t n, const real *restrict from, ptrdiff_t ld_from, real *restrict to, ptrdiff_t ld_to) {
    for (ptrdiff_t i = 0; i < m; i++)
        for (ptrdiff_t j = 0; j < n; j++) to[i * ld_to + j] = from[i * ld_from + j];
}

typedef struct {
    ptrdiff_t row_tiles, panels, kc; /* kc: of a block */
    int mr, nv;
    int by_rows, a_rows, a_direct, b_direct;
} F(gemm_plan);

TT_INLINE ptrdiff_t F(parts)(ptrdiff_t n, ptrdiff_t of) { return (n + of - 1) / of; }

/* Tiles of nearly equal height and panels of nearly equal width; threads take rows or columns, whichever costs less. */
static F(gemm_plan) F(plan)(const tt_gemm_args *g, int threads) {
    static const unsigned char widest[] = {TT_WIDEST};
    F(gemm_plan) p = {.kc = g->add || g->k < KC ? g->k : (F(parts)(g->k, F(parts)(g->k, KC)) + 7) / 8 * 8};
    const ptrdiff_t vectors = F(parts)(g->n, TT_LANES), elements = g->k * g->n;
    /* vector operations of the busiest thread; packing costs about 1/4 of one for an element of A, 1/8 for one of B */
    ptrdiff_t rows = F(parts)(g->m, threads), columns = F(parts)(vectors, threads);
    const double turn = g->b_col == 1 ? 2 : 8;
    const double by_rows = (double)rows * ((double)vectors + 0.25) + turn * (double)vectors, by_cols = (double)g->m * ((double)columns + 0.25) + turn * (double)columns;
    p.by_rows = by_rows < by_cols;
    if (p.by_rows) columns = vectors;
    else rows = g->m;
    p.mr = (int)F(parts)(rows, F(parts)(rows, MR));
    const int most = p.mr <= (int)sizeof widest ? widest[p.mr - 1] : NV;
    p.nv = (int)F(parts)(columns, F(parts)(columns, most));
    p.row_tiles = F(parts)(g->m, p.mr);
    p.panels = F(parts)(vectors, p.nv);
    const ptrdiff_t tiles = F(parts)(p.row_tiles, p.by_rows ? threads : 1), panels = F(parts)(p.panels, p.by_rows ? 1 : threads);
    /* reading in place: B where it is small or used once or twice, A where few panels use it, unless its rows share cache sets */
    p.b_direct = g->b_col == 1 && (tiles <= 2 || (elements <= 8192 && g->b_row * (ptrdiff_t)sizeof(real) % 1024 != 0) || elements <= 4096);
    const ptrdiff_t step = (g->a_row == 1 ? g->a_col : g->a_row) * (ptrdiff_t)sizeof(real);
    p.a_rows = g->a_row != 1 && p.mr > 1;
    p.a_direct = p.mr == 1 || (g->a_row == 1 && (panels <= 2 || (panels <= 8 && p.kc <= 128)) && step % 1024 != 0) || (g->a_col == 1 && panels <= 2 && step % 1024 != 0);
    if (!p.a_direct) p.a_rows = 0;
    return p;
}
TT_INLINE ptrdiff_t F(aligned)(ptrdiff_t n) { return (n + 63) / 64 * 64; }
/* elements of scratch: a block of packed A and one of packed B for each thread; sharing B costs more than packing it again */
TT_INLINE ptrdiff_t F(a_block)(const F(gemm_plan) *p, int threads) {
    ptrdiff_t tiles = F(parts)(p->row_tiles, p->by_rows ? threads : 1);
    return p->a_direct ? 0 : F(aligned)((tiles < MC ? tiles : MC) * p->mr * p->kc);
}
TT_INLINE ptrdiff_t F(panels_each)(const F(gemm_plan) *p, int threads) {
    ptrdiff_t panels = p->by_rows ? p->panels : F(parts)(p->panels, threads), most = NC / (p->nv * TT_LANES);
    return panels < most ? panels : most;
}
TT_INLINE ptrdiff_t F(b_block)(const F(gemm_plan) *p, int threads) {
    return F(aligned)((p->b_direct ? !TT_FREE_MASKS : F(panels_each)(p, threads)) * p->nv * TT_LANES * p->kc);
}
/* enough for fewer threads, too, if the system gives no more */
static size_t F(gemm_scratch)(const tt_gemm_args *g, int threads) {
    ptrdiff_t most = 0;
    for (int t = 1; t <= threads; t++) {
        const F(gemm_plan) p = F(plan)(g, t);
        const ptrdiff_t n = t * (F(a_block)(&p, t) + F(b_block)(&p, t));
        if (n > most) most = n;
    }
    return (size_t)most * sizeof(real);
}

/* rows i0 ... and columns `from` ... of complete sums, where the tile could not do it */
static void F(finish)(const tt_gemm_args *g, ptrdiff_t i0, ptrdiff_t rows, ptrdiff_t from, ptrdiff_t n) {
    const real *bias = g->bias ? (const real *)g->bias + from : NULL;
    for (ptrdiff_t i = i0; i < i0 + rows; i++) {
        real *c = (real *)g->c + i * g->c_row + from;
        for (ptrdiff_t j = 0; j < n; j++) {
            const real v = bias ? c[j] + bias[j] : c[j];
            c[j] = g->relu ? F(relu_f)(v) : v;
        }
    }
}
/* the same rows through an activation */
static void F(activate)(const tt_gemm_args *g, ptrdiff_t i0, ptrdiff_t rows, ptrdiff_t from, ptrdiff_t n) {
    const real *z = (const real *)g->c + i0 * g->c_row + from;
    real *y = (real *)g->y + i0 * g->c_row + from;
    const ptrdiff_t runs = n == g->c_row ? 1 : rows, each = n == g->c_row ? rows * n : n; /* one long run where rows touch */
    for (ptrdiff_t i = 0; i < runs; i++) g->act(each, z + i * g->c_row, z + i * g->c_row, z + i * g->c_row, y + i * g->c_row, g->act_p);
}

/* whether a panel of w columns is read where it is: also its last vector must be whole, or masked for nothing */
TT_INLINE int F(in_place)(const F(gemm_plan) *p, ptrdiff_t w) { return p->b_direct && (TT_FREE_MASKS || w % TT_LANES == 0); }

/* k = 1: every row of C is b times a number, and as many rows as there are threads for */
static void F(outer_part)(const tt_gemm_args *g, int thread, int threads) {
    const real *a = g->a, *b = g->b;
    const ptrdiff_t i0 = g->m * thread / threads, i1 = g->m * (thread + 1) / threads, whole = g->n / TT_LANES * TT_LANES;
    const int tail = (int)(g->n - whole);
    for (ptrdiff_t i = i0; i < i1; i++) {
        const VT v = V(set)(a[i * g->a_row]);
        real *c = (real *)g->c + i * g->c_row;
        for (ptrdiff_t j = 0; j < whole; j += TT_LANES) V(store)(c + j, V(fma)(v, V(load)(b + j), V(zero)()));
        if (tail) V(store_n)(c + whole, V(fma)(v, V(load_n)(b + whole, tail), V(zero)()), tail);
    }
    if (g->bias || g->relu) F(finish)(g, i0, i1 - i0, 0, g->n);
    if (g->act) F(activate)(g, i0, i1 - i0, 0, g->n);
}

/* what member `thread` of `threads` does */
static void F(gemm_part)(const tt_gemm_args *g, void *scratch, int thread, int threads) {
    if (g->k == 1 && g->b_col == 1 && !g->add) {
        F(outer_part)(g, thread, threads);
        return;
    }
    const F(gemm_plan) p = F(plan)(g, threads);
    const real *A = g->a, *B = g->b, *bias = g->bias;
    real *C = g->c;
    const ptrdiff_t width = p.nv * TT_LANES, each = F(panels_each)(&p, threads);
    real *const pa = (real *)scratch + thread * (F(a_block)(&p, threads) + F(b_block)(&p, threads)), *const pb = pa + F(a_block)(&p, threads);
    const ptrdiff_t t0 = p.by_rows ? p.row_tiles * thread / threads : 0, t1 = p.by_rows ? p.row_tiles * (thread + 1) / threads : p.row_tiles;
    const ptrdiff_t c0 = p.by_rows ? 0 : p.panels * thread / threads, c1 = p.by_rows ? p.panels : p.panels * (thread + 1) / threads;
    real sum[MR * MAXV * TT_LANES];
    for (ptrdiff_t j0 = c0; j0 < c1; j0 += each) {
        const ptrdiff_t j1 = j0 + each < c1 ? j0 + each : c1;
        for (ptrdiff_t k0 = 0; k0 < g->k; k0 += p.kc) {
            const ptrdiff_t kk = g->k - k0 < p.kc ? g->k - k0 : p.kc;
            const int load = k0 > 0, last = k0 + kk == g->k;
            const ptrdiff_t packed = p.b_direct ? (F(in_place)(&p, g->n) ? j1 : j1 - 1) : j0; /* the first panel that is packed */
            if (packed < j1 && (!p.b_direct || j1 == p.panels))
                F(pack)(kk, (j1 * width < g->n ? j1 * width : g->n) - packed * width, width, 1, B + k0 * g->b_row + packed * width * g->b_col, g->b_col, g->b_row, pb);
            for (ptrdiff_t s = t0; s < t1; s += MC) {
                const ptrdiff_t e = s + MC < t1 ? s + MC : t1;
                if (!p.a_direct)
                    F(pack)(kk, (e * p.mr < g->m ? e * p.mr : g->m) - s * p.mr, p.mr, 0, A + s * p.mr * g->a_row + k0 * g->a_col, g->a_row, g->a_col, pa);
                for (ptrdiff_t j = j0; j < j1; j++) {
                    const ptrdiff_t w = g->n - j * width < width ? g->n - j * width : width;
                    const int nv = (int)F(parts)(w, TT_LANES), tail = (int)(w - (nv - 1) * TT_LANES);
                    const int in_place = F(in_place)(&p, w), aside = g->add || (!TT_FREE_MASKS && tail < TT_LANES);
                    const real *b = in_place ? B + k0 * g->b_row + j * width : pb + (j - packed) * kk * width;
                    for (ptrdiff_t t = s; t < e; t++) {
                        const ptrdiff_t i0 = t * p.mr, mr = g->m - i0 < p.mr ? g->m - i0 : p.mr;
                        const ptrdiff_t next = t + 1 < e ? i0 + mr : s * p.mr, column = (t + 1 < e || j + 1 == j1 ? j : j + 1) * width;
                        for (ptrdiff_t i = next; i < next + p.mr && i < g->m; i++)
                            for (ptrdiff_t q = 0; q < width; q += TT_LANES) __builtin_prefetch(C + i * g->c_row + column + q, 1);
                        const real *a = p.a_direct ? A + i0 * g->a_row + k0 * g->a_col : pa + (t - s) * p.mr * kk;
                        real *const c = C + i0 * g->c_row + j * width;
                        if (aside && load) F(copy)(mr, w, c, g->c_row, sum, width);
                        F(tiles)[mr - 1][nv - 1][p.a_rows](kk, a, g->a_row, p.a_direct ? g->a_col : mr, b, in_place ? g->b_row : width, aside ? sum : c, aside ? width : g->c_row, tail, load,
                                                           last && bias && !aside ? bias + j * width : NULL, last && g->relu && !aside);
                        if (g->add) F(add_tile)(mr, w, sum, width, c, g->c_row);
                        else if (aside) F(copy)(mr, w, sum, width, c, g->c_row);
                        if (aside && last) F(finish)(g, i0, mr, j * width, w);
                    }
                }
                if (last && g->act) {
                    const ptrdiff_t from = j0 * width, n = (j1 * width < g->n ? j1 * width : g->n) - from, i0 = s * p.mr;
                    F(activate)(g, i0, (e * p.mr < g->m ? e * p.mr : g->m) - i0, from, n);
                }
            }
        }
    }
}
#undef MR
#undef NV
#undef KC
#undef NC
#undef MC
#undef MAXV
