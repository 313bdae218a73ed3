# SPDX-License-Identifier: Apache-2.0
# Each verb has an example, and its help is reached in three ways.
for verb in $(cfine --help | sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
    cfine "$verb" --help > one || echo "$verb --help: $?"
    cfine help "$verb" > two || echo "help $verb: $?"
    cfine "$verb" -h > three || echo "$verb -h: $?"
    cmp one two && cmp one three
    grep -q '^Examples:' one || echo "$verb: no example"
    grep -q "^  .*cfine $verb" one || echo "$verb: the example does not show it"
    awk 'length > 110 { print "too wide: " $0 }' one
done
