/* From a problem to a plan, and from a plan to the result. */
#include "algorithm.h"
#include "parallel.h"
#include "report.h"
#include "weights.h"

#include <math.h>
#include <string.h>

#define FC_ALGORITHM(name) extern const fc_algo fc_algo_##name;
#include "algorithms.def"
#undef FC_ALGORITHM

static const fc_algo *const algorithms[] = {
#define FC_ALGORITHM(name) &fc_algo_##name,
#include "algorithms.def"
#undef FC_ALGORITHM
};
enum { ALGORITHMS = sizeof algorithms / sizeof *algorithms };

/* Work below this runs in the calling thread: a region costs 1 to 2 us while the team spins, and more when it sleeps. */
static const double SERIAL_NS = 10000;

/* A cost that no algorithm after the first, direct, falls below: it need not be asked. */
static const double LEAST_NS = 500;

static const char *preferred;

void fc_prefer_algorithm(const char *algorithm) { preferred = algorithm; }

int fc_algorithm_count(void) { return ALGORITHMS; }
const char *fc_algorithm_name(int index) { return algorithms[index]->name; }
const char *fc_plan_algorithm(const fc_plan *plan) { return plan->algorithm->name; }

/* Leaves of a kernel, whose gradient is asked for, the taps between the first and the last that see the input; `first` tells
 * where they begin.  Returns whether that is worth it: then the others, which see padding alone, are filled in afterwards. */
static int trim(fc_conv *p, fc_pass pass, int64_t first[3])
{
    const int64_t taps = fc_taps(p);
    fc_conv trimmed = *p;
    for (int d = 0; d < 3 && pass == FC_WEIGHT_GRADIENT && p->layout == FC_CHANNELS_FIRST; d++) {
        int64_t last = 0, i0, i1;
        first[d] = p->kernel[d];
        for (int64_t t = 0; t < p->kernel[d]; t++) {
            fc_inside(p->in_size[d], p->stride[d], t * p->dilation[d] - p->padding[d], p->out_size[d], &i0, &i1);
            if (i0 < i1) {
                first[d] = fc_smaller(first[d], t);
                last = t + 1;
            }
        }
        /* padding is not negative */
        first[d] = fc_smaller(first[d], fc_smaller(p->kernel[d] - 1, p->padding[d] / p->dilation[d]));
        trimmed.kernel[d] = fc_larger(1, last - first[d]);
        trimmed.padding[d] -= first[d] * p->dilation[d];
    }
    if (4 * fc_taps(&trimmed) > 3 * taps)
        return 0;
    *p = trimmed;
    return 1;
}

/* A kernel as large as the input is a matrix, and an image a pixel of a 1x1 convolution, channels last: a product of all images
 * instead of one of a single column for each.  An input gradient is left alone: its bias belongs to channels, not elements. */
static fc_conv simplest(const fc_conv *given, fc_pass pass)
{
    fc_conv p = *given;
    int64_t first[3];
    trim(&p, pass, first);
    int covers = pass != FC_INPUT_GRADIENT && p.groups == 1 && (p.layout == FC_CHANNELS_FIRST || p.in_channels == 1);
    for (int d = 0; d < 3; d++)
        covers = covers && p.kernel[d] == p.in_size[d] && p.out_size[d] == 1 && p.padding[d] == 0 &&
                 (p.dilation[d] == 1 || p.kernel[d] == 1);
    if (!covers)
        return p;
    return (fc_conv){.dtype = p.dtype, .layout = FC_CHANNELS_LAST, .batch = 1, .groups = 1,
                     .in_channels = p.in_channels * fc_taps(&p), .out_channels = p.out_channels, .in_size = {1, 1, p.batch},
                     .kernel = {1, 1, 1}, .out_size = {1, 1, p.batch}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}};
}

static const char *candidate(int index, const fc_conv *problem, fc_pass pass, double *cost)
{
    const char *reason = algorithms[index]->supports(problem, pass);
    if (!reason)
        *cost = algorithms[index]->cost(problem, pass, fc_isa_chosen());
    return reason;
}

const char *fc_algorithm_candidate(int index, const fc_conv *problem, fc_pass pass, double *cost)
{
    const fc_conv form = simplest(problem, pass);
    return candidate(index, &form, pass, cost);
}

