# SPDX-License-Identifier: Apache-2.0
# A calibration that was made at another input size is used, and told of once; one that does not say its size is used.
try() {
    echo "$ cfine $*" >&2
    cfine "$@" > found
    echo "exit $?" >&2
}
picture=$DATA/images/rgb.ppm
cfine calibrate --model tiny --random --limit 1 --size 128x96 -o small.json
grep -e width -e height small.json
grep -v -e width -e height small.json > older.json
sed 's/"width": 128/"width": 0/' small.json > broken.json
int8='--precision int8 --calibration small.json'
try detect --model tiny $int8 --size 128x96 "$picture"
try detect --model tiny $int8 "$picture"
try detect --model tiny $int8 --size 160 "$picture"
try detect --model tiny --precision int8 --calibration older.json "$picture"
try detect --model tiny --precision int8 --calibration broken.json "$picture"
try build --model tiny --quick $int8 -o small.plan
try detect --model small.plan "$picture"
try info tiny $int8
try bench --model tiny $int8 --batch 1,2 --runs 1 --warmup 0
try bench --model tiny $int8 --size 128x96 --runs 1 --warmup 0
