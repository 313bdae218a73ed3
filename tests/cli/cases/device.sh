# SPDX-License-Identifier: Apache-2.0
# Devices and precisions that do not go together; nothing of it needs a GPU.
try() {
    cfine detect "$@" "$DATA/images/rgb.ppm"
    echo "exit $?" >&2
}
try --model tiny --device gpu
try --model tiny --device cuda:
try --model tiny --device cuda:x
try --model tiny --device cuda:99
try --model tiny --cpu avx512bf16 --precision fp16
try --model tiny --precision fp8
# A GPU that is not there is told before the calibration that is missing too.
wanted=$(cfine doctor | sed -n 's/^gpu  *none: //p')
for words in "detect $DATA/images/rgb.ppm" "build -o none.plan"; do
    for precision in fp8 int8; do
        cfine $words --model tiny --device cuda --precision $precision 2>&1 | grep -q "${wanted:-needs a calibration}" ||
            echo "$words, $precision: does not say ${wanted:-needs a calibration}"
    done
done
cfine build --model tiny --quick -o cpu.plan > /dev/null 2>&1
try --model cpu.plan --device cuda
try --model cpu.plan --device gpu
try --model cpu.plan --precision bf16
try --model cpu.plan --device cpu > found
cfine serve --model cpu.plan --device cuda
echo "exit $?" >&2
