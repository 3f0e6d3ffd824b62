/* Locally connected layers: a convolution whose kernel belongs to the position, weight [position][out_channel][channel, tap].
 *
 *   forward           y[n][k][l]     = b[k][l] + sum over c, t of w[l][k][c, t] x~[n][l][c, t]
 *   input gradient    dx~[n][l][c,t] = sum over k of dy[n][k][l] w[l][k][c, t], folded into dx
 *   weight gradient   dw[l][k][c, t] = sum over n of dy[n][k][l] x~[n][l][c, t]        db[k][l] = sum over n of dy[n][k][l]
 *
 * x~ is the window of the input at position l.  The weight, of which every element is used once an image, is most of the
 * traffic: a task takes a few positions and all images, gathers their windows, and goes through its part of the weight once. */
#include "geometry.h"
#include "isa/isa.h"
#include "parallel.h"
#include "report.h"

enum {
    POSITIONS = 16,              /* of a task: neighbours share the lines of an output's plane */
    WINDOW_BYTES = 256 << 10,    /* of the windows gathered at once: they stay in L2 */
    COLUMN_BYTES = 32 << 20,     /* of the columns of an input gradient before they are folded: some images */
    CHANNEL_BLOCK = 32,
    SERIAL_PRODUCTS = 20000,
};

typedef struct {
    const fc_conv *problem;
    const fc_operands *operands;
    const fc_kernels *kernels;
    int64_t element, positions, depth, images; /* images: gathered at once */
    int64_t out[5], in[5];
    int64_t first_image, last_image;           /* input gradient: of this round */
    char *room;
    size_t thread_bytes;
} local_job;

static local_job make_job(const fc_conv *p, const fc_operands *operands)
{
    local_job job = {.problem = p, .operands = operands, .kernels = fc_isa_chosen()->kernels[p->dtype],
                     .element = (int64_t)fc_element_bytes(p->dtype), .positions = fc_volume(p->out_size),
                     .depth = p->in_channels * fc_volume(p->kernel)};
    job.images = fc_smaller(p->batch, fc_larger(1, WINDOW_BYTES / (job.depth * job.element)));
    job.thread_bytes = (size_t)fc_round_up(job.images * job.depth * job.element, 128);
    fc_tensor_strides(p->layout, p->in_channels, p->in_size, job.in);
    fc_tensor_strides(p->layout, p->out_channels, p->out_size, job.out);
    return job;
}

static int useful_threads(const local_job *job, int threads)
{
    const fc_conv *p = job->problem;
    const double products = (double)p->batch * (double)p->out_channels * (double)(job->positions * job->depth);
    return products < SERIAL_PRODUCTS ? 1 : threads;
}

/* The output's element of an image, channel 0, at a position. */
static char *output_at(const local_job *job, int64_t image, int64_t position)
{
    return (char *)job->operands->output + (image * job->out[0] + position * job->out[4]) * job->element;
}

static const char *weight_at(const local_job *job, int64_t position)
{
    return (const char *)job->operands->weight + position * job->problem->out_channels * job->depth * job->element;
}

/* The windows of images [first, last) at a position, one after the other. */
static void gather(const local_job *job, int64_t first, int64_t last, int64_t position, char *windows)
{
    for (int64_t n = first; n < last; n++)
        job->kernels->unfold_rows(job->problem, (const char *)job->operands->input + n * job->in[0] * job->element, position,
                                  position + 1, windows + (n - first) * job->depth * job->element, job->depth);
}

static void forward_task(void *context, int64_t task, int thread)
{
    const local_job *job = context;
    const fc_conv *p = job->problem;
    const int64_t outs = p->out_channels, begin = task * POSITIONS, end = fc_smaller(begin + POSITIONS, job->positions);
    char *windows = job->room + (size_t)thread * job->thread_bytes;
    for (int64_t l = begin; l < end; l++)
        for (int64_t first = 0; first < p->batch; first += job->images) {
            const int64_t last = fc_smaller(first + job->images, p->batch);
            gather(job, first, last, l, windows);
            job->kernels->dots(&(fc_dots){.rows = outs, .columns = last - first, .lines = 1, .depth = job->depth,
                                          .a = weight_at(job, l), .a_row = job->depth, .b = windows, .b_row = job->depth,
                                          .c = output_at(job, first, l), .c_row = job->out[1], .c_column = job->out[0]});
        }
    for (int64_t n = 0; n < p->batch; n++)
        job->kernels->finish_local(p, job->operands, n, begin, end);
}

/* Images whose columns an input gradient holds at once. */
static int64_t images_together(const local_job *job)
{
    const int64_t image_bytes = job->positions * job->depth * job->element;
    return fc_smaller(job->problem->batch, fc_larger(1, COLUMN_BYTES / image_bytes));
}

