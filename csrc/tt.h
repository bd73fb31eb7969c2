/* The C API: tables of kernels per instruction set, and the drivers that call them. Nothing here knows Python or the tape. */
#ifndef TT_H
#define TT_H
#include <stddef.h>
#include <stdint.h>

enum { TT_F32, TT_F64, TT_DTYPES };
#define TT_MAX_DIMS 32
#define TT_MAX_THREADS 64

/* Made together with the thread. Otherwise its first use allocates, and glibc ends the process where there is no memory. */
#if defined(__GLIBC__) && defined(__ELF__)
#define TT_THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))
#else
#define TT_THREAD_LOCAL _Thread_local
#endif

/* ---- elementwise: unit-stride rows; `out` may be one of the inputs, an absent input is given as another one */
typedef void (*tt_map_fn)(ptrdiff_t n, const void *a, const void *b, const void *c, void *out, const double *p);
enum {
#define UNARY_V(name, cost) TT_##name,
#define UNARY(name, cost) TT_##name, TT_##name##_grad,
#define UNARY_P(name, cost) TT_##name, TT_##name##_grad,
#define BINARY(name, cost) TT_##name,
#define TERNARY(name, cost) TT_##name,
#define SELECT(name, cost) TT_##name,
#include "ops.def"
#undef UNARY_V
#undef UNARY
#undef UNARY_P
#undef BINARY
#undef TERNARY
#undef SELECT
    TT_MAPS
};
typedef struct {
    const char *name;
    int inputs, cost;
} tt_map_info;
extern const tt_map_info tt_map_infos[TT_MAPS];

/* ---- reductions: whole rows are divided into parts of TT_RED_PART elements, whose 16 (8) lanes are joined by a fixed tree */
enum { TT_SUM, TT_PROD, TT_MAX, TT_MIN, TT_SUMSQ, TT_DOT, TT_REDUCES };
#define TT_RED_BLOCK 32                   /* vectors summed one after the other */
#define TT_RED_PART_BLOCKS 64             /* blocks joined as one subtree: the unit of threads */
#define TT_RED_DEPTH 40                   /* log2 of the number of blocks of the longest axis */
typedef void (*tt_red_part_fn)(ptrdiff_t n, const void *x, const void *y, void *lanes);
typedef void (*tt_red_join_fn)(ptrdiff_t parts, const void *lanes, void *out);
typedef void (*tt_red_outer_fn)(ptrdiff_t n, ptrdiff_t m, const void *x, ptrdiff_t row_stride, void *out);

typedef struct {
    ptrdiff_t m, n, k;                    /* C (m, n) = A (m, k) @ B (k, n) (+ bias (n)) */
    const void *a, *b;
    ptrdiff_t a_row, a_col, b_row, b_col; /* strides in elements, any sign */
    void *c;
    ptrdiff_t c_row;                      /* columns of C are contiguous */
    const void *bias;                     /* NULL or n contiguous values, added after the chain over k */
    int add;                              /* 1: C's old value is added after the chain (and the bias) */
    int relu;                             /* 1: then relu; without `add` */
    tt_map_fn act;                        /* NULL, or what then makes y (m, n), laid out as C, of C; y may be C */
    void *y;
    const double *act_p;
} tt_gemm_args;

typedef struct {
    ptrdiff_t rows, classes;
    const void *x, *weight;               /* (rows, classes); weight: NULL or (classes) */
    const int64_t *target;                /* (rows), checked by the caller */
    int64_t ignore;
    double smoothing;
    const void *g;                        /* backward: upstream gradient, g_step (0 or 1) elements per row */
    ptrdiff_t g_step;
    void *loss, *lse, *out;               /* forward: (rows), (rows, 2); backward: (rows, classes) */
} tt_xent_args;

typedef struct {
    void *p;                              /* n parameters, updated in place */
    const void *g;
    void *s0, *s1, *s2;                   /* state of the optimizer */
    ptrdiff_t n;
} tt_param;
typedef struct {
    double lr, momentum, dampening, weight_decay, beta1, beta2, eps, correction1, correction2;
    double rate, ahead;                   /* lr (of NAdam also that of the mean) with all that depends on the step count */
    int nesterov, maximize, first, decoupled, rectified;
} tt_hyper;
enum { TT_SGD, TT_ADAM, TT_NADAM, TT_RADAM, TT_ADAMAX, TT_RMSPROP, TT_ADAGRAD, TT_ADADELTA, TT_LION, TT_LERP, TT_OPTIMS };
typedef void (*tt_optim_fn)(const tt_param *p, ptrdiff_t begin, ptrdiff_t end, const tt_hyper *h);

