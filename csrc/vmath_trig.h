/* vmath_trig.h: sin, cos, tan and their inverses; a part of vmath.h, which includes it. */
#ifndef TT_VMATH_TRIG_H
#define TT_VMATH_TRIG_H

/* sin, cos and tan are accurate below this; at and above it lanes must be redone with vm_*_huge_*. */
#define VM_TRIG_LIMIT 1073741824.0

/* ---------------------------------------------------------------- sine and cosine
 * x = n pi/2 + r: returns r, n in the low bits of *u. For floats: three parts, n times the first two exact. */
VM_FN double vm_trigreduce_f(double x, uint64_t *u)
{
    double t = TT_FMA(x, 0.63661977236758138, VM_MAGIC_D), n = t - VM_MAGIC_D;
    *u = vm_bits_d(t);
    double r = TT_FMA(n, -0x1.921fbp+0, x);
    r = TT_FMA(n, -0x1.5110bp-22, r);
    return TT_FMA(n, -0x1.18469898cc517p-44, r);
}
/* even u: s, odd u: c */
VM_FN double vm_pick_d(double s, double c, uint64_t u)
{
    uint64_t odd = 0u - (u & 1u);
    return vm_of_bits_d((vm_bits_d(s) & ~odd) | (vm_bits_d(c) & odd));
}
/* sine and cosine of r, |r| <= pi/4, to float accuracy */
VM_FN double vm_sincos_f(double r, double *cosine)
{
    double z = r * r;
    double s = 2.7180473982402633e-06; s = TT_FMA(s, z, -0.00019839304623676298);
    s = TT_FMA(s, z, 0.0083333292817010882); s = TT_FMA(s, z, -0.16666666640604089);
    double c = 2.4437780773939974e-05; c = TT_FMA(c, z, -0.0013887362059347569);
    c = TT_FMA(c, z, 0.041666646765329607);
    *cosine = TT_FMA(z * z, c, TT_FMA(-0.5, z, 1.0));
    return TT_FMA(r * z, s, r);
}
/* sin(r + n pi/2) */
VM_FN double vm_sinturn_f(double r, uint64_t u)
{
    double c, s = vm_sincos_f(r, &c);
    return vm_of_bits_d(vm_bits_d(vm_pick_d(s, c, u)) ^ ((u & 2u) << 62));
}
VM_FN float vm_sin_f32(float x)
{
    uint64_t u;
    double r = vm_trigreduce_f((double)x, &u);
    float y = (float)vm_sinturn_f(r, u);
    return x == 0.0f ? x : y;
}
VM_FN float vm_cos_f32(float x)
{
    uint64_t u;
    double r = vm_trigreduce_f((double)x, &u);
    return (float)vm_sinturn_f(r, u + 1u);
}
VM_FN float vm_tan_f32(float x)
{
    uint64_t u;
    double r = vm_trigreduce_f((double)x, &u), c, s = vm_sincos_f(r, &c);
    double y = vm_pick_d(s, c, u) / vm_pick_d(c, s, u);
    return x == 0.0f ? x : (float)vm_of_bits_d(vm_bits_d(y) ^ u << 63);
}
/* r + *lo: four parts of 23 bits and one of 53 (Cody-Waite), the cancelling ones joined by two-sums (Knuth) */
VM_FN double vm_trigreduce_d(double x, double *lo, uint64_t *u)
{
    double t = TT_FMA(x, 0.63661977236758138, VM_MAGIC_D), n = t - VM_MAGIC_D;
    *u = vm_bits_d(t);
    double r = TT_FMA(n, -0x1.921fb4p+0, x);
    r = TT_FMA(n, -0x1.4442dp-24, r);
    double p = n * -0x1.846988p-48, s = r + p, v = s - r, e = (r - (s - v)) + (p - v);
    double q = n * -0x1.8cc514p-72, w = s + q, z = w - s, d = (s - (w - z)) + (q - z);
    e = TT_FMA(n, -0x1.80dc1cd129025p-95, e + d);
    double h = w + e;
    *lo = e - (h - w);
    return h;
}
/* sine and cosine of r + lo (fdlibm's forms) */
VM_FN double vm_sincos_d(double r, double lo, double *cosine)
{
    double z = r * r, h = 0.5 * z, w = 1.0 - h, y = z * z;
    double s = TT_FMA(-7.5784082208227953e-13, y, TT_FMA(1.6058360561694264e-10, z, -2.505210486192709e-08));
    s = TT_FMA(s, y, TT_FMA(2.75573192139904e-06, z, -0.0001984126984125466));
    s = TT_FMA(s, y, TT_FMA(0.0083333333333333228, z, -0.16666666666666666));
    double c = TT_FMA(-1.135944785593835e-11, z, 2.0875719562306853e-09);
    c = TT_FMA(c, y, TT_FMA(-2.7557314326253351e-07, z, 2.4801587289396627e-05));
    c = TT_FMA(c, y, TT_FMA(-0.0013888888888873995, z, 0.041666666666666602));
    *cosine = w + (((1.0 - w) - h) + TT_FMA(y, c, -(r * lo)));
    return r + TT_FMA(r * z, s, TT_FMA(-h, lo, lo));
}
VM_FN double vm_sinturn_d(double r, double lo, uint64_t u)
{
    double c, s = vm_sincos_d(r, lo, &c);
    return vm_of_bits_d(vm_bits_d(vm_pick_d(s, c, u)) ^ ((u & 2u) << 62));
}
VM_FN double vm_tanturn_d(double r, double lo, uint64_t u)
{
    double c, s = vm_sincos_d(r, lo, &c), y = vm_pick_d(s, c, u) / vm_pick_d(c, s, u);
    return vm_of_bits_d(vm_bits_d(y) ^ u << 63);
}
VM_FN double vm_sin_f64(double x)
{
    uint64_t u;
    double lo, r = vm_trigreduce_d(x, &lo, &u), y = vm_sinturn_d(r, lo, u);
    return x == 0.0 ? x : y;
}
VM_FN double vm_cos_f64(double x)
{
    uint64_t u;
    double lo, r = vm_trigreduce_d(x, &lo, &u);
    return vm_sinturn_d(r, lo, u + 1u);
}
VM_FN double vm_tan_f64(double x)
{
    uint64_t u;
    double lo, r = vm_trigreduce_d(x, &lo, &u), y = vm_tanturn_d(r, lo, u);
    return x == 0.0 ? x : y;
}

