/* Packed weights of plain arrays, remembered as long as the array stays the same: see weights.c. */
#ifndef FC_WEIGHTS_H
#define FC_WEIGHTS_H

#include "fastconv.h"

typedef struct fc_kept_weight fc_kept_weight;

/* What was made of a weight that is, element by element, the one of an earlier call; NULL: there is none, or not yet. */
fc_kept_weight *fc_recall_weight(const fc_plan *plan, const void *weight, int threads);
const void *fc_kept_form(const fc_kept_weight *kept);
void fc_return_weight(fc_kept_weight *kept); /* after its use; NULL: nothing */
void fc_forget_weights(void);

#endif
