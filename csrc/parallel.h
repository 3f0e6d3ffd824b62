/* Threads.  parallel.c holds the only OpenMP of the tree; without OpenMP everything runs in the calling thread. */
#ifndef FC_PARALLEL_H
#define FC_PARALLEL_H

#include "fastconv.h"

/* Calls body(context, task, thread) for every task in [0, tasks), on at most `threads` threads, each taking the next task
 * that is free; thread < threads.  What a task computes must not depend on the thread that runs it. */
typedef void (*fc_task)(void *context, int64_t task, int thread);
void fc_parallel_for(int64_t tasks, int threads, fc_task body, void *context);

#endif
