/* Stencil: depthwise in channels first, each plane filtered straight from where it lies.
 *
 *     forward           y[c,m][o]  = sum over taps t of w[c,m][t] x[c][o * stride + t * dilation - padding]
 *     input gradient    dx[c][i]   = sum over t of w[c][T - t] dy[c][i + t * dilation - padding']       multiplier 1
 *     weight gradient   dw[c,m][t] = sum over images, o of dy[c,m][o] x[c][o * stride + t * dilation - padding]
 *
 * Sums of a few rows and columns of outputs, or of taps, stay in registers (isa/stencil.inc); what they see beyond the border is
 * skipped, row by row, or masked.  Planes of any width pay for their last vector only, and nothing is packed; kernels of other
 * sizes copy the columns at the border, or all where there is a stride, with zeros around them.  The gradient of the
 * input takes the kernel turned, which is its packed form; at stride 2 it takes it as it is.  A forward sum counts the zeros of the
 * padding: where a weight is not finite, its plane is left to plain loops. */
#include "../algorithm.h"
#include "../parallel.h"

#include <math.h>

enum {
    TASK_ROWS = 16,    /* of a large plane */
    TASK_TAPS = 20000, /* multiply-adds of a task, about, in vectors: planes that are smaller go together */
    WEIGHT_TASKS = 16, /* parts of a weight gradient, at least, where there is so much work */
    ROOM = 1 << 16,    /* bytes of a thread's copy of a column, about; more where the rows that one output sees are more */
    MOST_ROOM = 1 << 22,
};

typedef struct {
    const fc_plan *plan;
    const fc_operands *operands;
    const fc_kernels *kernels;
    fc_stencil stencil;
    int finite; /* all of the weight */
    int64_t planes, row_blocks, together; /* together: planes of a task, of one block of rows */
    char *room;
    size_t room_bytes; /* of a thread */
} job;

typedef struct {
    fc_stencil stencil;
    const fc_kernels *kernels;
    int64_t units, slices; /* units: strips of rows of all images */
    char *parts;           /* [slice][channel][tap] */
    size_t part;           /* bytes of one */
} weight_job;

/* Of the copy of a row of the input that a column of outputs sees, four of the widest vectors. */
static int64_t row_bytes(const fc_conv *p)
{
    const int64_t reach = (p->kernel[2] - 1) * p->dilation[2];
    return p->stride[2] * fc_round_up(4 * FC_LINE + reach / p->stride[2] * (int64_t)fc_element_bytes(p->dtype), FC_LINE);
}

/* Rows of outputs that go through a thread's copy at a time. */
static int64_t room_rows(const fc_conv *p)
{
    return fc_larger(1, fc_smaller(p->out_size[1], (ROOM / row_bytes(p) - p->kernel[1]) / p->stride[1] + 1));
}

static size_t room_bytes(const fc_conv *p)
{
    return fc_whole_lines(((room_rows(p) - 1) * p->stride[1] + p->kernel[1]) * row_bytes(p));
}

static const char *supports(const fc_conv *problem, fc_pass pass)
{
    const int strided = problem->stride[2] > 1;
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
    if (room_bytes(problem) > MOST_ROOM)
        return "needs a kernel that reaches less far";
    if (pass == FC_FORWARD)
        return NULL;
    if (problem->in_size[1] > 1 && problem->stride[1] != problem->stride[2])
        return "needs equal strides for a gradient";
    if (strided && problem->dilation[2] > 1)
        return "needs a kernel without dilation for a gradient at stride 2";
    if (pass == FC_INPUT_GRADIENT && problem->out_channels != problem->in_channels)
        return "needs as many channels as before for the gradient of the input";
    return NULL;
}

/* Of a kernel that goes by bands: for each row of the input that a band sees, its taps, whose multiply-adds, or loads, or the time
 * that a sum takes, are the bound, and what ends an output's row. */
static double band_cost(const fc_conv *p, fc_pass pass, const fc_isa *isa)
{
    const int64_t *to = pass == FC_INPUT_GRADIENT ? p->in_size : p->out_size, lanes = isa->kernels[p->dtype]->lanes;
    const int wide = lanes * (int64_t)fc_element_bytes(p->dtype) >= FC_LINE;
    const double height = (double)p->kernel[1], width = (double)p->kernel[2], rows = (double)to[1];
    const double seen = rows * fc_inside_share_along(p, pass, 1);
    double cycles = 0;
    for (int64_t left_over = fc_divide_up(to[2], lanes), vectors; left_over > 0; left_over -= vectors) {
        const int64_t most = wide ? 4 : 2;
        vectors = left_over >= most ? most : left_over >= 2 ? 2 : 1;
        const double bands = ceil(height / (vectors == 4 ? 6 : vectors == 2 && !wide ? 5 : 8)), band = height / bands;
        const double sums = (double)vectors * band, loads = 2 * (double)vectors + band + 1, tap = fmax(fmax(sums, loads), 8) / 2;
        cycles += (rows * (double)fc_smaller(p->stride[1], p->kernel[1]) * 3 + bands * seen) * (double)p->stride[2] * (double)vectors;
        cycles += bands * (seen + band / 2) * (6 + sums / 2 + width * tap);
    }
    return 0.58 * cycles;
}

