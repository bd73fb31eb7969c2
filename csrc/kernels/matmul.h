/* C (m, n) = A (m, k) @ B (k, n): one fma chain over k ascending for each output, whatever the shape, the blocks, the strides
   and the threads; NaN and inf follow the arithmetic. C must not overlap A or B. B is packed in panels of NR columns, A in
   panels of MR rows, so every transpose is only strides. Goto and van de Geijn (2008), with A's panel in L1. */

#define MR CAT(TT_MR, SUFFIX)
#define NV CAT(TT_NV, SUFFIX)
#define NR (NV * TT_LANES)
#define KC CAT(TT_KC, SUFFIX)
#define NC CAT(TT_NC, SUFFIX)

/* One register tile: c (mr, <= nv lanes) from packed a (k, mr) and b (k rows, ldb apart). tail: lanes of the last vector;
   masked: b is the caller's own memory, whose last vector must not be read beyond tail. */
TT_INLINE void F(tile)(const int mr, const int nv, const int masked, ptrdiff_t k, const real *restrict a, const real *restrict b, ptrdiff_t ldb,
                       real *restrict c, ptrdiff_t ldc, int tail, int load, const real *restrict bias) {
    VT acc[MR][NV];
    for (int i = 0; i < mr; i++)
        for (int v = 0; v < nv; v++)
            acc[i][v] = !load ? V(zero)() : v + 1 < nv || tail == TT_LANES ? V(load)(c + i * ldc + v * TT_LANES) : V(load_n)(c + i * ldc + v * TT_LANES, tail);
    for (ptrdiff_t p = 0; p < k; p++, a += mr, b += ldb) {
        VT bv[NV];
        for (int v = 0; v < nv; v++) bv[v] = masked && v + 1 == nv ? V(load_n)(b + v * TT_LANES, tail) : V(load)(b + v * TT_LANES);
        _Pragma("GCC unroll 16") for (int i = 0; i < mr; i++) {
            VT av = V(set)(a[i]);
            for (int v = 0; v < nv; v++) acc[i][v] = V(fma)(av, bv[v], acc[i][v]);
        }
    }
    for (int i = 0; i < mr; i++)
        for (int v = 0; v < nv; v++) {
            real *o = c + i * ldc + v * TT_LANES;
            int last = v + 1 == nv && tail < TT_LANES;
            VT r = acc[i][v];
            if (bias) r = V(add)(r, last ? V(load_n)(bias + v * TT_LANES, tail) : V(load)(bias + v * TT_LANES));
            if (last) V(store_n)(o, r, tail);
            else V(store)(o, r);
        }
}

typedef void (*F(tile_fn))(ptrdiff_t k, const real *a, const real *b, ptrdiff_t ldb, real *c, ptrdiff_t ldc, int tail, int load, const real *bias);
#define TILE(mr, nv, masked)                                                                                             \
    static void F(tile_##mr##_##nv##_##masked)(ptrdiff_t k, const real *a, const real *b, ptrdiff_t ldb, real *c, ptrdiff_t ldc, int tail, int load, const real *bias) { \
        F(tile)(mr, nv, masked, k, a, b, ldb, c, ldc, tail, load, bias);                                                 \
    }
#define TILE_NAMES(mr, nv) {F(tile_##mr##_##nv##_0), F(tile_##mr##_##nv##_1)}
#if TT_NV_f32 == 2
#define TILES(mr) TILE(mr, 1, 0) TILE(mr, 1, 1) TILE(mr, 2, 0) TILE(mr, 2, 1)
#define TILE_ROW(mr) {TILE_NAMES(mr, 1), TILE_NAMES(mr, 2)}
#else
#define TILES(mr) TILE(mr, 1, 0) TILE(mr, 1, 1)
#define TILE_ROW(mr) {TILE_NAMES(mr, 1)}
#endif
TILES(1) TILES(2)
#if TT_MR_f32 > 2
TILES(3) TILES(4)
#endif
#if TT_MR_f32 > 4
TILES(5) TILES(6)
#endif
#if TT_MR_f32 > 6
TILES(7) TILES(8) TILES(9) TILES(10) TILES(11) TILES(12) TILES(13) TILES(14)
#endif
static const F(tile_fn) F(tiles)[MR][NV][2] = {
    TILE_ROW(1), TILE_ROW(2),
#if TT_MR_f32 > 2
    TILE_ROW(3), TILE_ROW(4),
#endif
#if TT_MR_f32 > 4
    TILE_ROW(5), TILE_ROW(6),
#endif
#if TT_MR_f32 > 6
    TILE_ROW(7), TILE_ROW(8), TILE_ROW(9), TILE_ROW(10), TILE_ROW(11), TILE_ROW(12), TILE_ROW(13), TILE_ROW(14),
#endif
};
#undef TILE
#undef TILES
#undef TILE_ROW
#undef TILE_NAMES

/* a (w, k) with any strides -> p (k, width), columns beyond w are zero */
static void F(pack)(ptrdiff_t k, ptrdiff_t w, ptrdiff_t width, const real *a, ptrdiff_t a_w, ptrdiff_t a_k, real *p) {
    if (a_w == 1 && w == width) {
        for (ptrdiff_t i = 0; i < k; i++) memcpy(p + i * width, a + i * a_k, (size_t)width * sizeof(real));
        return;
    }
    ptrdiff_t i = 0;
    for (; i + 8 <= k; i += 8) /* eight at a time: contiguous reads along k stay in cache for the strided writes */
        for (ptrdiff_t j = 0; j < w; j++) {
            const real *s = a + i * a_k + j * a_w;
            real *d = p + i * width + j;
            for (int u = 0; u < 8; u++) d[u * width] = s[u * a_k];
        }
    for (; i < k; i++)
        for (ptrdiff_t j = 0; j < w; j++) p[i * width + j] = a[i * a_k + j * a_w];
    if (w < width)
        for (i = 0; i < k; i++)
            for (ptrdiff_t j = w; j < width; j++) p[i * width + j] = 0;
}

