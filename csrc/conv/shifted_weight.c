/* The gradient of the weight from shifted planes.
 *
 *     dw[k][c,t] = sum over images, o of dy[k][o] x[c][o + off(t)]
 *
 * Both operands lie along their rows.  Where there are few rows of dy, they are multiplied as they lie: dot products, lane by lane.
 * Where there are many, a panel of a few channels and taps is transposed once for all of them, straight from where they lie, and
 * the dense product broadcasts dy.  The planes are packed (planes.h) where there is padding or a stride; otherwise they are the
 * input itself, and for a kernel of one element all pixels are one row.  A task sums, for a few channels, over a slice of the
 * images' blocks; how many slices there are follows from the problem alone, and so do the bits. */
#include "shifted.h"
#include "../gemm.h"
#include "../parallel.h"
#include "planes.h"

#include <math.h>

enum {
    TOGETHER = 32,           /* channels of a task, at most */
    COLUMNS = 256,           /* of a task, channels times taps, that are not worth cutting further: slices are summed once more */
    PLANES_BYTES = 256 << 10, /* of their planes: they stay in L2 */
    TASKS = 16,              /* at least, where there is so much work */
    DEPTH = 256,             /* pixels of a panel that is transposed: it stays in L1 */
};

typedef struct {
    fc_plan plan; /* of the problem, flattened where it can be */
    const fc_operands *operands;
    const fc_kernels *kernels;
    fc_plane plane, packed; /* a block's, and as it is packed: by itself, or with all of its image */
    int in_place, at_once;
    int64_t ins, outs, taps;        /* of a group */
    int64_t together, channel_blocks;
    int64_t units, slices;          /* units: blocks of planes of all images */
    int64_t in[5], out[5];          /* strides of the tensors */
    int transposes;
    size_t part, offsets_bytes, images_bytes, planes_bytes, thread_bytes;
    const int64_t *offsets;         /* [together * taps]: where a channel and tap begin */
    char *parts, *image_planes, *workspace;
} job;

/* A kernel of one element that sees each pixel once sees all of them as one row. */
static fc_conv flattened(const fc_conv *problem)
{
    fc_conv p = *problem;
    for (int d = 0; d < 3; d++) {
        if (p.kernel[d] > 1 || p.stride[d] > 1 || p.padding[d] || p.out_size[d] != problem->in_size[d])
            return *problem;
        p.in_size[d] = p.out_size[d] = d == 2 ? fc_volume(problem->out_size) : 1;
    }
    return p;
}

static int is_unpadded(const fc_conv *p)
{
    for (int d = 0; d < 3; d++)
        if (p->stride[d] > 1 || p->padding[d] || p->out_size[d] + (p->kernel[d] - 1) * p->dilation[d] > p->in_size[d])
            return 0;
    return 1;
}

static int64_t channel_blocks_of(const fc_conv *p)
{
    const int64_t ins = p->in_channels / p->groups, most = fc_divide_up(ins * fc_taps(p), COLUMNS);
    return fc_larger(fc_divide_up(ins, TOGETHER), fc_smaller(fc_smaller(ins, most), TASKS / p->groups));
}

static int64_t slices_of(const fc_conv *p, int64_t units)
{
    return fc_larger(1, fc_smaller(units, TASKS / (p->groups * channel_blocks_of(p))));
}

/* Of an image's group: whole vectors along each row; sums that are begun and ended for each block. */
static double dots_cost(const fc_conv *p, const fc_kernels *kernels, double rate)
{
    const double outs = (double)(p->out_channels / p->groups), sums = outs * (double)(p->in_channels / p->groups * fc_taps(p));
    const double vectors = (double)(p->out_size[0] * p->out_size[1] * fc_divide_up(p->out_size[2], kernels->lanes));
    const double blocks = (double)fc_divide_up(fc_volume(p->out_size), PLANES_BYTES / TOGETHER / (int64_t)fc_element_bytes(p->dtype));
    const double slow = kernels->tile_rows > 6 ? 0.75 : 0.65;
    return vectors * sums * kernels->lanes / (rate * slow) * (1 + 1 / outs) + blocks * (300 + sums * 3);
}

