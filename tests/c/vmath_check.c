/* Checks csrc/vmath.h, and the point functions of csrc/kernels/unary.h made of it, against libm: float functions over all
 * inputs (or every STRIDE-th and its neighbour) against the double functions, double functions on random samples, half of
 * them near roots and at the edges of ranges, against the long double ones.
 *   cc -O3 -std=c11 -ffp-contract=off -fno-math-errno -fno-trapping-math -fno-thread-jumps -fopenmp \
 *      -march=... -I csrc tests/c/vmath_check.c -o vmath_check -lm
 *   ./vmath_check [STRIDE=257] [SAMPLES=1000000] [NAME]
 * Several instruction sets share one walk over the references (tests/numerics.py does this): compile the file once more for
 * each other set with -DVM_TABLE=<set> -c, and this one with -DVM_SET=<set> '-DVM_OTHERS=X(<set>) ...' and their objects.
 * Prints for each set the largest error, where it is, whether the float function is monotone on the points walked (against
 * its largest fall in ulp, where it is not), and a hash of all results (NaNs as one); sets with FMA must print the same
 * hashes. Exits 1 when a bound is exceeded. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vmath.h"

#define BLOCK 2048
#define CHUNKS 256
#define SETS 4

/* ---- the point functions of both types */
#define TT_INLINE static inline __attribute__((always_inline))
#define CAT2(a, b) a##_##b
#define CAT(a, b) CAT2(a, b)
#define F(name) CAT(name, SUFFIX)
#define VM(name) CAT(vm_##name, SUFFIX)
#define SUFFIX f32
#define real float
#define FMA TT_FMAF
#define SQRT __builtin_sqrtf
#include "kernels/unary.h"
#undef SUFFIX
#undef real
#undef FMA
#undef SQRT
#define SUFFIX f64
#define real double
#define FMA TT_FMA
#define SQRT __builtin_sqrt
#include "kernels/unary.h"
#undef real
#undef F
#undef VM
#define POINT(name) \
    TT_INLINE float vm_##name##_f32(float x) { return name##_f_f32(x); } \
    TT_INLINE double vm_##name##_f64(double x) { return name##_f_f64(x); }
POINT(sqrt) POINT(rsqrt) POINT(gelu_tanh)

typedef void (*fn32)(const float *x, const float *x2, float *y, int n);
typedef void (*fn64)(const double *x, const double *x2, double *y, int n);
typedef long double real;

/* gelu_tanh's bounds are those of e^u: u has the rounding error of a polynomial, and the tail multiplies it by u.
 * name, float reference, long double reference, sample range of the double check, bounds in ulp (float, double), whether the
 * float function must be monotone on the points walked, where it turns from falling to rising (NaN: more than once) */
#define RISES -INFINITY
#define FALLS INFINITY
#define FUNCTIONS(F) \
    F(exp, exp, expl, -750, 715, 1.5, 1.5, 1, RISES) \
    F(exp2, exp2, exp2l, -1080, 1030, 1.5, 1.5, 1, RISES) \
    F(expm1, expm1, expm1l, -50, 715, 2, 2, 0, RISES) \
    F(log, log, logl, 0, 10, 1.5, 1.5, 1, RISES) \
    F(log2, log2, log2l, 0, 10, 1.5, 1.5, 1, RISES) \
    F(log10, log10, log10l, 0, 10, 1.5, 1.5, 1, RISES) \
    F(log1p, log1p, log1pl, -1, 10, 2, 2, 0, RISES) \
    F(tanh, tanh, tanhl, -22, 22, 2, 2, 1, RISES) \
    F(sigmoid, r_sigmoid, q_sigmoid, -750, 50, 2, 2, 1, RISES) \
    F(erf, erf, erfl, -6.5, 6.5, 2, 2, 1, RISES) \
    F(erfc, erfc, erfcl, -7, 28, 1, 2.5, 0, FALLS) \
    F(normcdf, r_normcdf, q_normcdf, -39, 9, 2, 3, 0, RISES) \
    F(softplus1, r_softplus1, q_softplus1, -750, 50, 2, 2, 0, RISES) \
    F(sinh, sinh, sinhl, -712, 712, 2, 2, 0, RISES) \
    F(cosh, cosh, coshl, -712, 712, 2, 2, 0, 0) \
    F(asin, asin, asinl, -1, 1, 1.5, 1.5, 0, RISES) \
    F(acos, acos, acosl, -1, 1, 1.5, 1.5, 0, FALLS) \
    F(atan, atan, atanl, -10, 10, 1.5, 1.5, 0, RISES) \
    F(sqrt, sqrt, sqrtl, 0, 10, 0.501, 0.501, 1, RISES) \
    F(rsqrt, r_rsqrt, q_rsqrt, 0, 10, 1.5, 1.5, 0, NAN) \
    F(gelu, r_gelu, q_gelu, -39, 9, 2, 3, 0, -0.75179152) \
    F(gelu_tanh, r_gelu_tanh, q_gelu_tanh, -22, 9, 256, 4096, 0, -0.75246142) \
    F(silu, r_silu, q_silu, -750, 50, 2, 2, 0, -1.2784645)
