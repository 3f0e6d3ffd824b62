/* The transpose of im2col, for input gradients: what every output sends back, then the sum of it.
 *
 *     columns[p][c, t] = sum over k of dy[k][p] w[k][c, t]            one product an image and group
 *     dx[c][i]         = sum over p, t with p * stride + t * dilation - padding = i of columns[p][c, t]
 *
 * im2col needs the weight transposed, which takes longer than the product where there are few outputs and many channels.
 * Here the weight is B, and goes through panel by panel as it lies; what it costs is `columns`, of the size of the outputs
 * times ins * taps, in the workspace. */
#include "../algorithm.h"
#include "../gemm.h"
#include "../parallel.h"

static const char *supports(const fc_conv *problem, fc_pass pass)
{
    (void)problem;
    return pass == FC_INPUT_GRADIENT ? NULL : "computes the gradient of the input only";
}

/* Packing each panel of the weight for each image, 0.2 ns an element, and 1 ns to read, add and write a column's element:
 * fitted on the 7x7 layers of resnet50. */
static double cost(const fc_conv *problem, fc_pass pass, const fc_isa *isa)
{
    (void)pass;
    const double outs = (double)problem->out_channels / (double)problem->groups, pixels = (double)fc_volume(problem->out_size);
    const double columns = (double)(problem->in_channels / problem->groups) * (double)fc_taps(problem);
    const double products = (double)problem->batch * (double)problem->groups;
    const double multiply_adds = fc_multiply_adds(problem) * (pixels + 2) / pixels;
    return 1000 + multiply_adds / fc_multiply_adds_per_ns(isa, problem->dtype) + products * columns * (outs * 0.2 + pixels);
}

static fc_gemm columns_gemm(const fc_plan *plan, const fc_operands *operands, int64_t image, void *columns)
{
    const fc_conv *p = &plan->problem;
    const int64_t outs = p->out_channels / p->groups, width = p->in_channels / p->groups * fc_taps(p);
    int64_t out[5];
    fc_tensor_strides(p->layout, p->out_channels, p->out_size, out);
    fc_gemm gemm = {.isa = plan->isa, .dtype = p->dtype, .layout = p->layout, .images = 1, .groups = p->groups, .segments = 1,
                    .slices = 1, .rows = fc_volume(p->out_size), .columns = width, .depth = outs, .c = columns,
                    .c_row = p->groups * width, .c_group = width};
    const int64_t first = image * out[0] * (int64_t)fc_element_bytes(p->dtype);
    gemm.a = (fc_matrix){.data = (const char *)operands->output + first, .row = out[4], .depth = out[1],
                         .group = outs * out[1]};
    gemm.b = (fc_matrix){.source = FC_WINDOW, .data = operands->weight, .group = outs * width,
                         .window = fc_matrix_window(outs, width, width)};
    return gemm;
}

typedef struct {
    const fc_plan *plan;
    const fc_operands *operands;
    const char *columns;
    int64_t image;
} spread_job;

enum { CHANNEL_BLOCK = 32 }; /* channels whose planes stay in L1 while all outputs pass */

static void spread_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const spread_job *job = context;
    const fc_conv *p = &job->plan->problem;
    const int64_t first = task * CHANNEL_BLOCK, last = fc_smaller(first + CHANNEL_BLOCK, p->in_channels);
    const int64_t image_bytes = p->in_channels * fc_volume(p->in_size) * (int64_t)fc_element_bytes(p->dtype);
    fc_start_input(job->plan, job->operands, job->image, first, last);
    job->plan->isa->kernels[p->dtype]->spread(p, job->columns, first, last,
                                              (char *)job->operands->input + job->image * image_bytes);
    fc_finish_input(job->plan, job->operands, job->image, first, last);
}

static size_t columns_bytes(const fc_conv *problem)
{
    return (size_t)fc_round_up(fc_volume(problem->out_size) * problem->in_channels * fc_taps(problem) *
                                   (int64_t)fc_element_bytes(problem->dtype), 128);
}

static size_t workspace(const fc_plan *plan, int threads)
{
    const fc_operands nothing = {0};
    const fc_gemm gemm = columns_gemm(plan, &nothing, 0, NULL);
    return columns_bytes(&plan->problem) + fc_gemm_workspace(&gemm, threads);
}

static void run(const fc_plan *plan, const fc_operands *operands, void *workspace, int threads)
{
    const fc_conv *p = &plan->problem;
    for (int64_t image = 0; image < p->batch; image++) {
        const fc_gemm gemm = columns_gemm(plan, operands, image, workspace);
        spread_job job = {plan, operands, workspace, image};
        fc_gemm_run(&gemm, (char *)workspace + columns_bytes(p), threads);
        fc_parallel_for(fc_divide_up(p->in_channels, CHANNEL_BLOCK), threads, spread_task, &job);
    }
}

const fc_algo fc_algo_col2im = {.name = "col2im", .supports = supports, .cost = cost, .workspace = workspace, .run = run};
