# What a model is.
cfine info tiny --labels --cpu scalar | sed 's|^\(source *\).*data/|\1|'
cfine info tiny --json --cpu scalar --batch 3 --size 64x96 --queries 20 --decoder-layers 2 | tr ',' '\n' | sed '/source/s|: ".*/|: "|'
cfine info tiny --graph | head -n 3
cfine info tiny --passes | tail -n 2
cfine info tiny --plan --cpu scalar | awk 'NR == 1 || /conv/' | head -n 3
cfine info missing
