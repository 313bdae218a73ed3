// SPDX-License-Identifier: Apache-2.0
// Plan files: header, description, steps, strings, then the packed weights on a page boundary so that they are used
// where they were read.
//
// Records are C structs of this library version on a little-endian machine; the header carries the version and the
// struct sizes, and anything else is refused. Checksums find damage; on top of that nothing read from the file is used
// unchecked: see check_step.
#include "plan/planfile.h"

#include <string.h>

#include "base/cpu.h"
#include "base/hash.h"
#include "base/memory.h"

enum {
    FORMAT = 10,
    PAGE = 4096,
    MAX_STEPS = 1 << 16,
    MAX_NAMES = 1 << 20,
    LIBRARY = CFINE_VERSION_MAJOR << 16 | CFINE_VERSION_MINOR << 8 | CFINE_VERSION_PATCH
};

static const char magic[8] = {'C', 'F', 'I', 'N', 'E', 'P', 'L', 'N'};

typedef struct header {
    char magic[8];
    uint32_t format, library;
    uint32_t header_size, about_size, step_size, features; // features: CPU bits that the kernels need
    uint64_t file_size;
    uint64_t weights_offset, weights_size;
    uint64_t names_size;
    uint32_t step_count, reserved;
    uint64_t body_hash;   // of everything behind the header
    uint64_t header_hash; // of the header in front of this field
} header;

// The plan without its arrays.
typedef struct about {
    cf_plan_request request;
    cf_plan_tensor input, logits, boxes;
    cf_preprocess_config preprocess;
    double flops;
    int64_t workspace_bytes, whole_bytes;
    uint64_t model_hash;
    int32_t queries, labels, decoder_layers, detections;
    char family[16], size[16];
    cf_plan_accuracy accuracy;
} about;

typedef struct step_record {
    char kernel[64];
    cf_problem problem; // without pointers
    int64_t in_offset[CF_MAX_INPUTS], out_offset;
    uint8_t in_whole[CF_MAX_INPUTS], out_whole;
    int64_t packed_offset, packed_bytes;
    double flops, bytes;
    struct {
        char kernel[60];
        float milliseconds;
    } tried[CF_TRIED]; // unused ones have no name
} step_record;

// ---------------------------------------------------------------------------------------------------------------------
// Writing

// Collects the bytes in front of the weights.
typedef struct {
    uint8_t *data;
    size_t used, capacity;
    int failed;
} sink;

static void put(sink *out, const void *data, size_t size) {
    if (!out->failed && out->capacity - out->used < size) {
        size_t wanted = (out->capacity + size) * 2;
        uint8_t *grown = cf_realloc(out->data, wanted, 1);
        out->failed = !grown;
        if (grown) {
            out->data = grown;
            out->capacity = wanted;
        }
    }
    if (out->failed) return;
    memcpy(out->data + out->used, data, size);
    out->used += size;
}

static void put_step(sink *out, const cf_step *step) {
    step_record record;
    memset(&record, 0, sizeof record); // padding too, so that equal plans are equal files
    strncpy(record.kernel, step->kernel->name, sizeof record.kernel - 1);
    memcpy(&record.problem, &step->problem, sizeof record.problem);
    for (int i = 0; i < CF_MAX_CONSTANTS; i++) record.problem.constant[i].data = NULL;
    memcpy(record.in_offset, step->in_offset, sizeof record.in_offset);
    record.out_offset = step->out_offset;
    memcpy(record.in_whole, step->in_whole, sizeof record.in_whole);
    record.out_whole = step->out_whole;
    record.packed_offset = step->packed_offset;
    record.packed_bytes = step->packed_bytes;
    record.flops = step->flops;
    record.bytes = step->bytes;
    for (int i = 0; i < step->tried_count; i++) {
        strncpy(record.tried[i].kernel, step->tried[i].kernel->name, sizeof record.tried[i].kernel - 1);
        record.tried[i].milliseconds = step->tried[i].milliseconds;
    }
    put(out, &record, sizeof record);
}

static uint32_t features_needed(const cf_plan *plan) {
    uint32_t features = 0;
    for (int i = 0; i < plan->step_count; i++) features |= plan->steps[i].kernel->cpu;
    return features;
}

