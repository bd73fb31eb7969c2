/* Which tables are built in, and which of them this CPU can run, best first. */
#include "tt.h"
#include <string.h>

typedef struct {
    const char *name;
    const tt_kernels *table;
    int (*runs)(void);
} entry;

extern const tt_kernels tt_kernels_generic;
static int always(void) { return 1; }

#if defined(__x86_64__)
#ifdef TT_HAVE_AVX512
extern const tt_kernels tt_kernels_avx512;
static int has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("fma");
}
#endif
#ifdef TT_HAVE_AVX2
extern const tt_kernels tt_kernels_avx2;
static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"); }
#endif
#endif

static const entry entries[] = {
#if defined(__x86_64__) && defined(TT_HAVE_AVX512)
    {"avx512", &tt_kernels_avx512, has_avx512},
#endif
#if defined(__x86_64__) && defined(TT_HAVE_AVX2)
    {"avx2", &tt_kernels_avx2, has_avx2},
#endif
    {"generic", &tt_kernels_generic, always},
};
#define ENTRIES ((int)(sizeof entries / sizeof entries[0]))

const tt_kernels *tt_best(void) {
    for (int i = 0; i < ENTRIES; i++)
        if (entries[i].runs()) return entries[i].table;
    return NULL;
}
const tt_kernels *tt_find(const char *name) {
    for (int i = 0; i < ENTRIES; i++)
        if (strcmp(entries[i].name, name) == 0) return entries[i].runs() ? entries[i].table : NULL;
    return NULL;
}
const char *tt_isa_name(int i) { return i >= 0 && i < ENTRIES ? entries[i].name : NULL; }