#define TRIG(F) \
    F(sin, sin, sinl, -1e4, 1e4, 1.5, 1.5, 0, NAN) \
    F(cos, cos, cosl, -1e4, 1e4, 1.5, 1.5, 0, NAN) \
    F(tan, tan, tanl, -1e4, 1e4, 1.5, 2.5, 0, NAN)

/* ---- the functions of one set */
typedef struct {
    fn32 f32;
    fn64 f64;
} point;
/* REPAIR redoes the lanes beyond the vector code's range */
#define KEEP(N, T, x, y)
#define REPAIR(N, T, x, y) if (!(fabs((double)(x)) < VM_TRIG_LIMIT)) (y) = vm_##N##_huge_##T(x);
#define LOOP(N, T, TYPE, AFTER) \
    static void T##_##N(const TYPE *restrict x, const TYPE *restrict x2, TYPE *restrict y, int n) \
    { \
        (void)x2; \
        _Pragma("omp simd") for (int i = 0; i < n; i++) y[i] = vm_##N##_##T(x[i]); \
        for (int i = 0; i < n; i++) { AFTER(N, T, x[i], y[i]) } \
    }
#define PLAIN(N, ...) LOOP(N, f32, float, KEEP) LOOP(N, f64, double, KEEP)
#define FIXED(N, ...) LOOP(N, f32, float, REPAIR) LOOP(N, f64, double, REPAIR)
FUNCTIONS(PLAIN)
TRIG(FIXED)
static void f32_pow(const float *restrict x, const float *restrict x2, float *restrict y, int n)
{
    _Pragma("omp simd") for (int i = 0; i < n; i++) y[i] = vm_pow_f32(x[i], x2[i]);
}
static void f64_pow(const double *restrict x, const double *restrict x2, double *restrict y, int n)
{
    _Pragma("omp simd") for (int i = 0; i < n; i++) y[i] = vm_pow_f64(x[i], x2[i]);
}
#ifdef VM_TABLE
#define VM_EXPORT CAT(vm_table, VM_TABLE)
extern const point VM_EXPORT[];
#else
#define VM_EXPORT vm_table
static
#endif
#define POINTS(N, ...) {f32_##N, f64_##N},
const point VM_EXPORT[] = {FUNCTIONS(POINTS) TRIG(POINTS){f32_pow, f64_pow}};

#ifndef VM_TABLE
#ifndef VM_SET
#define VM_SET here
#endif
#ifndef VM_OTHERS
#define VM_OTHERS
#endif
typedef struct {
    const char *name;
    const point *table;
} set;
#define X(name) extern const point CAT(vm_table, name)[];
VM_OTHERS
#undef X
#define X(name) , {#name, CAT(vm_table, name)}
#define TEXT2(name) #name
#define TEXT(name) TEXT2(name)
static const set sets[] = {{TEXT(VM_SET), vm_table} VM_OTHERS};
enum { COUNT = sizeof sets / sizeof *sets };
_Static_assert(COUNT <= SETS, "more sets than SETS");

