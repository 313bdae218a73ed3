#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs one case of the command's tests in an empty folder and compares what it prints, on both streams, and its exit
# status with the files beside it.
#
#     run.sh CFINE SOURCE_DIR CASE          UPDATE=1 writes the expected files instead
#
# A case sees: cfine (the program), $DATA (tests/data), $TOOLS (this folder); the model "tiny" is a bundled one. Paths
# of this machine and port numbers are replaced in what it prints. Exit status 77 skips it.
set -u
program=$1 source=$2 name=$3
case_file=$source/tests/cli/cases/$name
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir "$work/run" "$work/home"

DATA=$source/tests/data TOOLS=$source/tests/cli
CFINE_MODELS=$DATA HOME=$work/home LC_ALL=C
export DATA TOOLS CFINE_MODELS HOME LC_ALL
LSAN_OPTIONS=suppressions=$TOOLS/lsan.supp:print_suppressions=0
export LSAN_OPTIONS
unset CFINE_CPU CFINE_CACHE XDG_CACHE_HOME HF_ENDPOINT HF_TOKEN http_proxy https_proxy
mkdir "$work/bin"
ln -s "$program" "$work/bin/cfine"
PATH=$work/bin:$PATH

(cd "$work/run" && sh -c ". \"\$TOOLS/functions.sh\"; . \"\$1\"" case "$case_file.sh" > "$work/stdout.raw" 2> "$work/stderr.raw" < /dev/null)
status=$?
if [ $status = 77 ]; then
    cat "$work/stderr.raw"
    exit 77
fi
for stream in stdout stderr; do
    # where no path goes on: the checkout may be /cfine, and a case may print ./repository/cfine/
    sed -e "s#\(^\|[^[:alnum:]_./-]\)$source/#\1SOURCE/#g; s|$work/||g" -e 's|127\.0\.0\.1:[0-9]*|HUB|g' "$work/$stream.raw" > "$work/$stream"
done
echo $status > "$work/exit"

if [ "${UPDATE:-}" ]; then
    for part in stdout stderr exit; do cp "$work/$part" "$case_file.$part"; done
    exit 0
fi
failed=0
for part in stdout stderr exit; do
    diff -u "$case_file.$part" "$work/$part" || failed=1
done
exit $failed
