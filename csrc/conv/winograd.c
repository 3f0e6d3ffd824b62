/* Winograd's convolution: fewer multiplications for more additions (Lavin and Gray, CVPR 2016).
 *
 *     Y = A' [ (G g G') * (B' d B) ] A         of each tile of d, points x points, for each pair of channels
 *
 * The products of a point are a matrix product over channels, and all points together cost points^2 multiplications a tile
 * where its outputs x outputs sums would cost taps^2 each:
 *
 *                 points  taps  outputs    fewer multiplications
 *     winograd4   4       3     2          2.25 (1.5 along one dimension)
 *     winograd6   6       3     4          4    (2)
 *                 6       5     2          2.8  (1.7)
 *     winograd8   8       7     2               (1.75: along two dimensions it errs too much)
 *
 *     input, a block of tiles        V[point][tile][in channel]
 *       cells -> rows of points ->         x  U[point][in channel][out channel]     panels, packed beforehand
 *                                    M[point][tile][out channel] -> cells -> output, with bias, addend and activation
 *
 * Channels are the lanes throughout, whatever the layout: cells are pixels of a vector of channels, transposed in registers on
 * the way from and to channels first.  A task is a block of tiles and a range of output channels; where tiles are few, threads
 * share the channels and each transforms the input for itself, so that none waits for what another has just written.
 *
 * Sums go by blocks of CHANNEL_BLOCK channels, which halves their error.  A transform spreads a NaN over its tile, and may
 * overflow where the sum would not: an image with an output that is not finite is computed again, by im2col. */
#include "winograd.h"

#include "../gemm.h"
#include "../parallel.h"

#include <math.h>
#include <string.h>

extern const fc_algo fc_algo_im2col, fc_algo_winograd4, fc_algo_winograd6;

enum {
    CHANNEL_BLOCK = 128,
    LEAST_CHANNELS = 8,   /* of more than four points: with fewer they err more than three times as much as a plain sum */
    TILES = 42,           /* of a block, at most: V and M of more leave the cache */
    M_BYTES = 400000,     /* of M at once */
    U_BYTES = 24 << 20,   /* of U that stay in the cache between calls; of so many more nothing does */
    U_BEYOND = 40 << 20,
    PANEL_ROWS = 4,       /* reading a panel of U costs as much as multiplying it with so many tiles */
    INPUT_COLUMNS = 10,   /* transforming a tile costs as much as multiplying it with so many columns */
};

/* How a pass looks from the tiles' side: forward from input to output, an input gradient the other way, its kernel turned. */
typedef struct {
    fc_tiling tiling;
    int64_t ins, outs; /* channels of a group, as the tiles see them */
} shape;

static const char *supports(const fc_conv *problem, int points, const char *needs)
{
    if (problem->kernel[0] != 1 || problem->in_size[0] != 1 || problem->out_size[0] != 1)
        return "needs one or two dimensions";
    for (int d = 1; d < 3; d++) {
        const int64_t kernel = problem->kernel[d];
        const int64_t outputs = points - kernel + 1; /* of a tile: 2, or 4 of six points */
        if (problem->stride[d] != 1 || (kernel != 1 && outputs != 2 && (points != 6 || outputs != 4)))
            return needs;
    }
    const int flat = problem->kernel[1] == 1 || problem->kernel[2] == 1;
    return fc_taps(problem) == 1 || (points == 8 && !flat) ? needs : NULL;
}

static int points_of(const fc_plan *plan)
{
    return plan->algorithm == &fc_algo_winograd4 ? 4 : plan->algorithm == &fc_algo_winograd6 ? 6 : 8;
}

static shape describe(const fc_conv *problem, fc_pass pass, int points)
{
    const int forward = pass == FC_FORWARD;
    const int64_t ins = problem->in_channels / problem->groups, outs = problem->out_channels / problem->groups;
    return (shape){fc_tile(problem, points, forward ? problem->out_size : problem->in_size), forward ? ins : outs,
                   forward ? outs : ins};
}

static shape shape_of(const fc_plan *plan) { return describe(&plan->problem, plan->pass, points_of(plan)); }

static int64_t all_points(const fc_tiling *t) { return t->points[0] * t->points[1]; }