fc_status fc_plan_make(fc_plan *plan, const fc_conv *problem, fc_pass pass, const char *algorithm, const char **reason)
{
    if (!algorithm && preferred && fc_plan_make(plan, problem, pass, preferred, reason) == FC_OK)
        return FC_OK;
    *plan = (fc_plan){.given = *problem, .problem = simplest(problem, pass), .pass = pass, .isa = fc_isa_chosen()};
    *reason = "there is no such algorithm";
    for (int i = 0; i < ALGORITHMS; i++) {
        double cost;
        if (algorithm && strcmp(algorithm, algorithms[i]->name))
            continue;
        const char *refusal = candidate(i, &plan->problem, pass, &cost);
        if (refusal) {
            *reason = refusal;
        } else if (!plan->algorithm || cost < plan->cost) {
            plan->algorithm = algorithms[i];
            plan->cost = cost;
            if (cost < LEAST_NS)
                break;
        }
    }
    if (!plan->algorithm)
        return FC_UNSUPPORTED;
    if (plan->algorithm->packed)
        plan->packed_bytes = plan->algorithm->packed(plan);
    return FC_OK;
}

/* Threads worth waking for the plan's work. */
static int useful_threads(const fc_plan *plan, int threads) { return plan->cost < SERIAL_NS ? 1 : threads; }

/* Bytes of the gradient of a trimmed kernel. */
static size_t trimmed_bytes(const fc_conv *trimmed)
{
    return (size_t)(trimmed->out_channels * (trimmed->in_channels / trimmed->groups) * fc_taps(trimmed)) *
           fc_element_bytes(trimmed->dtype);
}

size_t fc_plan_workspace(const fc_plan *plan, int threads)
{
    fc_conv trimmed = plan->given;
    int64_t first[3];
    const size_t extra = trim(&trimmed, plan->pass, first) ? trimmed_bytes(&trimmed) : 0;
    threads = useful_threads(plan, threads);
    return extra + (plan->algorithm->workspace ? plan->algorithm->workspace(plan, threads) : 0);
}

fc_status fc_plan_pack(const fc_plan *plan, const void *weight, void *packed, int threads)
{
    plan->algorithm->pack(plan, weight, packed, useful_threads(plan, threads));
    return FC_OK;
}

typedef struct {
    const fc_plan *plan;
    const char *array;
    int64_t count;
    int finite;
} finite_job;

enum { FINITE_COUNT = 1 << 16 };

static void finite_task(void *context, int64_t task, int thread)
{
    (void)thread;
    finite_job *job = context;
    const fc_dtype dtype = job->plan->problem.dtype;
    const int64_t first = task * FINITE_COUNT, count = fc_smaller(FINITE_COUNT, job->count - first);
    if (!job->plan->isa->kernels[dtype]->all_finite(count, job->array + first * (int64_t)fc_element_bytes(dtype)))
        __atomic_store_n(&job->finite, 0, __ATOMIC_RELAXED);
}

int fc_all_finite(const fc_plan *plan, const void *array, int64_t count, int threads)
{
    finite_job job = {plan, array, count, 1};
    fc_parallel_for(fc_divide_up(count, FINITE_COUNT), threads, finite_task, &job);
    return job.finite;
}

void fc_algorithm_run(const fc_plan *plan, const fc_operands *operands, void *workspace, int threads)
{
    const fc_conv *p = &plan->problem;
    const void *const parts[] = {operands->output, operands->addend};
    fc_operands plain = *operands;
    if (!operands->addend || plan->algorithm->adds) {
        plan->algorithm->run(plan, operands, workspace, threads);
        return;
    }
    plain.addend = NULL;
    plain.activation = FC_IDENTITY;
    plan->algorithm->run(plan, &plain, workspace, threads);
    fc_sum_arrays(p->dtype, operands->activation, 2, parts, p->batch * p->out_channels * fc_volume(p->out_size), operands->output,
                  threads);
}

static fc_status run_algorithm(const fc_plan *plan, const fc_operands *operands, int threads)
{
    const int packs = plan->packed_bytes && !operands->packed;
    fc_kept_weight *kept = packs ? fc_recall_weight(plan, operands->weight, threads) : NULL;
    const size_t packed_bytes = packs && !kept ? plan->packed_bytes : 0;
    const size_t packed_room = (size_t)fc_round_up((int64_t)packed_bytes, 128);
    const size_t bytes = packed_room + (plan->algorithm->workspace ? plan->algorithm->workspace(plan, threads) : 0);
    char *workspace = NULL;
    if (bytes && !(workspace = fc_acquire(bytes))) {
        fc_return_weight(kept);
        return FC_NO_MEMORY;
    }
    fc_operands all = *operands;
    if (kept)
        all.packed = fc_kept_form(kept);
    if (packed_bytes) {
        plan->algorithm->pack(plan, operands->weight, workspace, threads);
        all.packed = workspace;
    }
    fc_algorithm_run(plan, &all, workspace + packed_room, threads);
    fc_release(workspace, bytes);
    fc_return_weight(kept);
    return FC_OK;
}

