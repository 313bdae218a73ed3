# SPDX-License-Identifier: Apache-2.0
# Bad images among good ones are reported and left out, in any batch; the exit status says so.
cp "$DATA/images/rgb_420.jpg" good.jpg
: > empty.jpg
head -c 300 good.jpg > truncated.jpg
echo "no image" > text.png
head -c 60 "$DATA/images/rgb8.png" > truncated.png
printf 'P6 40000 40000 255\n' > huge.ppm
for batch in 1 2 8; do
    cfine detect --model tiny --threshold 1 --batch $batch good.jpg empty.jpg truncated.jpg good.jpg text.png \
        truncated.png huge.ppm good.jpg
    say "exit $?"
done
cfine detect --model tiny --threshold 1 empty.jpg
echo "exit $?"
