# SPDX-License-Identifier: Apache-2.0
# A model's folder for Triton: whole or not at all, from one file of weights or from shards.
command -v python3 > /dev/null || exit 77
echo backend > backend.so
triton() {
    cfine triton --model "$1" -o "$2" --backend "$3" > command
    say "exit $?"
    find . -path './repository*' -o -path './other*' | sort
}
triton tiny repository backend.so
cmp "$DATA/tiny/model.safetensors" repository/cfine/1/model.safetensors
triton tiny repository backend.so
triton tiny other missing.so
cfine triton --model tiny --precision int8 -o other --backend backend.so
say "exit $?"
mkdir sharded
cp "$DATA"/tiny/*.json sharded
cp "$DATA/tiny/model.safetensors" sharded/model-1-of-1.safetensors
python3 - << 'END'
import json, struct
with open("sharded/model-1-of-1.safetensors", "rb") as file:
    names = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
with open("sharded/model.safetensors.index.json", "w") as file:
    json.dump({"weight_map": {name: "model-1-of-1.safetensors" for name in names if name != "__metadata__"}}, file)
END
triton sharded other backend.so
cfine info other/cfine/1 | head -n 1
