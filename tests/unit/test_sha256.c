// SPDX-License-Identifier: Apache-2.0
// The examples of FIPS 180-4, and that the way bytes are cut into calls makes no difference.
#include "unit/test.h"

#include "cli/sha256.h"

static void check(const char *text, size_t times, const char *expected) {
    for (size_t piece = 1; piece < 200; piece += 63) {
        cli_sha256 hash;
        char found[65], buffer[4096];
        size_t length = strlen(text), total = length * times;
        assert_true(total <= sizeof buffer || length == 1);
        for (size_t i = 0; i < sizeof buffer; i++) buffer[i] = text[length ? i % length : 0];
        cli_sha256_start(&hash);
        for (size_t at = 0; at < total; at += piece)
            cli_sha256_add(&hash, buffer + (length == 1 ? 0 : at), total - at < piece ? total - at : piece);
        cli_sha256_end(&hash, found);
        assert_string_equal(found, expected);
    }
}

static void test_known_sums(void **state) {
    (void)state;
    check("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    check("a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// Every length around the ends of blocks, against the sum of its bytes given singly.
static void test_padding(void **state) {
    (void)state;
    uint8_t data[200];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)i;
    for (size_t length = 0; length <= sizeof data; length++) {
        cli_sha256 whole, single;
        char first[65], second[65];
        cli_sha256_start(&whole);
        cli_sha256_add(&whole, data, length);
        cli_sha256_end(&whole, first);
        cli_sha256_start(&single);
        for (size_t i = 0; i < length; i++) cli_sha256_add(&single, data + i, 1);
        cli_sha256_end(&single, second);
        assert_string_equal(first, second);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_known_sums), cmocka_unit_test(test_padding)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
