/* Every driver of csrc on random data: the same bits on 1, 2, 3, 7 and 16 threads, from one caller and from several at once, while
 * another thread changes the number of threads, and in forked children. For ThreadSanitizer, AddressSanitizer and other processors:
 *   cc -O2 -std=c11 -pthread -I csrc tests/c/kernels_check.c csrc/{drivers,parallel,dispatch,random}.c KERNELS.o -o kernels_check -lm
 *   ./kernels_check [CALLERS=4] [ROUNDS=20] [FORKS=4]
 * Prints a hash of each result for each set of this CPU: sets with fused multiply-add must print the same. Exits 1 at a difference. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tt.h"

static const int THREADS[] = {1, 2, 3, 7, 16};
#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))
static const size_t SIZE[] = {sizeof(float), sizeof(double)};

static void *get(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (!p) abort();
    return p;
}
static uint64_t hash(uint64_t h, const void *data, size_t n) {
    const unsigned char *p = data;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 1099511628211ull;
    return h;
}
/* which NaN a function makes is not promised, and processors differ: the sign */
static void one_nan(void *data, size_t n, int d) {
    for (size_t i = 0; i < n; i++) {
        if (d == TT_F32) {
            float *p = (float *)data + i;
            if (*p != *p) memcpy(p, &(uint32_t){0x7fc00000u}, sizeof *p);
        } else {
            double *p = (double *)data + i;
            if (*p != *p) memcpy(p, &(uint64_t){0x7ff8000000000000u}, sizeof *p);
        }
    }
}

typedef struct { /* one caller's own data */
    ptrdiff_t n;
    char *a[TT_DTYPES], *b[TT_DTYPES], *c[TT_DTYPES], *y[TT_DTYPES], *scratch;
    int64_t *index;
    uint8_t *bytes;
    int32_t *column;
} arena;
#define N 70000
#define SCRATCH (64u << 20)

static arena make(void) {
    arena w = {.n = N, .scratch = get(SCRATCH), .index = get(N * 8), .bytes = get(N), .column = get(N * 4)};
    for (int d = 0; d < TT_DTYPES; d++) {
        char **all[] = {&w.a[d], &w.b[d], &w.c[d], &w.y[d]};
        for (int i = 0; i < 4; i++) *all[i] = get(N * 8);
    }
    return w;
}
static void drop(arena *w) {
    for (int d = 0; d < TT_DTYPES; d++) free(w->a[d]), free(w->b[d]), free(w->c[d]), free(w->y[d]);
    free(w->scratch), free(w->index), free(w->bytes), free(w->column);
}
static void fill(const tt_kernels *k, arena *w) {
    for (int d = 0; d < TT_DTYPES; d++) {
        tt_random(k, TT_NORMAL, d, 7, 0, N, w->a[d], 0, 1);
        tt_random(k, TT_NORMAL, d, 8, 0, N, w->b[d], 0, 1);
        tt_random(k, TT_UNIFORM, d, 9, 0, N, w->c[d], 0.5, 1.5);
        memset(w->y[d], 0, N * 8);
    }
    for (ptrdiff_t i = 0; i < N; i++) w->index[i] = (i * 7919) % 10, w->bytes[i] = (uint8_t)(i * 31);
}
static void need(size_t bytes) {
    if (bytes > SCRATCH) abort();
}

enum { MAP, REDUCE, ROWS, XENT, GEMM, ACT, OPTIM, GATHER, RANDOM, WARP, SMOOTH, SPARSE, KINDS };
static const char *NAMES[] = {"map", "reduce", "rows", "cross_entropy", "gemm", "activation", "optim", "gather", "random", "warp", "smooth", "sparse"};

