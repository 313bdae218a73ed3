// SPDX-License-Identifier: Apache-2.0
// Convolution as a matrix product without a matrix: geometry, packed weights and the loops around a microkernel.
//
// A microkernel computes a run of up to `most_run` neighbouring output pixels of one line times `panels` panels of 16
// output channels. Its sum over K walks "K runs": stretches of channels that lie one after another in the input, read
// in place with the input's strides, whose halo stands in for bounds checks. Values are read in groups of 32 bits (one
// FP32, two bf16 or FP16, four int8), and one instruction multiplies a group of each pixel with a group of 16 outputs,
// so all types share the code and the layout of weights:
//
//   uint32 weight[panel][group of K][16]; float bias[outputs]; int8 and FP16 also: float scale[outputs]; int8 also:
//   int32 offset[outputs]
//
// outputs is rounded up to whole panels; missing ones are zero. int8 and FP16 weights are stored in steps of their
// output: scale times what is stored is the weight.
#ifndef CF_KERNELS_CPU_CONV_PANEL_H
#define CF_KERNELS_CPU_CONV_PANEL_H

#include "kernels/kernel.h"

enum { CF_PANEL = 16, CF_CONV_RUNS = 28 };

// FP16 products are summed in FP16, 32 groups and then some (fewer than 64), before FP32 takes over; see
// conv_f16_avx512.c. Their steps are powers of two that leave no output a weight beyond 2^-6: then no such sum of
// finite numbers overflows, whatever the input.
enum { CF_F16_CHUNK = 32, CF_F16_MOST_EXPONENT = -6 };

typedef struct cf_conv_geometry {
    int32_t group;                    // values in 32 bits: 1, 2 or 4
    int32_t panels, outputs;          // panels of 16 and the true number of channels
    int32_t rows, cols;               // K runs
    int32_t groups, tail;             // whole groups in a K run, and values beyond them (less than a group)
    int32_t depth;                    // groups of all K runs, a tail counting as one
    int32_t lead;                     // values of a pixel where panels hold pairs of pixels (cf_conv_pairs), else 0
    int64_t row_step, col_step, step; // bytes between K runs and between the pixels of a run
    int32_t lines_per_image, width;   // output lines (several rows when they join without a gap)
    int64_t lines;
    int64_t in_first, in_line, in_image;    // elements from the input's first pixel
    int64_t out_line, out_image, out_pixel; // elements
    int64_t add_line, add_image, add_pixel; // the residual, likewise
} cf_conv_geometry;

// What happens to a tile of sums on the way out.
typedef struct cf_conv_store {
    const void *sums;
    const float *scale, *bias; // int8 only: of the sums
    char *out;
    const char *add;                 // residual at the first column of the line, or NULL
    int64_t out_pixel, add_pixel;    // bytes
    int32_t x;                       // column of the first pixel: of the residual only
    int32_t pixels, channels, width; // width: columns of sums; channels may be fewer
    const cf_conv_attr *attr;
    const cf_tensor *out_tensor, *add_tensor;
} cf_conv_store;

// What a microkernel gets. It writes sums as [pixel][16 * panels], FP32 (int8: int32), or finishes them itself.
typedef struct cf_conv_tile {
    const cf_conv_geometry *geometry;
    const char *in, *weight; // the first tap of the first pixel; the first panel
    int64_t panel;           // bytes of one panel
    const void *start;       // what sums start from: bias or int32 offset, 16 * panels values
    const float *scale;      // FP16 only: steps of the weights, likewise
    void *sums;
    const cf_conv_store *finish; // NULL, or what to do with the sums, of the kind that the machine finishes
} cf_conv_tile;

typedef struct cf_conv_machine {
    int32_t most_run[3], most_panels;                               // longest run for 1, 2, 3 panels at a time
    void (*const (*micro)[CF_CONV_RUNS])(const cf_conv_tile *tile); // [panels - 1][pixels - 1]
    void (*store)(const cf_conv_store *store);
    // 1 if the microkernels can finish the sums of such a problem while they are in registers. NULL: never.
    int (*finishes)(const cf_problem *problem);
} cf_conv_machine;

// Microkernels that Winograd's kernels use too.
extern const cf_conv_machine cf_conv_f32_avx512_machine, cf_conv_bf16_avx512_machine, cf_conv_f16_avx512_machine,
    cf_conv_f32_avx2_machine;

// What one member of the team takes of `runs` times `panels` pieces of work. across: how many threads stand side by
// side over panels, a divisor of their number; 1: as many as share the work best.
typedef struct cf_conv_share {
    int64_t run_first, run_last;
    int32_t panel_first, panel_last;
} cf_conv_share;

cf_conv_share cf_conv_share_of(const cf_team *team, int64_t runs, int panels, int across);

// NULL if geometry and dtypes suit, else why not.
const char *cf_conv_refuse(const cf_problem *problem, cf_dtype dtype);
// 1 where eight outputs would fill half a panel, and it holds those of two neighbouring pixels instead: the second
// half's weights begin a pixel later, and a kernel row of k pixels, k + 1 long now, takes (k + 1) / 2k of the products.
int cf_conv_pairs(const cf_problem *problem);
size_t cf_conv_packed_size(const cf_problem *problem);
void cf_conv_pack(const cf_problem *problem, void *packed); // of signed activations: for those 128 higher
void cf_conv_run(const cf_call *call, const cf_team *team, const cf_conv_machine *machine);

// For matrix units: no pairs of pixels, signed activations as they are.
void cf_conv_geometry_make(const cf_problem *problem, int images, cf_conv_geometry *geometry);
size_t cf_conv_packed_size_tiles(const cf_problem *problem);
void cf_conv_pack_tiles(const cf_problem *problem, void *packed);

// Stores a weight; int8 and FP16 ones in units of scale.
void cf_conv_put(unsigned char *to, cf_dtype dtype, float value, float scale);
// The step of FP16 weights whose largest magnitude is `most`.
float cf_conv_f16_step(float most);

// The vectors behind the panels.
static inline size_t cf_conv_panel_bytes(const cf_conv_geometry *geometry) {
    return (size_t)geometry->depth * CF_PANEL * 4;
}

// The first pixel of the residual's line for an output line.
static inline const char *cf_conv_residual(const cf_call *call, const cf_conv_geometry *g, int64_t n, int64_t y) {
    const cf_tensor *add = &call->in[1];
    int64_t line = y >> call->problem->attr.conv.coarse;
    return (const char *)add->data + (n * g->add_image + line * g->add_line) * cf_dtype_size(add->dtype);
}

// True when every pixel that the convolution reads lies in the tensor or its halo.
int cf_conv_halo_suffices(const cf_problem *problem);

#endif