/* The same with panels transposed, whole vectors along each row, and sums that are begun and ended for each of DEPTH pixels. */
static double transposed_cost(const fc_conv *p, const fc_kernels *kernels, double rate)
{
    const int64_t columns = p->in_channels / p->groups * fc_taps(p);
    const double outs = (double)(p->out_channels / p->groups), lanes = (double)fc_round_up(columns, kernels->lanes);
    const double pixels = (double)fc_volume(p->out_size), vectors = 16.0 / kernels->lanes;
    const double chunks = (double)(p->out_size[0] * fc_divide_up(p->out_size[1] * p->out_size[2], DEPTH));
    const double moved = pixels / (double)p->out_size[2] * (double)fc_round_up(p->out_size[2], kernels->lanes) * lanes;
    return pixels * lanes * outs / rate * (fc_taps(p) == 1 ? 1.2 : 1.08) +
           (moved * (fc_taps(p) == 1 ? 0.3 : 0.5) + chunks * (double)columns * outs * 0.25 + 300) * vectors;
}

/* Whether the planes of all images are packed before. */
static int at_once_of(const fc_conv *p, const fc_isa *isa)
{
    return !is_unpadded(p) && fc_plane_at_once(p, FC_WEIGHT_GRADIENT, isa) &&
           p->batch * fc_plane_image_bytes(p, FC_WEIGHT_GRADIENT, isa) <= FC_COPY_BYTES;
}

static job make_job(const fc_plan *plan, const fc_operands *operands)
{
    job j = {.plan = *plan, .operands = operands, .kernels = plan->isa->kernels[plan->problem.dtype]};
    j.plan.problem = flattened(&plan->problem);
    const fc_conv *p = &j.plan.problem;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype);
    fc_tensor_strides(p->layout, p->in_channels, p->in_size, j.in);
    fc_tensor_strides(p->layout, p->out_channels, p->out_size, j.out);
    j.ins = p->in_channels / p->groups;
    j.outs = p->out_channels / p->groups;
    j.taps = fc_taps(p);
    j.in_place = is_unpadded(p);
    j.channel_blocks = channel_blocks_of(p);
    j.together = fc_divide_up(j.ins, j.channel_blocks);
    j.plane = fc_plane_make(&j.plan, 1, PLANES_BYTES / fc_larger(j.together, TOGETHER / 4));
    j.units = p->batch * fc_plane_blocks(&j.plane);
    j.slices = slices_of(p, j.units);
    j.part = (size_t)(p->out_channels * j.ins * j.taps * element);
    j.offsets_bytes = fc_whole_lines((2 + j.together) * j.taps * (int64_t)sizeof(int64_t)) +
                      fc_whole_lines((int64_t)sizeof(fc_plane_sum));
    j.at_once = j.plane.across == 1 && at_once_of(p, plan->isa);
    j.packed = j.at_once ? fc_plane_whole(&j.plane) : j.plane;
    j.images_bytes = j.at_once ? fc_whole_lines(p->batch * p->in_channels * j.packed.elements * element) : 0;
    j.planes_bytes = j.in_place || j.at_once ? 0 : fc_whole_lines(j.together * j.plane.elements * element);
    const double rate = fc_multiply_adds_per_ns(plan->isa, p->dtype);
    j.transposes = transposed_cost(p, j.kernels, rate) < dots_cost(p, j.kernels, rate);
    j.thread_bytes = j.planes_bytes;
    if (j.transposes)
        j.thread_bytes += fc_whole_lines(DEPTH * j.kernels->tile_vectors * j.kernels->lanes * element);
    return j;
}

static size_t parts_bytes(const job *j) { return j->slices > 1 ? fc_whole_lines(j->slices * (int64_t)j->part) : 0; }

