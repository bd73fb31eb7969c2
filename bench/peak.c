/* What the machine can do at most: float32 multiply-adds and memory traffic on all threads. Prints GFLOP/s and GB/s.
   usage: peak SECONDS */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define LANES (BYTES / 4)
#define CHAINS 12 /* more than latency times pipes, fewer than registers */
typedef float V __attribute__((vector_size(BYTES)));

static float multiply_adds(long times) {
    V acc[CHAINS], a = {0}, b = {0};
    for (int i = 0; i < LANES; i++) a[i] = 0.999f, b[i] = 1e-3f;
    for (int c = 0; c < CHAINS; c++) acc[c] = a + (float)c;
    __asm__ volatile("" : "+x"(a), "+x"(b));
    for (long t = 0; t < times; t++)
        for (int c = 0; c < CHAINS; c++) acc[c] = acc[c] * a + b;
    float sum = 0;
    for (int c = 0; c < CHAINS; c++)
        for (int i = 0; i < LANES; i++) sum += acc[c][i];
    return sum;
}

int main(int argc, char **argv) {
    const double seconds = argc > 1 ? atof(argv[1]) : 0.2;
    const long times = 1000000;
    const size_t n = 1 << 24;
    double flops = 0, bytes = 0;
    volatile float sink = 0;
    for (double end = omp_get_wtime() + seconds; omp_get_wtime() < end;) {
        int threads = 1;
        double begin = omp_get_wtime();
#pragma omp parallel
        {
            float r = multiply_adds(times);
#pragma omp critical
            sink = sink + r;
#pragma omp single
            threads = omp_get_num_threads();
        }
        double rate = 2.0 * LANES * CHAINS * (double)times * threads / (omp_get_wtime() - begin);
        flops = rate > flops ? rate : flops;
    }
    float *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y), *z = malloc(n * sizeof *z);
    if (!x || !y || !z) return 1;
#pragma omp parallel for
    for (size_t i = 0; i < n; i++) x[i] = y[i] = z[i] = 1;
    for (double end = omp_get_wtime() + seconds; omp_get_wtime() < end;) { /* McCalpin's triad */
        double begin = omp_get_wtime();
#pragma omp parallel for simd
        for (size_t i = 0; i < n; i++) z[i] = x[i] + 3 * y[i];
        double rate = 3.0 * (double)(n * sizeof *x) / (omp_get_wtime() - begin);
        bytes = rate > bytes ? rate : bytes;
        sink = sink + z[n / 2];
    }
    printf("%.1f %.1f\n", flops * 1e-9, bytes * 1e-9);
    return 0;
}
