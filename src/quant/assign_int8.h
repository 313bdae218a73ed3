// SPDX-License-Identifier: Apache-2.0
// The int8 and FP8 precisions of a graph: which values are stored as unsigned bytes, with what scale and zero point, or
// as E4M3, with what scale.
//
// Runs behind the passes and behind cf_assign_half, and knows no device: a convolution whose first input is U8 is an
// int8 convolution (8-bit weights with a scale for each output, chosen when they are packed), everything else stays as
// it was. The quantised graph says everything that a backend needs:
// - graph->values[v]: dtype U8, real = scale * (stored - zero); zero is 0..255, padding holds it;
// - a conv that reads a concat whose parts have different scales: constants[2], the scale and zero of each channel;
// - copies to U8 where a value is also read by something that wants it whole.
#ifndef CF_QUANT_ASSIGN_INT8_H
#define CF_QUANT_ASSIGN_INT8_H

#include "graph/graph.h"
#include "plan/price.h"
#include "quant/calibration.h"

// Sets queries[value] to 1 for every value that depends on the chosen queries, and the others to 0.
void cf_quant_find_queries(const cf_graph *graph, uint8_t *queries);

// 1 for convolutions that int8 could do: what an image passes through before queries are chosen, but not the image
// itself. `queries`: cf_quant_find_queries.
int cf_quant_is_candidate(const cf_graph *graph, const cf_node *node, const uint8_t *queries);

// A number that tells models apart: of the names, weights and biases of all candidates, FP32, after the passes.
cfine_status cf_quant_fingerprint(const cf_graph *graph, uint64_t *out, cfine_error *err);

// What bytes cost and save on a kind of CPU, as measured.
typedef struct cf_byte_costs {
    double copy;     // of a number to a byte, in operations of a half-precision convolution (a multiply-add is two)
    int32_t product; // bytes of a kernel row that go into one product: a short row takes as many products in bytes
} cf_byte_costs;
extern const cf_byte_costs cf_byte_costs_tiles, cf_byte_costs_vectors; // of matrix units; of dot products of vectors

// Stores in U8 what the operators that the calibration marks int8 read, as long as copies do not cost more than is won
// (costs NULL: all of them). Refuses the calibration of another model, and one that lacks a range.
cfine_status cf_assign_int8(cf_graph *graph, const cf_calibration *calibration, const cf_byte_costs *costs,
                            cfine_error *err);
// The same in U8 or E4M3, as long as the sum of the prices of all operators and copies becomes less by it.
cfine_status cf_assign_bytes_by_price(cf_graph *graph, const cf_calibration *calibration, cf_dtype stored,
                                      cf_pricer *pricer, cfine_error *err);

#endif
