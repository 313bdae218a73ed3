// SPDX-License-Identifier: Apache-2.0
// checkops: runs every kernel that this CPU can run against the reference, or times it (--bench).
#include "checkops/checkops.h"

#include <dirent.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cpu.h"
#include "checkops/device.h"

#define DECLARE(op) extern const check_op op;
CHECK_OPS(DECLARE)

enum { MAX_THREADS = 3, MAX_KERNELS = 160, MAX_REPORTED = 20 };

typedef struct {
    const cf_kernel *kernel;
    long checked, refused, failed;
    double worst; // largest error / allowed error
} tally;

struct check_run {
    int quick, bench, list, threads;
    int bench_images; // 0: as the case says
    cf_target target;
    const cf_kernel *reference; // of the operator
    const char *filter, *kernel_filter, *shapes;
    uint32_t litter; // of the next run
    double peak;     // GFLOP/s of one core or of the GPU, for the share; 0: unknown
    cf_pool *pools[MAX_THREADS + 1];
    const check_op *op;
    tally tallies[MAX_KERNELS];
    int kernels;
    long cases, failures;
    char seen[1024][96]; // shape lines already given out
    int seen_count;
};

int check_is_quick(const check_run *run) {
    return run->quick;
}
int check_is_bench(const check_run *run) {
    return run->bench;
}
const char *check_shapes(const check_run *run) {
    return run->shapes;
}

static uint32_t next(check_random *random) {
    random->state = random->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random->state >> 33);
}

float check_uniform(check_random *random, float low, float high) {
    return low + (high - low) * (float)next(random) / 2147483648.0f;
}

uint32_t check_below(check_random *random, uint32_t count) {
    return next(random) % count;
}

float check_value(check_random *random, check_values kind) {
    float value = check_uniform(random, -1, 1);
    switch (kind) {
    case CHECK_LARGE: return next(random) % 4 ? value * 1e4f : value * 1e-4f;
    case CHECK_CANCEL: return next(random) % 2 ? 1 + value * 1e-3f : -1 + value * 1e-3f;
    case CHECK_DENORMAL: return next(random) % 2 ? value * 1e-39f : value;
    case CHECK_SPLIT: return 0x1.00878ep-1f; // hi + mid errs by 7e-6, and so for 2.25 times it (Winograd's weights)
    case CHECK_SATURATE: return next(random) % 2 ? 100 : -100;
    default: return value;
    }
}

