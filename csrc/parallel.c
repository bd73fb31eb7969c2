/* A team of threads of our own. They divide outputs, so their number never changes a bit; subnormals are kept or flushed on all
   of them alike. One caller has the team at a time; another one meanwhile works alone. The caller does the part of a member that
   has not begun it, so that a member that got no core costs nothing: a region is never slower than one thread by more than the
   waking. A member without work looks out for more for a while and then sleeps. docs/performance.md has the measurements. */
#define _GNU_SOURCE
#include "tt.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

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

/* -------------------------------------------------------------------------------------------------------------- team */
typedef struct {
    _Alignas(64) atomic_uint jobs;         /* parts it was given */
    atomic_uint taken;                     /* ... and that somebody began: it, or the caller */
    atomic_int asleep, cpu;                /* cpu: where it last saw a part */
    atomic_int quit;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
} member;
static struct {
    pthread_mutex_t lock;                  /* its holder has the team */
    atomic_int made;                       /* members that exist; member 0 is the caller */
    tt_team_task fn;
    void *ctx;
    int threads, flushing;
    _Alignas(64) atomic_int left;          /* parts that are not finished */
} team = {.lock = PTHREAD_MUTEX_INITIALIZER, .made = 1};
static member members[TT_MAX_THREADS];

static atomic_int wanted = 1;
static atomic_llong spin = 40000;
static atomic_ullong seen = 0;             /* bit t: member t did some part */
static atomic_int helpful = 1;             /* the caller does parts that others have not begun */

int tt_get_threads(void) { return atomic_load_explicit(&wanted, memory_order_relaxed); }
void tt_set_spin(long long ns) { atomic_store(&spin, ns); }
void tt_set_helpful(int on) { atomic_store(&helpful, on); }
int tt_seen_threads(int reset) { return __builtin_popcountll(reset ? atomic_exchange(&seen, 0) : atomic_load(&seen)); }

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000000000 + t.tv_nsec;
}
/* Nanoseconds of work for which a thread is worth having: one that is awake costs 1000 at most, one that sleeps 10000, so it is
   woken for more work, or for as much of it in a row. */
static _Atomic double awake_worth = 2500, asleep_worth = 10000;
#define ROW 30000.0 /* nanoseconds between two pieces of work in a row, the work itself aside */
static _Atomic double row = 0;
static atomic_llong last = 0;
void tt_set_thread_work(double ns) {
    atomic_store(&awake_worth, ns < 1 ? 1 : ns);
    atomic_store(&asleep_worth, ns < 1 ? 1 : 4 * ns);
}
int tt_threads_for(double work) {
    const int most = tt_get_threads();
    const double n = work / atomic_load_explicit(&awake_worth, memory_order_relaxed);
    if (n < 2 || most == 1) return 1;
    if (team.made == 1 || atomic_load_explicit(&members[1].asleep, memory_order_relaxed)) {
        const long long t = now();
        const double before = atomic_load_explicit(&row, memory_order_relaxed);
        const double whole = work + ((double)(t - atomic_load_explicit(&last, memory_order_relaxed)) < ROW + before ? before : 0);
        atomic_store_explicit(&last, t, memory_order_relaxed);
        atomic_store_explicit(&row, whole, memory_order_relaxed);
        if (whole < 2 * atomic_load_explicit(&asleep_worth, memory_order_relaxed)) return 1;
        atomic_store_explicit(&row, 0, memory_order_relaxed);
    }
    return n < most ? (int)n : most;
}

#define PAUSES 16 /* less than a microsecond */
static void relax(void) {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* self: which member this thread is, handed down, since a thread-local variable of a library that Python loads is allocated when a
   thread first touches it, and the C library ends the process where there is no memory for it */
static void work_as(int self, int thread, int threads, tt_team_task fn, void *ctx, int flushing) {
    const unsigned long long bit = 1ull << self;
    if (!(atomic_load_explicit(&seen, memory_order_relaxed) & bit)) atomic_fetch_or_explicit(&seen, bit, memory_order_relaxed);
    const uint64_t before = enter(flushing);
    fn(ctx, thread, threads);
    tt_flush_end(before);
}

/* Linux 6.12 and later: a thread that asks for short slices is let in when it wakes, also where another one spins. Before that
   the request means nothing. */
static void ask_for_short_slices(void) {
#if defined(__linux__) && defined(SYS_sched_setattr)
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } a = {.size = sizeof a};
    if (syscall(SYS_sched_getattr, 0, &a, sizeof a, 0) != 0 || a.policy != SCHED_OTHER) return;
    a.runtime = 100000;
    syscall(SYS_sched_setattr, 0, &a, 0);
#endif
}