/* The products of a block, panel by panel: so many pixels at a time as lie one behind the other in dy. */
static void multiply_transposed(const job *j, const fc_dots *dots, char *room)
{
    const int64_t element = (int64_t)fc_element_bytes(j->plan.problem.dtype), lanes = j->kernels->lanes;
    const int whole_rows = dots->depth == dots->a_line && dots->depth <= DEPTH;
    const int64_t lines = whole_rows ? DEPTH / dots->depth : 1, width = fc_smaller(dots->depth, DEPTH);
    const int64_t panels = fc_panel_count(j->kernels, dots->columns);
    for (int64_t y = 0; y < dots->lines; y += lines)
        for (int64_t x = 0; x < dots->depth; x += width) {
            const int64_t rows = fc_smaller(lines, dots->lines - y), columns = fc_smaller(width, dots->depth - x);
            const char *a = (const char *)dots->a + (y * dots->a_line + x) * element;
            const char *b = (const char *)dots->b + (y * dots->b_line + x) * element;
            for (int64_t q = 0; q < panels; q++) {
                const int64_t n0 = fc_panel_first(j->kernels, dots->columns, q);
                const int64_t n1 = fc_panel_first(j->kernels, dots->columns, q + 1), pitch = fc_round_up(n1 - n0, lanes);
                for (int64_t i = 0; i < rows; i++)
                    j->kernels->transpose_places(n1 - n0, columns, b + i * dots->b_line * element, dots->b_rows + n0,
                                                 room + i * columns * pitch * element, pitch);
                const fc_panel panel = {.rows = dots->rows, .columns = n1 - n0, .depth = rows * columns, .a = a,
                                        .a_row = dots->a_row, .a_depth = 1, .b = room, .b_depth = pitch,
                                        .c = (char *)dots->c + n0 * element, .c_row = dots->c_row,
                                        .accumulate = dots->accumulate || y > 0 || x > 0, .low = -INFINITY, .high = INFINITY};
                j->kernels->gemm(&panel);
            }
        }
}

static void task(void *context, int64_t task, int thread)
{
    const job *j = context;
    const fc_conv *p = &j->plan.problem;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype), blocks = fc_plane_blocks(&j->plane), slice = task % j->slices;
    const int64_t channel_block = task / j->slices % j->channel_blocks, group = task / (j->slices * j->channel_blocks);
    const int64_t channel = j->ins * channel_block / j->channel_blocks;
    const int64_t channels = j->ins * (channel_block + 1) / j->channel_blocks - channel;
    const int64_t first_unit = j->units * slice / j->slices, last_unit = j->units * (slice + 1) / j->slices;
    char *planes = j->workspace + (size_t)thread * j->thread_bytes;
    fc_dots dots = {.rows = j->outs, .columns = channels * j->taps, .a_row = j->out[1], .a_line = j->out[3], .b = planes,
                    .b_line = j->in_place ? j->in[3] : j->packed.length[2], .b_rows = j->offsets, .c_row = j->ins * j->taps,
                    .c_column = 1};
    dots.c = j->parts + slice * (int64_t)j->part + (group * j->outs * j->ins + channel) * j->taps * element;
    for (int64_t unit = first_unit; unit < last_unit; unit++) {
        const int64_t image = unit / blocks;
        const fc_plane_block block = fc_plane_block_at(&j->plane, unit % blocks);
        const int64_t first[3] = {block.z, block.y0, block.x0};
        const char *source = (const char *)j->operands->input +
                             (image * j->in[0] + (group * j->ins + channel) * j->in[1]) * element;
        for (int64_t c = 0; c < channels && !j->in_place && !j->at_once; c++)
            j->kernels->pack_plane(&j->plane.window, first, j->plane.length, j->plane.phase_cells, source + c * j->in[1] * element,
                                   planes + c * j->plane.elements * element);
        if (j->in_place)
            dots.b = source + (block.z * j->in[2] + block.y0 * j->in[3] + block.x0) * element;
        if (j->at_once)
            dots.b = j->image_planes + ((image * p->in_channels + group * j->ins + channel) * j->packed.elements +
                                        fc_plane_place(&j->packed, &block)) * element;
        dots.a = (const char *)j->operands->output + (image * j->out[0] + group * j->outs * j->out[1] + block.z * j->out[2] +
                                                      block.y0 * j->out[3] + block.x0) * element;
        dots.lines = block.y1 - block.y0;
        dots.depth = block.x1 - block.x0;
        dots.accumulate = unit > first_unit;
        if (j->transposes)
            multiply_transposed(j, &dots, planes + j->planes_bytes);
        else
            j->kernels->dots(&dots);
    }
}

