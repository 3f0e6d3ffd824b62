/* 1x1 convolutions of stride 1 without padding: plain matrix products, the tensors read in place.
 *
 *                    channels first                  channels last
 *   forward          y[k][p]  = w[k][c]  x[c][p]     y[p][k]  = x[p][c]  w[c][k]    (w packed: its lanes are outputs)
 *   input gradient   dx[c][p] = w[k][c]' dy[k][p]    dx[p][c] = dy[p][k] w[k][c]
 *   weight gradient  dw[k][c] = dy[k][p] x[c][p]'    dw[k][c] = dy[p][k]' x[p][c]
 *
 * A transposed operand on the left costs nothing, since its elements are broadcast one by one; one on the right is
 * transposed a panel at a time. */
#include "../algorithm.h"
#include "../gemm.h"
#include "../parallel.h"

static const char *supports(const fc_conv *problem, fc_pass pass)
{
    (void)pass;
    for (int d = 0; d < 3; d++)
        if (problem->kernel[d] != 1 || problem->stride[d] != 1 || problem->padding[d] ||
            problem->in_size[d] != problem->out_size[d])
            return "needs a 1x1 kernel, stride 1 and no padding";
    return NULL;
}

/* As im2col, whose window costs a little more to pack. */
static double cost(const fc_conv *problem, fc_pass pass, const fc_isa *isa)
{
    const fc_kernels *kernels = isa->kernels[problem->dtype];
    const double outs = (double)(problem->out_channels / problem->groups);
    const double ins = (double)(problem->in_channels / problem->groups);
    const double pixels = (double)problem->batch * (double)fc_volume(problem->out_size);
    const double lanes = pass == FC_WEIGHT_GRADIENT ? ins : (double)fc_volume(problem->out_size);
    const double rows = pass == FC_INPUT_GRADIENT ? ins : outs;
    const double waste = (double)fc_round_up((int64_t)lanes, kernels->lanes) / lanes * (rows + 0.7) / rows *
                         (pass == FC_WEIGHT_GRADIENT ? 1.1 : 1 + 10 / lanes);
    const double packed = pixels * (double)problem->groups * (pass == FC_INPUT_GRADIENT ? outs : ins);
    /* what begins and ends the product of a vector of pixels, of few channels most of it */
    const double begun = (double)problem->batch * (double)problem->groups * lanes / kernels->lanes * 12;
    const double weight = pass == FC_INPUT_GRADIENT ? outs * ins * (double)problem->groups * 0.4 : 0; /* read by columns */
    /* each image's sum begins where the one before ended */
    const double sums = pass == FC_WEIGHT_GRADIENT ? (double)problem->groups * (1000 + (double)problem->batch * outs * ins * 0.2) : 0;
    return 600 + sums + fc_multiply_adds(problem) / fc_multiply_adds_per_ns(isa, problem->dtype) * waste +
           packed * (pass == FC_WEIGHT_GRADIENT ? 0.35 : 0.05) + (pass == FC_WEIGHT_GRADIENT ? 0 : begun) + weight;
}

static size_t packed(const fc_plan *plan)
{
    const fc_conv *p = &plan->problem;
    if (plan->pass != FC_FORWARD || p->layout == FC_CHANNELS_FIRST)
        return 0;
    return (size_t)(p->groups * fc_panels_elements(plan, 1)) * fc_element_bytes(p->dtype);
}

static void pack(const fc_plan *plan, const void *weight, void *packed, int threads)
{
    const int64_t tap = 0;
    fc_pack_panels(plan, weight, &tap, 1, packed, threads);
}

