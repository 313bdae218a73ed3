#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes small encoded images of every kind that cfine reads, and what Pillow decodes them to. Needs Pillow and numpy.

    make_image_goldens.py [OUT_DIR]        default: ../data/images beside this script

manifest.txt has a line for each file: name, then width, height and crc32 of the RGB pixels as stored, then the same
turned upright by EXIF orientation. One thing is not Pillow's: grey with more than 8 bits, which Pillow cuts to white
above 255, is expected scaled to 8 bits.
"""
import io
import os
import struct
import sys
import warnings
import zlib

import numpy as np
import PIL
from PIL import Image, ImageOps

WIDTH, HEIGHT = 29, 19  # odd, so that padding, chroma subsampling and Adam7 passes have edges


def scene(width=WIDTH, height=HEIGHT, seed=1):
    """A gradient with a disc, a square and some noise: [height, width, 3] bytes."""
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], axis=-1).astype(np.int32)
    rgb[(x - width * 0.3) ** 2 + (y - height * 0.4) ** 2 < 25] = (230, 40, 30)
    rgb[height * 2 // 3:height * 5 // 6, width // 2:width * 3 // 4] = (20, 60, 240)
    noise = np.random.default_rng(seed).integers(-12, 13, rgb.shape)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)


def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


# --------------------------------------------------------------------------------------------------------------------
# PNG by hand: Pillow writes neither interlaced pictures nor all depths


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack_row(samples, depth):
    """samples [width, channels] to bytes, the first sample in the upper bits."""
    if depth == 16:
        return samples.astype(">u2").tobytes()
    if depth == 8:
        return samples.astype(np.uint8).tobytes()
    bits = "".join(format(int(v), f"0{depth}b") for v in samples.reshape(-1))
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))


def png(samples, depth, colour_type, interlaced=False, chunks=b""):
    """samples [height, width, channels] of integers below 2**depth."""
    height, width = samples.shape[:2]
    adam7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    data = b""
    for y, x, step_y, step_x in adam7 if interlaced else [(0, 0, 1, 1)]:
        part = samples[y::step_y, x::step_x]
        if part.size:
            data += b"".join(b"\0" + pack_row(row, depth) for row in part)
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlaced)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunks + chunk(b"IDAT", zlib.compress(data, 9))
            + chunk(b"IEND", b""))


def exif_block(orientation, order="<"):
    """A TIFF header and one directory with three entries, orientation in the middle."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    entries = [(0x100, 4, 1, struct.pack(order + "I", 7)), (0x112, 3, 1, struct.pack(order + "HH", orientation, 0)),
               (0x128, 3, 1, struct.pack(order + "HH", 2, 0))]
    body = b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in entries)
    return head + struct.pack(order + "IH", 8, len(entries)) + body + struct.pack(order + "I", 0)


def png_files():
    rgb = scene()
    grey = rgb[:, :, 1].astype(np.int64)
    alpha = rgb[:, :, 2].astype(np.int64)
    wide = rgb.astype(np.int64) * 257 ^ 0x5a
    palette = b"".join(bytes([i * 7 % 256, 255 - i, i * 31 % 256]) for i in range(256))
    plte = {depth: chunk(b"PLTE", palette[:3 << depth]) for depth in (1, 2, 4, 8)}
    for name, interlaced in (("", False), ("_adam7", True)):
        for depth in (1, 2, 4, 8):
            yield f"grey{depth}{name}.png", png((grey >> 8 - depth)[..., None], depth, 0, interlaced)
            yield f"palette{depth}{name}.png", png((grey >> 8 - depth)[..., None], depth, 3, interlaced, plte[depth])
        yield f"grey16{name}.png", png(wide[..., :1], 16, 0, interlaced)
        yield f"rgb8{name}.png", png(rgb, 8, 2, interlaced)
        yield f"rgb16{name}.png", png(wide, 16, 2, interlaced)
        yield f"grey_alpha8{name}.png", png(np.stack([grey, alpha], -1), 8, 4, interlaced)
        yield f"grey_alpha16{name}.png", png(np.stack([grey, alpha], -1) * 257 ^ 0x33, 16, 4, interlaced)
        yield f"rgba8{name}.png", png(np.dstack([rgb, alpha]), 8, 6, interlaced)
        yield f"rgba16{name}.png", png(np.dstack([wide, alpha * 257]), 16, 6, interlaced)
    yield "palette8_short.png", png(grey[..., None], 8, 3, False, chunk(b"PLTE", palette[:300]))
    yield "palette8_transparent.png", png(grey[..., None], 8, 3, False,
                                          plte[8] + chunk(b"tRNS", bytes(range(255, 99, -1))))
    yield "grey8_transparent.png", png(grey[..., None], 8, 0, False, chunk(b"tRNS", b"\0\x40"))
    yield "rgb8_transparent.png", png(rgb, 8, 2, False, chunk(b"tRNS", struct.pack(">HHH", *map(int, rgb[3, 3]))))
    yield "exif6.png", png(rgb, 8, 2, False, chunk(b"eXIf", exif_block(6, ">")))
    yield "one_pixel.png", png(rgb[:1, :1], 8, 2)