typedef struct {
    ptrdiff_t images, channels, height, width;
    const void *x;                        /* (images, channels, height, width) */
    const double *matrix;                 /* (images, 2, 3): row and column read from, of (row, column, 1) written to */
    const void *field;                    /* NULL, or (images, 2, height, width): added to them */
    double fill;                          /* what lies outside an image */
    void *y;
} tt_warp_args;
typedef struct {
    ptrdiff_t planes, height, width, radius;
    const void *x;                        /* (planes, height, width) */
    const double *taps;                   /* (2 radius + 1) */
    void *y;
} tt_smooth_args;

typedef struct {
    ptrdiff_t rows, k, n;
    const int64_t *from, *to;             /* (rows): where the entries of each row of A begin and end */
    const int32_t *column;                /* of each entry, ascending in a row, below k */
    const void *value, *b, *bias;
    void *c;
} tt_sparse_args;

/* TT_UNIFORM in [p0, p1), TT_NORMAL (mean p0, deviation p1), TT_KEEP: 1 / (1 - p0) with probability 1 - p0, else 0 */
enum { TT_UNIFORM, TT_NORMAL, TT_KEEP, TT_RANDOMS };
typedef void (*tt_random_fn)(uint64_t key, uint64_t offset, ptrdiff_t begin, ptrdiff_t end, void *y, double p0, double p1);

typedef struct {
    const char *name;
    int fused;                            /* hardware FMA: hashes are equal among all sets that have it */
    tt_map_fn map[TT_MAPS][TT_DTYPES];
    tt_red_part_fn red_part[TT_REDUCES][TT_DTYPES];
    tt_red_join_fn red_join[TT_REDUCES][TT_DTYPES];
    tt_red_outer_fn red_outer[TT_REDUCES][TT_DTYPES];
    void (*softmax[TT_DTYPES])(ptrdiff_t rows, ptrdiff_t n, const void *x, void *y);
    void (*softmax_grad[TT_DTYPES])(ptrdiff_t rows, ptrdiff_t n, const void *g, const void *y, void *dx);
    void (*log_softmax[TT_DTYPES])(ptrdiff_t rows, ptrdiff_t n, const void *x, void *y);
    void (*log_softmax_grad[TT_DTYPES])(ptrdiff_t rows, ptrdiff_t n, const void *g, const void *y, void *dx);
    void (*logsumexp[TT_DTYPES])(ptrdiff_t rows, ptrdiff_t n, const void *x, void *y);
    void (*xent[TT_DTYPES])(const tt_xent_args *a, ptrdiff_t begin, ptrdiff_t end);
    void (*xent_grad[TT_DTYPES])(const tt_xent_args *a, ptrdiff_t begin, ptrdiff_t end);
    void (*gemm_part[TT_DTYPES])(const tt_gemm_args *a, void *scratch, int thread, int threads);
    size_t (*gemm_scratch[TT_DTYPES])(const tt_gemm_args *a, int threads);
    tt_optim_fn optim[TT_OPTIMS][TT_DTYPES];
    void (*gather_u8[TT_DTYPES])(ptrdiff_t n, const uint8_t *x, void *y, double scale, double shift);
    void (*scatter_add[TT_DTYPES])(ptrdiff_t n, ptrdiff_t width, const int64_t *index, const void *x, void *y);
    ptrdiff_t (*nonzeros[TT_DTYPES])(int kind, ptrdiff_t n, const void *x, int32_t *column, void *value);
    void (*sparse_rows[TT_DTYPES])(const tt_sparse_args *a, ptrdiff_t begin, ptrdiff_t end);
    void (*sparse_outer[TT_DTYPES])(const tt_sparse_args *a, ptrdiff_t begin, ptrdiff_t end);
    tt_random_fn random[TT_RANDOMS][TT_DTYPES];
    void (*warp[TT_DTYPES])(const tt_warp_args *a, ptrdiff_t begin, ptrdiff_t end, void *scratch);
    size_t (*warp_scratch[TT_DTYPES])(const tt_warp_args *a);
    void (*smooth[TT_DTYPES])(const tt_smooth_args *a, ptrdiff_t begin, ptrdiff_t end, void *scratch);
    size_t (*smooth_scratch[TT_DTYPES])(const tt_smooth_args *a);
} tt_kernels;

/* ---- dispatch.c */
const tt_kernels *tt_best(void);
const tt_kernels *tt_find(const char *name);          /* NULL: not built in, or this CPU cannot run it */
const char *tt_isa_name(int i);                       /* built-in sets, best first; NULL after the last */

