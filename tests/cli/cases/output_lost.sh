# SPDX-License-Identifier: Apache-2.0
# Standard output that takes nothing: a full disk is an error, a closed pipe is not worth a word.
image=$DATA/images/rgb_420.jpg
cfine detect --model tiny --threshold 1 "$image" "$image" > /dev/full
echo "exit $?"
cfine --help > /dev/full
echo "exit $?"
{ sleep 0.5; cfine detect --model tiny --json "$image" "$image" "$image" "$image"; echo "exit $?" >&2; } | true
cfine detect --model tiny --threshold 1 "$image" >&-
echo "exit $?"