static void put_about(sink *out, const cf_plan *plan) {
    about record;
    memset(&record, 0, sizeof record);
    record.request = plan->request;
    record.input = plan->input;
    record.logits = plan->logits;
    record.boxes = plan->boxes;
    record.preprocess = plan->preprocess;
    record.flops = plan->flops;
    record.workspace_bytes = plan->workspace_bytes;
    record.whole_bytes = plan->whole_bytes;
    record.model_hash = plan->model_hash;
    record.queries = plan->queries;
    record.labels = plan->labels;
    record.decoder_layers = plan->decoder_layers;
    record.detections = plan->detections;
    memcpy(record.family, plan->family, sizeof record.family);
    memcpy(record.size, plan->size, sizeof record.size);
    record.accuracy = plan->accuracy;
    put(out, &record, sizeof record);
}

cfine_status cf_planfile_save(const cf_plan *plan, const char *path, cfine_error *err) {
    sink out = {0};
    header head = {.format = FORMAT,
                   .library = LIBRARY,
                   .header_size = sizeof(header),
                   .about_size = sizeof(about),
                   .step_size = sizeof(step_record),
                   .features = features_needed(plan),
                   .weights_size = (uint64_t)plan->weight_bytes,
                   .step_count = (uint32_t)plan->step_count};
    memcpy(head.magic, magic, sizeof magic);
    put(&out, &head, sizeof head);
    put_about(&out, plan);
    for (int i = 0; i < plan->step_count; i++) put_step(&out, &plan->steps[i]);
    size_t names = out.used;
    for (int i = 0; i < plan->step_count; i++) put(&out, plan->steps[i].name, strlen(plan->steps[i].name) + 1);
    for (int i = 0; i < plan->labels; i++) put(&out, plan->label_names[i], strlen(plan->label_names[i]) + 1);
    head.names_size = out.used - names;
    static const uint8_t zeros[PAGE];
    put(&out, zeros, (PAGE - out.used % PAGE) % PAGE);
    if (out.failed) {
        cf_free(out.data);
        return cf_fail_memory(err, "plan file", out.capacity);
    }
    head.weights_offset = out.used;
    head.file_size = out.used + head.weights_size;
    uint64_t body = cf_hash64(out.data + sizeof head, out.used - sizeof head, 0);
    head.body_hash = cf_hash64(plan->weights, (size_t)plan->weight_bytes, body);
    head.header_hash = cf_hash64(&head, offsetof(header, header_hash), 0);
    memcpy(out.data, &head, sizeof head);

    cf_writer writer;
    cfine_status status = cf_writer_open(&writer, path, err);
    if (status == CFINE_OK) {
        status = cf_writer_write(&writer, out.data, out.used, err);
        if (status == CFINE_OK) status = cf_writer_write(&writer, plan->weights, (size_t)plan->weight_bytes, err);
        if (status == CFINE_OK)
            status = cf_writer_commit(&writer, err);
        else
            cf_writer_abort(&writer);
    }
    cf_free(out.data);
    return status;
}

// ---------------------------------------------------------------------------------------------------------------------
// Reading

static const char rebuild[] = "rebuild it: cfine build --model MODEL -o FILE.plan";

static cfine_status damaged(const char *name, const char *what, cfine_error *err) {
    return cf_fail(err, CFINE_ERROR_FORMAT, "%s: plan file is damaged (%s); %s", name, what, rebuild);
}

static cfine_status check_header(const header *head, size_t size, const char *name, uint32_t features,
                                 cfine_error *err) {
    if (memcmp(head->magic, magic, sizeof magic))
        return cf_fail(err, CFINE_ERROR_FORMAT, "%s: is not a plan file", name);
    int same_version = head->format == FORMAT && (head->library & 0xffffff) == (LIBRARY & 0xffffff);
    if (head->format != FORMAT || head->library != LIBRARY || head->header_size != sizeof(header) ||
        head->about_size != sizeof(about) || head->step_size != sizeof(step_record)) {
        if (same_version) return damaged(name, "header", err);
        return cf_fail(err, CFINE_ERROR_MISMATCH,
                       "%s: plan of format %u by cfine %u.%u.%u, this is format %d of cfine %s; %s", name, head->format,
                       head->library >> 16 & 255, head->library >> 8 & 255, head->library & 255, (int)FORMAT,
                       cfine_version(), rebuild);
    }
    if (head->header_hash != cf_hash64(head, offsetof(header, header_hash), 0))
        return damaged(name, "header checksum", err);
    if (head->file_size != size)
        return cf_fail(err, CFINE_ERROR_FORMAT, "%s: header says %llu bytes, the file has %zu: %s; %s", name,
                       (unsigned long long)head->file_size, size,
                       size < head->file_size ? "the end is missing" : "something was added", rebuild);
    uint32_t missing = head->features & ~features;
    if (missing) {
        char names[128];
        cf_cpu_describe(missing, names, sizeof names);
        if (!(missing & ~cf_cpu_forbidden()))
            return cf_fail(err, CFINE_ERROR_MISMATCH,
                           "%s: plan needs %s, which this CPU has, but --cpu or CFINE_CPU forbids; allow it, or %s",
                           name, names, rebuild);
        return cf_fail(err, CFINE_ERROR_MISMATCH, "%s: plan needs a CPU with %s, which this one lacks; %s", name, names,
                       rebuild);
    }
    uint64_t fixed = sizeof(header) + sizeof(about) + (uint64_t)head->step_count * sizeof(step_record);
    if (head->step_count > MAX_STEPS || head->names_size > MAX_NAMES || head->weights_offset % PAGE ||
        head->weights_offset > size || head->weights_size != size - head->weights_offset ||
        fixed + head->names_size > head->weights_offset)
        return damaged(name, "section sizes", err);
    return CFINE_OK;
}

