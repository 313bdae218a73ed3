#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check_header.sh: cfine.h compiles alone as C11 and C++17, without a warning; the headers of C++ are not needed.
set -euo pipefail
cd "$(dirname "$0")/../.."
warnings="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror"
cc -std=c11 $warnings -Iinclude -fsyntax-only tests/abi/header.c
command -v c++ >/dev/null || { echo "skipped: C++17 (no c++ here); C11 passed"; exit 77; }
c++ -std=c++17 $warnings -Wno-missing-field-initializers -Iinclude -fsyntax-only -x c++ tests/abi/header.c
