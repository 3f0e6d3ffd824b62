/* Fourier: depthwise with large kernels on large planes, in channels first.
 *
 *     y[c,m] = the correlation of x[c] with w[c,m] = F^-1( F(x[c]) * conj F(w[c,m]) )      stride 1
 *
 * A plane is cut into squares of n x n (overlap-save): each gives the n - reach rows and columns of outputs that its circular
 * correlation gets right.  Two squares go at a time, as the real and the imaginary part of one, for the kernel is real.  The
 * vectors of a transform hold columns (isa/fft.inc); rows are transposed into that form and back, a vector of them at a time, and
 * a column is transformed, multiplied and transformed back while it is in L1.  The gradient of the input is the same with the
 * kernel turned.
 *
 * What is not finite spreads over a square: such planes are left to `depthwise`, all of them. */
#include "../algorithm.h"
#include "../parallel.h"

#include <math.h>
#include <string.h>

extern const fc_algo fc_algo_depthwise;

enum {
    LEAST_SIDE = 32,
    MOST_SIDE = 256,
    PAIRS = 4,  /* of a task, at least: each transforms the kernel */
    TASKS = 32, /* at most, where there are fewer channels */
};

typedef struct {
    const fc_plan *plan;
    const fc_operands *operands;
    const fc_kernels *kernels;
    int64_t side, pitch;                        /* of a square; of its rows */
    int64_t in[2], out[2], padding[2], valid[2]; /* valid: outputs of a square along each dimension */
    int64_t tiles[2], units;                    /* units: squares of a channel in all images */
    int64_t slices;                             /* tasks of a channel */
    const void *twiddles;
    size_t plane_bytes, rows_bytes, thread_bytes;
    char *workspace;
    int spoilt;
} job;

static const char *supports(const fc_conv *problem, fc_pass pass)
{
    if (pass == FC_WEIGHT_GRADIENT)
        return "computes convolutions and the gradient of their input only";
    if (problem->groups != problem->in_channels || problem->layout != FC_CHANNELS_FIRST)
        return "needs groups equal to in_channels, and channels first";
    if (problem->kernel[0] != 1 || problem->in_size[0] != 1 || problem->out_size[0] != 1 || fc_volume(problem->stride) > 1)
        return "needs stride 1 and one or two dimensions";
    if (pass == FC_INPUT_GRADIENT && problem->out_channels != problem->in_channels)
        return "needs as many channels as before for the gradient of the input";
    for (int d = 1; d < 3; d++)
        if ((problem->kernel[d] - 1) * problem->dilation[d] > MOST_SIDE / 2)
            return "needs a kernel that reaches over at most 128 rows and columns";
    return NULL;
}

/* Squares of a plane, for sides of so many. */
static double squares(const fc_conv *p, fc_pass pass, int64_t side)
{
    double count = 1;
    for (int d = 1; d < 3; d++) {
        const int64_t valid = side - (p->kernel[d] - 1) * p->dilation[d];
        if (valid < side / 4)
            return INFINITY;
        count *= (double)fc_divide_up(pass == FC_FORWARD ? p->out_size[d] : p->in_size[d], valid);
    }
    return count;
}

/* Of a pair of squares, there and back. */
static double pair_cost(const fc_conv *p, const fc_isa *isa, int64_t side)
{
    return 0.55 * (double)(side * side) * log2((double)side) * 16 / isa->kernels[p->dtype]->lanes;
}

static int64_t best_side(const fc_conv *p, fc_pass pass, const fc_isa *isa)
{
    int64_t best = MOST_SIDE;
    for (int64_t side = MOST_SIDE / 2; side >= LEAST_SIDE; side /= 2)
        if (squares(p, pass, side) * pair_cost(p, isa, side) <= squares(p, pass, best) * pair_cost(p, isa, best))
            best = side;
    return best;
}

static double cost(const fc_conv *problem, fc_pass pass, const fc_isa *isa)
{
    const int64_t side = best_side(problem, pass, isa);
    const double pairs = ceil((double)problem->batch * squares(problem, pass, side) / 2);
    return 20000 + (double)problem->out_channels * (pairs + 0.5) * pair_cost(problem, isa, side);
}