/* ---- references: written once in long double; the float check calls the double copies */
static double r_sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double r_normcdf(double x) { return 0.5 * erfc(-0.70710678118654752440 * x); }
static double r_softplus1(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }
static double r_rsqrt(double x) { return 1 / sqrt(x); }
static double r_times(double x, double p) { return p == 0 ? -0.0 : x * p; }  /* -0 at -inf */
static double r_gelu(double x) { return r_times(x, r_normcdf(x)); }
static double r_gelu_tanh(double x) { return r_times(x, r_sigmoid(1.59576912160573071176 * (x + 0.044715 * x * x * x))); }
static double r_silu(double x) { return r_times(x, r_sigmoid(x)); }
static real q_sigmoid(real x) { return 1 / (1 + expl(-x)); }
static real q_softplus1(real x) { return x > 0 ? x + log1pl(expl(-x)) : log1pl(expl(x)); }
/* erfc's argument is -x / sqrt 2 = a + d; the second term carries the effect of d */
static real q_normcdf(real x)
{
    const real c = 0.70710678118654752440084436210484903928L, c2 = (real)-1.2100497426892909e-20L;
    real a = -x * c, d = -fmal(x, c, a) - x * c2;
    if (!(fabsl(x) < 1e4L)) return x < 0 ? 0 : x > 0 ? 1 : x;
    return 0.5L * (erfcl(a) - 1.12837916709551257389615890312154517L * expl(-a * a) * d);
}
static real q_rsqrt(real x) { return 1 / sqrtl(x); }
static real q_times(real x, real p) { return p == 0 ? -0.0L : x * p; }
static real q_gelu(real x) { return q_times(x, q_normcdf(x)); }
static real q_gelu_tanh(real x) { return q_times(x, q_sigmoid(1.59576912160573071176L * (x + 0.044715L * x * x * x))); }
static real q_silu(real x) { return q_times(x, q_sigmoid(x)); }

typedef struct {
    const char *name;
    double (*r)(double);
    real (*q)(real);
    double lo, hi, b32, b64;
    int mono;
    double turn;
} entry;
#define ROW(N, r, q, lo, hi, b32, b64, m, turn) {#N, r, q, lo, hi, b32, b64, m, turn},
static const entry table[] = {FUNCTIONS(ROW) TRIG(ROW){"pow", 0, 0, 0, 0, 1, 1.5, 0, NAN}};

typedef struct {
    double ulp, x, x2, fall;
    uint64_t broken;  /* neighbours in the wrong order; `fall` is the largest such step in ulp */
    uint64_t hash;
} result;

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}
static uint64_t rnd(uint64_t i)  /* splitmix64 */
{
    i = (i + 1) * 0x9e3779b97f4a7c15u;
    i = (i ^ i >> 30) * 0xbf58476d1ce4e5b9u;
    i = (i ^ i >> 27) * 0x94d049bb133111ebu;
    return i ^ i >> 31;
}
static double uniform(uint64_t i, double lo, double hi) { return lo + (hi - lo) * ((double)(rnd(i) >> 11) * 0x1p-53); }
static float key_float(uint64_t k)  /* k = 0 .. 2^32 - 1 in the order of the numbers */
{
    uint32_t u = (uint32_t)k;
    return vm_of_bits_f(u & VM_SIGN_F ? u ^ VM_SIGN_F : ~u);
}

/* error in units in the last place of a format with `bits` bits, least exponent emin and overflow at 2^emax;
 * 1e9 where NaN-ness or the sign of a zero differs */
static double ulps(real got, real want, int bits, int emin, int emax)
{
    int e;
    real top = ldexpl(1, emax);
    if (want != want || got != got) return want != want && got != got ? 0 : 1e9;
    if (got == want) return got == 0 && !signbit(got) != !signbit(want) ? 1e9 : 0;
    if (fabsl(got) > top) got = copysignl(top, got);
    if (fabsl(want) > top) want = copysignl(top, want);
    frexpl(want, &e);
    e -= bits;
    if (want == 0 || e < emin) e = emin;
    return (double)(fabsl(got - want) / ldexpl(1, e));
}
static double ulps32(float got, double want)
{
    if (want != want || got != got) return want != want && got != got ? 0 : 1e9;
    if ((double)got == want) return got == 0 && !signbit(got) != !signbit(want) ? 1e9 : 0;
    double g = fmin(fmax((double)got, -0x1p128), 0x1p128), w = fmin(fmax(want, -0x1p128), 0x1p128);
    uint64_t e = vm_bits_d(w) >> 52 & 0x7ffu;
    if (e < 1023 - 126) e = 1023 - 126;
    return fabs(g - w) * vm_of_bits_d((2046 - (e - 23)) << 52);
}
static void note(result *r, double u, double x, double x2)
{
    if (u > r->ulp) {
        r->ulp = u;
        r->x = x;
        r->x2 = x2;
    }
}
static uint64_t canon32(float y) { return y != y ? 0x7fc00000u : vm_bits_f(y); }
static uint64_t canon64(double y) { return y != y ? 0x7ff8000000000000u : vm_bits_d(y); }

