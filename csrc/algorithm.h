/* An algorithm: a way to compute some or all passes of some or all convolutions.
 *
 * `supports` is a hard fact, `cost` an opinion: dispatch takes the cheapest that can, tests run every one that can, so an
 * opinion can be wrong about speed and never about results.  A new algorithm is a file in conv/ and a line in
 * algorithms.def. */
#ifndef FC_ALGORITHM_H
#define FC_ALGORITHM_H

#include "geometry.h"
#include "isa/isa.h"

typedef struct fc_algo {
    const char *name;
    /* NULL, or why it cannot: "needs a 1x1 kernel" */
    const char *(*supports)(const fc_conv *problem, fc_pass pass);
    /* Nanoseconds of one thread, estimated. */
    double (*cost)(const fc_conv *problem, fc_pass pass, const fc_isa *isa);
    /* Bytes of the weight in the form that `run` wants; 0: as it is.  NULL where it is never packed.  The form of an input
     * gradient may depend on stride and dilation, and on nothing else but the weight's shape and the layout. */
    size_t (*packed)(const fc_plan *plan);
    void (*pack)(const fc_plan *plan, const void *weight, void *packed, int threads);
    /* Bytes beside input, weight and output, packed weight not included. */
    size_t (*workspace)(const fc_plan *plan, int threads);
    void (*run)(const fc_plan *plan, const fc_operands *operands, void *workspace, int threads);
    int adds; /* an addend, in its store */
} fc_algo;

/* Runs the algorithm of a plan.  One that does not add is run without the activation; the addend and that follow, in place.  Dense
 * products do not: their tiles are a few lines of many rows, and what else is read so is slower than a pass over the output (1x1,
 * 64 to 256 channels, eight images of 56x56: 3.9 ms for 3.0; of one image 0.24 for 0.26). */
void fc_algorithm_run(const fc_plan *plan, const fc_operands *operands, void *workspace, int threads);

/* What costs are made of.  Multiply-adds that a thread does in a nanosecond inside the dense micro-kernel, of float32 on Zen 4:
 * 54 with AVX-512, 51 with AVX2, whose vectors of 64 bytes are two of 32; 11 with SSE2, which multiplies and adds apart.
 * Everything else in a cost was fitted on the same machine: what counts is which is the smallest. */
static inline double fc_multiply_adds_per_ns(const fc_isa *isa, fc_dtype dtype)
{
    const int lanes = isa->kernels[dtype]->lanes;
    const int bytes = lanes * (int)fc_element_bytes(dtype);
    return lanes * (bytes > 32 ? 3.4 : bytes > 16 ? 6.4 : 2.8);
}

/* A part of a workspace: pairs of lines of memory, which are fetched together, are not shared. */
static inline size_t fc_whole_lines(int64_t bytes) { return (size_t)fc_round_up(bytes, 2 * FC_LINE); }

/* Whether a result of so many bytes goes past the caches (simd.h: stream).  They would read each line before it is written, and keep
 * none of the first until the last is: 16 to 96 channels, 16 images of 112x112 4.5 ms for 2.1.  The rows, of all images, must begin
 * with lines. */
enum { FC_STREAM_BYTES = 8 << 20 };
static inline int fc_streams(const void *target, int64_t bytes, int64_t row_bytes)
{
    return bytes >= FC_STREAM_BYTES && ((uintptr_t)target | (uintptr_t)row_bytes) % FC_LINE == 0;
}

/* Of copies of whole images, about, where all threads share one. */
enum { FC_COPY_BYTES = 4 << 20 };

static inline int64_t fc_taps(const fc_conv *problem) { return fc_volume(problem->kernel); }

/* Multiply-adds of any pass: each output pixel, each tap, each pair of channels of a group. */
static inline double fc_multiply_adds(const fc_conv *problem)
{
    return (double)problem->batch * (double)fc_volume(problem->out_size) * (double)problem->out_channels *
           (double)(problem->in_channels / problem->groups) * (double)fc_taps(problem);
}

/* The same where every target takes all of its taps, whether or not they see padding: of an input gradient more, where the kernel
 * reaches over much of the map. */
double fc_dense_multiply_adds(const fc_conv *problem, fc_pass pass);

/* The share of them that meets no padding; and as far as rows, columns or layers alone (dimension d) count. */
double fc_inside_share(const fc_conv *problem, fc_pass pass);
double fc_inside_share_along(const fc_conv *problem, fc_pass pass, int d);

/* The forward pass's window on the input. */
static inline fc_window fc_forward_window(const fc_conv *problem)
{
    int64_t strides[5];
    fc_window window = {.channels = problem->in_channels / problem->groups};
    fc_tensor_strides(problem->layout, problem->in_channels, problem->in_size, strides);
    for (int d = 0; d < 3; d++) {
        window.out[d] = problem->out_size[d];
        window.taps[d] = problem->kernel[d];
        window.in[d] = problem->in_size[d];
        window.step[d] = problem->stride[d];
        window.tap_step[d] = problem->dilation[d];
        window.origin[d] = -problem->padding[d];
        window.stride[d] = strides[2 + d];
    }
    window.channel_stride = strides[1];
    return window;
}

/* Along one dimension, outputs that take the same taps: see conv/strands.h. */
typedef struct {
    int64_t first, step, count;              /* outputs first + i * step */
    int64_t first_tap, tap_step, taps;       /* of the kernel; no taps: outputs without a product */
    int64_t source, source_step, source_tap; /* output i reads the source at source + i * source_step + j * source_tap by its tap j */
} fc_strand;

/* A strided input gradient falls apart into dense phases.  Inputs i = q * stride + phase are read by
 * output o through tap t where o * stride + t * dilation - padding = i: for the taps t of one residue class,
 *     t = first + j * step,    o = q + origin - j * (step * dilation / stride),
 * so that each phase is a convolution of grad_output of stride 1 with a part of the kernel, and no zero is multiplied. */
typedef struct {
    fc_window window;                  /* on grad_output; window.out is the phase's grid */
    int64_t first_tap[3], tap_step[3]; /* in the kernel */
    int64_t offset, stride[3];         /* of the grid in grad_input, in elements */
} fc_phase;

int64_t fc_phase_count(const fc_conv *problem);
/* One dimension of a phase. */
fc_strand fc_phase_along(const fc_conv *problem, int d, int64_t shift);
/* Taps of dimension d so many apart belong to one phase. */
int64_t fc_phase_tap_step(const fc_conv *problem, int d);
/* 0 where no tap belongs to the phase: that part of the gradient is zero. */
int fc_phase_make(const fc_conv *problem, int64_t index, fc_phase *phase);
/* The flat kernel indices of the taps from `first` on that lie `step` apart, in the order of a phase's window; returns how many. */
int64_t fc_class_taps(const fc_conv *problem, const int64_t first[3], const int64_t step[3], int64_t *taps);

int fc_all_finite(const fc_plan *plan, const void *array, int64_t count, int threads);

/* An input gradient before the first sum: the bias of each channel, or zero. */
void fc_start_input(const fc_plan *plan, const fc_operands *operands, int64_t image, int64_t first, int64_t last);
/* And after the last: the activation.  Both of channels [first, last) of an image. */
void fc_finish_input(const fc_plan *plan, const fc_operands *operands, int64_t image, int64_t first, int64_t last);
/* Both, of the whole tensor, in parallel. */
void fc_fill_input(const fc_plan *plan, const fc_operands *operands, int threads);

#endif
