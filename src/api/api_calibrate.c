// SPDX-License-Identifier: Apache-2.0
// cfine.h: calibration. Images become network inputs here; quant/calibrate.c does the rest.
#include "api/handles.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "exec/network_input.h"
#include "quant/calibrate.h"

enum { RANDOM_IMAGES = 100, JUDGED_IMAGES = 8 };

static const double MAX_ERROR = 0.01;

// Where images come from.
typedef struct {
    const char **paths; // that can be read; NULL: random pixels
    int count;
    float **kept; // prepared pixels of the first images, [3, h, w], which are run again and again
    int keep;
    cf_resizer resizer;
    cf_pixel_scale scale;
    cfine_calibrate_options wanted;
} picture_source;

static void random_pixels(const cf_tensor *input, int image, float *pixels) {
    uint32_t state = 12345 + (uint32_t)image * 7919;
    for (size_t i = 0; i < (size_t)input->h * (size_t)input->w * 3; i++) {
        state = state * 1664525u + 1013904223u;
        pixels[i] = (float)(state >> 24) / 255;
    }
}

static cfine_status load_pixels(picture_source *source, cf_session *session, int image, float *pixels,
                                cfine_error *err) {
    cf_tensor input = session->input;
    if (!source->paths) {
        random_pixels(&input, image, pixels);
        return CFINE_OK;
    }
    cfine_image picture;
    CF_TRY(cfine_image_load(source->paths[image], NULL, &picture, err));
    cfine_session handle = {
        .exec = session, .plan = {.plan = session->plan}, .resizer = source->resizer, .scale = source->scale};
    cfine_status status = cfine_session_prepare(&handle, &picture, pixels, err);
    source->resizer = handle.resizer;
    cfine_image_release(&picture);
    return status;
}

static cfine_status fill(void *arg, cf_session *session, int image, cfine_error *err) {
    picture_source *source = arg;
    cf_tensor input = session->input;
    size_t plane = (size_t)input.h * (size_t)input.w;
    float *pixels = image < source->keep ? source->kept[image] : NULL;
    if (!pixels) {
        pixels = cf_alloc(plane * 3, sizeof *pixels);
        if (!pixels) return cf_fail_memory(err, "image", plane * 3 * sizeof *pixels);
        cfine_status status = load_pixels(source, session, image, pixels, err);
        if (status != CFINE_OK) {
            cf_free(pixels);
            return status;
        }
        if (image < source->keep) source->kept[image] = pixels;
    }
    cf_input_from_planes(&input, 0, pixels, 0, input.h);
    if (image >= source->keep) cf_free(pixels);
    return CFINE_OK;
}

static void progress(void *arg, const char *stage, int done, int total) {
    const picture_source *source = arg;
    if (source->wanted.progress) source->wanted.progress(source->wanted.arg, stage, done, total);
}

// The pictures that can be read, at most `limit`, spread over all that were given.
static cfine_status choose_pictures(picture_source *source, const char *const *images, size_t count, cfine_error *err) {
    size_t limit =
        source->wanted.limit > 0 && (size_t)source->wanted.limit < count ? (size_t)source->wanted.limit : count;
    if (limit > 100000) limit = 100000;
    source->paths = cf_alloc(limit + 1, sizeof *source->paths);
    if (!source->paths) return cf_fail_memory(err, "calibration", limit * sizeof *source->paths);
    cfine_error first = {0};
    for (size_t i = 0; i < limit; i++) {
        const char *path = images[i * count / limit];
        cfine_image picture;
        cfine_error problem;
        if (cfine_image_load(path, NULL, &picture, &problem) == CFINE_OK) {
            cfine_image_release(&picture);
            source->paths[source->count++] = path;
            continue;
        }
        if (first.status == CFINE_OK) first = problem;
        if (source->wanted.skipped) source->wanted.skipped(source->wanted.arg, problem.message);
    }
    if (source->count) return CFINE_OK;
    if (limit == 0) return cf_fail(err, CFINE_ERROR_ARGUMENT, "calibration: no images given");
    return cf_fail(err, first.status, "calibration: none of %zu images can be read, the first because: %s", limit,
                   first.message);
}

