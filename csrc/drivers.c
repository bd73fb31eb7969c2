/* Drivers: strides, broadcasting and threads around the kernels, the same for every instruction set. Kernels see rows of unit
   stride only: a broadcast or strided operand is gathered into a small buffer, block by block. */
#include "tt.h"
#include <string.h>

const tt_map_info tt_map_infos[TT_MAPS] = {
#define UNARY_V(name, cost) [TT_##name] = {#name, 1, cost},
#define UNARY(name, cost) UNARY_V(name, cost) [TT_##name##_grad] = {#name "_grad", 3, cost},
#define UNARY_P(name, cost) UNARY(name, cost)
#define BINARY(name, cost) [TT_##name] = {#name, 2, cost},
#define TERNARY(name, cost) [TT_##name] = {#name, 3, cost},
#define SELECT(name, cost) [TT_##name] = {#name, 3, cost},
#include "ops.def"
};

#define BY_MEMORY 0.05 /* half the nanoseconds an element takes, as another core must fetch it from this one's cache first */
#define BLOCK 1024
#define OPERANDS 4 /* up to three inputs and, last, the output */

typedef struct {
    tt_map_fn fn;
    const double *p;
    int ndim, operands;
    ptrdiff_t shape[TT_MAX_DIMS], stride[OPERANDS][TT_MAX_DIMS], total, grain;
    char *data[OPERANDS];
    int size[OPERANDS], flat[OPERANDS]; /* flat: one run of unit stride over all elements */
} map_job;

/* copy `n` elements from linear position `at` of a strided operand into buf, or (back) from buf into it */
static void block_copy(const map_job *j, int o, ptrdiff_t at, ptrdiff_t n, char *buf, int back) {
    const int last = j->ndim - 1, size = j->size[o];
    ptrdiff_t index[TT_MAX_DIMS], rest = at;
    char *row = j->data[o];
    for (int d = last; d >= 0; d--) {
        index[d] = rest % j->shape[d];
        rest /= j->shape[d];
        row += index[d] * j->stride[o][d];
    }
    const ptrdiff_t step = j->stride[o][last];
    while (n > 0) {
        ptrdiff_t run = j->shape[last] - index[last] < n ? j->shape[last] - index[last] : n;
        if (back) {
            for (ptrdiff_t i = 0; i < run; i++) memcpy(row + i * step, buf + i * size, (size_t)size);
        } else if (step == size) {
            memcpy(buf, row, (size_t)(run * size));
        } else if (step == 0 && size == 4) { /* one value, repeated along the row */
            uint32_t *b = (uint32_t *)(void *)buf, v;
            memcpy(&v, row, 4);
            for (ptrdiff_t i = 0; i < run; i++) b[i] = v;
        } else if (step == 0 && size == 8) {
            uint64_t *b = (uint64_t *)(void *)buf, v;
            memcpy(&v, row, 8);
            for (ptrdiff_t i = 0; i < run; i++) b[i] = v;
        } else if (size == 4) {
            uint32_t *b = (uint32_t *)(void *)buf;
            for (ptrdiff_t i = 0; i < run; i++) memcpy(b + i, row + i * step, 4);
        } else if (size == 8) {
            uint64_t *b = (uint64_t *)(void *)buf;
            for (ptrdiff_t i = 0; i < run; i++) memcpy(b + i, row + i * step, 8);
        } else {
            for (ptrdiff_t i = 0; i < run; i++) buf[i] = row[i * step];
        }
        buf += run * size;
        n -= run;
        if (n <= 0) return;
        row += run * step; /* one past the end of this row; carry into the outer dimensions */
        index[last] += run;
        for (int d = last; d > 0 && index[d] == j->shape[d]; d--) {
            row += j->stride[o][d - 1] - j->shape[d] * j->stride[o][d];
            index[d] = 0;
            index[d - 1]++;
        }
    }
}

