# SPDX-License-Identifier: Apache-2.0
# A published model arrives whole, is found by its name, and is not fetched twice.
start_hub
HF_TOKEN=secret cfine pull dfine-nano-coco
echo "exit $?"
(cd cache && find . -type f | sort)
cmp cache/dfine-nano-coco/model.safetensors "$DATA/tiny/model.safetensors"
cat log
cfine pull dfine-nano-coco
cfine detect --model dfine-nano-coco --threshold 1 "$DATA/images/rgb8.png" | sed 's|.*/||'
cfine pull --list | grep pulled
: > log
cfine pull --force dfine-nano-coco dfine-large-obj2coco
cut -d ' ' -f 2 log
ls -A cache cache/.partial
