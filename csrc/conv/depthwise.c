/* Depthwise: every input channel by itself, groups = in_channels, with any multiplier of output channels.
 *
 * A block of rows of one plane is packed, padded with zeros and split by stride, so that every tap of every output is a
 * contiguous stretch of it.  For stride 2 and three taps the padded row a b c d e f g ... becomes
 *
 *     phase 0   a c e g ...      tap 0 of outputs 0, 1, 2 ... starts at a, tap 2 at c
 *     phase 1   b d f h ...      tap 1 starts at b
 *
 * and an output is sum over taps of plane[offset[tap] + i] * weight[tap], whatever stride, dilation and kernel.  Rows follow
 * each other at the plane's pitch, so a small map is one long row with a few outputs between that are thrown away; a wide one
 * goes row by row.  In channels last a cell of the plane is a vector of channels instead of one element.
 *
 * The same planes carry the gradients: the input's is the correlation of grad_output with the kernel reversed, phase by phase
 * (algorithm.h), the weight's the product of the plane with grad_output at each tap's offset. */
#include "../algorithm.h"
#include "../parallel.h"

#include <math.h>
#include <string.h>

enum {
    PLANE_BYTES = 32 << 10,      /* of a packed block: it stays in L1 */
    LANES_PLANE_BYTES = 256 << 10, /* of cells of a vector: in L2, or the rows that blocks share would cost too much */
    DIRECT_VECTORS = 3,          /* rows of so many vectors are stored where they belong; shorter ones run on as one */
    WEIGHT_TASKS = 16,           /* parts of a weight gradient, at least, where there is so much work */
};

/* One window over one plane, cut into blocks of rows. */
typedef struct {
    fc_window window;
    int64_t taps, cell;              /* elements of a cell */
    int64_t length[3], rows, blocks; /* cells a phase; rows of a block; blocks along the height */
    int64_t elements;                /* of the packed plane */
} fc_plane;

static const char *supports(const fc_conv *problem, fc_pass pass)
{
    (void)pass;
    return problem->groups == problem->in_channels ? NULL : "needs groups equal to in_channels";
}

static int64_t lanes_of(const fc_plan *plan) { return plan->isa->kernels[plan->problem.dtype]->lanes; }

static fc_plane make_plane(const fc_plan *plan, const fc_window *window)
{
    const fc_conv *p = &plan->problem;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype), lanes = lanes_of(plan);
    fc_plane plane = {.window = *window, .taps = fc_volume(window->taps), .cell = p->layout == FC_CHANNELS_FIRST ? 1 : lanes};
    int64_t beyond[3], phases = 1;
    for (int d = 0; d < 3; d++) {
        beyond[d] = fc_window_reach(window, d) / window->step[d];
        phases *= fc_window_phases(window, d);
    }
    plane.length[0] = 1 + beyond[0];
    plane.length[2] = window->out[2] + beyond[2];
    const int64_t row_bytes = phases * plane.length[0] * plane.length[2] * plane.cell * element;
    const int64_t bytes = plane.cell == 1 ? PLANE_BYTES : LANES_PLANE_BYTES;
    const int64_t most = fc_larger(fc_larger(1, beyond[1]), bytes / row_bytes - beyond[1]);
    plane.blocks = fc_divide_up(window->out[1], most);
    plane.rows = fc_divide_up(window->out[1], plane.blocks);
    plane.length[1] = plane.rows + beyond[1];
    plane.elements = fc_round_up(row_bytes / element * plane.length[1] + lanes, lanes);
    return plane;
}

/* Where the taps lie in the packed plane, in cells. */
static void tap_offsets(const fc_plane *plane, int64_t *offsets)
{
    const fc_window *window = &plane->window;
    const int64_t *taps = window->taps, *length = plane->length;
    int64_t tap[3];
    for (tap[0] = 0; tap[0] < taps[0]; tap[0]++)
        for (tap[1] = 0; tap[1] < taps[1]; tap[1]++)
            for (tap[2] = 0; tap[2] < taps[2]; tap[2]++) {
                int64_t phase = 0, cell = 0;
                for (int d = 0; d < 3; d++) {
                    const int64_t reach = tap[d] * window->tap_step[d] +
                                          (window->tap_step[d] < 0 ? fc_window_reach(window, d) : 0);
                    phase = phase * fc_window_phases(window, d) + reach % window->step[d];
                    cell = cell * length[d] + reach / window->step[d];
                }
                *offsets++ = phase * fc_volume(length) + cell;
            }
}