/* The products, and what is transformed at each point.  INFINITY where the error would be too large: only by name. */
static double cost(const fc_conv *problem, fc_pass pass, const fc_isa *isa, int points)
{
    const fc_kernels *kernels = isa->kernels[problem->dtype];
    if (pass == FC_WEIGHT_GRADIENT)
        return fc_winograd_weight_cost(problem, isa, points);
    const shape s = describe(problem, pass, points);
    const fc_tiling *t = &s.tiling;
    const double ins = (double)fc_round_up(s.ins, kernels->lanes), outs = (double)fc_round_up(s.outs, kernels->lanes);
    const double tiles = (double)(problem->batch * t->bands * t->dilation[0]) * (double)(t->spans * t->dilation[1]);
    const double products = (double)(problem->groups * all_points(t));
    const double vectors = 16.0 / kernels->lanes; /* to transform */
    /* U, from the cache or from memory; of gradients it is made of a new weight at each step */
    const double bytes = products * (double)s.ins * outs * (double)fc_element_bytes(problem->dtype);
    const double lost = fmin(1, fmax(0, (bytes - U_BYTES) / U_BEYOND));
    const double weight = pass != FC_FORWARD ? 0.4 : 0.04 + 0.2 * lost;
    if (points > 4 && s.ins < LEAST_CHANNELS)
        return INFINITY;
    const double narrow = outs / kernels->lanes / (double)fc_panel_count(kernels, s.outs); /* vectors of a panel */
    const double multiply = tiles * (double)s.ins * outs / fc_multiply_adds_per_ns(isa, problem->dtype);
    return 4000 + products * (40 + tiles * 2 + multiply * (0.93 + 0.2 / (narrow * narrow)) +
                              (tiles * (ins * 0.18 + outs * 0.2) + ins * outs * weight) * vectors);
}

/* ---- the weight ---- */

static size_t elements_of_u(const fc_plan *plan)
{
    const shape s = shape_of(plan);
    const int64_t lanes = plan->isa->kernels[plan->problem.dtype]->lanes;
    return (size_t)(plan->problem.groups * all_points(&s.tiling) * s.ins * fc_round_up(s.outs, lanes));
}

static size_t packed(const fc_plan *plan)
{
    return plan->pass == FC_WEIGHT_GRADIENT ? 0 : elements_of_u(plan) * fc_element_bytes(plan->problem.dtype);
}

typedef struct {
    const fc_plan *plan;
    shape s;
    const char *weight;
    char *u;
    int64_t panels, parts;
} pack_job;

enum { MOST_TAPS = FC_MOST_POINTS - 1, MOST_CHANNELS = 8, ROOM_BYTES = 32 << 10 };

/* A panel's channels, a few at a time: taps [tap][in][lane], rows of points, points. */
static void pack_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const pack_job *job = context;
    const fc_conv *p = &job->plan->problem;
    const shape *s = &job->s;
    const fc_tiling *t = &s->tiling;
    const fc_kernels *kernels = job->plan->isa->kernels[p->dtype];
    const int forward = job->plan->pass == FC_FORWARD;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype), lanes = kernels->lanes;
    const int64_t panel = task % job->panels, part = task / job->panels % job->parts, group = task / (job->panels * job->parts);
    const int64_t first = fc_panel_first(kernels, s->outs, panel), last = fc_panel_first(kernels, s->outs, panel + 1);
    const int64_t width = fc_round_up(last - first, lanes), taps = t->taps[0] * t->taps[1];
    const int64_t ins = p->in_channels / p->groups, outs = p->out_channels / p->groups;
    const int64_t in_stride = forward ? taps : ins * taps, out_stride = forward ? ins * taps : taps;
    const int64_t point = s->ins * fc_round_up(s->outs, lanes);
    char weights[ROOM_BYTES], rows[ROOM_BYTES];
    const int64_t together = fc_smaller(MOST_CHANNELS, ROOM_BYTES / (t->points[0] * t->taps[1] * width * element));
    int64_t tap[MOST_TAPS * MOST_TAPS];
    for (int64_t i = 0; i < taps; i++)
        tap[i] = i;
    const char *weight = job->weight + group * outs * ins * taps * element;
    char *u = job->u + (group * t->points[0] * t->points[1] * point + first * s->ins) * element;
    const int64_t begin = s->ins * part / job->parts, end = s->ins * (part + 1) / job->parts;
    for (int64_t c = begin; c < end; c += together) {
        const int64_t count = fc_smaller(together, end - c), cells = count * width;
        kernels->pack_weight_lanes(weight + c * in_stride * element, out_stride, count, in_stride, tap, taps, first, last, weights,
                                   width);
        for (int64_t x = 0; x < t->taps[1]; x++) {
            const int64_t tap0 = forward ? x : taps - 1 - x; /* a gradient turns the kernel */
            kernels->winograd_evaluate(t->points[0], t->taps[0], cells / lanes, weights + tap0 * cells * element,
                                       (forward ? cells : -cells) * t->taps[1], lanes, rows + x * cells * element,
                                       t->taps[1] * cells, lanes);
        }
        for (int64_t y = 0; y < t->points[0]; y++)
            kernels->winograd_evaluate(t->points[1], t->taps[1], cells / lanes, rows + y * t->taps[1] * cells * element, cells,
                                       lanes, u + (y * t->points[1] * point + c * width) * element, point, lanes);
    }
}

