/* Products with a matrix A of few entries: row i has those from[i] ... to[i] - 1 of `column` (ascending) and `value`. Each output is
   the chain of matmul.h without the terms in which A is zero: the same bits wherever B is finite. */

#define SPARSE_NV (TT_FREE_MASKS ? 8 : 4)
#define SPARSE_EACH _Pragma("GCC unroll 8") for (int v = 0; v < nv; v++)
#define SPARSE_LOAD(p) (TT_FREE_MASKS && v + 1 == nv ? V(load_n)((p) + v * TT_LANES, tail) : V(load)((p) + v * TT_LANES))
#define SPARSE_STORE(p, a)                                                             \
    do {                                                                               \
        if (TT_FREE_MASKS && v + 1 == nv) V(store_n)((p) + v * TT_LANES, (a), tail);   \
        else V(store)((p) + v * TT_LANES, (a));                                        \
    } while (0)

/* How many elements of x (kind 0: bytes, 1: float, 2: double) are not 0 as `real`; where column is given they go there, and into
   value. */
static ptrdiff_t F(nonzeros)(int kind, ptrdiff_t n, const void *x, int32_t *column, void *value) {
    ptrdiff_t count = 0;
    real *to = value;
#define NONZEROS(T)                                                                           \
    if (!column) {                                                                            \
        _Pragma("omp simd reduction(+ : count)") for (ptrdiff_t i = 0; i < n; i++)            \
            count += (real)((const T *)x)[i] != 0;                                            \
    } else {                                                                                  \
        for (ptrdiff_t i = 0; i < n; i++) {                                                   \
            const real v = (real)((const T *)x)[i];                                           \
            if (v != 0) {                                                                     \
                column[count] = (int32_t)i;                                                   \
                to[count++] = v;                                                              \
            }                                                                                 \
        }                                                                                     \
    }
    if (kind == 0) {
        NONZEROS(uint8_t)
    } else if (kind == 1) {
        NONZEROS(float)
    } else {
        NONZEROS(double)
    }
#undef NONZEROS
    return count;
}

/* nv vectors of a row of C = A @ B + bias, the last of them `tail` lanes where masks are free */
TT_INLINE void F(sparse_row)(const int nv, int tail, const tt_sparse_args *a, ptrdiff_t i, ptrdiff_t j) {
    const real *b = (const real *)a->b + j, *value = a->value;
    real *c = (real *)a->c + i * a->n + j;
    VT acc[8];
    (void)tail;
    SPARSE_EACH acc[v] = V(zero)();
    for (int64_t p = a->from[i]; p < a->to[i]; p++) {
        const real *row = b + a->column[p] * a->n;
        const VT x = V(set)(value[p]);
        SPARSE_EACH acc[v] = V(fma)(x, SPARSE_LOAD(row), acc[v]);
    }
    SPARSE_EACH SPARSE_STORE(c, V(add)(acc[v], SPARSE_LOAD((const real *)a->bias + j)));
}

/* C (k, n) += entries p ... of row i of A, below column `end`, times nv vectors of row i of B */
TT_INLINE void F(sparse_spread)(const int nv, int tail, const tt_sparse_args *a, ptrdiff_t i, ptrdiff_t j, int64_t p, ptrdiff_t end) {
    const real *b = (const real *)a->b + i * a->n + j, *value = a->value;
    real *c = (real *)a->c + j;
    VT g[8];
    (void)tail;
    SPARSE_EACH g[v] = SPARSE_LOAD(b);
    for (; p < a->to[i] && a->column[p] < end; p++) {
        real *row = c + a->column[p] * a->n;
        const VT x = V(set)(value[p]);
        SPARSE_EACH SPARSE_STORE(row, V(fma)(x, g[v], SPARSE_LOAD(row)));
    }
}

#define SPARSE_CASES(call) \
    switch (nv) {          \
        case 1: call(1); break; case 2: call(2); break; case 3: call(3); break; case 4: call(4); break; \
        case 5: call(5); break; case 6: call(6); break; case 7: call(7); break; default: call(8); \
    }
/* vectors from column j on that one pass takes; 0: the tail goes by itself */
static int F(sparse_width)(ptrdiff_t left, int *tail) {
    const ptrdiff_t whole = left / TT_LANES, rest = left % TT_LANES;
    *tail = TT_LANES;
    if (whole >= SPARSE_NV) return SPARSE_NV;
    if (!TT_FREE_MASKS || rest == 0) return (int)whole;
    *tail = (int)rest;
    return (int)whole + 1;
}

/* C (rows, n) = A (rows, k) @ B (k, n) + bias (n), rows begin ... end */
static void F(sparse_rows)(const tt_sparse_args *a, ptrdiff_t begin, ptrdiff_t end) {
    const real *value = a->value, *bias = a->bias;
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t j = 0;
        int tail, nv;
        for (; j < a->n && (nv = F(sparse_width)(a->n - j, &tail)) > 0; j += nv * TT_LANES) {
#define CALL(nv) F(sparse_row)(nv, tail, a, i, j)
            SPARSE_CASES(CALL)
#undef CALL
        }
        if (j >= a->n) continue;
        real acc[TT_LANES] = {0};
        for (int64_t p = a->from[i]; p < a->to[i]; p++) {
            const real *row = (const real *)a->b + a->column[p] * a->n;
            for (ptrdiff_t l = j; l < a->n; l++) acc[l - j] = FMA(value[p], row[l], acc[l - j]);
        }
        for (ptrdiff_t l = j; l < a->n; l++) ((real *)a->c)[i * a->n + l] = acc[l - j] + bias[l];
    }
}

/* C (k, n) = transpose of A (rows, k) @ B (rows, n), rows begin ... end of C */
static void F(sparse_outer)(const tt_sparse_args *a, ptrdiff_t begin, ptrdiff_t end) {
    const real *value = a->value;
    memset((real *)a->c + begin * a->n, 0, (size_t)((end - begin) * a->n) * sizeof(real));
    for (ptrdiff_t i = 0; i < a->rows; i++) {
        int64_t first = a->from[i], last = a->to[i]; /* the first entry in these columns */
        while (first < last) {
            const int64_t middle = first + (last - first) / 2;
            if (a->column[middle] < begin) first = middle + 1;
            else last = middle;
        }
        ptrdiff_t j = 0;
        int tail, nv;
        for (; j < a->n && (nv = F(sparse_width)(a->n - j, &tail)) > 0; j += nv * TT_LANES) {
#define CALL(nv) F(sparse_spread)(nv, tail, a, i, j, first, end)
            SPARSE_CASES(CALL)
#undef CALL
        }
        if (j >= a->n) continue;
        const real *g = (const real *)a->b + i * a->n;
        for (int64_t p = first; p < a->to[i] && a->column[p] < end; p++) {
            real *row = (real *)a->c + a->column[p] * a->n;
            for (ptrdiff_t l = j; l < a->n; l++) row[l] = FMA(value[p], g[l], row[l]);
        }
    }
}
#undef SPARSE_NV
#undef SPARSE_EACH
#undef SPARSE_LOAD
#undef SPARSE_STORE
#undef SPARSE_CASES