static cfine_status check_options(const cfine_calibrate_options *options, cfine_error *err) {
    if ((int)options->method < 0 || options->method > CFINE_RANGE_MSE)
        return cf_fail(err, CFINE_ERROR_ARGUMENT, "calibration: method %d is none of minmax, percentile, entropy, mse",
                       (int)options->method);
    if (options->limit < 0) return cf_fail(err, CFINE_ERROR_ARGUMENT, "calibration: limit %d", options->limit);
    if (options->threads < 0) return cf_fail(err, CFINE_ERROR_ARGUMENT, "threads: %d is negative", options->threads);
    if (!(options->max_error >= 0))
        return cf_fail(err, CFINE_ERROR_ARGUMENT, "calibration: an error of %g", options->max_error);
    return CFINE_OK;
}

static cfine_status calibrate(const cfine_model *model, picture_source *source, int judged, cf_calibration **out,
                              cfine_error *err) {
    const cfine_calibrate_options *wanted = &source->wanted;
    const cf_preprocess_config *config = &model->checkpoint->config.preprocess;
    cf_pixel_scale_init(&source->scale, config->rescale ? config->rescale_factor : 1,
                        config->normalize ? config->mean : NULL, config->normalize ? config->std : NULL);
    source->keep = judged < source->count ? judged : source->count;
    source->kept = cf_alloc((size_t)source->keep + 1, sizeof *source->kept);
    if (!source->kept) return cf_fail_memory(err, "calibration", (size_t)source->keep * sizeof *source->kept);
    cf_plan_request target = {.threads = 1};
    CF_TRY(cf_find_target(wanted->device, 0, &target, err));
    cf_calibrate_request request = {.shape = {.width = wanted->width, .height = wanted->height},
                                    .method = wanted->method ? (cf_range_method)(wanted->method - CFINE_RANGE_MINMAX)
                                                             : CF_RANGE_PERCENTILE,
                                    .images = source->count,
                                    .random = !source->paths,
                                    .judged = source->keep,
                                    .threads = wanted->threads ? wanted->threads : cf_cpu_count(),
                                    .gpu = target.target.backend == CF_CUDA ? &target : NULL,
                                    .budget = wanted->max_error > 0 ? wanted->max_error : MAX_ERROR,
                                    .fill = fill,
                                    .progress = progress,
                                    .arg = source};
    return cf_calibrate(model->checkpoint, &request, out, err);
}

static void release(picture_source *source) {
    for (int i = 0; source->kept && i < source->keep; i++) cf_free(source->kept[i]);
    cf_free(source->kept);
    cf_free(source->paths);
    cf_resizer_release(&source->resizer);
}

cfine_status cfine_calibrate(const cfine_model *model, const char *const *images, size_t count,
                             const cfine_calibrate_options *options, const char *path, cfine_error *error) {
    if (!model || !path || (count && !images))
        return cf_fail(error, CFINE_ERROR_ARGUMENT, "cfine_calibrate: NULL argument");
    picture_source source = {0};
    CF_READ_OPTIONS(source.wanted, options);
    CF_TRY(check_options(&source.wanted, error));
    cf_calibration *made = NULL;
    cfine_status status = CFINE_OK;
    if (source.wanted.random)
        source.count = source.wanted.limit ? source.wanted.limit : RANDOM_IMAGES;
    else
        status = choose_pictures(&source, images, count, error);
    int judged = source.wanted.judged < 0 ? 0 : source.wanted.judged;
    if (!source.wanted.judged && !source.wanted.random) judged = JUDGED_IMAGES;
    if (status == CFINE_OK) status = calibrate(model, &source, judged, &made, error);
    if (status == CFINE_OK) status = cf_calibration_write(made, path, error);
    cf_calibration_destroy(made);
    release(&source);
    return status;
}

cfine_status cf_calibrate_for_timing(const cfine_model *model, const cfine_plan_options *options, cf_calibration **out,
                                     cfine_error *err) {
    picture_source source = {.count = 1,
                             .wanted = {.method = CFINE_RANGE_MINMAX,
                                        .width = options->width,
                                        .height = options->height,
                                        .threads = options->threads}};
    cfine_status status = calibrate(model, &source, 0, out, err);
    release(&source);
    return status;
}
