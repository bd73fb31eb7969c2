/* Point functions of one argument: value and gradient side by side. df takes the upstream gradient g, the input x and the
   value y; what it does not use is never read. NaN in gives NaN out; shapes and strides are the driver's work.
   Where the local gradient may be infinite, an upstream of 0 gives 0 (`stopped`): a branch not taken stays out. */

TT_INLINE real F(stopped)(real g, real d) { return g == 0 ? 0 : d; }

TT_INLINE real F(neg_f)(real x) { return -x; }

TT_INLINE real F(abs_f)(real x) { return x < 0 ? -x : x == 0 ? 0 : x; }
TT_INLINE real F(abs_df)(real g, real x, real y) { (void)y; return x > 0 ? g : x < 0 ? -g : x * g; }

TT_INLINE real F(sign_f)(real x) { return x > 0 ? 1 : x < 0 ? -1 : x; }

TT_INLINE real F(exp_f)(real x) { return VM(exp)(x); }

TT_INLINE real F(log_f)(real x) { return VM(log)(x); }
TT_INLINE real F(log2_f)(real x) { return VM(log2)(x); }
TT_INLINE real F(log10_f)(real x) { return VM(log10)(x); }
TT_INLINE real F(exp2_f)(real x) { return VM(exp2)(x); }

TT_INLINE real F(log1p_f)(real x) { return VM(log1p)(x); }
TT_INLINE real F(log1p_df)(real g, real x, real y) { (void)y; return F(stopped)(g, g / (1 + x)); }

TT_INLINE real F(expm1_f)(real x) { return VM(expm1)(x); }
TT_INLINE real F(expm1_df)(real g, real x, real y) { (void)x; return F(stopped)(g, g * (y + 1)); }

TT_INLINE real F(sqrt_f)(real x) { return SQRT(x); }
TT_INLINE real F(sqrt_df)(real g, real x, real y) { (void)x; return F(stopped)(g, g / (y + y)); }

TT_INLINE real F(rsqrt_f)(real x) { return 1 / SQRT(x); }
TT_INLINE real F(rsqrt_df)(real g, real x, real y) { (void)x; return F(stopped)(g, (real)-0.5 * g * (y * y * y)); }

TT_INLINE real F(square_f)(real x) { return x * x; }
TT_INLINE real F(square_df)(real g, real x, real y) { (void)y; return g * (x + x); }

TT_INLINE real F(reciprocal_f)(real x) { return 1 / x; }
TT_INLINE real F(reciprocal_df)(real g, real x, real y) { (void)x; return F(stopped)(g, -g * (y * y)); }

TT_INLINE real F(sin_f)(real x) { return VM(sin)(x); }
TT_INLINE real F(cos_f)(real x) { return VM(cos)(x); }
TT_INLINE real F(tan_f)(real x) { return VM(tan)(x); }
TT_INLINE real F(asin_f)(real x) { return VM(asin)(x); }
TT_INLINE real F(acos_f)(real x) { return VM(acos)(x); }
TT_INLINE real F(atan_f)(real x) { return VM(atan)(x); }
TT_INLINE real F(sinh_f)(real x) { return VM(sinh)(x); }
TT_INLINE real F(cosh_f)(real x) { return VM(cosh)(x); }

TT_INLINE real F(tanh_f)(real x) { return VM(tanh)(x); }
TT_INLINE real F(tanh_df)(real g, real x, real y) { (void)x; return g * FMA(-y, y, 1); }

TT_INLINE real F(sigmoid_f)(real x) { return VM(sigmoid)(x); }
TT_INLINE real F(sigmoid_df)(real g, real x, real y) { (void)x; return g * (y * (1 - y)); }

TT_INLINE real F(erf_f)(real x) { return VM(erf)(x); }
TT_INLINE real F(erf_df)(real g, real x, real y) {
    (void)y;
    return g * ((real)1.12837916709551257390 * VM(exp)(-x * x));
}

TT_INLINE real F(erfc_f)(real x) { return VM(erfc)(x); }

