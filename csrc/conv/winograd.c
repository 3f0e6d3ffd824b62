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
 *                                    M[point][tile][out channel] -> cells -> output, with bias and activation
 *
 * Channels are the lanes throughout, whatever the layout: cells are pixels of a vector of channels, transposed in registers on
 * the way from and to channels first.  A task is a block of tiles and a range of output channels; where tiles are few, threads
 * share the channels and each transforms the input for itself, so that none waits for what another has just written.
 *
 * Sums go by blocks of CHANNEL_BLOCK channels, which halves their error.  A transform spreads a NaN over its tile, and may
 * overflow where the sum would not: an image with an output that is not finite is computed again, by im2col. */
#include "../algorithm.h"
#include "../gemm.h"
#include "../parallel.h"

#include <math.h>
#include <string.h>

extern const fc_algo fc_algo_im2col, fc_algo_winograd4, fc_algo_winograd6;

enum {
    CHANNEL_BLOCK = 128,
    LEAST_CHANNELS = 8,   /* of more than four points: with fewer they err more than three times as much as a plain sum */
    TILES = 32,           /* of a block, at most: V and M of more leave the cache */
    M_BYTES = 400000,     /* of M at once */
    PANEL_ROWS = 4,       /* reading a panel of U costs as much as multiplying it with so many tiles */
    INPUT_COLUMNS = 10,   /* transforming a tile costs as much as multiplying it with so many columns */
};

/* How a pass looks from the tiles' side: forward from input to output, an input gradient the other way, its kernel turned. */
typedef struct {
    int points[2], outputs[2], taps[2]; /* of a tile's height and width; 1, 1, 1: not transformed */
    int64_t dilation[2], origin[2];     /* output o reads o + t * dilation + origin */
    int64_t from_size[2], to_size[2];
    int64_t ins, outs;                  /* channels of a group, as the tiles see them */
    int64_t tiles[2];                   /* of an image: tiles that lie dilation apart interleave */
} shape;