static void map_range(void *ctx, ptrdiff_t begin, ptrdiff_t end) {
    const map_job *j = ctx;
    _Alignas(64) char buf[OPERANDS][BLOCK * 8];
    const int out = j->operands - 1;
    int whole = 1, scalar[OPERANDS];
    for (int o = 0; o < j->operands; o++) {
        scalar[o] = 0;
        if (j->flat[o]) continue;
        whole = 0;
        if (o == out) continue;
        scalar[o] = 1;
        for (int d = 0; d < j->ndim; d++) scalar[o] &= j->stride[o][d] == 0;
        if (scalar[o]) block_copy(j, o, 0, j->total < BLOCK ? j->total : BLOCK, buf[o], 0); /* one value for all: laid out once */
    }
    ptrdiff_t stop = end * j->grain < j->total ? end * j->grain : j->total;
    for (ptrdiff_t at = begin * j->grain, n; at < stop; at += n) {
        n = whole || stop - at < BLOCK ? stop - at : BLOCK;
        char *p[OPERANDS];
        for (int o = 0; o < j->operands; o++) {
            p[o] = j->flat[o] ? j->data[o] + at * j->size[o] : buf[o];
            if (!j->flat[o] && o != out && !scalar[o]) block_copy(j, o, at, n, buf[o], 0);
        }
        j->fn(n, p[0], p[out > 1 ? 1 : 0], p[out > 2 ? 2 : 0], p[out], j->p);
        if (!j->flat[out]) block_copy(j, out, at, n, buf[out], 1);
    }
}

void tt_map(const tt_kernels *k, int op, int dtype, int ndim, const ptrdiff_t *shape, int inputs, const tt_operand *in,
            const tt_operand *out, const double *p) {
    map_job j = {.fn = k->map[op][dtype], .p = p, .operands = inputs + 1, .total = 1};
    int order[TT_MAX_DIMS], n = 0;
    for (int d = 0; d < ndim; d++) {
        if (shape[d] == 0) return;
        j.total *= shape[d];
        if (shape[d] > 1) order[n++] = d;
    }
    for (int a = 1; a < n; a++) /* walk memory in the order of the output: stable insertion by its stride, largest first */
        for (int b = a; b > 0 && out->stride[order[b - 1]] < out->stride[order[b]]; b--) {
            int t = order[b];
            order[b] = order[b - 1], order[b - 1] = t;
        }
    for (int o = 0; o <= inputs; o++) {
        const tt_operand *q = o == inputs ? out : in + o;
        j.data[o] = (char *)(uintptr_t)q->data;
        j.size[o] = q->size;
    }
    for (int i = 0; i < n; i++) { /* adjacent dimensions that every operand walks in one stride become one */
        int d = order[i], joins = j.ndim > 0;
        for (int o = 0; o <= inputs && joins; o++) {
            const tt_operand *q = o == inputs ? out : in + o;
            joins = j.stride[o][j.ndim - 1] == q->stride[d] * shape[d];
        }
        if (!joins) j.shape[j.ndim++] = 1;
        j.shape[j.ndim - 1] *= shape[d];
        for (int o = 0; o <= inputs; o++) j.stride[o][j.ndim - 1] = (o == inputs ? out : in + o)->stride[d];
    }
    if (j.ndim == 0) {
        j.ndim = 1;
        j.shape[0] = 1;
        for (int o = 0; o <= inputs; o++) j.stride[o][0] = j.size[o];
    }
    for (int o = 0; o <= inputs; o++) { /* beside a broadcast operand, others may still lie in one run */
        ptrdiff_t run = j.size[o];
        j.flat[o] = 1;
        for (int d = j.ndim - 1; d >= 0; run *= j.shape[d--]) j.flat[o] &= j.stride[o][d] == run;
    }
    j.grain = 4 * BLOCK;
    double work = (double)j.total * (tt_map_infos[op].cost > 2 ? 0.1 * tt_map_infos[op].cost : BY_MEMORY) * j.size[inputs] / 4;
    tt_parallel(map_range, &j, (j.total + j.grain - 1) / j.grain, tt_threads_for(work));
}

/* ------------------------------------------------------------------------------------------------------- reductions */
typedef struct {
    const tt_kernels *k;
    int op, dtype, size;
    ptrdiff_t outer, n, inner, parts, part, lanes;
    const char *x, *y;
    char *out, *scratch;
} red_job;

