// SPDX-License-Identifier: Apache-2.0
#include "graph/op.h"

#include <math.h>

const char *cf_op_name(cf_op op) {
    static const char *const names[] = {
#define CF_OP(enumerator, name, least, most) name,
        CF_OPS(CF_OP)
#undef CF_OP
    };
    return (unsigned)op < CF_OP_COUNT ? names[op] : "?";
}

const char *cf_act_name(cf_act act) {
    static const char *const names[] = {"none", "relu", "silu", "gelu", "sigmoid", "clamp"};
    return (unsigned)act < sizeof names / sizeof *names ? names[act] : "?";
}

float cf_act_apply(cf_act act, float x) {
    switch (act) {
    case CF_ACT_NONE: return x;
    case CF_ACT_RELU: return x > 0 ? x : 0;
    case CF_ACT_SILU: return x / (1 + expf(-x));
    case CF_ACT_GELU: return 0.5f * x * (1 + erff(x * 0.70710678f));
    case CF_ACT_SIGMOID: return 1 / (1 + expf(-x));
    case CF_ACT_CLAMP: return x < -10 ? -10 : x > 10 ? 10 : x;
    }
    return x;
}
