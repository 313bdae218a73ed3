// SPDX-License-Identifier: Apache-2.0
// Tensor core products of a warp, [16,16] x [16,8] of F16 or BF16 summed in FP32, [16,32] x [32,8] of bytes summed in
// int32 and of E4M3 summed in FP32, and loading their operands from shared memory.
#pragma once

#include "cuda/vector.cuh"

// Four 8x8 matrices of 2-byte elements: lane i gives the address of row i%8 of matrix i/8 (16 bytes, aligned so);
// register m of a lane then holds elements 2*(lane%4) and the next of row lane/4 of matrix m.
__device__ __forceinline__ void cf_load_matrices(uint32_t (&r)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"((uint32_t)__cvta_generic_to_shared(row))
                 : "memory");
}

// The same, each matrix transposed.
__device__ __forceinline__ void cf_load_transposed(uint32_t (&r)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"((uint32_t)__cvta_generic_to_shared(row))
                 : "memory");
}

// sum += a b. With g = lane / 4 and t = lane % 4: a holds rows g, g+8, g, g+8 at columns 2t, 2t, 2t+8, 2t+8 (each with
// the next one), b rows 2t and 2t+8 (each with the next one) of column g, sum rows g, g, g+8, g+8 at columns 2t, 2t+1.
template <class T> __device__ void cf_multiply(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

template <>
__device__ __forceinline__ void cf_multiply<__half>(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    for (int half = 0; half < 2; half++)
        asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
            : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
            : "r"(a[2 * half]), "r"(a[2 * half + 1]), "r"(half ? b1 : b0));
#endif
}

// Only for compute capability 8.0 and newer.
template <>
__device__ __forceinline__ void cf_multiply<__nv_bfloat16>(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0,
                                                           uint32_t b1) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

// The same for E4M3, [16,32] x [32,8]: a register holds four terms (4t and the next three, or 16 further on) where it
// holds two above. Only for compute capability 8.9 and newer.
template <>
__device__ __forceinline__ void cf_multiply<__nv_fp8_e4m3>(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0,
                                                           uint32_t b1) {
#if __CUDA_ARCH__ >= 890
    asm("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

// The same for unsigned bytes times signed ones.
__device__ __forceinline__ void cf_multiply_bytes(int (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+r"(sum[0]), "+r"(sum[1]), "+r"(sum[2]), "+r"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    for (int rows = 0; rows < 2; rows++)
        for (int half = 0; half < 2; half++)
            asm("mma.sync.aligned.m8n8k16.row.col.s32.u8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
                : "+r"(sum[2 * rows]), "+r"(sum[2 * rows + 1])
                : "r"(a[2 * half + rows]), "r"(half ? b1 : b0));
#endif
}

// FP32 numbers as high + low of eleven significant bits each, the first rounded: high * high + high * low + low * high
// is the product of two of them but for 2^-22 of it.
template <int COUNT> struct cf_split { uint32_t high[COUNT], low[COUNT]; };

template <int COUNT> __device__ __forceinline__ cf_split<COUNT> cf_split_tf32(const uint32_t (&bits)[COUNT]) {
    cf_split<COUNT> split;
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        split.high[i] = (bits[i] + 0x1000) & 0xffffe000;
        float low = __uint_as_float(bits[i]) - __uint_as_float(split.high[i]);
        split.low[i] = __float_as_uint(low) + 0x1000; // the instruction ignores the last 13 bits
    }
    return split;
}

// The same for TF32, [16,8] x [8,8]: a register holds one term (t, or t + 4) where it holds two above.
__device__ __forceinline__ void cf_multiply_tf32(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

// Two values rounded into one register, the first in the lower half.
template <class T> __device__ uint32_t cf_round_pair(float first, float second);

template <> __device__ __forceinline__ uint32_t cf_round_pair<__half>(float first, float second) {
    __half2 pair = __floats2half2_rn(first, second);
    uint32_t bits;
    memcpy(&bits, &pair, sizeof bits);
    return bits;
}

template <> __device__ __forceinline__ uint32_t cf_round_pair<__nv_bfloat16>(float first, float second) {
    __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
    uint32_t bits;
    memcpy(&bits, &pair, sizeof bits);
    return bits;
}
