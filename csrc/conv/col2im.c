/* The transpose of im2col, for input gradients: what every output sends back, then the sum of it.
 *
 *     columns[p][c, t] = sum over k of dy[k][p] w[k][c, t]            one product a group and some images
 *     dx[c][i]         = sum over p, t with p * stride + t * dilation - padding = i of columns[p][c, t]
 *
 * im2col needs the weight transposed, which takes longer than the product where there are few outputs and many channels.
 * Here the weight is B, and goes through panel by panel as it lies; what it costs is `columns`, of the size of the outputs
 * times ins * taps, in the workspace.
 *
 * Large maps of channels first go by planes, columns[c, t][p]: grad_output is then B, and read where it lies, and a plane of the
 * input sums whole rows of its columns. */
#include "../algorithm.h"
#include "../gemm.h"
#include "../parallel.h"

static const char *supports(const fc_conv *problem, fc_pass pass)
{
    (void)problem;
    return pass == FC_INPUT_GRADIENT ? NULL : "computes transposed convolutions and the gradient of a convolution's input only";
}

enum {
    CHANNEL_BLOCK = 32, /* channels whose planes stay in L1 while all outputs pass */
    ROWS = 256,         /* of a product, at least, where there are so many: small images go together */
    LEAST_PIXELS = 64,      /* of a map that goes by planes */
    LEAST_ROW = 8,          /* of its rows, which are summed one by one */
    PLANES_BYTES = 1 << 20, /* of columns of planes at a time, about: they stay in L2 */
    FAR_BYTES = 4 << 20,    /* of the columns of an image that come back from memory */
};

static int goes_by_planes(const fc_conv *p)
{
    return p->layout == FC_CHANNELS_FIRST && fc_volume(p->out_size) >= LEAST_PIXELS && p->out_size[2] >= LEAST_ROW;
}

static int64_t images_together(const fc_conv *problem)
{
    const int64_t image = fc_volume(problem->out_size) * problem->in_channels * fc_taps(problem);
    if (goes_by_planes(problem))
        return fc_smaller(problem->batch, fc_larger(1, PLANES_BYTES / (image * (int64_t)fc_element_bytes(problem->dtype))));
    return fc_smaller(problem->batch, fc_larger(1, ROWS / fc_volume(problem->out_size)));
}

/* Whether the rows of several images lie at one stride: otherwise they are brought to channels last. */
static int is_gathered(const fc_conv *problem)
{
    return problem->layout == FC_CHANNELS_FIRST && fc_volume(problem->out_size) > 1 && !goes_by_planes(problem) &&
           images_together(problem) > 1;
}

/* Products that read grad_output once, and rows of columns that are stored and added. */
static double planes_cost(const fc_conv *problem, const fc_isa *isa)
{
    const double rows = (double)(problem->in_channels / problem->groups * fc_taps(problem)), groups = (double)problem->groups;
    const double images = (double)problem->batch, pixels = (double)fc_volume(problem->out_size);
    const double lanes = (double)fc_round_up(fc_volume(problem->out_size), isa->kernels[problem->dtype]->lanes) / pixels;
    const double waste = lanes * (rows + 0.7) / rows * (1 + 10 / pixels) * 1.05;
    const double image = groups * rows * pixels * (double)fc_element_bytes(problem->dtype);
    const double far = image > FAR_BYTES ? 0.7 : 0; /* an element of columns that no cache holds */
    const double add = problem->stride[2] == 1 ? 0.1 : problem->stride[2] == 2 ? 0.2 : 0.8;
    return 2000 + fc_multiply_adds(problem) * waste / fc_multiply_adds_per_ns(isa, problem->dtype) +
           images * (double)problem->out_channels * pixels * 0.2 +
           images * groups * rows * (pixels * (0.1 + far + add * fc_inside_share(problem, FC_FORWARD)) +
                                     pixels / (double)problem->out_size[2] * 8) +
           (double)(problem->batch * problem->in_channels) * (60 + (double)fc_volume(problem->in_size) * 0.15);
}