/* samples of pow: any bits, moderate bases and exponents, near one with large exponents, small whole exponents */
static void pow_sample(uint64_t i, double *x, double *y, int f32)
{
    uint64_t a = rnd(4 * i), b = rnd(4 * i + 1);
    switch (i & 3) {
    case 0:
        *x = f32 ? (double)vm_of_bits_f((uint32_t)(a >> 32)) : vm_of_bits_d(a);
        *y = f32 ? (double)vm_of_bits_f((uint32_t)(b >> 32)) : vm_of_bits_d(b);
        break;
    case 1: *x = exp(uniform(4 * i + 2, -5, 5)), *y = uniform(4 * i + 3, -150, 150); break;
    case 2:
        *x = 1 + copysign(exp(uniform(4 * i + 2, f32 ? -16.0 : -36.0, -1)), uniform(4 * i + 1, -1, 1));
        *y = uniform(4 * i + 3, -1, 1) * (f32 ? 110 : 760) / log(*x);
        break;
    default: *x = uniform(4 * i + 2, -1e3, 1e3), *y = (double)((int)(b % 41) - 20);
    }
}

/* `last` and `x0`: the value at the number before, NaN where there is none */
static void order(const entry *t, result *res, float x0, float last, float x, float y)
{
    int wrong = (double)x0 >= t->turn ? y < last : (double)x <= t->turn ? y > last : 0;
    if (wrong) {
        double step = ulps32(y, (double)last);
        res->broken++;
        if (step > res->fall) res->fall = step;
    }
}
static void chunk32(int f, int c, uint64_t stride, uint64_t samples, result *res)
{
    static _Thread_local float x[2 * BLOCK], x2[2 * BLOCK], y[2 * BLOCK];
    static _Thread_local double want[2 * BLOCK];
    const entry *t = table + f;
    const uint64_t total = t->r ? (((uint64_t)1 << 32) + stride - 1) / stride : samples * 8;
    uint64_t k = total * (uint64_t)c / CHUNKS, end = total * (uint64_t)(c + 1) / CHUNKS;
    float before = k && t->r ? key_float(k * stride - 1) : VM_NAN_F, last[SETS];
    for (int s = 0; s < COUNT; s++) sets[s].table[f].f32(&before, &before, last + s, 1);
    while (k < end) {
        int n = (int)(end - k < BLOCK ? end - k : BLOCK), pairs = t->r && stride > 1;
        for (int i = 0; i < n; i++) {
            uint64_t key = (k + (uint64_t)i) * stride;
            double a = 0, b = 0;
            if (!t->r) {
                pow_sample(k + (uint64_t)i, &a, &b, 1);
                x[i] = (float)a, x2[i] = (float)b;
            } else if (pairs)
                x[2 * i] = key_float(key), x[2 * i + 1] = key_float(key < 0xffffffffu ? key + 1 : key);
            else
                x[i] = key_float(key);
        }
        int m = pairs ? 2 * n : n;
        for (int i = 0; i < m; i++) want[i] = t->r ? t->r((double)x[i]) : pow((double)x[i], (double)x2[i]);
        for (int s = 0; s < COUNT; s++) {
            float x0 = before;
            sets[s].table[f].f32(x, x2, y, m);
            for (int i = 0; i < m; i++) {
                if (y[i] != (float)want[i] || y[i] == 0 || res[s].ulp < 0.5)  /* else at most half a place */
                    note(res + s, ulps32(y[i], want[i]), (double)x[i], t->r ? 0 : (double)x2[i]);
                res[s].hash = mix(res[s].hash, canon32(y[i]));
                order(t, res + s, x0, last[s], x[i], y[i]);
                x0 = x[i], last[s] = y[i];
            }
        }
        before = x[m - 1];
        k += (uint64_t)n;
    }
}
static double neighbour(double x, uint64_t bits) { return vm_of_bits_d(vm_bits_d(x) + bits % 129 - 64); }
/* near zeros, poles and turning points of all functions, where a power of two or an argument reduction begins, and the ends of
 * the stated range, within 64 numbers */