static void pack(const fc_plan *plan, const void *weight, void *packed, int threads)
{
    pack_job job = {plan, shape_of(plan), weight, packed, 0, 0};
    job.panels = fc_panel_count(plan->isa->kernels[plan->problem.dtype], job.s.outs);
    job.parts = fc_divide_up(job.s.ins, 4 * MOST_CHANNELS);
    fc_parallel_for(plan->problem.groups * job.panels * job.parts, threads, pack_task, &job);
}

/* ---- blocks of tiles ---- */

typedef struct {
    const fc_plan *plan;
    const fc_operands *operands;
    shape s;
    const fc_kernels *kernels;
    fc_tiled from, to;                /* of the first group */
    int64_t band_blocks, span_blocks; /* of all images' bands; of an image's spans */
    int64_t panels, panel_blocks, panels_together;
    int64_t tiles;                    /* of the largest block */
    int64_t v_pitch, v_point, m_pitch, m_point;
    size_t thread_bytes;
    char *workspace;
    unsigned char *spoilt;            /* [batch]: an output that is not finite */
} job;

/* Blocks of about TILES tiles, as many as keep every thread busy; where they are too few, each in ranges of channels. */
static void cut(job *j, int64_t all_bands, int threads)
{
    const fc_tiling *t = &j->s.tiling;
    const int64_t interleaved = t->dilation[0] * t->dilation[1], panel = j->kernels->tile_vectors * j->kernels->lanes;
    j->span_blocks = fc_smaller(t->spans, fc_divide_up(t->spans * interleaved, TILES));
    const int64_t span_tiles = fc_divide_up(t->spans, j->span_blocks) * interleaved;
    const int64_t fewest = fc_divide_up(all_bands, fc_larger(1, TILES / span_tiles));
    double best = INFINITY;
    for (int64_t band_blocks = fewest; band_blocks < fc_smaller(all_bands + 1, fewest + threads); band_blocks++)
        for (int64_t panel_blocks = 1; panel_blocks <= fc_smaller(j->panels, 2 * threads); panel_blocks++) {
            const int64_t blocks = j->plan->problem.groups * band_blocks * j->span_blocks * panel_blocks;
            const double tiles = (double)(all_bands * span_tiles) / (double)band_blocks;
            const double columns = (double)(j->panels * panel) / (double)panel_blocks;
            const double work = (tiles + PANEL_ROWS) * columns + tiles * INPUT_COLUMNS;
            const double time = (double)fc_divide_up(blocks, threads) * work;
            if (time < best) {
                best = time;
                j->band_blocks = band_blocks;
                j->panel_blocks = panel_blocks;
                j->tiles = fc_divide_up(all_bands, band_blocks) * span_tiles;
            }
        }
}

static job make_job(const fc_plan *plan, const fc_operands *operands, int threads)
{
    const fc_conv *p = &plan->problem;
    const int forward = plan->pass == FC_FORWARD;
    job j = {.plan = plan, .operands = operands, .s = shape_of(plan), .kernels = plan->isa->kernels[p->dtype]};
    const fc_tiling *t = &j.s.tiling;
    const fc_tiled input = fc_tiled_tensor(plan, p->in_channels, p->in_size, operands ? operands->input : NULL);
    const fc_tiled output = fc_tiled_tensor(plan, p->out_channels, p->out_size, operands ? operands->output : NULL);
    j.from = forward ? input : output;
    j.to = forward ? output : input;
    for (int i = 0; i < 2; i++)
        j.from.origin[i] = forward ? -p->padding[i + 1] : p->padding[i + 1] - (t->taps[i] - 1) * t->dilation[i];
    const int64_t lanes = j.kernels->lanes, element = (int64_t)fc_element_bytes(p->dtype), all_bands = p->batch * t->bands;
    j.panels = fc_panel_count(j.kernels, j.s.outs);
    cut(&j, all_bands, threads);
    const int64_t points = all_points(t), panel = j.kernels->tile_vectors * lanes;
    j.v_pitch = fc_apart(j.s.ins, lanes);
    j.v_point = fc_apart(j.tiles * j.v_pitch, lanes);
    j.panels_together = fc_larger(1, fc_smaller(fc_divide_up(j.panels, j.panel_blocks),
                                                M_BYTES / (points * j.tiles * panel * element)));
    j.m_pitch = fc_apart(fc_smaller(j.panels_together * panel, fc_round_up(j.s.outs, lanes)), lanes);
    j.m_point = fc_apart(j.tiles * j.m_pitch, lanes);
    const int64_t room = fc_tile_room(t, j.kernels, fc_divide_up(all_bands, j.band_blocks), fc_divide_up(t->spans, j.span_blocks));
    j.thread_bytes = (size_t)fc_round_up((points * (j.v_point + j.m_point) + room) * element, 4096);
    return j;
}

