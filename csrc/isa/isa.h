/* The micro-kernel contract: what an instruction set provides, and all that the algorithms know of it.
 *
 * An instruction set is one `fc_isa`, with one table of kernels for each dtype.  The kernels are written once, in the
 * .inc files of this folder, over vectors of `lanes` elements; a file such as avx2.c sets the target, the vector's width and
 * the tile, and includes them for float and for double.  Strides and offsets count elements, never bytes.  Kernels neither
 * allocate nor start threads, they read no element that is not an operand, and write none that is not a result.
 *
 *                     columns: lanes, contiguous                 A  [rows][depth]     any strides; broadcast
 *              +----------------------------------+              B  [depth][columns]  contiguous columns; vectors
 *        rows  |  C += A B, a tile of registers   |              C  [rows][columns]   contiguous columns; stored once
 *              +----------------------------------+
 *
 * Everything dense is this product.  Forward in channels first: rows are output channels (A is the weight, read where it
 * lies), columns are pixels.  In channels last the roles change: rows are pixels, columns are output channels. */
#ifndef FC_ISA_H
#define FC_ISA_H

#include "../fastconv.h"

/* A panel of a product: any number of rows, at most tile_vectors * lanes columns.  The kernel walks its rows in tiles of at
 * most tile_rows, evenly: 20 rows in tiles of up to 14 become 10, 10.  An element of C sums its depth in order, one fused
 * multiply-add after the other, whatever the tile, so the bits do not depend on how a product is cut into rows, columns
 * and threads.  B is read in whole vectors: columns are rounded up to lanes, and the rest must be readable. */
typedef struct {
    int64_t rows, columns, depth;
    const void *a;
    int64_t a_row, a_depth;
    const int64_t *a_rows, *a_depths; /* NULL, or [rows] and [depth]: where they lie, instead of strides.  a_depths alone: a_row
                                         is 1 or 2.  With either, B is a packed panel */
    const void *b;
    int64_t b_depth;
    const int64_t *b_depths; /* NULL, or [depth]: where its rows lie, instead of a stride; with a_rows, [depth + FC_AHEAD]: which rows
                                of a panel, and of the next */
    void *c;
    int64_t c_row;
    const int64_t *c_rows;   /* [rows] where they lie, with a_rows and b_depths */
    int accumulate;          /* C += instead of C = */
    int streams;             /* C past the caches: its rows begin with lines of memory */
    const void *row_bias;    /* NULL or [rows], added last */
    const void *column_bias; /* NULL or [columns] */
    double low, high;        /* the result is clamped to these; NaN passes */
    const void *next;        /* NULL, or B of the panel to come: packed, or rows next_depth apart */
    int64_t next_depth;
    int64_t next_lines;      /* 0, or in rows of so many lines of memory, of which each tile's part is depth / next_lines */
} fc_panel;

/* c[row][column] = (or +=) the dot product of a row of a with one of b: `lines` stretches of `depth` elements each. */
typedef struct {
    int64_t rows, columns, lines, depth;
    const void *a;
    int64_t a_row, a_line;
    const void *b;
    int64_t b_row, b_line;
    const int64_t *b_rows; /* NULL, or [columns]: where its rows lie, instead of a stride */
    void *c;
    int64_t c_row, c_column;
    int accumulate;
} fc_dots;

/* How a grid of outputs sees its source: output o and tap t (in each of three dimensions) read coordinate
 *     o * step + t * tap_step + origin
 * and zero outside [0, in).  A forward convolution is step = stride, tap_step = dilation, origin = -padding; a phase of an
 * input gradient is step = 1 and a negative tap_step over the output's gradient. */
typedef struct {
    int64_t out[3], taps[3], in[3];
    int64_t step[3], tap_step[3], origin[3];
    int64_t channels;                           /* that take part (of one group) */
    int64_t channel_stride, stride[3];          /* of the source */
} fc_window;

/* The coordinates that a window's taps reach beyond an output's first, and the classes modulo step that they fall into. */
static inline int64_t fc_window_reach(const fc_window *window, int d)
{
    const int64_t tap_step = window->tap_step[d];
    return (window->taps[d] - 1) * (tap_step < 0 ? -tap_step : tap_step);
}
static inline int64_t fc_window_phases(const fc_window *window, int d)
{
    const int64_t coordinates = fc_window_reach(window, d) + 1;
    return coordinates < window->step[d] ? coordinates : window->step[d];
}

