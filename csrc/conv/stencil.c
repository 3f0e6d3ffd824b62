/* Stencil: depthwise in channels first, each plane filtered straight from where it lies.
 *
 *     forward           y[c,m][o]  = sum over taps t of w[c,m][t] x[c][o * stride + t * dilation - padding]
 *     input gradient    dx[c][i]   = sum over t of w[c][T - t] dy[c][i + t * dilation - padding']       stride 1, multiplier 1
 *
 * Tiles of rows and columns of outputs stay in registers (isa/stencil.inc); what a tile sees beyond the border is skipped, row by
 * row, or masked.  No packing and no copy: planes of any width pay for their last vector only.  The gradient takes the kernel
 * turned, which is its packed form.  A forward sum counts the zeros of the padding: where a weight is not finite, its plane is
 * left to plain loops. */
#include "../algorithm.h"
#include "../parallel.h"

#include <math.h>

enum {
    TASK_ROWS = 16,    /* of a large plane */
    TASK_TAPS = 20000, /* multiply-adds of a task, about, in vectors: planes that are smaller go together */
};

typedef struct {
    const fc_plan *plan;
    const fc_operands *operands;
    const fc_kernels *kernels;
    fc_stencil stencil;
    int finite; /* all of the weight */
    int64_t planes, row_blocks, together; /* together: planes of a task, of one block of rows */
} job;

static const char *supports(const fc_conv *problem, fc_pass pass)
{
    if (pass == FC_WEIGHT_GRADIENT)
        return "computes convolutions and the gradient of their input only";
    if (problem->groups != problem->in_channels)
        return "needs groups equal to in_channels";
    if (problem->layout != FC_CHANNELS_FIRST)
        return "needs channels first";
    if (problem->kernel[0] != 1 || problem->in_size[0] != 1 || problem->out_size[0] != 1)
        return "needs one or two dimensions";
    if (problem->kernel[2] > FC_STENCIL_WIDTH)
        return "needs a kernel of at most 64 columns";
    if (problem->stride[2] > 2 || (problem->dilation[1] > 1 && problem->kernel[1] > 1))
        return "needs strides of 1 or 2 along rows, and rows without dilation";
    if (pass == FC_INPUT_GRADIENT && (fc_volume(problem->stride) > 1 || problem->out_channels != problem->in_channels))
        return "needs stride 1 and as many channels as before for the gradient of the input";
    return NULL;
}

/* For each vector of a row of outputs: its taps, and what begins and ends it; the square kernels that stream are faster. */
static double cost(const fc_conv *problem, fc_pass pass, const fc_isa *isa)
{
    const fc_kernels *kernels = isa->kernels[problem->dtype];
    const int64_t *to = pass == FC_FORWARD ? problem->out_size : problem->in_size, kernel = problem->kernel[1];
    const int streams = kernel == problem->kernel[2] && problem->stride[1] == problem->stride[2] &&
                        (kernel == 3 || kernel == 5 || kernel == 7), strided = problem->stride[2] > 1;
    const double planes = (double)problem->batch * (double)problem->out_channels;
    const double vectors = (double)fc_divide_up(to[2], kernels->lanes), rows = (double)fc_round_up(to[1], streams ? 1 : 4);
    const double tap = streams ? strided ? 0.75 : 0.36 : (vectors < 2 ? 0.6 : 0.42) * (strided ? 1.7 : 1);
    const double begin = (streams ? 2 : 5) * (strided ? 2 : 1);
    return 1000 + planes * (60 + vectors * rows * (begin + (double)fc_taps(problem) * tap));
}

static size_t packed(const fc_plan *plan)
{
    const fc_conv *p = &plan->problem;
    return plan->pass == FC_FORWARD ? 0 : (size_t)(p->out_channels * fc_taps(p)) * fc_element_bytes(p->dtype);
}

/* Each kernel from its last tap to its first. */
static void pack(const fc_plan *plan, const void *weight, void *packed, int threads)
{
    (void)threads;
    const fc_conv *p = &plan->problem;
    const int64_t taps = fc_taps(p), count = p->out_channels * taps;
    for (int64_t i = 0; i < count; i++) {
        const int64_t turned = i / taps * taps + taps - 1 - i % taps;
        if (p->dtype == FC_FLOAT32)
            ((float *)packed)[i] = ((const float *)weight)[turned];
        else
            ((double *)packed)[i] = ((const double *)weight)[turned];
    }
}