static const char *supports(const fc_conv *problem, fc_pass pass, int points, const char *needs)
{
    if (pass == FC_WEIGHT_GRADIENT)
        return "computes convolutions and the gradient of their input only";
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

static shape describe(const fc_conv *problem, fc_pass pass, int points)
{
    const int forward = pass == FC_FORWARD;
    const int64_t ins = problem->in_channels / problem->groups, outs = problem->out_channels / problem->groups;
    shape s = {.ins = forward ? ins : outs, .outs = forward ? outs : ins};
    for (int i = 0; i < 2; i++) {
        const int d = i + 1;
        s.taps[i] = (int)problem->kernel[d];
        s.points[i] = s.taps[i] == 1 ? 1 : points;
        s.outputs[i] = s.points[i] - s.taps[i] + 1;
        s.dilation[i] = s.taps[i] == 1 ? 1 : problem->dilation[d];
        s.from_size[i] = forward ? problem->in_size[d] : problem->out_size[d];
        s.to_size[i] = forward ? problem->out_size[d] : problem->in_size[d];
        s.origin[i] = forward ? -problem->padding[d] : problem->padding[d] - (s.taps[i] - 1) * s.dilation[i];
        s.tiles[i] = fc_divide_up(s.to_size[i], s.outputs[i] * s.dilation[i]) * s.dilation[i];
    }
    return s;
}

static shape shape_of(const fc_plan *plan)
{
    const int points = plan->algorithm == &fc_algo_winograd4 ? 4 : plan->algorithm == &fc_algo_winograd6 ? 6 : 8;
    return describe(&plan->problem, plan->pass, points);
}

/* The products, and what is transformed at each point.  INFINITY where the error would be too large: only by name. */
static double cost(const fc_conv *problem, fc_pass pass, const fc_isa *isa, int points)
{
    const fc_kernels *kernels = isa->kernels[problem->dtype];
    const shape s = describe(problem, pass, points);
    const double ins = (double)fc_round_up(s.ins, kernels->lanes), outs = (double)fc_round_up(s.outs, kernels->lanes);
    const double tiles = (double)problem->batch * (double)s.tiles[0] * (double)s.tiles[1];
    const double products = (double)problem->groups * s.points[0] * s.points[1];
    const double vectors = 16.0 / kernels->lanes; /* to transform */
    const double weight = pass == FC_FORWARD ? 0.05 : 0.4; /* the weights of gradients are new at each step */
    if (points > 4 && s.ins < LEAST_CHANNELS)
        return INFINITY;
    return 4000 + products * (tiles * (double)s.ins * outs / fc_multiply_adds_per_ns(isa, problem->dtype) +
                              (tiles * (ins * 0.18 + outs * 0.2) + ins * outs * weight) * vectors);
}

/* ---- the weight ---- */

static size_t elements_of_u(const fc_plan *plan)
{
    const shape s = shape_of(plan);
    const int64_t lanes = plan->isa->kernels[plan->problem.dtype]->lanes;
    return (size_t)(plan->problem.groups * s.points[0] * s.points[1] * s.ins * fc_round_up(s.outs, lanes));
}

static size_t packed(const fc_plan *plan) { return elements_of_u(plan) * fc_element_bytes(plan->problem.dtype); }

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
    const fc_kernels *kernels = job->plan->isa->kernels[p->dtype];
    const int forward = job->plan->pass == FC_FORWARD;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype), lanes = kernels->lanes;
    const int64_t panel = task % job->panels, part = task / job->panels % job->parts, group = task / (job->panels * job->parts);
    const int64_t first = fc_panel_first(kernels, s->outs, panel), last = fc_panel_first(kernels, s->outs, panel + 1);
    const int64_t width = fc_round_up(last - first, lanes), taps = s->taps[0] * s->taps[1];
    const int64_t ins = p->in_channels / p->groups, outs = p->out_channels / p->groups;
    const int64_t in_stride = forward ? taps : ins * taps, out_stride = forward ? ins * taps : taps;
    const int64_t point = s->ins * fc_round_up(s->outs, lanes);
    char weights[ROOM_BYTES], rows[ROOM_BYTES];
    const int64_t together = fc_smaller(MOST_CHANNELS, ROOM_BYTES / (s->points[0] * s->taps[1] * width * element));
    int64_t tap[MOST_TAPS * MOST_TAPS];
    for (int64_t t = 0; t < taps; t++)
        tap[t] = t;
    const char *weight = job->weight + group * outs * ins * taps * element;
    char *u = job->u + (group * s->points[0] * s->points[1] * point + first * s->ins) * element;
    const int64_t begin = s->ins * part / job->parts, end = s->ins * (part + 1) / job->parts;
    for (int64_t c = begin; c < end; c += together) {
        const int64_t count = fc_smaller(together, end - c), cells = count * width;
        kernels->pack_weight_lanes(weight + c * in_stride * element, out_stride, count, in_stride, tap, taps, first, last, weights,
                                   width);
        for (int64_t x = 0; x < s->taps[1]; x++) {
            const int64_t tap0 = forward ? x : taps - 1 - x; /* a gradient turns the kernel */
            kernels->winograd_weight(s->points[0], s->taps[0], cells / lanes, weights + tap0 * cells * element,
                                     (forward ? cells : -cells) * s->taps[1], lanes, rows + x * cells * element,
                                     s->taps[1] * cells, lanes);
        }
        for (int64_t y = 0; y < s->points[0]; y++)
            kernels->winograd_weight(s->points[1], s->taps[1], cells / lanes, rows + y * s->taps[1] * cells * element, cells, lanes,
                                     u + (y * s->points[1] * point + c * width) * element, point, lanes);
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
    int64_t bands, spans;             /* of an image: tiles that lie dilation apart, together, by rows and by columns */
    int64_t band_blocks, span_blocks; /* of all images' bands; of an image's spans */
    int64_t panels, panel_blocks, panels_together;
    int64_t tiles;                    /* of the largest block */
    int64_t v_pitch, v_point, m_pitch, m_point;
    int64_t cells, row_cells;         /* elements of the largest block's cells, and of a row of points of them */
    size_t thread_bytes;
    char *workspace;
    unsigned char *spoilt;            /* [batch]: an output that is not finite */
} job;

