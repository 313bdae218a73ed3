// SPDX-License-Identifier: Apache-2.0
// Every kernel of every operator against small tensors that PyTorch computed (tests/data/ops/goldens.txt, written by
// tests/golden/make_op_goldens.py, which describes the format). Each kernel runs on one thread and on three, and with
// tensors laid out inside wider buffers, whose other elements must stay as they were.
#include "unit/test.h"

#include <math.h>

#include "base/cpu.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/threads.h"
#include "kernels/kernel.h"

static cfine_error error;

typedef struct {
    char op[32], name[32];
    cf_problem problem;
    float *in[CF_MAX_INPUTS], *out; // dense values, [images, h, w, c]
    float tolerance;
} op_case;

static size_t dense_count(const cf_tensor *tensor, int images) {
    return (size_t)images * (size_t)tensor->h * (size_t)tensor->w * (size_t)tensor->c;
}

// The file as a string that words are taken from.
static char *cursor;

static char *line_next(void) {
    return cursor && *cursor ? strsep(&cursor, "\n") : NULL;
}

static float *read_values(size_t count) {
    float *values = cf_alloc(count, sizeof *values);
    char *at = line_next();
    assert_non_null(values);
    assert_non_null(at);
    for (size_t i = 0; i < count; i++) {
        char *end;
        values[i] = strtof(at, &end);
        assert_ptr_not_equal(end, at);
        at = end;
    }
    assert_int_equal(*at, 0);
    return values;
}

static void read_tensor(char *line, cf_tensor *tensor) {
    char dtype[8];
    tensor->scale = 1;
    assert_true(sscanf(line, "%*s %d %d %d %7s %f %d", &tensor->h, &tensor->w, &tensor->c, dtype, &tensor->scale,
                       &tensor->zero) >= 4);
    tensor->dtype = !strcmp(dtype, "f32")   ? CF_F32
                    : !strcmp(dtype, "i32") ? CF_I32
                    : !strcmp(dtype, "u8")  ? CF_U8
                                            : CF_S8;
}

static void read_constant(char *line, cf_constant *constant) {
    size_t count = 1;
    strsep(&line, " ");
    for (char *word; (word = strsep(&line, " "));) {
        constant->shape[constant->rank] = atoi(word);
        count *= (size_t)constant->shape[constant->rank++];
    }
    constant->data = read_values(count);
}

static void read_attr(char *line, op_case *c) {
    cf_attr *attr = &c->problem.attr;
    cf_op op = c->problem.op;
    float value[CF_DEFORM_LEVELS] = {0};
    strsep(&line, " ");
    const char *key = strsep(&line, " ");
    for (int i = 0; i < CF_DEFORM_LEVELS && line; i++) value[i] = strtof(strsep(&line, " "), NULL);
    int32_t whole[CF_DEFORM_LEVELS];
    for (int i = 0; i < CF_DEFORM_LEVELS; i++) whole[i] = (int32_t)value[i];
#define FIELD(enumerator, field, text, from)                                                                           \
    if (op == CF_OP_##enumerator && !strcmp(key, text)) {                                                              \
        memcpy(&attr->field, from, sizeof attr->field);                                                                \
        return;                                                                                                        \
    }
    FIELD(ACTIVATION, activation.act, "act", whole)
    FIELD(SCALE_SHIFT, scale_shift.scale, "scale", value)
    FIELD(SCALE_SHIFT, scale_shift.shift, "shift", value)
    FIELD(ATTENTION, attention.heads, "heads", whole)
    FIELD(TOP_QUERIES, top_queries.queries, "queries", whole)
    FIELD(DEFORM, deform.heads, "heads", whole)
    FIELD(DEFORM, deform.levels, "levels", whole)
    FIELD(DEFORM, deform.discrete, "discrete", whole)
    FIELD(DEFORM, deform.points, "points", whole)
    FIELD(DEFORM, deform.height, "height", whole)
    FIELD(DEFORM, deform.width, "width", whole)
    FIELD(DEFORM, deform.offset_scale, "offset_scale", value)
    FIELD(REFINE, refine.bins, "bins", whole)
    FIELD(REFINE, refine.reg_scale, "reg_scale", value)
    FIELD(QUALITY, quality.bins, "bins", whole)
    FIELD(QUALITY, quality.top, "top", whole)
#undef FIELD
    if (op == CF_OP_NORM || op == CF_OP_GATE) {
        if (!strcmp(key, "rms")) attr->norm.rms = whole[0];
        if (!strcmp(key, "has_bias")) attr->norm.has_bias = whole[0];
        if (!strcmp(key, "epsilon")) attr->norm.epsilon = value[0];
    } else if (op == CF_OP_MAX_POOL || op == CF_OP_AVG_POOL) {
        if (!strcmp(key, "kernel")) attr->pool.kernel = whole[0];
        if (!strcmp(key, "stride")) attr->pool.stride = whole[0];
        if (!strcmp(key, "pad")) memcpy(&attr->pool.pad_top, whole, 4 * sizeof *whole);
    } else {
        fail_msg("%s %s: unknown attribute %s", c->op, c->name, key);
    }
}