static size_t workspace(const local_job *job, fc_pass pass, int threads)
{
    if (pass == FC_INPUT_GRADIENT)
        return (size_t)(images_together(job) * job->positions * job->depth * job->element);
    return job->thread_bytes * (size_t)threads;
}

static fc_status run_tasks(local_job *job, fc_task task, int threads)
{
    const size_t bytes = workspace(job, FC_FORWARD, threads);
    if (!(job->room = fc_acquire(bytes)))
        return FC_NO_MEMORY;
    fc_parallel_for(fc_divide_up(job->positions, POSITIONS), threads, task, job);
    fc_release(job->room, bytes);
    return FC_OK;
}

static void weight_task(void *context, int64_t task, int thread)
{
    const local_job *job = context;
    const fc_conv *p = job->problem;
    const int64_t outs = p->out_channels, begin = task * POSITIONS, end = fc_smaller(begin + POSITIONS, job->positions);
    char *windows = job->room + (size_t)thread * job->thread_bytes;
    for (int64_t l = begin; l < end; l++)
        for (int64_t first = 0; first < p->batch; first += job->images) {
            const int64_t last = fc_smaller(first + job->images, p->batch);
            gather(job, first, last, l, windows);
            for (int64_t k = 0; k < outs; k++)
                job->kernels->sum_scaled(last - first, output_at(job, first, l) + k * job->out[1] * job->element, job->out[0],
                                         windows, job->depth, job->depth, first > 0,
                                         (char *)weight_at(job, l) + k * job->depth * job->element);
        }
}

/* Columns [image][position][channel, tap] of the images of this round. */
static void columns_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const local_job *job = context;
    const int64_t begin = task * POSITIONS, end = fc_smaller(begin + POSITIONS, job->positions);
    for (int64_t l = begin; l < end; l++)
        for (int64_t n = job->first_image; n < job->last_image; n++)
            job->kernels->sum_scaled(job->problem->out_channels, output_at(job, n, l), job->out[1], weight_at(job, l),
                                     job->depth, job->depth, 0,
                                     job->room + ((n - job->first_image) * job->positions + l) * job->depth * job->element);
}

static void fold_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const local_job *job = context;
    const fc_conv *p = job->problem;
    const int64_t blocks = fc_divide_up(p->in_channels, CHANNEL_BLOCK), image = task / blocks;
    const int64_t first = task % blocks * CHANNEL_BLOCK, last = fc_smaller(first + CHANNEL_BLOCK, p->in_channels);
    char *target = (char *)job->operands->input + (job->first_image + image) * job->in[0] * job->element;
    if (p->layout == FC_CHANNELS_FIRST)
        job->kernels->fill_rows(last - first, fc_volume(p->in_size), NULL, target + first * job->in[1] * job->element);
    else
        job->kernels->fill_columns(fc_volume(p->in_size), p->in_channels, last - first, NULL, target + first * job->element);
    job->kernels->spread(p, job->room + image * job->positions * job->depth * job->element, first, last, target);
}

static fc_status input_gradient(local_job *job, int threads)
{
    const fc_conv *p = job->problem;
    const int64_t images = images_together(job);
    const size_t bytes = workspace(job, FC_INPUT_GRADIENT, threads);
    if (!(job->room = fc_acquire(bytes)))
        return FC_NO_MEMORY;
    for (int64_t first = 0; first < p->batch; first += images) {
        job->first_image = first;
        job->last_image = fc_smaller(first + images, p->batch);
        fc_parallel_for(fc_divide_up(job->positions, POSITIONS), threads, columns_task, job);
        fc_parallel_for((job->last_image - first) * fc_divide_up(p->in_channels, CHANNEL_BLOCK), threads, fold_task, job);
    }
    fc_release(job->room, bytes);
    return FC_OK;
}

size_t fc_local_workspace(const fc_conv *problem, fc_pass pass, int threads)
{
    const local_job job = make_job(problem, NULL);
    return workspace(&job, pass, useful_threads(&job, threads));
}

fc_status fc_local_run(const fc_conv *problem, fc_pass pass, const fc_operands *operands, int threads)
{
    const double begin = fc_report_begin();
    local_job job = make_job(problem, operands);
    threads = useful_threads(&job, threads);
    const fc_status status = pass == FC_INPUT_GRADIENT ? input_gradient(&job, threads)
                                                       : run_tasks(&job, pass == FC_FORWARD ? forward_task : weight_task, threads);
    fc_report_windows(pass == FC_FORWARD ? "local forward" : pass == FC_INPUT_GRADIENT ? "local input gradient"
                                                                                      : "local weight gradient",
                      problem, threads, begin);
    return status;
}
