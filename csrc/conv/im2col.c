/* Implicit im2col: every pass of every convolution as a dense product, whose window operand is packed a panel at a time.
 *
 *                    channels first                                channels last
 *   forward          y[k][o]     = w[k][c,t]   x~[c,t][o]          y[o][k]     = x~[o][t,c]  w[t,c][k]
 *   input gradient   dx[c][i]    = w'[c][k,t]  dy~[k,t][i]         dx[i][c]    = dy~[i][t,k] w'[t,k][c]
 *   weight gradient  dw[k][c,t]  = dy[k][o]    x~[o][c,t]          dw[k][t,c]  = dy[k][o]    x~[o][t,c]
 *
 * x~ is the window of the input, never made whole: gemm.c packs the panel that it is about to multiply, while the input is in
 * cache.  w and dy are read where they lie as the broadcast operand, so a forward pass in channels first packs no weight at
 * all; w' is the weight transposed, once per call.  Input gradients run phase by phase (algorithm.h). */
#include "../algorithm.h"
#include "../gemm.h"
#include "../parallel.h"
#include "classes.h"

#include <string.h>

static const char *supports(const fc_conv *problem, fc_pass pass)
{
    (void)problem, (void)pass;
    return NULL;
}

/* Small maps of all images are one sum: sums of a few pixels would begin and end again for each image.  An image is then a layer of a
 * window, so that there must be a single one, without padding.  In channels first the rows of grad_output are gathered,
 * [channel][image, pixel]. */
static int joins_images(const fc_conv *p)
{
    enum { FEW = 24 /* pixels: of 4x4 a sum of each takes a tenth longer, of 2x2 three times as long */ };
    return p->batch > 1 && fc_volume(p->out_size) <= FEW && p->out_size[0] == 1 && p->padding[0] == 0 &&
           (p->kernel[0] - 1) * p->dilation[0] < p->in_size[0];
}

/* The micro-kernel's time for whole tiles, 0.3 to 0.6 ns an element packed, and what begins and ends each product.  Fitted on
 * resnet50, mobilenet_v2, the demo's layers and problems drawn at random. */
static double cost(const fc_conv *problem, fc_pass pass, const fc_isa *isa)
{
    const fc_kernels *kernels = isa->kernels[problem->dtype];
    const double out_group = (double)(problem->out_channels / problem->groups);
    const double in_group = (double)(problem->in_channels / problem->groups);
    const double taps = (double)fc_taps(problem), work = fc_dense_multiply_adds(problem, pass);
    const double pixels = work / ((double)problem->groups * out_group * in_group * taps);
    const double rows = pass == FC_INPUT_GRADIENT ? in_group : out_group;
    const double lanes = pass == FC_WEIGHT_GRADIENT ? in_group * taps : (double)fc_volume(problem->out_size);
    const double waste = (double)fc_round_up((int64_t)lanes, kernels->lanes) / lanes * (rows + 2) / rows *
                         (pass == FC_WEIGHT_GRADIENT ? 1.1 : 1 + 10 / lanes);
    const double packed = pixels * (double)problem->groups * taps * (pass == FC_INPUT_GRADIENT ? out_group : in_group);
    const int strided = problem->stride[2] > 1;
    const int by_taps = pass == FC_WEIGHT_GRADIENT && fc_goes_by_taps(problem->out_size, problem->kernel);
    double slow = strided ? 0.6 : 0.3;
    if (pass == FC_FORWARD && problem->stride[2] > 2)
        slow = 1; /* element by element */
    else if (pass == FC_WEIGHT_GRADIENT)
        slow = strided && !by_taps ? 0.95 : 0.4;
    const double seen = pass == FC_WEIGHT_GRADIENT ? packed * fc_inside_share(problem, FC_FORWARD) : packed;
    const int64_t *rows_of = pass == FC_INPUT_GRADIENT ? problem->in_size : by_taps ? problem->kernel : problem->out_size;
    const double begun = packed / (double)rows_of[2] * (pass != FC_WEIGHT_GRADIENT ? 2 : by_taps ? 7 : 16); /* of each row */
    /* forward also what a tap sees of a row is found, once for all channels, and each product begins */
    const double found = pass == FC_FORWARD ? pixels * (double)problem->groups * (taps / (double)rows_of[2] * 12 + 30.0 / kernels->lanes) : 0;
    const double weights = out_group * in_group * taps * (double)problem->groups;
    const double weight = pass == FC_INPUT_GRADIENT ? weights * 2 : pass == FC_WEIGHT_GRADIENT ? weights * 0.6 : 0;
    double phases = 1, all_phases = 1; /* with taps, at most */
    for (int d = 0; d < 3 && pass == FC_INPUT_GRADIENT; d++) {
        const int64_t stride = fc_smaller(problem->stride[d], problem->in_size[d]);
        phases *= (double)fc_smaller(problem->kernel[d], stride);
        all_phases *= (double)stride;
    }
    const double products = 800 * phases * (double)problem->batch * (double)problem->groups;
    const double time = work / fc_multiply_adds_per_ns(isa, problem->dtype) * waste;
    double stored = 0;
    if (pass == FC_FORWARD && problem->layout == FC_CHANNELS_FIRST)
        stored = pixels * out_group * (double)problem->groups * 0.2;
    else if (pass == FC_INPUT_GRADIENT)
        stored = (double)(problem->batch * problem->in_channels * fc_volume(problem->in_size)) *
                 (0.15 + phases / all_phases * (problem->stride[2] > 2 ? 1.1 : fc_volume(problem->stride) > 1 ? 0.5 : 0.05));
    double sums = 0; /* each image's begins where the one before ended */
    if (pass == FC_WEIGHT_GRADIENT && !joins_images(problem))
        sums = (double)problem->batch * weights * 0.2;
    return 1000 + sums + time + seen * slow + (packed - seen) * 0.1 + begun + found + weight + products + stored;
}

