# SPDX-License-Identifier: Apache-2.0
# The manual page names every verb and every option, and roff has nothing to say against it.
cfine manual > cfine.1
for verb in $(cfine --help | sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
    grep -q "^\.SS cfine $verb" cfine.1 || echo "$verb: missing"
    for option in $(cfine "$verb" --help | sed -n '/^Options:/,/^$/s/^ .*--\([a-z-]*\)[= ].*/\1/p'); do
        [ "$option" = help ] && continue
        grep -q -e "-$(echo "$option" | sed 's/-/\\\\-/g')\\\\fR" cfine.1 || echo "$verb --$option: missing"
    done
done
if command -v groff > /dev/null; then groff -man -Tutf8 -ww -z cfine.1; fi