static void red_parts(void *ctx, ptrdiff_t begin, ptrdiff_t end) {
    const red_job *j = ctx;
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t row = i / j->parts, at = i % j->parts * j->part, n = j->n - at < j->part ? j->n - at : j->part;
        const char *x = j->x + (row * j->n + at) * j->size, *y = j->y ? j->y + (row * j->n + at) * j->size : x;
        j->k->red_part[j->op][j->dtype](n, x, y, j->scratch + i * j->lanes * j->size);
    }
}
static void red_joins(void *ctx, ptrdiff_t begin, ptrdiff_t end) {
    const red_job *j = ctx;
    for (ptrdiff_t r = begin; r < end; r++)
        j->k->red_join[j->op][j->dtype](j->parts, j->scratch + r * j->parts * j->lanes * j->size, j->out + r * j->size);
}
static void red_columns(void *ctx, ptrdiff_t begin, ptrdiff_t end) {
    const red_job *j = ctx; /* items: groups of 32 columns of each outer index */
    ptrdiff_t groups = (j->inner + 31) / 32;
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t o = i / groups, c = i % groups * 32, w = j->inner - c < 32 ? j->inner - c : 32;
        j->k->red_outer[j->op][j->dtype](j->n, w, j->x + (o * j->n * j->inner + c) * j->size, j->inner, j->out + (o * j->inner + c) * j->size);
    }
}
/* lanes, parts: functions of the length alone; sized for doubles, whose vectors have half the lanes and twice the bytes */
size_t tt_reduce_scratch(ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner) {
    const ptrdiff_t part = (ptrdiff_t)TT_RED_PART_BLOCKS * TT_RED_BLOCK * 8;
    return inner == 1 ? (size_t)outer * (size_t)((n + part - 1) / part) * 64 : 0;
}
void tt_reduce(const tt_kernels *k, int op, int dtype, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner, const void *x,
               const void *y, void *out, void *scratch) {
    red_job j = {.k = k, .op = op, .dtype = dtype, .size = dtype == TT_F32 ? 4 : 8, .outer = outer, .n = n, .inner = inner, .x = x, .y = y, .out = out, .scratch = scratch};
    j.lanes = dtype == TT_F32 ? 16 : 8;
    j.part = (ptrdiff_t)TT_RED_PART_BLOCKS * TT_RED_BLOCK * j.lanes;
    j.parts = (n + j.part - 1) / j.part;
    int threads = tt_threads_for((double)outer * (double)n * (double)inner * BY_MEMORY * j.size / 4);
    if (inner == 1) {
        tt_parallel(red_parts, &j, outer * j.parts, threads);
        tt_parallel(red_joins, &j, outer, tt_threads_for((double)outer * (double)j.parts * 10));
    } else {
        tt_parallel(red_columns, &j, outer * ((inner + 31) / 32), threads);
    }
}

/* ------------------------------------------------------------------------------------------------- rows: softmax etc. */
typedef struct {
    const tt_kernels *k;
    int kind, dtype;
    ptrdiff_t n;
    const char *a, *b;
    char *out;
} rows_job;
static void rows_range(void *ctx, ptrdiff_t begin, ptrdiff_t end) {
    const rows_job *j = ctx;
    const ptrdiff_t size = j->dtype == TT_F32 ? 4 : 8, rows = end - begin, at = begin * j->n * size;
    const char *a = j->a + at, *b = j->b ? j->b + at : NULL;
    switch (j->kind) {
    case TT_SOFTMAX: j->k->softmax[j->dtype](rows, j->n, a, j->out + at); break;
    case TT_SOFTMAX_GRAD: j->k->softmax_grad[j->dtype](rows, j->n, a, b, j->out + at); break;
    case TT_LOG_SOFTMAX: j->k->log_softmax[j->dtype](rows, j->n, a, j->out + at); break;
    case TT_LOG_SOFTMAX_GRAD: j->k->log_softmax_grad[j->dtype](rows, j->n, a, b, j->out + at); break;
    default: j->k->logsumexp[j->dtype](rows, j->n, a, j->out + begin * size); break;
    }
}
void tt_rows(const tt_kernels *k, int kind, int dtype, ptrdiff_t rows, ptrdiff_t n, const void *a, const void *b, void *out) {
    rows_job j = {k, kind, dtype, n, a, b, out};
    tt_parallel(rows_range, &j, rows, tt_threads_for((double)rows * (20 + (double)n)));
}

