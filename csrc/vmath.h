/* vmath.h: branch-free elementary functions of one float or double, to be vectorised by the compiler.
 * Every function is straight-line code (ternaries become blends), so a loop under `omp simd` over any of them
 * vectorises on SSE2, AVX2 and AVX-512. Every fused multiply-add is explicit (build with -ffp-contract=off): all
 * targets with FMA give equal bits. Targets without it differ in bits, not in the error bounds that
 * tests/c/vmath_check.c checks. Coefficients are our own Remez fits, relative error below 2^-26 (float) or
 * 2^-56 (double). */
#ifndef TT_VMATH_H
#define TT_VMATH_H

#include <stdint.h>
#include <string.h>

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define VM_HAVE_FMA 1
#else
#define VM_HAVE_FMA 0
#endif
#ifndef TT_FMAF
#if VM_HAVE_FMA
#define TT_FMAF(a, b, c) __builtin_fmaf((a), (b), (c))
#else
#define TT_FMAF(a, b, c) ((a) * (b) + (c))
#endif
#endif
#ifndef TT_FMA
#if VM_HAVE_FMA
#define TT_FMA(a, b, c) __builtin_fma((a), (b), (c))
#else
#define TT_FMA(a, b, c) ((a) * (b) + (c))
#endif
#endif

#define VM_FN static inline __attribute__((always_inline))

/* Adding and subtracting these rounds to an integer, which also stands in the sum's low bits. */
#define VM_MAGIC_F 12582912.0f          /* 1.5 * 2^23 */
#define VM_MAGIC_D 6755399441055744.0   /* 1.5 * 2^52 */
#define VM_INF_F __builtin_inff()
#define VM_NAN_F __builtin_nanf("")
#define VM_INF_D __builtin_inf()
#define VM_NAN_D __builtin_nan("")
#define VM_SIGN_F 0x80000000u
#define VM_SIGN_D 0x8000000000000000u
#define VM_ONE_F 0x3f800000u
#define VM_ONE_D 0x3ff0000000000000u

VM_FN uint32_t vm_bits_f(float x) { uint32_t u; memcpy(&u, &x, sizeof u); return u; }
VM_FN float vm_of_bits_f(uint32_t u) { float x; memcpy(&x, &u, sizeof x); return x; }
VM_FN uint64_t vm_bits_d(double x) { uint64_t u; memcpy(&u, &x, sizeof u); return u; }
VM_FN double vm_of_bits_d(uint64_t u) { double x; memcpy(&x, &u, sizeof x); return x; }

/* magnitude a >= +0 with the sign of x */
VM_FN float vm_sign_f(float a, float x) { return vm_of_bits_f(vm_bits_f(a) | (vm_bits_f(x) & VM_SIGN_F)); }
VM_FN double vm_sign_d(double a, double x) { return vm_of_bits_d(vm_bits_d(a) | (vm_bits_d(x) & VM_SIGN_D)); }

/* a last step that must round once: without FMA the product is taken in double */
VM_FN float vm_fma_f(float a, float b, float c)
{
#if VM_HAVE_FMA
    return TT_FMAF(a, b, c);
#else
    return (float)((double)a * (double)b + (double)c);
#endif
}
/* a * b = result + *lo (Dekker's product by halves where there is no FMA) */
VM_FN double vm_two_prod_d(double a, double b, double *lo)
{
    double h = a * b;
#if VM_HAVE_FMA
    *lo = TT_FMA(a, b, -h);
#else
    double ah = vm_of_bits_d(vm_bits_d(a) & 0xfffffffff8000000u), al = a - ah;
    double bh = vm_of_bits_d(vm_bits_d(b) & 0xfffffffff8000000u), bl = b - bh;
    *lo = ((ah * bh - h) + (ah * bl + al * bh)) + al * bl;
#endif
    return h;
}

/* x * x = result + *lo; without FMA the high part is the exact square of x's high half (fdlibm's erfc) */
VM_FN double vm_two_sqr_d(double x, double *lo)
{
#if VM_HAVE_FMA
    double h = x * x;
    *lo = TT_FMA(x, x, -h);
#else
    double a = vm_of_bits_d(vm_bits_d(x) & 0xfffffffff8000000u), h = a * a;
    *lo = (x - a) * (x + a);
#endif
    return h;
}

/* ---------------------------------------------------------------- exponentials, float
 * e^x = (1 + result) * 2^n, Cody-Waite reduction; n is left in the low bits of *u. */
VM_FN float vm_expcore_f(float x, uint32_t *u)
{
    float t = TT_FMAF(x, 1.44269504f, VM_MAGIC_F), n = t - VM_MAGIC_F;
    float r = TT_FMAF(n, -0x1.62e4p-1f, x);  /* exact */
    r = TT_FMAF(n, -0x1.7f7d1cp-20f, r);
    float s = r * r;
    float q = TT_FMAF(0.00138141634f, s, TT_FMAF(0.00836892147f, r, 0.0416684076f));
    q = TT_FMAF(q, s, TT_FMAF(0.166665196f, r, 0.49999994f));
    *u = vm_bits_f(t);
    return TT_FMAF(s, q, r);
}
/* 2^n for n in the low bits of u, normal results only */
VM_FN float vm_pow2_f(uint32_t u) { return vm_of_bits_f((u << 23) + VM_ONE_F); }

