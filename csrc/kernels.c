/* All kernels of one instruction set: compiled once per set with -DTT_ISA=<name> and that set's flags, it exports one symbol,
   the constant table tt_kernels_<name>. */
#include "tt.h"
#include "isa.h"
#include "vmath.h"

enum { TERM_EXP, TERM_SMOOTH }; /* what softmax.h sums over a row */

#define SUFFIX f32
#define real float
#define FMA TT_FMAF
#define SQRT __builtin_sqrtf
#include "kernels/each.h"
#undef SUFFIX
#undef real
#undef FMA
#undef SQRT

#define SUFFIX f64
#define real double
#define FMA TT_FMA
#define SQRT __builtin_sqrt
#include "kernels/each.h"

#define NAME3(x) tt_kernels_##x
#define NAME2(x) NAME3(x)
#define TEXT2(x) #x
#define TEXT(x) TEXT2(x)
#define BOTH(name) {name##_f32, name##_f64}

extern const tt_kernels NAME2(TT_ISA);
const tt_kernels NAME2(TT_ISA) = {
    .name = TEXT(TT_ISA),
    .fused = TT_FUSED,
    .map = {
#define UNARY_V(name, cost) [TT_##name] = BOTH(name##_row),
#define UNARY(name, cost) UNARY_V(name, cost) [TT_##name##_grad] = BOTH(name##_grad_row),
#define UNARY_P(name, cost) UNARY(name, cost)
#define BINARY(name, cost) UNARY_V(name, cost)
#define TERNARY(name, cost) UNARY_V(name, cost)
#define SELECT(name, cost) UNARY_V(name, cost)
#define sin_row_f32 sin_any_row_f32
#define sin_row_f64 sin_any_row_f64
#define cos_row_f32 cos_any_row_f32
#define cos_row_f64 cos_any_row_f64
#define tan_row_f32 tan_any_row_f32
#define tan_row_f64 tan_any_row_f64
#include "ops.def"
    },
#define REDUCE(what) {[TT_SUM] = BOTH(sum_##what), [TT_PROD] = BOTH(prod_##what), [TT_MAX] = BOTH(max_##what), [TT_MIN] = BOTH(min_##what), [TT_SUMSQ] = BOTH(sumsq_##what)
    .red_part = REDUCE(part), [TT_DOT] = BOTH(dot_part)},
    .red_join = REDUCE(join), [TT_DOT] = BOTH(dot_join)},
    .red_outer = REDUCE(outer)},
    .softmax = BOTH(softmax_rows),
    .softmax_grad = BOTH(softmax_grad_rows),
    .log_softmax = BOTH(log_softmax_rows),
    .log_softmax_grad = BOTH(log_softmax_grad_rows),
    .logsumexp = BOTH(logsumexp_rows),
    .xent = BOTH(xent_rows),
    .xent_grad = BOTH(xent_grad_rows),
    .gemm_part = BOTH(gemm_part),
    .gemm_scratch = BOTH(gemm_scratch),
    .optim = {[TT_SGD] = BOTH(sgd_step), [TT_ADAM] = BOTH(adam_step), [TT_NADAM] = BOTH(nadam_step), [TT_RADAM] = BOTH(radam_step),
        [TT_ADAMAX] = BOTH(adamax_step), [TT_RMSPROP] = BOTH(rmsprop_step), [TT_ADAGRAD] = BOTH(adagrad_step),
        [TT_ADADELTA] = BOTH(adadelta_step), [TT_LION] = BOTH(lion_step), [TT_LERP] = BOTH(lerp_step)},
    .gather_u8 = BOTH(gather_u8),
    .scatter_add = BOTH(scatter_add),
    .nonzeros = BOTH(nonzeros),
    .sparse_rows = BOTH(sparse_rows),
    .sparse_outer = BOTH(sparse_outer),
    .random = {[TT_UNIFORM] = BOTH(uniform), [TT_NORMAL] = BOTH(normal), [TT_KEEP] = BOTH(keep_mask)},
    .warp = BOTH(warp),
    .warp_scratch = BOTH(warp_scratch),
    .smooth = BOTH(smooth),
    .smooth_scratch = BOTH(smooth_scratch),
};
