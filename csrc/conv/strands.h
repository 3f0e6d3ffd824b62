/* Strands: along one dimension, the outputs that take the same taps.  A grid is the product of the strands of its dimensions.
 *
 *     a convolution                      one strand, of all outputs and all taps
 *     an input gradient of stride s      s strands: outputs s apart take taps of one class, and no zero is multiplied
 *     taps that see nothing but padding  a strand for each stretch of outputs that sees the same taps, or nearly the same where the
 *                                        taps are many: for dilations as large as the plane, three of
 *                                            o o o o|o o o o o o|o o o o      9, 15 and 9 of 33 outputs for a dilation of 24
 *                                              1 2  |    1      |  0 1        take 2, 1 and 2 of 3 taps
 *     all taps that see padding          a strand for the border's first output, one for the inner ones, one for the last, where that
 *                                        is less work than a copy of the source with zeros around it
 */
#ifndef FC_STRANDS_H
#define FC_STRANDS_H

#include "../algorithm.h"

enum { FC_MOST_STRANDS = 16, FC_BLOCK_PIXELS = 224 /* of a block of the grid, at most: each panel of the weight is read for so many */ };

typedef struct {
    fc_strand of[3][FC_MOST_STRANDS];
    int64_t count[3];
    double share; /* of the taps of all outputs: those that are not left out */
    double effort; /* where all padding is left out: of their products, of those of all outputs and taps.  Else 1 */
    int whole;    /* one strand a dimension, of all outputs and taps */
} fc_strands;

/* Whether a pass has more strands in a dimension than fit. */
int fc_too_many_strands(const fc_conv *problem, fc_pass pass);
/* The share of the taps that remain where strands leave out those that see only padding. */
double fc_strands_share(const fc_conv *problem, fc_pass pass);
/* Of a convolution or the gradient of its input; `cuts`: taps may be left out where they see only padding. */
fc_strands fc_strands_make(const fc_conv *problem, fc_pass pass, int cuts);

#endif