/* p * 2^n in two steps, so that overflow and gradual underflow round once */
VM_FN float vm_scale_f(float p, uint32_t u)
{
    uint32_t h = u >> 1;
    return p * vm_pow2_f(h) * vm_pow2_f(u - h);
}
VM_FN float vm_clamp_f(float x, float a, float b)
{
    float y = x < a ? a : x;
    return y > b ? b : y;
}
VM_FN float vm_exp_f32(float x)
{
    uint32_t u;
    float p = vm_expcore_f(vm_clamp_f(x, -105.0f, 89.0f), &u);
    return vm_scale_f(1.0f + p, u);
}
VM_FN float vm_exp2_f32(float x)
{
    float c = vm_clamp_f(x, -152.0f, 129.0f), t = c + VM_MAGIC_F, r = c - (t - VM_MAGIC_F);
    float s = r * r;
    float q = TT_FMAF(0.000153204935f, s, TT_FMAF(0.0013390613f, r, 0.00961853284f));
    q = TT_FMAF(q, s, TT_FMAF(0.0555036142f, r, 0.240226477f));
    float p = vm_fma_f(r, 0x1.62e43p-1f, TT_FMAF(s, q, r * -0x1.05c61p-29f));
    return vm_scale_f(1.0f + p, vm_bits_f(t));
}
VM_FN float vm_expm1_f32(float x)
{
    float c = vm_clamp_f(x, -26.0f, 89.0f);
    float t = TT_FMAF(c, 1.44269504f, VM_MAGIC_F), n = t - VM_MAGIC_F;
    float r = TT_FMAF(n, -0x1.62e4p-1f, c);
    r = TT_FMAF(n, -0x1.7f7d1cp-20f, r);
    float s = r * r;
    float q = TT_FMAF(0.000199632326f, r, 0.00139435439f);
    q = TT_FMAF(q, s, TT_FMAF(0.00833321828f, r, 0.0416663215f)); q = TT_FMAF(q, s, TT_FMAF(0.166666672f, r, 0.5f));
    float p = TT_FMAF(s, q, r);
    uint32_t u = vm_bits_f(t), h = u >> 1, g = u - h;
    float a = vm_pow2_f(h), b = vm_pow2_f(g), binv = vm_of_bits_f(VM_ONE_F - (g << 23));
    float y = TT_FMAF(a, p, a - binv) * b;  /* 2^n p + (2^n - 1) */
    return x == 0.0f ? x : y;
}
/* m / (1 + e^-x), |m| <= 110: both terms scaled so that neither tail overflows, and m with them, so that the quotient rounds once
 * into the subnormals; s + a is exact but for the far left */
VM_FN float vm_logistic_f(float x, float m)
{
    uint32_t u;
    float p = vm_expcore_f(-vm_clamp_f(x, -110.0f, 110.0f), &u);
    uint32_t h = u >> 1;
    float a = vm_pow2_f(h), s = vm_of_bits_f(VM_ONE_F - ((u - h) << 23));
    return m * s / ((x < -16.0f ? a : s + a) + TT_FMAF(p, a, x < -16.0f ? s : 0.0f));
}
VM_FN float vm_sigmoid_f32(float x) { return vm_logistic_f(x, 1.0f); }
VM_FN float vm_silu_f32(float x)
{
    float y = vm_logistic_f(x, vm_clamp_f(x, -110.0f, 110.0f));
    return x > 110.0f ? x : y;
}
/* x + x^3 P(x^2) near zero, else 1 - 2 / (e^2x + 1) */
VM_FN float vm_tanh_f32(float x)
{
    uint32_t u;
    float a = __builtin_fabsf(x), b = a > 10.0f ? 10.0f : a, s = b * b;
    float p = vm_expcore_f(b + b, &u), e = vm_pow2_f(u);
    float big = 1.0f - 2.0f / TT_FMAF(p, e, e + 1.0f);
    float z = s * s;
    float q = TT_FMAF(0.0021430701f, s, -0.00817754678f);
    q = TT_FMAF(q, z, TT_FMAF(0.0217007771f, s, -0.0539467782f));
    q = TT_FMAF(q, z, TT_FMAF(0.133332059f, s, -0.333333313f));
    float small = TT_FMAF(b * s, q, b);
    return vm_sign_f(a < 0.625f ? small : big, x);
}
/* e^|x| / 2 = e (overflowing only where sinh does): cosh = e + 1 / 4e, sinh = e - 1 / 4e or x + x^3 P(x^2) */
VM_FN float vm_halfexp_f(float a)
{
    uint32_t u;
    float p = vm_expcore_f(a > 92.0f ? 92.0f : a, &u);
    return vm_scale_f(1.0f + p, u - 1u);
}
VM_FN float vm_cosh_f32(float x)
{
    float e = vm_halfexp_f(__builtin_fabsf(x));
    return e + 0.25f / e;
}
VM_FN float vm_sinh_f32(float x)
{
    float a = __builtin_fabsf(x), e = vm_halfexp_f(a), b = a < 1.0f ? a : 1.0f, s = b * b;
    float q = 2.81695361e-06f; q = TT_FMAF(q, s, 0.000198361595f); q = TT_FMAF(q, s, 0.0083333496f);
    q = TT_FMAF(q, s, 0.166666672f);
    return vm_sign_f(a < 1.0f ? TT_FMAF(b * s, q, b) : e - 0.25f / e, x);
}
/* log(1 + e^x) = max(x, 0) + log1p(e^-|x|) */
VM_FN float vm_softplus1_f32(float x)
{
    uint32_t u;
    float a = __builtin_fabsf(x), b = a > 105.0f ? 105.0f : a;
    float p = vm_expcore_f(-b, &u), e = vm_scale_f(1.0f + p, u);
    float w = e - 0.5f, z = w * w;
    float q = TT_FMAF(0.00316943694f, z, TT_FMAF(-0.00694627129f, w, 0.0102639655f));
    q = TT_FMAF(q, z, TT_FMAF(-0.0166576896f, w, 0.0288916267f));
    q = TT_FMAF(q, z, TT_FMAF(-0.0510884896f, w, 0.0932324529f));
    q = TT_FMAF(q, z, TT_FMAF(-0.179224908f, w, 0.378139555f));
    return vm_fma_f(-(e * e), q, x < 0.0f ? e : x) + (x < 0.0f ? 0.0f : e);
}

