/* Batch normalisation (Ioffe and Szegedy, "Batch normalization", 2015):
 *
 *     y = (x - mean) / sqrt(variance + epsilon) * weight + bias,     x [outer, channels, inner], a mean for each channel
 *
 * In training the moments are those of the batch, and the gradient goes through them.  With deviations d = x - mean and
 * r = 1 / sqrt(variance + epsilon), of n values a channel:
 *
 *     grad_weight = r sum(dy d)     grad_bias = sum(dy)
 *     grad_input = weight r dy - (weight r^3 sum(dy d) / n) d - weight r sum(dy) / n
 *
 * Work is cut into channels (channels side by side where inner is 1), and a channel that is long, or one of few, into pieces
 * whose moments are merged in order.  A channel of one piece is summed and mapped in one task, the second time out of the
 * cache; where there are pieces, all are summed before any is mapped. */
#include "geometry.h"
#include "isa/isa.h"
#include "parallel.h"

#include <math.h>

enum {
    PIECE = 1 << 18,    /* values: 1 MB of float32, which the L2 cache of most cores holds */
    FEW_TASKS = 16,     /* to occupy any number of cores somewhat evenly */
    SERIAL_VALUES = 16384,
    MOST_LANES = 64         /* of any instruction set, and so channels of a task */
};

typedef struct {
    const fc_norm *norm;
    const fc_kernels *kernels;
    int64_t element, outer, inner;                       /* one channel: all values are one row */
    int64_t block, blocks;                               /* channels of a task, and how many blocks there are */
    int64_t image_pieces, plane_pieces, pieces;
    const char *x, *grad_output;
    char *target;                                        /* y or grad_input, or NULL */
    void *grad_weight, *grad_bias;
    double *first, *second;                              /* [pieces][channels]: mean and squares, or sum and product */
} norm_job;

static norm_job make_job(const fc_norm *norm)
{
    norm_job job = {.norm = norm, .kernels = fc_isa_chosen()->kernels[norm->dtype],
                    .element = (int64_t)fc_element_bytes(norm->dtype), .outer = norm->outer, .inner = norm->inner};
    if (norm->channels == 1) {
        job.inner *= job.outer;
        job.outer = 1;
    }
    job.block = job.inner == 1 ? job.kernels->lanes : 1;
    job.blocks = fc_divide_up(norm->channels, job.block);
    const int64_t values = job.outer * job.inner * job.block;
    int64_t pieces = fc_divide_up(values, PIECE);
    if (values * job.blocks > SERIAL_VALUES)
        pieces = fc_larger(pieces, FEW_TASKS / job.blocks);
    job.image_pieces = fc_smaller(job.outer, pieces);
    job.plane_pieces = fc_smaller(fc_divide_up(job.inner, 1024), fc_divide_up(pieces, job.image_pieces));
    job.pieces = job.image_pieces * job.plane_pieces;
    return job;
}

/* The piece of a task: from its first channel on; returns the offset of its first element, in bytes. */
static int64_t piece_of(const norm_job *job, int64_t task, int64_t *channel, fc_norm_piece *piece)
{
    const int64_t part = task % job->pieces, image = part / job->plane_pieces, plane = part % job->plane_pieces;
    const int64_t row = job->outer * image / job->image_pieces, column = job->inner * plane / job->plane_pieces;
    *channel = task / job->pieces * job->block;
    piece->rows = job->outer * (image + 1) / job->image_pieces - row;
    piece->row_stride = job->norm->channels * job->inner;
    piece->channels = fc_smaller(job->block, job->norm->channels - *channel);
    piece->separate = job->inner == 1;
    piece->count = piece->separate ? piece->channels : job->inner * (plane + 1) / job->plane_pieces - column;
    return (row * piece->row_stride + *channel * job->inner + column) * job->element;
}

static double parameter(const norm_job *job, const void *values, int64_t channel, double missing)
{
    if (!values)
        return missing;
    return job->norm->dtype == FC_FLOAT32 ? ((const float *)values)[channel] : ((const double *)values)[channel];
}

static void set_parameter(const norm_job *job, void *values, int64_t channel, double value)
{
    if (!values)
        return;
    if (job->norm->dtype == FC_FLOAT32)
        ((float *)values)[channel] = (float)value;
    else
        ((double *)values)[channel] = value;
}

/* Sums first, maps second: task by task where a channel is one piece, else all before any. */
static void run(norm_job *job, fc_task sum, fc_task map, fc_task both, int threads)
{
    const int64_t tasks = job->blocks * job->pieces;
    if (job->outer * job->inner * job->norm->channels <= SERIAL_VALUES)
        threads = 1;
    if (sum && job->pieces == 1) {
        fc_parallel_for(tasks, threads, both, job);
        return;
    }
    if (sum)
        fc_parallel_for(tasks, threads, sum, job);
    fc_parallel_for(tasks, threads, map, job);
}

static void moments_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const norm_job *job = context;
    fc_norm_piece piece;
    int64_t channel;
    const int64_t offset = piece_of(job, task, &channel, &piece);
    const int64_t place = task % job->pieces * job->norm->channels + channel;
    job->kernels->moments(&piece, job->x + offset, job->first + place, job->second + place);
}