typedef struct {
    void (*fn)(const tt_xent_args *a, ptrdiff_t begin, ptrdiff_t end);
    const tt_xent_args *args;
} xent_job;
static void xent_range(void *ctx, ptrdiff_t begin, ptrdiff_t end) {
    const xent_job *j = ctx;
    j->fn(j->args, begin, end);
}
void tt_xent(const tt_kernels *k, int dtype, int backward, const tt_xent_args *a) {
    xent_job j = {(backward ? k->xent_grad : k->xent)[dtype], a};
    tt_parallel(xent_range, &j, a->rows, tt_threads_for((double)a->rows * (20 + (double)a->classes)));
}

/* ----------------------------------------------------------------------------------------------------------- matmul */
typedef struct {
    const tt_kernels *k;
    int dtype, threads;
    const tt_gemm_args *a;
    const ptrdiff_t *offsets; /* batch x 3, in bytes: of a, b and c; NULL for one product */
    char *scratch;
    size_t scratch_size;
    ptrdiff_t batch;
} gemm_job;
static tt_gemm_args gemm_at(const gemm_job *j, ptrdiff_t i) {
    tt_gemm_args g = *j->a;
    g.a = (const char *)g.a + j->offsets[3 * i];
    g.b = (const char *)g.b + j->offsets[3 * i + 1];
    g.c = (char *)g.c + j->offsets[3 * i + 2];
    return g;
}
static void gemm_one(void *ctx, int thread, int threads) {
    const gemm_job *j = ctx;
    j->k->gemm_part[j->dtype](j->a, j->scratch, thread, threads);
}
static void gemm_batch(void *ctx, int thread, int threads) {
    const gemm_job *j = ctx;
    for (ptrdiff_t i = j->batch * thread / threads; i < j->batch * (thread + 1) / threads; i++) {
        tt_gemm_args g = gemm_at(j, i);
        j->k->gemm_part[j->dtype](&g, j->scratch + (size_t)thread * j->scratch_size, 0, 1);
    }
}
int tt_gemm_threads(const tt_gemm_args *a, ptrdiff_t batch) {
    /* columns in whole vectors; where nothing is used twice, the traffic */
    const double vectors = (double)((a->n + 15) / 16 * 16), traffic = 0.05 * (double)(a->k == 1 ? a->m * a->n : a->k * a->n);
    const double work = (double)a->m * vectors * (double)a->k * 0.02, each = work > traffic ? work : traffic;
    int all = tt_threads_for(each * (double)batch);
    return batch == 1 || batch >= all ? all : tt_threads_for(each);
}
/* whole products go to threads where there are enough of them; else one after the other is divided */
static int whole_products(ptrdiff_t batch, int threads) { return batch > 1 && batch >= threads; }
size_t tt_gemm_scratch(const tt_kernels *k, int dtype, const tt_gemm_args *a, ptrdiff_t batch, int threads) {
    return whole_products(batch, threads) ? (size_t)threads * k->gemm_scratch[dtype](a, 1) : k->gemm_scratch[dtype](a, threads);
}
void tt_gemm(const tt_kernels *k, int dtype, const tt_gemm_args *a, ptrdiff_t batch, const ptrdiff_t *offsets, void *scratch, int threads) {
    gemm_job j = {k, dtype, threads, a, offsets, scratch, k->gemm_scratch[dtype](a, 1), batch};
    if (!offsets) {
        tt_team(gemm_one, &j, threads);
    } else if (whole_products(batch, threads)) {
        tt_team(gemm_batch, &j, threads);
    } else {
        for (ptrdiff_t i = 0; i < batch; i++) {
            tt_gemm_args g = gemm_at(&j, i);
            gemm_job one = j;
            one.a = &g;
            tt_team(gemm_one, &one, threads);
        }
    }
}

