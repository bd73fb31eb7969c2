/* The vector type of each instruction set: V is always 16 floats (W 8 doubles), so a sum has one shape everywhere.
   The only file with #ifdef on the instruction set and with intrinsics. */
#ifndef TT_ISA_H
#define TT_ISA_H
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TT_INLINE static inline __attribute__((always_inline))

/* Contraction is explicit: one rounding where the CPU has it, two on plain x86-64. */
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define TT_FUSED 1
#define TT_FMAF(a, b, c) __builtin_fmaf((a), (b), (c))
#define TT_FMA(a, b, c) __builtin_fma((a), (b), (c))
#else
#define TT_FUSED 0
#define TT_FMAF(a, b, c) ((a) * (b) + (c))
#define TT_FMA(a, b, c) ((a) * (b) + (c))
#endif

#define TT_LANES_f32 16
#define TT_LANES_f64 8

#if defined(__AVX512F__) && defined(__AVX512DQ__)
/* ------------------------------------------------------------------------------------------------ AVX-512: one zmm */
#include <immintrin.h>
typedef __m512 V_f32;
typedef __m512d V_f64;
TT_INLINE V_f32 v_zero_f32(void) { return _mm512_setzero_ps(); }
TT_INLINE V_f64 v_zero_f64(void) { return _mm512_setzero_pd(); }
TT_INLINE V_f32 v_set_f32(float x) { return _mm512_set1_ps(x); }
TT_INLINE V_f64 v_set_f64(double x) { return _mm512_set1_pd(x); }
TT_INLINE V_f32 v_load_f32(const float *p) { return _mm512_loadu_ps(p); }
TT_INLINE V_f64 v_load_f64(const double *p) { return _mm512_loadu_pd(p); }
TT_INLINE void v_store_f32(float *p, V_f32 a) { _mm512_storeu_ps(p, a); }
TT_INLINE void v_store_f64(double *p, V_f64 a) { _mm512_storeu_pd(p, a); }
TT_INLINE V_f32 v_load_n_f32(const float *p, int n) { return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p); }
TT_INLINE V_f64 v_load_n_f64(const double *p, int n) { return _mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1u), p); }
TT_INLINE void v_store_n_f32(float *p, V_f32 a, int n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), a); }
TT_INLINE void v_store_n_f64(double *p, V_f64 a, int n) { _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1u), a); }
TT_INLINE V_f32 v_add_f32(V_f32 a, V_f32 b) { return _mm512_add_ps(a, b); }
TT_INLINE V_f64 v_add_f64(V_f64 a, V_f64 b) { return _mm512_add_pd(a, b); }
TT_INLINE V_f32 v_mul_f32(V_f32 a, V_f32 b) { return _mm512_mul_ps(a, b); }
TT_INLINE V_f64 v_mul_f64(V_f64 a, V_f64 b) { return _mm512_mul_pd(a, b); }
TT_INLINE V_f32 v_fma_f32(V_f32 a, V_f32 b, V_f32 c) { return _mm512_fmadd_ps(a, b, c); }
TT_INLINE V_f64 v_fma_f64(V_f64 a, V_f64 b, V_f64 c) { return _mm512_fmadd_pd(a, b, c); }
/* x where (x > a or x is NaN), else a: keeps NaN once seen */
TT_INLINE V_f32 v_max_f32(V_f32 a, V_f32 x) { return _mm512_mask_mov_ps(a, _mm512_cmp_ps_mask(x, a, _CMP_NLE_UQ) & _mm512_cmp_ps_mask(a, a, _CMP_ORD_Q), x); }
TT_INLINE V_f64 v_max_f64(V_f64 a, V_f64 x) { return _mm512_mask_mov_pd(a, _mm512_cmp_pd_mask(x, a, _CMP_NLE_UQ) & _mm512_cmp_pd_mask(a, a, _CMP_ORD_Q), x); }
TT_INLINE V_f32 v_min_f32(V_f32 a, V_f32 x) { return _mm512_mask_mov_ps(a, _mm512_cmp_ps_mask(x, a, _CMP_NGE_UQ) & _mm512_cmp_ps_mask(a, a, _CMP_ORD_Q), x); }
TT_INLINE V_f64 v_min_f64(V_f64 a, V_f64 x) { return _mm512_mask_mov_pd(a, _mm512_cmp_pd_mask(x, a, _CMP_NGE_UQ) & _mm512_cmp_pd_mask(a, a, _CMP_ORD_Q), x); }
/* 0 where x < 0, else x, NaN included */
TT_INLINE V_f32 v_relu_f32(V_f32 x) { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_NLT_UQ), x); }
TT_INLINE V_f64 v_relu_f64(V_f64 x) { return _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(x, _mm512_setzero_pd(), _CMP_NLT_UQ), x); }
#define TT_MR_f32 14
#define TT_NV_f32 2
#define TT_MR_f64 14
#define TT_NV_f64 2
#define TT_TILES(T1, T2, T4, T8) T8(1) T4(2) T4(3) T4(4) T2(5) T2(6) T2(7) T2(8) T2(9) T2(10) T2(11) T2(12) T2(13) T2(14)
#define TT_WIDEST 8, 4, 4, 4
#define TT_FREE_MASKS 1 /* a masked load costs what a whole one does */
#define TT_KC_f32 512
#define TT_KC_f64 256

