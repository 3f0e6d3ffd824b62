/* Planes of a tensor, padded with zeros and split by stride, a block of rows at a time: every tap of every output is then a
 * contiguous stretch.  For stride 2 and three taps the padded row a b c d e f g ... becomes
 *
 *     phase 0   a c e g ...      tap 0 of outputs 0, 1, 2 ... starts at a, tap 2 at c
 *     phase 1   b d f h ...      tap 1 starts at b
 *
 * and an output is sum over taps of plane[offset[tap] + i] * weight[tap], whatever stride, dilation and kernel.  A cell of a plane
 * is one element, or a vector of channels. */
#ifndef FC_PLANES_H
#define FC_PLANES_H

#include "../algorithm.h"

/* A window over the planes of a tensor, packed a block of rows at a time. */
typedef struct {
    fc_window window;
    int64_t cell;                    /* elements of one */
    int64_t length[3];               /* cells a phase of a block */
    int64_t rows, columns;           /* of the grid in a block, at most */
    int64_t down, across;            /* blocks along the height and the width */
    int64_t phase_cells, elements;   /* from a phase to the next; of the whole */
    int64_t margin;                  /* elements behind, a vector */
} fc_plane;

/* Where a block is: its plane of the depth, its rows and columns of the grid. */
typedef struct {
    int64_t z, y0, y1, x0, x1;
} fc_plane_block;

/* One of the sums that a plane serves: a forward pass has one, an input gradient one for each phase of its stride. */
typedef struct {
    int64_t taps;
    const int64_t *offsets, *places; /* of each tap: in the plane, in cells, and in the kernel */
} fc_plane_sum;

/* NULL, or why a block cannot hold all that the kernel reaches from one output, or an input gradient's every phase. */
const char *fc_planes_refuse(const fc_conv *problem, fc_pass pass);
/* Nanoseconds that it takes to pack a channel's plane, of one element a cell: what its rows begin with counts where they are short. */
double fc_plane_packing(const fc_conv *problem, fc_pass pass, int at_once);
/* Blocks of about so many bytes, of the tensor that the pass reads; those of the kernel's reach at least. */
fc_plane fc_plane_make(const fc_plan *plan, int64_t cell, int64_t bytes);
/* The same in so many blocks along the height. */
void fc_plane_cut(fc_plane *plane, int64_t down);
int64_t fc_plane_blocks(const fc_plane *plane);
/* Whether to pack whole images, all channels, before the blocks are worked on: each layer of a deep kernel's outputs sees most of what
 * its neighbours see.  They take so many bytes. */
int fc_plane_at_once(const fc_conv *problem, fc_pass pass, const fc_isa *isa);
int64_t fc_plane_image_bytes(const fc_conv *problem, fc_pass pass, const fc_isa *isa);
/* Of one channel's plane, all layers, of one element a cell. */
int64_t fc_plane_bytes(const fc_conv *problem, fc_pass pass, const fc_isa *isa);
/* The plane of a whole image, whose blocks are those of `plane`, and where in it such a block begins, in cells. */
fc_plane fc_plane_whole(const fc_plane *plane);
int64_t fc_plane_place(const fc_plane *whole, const fc_plane_block *block);
/* Packs so many planes, `stride` elements apart, one behind the other, in parallel. */
void fc_plane_pack_all(const fc_plan *plan, const fc_plane *whole, const void *source, int64_t stride, int64_t count, void *target,
                       int threads);
fc_plane_block fc_plane_block_at(const fc_plane *plane, int64_t block);

int64_t fc_plane_sums(const fc_plan *plan);
/* Fills `sums`, and `room` for two numbers of each tap: no tap of the kernel belongs to more than one. */
void fc_plane_list(const fc_plan *plan, const fc_plane *plane, fc_plane_sum *sums, int64_t *room);

#endif
