/* Integers from Philox 4x32-10: the same on every CPU. J. K. Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3 (2011). */
#include "tt.h"

void tt_philox(uint64_t key, uint64_t counter, uint32_t out[4]) {
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32), c2 = 0, c3 = 0;
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(b >> 32) ^ c1 ^ k0, n2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c0 = n0, c1 = (uint32_t)b, c2 = n2, c3 = (uint32_t)a;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

static uint64_t bits64(uint64_t key, uint64_t offset, uint64_t i) { /* two words an element */
    uint32_t w[4];
    tt_philox(key, offset + i / 2, w);
    return i % 2 ? (uint64_t)w[2] << 32 | w[3] : (uint64_t)w[0] << 32 | w[1];
}
/* the high half of bits * range: uniform to within range / 2^64 (Lemire 2019) */
static uint64_t below(uint64_t bits, uint64_t range) { return (uint64_t)(((unsigned __int128)bits * range) >> 64); }

void tt_randint(uint64_t key, uint64_t offset, ptrdiff_t n, int64_t lo, uint64_t range, int64_t *y) {
    for (ptrdiff_t i = 0; i < n; i++) y[i] = (int64_t)((uint64_t)lo + below(bits64(key, offset, (uint64_t)i), range));
}
/* Fisher and Yates, one counter per place */
void tt_randperm(uint64_t key, uint64_t offset, ptrdiff_t n, int64_t *y) {
    for (ptrdiff_t i = 0; i < n; i++) y[i] = (int64_t)i;
    for (ptrdiff_t i = n - 1; i > 0; i--) {
        ptrdiff_t j = (ptrdiff_t)below(bits64(key, offset, (uint64_t)i), (uint64_t)i + 1);
        int64_t t = y[i];
        y[i] = y[j], y[j] = t;
    }
}