/* Packing each panel of the weight once a product, 0.2 ns an element, and 1 ns to read, add and write a column's element, 30 to find
 * where those of an output go: fitted on the 7x7 layers of resnet50 and problems drawn at random. */
static double cost(const fc_conv *problem, fc_pass pass, const fc_isa *isa)
{
    (void)pass;
    if (goes_by_planes(problem))
        return planes_cost(problem, isa);
    const double outs = (double)problem->out_channels / (double)problem->groups;
    const double pixels = (double)problem->batch * (double)fc_volume(problem->out_size);
    const double columns = (double)(problem->in_channels / problem->groups) * (double)fc_taps(problem);
    const double rounds = (double)fc_divide_up(problem->batch, images_together(problem)), groups = (double)problem->groups;
    const double lanes = (double)fc_round_up((int64_t)columns, isa->kernels[problem->dtype]->lanes) / columns;
    const double waste = (pixels / rounds + 2) / (pixels / rounds) * lanes;
    return 2000 + fc_multiply_adds(problem) * waste / fc_multiply_adds_per_ns(isa, problem->dtype) +
           (double)(problem->batch * problem->in_channels * fc_volume(problem->in_size)) * 0.15 + groups * pixels * 60 +
           groups * columns * (rounds * outs * 0.4 + 2 * pixels * fc_inside_share(problem, FC_FORWARD));
}

typedef struct {
    const fc_plan *plan;
    const fc_operands *operands;
    int64_t first, images; /* of this round */
    char *rows, *columns;
} col2im_job;

static fc_gemm planes_gemm(const col2im_job *job)
{
    const fc_conv *p = &job->plan->problem;
    const int64_t outs = p->out_channels / p->groups, rows = p->in_channels / p->groups * fc_taps(p), pixels = fc_volume(p->out_size);
    const int64_t image = p->out_channels * pixels, first = job->first * image * (int64_t)fc_element_bytes(p->dtype);
    fc_gemm gemm = {.isa = job->plan->isa, .dtype = p->dtype, .layout = p->layout, .images = job->images, .groups = p->groups,
                    .segments = 1, .slices = 1, .rows = rows, .columns = pixels, .depth = outs, .c = job->columns, .c_row = pixels,
                    .c_image = p->groups * rows * pixels, .c_group = rows * pixels, .read_again = 1};
    gemm.a = (fc_matrix){.data = job->operands->weight, .row = 1, .depth = rows, .group = outs * rows};
    gemm.b = (fc_matrix){.data = (const char *)job->operands->output + first, .depth = pixels, .image = image,
                         .group = outs * pixels, .window = fc_matrix_window(outs, pixels, pixels)};
    return gemm;
}

static fc_gemm columns_gemm(const col2im_job *job)
{
    if (goes_by_planes(&job->plan->problem))
        return planes_gemm(job);

    const fc_conv *p = &job->plan->problem;
    const int64_t outs = p->out_channels / p->groups, width = p->in_channels / p->groups * fc_taps(p);
    int64_t out[5];
    fc_tensor_strides(p->layout, p->out_channels, p->out_size, out);
    fc_gemm gemm = {.isa = job->plan->isa, .dtype = p->dtype, .layout = p->layout, .images = 1, .groups = p->groups,
                    .segments = 1, .slices = 1, .rows = job->images * fc_volume(p->out_size), .columns = width, .depth = outs,
                    .c = job->columns, .c_row = p->groups * width, .c_group = width, .read_again = 1};
    const int64_t first = job->first * out[0] * (int64_t)fc_element_bytes(p->dtype);
    const int64_t row = fc_volume(p->out_size) > 1 ? out[4] : out[0];
    gemm.a = is_gathered(p) ? (fc_matrix){.data = job->rows, .row = p->out_channels, .depth = 1, .group = outs}
                            : (fc_matrix){.data = (const char *)job->operands->output + first, .row = row, .depth = out[1],
                                          .group = outs * out[1]};
    gemm.b = (fc_matrix){.source = FC_WINDOW, .data = job->operands->weight, .group = outs * width,
                         .window = fc_matrix_window(outs, width, width)};
    return gemm;
}

