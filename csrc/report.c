/* The lines of FASTCONV_VERBOSE.  A line is put together first and written at once, so that threads do not tear it. */
#include "report.h"
#include "algorithm.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

typedef struct {
    char text[640];
    int length;
} report_line;

static int verbose;

void fc_set_verbose(int value) { verbose = value; }

static double now_milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

double fc_report_begin(void) { return verbose ? now_milliseconds() : 0; }

__attribute__((format(printf, 2, 3))) static void add(report_line *line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const size_t room = sizeof line->text - (size_t)line->length;
    const int length = vsnprintf(line->text + line->length, room, format, arguments);
    va_end(arguments);
    if (length > 0)
        line->length = (int)fc_smaller(line->length + length, (int64_t)sizeof line->text - 1);
}

static void add_sizes(report_line *line, const char *word, const int64_t size[3])
{
    add(line, "%s%lldx%lldx%lld", word, (long long)size[0], (long long)size[1], (long long)size[2]);
}

static void add_problem(report_line *line, fc_dtype dtype, fc_layout layout, int64_t batch, int64_t channels)
{
    add(line, " %s %s input %lldx%lldx", dtype == FC_FLOAT32 ? "float32" : "float64",
        layout == FC_CHANNELS_FIRST ? "channels_first" : "channels_last", (long long)batch, (long long)channels);
}

static void finish(report_line *line, const char *algorithm, const fc_isa *isa, int threads, double begin)
{
    add(line, " | %s %s threads %d %.4f ms\n", algorithm, isa->name, threads, now_milliseconds() - begin);
    fwrite(line->text, 1, (size_t)line->length, stderr);
}

void fc_report_convolution(const fc_plan *plan, int threads, double begin)
{
    static const char *const passes[] = {"forward", "input gradient", "weight gradient"};
    const fc_conv *p = &plan->given;
    report_line line = {.length = 0};
    if (!verbose)
        return;
    add(&line, "fastconv: %s", passes[plan->pass]);
    add_problem(&line, p->dtype, p->layout, p->batch, p->in_channels);
    add_sizes(&line, "", p->in_size);
    add(&line, " weight %lldx%lldx", (long long)p->out_channels, (long long)(p->in_channels / p->groups));
    add_sizes(&line, "", p->kernel);
    add_sizes(&line, " stride ", p->stride);
    add_sizes(&line, " padding ", p->padding);
    add_sizes(&line, " dilation ", p->dilation);
    add(&line, " groups %lld", (long long)p->groups);
    finish(&line, plan->algorithm->name, plan->isa, threads, begin);
}

void fc_report_windows(const char *what, const fc_conv *p, int threads, double begin)
{
    report_line line = {.length = 0};
    if (!verbose)
        return;
    add(&line, "fastconv: %s", what);
    add_problem(&line, p->dtype, p->layout, p->batch, p->in_channels);
    add_sizes(&line, "", p->in_size);
    add_sizes(&line, " kernel ", p->kernel);
    add_sizes(&line, " stride ", p->stride);
    add_sizes(&line, " padding ", p->padding);
    add_sizes(&line, " dilation ", p->dilation);
    finish(&line, "windows", fc_isa_chosen(), threads, begin);
}

void fc_report_pool(const fc_pool *p, const char *pass, int threads, double begin)
{
    report_line line = {.length = 0};
    if (!verbose)
        return;
    add(&line, "fastconv: %s%s pool %s", p->adaptive ? "adaptive " : "", p->kind == FC_MAX_POOL ? "max" : "average", pass);
    add_problem(&line, p->dtype, p->layout, p->batch, p->channels);
    add_sizes(&line, "", p->in_size);
    if (p->adaptive) {
        add_sizes(&line, " output ", p->out_size);
    } else {
        add_sizes(&line, " kernel ", p->kernel);
        add_sizes(&line, " stride ", p->stride);
        add_sizes(&line, " padding ", p->padding);
        add_sizes(&line, " dilation ", p->dilation);
    }
    finish(&line, "pool", fc_isa_chosen(), threads, begin);
}

void fc_report_unpool(const fc_pool *p, const char *pass, int threads, double begin)
{
    report_line line = {.length = 0};
    if (!verbose)
        return;
    add(&line, "fastconv: max unpool %s", pass);
    add_problem(&line, p->dtype, p->layout, p->batch, p->channels);
    add_sizes(&line, "", p->in_size);
    add_sizes(&line, " output ", p->out_size);
    finish(&line, "unpool", fc_isa_chosen(), threads, begin);
}