/* Payne-Hanek: x mod pi/2 from 192 bits of 2/pi, for finite |x| >= 2^-9; returns r, quadrant in *quad. Scalar. */
static __attribute__((noinline, unused)) double vm_reduce_huge(double x, double *lo, uint64_t *quad)
{
    __extension__ typedef unsigned __int128 u128;
    static const uint64_t two_over_pi[20] = {
        0, 0xa2f9836e4e441529u, 0xfc2757d1f534ddc0u, 0xdb6295993c439041u, 0xfe5163abdebbc561u,
        0xb7246e3a424dd2e0u, 0x06492eea09d1921cu, 0xfe1deb1cb129a73eu, 0xe88235f52ebb4484u, 0xe99c7026b45f7e41u,
        0x3991d639835339f4u, 0x9c845f8bbdf9283bu, 0x1ff897ffde05980fu, 0xef2f118b5a0a6d1fu, 0x6d367ecf27cb09b7u,
        0x4f463f669e5fea2du, 0x7527bac7ebe5f17bu, 0x3d0739f78a5292eau, 0x6bfb5fb11f8d5d08u, 0x56033046fc7b6babu};
    uint64_t b = vm_bits_d(x), m = (b & 0xfffffffffffffu) | 0x10000000000000u;
    int skip = (int)((b >> 52) & 0x7ffu) - 1075 + 62, i = skip >> 6, sh = skip & 63;
    const uint64_t *p = two_over_pi + i;
    uint64_t w[3];
    for (int j = 0; j < 3; j++) w[j] = sh ? p[j] << sh | p[j + 1] >> (64 - sh) : p[j];
    u128 l0 = (u128)m * w[2], l1 = (u128)m * w[1] + (uint64_t)(l0 >> 64);
    uint64_t hi = m * w[0] + (uint64_t)(l1 >> 64), q = hi >> 62;
    u128 f = ((u128)hi << 64 | (uint64_t)l1) << 2 | (uint64_t)l0 >> 62;
    uint64_t neg = (uint64_t)(f >> 127);  /* nearest multiple of pi/2: fractions above a half count down */
    q += neg;
    f = neg ? -f : f;
    int lz = (uint64_t)(f >> 64) ? __builtin_clzll((uint64_t)(f >> 64)) : 64 + __builtin_clzll((uint64_t)f | 1u);
    f <<= lz;
    double c = vm_of_bits_d((uint64_t)(1023 - 53 - lz) << 52);
    double a = (double)(uint64_t)(f >> 75) * c, d = (double)(uint64_t)(f << 53 >> 75) * c * 0x1p-53;
    double t, h = vm_two_prod_d(a, 0x1.921fb54442d18p+0, &t);
    t += a * 0x1.1a62633145c07p-54 + d * 0x1.921fb54442d18p+0;
    double r = h + t, e = t - (r - h);
    uint64_t flip = neg << 63 ^ (b & VM_SIGN_D);
    *lo = vm_of_bits_d(vm_bits_d(e) ^ flip);
    *quad = b >> 63 ? 0u - q : q;
    return vm_of_bits_d(vm_bits_d(r) ^ flip);
}
/* which: 0 sin, 1 cos, 2 tan */
static __attribute__((noinline, unused)) double vm_trig_huge(double x, int which)
{
    uint64_t q;
    double lo, r;
    if (!(__builtin_fabs(x) < VM_INF_D)) return VM_NAN_D;
    r = vm_reduce_huge(x, &lo, &q);
    return which == 2 ? vm_tanturn_d(r, lo, q) : vm_sinturn_d(r, lo, q + (uint64_t)which);
}
static inline double vm_sin_huge_f64(double x) { return vm_trig_huge(x, 0); }
static inline double vm_cos_huge_f64(double x) { return vm_trig_huge(x, 1); }
static inline double vm_tan_huge_f64(double x) { return vm_trig_huge(x, 2); }
static inline float vm_sin_huge_f32(float x) { return (float)vm_trig_huge((double)x, 0); }
static inline float vm_cos_huge_f32(float x) { return (float)vm_trig_huge((double)x, 1); }
static inline float vm_tan_huge_f32(float x) { return (float)vm_trig_huge((double)x, 2); }

