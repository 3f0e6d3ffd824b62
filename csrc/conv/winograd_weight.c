/* Winograd's weight gradient: the transposed algorithm, whose outputs are the taps.
 *
 *     dw = G' [ sum over tiles of (B' d B) * (A dy A') ] G
 *
 *     input, a block of tiles    V[point][tile][in]  \
 *                                                      S[point][panel of outs][in][lane] += V' Z,  then dw = G' S G
 *     its gradient               Z[point][tile][out] /
 *
 * The matrices are those of the forward pass, whose cells and tiles serve here too; a product of a point sums over tiles.  A
 * task takes a slice of the tiles and some panels: slices, blocks and thus the order of every sum follow from the problem;
 * the panels are shared out among the threads, each of which transforms the input for itself.
 *
 * A tile with NaN or infinity would spoil all taps: a gradient that is not finite is computed again, by im2col. */
#include "winograd.h"

#include "../gemm.h"
#include "../parallel.h"

#include <math.h>

extern const fc_algo fc_algo_im2col;

enum {
    LEAST_TILES = 32,       /* of a block, and */
    MOST_TILES = 192,       /* S is read and written once a block: as large as */
    BLOCK_BYTES = 12 << 20, /* of V and Z allow */
    SLICE_TILES = 256,      /* of a slice, at least */
    SLICES_BYTES = 4 << 20, /* of all S */
    MOST_SLICES = 8,
    FEW_TILES = 8,          /* fewer err more than three times as much as a plain sum, with more than four points */
    CHANNELS = 8,           /* of S taken back at once */
    INPUT_COLUMNS = 10,     /* transforming a tile costs as much as multiplying it with so many columns */
};

typedef struct {
    const fc_plan *plan;
    const fc_operands *operands;
    const fc_kernels *kernels;
    fc_tiling tiling;
    fc_tiled input, output;         /* of the first group */
    int64_t ins, outs;              /* of a group */
    int64_t points, taps;
    int64_t slices, panels, panel_blocks;
    int64_t bands, spans;           /* of a block, at most */
    int64_t v_pitch, v_point, z_pitch, z_point;
    int64_t s_point, s_group, s_slice;
    size_t sums_bytes, thread_bytes;
    char *sums, *workspace;
    int spoilt;
} job;

static int64_t tiles_of(const fc_conv *problem, const fc_tiling *t)
{
    return problem->batch * t->bands * t->dilation[0] * t->spans * t->dilation[1];
}

static int64_t block_tiles(int64_t points, int64_t channels, int64_t element)
{
    return fc_smaller(MOST_TILES, fc_larger(LEAST_TILES, BLOCK_BYTES / (points * channels * element)));
}

/* The products, what is transformed at each point, and S: read and written for each block, and taken back. */
double fc_winograd_weight_cost(const fc_conv *problem, const fc_isa *isa, int points)
{
    const fc_kernels *kernels = isa->kernels[problem->dtype];
    const fc_tiling t = fc_tile(problem, points, problem->out_size);
    const double ins = (double)fc_round_up(problem->in_channels / problem->groups, kernels->lanes);
    const double outs = (double)fc_round_up(problem->out_channels / problem->groups, kernels->lanes);
    const double tiles = (double)tiles_of(problem, &t), products = (double)(problem->groups * t.points[0] * t.points[1]);
    const int64_t block = block_tiles(t.points[0] * t.points[1], (int64_t)(ins + outs), (int64_t)fc_element_bytes(problem->dtype));
    const double vectors = 16.0 / kernels->lanes;
    if (points > 4 && tiles < FEW_TILES)
        return INFINITY;
    const double pixels = (double)problem->batch * (double)problem->groups * (double)fc_volume(problem->out_size); /* into cells */
    return 6000 + pixels * (ins + outs) * 0.4 * vectors +
           products * (tiles * ins * outs / fc_multiply_adds_per_ns(isa, problem->dtype) * 1.05 +
                       (tiles * (ins + outs) * 0.2 + ins * outs * (0.55 + 0.1 * tiles / (double)block)) * vectors);
}