/* Not a multiple of 64 elements: rows a power of two apart would fall on the same lines of the cache. */
static int64_t apart(int64_t elements, int64_t lanes)
{
    elements = fc_round_up(elements, lanes);
    return elements % 64 ? elements : elements + lanes;
}

/* Blocks of about TILES tiles, as many as keep every thread busy; where they are too few, each in ranges of channels. */
static void cut(job *j, int64_t all_bands, int threads)
{
    const shape *s = &j->s;
    const int64_t interleaved = s->dilation[0] * s->dilation[1], panel = j->kernels->tile_vectors * j->kernels->lanes;
    j->span_blocks = fc_smaller(j->spans, fc_divide_up(j->spans * interleaved, TILES));
    const int64_t span_tiles = fc_divide_up(j->spans, j->span_blocks) * interleaved;
    const int64_t fewest = fc_divide_up(all_bands, fc_larger(1, TILES / span_tiles));
    double best = INFINITY;
    for (int64_t band_blocks = fewest; band_blocks < fc_smaller(all_bands + 1, fewest + threads); band_blocks++)
        for (int64_t panel_blocks = 1; panel_blocks <= fc_smaller(j->panels, 2 * threads); panel_blocks++) {
            const int64_t blocks = j->plan->problem.groups * band_blocks * j->span_blocks * panel_blocks;
            const int64_t tiles = fc_divide_up(all_bands, band_blocks) * span_tiles;
            const int64_t columns = fc_divide_up(j->panels, panel_blocks) * panel;
            const double work = (double)((tiles + PANEL_ROWS) * columns + tiles * INPUT_COLUMNS);
            const double time = (double)fc_divide_up(blocks, threads) * work;
            if (time < best) {
                best = time;
                j->band_blocks = band_blocks;
                j->panel_blocks = panel_blocks;
                j->tiles = tiles;
            }
        }
}

static job make_job(const fc_plan *plan, int threads)
{
    const fc_conv *p = &plan->problem;
    job j = {.plan = plan, .s = shape_of(plan), .kernels = plan->isa->kernels[p->dtype]};
    const shape *s = &j.s;
    const int64_t lanes = j.kernels->lanes, element = (int64_t)fc_element_bytes(p->dtype);
    j.bands = s->tiles[0] / s->dilation[0];
    j.spans = s->tiles[1] / s->dilation[1];
    j.panels = fc_panel_count(j.kernels, s->outs);
    const int64_t all_bands = p->batch * j.bands;
    cut(&j, all_bands, threads);
    const int64_t points = s->points[0] * s->points[1], panel = j.kernels->tile_vectors * lanes;
    j.v_pitch = apart(s->ins, lanes);
    j.v_point = apart(j.tiles * j.v_pitch, lanes);
    j.panels_together = fc_larger(1, fc_smaller(fc_divide_up(j.panels, j.panel_blocks),
                                                M_BYTES / (points * j.tiles * panel * element)));
    j.m_pitch = apart(fc_smaller(j.panels_together * panel, fc_round_up(s->outs, lanes)), lanes);
    j.m_point = apart(j.tiles * j.m_pitch, lanes);
    const int64_t bands = fc_divide_up(all_bands, j.band_blocks), spans = fc_divide_up(j.spans, j.span_blocks);
    const int64_t rows = (bands * s->outputs[0] + s->taps[0] - 1) * s->dilation[0];
    const int64_t columns = (spans * s->outputs[1] + s->taps[1] - 1) * s->dilation[1];
    j.cells = rows * columns * lanes;
    j.row_cells = s->points[0] * columns * lanes;
    j.thread_bytes = (size_t)fc_round_up((points * (j.v_point + j.m_point) + j.cells + j.row_cells) * element, 4096);
    return j;
}