#else
/* ----------------------------------------------- other sets: V is a struct of P parts; the lists below differ by part */
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define TT_PARTS 2
#define TT_PART_f32 8
#define TT_PART_f64 4
typedef __m256 tt_part_f32;
typedef __m256d tt_part_f64;
#define P_ZERO_f32() _mm256_setzero_ps()
#define P_ZERO_f64() _mm256_setzero_pd()
#define P_SET_f32(x) _mm256_set1_ps(x)
#define P_SET_f64(x) _mm256_set1_pd(x)
#define P_LOAD_f32(p) _mm256_loadu_ps(p)
#define P_LOAD_f64(p) _mm256_loadu_pd(p)
#define P_STORE_f32(p, a) _mm256_storeu_ps(p, a)
#define P_STORE_f64(p, a) _mm256_storeu_pd(p, a)
#define P_ADD_f32(a, b) _mm256_add_ps(a, b)
#define P_ADD_f64(a, b) _mm256_add_pd(a, b)
#define P_MUL_f32(a, b) _mm256_mul_ps(a, b)
#define P_MUL_f64(a, b) _mm256_mul_pd(a, b)
#define P_FMA_f32(a, b, c) _mm256_fmadd_ps(a, b, c)
#define P_FMA_f64(a, b, c) _mm256_fmadd_pd(a, b, c)
#define P_PICK_f32(a, x, CMP) _mm256_blendv_ps(a, x, _mm256_and_ps(_mm256_cmp_ps(x, a, CMP), _mm256_cmp_ps(a, a, _CMP_ORD_Q)))
#define P_PICK_f64(a, x, CMP) _mm256_blendv_pd(a, x, _mm256_and_pd(_mm256_cmp_pd(x, a, CMP), _mm256_cmp_pd(a, a, _CMP_ORD_Q)))
#define P_MAX_f32(a, x) P_PICK_f32(a, x, _CMP_NLE_UQ)
#define P_MAX_f64(a, x) P_PICK_f64(a, x, _CMP_NLE_UQ)
#define P_MIN_f32(a, x) P_PICK_f32(a, x, _CMP_NGE_UQ)
#define P_MIN_f64(a, x) P_PICK_f64(a, x, _CMP_NGE_UQ)
#define P_RELU_f32(a) _mm256_andnot_ps(_mm256_cmp_ps(a, _mm256_setzero_ps(), _CMP_LT_OQ), a)
#define P_RELU_f64(a) _mm256_andnot_pd(_mm256_cmp_pd(a, _mm256_setzero_pd(), _CMP_LT_OQ), a)
#define TT_MR_f32 6
#define TT_NV_f32 1
#define TT_MR_f64 6
#define TT_NV_f64 1
#define TT_TILES(T1, T2, T4, T8) T4(1) T2(2) T2(3) T1(4) T1(5) T1(6)
#define TT_WIDEST 4, 2, 2

#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#define TT_PARTS 4
#define TT_PART_f32 4
#define TT_PART_f64 2
typedef float32x4_t tt_part_f32;
typedef float64x2_t tt_part_f64;
#define P_ZERO_f32() vdupq_n_f32(0.0f)
#define P_ZERO_f64() vdupq_n_f64(0.0)
#define P_SET_f32(x) vdupq_n_f32(x)
#define P_SET_f64(x) vdupq_n_f64(x)
#define P_LOAD_f32(p) vld1q_f32(p)
#define P_LOAD_f64(p) vld1q_f64(p)
#define P_STORE_f32(p, a) vst1q_f32(p, a)
#define P_STORE_f64(p, a) vst1q_f64(p, a)
#define P_ADD_f32(a, b) vaddq_f32(a, b)
#define P_ADD_f64(a, b) vaddq_f64(a, b)
#define P_MUL_f32(a, b) vmulq_f32(a, b)
#define P_MUL_f64(a, b) vmulq_f64(a, b)
#define P_FMA_f32(a, b, c) vfmaq_f32(c, a, b)
#define P_FMA_f64(a, b, c) vfmaq_f64(c, a, b)
#define P_MAX_f32(a, x) vbslq_f32(vbicq_u32(vceqq_f32(a, a), vcleq_f32(x, a)), x, a)
#define P_MAX_f64(a, x) vbslq_f64(vbicq_u64(vceqq_f64(a, a), vcleq_f64(x, a)), x, a)
#define P_MIN_f32(a, x) vbslq_f32(vbicq_u32(vceqq_f32(a, a), vcgeq_f32(x, a)), x, a)
#define P_MIN_f64(a, x) vbslq_f64(vbicq_u64(vceqq_f64(a, a), vcgeq_f64(x, a)), x, a)
#define P_RELU_f32(a) vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(a), vcltzq_f32(a)))
#define P_RELU_f64(a) vreinterpretq_f64_u64(vbicq_u64(vreinterpretq_u64_f64(a), vcltzq_f64(a)))
#define TT_MR_f32 4
#define TT_NV_f32 1
#define TT_MR_f64 4
#define TT_NV_f64 1
#define TT_TILES(T1, T2, T4, T8) T4(1) T2(2) T1(3) T1(4)
#define TT_WIDEST 4, 2