static double near_something(uint64_t j, const entry *t)
{
    static const double special[] = {0x1p-1022, 0.375, 0.5, 0.625, 0.70710678118654752, 1, 1.25, 1.4142135623730951,
        0.41421356237309503, 2.4142135623730949, 0.84375, 2, 4, 6, 16, 28, 0.75179152, 1.2784645, 708.39641853226408,
        709.78271289338397, 745.13321910194122, 1022, 1024, 1074, 26.543, 37.519, 38.485, 0x1p30, 0x1p53, 0x1p500, 0x1p1023};
    double sign = rnd(7 * j) & 1 ? -1 : 1;
    uint64_t b = rnd(7 * j + 1);
    switch (rnd(7 * j + 2) % 5) {
    case 0: return 1 + sign * exp2(uniform(7 * j + 3, -52, -1));
    case 1: return sign * neighbour((double)((real)(1 + rnd(7 * j + 4) % 4096) * 0.78539816339744830961566084581987572L), b);
    case 2: return sign * neighbour((double)((real)(1 + rnd(7 * j + 4) % 2048) * 0.34657359027997265470861606072908828L), b);
    case 3: return neighbour(rnd(7 * j + 4) & 1 && t->lo != 0 ? t->lo : t->hi, b);
    default: return sign * neighbour(special[rnd(7 * j + 4) % (sizeof special / sizeof *special)], b);
    }
}
static void chunk64(int f, int c, uint64_t samples, result *res)
{
    static _Thread_local double x[BLOCK], x2[BLOCK], y[BLOCK];
    static _Thread_local real want[BLOCK];
    const entry *t = table + f;
    uint64_t k = samples * (uint64_t)c / CHUNKS, end = samples * (uint64_t)(c + 1) / CHUNKS;
    while (k < end) {
        int n = (int)(end - k < BLOCK ? end - k : BLOCK);
        for (int i = 0; i < n; i++) {
            uint64_t j = k + (uint64_t)i;
            if (!t->q)
                pow_sample(j, x + i, x2 + i, 0);
            else if (j % 2)
                x[i] = near_something(j, t);
            else if (j % 6 == 0)  /* any bits; any double around one; the stated range */
                x[i] = vm_of_bits_d(rnd(3 * j));
            else if (j % 6 == 2)
                x[i] = copysign(exp(uniform(3 * j, -30, 4)), uniform(3 * j + 1, -1, 1));
            else
                x[i] = uniform(3 * j + 2, t->lo, t->hi);
        }
        for (int i = 0; i < n; i++) want[i] = t->q ? t->q(x[i]) : powl(x[i], x2[i]);
        for (int s = 0; s < COUNT; s++) {
            sets[s].table[f].f64(x, x2, y, n);
            for (int i = 0; i < n; i++) {
                note(res + s, ulps(y[i], want[i], 53, -1074, 1024), x[i], t->q ? 0 : x2[i]);
                res[s].hash = mix(res[s].hash, canon64(y[i]));
            }
        }
        k += (uint64_t)n;
    }
}
static void run(int f, int f32, uint64_t stride, uint64_t samples, result *all)
{
    static result part[CHUNKS][SETS];
    memset(part, 0, sizeof part);
    memset(all, 0, SETS * sizeof *all);
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic)
#endif
    for (int c = 0; c < CHUNKS; c++) {
        if (f32) chunk32(f, c, stride, samples, part[c]);
        else chunk64(f, c, samples, part[c]);
    }
    for (int s = 0; s < COUNT; s++)
        for (int c = 0; c < CHUNKS; c++) {
            const result *r = &part[c][s];
            note(all + s, r->ulp, r->x, r->x2);
            all[s].broken += r->broken;
            all[s].fall = fmax(all[s].fall, r->fall);
            all[s].hash = mix(all[s].hash, r->hash);
        }
}

/* Special values: every function on the edges of the format against libm, exact where the value is a small number of halves;
 * pow on all pairs. */
