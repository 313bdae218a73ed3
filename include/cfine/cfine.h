// SPDX-License-Identifier: Apache-2.0
// libcfine: D-FINE object detection.
//
//     cfine_error error;
//     cfine_session *session;
//     cfine_detections found = {0};
//     if (cfine_open("tabletop", NULL, &session, &error) == CFINE_OK &&
//         cfine_detect_file(session, "photo.jpg", NULL, &found, &error) == CFINE_OK)
//         for (size_t i = 0; i < found.count; i++)
//             printf("%s %.2f\n", cfine_session_label(session, found.items[i].label), found.items[i].score);
//     else
//         fprintf(stderr, "%s\n", error.message);
//     cfine_detections_release(&found);
//     cfine_session_close(session);
//
// In reading order: status and errors, detections, the simple calls (open, detect), images, and the steps underneath:
// a checkpoint on disk becomes a model, a model is built into a plan for one device, a session runs a plan.
//
// Conventions. Functions that can fail return a cfine_status and, if `error` is not NULL, write one line of text into
// it. Options structs start with struct_size, to be set by CFINE_INIT: fields added later read as zero from older
// callers, and zero always means the default. Handles are opaque; close functions take NULL. The library never prints,
// never exits, and reads no environment besides CFINE_CPU, CFINE_MODELS and CFINE_CACHE (and HOME, XDG_CACHE_HOME).
//
// Threads. Models and plans are immutable once opened: any number of threads may use one, and sessions of one plan
// share its weights. A session runs one call at a time: calls from several threads queue up on its lock. For parallel
// work open several sessions on one plan.
#ifndef CFINE_CFINE_H
#define CFINE_CFINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CFINE_API __attribute__((visibility("default")))
#else
#define CFINE_API
#endif

#define CFINE_VERSION_MAJOR 0
#define CFINE_VERSION_MINOR 1
#define CFINE_VERSION_PATCH 0

// "0.1.0": the version of the library that is loaded, which may be newer than this header.
CFINE_API const char *cfine_version(void);

// ---------------------------------------------------------------------------------------------------------------------
// Status and errors

// Values are stable; new ones may be added between them.
typedef enum cfine_status {
    CFINE_OK = 0,
    CFINE_ERROR_ARGUMENT = 10,    // the call is wrong: a value out of range, a NULL where none is allowed
    CFINE_ERROR_NOT_FOUND = 20,   // no such file, model or label
    CFINE_ERROR_IO = 30,          // the operating system refused to read or write
    CFINE_ERROR_FORMAT = 40,      // a file's bytes are not what they claim to be
    CFINE_ERROR_UNSUPPORTED = 50, // well-formed, but beyond what this library or its limits allow
    CFINE_ERROR_MEMORY = 60,      // out of memory
    CFINE_ERROR_MISMATCH = 70,    // a plan was made for another version, model or device: rebuild it
    CFINE_ERROR_DEVICE = 80,      // the device failed or is not there
    CFINE_ERROR_INTERNAL = 90     // a defect in cfine: please report it
} cfine_status;

typedef struct cfine_error {
    cfine_status status;
    char message[1020]; // what was wrong, where, and what to do; no newline
} cfine_error;

// "bad file", ...: a short name of the status.
CFINE_API const char *cfine_status_name(cfine_status status);

// Initialises any options struct: `cfine_open_options options = CFINE_INIT(cfine_open_options);`
#ifdef __cplusplus
#define CFINE_INIT(type) (type{sizeof(type)})
#else
#define CFINE_INIT(type) ((type){.struct_size = sizeof(type)})
#endif

// ---------------------------------------------------------------------------------------------------------------------
// Detections

typedef struct cfine_detection {
    int label;    // class index, 0 .. labels-1; see cfine_session_label
    float score;  // 0..1
    float box[4]; // x1, y1, x2, y2 in pixels of the source image
} cfine_detection;

// Detections of one image, best first. Zero it before the first use; each call that fills it reuses its memory.
typedef struct cfine_detections {
    cfine_detection *items;
    size_t count, capacity;
    int width, height; // of the source image, in pixels
} cfine_detections;

CFINE_API void cfine_detections_release(cfine_detections *detections);

// ---------------------------------------------------------------------------------------------------------------------
// Images: 8-bit RGB, rows top to bottom without padding

