# SPDX-License-Identifier: Apache-2.0
# Ways to write options: =, the next word, short, joined, prefixes, after the operands, and -- before them.
image=$DATA/images/rgb_420.jpg
cp "$image" ./--json
cfine detect --model=tiny --threshold=0.9 --json "$image" > first
cfine detect --model tiny "$image" --threshold 0.9 --json > second
cfine detect -m tiny -jT0.9 "$image" > third
cfine detect -mtiny -T 0.9 -j "$image" > fourth
cfine detect --mod tiny --thres 0.9 --js "$image" > fifth
for other in second third fourth fifth; do cmp first $other; done
cfine detect --model tiny --threshold 0.9 -- --json | head -n 1
