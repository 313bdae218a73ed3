// SPDX-License-Identifier: Apache-2.0
#include "unit/test.h"

#include <math.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/file.h"
#include "base/half.h"
#include "base/memory.h"
#include "base/threads.h"

static cfine_error error;

// Every one of the 65,536 halves survives the way to FP32 and back (NaNs stay NaNs).
static void halves_round_trip(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float f16 = cf_f16_to_f32((uint16_t)h), bf16 = cf_bf16_to_f32((uint16_t)h);
        if (isnan(f16))
            assert_true(isnan(cf_f16_to_f32(cf_f32_to_f16(f16))));
        else
            assert_int_equal(cf_f32_to_f16(f16), h);
        if (isnan(bf16))
            assert_true(isnan(cf_bf16_to_f32(cf_f32_to_bf16(bf16))));
        else
            assert_int_equal(cf_f32_to_bf16(bf16), h);
    }
}

// Likewise the 256 numbers of E4M3, and what lies between two of them goes to the nearer, a tie to the even one.
static void e4m3_rounds_to_nearest_even(void **state) {
    (void)state;
    for (uint32_t b = 0; b < 256; b++) {
        float here = cf_e4m3_to_f32((uint8_t)b), next = cf_e4m3_to_f32((uint8_t)(b + 1)), middle = (here + next) / 2;
        if (isnan(here)) {
            assert_true(isnan(cf_e4m3_to_f32(cf_f32_to_e4m3(here))));
            continue;
        }
        assert_int_equal(cf_f32_to_e4m3(here), b);
        if ((b & 0x7f) == 0x7e) continue; // NaN is next
        assert_int_equal(cf_f32_to_e4m3(middle), b + (b & 1));
        assert_int_equal(cf_f32_to_e4m3(nextafterf(middle, here)), b);
        assert_int_equal(cf_f32_to_e4m3(nextafterf(middle, next)), b + 1);
    }
    assert_int_equal(cf_f32_to_e4m3(1.0f), 0x38);
    assert_int_equal(cf_f32_to_e4m3(448.0f), 0x7e);
    assert_int_equal(cf_f32_to_e4m3(-1e30f), 0xfe);
    assert_int_equal(cf_f32_to_e4m3(INFINITY), 0x7e);
    assert_int_equal(cf_f32_to_e4m3(0x1p-9f), 1);
}

static void halves_round_to_nearest_even(void **state) {
    (void)state;
    assert_int_equal(cf_f32_to_bf16(1.0f + 0x1p-8f), 0x3f80); // a tie goes to the even neighbour
    assert_int_equal(cf_f32_to_bf16(1.0f + 3 * 0x1p-8f), 0x3f82);
    assert_int_equal(cf_f32_to_f16(65519.0f), 0x7bff); // largest finite
    assert_int_equal(cf_f32_to_f16(65520.0f), 0x7c00); // infinity
    assert_int_equal(cf_f32_to_f16(0x1p-25f), 0);      // a tie between 0 and the least subnormal
    assert_int_equal(cf_f32_to_f16(-0x1.8p-25f), 0x8001);
    assert_int_equal(cf_f32_to_f16(1.0f + 0x1p-11f), 0x3c00);
}