typedef struct cfine_image {
    int width, height;
    uint8_t *rgb; // height * width * 3 bytes, owned by the image; release with cfine_image_release
} cfine_image;

typedef struct cfine_image_options {
    size_t struct_size;
    int64_t max_pixels;     // larger images are refused before they are decoded; 0: 178,956,970 (as Pillow)
    int64_t max_bytes;      // of the encoded file; 0: 1 GiB
    int ignore_orientation; // 1: leave EXIF orientation alone (as COCO evaluation does); 0: turn upright
} cfine_image_options;

// Decodes JPEG, PNG, WebP, BMP or PNM (by content, not by name). path "-" is standard input. options may be NULL.
CFINE_API cfine_status cfine_image_load(const char *path, const cfine_image_options *options, cfine_image *out,
                                        cfine_error *error);
CFINE_API cfine_status cfine_image_decode(const void *bytes, size_t size, const cfine_image_options *options,
                                          cfine_image *out, cfine_error *error);
CFINE_API void cfine_image_release(cfine_image *image);

// ---------------------------------------------------------------------------------------------------------------------
// The simple way: open a session, detect

typedef enum cfine_precision {
    CFINE_PRECISION_DEFAULT = 0, // FP32; of a plan file: what it was built with
    CFINE_FP32 = 1,              // FP32 accuracy
    CFINE_BF16 = 2,              // bf16 matrix products and activations, FP32 where the boxes are made
    CFINE_FP16 = 3,              // GPU, or CPU with AVX-512 FP16: like bf16, with fp16
    CFINE_INT8 = 4,              // int8 with calibrated ranges
    CFINE_FP8 = 5 // GPU of compute capability 8.9 and up: like int8, with floating point of 8 bits (E4M3)
} cfine_precision;

// An operator of the network (cfine_step_time.name; a name that ends in '*' means all that begin so) and its precision.
typedef struct cfine_operator_precision {
    const char *name;
    cfine_precision precision;
} cfine_operator_precision;

enum {
    CFINE_BATCH_AUTO = -1,     // on a GPU: as many images as its free memory has room for, in two sessions,
    CFINE_BATCH_AUTO_MOST = 64 // but no more than this: larger batches are not faster
};

typedef struct cfine_plan_options {
    size_t struct_size;
    cfine_precision precision;
    int batch;               // largest number of images a run takes; 0: 1; or CFINE_BATCH_AUTO
    int width, height;       // network input in pixels, multiples of 32; 0: as the checkpoint says
    int queries;             // 0: as the checkpoint says
    int decoder_layers;      // decoder layers to run; 0: all
    int threads;             // threads to tune for; 0: all cores
    int reference;           // 1: plain C kernels and no graph passes: slow, the definition of right
    const char *calibration; // path of a calibration file, for int8 and fp8 alone; NULL: none
    const char *device;      // "cpu", "cuda", "cuda:1" (a GPU by number); NULL: "cpu"
    // Operators to keep in a higher precision than `precision`; a lower one changes nothing. Operators that read the
    // same values share theirs. NULL: none.
    const cfine_operator_precision *operators;
    size_t operator_count;
    int random_ranges; // 1: int8 or fp8 without a calibration takes ranges of random pixels: for timing, not for use
    int tune; // 1: time the kernels that could run each step and take the fastest (seconds); 0: the usual order
} cfine_plan_options;

// What was measured of a plan, kept within its file.
typedef struct cfine_accuracy {
    size_t struct_size;
    double ap, ap50;              // COCO AP over IoU .50:.95, and at .50
    double reference_ap;          // of the same model in FP32, as trained, on the same pictures
    int images;                   // pictures it was measured on; 0: nothing was measured
    double milliseconds;          // mean of a run of `batch` images; 0: not timed
    char data[128], machine[128]; // what the pictures are and which processor, in words
} cfine_accuracy;

typedef struct cfine_session_options {
    size_t struct_size;
    int threads;        // 0: all cores
    int pin;            // 1: bind each thread to a core
    int profile;        // 1: take the time of every step
    const char *device; // "cuda:N", for plans of a GPU; NULL: the plan's
} cfine_session_options;