/* Depthwise: target[i] = sum over taps of plane[offsets[tap] + i] * weights[places[tap]], for i < count, in cells (see
 * pack_plane); whole vectors are read. */
typedef struct {
    int64_t taps, count;
    const int64_t *offsets, *places; /* [taps] */
    const void *weights;             /* of cells */
    const void *bias;                /* NULL or one cell */
    int accumulate;
    double low, high;
} fc_correlation;

/* Planes filtered by a kernel each: see isa/stencil.inc.  Heights, then widths; the stride along a row is 1 or 2, rows are not
 * dilated, and kernels are at most FC_STENCIL_WIDTH wide.  Plane p of the target is that of channel p % channels, and is made of
 * plane p / multiplier of the source. */
enum { FC_STENCIL_WIDTH = 64, FC_STENCIL_STRIP = 32 /* rows of a strip, at most */ };
typedef struct {
    int64_t in[2], out[2], kernel[2], stride[2], padding[2], dilation;
    int64_t channels, source_channels, multiplier;
    const void *source, *weight, *bias; /* bias: NULL or [channels] */
    void *target;
    double low, high; /* the result is clamped to these; NaN passes */
    int streams;       /* the target past the caches: its rows begin with lines of memory */
    int64_t room_rows; /* rows of outputs whose inputs the room of a thread holds, for kernels that go by bands */
} fc_stencil;

/* How averages of channels first go: by rows and columns (separable.inc), or a row at a time, of windows that lie close to each
 * other, and of those that are wide or apart. */
typedef enum { FC_SEPARABLE, FC_CLOSE, FC_APART } fc_average_way;

/* A pool, and the windows of its outputs along each dimension: the elements [first, last) inside the input, and the factor
 * of the divisor; along a row only for channels last and for maxima.  For averages of channels first that are not separable a
 * stretch of a row of outputs at a time, in the room of a thread: their windows, their divisors, a line of inputs and
 * their shares, each with a vector's end. */
typedef struct {
    const fc_pool *problem;
    const int64_t *first[3], *last[3];
    const double *count[3];
    fc_average_way way;
    int64_t stretch, line;
} fc_pool_windows;

/* Batch normalisation: a part of the batch.  Of one channel, rows of `count` elements; or, where `separate`, of `channels`
 * <= lanes channels side by side, one element a row of each (count = channels). */
typedef struct {
    int64_t rows, row_stride, count, channels;
    int separate;
} fc_norm_piece;

/* Bytes of a line of the cache, and how many rows of B the product fetches ahead. */
enum { FC_LINE = 64, FC_AHEAD = 8 };

/* Winograd's points: zero, so many pairs, infinity. */
enum { FC_MOST_PAIRS = 3, FC_MOST_POINTS = 2 * FC_MOST_PAIRS + 2 };

/* Rows and columns of a plane, seen as cells: vectors of up to `lanes` channels, the rest of them zero. */
typedef struct {
    int64_t first[2], size[2];                              /* rows and columns; those outside the plane are zero */
    int64_t in[2];                                          /* the plane's size */
    int64_t channels, channel_stride, row_stride, column_stride;
    int streams;                                            /* stored past the caches: planes begin with lines of memory */
} fc_cells;