// 1 if all pixels of a tensor, with its halo, lie inside the part of the workspace for what holds the whole batch, or
// for what holds a chunk.
static int tensor_fits(const cf_tensor *t, int64_t offset, const cf_plan *plan, int whole_batch) {
    int64_t begin = whole_batch ? 0 : plan->whole_bytes, end = whole_batch ? plan->whole_bytes : plan->workspace_bytes;
    int64_t images = whole_batch ? plan->request.batch : plan->chunk;
    if (t->h < 1 || t->w < 1 || t->c < 1 || t->halo < 0 || t->h > CF_MAX_SIDE || t->w > CF_MAX_SIDE ||
        t->c > CF_MAX_SIDE || t->halo > 16 || (unsigned)t->dtype > CF_E4M3 ||
        (t->dtype == CF_E4M3 && plan->request.target.backend == CF_CPU) || t->pixel < t->c || t->row < 0 ||
        t->image < 0 || t->pixel > INT32_MAX || t->row > INT64_MAX >> 24 || t->image > INT64_MAX >> 24)
        return 0;
    int64_t size = cf_dtype_size(t->dtype), before, after, whole;
    if (__builtin_mul_overflow(t->halo, t->row + t->pixel, &before) ||
        __builtin_mul_overflow(images - 1, t->image, &whole) ||
        __builtin_mul_overflow((int64_t)t->h - 1 + t->halo, t->row, &after))
        return 0;
    int64_t across;
    if (__builtin_mul_overflow((int64_t)t->w - 1 + t->halo, t->pixel, &across) ||
        __builtin_add_overflow(after, across, &after) || __builtin_add_overflow(after, whole, &after) ||
        __builtin_add_overflow(after, t->c, &after) || __builtin_mul_overflow(after, size, &after) ||
        __builtin_mul_overflow(before, size, &before))
        return 0;
    return offset >= begin && offset - begin >= before && offset <= end && after <= end - offset;
}

// The shape rule of the step's operator must give its output from its inputs.
static int shapes_follow(const cf_problem *problem) {
    if (problem->op == CF_OP_HALO) return problem->inputs == 0;
    cf_value values[CF_MAX_INPUTS] = {0}, out = {0};
    cf_node node = {.op = problem->op, .attr = problem->attr, .input_count = problem->inputs};
    for (int i = 0; i < problem->inputs; i++) {
        values[i] = (cf_value){.h = problem->in[i].h, .w = problem->in[i].w, .c = problem->in[i].c};
        node.inputs[i] = i;
    }
    float present = 0; // shape rules look at whether data is there, never at the data
    for (int i = 0; i < CF_MAX_CONSTANTS; i++) {
        node.constants[i] = problem->constant[i];
        for (int k = 0; k < problem->constant[i].rank && problem->constant[i].rank <= 4; k++)
            if (problem->constant[i].shape[k] < 1 || problem->constant[i].shape[k] > CF_MAX_SIDE) return 0;
        if (problem->constant[i].rank < 0 || problem->constant[i].rank > 4) return 0;
        node.constants[i].data = problem->constant[i].rank ? &present : NULL;
    }
    cf_graph graph = {.values = values, .value_count = problem->inputs};
    return cf_shape_infer(&graph, &node, &out, NULL) == CFINE_OK && out.h == problem->out[0].h &&
           out.w == problem->out[0].w && out.c == problem->out[0].c;
}