typedef struct cfine_detect_options {
    size_t struct_size;
    float threshold;    // least score to report; 0: 0.5; negative: all
    int max_detections; // 0: 300
} cfine_detect_options;

typedef struct cfine_session cfine_session;

typedef struct cfine_open_options {
    size_t struct_size;
    cfine_plan_options plan;
    cfine_session_options session;
} cfine_open_options;

// Opens a model for detection. `model` is a Hugging Face directory, an official .pth, a .plan file, or the name of a
// bundled or pulled model; NULL is the bundled default. options may be NULL.
CFINE_API cfine_status cfine_open(const char *model, const cfine_open_options *options, cfine_session **out,
                                  cfine_error *error);
CFINE_API void cfine_session_close(cfine_session *session);

// Detects objects in one image file (path "-" is standard input).
CFINE_API cfine_status cfine_detect_file(cfine_session *session, const char *path, const cfine_detect_options *options,
                                         cfine_detections *out, cfine_error *error);

// Detects objects in `count` images (at most the plan's batch), writing count results. Images may differ in size.
// What is found is finite: answers that overflowed, in scores or boxes, are left out.
CFINE_API cfine_status cfine_detect(cfine_session *session, const cfine_image *images, int count,
                                    const cfine_detect_options *options, cfine_detections *out, cfine_error *error);

// Name of a class index ("dog"), or NULL when out of range. Valid as long as the session.
CFINE_API const char *cfine_session_label(const cfine_session *session, int label);

// ---------------------------------------------------------------------------------------------------------------------
// The steps underneath: model, plan, session

typedef struct cfine_model cfine_model; // config and weights of a checkpoint, on any device
typedef struct cfine_plan cfine_plan;   // a model compiled for one device and the options above

typedef struct cfine_model_info {
    size_t struct_size;
    const char *family; // "D-FINE", "DEIMv2"
    const char *size;   // "N", "S", "M", "L", "X" or "custom"
    const char *source; // what was opened
    int labels, queries, decoder_layers, levels;
    int width, height; // network input the checkpoint was made for
    int64_t parameters;
    int64_t weight_bytes; // as stored
} cfine_model_info;

CFINE_API cfine_status cfine_model_open(const char *model, cfine_model **out, cfine_error *error);
CFINE_API void cfine_model_close(cfine_model *model);
CFINE_API cfine_status cfine_model_get_info(const cfine_model *model, cfine_model_info *out, cfine_error *error);
CFINE_API const char *cfine_model_label(const cfine_model *model, int label); // NULL when out of range

typedef struct cfine_plan_info {
    size_t struct_size;
    const char *family, *size; // of the model it was built from
    const char *device;        // "cpu: avx2 avx512 ..."
    cfine_precision precision;
    int labels, queries, decoder_layers;
    int batch, width, height;
    int detections; // most detections an image can have
    int steps;
    int64_t weight_bytes;    // packed, shared by all sessions
    int64_t workspace_bytes; // per session; on a CPU threads that take images side by side have most of it each
    double flops;            // of one image
    int random_ranges;       // 1: int8 or fp8 with ranges of random pixels: its time counts, its results mean nothing
    // Input that the calibration of int8 or fp8 was made at (random_ranges: this plan's); 0: there is none, or its file
    // or a plan file does not say.
    int calibrated_width, calibrated_height;
} cfine_plan_info;

// Builds a plan; the model may be closed afterwards. options may be NULL.
CFINE_API cfine_status cfine_plan_build(const cfine_model *model, const cfine_plan_options *options, cfine_plan **out,
                                        cfine_error *error);
// Writes and opens plan files; opening reads the file, and checks version, device and checksum.
CFINE_API cfine_status cfine_plan_save(const cfine_plan *plan, const char *path, cfine_error *error);
CFINE_API cfine_status cfine_plan_open(const char *path, cfine_plan **out, cfine_error *error);
CFINE_API void cfine_plan_close(cfine_plan *plan); // sessions keep what they need
// CFINE_OK if the options, as far as they are given, are what the plan was built with (a smaller batch will do);
// CFINE_ERROR_MISMATCH and what differs if not. CFINE_BATCH_AUTO is refused for a CPU, as by cfine_plan_build.
// cfine_open asks it for plan files.
CFINE_API cfine_status cfine_plan_check(const cfine_plan *plan, const cfine_plan_options *options, cfine_error *error);
// Writes down what was measured, to be saved with the plan (not while others use it), and reads it: images is 0 where
// nothing was.
CFINE_API cfine_status cfine_plan_set_accuracy(cfine_plan *plan, const cfine_accuracy *accuracy, cfine_error *error);
CFINE_API cfine_status cfine_plan_get_accuracy(const cfine_plan *plan, cfine_accuracy *out, cfine_error *error);
CFINE_API cfine_status cfine_plan_get_info(const cfine_plan *plan, cfine_plan_info *out, cfine_error *error);
CFINE_API const char *cfine_plan_label(const cfine_plan *plan, int label);

