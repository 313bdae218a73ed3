// SPDX-License-Identifier: Apache-2.0
// cfine.h: sessions. An image becomes boxes in cfine_detect: prepare, forward, select, one line each.
#include "api/handles.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "exec/network_input.h"
#include "image/image.h"
#include "plan/planfile.h"
#include "postprocess/detections.h"

cfine_status cfine_session_open(const cfine_plan *plan, const cfine_session_options *options, cfine_session **out,
                                cfine_error *error) {
    if (!plan || !out) return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_session_open: NULL argument");
    *out = NULL;
    cfine_session_options wanted;
    CF_READ_OPTIONS(wanted, options);
    int threads = wanted.threads ? wanted.threads : cf_cpu_count();
    cf_session_options how = {threads, wanted.pin, wanted.profile, plan->plan->request.ordinal};
    if (wanted.device) {
        cf_backend backend;
        CF_TRY(cf_parse_device(wanted.device, &backend, &how.gpu, error));
        if (backend != plan->plan->request.target.backend)
            return cf_fail(error, CFINE_ERROR_MISMATCH, "the plan was built for %s, not for %s",
                           backend == CF_CUDA ? "a CPU" : "a GPU", wanted.device);
    }
    cfine_session *session = cf_alloc(1, sizeof *session);
    if (!session) return cf_fail_memory(error, "session", sizeof *session);
    cfine_status status = cf_session_create(plan->plan, &how, &session->exec, error);
    if (status != CFINE_OK) {
        cf_free(session);
        return status;
    }
    session->plan = *plan;
    cf_plan_retain(plan->plan);
    const cf_preprocess_config *config = &plan->plan->preprocess;
    cf_pixel_scale_init(&session->scale, config->rescale ? config->rescale_factor : 1,
                        config->normalize ? config->mean : NULL, config->normalize ? config->std : NULL);
    *out = session;
    return CFINE_OK;
}

void cfine_session_close(cfine_session *session) {
    if (!session) return;
    cf_session_destroy(session->exec);
    cf_plan_release(session->plan.plan);
    cf_resizer_release(&session->resizer);
    cf_free(session);
}

const cfine_plan *cfine_session_plan(const cfine_session *session) {
    return session ? &session->plan : NULL;
}

const char *cfine_session_label(const cfine_session *session, int label) {
    return session ? cfine_plan_label(&session->plan, label) : NULL;
}

static cfine_status build_plan(const char *path, const cfine_plan_options *options, cfine_plan **out,
                               cfine_error *error) {
    cfine_model *model;
    CF_TRY(cfine_model_open(path, &model, error));
    cfine_status status = cfine_plan_build(model, options, out, error);
    cfine_model_close(model);
    return status;
}

static cfine_status open_planfile(const char *path, const cfine_plan_options *options, cfine_session_options *session,
                                  cfine_plan **out, cfine_error *error) {
    CF_TRY(cfine_plan_open(path, out, error));
    cfine_status status = cfine_plan_check(*out, options, error);
    if (status != CFINE_OK) return cf_fail_within(error, status, "%s", path);
    if (!session->device) session->device = options->device;
    return CFINE_OK;
}

cfine_status cfine_open(const char *model, const cfine_open_options *options, cfine_session **out, cfine_error *error) {
    if (!out) return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_open: out is NULL");
    *out = NULL;
    cfine_open_options wanted;
    CF_READ_OPTIONS(wanted, options);
    wanted.plan.struct_size = sizeof wanted.plan;
    wanted.session.struct_size = sizeof wanted.session;
    if (!wanted.plan.threads) wanted.plan.threads = wanted.session.threads;

    char *path;
    cfine_plan *plan = NULL;
    CF_TRY(cf_model_resolve(model, &path, error));
    cfine_status status = cf_planfile_probe(path) ? open_planfile(path, &wanted.plan, &wanted.session, &plan, error)
                                                  : build_plan(path, &wanted.plan, &plan, error);
    cf_free(path);
    if (status == CFINE_OK) status = cfine_session_open(plan, &wanted.session, out, error);
    cfine_plan_close(plan);
    return status;
}

// ---------------------------------------------------------------------------------------------------------------------
// One image into the network's input, by the whole team: rows of the first pass, a barrier, rows of the second.

typedef struct {
    const cfine_session *session;
    const cfine_image *image;
    // Where it goes, one of them: image n of the network's input, floats, or bytes if a device does the scaling.
    const cf_tensor *input;
    int n;
    cf_pixel_view floats;
    uint8_t *bytes;
} prepare_job;

static void prepare_rows(void *arg, const cf_team *team) {
    const prepare_job *job = arg;
    const cf_resizer *resizer = &job->session->resizer;
    long begin, end;
    cf_team_range(team, resizer->first_rows, &begin, &end);
    cf_resize_first(resizer, job->image->rgb, (int)begin, (int)end);
    cf_team_barrier(team);
    cf_team_range(team, resizer->dst_height, &begin, &end);
    if (job->bytes)
        cf_preprocess_bytes(resizer, job->image->rgb, job->bytes, (int)begin, (int)end);
    else if (job->input)
        cf_input_from_image(job->input, job->n, resizer, job->image->rgb, &job->session->scale, (int)begin, (int)end);
    else
        cf_preprocess_rows(resizer, job->image->rgb, &job->session->scale, &job->floats, (int)begin, (int)end);
}

