/* Tap by tap: the gradient of the weight as a product for each tap, of inputs brought to channels last.
 *
 *     dw[k][c,t] = sum over images, o of dy[k][o] x[o * stride + t * dilation - padding][c]
 *
 * The gradient of the output lies along its rows as A wants it.  Rows of the input that a block of outputs sees are transposed once,
 * [panel of channels][row][column][channel], with zeros beyond the row's ends: for every tap B is then those pixels that it sees, found
 * by one table of offsets, and nothing is copied tap by tap.  Rows beyond the border are skipped, unless there is a value that times
 * zero is not zero.
 *
 *     a task: a few channels, some of the blocks       for each plane of the input that a block of outputs sees:
 *       C [k][tap][channel], a slice                      transpose its rows;
 *                                                         for some k, each panel and tap: C += A B
 *
 * How many slices there are follows from the problem alone, and so do the bits; they are added up, and turned to [k][channel][tap]. */
#include "../algorithm.h"
#include "../gemm.h"
#include "../parallel.h"

#include <math.h>
#include <string.h>

enum {
    DEPTH = 256,            /* outputs of a block, about: what a panel sees of them stays in L1 */
    ROOM_BYTES = 256 << 10, /* of transposed rows: they stay in L2 */
    OUTS_TILES = 8,         /* tiles of rows of A at a time: they stay in L2 with them */
    TASKS = 16,             /* at least, where there is so much work */
    MOST_SLICES = 4,        /* each is as large as the weight */
};

typedef struct {
    const fc_plan *plan;
    const fc_operands *operands;
    const fc_kernels *kernels;
    int64_t ins, outs, taps; /* of a group */
    int64_t panels, panel_blocks, cell; /* cell: elements of a pixel in a panel */
    int64_t rows, columns;   /* of outputs in a block, at most; whole rows where they are several */
    int64_t down, across;    /* blocks of a plane */
    int64_t seen[2];         /* rows and columns of the input that a block sees */
    int64_t units, slices;   /* units: blocks of all images */
    int64_t together;        /* units whose rows are transposed before they are multiplied, of small planes several */
    int64_t in[5], out[5];   /* strides of the tensors */
    int finite;              /* all of grad_output, or nothing is skipped */
    int64_t unit_bytes;      /* of a unit's transposed rows */
    size_t part, table_bytes, room_bytes;
    const int64_t *table;    /* [rows * columns]: where an output's first tap sees, in the transposed rows */
    char *parts, *rooms;
} job;

static const char *supports(const fc_conv *problem, fc_pass pass)
{
    if (pass != FC_WEIGHT_GRADIENT)
        return "computes the gradient of the weight only";
    if (problem->layout != FC_CHANNELS_FIRST)
        return "needs channels first";
    return fc_taps(problem) == 1 ? "needs a kernel of several elements" : NULL;
}

static int64_t element_of(const job *j) { return (int64_t)fc_element_bytes(j->plan->problem.dtype); }