static void files_appear_whole_or_not_at_all(void **state) {
    (void)state;
    char directory[] = "/tmp/cfine-test-XXXXXX", path[64], other[80];
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/file", directory);
    assert_ok(cf_file_write(path, "hello", 5, &error));
    cf_bytes bytes;
    assert_ok(cf_file_map(path, &bytes, &error));
    assert_int_equal(bytes.size, 5);
    assert_memory_equal(bytes.data, "hello", 5);
    cf_bytes_release(&bytes);
    assert_ok(cf_file_read(path, 5, &bytes, &error));
    assert_int_equal(bytes.size, 5);
    cf_bytes_release(&bytes);
    assert_fails(cf_file_read(path, 4, &bytes, &error), CFINE_ERROR_UNSUPPORTED, "limit");
    assert_ok(cf_file_load(path, &bytes, &error));
    assert_int_equal(truncate(path, 0), 0); // what was loaded does not know
    assert_int_equal(bytes.size, 5);
    assert_int_equal((uintptr_t)bytes.data % 64, 0);
    assert_memory_equal(bytes.data, "hello", 5);
    cf_bytes_release(&bytes);
    assert_ok(cf_file_write(path, "hello", 5, &error));

    cf_file_fail_after(3); // a full disk: the old content stays, no temporary file is left
    assert_fails(cf_file_write(path, "other", 5, &error), CFINE_ERROR_IO, "No space left");
    cf_file_fail_after(-1);
    assert_ok(cf_file_map(path, &bytes, &error));
    assert_memory_equal(bytes.data, "hello", 5);
    cf_bytes_release(&bytes);
    assert_int_equal(unlink(path), 0);
    snprintf(other, sizeof other, "%s/none/file", directory);
    assert_fails(cf_file_write(other, "x", 1, &error), CFINE_ERROR_NOT_FOUND, other);
    assert_fails(cf_file_map(directory, &bytes, &error), CFINE_ERROR_ARGUMENT, "is a folder; name a file");
    assert_fails(cf_file_load(directory, &bytes, &error), CFINE_ERROR_ARGUMENT, "is a folder; name a file");
    assert_int_equal(rmdir(directory), 0); // empty, so nothing was left behind
}

static void allocations_fail_when_told(void **state) {
    (void)state;
    cf_memory_fail_after(1);
    void *first = cf_alloc(4, 4);
    assert_non_null(first);
    assert_null(cf_alloc(4, 4));
    assert_null(cf_alloc_aligned(64));
    cf_memory_fail_after(-1);
    cf_free(first);
    assert_null(cf_alloc(SIZE_MAX / 2, 3));
    assert_null(cf_realloc(NULL, SIZE_MAX / 2, 3));
}

enum { STEPS = 2000 };
typedef struct {
    atomic_int counter;
    atomic_int wrong;
} barrier_run;

// In every step each thread counts up; after the barrier all must see the full count.
static void count_steps(void *arg, const cf_team *team) {
    barrier_run *run = arg;
    for (int step = 1; step <= STEPS; step++) {
        atomic_fetch_add(&run->counter, 1);
        cf_team_barrier(team);
        if (atomic_load(&run->counter) != step * team->threads) atomic_fetch_add(&run->wrong, 1);
        cf_team_barrier(team);
    }
}

static void teams_meet_at_barriers(void **state) {
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        cf_pool *pool;
        assert_ok(cf_pool_create(threads, 0, &pool, &error));
        for (int again = 0; again < 3; again++) {
            barrier_run run = {0};
            cf_pool_run(pool, count_steps, &run);
            assert_int_equal(atomic_load(&run.wrong), 0);
            assert_int_equal(atomic_load(&run.counter), STEPS * threads);
        }
        cf_pool_destroy(pool);
    }
    cf_pool *pool;
    assert_fails(cf_pool_create(0, 0, &pool, &error), CFINE_ERROR_ARGUMENT, "threads");
}

static void cpu_masks_only_take_away(void **state) {
    (void)state;
    uint32_t all = cf_cpu_features(), mask = 123;
    assert_false(cf_cpu_mask_parse("z80", &mask));
    assert_int_equal(mask, 123);
    assert_true(cf_cpu_mask_parse("avxvnni", &mask));
    assert_int_equal(mask, CF_CPU_AVX2 | CF_CPU_AVX_VNNI);
    assert_true(cf_cpu_mask_parse("avx2", &mask));
    cf_cpu_set_mask(mask);
    assert_int_equal(cf_cpu_features(), all & CF_CPU_AVX2);
    cf_cpu_set_mask(~0u);
    assert_int_equal(cf_cpu_features(), all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_round_trip),           cmocka_unit_test(halves_round_to_nearest_even),
        cmocka_unit_test(e4m3_rounds_to_nearest_even), cmocka_unit_test(files_appear_whole_or_not_at_all),
        cmocka_unit_test(allocations_fail_when_told),  cmocka_unit_test(teams_meet_at_barriers),
        cmocka_unit_test(cpu_masks_only_take_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
