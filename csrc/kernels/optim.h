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
