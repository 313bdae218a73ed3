# SPDX-License-Identifier: Apache-2.0
# The list of verbs; the same in two ways.
cfine --help > one
cfine help > two
cmp one two
sed 's/^/| /' one | head -n 8
