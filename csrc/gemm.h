/* A dense product over images and groups, C = A B, its operands read where they lie or packed as they are needed.
 *
 * im2col.c and pointwise.c describe every pass of a convolution as one of these; gemm.c cuts it into tasks. */
#ifndef FC_GEMM_H
#define FC_GEMM_H

#include "isa/isa.h"

typedef enum {
    FC_IN_PLACE,        /* A: any strides.  B: contiguous columns; a panel that does not fill its vectors is packed */
    FC_WINDOW,          /* A [grid][tap, channel] by pack_rows.  B [channel, tap][grid] by pack_lanes */
    FC_WINDOW_GRADIENT, /* B [grid][channel, tap], the transpose of pack_lanes; in channels last [grid][tap, channel] */
    FC_PANELS,          /* B packed beforehand: panel after panel of [depth][panel's vectors] */
} fc_source;

typedef struct {
    fc_source source;
    const void *data;
    int64_t row, depth;              /* strides in place: of A's rows and depth, of B's depth */
    int64_t image, group, segment;   /* strides from one product to the next */
    fc_window window;
} fc_matrix;

typedef struct {
    const fc_isa *isa;
    fc_dtype dtype;
    fc_layout layout;
    int64_t images, groups;          /* products */
    int64_t segments;                /* each the sum over so many products (weight gradients: the images) */
    int64_t slices;                  /* in so many parts, a C each */
    int64_t rows, columns, depth;
    fc_matrix a, b;
    void *c;
    int64_t c_row, c_image, c_group, c_slice;
    int read_again;                  /* C, at once: it is not stored past the caches */
    /* C in a grid that is not contiguous (a phase of a strided input gradient): columns (channels first) or rows (channels
     * last) are its points, c_row the stride of the other. */
    int scattered;
    int64_t grid_size[3], grid_stride[3];
    int64_t reordered_taps;          /* C's columns are [tap, channel], so many taps, and become [channel, tap]; 0: as they are */
    const void *bias;                /* of the channels: rows (channels first) or columns (channels last) */
    fc_activation activation;
} fc_gemm;

/* The strides of a plain matrix [channels][columns] as a window, for panels of it that must be packed. */
fc_window fc_matrix_window(int64_t channels, int64_t columns, int64_t pitch);
/* Panels: columns in whole vectors, evenly over as few panels as there can be. */
int64_t fc_panel_count(const fc_kernels *kernels, int64_t columns);
int64_t fc_panel_first(const fc_kernels *kernels, int64_t columns, int64_t panel);
/* The parts into which a sum over `segments` x depth is cut so that there is work for many threads; from the problem alone. */
int64_t fc_gemm_slices(const fc_gemm *gemm);

/* A weight as B: panels of lanes over the channels that are written, group after group: [tap, channel][lane] for the taps listed,
 * or, where none are, [channel, tap][lane] for all. */
int64_t fc_panels_elements(const fc_plan *plan, int64_t tap_count); /* of one group */
void fc_pack_panels(const fc_plan *plan, const void *weight, const int64_t *taps, int64_t tap_count, void *packed, int threads);

size_t fc_gemm_workspace(const fc_gemm *gemm, int threads);
void fc_gemm_run(const fc_gemm *gemm, void *workspace, int threads);

/* Whether the panels of a weight gradient's window (FC_WINDOW_GRADIENT) are made of rows of taps for each output, instead of rows
 * of outputs for each tap: where those are long (conv1 of resnet50: 3.3 ms for 3.8), or these short. */
static inline int fc_goes_by_taps(const int64_t out[3], const int64_t taps[3])
{
    enum { LONG = 7, ROWS_TO_FIND = 4 /* finding what a tap sees of a map costs as much as copying so many of its rows */ };
    const int64_t rows = out[0] * out[1];
    return taps[2] >= LONG || rows * out[2] < taps[2] * (rows + ROWS_TO_FIND);
}

#endif
