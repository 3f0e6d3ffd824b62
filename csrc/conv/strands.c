#include "strands.h"

enum { LEAST_OUTPUTS = 6, LEAST_ROW = 4 }; /* of a strand of columns at the border, and of a row: shorter ones make poor tiles */
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

/* The only strand of a dimension in pieces of the same taps.  Returns how many, or 0 where they are too many or shorter than
 * `least`; and counts the taps that remain. */
static int64_t cut_strand(const fc_strand *strand, int64_t size, int64_t least, fc_strand *pieces, int64_t *taps)
{
    int64_t found = 0, before_first = -1, before_last = -1;
    *taps = 0;
    for (int64_t i = 0; i < strand->count; i++) {
        int64_t first, last;
        taps_inside(strand, size, i, &first, &last);
        *taps += last - first;
        if (i == 0 || first != before_first || last != before_last) {
            if (found == FC_MOST_STRANDS || (found && pieces[found - 1].count < least))
                return 0;
            pieces[found] = *strand;
            pieces[found].first = i;
            pieces[found].count = 0;
            pieces[found].first_tap = strand->first_tap + first * strand->tap_step;
            pieces[found].taps = last - first;
            pieces[found++].source = strand->source + i * strand->source_step + first * strand->source_tap;
            before_first = first;
            before_last = last;
        }
        pieces[found - 1].count++;
    }
    return pieces[found - 1].count < least && found > 1 ? 0 : found;
}

/* Of each dimension, where that leaves no strand too short. */
static void leave_out_padding(const fc_conv *problem, fc_pass pass, fc_strands *strands)
{
    const int64_t *size = pass == FC_FORWARD ? problem->in_size : problem->out_size;
    fc_strands cut = *strands;
    if (fc_inside_share(problem, pass) >= MOST_SHARE)
        return;
    for (int d = 0; d < 3; d++) {
        const fc_strand *all = &strands->of[d][0];
        const int64_t least = d < 2 && strands->of[2][0].count >= LEAST_ROW ? 1 : LEAST_OUTPUTS;
        int64_t taps;
        const int64_t count = cut_strand(all, size[d], least, cut.of[d], &taps);
        if (count) {
            cut.count[d] = count;
            cut.share *= (double)taps / (double)(all->count * all->taps);
        } else {
            cut.of[d][0] = *all;
        }
    }
    if (cut.share < MOST_SHARE)
        *strands = cut;
}

fc_strands fc_strands_make(const fc_conv *problem, fc_pass pass, int cuts)
{
    fc_strands strands = {.share = 1, .whole = 1};
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
    if (cuts && strands.whole) {
        leave_out_padding(problem, pass, &strands);
        strands.whole = strands.share == 1;
    }
    return strands;
}

double fc_strands_share(const fc_conv *problem, fc_pass pass)
{
    return fc_inside_share(problem, pass) < MOST_SHARE ? fc_strands_make(problem, pass, 1).share : 1;
}