typedef struct {
    ptrdiff_t row_tiles, mr, panels;
    int by_rows;
} F(gemm_plan);

/* rows are divided into tiles of nearly equal height; threads take rows or columns, whichever leaves less idle */
static F(gemm_plan) F(plan)(const tt_gemm_args *g, int threads) {
    F(gemm_plan) p;
    p.row_tiles = (g->m + MR - 1) / MR;
    p.mr = (g->m + p.row_tiles - 1) / p.row_tiles;
    p.row_tiles = (g->m + p.mr - 1) / p.mr;
    p.panels = (g->n + NR - 1) / NR;
    ptrdiff_t rows = (p.row_tiles + threads - 1) / threads * threads, cols = (p.panels + threads - 1) / threads * threads;
    p.by_rows = (double)p.row_tiles / (double)rows > (double)p.panels / (double)cols || (p.row_tiles >= 8 * threads && rows * p.panels <= cols * p.row_tiles);
    return p;
}

/* panels of B that one thread packs at a time */
TT_INLINE ptrdiff_t F(panels_each)(const tt_gemm_args *g, int threads) {
    ptrdiff_t each = ((g->n + NR - 1) / NR + threads - 1) / threads;
    return each < NC / NR ? each : NC / NR;
}
/* scratch: a panel of A and a block of B for each thread; enough for fewer threads, too, if the system gives no more */
static size_t F(gemm_scratch)(const tt_gemm_args *g, int threads) {
    ptrdiff_t kc = g->k < KC ? g->k : KC, panels = (g->n + NR - 1) / NR, most = (ptrdiff_t)threads * (NC / NR);
    return (size_t)(kc * (MR * threads + NR * ((panels < most ? panels : most) + threads))) * sizeof(real) + (size_t)(threads + 2) * 128;
}

/* what member `thread` of `threads` does; every member walks the same blocks, so they meet at the same barriers */
static void F(gemm_part)(const tt_gemm_args *g, void *scratch, int thread, int threads) {
    const F(gemm_plan) p = F(plan)(g, threads);
    const real *A = g->a, *B = g->b, *bias = g->bias;
    real *C = g->c;
    const ptrdiff_t kc = g->k < KC ? g->k : KC;
    real *pa = (real *)scratch + thread * ((kc * MR + 15) / 16 * 16), *pb = (real *)scratch + threads * ((kc * MR + 15) / 16 * 16);
    const int direct = p.row_tiles == 1 && g->b_col == 1; /* nothing of B is used twice: read it where it is */
    const int share = p.by_rows && threads > 1 && !direct;
    const ptrdiff_t each = F(panels_each)(g, threads), npanels = each * threads;
    for (ptrdiff_t j0 = 0; j0 < p.panels; j0 += npanels) {
        const ptrdiff_t j1 = j0 + npanels < p.panels ? j0 + npanels : p.panels, nj = j1 - j0;
        /* panels that this thread packs; those it multiplies are the same, or all of them when rows are divided */
        const ptrdiff_t mine0 = j0 + nj * thread / threads, mine1 = j0 + nj * (thread + 1) / threads;
        /* rows divided: one block in the order of its panels, and barriers around it; else each thread has its own place,
           as the others may be a block ahead or behind */
        real *const block = share ? pb : pb + thread * each * kc * NR;
        const ptrdiff_t first = share ? j0 : mine0;
        const ptrdiff_t c0 = p.by_rows ? j0 : mine0, c1 = p.by_rows ? j1 : mine1;
        const ptrdiff_t t0 = p.by_rows ? p.row_tiles * thread / threads : 0, t1 = p.by_rows ? p.row_tiles * (thread + 1) / threads : p.row_tiles;
        for (ptrdiff_t k0 = 0; k0 < g->k; k0 += KC) {
            const ptrdiff_t kk = g->k - k0 < KC ? g->k - k0 : KC;
            const int load = k0 > 0 || g->accumulate, last = k0 + kk == g->k;
            if (!direct)
                for (ptrdiff_t j = mine0; j < mine1; j++) {
                    ptrdiff_t w = g->n - j * NR < NR ? g->n - j * NR : NR;
                    F(pack)(kk, w, NR, B + k0 * g->b_row + j * NR * g->b_col, g->b_col, g->b_row, block + (j - first) * kc * NR);
                }
            if (share) tt_barrier();
            for (ptrdiff_t t = t0; t < t1; t++) {
                const ptrdiff_t i0 = t * p.mr, mr = g->m - i0 < p.mr ? g->m - i0 : p.mr;
                if (c0 < c1) F(pack)(kk, mr, mr, A + i0 * g->a_row + k0 * g->a_col, g->a_row, g->a_col, pa);
                for (ptrdiff_t j = c0; j < c1; j++) {
                    const ptrdiff_t w = g->n - j * NR < NR ? g->n - j * NR : NR;
                    const int nv = (int)((w + TT_LANES - 1) / TT_LANES), tail = (int)(w - (nv - 1) * TT_LANES);
                    const int masked = direct && tail < TT_LANES;
                    F(tiles)[mr - 1][nv - 1][masked](kk, pa, direct ? B + k0 * g->b_row + j * NR : block + (j - first) * kc * NR, direct ? g->b_row : NR,
                                                     C + i0 * g->c_row + j * NR, g->c_row, tail, load, last && bias ? bias + j * NR : NULL);
                }
            }
            if (share) tt_barrier();
        }
    }
}
#undef MR
#undef NV
#undef NR
#undef KC
#undef NC