def jpeg_files():
    rgb = Image.fromarray(scene())
    for name, sampling in (("444", 0), ("422", 1), ("420", 2)):
        yield f"rgb_{name}.jpg", encoded(rgb, "JPEG", quality=80, subsampling=sampling)
    yield "progressive.jpg", encoded(rgb, "JPEG", quality=80, progressive=True)
    yield "restart.jpg", encoded(rgb, "JPEG", quality=80, restart_marker_rows=1)
    yield "grey.jpg", encoded(rgb.convert("L"), "JPEG", quality=80)
    yield "grey_progressive.jpg", encoded(rgb.convert("L"), "JPEG", quality=80, progressive=True)
    yield "rgb_kept.jpg", encoded(rgb, "JPEG", quality=80, keep_rgb=True)
    yield "low_quality.jpg", encoded(rgb, "JPEG", quality=5)
    inks = np.dstack([scene(seed=2), scene(seed=3)[:, :, 1]])
    cmyk = encoded(Image.fromarray(inks, "CMYK"), "JPEG", quality=85)
    yield "cmyk.jpg", cmyk
    # The same bytes read as YCCK: Adobe's marker says so in its last byte.
    at = cmyk.index(b"Adobe\0")
    yield "ycck.jpg", cmyk[:at + 11] + b"\x02" + cmyk[at + 12:]
    for orientation in range(1, 9):
        block = b"Exif\0\0" + exif_block(orientation, "<>"[orientation % 2])
        yield f"exif{orientation}.jpg", encoded(rgb, "JPEG", quality=60, exif=block)
    yield "exif9.jpg", encoded(rgb, "JPEG", quality=60, exif=b"Exif\0\0" + exif_block(9))
    yield "one_pixel.jpg", encoded(Image.fromarray(scene()[:1, :1]), "JPEG")


def webp_files():
    rgb = Image.fromarray(scene())
    rgba = Image.fromarray(np.dstack([scene(), scene(seed=4)[:, :, 0]]))
    yield "lossy.webp", encoded(rgb, "WEBP", quality=80)
    yield "lossless.webp", encoded(rgb, "WEBP", lossless=True)
    yield "lossy_alpha.webp", encoded(rgba, "WEBP", quality=80)
    yield "lossless_alpha.webp", encoded(rgba, "WEBP", lossless=True, exact=True)
    yield "exif8.webp", encoded(rgb, "WEBP", quality=60, exif=b"Exif\0\0" + exif_block(8))


# --------------------------------------------------------------------------------------------------------------------
# BMP and PNM by hand


def bmp(rows, bits, width, height, compression=0, palette=b"", masks=b"", header_size=40):
    """rows: the pixel bytes, in the order of the file. header_size 12 is the oldest header."""
    if header_size == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header_size, width, height, 1, bits, compression, len(rows), 2835, 2835,
                           len(palette) // 4, 0)
        info += masks
        info += bytes(max(0, header_size - len(info)))
    offset = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset) + info + palette + rows


def padded(rows):
    return b"".join(row + bytes(-len(row) % 4) for row in rows)


def run_lengths(row, bits):
    """A row of indices as runs, literal stretches and an end of row."""
    out, i, row = b"", 0, [int(v) for v in row]
    while i < len(row):
        run = 1
        while i + run < len(row) and row[i + run] == row[i] and run < 200:
            run += 1
        if run >= 3 or len(row) - i < 5:
            out += bytes([run, row[i] if bits == 8 else row[i] << 4 | row[i]])
            i += run
            continue
        literal = row[i:i + 5]
        data = bytes(literal) if bits == 8 else pack_row(np.array(literal), 4)
        out += bytes([0, len(literal)]) + data + bytes(len(data) % 2)
        i += 5
    return out + b"\0\0"