/* The workspace: the taps' offsets and places in the kernel and a block of rows, shared; then for each thread the cells of the weight and the
 * bias, the plane, and a block of results. */
typedef struct {
    size_t taps, shared, weights, bias, plane, results, total;
} fc_room;

static fc_room make_room(const fc_plan *plan, const fc_plane *plane)
{
    const size_t element = fc_element_bytes(plan->problem.dtype);
    const size_t lanes = (size_t)lanes_of(plan);
    const int64_t row_elements = plane->rows * plane->length[2] * plane->cell + (int64_t)lanes;
    const size_t rows = (size_t)fc_round_up(row_elements * (int64_t)element, 128);
    fc_room room = {.taps = (size_t)fc_round_up(2 * plane->taps * (int64_t)sizeof(int64_t), 128)};
    room.shared = room.taps + rows;
    room.bias = room.weights + (size_t)fc_round_up(plane->taps * (int64_t)(lanes * element), 128);
    room.plane = room.bias + 128;
    room.results = room.plane + (size_t)fc_round_up(plane->elements * (int64_t)element, 128);
    room.total = room.results + rows;
    return room;
}

typedef struct {
    const fc_plan *plan;
    const fc_operands *operands;
    const fc_kernels *kernels;
    fc_plane plane;
    fc_room room;
    const int64_t *offsets, *taps; /* shared */
    const char *keep;              /* weight gradient of short rows: where a packed row holds results; shared */
    char *workspace;               /* of the threads */
    int64_t channel_blocks, slices;
    fc_phase phase; /* input gradient */
    char *parts;    /* weight gradient */
} depthwise_job;

static const char *at(const void *base, int64_t offset, fc_dtype dtype)
{
    return (const char *)base + offset * (int64_t)fc_element_bytes(dtype);
}

/* ---- forward and input gradient: a block of results at a time ---- */

