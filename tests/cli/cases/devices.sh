# SPDX-License-Identifier: Apache-2.0
# What is wrong with a device or a batch is said before anything runs, with or without a GPU.
try() {
    cfine detect --model tiny "$DATA/images/rgb.ppm" "$@"
    echo "exit $?" >&2
}
try --device cuda:0,x
try --device cuda:,
try --device cuda:0,1,
try --device gpu
try --batch auto
try --batch many
try --cpu avx512bf16 --precision fp16
try --device cuda:0,16
for verb in build calibrate bench optimize; do
    cfine $verb --device cuda:0,1
    echo "exit $?" >&2
    cfine $verb --device cuda:
    echo "exit $?" >&2
done