def bmp_files():
    rgb = scene()
    grey = rgb[:, :, 1].astype(np.int64)
    blocks = grey // 48 * 3  # long runs
    for bits in (1, 4, 8):
        palette = b"".join(bytes([i * 7 % 256, 255 - i, i * 31 % 256, 0]) for i in range(1 << bits))
        up = padded(pack_row(row[:, None], bits) for row in (grey >> 8 - bits)[::-1])
        down = padded(pack_row(row[:, None], bits) for row in grey >> 8 - bits)
        yield f"palette{bits}.bmp", bmp(up, bits, WIDTH, HEIGHT, palette=palette)
        yield f"palette{bits}_down.bmp", bmp(down, bits, WIDTH, -HEIGHT, palette=palette)
        three = b"".join(palette[i:i + 3] for i in range(0, len(palette), 4))
        yield f"palette{bits}_os2.bmp", bmp(up, bits, WIDTH, HEIGHT, palette=three, header_size=12)
        if bits >= 4:
            runs = b"".join(run_lengths(row % (1 << bits), bits) for row in blocks[::-1]) + b"\0\1"
            yield f"rle{bits}.bmp", bmp(runs, bits, WIDTH, HEIGHT, bits == 8 and 1 or 2, palette)
    up, down = rgb[::-1], rgb
    yield "rgb24.bmp", bmp(padded(row[:, ::-1].tobytes() for row in up), 24, WIDTH, HEIGHT)
    yield "rgb24_down.bmp", bmp(padded(row[:, ::-1].tobytes() for row in down), 24, WIDTH, -HEIGHT)
    yield "rgb24_os2.bmp", bmp(padded(row[:, ::-1].tobytes() for row in up), 24, WIDTH, HEIGHT, header_size=12)
    bgrx = np.dstack([up[:, :, ::-1], up[:, :, :1] // 2])
    yield "rgb32.bmp", bmp(bgrx.tobytes(), 32, WIDTH, HEIGHT)
    masks = struct.pack("<III", 0xff000000, 0xff0000, 0xff00)
    yield "rgb32_masks.bmp", bmp(bgrx[:, :, [3, 0, 1, 2]].tobytes(), 32, WIDTH, HEIGHT, 3, masks=masks)
    masks = struct.pack("<IIII", 0xff0000, 0xff00, 0xff, 0xff000000)
    yield "rgb32_v4.bmp", bmp(bgrx.tobytes(), 32, WIDTH, HEIGHT, 3, masks=masks, header_size=108)
    wide = up.astype(np.uint32)
    words = (wide[..., 0] >> 3) << 10 | (wide[..., 1] >> 3) << 5 | wide[..., 2] >> 3
    yield "rgb555.bmp", bmp(padded(row.astype("<u2").tobytes() for row in words), 16, WIDTH, HEIGHT)
    words = (wide[..., 0] >> 3) << 11 | (wide[..., 1] >> 2) << 5 | wide[..., 2] >> 3
    masks = struct.pack("<III", 0xf800, 0x7e0, 0x1f)
    yield "rgb565.bmp", bmp(padded(row.astype("<u2").tobytes() for row in words), 16, WIDTH, HEIGHT, 3, masks=masks)


def pnm_files():
    rgb, size = scene(), f"{WIDTH} {HEIGHT}"
    grey = rgb[:, :, 1].astype(np.int64)
    bits = grey >> 7
    yield "bitmap_text.pbm", (f"P1\n# a comment\n{size}\n" + "\n".join("".join(map(str, row)) for row in bits)).encode()
    yield "bitmap.pbm", f"P4\n{size}\n".encode() + b"".join(pack_row(row[:, None], 1) for row in bits)
    yield "grey_text.pgm", (f"P2 {size} 255 " + " ".join(map(str, grey.reshape(-1)))).encode()
    yield "grey.pgm", f"P5\n#one\n{WIDTH}#two\n {HEIGHT}\n255\n".encode() + grey.astype(np.uint8).tobytes()
    yield "grey_100.pgm", f"P5 {size} 100\n".encode() + (grey % 101).astype(np.uint8).tobytes()
    yield "grey_1000.pgm", f"P5 {size} 1000\n".encode() + (grey * 1000 // 255).astype(">u2").tobytes()
    yield "rgb_text.ppm", (f"P3\n{size}\n1000\n" + " ".join(str(v * 1000 // 255) for v in rgb.astype(int).reshape(-1))).encode()
    yield "rgb.ppm", f"P6\n{size}\n255\n".encode() + rgb.tobytes()
    yield "rgb_65535.ppm", f"P6\n{size}\n65535\n".encode() + (rgb.astype(np.int64) * 251).astype(">u2").tobytes()


def expected(image):
    """RGB pixels: Pillow's, but for deep grey."""
    if image.mode in ("I;16", "I;16B", "I"):
        values = np.array(image).astype(np.float64)
        # Pillow brings grey maps of PNM to 0..65535 itself.
        grey = np.floor(values / 256) if image.format == "PNG" else np.rint(values / 65535 * 255)
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def describe(image):
    return f"{image.width} {image.height} {zlib.crc32(image.tobytes()):08x}"


def main():
    warnings.simplefilter("ignore")
    here = os.path.dirname(os.path.abspath(__file__))
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "..", "data", "images")
    os.makedirs(out, exist_ok=True)
    lines = [f"# Pillow {PIL.__version__}: name, width height crc32 as stored, width height crc32 upright\n"]
    for files in (jpeg_files, png_files, webp_files, bmp_files, pnm_files):
        for name, data in files():
            with open(os.path.join(out, name), "wb") as file:
                file.write(data)
            stored = expected(Image.open(io.BytesIO(data)))
            upright = expected(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
            lines.append(f"{name} {describe(stored)} {describe(upright)}\n")
    with open(os.path.join(out, "manifest.txt"), "w") as file:
        file.writelines(lines)


if __name__ == "__main__":
    main()
