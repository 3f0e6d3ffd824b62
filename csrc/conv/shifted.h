/* Shifted: its weight gradient.  See shifted.c. */
#ifndef FC_SHIFTED_H
#define FC_SHIFTED_H

#include "../algorithm.h"

double fc_shifted_weight_cost(const fc_conv *problem, const fc_isa *isa);
size_t fc_shifted_weight_workspace(const fc_plan *plan, int threads);
void fc_shifted_weight_run(const fc_plan *plan, const fc_operands *operands, void *workspace, int threads);

#endif
