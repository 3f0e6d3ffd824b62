/* What Winograd's passes share: tiles of a tensor, taken to points and back, a block of tiles at a time.
 *
 *     tensor -> cells [row][column][lane] -> rows of points -> [point][tile][channel], and the same way back
 *
 * A band is the tiles of `outputs` rows, a span those of as many columns; dilated, a band or span holds as many tiles a dimension
 * as the dilation, which interleave. */
#ifndef FC_WINOGRAD_H
#define FC_WINOGRAD_H

#include "../algorithm.h"

typedef struct {
    int points[2], outputs[2], taps[2]; /* of a tile's height and width; 1, 1, 1: not transformed */
    int64_t dilation[2];
    int64_t bands, spans;               /* of an image */
} fc_tiling;

/* Tiles of outputs of this size. */
fc_tiling fc_tile(const fc_conv *problem, int points, const int64_t out_size[3]);

/* Bands of all images, and spans of each. */
typedef struct {
    int64_t first_band, last_band, first_span, spans;
} fc_tile_block;

static inline int64_t fc_row_tiles(const fc_tiling *t, const fc_tile_block *b) { return b->spans * t->dilation[1]; }
static inline int64_t fc_block_tiles(const fc_tiling *t, const fc_tile_block *b)
{
    return (b->last_band - b->first_band) * t->dilation[0] * fc_row_tiles(t, b);
}

/* A tensor seen by tiles: its part of `channels` channels, all images. */
typedef struct {
    const fc_kernels *kernels;
    fc_dtype dtype;
    char *data;
    int64_t channels, size[2], image_stride, channel_stride, row_stride, column_stride;
    int64_t origin[2]; /* of the first tile */
    int streams;       /* stored past the caches */
} fc_tiled;

fc_tiled fc_tiled_tensor(const fc_plan *plan, int64_t channels, const int64_t size[3], void *data);

/* Elements of the room for cells and rows of points, for blocks of so many bands and spans. */
int64_t fc_tile_room(const fc_tiling *t, const fc_kernels *kernels, int64_t bands, int64_t spans);

/* Points of a block's tiles, [point][tile][channel], `point` and `pitch` elements apart: of inputs, a tile of taps + outputs - 1
 * (B' d B), or of outputs alone (A y A'). */
void fc_tiles_to_points(const fc_tiling *t, const fc_tiled *tensor, const fc_tile_block *b, int of_outputs, char *points,
                        int64_t point, int64_t pitch, char *room);
/* And back, to outputs (A' m A), with a bias for each channel, an addend laid out as the tensor (each may be NULL) and an
 * activation.  spoilt[image] is set where an output was not finite before that. */
void fc_points_to_tiles(const fc_tiling *t, const fc_tiled *tensor, const fc_tile_block *b, const char *points, int64_t point,
                        int64_t pitch, const char *bias, const char *addend, fc_activation activation, unsigned char *spoilt,
                        char *room);

/* Elements from a row to the next, a little more than it holds: rows a power of two apart would fall on the same lines of the
 * cache. */
int64_t fc_apart(int64_t elements, int64_t lanes);

/* The weight gradient: winograd_weight.c. */
double fc_winograd_weight_cost(const fc_conv *problem, const fc_isa *isa, int points);
size_t fc_winograd_weight_workspace(const fc_plan *plan, int points, int threads);
void fc_winograd_weight_run(const fc_plan *plan, int points, const fc_operands *operands, void *workspace, int threads);

#endif