/* ---------------------------------------------------------------- error functions, float */
VM_FN float vm_erf_f32(float x)
{
    uint32_t u;
    float a = __builtin_fabsf(x), t = a > 4.0f ? 4.0f : a, s = t * t;
    float q = TT_FMAF(4.93822427e-06f, t, -4.55814479e-05f);
    q = TT_FMAF(q, s, TT_FMAF(-4.95849963e-05f, t, 0.00293015223f));
    q = TT_FMAF(q, s, TT_FMAF(-0.0226741284f, t, 0.105262689f));
    q = TT_FMAF(q, s, TT_FMAF(0.635625303f, t, 0.128551751f));
    float p = vm_expcore_f(-vm_fma_f(q, t, t), &u), c = vm_pow2_f(u);
    float big = TT_FMAF(-p, c, 1.0f - c);
    s -= 0.5f;
    float z = s * s;
    float w = TT_FMAF(7.85390657e-05f, z, TT_FMAF(-0.000565404771f, s, 0.00348029891f));
    w = TT_FMAF(w, z, TT_FMAF(-0.0182833578f, s, 0.0794099793f));
    w = vm_fma_f(vm_fma_f(w, s, -0.281072199f), s, -0.0345312618f);
    float small = vm_fma_f(w, t, t);
    return vm_sign_f(a < 1.0f ? small : big, x);
}
/* erfc(x) = e^-h t P(t), h = x^2, t = k / (x + k), x >= 0 (after Shepherd and Laframboise), in double: errors of the
 * float x^2 would be multiplied by x^2 */
VM_FN double vm_erfctail_f(double h, double t)
{
    double z = t * t;
    double g = TT_FMA(0.055416784994888335, t, -0.29050463783573283);
    g = TT_FMA(g, z, TT_FMA(0.5318298277469693, t, -0.43592535519654968));
    g = TT_FMA(g, z, TT_FMA(0.3990887229966289, t, 0.00048590958502404735));
    g = TT_FMA(g, z, TT_FMA(0.19129985431049296, t, 0.1716080107778282));
    g = TT_FMA(g, z, TT_FMA(0.18866398649028446, t, 0.18803689392119144));
    g *= t;
    double w = TT_FMA(h, -1.4426950408889634, VM_MAGIC_D), n = w - VM_MAGIC_D;
    double r = -TT_FMA(n, 0.69314718055994531, h);
    double s = r * r;
    double q = TT_FMA(0.0013814163479028527, s, TT_FMA(0.0083689216067913408, r, 0.041668408202667068));
    q = TT_FMA(q, s, TT_FMA(0.1666651893924706, r, 0.49999993332157433));
    q = TT_FMA(s, q, r);
    return TT_FMA(g, q, g) * vm_of_bits_d((vm_bits_d(w) << 52) + VM_ONE_D);
}
VM_FN float vm_erfc_f32(float x)
{
    float a = __builtin_fabsf(x);
    double b = (double)(a > 10.5f ? 10.5f : a), y = vm_erfctail_f(b * b, 3.0 / (b + 3.0));
    return (float)(x < 0.0f ? 2.0 - y : y);
}
/* m normcdf(-|x|): half of m erfc(|x| / sqrt 2), scaled last, so that subnormals round once. In float arithmetic where FMA
 * gives the errors of products: e^(-x^2/2) P(v) / (a + 1.125), a = |x|, v = (a - 4) / (a + 4); e, ql, gl are the errors of
 * the reciprocal (later e^r's too), of P's last sum and of the product. */