typedef struct {
    int64_t group, first_band, last_band, first_span, spans;
    int64_t row_tiles, tiles;     /* of a row of tiles, of all */
    char *v, *m, *cells, *points; /* a thread's rooms; points: rows of points of cells */
} block;

/* A block's bands that belong to one image. */
typedef struct {
    int64_t image, band, bands, tile; /* tile: the first, in the block */
} strip;

static strip next_strip(const job *j, const block *b, int64_t band)
{
    const int64_t in_image = band % j->bands;
    return (strip){band / j->bands, in_image, fc_smaller(b->last_band - band, j->bands - in_image),
                   (band - b->first_band) * j->s.dilation[0] * b->row_tiles};
}

/* The first row of cells of a row of tiles: in a band, tiles that lie dilation apart interleave. */
static int64_t first_row(const shape *s, int64_t row_of_tiles)
{
    return row_of_tiles / s->dilation[0] * s->outputs[0] * s->dilation[0] + row_of_tiles % s->dilation[0];
}

static void transform_input(const job *j, const block *b)
{
    const fc_conv *p = &j->plan->problem;
    const shape *s = &j->s;
    const int forward = j->plan->pass == FC_FORWARD;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype), lanes = j->kernels->lanes, apart_x = s->dilation[1] * lanes;
    const int64_t channels = forward ? p->in_channels : p->out_channels, *size = forward ? p->in_size : p->out_size;
    const int64_t columns = (b->spans * s->outputs[1] + s->taps[1] - 1) * s->dilation[1], pitch = columns * lanes;
    const char *source = forward ? j->operands->input : j->operands->output;
    int64_t strides[5];
    fc_tensor_strides(p->layout, channels, size, strides);
    for (int64_t c = 0; c < s->ins; c += lanes)
        for (int64_t band = b->first_band; band < b->last_band;) {
            const strip it = next_strip(j, b, band);
            const fc_cells cells = {
                .first = {it.band * s->outputs[0] * s->dilation[0] + s->origin[0],
                          b->first_span * s->outputs[1] * s->dilation[1] + s->origin[1]},
                .size = {(it.bands * s->outputs[0] + s->taps[0] - 1) * s->dilation[0], columns},
                .in = {s->from_size[0], s->from_size[1]}, .channels = fc_smaller(lanes, s->ins - c),
                .channel_stride = strides[1], .row_stride = strides[3], .column_stride = strides[4]};
            const int64_t place = it.image * strides[0] + (b->group * s->ins + c) * strides[1];
            j->kernels->load_cells(&cells, source + place * element, b->cells);
            for (int64_t row = 0; row < it.bands * s->dilation[0]; row++) {
                const char *points = b->cells + first_row(s, row) * pitch * element;
                char *to = b->v + ((it.tile + row * b->row_tiles) * j->v_pitch + c) * element;
                if (s->points[0] > 1) {
                    j->kernels->winograd_input(s->points[0], columns, points, s->dilation[0] * pitch, lanes, b->points, pitch,
                                               lanes);
                    points = b->points;
                }
                for (int64_t y = 0; y < s->points[0]; y++)
                    for (int64_t x = 0; x < s->dilation[1]; x++)
                        j->kernels->winograd_input(s->points[1], b->spans, points + (y * pitch + x * lanes) * element, apart_x,
                                                   s->outputs[1] * apart_x,
                                                   to + (y * s->points[1] * j->v_point + x * j->v_pitch) * element, j->v_point,
                                                   s->dilation[1] * j->v_pitch);
            }
            band += it.bands;
        }
}

