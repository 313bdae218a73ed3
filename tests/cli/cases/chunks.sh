# SPDX-License-Identifier: Apache-2.0
# A batch of a network so large that each image is a chunk of its own gives what the images give one by one.
set -- "$DATA"/../../models/tabletop/scenes/*.jpg
cfine detect --model "$DATA/../../models/tabletop" --json --batch 1 "$1" "$2" "$3" > one
cfine detect --model "$DATA/../../models/tabletop" --json --batch 3 "$1" "$2" "$3" > three
wc -l < three
cmp one three && echo same