static job make_job(const fc_plan *plan, int points, const fc_operands *operands, int threads)
{
    const fc_conv *p = &plan->problem;
    job j = {.plan = plan, .operands = operands, .kernels = plan->isa->kernels[p->dtype],
             .tiling = fc_tile(p, points, p->out_size), .ins = p->in_channels / p->groups, .outs = p->out_channels / p->groups};
    const fc_tiling *t = &j.tiling;
    const int64_t lanes = j.kernels->lanes, element = (int64_t)fc_element_bytes(p->dtype);
    j.input = fc_tiled_tensor(plan, p->in_channels, p->in_size, operands ? operands->input : NULL);
    j.output = fc_tiled_tensor(plan, p->out_channels, p->out_size, operands ? operands->output : NULL);
    j.input.channels = j.ins;
    for (int i = 0; i < 2; i++)
        j.input.origin[i] = -p->padding[i + 1];
    j.points = t->points[0] * t->points[1];
    j.taps = t->taps[0] * t->taps[1];
    j.s_point = j.ins * fc_round_up(j.outs, lanes);
    j.s_group = j.points * j.s_point;
    j.s_slice = p->groups * j.s_group;

    const int64_t interleaved = t->dilation[0] * t->dilation[1], wanted = block_tiles(j.points, j.ins + j.outs, element);
    const int64_t tiles = tiles_of(p, t), all_bands = p->batch * t->bands;
    j.spans = fc_divide_up(t->spans, fc_smaller(t->spans, fc_divide_up(t->spans * interleaved, wanted)));
    j.bands = fc_smaller(all_bands, fc_larger(1, wanted / (j.spans * interleaved)));
    j.slices = fc_smaller(fc_smaller(MOST_SLICES, tiles / SLICE_TILES), SLICES_BYTES / (j.s_slice * element));
    j.slices = fc_larger(1, fc_smaller(j.slices, all_bands));
    j.panels = fc_panel_count(j.kernels, j.outs);
    double best = INFINITY;
    for (int64_t blocks = 1; blocks <= fc_smaller(j.panels, 2 * threads); blocks++) {
        const int64_t columns = fc_divide_up(j.panels, blocks) * j.kernels->tile_vectors * lanes;
        const double time = (double)(fc_divide_up(p->groups * j.slices * blocks, threads) * (columns + INPUT_COLUMNS));
        if (time < best) {
            best = time;
            j.panel_blocks = blocks;
        }
    }
    const int64_t most = j.bands * j.spans * interleaved, panel = j.kernels->tile_vectors * lanes;
    j.v_pitch = fc_apart(j.ins, lanes);
    j.z_pitch = fc_apart(fc_smaller(fc_divide_up(j.panels, j.panel_blocks) * panel, fc_round_up(j.outs, lanes)), lanes);
    j.v_point = fc_apart(most * j.v_pitch, lanes);
    j.z_point = fc_apart(most * j.z_pitch, lanes);
    const int64_t elements = j.points * (j.v_point + j.z_point) + fc_tile_room(t, j.kernels, j.bands, j.spans);
    const int64_t back = (t->taps[0] * t->points[1] + j.taps) * CHANNELS * panel;
    j.thread_bytes = (size_t)fc_round_up(fc_larger(elements, back) * element, 4096);
    j.sums_bytes = (size_t)fc_round_up(j.slices * j.s_slice * element, 4096);
    return j;
}

static void sum_task(void *context, int64_t task, int thread)
{
    const job *j = context;
    const fc_conv *p = &j->plan->problem;
    const fc_tiling *t = &j->tiling;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype), lanes = j->kernels->lanes, all_bands = p->batch * t->bands;
    const int64_t part = task % j->panel_blocks, slice = task / j->panel_blocks % j->slices;
    const int64_t group = task / (j->panel_blocks * j->slices);
    const int64_t p0 = j->panels * part / j->panel_blocks, p1 = j->panels * (part + 1) / j->panel_blocks;
    const int64_t first = fc_panel_first(j->kernels, j->outs, p0);
    char *v = j->workspace + (size_t)thread * j->thread_bytes, *z = v + j->points * j->v_point * element;
    char *room = z + j->points * j->z_point * element, *sums = j->sums + (slice * j->s_slice + group * j->s_group) * element;
    fc_tiled input = j->input, output = j->output;
    input.data += group * j->ins * input.channel_stride * element;
    output.data += (group * j->outs + first) * output.channel_stride * element;
    output.channels = fc_panel_first(j->kernels, j->outs, p1) - first;
    const int64_t end = all_bands * (slice + 1) / j->slices;
    int begun = 0;
    for (int64_t band = all_bands * slice / j->slices; band < end; band += j->bands)
        for (int64_t span = 0; span < t->spans; span += j->spans) {
            const fc_tile_block b = {band, fc_smaller(end, band + j->bands), span, fc_smaller(j->spans, t->spans - span)};
            fc_tiles_to_points(t, &input, &b, 0, v, j->v_point, j->v_pitch, room);
            fc_tiles_to_points(t, &output, &b, 1, z, j->z_point, j->z_pitch, room);
            for (int64_t point = 0; point < j->points; point++)
                for (int64_t q = p0; q < p1; q++) {
                    const int64_t n0 = fc_panel_first(j->kernels, j->outs, q), n1 = fc_panel_first(j->kernels, j->outs, q + 1);
                    const int64_t width = fc_round_up(n1 - n0, lanes);
                    const fc_panel panel = {.rows = j->ins, .columns = width, .depth = fc_block_tiles(t, &b),
                                            .a = v + point * j->v_point * element, .a_row = 1, .a_depth = j->v_pitch,
                                            .b = z + (point * j->z_point + n0 - first) * element, .b_depth = j->z_pitch,
                                            .c = sums + (point * j->s_point + n0 * j->ins) * element, .c_row = width,
                                            .accumulate = begun, .low = -INFINITY, .high = INFINITY};
                    j->kernels->gemm(&panel);
                }
            begun = 1;
        }
}