static void wait_for_a_part(member *m, unsigned had) {
    const long long until = now() + atomic_load_explicit(&spin, memory_order_relaxed);
    do {
        for (int i = 0; i < PAUSES; i++) {
            if (atomic_load_explicit(&m->jobs, memory_order_acquire) != had) return;
            relax();
        }
    } while (now() < until);
    pthread_mutex_lock(&m->lock);
    atomic_store(&m->asleep, 1); /* before the look at jobs, as the caller adds a part before its look at asleep */
    while (atomic_load(&m->jobs) == had) pthread_cond_wait(&m->more, &m->lock);
    atomic_store(&m->asleep, 0);
    pthread_mutex_unlock(&m->lock);
}
/* whoever takes part `number` of a member does it; the caller waits for all that were taken, so the team's fields hold still */
static void do_part(int self, member *m, unsigned number) {
    unsigned before = number - 1;
    if (!atomic_compare_exchange_strong(&m->taken, &before, number)) return;
    work_as(self, (int)(m - members), team.threads, team.fn, team.ctx, team.flushing);
    atomic_fetch_sub_explicit(&team.left, 1, memory_order_release);
}
static void *live(void *p) {
    member *m = p;
    ask_for_short_slices();
    for (unsigned had = 0;; had++) {
        wait_for_a_part(m, had);
        if (m->quit) return NULL;
#ifdef __linux__
        atomic_store_explicit(&m->cpu, sched_getcpu(), memory_order_relaxed);
#endif
        do_part((int)(m - members), m, had + 1);
    }
}
static void give_a_part(member *m) {
    atomic_fetch_add(&m->jobs, 1);
    if (atomic_load(&m->asleep)) {
        pthread_mutex_lock(&m->lock);
        pthread_cond_signal(&m->more);
        pthread_mutex_unlock(&m->lock);
    }
}

/* a member that ran on the caller's core is sent to any other that the caller may use */
static void keep_apart(member *m, int here) {
#ifdef __linux__
    cpu_set_t set;
    if (atomic_load_explicit(&m->cpu, memory_order_relaxed) != here || sched_getaffinity(0, sizeof set, &set) != 0) return;
    CPU_CLR((size_t)here, &set);
    if (CPU_COUNT(&set) > 0) pthread_setaffinity_np(m->thread, sizeof set, &set);
    atomic_store_explicit(&m->cpu, -1, memory_order_relaxed);
#else
    (void)m, (void)here;
#endif
}

static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
/* as many members as the system gives, up to `threads`; the caller has the team */
static int have(int threads) {
    sigset_t all, before;
    for (; team.made < threads; team.made++) {
        member *m = &members[team.made];
        atomic_store(&m->asleep, 0); /* by itself: callers that have not the team look at it */
        atomic_store(&m->jobs, 0);
        atomic_store(&m->taken, 0);
        atomic_store(&m->quit, 0);
        atomic_store(&m->cpu, -1);
        m->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
        m->more = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
        sigfillset(&all); /* signals are for the threads of the program, but a fault is its own thread's: faulthandler tells of it */
        for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&all, faults[i]);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        const int refused = pthread_create(&m->thread, NULL, live, m);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (refused) break;
    }
    return team.made < threads ? team.made : threads;
}
void tt_set_threads(int n) {
    n = n < 1 ? 1 : n > TT_MAX_THREADS ? TT_MAX_THREADS : n;
    atomic_store(&wanted, n);
    pthread_mutex_lock(&team.lock);
    for (int i = n; i < team.made; i++) {
        members[i].quit = 1;
        give_a_part(&members[i]);
    }
    for (; team.made > n; team.made--) pthread_join(members[team.made - 1].thread, NULL);
    pthread_mutex_unlock(&team.lock);
}

/* a child starts without members, and makes its own */
static void before_fork(void) { pthread_mutex_lock(&team.lock); }
static void in_parent(void) { pthread_mutex_unlock(&team.lock); }
static void in_child(void) {
    team.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    team.made = 1;
}
__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(before_fork, in_parent, in_child); }

void tt_team(tt_team_task fn, void *ctx, int threads) {
    const int flushing = atomic_load_explicit(&flush, memory_order_relaxed); /* read once: the same for all members */
    if (threads > 1 && pthread_mutex_trylock(&team.lock) == 0) {
        threads = tt_get_threads() < threads ? tt_get_threads() : threads;
        threads = have(threads);
        team.fn = fn, team.ctx = ctx, team.threads = threads, team.flushing = flushing;
        atomic_store_explicit(&team.left, threads - 1, memory_order_relaxed);
#ifdef __linux__
        const int here = sched_getcpu();
#else
        const int here = -2;
#endif
        for (int t = 1; t < threads; t++) {
            keep_apart(&members[t], here);
            give_a_part(&members[t]);
        }
        work_as(0, 0, threads, fn, ctx, flushing);
        for (int t = atomic_load_explicit(&helpful, memory_order_relaxed) ? threads - 1 : 0; t > 0; t--) do_part(0, &members[t], atomic_load_explicit(&members[t].jobs, memory_order_relaxed));
        for (int i = 0; atomic_load_explicit(&team.left, memory_order_acquire) > 0; i++) {
            relax();
            if (i % PAUSES == PAUSES - 1 && i > 32 * PAUSES) sched_yield(); /* it may have been begun on this very core */
        }
        pthread_mutex_unlock(&team.lock);
        return;
    }
    work_as(0, 0, 1, fn, ctx, flushing);
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
    tt_team(divide, &r, threads < items ? threads : (int)items);
}