static job make_job(const fc_plan *plan, const fc_operands *operands)
{
    const fc_conv *p = &plan->problem;
    const int forward = plan->pass == FC_FORWARD;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype);
    job j = {.plan = plan, .operands = operands, .kernels = plan->isa->kernels[p->dtype],
             .side = best_side(p, plan->pass, plan->isa), .units = p->batch};
    for (int i = 0; i < 2; i++) {
        const int64_t reach = (p->kernel[i + 1] - 1) * p->dilation[i + 1];
        j.in[i] = forward ? p->in_size[i + 1] : p->out_size[i + 1];
        j.out[i] = forward ? p->out_size[i + 1] : p->in_size[i + 1];
        j.padding[i] = forward ? p->padding[i + 1] : reach - p->padding[i + 1];
        j.valid[i] = j.side - reach;
        j.tiles[i] = fc_divide_up(j.out[i], j.valid[i]);
        j.units *= j.tiles[i];
    }
    j.slices = fc_smaller(fc_divide_up(j.units, 2 * PAIRS), fc_divide_up(TASKS, p->out_channels));
    j.pitch = j.side + FC_LINE / element; /* rows of a power of two would fall on the same lines of the cache */
    j.plane_bytes = fc_whole_lines(j.side * j.pitch * element);
    j.rows_bytes = fc_whole_lines(j.side * j.kernels->lanes * element);
    j.thread_bytes = 4 * j.plane_bytes + 4 * j.rows_bytes;
    return j;
}

/* The room of a thread: a pair of squares and the kernel, real and imaginary; a vector of rows, as rows and as columns. */
typedef struct {
    char *square[2], *filter[2], *rows[2], *columns[2];
} room;

static room room_of(const job *j, int thread)
{
    char *at = j->workspace + (size_t)thread * j->thread_bytes;
    room r;
    for (int i = 0; i < 2; i++) {
        r.square[i] = at + (size_t)i * j->plane_bytes;
        r.filter[i] = at + (size_t)(2 + i) * j->plane_bytes;
        r.rows[i] = at + 4 * j->plane_bytes + (size_t)i * j->rows_bytes;
        r.columns[i] = at + 4 * j->plane_bytes + (size_t)(2 + i) * j->rows_bytes;
    }
    return r;
}

/* Transforms a vector of rows, which lie in rows[], into place. */
static void transform_rows(const job *j, const room *r, char *const planes[2], int64_t row)
{
    const int64_t lanes = j->kernels->lanes, element = (int64_t)fc_element_bytes(j->plan->problem.dtype);
    for (int i = 0; i < 2; i++)
        j->kernels->transpose(lanes, j->side, r->rows[i], j->side, r->columns[i], lanes);
    j->kernels->fft(j->side, j->twiddles, 0, 1, r->columns[0], r->columns[1], lanes);
    for (int i = 0; i < 2; i++)
        j->kernels->transpose(j->side, lanes, r->columns[i], lanes, planes[i] + row * j->pitch * element, j->pitch);
}

/* Rows of zeros stay zeros. */
static void zero_rows(const job *j, char *const planes[2], int64_t row)
{
    const int64_t pitch = j->pitch * (int64_t)fc_element_bytes(j->plan->problem.dtype);
    for (int i = 0; i < 2; i++)
        memset(planes[i] + row * pitch, 0, (size_t)(j->kernels->lanes * pitch));
}

