/* The loops over the point functions: rows of unit stride. The loop is the only macro; `out` may be one of the inputs. */
#define LOOP(expr) \
    _Pragma("omp simd") for (ptrdiff_t i = 0; i < n; i++) o[i] = expr;
#define ROW(name) static void F(name)(ptrdiff_t n, const void *a, const void *b, const void *c, void *out, const double *pd)
#define ROW_LOCALS                                                             \
    const real *x = a, *y = b, *z = c;                                         \
    real *o = out;                                                             \
    const real p[2] = {(real)pd[0], (real)pd[1]};                              \
    (void)x; (void)y; (void)z; (void)p;

#define UNARY_V(name, cost) ROW(name##_row) { ROW_LOCALS LOOP(F(name##_f)(x[i])) }
#define UNARY(name, cost) UNARY_V(name, cost) ROW(name##_grad_row) { ROW_LOCALS LOOP(F(name##_df)(x[i], y[i], z[i])) }
#define UNARY_P(name, cost)                                                    \
    ROW(name##_row) { ROW_LOCALS LOOP(F(name##_f)(x[i], p)) }                  \
    ROW(name##_grad_row) { ROW_LOCALS LOOP(F(name##_df)(x[i], y[i], z[i], p)) }
#define BINARY(name, cost) ROW(name##_row) { ROW_LOCALS LOOP(F(name##_f)(x[i], y[i])) }
#define TERNARY(name, cost) ROW(name##_row) { ROW_LOCALS LOOP(F(name##_f)(x[i], y[i], z[i])) }
/* the first argument is bytes, 0 or 1 */
#define SELECT(name, cost)                                                     \
    ROW(name##_row) {                                                          \
        const uint8_t *m = a;                                                  \
        const real *x = b, *y = c;                                             \
        real *o = out;                                                         \
        (void)pd;                                                              \
        LOOP(m[i] ? x[i] : y[i])                                               \
    }
#include "../ops.def"
#undef UNARY_V
#undef UNARY
#undef UNARY_P
#undef BINARY
#undef TERNARY
#undef SELECT

/* The vector sin, cos and tan are right below VM_TRIG_LIMIT; beyond it a lane is worked out again by exact reduction. */
#define TRIG(name)                                                                                                       \
    ROW(name##_any_row) {                                                                                                \
        const real *x = a;                                                                                               \
        real *o = out;                                                                                                   \
        real keep[256];                                                                                                  \
        for (ptrdiff_t s = 0; s < n; s += 256) {                                                                         \
            ptrdiff_t w = n - s < 256 ? n - s : 256, huge = 0;                                                           \
            memcpy(keep, x + s, (size_t)w * sizeof(real)); /* `out` may be the input */                                  \
            F(name##_row)(w, keep, b, c, o + s, pd);                                                                     \
            for (ptrdiff_t i = 0; i < w; i++) huge |= !(keep[i] < (real)VM_TRIG_LIMIT && keep[i] > -(real)VM_TRIG_LIMIT); \
            if (huge)                                                                                                    \
                for (ptrdiff_t i = 0; i < w; i++)                                                                        \
                    if (!(keep[i] < (real)VM_TRIG_LIMIT && keep[i] > -(real)VM_TRIG_LIMIT)) o[s + i] = VM(name##_huge)(keep[i]); \
        }                                                                                                                \
    }
TRIG(sin)
TRIG(cos)
TRIG(tan)
#undef TRIG
#undef LOOP
#undef ROW
#undef ROW_LOCALS
