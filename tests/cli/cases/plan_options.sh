# SPDX-License-Identifier: Apache-2.0
# Options that a plan was not built with, and a calibration that nothing would read: refused by every verb, not ignored.
try() {
    timeout 60 cfine "$@" > found # serve would serve
    echo "exit $?" >&2
}
picture=$DATA/images/rgb.ppm
try build --model tiny --quick --precision bf16 -o fast.plan 2> /dev/null
for option in '--precision fp32' '--precision int8' '--calibration nofile' '--queries 7' '--size 64x64' '--batch 2' '--batch auto'; do
    try detect --model fast.plan $option "$picture"
    try info fast.plan $option
done
try detect --model fast.plan --precision bf16 "$picture"
try detect --model fast.plan --precision default "$picture"
try serve --model fast.plan --precision fp32
try doctor --model fast.plan --precision fp32
grep fast.plan found
try triton --model fast.plan --precision fp32 -o repository --backend "$picture"
try bench --model fast.plan --precision fp32 --runs 1
try detect --model tiny --batch auto "$picture"
try detect --model tiny --calibration nofile "$picture"
try detect --model tiny --precision int8 --calibration nofile "$picture"
try detect --model tiny --precision int8 "$picture"
try export --model fast.plan -o none.onnx
try build --model tiny --calibration nofile -o none.plan
try serve --model tiny --calibration nofile
try bench --model tiny --calibration nofile --runs 1
ls
