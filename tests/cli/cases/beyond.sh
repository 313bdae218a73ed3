# SPDX-License-Identifier: Apache-2.0
# More pictures asked for than there are: said, and all are used. A folder named with its slash is not given another.
mkdir photos
cp "$DATA/images/rgb.ppm" photos/a.ppm
cp "$DATA/images/rgb.ppm" photos/b.ppm
echo nothing > photos/c.ppm
cat > truth.json <<'END'
{"images": [{"id": 1, "file_name": "a.ppm"}, {"id": 2, "file_name": "c.ppm"}], "categories": [{"id": 1, "name": "class_0"}],
 "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "area": 25, "iscrowd": 0}]}
END
cfine calibrate --model tiny --images photos/ --limit 5 --judged 4 -o ranges.json
cfine calibrate --model tiny --images photos --limit 2 --judged 1 -o ranges.json
cfine eval --model tiny --data truth.json --images photos/ --limit 5 2>&1 > /dev/null | grep -v 'images/s\|Labels'
cfine eval --model tiny --data truth.json --images photos/ --limit 2 2>&1 > /dev/null | grep -c -- --limit
cfine detect --model tiny --size 128 photos/a.ppm > found
echo "exit $?"