/* A weight on the left is broadcast, as it lies where it is not to be transposed. */
static int is_packed(const fc_plan *plan)
{
    const fc_conv *p = &plan->problem;
    if (p->layout == FC_CHANNELS_LAST)
        return plan->pass != FC_WEIGHT_GRADIENT;
    return plan->pass == FC_INPUT_GRADIENT && fc_taps(p) > 1;
}

static size_t packed(const fc_plan *plan) { return is_packed(plan) ? fc_classes_bytes(plan) : 0; }

/* The weight of the class whose first tap is given; NULL where the weight is read as it lies. */
static const void *packed_class(const fc_plan *plan, const fc_operands *operands, const int64_t first[3])
{
    return operands->packed && is_packed(plan) ? fc_class_of(plan, operands->packed, first) : NULL;
}

/* ---- forward ---- */

static fc_gemm forward_gemm(const fc_plan *plan, const fc_operands *operands)
{
    const fc_conv *p = &plan->problem;
    const int64_t outs = p->out_channels / p->groups, ins = p->in_channels / p->groups, taps = fc_taps(p);
    const int64_t pixels = fc_volume(p->out_size);
    int64_t in[5];
    fc_tensor_strides(p->layout, p->in_channels, p->in_size, in);
    fc_gemm gemm = {.isa = plan->isa, .dtype = p->dtype, .layout = p->layout, .images = p->batch, .groups = p->groups,
                    .segments = 1, .slices = 1, .depth = ins * taps, .c = operands->output,
                    .c_image = p->out_channels * pixels, .bias = operands->bias, .activation = operands->activation};
    const fc_matrix input = {.source = FC_WINDOW, .data = operands->input, .image = in[0], .group = ins * in[1],
                             .window = fc_forward_window(p)};
    if (p->layout == FC_CHANNELS_FIRST) {
        gemm.rows = outs;
        gemm.columns = pixels;
        gemm.a = (fc_matrix){.data = operands->weight, .row = ins * taps, .depth = 1, .group = outs * ins * taps};
        gemm.b = input;
        gemm.c_row = pixels;
        gemm.c_group = outs * pixels;
    } else {
        gemm.rows = pixels;
        gemm.columns = outs;
        gemm.a = input;
        gemm.b = (fc_matrix){.source = FC_PANELS, .data = packed_class(plan, operands, (int64_t[3]){0, 0, 0}),
                             .group = fc_panels_elements(plan, taps)};
        gemm.c_row = p->out_channels;
        gemm.c_group = outs;
    }
    return gemm;
}