static job make_job(const fc_plan *plan, const fc_operands *operands)
{
    const fc_conv *p = &plan->problem;
    job j = {.plan = plan, .operands = operands, .kernels = plan->isa->kernels[p->dtype], .ins = p->in_channels / p->groups,
             .outs = p->out_channels / p->groups, .taps = fc_taps(p)};
    const int64_t element = element_of(&j);
    fc_tensor_strides(p->layout, p->in_channels, p->in_size, j.in);
    fc_tensor_strides(p->layout, p->out_channels, p->out_size, j.out);
    j.panels = fc_panel_count(j.kernels, j.ins);
    j.cell = j.kernels->tile_vectors * j.kernels->lanes;
    j.across = fc_larger(1, fc_divide_up(p->out_size[2], DEPTH));
    j.columns = fc_divide_up(p->out_size[2], j.across);
    j.down = fc_larger(1, fc_divide_up(p->out_size[1], j.across > 1 ? 1 : fc_larger(1, DEPTH / fc_larger(1, j.columns))));
    j.rows = fc_divide_up(p->out_size[1], j.down);
    j.seen[0] = (j.rows - 1) * p->stride[1] + (p->kernel[1] - 1) * p->dilation[1] + 1;
    j.seen[1] = (j.columns - 1) * p->stride[2] + (p->kernel[2] - 1) * p->dilation[2] + 1;
    j.units = p->batch * p->out_size[0] * j.down * j.across;
    const int64_t panel_bytes = j.seen[0] * j.seen[1] * j.cell * element;
    j.together = fc_larger(1, fc_smaller(fc_smaller(2 * DEPTH / fc_larger(1, j.rows * j.columns), ROOM_BYTES / panel_bytes), j.units));
    j.together = fc_divide_up(j.units, fc_larger(1, fc_divide_up(j.units, j.together)));
    j.panel_blocks = fc_smaller(j.panels, fc_larger(fc_divide_up(j.together * j.panels * panel_bytes, ROOM_BYTES), TASKS / p->groups));
    j.slices = fc_larger(1, fc_smaller(fc_smaller(j.units, MOST_SLICES), TASKS / (p->groups * j.panel_blocks)));
    j.part = (size_t)(p->out_channels * j.ins * j.taps * element);
    j.table_bytes = fc_whole_lines(j.rows * j.columns * (int64_t)sizeof(int64_t));
    j.unit_bytes = fc_divide_up(j.panels, fc_larger(1, j.panel_blocks)) * panel_bytes;
    j.room_bytes = fc_whole_lines(j.together * j.unit_bytes);
    return j;
}

/* Products, their sums begun and ended for each block; rows, transposed; slices, added up. */
static double cost(const fc_conv *problem, fc_pass pass, const fc_isa *isa)
{
    const fc_kernels *kernels = isa->kernels[problem->dtype];
    const double ins = (double)(problem->in_channels / problem->groups), outs = (double)(problem->out_channels / problem->groups);
    const double lanes = (double)fc_round_up((int64_t)ins, kernels->lanes), taps = (double)fc_taps(problem);
    const double groups = (double)problem->groups, vectors = 16.0 / kernels->lanes;
    const double panels = (double)fc_panel_count(kernels, (int64_t)ins);
    const double plane = (double)(problem->out_size[1] * problem->out_size[2]), blocks = ceil(plane / DEPTH);
    const double units = (double)problem->batch * (double)problem->out_size[0] * blocks;
    const double slices = fmax(1, fmin(fmin(units, MOST_SLICES), floor(TASKS / (groups * fmin(panels, fmax(1, TASKS / groups))))));
    const double narrow = lanes / kernels->lanes / panels, weights = groups * taps * outs * lanes * vectors;
    const double reach = (double)((problem->kernel[1] - 1) * problem->dilation[1]) * blocks;
    const double seen = (double)problem->in_size[2] * ((double)problem->in_size[1] + reach) * (double)problem->kernel[0] *
                        (double)problem->out_size[0] * (double)problem->batch;
    const double products = units * groups * taps * panels * ceil(outs / (OUTS_TILES * kernels->tile_rows));
    const double layers = fc_inside_share_along(problem, pass, 0), inside = layers * fc_inside_share_along(problem, pass, 1);
    return 3000 + fc_dense_multiply_adds(problem, pass) * inside / fc_multiply_adds_per_ns(isa, problem->dtype) * (lanes / ins) *
                      ((outs + 1.5) / outs) * (1 + 0.15 / narrow) +
           layers * (products * 80 + units * weights * 0.17 + seen * lanes * groups * 0.3 * vectors) + weights * (1.2 + 0.6 * slices);
}