// One thread is timed by its own clock, so that other work on the machine only disturbs the caches.
static double seconds(int threads) {
    struct timespec now;
    clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

// One problem made concrete: tensors, constants, results.
typedef struct {
    cf_problem problem;
    check_buffer in[CF_MAX_INPUTS], out, reference;
    float *constants[CF_MAX_CONSTANTS];
    double *magnitude;
    size_t elements; // of the output
} bench_case;

static size_t count_of(const cf_tensor *tensor, int images) {
    return (size_t)images * (size_t)tensor->h * (size_t)tensor->w * (size_t)tensor->c;
}

static void free_case(bench_case *made) {
    for (int i = 0; i < CF_MAX_INPUTS; i++) check_buffer_free(&made->in[i]);
    check_buffer_free(&made->out);
    check_buffer_free(&made->reference);
    for (int i = 0; i < CF_MAX_CONSTANTS; i++) free(made->constants[i]);
    free(made->magnitude);
}

static void die(const char *what) {
    fprintf(stderr, "checkops: %s\n", what);
    exit(2);
}

static void *need(void *block) {
    if (!block) die("out of memory");
    return block;
}

static void *need_aligned(size_t bytes) {
    void *block = NULL;
    if (posix_memalign(&block, 64, bytes)) die("out of memory");
    return block;
}

static void make_case(const check_op *op, const check_case *one, bench_case *made) {
    memset(made, 0, sizeof *made);
    made->problem = one->problem;
    cf_problem *problem = &made->problem;
    check_random random = {one->seed * 7919 + 1};
    for (int i = 0; i < problem->inputs; i++) {
        if (!check_buffer_make(&made->in[i], &problem->in[i], problem->images, one->in_gap[i], 0)) die("out of memory");
        problem->in[i] = made->in[i].tensor;
        problem->in[i].data = NULL;
        size_t count = count_of(&problem->in[i], problem->images);
        float *values = need(malloc(count * sizeof *values));
        if (op->fill) op->fill(one, i, values, count, &random);
        for (size_t k = 0; k < count && !op->fill; k++) values[k] = check_value(&random, one->values);
        check_buffer_set(&made->in[i], problem->images, values);
        free(values);
    }
    for (int i = 0; i < CF_MAX_CONSTANTS; i++) {
        cf_constant *constant = &problem->constant[i];
        size_t count = constant->rank > 0;
        for (int d = 0; d < constant->rank; d++) count *= (size_t)constant->shape[d];
        if (count == 0) continue;
        made->constants[i] = need(malloc(count * sizeof(float)));
        if (op->fill_constant) op->fill_constant(one, i, made->constants[i], count, &random);
        for (size_t k = 0; k < count && !op->fill_constant; k++)
            made->constants[i][k] = check_value(&random, one->values);
        constant->data = made->constants[i];
    }
    if (!check_buffer_make(&made->out, &problem->out[0], problem->images, one->out_gap, 1)) die("out of memory");
    problem->out[0] = made->out.tensor;
    problem->out[0].data = NULL;
    made->elements = count_of(&problem->out[0], problem->images);
}

typedef struct {
    const cf_kernel *kernel;
    const cf_call *call;
} task_arg;

static void task(void *arg, const cf_team *team) {
    const task_arg *a = arg;
    a->kernel->run(a->call, team);
}

// A kernel ready to run on a made case: packed constants and scratch, both with canaries behind them.
typedef struct {
    cf_problem problem;
    cf_call call;
    void *packed, *scratch;
    size_t packed_bytes, scratch_bytes;
    check_block blocks[CF_MAX_INPUTS + 3]; // all memory of the call, for a GPU
    int block_count;
} ready;

enum { TAIL = 64 };

static void prepare(const bench_case *made, const cf_kernel *kernel, const check_buffer *out, int threads, ready *r) {
    memset(r, 0, sizeof *r);
    r->problem = made->problem;
    r->problem.threads = threads;
    r->problem.out[0] = out->tensor;
    r->problem.out[0].data = NULL;
    r->packed_bytes = kernel->packed_size ? kernel->packed_size(&r->problem) : 0;
    r->scratch_bytes = kernel->scratch_size ? kernel->scratch_size(&r->problem) : 0;
    r->packed = need_aligned(r->packed_bytes + TAIL);
    r->scratch = need_aligned(r->scratch_bytes + TAIL);
    memset(r->packed, 0xff, r->packed_bytes + TAIL);
    memset(r->scratch, 0xff, r->scratch_bytes + TAIL);
    if (kernel->pack) kernel->pack(&r->problem, r->packed);
    r->call.images = made->problem.images;
    for (int i = 0; i < made->problem.inputs; i++) r->call.in[i] = made->in[i].tensor;
    r->call.out[0] = out->tensor;
    r->call.packed = r->packed;
    r->call.scratch = r->scratch;
    for (int i = 0; i < made->problem.inputs; i++)
        r->blocks[r->block_count++] = (check_block){made->in[i].block, made->in[i].bytes, NULL};
    r->blocks[r->block_count++] = (check_block){out->block, out->bytes, NULL};
    r->blocks[r->block_count++] = (check_block){r->packed, r->packed_bytes + TAIL, NULL};
    r->blocks[r->block_count++] = (check_block){r->scratch, r->scratch_bytes + TAIL, NULL};
}

static size_t tail_damage(const ready *r) {
    size_t damaged = 0;
    for (int i = 0; i < TAIL; i++) {
        damaged += ((unsigned char *)r->packed)[r->packed_bytes + (size_t)i] != 0xff;
        damaged += ((unsigned char *)r->scratch)[r->scratch_bytes + (size_t)i] != 0xff;
    }
    return damaged;
}

// Leaves zeros and ones where the kernel's variables will be: what it forgot to set is set at random.
static __attribute__((noinline)) void litter_stack(void *arg, const cf_team *team) {
    enum { WORDS = 16 << 10 };
    uint32_t words[WORDS], random = *(const uint32_t *)arg + (uint32_t)team->thread;
    for (int i = 0; i < WORDS; i++) words[i] = (random = random * 1664525 + 1013904223) >> 31;
    __asm__ volatile("" ::"r"(words) : "memory"); // they count as read
}

static void run_ready(check_run *run, const cf_kernel *kernel, ready *r) {
    // Run time knows no constants.
    for (int i = 0; i < CF_MAX_CONSTANTS; i++) r->problem.constant[i].data = NULL;
    r->call.problem = &r->problem;
    if (kernel->launch) {
        check_device_run(kernel, &r->call, r->blocks, r->block_count, 0, NULL);
        return;
    }
    task_arg arg = {kernel, &r->call};
    if (!run->bench) cf_pool_run(run->pools[r->problem.threads], litter_stack, &run->litter), run->litter++;
    cf_pool_run(run->pools[r->problem.threads], task, &arg);
}

static void release(ready *r) {
    free(r->packed);
    free(r->scratch);
}

// Half a step of the format at this value: what a correctly rounded result may differ.
static double half_step(const cf_tensor *out, double value) {
    int exponent;
    frexp(value, &exponent); // |value| < 2^exponent
    switch (out->dtype) {
    case CF_F32: return ldexp(1, exponent - 25);
    case CF_BF16: return ldexp(1, exponent - 9);
    case CF_F16: return fmax(ldexp(1, exponent - 12), 0x1p-25);
    case CF_S8:
    case CF_U8: return out->scale * 0.5;
    case CF_E4M3: // of the number that is stored
        frexp(value / out->scale, &exponent);
        return out->scale * fmax(ldexp(1, exponent - 5), 0x1p-10);
    default: return 0;
    }
}

// Infinity in FP16 is what the least number beyond its range is rounded to.
static double finite_of(const cf_tensor *out, double value) {
    return out->dtype == CF_F16 && isinf(value) ? copysign(65520, value) : value;
}

static double clamp_to_format(const cf_tensor *out, double value) {
    double least = out->dtype == CF_S8 ? -128 : 0, most = out->dtype == CF_S8 ? 127 : 255;
    if (out->dtype == CF_E4M3) return fabs(value) > 448 * out->scale ? copysign(448 * out->scale, value) : value;
    if (out->dtype == CF_F16) return fabs(value) >= 65520 ? copysign(INFINITY, value) : value;
    if (out->dtype != CF_S8 && out->dtype != CF_U8) return value;
    return fmin(fmax(value, (least - out->zero) * out->scale), (most - out->zero) * out->scale);
}

// Magnitudes of what a convolution adds to its activation: the affine block's shift, the residual.
static double added_at(const bench_case *made, int n, int y, int x, int c) {
    const cf_problem *problem = &made->problem;
    const cf_conv_attr *attr = &problem->attr.conv;
    if (problem->op != CF_OP_CONV) return 0;
    double shift = attr->affine ? fabs((double)attr->shift) : 0;
    if (problem->inputs < 2 || attr->coarse) return shift;
    return shift + fabs((double)cf_tensor_get(&made->in[1].tensor, n, y, x, c));
}

static int compare(check_run *run, const check_case *one, const bench_case *made, tally *t, int threads) {
    const cf_tensor *got = &made->out.tensor, *want = &made->reference.tensor;
    double unit = run->op->unit ? run->op->unit(one, t->kernel) : 4e-6;
    double share = run->op->share ? run->op->share(one, t->kernel) : 0;
    size_t i = 0, wrong = 0;
    double worst = 0, first_got = 0, first_want = 0;
    int at[4] = {0};
    for (int n = 0; n < made->problem.images; n++)
        for (int y = 0; y < got->h; y++)
            for (int x = 0; x < got->w; x++)
                for (int c = 0; c < got->c; c++, i++) {
                    double w = clamp_to_format(got, cf_tensor_get(want, n, y, x, c));
                    double g = cf_tensor_get(got, n, y, x, c);
                    if (g == w) continue;
                    g = finite_of(got, g), w = finite_of(got, w);
                    double allowed = half_step(got, w) * 1.001 + unit * made->magnitude[i] + 1e-37;
                    if (share) allowed += share * (fabs(w) + added_at(made, n, y, x, c));
                    double part = fabs(g - w) / allowed;
                    if (!(part <= 1) && wrong++ == 0) {
                        first_got = g, first_want = w;
                        at[0] = n, at[1] = y, at[2] = x, at[3] = c;
                    }
                    if (!(part <= worst)) worst = part;
                }
    if (!(worst <= t->worst)) t->worst = worst;
    if (wrong && run->failures < MAX_REPORTED)
        printf("FAIL %s: %s, %d threads: %zu of %zu wrong; image %d y %d x %d c %d: %.9g, should be %.9g\n",
               t->kernel->name, one->name, threads, wrong, made->elements, at[0], at[1], at[2], at[3], first_got,
               first_want);
    return wrong == 0;
}

static int check_kernel(check_run *run, const check_case *one, bench_case *made, tally *t, int threads) {
    ready r;
    prepare(made, t->kernel, &made->out, threads, &r);
    check_buffer_set(&made->out, made->problem.images, NULL);
    if (run->op->border) check_buffer_poison(&made->out);
    check_buffer_remember(&made->out);
    for (int i = 0; i < made->problem.inputs; i++) check_buffer_remember(&made->in[i]);
    run_ready(run, t->kernel, &r);
    int border = run->op->border, ok = border || compare(run, one, made, t, threads);
    size_t damaged = (border ? check_buffer_border_damage : check_buffer_damage)(&made->out, made->problem.images);
    size_t changed = 0;
    for (int i = 0; i < made->problem.inputs; i++)
        changed += memcmp(made->in[i].before, made->in[i].block, made->in[i].bytes) != 0;
    damaged += tail_damage(&r);
    if (damaged || changed) {
        if (run->failures < MAX_REPORTED)
            printf("FAIL %s: %s, %d threads: %zu bytes written outside, %zu inputs changed\n", t->kernel->name,
                   one->name, threads, damaged, changed);
        ok = 0;
    }
    release(&r);
    return ok;
}

enum { BENCH_RUNS = 1000, BENCH_KERNELS = 16 };

// A kernel that is timed.
typedef struct {
    const cf_kernel *kernel;
    ready ready;
    double times[BENCH_RUNS]; // seconds
} timed;

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void time_once(check_run *run, timed *t, int i) {
    double start = seconds(run->threads);
    run_ready(run, t->kernel, &t->ready);
    t->times[i] = seconds(run->threads) - start;
}

// Kernels take turns of one run each, so that a machine whose speed moves is fair to all. Returns the number of turns.
static int time_in_turns(check_run *run, timed *all, int count) {
    int turns = 0;
    double total = 0;
    for (int k = 0; k < count; k++) time_once(run, &all[k], 0);
    while (turns < BENCH_RUNS && (turns < 5 || total < 0.15 * count)) {
        for (int k = 0; k < count; k++) {
            time_once(run, &all[k], turns);
            total += all[k].times[turns];
        }
        turns++;
    }
    return turns;
}

static void time_on_device(timed *t) {
    enum { LAUNCHES = 30 };
    check_device_run(t->kernel, &t->ready.call, t->ready.blocks, t->ready.block_count, LAUNCHES, &t->times[0]);
    t->times[0] *= 1e-3;
}

static void print_time(const check_run *run, const check_case *one, const bench_case *made, timed *t, int turns) {
    qsort(t->times, (size_t)turns, sizeof t->times[0], ascending);
    double median = t->times[turns / 2], rate = run->op->work ? run->op->work(&made->problem) / median * 1e-9 : 0;
    printf("%-28s %-60s %9.4f ms (least %9.4f) %9.1f GFLOP/s", t->kernel->name, one->name, median * 1e3,
           t->times[0] * 1e3, rate);
    if (run->peak > 0) printf(" %5.1f%%", 100 * rate / (run->peak * (t->kernel->launch ? 1 : run->threads)));
    printf("\n");
}

static void emit_bench(check_run *run, const check_case *one, bench_case *made) {
    static timed all[BENCH_KERNELS];
    int count = 0;
    for (int k = 0; k < run->kernels - (run->target.backend == CF_CPU); k++) { // not the reference
        const cf_kernel *kernel = run->tallies[k].kernel;
        made->problem.threads = run->threads;
        if (!cf_kernel_runs_on(kernel, &run->target) || kernel->refuse(&made->problem)) continue;
        if (strstr(kernel->name, "amx emulated")) continue;
        if (run->kernel_filter && !strstr(kernel->name, run->kernel_filter)) continue;
        if (!kernel->launch && count == BENCH_KERNELS) die("more kernels than can be timed in turns");
        timed *t = &all[kernel->launch ? 0 : count];
        t->kernel = kernel;
        prepare(made, kernel, &made->out, run->threads, &t->ready);
        count++;
        if (!kernel->launch) continue;
        time_on_device(t);
        print_time(run, one, made, t, 1);
        release(&t->ready);
    }
    if (run->target.backend == CF_CPU) {
        int turns = time_in_turns(run, all, count);
        for (int k = 0; k < count; k++) {
            print_time(run, one, made, &all[k], turns);
            release(&all[k].ready);
        }
    }
    if (!count && !run->kernel_filter) printf("%-28s %-60s only the reference\n", "-", one->name);
}

static void emit_one(check_run *run, const check_case *one);

// The tensors of a case, from one type to another; 1 if there was one.
static int retype(check_case *one, cf_dtype from, cf_dtype to) {
    int changed = 0;
    for (int i = 0; i < CF_MAX_INPUTS + 1; i++) {
        cf_tensor *tensor = i < CF_MAX_INPUTS ? &one->problem.in[i] : &one->problem.out[0];
        if (tensor->dtype != from) continue;
        tensor->dtype = to;
        changed = 1;
        if (to == CF_E4M3) tensor->scale *= 0.5f, tensor->zero = 0; // 200 steps of a byte become 400
    }
    return changed;
}

// Where there is FP16 arithmetic every bf16 case is there once more in fp16, on a GPU every one of bytes in E4M3.
void check_emit(check_run *run, const check_case *one) {
    enum { E4M3_FROM = 89 };
    emit_one(run, one);
    int gpu = run->target.backend == CF_CUDA;
    if (!gpu && !(run->target.features & CF_CPU_AVX512_FP16)) return;
    check_case twin = *one;
    snprintf(twin.name, sizeof twin.name, "%.80s as f16", one->name);
    if (retype(&twin, CF_BF16, CF_F16)) emit_one(run, &twin);
    snprintf(twin.name, sizeof twin.name, "%.80s as e4m3", one->name);
    if (gpu && run->target.compute >= E4M3_FROM && retype(&twin, CF_U8, CF_E4M3)) emit_one(run, &twin);
}

static void emit_one(check_run *run, const check_case *one) {
    if (run->filter && !strstr(one->name, run->filter)) return;
    run->cases++;
    if (run->list) {
        printf("%s\n", one->name);
        return;
    }
    bench_case made;
    check_case batch = *one;
    if (run->bench && run->bench_images) batch.problem.images = run->bench_images;
    one = &batch;
    make_case(run->op, one, &made);
    if (run->bench) {
        emit_bench(run, one, &made);
        free_case(&made);
        return;
    }
    int useful = 0;
    for (int k = 0; k < run->kernels; k++) {
        tally *t = &run->tallies[k];
        if (run->kernel_filter && !strstr(t->kernel->name, run->kernel_filter)) continue;
        made.problem.threads = 1;
        if (cf_kernel_runs_on(t->kernel, &run->target) && !t->kernel->refuse(&made.problem)) useful = 1;
    }
    if (useful) {
        // The reference gives unrounded FP32 results; kernels are held to those, rounded to their format.
        cf_tensor shape = made.problem.out[0];
        if (shape.dtype != CF_I32) shape.dtype = CF_F32;
        shape.halo = 0;
        if (!check_buffer_make(&made.reference, &shape, made.problem.images, 0, 0)) die("out of memory");
        ready r;
        prepare(&made, run->reference, &made.reference, MAX_THREADS - 1, &r);
        run_ready(run, run->reference, &r);
        made.magnitude = need(malloc((made.elements + 1) * sizeof(double)));
        if (run->op->magnitude) {
            // The hook may run the reference again, on other data: give it the constants too.
            for (int i = 0; i < CF_MAX_CONSTANTS; i++) r.problem.constant[i].data = made.constants[i];
            run->op->magnitude(one, &r.call, made.magnitude);
        } else {
            size_t i = 0;
            for (int n = 0; n < made.problem.images; n++)
                for (int y = 0; y < shape.h; y++)
                    for (int x = 0; x < shape.w; x++)
                        for (int c = 0; c < shape.c; c++)
                            made.magnitude[i++] = fmax(1, fabs(cf_tensor_get(&made.reference.tensor, n, y, x, c)));
        }
        release(&r);
    }
    for (int k = 0; k < run->kernels && useful; k++) {
        tally *t = &run->tallies[k];
        if (run->kernel_filter && !strstr(t->kernel->name, run->kernel_filter)) continue;
        if (!cf_kernel_runs_on(t->kernel, &run->target)) continue;
        if (run->quick && t->kernel == run->reference && cf_cpu_features()) continue; // it has a run of its own, scalar
        int gpu = run->target.backend == CF_CUDA;
        int threads_first = gpu ? run->threads : run->quick ? 1 + (int)(run->cases % MAX_THREADS) : 1;
        int threads_last = gpu || run->quick ? threads_first : MAX_THREADS;
        for (int threads = threads_first; threads <= threads_last; threads++) {
            made.problem.threads = threads;
            if (t->kernel->refuse(&made.problem)) {
                t->refused++;
                break;
            }
            t->checked++;
            if (!check_kernel(run, one, &made, t, threads)) t->failed++, run->failures++;
        }
    }
    free_case(&made);
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_shape_file(const struct dirent *entry) {
    size_t length = strlen(entry->d_name);
    return length > 4 && !strcmp(entry->d_name + length - 4, ".txt");
}

static int seen_before(check_run *run, const char *text) {
    for (int i = 0; i < run->seen_count; i++)
        if (!strcmp(run->seen[i], text)) return 1;
    if (run->seen_count < 1024 && strlen(text) < sizeof run->seen[0]) strcpy(run->seen[run->seen_count++], text);
    return 0;
}

void check_shape_lines(check_run *run, cf_op op, void (*line)(void *context, const char *model, const char *text),
                       void *context) {
    struct dirent **files;
    int count = scandir(run->shapes, &files, is_shape_file, by_name);
    if (count < 0) die("no folder of shape files; give it with --shapes");
    run->seen_count = 0;
    for (int i = 0; i < count; i++) {
        char path[4096], text[512], model[64];
        snprintf(path, sizeof path, "%s/%s", run->shapes, files[i]->d_name);
        snprintf(model, sizeof model, "%.*s", (int)strlen(files[i]->d_name) - 4, files[i]->d_name);
        FILE *file = fopen(path, "r");
        if (!file) die(path);
        while (fgets(text, sizeof text, file)) {
            text[strcspn(text, "\n")] = 0;
            size_t name = strlen(cf_op_name(op));
            if (strncmp(text, cf_op_name(op), name) || text[name] != ' ') continue;
            const char *shape = strchr(text + name + 1, ' '); // behind the layer's name
            if (!shape || seen_before(run, shape)) continue;
            line(context, model, text + name + 1);
        }
        fclose(file);
        free(files[i]);
    }
    free(files);
}

static void usage(FILE *to) {
    fprintf(to, "usage: checkops [--quick] [--bench] [--list] [--op NAME] [--filter TEXT] [--kernel TEXT]\n"
                "                [--cpu LEVEL] [--threads N] [--images N] [--peak GFLOPS] [--shapes DIR]\n"
                "                [--device cpu|cuda]\n"
                "Compares every kernel with its reference, or times it (--bench). LEVEL: scalar, avx2, avxvnni,\n"
                "avx512, avx512vnni, avx512bf16, avx512fp16, amx, native. Exit status 1: a kernel is wrong.\n");
}

static void run_op(check_run *run, const check_op *op) {
    run->op = op;
    int count;
    const cf_kernel *const *list = cf_cpu_kernels_of(op->op, &count);
    run->reference = list[count - 1];
    list = cf_kernels_of(run->target.backend, op->op, &count);
    memset(run->tallies, 0, sizeof run->tallies);
    int extras = 0;
    for (; run->target.backend == CF_CPU && op->extra && op->extra[extras]; extras++)
        run->tallies[extras].kernel = op->extra[extras];
    for (int i = 0; i < count; i++) run->tallies[extras + i].kernel = list[i];
    run->kernels = count += extras;
    if (count > MAX_KERNELS) die("more kernels than MAX_KERNELS");
    op->cases(run);
    if (run->bench || run->list) return;
    for (int i = 0; i < count; i++) {
        const tally *t = &run->tallies[i];
        if (!cf_kernel_runs_on(t->kernel, &run->target))
            printf("%-30s not run: this device or the mask lacks what it needs\n", t->kernel->name);
        else
            printf("%-30s %6ld checked, %6ld refused, %ld failed, worst %.3f of allowed\n", t->kernel->name, t->checked,
                   t->refused, t->failed, t->worst);
    }
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"quick", no_argument, 0, 'q'},        {"bench", no_argument, 0, 'b'},
        {"list", no_argument, 0, 'l'},         {"op", required_argument, 0, 'o'},
        {"filter", required_argument, 0, 'f'}, {"kernel", required_argument, 0, 'k'},
        {"cpu", required_argument, 0, 'c'},    {"threads", required_argument, 0, 't'},
        {"peak", required_argument, 0, 'p'},   {"shapes", required_argument, 0, 's'},
        {"images", required_argument, 0, 'i'}, {"device", required_argument, 0, 'd'},
        {"help", no_argument, 0, 'h'},         {0, 0, 0, 0}};
    static check_run run = {.threads = 1, .shapes = CFINE_SOURCE_DIR "/tests/shapes"};
    const char *only = NULL, *device = "cpu";
    uint32_t mask;
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) switch (option) {
        case 'q': run.quick = 1; break;
        case 'b': run.bench = 1; break;
        case 'l': run.list = 1; break;
        case 'o': only = optarg; break;
        case 'f': run.filter = optarg; break;
        case 'k': run.kernel_filter = optarg; break;
        case 'c':
            if (!cf_cpu_mask_parse(optarg, &mask)) die("unknown --cpu level");
            cf_cpu_set_mask(mask);
            break;
        case 't': run.threads = atoi(optarg); break;
        case 'i': run.bench_images = atoi(optarg); break;
        case 'p': run.peak = atof(optarg); break;
        case 's': run.shapes = optarg; break;
        case 'd': device = optarg; break;
        case 'h': usage(stdout); return 0;
        default: usage(stderr); return 2;
        }
    if (run.threads < 1 || run.threads > MAX_THREADS) die("--threads: 1 to 3");
    for (int i = 1; i <= MAX_THREADS; i++) {
        cfine_error error;
        if (cf_pool_create(i, 0, &run.pools[i], &error) != CFINE_OK) die(error.message);
    }
    char features[256];
    cf_cpu_describe(cf_cpu_features(), features, sizeof features);
    printf("CPU features used: %s\n", features);
    run.target = (cf_target){CF_CPU, cf_cpu_features(), 0};
    if (!strcmp(device, "cuda")) {
        const cf_cuda_device *gpu = check_device_open(0);
        run.target = (cf_target){CF_CUDA, 0, gpu->compute};
        run.threads = gpu->multiprocessors;
        printf("GPU: %s, compute capability %d.%d\n", gpu->name, gpu->compute / 10, gpu->compute % 10);
    } else if (strcmp(device, "cpu")) {
        die("--device: cpu or cuda");
    }
    static const check_op *const ops[] = {
#define ADDRESS(op) &op,
        CHECK_OPS(ADDRESS)
#undef ADDRESS
    };
    int covered[CF_OP_COUNT] = {0};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        covered[ops[i]->op] = 1;
        if (!only || !strcmp(only, cf_op_name(ops[i]->op))) run_op(&run, ops[i]);
    }
    int uncovered = 0;
    for (int op = 0; op < CF_OP_COUNT && !run.bench && !only; op++) {
        int count;
        cf_cpu_kernels_of((cf_op)op, &count);
        if (count && !covered[op]) printf("%s %s", uncovered++ ? "," : "no cases for:", cf_op_name((cf_op)op));
    }
    if (uncovered) printf("\n");
    for (int i = 1; i <= MAX_THREADS; i++) cf_pool_destroy(run.pools[i]);
    if (!run.bench && !run.list)
        printf("%ld cases, %ld failures, %d operators without cases\n", run.cases, run.failures, uncovered);
    return run.failures ? 1 : 0;
}
