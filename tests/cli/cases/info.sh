# SPDX-License-Identifier: Apache-2.0
# What a model is. Of what the library may do better one day (steps, memory), only that it is there.
number='s/[0-9][0-9.]*/N/g'
cfine info tiny --labels --cpu scalar | sed -e 's|^\(source *\).*data/|\1|' -e "/^plan/$number" -e "/^arith/$number" \
    -e "/^memory/$number"
cfine info tiny --json --cpu scalar --batch 3 --size 64x96 --queries 20 --decoder-layers 2 | tr ',' '\n' |
    sed -e '/source/s|: ".*/|: "|' -e "/steps/$number" -e "/flops/$number" -e "/weight_bytes/$number" \
        -e "/workspace/$number"
cfine info tiny --graph | head -n 3
cfine info tiny --passes | tail -n 2 | sed 's/%.*//'
cfine info tiny --plan --cpu scalar | awk 'NR == 1 || /conv_ref/' | head -n 2
cfine info "$DATA/tiny_official.pth" || echo "exit $?" # a .pth does not tell its queries: 300 are too many for its size
cfine info "$DATA/tiny_official.pth" --json | tr ',' '\n' | head -n 12
cfine info "$DATA/tiny_official.pth" --size 64x64
cfine info "$DATA/tiny_official.pth" --plan
cfine info missing
