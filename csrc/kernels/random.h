/* Philox 4x32-10 (Salmon et al. 2011) indexed by element: element i is made from counter offset + i / PER, so bits depend on
   neither threads nor order. PER is 4 for float (one word each) and 2 for double (two words each). */

#define PER (16 / (ptrdiff_t)sizeof(real))
#define CHUNK 64
/* uniform in [0, 1) with 24 (53) bits, `count` <= CHUNK blocks from counter `first` */
TT_INLINE void F(uniform_blocks)(uint64_t key, uint64_t first, ptrdiff_t count, real *u) {
    uint32_t words[4][CHUNK]; /* tt_philox, many counters at a time */
    _Pragma("omp simd") for (int b = 0; b < (int)count; b++) {
        const uint64_t at = first + (uint64_t)b;
        uint32_t c0 = (uint32_t)at, c1 = (uint32_t)(at >> 32), c2 = 0, c3 = 0, k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
        _Pragma("GCC unroll 10") for (int round = 0; round < 10; round++) {
            const uint64_t m = (uint64_t)0xD2511F53u * c0, n = (uint64_t)0xCD9E8D57u * c2;
            c0 = (uint32_t)(n >> 32) ^ c1 ^ k0, c2 = (uint32_t)(m >> 32) ^ c3 ^ k1;
            c1 = (uint32_t)n, c3 = (uint32_t)m;
            k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
        }
        words[0][b] = c0, words[1][b] = c1, words[2][b] = c2, words[3][b] = c3;
    }
    for (ptrdiff_t b = 0; b < count; b++) {
        const uint32_t w[4] = {words[0][b], words[1][b], words[2][b], words[3][b]};
        for (int i = 0; i < PER; i++) {
            if (sizeof(real) == 4) u[b * PER + i] = (real)(w[i] >> 8) * (real)0x1p-24;
            else u[b * PER + i] = (real)((((uint64_t)w[2 * i % 4] << 32) | w[(2 * i + 1) % 4]) >> 11) * (real)0x1p-53;
        }
    }
}
TT_INLINE void F(random_fill)(int kind, uint64_t key, uint64_t offset, ptrdiff_t begin, ptrdiff_t end, real *y, double p0, double p1) {
    const real a = (real)p0, b = (real)p1, span = (real)(p1 - p0), scale = (real)(1 / (1 - p0));
    for (ptrdiff_t s = begin / PER; s * PER < end; s += CHUNK) {
        real u[CHUNK * PER];
        ptrdiff_t count = (end - s * PER + PER - 1) / PER < CHUNK ? (end - s * PER + PER - 1) / PER : CHUNK;
        F(uniform_blocks)(key, offset + (uint64_t)s, count, u);
        if (kind == TT_NORMAL) /* Box and Muller (1958): u0 in (0, 1] */
            _Pragma("omp simd") for (ptrdiff_t i = 0; i < count * PER / 2; i++) {
                real r = SQRT((real)-2 * VM(log)(1 - u[2 * i])), t = (real)6.28318530717958647693 * u[2 * i + 1];
                u[2 * i] = FMA(b, r * VM(cos)(t), a);
                u[2 * i + 1] = FMA(b, r * VM(sin)(t), a);
            }
        else if (kind == TT_KEEP)
            _Pragma("omp simd") for (ptrdiff_t i = 0; i < count * PER; i++) u[i] = u[i] >= a ? scale : 0;
        else
            _Pragma("omp simd") for (ptrdiff_t i = 0; i < count * PER; i++) {
                real v = FMA(span, u[i], a);
                u[i] = v < b ? v : a; /* rounding may reach b, which is outside */
            }
        ptrdiff_t from = begin > s * PER ? begin : s * PER, to = s * PER + count * PER < end ? s * PER + count * PER : end;
        if (from < to) memcpy(y + from, u + (from - s * PER), (size_t)(to - from) * sizeof(real));
    }
}
static void F(uniform)(uint64_t key, uint64_t offset, ptrdiff_t begin, ptrdiff_t end, void *y, double lo, double hi) {
    F(random_fill)(TT_UNIFORM, key, offset, begin, end, y, lo, hi);
}
static void F(normal)(uint64_t key, uint64_t offset, ptrdiff_t begin, ptrdiff_t end, void *y, double mean, double std) {
    F(random_fill)(TT_NORMAL, key, offset, begin, end, y, mean, std);
}
static void F(keep_mask)(uint64_t key, uint64_t offset, ptrdiff_t begin, ptrdiff_t end, void *y, double p, double unused) {
    F(random_fill)(TT_KEEP, key, offset, begin, end, y, p, unused);
}
#undef PER
#undef CHUNK