/* Channels [first, last) of the group, whose products are in M. */
static void transform_output(const job *j, const block *b, int64_t first, int64_t last)
{
    const fc_conv *p = &j->plan->problem;
    const shape *s = &j->s;
    const int forward = j->plan->pass == FC_FORWARD;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype), lanes = j->kernels->lanes, apart_x = s->dilation[1] * lanes;
    const int64_t channels = forward ? p->out_channels : p->in_channels, *size = forward ? p->out_size : p->in_size;
    const int64_t columns = b->spans * s->outputs[1] * s->dilation[1], pitch = columns * lanes;
    char *target = forward ? j->operands->output : j->operands->input;
    int64_t strides[5];
    fc_tensor_strides(p->layout, channels, size, strides);
    for (int64_t k = first; k < last; k += lanes)
        for (int64_t band = b->first_band; band < b->last_band;) {
            const strip it = next_strip(j, b, band);
            for (int64_t row = 0; row < it.bands * s->dilation[0]; row++) {
                const char *from = b->m + ((it.tile + row * b->row_tiles) * j->m_pitch + k - first) * element;
                char *to = b->cells + first_row(s, row) * pitch * element, *points = s->points[0] > 1 ? b->points : to;
                for (int64_t y = 0; y < s->points[0]; y++)
                    for (int64_t x = 0; x < s->dilation[1]; x++)
                        j->kernels->winograd_output(s->points[1], s->outputs[1], b->spans,
                                                    from + (y * s->points[1] * j->m_point + x * j->m_pitch) * element,
                                                    j->m_point, s->dilation[1] * j->m_pitch,
                                                    points + (y * pitch + x * lanes) * element, apart_x,
                                                    s->outputs[1] * apart_x);
                if (s->points[0] > 1)
                    j->kernels->winograd_output(s->points[0], s->outputs[0], columns, points, pitch, lanes, to,
                                                s->dilation[0] * pitch, lanes);
            }
            const fc_cells cells = {
                .first = {it.band * s->outputs[0] * s->dilation[0], b->first_span * s->outputs[1] * s->dilation[1]},
                .size = {it.bands * s->outputs[0] * s->dilation[0], columns}, .in = {s->to_size[0], s->to_size[1]},
                .channels = fc_smaller(lanes, last - k), .channel_stride = strides[1], .row_stride = strides[3],
                .column_stride = strides[4]};
            const int64_t channel = b->group * s->outs + k;
            const void *bias = j->operands->bias ? (const char *)j->operands->bias + channel * element : NULL;
            if (!j->kernels->store_cells(&cells, b->cells, bias, j->operands->activation,
                                         target + (it.image * strides[0] + channel * strides[1]) * element))
                __atomic_store_n(&j->spoilt[it.image], 1, __ATOMIC_RELAXED);
            band += it.bands;
        }
}

static void multiply(const job *j, const block *b, int64_t first_panel, int64_t last_panel)
{
    const shape *s = &j->s;
    const int64_t element = (int64_t)fc_element_bytes(j->plan->problem.dtype), lanes = j->kernels->lanes;
    const int64_t points = s->points[0] * s->points[1], all = s->ins * fc_round_up(s->outs, lanes);
    const int64_t chunks = fc_divide_up(s->ins, CHANNEL_BLOCK), first = fc_panel_first(j->kernels, s->outs, first_panel);
    for (int64_t point = 0; point < points; point++)
        for (int64_t q = first_panel; q < last_panel; q++) {
            const int64_t n0 = fc_panel_first(j->kernels, s->outs, q), n1 = fc_panel_first(j->kernels, s->outs, q + 1);
            const int64_t width = fc_round_up(n1 - n0, lanes);
            const char *u = (const char *)j->operands->packed + ((b->group * points + point) * all + n0 * s->ins) * element;
            for (int64_t chunk = 0; chunk < chunks; chunk++) {
                const int64_t k0 = s->ins * chunk / chunks, k1 = s->ins * (chunk + 1) / chunks;
                const fc_panel panel = {.rows = b->tiles, .columns = width, .depth = k1 - k0,
                                        .a = b->v + (point * j->v_point + k0) * element, .a_row = j->v_pitch, .a_depth = 1,
                                        .b = u + k0 * width * element, .b_depth = width, .next = u + k1 * width * element,
                                        .c = b->m + (point * j->m_point + n0 - first) * element, .c_row = j->m_pitch,
                                        .accumulate = chunk > 0, .low = -INFINITY, .high = INFINITY};
                j->kernels->gemm(&panel);
            }
        }
}