/* For each vector of a row of outputs, or of squares of inputs: its taps, and what begins and ends it. */
static double cost(const fc_conv *problem, fc_pass pass, const fc_isa *isa)
{
    const fc_kernels *kernels = isa->kernels[problem->dtype];
    const int strided = problem->stride[2] > 1, squares = strided && pass == FC_INPUT_GRADIENT;
    const int64_t *to = squares || pass != FC_INPUT_GRADIENT ? problem->out_size : problem->in_size, kernel = problem->kernel[1];
    const int streams = kernel == problem->kernel[2] && problem->stride[1] == problem->stride[2] &&
                        (kernel == 3 || kernel == 5 || kernel == 7);
    const double planes = (double)problem->batch * (double)problem->out_channels, taps = (double)fc_taps(problem);
    /* two planes whose rows fill half a vector go together, where there are lanes to spare */
    const double half = 2 * to[2] <= kernels->lanes && kernels->lanes * (int64_t)fc_element_bytes(problem->dtype) >= FC_LINE ? 0.5 : 1;
    const double vectors = (double)fc_divide_up(to[2], kernels->lanes), rows = (double)to[1];
    if (squares)
        return 1000 + planes * (30 + vectors * (problem->in_size[1] == 1 ? 3 : rows) * (5 + taps * 0.45)); /* two rows at a time */
    if (pass == FC_WEIGHT_GRADIENT) {
        /* taps of a single row go eight at a time */
        const double summed = kernel == 1 ? (double)fc_round_up(problem->kernel[2], 8) : taps;
        const double row = 1.8 + summed * (streams && kernel < 7 ? 0.52 : kernel == 1 ? 0.9 : 0.74);
        return 1000 + (double)problem->out_channels * 80 + planes * vectors * rows * row * (strided ? 1.4 : 1);
    }
    if (!streams)
        return 1000 + planes * (60 + band_cost(problem, pass, isa));
    return 1000 + planes * (30 + half * vectors * rows * (strided ? 4 + taps * 0.75 : 2 + taps * 0.36));
}

static size_t packed(const fc_plan *plan)
{
    const fc_conv *p = &plan->problem;
    const int turned = plan->pass == FC_INPUT_GRADIENT && p->stride[2] == 1;
    return turned ? (size_t)(p->out_channels * fc_taps(p)) * fc_element_bytes(p->dtype) : 0;
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
static void filter(const job *j, int64_t first_plane, int64_t last_plane, int64_t first_row, int64_t last_row,
                   void *room)
{
    const fc_stencil *s = &j->stencil;
    const int squares = j->plan->pass == FC_INPUT_GRADIENT && s->stride[1] == 2;
    if (squares)
        j->kernels->stencil_input(s, first_plane, last_plane, first_row, last_row);
    else
        j->kernels->stencil(s, first_plane, last_plane, first_row, last_row, room);
    for (int64_t plane = first_plane; j->operands->activation == FC_SILU && plane < last_plane; plane++) {
        const int64_t place = (plane * s->out[0] + first_row) * s->out[1];
        char *rows = (char *)s->target + place * (int64_t)fc_element_bytes(j->plan->problem.dtype);
        j->kernels->activate(FC_SILU, (last_row - first_row) * s->out[1], rows, rows);
    }
}

static void task(void *context, int64_t task, int thread)
{
    const job *j = context;
    char *room = j->room + (size_t)thread * j->room_bytes;
    const int64_t block = task % j->row_blocks, rows = j->stencil.out[0];
    int64_t plane = task / j->row_blocks * j->together;
    const int64_t end = fc_smaller(plane + j->together, j->planes);
    const int64_t first_row = rows * block / j->row_blocks, last_row = rows * (block + 1) / j->row_blocks;
    if (j->finite) {
        filter(j, plane, end, first_row, last_row, room);
        return;
    }
    for (; plane < end; plane++) {
        const int64_t channel = plane % j->stencil.channels, taps = fc_taps(&j->plan->problem);
        const char *weight = (const char *)j->stencil.weight + channel * taps * (int64_t)fc_element_bytes(j->plan->problem.dtype);
        if (j->kernels->all_finite(taps, weight))
            filter(j, plane, plane + 1, first_row, last_row, room);
        else if (block == 0)
            j->kernels->direct[FC_FORWARD](&j->plan->problem, j->operands, plane / j->stencil.channels, channel);
    }
}

/* Some units of a channel's gradient. */
static void weight_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const weight_job *j = context;
    const int64_t channel = task / j->slices, slice = task % j->slices;
    const int64_t bytes = (int64_t)j->part / j->stencil.channels;
    j->kernels->stencil_weight(&j->stencil, channel, j->units * slice / j->slices, j->units * (slice + 1) / j->slices,
                               j->parts + slice * (int64_t)j->part + channel * bytes);
}

