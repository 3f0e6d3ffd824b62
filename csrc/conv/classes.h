/* A weight, class by class of its taps, packed for a dense product.
 *
 * Taps `step` apart, in each dimension, are of one class; a phase of an input gradient takes those of one (algorithm.h), a forward
 * pass all, of the only one.  In channels first a class is A, broadcast: [in][out, tap] of an input gradient, rows fc_class_pitch
 * apart.  In channels last it is B: panels of [tap, channel][lane]. */
#ifndef FC_CLASSES_H
#define FC_CLASSES_H

#include "../algorithm.h"

size_t fc_classes_bytes(const fc_plan *plan);
void fc_classes_pack(const fc_plan *plan, const void *weight, void *packed, int threads);
/* The class whose first tap is given. */
const void *fc_class_of(const fc_plan *plan, const void *packed, const int64_t first[3]);
/* Elements from a row of a class of so many taps to the next. */
int64_t fc_class_pitch(const fc_conv *problem, int64_t tap_count);

#endif
