# SPDX-License-Identifier: Apache-2.0
# A table for people. Plain C kernels, so that every machine gives the same.
cfine detect --model tiny --cpu scalar --threads 1 --threshold 0.5 --max-detections 3 "$DATA/images/rgb_420.jpg" \
    "$DATA/images/exif6.png"
