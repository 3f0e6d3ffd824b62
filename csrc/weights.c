/* Packed weights that are remembered from one call to the next.
 *
 * A plain array may have changed since the call before, and nothing tells.  So a copy of the weight is kept beside its packed
 * form, and compared, every element, with what is given now: reading both takes a fraction of packing.  The choice of the
 * algorithm knows nothing of this, and a remembered form is the one that would be made: the bits are the same with and without.
 *
 * A weight is kept when it comes for the second time.  One that has changed is left alone for some calls, so that training,
 * which changes it at each step, does not pay for copies.  What is kept counts against the limit of the cache (memory.c), up to
 * half of it, and makes room for another only where it stays away for longer than it used to: a network that does not fit keeps
 * a part of itself instead of none. */
#include "weights.h"
#include "algorithm.h"
#include "parallel.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_WEIGHTS = 256,
    WAIT = 8,               /* calls before a weight that has changed is kept again */
    PATIENCE = 4,           /* a weight that stays away so many times as long as it used to makes room for others */
    PIECE_BYTES = 1 << 16,  /* compared by one task */
};

/* What the packed form depends on: see algorithm.h. */
typedef struct {
    const void *weight;
    const fc_algo *algorithm;
    const fc_isa *isa;
    int64_t pass, dtype, layout, groups, in_channels, out_channels, kernel[3], stride[3], dilation[3];
} weight_key;

struct fc_kept_weight {
    weight_key key;
    size_t weight_bytes, packed_bytes;
    char *copy, *packed;   /* NULL: seen, but not kept */
    int holders;           /* the list, and calls that use it */
    int wait;              /* calls before it is kept */
    uint64_t used, period; /* the call that used it last, and the calls from one use to the next */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static fc_kept_weight *list[MOST_WEIGHTS];
static int count;
static uint64_t calls;

static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }
__attribute__((constructor)) static void keep_lock_whole_over_fork(void)
{
    pthread_atfork(before_fork, after_fork, after_fork);
}

static weight_key key_of(const fc_plan *plan, const void *weight)
{
    const fc_conv *p = &plan->problem;
    weight_key key = {.weight = weight, .algorithm = plan->algorithm, .isa = plan->isa, .pass = plan->pass, .dtype = p->dtype,
                      .layout = p->layout, .groups = p->groups, .in_channels = p->in_channels, .out_channels = p->out_channels};
    for (int d = 0; d < 3; d++) {
        key.kernel[d] = p->kernel[d];
        key.stride[d] = p->stride[d];
        key.dilation[d] = p->dilation[d];
    }
    return key;
}

static size_t kept_bytes(const fc_kept_weight *kept) { return kept->weight_bytes + kept->packed_bytes; }

/* These are called with the lock held. */

static void let_go(fc_kept_weight *kept)
{
    if (--kept->holders)
        return;
    if (kept->copy) {
        fc_release(kept->copy, kept->weight_bytes);
        fc_release(kept->packed, kept->packed_bytes);
        fc_reserve(-(int64_t)kept_bytes(kept));
    }
    free(kept);
}

static void drop(int index)
{
    fc_kept_weight *kept = list[index];
    list[index] = list[--count];
    let_go(kept);
}

static int find(const weight_key *key)
{
    for (int i = 0; i < count; i++)
        if (!memcmp(&list[i]->key, key, sizeof *key))
            return i;
    return -1;
}

static int least_used(void)
{
    int least = 0;
    for (int i = 1; i < count; i++)
        if (list[i]->used < list[least]->used)
            least = i;
    return least;
}

static fc_kept_weight *add(const fc_kept_weight *given)
{
    fc_kept_weight *kept = malloc(sizeof *kept);
    if (!kept)
        return NULL;
    if (count == MOST_WEIGHTS)
        drop(least_used());
    *kept = *given;
    kept->holders = 1;
    list[count++] = kept;
    return kept;
}

/* Room for one more, made by those that have not been used for long. */
static int reserve(int64_t bytes)
{
    while (!fc_reserve(bytes)) {
        int oldest = -1;
        if (bytes > (int64_t)(fc_cache_limit() / 2))
            return 0;
        for (int i = 0; i < count; i++)
            if (list[i]->copy && calls - list[i]->used > PATIENCE * list[i]->period &&
                (oldest < 0 || list[i]->used < list[oldest]->used))
                oldest = i;
        if (oldest < 0)
            return 0;
        drop(oldest);
    }
    return 1;
}

