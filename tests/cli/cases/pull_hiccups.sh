# SPDX-License-Identifier: Apache-2.0
# Hiccups: cut connections, servers that are busy or cannot resume, a wrong byte.
start_hub
for revision in cut cut3 norange sumonce busy; do
    : > log
    cfine pull --force --revision $revision dfine-nano-coco
    say "exit $?"
    cmp cache/dfine-nano-coco/model.safetensors "$DATA/tiny/model.safetensors"
    grep -e weights -e 503 log | cut -d ' ' -f 2,3,5
done