/* A phase of an input gradient multiplies the weight with zeros beyond the border, where the sum has no term at all: a
 * weight that is not finite is left to col2im, which multiplies none, or to direct, which does not either, where there is no
 * memory for that.  It shows in every sum that it enters, so the smaller of weight and result tells. */
static fc_status run_input_gradient(fc_plan *plan, const fc_operands *operands, int threads)
{
    const fc_conv *p = &plan->problem;
    if (plan->algorithm == &fc_algo_col2im || plan->algorithm == &fc_algo_direct)
        return run_algorithm(plan, operands, threads);
    const int64_t weights = p->out_channels * (p->in_channels / p->groups) * fc_taps(p);
    const int64_t results = p->batch * p->in_channels * fc_volume(p->in_size);
    if (weights > results) {
        const fc_status status = run_algorithm(plan, operands, threads);
        if (status != FC_OK || fc_all_finite(plan, operands->input, results, threads))
            return status;
    }
    if (fc_all_finite(plan, operands->weight, weights, threads))
        return weights > results ? FC_OK : run_algorithm(plan, operands, threads);
    fc_operands plain = *operands;
    plain.packed = NULL;
    plan->packed_bytes = 0;
    plan->algorithm = &fc_algo_col2im;
    if (run_algorithm(plan, &plain, threads) == FC_OK)
        return FC_OK;
    plan->algorithm = &fc_algo_direct;
    return run_algorithm(plan, &plain, threads);
}

typedef struct {
    const fc_plan *plan;
    const fc_operands *operands;
    fc_conv trimmed;
    int64_t first[3];
    const char *taps; /* the gradient of the trimmed kernel */
} trim_job;

/* What the taps of an output channel that see padding alone sum: zero, and not even that where grad_output is not finite. */
static int is_finite_channel(const trim_job *job, int64_t channel)
{
    const fc_conv *p = &job->plan->given;
    const int64_t pixels = fc_volume(p->out_size);
    for (int64_t image = 0; image < p->batch; image++) {
        const int64_t offset = (image * p->out_channels + channel) * pixels * (int64_t)fc_element_bytes(p->dtype);
        if (!job->plan->isa->kernels[p->dtype]->all_finite(pixels, (const char *)job->operands->output + offset))
            return 0;
    }
    return 1;
}

static void untrim_task(void *context, int64_t channel, int thread)
{
    (void)thread;
    const trim_job *job = context;
    const fc_conv *p = &job->plan->given;
    const fc_kernels *kernels = job->plan->isa->kernels[p->dtype];
    const int64_t element = (int64_t)fc_element_bytes(p->dtype), ins = p->in_channels / p->groups, *kernel = p->kernel;
    const int64_t *seen = job->trimmed.kernel, taps = fc_taps(p), count = fc_taps(&job->trimmed);
    const double nan = NAN;
    const float nan_single = NAN;
    const void *fill = p->dtype == FC_FLOAT32 ? (const void *)&nan_single : (const void *)&nan;
    char *target = (char *)job->operands->weight + channel * ins * taps * element;
    kernels->fill_rows(1, ins * taps, is_finite_channel(job, channel) ? NULL : fill, target);
    target += ((job->first[0] * kernel[1] + job->first[1]) * kernel[2] + job->first[2]) * element;
    for (int64_t c = 0; c < ins; c++)
        for (int64_t row = 0; row < seen[0] * seen[1]; row++) {
            const int64_t place = c * taps + (row / seen[1] * kernel[1] + row % seen[1]) * kernel[2];
            const int64_t from = (channel * ins + c) * count + row * seen[2];
            memcpy(target + place * element, job->taps + from * element, (size_t)(seen[2] * element));
        }
}

static fc_status run_weight_gradient(const fc_plan *plan, const fc_operands *operands, int threads)
{
    trim_job job = {.plan = plan, .operands = operands, .trimmed = plan->given};
    if (!trim(&job.trimmed, FC_WEIGHT_GRADIENT, job.first))
        return run_algorithm(plan, operands, threads);
    const size_t bytes = trimmed_bytes(&job.trimmed);
    fc_operands taps = *operands;
    job.taps = taps.weight = fc_acquire(bytes);
    if (!taps.weight)
        return FC_NO_MEMORY;
    const fc_status status = run_algorithm(plan, &taps, threads);
    if (status == FC_OK)
        fc_parallel_for(plan->given.out_channels, threads, untrim_task, &job);
    fc_release(taps.weight, bytes);
    return status;
}

