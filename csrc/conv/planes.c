#include "planes.h"

#include "../parallel.h"

#include <math.h>

enum {
    MOST_REACH = 1 << 16, /* elements between the first tap and the last, with those between */
    MOST_PHASES = 256,    /* of an input gradient */
    LEAST_COLUMNS = 256,  /* of a block that does not take the whole width */
};

const char *fc_planes_refuse(const fc_conv *problem, fc_pass pass)
{
    double reach = 1, phases = 1;
    for (int d = 0; d < 3; d++) {
        reach *= (double)problem->dilation[d] * (double)(problem->kernel[d] - 1) + 1;
        phases *= (double)fc_smaller(problem->stride[d], problem->in_size[d]);
    }
    if (reach > MOST_REACH)
        return "needs a kernel that reaches over fewer elements";
    return pass == FC_INPUT_GRADIENT && phases > MOST_PHASES ? "needs a smaller stride" : NULL;
}

/* What all phases of an input gradient read of grad_output, as one window over the grid of the first. */
static fc_window gradient_window(const fc_conv *problem)
{
    int64_t strides[5], last[3];
    fc_window all = {.channels = 1, .step = {1, 1, 1}, .tap_step = {1, 1, 1}};
    fc_tensor_strides(problem->layout, problem->out_channels, problem->out_size, strides);
    for (int d = 0; d < 3; d++) {
        all.out[d] = fc_divide_up(problem->in_size[d], problem->stride[d]);
        all.in[d] = problem->out_size[d];
        all.stride[d] = strides[2 + d];
        all.origin[d] = problem->out_size[d];
        last[d] = -problem->out_size[d];
    }
    fc_phase phase;
    for (int64_t i = 0; i < fc_phase_count(problem); i++)
        if (fc_phase_make(problem, i, &phase))
            for (int d = 0; d < 3; d++) {
                const fc_window *window = &phase.window;
                all.origin[d] = fc_smaller(all.origin[d], window->origin[d] - fc_window_reach(window, d));
                last[d] = fc_larger(last[d], window->origin[d]);
            }
    for (int d = 0; d < 3; d++)
        all.taps[d] = fc_larger(1, last[d] - all.origin[d] + 1);
    return all;
}

static fc_window window_of(const fc_conv *problem, fc_pass pass)
{
    return pass == FC_INPUT_GRADIENT ? gradient_window(problem) : fc_forward_window(problem);
}

int64_t fc_plane_bytes(const fc_conv *problem, fc_pass pass, const fc_isa *isa)
{
    const fc_window window = window_of(problem, pass);
    int64_t phases = 1, cells = 1;
    for (int d = 0; d < 3; d++) {
        phases *= fc_window_phases(&window, d);
        cells *= window.out[d] + fc_window_reach(&window, d) / window.step[d];
    }
    const int64_t lanes = isa->kernels[problem->dtype]->lanes;
    return fc_round_up(phases * (cells + lanes) + lanes, lanes) * (int64_t)fc_element_bytes(problem->dtype);
}

int64_t fc_plane_image_bytes(const fc_conv *problem, fc_pass pass, const fc_isa *isa)
{
    return (pass == FC_INPUT_GRADIENT ? problem->out_channels : problem->in_channels) * fc_plane_bytes(problem, pass, isa);
}

int fc_plane_at_once(const fc_conv *problem, fc_pass pass, const fc_isa *isa)
{
    const fc_window window = window_of(problem, pass);
    const int64_t beyond = fc_window_reach(&window, 0) / window.step[0];
    return window.out[0] * (1 + beyond) > 2 * (window.out[0] + beyond) &&
           fc_plane_image_bytes(problem, pass, isa) <= FC_COPY_BYTES;
}

double fc_plane_packing(const fc_conv *problem, fc_pass pass, int at_once)
{
    const fc_window window = window_of(problem, pass);
    double rows = at_once ? 1 : (double)window.out[0], width = 0;
    for (int d = 0; d < 3; d++) {
        const int64_t beyond = fc_window_reach(&window, d) / window.step[d];
        rows *= (double)fc_window_phases(&window, d) *
                (d < 2 ? (double)((d == 0 && !at_once ? 1 : window.out[d]) + beyond) : 1);
        width = (double)(window.out[d] + beyond);
    }
    enum { TEETH = 16 }; /* of a larger stride, picked at once from as many vectors as it has steps */
    return rows * (5 + (window.step[2] > 2 ? ceil(width / TEETH) * (double)window.step[2] * 3 : width * (window.step[2] > 1 ? 0.2 : 0.1)));
}

