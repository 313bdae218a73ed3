// SPDX-License-Identifier: Apache-2.0
// Matrix products of a warp group, operands in shared memory: compute capability 9.0 only, compiled for sm_90a.
#pragma once

#include "cuda/device.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
// A tile of rows of 128 or 64 bytes, swizzled over these, eight rows after eight, as the instruction wants it
// described.
template <int ROW_BYTES = 128> __device__ __forceinline__ uint64_t cf_describe(const void *tile) {
    static_assert(ROW_BYTES == 128 || ROW_BYTES == 64, "the swizzles that we use");
    uint64_t address = __cvta_generic_to_shared(tile);
    constexpr uint64_t LEADING = 1, EIGHT_ROWS = 8 * ROW_BYTES / 16, SWIZZLE = ROW_BYTES == 128 ? 1 : 2;
    return (address & 0x3ffff) >> 4 | LEADING << 16 | EIGHT_ROWS << 32 | SWIZZLE << 62;
}

// d[0 .. N/2-1] += 64 rows of a by N rows of b, 16 terms. Of column 8j + 2(lane % 4) + i, rows 16(warp % 4) + lane / 4
// and that + 8, a thread has d[4j + i] and d[4j + 2 + i].
template <int N> struct cf_matrix_product;

#define CF_REGISTERS_HALF_0                                                                                            \
    "%0, %1, %2, %3, %4, %5, %6, %7, "                                                                                 \
    "%8, %9, %10, %11, %12, %13, %14, %15"
#define CF_REGISTERS_HALF_1                                                                                            \
    "%32, %33, %34, %35, %36, %37, %38, %39, "                                                                         \
    "%40, %41, %42, %43, %44, %45, %46, %47"
#define CF_REGISTERS_0                                                                                                 \
    "%0, %1, %2, %3, %4, %5, %6, %7, "                                                                                 \
    "%8, %9, %10, %11, %12, %13, %14, %15, "                                                                           \
    "%16, %17, %18, %19, %20, %21, %22, %23, "                                                                         \
    "%24, %25, %26, %27, %28, %29, %30, %31"
#define CF_REGISTERS_1                                                                                                 \
    "%32, %33, %34, %35, %36, %37, %38, %39, "                                                                         \
    "%40, %41, %42, %43, %44, %45, %46, %47, "                                                                         \
    "%48, %49, %50, %51, %52, %53, %54, %55, "                                                                         \
    "%56, %57, %58, %59, %60, %61, %62, %63"
#define CF_REGISTERS_2                                                                                                 \
    "%64, %65, %66, %67, %68, %69, %70, %71, "                                                                         \
    "%72, %73, %74, %75, %76, %77, %78, %79, "                                                                         \
    "%80, %81, %82, %83, %84, %85, %86, %87, "                                                                         \
    "%88, %89, %90, %91, %92, %93, %94, %95"
#define CF_REGISTERS_3                                                                                                 \
    "%96, %97, %98, %99, %100, %101, %102, %103, "                                                                     \
    "%104, %105, %106, %107, %108, %109, %110, %111, "                                                                 \
    "%112, %113, %114, %115, %116, %117, %118, %119, "                                                                 \
    "%120, %121, %122, %123, %124, %125, %126, %127"
#define CF_EIGHT(d, i)                                                                                                 \
    "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]),        \
        "+f"(d[i + 7])
#define CF_THIRTY_TWO(d, i) CF_EIGHT(d, i), CF_EIGHT(d, i + 8), CF_EIGHT(d, i + 16), CF_EIGHT(d, i + 24)
#define CF_ISSUE(n, type, registers, a_operand, b_operand, ...)                                                        \
    asm volatile("{\n.reg .pred add;\nsetp.eq.u32 add, 0, 0;\nwgmma.mma_async.sync.aligned.m64n" #n "k16.f32." type    \
                 "." type " {" registers "}, " a_operand ", " b_operand ", add, 1, 1, 0, 0;\n}"                        \
                 : __VA_ARGS__                                                                                         \
                 : "l"(a), "l"(b))
#define CF_MATRIX_PRODUCT(n, registers, a_operand, b_operand, ...)                                                     \
    template <> struct cf_matrix_product<n> {                                                                          \
        static __device__ __forceinline__ void add(float (&d)[n / 2], uint64_t a, uint64_t b, __half) {                \
            CF_ISSUE(n, "f16", registers, a_operand, b_operand, __VA_ARGS__);                                          \
        }                                                                                                              \
        static __device__ __forceinline__ void add(float (&d)[n / 2], uint64_t a, uint64_t b, __nv_bfloat16) {         \
            CF_ISSUE(n, "bf16", registers, a_operand, b_operand, __VA_ARGS__);                                         \
        }                                                                                                              \
    };
CF_MATRIX_PRODUCT(32, CF_REGISTERS_HALF_0, "%16", "%17", CF_EIGHT(d, 0), CF_EIGHT(d, 8))
CF_MATRIX_PRODUCT(64, CF_REGISTERS_0, "%32", "%33", CF_THIRTY_TWO(d, 0))
CF_MATRIX_PRODUCT(96, CF_REGISTERS_0 ", " CF_REGISTERS_HALF_1, "%48", "%49", CF_THIRTY_TWO(d, 0), CF_EIGHT(d, 32),
                  CF_EIGHT(d, 40))
CF_MATRIX_PRODUCT(128, CF_REGISTERS_0 ", " CF_REGISTERS_1, "%64", "%65", CF_THIRTY_TWO(d, 0), CF_THIRTY_TWO(d, 32))
CF_MATRIX_PRODUCT(192, CF_REGISTERS_0 ", " CF_REGISTERS_1 ", " CF_REGISTERS_2, "%96", "%97", CF_THIRTY_TWO(d, 0),
                  CF_THIRTY_TWO(d, 32), CF_THIRTY_TWO(d, 64))
CF_MATRIX_PRODUCT(256, CF_REGISTERS_0 ", " CF_REGISTERS_1 ", " CF_REGISTERS_2 ", " CF_REGISTERS_3, "%128", "%129",
                  CF_THIRTY_TWO(d, 0), CF_THIRTY_TWO(d, 32), CF_THIRTY_TWO(d, 64), CF_THIRTY_TWO(d, 96))

__device__ __forceinline__ void cf_begin_products() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void cf_end_products() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int N> __device__ __forceinline__ void cf_wait_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

// Makes what this thread wrote or copied into shared memory visible to the products that follow a barrier.
__device__ __forceinline__ void cf_show_to_tensor_cores() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
#endif