/* ---- input gradient: one product a phase ---- */

static fc_gemm phase_gemm(const fc_plan *plan, const fc_operands *operands, const fc_phase *phase)
{
    const fc_conv *p = &plan->problem;
    const void *weight = packed_class(plan, operands, phase->first_tap);
    const int64_t outs = p->out_channels / p->groups, ins = p->in_channels / p->groups;
    const int64_t taps = fc_volume(phase->window.taps), pixels = fc_volume(phase->window.out);
    int64_t in[5], out[5];
    fc_tensor_strides(p->layout, p->in_channels, p->in_size, in);
    fc_tensor_strides(p->layout, p->out_channels, p->out_size, out);
    fc_gemm gemm = {.isa = plan->isa, .dtype = p->dtype, .layout = p->layout, .images = p->batch, .groups = p->groups,
                    .segments = 1, .slices = 1, .depth = outs * taps, .c_image = in[0], .c_group = ins * in[1],
                    .bias = operands->bias, .activation = operands->activation};
    gemm.c = (char *)operands->input + phase->offset * (int64_t)fc_element_bytes(p->dtype);
    gemm.scattered = fc_phase_count(p) > 1;
    for (int d = 0; d < 3; d++) {
        gemm.grid_size[d] = phase->window.out[d];
        gemm.grid_stride[d] = phase->stride[d];
    }
    const fc_matrix grad_output = {.source = FC_WINDOW, .data = operands->output, .image = out[0], .group = outs * out[1],
                                   .window = phase->window};
    if (p->layout == FC_CHANNELS_FIRST) {
        gemm.rows = ins;
        gemm.columns = pixels;
        const int64_t pitch = fc_class_pitch(p, taps);
        gemm.a = is_packed(plan) ? (fc_matrix){.data = weight, .row = pitch, .depth = 1, .group = ins * pitch}
                                 : (fc_matrix){.data = operands->weight, .row = 1, .depth = ins, .group = outs * ins};
        gemm.b = grad_output;
        gemm.c_row = in[1];
    } else {
        gemm.rows = pixels;
        gemm.columns = ins;
        gemm.a = grad_output;
        gemm.b = (fc_matrix){.source = FC_PANELS, .data = weight, .group = fc_panels_elements(plan, taps)};
        gemm.c_row = p->in_channels;
    }
    return gemm;
}

static void input_gradient(const fc_plan *plan, const fc_operands *operands, char *workspace, int threads)
{
    const fc_conv *p = &plan->problem;
    fc_phase phase;
    for (int64_t i = 0; i < fc_phase_count(p); i++)
        if (!fc_phase_make(p, i, &phase)) {
            fc_fill_input(plan, operands, threads);
            break;
        }
    for (int64_t i = 0; i < fc_phase_count(p); i++)
        if (fc_phase_make(p, i, &phase)) {
            const fc_gemm gemm = phase_gemm(plan, operands, &phase);
            fc_gemm_run(&gemm, workspace, threads);
        }
}

/* ---- weight gradient ---- */

static size_t gathered_bytes(const fc_conv *p)
{
    const int64_t elements = p->batch * p->out_channels * fc_volume(p->out_size);
    return joins_images(p) && p->layout == FC_CHANNELS_FIRST ? fc_whole_lines(elements * (int64_t)fc_element_bytes(p->dtype)) : 0;
}

typedef struct {
    const fc_conv *problem;
    const char *source;
    char *target;
} gather_job;

static void gather_task(void *context, int64_t channel, int thread)
{
    (void)thread;
    const gather_job *job = context;
    const fc_conv *p = job->problem;
    const int64_t bytes = fc_volume(p->out_size) * (int64_t)fc_element_bytes(p->dtype);
    for (int64_t image = 0; image < p->batch; image++)
        memcpy(job->target + (channel * p->batch + image) * bytes, job->source + (image * p->out_channels + channel) * bytes,
               (size_t)bytes);
}

