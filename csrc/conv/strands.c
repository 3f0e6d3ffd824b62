#include "strands.h"

#include <math.h>
#include <string.h>

enum {
    LEAST_PIXELS = 6,    /* of a tile: fewer make poor ones */
    PIECE_OUTPUTS = 600, /* of a piece, all channels: listing its taps takes as long as summing a quarter of so many */
};
static const double MOST_SHARE = 0.85;     /* of the taps, for strands to be worth more tables and smaller products */

static int64_t strands_along(const fc_conv *problem, fc_pass pass, int d)
{
    return pass == FC_INPUT_GRADIENT ? fc_smaller(problem->stride[d], problem->in_size[d]) : 1;
}

int fc_too_many_strands(const fc_conv *problem, fc_pass pass)
{
    for (int d = 0; d < 3; d++)
        if (strands_along(problem, pass, d) > FC_MOST_STRANDS)
            return 1;
    return 0;
}

/* The taps that output i sees inside the source: [*first, *last) of the strand's. */
static void taps_inside(const fc_strand *strand, int64_t size, int64_t i, int64_t *first, int64_t *last)
{
    const int64_t at = strand->source + i * strand->source_step, apart = strand->source_tap;
    if (apart > 0) {
        fc_inside(size, apart, at, strand->taps, first, last);
        return;
    }
    fc_inside(size, -apart, at + (strand->taps - 1) * apart, strand->taps, first, last); /* of the last tap on */
    const int64_t begin = strand->taps - *last;
    *last = strand->taps - *first;
    *first = begin;
}

/* The outputs that see all taps inside the source: [*first, *last) of the strand. */
static void outputs_inside(const fc_strand *strand, int64_t size, int64_t *first, int64_t *last)
{
    const int64_t reach = (strand->taps - 1) * strand->source_tap;
    int64_t first_of[2], last_of[2];
    for (int end = 0; end < 2; end++)
        fc_inside(size, strand->source_step, strand->source + end * reach, strand->count, &first_of[end], &last_of[end]);
    *first = fc_larger(first_of[0], first_of[1]);
    *last = strand->taps ? fc_smaller(last_of[0], last_of[1]) : 0;
}

/* A strand in pieces of `least` outputs or more, but the last: a new one begins where an output sees other taps than the ones before
 * it in its piece have seen together.  Returns how many, or 0 where they are more than `most`. */
static int64_t cut_strand(const fc_strand *strand, int64_t size, int64_t least, int64_t most, fc_strand *pieces)
{
    int64_t found = 0, seen_first = 0, seen_last = 0, inside_first, inside_last;
    outputs_inside(strand, size, &inside_first, &inside_last);
    for (int64_t i = 0, same; i < strand->count; i += same) {
        int64_t first, last;
        same = i >= inside_first && i < inside_last ? inside_last - i : 1;
        taps_inside(strand, size, i, &first, &last);
        const int goes_on = found && (pieces[found - 1].count < least || strand->count - i < least);
        if (!goes_on && (!found || first != seen_first || last != seen_last)) {
            if (found == most)
                return 0;
            pieces[found] = *strand;
            pieces[found].first = strand->first + i * strand->step;
            pieces[found].source = strand->source + i * strand->source_step;
            pieces[found++].count = 0;
            seen_first = first;
            seen_last = last;
        } else if (first < last) {
            seen_first = seen_first < seen_last ? fc_smaller(seen_first, first) : first;
            seen_last = fc_larger(seen_last, last);
        }
        fc_strand *piece = &pieces[found - 1];
        piece->count += same;
        piece->taps = fc_larger(0, seen_last - seen_first);
        piece->first_tap = strand->first_tap + seen_first * strand->tap_step;
        piece->source = strand->source + (i + same - piece->count) * strand->source_step + seen_first * strand->source_tap;
    }
    return found;
}

/* Of each dimension, where that leaves out enough: rows first, whose pieces are the cheapest, columns last. */
static void leave_out_padding(const fc_conv *problem, fc_pass pass, fc_strands *strands)
{
    static const int order[3] = {1, 0, 2};
    const int64_t *size = pass == FC_FORWARD ? problem->in_size : problem->out_size;
    const int64_t width = pass == FC_FORWARD ? problem->out_size[2] : problem->in_size[2];
    const int64_t rows = fc_larger(1, FC_BLOCK_PIXELS / (width * strands->count[1])); /* of a strand in a block */
    const int64_t outs = (pass == FC_FORWARD ? problem->out_channels : problem->in_channels) / problem->groups;
    int64_t together[3]; /* outputs of a piece along each dimension, about */
    for (int d = 0; d < 3; d++)
        together[d] = fc_larger(1, strands->of[d][0].count);
    int64_t most_pieces = problem->batch * fc_volume(together) * outs / PIECE_OUTPUTS;
    for (int i = 0; i < 3; i++) {
        const int d = order[i];
        const int64_t most = fc_larger(1, fc_smaller(FC_MOST_STRANDS / strands->count[d], most_pieces));
        const int64_t others = fc_volume(together) / together[d];
        int64_t least = fc_divide_up(LEAST_PIXELS, d == 2 ? fc_smaller(others, rows) : others);
        int64_t all = 0, remain = 0;
        fc_strand cut[FC_MOST_STRANDS];
        int64_t count = 0;
        for (int64_t s = 0, pieces; s < strands->count[d]; s++, count += pieces) {
            const fc_strand *strand = &strands->of[d][s];
            while (!(pieces = cut_strand(strand, size[d], least, most, cut + count)) && strand->count)
                least++;
            for (int64_t j = count; j < count + pieces; j++)
                remain += cut[j].count * cut[j].taps;
            all += strand->count * strand->taps;
        }
        if ((double)remain < MOST_SHARE * (double)all) {
            strands->share *= (double)remain / (double)all;
            together[d] = fc_larger(1, together[d] * strands->count[d] / count);
            most_pieces = most_pieces * strands->count[d] / count;
            strands->count[d] = count;
            memcpy(strands->of[d], cut, sizeof cut);
        }
    }
}

