/* Where the branches of a network meet: their sum, and their channels side by side. */
#include "geometry.h"
#include "isa/isa.h"
#include "parallel.h"

#include <string.h>

enum { BLOCK = 16384, PIECE = 65536 }; /* elements of a task of a sum, bytes of a task of a copy: both 64 KB */

typedef struct {
    const fc_kernels *kernels;
    fc_activation kind;
    int64_t parts, count;
    const void *const *x;
    void *y;
} sum_job;

static void sum_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const sum_job *job = context;
    const int64_t begin = task * BLOCK;
    job->kernels->sum_arrays(job->kind, job->parts, job->x, begin, fc_smaller(begin + BLOCK, job->count), job->y);
}

void fc_sum_arrays(fc_dtype dtype, fc_activation kind, int64_t parts, const void *const *x, int64_t count, void *y, int threads)
{
    sum_job job = {.kernels = fc_isa_chosen()->kernels[dtype], .kind = kind, .parts = parts, .count = count, .x = x, .y = y};
    fc_parallel_for(fc_divide_up(count, BLOCK), threads, sum_task, &job);
}

typedef struct {
    int64_t bytes, pieces, source_pitch, target_pitch;
    const char *source;
    char *target;
} copy_job;

static void copy_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const copy_job *job = context;
    const int64_t row = task / job->pieces, begin = task % job->pieces * PIECE;
    memcpy(job->target + row * job->target_pitch + begin, job->source + row * job->source_pitch + begin,
           (size_t)fc_smaller(PIECE, job->bytes - begin));
}

void fc_copy_rows(int64_t rows, int64_t bytes, const void *source, int64_t source_pitch, void *target, int64_t target_pitch,
                  int threads)
{
    copy_job job = {.bytes = bytes, .pieces = fc_divide_up(bytes, PIECE), .source_pitch = source_pitch,
                    .target_pitch = target_pitch, .source = source, .target = target};
    fc_parallel_for(rows * job.pieces, rows * bytes < PIECE ? 1 : threads, copy_task, &job);
}