static void multiply(const job *j, int64_t group, int64_t tiles, int64_t first_panel, int64_t last_panel, const char *v, char *m)
{
    const shape *s = &j->s;
    const int64_t element = (int64_t)fc_element_bytes(j->plan->problem.dtype), lanes = j->kernels->lanes;
    const int64_t points = all_points(&s->tiling), all = s->ins * fc_round_up(s->outs, lanes);
    const int64_t chunks = fc_divide_up(s->ins, CHANNEL_BLOCK), first = fc_panel_first(j->kernels, s->outs, first_panel);
    for (int64_t point = 0; point < points; point++)
        for (int64_t q = first_panel; q < last_panel; q++) {
            const int64_t n0 = fc_panel_first(j->kernels, s->outs, q), n1 = fc_panel_first(j->kernels, s->outs, q + 1);
            const int64_t width = fc_round_up(n1 - n0, lanes);
            const char *u = (const char *)j->operands->packed + ((group * points + point) * all + n0 * s->ins) * element;
            for (int64_t chunk = 0; chunk < chunks; chunk++) {
                const int64_t k0 = s->ins * chunk / chunks, k1 = s->ins * (chunk + 1) / chunks;
                const fc_panel panel = {.rows = tiles, .columns = width, .depth = k1 - k0,
                                        .a = v + (point * j->v_point + k0) * element, .a_row = j->v_pitch, .a_depth = 1,
                                        .b = u + k0 * width * element, .b_depth = width, .next = u + k1 * width * element,
                                        .c = m + (point * j->m_point + n0 - first) * element, .c_row = j->m_pitch,
                                        .accumulate = chunk > 0, .low = -INFINITY, .high = INFINITY};
                j->kernels->gemm(&panel);
            }
        }
}

static void task(void *context, int64_t task, int thread)
{
    const job *j = context;
    const fc_operands *operands = j->operands;
    const shape *s = &j->s;
    const fc_tiling *t = &s->tiling;
    const int64_t element = (int64_t)fc_element_bytes(j->plan->problem.dtype), points = all_points(t);
    /* panels outermost: what a thread reads of U stays in its cache from block to block */
    const int64_t blocks = j->plan->problem.groups * j->band_blocks * j->span_blocks, part = task / blocks, index = task % blocks;
    const int64_t span_block = index % j->span_blocks, band_block = index / j->span_blocks % j->band_blocks;
    const int64_t group = index / (j->span_blocks * j->band_blocks), all_bands = j->plan->problem.batch * t->bands;
    fc_tile_block b = {all_bands * band_block / j->band_blocks, all_bands * (band_block + 1) / j->band_blocks,
                       t->spans * span_block / j->span_blocks, 0};
    b.spans = t->spans * (span_block + 1) / j->span_blocks - b.first_span;
    char *v = j->workspace + (size_t)thread * j->thread_bytes, *m = v + points * j->v_point * element;
    char *room = m + points * j->m_point * element;
    fc_tiled from = j->from, to = j->to;
    from.channels = s->ins;
    from.data += group * s->ins * from.channel_stride * element;
    fc_tiles_to_points(t, &from, &b, 0, v, j->v_point, j->v_pitch, room);
    const int64_t last = j->panels * (part + 1) / j->panel_blocks;
    for (int64_t q = j->panels * part / j->panel_blocks; q < last; q += j->panels_together) {
        const int64_t end = fc_smaller(last, q + j->panels_together);
        const int64_t first_channel = fc_panel_first(j->kernels, s->outs, q), channel = group * s->outs + first_channel;
        multiply(j, group, fc_block_tiles(t, &b), q, end, v, m);
        to.channels = fc_panel_first(j->kernels, s->outs, end) - first_channel;
        const int64_t place = channel * to.channel_stride * element;
        to.data = j->to.data + place;
        fc_points_to_tiles(t, &to, &b, m, j->m_point, j->m_pitch,
                           operands->bias ? (const char *)operands->bias + channel * element : NULL,
                           operands->addend ? (const char *)operands->addend + place : NULL, operands->activation, j->spoilt, room);
    }
}