/* As many slices for any number of threads: the bits depend on them. */
static int64_t slices_of(const fc_conv *p)
{
    const int64_t units = p->batch * fc_divide_up(p->out_size[1], FC_STENCIL_STRIP);
    return fc_larger(1, fc_smaller(units, WEIGHT_TASKS / p->out_channels));
}

static size_t part_bytes(const fc_conv *p) { return (size_t)(p->out_channels * fc_taps(p)) * fc_element_bytes(p->dtype); }

static size_t workspace(const fc_plan *plan, int threads)
{
    if (plan->pass != FC_WEIGHT_GRADIENT)
        return (size_t)threads * room_bytes(&plan->problem);
    const int64_t slices = slices_of(&plan->problem);
    return slices > 1 ? (size_t)slices * part_bytes(&plan->problem) : 0;
}

static void run_weight_gradient(const fc_plan *plan, const fc_stencil *stencil, const fc_operands *operands, void *workspace,
                                int threads)
{
    const fc_conv *p = &plan->problem;
    weight_job j = {.stencil = *stencil, .kernels = plan->isa->kernels[p->dtype], .slices = slices_of(p), .part = part_bytes(p),
                    .units = p->batch * fc_divide_up(p->out_size[1], FC_STENCIL_STRIP)};
    j.parts = j.slices > 1 ? workspace : operands->weight;
    fc_parallel_for(p->out_channels * j.slices, threads, weight_task, &j);
    const int64_t count = p->out_channels * fc_taps(p);
    if (j.slices > 1)
        j.kernels->reduce(j.slices, count, j.parts, count, 1, 0, operands->weight);
}

static void run(const fc_plan *plan, const fc_operands *operands, void *workspace, int threads)
{
    const fc_conv *p = &plan->problem;
    const int back = plan->pass == FC_INPUT_GRADIENT, turned = back && p->stride[2] == 1;
    job j = {.plan = plan, .operands = operands, .kernels = plan->isa->kernels[p->dtype], .planes = p->batch * p->out_channels,
             .room = workspace, .room_bytes = room_bytes(p),
             .stencil = {.dilation = p->dilation[2], .channels = p->out_channels, .source_channels = p->in_channels,
                         .multiplier = p->out_channels / p->in_channels, .bias = operands->bias,
                         .source = back ? operands->output : operands->input,
                         .weight = turned ? operands->packed : operands->weight,
                         .target = back ? operands->input : operands->output,
                         .low = operands->activation == FC_RELU || operands->activation == FC_RELU6 ? 0 : -INFINITY,
                         .high = operands->activation == FC_RELU6 ? 6 : INFINITY, .room_rows = room_rows(p)}};
    fc_stencil *s = &j.stencil;
    for (int i = 0; i < 2; i++) {
        const int d = i + 1;
        const int64_t reach = (p->kernel[d] - 1) * p->dilation[d];
        s->in[i] = back ? p->out_size[d] : p->in_size[d];
        s->out[i] = back ? p->in_size[d] : p->out_size[d];
        s->kernel[i] = p->kernel[d];
        s->stride[i] = p->stride[d];
        s->padding[i] = turned ? reach - p->padding[d] : p->padding[d];
    }
    if (plan->pass == FC_WEIGHT_GRADIENT) {
        run_weight_gradient(plan, s, operands, workspace, threads);
        return;
    }
    const int64_t element = (int64_t)fc_element_bytes(p->dtype);
    s->streams = operands->activation != FC_SILU &&
                 fc_streams(s->target, j.planes * s->out[0] * s->out[1] * element, s->out[1] * element);
    j.finite = back || j.kernels->all_finite(p->out_channels * fc_taps(p), operands->weight);
    const int64_t row = fc_divide_up(s->out[1], j.kernels->lanes) * fc_taps(p);
    const int64_t wanted = fc_divide_up(j.planes, threads) * s->out[0] * row / TASK_TAPS > 2 ? TASK_TAPS : TASK_TAPS / 4;
    const int64_t least = fc_larger(TASK_ROWS, 8 * (p->kernel[1] - 1)); /* the first rows of a stream are begun for nothing */
    j.row_blocks = fc_divide_up(s->out[0], fc_larger(least, wanted / row));
    j.together = j.row_blocks > 1 ? 1 : fc_larger(1, wanted / (row * s->out[0]));
    fc_parallel_for(j.row_blocks * fc_divide_up(j.planes, j.together), threads, task, &j);
}

const fc_algo fc_algo_stencil = {
    .name = "stencil", .supports = supports, .cost = cost, .packed = packed, .pack = pack, .workspace = workspace, .run = run};
