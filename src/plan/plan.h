// SPDX-License-Identifier: Apache-2.0
// A plan: a model compiled for one device. Steps with their kernels and packed weights, and the memory they work in.
//
//     graph -> passes -> insert copies -> placement (placement.c) -> memory (memory_plan.c) -> kernels, packing
//     (compile.c)
//
// Immutable once made; sessions share it and keep it alive by its reference count.
#ifndef CF_PLAN_PLAN_H
#define CF_PLAN_PLAN_H

#include <stdatomic.h>

#include "base/file.h"
#include "cuda/queue.h"
#include "graph/graph.h"
#include "kernels/kernel.h"
#include "model/model_config.h"

enum { CF_TRIED = 6 };

// A kernel that was timed for a step.
typedef struct cf_tried {
    const cf_kernel *kernel;
    float milliseconds;
} cf_tried;

// One kernel call. Tensors are in the workspace at byte offsets, packed constants in the weights.
typedef struct cf_step {
    const cf_kernel *kernel;
    char *name;         // of the node
    cf_problem problem; // shapes and strides; no data
    int64_t in_offset[CF_MAX_INPUTS], out_offset;
    uint8_t in_whole[CF_MAX_INPUTS], out_whole; // 1: the tensor holds the whole batch, not one chunk
    int64_t packed_offset, packed_bytes;
    double flops, bytes;      // of one image: operations, and the least traffic
    cf_tried tried[CF_TRIED]; // when the plan was tuned: what was timed for this step or one like it
    int32_t tried_count;
} cf_step;

typedef struct cf_plan_tensor {
    cf_tensor tensor; // no data
    int64_t offset;   // in the workspace
} cf_plan_tensor;

typedef struct cf_plan_request {
    cfine_precision precision;
    int batch, threads;
    int reference;     // 1: reference kernels only
    int tune;          // 1: kernels are timed, not taken in the order of their list
    int random_ranges; // 1: the ranges of int8 are made up, for timing alone
    cf_target target;  // the device
    int32_t ordinal;   // of the GPU
} cf_plan_request;

// Images that the steps work on at once. On a CPU one: each image goes through the whole network while its activations
// are still in the cache, and only the network's input and outputs hold the whole batch. On a GPU the batch.
int32_t cf_plan_chunk(const cf_plan_request *request);

// Operations of the whole graph for one image.
double cf_plan_flops(const cf_graph *graph);

// What somebody measured of a plan (cfine_accuracy); images 0: nothing.
typedef struct cf_plan_accuracy {
    double ap, ap50, reference_ap, milliseconds;
    int64_t images;
    char data[128], machine[128];
} cf_plan_accuracy;

typedef struct cf_plan {
    atomic_int references;
    cf_step *steps;
    int32_t step_count;
    struct cf_tuner *tuner; // while a plan is compiled whose kernels are timed; else NULL
    int32_t chunk;          // images a step works on at once
    uint8_t *weights;       // packed constants of all steps, 64-byte aligned
    int64_t weight_bytes;
    int64_t workspace_bytes;                   // of a batch whose chunks run one after the other
    int64_t whole_bytes;                       // of that, in front: what holds the whole batch
    void *device_weights[CF_CUDA_MAX_DEVICES]; // the same on each GPU that a session runs on, see device_weights.c
    int borrowed;                              // 1: weights point into `file` or into memory of the caller
    cf_bytes file;                             // the plan file, read
    cf_plan_request request;
    cf_plan_tensor input, logits, boxes;
    double flops;                                // of one image
    int32_t calibrated_width, calibrated_height; // of the input that its calibration was made at; 0: none, or not known

    // From the model, so that a plan alone can turn images into detections.
    char family[16], size[16];
    uint64_t model_hash;
    int32_t queries, labels, decoder_layers, detections; // detections: most that an image can have
    char **label_names;
    cf_preprocess_config preprocess;

    cf_plan_accuracy accuracy;
} cf_plan;

// Compiles a graph that has been through the passes. Consumes the graph's constants (each is freed once packed), so
// that weights are never in memory twice. The fields from the model are left for the caller to fill.
cfine_status cf_plan_compile(cf_graph *graph, const cf_plan_request *request, cf_plan **out, cfine_error *err);

// Fails if the GPU cannot run the kernels that the plan chose for another one.
cfine_status cf_plan_fits_gpu(const cf_plan *plan, const cf_cuda_device *device, cfine_error *err);
// The packed weights in the memory of a GPU, sent there by the first caller. They live as long as the plan.
cfine_status cf_plan_weights_on(cf_plan *plan, const cf_cuda_device *device, cf_cuda_queue *queue, const void **out,
                                cfine_error *err);
void cf_plan_free_device_weights(cf_plan *plan);

cf_plan *cf_plan_retain(cf_plan *plan);
void cf_plan_release(cf_plan *plan); // NULL is allowed

// ---------------------------------------------------------------------------------------------------------------------
// Steps of the compilation

// Where a value lives: inside the buffer of its root value.
typedef struct cf_place {
    int32_t root;
    int64_t pixel_offset;   // pixels from the root's first one (TOKENS)
    int32_t channel_offset; // channels from the root's first one (CONCAT, SLICE)
} cf_place;

typedef struct cf_buffer {
    int32_t halo;
    int32_t first, last; // nodes that write it first and read it last, inclusive
    int64_t pixel;       // numbers from one pixel to the next
    int64_t bytes, offset;
    int32_t placed; // 1: the offset is given
} cf_buffer;

typedef struct cf_placement {
    cf_place *places;                     // by value
    cf_buffer *buffers;                   // by value; used for roots only
    int64_t workspace_bytes, whole_bytes; // see cf_plan
} cf_placement;

// Inserts COPY nodes in front of CONCAT and TOKENS whose inputs cannot be written in place.
cfine_status cf_plan_insert_copies(cf_graph *graph, cfine_error *err);
// Gives every value a place, every root a halo (on a CPU) and a lifetime, and every root an offset in the workspace.
cfine_status cf_plan_place(const cf_graph *graph, const cf_plan_request *request, cf_placement *out, cfine_error *err);
// Numbers from one pixel of a buffer to the next. Where pixels take 2 KB or more and a multiple of 1 KB (1024 channels
// in bf16) neighbours lie in one, two or four of the 64 sets of a first cache, which hardly hold the 32 pixels that a
// convolution works on. Two lines more spread them over half of the sets and leave pairs of lines, which processors
// fetch together, as they are. GPUs, and who fills the input and reads the outputs, want pixels side by side.
int64_t cf_plan_pixel(int32_t channels, cf_dtype dtype, cf_backend backend);
// 1 if the value's buffer holds the whole batch: the input and the outputs.
int cf_placement_is_whole(const cf_graph *graph, const cf_placement *placement, int32_t value);
void cf_placement_release(cf_placement *placement);
// The tensor of a value as kernels see it, and its byte offset in the workspace.
cf_plan_tensor cf_placement_tensor(const cf_graph *graph, const cf_placement *placement, int32_t value);

// Offsets for buffers with sizes and lifetimes such that no two that live at the same time overlap; returns the total.
// Largest first, each at the lowest free offset, after those that are placed. buffers with bytes 0 are skipped. Needs
// count ints of scratch.
int64_t cf_memory_align(int64_t bytes); // up to where the next buffer may begin
int64_t cf_memory_plan(cf_buffer *buffers, int32_t count, int32_t *scratch);

#endif