/* ------------------------------------------------------------------------------------ gradient of a linear layer's activation */
#define GROUP 32 /* columns, as red_outer takes them */
typedef struct {
    const tt_kernels *k;
    int dtype;
    const tt_act_grad_args *a;
} act_job;
static void act_range(void *ctx, ptrdiff_t begin, ptrdiff_t end) {
    const act_job *j = ctx;
    const tt_act_grad_args *a = j->a;
    const ptrdiff_t size = j->dtype == TT_F32 ? 4 : 8, c = begin * GROUP, w = (end * GROUP < a->n ? end * GROUP : a->n) - c;
    const char *dz = a->op < 0 ? a->g : a->dz;
    if (a->op >= 0) {
        const ptrdiff_t runs = w == a->n ? 1 : a->rows, n = w == a->n ? a->rows * w : w;
        for (ptrdiff_t r = 0; r < runs; r++) {
            const ptrdiff_t at = (r * a->n + c) * size;
            j->k->map[a->op][j->dtype](n, (const char *)a->g + at, (const char *)a->x + at, (const char *)a->y + at, (char *)a->dz + at, a->p);
        }
    }
    if (a->db) j->k->red_outer[TT_SUM][j->dtype](a->rows, w, dz + c * size, a->n, (char *)a->db + c * size);
}
void tt_act_grad(const tt_kernels *k, int dtype, const tt_act_grad_args *a) {
    act_job j = {k, dtype, a};
    const double cost = a->op < 0 ? 0.5 : 0.5 + tt_map_infos[a->op].cost;
    tt_parallel(act_range, &j, (a->n + GROUP - 1) / GROUP, tt_threads_for((double)a->rows * (double)a->n * (cost > 3 ? 0.1 * cost : BY_MEMORY) * (dtype == TT_F32 ? 1 : 2)));
}

/* ------------------------------------------------------------------------------------- optimizers, rows by index, random */
#define STEP 16384
typedef struct {
    tt_optim_fn fn;
    const tt_param *params;
    ptrdiff_t count, total;
    const tt_hyper *h;
} optim_job;
static void optim_range(void *ctx, ptrdiff_t begin, ptrdiff_t end) {
    const optim_job *j = ctx; /* items: STEPs of all parameters laid end to end */
    ptrdiff_t from = begin * STEP, to = end * STEP < j->total ? end * STEP : j->total, at = 0;
    for (ptrdiff_t i = 0; i < j->count && at < to; at += j->params[i].n, i++) {
        ptrdiff_t lo = from > at ? from - at : 0, hi = to - at < j->params[i].n ? to - at : j->params[i].n;
        if (lo < hi) j->fn(&j->params[i], lo, hi, j->h);
    }
}
void tt_optim(tt_optim_fn fn, const tt_param *params, ptrdiff_t count, const tt_hyper *h) {
    optim_job j = {fn, params, count, 0, h};
    for (ptrdiff_t i = 0; i < count; i++) j.total += params[i].n;
    tt_parallel(optim_range, &j, (j.total + STEP - 1) / STEP, tt_threads_for((double)j.total * BY_MEMORY));
}

typedef struct {
    const tt_kernels *k;
    int dtype;
    ptrdiff_t width;
    const uint8_t *x;
    const int64_t *index;
    char *y;
    double scale, shift;
} gather_job;
static void gather_range(void *ctx, ptrdiff_t begin, ptrdiff_t end) {
    const gather_job *j = ctx;
    for (ptrdiff_t i = begin; i < end; i++)
        j->k->gather_u8[j->dtype](j->width, j->x + j->index[i] * j->width, j->y + i * j->width * (j->dtype == TT_F32 ? 4 : 8), j->scale, j->shift);
}
void tt_gather_rows(const tt_kernels *k, int dtype, ptrdiff_t rows, ptrdiff_t width, const uint8_t *x, const int64_t *index,
                    void *y, double scale, double shift) {
    gather_job j = {k, dtype, width, x, index, y, scale, shift};
    tt_parallel(gather_range, &j, rows, tt_threads_for((double)rows * (double)width * 0.15));
}

typedef struct {
    const tt_kernels *k;
    int kind, dtype;
    ptrdiff_t width;
    const char *x;
    int64_t *starts;
    int32_t *column;
    char *value;
} nonzeros_job;
static void nonzeros_range(void *ctx, ptrdiff_t begin, ptrdiff_t end) {
    const nonzeros_job *j = ctx;
    const ptrdiff_t size = j->dtype == TT_F32 ? 4 : 8, from = j->kind == 0 ? 1 : j->kind == 1 ? 4 : 8;
    for (ptrdiff_t i = begin; i < end; i++) {
        const char *x = j->x + i * j->width * from;
        if (j->column)
            j->k->nonzeros[j->dtype](j->kind, j->width, x, j->column + j->starts[i], j->value + j->starts[i] * size);
        else
            j->starts[i + 1] = j->k->nonzeros[j->dtype](j->kind, j->width, x, NULL, NULL);
    }
}
void tt_nonzeros(const tt_kernels *k, int dtype, int kind, ptrdiff_t rows, ptrdiff_t width, const void *x, int64_t *starts,
                 int32_t *column, void *value) {
    nonzeros_job j = {k, kind, dtype, width, x, starts, column, value};
    tt_parallel(nonzeros_range, &j, rows, tt_threads_for((double)rows * (double)width * (column ? 0.4 : 0.15)));
}