// Opens a session on a plan. options may be NULL.
CFINE_API cfine_status cfine_session_open(const cfine_plan *plan, const cfine_session_options *options,
                                          cfine_session **out, cfine_error *error);
// The plan a session runs; valid as long as the session.
CFINE_API const cfine_plan *cfine_session_plan(const cfine_session *session);

// The forward pass alone: `count` images of pixels [count, 3, height, width], prepared (0..1, or normalised where the
// checkpoint asks for it), to logits [count, queries, labels] and boxes [count, queries, 4] (centre x, centre y, width,
// height, as fractions of the image). Outputs may be NULL. pixels NULL: those of the last run once more, already on the
// device.
CFINE_API cfine_status cfine_session_run(cfine_session *session, const float *pixels, int count, float *logits,
                                         float *boxes, cfine_error *error);

// Resizes an image to the network input and scales it as the checkpoint asks, into pixels [3, height, width].
CFINE_API cfine_status cfine_session_prepare(cfine_session *session, const cfine_image *image, float *pixels,
                                             cfine_error *error);

// Turns raw outputs of one image (logits [queries, labels], boxes [queries, 4]) into detections for a source image of
// width x height pixels.
CFINE_API cfine_status cfine_session_postprocess(const cfine_session *session, const float *logits, const float *boxes,
                                                 int width, int height, const cfine_detect_options *options,
                                                 cfine_detections *out, cfine_error *error);

// Time of one step of the last run of a session opened with profile = 1.
typedef struct cfine_step_time {
    const char *name;   // where in the network: "encoder.fpn.0.cv1"
    const char *op;     // "conv", "attention", ...
    const char *kernel; // which implementation ran
    double milliseconds;
    double flops;              // floating-point operations of the step for the images of the run
    double bytes;              // least bytes it must read and write
    cfine_precision precision; // of what it reads; CFINE_PRECISION_DEFAULT where that are no numbers to compute with
} cfine_step_time;

// Fills up to `capacity` entries and returns how many steps there are. Before the first run the times are 0, and the
// operations and bytes those of one image.
CFINE_API size_t cfine_session_step_times(const cfine_session *session, cfine_step_time *out, size_t capacity);

// ---------------------------------------------------------------------------------------------------------------------
// Calibration: what int8 and fp8 need to know

typedef enum cfine_range_method {
    CFINE_RANGE_DEFAULT = 0,    // percentile
    CFINE_RANGE_MINMAX = 1,     // all that was seen
    CFINE_RANGE_PERCENTILE = 2, // without the outermost 0.01 % on each side
    CFINE_RANGE_ENTROPY = 3,    // least Kullback-Leibler divergence
    CFINE_RANGE_MSE = 4         // least squared error
} cfine_range_method;

typedef struct cfine_calibrate_options {
    size_t struct_size;
    cfine_range_method method;
    int limit;  // images to look at, spread over those given; 0: all of them
    int random; // 1: random pixels instead of images (`limit` of them; 0: 100), to see what that costs
    int judged; // images to measure each operator's sensitivity with; 0: 8, or none of random ones; negative: none,
                // every operator runs in int8
    double max_error;  // what int8 may change in what the decoder gets, see docs/accuracy.md; 0: 0.01
    int width, height; // network input in pixels; 0: as the checkpoint says
    int threads;       // 0: all cores
    // How far it is: stage "ranges", then "sensitivity", `done` of `total`. And a picture that could not be read, which
    // is left out. Both may be NULL; both are called on the calling thread.
    void (*progress)(void *arg, const char *stage, int done, int total);
    void (*skipped)(void *arg, const char *message);
    void *arg;
    const char *device; // where the network runs: "cpu" (NULL), "cuda", "cuda:N"; the file serves every device
} cfine_calibrate_options;