#elif defined(__SSE2__)
#include <emmintrin.h>
#define TT_PARTS 4
#define TT_PART_f32 4
#define TT_PART_f64 2
typedef __m128 tt_part_f32;
typedef __m128d tt_part_f64;
#define P_ZERO_f32() _mm_setzero_ps()
#define P_ZERO_f64() _mm_setzero_pd()
#define P_SET_f32(x) _mm_set1_ps(x)
#define P_SET_f64(x) _mm_set1_pd(x)
#define P_LOAD_f32(p) _mm_loadu_ps(p)
#define P_LOAD_f64(p) _mm_loadu_pd(p)
#define P_STORE_f32(p, a) _mm_storeu_ps(p, a)
#define P_STORE_f64(p, a) _mm_storeu_pd(p, a)
#define P_ADD_f32(a, b) _mm_add_ps(a, b)
#define P_ADD_f64(a, b) _mm_add_pd(a, b)
#define P_MUL_f32(a, b) _mm_mul_ps(a, b)
#define P_MUL_f64(a, b) _mm_mul_pd(a, b)
#define P_FMA_f32(a, b, c) _mm_add_ps(_mm_mul_ps(a, b), c)
#define P_FMA_f64(a, b, c) _mm_add_pd(_mm_mul_pd(a, b), c)
#define P_BLEND_f32(m, x, a) _mm_or_ps(_mm_and_ps(m, x), _mm_andnot_ps(m, a))
#define P_BLEND_f64(m, x, a) _mm_or_pd(_mm_and_pd(m, x), _mm_andnot_pd(m, a))
#define P_MAX_f32(a, x) P_BLEND_f32(_mm_and_ps(_mm_cmpnle_ps(x, a), _mm_cmpord_ps(a, a)), x, a)
#define P_MAX_f64(a, x) P_BLEND_f64(_mm_and_pd(_mm_cmpnle_pd(x, a), _mm_cmpord_pd(a, a)), x, a)
#define P_MIN_f32(a, x) P_BLEND_f32(_mm_and_ps(_mm_cmpnge_ps(x, a), _mm_cmpord_ps(a, a)), x, a)
#define P_MIN_f64(a, x) P_BLEND_f64(_mm_and_pd(_mm_cmpnge_pd(x, a), _mm_cmpord_pd(a, a)), x, a)
#define P_RELU_f32(a) _mm_andnot_ps(_mm_cmplt_ps(a, _mm_setzero_ps()), a)
#define P_RELU_f64(a) _mm_andnot_pd(_mm_cmplt_pd(a, _mm_setzero_pd()), a)
#define TT_MR_f32 2
#define TT_NV_f32 1
#define TT_MR_f64 2
#define TT_NV_f64 1
#define TT_TILES(T1, T2, T4, T8) T2(1) T1(2)
#define TT_WIDEST 2

#else
#error "tinytensor: no vector set for this CPU (x86-64 and arm64 are supported)"
#endif

