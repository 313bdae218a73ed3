# SPDX-License-Identifier: Apache-2.0
# Names as long as names may be, and with characters that would break a line or steer a terminal: an error stays a line.
odd=$(printf 'a\nb\033[31m')
try() {
    cfine "$@" > /dev/null
    echo "exit $?" >&2
}
long=$(printf '%0251d' 0)
cp "$DATA/images/rgb_420.jpg" "$long.jpg"
try detect --model tiny --out drawn --raw "$(printf '%0255d' 1)" "$long.jpg"
try build --model tiny -o "$(printf '%0255d' 2)"
ls . drawn | sed -E 's/0{9,}/0.../'
try detect --model tiny --out "$long-and-longer" "$long.jpg"
try detect --model tiny "$odd"
try detect --model "$odd" "$long.jpg"
try detect --model tiny --out "$odd/below" "$long.jpg"
try detect --size "$odd" "$long.jpg"
try detect "--$odd" "$long.jpg"
try "$odd"
