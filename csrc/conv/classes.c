#include "classes.h"
#include "../gemm.h"
#include "../parallel.h"

enum { ROW_BLOCKS = 8 };

typedef struct {
    const fc_plan *plan;
    const int64_t *taps;
    int64_t tap_count;
    const char *weight;
    char *packed;
} weight_job;

/* Elements from a row of the transposed weight to the next: a line more than it holds, for rows a power of two apart would
 * fall on the same lines of the cache (512 channels: 4.5 ms to pack, against 0.5). */
int64_t fc_class_pitch(const fc_conv *problem, int64_t tap_count)
{
    return fc_round_up(problem->out_channels / problem->groups * tap_count, 16) + 16;
}

static void pack_rows_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const weight_job *job = context;
    const fc_conv *p = &job->plan->problem;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype), group = task / ROW_BLOCKS, block = task % ROW_BLOCKS;
    const int64_t outs = p->out_channels / p->groups, ins = p->in_channels / p->groups;
    job->plan->isa->kernels[p->dtype]->pack_weight_rows(
        job->weight + group * outs * ins * fc_taps(p) * element, outs, ins, fc_taps(p), job->taps, job->tap_count,
        ins * block / ROW_BLOCKS, ins * (block + 1) / ROW_BLOCKS,
        job->packed + group * ins * fc_class_pitch(p, job->tap_count) * element, fc_class_pitch(p, job->tap_count));
}

static void pack_weight(const fc_plan *plan, const void *weight, const int64_t *taps, int64_t tap_count, void *packed,
                        int threads)
{
    weight_job job = {plan, taps, tap_count, weight, packed};
    if (plan->problem.layout == FC_CHANNELS_LAST)
        fc_pack_panels(plan, weight, taps, tap_count, packed, threads);
    else
        fc_parallel_for(plan->problem.groups * ROW_BLOCKS, threads, pack_rows_task, &job);
}

/* Packed: a list of offsets, one of taps, and the weight class by class. */
typedef struct {
    int64_t count[3], step[3];
    size_t offsets_bytes, taps_bytes;
} tap_classes;

static tap_classes classes_of(const fc_plan *plan)
{
    const fc_conv *p = &plan->problem;
    tap_classes classes;
    for (int d = 0; d < 3; d++) {
        classes.step[d] = plan->pass == FC_INPUT_GRADIENT ? fc_phase_tap_step(p, d) : 1;
        classes.count[d] = fc_smaller(classes.step[d], p->kernel[d]);
    }
    classes.offsets_bytes = (size_t)fc_round_up(fc_volume(classes.count) * (int64_t)sizeof(int64_t), 128);
    classes.taps_bytes = (size_t)fc_round_up(fc_taps(p) * (int64_t)sizeof(int64_t), 128);
    return classes;
}

/* Elements of a class of so many taps. */
static int64_t class_elements(const fc_plan *plan, int64_t tap_count)
{
    const fc_conv *p = &plan->problem;
    return p->groups * (p->layout == FC_CHANNELS_LAST ? fc_panels_elements(plan, tap_count)
                                                      : p->in_channels / p->groups * fc_class_pitch(p, tap_count));
}

/* The first tap of a class. */
static void first_of(const tap_classes *classes, int64_t index, int64_t first[3])
{
    for (int d = 2; d >= 0; index /= classes->count[d--])
        first[d] = index % classes->count[d];
}

size_t fc_classes_bytes(const fc_plan *plan)
{
    const fc_conv *p = &plan->problem;
    const tap_classes classes = classes_of(plan);
    int64_t elements = 0, first[3];
    for (int64_t i = 0; i < fc_volume(classes.count); i++) {
        int64_t taps = 1;
        first_of(&classes, i, first);
        for (int d = 0; d < 3; d++)
            taps *= fc_divide_up(p->kernel[d] - first[d], classes.step[d]);
        elements += class_elements(plan, taps);
    }
    return classes.offsets_bytes + classes.taps_bytes + (size_t)elements * fc_element_bytes(p->dtype);
}

void fc_classes_pack(const fc_plan *plan, const void *weight, void *packed, int threads)
{
    const fc_conv *p = &plan->problem;
    const tap_classes classes = classes_of(plan);
    int64_t *offsets = packed, *taps = (int64_t *)((char *)packed + classes.offsets_bytes);
    int64_t offset = (int64_t)(classes.offsets_bytes + classes.taps_bytes);
    for (int64_t i = 0; i < fc_volume(classes.count); i++) {
        int64_t first[3];
        first_of(&classes, i, first);
        const int64_t count = fc_class_taps(p, first, classes.step, taps);
        pack_weight(plan, weight, taps, count, (char *)packed + offset, threads);
        offsets[i] = offset;
        offset += class_elements(plan, count) * (int64_t)fc_element_bytes(p->dtype);
    }
}

const void *fc_class_of(const fc_plan *plan, const void *packed, const int64_t first[3])
{
    const tap_classes classes = classes_of(plan);
    const int64_t index = (first[0] * classes.count[1] + first[1]) * classes.count[2] + first[2];
    return (const char *)packed + ((const int64_t *)packed)[index];
}
