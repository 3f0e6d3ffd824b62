/* Resampling of planes, each output a weighted sum along each dimension: upsampling, and with the transposed tables its
 * gradient.  Every output row is made by one task out of the rows that it needs:
 *
 *     rows of the input   --- sum over the taps of depth and height --->   one row, in the L1 cache   --- width --->   output */
#include "geometry.h"
#include "isa/isa.h"
#include "parallel.h"

enum { BLOCK = 16384 }; /* elements of a task */

typedef struct {
    const fc_resample *problem;
    const fc_kernels *kernels;
    const char *x;
    char *y;
    int64_t element, rows, task_rows, tasks; /* rows of a plane and of a task, tasks of a plane */
    char *lines;
    size_t line_bytes;
} resample_job;

static void resample_task(void *context, int64_t task, int thread)
{
    const resample_job *job = context;
    const fc_resample *problem = job->problem;
    const int64_t plane = task / job->tasks, first = task % job->tasks * job->task_rows;
    job->kernels->resample(problem, job->x + plane * fc_volume(problem->in_size) * job->element,
                           job->y + plane * fc_volume(problem->out_size) * job->element, first,
                           fc_smaller(first + job->task_rows, job->rows), job->lines + (size_t)thread * job->line_bytes);
}

fc_status fc_resample_planes(const fc_resample *problem, const void *x, void *y, int threads)
{
    resample_job job = {.problem = problem, .kernels = fc_isa_chosen()->kernels[problem->dtype], .x = x, .y = y,
                        .element = (int64_t)fc_element_bytes(problem->dtype),
                        .rows = problem->out_size[0] * problem->out_size[1]};
    job.task_rows = fc_smaller(job.rows, BLOCK / problem->out_size[2] + 1);
    job.tasks = fc_divide_up(job.rows, job.task_rows);
    if (problem->planes * fc_larger(fc_volume(problem->in_size), fc_volume(problem->out_size)) < BLOCK)
        threads = 1;
    job.line_bytes = (size_t)fc_round_up(problem->in_size[2] * job.element, 128);
    const size_t bytes = job.line_bytes * (size_t)threads;
    if (!(job.lines = fc_acquire(bytes)))
        return FC_NO_MEMORY;
    fc_parallel_for(problem->planes * job.tasks, threads, resample_task, &job);
    fc_release(job.lines, bytes);
    return FC_OK;
}