/* ---------------------------------------------------------------- inverse sine, cosine, tangent
 * |x| > 1/2 goes through t = sqrt((1 - |x|) / 2) (fdlibm); asin t = t + t^3 P(t^2). Floats are computed in double. */
VM_FN double vm_asinpoly_f(double x, double a)
{
    double z = a < 0.5 ? x * x : 0.5 - 0.5 * a, t = a < 0.5 ? a : __builtin_sqrt(z);
    double y = z * z;
    double q = TT_FMA(0.037513774788005896, z, 0.014440873990124697);
    q = TT_FMA(q, y, TT_FMA(0.031807013819613018, z, 0.044517052418730191));
    q = TT_FMA(q, y, TT_FMA(0.075005036165758057, z, 0.16666660001541858));
    return TT_FMA(t * z, q, t);
}
VM_FN float vm_asin_f32(float x)
{
    double a = (double)__builtin_fabsf(x), r = vm_asinpoly_f((double)x, a);
    return vm_sign_f((float)(a < 0.5 ? r : TT_FMA(-2.0, r, 1.5707963267948966)), x);
}
VM_FN float vm_acos_f32(float x)
{
    double a = (double)__builtin_fabsf(x), r = vm_asinpoly_f((double)x, a);
    double big = x < 0.0f ? TT_FMA(-2.0, r, 3.1415926535897931) : r + r;
    return (float)(a < 0.5 ? 1.5707963267948966 - (x < 0.0f ? -r : r) : big);
}
/* base pi/2 - c asin(t), the square root's and pi's low parts carried */
VM_FN double vm_arc_d(double base, double c, double a)
{
    double z = a < 0.5 ? a * a : 0.5 - 0.5 * a, t = a < 0.5 ? a : __builtin_sqrt(z);
    double hl, h = vm_two_prod_d(t, t, &hl), tl = ((z - h) - hl) * (0.5 / (t + 0x1p-1000));
    double y = z * z;
    double q = TT_FMA(0.032628623673511548, y, TT_FMA(-0.020999067269662275, z, 0.021707454867820428));
    q = TT_FMA(q, y, TT_FMA(0.0037064031349017196, z, 0.010780255158601402));
    q = TT_FMA(q, y, TT_FMA(0.011398911571948771, z, 0.013980820667344001));
    q = TT_FMA(q, y, TT_FMA(0.017351611999233692, z, 0.022372214988744275));
    q = TT_FMA(q, y, TT_FMA(0.030381942707732933, z, 0.044642857174613179));
    q = TT_FMA(q, y, TT_FMA(0.074999999999707981, z, 0.1666666666666676));
    double w = TT_FMA(t * z, q, a < 0.5 ? 0.0 : tl), b = base * 0x1.921fb54442d18p+0, ct = c * t;
    double d = b - ct, e = (b - d) - ct;
    return d + TT_FMA(-c, w, TT_FMA(base, 0x1.1a62633145c07p-54, e));
}
VM_FN double vm_asin_f64(double x)
{
    double a = __builtin_fabs(x);
    return vm_sign_d(vm_arc_d(a < 0.5 ? 0.0 : 1.0, a < 0.5 ? -1.0 : 2.0, a), x);
}
VM_FN double vm_acos_f64(double x)
{
    double a = __builtin_fabs(x), neg = x < 0.0 ? 1.0 : 0.0;
    double base = a < 0.5 ? 1.0 : neg + neg, c = TT_FMA(-2.0, neg, 1.0);
    return vm_arc_d(base, a < 0.5 ? c : (neg - 0.5) * 4.0, a);
}
/* atan a = n pi/4 + atan t, t = a, (a - 1) / (a + 1) or -1 / a, |t| <= tan(pi/8) */
VM_FN float vm_atan_f32(float x)
{
    double a = (double)__builtin_fabsf(x), mid = a > 0.41421356237309503 ? 0.78539816339744831 : 0.0;
    double num = a > 0.41421356237309503 ? a - 1.0 : a, den = a > 0.41421356237309503 ? a + 1.0 : 1.0;
    num = a > 2.4142135623730949 ? -1.0 : num;
    den = a > 2.4142135623730949 ? a : den;
    mid = a > 2.4142135623730949 ? 1.5707963267948966 : mid;
    double t = num / den, z = t * t, y = z * z;
    double q = TT_FMA(-0.060760408845336261, y, TT_FMA(0.10593025087522177, z, -0.1424343821984192));
    q = TT_FMA(q, y, TT_FMA(0.19998467206551593, z, -0.33333315131521024));
    return vm_sign_f((float)(mid + TT_FMA(t * z, q, t)), x);
}
VM_FN double vm_atan_f64(double x)
{
    double v = __builtin_fabs(x), a = v > 0x1p500 ? 0x1p500 : v;
    double n = a > 0.41421356237309503 ? 1.0 : 0.0, num = a - n, den = TT_FMA(a, n, 1.0);
    double nl = (a - num) - n, dl = TT_FMA(a, n, 1.0 - den);
    num = a > 2.4142135623730949 ? -1.0 : num;
    den = a > 2.4142135623730949 ? a : den;
    nl = a > 2.4142135623730949 ? 0.0 : nl;
    dl = a > 2.4142135623730949 ? 0.0 : dl;
    n = a > 2.4142135623730949 ? 2.0 : n;
    double t = num / den, hl, h = vm_two_prod_d(t, den, &hl), z = t * t;
    double tl = ((((num - h) - hl) + nl) - t * dl) / den;
    double zz = z * z;
    double q = TT_FMA(-0.017890085170427516, zz, TT_FMA(0.038048739968892194, z, -0.050386737163945837));
    q = TT_FMA(q, zz, TT_FMA(0.058477471375015626, z, -0.066630841682396039));
    q = TT_FMA(q, zz, TT_FMA(0.076920584305499362, z, -0.090908976551128493));
    q = TT_FMA(q, zz, TT_FMA(0.11111110779800859, z, -0.14285714280121387));
    q = TT_FMA(q, zz, TT_FMA(0.19999999999952819, z, -0.33333333333333193));
    double b = n * 0x1.921fb54442d18p-1, y = b + t, e = t - (y - b);
    return vm_sign_d(y + (TT_FMA(t * z, q, TT_FMA(n, 0x1.1a62633145c07p-55, tl)) + e), x);
}

#endif
