/* What FASTCONV_VERBOSE asks for: a line a call on stderr. */
#ifndef FC_REPORT_H
#define FC_REPORT_H

#include "fastconv.h"

/* When a call began; 0 where nobody asked. */
double fc_report_begin(void);
void fc_report_convolution(const fc_plan *plan, int threads, double begin);
void fc_report_pool(const fc_pool *problem, const char *pass, int threads, double begin);
void fc_report_windows(const char *what, const fc_conv *problem, int threads, double begin);
void fc_report_unpool(const fc_pool *problem, const char *pass, int threads, double begin);

#endif