typedef struct {
    void (*fn)(const tt_sparse_args *a, ptrdiff_t begin, ptrdiff_t end);
    const tt_sparse_args *args;
} sparse_job;
static void sparse_range(void *ctx, ptrdiff_t begin, ptrdiff_t end) {
    const sparse_job *j = ctx;
    j->fn(j->args, begin, end);
}
void tt_sparse(const tt_kernels *k, int dtype, int outer, const tt_sparse_args *a) {
    sparse_job j = {(outer ? k->sparse_outer : k->sparse_rows)[dtype], a};
    double entries = 0;
    for (ptrdiff_t i = 0; i < a->rows; i++) entries += (double)(a->to[i] - a->from[i]);
    tt_parallel(sparse_range, &j, outer ? a->k : a->rows, tt_threads_for(entries * (double)a->n * (dtype == TT_F32 ? 0.05 : 0.1)));
}

typedef struct {
    const tt_kernels *k;
    int kind, dtype;
    uint64_t key, offset;
    ptrdiff_t n;
    void *y;
    double p0, p1;
} random_job;
static void random_range(void *ctx, ptrdiff_t begin, ptrdiff_t end) {
    const random_job *j = ctx;
    ptrdiff_t from = begin * STEP, to = end * STEP < j->n ? end * STEP : j->n;
    j->k->random[j->kind][j->dtype](j->key, j->offset, from, to, j->y, j->p0, j->p1);
}
void tt_random(const tt_kernels *k, int kind, int dtype, uint64_t key, uint64_t offset, ptrdiff_t n, void *y, double p0, double p1) {
    random_job j = {k, kind, dtype, key, offset, n, y, p0, p1};
    tt_parallel(random_range, &j, (n + STEP - 1) / STEP, tt_threads_for((double)n * 5));
}

/* ------------------------------------------------------------------------------------------------------------- images */
typedef struct {
    const tt_kernels *k;
    int dtype;
    const void *args;
    char *scratch;
} image_job;
static void warp_part(void *ctx, int thread, int threads) {
    const image_job *j = ctx;
    const tt_warp_args *a = j->args;
    const ptrdiff_t begin = a->images * thread / threads, end = a->images * (thread + 1) / threads;
    if (begin < end) j->k->warp[j->dtype](a, begin, end, j->scratch + (size_t)thread * j->k->warp_scratch[j->dtype](a));
}
static void smooth_part(void *ctx, int thread, int threads) {
    const image_job *j = ctx;
    const tt_smooth_args *a = j->args;
    const ptrdiff_t begin = a->planes * thread / threads, end = a->planes * (thread + 1) / threads;
    if (begin < end) j->k->smooth[j->dtype](a, begin, end, j->scratch + (size_t)thread * j->k->smooth_scratch[j->dtype](a));
}
int tt_warp_threads(const tt_warp_args *a) {
    const int threads = tt_threads_for((double)(a->images * a->channels) * (double)a->height * (double)a->width * 4);
    return a->images < threads ? (int)a->images : threads;
}
int tt_smooth_threads(const tt_smooth_args *a) {
    const int threads = tt_threads_for((double)a->planes * (double)a->height * (double)a->width * (1 + 0.1 * (double)a->radius));
    return a->planes < threads ? (int)a->planes : threads;
}
void tt_warp(const tt_kernels *k, int dtype, const tt_warp_args *a, void *scratch, int threads) {
    image_job j = {k, dtype, a, scratch};
    tt_team(warp_part, &j, threads);
}
void tt_smooth(const tt_kernels *k, int dtype, const tt_smooth_args *a, void *scratch, int threads) {
    image_job j = {k, dtype, a, scratch};
    tt_team(smooth_part, &j, threads);
}
