// SPDX-License-Identifier: Apache-2.0
// What int8 needs to know of a model beyond its weights: the range of every value, and which operators run in int8.
//
// Made by calibrate.h from images, kept in a file (plain JSON, docs/accuracy.md), and turned into scales and zero
// points by assign_int8.h. Everything goes by the names that nodes of the graph have after the passes of
// graph/passes/passes.h; they do not depend on the input's size, the batch, queries, decoder layers, or the device.
#ifndef CF_QUANT_CALIBRATION_H
#define CF_QUANT_CALIBRATION_H

#include <stdint.h>

#include "base/status.h"

typedef struct cf_value_range {
    char *name;      // of the node that makes the value
    float low, high; // real numbers, low <= high
} cf_value_range;

// A convolution that int8 kernels could do.
typedef struct cf_quant_operator {
    char *name;
    int int8;                 // 1: runs in int8; 0: in bf16, because its error is too large for what it gains
    float error;              // of the network's outputs when it alone runs in int8, see sensitivity.h; 0: not measured
    float *correction;        // added to the bias, one a channel, or NULL: undoes the mean error of rounded weights
    int32_t correction_count; //
} cf_quant_operator;

typedef enum cf_range_method { CF_RANGE_MINMAX, CF_RANGE_PERCENTILE, CF_RANGE_ENTROPY, CF_RANGE_MSE } cf_range_method;

typedef struct cf_calibration {
    char model[64];       // family and size, for people
    uint64_t fingerprint; // of the model's weights, cf_quant_fingerprint
    cf_range_method method;
    int32_t images, random; // how many were looked at; 1: they were random pixels
    int32_t width, height;  // of the network's input then; 0: an older file, which does not say
    cf_value_range *ranges; // sorted by name
    int32_t range_count;
    cf_quant_operator *operators; // sorted by name
    int32_t operator_count;
} cf_calibration;

// "minmax", "percentile", "entropy", "mse".
const char *cf_range_method_name(cf_range_method method);

// Room for so many ranges and operators, zeroed; names are to be filled in, then cf_calibration_sort.
cfine_status cf_calibration_create(int32_t ranges, int32_t operators, cf_calibration **out, cfine_error *err);
void cf_calibration_destroy(cf_calibration *calibration); // NULL is allowed
void cf_calibration_sort(cf_calibration *calibration);

// NULL where the calibration has none of that name.
const cf_value_range *cf_calibration_range(const cf_calibration *calibration, const char *name);
cf_quant_operator *cf_calibration_operator(const cf_calibration *calibration, const char *name);

// Takes operators out of int8: the one of that name, or with "backbone.*" all whose names begin so. Returns how many.
int32_t cf_calibration_leave(cf_calibration *calibration, const char *pattern);

// Reads and writes calibration files. Reading checks everything but whether the file belongs to a model.
cfine_status cf_calibration_read(const char *path, cf_calibration **out, cfine_error *err);
cfine_status cf_calibration_parse(const char *json, size_t size, const char *name, cf_calibration **out,
                                  cfine_error *err);
cfine_status cf_calibration_write(const cf_calibration *calibration, const char *path, cfine_error *err);

#endif