#if VM_HAVE_FMA
VM_FN float vm_normtail_f(float x, float m)
{
    float b = __builtin_fabsf(x), a = b > 14.5f ? 14.5f : b;
    float v = (a - 4.0f) / (a + 4.0f), z = v * v, d = a + 1.125f, rcp = 1.0f / d;
    float e = TT_FMAF(-rcp, a - (d - 1.125f), TT_FMAF(-rcp, d, 1.0f));
    float q = TT_FMAF(-7.0871065e-05f, v, -6.78564393e-05f);
    q = TT_FMAF(q, z, TT_FMAF(0.000671152142f, v, -0.000222383896f));
    q = TT_FMAF(q, z, TT_FMAF(-0.00494122785f, v, 0.0168782528f));
    q = TT_FMAF(q, z, TT_FMAF(-0.0283391643f, v, 0.0196366012f));
    q = TT_FMAF(q, z, TT_FMAF(0.029547004f, v, -0.118003182f));
    float s = TT_FMAF(q, v, 0.483854532f), ql = TT_FMAF(q, v, 0.483854532f - s) + 4.76019668e-09f;
    float g = s * rcp, gl = TT_FMAF(s, rcp, -g);
    float h = -0.5f * (a * a), lo = -0.5f * TT_FMAF(a, a, h + h);
    float t = TT_FMAF(h, 1.44269504f, VM_MAGIC_F), n = t - VM_MAGIC_F;
    float r0 = TT_FMAF(n, -0x1.62e4p-1f, h), c = TT_FMAF(n, 0x1.7f7d1cp-20f, -lo), r = r0 - c, rl = (r0 - r) - c;
    float y = r * r;
    float w = TT_FMAF(0.00138141634f, y, TT_FMAF(0.00836892147f, r, 0.0416684076f));
    w = TT_FMAF(w, y, TT_FMAF(0.166665196f, r, 0.49999994f));
    float tl = TT_FMAF(y, w, rl), p = r + tl;
    e += (r - p) + tl;
    y = TT_FMAF(m, g, m * TT_FMAF(g, p, TT_FMAF(g, e, TT_FMAF(ql, rcp, gl))));
    return vm_scale_f(y, vm_bits_f(t));
}
VM_FN float vm_normcdf_f32(float x)
{
    float y = vm_normtail_f(x, 1.0f);
    return x > 0.0f ? 1.0f - y : y;
}
VM_FN float vm_gelu_f32(float x)
{
    float a = __builtin_fabsf(x), y = vm_normtail_f(x, a > 14.5f ? 14.5f : a);
    return x >= 0.0f ? x - y : -y;  /* keeps the sign of 0 */
}
#else
VM_FN double vm_normtail_f(float x, double m)
{
    float a = __builtin_fabsf(x);
    double b = (double)(a > 14.8f ? 14.8f : a);
    return m * (0.5 * vm_erfctail_f(0.5 * b * b, 4.2426406871192848 / (b + 4.2426406871192848)));
}
VM_FN float vm_normcdf_f32(float x)
{
    double y = vm_normtail_f(x, 1.0);
    return (float)(x > 0.0f ? 1.0 - y : y);
}
VM_FN float vm_gelu_f32(float x)
{
    float a = __builtin_fabsf(x);
    double y = vm_normtail_f(x, (double)(a > 14.8f ? 14.8f : a));
    return (float)(x >= 0.0f ? (double)x - y : -y);  /* keeps the sign of 0 */
}
#endif

/* ---------------------------------------------------------------- logarithms, float
 * log(2^k (1 + f)) for f in [sqrt 1/2, sqrt 2) - 1 */
VM_FN float vm_logcore_f(float f, float k)
{
    float s = f * f;
    float q = TT_FMAF(0.0674660802f, s, TT_FMAF(-0.116755232f, f, 0.118881173f));
    q = TT_FMAF(q, s, TT_FMAF(-0.124056213f, f, 0.142195642f));
    q = TT_FMAF(q, s, TT_FMAF(-0.166679934f, f, 0.200021178f));
    q = TT_FMAF(q, s, TT_FMAF(-0.250000089f, f, 0.333333135f));
    float w = TT_FMAF(k, 0x1.7f7d1cp-20f, s * f * q);
    w = TT_FMAF(-0.5f, s, w) + f;
    return TT_FMAF(k, 0x1.62e4p-1f, w);
}
/* x = m 2^k, m in [sqrt 1/2, sqrt 2), for positive normal x */
VM_FN float vm_split_f(float x, float *k)
{
    uint32_t i = vm_bits_f(x) - 0x3f3504f3u;
    *k = (float)((int32_t)i >> 23);
    return vm_of_bits_f((i & 0x7fffffu) + 0x3f3504f3u);
}
VM_FN float vm_logends_f(float x, float y)
{
    y = x < VM_INF_F ? y : x;
    return x > 0.0f ? y : (x == 0.0f ? -VM_INF_F : VM_NAN_F);
}
VM_FN float vm_log_f32(float x)
{
    float k, m = vm_split_f(x < 0x1p-126f ? x * 0x1p23f : x, &k);
    return vm_logends_f(x, vm_logcore_f(m - 1.0f, x < 0x1p-126f ? k - 23.0f : k));
}
/* k + log2(1 + f) and k log10(2) + log10(1 + f): the base's constant multiplies f and the tail w apart */
VM_FN float vm_logtail_f(float f)
{
    float s = f * f;
    float q = TT_FMAF(0.0674660802f, s, TT_FMAF(-0.116755232f, f, 0.118881173f));
    q = TT_FMAF(q, s, TT_FMAF(-0.124056213f, f, 0.142195642f));
    q = TT_FMAF(q, s, TT_FMAF(-0.166679934f, f, 0.200021178f));
    q = TT_FMAF(q, s, TT_FMAF(-0.250000089f, f, 0.333333135f));
    return TT_FMAF(-0.5f, s, s * f * q);
}
VM_FN float vm_log2_f32(float x)
{
    float k, f = vm_split_f(x < 0x1p-126f ? x * 0x1p23f : x, &k) - 1.0f, w = vm_logtail_f(f);
    float t = TT_FMAF(w, 0x1.715476p+0f, f * 0x1.4ae0cp-26f);
    return vm_logends_f(x, vm_fma_f(f, 0x1.715476p+0f, t) + (x < 0x1p-126f ? k - 23.0f : k));
}
VM_FN float vm_log10_f32(float x)
{
    float k, f = vm_split_f(x < 0x1p-126f ? x * 0x1p23f : x, &k) - 1.0f, w = vm_logtail_f(f);
    k = x < 0x1p-126f ? k - 23.0f : k;
    float t = TT_FMAF(w, 0x1.bcb7b2p-2f, TT_FMAF(k, 0x1.3509f8p-18f, f * -0x1.5b235ep-27f));
    return vm_logends_f(x, TT_FMAF(k, 0x1.344p-2f, vm_fma_f(f, 0x1.bcb7b2p-2f, t)));
}
/* f = x 2^-k + (2^-k - 1) rounds once; the m - 1 form serves where 2^-k would leave the range */
VM_FN float vm_log1p_f32(float x)
{
    float v = 1.0f + x, k, m = vm_split_f(v, &k);
    uint32_t ki = (uint32_t)(int32_t)k;
    float s = vm_of_bits_f(VM_ONE_F - (ki << 23));
    float f = x > 0x1p30f ? m - 1.0f : TT_FMAF(x, s, s - 1.0f);
    float y = vm_logcore_f(f, k);
    y = x < VM_INF_F ? y : x;
    y = x == 0.0f ? x : y;
    return x > -1.0f ? y : (x == -1.0f ? -VM_INF_F : VM_NAN_F);
}