// Reads one case; 0 at the end of the file.
static int read_case(op_case *c) {
    char *line = line_next();
    memset(c, 0, sizeof *c);
    if (!line) return 0;
    assert_int_equal(sscanf(line, "case %31s %31s %d %f", c->op, c->name, &c->problem.images, &c->tolerance), 4);
    while (c->problem.op < CF_OP_COUNT && strcmp(cf_op_name(c->problem.op), c->op)) c->problem.op++;
    c->problem.outputs = 1;
    for (;;) {
        line = line_next();
        assert_non_null(line);
        if (!strncmp(line, "attr ", 5)) {
            read_attr(line, c);
        } else if (!strncmp(line, "in ", 3)) {
            int i = c->problem.inputs++;
            read_tensor(line, &c->problem.in[i]);
            c->in[i] = read_values(dense_count(&c->problem.in[i], c->problem.images));
        } else if (!strncmp(line, "constant ", 9)) {
            int i = 0;
            while (c->problem.constant[i].data) i++;
            read_constant(line, &c->problem.constant[i]);
        } else {
            assert_int_equal(strncmp(line, "out ", 4), 0);
            read_tensor(line, &c->problem.out[0]);
            c->out = read_values(dense_count(&c->problem.out[0], c->problem.images));
            return 1;
        }
    }
}

static void free_case(op_case *c) {
    for (int i = 0; i < c->problem.inputs; i++) cf_free(c->in[i]);
    for (int i = 0; i < CF_MAX_CONSTANTS; i++) cf_free(c->problem.constant[i].data);
    cf_free(c->out);
}

enum { CANARY = 0x5a };

// Distances between pixels, rows and images; `gap` more elements than needed each. Returns the bytes of the buffer.
static size_t lay_out(cf_tensor *tensor, int images, int gap) {
    tensor->pixel = tensor->c + gap;
    tensor->row = tensor->pixel * tensor->w + gap;
    tensor->image = tensor->row * tensor->h + gap;
    return (size_t)images * (size_t)tensor->image * (size_t)cf_dtype_size(tensor->dtype);
}

// Calls visit for each element of the tensor in raster order.
#define EACH_ELEMENT(tensor, images)                                                                                   \
    for (int n = 0; n < (images); n++)                                                                                 \
        for (int y = 0; y < (tensor)->h; y++)                                                                          \
            for (int x = 0; x < (tensor)->w; x++)                                                                      \
                for (int k = 0; k < (tensor)->c; k++)

typedef struct {
    const cf_kernel *kernel;
    const cf_call *call;
} kernel_run;

static void run_member(void *arg, const cf_team *team) {
    const kernel_run *run = arg;
    run->kernel->run(run->call, team);
}

static void compare(const op_case *c, const char *kernel, const cf_tensor *out) {
    size_t i = 0;
    EACH_ELEMENT(out, c->problem.images) {
        float expected = c->out[i++], found = cf_tensor_get(out, n, y, x, k);
        int equal = expected == found || (isnan(expected) && isnan(found)) ||
                    fabsf(expected - found) <= c->tolerance * fmaxf(1, fabsf(expected));
        if (!equal)
            fail_msg("%s, case %s %s: at n %d y %d x %d c %d found %.9g, expected %.9g", kernel, c->op, c->name, n, y,
                     x, k, (double)found, (double)expected);
    }
}

// Whatever lies between the elements of out must not have changed: the output is zeroed, the rest compared.
static void check_canaries(const op_case *c, const char *kernel, cf_tensor *out, size_t bytes) {
    size_t size = (size_t)cf_dtype_size(out->dtype);
    EACH_ELEMENT(out, c->problem.images)
    memset((char *)cf_tensor_at(out, n, y, x) + (size_t)k * size, CANARY, size);
    for (size_t i = 0; i < bytes; i++)
        if (((unsigned char *)out->data)[i] != CANARY)
            fail_msg("%s, case %s %s: wrote outside its output, at byte %zu", kernel, c->op, c->name, i);
}

