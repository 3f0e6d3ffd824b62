/* Where things lie: arithmetic on shapes that algorithms and kernels share. */
#ifndef FC_GEOMETRY_H
#define FC_GEOMETRY_H

#include "fastconv.h"

static inline int64_t fc_divide_up(int64_t count, int64_t size) { return (count + size - 1) / size; }
static inline int64_t fc_round_up(int64_t count, int64_t size) { return fc_divide_up(count, size) * size; }
static inline int64_t fc_smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t fc_larger(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t fc_volume(const int64_t size[3]) { return size[0] * size[1] * size[2]; }

/* Elements from a pixel to the next one. */
static inline int64_t fc_cell_pitch(fc_layout layout, int64_t channels)
{
    return layout == FC_CHANNELS_FIRST ? 1 : channels;
}

/* Strides of a tensor [batch, channels, spatial] in either layout: of batch, channel, depth, height, width. */
static inline void fc_tensor_strides(fc_layout layout, int64_t channels, const int64_t size[3], int64_t strides[5])
{
    strides[4] = fc_cell_pitch(layout, channels);
    strides[3] = strides[4] * size[2];
    strides[2] = strides[3] * size[1];
    strides[1] = layout == FC_CHANNELS_FIRST ? fc_volume(size) : 1;
    strides[0] = channels * fc_volume(size);
}

/* Long sums go by blocks, and blocks of blocks: a chain of n additions errs by up to n roundings. */
enum { FC_SUM_BLOCK = 256 };

/* A run of outputs in one row of a grid that see, through one tap, elements of one row of the source. */
typedef struct {
    int64_t source; /* offset of the first element; -1: zeros */
    int64_t target, count;
} fc_run;
enum { FC_RUN_OUTPUTS = 64 }; /* outputs packed at once; a row of the grid makes at most three runs */

/* The window of output o of a pool along dimension d, [*first, *last) inside the input, and what it counts in the divisor:
 * PyTorch's rules. */
static inline void fc_pool_window(const fc_pool *p, int d, int64_t o, int64_t *first, int64_t *last, double *count)
{
    const int64_t size = p->in_size[d], begin = o * p->stride[d] - p->padding[d], end = begin + p->kernel[d];
    if (p->adaptive) {
        *first = o * size / p->out_size[d];
        *last = fc_divide_up((o + 1) * size, p->out_size[d]);
    } else {
        *first = fc_smaller(fc_larger(begin, 0), size);
        *last = fc_larger(*first, fc_smaller(end, size));
    }
    if (p->divisor)
        *count = d == 0 ? (double)p->divisor : 1;
    else
        *count = (double)(p->count_padding ? fc_smaller(end, size + p->padding[d]) - begin : *last - *first);
}

/* Whether planes are of one row, and windows too: channels of such an image go together, as the rows of a plane. */
static inline int fc_planes_are_rows(const fc_pool *p)
{
    return p->in_size[0] * p->in_size[1] == 1 && p->out_size[0] * p->out_size[1] == 1 && p->kernel[0] * p->kernel[1] == 1;
}

/* The lines that pools combine rows into (isa/separable.inc), of a stretch of a row. */
typedef struct {
    int64_t stretch, pitch, rows; /* outputs, of a gradient inputs; from a line to the next one; lines at a time, for L1 */
    int64_t margin;               /* of zeros, before the shares of a gradient */
    int64_t elements;             /* of them all, with what whole vectors write and read behind the last */
} fc_pool_lines;
enum { FC_POOL_LINES = 2048 /* elements */, FC_POOL_STRETCH = 2048 /* inputs */, FC_POOL_VECTOR = 64 /* lanes, at most */ };

/* Of a forward pass: padding, and the columns that windows see. */
static inline fc_pool_lines fc_lines_of(const fc_pool *p)
{
    const int64_t most = fc_round_up(fc_divide_up(FC_POOL_STRETCH, p->stride[2]), FC_POOL_VECTOR);
    fc_pool_lines lines = {.stretch = fc_smaller(p->out_size[2], most)};
    const int64_t seen = (lines.stretch - 1) * p->stride[2] + (p->kernel[2] - 1) * p->dilation[2] + 1;
    lines.pitch = fc_larger(seen, p->stride[2] * lines.stretch);
    const int64_t rows = fc_planes_are_rows(p) ? p->channels : p->out_size[0] * p->out_size[1];
    lines.rows = fc_larger(1, fc_smaller(rows, FC_POOL_LINES / lines.pitch));
    lines.elements = lines.rows * lines.pitch + (p->stride[2] + 1) * FC_POOL_VECTOR;
    return lines;
}

/* Of an average's gradient: the shares of a row of outputs between zeros. */
static inline fc_pool_lines fc_share_lines_of(const fc_pool *p)
{
    enum { MOST_ROWS = 64 }; /* a bit each of a word */
    const int64_t most = fc_round_up(FC_POOL_STRETCH, p->stride[2] * FC_POOL_VECTOR);
    fc_pool_lines lines = {.stretch = fc_smaller(p->in_size[2], most), .margin = (p->kernel[2] - 1) / p->stride[2]};
    lines.pitch = lines.margin + (lines.stretch + p->padding[2]) / p->stride[2] + 2 + FC_POOL_VECTOR;
    const int64_t rows = fc_smaller(p->in_size[0] * p->in_size[1], MOST_ROWS);
    lines.rows = fc_larger(1, fc_smaller(rows, FC_POOL_LINES / lines.pitch));
    lines.elements = lines.rows * lines.pitch + FC_POOL_VECTOR;
    return lines;
}

/* Whether maxima alone and averages go by such lines: not where most of one would be padding. */
static inline int fc_is_separable(const fc_pool *p)
{
    enum { MOST_PADDING = 4096 };
    const int64_t widest = 2 * p->in_size[2] + MOST_PADDING;
    return !p->adaptive && p->layout == FC_CHANNELS_FIRST && p->stride[2] <= widest && fc_lines_of(p).pitch <= widest;
}

/* The i in [*first, *last), of [0, count), with 0 <= i * step + shift < size: the outputs of a row that see the input through a
 * tap, or the taps through which an output sees it.  The range may be empty. */
static inline void fc_inside(int64_t size, int64_t step, int64_t shift, int64_t count, int64_t *first, int64_t *last)
{
    *first = fc_larger(0, -shift);
    *last = fc_larger(0, size - shift);
    if (step > 1) {
        *first = fc_divide_up(*first, step);
        *last = fc_divide_up(*last, step);
    }
    *last = fc_smaller(*last, count);
    *first = fc_smaller(*first, *last);
}

#endif