/* What a block sees of a plane of the input, from row y0 and column x0 on, for all panels: of the rows those that are inside. */
static void transpose_rows(const job *j, const char *plane, int64_t y0, int64_t x0, int64_t first, int64_t panels, char *room)
{
    const fc_conv *p = &j->plan->problem;
    const int64_t element = element_of(j), width = j->seen[1], pixel = j->cell * element;
    int64_t begin, end; /* columns inside */
    fc_inside(p->in_size[2], 1, x0, width, &begin, &end);
    for (int64_t q = 0; q < panels; q++) {
        const int64_t c0 = fc_panel_first(j->kernels, j->ins, first + q), c1 = fc_panel_first(j->kernels, j->ins, first + q + 1);
        for (int64_t r = 0; r < j->seen[0]; r++, room += width * pixel) {
            const int64_t y = y0 + r;
            if (p->kernel[1] == 1 && r % p->stride[1])
                continue; /* no tap sees it */
            if (y < 0 || y >= p->in_size[1]) {
                if (!j->finite)
                    memset(room, 0, (size_t)(width * pixel));
                continue;
            }
            const char *source = plane + (c0 * j->in[1] + y * j->in[3] + x0 + begin) * element;
            memset(room, 0, (size_t)(begin * pixel));
            j->kernels->transpose(c1 - c0, end - begin, source, j->in[1], room + begin * pixel, j->cell);
            memset(room + end * pixel, 0, (size_t)((width - end) * pixel));
        }
    }
}

/* A unit: its image, plane, rows and columns of grad_output. */
typedef struct {
    int64_t image, z, y0, y1, x0, x1;
} place;

static place place_of(const job *j, int64_t unit)
{
    const fc_conv *p = &j->plan->problem;
    const int64_t across = unit % j->across, down = unit / j->across % j->down, plane = unit / (j->across * j->down);
    return (place){plane / p->out_size[0], plane % p->out_size[0], p->out_size[1] * down / j->down,
                   p->out_size[1] * (down + 1) / j->down, p->out_size[2] * across / j->across,
                   p->out_size[2] * (across + 1) / j->across};
}

/* The plane of the input that a unit sees through a layer of the kernel, or -1. */
static int64_t plane_of(const job *j, const place *at, int64_t layer)
{
    const fc_conv *p = &j->plan->problem;
    const int64_t z = at->z * p->stride[0] + layer * p->dilation[0] - p->padding[0];
    return z >= 0 && z < p->in_size[0] ? z : -1;
}

/* C of one tap, panel and some rows of A, of some units: it stays in L1 while their products are added. */
static void multiply(const job *j, int64_t group, int64_t first_unit, int64_t units, int64_t layer, int64_t tap, int64_t k,
                     const char *room, fc_panel *panel)
{
    const fc_conv *p = &j->plan->problem;
    const int64_t element = element_of(j);
    const int64_t down = tap / p->kernel[2] * p->dilation[1], across = tap % p->kernel[2] * p->dilation[2];
    for (int64_t u = 0; u < units; u++) {
        const place at = place_of(j, first_unit + u);
        int64_t y = 0, end = at.y1 - at.y0;
        if (j->finite && plane_of(j, &at, layer) < 0)
            continue;
        if (j->finite)
            fc_inside(p->in_size[1], p->stride[1], at.y0 * p->stride[1] + down - p->padding[1], end, &y, &end);
        panel->depth = (end - y) * (at.x1 - at.x0);
        panel->a = (const char *)j->operands->output + (at.image * j->out[0] + (group * j->outs + k) * j->out[1] + at.z * j->out[2] +
                                                        (at.y0 + y) * j->out[3] + at.x0) * element;
        panel->b = room + u * j->unit_bytes + (down * j->seen[1] + across) * j->cell * element;
        panel->b_depths = j->table + y * j->columns;
        if (panel->depth)
            j->kernels->gemm(panel);
    }
}

