// SPDX-License-Identifier: Apache-2.0
// All operators but conv for AVX2: the bodies beside this file, compiled with its vectors.
#include "kernels/cpu/simd_avx2.h"

#include <math.h>

#include "base/cpu.h"
#include "kernels/cpu/attention_body.h"
#include "kernels/cpu/box_body.h"
#include "kernels/cpu/deform_body.h"
#include "kernels/cpu/elementwise_body.h"
#include "kernels/cpu/norm_body.h"
#include "kernels/cpu/pool_body.h"
#include "kernels/cpu/select_body.h"
