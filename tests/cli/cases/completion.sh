# SPDX-License-Identifier: Apache-2.0
# The completion script is sound bash and offers verbs, options, choices and files.
command -v bash > /dev/null || exit 77
cfine completion > cfine.bash
touch photo.jpg
cat > try.bash << 'END'
source ./cfine.bash
try() {
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    COMPREPLY=()
    compopt() { :; }
    _cfine
    echo "$*: ${COMPREPLY[*]}"
}
try cfine de
try cfine detect --pr
try cfine detect --precision ''
try cfine detect --precision = b
try cfine detect --th
try cfine detect ph
try cfine info --j
END
bash try.bash