static void correlate_task(void *context, int64_t task, int thread)
{
    const depthwise_job *job = context;
    const fc_conv *p = &job->plan->problem;
    const fc_kernels *kernels = job->kernels;
    const fc_plane *plane = &job->plane;
    const int forward = job->plan->pass == FC_FORWARD;
    const int64_t multiplier = p->out_channels / p->in_channels, cell = plane->cell;
    const int64_t block = task % plane->blocks, z = task / plane->blocks % plane->window.out[0];
    const int64_t item = task / (plane->blocks * plane->window.out[0]);
    const int64_t image = item / job->channel_blocks, channel = item % job->channel_blocks * cell;
    const int64_t channels = fc_smaller(cell, p->in_channels - channel);
    const int64_t y0 = plane->window.out[1] * block / plane->blocks, y1 = plane->window.out[1] * (block + 1) / plane->blocks;
    const int64_t first[3] = {z, y0, 0}, width = plane->window.out[2];

    char *room = job->workspace + (size_t)thread * job->room.total;
    char *weights = room + job->room.weights, *bias = room + job->room.bias;
    char *packed = room + job->room.plane, *results = room + job->room.results;

    int64_t in[5], out[5];
    fc_tensor_strides(p->layout, p->in_channels, p->in_size, in);
    fc_tensor_strides(p->layout, p->out_channels, p->out_size, out);
    fc_window window = plane->window;
    window.channels = channels;
    window.channel_stride = forward ? 1 : multiplier;
    const int64_t *grid_stride = forward ? out + 2 : job->phase.stride;

    for (int64_t j = 0; j < multiplier; j++) {
        const int64_t k = channel * multiplier + j; /* output channel of the first lane */
        if (!forward || j == 0)
            (cell == 1 ? kernels->pack_plane : kernels->pack_plane_lanes)(
                &window, first, plane->length,
                forward ? at(job->operands->input, image * in[0] + channel * in[1], p->dtype)
                        : at(job->operands->output, image * out[0] + k * out[1], p->dtype),
                packed);
        fc_correlation correlation = {.taps = plane->taps, .offsets = job->offsets, .weights = weights,
                                      .accumulate = !forward && j > 0, .low = -INFINITY, .high = INFINITY};
        const char *weight = at(job->operands->weight, k * fc_taps(p), p->dtype);
        if (forward && cell == 1)
            correlation.weights = weight;
        else
            kernels->pack_weight_lanes(weight, multiplier * fc_taps(p), 1, 0, job->taps, plane->taps, 0, channels, weights,
                                       cell);
        if (forward && job->operands->bias) {
            const int64_t itself = 0;
            kernels->pack_weight_lanes(at(job->operands->bias, k, p->dtype), multiplier, 1, 0, &itself, 1, 0, channels, bias,
                                       cell);
            correlation.bias = bias;
        }
        if (forward && (job->operands->activation == FC_RELU || job->operands->activation == FC_RELU6)) {
            correlation.low = 0;
            correlation.high = job->operands->activation == FC_RELU6 ? 6 : INFINITY;
        }
        const int64_t offset = forward ? image * out[0] + k * out[1] : image * in[0] + channel * in[1] + job->phase.offset;
        char *target = (char *)at(forward ? job->operands->output : job->operands->input,
                                  offset + z * grid_stride[0] + y0 * grid_stride[1], p->dtype);
        if (forward && cell == 1 && width >= DIRECT_VECTORS * kernels->lanes) {
            correlation.count = width;
            for (int64_t y = 0; y < y1 - y0; y++) {
                char *row = (char *)at(target, y * grid_stride[1], p->dtype);
                kernels->correlate(&correlation, at(packed, y * plane->length[2], p->dtype), row);
                if (job->operands->activation == FC_SILU)
                    kernels->activate(FC_SILU, width, row, row);
            }
            continue;
        }
        correlation.count = (y1 - y0 - 1) * plane->length[2] + width;
        (cell == 1 ? kernels->correlate : kernels->correlate_lanes)(&correlation, packed, results);
        if (!forward && j < multiplier - 1)
            continue;
        if (forward && job->operands->activation == FC_SILU)
            kernels->activate(FC_SILU, correlation.count * cell, results, results);
        if (cell == 1)
            kernels->unpack_plane(y1 - y0, width, results, plane->length[2], target, grid_stride[1], grid_stride[2]);
        else
            kernels->unpack_plane_lanes(y1 - y0, width, results, plane->length[2], target, grid_stride[1], grid_stride[2],
                                        channels, forward ? multiplier : 1);
    }
}

static void correlate_planes(depthwise_job *job, int threads)
{
    const int64_t items = job->plan->problem.batch * job->channel_blocks;
    fc_parallel_for(items * job->plane.window.out[0] * job->plane.blocks, threads, correlate_task, job);
}

/* ---- weight gradient: a part of the images of a block of channels ---- */

