// SPDX-License-Identifier: Apache-2.0
#include "plan/price.h"

#include "base/memory.h"
#include "plan/tune.h"

struct cf_pricer {
    cf_plan_request request;
    int32_t chunk;   // images of a step
    cf_tuner *tuner; // NULL: estimates
    cf_step *steps;  // what was timed; of their fields only those that cf_tuner_time sets
    int32_t count, capacity;
};

// Above the time of any operator, and still small enough for a sum with one of them to keep its digits.
static const double NO_SECONDS = 10, NO_CYCLES = 1e10;

// On a GPU, in cycles: a launch, and bytes of one multiprocessor.
enum { LAUNCH = 3000, BYTES_PER_CYCLE = 5 };

enum { MOST_CANDIDATES = 8 };

cfine_status cf_pricer_create(const cf_plan_request *request, cf_pricer **out, cfine_error *err) {
    *out = NULL;
    cf_pricer *pricer = cf_alloc(1, sizeof *pricer);
    if (!pricer) return cf_fail_memory(err, "prices", sizeof *pricer);
    pricer->request = *request;
    pricer->chunk = cf_plan_chunk(request);
    cfine_status status = request->tune ? cf_tuner_create(request, MOST_CANDIDATES, &pricer->tuner, err) : CFINE_OK;
    if (status == CFINE_OK)
        *out = pricer;
    else
        cf_pricer_destroy(pricer);
    return status;
}

void cf_pricer_destroy(cf_pricer *pricer) {
    if (!pricer) return;
    cf_tuner_destroy(pricer->tuner);
    cf_free(pricer->steps);
    cf_free(pricer);
}

static double bytes_of(const cf_tensor *tensor) {
    return (double)tensor->image * cf_dtype_size(tensor->dtype);
}

static double estimate(const cf_pricer *pricer, const cf_problem *problem) {
    int count;
    const cf_kernel *const *list = cf_kernels_of(pricer->request.target.backend, problem->op, &count);
    const cf_kernel *kernel = cf_kernel_select(problem, &pricer->request.target, 0);
    if (count > 1 && kernel == list[count - 1]) return NO_CYCLES;
    if (kernel->estimate) return kernel->estimate(problem);
    double bytes = bytes_of(&problem->out[0]);
    for (int i = 0; i < problem->inputs; i++) bytes += bytes_of(&problem->in[i]);
    return LAUNCH + bytes * problem->images / (BYTES_PER_CYCLE * problem->threads);
}

static cfine_status measure(cf_pricer *pricer, const cf_problem *problem, double *seconds, cfine_error *err) {
    if (pricer->count == pricer->capacity) {
        int32_t capacity = pricer->capacity ? 2 * pricer->capacity : 64;
        cf_step *steps = cf_realloc(pricer->steps, (size_t)capacity, sizeof *steps);
        if (!steps) return cf_fail_memory(err, "prices", (size_t)capacity * sizeof *steps);
        pricer->steps = steps;
        pricer->capacity = capacity;
    }
    cf_step *step = &pricer->steps[pricer->count];
    *step = (cf_step){.problem = *problem};
    CF_TRY(cf_tuner_time(pricer->tuner, pricer->steps, pricer->count, step, err));
    *seconds = step->tried_count ? (double)step->tried[0].milliseconds * 1e-3 : NO_SECONDS;
    pricer->count += step->tried_count > 0;
    return CFINE_OK;
}

static cfine_status price_of(cf_pricer *pricer, const cf_problem *problem, double *price, cfine_error *err) {
    if (pricer->tuner) return measure(pricer, problem, price, err);
    *price = estimate(pricer, problem);
    return CFINE_OK;
}

// In a buffer of its own: where a value will lie is not known yet.
static cf_tensor tensor_of(const cf_pricer *pricer, const cf_value *value, cf_dtype dtype, int32_t halo) {
    cf_tensor tensor = {.h = value->h, .w = value->w, .c = value->c, .halo = halo, .dtype = dtype, .scale = 1};
    tensor.pixel = cf_plan_pixel(value->c, dtype, pricer->request.target.backend);
    tensor.row = (value->w + 2 * halo) * tensor.pixel;
    tensor.image = (value->h + 2 * halo) * tensor.row;
    if (dtype == CF_U8) tensor.zero = 128;
    return tensor;
}

static int32_t halo_of(const cf_pricer *pricer, const cf_node *node) {
    if (node->op != CF_OP_CONV || pricer->request.target.backend != CF_CPU) return 0;
    const cf_conv_attr *conv = &node->attr.conv;
    const int32_t pads[] = {conv->pad_top, conv->pad_left, conv->pad_bottom, conv->pad_right};
    int32_t halo = 0;
    for (int k = 0; k < 4; k++) halo = pads[k] > halo ? pads[k] : halo;
    return halo;
}

cfine_status cf_price(cf_pricer *pricer, const cf_graph *graph, const cf_node *node, const cf_dtype *in, cf_dtype out,
                      double *price, cfine_error *err) {
    cf_problem problem = {.op = node->op,
                          .attr = node->attr,
                          .inputs = node->input_count,
                          .outputs = 1,
                          .images = pricer->chunk,
                          .threads = pricer->request.threads};
    for (int k = 0; k < node->input_count; k++)
        problem.in[k] = tensor_of(pricer, &graph->values[node->inputs[k]], in[k], k ? 0 : halo_of(pricer, node));
    problem.out[0] = tensor_of(pricer, &graph->values[node->output], out, 0);
    for (int k = 0; k < CF_MAX_CONSTANTS; k++) problem.constant[k] = node->constants[k];
    return price_of(pricer, &problem, price, err);
}

cfine_status cf_price_copy(cf_pricer *pricer, const cf_value *value, cf_dtype from, cf_dtype to, double *price,
                           cfine_error *err) {
    cf_problem problem = {.op = CF_OP_COPY,
                          .inputs = 1,
                          .outputs = 1,
                          .images = pricer->chunk,
                          .threads = pricer->request.threads,
                          .in = {tensor_of(pricer, value, from, 0)},
                          .out = {tensor_of(pricer, value, to, 0)}};
    return price_of(pricer, &problem, price, err);
}
