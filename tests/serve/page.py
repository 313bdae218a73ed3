#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page of `cfine serve` in a headless Chromium: page.py CFINE MODEL PICTURE [FOLDER]

Drops, pastes and chooses a picture, opens the (browser's own fake) camera, moves the threshold, and looks for the frames
on the canvas. Exits 77 (skipped) without a browser. With FOLDER, screenshots of every state are left there.
"""
import json
import os
import sys
import tempfile

import browser
from server import detected, serving

CFINE, MODEL, PICTURE = sys.argv[1:4]
SHOTS = sys.argv[4] if len(sys.argv) > 4 else None

# How much of each box's outline has its class's colour on the canvas, and how far pixels away from all outlines are from
# the picture itself. `boxes`: [{label, box}], in pixels of the picture of the given width.
READ_CANVAS = """(async (boxes, width) => {
  const canvas = $('canvas'), context = canvas.getContext('2d');
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height), scale = canvas.width / width;
  const at = (data, x, y) => data.data.slice((y * canvas.width + x) * 4, (y * canvas.width + x) * 4 + 3);
  const far = (a, b) => Math.max(...[0, 1, 2].map(i => Math.abs(a[i] - b[i])));
  const plain = document.createElement('canvas');
  plain.width = canvas.width; plain.height = canvas.height;
  const other = plain.getContext('2d');
  const covered = boxes.map(({label, box}) => {
    other.fillStyle = colour(label);
    other.fillRect(0, 0, 1, 1);
    const wanted = other.getImageData(0, 0, 1, 1).data, [x1, y1, x2, y2] = box.map(v => v * scale);
    let hit = 0, all = 0;
    for (let i = 1; i < 40; i++)
      for (const [x, y] of [[x1 + (x2 - x1) * i / 40, y1], [x1 + (x2 - x1) * i / 40, y2],
                            [x1, y1 + (y2 - y1) * i / 40], [x2, y1 + (y2 - y1) * i / 40]]) {
        const px = Math.round(Math.min(Math.max(x, 0), canvas.width - 1));
        const py = Math.round(Math.min(Math.max(y, 0), canvas.height - 1));
        all++;
        hit += [-1, 0].some(dx => [-1, 0].some(dy => px + dx >= 0 && py + dy >= 0 &&
                                                     far(at(pixels, px + dx, py + dy), wanted) < 24));
      }
    return hit / all;
  });
  other.imageSmoothingQuality = 'high';
  other.drawImage(picture, 0, 0, plain.width, plain.height);
  const original = other.getImageData(0, 0, plain.width, plain.height);
  let same = 0, all = 0;
  for (let y = 3; y < canvas.height; y += 7)
    for (let x = 3; x < canvas.width; x += 7) { all++; same += far(at(pixels, x, y), at(original, x, y)) < 3; }
  return {covered, same: same / all};
})(%s, %d)"""


def shot(page, name):
    if SHOTS:
        page.eval("new Promise(done => setTimeout(done, 300))")
        page.screenshot(os.path.join(SHOTS, name + ".png"))


def wait_for_boxes(page, count):
    page.wait("document.body.dataset.boxes === '%d' && $('busy').hidden" % count)


def check_canvas(page, found, width):
    got = page.eval(READ_CANVAS % (json.dumps(found), width))
    assert len(got["covered"]) == len(found)
    for share, one in zip(got["covered"], found):
        assert share > 0.55, (share, one)  # labels and other boxes lie upon a part of it
    assert got["same"] > 0.5, got
    return got["same"]


def set_threshold(page, value):
    page.eval("$('threshold').value = %g; $('threshold').dispatchEvent(new Event('input'))" % value)


def check_width(page, name):
    wide = page.eval("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1], (name, wide)


def paste(page, path):
    with open(path, "rb") as f:
        data = list(f.read())
    page.eval("""{const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(%s)], 'a.jpg', {type: 'image/jpeg'}));
        document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true}));}""" % data)


def check_picture(page, address, found, width, height):
    page.screen(1280, 860)
    page.open(address)
    assert page.eval("$('canvas').hidden && !$('hint').hidden")
    check_width(page, "empty")
    shot(page, "empty_desktop_light")
    page.drop(PICTURE, 300, 300)
    at_half = [d for d in found if d["score"] >= 0.5]
    wait_for_boxes(page, len(at_half))
    drawn = check_canvas(page, at_half, width)
    rows = page.eval("[...document.querySelectorAll('#found .name')].map(e => e.textContent)")
    assert rows == [d["name"] for d in at_half], rows
    shot(page, "boxes_desktop_light")

    few = [d for d in found if d["score"] >= 0.9]
    assert 0 < len(few) < len(at_half)
    set_threshold(page, 0.9)
    wait_for_boxes(page, len(few))
    assert check_canvas(page, few, width) > drawn
    set_threshold(page, 0.5)
    wait_for_boxes(page, len(at_half))

    name = at_half[0]["name"]  # a click on a class hides it
    left = [d for d in at_half if d["name"] != name]
    page.eval("[...document.querySelectorAll('#classes button')].find(b => b.textContent.startsWith(%s + ' × ')).click()"
              % json.dumps(name))
    wait_for_boxes(page, len(left))
    check_canvas(page, left, width)

    x, y = at_half[0]["box"][0] + 4, at_half[0]["box"][1] + 4
    page.eval("[...document.querySelectorAll('#classes button')].forEach(b => b.ariaPressed === 'false' && b.click())")
    wait_for_boxes(page, len(at_half))
    lit = page.eval("""(() => { const c = $('canvas'), r = c.getBoundingClientRect();
        c.dispatchEvent(new PointerEvent('pointermove', {clientX: r.x + %g * c.clientWidth, clientY: r.y + %g * c.clientHeight,
                                                         bubbles: true}));
        return document.querySelectorAll('#found li.lit').length; })()""" % (x / width, y / height))
    assert lit == 1, lit
    shot(page, "lit_desktop_light")
    page.screen(1280, 860, dark=True)
    page.eval("light(null)")
    shot(page, "boxes_desktop_dark")

    # Saved: the whole picture at its own size.
    saved = page.eval("""new Promise(done => {
        URL.createObjectURL = blob => { createImageBitmap(blob).then(b => done([b.width, b.height])); return '#'; };
        $('save').click(); })""")
    assert saved == [width, height], saved


def check_other_ways(page, address, found, bad):
    at_half = [d for d in found if d["score"] >= 0.5]
    page.screen(390, 844, dark=True, phone=True)
    page.open(address)
    shot(page, "empty_phone_dark")
    paste(page, PICTURE)
    wait_for_boxes(page, len(at_half))
    check_width(page, "phone")
    shot(page, "boxes_phone_dark")
    page.screen(390, 844, phone=True)
    shot(page, "boxes_phone_light")
    page.choose("#file", bad)
    page.wait("$('says').classList.contains('bad')")
    check_width(page, "error")
    shot(page, "error_phone_light")
    page.choose("#file", PICTURE)
    wait_for_boxes(page, len(at_half))

    page.eval("$('camera').click()")
    page.wait("answer && stream && picture instanceof HTMLCanvasElement")
    page.wait("$('canvas').width > 0 && document.body.dataset.boxes !== ''")
    shot(page, "camera_phone_light")
    page.eval("$('camera').click()")
    assert page.eval("stream === null && $('camera').textContent") == "Camera"


def check_token(page, folder, found):
    with open(folder + "/token", "w") as f:
        f.write("secret\n")
    at_half = [d for d in found if d["score"] >= 0.5]
    with serving(CFINE, MODEL, "--token-file", folder + "/token") as server:
        page.open("http://127.0.0.1:%d/" % server.port)
        page.drop(PICTURE, 100, 300)
        page.wait("!$('ask').hidden")
        shot(page, "token_phone_light")
        page.eval("$('token').value = 'secret'; $('ask').requestSubmit()")
        wait_for_boxes(page, len(at_half))


def main():
    path = browser.find()
    if not path:
        print("skipped: no Chromium to open the page in")
        sys.exit(77)
    found = detected(CFINE, MODEL, [PICTURE], "--threshold", "0.05")[0]
    with tempfile.TemporaryDirectory() as folder, serving(CFINE, MODEL) as server:
        bad = folder + "/bad.jpg"
        with open(PICTURE, "rb") as whole, open(bad, "wb") as f:
            f.write(whole.read()[:3000])
        with open(PICTURE, "rb") as whole:
            size = json.loads(server.ask("POST", "/v1/detect", whole)[2])
        page = browser.Browser(path)
        try:
            check_picture(page, server.address, found, size["width"], size["height"])
            check_other_ways(page, server.address, found, bad)
            check_token(page, folder, found)
            assert not page.problems, page.problems
        finally:
            page.close()


main()
