# tt.h for Cython: what _kernels.pyx uses of it.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

cdef extern from "tt.h" nogil:
    enum: TT_F32, TT_F64, TT_MAX_DIMS, TT_MAPS, TT_REDUCES, TT_SUM, TT_DOT, TT_MAX, TT_MIN, TT_where, TT_add, TT_relu, TT_RANDOMS
    enum: TT_SOFTMAX_GRAD, TT_LOG_SOFTMAX_GRAD, TT_LOGSUMEXP
    ctypedef void (*tt_map_fn)(ptrdiff_t n, const void *a, const void *b, const void *c, void *out, const double *p)
    ctypedef struct tt_map_info:
        const char *name
        int inputs, cost
    const tt_map_info tt_map_infos[1]
    ctypedef struct tt_gemm_args:
        ptrdiff_t m, n, k
        const void *a
        const void *b
        ptrdiff_t a_row, a_col, b_row, b_col
        void *c
        ptrdiff_t c_row
        const void *bias
        int add, relu
        tt_map_fn act
        void *y
        const double *act_p
    ctypedef struct tt_act_grad_args:
        ptrdiff_t rows, n
        int op
        const void *g
        const void *x
        const void *y
        void *dz
        void *db
        const double *p
    ctypedef struct tt_xent_args:
        ptrdiff_t rows, classes
        const void *x
        const void *weight
        const int64_t *target
        int64_t ignore
        double smoothing
        const void *g
        ptrdiff_t g_step
        void *loss
        void *lse
        void *out
    ctypedef struct tt_param:
        void *p
        const void *g
        void *s0
        void *s1
        void *s2
        ptrdiff_t n
    ctypedef struct tt_hyper:
        double lr, momentum, dampening, weight_decay, beta1, beta2, eps, correction1, correction2, rate, ahead
        int nesterov, maximize, first, decoupled, rectified
    enum: TT_SGD, TT_ADAM, TT_NADAM, TT_RADAM, TT_ADAMAX, TT_RMSPROP, TT_ADAGRAD, TT_ADADELTA, TT_LION, TT_LERP
    ctypedef void (*tt_optim_fn)(const tt_param *p, ptrdiff_t begin, ptrdiff_t end, const tt_hyper *h)
    ctypedef void (*tt_scatter_fn)(ptrdiff_t n, ptrdiff_t width, const int64_t *index, const void *x, void *y)
    ctypedef struct tt_warp_args:
        ptrdiff_t images, channels, height, width
        const void *x
        const double *matrix
        const void *field
        double fill
        void *y
    ctypedef struct tt_smooth_args:
        ptrdiff_t planes, height, width, radius
        const void *x
        const double *taps
        void *y
    ctypedef struct tt_kernels:
        const char *name
        int fused
        tt_map_fn map[1][2]
        tt_optim_fn optim[1][2]
        tt_scatter_fn scatter_add[2]
        size_t (*warp_scratch[2])(const tt_warp_args *a)
        size_t (*smooth_scratch[2])(const tt_smooth_args *a)
    ctypedef struct tt_sparse_args:
        ptrdiff_t rows, k, n
        const int64_t *from_ "from"
        const int64_t *to
        const int32_t *column
        const void *value
        const void *b
        const void *bias
        void *c
    ctypedef struct tt_operand:
        const char *data
        const ptrdiff_t *stride
        int size
    const tt_kernels *tt_best()
    const tt_kernels *tt_find(const char *name)
    const char *tt_isa_name(int i)
    int tt_get_threads()
    void tt_set_threads(int n)
    int tt_seen_threads(int reset)
    void tt_set_thread_work(double ns)
    void tt_set_spin(long long ns)
    void tt_set_helpful(int on)
    int tt_set_flush(int mode)
    int tt_get_flush()
    uint64_t tt_flush_begin()
    void tt_flush_end(uint64_t before)
    void tt_map(const tt_kernels *k, int op, int dtype, int ndim, const ptrdiff_t *shape, int inputs,
                const tt_operand *operands, const tt_operand *out, const double *p)
    size_t tt_reduce_scratch(ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner)
    void tt_reduce(const tt_kernels *k, int op, int dtype, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner, const void *x,
                   const void *y, void *out, void *scratch)
    void tt_rows(const tt_kernels *k, int kind, int dtype, ptrdiff_t rows, ptrdiff_t n, const void *a, const void *b, void *out)
    void tt_xent(const tt_kernels *k, int dtype, int backward, const tt_xent_args *a)
    int tt_gemm_threads(const tt_gemm_args *a, ptrdiff_t batch)
    size_t tt_gemm_scratch(const tt_kernels *k, int dtype, const tt_gemm_args *a, ptrdiff_t batch, int threads)
    void tt_gemm(const tt_kernels *k, int dtype, const tt_gemm_args *a, ptrdiff_t batch, const ptrdiff_t *offsets, void *scratch, int threads)
    void tt_act_grad(const tt_kernels *k, int dtype, const tt_act_grad_args *a)
    void tt_optim(tt_optim_fn fn, const tt_param *params, ptrdiff_t count, const tt_hyper *h)
    void tt_gather_rows(const tt_kernels *k, int dtype, ptrdiff_t rows, ptrdiff_t width, const uint8_t *x,
                        const int64_t *index, void *y, double scale, double shift)
    void tt_nonzeros(const tt_kernels *k, int dtype, int kind, ptrdiff_t rows, ptrdiff_t width, const void *x, int64_t *starts,
                     int32_t *column, void *value)
    void tt_sparse(const tt_kernels *k, int dtype, int outer, const tt_sparse_args *a)
    void tt_random(const tt_kernels *k, int kind, int dtype, uint64_t key, uint64_t offset, ptrdiff_t n, void *y, double p0, double p1)
    int tt_warp_threads(const tt_warp_args *a)
    int tt_smooth_threads(const tt_smooth_args *a)
    void tt_warp(const tt_kernels *k, int dtype, const tt_warp_args *a, void *scratch, int threads)
    void tt_smooth(const tt_kernels *k, int dtype, const tt_smooth_args *a, void *scratch, int threads)
    void tt_randint(uint64_t key, uint64_t offset, ptrdiff_t n, int64_t lo, uint64_t range, int64_t *y)
    void tt_randperm(uint64_t key, uint64_t offset, ptrdiff_t n, int64_t *y)
