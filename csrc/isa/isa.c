/* Which instruction sets were built, which of them this machine can run, and the one in use. */
#include "isa.h"
#include "../parallel.h"

#include <string.h>
#include <time.h>

#define FC_ISA(name) extern const fc_isa fc_isa_##name;
#include "isa.def"
#undef FC_ISA

static const fc_isa *const built[] = {
#define FC_ISA(name) &fc_isa_##name,
#include "isa.def"
#undef FC_ISA
};
enum { BUILT = sizeof built / sizeof *built };

static const fc_isa *chosen;

int fc_isa_count(void) { return BUILT; }
const char *fc_isa_name(int index) { return built[index]->name; }
int fc_isa_available(int index) { return built[index]->available(); }
const fc_isa *fc_isa_chosen(void) { return chosen; }
const char *fc_isa_current(void) { return chosen->name; }

fc_status fc_isa_use(const char *name)
{
    for (int i = BUILT - 1; i >= 0; i--)
        if ((!name || !strcmp(name, built[i]->name)) && built[i]->available()) {
            chosen = built[i];
            return FC_OK;
        }
    return FC_UNSUPPORTED;
}

typedef struct {
    double (*multiply_adds)(int64_t);
    double operations[256];
} peak_run;

static void peak_task(void *context, int64_t task, int thread)
{
    (void)thread;
    peak_run *run = context;
    run->operations[task] = run->multiply_adds(2000000);
}

double fc_measure_peak(fc_dtype dtype, int threads)
{
    peak_run run = {chosen->kernels[dtype]->multiply_adds, {0}};
    double best = 0;
    if (threads > 256)
        threads = 256;
    for (int repeat = 0; repeat < 5; repeat++) {
        struct timespec begin, end;
        double operations = 0;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        fc_parallel_for(threads, threads, peak_task, &run);
        clock_gettime(CLOCK_MONOTONIC, &end);
        for (int i = 0; i < threads; i++)
            operations += run.operations[i];
        const double nanoseconds = (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
        if (operations / nanoseconds > best)
            best = operations / nanoseconds;
    }
    return best;
}