/* The moments of a channel from those of its pieces: Chan, Golub and LeVeque (1983). */
static void merge_moments(const norm_job *job, int64_t channel, double *mean, double *variance)
{
    double count = 0, squares = 0;
    for (int64_t part = 0; part < job->pieces; part++) {
        const int64_t place = part * job->norm->channels + channel;
        fc_norm_piece piece;
        int64_t first;
        piece_of(job, channel / job->block * job->pieces + part, &first, &piece);
        const double more = (double)piece.rows * (double)(piece.separate ? 1 : piece.count);
        count += more;
        squares += job->second[place];
        if (part == 0) {
            *mean = job->first[place];
            continue;
        }
        const double difference = job->first[place] - *mean;
        *mean += difference * (more / count);
        squares += difference * difference * (more * (1 - more / count));
    }
    *variance = squares / count;
}

static void normalize_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const norm_job *job = context;
    const fc_norm *norm = job->norm;
    fc_norm_piece piece;
    int64_t channel;
    const int64_t offset = piece_of(job, task, &channel, &piece);
    double mean[MOST_LANES], scale[MOST_LANES], shift[MOST_LANES];
    for (int64_t c = 0; c < piece.channels; c++) {
        double variance = 0;
        if (!norm->training) {
            mean[c] = norm->mean[channel + c];
            variance = norm->variance[channel + c];
        } else {
            merge_moments(job, channel + c, &mean[c], &variance);
            if (task % job->pieces == 0) {
                norm->mean[channel + c] = mean[c];
                norm->variance[channel + c] = variance;
            }
        }
        scale[c] = parameter(job, norm->weight, channel + c, 1) / sqrt(variance + norm->epsilon);
        shift[c] = parameter(job, norm->bias, channel + c, 0);
    }
    job->kernels->normalize(&piece, job->x + offset, mean, scale, shift, job->target + offset);
}

static void forward_task(void *context, int64_t task, int thread)
{
    moments_task(context, task, thread);
    normalize_task(context, task, thread);
}

/* Room for two numbers a piece and channel. */
static size_t sums_bytes(const norm_job *job) { return 2 * (size_t)(job->pieces * job->norm->channels) * sizeof(double); }

fc_status fc_norm_forward(const fc_norm *norm, const void *x, void *y, int threads)
{
    norm_job job = make_job(norm);
    job.x = x;
    job.target = y;
    if (!norm->training) {
        run(&job, NULL, normalize_task, NULL, threads);
        return FC_OK;
    }
    if (!(job.first = fc_acquire(sums_bytes(&job))))
        return FC_NO_MEMORY;
    job.second = job.first + job.pieces * norm->channels;
    run(&job, moments_task, normalize_task, forward_task, threads);
    fc_release(job.first, sums_bytes(&job));
    return FC_OK;
}

static void moment_gradients_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const norm_job *job = context;
    fc_norm_piece piece;
    int64_t channel;
    const int64_t offset = piece_of(job, task, &channel, &piece);
    const int64_t place = task % job->pieces * job->norm->channels + channel;
    job->kernels->moment_gradients(&piece, job->grad_output + offset, job->x + offset, job->norm->mean + channel,
                                   job->first + place, job->second + place);
}

static void input_gradient_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const norm_job *job = context;
    const fc_norm *norm = job->norm;
    fc_norm_piece piece;
    int64_t channel;
    const int64_t offset = piece_of(job, task, &channel, &piece);
    const double count = (double)job->outer * (double)job->inner;
    double scale[MOST_LANES], slope[MOST_LANES], shift[MOST_LANES];
    static const double zeros[MOST_LANES];
    for (int64_t c = 0; c < piece.channels; c++) {
        const double inverse = 1 / sqrt(norm->variance[channel + c] + norm->epsilon);
        double sum = 0, product = 0;
        for (int64_t part = 0; job->first && part < job->pieces; part++) {
            sum += job->first[part * norm->channels + channel + c];
            product += job->second[part * norm->channels + channel + c];
        }
        if (task % job->pieces == 0) {
            set_parameter(job, job->grad_weight, channel + c, product * inverse);
            set_parameter(job, job->grad_bias, channel + c, sum);
        }
        scale[c] = parameter(job, norm->weight, channel + c, 1) * inverse;
        slope[c] = -scale[c] * inverse * inverse * product / count;
        shift[c] = -scale[c] * sum / count;
    }
    if (job->target && norm->training)
        job->kernels->normalize_backward(&piece, job->grad_output + offset, job->x + offset, norm->mean + channel, scale, slope,
                                         shift, job->target + offset);
    else if (job->target)
        job->kernels->normalize(&piece, job->grad_output + offset, zeros, scale, zeros, job->target + offset);
}

static void backward_task(void *context, int64_t task, int thread)
{
    moment_gradients_task(context, task, thread);
    input_gradient_task(context, task, thread);
}

fc_status fc_norm_backward(const fc_norm *norm, const void *grad_output, const void *x, void *grad_input, void *grad_weight,
                           void *grad_bias, int threads)
{
    norm_job job = make_job(norm);
    job.grad_output = grad_output;
    job.x = x;
    job.target = grad_input;
    job.grad_weight = grad_weight;
    job.grad_bias = grad_bias;
    if (!norm->training && !grad_weight && !grad_bias) {
        run(&job, NULL, input_gradient_task, NULL, threads);
        return FC_OK;
    }
    if (!(job.first = fc_acquire(sums_bytes(&job))))
        return FC_NO_MEMORY;
    job.second = job.first + job.pieces * norm->channels;
    run(&job, moment_gradients_task, input_gradient_task, backward_task, threads);
    fc_release(job.first, sums_bytes(&job));
    return FC_OK;
}
