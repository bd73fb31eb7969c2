/* Optimizer steps on elements [begin, end) of one parameter; PyTorch's formulas, scalars rounded to the parameter's type once.
   Buffers may not overlap each other. */

static void F(sgd_step)(const tt_param *q, ptrdiff_t begin, ptrdiff_t end, const tt_hyper *h) {
    real *restrict p = q->p, *restrict buf = q->s0;
    const real *restrict g = q->g;
    const real lr = (real)h->lr, wd = (real)h->weight_decay, mu = (real)h->momentum, keep = (real)(1 - h->dampening), sign = h->maximize ? -1 : 1;
    if (!buf) {
        _Pragma("omp simd") for (ptrdiff_t i = begin; i < end; i++) p[i] = FMA(-lr, FMA(wd, p[i], sign * g[i]), p[i]);
    } else if (h->first) {
        const real ahead = h->nesterov ? 1 + mu : 1;
        _Pragma("omp simd") for (ptrdiff_t i = begin; i < end; i++) {
            buf[i] = FMA(wd, p[i], sign * g[i]);
            p[i] = FMA(-lr, ahead * buf[i], p[i]);
        }
    } else if (h->nesterov) {
        _Pragma("omp simd") for (ptrdiff_t i = begin; i < end; i++) {
            real d = FMA(wd, p[i], sign * g[i]);
            buf[i] = FMA(mu, buf[i], keep * d);
            p[i] = FMA(-lr, FMA(mu, buf[i], d), p[i]);
        }
    } else {
        _Pragma("omp simd") for (ptrdiff_t i = begin; i < end; i++) {
            buf[i] = FMA(mu, buf[i], keep * FMA(wd, p[i], sign * g[i]));
            p[i] = FMA(-lr, buf[i], p[i]);
        }
    }
}

/* Kingma and Ba (2015); decoupled weight decay: Loshchilov and Hutter (2019); s2: AMSGrad's maximum, Reddi et al. (2018) */
static void F(adam_step)(const tt_param *q, ptrdiff_t begin, ptrdiff_t end, const tt_hyper *h) {
    real *restrict p = q->p, *restrict m = q->s0, *restrict v = q->s1, *restrict top = q->s2;
    const real *restrict g = q->g;
    const real sign = h->maximize ? -1 : 1, wd = h->decoupled ? 0 : (real)h->weight_decay, shrink = h->decoupled ? (real)(1 - h->lr * h->weight_decay) : 1;
    const real b1 = (real)(1 - h->beta1), b2 = (real)h->beta2, c2 = (real)(1 - h->beta2), eps = (real)h->eps;
    const real step = (real)(h->lr / h->correction1), root = (real)sqrt(h->correction2);
    if (top) {
        _Pragma("omp simd") for (ptrdiff_t i = begin; i < end; i++) {
            real d = FMA(wd, p[i], sign * g[i]);
            m[i] = FMA(b1, d - m[i], m[i]);
            v[i] = FMA(b2, v[i], c2 * d * d);
            top[i] = v[i] > top[i] || v[i] != v[i] ? v[i] : top[i];
            p[i] = FMA(-step, m[i] / (SQRT(top[i]) / root + eps), p[i] * shrink);
        }
        return;
    }
    _Pragma("omp simd") for (ptrdiff_t i = begin; i < end; i++) {
        real d = FMA(wd, p[i], sign * g[i]);
        m[i] = FMA(b1, d - m[i], m[i]);
        v[i] = FMA(b2, v[i], c2 * d * d);
        p[i] = FMA(-step, m[i] / (SQRT(v[i]) / root + eps), p[i] * shrink);
    }
}

