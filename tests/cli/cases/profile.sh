# SPDX-License-Identifier: Apache-2.0
# Where the time goes, on standard error.
cfine detect --model tiny --cpu scalar --threshold 1 --profile "$DATA/images/rgb.ppm" 2> notes
sed -n -e 's/ *[0-9.]* *[0-9.]* *[0-9.]*  conv  *\([a-z_]*\) .*/\1/p' notes | sort -u
tail -n 1 notes | sed 's/[0-9.][0-9.]*/N/g'