/* The kernel's spectrum, by n^2, the inverse's factor. */
static void transform_kernel(const job *j, int64_t channel, const room *r)
{
    const fc_conv *p = &j->plan->problem;
    const int64_t lanes = j->kernels->lanes, height = p->kernel[1], width = p->kernel[2], taps = fc_taps(p);
    const int64_t step = p->dilation[2];
    const int turned = j->plan->pass == FC_INPUT_GRADIENT;
    const double factor = 1 / (double)(j->side * j->side);
    int64_t i = 0; /* the kernel's row that comes next */
    for (int64_t row = 0; row < j->side; row += lanes) {
        if (i == height || i * p->dilation[1] >= row + lanes) {
            zero_rows(j, r->filter, row);
            continue;
        }
        memset(r->rows[0], 0, j->rows_bytes);
        memset(r->rows[1], 0, j->rows_bytes);
        for (; i < height && i * p->dilation[1] < row + lanes; i++) {
            const int64_t to = (i * p->dilation[1] - row) * j->side;
            const int64_t from = channel * taps + (turned ? taps - 1 - i * width : i * width), way = turned ? -1 : 1;
            for (int64_t x = 0; x < width; x++)
                if (p->dtype == FC_FLOAT32)
                    ((float *)r->rows[0])[to + x * step] = (float)(((const float *)j->operands->weight)[from + x * way] * factor);
                else
                    ((double *)r->rows[0])[to + x * step] = ((const double *)j->operands->weight)[from + x * way] * factor;
        }
        transform_rows(j, r, r->filter, row);
    }
    j->kernels->fft(j->side, j->twiddles, 0, j->side / lanes, r->filter[0], r->filter[1], j->pitch);
}

/* Where a unit lies: its plane, and its first output. */
typedef struct {
    int64_t image, y, x;
} place;

static place place_of(const job *j, int64_t unit)
{
    const int64_t tile = unit % (j->tiles[0] * j->tiles[1]);
    return (place){unit / (j->tiles[0] * j->tiles[1]), tile / j->tiles[1] * j->valid[0], tile % j->tiles[1] * j->valid[1]};
}

/* Whether a vector of rows sees any of the plane. */
static int inside(const job *j, int64_t unit, int64_t row)
{
    const int64_t y = place_of(j, unit).y + row - j->padding[0];
    return y < j->in[0] && y + j->kernels->lanes > 0;
}

static void load_square(const job *j, int64_t channel, int64_t unit, int64_t row, char *rows)
{
    const fc_conv *p = &j->plan->problem;
    const int forward = j->plan->pass == FC_FORWARD;
    const int64_t channels = forward ? p->in_channels : p->out_channels;
    const int64_t plane = forward ? channel / (p->out_channels / p->in_channels) : channel;
    const place at = place_of(j, unit);
    const fc_window window = {.taps = {1, 1, 1}, .in = {1, j->in[0], j->in[1]}, .step = {1, 1, 1}, .tap_step = {1, 1, 1},
                              .origin = {0, -j->padding[0], -j->padding[1]}, .channels = 1,
                              .stride = {0, j->in[1], 1}};
    const char *source = (const char *)(forward ? j->operands->input : j->operands->output) +
                         (at.image * channels + plane) * j->in[0] * j->in[1] * (int64_t)fc_element_bytes(p->dtype);
    const int64_t first[3] = {0, at.y + row, at.x}, length[3] = {1, j->kernels->lanes, j->side};
    j->kernels->pack_plane(&window, first, length, 0, source, rows);
}

static int store_square(const job *j, int64_t channel, int64_t unit, int64_t row, const char *rows)
{
    const fc_conv *p = &j->plan->problem;
    const int forward = j->plan->pass == FC_FORWARD;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype);
    const place at = place_of(j, unit);
    const int64_t height = fc_smaller(fc_smaller(j->kernels->lanes, j->valid[0] - row), j->out[0] - at.y - row);
    const int64_t width = fc_smaller(j->valid[1], j->out[1] - at.x);
    char *target = (char *)(forward ? j->operands->output : j->operands->input) +
                   (((at.image * p->out_channels + channel) * j->out[0] + at.y + row) * j->out[1] + at.x) * element;
    int finite = 1;
    for (int64_t y = 0; y < height; y++, target += j->out[1] * element, rows += j->side * element) {
        finite = finite && j->kernels->all_finite(width, rows);
        memcpy(target, rows, (size_t)(width * element));
        if (j->operands->activation != FC_IDENTITY)
            j->kernels->activate(j->operands->activation, width, target, target);
    }
    return finite;
}

