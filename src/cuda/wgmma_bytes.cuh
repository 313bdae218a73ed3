// SPDX-License-Identifier: Apache-2.0
// Products of bytes of a warp group, unsigned by signed ones in int32, E4M3 by E4M3 in FP32: wgmma.cuh with twice the
// terms in the same 128-byte rows.
#pragma once

#include "cuda/wgmma.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
// d[0 .. N/2-1] += 64 rows of a by N rows of b, 32 terms. Registers lie as those of cf_matrix_product.
template <int N> struct cf_byte_product;

#define CF_EIGHT_WHOLE(d, i)                                                                                           \
    "+r"(d[i]), "+r"(d[i + 1]), "+r"(d[i + 2]), "+r"(d[i + 3]), "+r"(d[i + 4]), "+r"(d[i + 5]), "+r"(d[i + 6]),        \
        "+r"(d[i + 7])
#define CF_THIRTY_TWO_WHOLE(d, i)                                                                                      \
    CF_EIGHT_WHOLE(d, i), CF_EIGHT_WHOLE(d, i + 8), CF_EIGHT_WHOLE(d, i + 16), CF_EIGHT_WHOLE(d, i + 24)
#define CF_BYTE_PRODUCT(n, registers, a_operand, b_operand, ...)                                                       \
    template <> struct cf_byte_product<n> {                                                                            \
        static __device__ __forceinline__ void add(int (&d)[n / 2], uint64_t a, uint64_t b) {                          \
            asm volatile("{\n.reg .pred add;\nsetp.eq.u32 add, 0, 0;\nwgmma.mma_async.sync.aligned.m64n" #n            \
                         "k32.s32.u8.s8 {" registers "}, " a_operand ", " b_operand ", add;\n}"                        \
                         : __VA_ARGS__                                                                                 \
                         : "l"(a), "l"(b));                                                                            \
        }                                                                                                              \
    };
CF_BYTE_PRODUCT(64, CF_REGISTERS_0, "%32", "%33", CF_THIRTY_TWO_WHOLE(d, 0))
CF_BYTE_PRODUCT(128, CF_REGISTERS_0 ", " CF_REGISTERS_1, "%64", "%65", CF_THIRTY_TWO_WHOLE(d, 0),
                CF_THIRTY_TWO_WHOLE(d, 32))
CF_BYTE_PRODUCT(192, CF_REGISTERS_0 ", " CF_REGISTERS_1 ", " CF_REGISTERS_2, "%96", "%97", CF_THIRTY_TWO_WHOLE(d, 0),
                CF_THIRTY_TWO_WHOLE(d, 32), CF_THIRTY_TWO_WHOLE(d, 64))
CF_BYTE_PRODUCT(256, CF_REGISTERS_0 ", " CF_REGISTERS_1 ", " CF_REGISTERS_2 ", " CF_REGISTERS_3, "%128", "%129",
                CF_THIRTY_TWO_WHOLE(d, 0), CF_THIRTY_TWO_WHOLE(d, 32), CF_THIRTY_TWO_WHOLE(d, 64),
                CF_THIRTY_TWO_WHOLE(d, 96))

// The same of E4M3. The chip keeps some 14 bits of these sums.
template <int N> struct cf_e4m3_product;

#define CF_E4M3_PRODUCT(n, registers, a_operand, b_operand, ...)                                                       \
    template <> struct cf_e4m3_product<n> {                                                                            \
        static __device__ __forceinline__ void add(float (&d)[n / 2], uint64_t a, uint64_t b) {                        \
            asm volatile("{\n.reg .pred add;\nsetp.eq.u32 add, 0, 0;\nwgmma.mma_async.sync.aligned.m64n" #n            \
                         "k32.f32.e4m3.e4m3 {" registers "}, " a_operand ", " b_operand ", add, 1, 1;\n}"              \
                         : __VA_ARGS__                                                                                 \
                         : "l"(a), "l"(b));                                                                            \
        }                                                                                                              \
    };
CF_E4M3_PRODUCT(64, CF_REGISTERS_0, "%32", "%33", CF_THIRTY_TWO(d, 0))
CF_E4M3_PRODUCT(128, CF_REGISTERS_0 ", " CF_REGISTERS_1, "%64", "%65", CF_THIRTY_TWO(d, 0), CF_THIRTY_TWO(d, 32))
CF_E4M3_PRODUCT(192, CF_REGISTERS_0 ", " CF_REGISTERS_1 ", " CF_REGISTERS_2, "%96", "%97", CF_THIRTY_TWO(d, 0),
                CF_THIRTY_TWO(d, 32), CF_THIRTY_TWO(d, 64))
CF_E4M3_PRODUCT(256, CF_REGISTERS_0 ", " CF_REGISTERS_1 ", " CF_REGISTERS_2 ", " CF_REGISTERS_3, "%128", "%129",
                CF_THIRTY_TWO(d, 0), CF_THIRTY_TWO(d, 32), CF_THIRTY_TWO(d, 64), CF_THIRTY_TWO(d, 96))
#endif