fc_plane fc_plane_make(const fc_plan *plan, int64_t cell, int64_t bytes)
{
    const fc_conv *p = &plan->problem;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype), lanes = plan->isa->kernels[p->dtype]->lanes;
    fc_plane plane = {.window = window_of(p, plan->pass), .cell = cell};
    const fc_window *window = &plane.window;
    int64_t beyond[3], phases = 1;
    for (int d = 0; d < 3; d++) {
        beyond[d] = fc_window_reach(window, d) / window->step[d];
        phases *= fc_window_phases(window, d);
    }
    const int64_t cells = bytes / (phases * (1 + beyond[0]) * cell * element); /* of a phase's rows */
    const int64_t most_columns = fc_larger(fc_larger(LEAST_COLUMNS, beyond[2]), cells / (1 + beyond[1]) - beyond[2]);
    plane.across = fc_divide_up(window->out[2], most_columns);
    plane.columns = fc_divide_up(window->out[2], plane.across);
    plane.length[2] = plane.columns + beyond[2];
    const int64_t most_rows = fc_larger(fc_larger(1, beyond[1]), cells / plane.length[2] - beyond[1]);
    plane.length[0] = 1 + beyond[0];
    plane.margin = lanes;
    fc_plane_cut(&plane, fc_divide_up(window->out[1], most_rows));
    return plane;
}

void fc_plane_cut(fc_plane *plane, int64_t down)
{
    const fc_window *window = &plane->window;
    const int64_t phases = fc_window_phases(window, 0) * fc_window_phases(window, 1) * fc_window_phases(window, 2);
    plane->down = down;
    plane->rows = fc_divide_up(window->out[1], down);
    plane->length[1] = plane->rows + fc_window_reach(window, 1) / window->step[1];
    plane->phase_cells = fc_volume(plane->length) + (plane->cell == 1 ? plane->margin : 0); /* whole vectors are written */
    plane->elements = fc_round_up(phases * plane->phase_cells * plane->cell + plane->margin, plane->margin);
}

fc_plane fc_plane_whole(const fc_plane *plane)
{
    fc_plane whole = *plane;
    whole.length[0] += plane->window.out[0] - 1;
    whole.length[2] += plane->window.out[2] - plane->columns;
    whole.columns = plane->window.out[2];
    fc_plane_cut(&whole, 1);
    return whole;
}

int64_t fc_plane_place(const fc_plane *whole, const fc_plane_block *block)
{
    return (block->z * whole->length[1] + block->y0) * whole->length[2] + block->x0;
}

typedef struct {
    const fc_plan *plan;
    const fc_plane *whole;
    const char *source;
    int64_t stride;
    char *target;
} pack_job;

static void pack_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const pack_job *j = context;
    const fc_dtype dtype = j->plan->problem.dtype;
    const int64_t element = (int64_t)fc_element_bytes(dtype), first[3] = {0, 0, 0};
    j->plan->isa->kernels[dtype]->pack_plane(&j->whole->window, first, j->whole->length, j->whole->phase_cells,
                                             j->source + task * j->stride * element,
                                             j->target + task * j->whole->elements * element);
}

void fc_plane_pack_all(const fc_plan *plan, const fc_plane *whole, const void *source, int64_t stride, int64_t count, void *target,
                       int threads)
{
    pack_job j = {plan, whole, source, stride, target};
    fc_parallel_for(count, threads, pack_task, &j);
}

int64_t fc_plane_blocks(const fc_plane *plane) { return plane->window.out[0] * plane->down * plane->across; }

fc_plane_block fc_plane_block_at(const fc_plane *plane, int64_t block)
{
    const int64_t *out = plane->window.out, across = block % plane->across, down = block / plane->across % plane->down;
    return (fc_plane_block){block / (plane->across * plane->down), out[1] * down / plane->down, out[1] * (down + 1) / plane->down,
                            out[2] * across / plane->across, out[2] * (across + 1) / plane->across};
}

int64_t fc_plane_sums(const fc_plan *plan) { return plan->pass == FC_INPUT_GRADIENT ? fc_phase_count(&plan->problem) : 1; }

void fc_plane_list(const fc_plan *plan, const fc_plane *plane, fc_plane_sum *sums, int64_t *room)
{
    const fc_conv *p = &plan->problem;
    const fc_window *all = &plane->window;
    for (int64_t i = 0; i < fc_plane_sums(plan); i++) {
        fc_phase phase = {.window = *all};
        sums[i].taps = 0;
        if (plan->pass == FC_INPUT_GRADIENT && !fc_phase_make(p, i, &phase))
            continue;
        const fc_window *window = &phase.window;
        int64_t *offsets = room, *places = room + fc_volume(window->taps), tap[3];
        for (tap[0] = 0; tap[0] < window->taps[0]; tap[0]++)
            for (tap[1] = 0; tap[1] < window->taps[1]; tap[1]++)
                for (tap[2] = 0; tap[2] < window->taps[2]; tap[2]++) {
                    int64_t part = 0, cell = 0;
                    for (int d = 0; d < 3; d++) {
                        const int64_t reach = tap[d] * window->tap_step[d] + window->origin[d] - all->origin[d];
                        part = part * fc_window_phases(all, d) + reach % all->step[d];
                        cell = cell * plane->length[d] + reach / all->step[d];
                    }
                    places[sums[i].taps] = sums[i].taps;
                    offsets[sums[i].taps++] = part * plane->phase_cells + cell;
                }
        if (plan->pass == FC_INPUT_GRADIENT)
            fc_class_taps(p, phase.first_tap, phase.tap_step, places);
        sums[i].offsets = offsets;
        sums[i].places = places;
        room += 2 * sums[i].taps;
    }
}
