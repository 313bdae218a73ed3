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
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n' > broken/model.safetensors
try --model broken
rm broken/model.safetensors
echo '{"weight_map": {"a": "model-1.safetensors"}}' > broken/model.safetensors.index.json
try --model broken
rm broken/config.json
mkdir broken/config.json
try --model broken
ln -s loop loop
try --model loop
try --model loop/below
try --model tiny --decoder-layers 4
try --model tiny --queries 5000