static void gather_task(void *context, int64_t image, int thread)
{
    (void)thread;
    const col2im_job *job = context;
    const fc_conv *p = &job->plan->problem;
    const int64_t pixels = fc_volume(p->out_size), bytes = pixels * p->out_channels * (int64_t)fc_element_bytes(p->dtype);
    job->plan->isa->kernels[p->dtype]->transpose(p->out_channels, pixels,
                                                 (const char *)job->operands->output + (job->first + image) * bytes, pixels,
                                                 job->rows + image * bytes, p->out_channels);
}

/* A plane of the input. */
static void plane_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const col2im_job *job = context;
    const fc_conv *p = &job->plan->problem;
    const int64_t image = job->first + task / p->in_channels, channel = task % p->in_channels;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype), columns = fc_taps(p) * fc_volume(p->out_size);
    fc_start_input(job->plan, job->operands, image, channel, channel + 1);
    job->plan->isa->kernels[p->dtype]->spread_plane(
        p, job->columns + task * columns * element,
        (char *)job->operands->input + (image * p->in_channels + channel) * fc_volume(p->in_size) * element);
    fc_finish_input(job->plan, job->operands, image, channel, channel + 1);
}

static void spread_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const col2im_job *job = context;
    const fc_conv *p = &job->plan->problem;
    const int64_t blocks = fc_divide_up(p->in_channels, CHANNEL_BLOCK), image = job->first + task / blocks;
    const int64_t first = task % blocks * CHANNEL_BLOCK, last = fc_smaller(first + CHANNEL_BLOCK, p->in_channels);
    const int64_t element = (int64_t)fc_element_bytes(p->dtype);
    const int64_t columns = task / blocks * fc_volume(p->out_size) * p->in_channels * fc_taps(p) * element;
    fc_start_input(job->plan, job->operands, image, first, last);
    job->plan->isa->kernels[p->dtype]->spread(
        p, job->columns + columns, first, last,
        (char *)job->operands->input + image * p->in_channels * fc_volume(p->in_size) * element);
    fc_finish_input(job->plan, job->operands, image, first, last);
}

/* The workspace: rows of several images, their columns, the product's own. */
static size_t rows_bytes(const fc_conv *p)
{
    const int64_t rows = images_together(p) * fc_volume(p->out_size);
    return is_gathered(p) ? (size_t)fc_round_up(rows * p->out_channels * (int64_t)fc_element_bytes(p->dtype), 128) : 0;
}

static size_t columns_bytes(const fc_conv *p)
{
    const int64_t rows = images_together(p) * fc_volume(p->out_size);
    return (size_t)fc_round_up(rows * p->in_channels * fc_taps(p) * (int64_t)fc_element_bytes(p->dtype), 128);
}

static size_t workspace(const fc_plan *plan, int threads)
{
    const fc_operands nothing = {0};
    const col2im_job job = {.plan = plan, .operands = &nothing, .images = images_together(&plan->problem)};
    const fc_gemm gemm = columns_gemm(&job);
    return rows_bytes(&plan->problem) + columns_bytes(&plan->problem) + fc_gemm_workspace(&gemm, threads);
}

static void run(const fc_plan *plan, const fc_operands *operands, void *workspace, int threads)
{
    const fc_conv *p = &plan->problem;
    col2im_job job = {.plan = plan, .operands = operands, .rows = workspace,
                      .columns = (char *)workspace + rows_bytes(p)};
    for (; job.first < p->batch; job.first += job.images) {
        job.images = fc_smaller(images_together(p), p->batch - job.first);
        if (is_gathered(p))
            fc_parallel_for(job.images, threads, gather_task, &job);
        const fc_gemm gemm = columns_gemm(&job);
        fc_gemm_run(&gemm, job.columns + columns_bytes(p), threads);
        if (goes_by_planes(p))
            fc_parallel_for(job.images * p->in_channels, threads, plane_task, &job);
        else
            fc_parallel_for(job.images * fc_divide_up(p->in_channels, CHANNEL_BLOCK), threads, spread_task, &job);
    }
}

const fc_algo fc_algo_col2im = {.name = "col2im", .supports = supports, .cost = cost, .workspace = workspace, .run = run};
