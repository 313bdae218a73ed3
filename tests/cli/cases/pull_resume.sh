# SPDX-License-Identifier: Apache-2.0
# A download that was killed goes on where it ended; without a preprocessor_config.json it is a model too.
start_hub
mkdir -p cache/.partial/plain@main
head -c 5000 "$DATA/tiny/model.safetensors" > cache/.partial/plain@main/model.safetensors.part
cfine pull someone/plain
cmp cache/plain/model.safetensors "$DATA/tiny/model.safetensors"
grep weights log | cut -d ' ' -f 3,5
ls cache/plain
mkdir -p cache/.partial/plain@main
cp "$DATA/tiny/model.safetensors" cache/.partial/plain@main/model.safetensors.part
: > log
cfine pull --force someone/plain
cut -d ' ' -f 3,5 log
echo "$(head -c 700000 /dev/zero | tr '\0' x)" > long
mkdir -p cache/.partial/plain@main
cp long cache/.partial/plain@main/model.safetensors.part
cfine pull --force someone/plain
cmp cache/plain/model.safetensors "$DATA/tiny/model.safetensors"