// GPU kernels are held to the GPU that the plan was built for; which one there is shows when a session is opened.
static int check_step(const cf_step *step, const cf_plan *plan, uint32_t features) {
    const cf_problem *problem = &step->problem;
    cf_target target = plan->request.target;
    target.features = features;
    if (!step->kernel || step->kernel->op != problem->op || !cf_kernel_runs_on(step->kernel, &target)) return 0;
    if (problem->inputs < 0 || problem->inputs > CF_MAX_INPUTS || problem->outputs != 1 ||
        problem->images != plan->chunk || !shapes_follow(problem))
        return 0;
    for (int i = 0; i < problem->inputs; i++)
        if (!tensor_fits(&problem->in[i], step->in_offset[i], plan, step->in_whole[i])) return 0;
    if (!tensor_fits(&problem->out[0], step->out_offset, plan, step->out_whole)) return 0;
    if (step->kernel->refuse(problem)) return 0;
    int64_t packed = step->kernel->packed_size ? (int64_t)step->kernel->packed_size(problem) : 0;
    return step->packed_bytes == packed && step->packed_offset >= 0 && step->packed_offset % 64 == 0 &&
           step->packed_offset <= plan->weight_bytes && packed <= plan->weight_bytes - step->packed_offset;
}

// The next zero-terminated string of the names section, copied; NULL when there is none or memory is out.
static char *take_name(const char **names, const char *end) {
    const char *stop = memchr(*names, 0, (size_t)(end - *names));
    if (!stop) return NULL;
    char *name = cf_strdup(*names);
    *names = stop + 1;
    return name;
}

// 1 if images can be written into it: exec/network_input.h.
static int input_is_known(const cf_tensor *input, cf_backend backend) {
    if (input->dtype == CF_F32) return input->c == 3 && input->pixel == 3;
    return input->dtype == CF_BF16 && backend == CF_CPU && input->c == 4 && input->pixel == 4 && input->scale > 0;
}

static cfine_status read_about(const about *record, const char *name, cf_plan *plan, cfine_error *err) {
    plan->request = record->request;
    plan->request.ordinal = 0; // which GPU is the opener's choice
    plan->input = record->input;
    plan->logits = record->logits;
    plan->boxes = record->boxes;
    plan->preprocess = record->preprocess;
    plan->flops = record->flops;
    plan->workspace_bytes = record->workspace_bytes;
    plan->whole_bytes = record->whole_bytes;
    plan->model_hash = record->model_hash;
    plan->queries = record->queries;
    plan->labels = record->labels;
    plan->decoder_layers = record->decoder_layers;
    plan->detections = record->detections;
    memcpy(plan->family, record->family, sizeof plan->family);
    memcpy(plan->size, record->size, sizeof plan->size);
    plan->accuracy = record->accuracy;
    plan->accuracy.data[sizeof plan->accuracy.data - 1] = plan->accuracy.machine[sizeof plan->accuracy.machine - 1] = 0;
    plan->family[sizeof plan->family - 1] = plan->size[sizeof plan->size - 1] = 0;
    int batch = plan->request.batch;
    plan->chunk = cf_plan_chunk(&plan->request);
    if ((plan->request.target.backend != CF_CPU && plan->request.target.backend != CF_CUDA) || batch < 1 ||
        batch > 1 << 16 || plan->request.threads < 1 || plan->workspace_bytes < 0 || plan->queries < 1 ||
        plan->labels < 1 || plan->labels > MAX_NAMES || plan->detections < 1 || plan->detections > MAX_NAMES ||
        plan->whole_bytes < 0 || plan->whole_bytes > plan->workspace_bytes ||
        !tensor_fits(&plan->input.tensor, plan->input.offset, plan, 1) ||
        !tensor_fits(&plan->logits.tensor, plan->logits.offset, plan, 1) ||
        !tensor_fits(&plan->boxes.tensor, plan->boxes.offset, plan, 1) ||
        !input_is_known(&plan->input.tensor, plan->request.target.backend) || plan->logits.tensor.dtype != CF_F32 ||
        plan->boxes.tensor.dtype != CF_F32 || plan->logits.tensor.w != plan->queries ||
        plan->logits.tensor.c != plan->labels || plan->boxes.tensor.w != plan->queries || plan->boxes.tensor.c != 4)
        return damaged(name, "description", err);
    return CFINE_OK;
}