static void task(void *context, int64_t task, int thread)
{
    const job *j = context;
    const shape *s = &j->s;
    const int64_t element = (int64_t)fc_element_bytes(j->plan->problem.dtype), points = s->points[0] * s->points[1];
    const int64_t part = task % j->panel_blocks, index = task / j->panel_blocks;
    const int64_t span_block = index % j->span_blocks, band_block = index / j->span_blocks % j->band_blocks;
    const int64_t all_bands = j->plan->problem.batch * j->bands;
    block b = {.group = index / (j->span_blocks * j->band_blocks), .first_band = all_bands * band_block / j->band_blocks,
               .last_band = all_bands * (band_block + 1) / j->band_blocks, .first_span = j->spans * span_block / j->span_blocks};
    b.spans = j->spans * (span_block + 1) / j->span_blocks - b.first_span;
    b.row_tiles = b.spans * s->dilation[1];
    b.tiles = (b.last_band - b.first_band) * s->dilation[0] * b.row_tiles;
    b.v = j->workspace + (size_t)thread * j->thread_bytes;
    b.m = b.v + points * j->v_point * element;
    b.cells = b.m + points * j->m_point * element;
    b.points = b.cells + j->cells * element;
    transform_input(j, &b);
    const int64_t last = j->panels * (part + 1) / j->panel_blocks;
    for (int64_t q = j->panels * part / j->panel_blocks; q < last; q += j->panels_together) {
        const int64_t end = fc_smaller(last, q + j->panels_together);
        multiply(j, &b, q, end);
        transform_output(j, &b, fc_panel_first(j->kernels, s->outs, q), fc_panel_first(j->kernels, s->outs, end));
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
    const job j = make_job(plan, threads);
    const fc_plan one = direct_plan(plan);
    const size_t again = (size_t)fc_round_up((int64_t)one.packed_bytes, 128) + one.algorithm->workspace(&one, threads);
    const size_t own = j.thread_bytes * (size_t)threads;
    return (size_t)fc_round_up(plan->problem.batch, 128) + (own > again ? own : again);
}

static void run(const fc_plan *plan, const fc_operands *operands, void *workspace, int threads)
{
    const fc_conv *p = &plan->problem;
    job j = make_job(plan, threads);
    j.operands = operands;
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
        its.output = (char *)operands->output + image * p->out_channels * fc_volume(p->out_size) * element;
        one.algorithm->run(&one, &its, j.workspace + fc_round_up((int64_t)one.packed_bytes, 128), threads);
    }
}

static const char *supports_4(const fc_conv *problem, fc_pass pass)
{
    return supports(problem, pass, 4, "needs stride 1 and a kernel of 3, or 1 along one dimension");
}
static const char *supports_6(const fc_conv *problem, fc_pass pass)
{
    return supports(problem, pass, 6, "needs stride 1 and a kernel of 3 or 5, or 1 along one dimension");
}
static const char *supports_8(const fc_conv *problem, fc_pass pass)
{
    return supports(problem, pass, 8, "needs stride 1 and a kernel of 7 along one dimension, 1 along the other");
}
static double cost_4(const fc_conv *problem, fc_pass pass, const fc_isa *isa) { return cost(problem, pass, isa, 4); }
static double cost_6(const fc_conv *problem, fc_pass pass, const fc_isa *isa) { return cost(problem, pass, isa, 6); }
static double cost_8(const fc_conv *problem, fc_pass pass, const fc_isa *isa) { return cost(problem, pass, isa, 8); }

const fc_algo fc_algo_winograd4 = {.name = "winograd4", .supports = supports_4, .cost = cost_4, .packed = packed, .pack = pack,
                                   .workspace = workspace, .run = run};
const fc_algo fc_algo_winograd6 = {.name = "winograd6", .supports = supports_6, .cost = cost_6, .packed = packed, .pack = pack,
                                   .workspace = workspace, .run = run};
const fc_algo fc_algo_winograd8 = {.name = "winograd8", .supports = supports_8, .cost = cost_8, .packed = packed, .pack = pack,
                                   .workspace = workspace, .run = run};