typedef struct {
    int lanes, tile_rows, tile_vectors;

    void (*gemm)(const fc_panel *panel);

    /* Window to B: target[k - k0][n - n0] for k = channel * taps + tap in [k0, k1) and outputs n in [n0, n1) of the grid,
     * flat; rows are `pitch` apart and zero beyond n1 - n0 up to the next multiple of lanes. */
    void (*pack_lanes)(const fc_window *window, const void *source, int64_t k0, int64_t k1, int64_t n0, int64_t n1,
                       void *target, int64_t pitch);
    /* Window to A: target[n - n0][k - k0] for k = tap * channels + channel: whole runs of channels (channel_stride 1).
     * Columns beyond k1 - k0 up to the next multiple of lanes are zero where pitch has room. */
    void (*pack_rows)(const fc_window *window, const void *source, int64_t n0, int64_t n1, int64_t k0, int64_t k1,
                      void *target, int64_t pitch);
    /* The transpose of pack_lanes: target[n - n0][k - k0] for outputs n in [n0, n1) and k = channel * taps + tap in [k0, k1),
     * at most a panel; rows are `pitch` apart and zero beyond k1 - k0. */
    void (*pack_taps)(const fc_window *window, const void *source, int64_t n0, int64_t n1, int64_t k0, int64_t k1,
                      void *target, int64_t pitch);
    /* target[j][i] = source[i][j], i < rows, j < columns. */
    void (*transpose)(int64_t rows, int64_t columns, const void *source, int64_t source_pitch, void *target,
                      int64_t target_pitch);
    /* The same past the caches: rows of the target begin with lines of memory. */
    void (*transpose_stream)(int64_t rows, int64_t columns, const void *source, int64_t source_pitch, void *target,
                             int64_t target_pitch);
    /* The same of rows that lie where a table says: target[j][i] = source[place[i] + j]; zero in i from rows to the next multiple of
     * lanes. */
    void (*transpose_places)(int64_t rows, int64_t columns, const void *source, const int64_t *place, void *target,
                             int64_t target_pitch);
    /* The weight [out][in][taps], one group of it, as A of an input gradient, for the taps listed:
     * target[in * pitch + out * count + j] = weight[out][in][tap[j]], for inputs in [first, last). */
    void (*pack_weight_rows)(const void *weight, int64_t outs, int64_t ins, int64_t taps, const int64_t *tap, int64_t count,
                             int64_t first, int64_t last, void *target, int64_t pitch);
    /* As B, lanes over outputs (forward) or inputs: target[j * depth + d][lane] = weight at (lane, d, tap[j]), where the
     * strides of lane and d are given and taps ascend; lanes in [first, last), zero up to pitch, a multiple of lanes. */
    void (*pack_weight_lanes)(const void *weight, int64_t lane_stride, int64_t depth, int64_t depth_stride,
                              const int64_t *tap, int64_t count, int64_t first, int64_t last, void *target, int64_t pitch);
    /* A tile of C to a grid that is not contiguous: row r, grid point n of `size` at strides `stride`:
     * target[r * row_stride + point(n)] = source[r * row_pitch + (n - n0) * column_pitch]. */
    void (*scatter)(const int64_t size[3], const int64_t stride[3], int64_t n0, int64_t n1, int64_t rows,
                    int64_t row_stride, void *target, const void *source, int64_t row_pitch, int64_t column_pitch);
    /* target[row][i] = values[row], i < count; NULL: zeros.  And target[row][i] = values[i], rows `pitch` apart. */
    void (*fill_rows)(int64_t rows, int64_t count, const void *values, void *target);
    void (*fill_columns)(int64_t rows, int64_t pitch, int64_t count, const void *values, void *target);
    /* Columns [output][channel, tap] of one image, added to channels [first, last) of its input: see conv/col2im.c. */
    void (*spread)(const fc_conv *problem, const void *columns, int64_t first, int64_t last, void *input);
    /* The same of one channel in channels first, columns [tap][output]. */
    void (*spread_plane)(const fc_conv *problem, const void *columns, void *plane);
    /* Weight gradients: target[i] = sum over slices of parts[s * slice_stride + position(i)], for rows of the target
     * [channels][taps] from rows of the source in the same order (channels_last 0) or [taps][channels] (1). */
    void (*reduce)(int64_t slices, int64_t slice_stride, const void *parts, int64_t channels, int64_t taps,
                   int channels_last, void *target);

    /* The windows of a plane, [tap][output], and their sum back into it: see unfold.c. */
    void (*unfold_plane)(const fc_conv *problem, const void *plane, void *columns);
    void (*fold_plane)(const fc_conv *problem, const void *columns, void *plane);
    /* The windows of outputs [n0, n1) of an image, [output][channel, tap], `pitch` apart. */
    void (*unfold_rows)(const fc_conv *problem, const void *image, int64_t n0, int64_t n1, void *rows, int64_t pitch);

    void (*dots)(const fc_dots *dots);

    /* Locally connected layers: see local.c. */
    /* target[j] = (or +=) the sum over i < count of factors[i * factor_step] * rows[i * row_pitch + j], j < length. */
    void (*sum_scaled)(int64_t count, const void *factors, int64_t factor_step, const void *rows, int64_t row_pitch,
                       int64_t length, int accumulate, void *target);
    /* Bias and activation of an image's outputs [first, last). */
    void (*finish_local)(const fc_conv *problem, const fc_operands *operands, int64_t image, int64_t first, int64_t last);

    int (*all_finite)(int64_t count, const void *x);
    int (*all_inside)(int64_t count, const int64_t *x, int64_t least, int64_t end); /* least <= x < end */

    /* Depthwise: see conv/depthwise.c.  A plane of cells, padded and split by stride, is packed from the window of one
     * channel: `length` cells a phase from grid position `first` on, phases `phase_cells` apart, whole vectors written.  A
     * cell is one element, or, in channels last, one vector of `channels` <= lanes channels. */
    void (*pack_plane)(const fc_window *window, const int64_t first[3], const int64_t length[3], int64_t phase_cells,
                       const void *source, void *target);
    void (*pack_plane_lanes)(const fc_window *window, const int64_t first[3], const int64_t length[3], int64_t phase_cells,
                             const void *source, void *target);
    /* Rows of results to where they belong: cell x of row y is source[x % phases][y][x / phases], phases `phase_cells`
     * apart, rows `pitch`. */
    void (*unpack_plane)(int64_t rows, int64_t width, int64_t phases, int64_t phase_cells, int64_t pitch, const void *source,
                         void *target, int64_t row_stride);
    void (*unpack_plane_lanes)(int64_t rows, int64_t width, int64_t phases, int64_t phase_cells, int64_t pitch,
                               const void *source, void *target, int64_t row_stride, int64_t column_stride,
                               int64_t channels, int64_t channel_stride);
    void (*correlate)(const fc_correlation *correlation, const void *plane, void *target);
    void (*correlate_lanes)(const fc_correlation *correlation, const void *plane, void *target);
    /* sums[tap][lane] += the sum over i < count of plane[offsets[tap] + i] * gradient[i]: of cells of one element, lane by
     * lane in turn; of vectors, channel by channel. */
    void (*correlate_weights)(int64_t taps, const int64_t *offsets, int64_t count, const void *plane,
                              const void *gradient, void *sums);
    void (*correlate_weights_lanes)(int64_t taps, const int64_t *offsets, int64_t count, const void *plane,
                                    const void *gradient, void *sums);

    /* Rows [first_row, last_row) of the outputs of planes [first_plane, last_plane). */
    void (*stencil)(const fc_stencil *stencil, int64_t first_plane, int64_t last_plane, int64_t first_row, int64_t last_row,
                    void *room);
    /* The same of the gradient of the input at stride 2, with the forward pass's padding: the source is grad_output. */
    void (*stencil_input)(const fc_stencil *stencil, int64_t first_plane, int64_t last_plane, int64_t first_row, int64_t last_row);
    /* The gradient of a channel's weight, of units [first, last): strips of rows, image after image.  The target is grad_output. */
    void (*stencil_weight)(const fc_stencil *stencil, int64_t channel, int64_t first_unit, int64_t last_unit, void *weight);

    /* Plain loops, one output channel of an image (forward), one input channel of an image, or one output channel. */
    void (*direct[3])(const fc_conv *problem, const fc_operands *operands, int64_t image, int64_t channel);

    /* Channels [first, last) of an image.  `values` and `places` are room for a row of outputs of all channels, in channels
     * first of one, and behind it for a row of inputs; `room`: see fc_pool_windows. */
    void (*max_pool)(const fc_pool_windows *windows, const void *input, void *output, int64_t *indices, int64_t image,
                     int64_t first, int64_t last, void *values, int64_t *places);
    /* These return whether all indices were places in the plane, or, of a pool, -1. */
    int (*max_pool_backward)(const fc_pool_windows *windows, const void *grad_output, const void *input, const int64_t *indices,
                              void *grad_input, int64_t image, int64_t first, int64_t last, void *values, int64_t *places);
    void (*average_pool)(const fc_pool_windows *windows, const void *input, void *output, int64_t image, int64_t first,
                         int64_t last, void *room);
    void (*average_pool_backward)(const fc_pool_windows *windows, const void *grad_output, void *grad_input, int64_t image,
                                  int64_t first, int64_t last, void *room);
    int (*unpool)(const fc_pool *problem, int backward, void *input, const int64_t *indices, void *output, int64_t image,
                  int64_t first, int64_t last);

    void (*activate)(fc_activation kind, int64_t count, const void *x, void *y);
    void (*activate_backward)(fc_activation kind, int64_t count, const void *x, const void *grad_output, void *grad_input);
    void (*leaky_relu)(double slope, int64_t count, const void *sign, const void *x, void *y);
    void (*dropout)(uint64_t key, uint64_t limit, double scale, int64_t first, int64_t count, const void *x, void *y);
    /* x, y [classes, pitch], for the first `columns` columns */
    void (*softmax)(int64_t classes, int64_t pitch, int64_t columns, const void *x, void *y);
    void (*softmax_backward)(int64_t classes, int64_t pitch, int64_t columns, const void *y, const void *grad_output,
                             void *grad_input);
    void (*sum_rows)(int64_t rows, int64_t row_stride, int64_t count, const void *x, void *sum);
    void (*sum_planes)(int64_t images, int64_t image_stride, int64_t count, const void *x, void *sum);
    void (*sum_columns)(int64_t rows, int64_t row_stride, int64_t columns, const void *x, void *sum);
    void (*sgd)(const fc_sgd *rule, int64_t count, void *parameter, const void *gradient, void *velocity);
    void (*adam)(const fc_adam *rule, int64_t count, void *parameter, const void *gradient, void *mean, void *square);

    /* Batch normalisation: see norm.c.  Per-channel values are arrays of piece->channels. */
    void (*moments)(const fc_norm_piece *piece, const void *x, double *mean, double *squares);
    void (*normalize)(const fc_norm_piece *piece, const void *x, const double *mean, const double *scale, const double *shift,
                      void *y);
    void (*moment_gradients)(const fc_norm_piece *piece, const void *grad_output, const void *x, const double *mean,
                             double *sum, double *product);
    void (*normalize_backward)(const fc_norm_piece *piece, const void *grad_output, const void *x, const double *mean,
                               const double *scale, const double *slope, const double *shift, void *grad_input);

    /* Rows [first, last) of one plane of outputs, flat over depth and height; `row` is room for a row of the input. */
    void (*resample)(const fc_resample *problem, const void *x, void *y, int64_t first, int64_t last, void *row);

    /* y = f(x[0] + x[1] + ...) for elements [begin, end). */
    void (*sum_arrays)(fc_activation kind, int64_t parts, const void *const *x, int64_t begin, int64_t end, void *y);

    /* Items [begin, end), added to *result. */
    void (*cross_entropy)(const fc_cross_entropy *loss, int64_t begin, int64_t end, fc_loss_sum *result);
    double (*squared_error)(int64_t count, const void *x, const void *target, void *gradient, double scale);

    /* Winograd's transforms along one dimension, of `count` tiles in turn, a cell a point: point j of tile i lies at
     * j * point + i * step.  See isa/winograd.inc. */
    void (*winograd_input)(int points, int64_t count, const void *source, int64_t source_point, int64_t source_step,
                           void *target, int64_t target_point, int64_t target_step);
    /* `values`: taps of a kernel, or outputs of a tile, which the same matrices take to points and back. */
    void (*winograd_evaluate)(int points, int values, int64_t count, const void *source, int64_t source_point,
                              int64_t source_step, void *target, int64_t target_point, int64_t target_step);
    void (*winograd_interpolate)(int points, int values, int64_t count, const void *source, int64_t source_point,
                                 int64_t source_step, void *target, int64_t target_point, int64_t target_step);
    /* A plane's cells, [row][column][lane], from a tensor; and into one, with a bias of each channel, an addend laid out as the
     * tensor (each may be NULL) and an activation: returns whether all of them were finite before. */
    void (*load_cells)(const fc_cells *cells, const void *source, void *target);
    int (*store_cells)(const fc_cells *cells, const void *source, const void *bias, const void *addend, fc_activation activation,
                       void *target);

    /* Fourier transforms of `vectors` vectors of columns of n rows, n a power of two; and forward, times the conjugate of a
     * filter's, plus what the bias (or NULL) adds to every value, real and imaginary, and back.  See isa/fft.inc. */
    void (*fft)(int64_t n, const void *twiddles, int inverse, int64_t vectors, void *re, void *im, int64_t pitch);
    void (*fft_filter)(int64_t n, const void *twiddles, int64_t vectors, void *re, void *im, const void *filter_re,
                       const void *filter_im, const void *bias, int64_t pitch);

    double (*multiply_adds)(int64_t rounds); /* floating-point operations done, out of registers: the peak */
} fc_kernels;

typedef struct fc_isa {
    const char *name;
    int (*available)(void);
    const fc_kernels *kernels[2]; /* by fc_dtype */
} fc_isa;

const fc_isa *fc_isa_chosen(void);

static inline size_t fc_element_bytes(fc_dtype dtype) { return dtype == FC_FLOAT32 ? sizeof(float) : sizeof(double); }

#endif