fc_status fc_plan_run(const fc_plan *plan, const fc_operands *operands, int threads)
{
    fc_plan done = *plan;
    threads = useful_threads(plan, threads);
    const double begin = fc_report_begin();
    fc_status status;
    if (plan->pass == FC_INPUT_GRADIENT)
        status = run_input_gradient(&done, operands, threads);
    else if (plan->pass == FC_WEIGHT_GRADIENT)
        status = run_weight_gradient(&done, operands, threads);
    else
        status = run_algorithm(&done, operands, threads);
    fc_report_convolution(&done, threads, begin);
    return status;
}

/* Pairs of a target and one of its taps along dimension d, whether or not they meet padding: of an input gradient those where
 * the stride leads to the target. */
static int64_t pairs_along(const fc_conv *problem, fc_pass pass, int d)
{
    const int64_t stride = problem->stride[d], size = problem->in_size[d];
    if (pass != FC_INPUT_GRADIENT)
        return problem->out_size[d] * problem->kernel[d];
    int64_t pairs = 0;
    for (int64_t t = 0; t < problem->kernel[d]; t++) {
        const int64_t phase = ((t * problem->dilation[d] - problem->padding[d]) % stride + stride) % stride;
        pairs += phase < size ? (size - 1 - phase) / stride + 1 : 0;
    }
    return pairs;
}

double fc_dense_multiply_adds(const fc_conv *problem, fc_pass pass)
{
    double pairs = 1;
    for (int d = 0; d < 3; d++)
        pairs *= (double)pairs_along(problem, pass, d);
    return pairs * (double)problem->batch * (double)problem->out_channels * (double)(problem->in_channels / problem->groups);
}

double fc_inside_share_along(const fc_conv *problem, fc_pass pass, int d)
{
    int64_t first, last, inside = 0;
    for (int64_t t = 0; t < problem->kernel[d]; t++) {
        const int64_t shift = t * problem->dilation[d] - problem->padding[d];
        fc_inside(problem->in_size[d], problem->stride[d], shift, problem->out_size[d], &first, &last);
        inside += last - first;
    }
    return (double)inside / (double)fc_larger(1, pairs_along(problem, pass, d));
}

double fc_inside_share(const fc_conv *problem, fc_pass pass)
{
    return fc_inside_share_along(problem, pass, 0) * fc_inside_share_along(problem, pass, 1) *
           fc_inside_share_along(problem, pass, 2);
}

/* ---- the phases of an input gradient ---- */

/* A stride beyond the input leaves phases without an input. */
static int64_t phases_along(const fc_conv *problem, int d) { return fc_smaller(problem->stride[d], problem->in_size[d]); }

int64_t fc_phase_count(const fc_conv *problem)
{
    return phases_along(problem, 0) * phases_along(problem, 1) * phases_along(problem, 2);
}

static int64_t greatest_common_divisor(int64_t a, int64_t b) { return b ? greatest_common_divisor(b, a % b) : a; }

int64_t fc_phase_tap_step(const fc_conv *problem, int d)
{
    return problem->stride[d] / greatest_common_divisor(problem->stride[d], problem->dilation[d]);
}

fc_strand fc_phase_along(const fc_conv *problem, int d, int64_t shift)
{
    const int64_t stride = problem->stride[d], dilation = problem->dilation[d], step = fc_phase_tap_step(problem, d);
    const int64_t reach = shift + problem->padding[d];
    fc_strand strand = {.first = shift, .step = stride, .count = fc_divide_up(problem->in_size[d] - shift, stride),
                        .tap_step = step, .source_step = 1, .source_tap = -(dilation * step / stride)};
    int64_t first = 0; /* taps `step` apart are of one class */
    while (first < step && first < problem->kernel[d] && (reach - first * dilation) % stride)
        first++;
    if (first == step || first == problem->kernel[d])
        return strand;
    strand.first_tap = first;
    strand.taps = fc_divide_up(problem->kernel[d] - first, step);
    strand.source = (reach - first * dilation) / stride;
    return strand;
}