/* Adam with Nesterov's momentum: Dozat (2016); rate is that of the gradient, ahead that of its mean */
static void F(nadam_step)(const tt_param *q, ptrdiff_t begin, ptrdiff_t end, const tt_hyper *h) {
    real *restrict p = q->p, *restrict m = q->s0, *restrict v = q->s1;
    const real *restrict g = q->g;
    const real sign = h->maximize ? -1 : 1, wd = h->decoupled ? 0 : (real)h->weight_decay, shrink = h->decoupled ? (real)(1 - h->lr * h->weight_decay) : 1;
    const real b1 = (real)(1 - h->beta1), b2 = (real)h->beta2, c2 = (real)(1 - h->beta2), eps = (real)h->eps;
    const real rate = (real)h->rate, ahead = (real)h->ahead, root = (real)sqrt(h->correction2);
    _Pragma("omp simd") for (ptrdiff_t i = begin; i < end; i++) {
        real d = FMA(wd, p[i], sign * g[i]);
        m[i] = FMA(b1, d - m[i], m[i]);
        v[i] = FMA(b2, v[i], c2 * d * d);
        p[i] = p[i] * shrink - FMA(rate, d, ahead * m[i]) / (SQRT(v[i]) / root + eps);
    }
}

/* Liu et al. (2020): not rectified, while little is known of the second moment, a step of momentum alone */
static void F(radam_step)(const tt_param *q, ptrdiff_t begin, ptrdiff_t end, const tt_hyper *h) {
    real *restrict p = q->p, *restrict m = q->s0, *restrict v = q->s1;
    const real *restrict g = q->g;
    const real sign = h->maximize ? -1 : 1, wd = h->decoupled ? 0 : (real)h->weight_decay, shrink = h->decoupled ? (real)(1 - h->lr * h->weight_decay) : 1;
    const real b1 = (real)(1 - h->beta1), b2 = (real)h->beta2, c2 = (real)(1 - h->beta2), eps = (real)h->eps, rate = (real)h->rate;
    const int rectified = h->rectified;
    _Pragma("omp simd") for (ptrdiff_t i = begin; i < end; i++) {
        real d = FMA(wd, p[i], sign * g[i]);
        m[i] = FMA(b1, d - m[i], m[i]);
        v[i] = FMA(b2, v[i], c2 * d * d);
        p[i] = FMA(-rate, m[i] / (rectified ? SQRT(v[i]) + eps : 1), p[i] * shrink);
    }
}

/* Kingma and Ba (2015), section 7: the second moment is a maximum that decays */
static void F(adamax_step)(const tt_param *q, ptrdiff_t begin, ptrdiff_t end, const tt_hyper *h) {
    real *restrict p = q->p, *restrict m = q->s0, *restrict u = q->s1;
    const real *restrict g = q->g;
    const real sign = h->maximize ? -1 : 1, wd = (real)h->weight_decay;
    const real b1 = (real)(1 - h->beta1), b2 = (real)h->beta2, eps = (real)h->eps, rate = (real)h->rate;
    _Pragma("omp simd") for (ptrdiff_t i = begin; i < end; i++) {
        real d = FMA(wd, p[i], sign * g[i]), old = b2 * u[i], now = (d < 0 ? -d : d) + eps;
        m[i] = FMA(b1, d - m[i], m[i]);
        u[i] = old > now || old != old ? old : now;
        p[i] = FMA(-rate, m[i] / u[i], p[i]);
    }
}

/* Hinton (2012); centered: Graves (2013). A variance that rounding makes negative is 0, not a NaN. */
static inline __attribute__((always_inline)) void F(rmsprop_loop)(const tt_param *q, ptrdiff_t begin, ptrdiff_t end, const tt_hyper *h, int centered, int momentum) {
    real *restrict p = q->p, *restrict v = q->s0, *restrict buf = q->s1, *restrict mean = q->s2;
    const real *restrict g = q->g;
    const real sign = h->maximize ? -1 : 1, wd = (real)h->weight_decay, lr = (real)h->lr, mu = (real)h->momentum;
    const real b2 = (real)h->beta2, c2 = (real)(1 - h->beta2), eps = (real)h->eps;
    _Pragma("omp simd") for (ptrdiff_t i = begin; i < end; i++) {
        real d = FMA(wd, p[i], sign * g[i]), var = FMA(b2, v[i], c2 * d * d);
        v[i] = var;
        if (centered) {
            mean[i] = FMA(c2, d - mean[i], mean[i]);
            var = FMA(-mean[i], mean[i], var);
            var = var < 0 ? 0 : var;
        }
        d = d / (SQRT(var) + eps);
        if (momentum) buf[i] = d = FMA(mu, buf[i], d);
        p[i] = FMA(-lr, d, p[i]);
    }
}
static void F(rmsprop_step)(const tt_param *q, ptrdiff_t begin, ptrdiff_t end, const tt_hyper *h) {
    if (q->s1 && q->s2) F(rmsprop_loop)(q, begin, end, h, 1, 1);
    else if (q->s1) F(rmsprop_loop)(q, begin, end, h, 0, 1);
    else if (q->s2) F(rmsprop_loop)(q, begin, end, h, 1, 0);
    else F(rmsprop_loop)(q, begin, end, h, 0, 0);
}