static fc_gemm make_gemm(const fc_plan *plan, const fc_operands *operands)
{
    const fc_conv *p = &plan->problem;
    const int channels_first = p->layout == FC_CHANNELS_FIRST;
    const int64_t outs = p->out_channels / p->groups, ins = p->in_channels / p->groups, pixels = fc_volume(p->out_size);
    int64_t in[5], out[5];
    fc_tensor_strides(p->layout, p->in_channels, p->in_size, in);
    fc_tensor_strides(p->layout, p->out_channels, p->out_size, out);
    const int64_t in_row = channels_first ? pixels : p->in_channels, out_row = channels_first ? pixels : p->out_channels;
    fc_gemm gemm = {.isa = plan->isa, .dtype = p->dtype, .layout = p->layout, .images = p->batch, .groups = p->groups,
                    .segments = 1, .slices = 1};
    const fc_matrix input = {.data = operands->input, .row = in_row, .depth = 1, .image = in[0], .group = ins * in[1]};
    const fc_matrix output = {.data = operands->output, .row = out_row, .depth = 1, .image = out[0], .group = outs * out[1]};
    const fc_matrix weight = {.data = operands->weight, .row = ins, .depth = 1, .group = outs * ins};

    if (plan->pass == FC_WEIGHT_GRADIENT) {
        gemm.images = 1;
        gemm.segments = p->batch;
        gemm.rows = outs;
        gemm.columns = ins;
        gemm.depth = pixels;
        gemm.a = output;
        gemm.b = input;
        gemm.a.segment = out[0];
        gemm.b.segment = in[0];
        gemm.a.image = gemm.b.image = 0;
        gemm.c = operands->weight;
        gemm.c_row = ins;
        gemm.c_group = outs * ins;
        gemm.c_slice = p->out_channels * ins;
        if (channels_first) {
            gemm.b.source = FC_WINDOW_GRADIENT;
            gemm.b.window = fc_matrix_window(ins, pixels, pixels);
        } else {
            gemm.a.row = 1;
            gemm.a.depth = p->out_channels;
            gemm.b.depth = p->in_channels;
            gemm.b.window = fc_matrix_window(pixels, ins, p->in_channels);
        }
        gemm.slices = fc_gemm_slices(&gemm);
        return gemm;
    }

    const int forward = plan->pass == FC_FORWARD;
    gemm.c = forward ? operands->output : operands->input;
    gemm.c_row = forward ? out_row : in_row;
    gemm.c_image = forward ? out[0] : in[0];
    gemm.c_group = forward ? outs * out[1] : ins * in[1];
    gemm.bias = operands->bias;
    gemm.activation = operands->activation;
    gemm.depth = forward ? ins : outs;
    if (channels_first) {
        gemm.rows = forward ? outs : ins;
        gemm.columns = pixels;
        gemm.a = weight;
        if (!forward) {
            gemm.a.row = 1;
            gemm.a.depth = ins;
        }
        gemm.b = forward ? input : output;
        gemm.b.depth = pixels;
        gemm.b.window = fc_matrix_window(gemm.depth, pixels, pixels);
    } else {
        gemm.rows = pixels;
        gemm.columns = forward ? outs : ins;
        gemm.a = forward ? input : output;
        gemm.b = weight;
        if (forward) {
            gemm.b.source = FC_PANELS;
            gemm.b.data = operands->packed;
            gemm.b.group = fc_panels_elements(plan, 1);
        } else {
            gemm.b.depth = ins;
            gemm.b.window = fc_matrix_window(outs, ins, ins);
        }
    }
    return gemm;
}

static size_t workspace(const fc_plan *plan, int threads)
{
    const fc_operands nothing = {0};
    const fc_gemm gemm = make_gemm(plan, &nothing);
    return fc_gemm_workspace(&gemm, threads);
}

static void run(const fc_plan *plan, const fc_operands *operands, void *workspace, int threads)
{
    const fc_gemm gemm = make_gemm(plan, operands);
    fc_gemm_run(&gemm, workspace, threads);
}

const fc_algo fc_algo_pointwise = {.name = "pointwise", .supports = supports, .cost = cost, .packed = packed, .pack = pack,
                                   .workspace = workspace, .run = run};