static cfine_status check_image(const cfine_image *image, cfine_error *error) {
    if (!image->rgb || image->width < 1 || image->height < 1)
        return cf_fail(error, CFINE_ERROR_ARGUMENT, "image: %dx%d pixels%s", image->width, image->height,
                       image->rgb ? "" : ", no data");
    return CFINE_OK;
}

static cfine_status prepare(cfine_session *session, prepare_job job, cfine_error *error) {
    const cf_tensor *input = &session->plan.plan->input.tensor;
    CF_TRY(check_image(job.image, error));
    CF_TRY(cf_resizer_plan(&session->resizer, job.image->width, job.image->height, input->w, input->h, error));
    cf_pool_run(session->exec->pool, prepare_rows, &job);
    return CFINE_OK;
}

// Image n of a batch, where the forward pass takes it from.
static cfine_status prepare_nth(cfine_session *session, const cfine_image *image, int n, cfine_error *error) {
    const cf_tensor *input = &session->exec->input, *bytes = &session->exec->bytes;
    prepare_job job = {.session = session, .image = image, .input = input, .n = n};
    if (bytes->data) job.bytes = cf_tensor_at(bytes, n, 0, 0);
    return prepare(session, job, error);
}

cfine_status cfine_session_prepare(cfine_session *session, const cfine_image *image, float *pixels,
                                   cfine_error *error) {
    if (!session || !image || !pixels)
        return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_session_prepare: NULL argument");
    const cf_tensor *input = &session->plan.plan->input.tensor;
    cf_pixel_view planes = {pixels, input->w, 1, (ptrdiff_t)input->w * input->h};
    pthread_mutex_lock(&session->exec->lock);
    prepare_job job = {.session = session, .image = image, .floats = planes};
    cfine_status status = prepare(session, job, error);
    pthread_mutex_unlock(&session->exec->lock);
    return status;
}

static cfine_status check_count(const cfine_session *session, int count, cfine_error *error) {
    int batch = session->plan.plan->request.batch;
    if (count >= 1 && count <= batch) return CFINE_OK;
    return cf_fail(error, CFINE_ERROR_ARGUMENT, "%d images: this plan takes 1 to %d; build it with a larger batch",
                   count, batch);
}

// ---------------------------------------------------------------------------------------------------------------------
// The forward pass alone

typedef struct {
    const cfine_session *session;
    const float *pixels; // [count, 3, h, w]
    int count;
} interleave_job;

static void interleave(void *arg, const cf_team *team) {
    const interleave_job *job = arg;
    cf_tensor input = job->session->exec->input;
    int64_t image = 3 * (int64_t)input.h * input.w;
    long begin, end;
    cf_team_range(team, (long)job->count * input.h, &begin, &end);
    for (long i = begin; i < end; i++) {
        int n = (int)(i / input.h), y = (int)(i % input.h);
        cf_input_from_planes(&input, n, job->pixels + n * image, y, y + 1);
    }
}

static void copy_rows(const cf_tensor *tensor, int count, float *out) {
    for (int n = 0; n < count; n++)
        for (int q = 0; q < tensor->w; q++, out += tensor->c)
            memcpy(out, cf_tensor_at(tensor, n, 0, q), (size_t)tensor->c * sizeof *out);
}

cfine_status cfine_session_run(cfine_session *session, const float *pixels, int count, float *logits, float *boxes,
                               cfine_error *error) {
    if (!session) return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_session_run: session is NULL");
    CF_TRY(check_count(session, count, error));
    cf_session *exec = session->exec;
    pthread_mutex_lock(&exec->lock);
    if (!pixels && count > exec->images) {
        pthread_mutex_unlock(&exec->lock);
        return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_session_run: no pixels, and no run of %d images before",
                       count);
    }
    interleave_job job = {session, pixels, count};
    if (pixels) cf_pool_run(exec->pool, interleave, &job);
    cfine_status status = cf_session_forward(exec, count, pixels ? CF_PIXELS_INPUT : CF_PIXELS_KEPT, error);
    if (status == CFINE_OK && logits) copy_rows(&exec->logits, count, logits);
    if (status == CFINE_OK && boxes) copy_rows(&exec->boxes, count, boxes);
    pthread_mutex_unlock(&exec->lock);
    return status;
}

// ---------------------------------------------------------------------------------------------------------------------
// Images to detections

static cfine_status select_detections(const cf_plan *plan, const float *logits, int64_t logits_row, const float *boxes,
                                      int64_t boxes_row, int width, int height, const cfine_detect_options *options,
                                      cfine_detections *out, cfine_error *error) {
    float threshold = options->threshold == 0 ? 0.5f : options->threshold;
    int most = options->max_detections > 0 && options->max_detections < plan->detections ? options->max_detections
                                                                                         : plan->detections;
    return cf_detections_select(logits, logits_row, boxes, boxes_row, plan->queries, plan->labels, width, height,
                                threshold, most, out, error);
}

