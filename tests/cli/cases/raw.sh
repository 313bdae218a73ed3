# SPDX-License-Identifier: Apache-2.0
# Pixels, logits and boxes as safetensors.
command -v python3 > /dev/null || exit 77
images="$DATA/images/rgb_420.jpg $DATA/images/rgb8.png $DATA/images/rgb.ppm"
cfine detect --model tiny --batch 2 --threshold 1 --raw three.safetensors $images
cfine detect --model tiny --threshold 1 --raw one.safetensors "$DATA/images/rgb8.png" > /dev/null
cat > look.py << 'END'
import json, struct
def load(name):
    with open(name, "rb") as file:
        data = file.read()
    size = struct.unpack("<Q", data[:8])[0]
    header, rest, at = json.loads(data[8:8 + size]), data[8 + size:], 0
    for key, entry in header.items():
        begin, end = entry["data_offsets"]
        count = 1
        for n in entry["shape"]:
            count *= n
        assert begin == at and end - begin == 4 * count and entry["dtype"] == "F32", entry
        at = end
        print(name, key, entry["shape"])
    assert at == len(rest)
    return {key: struct.unpack("<%df" % ((e["data_offsets"][1] - e["data_offsets"][0]) // 4),
                               rest[e["data_offsets"][0]:e["data_offsets"][1]]) for key, e in header.items()}
three, one = load("three.safetensors"), load("one.safetensors")
for key in one:
    size = len(one[key])
    worst = max(abs(a - b) for a, b in zip(one[key], three[key][size:2 * size]))
    print(key, "of the second image:", "same" if worst < 1e-3 else worst)
print("pixels within 0..1:", min(three["pixel_values"]) >= 0, max(three["pixel_values"]) <= 1)
END
python3 look.py
: > bad.jpg
cfine detect --model tiny --raw none.safetensors bad.jpg
cfine detect --model tiny --raw missing/x.safetensors "$DATA/images/rgb8.png"
cfine detect --model tiny --threshold 1 --raw /dev/full "$DATA/images/rgb8.png"
echo "exit $?"
ls