/* Duchi, Hazan and Singer (2011) */
static void F(adagrad_step)(const tt_param *q, ptrdiff_t begin, ptrdiff_t end, const tt_hyper *h) {
    real *restrict p = q->p, *restrict sum = q->s0;
    const real *restrict g = q->g;
    const real sign = h->maximize ? -1 : 1, wd = (real)h->weight_decay, eps = (real)h->eps, rate = (real)h->rate;
    _Pragma("omp simd") for (ptrdiff_t i = begin; i < end; i++) {
        real d = FMA(wd, p[i], sign * g[i]);
        sum[i] = FMA(d, d, sum[i]);
        p[i] = FMA(-rate, d / (SQRT(sum[i]) + eps), p[i]);
    }
}

/* Zeiler (2012). s0: mean of squared gradients, s1: of squared steps */
static void F(adadelta_step)(const tt_param *q, ptrdiff_t begin, ptrdiff_t end, const tt_hyper *h) {
    real *restrict p = q->p, *restrict v = q->s0, *restrict acc = q->s1;
    const real *restrict g = q->g;
    const real sign = h->maximize ? -1 : 1, wd = (real)h->weight_decay, lr = (real)h->lr;
    const real b2 = (real)h->beta2, c2 = (real)(1 - h->beta2), eps = (real)h->eps;
    _Pragma("omp simd") for (ptrdiff_t i = begin; i < end; i++) {
        real d = FMA(wd, p[i], sign * g[i]);
        v[i] = FMA(b2, v[i], c2 * d * d);
        d = SQRT(acc[i] + eps) / SQRT(v[i] + eps) * d;
        acc[i] = FMA(b2, acc[i], c2 * d * d);
        p[i] = FMA(-lr, d, p[i]);
    }
}

/* Chen et al. (2023); the sign of 0 is 0, of a NaN a NaN */
static void F(lion_step)(const tt_param *q, ptrdiff_t begin, ptrdiff_t end, const tt_hyper *h) {
    real *restrict p = q->p, *restrict m = q->s0;
    const real *restrict g = q->g;
    const real sign = h->maximize ? -1 : 1, shrink = (real)(1 - h->lr * h->weight_decay), lr = (real)h->lr;
    const real b1 = (real)(1 - h->beta1), b2 = (real)(1 - h->beta2);
    _Pragma("omp simd") for (ptrdiff_t i = begin; i < end; i++) {
        real d = sign * g[i], c = FMA(b1, d - m[i], m[i]);
        m[i] = FMA(b2, d - m[i], m[i]);
        p[i] = FMA(-lr, c > 0 ? 1 : c < 0 ? -1 : c, p[i] * shrink);
    }
}

/* A running average: p goes the share `rate` of the way to g. */
static void F(lerp_step)(const tt_param *q, ptrdiff_t begin, ptrdiff_t end, const tt_hyper *h) {
    real *restrict p = q->p;
    const real *restrict g = q->g;
    const real w = (real)h->rate;
    _Pragma("omp simd") for (ptrdiff_t i = begin; i < end; i++) p[i] = FMA(w, g[i] - p[i], p[i]);
}