/* a hash of all results of one kind of driver */
static uint64_t run(const tt_kernels *k, arena *w, int kind, int d) {
    const size_t size = SIZE[d];
    const double p[4] = {0.3, 1.5, 0, 0};
    uint64_t h = 14695981039346656037ull;
    fill(k, w);
    if (kind == MAP) {
        for (int op = 0; op < TT_MAPS; op++) {
            const ptrdiff_t shape[] = {70, 1000}, rows[] = {(ptrdiff_t)size * 1000, (ptrdiff_t)size}, one[] = {0, (ptrdiff_t)size};
            const ptrdiff_t across[] = {(ptrdiff_t)size, (ptrdiff_t)size * 70};
            if (!k->map[op][d]) continue;
            for (int way = 0; way < 2; way++) {
                const ptrdiff_t mask[] = {1000, 1};
                const tt_operand in[] = {op == TT_where ? (tt_operand){(char *)w->bytes, mask, 1} : (tt_operand){w->a[d], way ? across : rows, (int)size}, {w->c[d], way ? one : rows, (int)size}, {w->b[d], rows, (int)size}};
                const tt_operand out = {w->y[d], rows, (int)size};
                tt_map(k, op, d, 2, shape, tt_map_infos[op].inputs, in, &out, p);
                one_nan(w->y[d], 70000, d);
                h = hash(h, w->y[d], 70000 * size);
            }
        }
    } else if (kind == REDUCE) {
        const ptrdiff_t shapes[][3] = {{1, N, 1}, {7, 10000, 1}, {1, 100, 700}, {10, 70, 100}, {700, 100, 1}};
        for (int op = 0; op < TT_REDUCES; op++)
            for (int i = 0; i < COUNT(shapes); i++) {
                const ptrdiff_t *s = shapes[i];
                if (op == TT_DOT && s[2] != 1) continue;
                need(tt_reduce_scratch(s[0], s[1], s[2]));
                tt_reduce(k, op, d, s[0], s[1], s[2], w->a[d], op == TT_DOT ? w->b[d] : NULL, w->y[d], w->scratch);
                h = hash(h, w->y[d], (size_t)(s[0] * s[2]) * size);
            }
    } else if (kind == ROWS) {
        const ptrdiff_t shapes[][2] = {{7000, 10}, {70, 1000}, {1, N}};
        for (int what = TT_SOFTMAX; what <= TT_LOGSUMEXP; what++)
            for (int i = 0; i < COUNT(shapes); i++) {
                const ptrdiff_t rows = shapes[i][0], n = shapes[i][1];
                tt_rows(k, what, d, rows, n, w->a[d], w->b[d], w->y[d]);
                h = hash(h, w->y[d], (size_t)(what == TT_LOGSUMEXP ? rows : rows * n) * size);
            }
    } else if (kind == XENT) {
        const ptrdiff_t rows = 3500, classes = 10;
        tt_xent_args a = {rows, classes, w->a[d], w->c[d], w->index, -100, 0.1, w->b[d], 1, w->y[d], w->y[d] + 4000 * 8, w->b[d]};
        tt_xent(k, d, 0, &a);
        h = hash(hash(h, a.loss, (size_t)rows * size), a.lse, (size_t)rows * 2 * size);
        a.g = w->c[d], a.out = w->scratch;
        tt_xent(k, d, 1, &a);
        h = hash(h, a.out, (size_t)(rows * classes) * size);
    } else if (kind == GEMM) {
        const ptrdiff_t shapes[][3] = {{1, 200, 300}, {64, 128, 300}, {257, 65, 130}, {3, 5, 7}, {17, 1, 400}, {250, 250, 250}};
        for (int i = 0; i < COUNT(shapes); i++)
            for (int turned = 0; turned < 4; turned++) {
                const ptrdiff_t m = shapes[i][0], n = shapes[i][1], q = shapes[i][2];
                tt_gemm_args a = {.m = m, .n = n, .k = q, .a = w->a[d], .b = w->b[d], .c = w->y[d], .c_row = n, .bias = turned == 1 ? w->c[d] : NULL,
                                  .add = turned == 2, .relu = turned == 3};
                a.a_row = turned & 1 ? 1 : q, a.a_col = turned & 1 ? m : 1;
                a.b_row = turned & 2 ? 1 : n, a.b_col = turned & 2 ? q : 1;
                const int threads = tt_gemm_threads(&a, 1);
                need(tt_gemm_scratch(k, d, &a, 1, threads));
                tt_gemm(k, d, &a, 1, NULL, w->scratch, threads);
                h = hash(h, w->y[d], (size_t)(m * n) * size);
            }
        const ptrdiff_t offsets[] = {0, 0, 0, (ptrdiff_t)size * 400, (ptrdiff_t)size * 200, (ptrdiff_t)size * 800, (ptrdiff_t)size * 40, 0, (ptrdiff_t)size * 1600};
        tt_gemm_args a = {.m = 20, .n = 40, .k = 20, .a = w->a[d], .b = w->b[d], .c = w->y[d], .c_row = 40, .a_row = 20, .a_col = 1, .b_row = 40, .b_col = 1};
        const int threads = tt_gemm_threads(&a, 3);
        need(tt_gemm_scratch(k, d, &a, 3, threads));
        tt_gemm(k, d, &a, 3, offsets, w->scratch, threads);
        h = hash(h, w->y[d], 2400 * size);
    } else if (kind == ACT) {
        const tt_act_grad_args a = {700, 100, TT_tanh_grad, w->a[d], w->b[d], w->b[d], w->y[d], w->scratch, p};
        tt_act_grad(k, d, &a);
        h = hash(hash(h, w->y[d], N * size), w->scratch, 100 * size);
        const tt_act_grad_args plain = {7000, 10, -1, w->a[d], NULL, NULL, NULL, w->scratch, p};
        tt_act_grad(k, d, &plain);
        h = hash(h, w->scratch, 10 * size);
    } else if (kind == OPTIM) {
        const tt_hyper hyper = {.lr = 0.1, .momentum = 0.9, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .correction1 = 0.1, .correction2 = 0.5, .rate = 0.1, .ahead = 0.1, .weight_decay = 0.01};
        for (int i = 0; i < TT_OPTIMS; i++) {
            fill(k, w);
            tt_map(k, TT_abs, d, 1, (const ptrdiff_t[]){N}, 1, (const tt_operand[]){{w->b[d], (const ptrdiff_t[]){(ptrdiff_t)size}, (int)size}},
                   &(const tt_operand){w->scratch, (const ptrdiff_t[]){(ptrdiff_t)size}, (int)size}, p);
            memset(w->scratch + (1 << 20), 0, N * 8);
            const tt_param params[] = {{w->a[d], w->c[d], w->y[d], w->scratch, w->scratch + (1 << 20), 1000},
                                       {w->a[d] + 1000 * size, w->c[d] + 1000 * size, w->y[d] + 1000 * size, w->scratch + 1000 * size, w->scratch + (1 << 20) + 1000 * size, N - 1000}};
            tt_optim(k->optim[i][d], params, 2, &hyper);
            h = hash(hash(h, w->a[d], N * size), w->y[d], N * size);
        }
    } else if (kind == GATHER) {
        int64_t *rows = (int64_t *)w->scratch;
        for (int i = 0; i < 700; i++) rows[i] = (i * 37) % 700;
        tt_gather_rows(k, d, 700, 100, w->bytes, rows, w->y[d], 1.0 / 255, -0.5);
        h = hash(h, w->y[d], N * size);
    } else if (kind == RANDOM) {
        for (int what = 0; what < TT_RANDOMS; what++) {
            tt_random(k, what, d, 3, 5, N, w->y[d], 0.25, 0.75);
            h = hash(h, w->y[d], N * size);
        }
    } else if (kind == WARP) {
        double *matrix = (double *)(w->scratch + (32 << 20));
        for (int i = 0; i < 60; i++) memcpy(matrix + 6 * i, (const double[]){0.9, 0.1, 1.5, -0.1, 1.1, -0.5}, 48);
        const tt_warp_args a = {60, 1, 28, 28, w->a[d], matrix, w->scratch + (33 << 20), 0.25, w->y[d]};
        for (int i = 0; i < 60 * 2 * 28 * 28; i++) {
            if (d == TT_F32) ((float *)(w->scratch + (33 << 20)))[i] = (float)(i % 7) - 3;
            else ((double *)(w->scratch + (33 << 20)))[i] = i % 7 - 3;
        }
        const int threads = tt_warp_threads(&a);
        need(k->warp_scratch[d](&a) * (size_t)threads + (34u << 20));
        tt_warp(k, d, &a, w->scratch, threads);
        h = hash(h, w->y[d], 60 * 784 * size);
    } else if (kind == SMOOTH) {
        const double taps[] = {0.1, 0.2, 0.4, 0.2, 0.1};
        const tt_smooth_args a = {80, 28, 28, 2, w->a[d], taps, w->y[d]};
        const int threads = tt_smooth_threads(&a);
        tt_smooth(k, d, &a, w->scratch, threads);
        h = hash(h, w->y[d], 80 * 784 * size);
    } else if (kind == SPARSE) {
        const ptrdiff_t rows = 100, width = 300, n = 64;
        for (ptrdiff_t i = 0; i < rows * width; i++)
            if (i % 5) memset(w->a[d] + (size_t)i * size, 0, size);
        int64_t *starts = (int64_t *)w->scratch;
        char *value = w->scratch + (1 << 20);
        starts[0] = 0;
        tt_nonzeros(k, d, d == TT_F32 ? 1 : 2, rows, width, w->a[d], starts, NULL, NULL);
        for (ptrdiff_t i = 0; i < rows; i++) starts[i + 1] += starts[i];
        tt_nonzeros(k, d, d == TT_F32 ? 1 : 2, rows, width, w->a[d], starts, w->column, value);
        const tt_sparse_args a = {rows, width, n, starts, starts + 1, w->column, value, w->b[d], w->c[d], w->y[d]};
        tt_sparse(k, d, 0, &a);
        h = hash(h, w->y[d], (size_t)(rows * n) * size);
    }
    return h;
}