/* Rows of some planes, and what the kernel cannot clamp while they are in cache. */
static void filter(const job *j, int64_t first_plane, int64_t last_plane, int64_t first_row, int64_t last_row)
{
    const fc_stencil *s = &j->stencil;
    j->kernels->stencil(s, first_plane, last_plane, first_row, last_row);
    for (int64_t plane = first_plane; j->operands->activation == FC_SILU && plane < last_plane; plane++) {
        const int64_t place = (plane * s->out[0] + first_row) * s->out[1];
        char *rows = (char *)s->target + place * (int64_t)fc_element_bytes(j->plan->problem.dtype);
        j->kernels->activate(FC_SILU, (last_row - first_row) * s->out[1], rows, rows);
    }
}

static void task(void *context, int64_t task, int thread)
{
    (void)thread;
    const job *j = context;
    const int64_t block = task % j->row_blocks, rows = j->stencil.out[0];
    int64_t plane = task / j->row_blocks * j->together;
    const int64_t end = fc_smaller(plane + j->together, j->planes);
    const int64_t first_row = rows * block / j->row_blocks, last_row = rows * (block + 1) / j->row_blocks;
    if (j->finite) {
        filter(j, plane, end, first_row, last_row);
        return;
    }
    for (; plane < end; plane++) {
        const int64_t channel = plane % j->stencil.channels, taps = fc_taps(&j->plan->problem);
        const char *weight = (const char *)j->stencil.weight + channel * taps * (int64_t)fc_element_bytes(j->plan->problem.dtype);
        if (j->kernels->all_finite(taps, weight))
            filter(j, plane, plane + 1, first_row, last_row);
        else if (block == 0)
            j->kernels->direct[FC_FORWARD](&j->plan->problem, j->operands, plane / j->stencil.channels, channel);
    }
}

static void run(const fc_plan *plan, const fc_operands *operands, void *workspace, int threads)
{
    (void)workspace;
    const fc_conv *p = &plan->problem;
    const int forward = plan->pass == FC_FORWARD;
    job j = {.plan = plan, .operands = operands, .kernels = plan->isa->kernels[p->dtype], .planes = p->batch * p->out_channels,
             .stencil = {.dilation = p->dilation[2], .channels = p->out_channels,
                         .multiplier = p->out_channels / p->in_channels, .bias = operands->bias,
                         .source = forward ? operands->input : operands->output,
                         .weight = forward ? operands->weight : operands->packed,
                         .target = forward ? operands->output : operands->input,
                         .low = operands->activation == FC_RELU || operands->activation == FC_RELU6 ? 0 : -INFINITY,
                         .high = operands->activation == FC_RELU6 ? 6 : INFINITY}};
    fc_stencil *s = &j.stencil;
    for (int i = 0; i < 2; i++) {
        const int d = i + 1;
        const int64_t reach = (p->kernel[d] - 1) * p->dilation[d];
        s->in[i] = forward ? p->in_size[d] : p->out_size[d];
        s->out[i] = forward ? p->out_size[d] : p->in_size[d];
        s->kernel[i] = p->kernel[d];
        s->stride[i] = p->stride[d];
        s->padding[i] = forward ? p->padding[d] : reach - p->padding[d];
    }
    j.finite = !forward || j.kernels->all_finite(p->out_channels * fc_taps(p), operands->weight);
    const int64_t row = fc_divide_up(s->out[1], j.kernels->lanes) * fc_taps(p);
    const int64_t wanted = fc_divide_up(j.planes, threads) * s->out[0] * row / TASK_TAPS > 2 ? TASK_TAPS : TASK_TAPS / 4;
    j.row_blocks = fc_divide_up(s->out[0], fc_larger(TASK_ROWS, wanted / row));
    j.together = j.row_blocks > 1 ? 1 : fc_larger(1, wanted / (row * s->out[0]));
    fc_parallel_for(j.row_blocks * fc_divide_up(j.planes, j.together), threads, task, &j);
}

const fc_algo fc_algo_stencil = {.name = "stencil", .supports = supports, .cost = cost, .packed = packed, .pack = pack, .run = run};