typedef struct { tt_part_f32 p[TT_PARTS]; } V_f32;
typedef struct { tt_part_f64 p[TT_PARTS]; } V_f64;
#define EACH _Pragma("GCC unroll 4") for (int i = 0; i < TT_PARTS; i++)
#define STRUCT_V(T, S)                                                                                                   \
    TT_INLINE V_##S v_zero_##S(void) { V_##S r; EACH r.p[i] = P_ZERO_##S(); return r; }                                  \
    TT_INLINE V_##S v_set_##S(T x) { V_##S r; EACH r.p[i] = P_SET_##S(x); return r; }                                    \
    TT_INLINE V_##S v_load_##S(const T *p) { V_##S r; EACH r.p[i] = P_LOAD_##S(p + TT_PART_##S * i); return r; }         \
    TT_INLINE void v_store_##S(T *p, V_##S a) { EACH P_STORE_##S(p + TT_PART_##S * i, a.p[i]); }                         \
    TT_INLINE V_##S v_load_n_##S(const T *p, int n) {                                                                    \
        T t[TT_LANES_##S] = {0};                                                                                         \
        memcpy(t, p, (size_t)n * sizeof(T));                                                                             \
        return v_load_##S(t);                                                                                            \
    }                                                                                                                    \
    TT_INLINE void v_store_n_##S(T *p, V_##S a, int n) {                                                                 \
        T t[TT_LANES_##S];                                                                                               \
        v_store_##S(t, a);                                                                                               \
        memcpy(p, t, (size_t)n * sizeof(T));                                                                             \
    }                                                                                                                    \
    TT_INLINE V_##S v_add_##S(V_##S a, V_##S b) { V_##S r; EACH r.p[i] = P_ADD_##S(a.p[i], b.p[i]); return r; }          \
    TT_INLINE V_##S v_mul_##S(V_##S a, V_##S b) { V_##S r; EACH r.p[i] = P_MUL_##S(a.p[i], b.p[i]); return r; }          \
    TT_INLINE V_##S v_fma_##S(V_##S a, V_##S b, V_##S c) { V_##S r; EACH r.p[i] = P_FMA_##S(a.p[i], b.p[i], c.p[i]); return r; } \
    TT_INLINE V_##S v_relu_##S(V_##S a) { V_##S r; EACH r.p[i] = P_RELU_##S(a.p[i]); return r; }                         \
    TT_INLINE V_##S v_max_##S(V_##S a, V_##S x) { V_##S r; EACH r.p[i] = P_MAX_##S(a.p[i], x.p[i]); return r; }          \
    TT_INLINE V_##S v_min_##S(V_##S a, V_##S x) { V_##S r; EACH r.p[i] = P_MIN_##S(a.p[i], x.p[i]); return r; }
STRUCT_V(float, f32)
STRUCT_V(double, f64)
#undef STRUCT_V
#undef EACH
#define TT_FREE_MASKS 0
#define TT_KC_f32 512
#define TT_KC_f64 256
#endif
#define TT_NC_f32 2048
#define TT_NC_f64 1024

/* d[j * ld + i] = s[i * ls + j]: a small square turned in registers; for packing */
typedef float tt_quad __attribute__((vector_size(16)));
typedef double tt_pair __attribute__((vector_size(16)));
typedef int32_t tt_quad_i __attribute__((vector_size(16)));
typedef int64_t tt_pair_i __attribute__((vector_size(16)));
#ifdef __clang__
#define QUAD(x, y, a, b, c, d) __builtin_shufflevector(x, y, a, b, c, d)
#define PAIR(x, y, a, b) __builtin_shufflevector(x, y, a, b)
#else
#define QUAD(x, y, a, b, c, d) __builtin_shuffle(x, y, (tt_quad_i){a, b, c, d})
#define PAIR(x, y, a, b) __builtin_shuffle(x, y, (tt_pair_i){a, b})
#endif
#define TT_TURN_f32 4
#define TT_TURN_f64 2
TT_INLINE void v_turn_f32(const float *s, ptrdiff_t ls, float *d, ptrdiff_t ld) {
    tt_quad r[4], t[4];
    for (int i = 0; i < 4; i++) memcpy(&r[i], s + i * ls, sizeof r[i]);
    t[0] = QUAD(r[0], r[1], 0, 4, 1, 5);
    t[1] = QUAD(r[2], r[3], 0, 4, 1, 5);
    t[2] = QUAD(r[0], r[1], 2, 6, 3, 7);
    t[3] = QUAD(r[2], r[3], 2, 6, 3, 7);
    r[0] = QUAD(t[0], t[1], 0, 1, 4, 5);
    r[1] = QUAD(t[0], t[1], 2, 3, 6, 7);
    r[2] = QUAD(t[2], t[3], 0, 1, 4, 5);
    r[3] = QUAD(t[2], t[3], 2, 3, 6, 7);
    for (int i = 0; i < 4; i++) memcpy(d + i * ld, &r[i], sizeof r[i]);
}
TT_INLINE void v_turn_f64(const double *s, ptrdiff_t ls, double *d, ptrdiff_t ld) {
    tt_pair a, b, x, y;
    memcpy(&a, s, sizeof a);
    memcpy(&b, s + ls, sizeof b);
    x = PAIR(a, b, 0, 2);
    y = PAIR(a, b, 1, 3);
    memcpy(d, &x, sizeof x);
    memcpy(d + ld, &y, sizeof y);
}
#undef QUAD
#undef PAIR

#endif