/* Some channels of a panel: the slices' sum, taken back to taps, [lane's vector][in][tap][lane], and transposed. */
static void back_task(void *context, int64_t task, int thread)
{
    job *j = context;
    const fc_conv *p = &j->plan->problem;
    const fc_tiling *t = &j->tiling;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype), lanes = j->kernels->lanes;
    const int64_t parts = fc_divide_up(j->ins, CHANNELS), first = task % parts * CHANNELS, q = task / parts % j->panels;
    const int64_t group = task / (parts * j->panels), count = fc_smaller(CHANNELS, j->ins - first);
    const int64_t n0 = fc_panel_first(j->kernels, j->outs, q), n1 = fc_panel_first(j->kernels, j->outs, q + 1);
    const int64_t width = fc_round_up(n1 - n0, lanes), cells = count * width;
    char *sums = j->sums + (group * j->s_group + n0 * j->ins + first * width) * element;
    char *rows = j->workspace + (size_t)thread * j->thread_bytes, *taps = rows + t->taps[0] * t->points[1] * cells * element;
    for (int64_t point = 0; point < j->points && j->slices > 1; point++) {
        const void *of_slices[MOST_SLICES];
        for (int64_t slice = 0; slice < j->slices; slice++)
            of_slices[slice] = sums + (slice * j->s_slice + point * j->s_point) * element;
        j->kernels->sum_arrays(FC_IDENTITY, j->slices, of_slices, 0, cells, sums + point * j->s_point * element);
    }
    for (int64_t x = 0; x < t->points[1]; x++)
        j->kernels->winograd_interpolate(t->points[0], t->taps[0], cells / lanes, sums + x * j->s_point * element,
                                         t->points[1] * j->s_point, lanes, rows + x * cells * element, t->points[1] * cells, lanes);
    for (int64_t lane = 0; lane < width; lane += lanes) {
        char *vectors = taps + lane * count * j->taps * element;
        for (int64_t y = 0; y < t->taps[0]; y++)
            j->kernels->winograd_interpolate(t->points[1], t->taps[1], count, rows + (y * t->points[1] * cells + lane) * element,
                                             cells, width, vectors + y * t->taps[1] * lanes * element, lanes, j->taps * lanes);
        if (!j->kernels->all_finite(count * j->taps * lanes, vectors))
            __atomic_store_n(&j->spoilt, 1, __ATOMIC_RELAXED);
        const int64_t channel = group * j->outs + n0 + lane;
        j->kernels->transpose(count * j->taps, fc_smaller(lanes, n1 - n0 - lane), vectors, lanes,
                              (char *)j->operands->weight + (channel * j->ins + first) * j->taps * element, j->ins * j->taps);
    }
}

static fc_plan im2col_plan(const fc_plan *plan)
{
    fc_plan other = *plan;
    other.algorithm = &fc_algo_im2col;
    return other;
}

size_t fc_winograd_weight_workspace(const fc_plan *plan, int points, int threads)
{
    const job j = make_job(plan, points, NULL, threads);
    const fc_plan again = im2col_plan(plan);
    const size_t own = j.sums_bytes + j.thread_bytes * (size_t)threads, other = again.algorithm->workspace(&again, threads);
    return own > other ? own : other;
}

void fc_winograd_weight_run(const fc_plan *plan, int points, const fc_operands *operands, void *workspace, int threads)
{
    job j = make_job(plan, points, operands, threads);
    const int64_t groups = plan->problem.groups;
    j.sums = workspace;
    j.workspace = j.sums + j.sums_bytes;
    fc_parallel_for(groups * j.slices * j.panel_blocks, threads, sum_task, &j);
    fc_parallel_for(groups * j.panels * fc_divide_up(j.ins, CHANNELS), threads, back_task, &j);
    if (j.spoilt) {
        const fc_plan again = im2col_plan(plan);
        again.algorithm->run(&again, operands, workspace, threads);
    }
}