static void task(void *context, int64_t task, int thread)
{
    const job *j = context;
    const fc_conv *p = &j->plan->problem;
    const int64_t element = element_of(j), slice = task % j->slices, block = task / j->slices % j->panel_blocks;
    const int64_t group = task / (j->slices * j->panel_blocks), taps = p->kernel[1] * p->kernel[2];
    const int64_t first = j->panels * block / j->panel_blocks, panels = j->panels * (block + 1) / j->panel_blocks - first;
    const int64_t most = OUTS_TILES * j->kernels->tile_rows, last_unit = j->units * (slice + 1) / j->slices;
    char *room = j->rooms + (size_t)thread * j->room_bytes;
    char *part = j->parts + slice * (int64_t)j->part + group * j->outs * j->ins * j->taps * element;
    const int64_t c0 = fc_panel_first(j->kernels, j->ins, first), c1 = fc_panel_first(j->kernels, j->ins, first + panels);
    for (int64_t row = 0; row < j->outs * j->taps; row++)
        memset(part + (row * j->ins + c0) * element, 0, (size_t)((c1 - c0) * element));
    for (int64_t unit = j->units * slice / j->slices, units; unit < last_unit; unit += units) {
        units = fc_smaller(j->together, last_unit - unit);
        for (int64_t layer = 0; layer < p->kernel[0]; layer++) {
            for (int64_t u = 0; u < units; u++) {
                const place at = place_of(j, unit + u);
                const int64_t z = plane_of(j, &at, layer);
                const char *image = (const char *)j->operands->input + (at.image * j->in[0] + group * j->ins * j->in[1]) * element;
                if (z >= 0)
                    transpose_rows(j, image + z * j->in[2] * element, at.y0 * p->stride[1] - p->padding[1],
                                   at.x0 * p->stride[2] - p->padding[2], first, panels, room + u * j->unit_bytes);
                else if (!j->finite)
                    memset(room + u * j->unit_bytes, 0, (size_t)j->unit_bytes);
            }
            for (int64_t k = 0; k < j->outs; k += most)
                for (int64_t q = 0; q < panels; q++)
                    for (int64_t tap = 0; tap < taps; tap++) {
                        const int64_t n0 = fc_panel_first(j->kernels, j->ins, first + q);
                        fc_panel panel = {.rows = fc_smaller(most, j->outs - k), .a_row = j->out[1], .a_depth = 1, .accumulate = 1,
                                          .columns = fc_panel_first(j->kernels, j->ins, first + q + 1) - n0,
                                          .c = part + ((k * j->taps + layer * taps + tap) * j->ins + n0) * element,
                                          .c_row = j->taps * j->ins, .low = -INFINITY, .high = INFINITY};
                        multiply(j, group, unit, units, layer, tap, k, room + q * j->seen[0] * j->seen[1] * j->cell * element,
                                 &panel);
                    }
        }
    }
}

/* The slices of one channel of grad_output, added up, and turned. */
static void reduce_task(void *context, int64_t out, int thread)
{
    (void)thread;
    const job *j = context;
    const int64_t count = j->ins * j->taps, place = out * count * element_of(j);
    char *sums = j->parts + place;
    if (j->slices > 1)
        j->kernels->reduce(j->slices, (int64_t)j->part / element_of(j), sums, count, 1, 0, sums);
    j->kernels->transpose(j->taps, j->ins, sums, j->ins, (char *)j->operands->weight + place, j->taps);
}

static size_t parts_bytes(const job *j) { return fc_whole_lines(j->slices * (int64_t)j->part); }

static size_t workspace(const fc_plan *plan, int threads)
{
    const job j = make_job(plan, NULL);
    return parts_bytes(&j) + j.table_bytes + j.room_bytes * (size_t)threads;
}

static void run(const fc_plan *plan, const fc_operands *operands, void *workspace, int threads)
{
    const fc_conv *p = &plan->problem;
    job j = make_job(plan, operands);
    int64_t *table = (int64_t *)((char *)workspace + parts_bytes(&j));
    j.parts = workspace;
    j.table = table;
    j.rooms = (char *)table + j.table_bytes;
    for (int64_t y = 0; y < j.rows; y++)
        for (int64_t x = 0; x < j.columns; x++)
            *table++ = (y * p->stride[1] * j.seen[1] + x * p->stride[2]) * j.cell;
    const int cut = fc_inside_share_along(p, plan->pass, 0) < 1 || fc_inside_share_along(p, plan->pass, 1) < 1;
    j.finite = !cut || fc_all_finite(plan, operands->output, p->batch * p->out_channels * fc_volume(p->out_size), threads);
    fc_parallel_for(p->groups * j.panel_blocks * j.slices, threads, task, &j);
    fc_parallel_for(p->out_channels, threads, reduce_task, &j);
}

const fc_algo fc_algo_tapwise = {.name = "tapwise", .supports = supports, .cost = cost, .workspace = workspace, .run = run};