// Looks at images (paths of files) to find the range of every value of the network and which operators bear int8, and
// writes a calibration file: JSON for cfine_plan_options.calibration. options may be NULL. Fails when no image could be
// read.
CFINE_API cfine_status cfine_calibrate(const cfine_model *model, const char *const *images, size_t count,
                                       const cfine_calibrate_options *options, const char *path, cfine_error *error);

// A kernel that was timed for a step while the plan was built with tune = 1.
typedef struct cfine_tried {
    const char *kernel;
    double milliseconds;
} cfine_tried;

// Fills up to `capacity` entries with what was timed for step number `step`, in the order of cfine_session_step_times,
// and returns how many there are; 0 where nothing was timed. Strings live as long as the library.
CFINE_API size_t cfine_plan_tried(const cfine_plan *plan, size_t step, cfine_tried *out, size_t capacity);

// Writes the graph of a model, one operator a line with shapes, to a C stream opened by the caller.
// passes = 0: as built from the paper; 1: after all graph passes. `stream` is a FILE *.
CFINE_API cfine_status cfine_model_dump_graph(const cfine_model *model, const cfine_plan_options *options, int passes,
                                              void *stream, cfine_error *error);

typedef struct cfine_export_options {
    size_t struct_size;
    int batch;                 // images of a run; 0: free
    int width, height;         // network input in pixels, multiples of 32; 0: as the checkpoint says
    int queries;               // 0: as the checkpoint says
    int decoder_layers;        // 0: all
    cfine_precision precision; // CFINE_FP32 (0: the same), or CFINE_FP16: all but what makes boxes, with FP32 outside
    int detections;            // 0: raw outputs; else so many detections an image, or all there are
} cfine_export_options;

// Writes a model as an ONNX file (opset 17): input pixel_values [batch, 3, height, width], prepared as
// cfine_session_prepare does; outputs logits [batch, queries, labels] and pred_boxes [batch, queries, 4]. With
// detections there is a second input, orig_target_sizes [batch, 2], int64, the width and height of each picture, and
// the outputs are labels [batch, detections], int64, boxes [batch, detections, 4], corners in pixels of the picture,
// and scores [batch, detections], best first. options may be NULL.
CFINE_API cfine_status cfine_model_export_onnx(const cfine_model *model, const cfine_export_options *options,
                                               const char *path, cfine_error *error);

// ---------------------------------------------------------------------------------------------------------------------
// This machine

// Names of the instruction sets in use ("avx2 avx512 avx512_vnni"), into text.
CFINE_API void cfine_cpu_features(char *text, size_t size);
// Processor name, into text.
CFINE_API void cfine_cpu_model(char *text, size_t size);
CFINE_API int cfine_cpu_count(void);
// The folders in which a model is looked up by name, best first: number 0, 1, ... into path. Returns 0 past the
// last one, or if `size` is too small.
CFINE_API int cfine_model_folder(int index, char *path, size_t size);
// The folder of pulled models, the last of those. Returns 0 if the environment names none (no HOME).
CFINE_API int cfine_cache_folder(char *path, size_t size);
// The GPUs: how many there are (0 without a driver), and one of them in a line ("NVIDIA H100, compute capability 9.0,
// 132 multiprocessors, 85.0 GB") or, in error, why there is none or why it cannot be used.
CFINE_API int cfine_gpu_count(void);
CFINE_API cfine_status cfine_gpu_describe(int index, char *text, size_t size, cfine_error *error);
// The faster 16-bit precision of a device ("cpu", NULL: the same, or "cuda..."): CFINE_FP16 on a GPU and on a CPU with
// AVX-512 FP16 but no AMX, else CFINE_BF16. int8 leaves to it what does not run in bytes.
CFINE_API cfine_precision cfine_half_precision(const char *device);
// Limits the instruction sets to "scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "avx512fp16",
// "amx" or "native". Call it before building or opening plans.
CFINE_API cfine_status cfine_cpu_limit(const char *level, cfine_error *error);

#ifdef __cplusplus
}
#endif
#endif
