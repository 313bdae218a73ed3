# SPDX-License-Identifier: Apache-2.0
# Models that cannot be opened, and settings that a model cannot have.
try() {
    cfine detect --threshold 1 "$DATA/images/rgb.ppm" "$@"
    echo "exit $?" >&2
}
try --model missing
try --model ../data/tiny
mkdir empty broken
try --model empty
try --model ''
cp "$DATA/tiny/"*.json broken
try --model broken
head -c 100000 "$DATA/tiny/model.safetensors" > broken/model.safetensors
try --model broken
try --model tiny --decoder-layers 4
try --model tiny --queries 5000
