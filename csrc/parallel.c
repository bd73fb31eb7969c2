/* The only file that knows OpenMP. Threads divide outputs, so their number never changes a bit. */
#include "tt.h"
#include <pthread.h>
#include <stdatomic.h>
#ifdef _OPENMP
#include <omp.h>
#endif

static atomic_int wanted = 0;          /* 0: not asked yet */
static atomic_int forked = 0;          /* a child cannot use the pool of threads that stayed with its parent */
static atomic_int pool_used = 0;
static atomic_ullong seen = 0;         /* bit t: member t ran in some region */

static void after_fork(void) {
    if (atomic_load(&pool_used)) atomic_store(&forked, 1);
}
__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(NULL, NULL, after_fork); }

int tt_has_openmp(void) {
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}
int tt_get_threads(void) {
#ifdef _OPENMP
    if (atomic_load(&forked)) return 1;
    int n = atomic_load(&wanted);
    if (n == 0) {
        n = omp_get_max_threads();
        n = n < 1 ? 1 : n > TT_MAX_THREADS ? TT_MAX_THREADS : n;
        atomic_store(&wanted, n);
    }
    return n;
#else
    return 1;
#endif
}
void tt_set_threads(int n) { atomic_store(&wanted, n < 1 ? 1 : n > TT_MAX_THREADS ? TT_MAX_THREADS : n); }

int tt_seen_threads(int reset) {
    int n = __builtin_popcountll(reset ? atomic_exchange(&seen, 0) : atomic_load(&seen));
    return n;
}

/* nanoseconds of work that are worth a thread: waking one costs 1000 to 5000 */
static _Atomic double worth = 1e4;
void tt_set_thread_work(double ns) { atomic_store(&worth, ns < 1 ? 1 : ns); }
int tt_threads_for(double work) {
    int most = tt_get_threads();
    double n = work / atomic_load(&worth);
    return n < 2 ? 1 : n < most ? (int)n : most;
}

#ifdef _OPENMP
static atomic_int proven = 1;          /* threads that this process is known to be able to make */
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
/* libgomp ends the process when it cannot make a thread, so as many are made once, all alive together, before it is asked */
static int affordable(int n) {
    if (atomic_load(&forked) || omp_in_parallel()) return 1;
    if (n <= atomic_load(&proven)) return n;
    pthread_t t[TT_MAX_THREADS];
    gate g = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    int made = 0;
    while (made < n - 1 && pthread_create(&t[made], NULL, wait_at_gate, &g) == 0) made++;
    pthread_mutex_lock(&g.lock);
    g.go = 1;
    pthread_cond_broadcast(&g.open);
    pthread_mutex_unlock(&g.lock);
    for (int i = 0; i < made; i++) pthread_join(t[i], NULL);
    if (made < n - 1) return 1;
    atomic_store(&proven, n);
    return n;
}
#endif

void tt_team(tt_team_task fn, void *ctx, int threads) {
#ifdef _OPENMP
    if (threads > 1) threads = affordable(threads);
    if (threads > 1) {
        atomic_store(&pool_used, 1);
#pragma omp parallel num_threads(threads)
        {
            int t = omp_get_thread_num();
            atomic_fetch_or_explicit(&seen, 1ull << t, memory_order_relaxed);
            fn(ctx, t, omp_get_num_threads());
        }
        return;
    }
#endif
    (void)threads;
    atomic_fetch_or_explicit(&seen, 1ull, memory_order_relaxed);
    fn(ctx, 0, 1);
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
    tt_team(divide, &r, (ptrdiff_t)threads < items ? threads : (int)items);
}