enum { VECTOR = 16 /* channels are written by vectors */ };

/* The products of strands, for each block of so many rows, in pairs of an output and a tap. */
static double products_of(const fc_strands *strands, int64_t rows)
{
    const double panel = 2, least_tile = 4.5; /* outputs that take as long as reading a panel, and as fewer of them */
    double time = 0;
    for (int64_t z = 0; z < strands->count[0]; z++)
        for (int64_t y = 0; y < strands->count[1]; y++)
            for (int64_t x = 0; x < strands->count[2]; x++) {
                const fc_strand *const along[3] = {&strands->of[0][z], &strands->of[1][y], &strands->of[2][x]};
                const double taps = (double)along[0]->taps * (double)along[1]->taps * (double)along[2]->taps;
                const double outputs = (double)(along[0]->count * along[1]->count * along[2]->count);
                const double products = (double)(along[0]->count * fc_divide_up(along[1]->count * along[1]->step, rows));
                time += taps * (fmax(outputs, products * least_tile) + products * panel);
            }
    return time;
}

/* Where a piece sees no padding, nothing is copied.  The products of such pieces, and their tables, against those of all outputs and
 * the copies: 3x3/2 of 128 channels, 16 images of 56x56 10.8 ms for 8.3. */
static void cut_borders(const fc_conv *problem, fc_pass pass, fc_strands *strands)
{
    enum {
        COPY = 54,     /* an element, for each channel that is written */
        LIST = 340,    /* a tap of a piece's table, for each pair of channels */
        CHANNELS = 64, /* of such a table, at most, about */
    };
    static const double TABLES = 1.03;
    const int64_t *size = pass == FC_FORWARD ? problem->in_size : problem->out_size;
    const int64_t *to = pass == FC_FORWARD ? problem->out_size : problem->in_size;
    const int64_t outs = fc_round_up((pass == FC_FORWARD ? problem->out_channels : problem->in_channels) / problem->groups, VECTOR);
    const int64_t ins = (pass == FC_FORWARD ? problem->in_channels : problem->out_channels) / problem->groups;
    const int64_t rows = fc_larger(1, fc_smaller(to[1], FC_BLOCK_PIXELS / to[2])); /* of a block */
    fc_strands cut = *strands;
    double inside = 1, all = 1, copied = 1, listed = 1;
    for (int d = 0; d < 3; d++) {
        int64_t remain = 0, before = 0, taps = 0;
        cut.count[d] = 0;
        for (int64_t s = 0, pieces; s < strands->count[d]; s++, cut.count[d] += pieces) {
            const fc_strand *strand = &strands->of[d][s];
            pieces = cut_strand(strand, size[d], 1, FC_MOST_STRANDS - cut.count[d], cut.of[d] + cut.count[d]);
            if (!pieces && strand->count)
                return;
            before += strand->count * strand->taps;
            for (int64_t i = cut.count[d]; i < cut.count[d] + pieces; i++) {
                remain += cut.of[d][i].count * cut.of[d][i].taps;
                taps += cut.of[d][i].taps;
            }
        }
        listed *= (double)taps;
        inside *= (double)remain;
        all *= (double)before;
        copied *= (double)(size[d] + 2 * problem->padding[d]);
    }
    const double pairs = (double)(ins * outs * problem->batch * problem->groups);
    const double time = (products_of(&cut, rows) + listed * LIST * (double)fc_smaller(ins, CHANNELS) / pairs) *
                        (strands->whole ? TABLES : 1);
    const double whole = products_of(strands, rows);
    if (time >= whole + COPY * copied / (double)outs)
        return;
    cut.share *= inside / all;
    cut.effort = time / whole;
    cut.whole = 0;
    *strands = cut;
}

fc_strands fc_strands_make(const fc_conv *problem, fc_pass pass, int cuts)
{
    fc_strands strands = {.share = 1, .effort = 1, .whole = 1};
    for (int d = 0; d < 3; d++) {
        strands.count[d] = strands_along(problem, pass, d);
        strands.whole = strands.whole && strands.count[d] == 1;
        for (int64_t shift = 0; shift < strands.count[d]; shift++)
            strands.of[d][shift] =
                pass == FC_INPUT_GRADIENT
                    ? fc_phase_along(problem, d, shift)
                    : (fc_strand){.step = 1, .count = problem->out_size[d], .tap_step = 1, .taps = problem->kernel[d],
                                  .source = -problem->padding[d], .source_step = problem->stride[d],
                                  .source_tap = problem->dilation[d]};
    }
    const double share = cuts ? fc_inside_share(problem, pass) : 1;
    if (share < MOST_SHARE) {
        leave_out_padding(problem, pass, &strands);
        strands.whole = strands.whole && strands.share == 1;
    }
    if (share < 1 && strands.share == 1)
        cut_borders(problem, pass, &strands);
    return strands;
}

double fc_strands_share(const fc_conv *problem, fc_pass pass)
{
    return fc_strands_make(problem, pass, 1).share;
}
