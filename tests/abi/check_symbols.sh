#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check_symbols.sh LIBRARY: the shared library exports exactly the functions that cfine.h declares.
set -euo pipefail
header=$(dirname "$0")/../../include/cfine/cfine.h
# Declarations may span lines: join each from CFINE_API to its semicolon, and take the name before the parenthesis.
declared=$(sed 's,//.*,,' "$header" | tr '\n' ' ' | grep -o 'CFINE_API [^;#]*(' | grep -o 'cfine_[a-z0-9_]* *(' |
    tr -d ' (' | sort -u)
exported=$(nm -D --defined-only "$1" | awk '{ print $3 }' | sort -u)
[ -n "$declared" ] || { echo "no declaration found in $header" >&2; exit 1; }
diff <(echo "$declared") <(echo "$exported") && echo "$(echo "$declared" | wc -l) functions"