static uint64_t expected[KINDS][TT_DTYPES];
static const tt_kernels *table;
static int rounds;
static atomic_int wrong, stop;

static void *call(void *p) {
    arena w = make();
    for (int r = 0; r < rounds; r++)
        for (int kind = 0; kind < KINDS; kind++) {
            const int d = (r + kind + (int)(intptr_t)p) % TT_DTYPES;
            if (run(table, &w, kind, d) != expected[kind][d]) {
                fprintf(stderr, "%s: other bits beside other callers\n", NAMES[kind]);
                atomic_store(&wrong, 1);
            }
        }
    drop(&w);
    return NULL;
}
static void *disturb(void *p) {
    for (int i = 0; !atomic_load(&stop); i++) {
        tt_set_threads(THREADS[i % COUNT(THREADS)]);
        usleep(3000);
    }
    return p;
}

int main(int argc, char **argv) {
    const int callers = argc > 1 ? atoi(argv[1]) : 4, forks = argc > 3 ? atoi(argv[3]) : 4;
    rounds = argc > 2 ? atoi(argv[2]) : 20;
    tt_set_helpful(0); /* each member does its own part, however late it comes */
    tt_set_thread_work(1);
    for (int i = 0; tt_isa_name(i); i++) {
        table = tt_find(tt_isa_name(i));
        if (!table) continue;
        arena w = make();
        for (int kind = 0; kind < KINDS; kind++)
            for (int d = 0; d < TT_DTYPES; d++) {
                for (int t = 0; t < COUNT(THREADS); t++) {
                    tt_set_threads(THREADS[t]);
                    const uint64_t h = run(table, &w, kind, d);
                    if (t == 0) expected[kind][d] = h;
                    else if (h != expected[kind][d]) {
                        fprintf(stderr, "%s: other bits on %d threads\n", NAMES[kind], THREADS[t]);
                        atomic_store(&wrong, 1);
                    }
                }
                printf("%s %s %s %016" PRIx64 "\n", table->name, NAMES[kind], d == TT_F32 ? "float32" : "float64", expected[kind][d]);
            }
        pthread_t threads[64], other;
        atomic_store(&stop, 0);
        pthread_create(&other, NULL, disturb, NULL);
        for (int c = 0; c < callers; c++) pthread_create(&threads[c], NULL, call, (void *)(intptr_t)c);
        for (int c = 0; c < callers; c++) pthread_join(threads[c], NULL);
        atomic_store(&stop, 1);
        pthread_join(other, NULL);
        fflush(stdout);
        for (int f = 0; f < forks; f++) {
            const pid_t child = fork();
            if (child == 0) {
                alarm(60); /* a child that hangs is an error */
                for (int kind = 0; kind < KINDS; kind++)
                    if (run(table, &w, kind, f % TT_DTYPES) != expected[kind][f % TT_DTYPES]) _exit(1);
                _exit(0);
            }
            int status = 0;
            waitpid(child, &status, 0);
            if (status != 0) {
                fprintf(stderr, "a forked child ended with %d\n", status);
                atomic_store(&wrong, 1);
            }
        }
        drop(&w);
    }
    return atomic_load(&wrong);
}