static void run_kernel(const op_case *c, const cf_kernel *kernel, int threads, int gap) {
    cf_problem problem = c->problem;
    size_t in_bytes[CF_MAX_INPUTS], out_bytes = lay_out(&problem.out[0], problem.images, gap);
    problem.threads = threads;
    for (int i = 0; i < problem.inputs; i++) in_bytes[i] = lay_out(&problem.in[i], problem.images, gap);
    if (kernel->refuse(&problem)) return;
    cf_call call = {.problem = &problem, .images = problem.images};
    for (int i = 0; i < problem.inputs; i++) {
        size_t v = 0;
        call.in[i] = problem.in[i];
        call.in[i].data = cf_alloc_aligned(in_bytes[i]);
        EACH_ELEMENT(&call.in[i], problem.images) cf_tensor_set(&call.in[i], n, y, x, k, c->in[i][v++]);
    }
    call.out[0] = problem.out[0];
    call.out[0].data = cf_alloc_aligned(out_bytes);
    memset(call.out[0].data, CANARY, out_bytes);
    size_t packed = kernel->packed_size ? kernel->packed_size(&problem) : 0;
    size_t scratch = kernel->scratch_size ? kernel->scratch_size(&problem) : 0;
    void *packed_data = cf_alloc_aligned(packed + 1);
    if (packed) kernel->pack(&problem, packed_data);
    call.packed = packed_data;
    call.scratch = cf_alloc_aligned(scratch + 1);
    for (int i = 0; i < CF_MAX_CONSTANTS; i++) problem.constant[i].data = NULL;

    cf_pool *pool;
    assert_ok(cf_pool_create(threads, 0, &pool, &error));
    kernel_run run = {kernel, &call};
    cf_pool_run(pool, run_member, &run);
    cf_pool_destroy(pool);
    compare(c, kernel->name, &call.out[0]);
    check_canaries(c, kernel->name, &call.out[0], out_bytes);

    for (int i = 0; i < problem.inputs; i++) cf_free_aligned(call.in[i].data, in_bytes[i]);
    cf_free_aligned(call.out[0].data, out_bytes);
    cf_free_aligned(packed_data, packed + 1);
    cf_free_aligned(call.scratch, scratch + 1);
}

static void kernels_match_pytorch(void **state) {
    (void)state;
    cf_bytes file;
    op_case c;
    int seen[CF_OP_COUNT] = {0};
    assert_ok(cf_file_read(CFINE_SOURCE_DIR "/tests/data/ops/goldens.txt", 1 << 20, &file, &error));
    char *text = cf_alloc(file.size + 1, 1);
    assert_non_null(text);
    memcpy(text, file.data, file.size);
    cf_bytes_release(&file);
    for (cursor = text; read_case(&c); free_case(&c)) {
        int count;
        const cf_kernel *const *kernels = cf_cpu_kernels_of(c.problem.op, &count);
        assert_int_not_equal(count, 0);
        seen[c.problem.op] = 1;
        for (int i = 0; i < count; i++)
            for (int gap = 0; gap <= 3 && (kernels[i]->cpu & ~cf_cpu_features()) == 0; gap += 3) {
                run_kernel(&c, kernels[i], 1, gap);
                run_kernel(&c, kernels[i], 3, gap);
            }
    }
    cf_free(text);
    for (int op = 0; op < CF_OP_COUNT; op++) {
        int count;
        cf_cpu_kernels_of((cf_op)op, &count);
        if (count && op != CF_OP_CONV && op != CF_OP_HALO && !seen[op]) // those two are in checkops
            fail_msg("%s has no golden case", cf_op_name((cf_op)op));
    }
}

// A kernel's name starts with its operator's (convolution has depthwise ones too), is used once, and leads back to the
// kernel; the last of a list takes everything and needs no feature.
static void lists_are_well_formed(void **state) {
    (void)state;
    for (int op = 0; op < CF_OP_COUNT; op++) {
        int count;
        const cf_kernel *const *kernels = cf_cpu_kernels_of((cf_op)op, &count);
        for (int i = 0; i < count; i++) {
            assert_int_equal(kernels[i]->op, op);
            const char *prefix = strncmp(kernels[i]->name, "depthwise", 9) ? cf_op_name((cf_op)op) : "depthwise";
            assert_memory_equal(kernels[i]->name, prefix, strlen(prefix));
            assert_ptr_equal(cf_kernel_find(kernels[i]->name), kernels[i]);
        }
        if (count) assert_int_equal(kernels[count - 1]->cpu, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_well_formed),
        cmocka_unit_test(kernels_match_pytorch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
