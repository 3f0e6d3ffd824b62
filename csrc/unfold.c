/* unfold, which makes every window of an image a column, and fold, its transpose, which adds the columns up.
 *
 *   channels first   columns [batch][channel, tap][output]    a plane and its taps are a task: rows copied, or added, whole
 *   channels last    columns [batch][output][channel, tap]    rows of outputs are, or, added up, a block of channels */
#include "geometry.h"
#include "isa/isa.h"
#include "parallel.h"
#include "report.h"

enum { CHANNEL_BLOCK = 32, SERIAL_ELEMENTS = 20000 };

typedef struct {
    const fc_conv *problem;
    const fc_kernels *kernels;
    char *image, *columns;
    int64_t image_bytes, columns_bytes, tasks; /* of an image */
} unfold_job;

static unfold_job make_job(const fc_conv *p, const void *image, const void *columns, int64_t tasks)
{
    const int64_t element = (int64_t)fc_element_bytes(p->dtype);
    return (unfold_job){.problem = p, .kernels = fc_isa_chosen()->kernels[p->dtype], .image = (char *)image,
                        .columns = (char *)columns, .image_bytes = p->in_channels * fc_volume(p->in_size) * element,
                        .columns_bytes = p->in_channels * fc_volume(p->kernel) * fc_volume(p->out_size) * element,
                        .tasks = tasks};
}

static int useful_threads(const fc_conv *p, int threads)
{
    const int64_t elements = p->batch * p->in_channels * fc_volume(p->kernel) * fc_volume(p->out_size);
    return elements < SERIAL_ELEMENTS ? 1 : threads;
}

static void unfold_plane_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const unfold_job *job = context;
    const int64_t channels = job->problem->in_channels;
    job->kernels->unfold_plane(job->problem, job->image + task * (job->image_bytes / channels),
                               job->columns + task * (job->columns_bytes / channels));
}

static void unfold_rows_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const unfold_job *job = context;
    const fc_conv *p = job->problem;
    const int64_t outputs = fc_volume(p->out_size), image = task / job->tasks, block = task % job->tasks;
    const int64_t first = outputs * block / job->tasks, last = outputs * (block + 1) / job->tasks;
    job->kernels->unfold_rows(p, job->image + image * job->image_bytes, first, last,
                              job->columns + image * job->columns_bytes + first * (job->columns_bytes / outputs),
                              p->in_channels * fc_volume(p->kernel));
}

void fc_unfold(const fc_conv *problem, const void *image, void *columns, int threads)
{
    const double begin = fc_report_begin();
    const int planes = problem->layout == FC_CHANNELS_FIRST;
    threads = useful_threads(problem, threads);
    unfold_job job = make_job(problem, image, columns,
                              planes ? problem->in_channels : problem->out_size[0] * problem->out_size[1]);
    fc_parallel_for(problem->batch * job.tasks, threads, planes ? unfold_plane_task : unfold_rows_task, &job);
    fc_report_windows("unfold", problem, threads, begin);
}

static void fold_plane_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const unfold_job *job = context;
    const int64_t channels = job->problem->in_channels;
    job->kernels->fold_plane(job->problem, job->columns + task * (job->columns_bytes / channels),
                             job->image + task * (job->image_bytes / channels));
}

static void fold_rows_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const unfold_job *job = context;
    const fc_conv *p = job->problem;
    const int64_t image = task / job->tasks, block = task % job->tasks;
    const int64_t first = p->in_channels * block / job->tasks, last = p->in_channels * (block + 1) / job->tasks;
    char *target = job->image + image * job->image_bytes;
    job->kernels->fill_columns(fc_volume(p->in_size), p->in_channels, last - first, NULL,
                               target + first * (int64_t)fc_element_bytes(p->dtype));
    job->kernels->spread(p, job->columns + image * job->columns_bytes, first, last, target);
}

void fc_fold(const fc_conv *problem, const void *columns, void *image, int threads)
{
    const double begin = fc_report_begin();
    const int planes = problem->layout == FC_CHANNELS_FIRST;
    threads = useful_threads(problem, threads);
    unfold_job job = make_job(problem, image, columns,
                              planes ? problem->in_channels : fc_divide_up(problem->in_channels, CHANNEL_BLOCK));
    fc_parallel_for(problem->batch * job.tasks, threads, planes ? fold_plane_task : fold_rows_task, &job);
    fc_report_windows("fold", problem, threads, begin);
}