/* ---- images whose outputs are not all finite ---- */

static fc_plan direct_plan(const fc_plan *plan)
{
    fc_plan one = *plan;
    one.given.batch = one.problem.batch = 1;
    one.algorithm = &fc_algo_im2col;
    one.packed_bytes = one.algorithm->packed(&one);
    return one;
}

static size_t workspace(const fc_plan *plan, int threads)
{
    if (plan->pass == FC_WEIGHT_GRADIENT)
        return fc_winograd_weight_workspace(plan, points_of(plan), threads);
    const job j = make_job(plan, NULL, threads);
    const fc_plan one = direct_plan(plan);
    const size_t again = (size_t)fc_round_up((int64_t)one.packed_bytes, 128) + one.algorithm->workspace(&one, threads);
    const size_t own = j.thread_bytes * (size_t)threads;
    return (size_t)fc_round_up(plan->problem.batch, 128) + (own > again ? own : again);
}

static void run(const fc_plan *plan, const fc_operands *operands, void *workspace, int threads)
{
    if (plan->pass == FC_WEIGHT_GRADIENT) {
        fc_winograd_weight_run(plan, points_of(plan), operands, workspace, threads);
        return;
    }
    const fc_conv *p = &plan->problem;
    job j = make_job(plan, operands, threads);
    j.spoilt = workspace;
    j.workspace = (char *)workspace + fc_round_up(p->batch, 128);
    memset(j.spoilt, 0, (size_t)p->batch);
    fc_parallel_for(p->groups * j.band_blocks * j.span_blocks * j.panel_blocks, threads, task, &j);

    fc_plan one = {.packed_bytes = 0};
    for (int64_t image = 0; image < p->batch; image++) {
        if (!j.spoilt[image])
            continue;
        fc_operands its = *operands;
        if (!one.algorithm) {
            one = direct_plan(plan);
            if (one.packed_bytes)
                one.algorithm->pack(&one, operands->weight, j.workspace, threads);
        }
        const int64_t element = (int64_t)fc_element_bytes(p->dtype);
        its.packed = one.packed_bytes ? j.workspace : NULL;
        its.input = (char *)operands->input + image * p->in_channels * fc_volume(p->in_size) * element;
        const int64_t place = image * p->out_channels * fc_volume(p->out_size) * element;
        its.output = (char *)operands->output + place;
        its.addend = operands->addend ? (const char *)operands->addend + place : NULL;
        fc_algorithm_run(&one, &its, j.workspace + fc_round_up((int64_t)one.packed_bytes, 128), threads);
    }
}

static const char *supports_4(const fc_conv *problem, fc_pass pass)
{
    (void)pass;
    return supports(problem, 4, "needs stride 1 and a kernel of 3, or 1 along one dimension");
}
static const char *supports_6(const fc_conv *problem, fc_pass pass)
{
    (void)pass;
    return supports(problem, 6, "needs stride 1 and a kernel of 3 or 5, or 1 along one dimension");
}
static const char *supports_8(const fc_conv *problem, fc_pass pass)
{
    (void)pass;
    return supports(problem, 8, "needs stride 1 and a kernel of 7 along one dimension, 1 along the other");
}
static double cost_4(const fc_conv *problem, fc_pass pass, const fc_isa *isa) { return cost(problem, pass, isa, 4); }
static double cost_6(const fc_conv *problem, fc_pass pass, const fc_isa *isa) { return cost(problem, pass, isa, 6); }
static double cost_8(const fc_conv *problem, fc_pass pass, const fc_isa *isa) { return cost(problem, pass, isa, 8); }

const fc_algo fc_algo_winograd4 = {.name = "winograd4", .supports = supports_4, .cost = cost_4, .packed = packed, .pack = pack,
                                   .workspace = workspace, .run = run, .adds = 1};
const fc_algo fc_algo_winograd6 = {.name = "winograd6", .supports = supports_6, .cost = cost_6, .packed = packed, .pack = pack,
                                   .workspace = workspace, .run = run, .adds = 1};
const fc_algo fc_algo_winograd8 = {.name = "winograd8", .supports = supports_8, .cost = cost_8, .packed = packed, .pack = pack,
                                   .workspace = workspace, .run = run, .adds = 1};