/* Some pairs of squares of a channel. */
static void task(void *context, int64_t task, int thread)
{
    job *j = context;
    const fc_conv *p = &j->plan->problem;
    const int64_t lanes = j->kernels->lanes, element = (int64_t)fc_element_bytes(p->dtype);
    const int64_t channel = task / j->slices, slice = task % j->slices, pairs = fc_divide_up(j->units, 2);
    const room r = room_of(j, thread);
    const char *bias = j->operands->bias ? (const char *)j->operands->bias + channel * element : NULL;
    transform_kernel(j, channel, &r);
    for (int64_t pair = pairs * slice / j->slices; pair < pairs * (slice + 1) / j->slices; pair++) {
        const int both = 2 * pair + 1 < j->units;
        for (int64_t row = 0; row < j->side; row += lanes) {
            if (!inside(j, 2 * pair, row) && (!both || !inside(j, 2 * pair + 1, row))) {
                zero_rows(j, r.square, row);
                continue;
            }
            load_square(j, channel, 2 * pair, row, r.rows[0]);
            if (both)
                load_square(j, channel, 2 * pair + 1, row, r.rows[1]);
            else
                memset(r.rows[1], 0, j->rows_bytes);
            transform_rows(j, &r, r.square, row);
        }
        j->kernels->fft_filter(j->side, j->twiddles, j->side / lanes, r.square[0], r.square[1], r.filter[0], r.filter[1], bias,
                               j->pitch);
        for (int64_t row = 0; row < j->valid[0]; row += lanes) {
            for (int i = 0; i < 2; i++)
                j->kernels->transpose(lanes, j->side, r.square[i] + row * j->pitch * element, j->pitch, r.columns[i], lanes);
            j->kernels->fft(j->side, j->twiddles, 1, 1, r.columns[0], r.columns[1], lanes);
            for (int i = 0; i < 1 + both; i++) {
                j->kernels->transpose(j->side, lanes, r.columns[i], lanes, r.rows[i], j->side);
                if (!store_square(j, channel, 2 * pair + i, row, r.rows[i]))
                    __atomic_store_n(&j->spoilt, 1, __ATOMIC_RELAXED);
            }
        }
    }
}

/* w, w^2, w^3 of w = exp(-2 pi i j / length), for each step's length: n, n / 4, ... */
static void list_twiddles(int64_t side, fc_dtype dtype, void *twiddles)
{
    int64_t at = 0;
    for (int64_t length = side; length >= 4; length /= 4)
        for (int64_t j = 0; j < length / 4; j++)
            for (int64_t power = 1; power <= 3; power++)
                for (int part = 0; part < 2; part++, at++) {
                    const double angle = -2 * 3.14159265358979323846 * (double)(j * power) / (double)length;
                    const double value = part ? sin(angle) : cos(angle);
                    if (dtype == FC_FLOAT32)
                        ((float *)twiddles)[at] = (float)value;
                    else
                        ((double *)twiddles)[at] = value;
                }
}

static size_t twiddle_bytes(const job *j)
{
    return fc_whole_lines(2 * j->side * (int64_t)fc_element_bytes(j->plan->problem.dtype));
}

static fc_plan direct_plan(const fc_plan *plan)
{
    fc_plan direct = *plan;
    direct.algorithm = &fc_algo_depthwise;
    direct.packed_bytes = 0;
    return direct;
}

static size_t workspace(const fc_plan *plan, int threads)
{
    const job j = make_job(plan, NULL);
    const fc_plan direct = direct_plan(plan);
    const size_t own = twiddle_bytes(&j) + j.thread_bytes * (size_t)threads, again = fc_algo_depthwise.workspace(&direct, threads);
    return own > again ? own : again;
}

static void run(const fc_plan *plan, const fc_operands *operands, void *workspace, int threads)
{
    job j = make_job(plan, operands);
    list_twiddles(j.side, plan->problem.dtype, workspace);
    j.twiddles = workspace;
    j.workspace = (char *)workspace + twiddle_bytes(&j);
    fc_parallel_for(plan->problem.out_channels * j.slices, threads, task, &j);
    if (j.spoilt) {
        const fc_plan direct = direct_plan(plan);
        fc_algo_depthwise.run(&direct, operands, workspace, threads);
    }
}

const fc_algo fc_algo_fft = {.name = "fft", .supports = supports, .cost = cost, .workspace = workspace, .run = run};