int fc_phase_make(const fc_conv *problem, int64_t index, fc_phase *phase)
{
    int64_t in[5], out[5];
    fc_tensor_strides(problem->layout, problem->in_channels, problem->in_size, in);
    fc_tensor_strides(problem->layout, problem->out_channels, problem->out_size, out);
    *phase = (fc_phase){.window = {.channels = problem->out_channels / problem->groups, .channel_stride = out[1]}};
    for (int d = 2; d >= 0; d--) {
        const fc_strand along = fc_phase_along(problem, d, index % phases_along(problem, d));
        index /= phases_along(problem, d);
        if (!along.taps)
            return 0;
        phase->first_tap[d] = along.first_tap;
        phase->tap_step[d] = along.tap_step;
        phase->offset += along.first * in[2 + d];
        phase->stride[d] = along.step * in[2 + d];
        phase->window.out[d] = along.count;
        phase->window.taps[d] = along.taps;
        phase->window.in[d] = problem->out_size[d];
        phase->window.step[d] = along.source_step;
        phase->window.tap_step[d] = along.source_tap;
        phase->window.origin[d] = along.source;
        phase->window.stride[d] = out[2 + d];
    }
    return 1;
}

int64_t fc_class_taps(const fc_conv *problem, const int64_t first[3], const int64_t step[3], int64_t *taps)
{
    const int64_t *kernel = problem->kernel;
    int64_t found = 0;
    for (int64_t z = first[0]; z < kernel[0]; z += step[0])
        for (int64_t y = first[1]; y < kernel[1]; y += step[1])
            for (int64_t x = first[2]; x < kernel[2]; x += step[2])
                taps[found++] = (z * kernel[1] + y) * kernel[2] + x;
    return found;
}

/* ---- what an input gradient starts from, and ends with ---- */

static char *channels_of_input(const fc_plan *plan, const fc_operands *operands, int64_t image, int64_t first)
{
    const fc_conv *p = &plan->problem;
    int64_t in[5];
    fc_tensor_strides(p->layout, p->in_channels, p->in_size, in);
    return (char *)operands->input + (image * in[0] + first * in[1]) * (int64_t)fc_element_bytes(p->dtype);
}

void fc_start_input(const fc_plan *plan, const fc_operands *operands, int64_t image, int64_t first, int64_t last)
{
    const fc_conv *p = &plan->problem;
    const int64_t pixels = fc_volume(p->in_size), channels = last - first;
    const void *bias = operands->bias ? (const char *)operands->bias + first * (int64_t)fc_element_bytes(p->dtype) : NULL;
    char *target = channels_of_input(plan, operands, image, first);
    if (p->layout == FC_CHANNELS_FIRST)
        plan->isa->kernels[p->dtype]->fill_rows(channels, pixels, bias, target);
    else
        plan->isa->kernels[p->dtype]->fill_columns(pixels, p->in_channels, channels, bias, target);
}

void fc_finish_input(const fc_plan *plan, const fc_operands *operands, int64_t image, int64_t first, int64_t last)
{
    const fc_conv *p = &plan->problem;
    const int channels_first = p->layout == FC_CHANNELS_FIRST;
    const int64_t pixels = fc_volume(p->in_size), rows = channels_first ? last - first : pixels;
    const int64_t pitch = (channels_first ? pixels : p->in_channels) * (int64_t)fc_element_bytes(p->dtype);
    char *target = channels_of_input(plan, operands, image, first);
    if (operands->activation == FC_IDENTITY)
        return;
    for (int64_t row = 0; row < rows; row++, target += pitch)
        plan->isa->kernels[p->dtype]->activate(operands->activation, channels_first ? pixels : last - first, target, target);
}

typedef struct {
    const fc_plan *plan;
    const fc_operands *operands;
    int64_t blocks;
} fill_job;

static void fill_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const fill_job *job = context;
    const int64_t channels = job->plan->problem.in_channels, image = task / job->blocks, block = task % job->blocks;
    const int64_t first = channels * block / job->blocks, last = channels * (block + 1) / job->blocks;
    fc_start_input(job->plan, job->operands, image, first, last);
    fc_finish_input(job->plan, job->operands, image, first, last);
}

void fc_fill_input(const fc_plan *plan, const fc_operands *operands, int threads)
{
    enum { CHANNEL_BLOCK = 32 };
    fill_job job = {plan, operands, fc_divide_up(plan->problem.in_channels, CHANNEL_BLOCK)};
    fc_parallel_for(plan->problem.batch * job.blocks, threads, fill_task, &job);
}