/* ---- parallel.c: the only file that knows threads */
typedef void (*tt_task)(void *ctx, ptrdiff_t begin, ptrdiff_t end);
typedef void (*tt_team_task)(void *ctx, int thread, int threads);
int tt_get_threads(void);
void tt_set_threads(int n);                           /* at most n; those beyond it end */
int tt_threads_for(double work);                      /* threads worth waking for so much work (about nanoseconds) */
void tt_set_thread_work(double ns);                   /* ... of which each must have this much, or 4 times it to be woken; 2500 at first */
void tt_set_helpful(int on);                          /* whether the caller does parts that no member has begun; 1 at first */
void tt_set_spin(long long ns);                       /* how long a member without work looks out for more before it sleeps */
void tt_parallel(tt_task fn, void *ctx, ptrdiff_t items, int threads);
void tt_team(tt_team_task fn, void *ctx, int threads); /* fn(ctx, 0 ... n - 1, n) on n <= threads members */
int tt_seen_threads(int reset);                       /* distinct members that did some part since the last reset */
int tt_set_flush(int mode);                           /* 1: tasks flush subnormals to zero; returns whether this CPU can */
int tt_get_flush(void);
uint64_t tt_flush_begin(void);                        /* for a kernel called without tt_team: the state that ... */
void tt_flush_end(uint64_t before);                   /* ... this gives back */

/* ---- drivers.c: strides, broadcasting, threads; the same for every instruction set */
typedef struct {
    const char *data;
    const ptrdiff_t *stride;                          /* bytes, one per dimension */
    int size;                                         /* bytes of an element: 1, 4 or 8 */
} tt_operand;
void tt_map(const tt_kernels *k, int op, int dtype, int ndim, const ptrdiff_t *shape, int inputs, const tt_operand *in,
            const tt_operand *out, const double *p);
/* x: (outer, n, inner) contiguous; y: the same or NULL (TT_DOT); out: (outer, inner). scratch: tt_reduce_scratch() bytes. */
size_t tt_reduce_scratch(ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner);
void tt_reduce(const tt_kernels *k, int op, int dtype, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner, const void *x,
               const void *y, void *out, void *scratch);
/* kind: softmax, its gradient, log_softmax, its gradient, logsumexp (all over contiguous rows) */
enum { TT_SOFTMAX, TT_SOFTMAX_GRAD, TT_LOG_SOFTMAX, TT_LOG_SOFTMAX_GRAD, TT_LOGSUMEXP };
void tt_rows(const tt_kernels *k, int kind, int dtype, ptrdiff_t rows, ptrdiff_t n, const void *a, const void *b, void *out);
void tt_xent(const tt_kernels *k, int dtype, int backward, const tt_xent_args *a);
int tt_gemm_threads(const tt_gemm_args *a, ptrdiff_t batch);
size_t tt_gemm_scratch(const tt_kernels *k, int dtype, const tt_gemm_args *a, ptrdiff_t batch, int threads);
/* offsets: NULL, or for each product those of a, b and c in bytes; scratch: tt_gemm_scratch() bytes */
void tt_gemm(const tt_kernels *k, int dtype, const tt_gemm_args *a, ptrdiff_t batch, const ptrdiff_t *offsets, void *scratch, int threads);
/* dz (rows, n) = the gradient of activation `op` at x and its value y, times g (op < 0: dz is g and is not written), and its
   column sums db (n), or NULL: one pass. op: a map of three inputs, or -1. */
typedef struct {
    ptrdiff_t rows, n;
    int op;
    const void *g, *x, *y;
    void *dz, *db;
    const double *p;
} tt_act_grad_args;
void tt_act_grad(const tt_kernels *k, int dtype, const tt_act_grad_args *a);
void tt_optim(tt_optim_fn fn, const tt_param *params, ptrdiff_t count, const tt_hyper *h);
void tt_gather_rows(const tt_kernels *k, int dtype, ptrdiff_t rows, ptrdiff_t width, const uint8_t *x, const int64_t *index,
                    void *y, double scale, double shift);
/* kernels/sparse.h. kind: 0, 1, 2 for x of bytes, floats, doubles; starts (rows + 1): without column, counts go to starts[1] on */
void tt_nonzeros(const tt_kernels *k, int dtype, int kind, ptrdiff_t rows, ptrdiff_t width, const void *x, int64_t *starts,
                 int32_t *column, void *value);
void tt_sparse(const tt_kernels *k, int dtype, int outer, const tt_sparse_args *a);
void tt_random(const tt_kernels *k, int kind, int dtype, uint64_t key, uint64_t offset, ptrdiff_t n, void *y, double p0, double p1);
/* threads divide images (planes); scratch: that many bytes for each of so many threads */
int tt_warp_threads(const tt_warp_args *a);
int tt_smooth_threads(const tt_smooth_args *a);
void tt_warp(const tt_kernels *k, int dtype, const tt_warp_args *a, void *scratch, int threads);
void tt_smooth(const tt_kernels *k, int dtype, const tt_smooth_args *a, void *scratch, int threads);
/* random.c: integers, the same on every CPU */
void tt_philox(uint64_t key, uint64_t counter, uint32_t out[4]);
void tt_randint(uint64_t key, uint64_t offset, ptrdiff_t n, int64_t lo, uint64_t range, int64_t *y);
void tt_randperm(uint64_t key, uint64_t offset, ptrdiff_t n, int64_t *y);
#endif