static void weight_task(void *context, int64_t task, int thread)
{
    const depthwise_job *job = context;
    const fc_conv *p = &job->plan->problem;
    const fc_kernels *kernels = job->kernels;
    const fc_plane *plane = &job->plane;
    const int64_t multiplier = p->out_channels / p->in_channels, cell = plane->cell, width = plane->window.out[2];
    const int64_t lanes = kernels->lanes, element = (int64_t)fc_element_bytes(p->dtype);
    const int64_t slice = task % job->slices, channel = task / job->slices * cell;
    const int64_t channels = fc_smaller(cell, p->in_channels - channel);

    char *room = job->workspace + (size_t)thread * (job->room.total + (size_t)(multiplier * plane->taps * lanes * element));
    const int64_t *offsets = job->offsets;
    char *packed = room + job->room.plane, *gradient = room + job->room.results, *sums = room + job->room.total;
    memset(sums, 0, (size_t)(multiplier * plane->taps * lanes * element));

    int64_t in[5], out[5];
    fc_tensor_strides(p->layout, p->in_channels, p->in_size, in);
    fc_tensor_strides(p->layout, p->out_channels, p->out_size, out);
    fc_window window = plane->window;
    window.channels = channels;
    window.channel_stride = 1;
    /* grad_output as it is: one tap, no padding */
    fc_window rows = {.taps = {1, 1, 1}, .step = {1, 1, 1}, .tap_step = {1, 1, 1}, .channels = channels,
                      .channel_stride = multiplier};
    for (int d = 0; d < 3; d++) {
        rows.out[d] = rows.in[d] = p->out_size[d];
        rows.stride[d] = out[2 + d];
    }

    const int64_t units = p->batch * p->out_size[0] * plane->blocks; /* a block of rows of an image */
    for (int64_t unit = units * slice / job->slices; unit < units * (slice + 1) / job->slices; unit++) {
        const int64_t block = unit % plane->blocks, z = unit / plane->blocks % p->out_size[0];
        const int64_t image = unit / (plane->blocks * p->out_size[0]);
        const int64_t y0 = p->out_size[1] * block / plane->blocks, y1 = p->out_size[1] * (block + 1) / plane->blocks;
        const int64_t first[3] = {z, y0, 0};
        (cell == 1 ? kernels->pack_plane : kernels->pack_plane_lanes)(
            &window, first, plane->length, at(job->operands->input, image * in[0] + channel * in[1], p->dtype), packed);
        for (int64_t j = 0; j < multiplier; j++) {
            char *sum = sums + j * plane->taps * lanes * element;
            if (job->keep) { /* short rows: at the plane's pitch, as one */
                kernels->pack_plane(&rows, first, (int64_t[3]){1, y1 - y0, plane->length[2]},
                                    at(job->operands->output, image * out[0] + (channel * multiplier + j) * out[1], p->dtype),
                                    gradient);
                const int64_t count = (y1 - y0 - 1) * plane->length[2] + width, padded = fc_round_up(count, lanes);
                memset(gradient + count * element, 0, (size_t)((padded - count) * element));
                kernels->correlate_weights(plane->taps, offsets, padded, packed, gradient, job->keep, sum);
                continue;
            }
            for (int64_t y = y0; y < y1; y++) {
                const int64_t line = image * out[0] + (channel * multiplier + j) * out[1];
                const char *from = at(packed, (y - y0) * plane->length[2] * cell, p->dtype);
                if (cell == 1) {
                    kernels->correlate_weights(plane->taps, offsets, width, from,
                                               at(job->operands->output, line + z * out[2] + y * out[3], p->dtype), NULL,
                                               sum);
                } else {
                    kernels->pack_plane_lanes(&rows, (int64_t[3]){z, y, 0}, (int64_t[3]){1, 1, width},
                                              at(job->operands->output, line, p->dtype), gradient);
                    kernels->correlate_weights_lanes(plane->taps, offsets, width, from, gradient, sum);
                }
            }
        }
    }
    char *target = job->slices > 1 ? job->parts + slice * p->out_channels * plane->taps * element : job->operands->weight;
    for (int64_t j = 0; j < multiplier; j++) {
        const char *sum = sums + j * plane->taps * lanes * element;
        char *to = target + (channel * multiplier + j) * plane->taps * element;
        if (cell == 1)
            kernels->sum_rows(plane->taps, lanes, lanes, sum, to);
        else
            kernels->transpose(plane->taps, channels, sum, lanes, to, multiplier * plane->taps);
    }
}

/* ---- the algorithm ---- */

static depthwise_job make_job(const fc_plan *plan, const fc_operands *operands, const fc_window *window)
{
    depthwise_job job = {.plan = plan, .operands = operands, .kernels = plan->isa->kernels[plan->problem.dtype],
                         .plane = make_plane(plan, window), .slices = 1};
    job.room = make_room(plan, &job.plane);
    job.channel_blocks = fc_divide_up(plan->problem.in_channels, job.plane.cell);
    if (plan->pass == FC_WEIGHT_GRADIENT) {
        const int64_t units = plan->problem.batch * plan->problem.out_size[0] * job.plane.blocks;
        job.slices = fc_larger(1, fc_smaller(units, WEIGHT_TASKS / job.channel_blocks));
    }
    return job;
}

/* Gives the job its workspace: what is shared is filled in, the rest is the threads'. */
static void share(depthwise_job *job, char *workspace)
{
    int64_t *offsets = (int64_t *)workspace, *taps = offsets + job->plane.taps;
    tap_offsets(&job->plane, offsets);
    if (job->plan->pass == FC_INPUT_GRADIENT)
        fc_phase_taps(&job->plan->problem, &job->phase, taps);
    else
        for (int64_t t = 0; t < job->plane.taps; t++)
            taps[t] = t;
    job->offsets = offsets;
    job->taps = taps;
    const int64_t width = job->plane.window.out[2], element = (int64_t)fc_element_bytes(job->plan->problem.dtype);
    if (job->plan->pass == FC_WEIGHT_GRADIENT && job->plane.cell == 1 && width < DIRECT_VECTORS * job->kernels->lanes) {
        char *keep = workspace + job->room.taps;
        memset(keep, 0, job->room.shared - job->room.taps);
        for (int64_t y = 0; y < job->plane.rows; y++)
            memset(keep + y * job->plane.length[2] * element, 0xff, (size_t)(width * element));
        job->keep = keep;
    }
    job->workspace = workspace + job->room.shared;
}

