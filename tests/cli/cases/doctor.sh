# SPDX-License-Identifier: Apache-2.0
# The state of the machine; what differs between machines is left out.
cfine doctor --model tiny --cpu scalar > out
echo "exit $?"
cut -d ' ' -f 1 out | sort -u | grep -v -e '^$' -e library -e problem -e remedy
grep AVX2 out
grep '^model.*tiny' out | sed 's/(.*//'
cfine doctor --model missing --cpu scalar > out
echo "exit $?"
grep 'no such file' out
