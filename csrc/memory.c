/* Memory for outputs and workspaces.
 *
 * Fresh pages cost 0.3 ms a MB at first touch, as much as the layer that fills them.  Blocks of 1 MB and more are therefore
 * aligned to 2 MB, sized in steps of it, backed by huge pages where the system has them (four to ten times cheaper to touch),
 * and kept when released, the most recently used first, up to a limit.  A block's size class follows from the bytes asked
 * for, so a released block serves any later request of its class, and nothing grows with the number of shapes seen. */
#include "fastconv.h"
#include "geometry.h"
#include "weights.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

enum { RECYCLED_BYTES = 1 << 20, HUGE_PAGE = 2 << 20, ALIGNMENT = 64, MOST_BLOCKS = 64 };

typedef struct {
    void *block;
    size_t bytes;
} cached;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static cached cache[MOST_BLOCKS]; /* the most recently released last */
static int cache_count;
static size_t cache_bytes, reserved_bytes, cache_limit = (size_t)256 << 20; /* reserved: by what is kept elsewhere */

static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }

__attribute__((constructor)) static void keep_lock_whole_over_fork(void)
{
    pthread_atfork(before_fork, after_fork, after_fork);
}

/* Whole huge pages, in steps of at most an eighth of the size. */
static size_t class_bytes(size_t bytes)
{
    size_t step = HUGE_PAGE;
    while (step * 16 <= bytes)
        step *= 2;
    return (bytes + step - 1) / step * step;
}

/* Mapped from the system and given back to it: free() would keep blocks, once glibc has seen a few, for good. */
static void *map_block(size_t bytes)
{
#if defined(__linux__)
    char *room = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED)
        return NULL;
    char *block = room + (HUGE_PAGE - (uintptr_t)room % HUGE_PAGE) % HUGE_PAGE;
    if (block > room)
        munmap(room, (size_t)(block - room));
    munmap(block + bytes, (size_t)(room + HUGE_PAGE - block));
    madvise(block, bytes, MADV_HUGEPAGE);
    return block;
#else
    return aligned_alloc(HUGE_PAGE, bytes);
#endif
}

static void unmap_block(void *block, size_t bytes)
{
#if defined(__linux__)
    munmap(block, bytes);
#else
    (void)bytes;
    free(block);
#endif
}

static void drop_oldest(void)
{
    unmap_block(cache[0].block, cache[0].bytes);
    cache_bytes -= cache[0].bytes;
    cache_count--;
    for (int i = 0; i < cache_count; i++)
        cache[i] = cache[i + 1];
}

static void shrink_to(size_t limit)
{
    while (cache_count && cache_bytes + reserved_bytes > limit)
        drop_oldest();
}

static void *take_cached(size_t bytes)
{
    void *block = NULL;
    pthread_mutex_lock(&lock);
    for (int i = cache_count - 1; i >= 0; i--)
        if (cache[i].bytes == bytes) {
            block = cache[i].block;
            cache_bytes -= bytes;
            cache_count--;
            for (; i < cache_count; i++)
                cache[i] = cache[i + 1];
            break;
        }
    pthread_mutex_unlock(&lock);
    return block;
}

void *fc_acquire(size_t bytes)
{
    if (bytes > PTRDIFF_MAX / 2)
        return NULL;
    if (bytes < RECYCLED_BYTES)
        return aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + ALIGNMENT);
    bytes = class_bytes(bytes);
    void *block = take_cached(bytes);
    if (block)
        return block;
    block = map_block(bytes);
    if (!block) { /* what is kept may be what is missing */
        fc_empty_cache();
        block = map_block(bytes);
    }
    return block;
}

void fc_release(void *block, size_t bytes)
{
    if (!block)
        return;
    if (bytes < RECYCLED_BYTES) {
        free(block);
        return;
    }
    bytes = class_bytes(bytes);
    pthread_mutex_lock(&lock);
    if (bytes <= cache_limit) {
        if (cache_count == MOST_BLOCKS)
            drop_oldest();
        cache[cache_count++] = (cached){block, bytes};
        cache_bytes += bytes;
        shrink_to(cache_limit);
        block = NULL;
    }
    pthread_mutex_unlock(&lock);
    if (block)
        unmap_block(block, bytes);
}

int fc_reserve(int64_t bytes)
{
    pthread_mutex_lock(&lock);
    const int fits = bytes <= 0 || reserved_bytes + (size_t)bytes <= cache_limit / 2;
    if (fits) {
        reserved_bytes += (size_t)bytes;
        shrink_to(cache_limit);
    }
    pthread_mutex_unlock(&lock);
    return fits;
}

void fc_set_cache_limit(size_t bytes)
{
    fc_forget_weights();
    pthread_mutex_lock(&lock);
    cache_limit = bytes;
    shrink_to(bytes);
    pthread_mutex_unlock(&lock);
}

size_t fc_cache_limit(void) { return cache_limit; }
size_t fc_cache_bytes(void) { return cache_bytes + reserved_bytes; }

void fc_empty_cache(void)
{
    fc_forget_weights();
    pthread_mutex_lock(&lock);
    shrink_to(0);
    pthread_mutex_unlock(&lock);
}