/* 0 at the kink; the sign of the value tells the sign of the input, so only the value is kept */
TT_INLINE real F(relu_f)(real x) { return x < 0 ? 0 : x; }
TT_INLINE real F(relu_df)(real g, real x, real y) { (void)x; return y <= 0 ? 0 : g; }

/* p[0]: negative_slope */
TT_INLINE real F(leaky_relu_f)(real x, const real *p) { return x > 0 ? x : x * p[0]; }
TT_INLINE real F(leaky_relu_df)(real g, real x, real y, const real *p) { (void)y; return x > 0 ? g : g * p[0]; }

/* p[0]: alpha */
TT_INLINE real F(elu_f)(real x, const real *p) { return x > 0 ? x : p[0] * VM(expm1)(x); }
TT_INLINE real F(elu_df)(real g, real x, real y, const real *p) { (void)y; return x > 0 ? g : g * (p[0] * VM(exp)(x)); }

#define SELU_SCALE ((real)1.0507009873554804934193349852946)
#define SELU_ALPHA ((real)1.6732632423543772848170429916717)
TT_INLINE real F(selu_f)(real x) { return SELU_SCALE * (x > 0 ? x : SELU_ALPHA * VM(expm1)(x)); }
TT_INLINE real F(selu_df)(real g, real x, real y) { (void)y; return g * (SELU_SCALE * (x > 0 ? 1 : SELU_ALPHA * VM(exp)(x))); }
#undef SELU_SCALE
#undef SELU_ALPHA

/* x below which the factor is 0 is clamped, so that inf * 0 does not turn into NaN */
TT_INLINE real F(bounded)(real x, real limit) {
    real a = x > limit ? limit : x;
    return a < -limit ? -limit : a;
}
TT_INLINE real F(gelu_f)(real x) { return VM(gelu)(x); }
TT_INLINE real F(gelu_df)(real g, real x, real y) {
    (void)y;
    real b = F(bounded)(x, 40);
    real pdf = (real)0.39894228040143267794 * VM(exp)((real)-0.5 * b * b);
    return g * FMA(b, pdf, VM(normcdf)(x));
}

/* 0.5 x (1 + tanh(u)) is x sigmoid(2 u), which keeps its relative accuracy for negative x */
TT_INLINE real F(gelu_tanh_f)(real x) {
    real b = F(bounded)(x, 40);
    real u2 = (real)1.5957691216057308 * b * FMA((real)0.044715 * b, b, 1);
    return (x < b ? b : x) * VM(sigmoid)(u2);
}
TT_INLINE real F(gelu_tanh_df)(real g, real x, real y) {
    (void)y;
    real b = F(bounded)(x, 40);
    real u2 = (real)1.5957691216057308 * b * FMA((real)0.044715 * b, b, 1);
    real du2 = (real)1.5957691216057308 * FMA((real)0.134145 * b, b, 1);
    real s = VM(sigmoid)(u2);
    return g * FMA(b * du2, s * (1 - s), s);
}

TT_INLINE real F(silu_f)(real x) { return VM(silu)(x); }
TT_INLINE real F(silu_df)(real g, real x, real y) {
    (void)y;
    real s = VM(sigmoid)(x);
    return g * (s * FMA(F(bounded)(x, 800), 1 - s, 1));
}

/* p[0]: beta, p[1]: threshold, above which it is the identity */
TT_INLINE real F(softplus_f)(real x, const real *p) {
    real bx = x * p[0];
    return bx > p[1] ? x : VM(softplus1)(bx) / p[0];
}
TT_INLINE real F(softplus_df)(real g, real x, real y, const real *p) {
    (void)y;
    real bx = x * p[0];
    return bx > p[1] ? g : g * VM(sigmoid)(bx);
}

/* p[0]: min, p[1]: max; the gradient passes at the bounds */
TT_INLINE real F(clamp_f)(real x, const real *p) {
    real a = x < p[0] ? p[0] : x;
    return a > p[1] ? p[1] : a;
}
TT_INLINE real F(clamp_df)(real g, real x, real y, const real *p) {
    (void)y;
    real a = x < p[0] ? 0 : g;
    return x > p[1] ? 0 : a;
}