/* ---------------------------------------------------------------- exponentials, double */
VM_FN double vm_expcore_d(double x, double lo, uint64_t *u)
{
    double t = TT_FMA(x, 1.4426950408889634, VM_MAGIC_D), n = t - VM_MAGIC_D;
    double r0 = TT_FMA(n, -0x1.62e42fefa38p-1, x);  /* exact */
    double c = TT_FMA(n, 0x1.ef35793c7673p-45, -lo), r = r0 - c, d = (r0 - r) - c;
    double s = r * r;
    double q = TT_FMA(2.0826276733731185e-09, s, TT_FMA(2.5112383534488232e-08, r, 2.7557585140657038e-07));
    q = TT_FMA(q, s, TT_FMA(2.7557233884588516e-06, r, 2.4801586919725943e-05));
    q = TT_FMA(q, s, TT_FMA(0.00019841269897342441, r, 0.0013888888889121154));
    q = TT_FMA(q, s, TT_FMA(0.0083333333333166556, r, 0.041666666666666075));
    q = TT_FMA(q, s, TT_FMA(0.16666666666666685, r, 0.5));
    *u = vm_bits_d(t);
    return r + TT_FMA(s, q, d);
}
VM_FN double vm_pow2_d(uint64_t u) { return vm_of_bits_d((u << 52) + VM_ONE_D); }
VM_FN double vm_scale_d(double p, uint64_t u)
{
    uint64_t h = u >> 1;
    return p * vm_pow2_d(h) * vm_pow2_d(u - h);
}
VM_FN double vm_clamp_d(double x, double a, double b)
{
    double y = x < a ? a : x;
    return y > b ? b : y;
}
VM_FN double vm_exp_f64(double x)
{
    uint64_t u;
    double p = vm_expcore_d(vm_clamp_d(x, -746.0, 710.0), 0.0, &u);
    return vm_scale_d(1.0 + p, u);
}
VM_FN double vm_exp2_f64(double x)
{
    double c = vm_clamp_d(x, -1077.0, 1025.0), t = c + VM_MAGIC_D, r = c - (t - VM_MAGIC_D);
    double s = r * r;
    double q = TT_FMA(4.4360756611721944e-10, r, 7.0737244120936477e-09);
    q = TT_FMA(q, s, TT_FMA(1.0178187338890462e-07, r, 1.3215435833832148e-06));
    q = TT_FMA(q, s, TT_FMA(1.525273353785753e-05, r, 0.00015403530455456861));
    q = TT_FMA(q, s, TT_FMA(0.0013333558146697364, r, 0.0096181291075960428));
    q = TT_FMA(q, s, TT_FMA(0.055504108664820688, r, 0.24022650695910125));
    double p = TT_FMA(r, 0x1.62e42fefa39efp-1, TT_FMA(s, q, r * 0x1.abc9e3b39803fp-56));
    return vm_scale_d(1.0 + p, vm_bits_d(t));
}
VM_FN double vm_expm1_f64(double x)
{
    uint64_t u;
    double p = vm_expcore_d(vm_clamp_d(x, -60.0, 710.0), 0.0, &u);
    uint64_t h = u >> 1, g = u - h;
    double a = vm_pow2_d(h), b = vm_pow2_d(g), binv = vm_of_bits_d(VM_ONE_D - (g << 52));
    double y = TT_FMA(a, p, a - binv) * b;
    return x == 0.0 ? x : y;
}
VM_FN double vm_logistic_d(double x, double m)  /* |m| <= 760 */
{
    uint64_t u;
    double p = vm_expcore_d(-vm_clamp_d(x, -760.0, 760.0), 0.0, &u);
    uint64_t h = u >> 1;
    double a = vm_pow2_d(h), s = vm_of_bits_d(VM_ONE_D - ((u - h) << 52));
    return m * s / ((x < -35.0 ? a : s + a) + TT_FMA(p, a, x < -35.0 ? s : 0.0));
}
VM_FN double vm_sigmoid_f64(double x) { return vm_logistic_d(x, 1.0); }
VM_FN double vm_silu_f64(double x)
{
    double y = vm_logistic_d(x, vm_clamp_d(x, -760.0, 760.0));
    return x > 760.0 ? x : y;
}
VM_FN double vm_tanh_f64(double x)
{
    uint64_t u;
    double a = __builtin_fabs(x), b = a > 20.0 ? 20.0 : a, s = b * b;
    double p = vm_expcore_d(b + b, 0.0, &u), e = vm_pow2_d(u);
    double big = 1.0 - 2.0 / TT_FMA(p, e, e + 1.0);
    double z = s * s;
    double q = TT_FMA(-1.8553058905344175e-05, z, TT_FMA(8.1772722829877702e-05, s, -0.00023229181575136208));
    q = TT_FMA(q, z, TT_FMA(0.00058801126620748904, s, -0.0014554363691995642));
    q = TT_FMA(q, z, TT_FMA(0.003592075313677153, s, -0.0088632309288615499));
    q = TT_FMA(q, z, TT_FMA(0.021869488282709602, s, -0.053968253960120158));
    q = TT_FMA(q, z, TT_FMA(0.13333333333320288, s, -0.33333333333333259));
    double small = TT_FMA(b * s, q, b);
    return vm_sign_d(a < 0.57 ? small : big, x);
}