static int simple(real want) { return fabsl(want) <= 1024 && want + want == rintl(want + want); }
static int specials(const set *the, const char *only)
{
    static const double edge[] = {0, 1, 2, 3, 0.5, 2.5, 1e-3, 1e3, 1e9, 0x1p24, 0x1.fffffep23, 0x1p30, 0x1p53, 0x1p-126,
        0x1p-149, 0x1p-150, 0x1.fffffep127, 0x1p128, 0x1p-1022, 0x1p-1074, 0x1.fffffffffffffp1023,
        0x1.921fb54442d18p+0};
    enum { E = (int)(sizeof edge / sizeof *edge) + 2, N = 2 * E };
    double x[N];
    int bad = 0;
    for (int i = 0; i < E; i++) {
        x[2 * i] = i < E - 2 ? edge[i] : i == E - 2 ? (double)INFINITY : (double)NAN;
        x[2 * i + 1] = -x[2 * i];
    }
    for (unsigned f = 0; f < sizeof table / sizeof *table; f++) {
        const entry *t = table + f;
        if (only && strcmp(only, t->name)) continue;
        for (int i = 0; i < N; i++) {
            for (int j = 0; j < (t->r ? 1 : N); j++) {
                float a = (float)x[i], b = (float)x[j], y;
                double z;
                the->table[f].f32(&a, &b, &y, 1);
                the->table[f].f64(x + i, x + j, &z, 1);
                double want = t->r ? t->r((double)a) : pow((double)a, (double)b);
                real wide = t->q ? t->q(x[i]) : powl(x[i], x[j]);
                if (ulps32(y, want) > t->b32 || (t->r && simple((real)want) && (double)y != want)) {
                    printf("%s: %s_f32(%a, %a) = %a, expected %a\n", the->name, t->name, (double)a, (double)b, (double)y, want);
                    bad++;
                }
                if (ulps(z, wide, 53, -1074, 1024) > t->b64 || (t->q && simple(wide) && (real)z != wide)) {
                    printf("%s: %s_f64(%a, %a) = %a, expected %La\n", the->name, t->name, x[i], x[j], z, wide);
                    bad++;
                }
            }
        }
    }
    return bad;
}

int main(int argc, char **argv)
{
    uint64_t stride = argc > 1 ? strtoull(argv[1], 0, 10) : 257;
    uint64_t samples = argc > 2 ? strtoull(argv[2], 0, 10) : 1000000;
    const char *only = argc > 3 ? argv[3] : 0;
    if (!stride || !samples) {
        fprintf(stderr, "usage: vmath_check [STRIDE >= 1] [SAMPLES >= 1] [NAME]\n");
        return 2;
    }
    int bad = 0;
    for (int s = 0; s < COUNT; s++) bad += specials(sets + s, only);
    if (bad) printf("%d wrong special values\n", bad);
    printf("%-14s %8s  %-50s %-14s %-16s %s\n", "name", "max_ulp", "worst_input", "monotone", "hash", "set");
    for (int f = 0; f < (int)(sizeof table / sizeof *table); f++) {
        const entry *t = table + f;
        if (only && strcmp(only, t->name)) continue;
        for (int f32 = 1; f32 >= 0; f32--) {
            result all[SETS];
            run(f, f32, stride, samples, all);
            for (int s = 0; s < COUNT; s++) {
                const result *r = all + s;
                int fail = !(r->ulp <= (f32 ? t->b32 : t->b64)) || (f32 && t->mono && r->broken);
                char where[64], name[32], rises[48];
                snprintf(name, sizeof name, "%s_%s", t->name, f32 ? "f32" : "f64");
                snprintf(where, sizeof where, t->r ? "%a" : "%a,%a", r->x, r->x2);
                snprintf(rises, sizeof rises, "no:%" PRIu64 ":%.2g", r->broken, r->fall);
                printf("%-14s %8.3f  %-50s %-14s %016" PRIx64 " %s%s\n", name, r->ulp, where,
                       !f32 || t->turn != t->turn ? "-" : r->broken ? rises : "yes", r->hash, sets[s].name,
                       fail ? "  EXCEEDED" : "");
                fflush(stdout);
                bad += fail;
            }
        }
    }
    return bad != 0;
}
#endif