static fc_gemm weight_gemm(const fc_plan *plan, const fc_operands *operands, const void *gathered)
{
    const fc_conv *p = &plan->problem;
    const int64_t outs = p->out_channels / p->groups, ins = p->in_channels / p->groups, taps = fc_taps(p);
    int64_t in[5], out[5];
    fc_tensor_strides(p->layout, p->in_channels, p->in_size, in);
    fc_tensor_strides(p->layout, p->out_channels, p->out_size, out);
    fc_gemm gemm = {.isa = plan->isa, .dtype = p->dtype, .layout = p->layout, .images = 1, .groups = p->groups,
                    .segments = p->batch, .rows = outs, .columns = ins * taps, .depth = fc_volume(p->out_size),
                    .c = operands->weight, .c_row = ins * taps, .c_group = outs * ins * taps,
                    .c_slice = p->out_channels * ins * taps,
                    .reordered_taps = p->layout == FC_CHANNELS_LAST ? taps : 0};
    gemm.a = (fc_matrix){.data = operands->output, .row = out[1], .depth = out[4], .group = outs * out[1], .segment = out[0]};
    gemm.b = (fc_matrix){.source = FC_WINDOW_GRADIENT, .data = operands->input, .group = ins * in[1], .segment = in[0],
                         .window = fc_forward_window(p)};
    if (joins_images(p)) {
        gemm.segments = 1;
        gemm.depth *= p->batch;
        gemm.b.window.out[0] = p->batch;
        gemm.b.window.step[0] = in[0] / in[2]; /* layers from an image to the next */
        gemm.b.window.in[0] = p->batch * gemm.b.window.step[0];
        if (p->layout == FC_CHANNELS_FIRST)
            gemm.a = (fc_matrix){.data = gathered, .row = gemm.depth, .depth = 1, .group = outs * gemm.depth};
    }
    gemm.slices = fc_gemm_slices(&gemm);
    return gemm;
}

static size_t workspace(const fc_plan *plan, int threads)
{
    const fc_operands nothing = {0};
    if (plan->pass == FC_FORWARD) {
        const fc_gemm gemm = forward_gemm(plan, &nothing);
        return fc_gemm_workspace(&gemm, threads);
    }
    if (plan->pass == FC_WEIGHT_GRADIENT) {
        const fc_gemm gemm = weight_gemm(plan, &nothing, NULL);
        return gathered_bytes(&plan->problem) + fc_gemm_workspace(&gemm, threads);
    }
    size_t most = 0;
    for (int64_t i = 0; i < fc_phase_count(&plan->problem); i++) {
        fc_phase phase;
        if (!fc_phase_make(&plan->problem, i, &phase))
            continue;
        const fc_gemm gemm = phase_gemm(plan, &nothing, &phase);
        const size_t bytes = fc_gemm_workspace(&gemm, threads);
        most = bytes > most ? bytes : most;
    }
    return most;
}

static void run(const fc_plan *plan, const fc_operands *operands, void *workspace, int threads)
{
    if (plan->pass == FC_INPUT_GRADIENT) {
        input_gradient(plan, operands, workspace, threads);
        return;
    }
    const size_t gathered = plan->pass == FC_WEIGHT_GRADIENT ? gathered_bytes(&plan->problem) : 0;
    gather_job job = {&plan->problem, operands->output, workspace};
    if (gathered)
        fc_parallel_for(plan->problem.out_channels, threads, gather_task, &job);
    const fc_gemm gemm = plan->pass == FC_FORWARD ? forward_gemm(plan, operands) : weight_gemm(plan, operands, workspace);
    fc_gemm_run(&gemm, (char *)workspace + gathered, threads);
}

const fc_algo fc_algo_im2col = {.name = "im2col", .supports = supports, .cost = cost, .packed = packed, .pack = fc_classes_pack,
                                .workspace = workspace, .run = run};