static size_t parts_bytes(const depthwise_job *job)
{
    const fc_conv *p = &job->plan->problem;
    return job->slices == 1 ? 0 : (size_t)fc_round_up(job->slices * p->out_channels * job->plane.taps *
                                                      (int64_t)fc_element_bytes(p->dtype), 128);
}

static size_t workspace(const fc_plan *plan, int threads)
{
    const fc_conv *p = &plan->problem;
    if (plan->pass == FC_INPUT_GRADIENT) {
        size_t most = 0;
        for (int64_t i = 0; i < fc_phase_count(p); i++) {
            fc_phase phase;
            if (!fc_phase_make(p, i, &phase))
                continue;
            const fc_room room = make_job(plan, NULL, &phase.window).room;
            const size_t bytes = room.shared + room.total * (size_t)threads;
            most = bytes > most ? bytes : most;
        }
        return most;
    }
    const fc_window window = fc_forward_window(p);
    const depthwise_job job = make_job(plan, NULL, &window);
    if (plan->pass == FC_FORWARD)
        return job.room.shared + job.room.total * (size_t)threads;
    const size_t sums = (size_t)(p->out_channels / p->in_channels * job.plane.taps * lanes_of(plan)) *
                        fc_element_bytes(p->dtype);
    return parts_bytes(&job) + job.room.shared + (job.room.total + sums) * (size_t)threads;
}

static void run(const fc_plan *plan, const fc_operands *operands, void *workspace, int threads)
{
    const fc_conv *p = &plan->problem;
    if (plan->pass == FC_INPUT_GRADIENT) {
        fc_phase phase;
        for (int64_t i = 0; i < fc_phase_count(p); i++)
            if (!fc_phase_make(p, i, &phase)) {
                fc_clear(operands->input, (size_t)(p->batch * p->in_channels * fc_volume(p->in_size)) *
                                              fc_element_bytes(p->dtype), threads);
                break;
            }
        for (int64_t i = 0; i < fc_phase_count(p); i++) {
            if (!fc_phase_make(p, i, &phase))
                continue;
            depthwise_job job = make_job(plan, operands, &phase.window);
            job.phase = phase;
            share(&job, workspace);
            correlate_planes(&job, threads);
        }
        return;
    }
    const fc_window window = fc_forward_window(p);
    depthwise_job job = make_job(plan, operands, &window);
    job.parts = workspace;
    share(&job, (char *)workspace + parts_bytes(&job));
    if (plan->pass == FC_FORWARD) {
        correlate_planes(&job, threads);
        return;
    }
    fc_parallel_for(job.channel_blocks * job.slices, threads, weight_task, &job);
    if (job.slices > 1)
        job.kernels->reduce(job.slices, p->out_channels * job.plane.taps, job.parts, p->out_channels * job.plane.taps, 1, 0,
                            operands->weight);
}

/* Two loads for a multiply-add where the dense kernel has half of one, vectors that are filled to out_width in channels
 * first, and a pass over the planes to pack them.  Fitted on mobilenet_v2. */
static double cost(const fc_conv *problem, fc_pass pass, const fc_isa *isa)
{
    const double rate = fc_multiply_adds_per_ns(isa, problem->dtype) * (pass == FC_WEIGHT_GRADIENT ? 0.2 : 0.35);
    const double planes = (double)problem->batch * (double)(problem->in_channels + problem->out_channels);
    const double cells = planes * (double)(fc_volume(problem->in_size) + fc_volume(problem->out_size)) / 2;
    return 500 + fc_multiply_adds(problem) / rate + planes * 30 + cells * 0.1;
}

const fc_algo fc_algo_depthwise = {.name = "depthwise", .supports = supports, .cost = cost, .workspace = workspace, .run = run};