VM_FN double vm_halfexp_d(double a)
{
    uint64_t u;
    double p = vm_expcore_d(a > 712.0 ? 712.0 : a, 0.0, &u);
    return vm_scale_d(1.0 + p, u - 1u);
}
VM_FN double vm_cosh_f64(double x)
{
    double e = vm_halfexp_d(__builtin_fabs(x));
    return e + 0.25 / e;
}
VM_FN double vm_sinh_f64(double x)
{
    double a = __builtin_fabs(x), e = vm_halfexp_d(a), b = a < 1.0 ? a : 1.0, s = b * b;
    double q = 7.7587323812884584e-13; q = TT_FMA(q, s, 1.6057260404923666e-10);
    q = TT_FMA(q, s, 2.5052123127173743e-08); q = TT_FMA(q, s, 2.7557319157141462e-06);
    q = TT_FMA(q, s, 0.0001984126984143162); q = TT_FMA(q, s, 0.0083333333333331476);
    q = TT_FMA(q, s, 0.16666666666666669);
    return vm_sign_d(a < 1.0 ? TT_FMA(b * s, q, b) : e - 0.25 / e, x);
}

/* ---------------------------------------------------------------- logarithms, double (fdlibm's form) */
VM_FN double vm_logcore_d(double f, double k)
{
    double s = f / (2.0 + f), z = s * s, h = 0.5 * f * f, y = z * z;
    double q = TT_FMA(0.14803167720833965, y, TT_FMA(0.15313373232849239, z, 0.18183588984578455));
    q = TT_FMA(q, y, TT_FMA(0.2222219813561461, z, 0.28571428746271216));
    q = TT_FMA(q, y, TT_FMA(0.39999999999399033, z, 0.66666666666667362));
    double w = TT_FMA(s, TT_FMA(z, q, h), k * 0x1.ef35793c7673p-45);
    return TT_FMA(k, 0x1.62e42fefa38p-1, f - (h - w));
}
/* log(1 + f) - f */
VM_FN double vm_logtail_d(double f)
{
    double s = f / (2.0 + f), z = s * s, h = 0.5 * f * f, y = z * z;
    double q = TT_FMA(0.14803167720833965, y, TT_FMA(0.15313373232849239, z, 0.18183588984578455));
    q = TT_FMA(q, y, TT_FMA(0.2222219813561461, z, 0.28571428746271216));
    q = TT_FMA(q, y, TT_FMA(0.39999999999399033, z, 0.66666666666667362));
    return TT_FMA(s, TT_FMA(z, q, h), -h);
}
VM_FN double vm_logends_d(double x, double y)
{
    y = x < VM_INF_D ? y : x;
    return x > 0.0 ? y : (x == 0.0 ? -VM_INF_D : VM_NAN_D);
}
/* x = m 2^k; the exponent becomes a double by standing in the low bits of 2^52 */
VM_FN double vm_split_d(double x, double *k)
{
    uint64_t i = vm_bits_d(x) + (VM_ONE_D - 0x3fe6a09e667f3bcdu);
    *k = vm_of_bits_d((i >> 52) | 0x4330000000000000u) - (0x1p52 + 1023.0);
    return vm_of_bits_d((i & 0xfffffffffffffu) + 0x3fe6a09e667f3bcdu);
}
VM_FN double vm_log_f64(double x)
{
    double k, m = vm_split_d(x < 0x1p-1022 ? x * 0x1p54 : x, &k);
    return vm_logends_d(x, vm_logcore_d(m - 1.0, x < 0x1p-1022 ? k - 54.0 : k));
}
VM_FN double vm_log2_f64(double x)
{
    double k, f = vm_split_d(x < 0x1p-1022 ? x * 0x1p54 : x, &k) - 1.0, w = vm_logtail_d(f);
    double t = TT_FMA(w, 0x1.71547652b82fep+0, f * 0x1.777d0ffda0d24p-56);
    double lo, hi = vm_two_prod_d(f, 0x1.71547652b82fep+0, &lo);
    return vm_logends_d(x, (hi + (lo + t)) + (x < 0x1p-1022 ? k - 54.0 : k));
}
VM_FN double vm_log10_f64(double x)
{
    double k, f = vm_split_d(x < 0x1p-1022 ? x * 0x1p54 : x, &k) - 1.0, w = vm_logtail_d(f);
    k = x < 0x1p-1022 ? k - 54.0 : k;
    double t = TT_FMA(w, 0x1.bcb7b1526e50ep-2, TT_FMA(k, 0x1.fef311f12b358p-46, f * 0x1.95355baaafad3p-57));
    double lo, hi = vm_two_prod_d(f, 0x1.bcb7b1526e50ep-2, &lo);
    return vm_logends_d(x, TT_FMA(k, 0x1.34413509f78p-2, hi + (lo + t)));
}
VM_FN double vm_log1p_f64(double x)
{
    double v = 1.0 + x, k, m = vm_split_d(v, &k);
    double s = vm_pow2_d(vm_bits_d(VM_MAGIC_D - k));
    double f = x > 0x1p60 ? m - 1.0 : TT_FMA(x, s, s - 1.0);
    double y = vm_logcore_d(f, k);
    y = x < VM_INF_D ? y : x;
    y = x == 0.0 ? x : y;
    return x > -1.0 ? y : (x == -1.0 ? -VM_INF_D : VM_NAN_D);
}
VM_FN double vm_softplus1_f64(double x)
{
    double l = vm_log1p_f64(vm_exp_f64(-__builtin_fabs(x)));
    return x < 0.0 ? l : x + l;
}

