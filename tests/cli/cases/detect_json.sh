# SPDX-License-Identifier: Apache-2.0
# One JSON object a line; numbers cut to two decimals, as the last digits are rounding.
cp "$DATA/images/rgb_420.jpg" 'a "quoted"	name.jpg'
cp "$DATA/images/rgb_420.jpg" "$(printf 'not\377utf8.jpg')"
cfine detect --model tiny --cpu scalar --threads 1 --max-detections 2 --json "$DATA/images/rgb_420.jpg" ./*.jpg > out
sed -E 's/([0-9]\.[0-9][0-9])[0-9]+/\1/g' out
cfine detect --model tiny --threshold 1 --json "$DATA/images/rgb.ppm"