/* Planes, packed. */
double fc_shifted_weight_cost(const fc_conv *problem, const fc_isa *isa)
{
    const fc_conv p = flattened(problem);
    const fc_kernels *kernels = isa->kernels[p.dtype];
    const double ins = (double)(p.in_channels / p.groups), images = (double)p.batch * (double)p.groups;
    const double packed = is_unpadded(&p) ? 0 : ins * fc_plane_packing(&p, FC_WEIGHT_GRADIENT, at_once_of(&p, isa));
    const double dots = dots_cost(&p, kernels, fc_multiply_adds_per_ns(isa, p.dtype));
    const double transposed = transposed_cost(&p, kernels, fc_multiply_adds_per_ns(isa, p.dtype));
    const int64_t slices = slices_of(&p, p.batch * p.out_size[0]); /* a unit each, at least */
    const double reduced = slices > 1 ? (double)(slices * p.out_channels) * ins * (double)fc_taps(&p) * 0.2 : 0;
    return 10000 + images * (packed + ins * 20 + (dots < transposed ? dots : transposed)) + reduced;
}

size_t fc_shifted_weight_workspace(const fc_plan *plan, int threads)
{
    const job j = make_job(plan, NULL);
    return j.offsets_bytes + parts_bytes(&j) + j.images_bytes + j.thread_bytes * (size_t)threads;
}

void fc_shifted_weight_run(const fc_plan *plan, const fc_operands *operands, void *workspace, int threads)
{
    job j = make_job(plan, operands);
    const fc_conv *p = &j.plan.problem;
    fc_plane_sum *sum = workspace;
    int64_t *room = (int64_t *)((char *)workspace + fc_whole_lines((int64_t)sizeof *sum)), *offsets = room + 2 * j.taps;
    fc_plane_list(&j.plan, &j.packed, sum, room);
    j.offsets = offsets;
    for (int64_t c = 0; c < j.together; c++)
        for (int64_t t = 0; t < j.taps; t++) {
            const int64_t z = t / (p->kernel[1] * p->kernel[2]), y = t / p->kernel[2] % p->kernel[1], x = t % p->kernel[2];
            *offsets++ = j.in_place ? c * j.in[1] + z * p->dilation[0] * j.in[2] + y * p->dilation[1] * j.in[3] + x * p->dilation[2]
                                    : c * j.packed.elements + sum->offsets[t];
        }
    char *parts = (char *)workspace + j.offsets_bytes;
    j.parts = j.slices > 1 ? parts : operands->weight;
    j.image_planes = parts + parts_bytes(&j);
    j.workspace = j.image_planes + j.images_bytes;
    if (j.at_once)
        fc_plane_pack_all(&j.plan, &j.packed, operands->input, j.in[1], p->batch * p->in_channels, j.image_planes, threads);
    fc_parallel_for(p->groups * j.channel_blocks * j.slices, threads, task, &j);
    const int64_t count = p->out_channels * j.ins * j.taps;
    if (j.slices > 1)
        j.kernels->reduce(j.slices, count, j.parts, count, 1, 0, operands->weight);
}
