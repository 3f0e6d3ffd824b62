/* A parallel loop over tasks.  The team's size is a clause of each region, never a global setting; OpenMP keeps the threads.
 *
 * libgomp hangs when a forked child starts a team that its parent had: a child runs on one thread (GCC bug 60035). */
#if defined(__linux__)
#define _GNU_SOURCE /* sched_getcpu */
#endif
#include "parallel.h"

#include <pthread.h>
#include <sched.h>

#if defined(_OPENMP)
/* Debian's clang has no omp.h */
extern int omp_get_thread_num(void);
extern int omp_get_num_threads(void);
extern int omp_get_max_threads(void);
extern int omp_get_num_procs(void);
#if defined(__clang__)
const char *fc_openmp(void) { return "libomp"; }
#else
const char *fc_openmp(void) { return "libgomp"; }
#endif
static int most_threads(void) { return omp_get_max_threads(); }
int fc_openmp_processors(void) { return omp_get_num_procs(); }
#else
const char *fc_openmp(void) { return NULL; }
static int most_threads(void) { return 1; }
int fc_openmp_processors(void) { return 1; }
#endif

static int forked, process_threads, limit = 1 << 20;
static _Thread_local int here;

static void note_fork(void) { forked = 1; }
__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(NULL, NULL, note_fork); }

void fc_set_threads(int threads) { process_threads = threads; }
void fc_set_threads_here(int threads) { here = threads; }
int fc_threads_here(void) { return here; }
void fc_set_thread_limit(int threads) { limit = threads; }

int fc_threads(void)
{
    if (forked)
        return 1;
    if (here || process_threads)
        return here ? here : process_threads;
    const int most = most_threads();
    return most < limit ? most : limit;
}

/* A run of tasks: its next one that is free, and its end. */
typedef struct {
    _Alignas(64) int64_t next; /* a line of memory of its own */
    int64_t end;
} share;

#if defined(_OPENMP)
/* ---- threads that sleep beside their caller ---- */

/* A thread that slept may be woken on the processor of the one that calls, most of all in a virtual machine, where an idle
 * processor counts as one that is not there.  Both then spin in turn, for a time slice each: 8 ms a call instead of 20 us, for as
 * long as the caller goes on.  So a thread that finds itself there moves on, and a caller that has nothing left to do lets those
 * that have not begun have its processor. */
#if defined(__linux__)
static int processor(void) { return sched_getcpu(); }

static void move_from(int place, int threads)
{
    cpu_set_t all, others;
    if (sched_getaffinity(0, sizeof all, &all) || CPU_COUNT(&all) < threads || !CPU_ISSET(place, &all))
        return;
    others = all;
    CPU_CLR(place, &others);
    if (CPU_COUNT(&others) && !sched_setaffinity(0, sizeof others, &others))
        sched_setaffinity(0, sizeof all, &all);
}
#else
static int processor(void) { return -1; }
static void move_from(int place, int threads) { (void)place, (void)threads; }
#endif

/* Until `count` threads have begun; whoever is late is most often about to begin. */
static void await(const int *begun, int count)
{
    enum { SPINS = 2000 };
    for (int spin = 0; __atomic_load_n(begun, __ATOMIC_ACQUIRE) < count; spin++)
        if (spin > SPINS)
            sched_yield();
}
#endif

/* What was stored past the caches may be seen late. */
static void wait_for_streams(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

void fc_parallel_for(int64_t tasks, int threads, fc_task body, void *context)
{
    if (threads > tasks)
        threads = (int)tasks;
#if defined(_OPENMP)
    if (threads > 1 && !forked) {
        /* Every thread begins at a share of its own, so that it finds in its cache what it wrote in the call before, and
         * then helps with the others'.  It takes a few tasks at a time where they are many: a turn at the counter costs as
         * much as a small plane. */
        enum { MOST_SHARES = 64 };
        share shares[MOST_SHARES];
        const int count = threads < MOST_SHARES ? threads : MOST_SHARES;
        const int64_t chunk = tasks / (threads * 16) + 1;
        for (int i = 0; i < count; i++)
            shares[i] = (share){tasks * i / count, tasks * (i + 1) / count};
        const int caller = processor();
        int begun = 1, team = 1;
#pragma omp parallel num_threads(threads)
        {
            const int thread = omp_get_thread_num();
            if (thread == 0)
                team = omp_get_num_threads();
            else if (caller >= 0 && processor() == caller)
                move_from(caller, threads);
            if (thread > 0)
                __atomic_add_fetch(&begun, 1, __ATOMIC_RELEASE);
            for (int i = 0; i < count; i++) {
                share *s = &shares[(thread + i) % count];
                for (;;) {
                    const int64_t first = __atomic_fetch_add(&s->next, chunk, __ATOMIC_RELAXED);
                    if (first >= s->end)
                        break;
                    for (int64_t task = first; task < first + chunk && task < s->end; task++)
                        body(context, task, thread);
                }
            }
            wait_for_streams();
            if (thread == 0)
                await(&begun, team);
        }
        return;
    }
#endif
    for (int64_t task = 0; task < tasks; task++)
        body(context, task, 0);
    wait_for_streams();
}