static int read_tried(const step_record *record, cf_step *step) {
    for (int i = 0; i < CF_TRIED && record->tried[i].kernel[0]; i++) {
        float milliseconds = record->tried[i].milliseconds;
        const cf_kernel *kernel = memchr(record->tried[i].kernel, 0, sizeof record->tried[i].kernel)
                                      ? cf_kernel_find(record->tried[i].kernel)
                                      : NULL;
        if (!kernel || !(milliseconds >= 0 && milliseconds < 1e9f)) return 0;
        step->tried[step->tried_count++] = (cf_tried){kernel, milliseconds};
    }
    return 1;
}

static cfine_status read_steps(const header *head, const uint8_t *data, const char *name, uint32_t features,
                               cf_plan *plan, cfine_error *err) {
    const step_record *records = (const step_record *)(data + sizeof(header) + sizeof(about));
    const char *names = (const char *)(records + head->step_count), *end = names + head->names_size;
    plan->steps = cf_alloc(head->step_count, sizeof *plan->steps);
    plan->label_names = cf_alloc((size_t)plan->labels, sizeof *plan->label_names);
    if (!plan->steps || !plan->label_names) return cf_fail_memory(err, name, head->step_count * sizeof *plan->steps);
    for (uint32_t i = 0; i < head->step_count; i++) {
        const step_record *record = &records[i];
        cf_step *step = &plan->steps[i];
        plan->step_count = (int32_t)i + 1;
        *step = (cf_step){.out_offset = record->out_offset,
                          .packed_offset = record->packed_offset,
                          .packed_bytes = record->packed_bytes,
                          .flops = record->flops,
                          .bytes = record->bytes};
        memcpy(&step->problem, &record->problem, sizeof step->problem);
        memcpy(step->in_offset, record->in_offset, sizeof step->in_offset);
        memcpy(step->in_whole, record->in_whole, sizeof step->in_whole);
        step->out_whole = record->out_whole;
        for (int k = 0; k < CF_MAX_CONSTANTS; k++) step->problem.constant[k].data = NULL;
        if (memchr(record->kernel, 0, sizeof record->kernel)) step->kernel = cf_kernel_find(record->kernel);
        if (!read_tried(record, step)) return damaged(name, "times of a step", err);
        if (!check_step(step, plan, features)) return damaged(name, "a step", err);
        step->name = take_name(&names, end);
        if (!step->name) return damaged(name, "step names", err);
    }
    for (int i = 0; i < plan->labels; i++)
        if (!(plan->label_names[i] = take_name(&names, end))) return damaged(name, "label names", err);
    return CFINE_OK;
}

cfine_status cf_planfile_parse(const uint8_t *data, size_t size, const char *name, uint32_t features, cf_plan **out,
                               cfine_error *err) {
    *out = NULL;
    header head;
    if (size < sizeof head) return cf_fail(err, CFINE_ERROR_FORMAT, "%s: is not a plan file", name);
    memcpy(&head, data, sizeof head);
    CF_TRY(check_header(&head, size, name, features, err));
    uint64_t body = cf_hash64(data + sizeof head, head.weights_offset - sizeof head, 0);
    if (head.body_hash != cf_hash64(data + head.weights_offset, head.weights_size, body))
        return damaged(name, "checksum", err);
    cf_plan *plan = cf_alloc(1, sizeof *plan);
    if (!plan) return cf_fail_memory(err, name, sizeof *plan);
    atomic_store(&plan->references, 1);
    plan->borrowed = 1;
    plan->weights = (uint8_t *)data + head.weights_offset; // read only
    plan->weight_bytes = (int64_t)head.weights_size;
    about description;
    memcpy(&description, data + sizeof head, sizeof description);
    cfine_status status = read_about(&description, name, plan, err);
    if (status == CFINE_OK) status = read_steps(&head, data, name, features, plan, err);
    if (status != CFINE_OK) {
        cf_plan_release(plan);
        return status;
    }
    *out = plan;
    return CFINE_OK;
}

cfine_status cf_planfile_open(const char *path, uint32_t features, cf_plan **out, cfine_error *err) {
    cf_bytes file;
    *out = NULL;
    CF_TRY(cf_file_load(path, &file, err));
    cfine_status status = cf_planfile_parse(file.data, file.size, path, features, out, err);
    if (status == CFINE_OK)
        (*out)->file = file;
    else
        cf_bytes_release(&file);
    return status;
}

int cf_planfile_probe(const char *path) {
    char start[sizeof magic];
    FILE *file = fopen(path, "rb");
    int found = file && fread(start, 1, sizeof start, file) == sizeof start && !memcmp(start, magic, sizeof magic);
    if (file) fclose(file);
    return found;
}
