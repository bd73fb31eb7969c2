/* What the machine can do at most, on all threads: float32 and float64 multiply-adds, and float32 traffic at a number of
   working sets. Prints lines "NAME RATE" in GFLOP/s and GB/s, NAME one of float32, float64, read N, copy N, add N.
   usage: peak SECONDS FLOATS... */
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define CHAINS 12 /* more than latency times pipes, fewer than registers */
#define TIMES 500000L

typedef float V __attribute__((vector_size(BYTES)));
typedef double W __attribute__((vector_size(BYTES)));

#if defined(__SSE2__)
#include <immintrin.h>
static inline void stream(V *at, V v) { /* past the caches: saves reading what is overwritten */
#if defined(__AVX512F__)
    _mm512_stream_ps((float *)at, (__m512)v);
#elif defined(__AVX__)
    _mm256_stream_ps((float *)at, (__m256)v);
#else
    _mm_stream_ps((float *)at, (__m128)v);
#endif
}
#else
static inline void stream(V *at, V v) { *at = v; }
#endif

#define MULTIPLY_ADDS(name, T)                                                                     \
    static double name(void) {                                                                     \
        T acc[CHAINS], a, b;                                                                       \
        const int lanes = (int)(sizeof(T) / sizeof(a[0]));                                         \
        for (int i = 0; i < lanes; i++) a[i] = 0.999f, b[i] = 1e-3f;                               \
        for (int c = 0; c < CHAINS; c++) acc[c] = a + b;                                           \
        __asm__ volatile("" : "+x"(a), "+x"(b));                                                   \
        for (long t = 0; t < TIMES; t++)                                                           \
            for (int c = 0; c < CHAINS; c++) acc[c] = acc[c] * a + b;                              \
        double sum = 0;                                                                            \
        for (int c = 0; c < CHAINS; c++)                                                           \
            for (int i = 0; i < lanes; i++) sum += acc[c][i];                                      \
        return sum;                                                                                \
    }
MULTIPLY_ADDS(multiply_adds_float, V)
MULTIPLY_ADDS(multiply_adds_double, W)

static volatile double sink;

static double flops(double (*work)(void), int lanes, double seconds) {
    double best = 0;
    for (double end = omp_get_wtime() + seconds; omp_get_wtime() < end;) {
        int threads = 1;
        const double begin = omp_get_wtime();
#pragma omp parallel
        {
            const double r = work();
#pragma omp critical
            sink = sink + r;
#pragma omp single
            threads = omp_get_num_threads();
        }
        const double rate = 2.0 * lanes * CHAINS * (double)TIMES * threads / (omp_get_wtime() - begin);
        best = rate > best ? rate : best;
    }
    return best;
}

enum { READ, COPY, ADD, COPY_STREAM, ADD_STREAM };

static float pass(int kind, const V *x, const V *y, V *z, size_t n) {
    V sum[8] = {0}, two = (V){0} + 2.0f;
    switch (kind) {
    case READ:
        for (size_t i = 0; i + 8 <= n; i += 8)
            for (size_t j = 0; j < 8; j++) sum[j] += x[i + j];
        break;
    case COPY: /* not a plain copy, which the compiler would make memcpy */
        for (size_t i = 0; i < n; i++) z[i] = x[i] * two;
        break;
    case ADD:
        for (size_t i = 0; i < n; i++) z[i] = x[i] + y[i];
        break;
    case COPY_STREAM:
        for (size_t i = 0; i < n; i++) stream(z + i, x[i] * two);
        break;
    default:
        for (size_t i = 0; i < n; i++) stream(z + i, x[i] + y[i]);
    }
    return sum[0][0] + sum[1][0] + sum[2][0] + sum[3][0] + sum[4][0] + sum[5][0] + sum[6][0] + sum[7][0];
}

/* Bytes a second over arrays of n vectors. Each thread passes over its own part again and again, so that neither waking
   nor waiting for another thread is in the figure. */
static double traffic(int kind, int arrays, const V *x, const V *y, V *z, size_t n, double seconds) {
    double best = 0;
    const double bytes = (double)arrays * (double)(n * sizeof *x);
    const long passes = 1 + (long)(2e8 / bytes);
    for (double end = omp_get_wtime() + seconds; omp_get_wtime() < end;) {
        const double begin = omp_get_wtime();
#pragma omp parallel
        {
            const size_t threads = (size_t)omp_get_num_threads(), me = (size_t)omp_get_thread_num();
            const size_t from = n * me / threads / 8 * 8, to = me + 1 == threads ? n : n * (me + 1) / threads / 8 * 8;
            float r = 0;
            for (long p = 0; p < passes; p++) {
                r += pass(kind, x + from, y + from, z + from, to - from);
                __asm__ volatile("" ::: "memory");
            }
#pragma omp critical
            sink = sink + r;
        }
        const double rate = bytes * (double)passes / (omp_get_wtime() - begin);
        best = rate > best ? rate : best;
    }
    return best;
}

static V *array(size_t vectors) { /* in huge pages, where the system has them */
    const size_t page = 1 << 21, bytes = (vectors * sizeof(V) + page - 1) / page * page;
    V *x = aligned_alloc(page, bytes);
    if (!x) exit(1);
#ifdef MADV_HUGEPAGE
    madvise(x, bytes, MADV_HUGEPAGE);
#endif
#pragma omp parallel for
    for (size_t i = 0; i < vectors; i++) x[i] = (V){0} + 1.0f;
    return x;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int arrays, plain, past_caches;
    } patterns[] = {{"read", 1, READ, READ}, {"copy", 2, COPY, COPY_STREAM}, {"add", 3, ADD, ADD_STREAM}};
    const double seconds = argc > 1 ? atof(argv[1]) : 0.2;
    printf("float32 %.1f\n", flops(multiply_adds_float, BYTES / 4, seconds) * 1e-9);
    printf("float64 %.1f\n", flops(multiply_adds_double, BYTES / 8, seconds) * 1e-9);
    for (int a = 2; a < argc; a++) {
        const size_t n = (size_t)atol(argv[a]) * 4 / sizeof(V);
        V *x = array(n), *y = array(n), *z = array(n);
        for (int p = 0; p < 3; p++) {
            const double plain = traffic(patterns[p].plain, patterns[p].arrays, x, y, z, n, seconds);
            const double past = traffic(patterns[p].past_caches, patterns[p].arrays, x, y, z, n, seconds);
            printf("%s %s %.1f\n", patterns[p].name, argv[a], (plain > past ? plain : past) * 1e-9);
        }
        free(x), free(y), free(z);
    }
    return 0;
}
