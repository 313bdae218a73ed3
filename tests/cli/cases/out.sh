# SPDX-License-Identifier: Apache-2.0
# Annotated copies: names, kinds, pixels that changed, and what is refused.
detect() {
    cfine detect --model tiny --threshold 0.5 --max-detections 2 "$@" > /dev/null
    say "exit $?"
}
cp "$DATA/images/rgb_420.jpg" a.jpg
cp "$DATA/images/rgb8.png" b.PNG
cp "$DATA/images/rgb.ppm" c.ppm
cp "$DATA/images/rgb.ppm" noending
detect --out drawn a.jpg b.PNG c.ppm noending - < a.jpg
ls drawn
cfine detect --model tiny --threshold 1 drawn # they can be read
for file in a.jpg b.PNG; do
    cmp -s $file drawn/$file && echo "$file: unchanged"
done
ls -a . drawn | grep tmp
mkdir other
cp a.jpg other/a.jpg
detect --out . a.jpg
detect --out drawn a.jpg other/a.jpg
detect --out a.jpg a.jpg
detect --out missing/drawn a.jpg
mkdir full
ln -s /dev/full full/a.jpg
detect --out full a.jpg b.PNG
ls full
detect --raw a.jpg a.jpg # would be replaced
detect --out drawn --raw drawn/a.jpg a.jpg
cmp -s a.jpg other/a.jpg && echo "a.jpg: still there"
