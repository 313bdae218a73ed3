# SPDX-License-Identifier: Apache-2.0
# Wrong usage: exit status 2 and a hint.
try() {
    cfine "$@"
    echo "exit $?: $*" >&2
}
try
try detct
try nonsense
try --bogus
try help nonsense
try detect
try detect --thresold 0.5 x.jpg
try detect --qqqqqq x.jpg
try detect --th 0.5 x.jpg
try detect -Z x.jpg
try detect --batch
try detect --batch x x.jpg
try detect --batch 0 x.jpg
try detect --batch 99999999999999 x.jpg
try detect --threshold nan x.jpg
try detect --threshold 1.5 x.jpg
try detect --threshold '' x.jpg
try detect --size 640 --size 33x64 x.jpg
try detect --size 64x x.jpg
try detect --precision fp61 x.jpg
try detect --json=1 x.jpg
try detect --cpu pentium x.jpg
try detect --out '' "$DATA/images/rgb.ppm"
try detect --raw '' "$DATA/images/rgb.ppm"
try detect ''
mkfifo pipe
for output in '' . missing/file pipe; do
    try build --model tiny -o "$output"
    try calibrate --model tiny --random -o "$output"
    try export --model tiny -o "$output"
done
mkdir folder
echo '{}' > folder/ranges.json
cp "$DATA/tiny/model.safetensors" folder
try info folder/ranges.json
try info folder/model.safetensors
CFINE_CPU=pentium
export CFINE_CPU
try doctor
unset CFINE_CPU
try info --graph --json
try info one two
try pull
try pull no/such/name
try pull ..