/* ---------------------------------------------------------------- error functions, double */
/* m erfc(a + alo) / 2^half = m e^-(h + hlo) P(v) / (1 + a), v = (a - 3.5) / (a + 3.5), a >= 0 (Shepherd and Laframboise);
 * e, ql, gl carry the errors of the reciprocal, of P's last sum and of the product */
VM_FN double vm_erfctail_d(double h, double hlo, double a, double alo, uint64_t half, double m)
{
    double v = (a - 3.5) / (a + 3.5), z = v * v, d = 1.0 + a, c = d - 1.0;
    double dl = (1.0 - (d - c)) + (a - c) + alo, rcp = 1.0 / d;
    double pl, ph = vm_two_prod_d(rcp, d, &pl), e = ((1.0 - ph) - pl) - rcp * dl;
    double r = TT_FMA(1.1089299354720635e-09, v, 5.1375739973998604e-09);
    r = TT_FMA(r, z, TT_FMA(-1.9789410544856008e-09, v, -4.3278884701533938e-08));
    r = TT_FMA(r, z, TT_FMA(-1.1806881802578037e-08, v, 2.7076564586439449e-07));
    r = TT_FMA(r, z, TT_FMA(6.8858889067271968e-08, v, -1.72318507947084e-06));
    r = TT_FMA(r, z, TT_FMA(4.0708443997419273e-07, v, 1.1316660453984733e-05));
    r = TT_FMA(r, z, TT_FMA(-1.4718826274762169e-05, v, -6.309320949444611e-05));
    r = TT_FMA(r, z, TT_FMA(0.00022814997727267603, v, -6.8562976572414664e-06));
    r = TT_FMA(r, z, TT_FMA(-0.0019738174325428402, v, 0.0074285461645058962));
    r = TT_FMA(r, z, TT_FMA(-0.015923282446210833, v, 0.021273196320896196));
    r = TT_FMA(r, z, TT_FMA(-0.010330895625587727, v, -0.031909714805632018));
    r = TT_FMA(r, z, TT_FMA(0.11128744263401773, v, -0.21463711248519335));
    double q = TT_FMA(v, r, 0.69882145024002429), ql = TT_FMA(v, r, 0.69882145024002429 - q) + 4.5293353140877464e-17;
    uint64_t u;
    double gl, g = vm_two_prod_d(q, rcp, &gl), p = vm_expcore_d(-h, -hlo, &u);
    return vm_scale_d(TT_FMA(m, g, m * TT_FMA(g, p, TT_FMA(g, e, TT_FMA(ql, rcp, gl)))), u - half);
}
VM_FN double vm_erfc_f64(double x)
{
    double a = __builtin_fabs(x), b = a > 28.0 ? 28.0 : a, lo, h = vm_two_sqr_d(b, &lo);
    double y = vm_erfctail_d(h, lo, b, 0.0, 0u, 1.0);
    return x < 0.0 ? 2.0 - y : y;
}
VM_FN double vm_normtail_d(double x, double m)  /* m normcdf(-|x|) */
{
    double a = __builtin_fabs(x), b = a > 39.0 ? 39.0 : a, lo, h = vm_two_sqr_d(b, &lo);
    double cl, c = vm_two_prod_d(b, 0x1.6a09e667f3bcdp-1, &cl);
    return vm_erfctail_d(0.5 * h, 0.5 * lo, c, TT_FMA(b, -0x1.bdd3413b26456p-55, cl), 1u, m);
}
VM_FN double vm_normcdf_f64(double x)
{
    double y = vm_normtail_d(x, 1.0);
    return x > 0.0 ? 1.0 - y : y;
}
VM_FN double vm_gelu_f64(double x)
{
    double a = __builtin_fabs(x), y = vm_normtail_d(x, a > 39.0 ? 39.0 : a);
    return x >= 0.0 ? x - y : -y;
}
VM_FN double vm_erf_f64(double x)
{
    double a = __builtin_fabs(x), t = a > 6.0 ? 6.0 : a, s = t * t;
    double z = s * s;
    double q = TT_FMA(5.9453915664216213e-11, z, TT_FMA(-1.1365751706889201e-09, s, 1.4657904599742352e-08));
    q = TT_FMA(q, z, TT_FMA(-1.6350029327253696e-07, s, 1.6460973248525232e-06));
    q = TT_FMA(q, z, TT_FMA(-1.4925593536855795e-05, s, 0.000120553310382882));
    q = TT_FMA(q, z, TT_FMA(-0.00085483269787845731, s, 0.0052239776247816859));
    q = TT_FMA(q, z, TT_FMA(-0.02686617064507299, s, 0.11283791670954858));
    q = TT_FMA(q, z, TT_FMA(-0.37612638903183748, s, 0.12837916709551259));
    double small = TT_FMA(q, t, t), big = 1.0 - vm_erfc_f64(t);
    return vm_sign_d(a < 1.0 ? small : big, x);
}

#include "vmath_trig.h"

/* ---------------------------------------------------------------- power */
VM_FN float vm_rint_f(float a) { return a < 0x1p23f ? (a + 0x1p23f) - 0x1p23f : a; }
VM_FN double vm_rint_d(double a) { return a < 0x1p52 ? (a + 0x1p52) - 0x1p52 : a; }

