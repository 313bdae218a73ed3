# SPDX-License-Identifier: Apache-2.0
# What cannot be fetched: nothing appears under the model's name, and the error says what to do.
start_hub
pull() {
    cfine pull --retries 1 "$@"
    say "exit $?"
}
pull --revision down dfine-nano-coco
pull --revision badsum dfine-nano-coco
pull --revision garbage dfine-nano-coco
pull --revision private dfine-nano-coco
pull --revision short dfine-nano-coco
pull someone/absent
ls cache
HF_TOKEN=secret cfine pull --revision private dfine-nano-coco
HF_ENDPOINT=http://127.0.0.1:9 pull dfine-small-coco
HF_ENDPOINT=ftp://127.0.0.1 pull dfine-small-coco
: > file
CFINE_CACHE=file pull dfine-small-coco
mkdir -p cache/.partial/dfine-small-coco@main
ln -s /dev/full cache/.partial/dfine-small-coco@main/config.json.part
pull dfine-small-coco
