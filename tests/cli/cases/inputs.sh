# SPDX-License-Identifier: Apache-2.0
# Folders, patterns, standard input; names that give no image.
mkdir photos photos/below empty
cp "$DATA/images/rgb_420.jpg" photos/b.jpg
cp "$DATA/images/rgb8.png" photos/A.PNG
cp "$DATA/images/rgb.ppm" photos/c.ppm
cp "$DATA/images/rgb.ppm" photos/.hidden.ppm
cp "$DATA/images/rgb.ppm" photos/below/d.ppm
echo text > photos/notes.txt
ln -s nowhere dangling.jpg
: > film.mp4
detect() {
    say "== $*"
    cfine detect --model tiny --threshold 1 "$@"
    echo "exit $?"
}
detect photos
detect photos/
detect 'photos/*.p*'
detect photos/b.jpg - < photos/c.ppm
detect - - < photos/c.ppm
detect - < /dev/null
detect empty
detect '*.tiff'
detect film.mp4
detect dangling.jpg
detect 'dang*'
detect 'dang*' 'photos/b*'
detect missing.jpg photos/b.jpg
detect /dev/null
mkfifo pipe.jpg
detect pipe.jpg
