#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run_fuzzers.sh SECONDS [TARGET...]: runs each fuzz target of build/fuzz for that long, from its seeds in
# tests/fuzz/corpus. New inputs stay in out/fuzz/TARGET; an input that fails is named. Exit status 1 if any failed.
set -uo pipefail
seconds=$1
shift
failed=() ran=0
for program in build/fuzz/tests/fuzz/fuzz_*; do
    [ -x "$program" ] && [ -f "$program" ] || continue
    name=${program##*/fuzz_}
    [ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
    mkdir -p "out/fuzz/$name" "tests/fuzz/corpus/$name"
    echo "fuzzing $name for $seconds seconds"
    ran=$((ran + 1))
    "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 \
        -artifact_prefix="out/fuzz/$name-" "out/fuzz/$name" "tests/fuzz/corpus/$name" 2>&1 |
        grep -vE "^stat::(new|slow|peak)|NEW_FUNC|# Uses:|[Rr]ecommended dictionary"
    [ "${PIPESTATUS[0]}" = 0 ] || failed+=("$name")
done
[ $ran -gt 0 ] || { echo "run_fuzzers: no fuzz target was built" >&2; exit 1; }
[ ${#failed[@]} = 0 ] || { echo "failed: ${failed[*]}; the inputs are in out/fuzz/" >&2; exit 1; }
echo "$ran targets, no finding"
