/* Direct: the definition in plain loops (isa/direct.inc), for every problem and pass.  It needs no workspace, so it is also
 * what remains where nothing else fits: the smallest problems, and gradients whose weight is not finite. */
#include "../algorithm.h"
#include "../parallel.h"

typedef struct {
    const fc_plan *plan;
    const fc_operands *operands;
    int64_t channels;
} direct_job;

static const char *supports(const fc_conv *problem, fc_pass pass)
{
    (void)problem, (void)pass;
    return NULL;
}

/* 1.5 to 2 ns a multiply-add, one at a time behind an address that must be checked; as much for each tap of an input of a gradient,
 * whether an output reads it or not. */
static double cost(const fc_conv *problem, fc_pass pass, const fc_isa *isa)
{
    (void)isa;
    const double inputs = (double)problem->batch * (double)problem->in_channels * (double)fc_volume(problem->in_size);
    const double looks = pass == FC_INPUT_GRADIENT ? inputs * (double)fc_taps(problem) : 0;
    return 50 + 3 * fc_multiply_adds(problem) + 2 * looks;
}

static void direct_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const direct_job *job = context;
    const fc_plan *plan = job->plan;
    plan->isa->kernels[plan->problem.dtype]->direct[plan->pass](&plan->problem, job->operands, task / job->channels,
                                                                task % job->channels);
}

static void run(const fc_plan *plan, const fc_operands *operands, void *workspace, int threads)
{
    (void)workspace;
    const fc_conv *p = &plan->problem;
    direct_job job = {plan, operands, plan->pass == FC_INPUT_GRADIENT ? p->in_channels : p->out_channels};
    fc_parallel_for(plan->pass == FC_WEIGHT_GRADIENT ? job.channels : p->batch * job.channels, threads, direct_task, &job);
}

const fc_algo fc_algo_direct = {.name = "direct", .supports = supports, .cost = cost, .run = run};