/* ---- whether it is still the same ---- */

typedef struct {
    const char *a, *b;
    int64_t bytes;
    int differ;
} comparison;

static void compare_task(void *context, int64_t task, int thread)
{
    (void)thread;
    comparison *job = context;
    const int64_t first = task * PIECE_BYTES, bytes = fc_smaller(PIECE_BYTES, job->bytes - first);
    if (!__atomic_load_n(&job->differ, __ATOMIC_RELAXED) && memcmp(job->a + first, job->b + first, (size_t)bytes))
        __atomic_store_n(&job->differ, 1, __ATOMIC_RELAXED);
}

static int same(const void *a, const void *b, size_t bytes, int threads)
{
    comparison job = {a, b, (int64_t)bytes, 0};
    fc_parallel_for(fc_divide_up(job.bytes, PIECE_BYTES), threads, compare_task, &job);
    return !job.differ;
}

/* ---- what plan.c calls ---- */

/* Packs a copy: the array itself may change meanwhile. */
static fc_kept_weight *keep(const fc_plan *plan, fc_kept_weight weight, int threads)
{
    const int64_t bytes = (int64_t)kept_bytes(&weight);
    fc_kept_weight *kept = NULL;
    pthread_mutex_lock(&lock);
    const int fits = reserve(bytes);
    pthread_mutex_unlock(&lock);
    if (!fits)
        return NULL;
    weight.copy = fc_acquire(weight.weight_bytes);
    weight.packed = fc_acquire(weight.packed_bytes);
    if (weight.copy && weight.packed) {
        memcpy(weight.copy, weight.key.weight, weight.weight_bytes);
        plan->algorithm->pack(plan, weight.copy, weight.packed, threads);
        pthread_mutex_lock(&lock);
        const int index = find(&weight.key);
        if (index >= 0)
            drop(index);
        kept = add(&weight);
        if (kept)
            kept->holders++;
        pthread_mutex_unlock(&lock);
    }
    if (!kept) {
        fc_release(weight.copy, weight.weight_bytes);
        fc_release(weight.packed, weight.packed_bytes);
        fc_reserve(-bytes);
    }
    return kept;
}

fc_kept_weight *fc_recall_weight(const fc_plan *plan, const void *weight, int threads)
{
    const fc_conv *p = &plan->problem;
    const int64_t elements = p->out_channels * (p->in_channels / p->groups) * fc_taps(p);
    fc_kept_weight seen = {.key = key_of(plan, weight), .weight_bytes = (size_t)elements * fc_element_bytes(p->dtype),
                           .packed_bytes = plan->packed_bytes, .wait = 1};
    fc_kept_weight *kept = NULL;
    int due = 0;
    pthread_mutex_lock(&lock);
    seen.used = ++calls;
    int index = find(&seen.key);
    if (index < 0) {
        add(&seen);
    } else {
        list[index]->period = seen.period = calls - list[index]->used;
        list[index]->used = calls;
        if (list[index]->copy) {
            kept = list[index];
            kept->holders++;
        } else {
            due = --list[index]->wait <= 0;
        }
    }
    pthread_mutex_unlock(&lock);
    if (due)
        return keep(plan, seen, threads);
    if (!kept || same(kept->copy, weight, kept->weight_bytes, threads))
        return kept;
    seen.wait = WAIT;
    pthread_mutex_lock(&lock);
    let_go(kept);
    index = find(&seen.key);
    if (index >= 0 && list[index] == kept) {
        drop(index);
        add(&seen);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

const void *fc_kept_form(const fc_kept_weight *kept) { return kept->packed; }

void fc_return_weight(fc_kept_weight *kept)
{
    if (!kept)
        return;
    pthread_mutex_lock(&lock);
    let_go(kept);
    pthread_mutex_unlock(&lock);
}

void fc_forget_weights(void)
{
    pthread_mutex_lock(&lock);
    while (count)
        drop(count - 1);
    pthread_mutex_unlock(&lock);
}