cfine_status cfine_session_postprocess(const cfine_session *session, const float *logits, const float *boxes, int width,
                                       int height, const cfine_detect_options *options, cfine_detections *out,
                                       cfine_error *error) {
    if (!session || !logits || !boxes || !out)
        return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_session_postprocess: NULL argument");
    cfine_detect_options wanted;
    CF_READ_OPTIONS(wanted, options);
    const cf_plan *plan = session->plan.plan;
    return select_detections(plan, logits, plan->labels, boxes, 4, width, height, &wanted, out, error);
}

static int takes_all(const cf_session *exec, const cfine_image *images, int count) {
    for (int n = 0; n < count; n++)
        if (!cf_session_takes(exec, images[n].width, images[n].height)) return 0;
    return 1;
}

// Brings a batch to where the forward pass finds it: `from`. A device that resizes gets the pictures as they are.
static cfine_status prepare_all(cfine_session *session, const cfine_image *images, int count, cf_pixels_from *from,
                                cfine_error *error) {
    cf_session *exec = session->exec;
    const cf_tensor *input = &exec->input;
    int sent = takes_all(exec, images, count);
    for (int n = 0; n < count; n++) {
        if (!sent) {
            CF_TRY(prepare_nth(session, &images[n], n, error));
            continue;
        }
        CF_TRY(check_image(&images[n], error));
        CF_TRY(cf_resizer_plan(&session->resizer, images[n].width, images[n].height, input->w, input->h, error));
        cf_session_send(exec, n, &session->resizer, images[n].rgb);
    }
    *from = sent ? CF_PIXELS_KEPT : exec->bytes.data ? CF_PIXELS_BYTES : CF_PIXELS_INPUT;
    return CFINE_OK;
}

static cfine_status detect(cfine_session *session, const cfine_image *images, int count,
                           const cfine_detect_options *options, cfine_detections *out, cfine_error *error) {
    cf_pixels_from from;
    CF_TRY(prepare_all(session, images, count, &from, error));
    CF_TRY(cf_session_forward(session->exec, count, from, error));
    const cf_tensor *logits = &session->exec->logits, *boxes = &session->exec->boxes;
    for (int n = 0; n < count; n++)
        CF_TRY(select_detections(session->plan.plan, cf_tensor_at(logits, n, 0, 0), logits->pixel,
                                 cf_tensor_at(boxes, n, 0, 0), boxes->pixel, images[n].width, images[n].height, options,
                                 &out[n], error));
    return CFINE_OK;
}

cfine_status cfine_detect(cfine_session *session, const cfine_image *images, int count,
                          const cfine_detect_options *options, cfine_detections *out, cfine_error *error) {
    if (!session || !images || !out) return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_detect: NULL argument");
    CF_TRY(check_count(session, count, error));
    cfine_detect_options wanted;
    CF_READ_OPTIONS(wanted, options);
    pthread_mutex_lock(&session->exec->lock);
    cfine_status status = detect(session, images, count, &wanted, out, error);
    pthread_mutex_unlock(&session->exec->lock);
    return status;
}

cfine_status cfine_detect_file(cfine_session *session, const char *path, const cfine_detect_options *options,
                               cfine_detections *out, cfine_error *error) {
    if (!path) return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_detect_file: path is NULL");
    cfine_image image;
    CF_TRY(cfine_image_load(path, NULL, &image, error));
    cfine_status status = cfine_detect(session, &image, 1, options, out, error);
    cfine_image_release(&image);
    return status;
}

// The type of what a step reads.
static cfine_precision precision_of(const cf_problem *problem) {
    if (!problem->inputs) return CFINE_PRECISION_DEFAULT;
    switch (problem->in[0].dtype) {
    case CF_F32: return CFINE_FP32;
    case CF_BF16: return CFINE_BF16;
    case CF_F16: return CFINE_FP16;
    case CF_S8:
    case CF_U8: return CFINE_INT8;
    case CF_E4M3: return CFINE_FP8;
    case CF_I32: break;
    }
    return CFINE_PRECISION_DEFAULT;
}

size_t cfine_session_step_times(const cfine_session *session, cfine_step_time *out, size_t capacity) {
    if (!session) return 0;
    const cf_plan *plan = session->plan.plan;
    int images = session->exec->images ? session->exec->images : 1; // nothing was run yet: what one image takes
    for (int i = 0; i < plan->step_count && (size_t)i < capacity && out; i++) {
        const cf_step *step = &plan->steps[i];
        out[i] = (cfine_step_time){step->name,
                                   cf_op_name(step->problem.op),
                                   step->kernel->name,
                                   session->exec->step_seconds[i] * 1e3,
                                   step->flops * images,
                                   (step->bytes - (double)step->packed_bytes) * images + (double)step->packed_bytes,
                                   precision_of(&step->problem)};
    }
    return (size_t)plan->step_count;
}
