/* The only file that knows OpenMP. Threads divide outputs, so their number never changes a bit; subnormals are kept or flushed on
   all of them alike. */
#include "tt.h"
#include <pthread.h>
#include <stdatomic.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

int tt_has_openmp(void) {
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

/* -------------------------------------------------------------------------------------------------------- subnormals
   Here and not in isa.h: the control register is the same in every set, and tasks of every thread begin and end here. */
#if defined(__x86_64__)
#define FLUSH 0x8040ull /* FTZ: results, DAZ: inputs */
static uint64_t control(void) { return _mm_getcsr(); }
static void set_control(uint64_t c) { _mm_setcsr((unsigned)c); }
#elif defined(__aarch64__)
#define FLUSH (1ull << 24) /* FZ: both */
static uint64_t control(void) {
    uint64_t c;
    __asm__ volatile("mrs %0, fpcr" : "=r"(c));
    return c;
}
static void set_control(uint64_t c) { __asm__ volatile("msr fpcr, %0" : : "r"(c)); }
#else
#define FLUSH 0ull
static uint64_t control(void) { return 0; }
static void set_control(uint64_t c) { (void)c; }
#endif
#define CHANGED (1ull << 63)

static atomic_int flush = 0;
int tt_set_flush(int mode) {
    atomic_store(&flush, mode && FLUSH != 0);
    return FLUSH != 0;
}
int tt_get_flush(void) { return atomic_load(&flush); }

/* whatever a library did to the caller's thread: else its share of the work would differ from the others' */
static uint64_t enter(int flushing) {
    const uint64_t before = control(), mine = flushing ? before | FLUSH : before & ~FLUSH;
    if (mine == before) return 0;
    set_control(mine);
    return before | CHANGED;
}
uint64_t tt_flush_begin(void) { return enter(atomic_load_explicit(&flush, memory_order_relaxed)); }
void tt_flush_end(uint64_t before) {
    if (before) set_control(before & ~CHANGED);
}

/* ----------------------------------------------------------------------------------------------------------- threads */
static atomic_int wanted = 0;          /* 0: not asked yet */
static atomic_ullong seen = 0;         /* bit t: member t ran in some region */

#ifdef _OPENMP
static atomic_int forked = 0;          /* a child cannot use the pool of threads that stayed with its parent */
static atomic_int pool_used = 0;
static _Thread_local int pool = 1;     /* threads that libgomp keeps for the regions of this thread, itself included */

/* libgomp keeps them until a smaller region; the next region makes new ones */
static void release(void) {
    if (pool > 1 && omp_pause_resource_all(omp_pause_soft) == 0) pool = 1;
}
static void after_fork(void) {
    if (pool > 1) atomic_store(&forked, 1);              /* forked within somebody's region, where nothing is released */
    else if (atomic_load(&pool_used)) atomic_store(&wanted, 1);
}
__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(release, NULL, after_fork); }
#endif

int tt_get_threads(void) {
#ifdef _OPENMP
    if (atomic_load(&forked)) return 1;
    int n = atomic_load(&wanted);
    if (n == 0) {
        n = omp_get_max_threads(); /* OMP_NUM_THREADS */
        n = n < omp_get_num_procs() ? n : omp_get_num_procs();
        n = n < 1 ? 1 : n > TT_MAX_THREADS ? TT_MAX_THREADS : n;
        atomic_store(&wanted, n);
    }
    return n;
#else
    return 1;
#endif
}
void tt_set_threads(int n) {
    atomic_store(&wanted, n < 1 ? 1 : n > TT_MAX_THREADS ? TT_MAX_THREADS : n);
#ifdef _OPENMP
    if (pool > n) release();
#endif
}

int tt_seen_threads(int reset) {
    int n = __builtin_popcountll(reset ? atomic_exchange(&seen, 0) : atomic_load(&seen));
    return n;
}

/* Nanoseconds of work that are worth a thread: waking one costs 1000 to 5000. All threads or one, as libgomp ends those that a
   smaller region leaves over, and making them again costs 80000; with many, a quarter of that work for each will do. */
static _Atomic double worth = 1e4;
void tt_set_thread_work(double ns) { atomic_store(&worth, ns < 1 ? 1 : ns); }
int tt_threads_for(double work) {
    const int most = tt_get_threads();
    const double n = work / atomic_load(&worth);
    return n < 2 || 4 * n < most ? 1 : most;
}

#ifdef _OPENMP
typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t open;
    int go;
} gate;
static void *wait_at_gate(void *p) {
    gate *g = p;
    pthread_mutex_lock(&g->lock);
    while (!g->go) pthread_cond_wait(&g->open, &g->lock);
    pthread_mutex_unlock(&g->lock);
    return NULL;
}
/* libgomp ends the process when it cannot make a thread, so as many are made first, all alive together, whenever it will make some */
static int affordable(int n) {
    if (atomic_load(&forked) || omp_in_parallel()) return 1;
    if (n <= pool) return n;
    pthread_t t[TT_MAX_THREADS];
    gate g = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    int made = 0;
    while (made < n - pool && pthread_create(&t[made], NULL, wait_at_gate, &g) == 0) made++;
    pthread_mutex_lock(&g.lock);
    g.go = 1;
    pthread_cond_broadcast(&g.open);
    pthread_mutex_unlock(&g.lock);
    for (int i = 0; i < made; i++) pthread_join(t[i], NULL);
    return made < n - pool ? 1 : n;
}
#endif

static void work_as(tt_team_task fn, void *ctx, int thread, int threads, int flushing) {
    atomic_fetch_or_explicit(&seen, 1ull << thread, memory_order_relaxed);
    const uint64_t before = enter(flushing);
    fn(ctx, thread, threads);
    tt_flush_end(before);
}
void tt_team(tt_team_task fn, void *ctx, int threads) {
    const int flushing = atomic_load_explicit(&flush, memory_order_relaxed); /* read once: the same for all members */
#ifdef _OPENMP
    const int most = tt_get_threads();
    if (pool > most) release(); /* another thread lowered the limit */
    if (threads > most) threads = most;
    if (threads > 1) threads = affordable(threads);
    if (threads > 1) {
        atomic_store(&pool_used, 1);
#pragma omp parallel num_threads(threads)
        work_as(fn, ctx, omp_get_thread_num(), omp_get_num_threads(), flushing);
        pool = threads;
        return;
    }
#endif
    (void)threads;
    work_as(fn, ctx, 0, 1, flushing);
}
void tt_barrier(void) {
#ifdef _OPENMP
#pragma omp barrier
#endif
}

typedef struct {
    tt_task fn;
    void *ctx;
    ptrdiff_t items;
} range;
static void divide(void *ctx, int thread, int threads) {
    const range *r = ctx;
    ptrdiff_t q = r->items / threads, rest = r->items % threads;
    ptrdiff_t begin = thread * q + (thread < rest ? thread : rest), end = begin + q + (thread < rest);
    if (begin < end) r->fn(r->ctx, begin, end);
}
void tt_parallel(tt_task fn, void *ctx, ptrdiff_t items, int threads) {
    if (items <= 0) return;
    range r = {fn, ctx, items};
    tt_team(divide, &r, items > 1 ? threads : 1); /* a member may have nothing to do: see tt_threads_for */
}