/* e^(y log|x|) in double, then C99's table of special cases */
VM_FN float vm_pow_f32(float x, float y)
{
    float ax = __builtin_fabsf(x), ay = __builtin_fabsf(y), k;
    float m = vm_split_f(ax < 0x1p-126f ? ax * 0x1p23f : ax, &k);
    double f = (double)m - 1.0, kd = (double)(ax < 0x1p-126f ? k - 23.0f : k);
    double s = f / (2.0 + f), z = s * s, h = z * z;
    double q = TT_FMA(0.23588494493401929, z, 0.28537000878066993);
    q = TT_FMA(q, h, TT_FMA(0.40000339558485049, z, 0.66666665628563448));
    double l = TT_FMA(kd, 0.69314718055994531, TT_FMA(s * z, q, s + s));
    double v = vm_clamp_d((double)y * l, -120.0, 100.0);
    double t = TT_FMA(v, 1.4426950408889634, VM_MAGIC_D), n = t - VM_MAGIC_D;
    double r = TT_FMA(n, -0.69314718055994531, v);
    double rr = r * r;
    double e = TT_FMA(0.00019789786953468977, r, 0.00139449751474007);
    e = TT_FMA(e, rr, TT_FMA(0.0083334995604819086, r, 0.041666290796115175));
    e = TT_FMA(e, rr, TT_FMA(0.1666666585174377, r, 0.50000000687754143));
    e = TT_FMA(rr, e, r) + 1.0;
    float g = (float)(e * vm_pow2_d(vm_bits_d(t)));
    g = ax == 0.0f ? (y < 0.0f ? VM_INF_F : 0.0f) : g;
    g = ax == VM_INF_F ? (y < 0.0f ? 0.0f : VM_INF_F) : g;
    g = ax == 1.0f ? 1.0f : g;
    float whole = vm_rint_f(ay), sign = vm_sign_f(1.0f, x);
    sign = vm_rint_f(0.5f * ay) != 0.5f * ay ? sign : 1.0f;  /* y odd, if whole */
    g *= whole == ay ? sign : 1.0f;
    float bad = x < 0.0f ? VM_NAN_F : g;
    bad = x == -VM_INF_F ? g : bad;
    g = whole == ay ? g : bad;
    g = x == x ? g : x;
    g = y == y ? g : y;
    g = y == 0.0f ? 1.0f : g;
    return x == 1.0f ? 1.0f : g;
}
/* log(x) = result + *lo to about 2^-64, positive normal x: 2 atanh(f / (2 + f)) in double-double (Dekker) */
VM_FN double vm_logdd(double x, double kadj, double *lo)
{
    double k, m = vm_split_d(x, &k), f = m - 1.0, d = m + 1.0, dl = m - (d - 1.0), rcp = 1.0 / d;
    k += kadj;
    double s = f * rcp, pl, ph = vm_two_prod_d(s, d, &pl), sl = (((f - ph) - pl) - s * dl) * rcp;
    double zl, z = vm_two_prod_d(s, s, &zl);
    zl = TT_FMA(s + s, sl, zl);
    double y = z * z;
    double q = TT_FMA(0.13203430051971352, y, TT_FMA(0.13256078930421844, z, 0.15386787823316014));
    q = TT_FMA(q, y, TT_FMA(0.18181783734680951, z, 0.22222222526778937));
    q = TT_FMA(q, y, TT_FMA(0.28571428570063462, z, 0.40000000000002328));
    double t = TT_FMA(z, q, zl * q), a = 0x1.5555555555555p-1 + t;
    double al = (t - (a - 0x1.5555555555555p-1)) + 0x1.5555555555555p-55;
    double bl, b = vm_two_prod_d(z, a, &bl);
    bl += TT_FMA(z, al, zl * a);
    double cl, c = vm_two_prod_d(s, b, &cl);
    cl += TT_FMA(s, bl, sl * b);
    double h = 2.0 * s + c, hl = (c - (h - 2.0 * s)) + (2.0 * sl + cl);
    double kh = k * 0x1.62e42fefa38p-1, r = kh + h;
    *lo = (h - (r - kh)) + TT_FMA(k, 0x1.ef35793c7673p-45, hl);
    return r;
}
VM_FN double vm_pow_f64(double x, double y)
{
    double ax = __builtin_fabs(x), ay = __builtin_fabs(y);
    double ll, l = vm_logdd(ax < 0x1p-1022 ? ax * 0x1p54 : ax, ax < 0x1p-1022 ? -54.0 : 0.0, &ll);
    double yc = vm_clamp_d(y, -0x1p100, 0x1p100), pl, p = vm_two_prod_d(yc, l, &pl);
    pl = TT_FMA(yc, ll, pl);
    pl = __builtin_fabs(p) < 800.0 ? pl : 0.0;
    uint64_t u;
    double e = vm_expcore_d(vm_clamp_d(p, -746.0, 710.0), pl, &u), g = vm_scale_d(1.0 + e, u);
    g = ax == 0.0 ? (y < 0.0 ? VM_INF_D : 0.0) : g;
    g = ax == VM_INF_D ? (y < 0.0 ? 0.0 : VM_INF_D) : g;
    g = ax == 1.0 ? 1.0 : g;
    double whole = vm_rint_d(ay), sign = vm_sign_d(1.0, x);
    sign = vm_rint_d(0.5 * ay) != 0.5 * ay ? sign : 1.0;  /* y odd, if whole */
    g *= whole == ay ? sign : 1.0;
    double bad = x < 0.0 ? VM_NAN_D : g;
    bad = x == -VM_INF_D ? g : bad;
    g = whole == ay ? g : bad;
    g = x == x ? g : x;
    g = y == y ? g : y;
    g = y == 0.0 ? 1.0 : g;
    return x == 1.0 ? 1.0 : g;
}

#endif
