# SPDX-License-Identifier: Apache-2.0
"""What the things and the tables of tabletop.py look like: glyphs of a few strokes, card faces, coins, chips, dice, surfaces.

Textures are RGBA pictures with a transparent margin in the edge's own colour, so that shrinking and warping them leaves clean edges.
"""
import math

import numpy as np
from PIL import Image, ImageDraw

def _arc(cx, cy, rx, ry, a0, a1, n=14):
    t = np.radians(np.linspace(a0, a1, n))
    return list(zip(cx + rx * np.cos(t), cy + ry * np.sin(t)))


GLYPHS = {
    "0": [_arc(.5, .5, .42, .5, 0, 360, 24)],
    "1": [[(.2, .22), (.55, 0), (.55, 1)], [(.25, 1), (.85, 1)]],
    "2": [_arc(.5, .28, .42, .28, 190, 395) + [(.05, 1), (.95, 1)]],
    "3": [_arc(.48, .25, .4, .25, 200, 450), _arc(.48, .73, .45, .27, -90, 160)],
    "4": [[(.7, 1), (.7, 0), (.03, .7), (.98, .7)]],
    "5": [[(.88, 0), (.2, 0), (.14, .45)] + _arc(.48, .67, .44, .33, 222, 515)],
    "6": [_arc(.5, .68, .42, .32, 0, 360, 22), _arc(.87, .68, .79, .67, 180, 262)],
    "7": [[(.05, 0), (.95, 0), (.4, 1)]],
    "8": [_arc(.5, .25, .36, .25, 0, 360, 20), _arc(.5, .74, .43, .26, 0, 360, 20)],
    "A": [[(0, 1), (.5, 0), (1, 1)], [(.2, .65), (.8, .65)]],
    "J": [[(.75, 0), (.75, .68)] + _arc(.42, .68, .33, .32, 0, 170), [(.45, 0), (1, 0)]],
    "Q": [_arc(.5, .47, .46, .47, 0, 360, 24), [(.55, .68), (1, 1.04)]],
    "K": [[(.08, 0), (.08, 1)], [(.92, 0), (.1, .58)], [(.36, .4), (.98, 1)]],
}
GLYPHS["9"] = [[(1 - x, 1 - y) for x, y in s] for s in GLYPHS["6"]]
SCRIBBLE = [[(0, .2), (.3, 1), (.6, .1), (1, .9)], [(0, 1), (.4, 0), (.5, 1), (1, 0)], _arc(.5, .5, .5, .4, 30, 330), [(0, .5), (1, .5)], [(.2, 0), (.2, 1), (.9, 1)]]


def stroke(d, lines, x, y, w, h, width, fill, slant=0.0):
    width = max(1, int(round(width)))
    r = width / 2
    for s in lines:
        p = [(x + (u - slant * (v - .5)) * w, y + v * h) for u, v in s]
        d.line(p, fill=fill, width=width, joint="curve")
        for q in (p[0], p[-1]):
            d.ellipse([q[0] - r, q[1] - r, q[0] + r, q[1] + r], fill=fill)


def text(d, s, cx, cy, h, style, fill):
    """A rank or a value, centred."""
    w = h * style["aspect"]
    if s == "10":
        w *= .62
        for ch, dx in (("1", -.62), ("0", .62)):
            stroke(d, GLYPHS[ch], cx + dx * w - w / 2, cy - h / 2, w, h, h * style["weight"] * .9, fill, style["slant"])
    else:
        stroke(d, GLYPHS[s], cx - w / 2, cy - h / 2, w, h, h * style["weight"], fill, style["slant"])


_t = np.linspace(0, 2 * np.pi, 28)
_heart = np.stack([16 * np.sin(_t) ** 3, -(13 * np.cos(_t) - 5 * np.cos(2 * _t) - 2 * np.cos(3 * _t) - np.cos(4 * _t))], 1) / 34 + [0, -.07]
_foot = np.array([(-.25, .5), (0, .05), (.25, .5)])
SUITS = {
    "heart": [_heart],
    "diamond": [np.array([(0, -.5), (.37, 0), (0, .5), (-.37, 0)])],
    "spade": [_heart * [1, -.85] + [0, -.06], _foot],
    "club": [np.stack([np.cos(_t), np.sin(_t)], 1) * .23 + c for c in ((0, -.24), (-.25, .1), (.25, .1))] + [_foot],
}


def pip(d, suit, cx, cy, size, fill, down=False):
    for p in SUITS[suit]:
        d.polygon([tuple(q) for q in (p * (-size if down else size) + [cx, cy])], fill=fill)


def hsv(h, s, v):
    i, f = int(h * 6) % 6, h * 6 - int(h * 6)
    p, q, t = v * (1 - s), v * (1 - s * f), v * (1 - s * (1 - f))
    return tuple(int(255 * c) for c in [(v, t, p), (q, v, p), (p, v, t), (p, q, v), (t, p, v), (v, p, q)][i])


def scale(c, k):
    return tuple(int(min(255, max(0, v * k))) for v in c)


# ---------------------------------------------------------------- textures: RGBA, with a transparent margin in the edge's colour

MARGIN = .06  # of the longer side


def sheet(w, h, ppc, fill, radius):
    """A rounded sheet of w by h centimetres; returns image, its draw, pixels per centimetre's origin (margin)."""
    m = int(round(MARGIN * max(w, h) * ppc))
    W, H = int(w * ppc), int(h * ppc)
    im = Image.new("RGB", (W + 2 * m, H + 2 * m), fill)
    a = Image.new("L", im.size, 0)
    ImageDraw.Draw(a).rounded_rectangle([m, m, m + W - 1, m + H - 1], radius * ppc, fill=255)
    im.putalpha(a)
    return im, m


LAYOUT = {
    "2": [(0, -1), (0, 1)], "3": [(0, -1), (0, 0), (0, 1)], "4": [(-1, -1), (1, -1), (-1, 1), (1, 1)],
    "5": [(-1, -1), (1, -1), (0, 0), (-1, 1), (1, 1)], "6": [(-1, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (1, 1)],
    "7": [(-1, -1), (1, -1), (0, -.5), (-1, 0), (1, 0), (-1, 1), (1, 1)],
    "8": [(-1, -1), (1, -1), (0, -.5), (-1, 0), (1, 0), (0, .5), (-1, 1), (1, 1)],
    "9": [(-1, -1), (1, -1), (-1, -.34), (1, -.34), (0, 0), (-1, .34), (1, .34), (-1, 1), (1, 1)],
    "10": [(-1, -1), (1, -1), (0, -.67), (-1, -.34), (1, -.34), (-1, .34), (1, .34), (0, .67), (-1, 1), (1, 1)],
}
CARD_W, CARD_H = 6.3, 8.8


def deck(r):
    return dict(aspect=r.uniform(.55, .8), weight=r.uniform(.13, .22), slant=r.uniform(-.05, .25) if r.random() < .3 else 0.0,
                index=r.uniform(1.15, 1.75), paper=tuple(int(v) for v in np.clip(np.array([1, 1, .97]) * r.uniform(222, 252) + r.uniform(-6, 6, 3), 0, 255)),
                red=hsv(r.uniform(.97, 1.02) % 1, r.uniform(.75, 1), r.uniform(.65, .9)), black=hsv(r.random(), r.uniform(0, .3), r.uniform(.03, .2)),
                radius=r.uniform(.25, .5), pips=r.uniform(.95, 1.35), back=hsv(r.random(), r.uniform(.4, .95), r.uniform(.25, .75)), back2=hsv(r.random(), r.uniform(.1, .6), r.uniform(.7, 1)),
                pattern=int(r.integers(4)), under=r.random() < .8, colours=[hsv(r.random(), r.uniform(.5, 1), r.uniform(.5, .95)) for _ in range(4)])


def card_face(rank, suit, k, r, ppc=52):
    im, m = sheet(CARD_W, CARD_H, ppc, k["paper"], k["radius"])
    d = ImageDraw.Draw(im)
    ink = k["red"] if suit in ("heart", "diamond") else k["black"]
    X = lambda x: m + (x + CARD_W / 2) * ppc
    Y = lambda y: m + (y + CARD_H / 2) * ppc
    if rank in "JQK":
        fx, fy = 2.0, 3.35
        d.rectangle([X(-fx), Y(-fy), X(fx), Y(fy)], outline=ink, width=3, fill=scale(k["paper"], .97))
        half = Image.new("RGB", (int(2 * fx * ppc) - 8, int(fy * ppc) - 4), scale(k["paper"], .97))
        h, c = ImageDraw.Draw(half), k["colours"]
        w, t = half.size
        h.polygon([(w * .08, t), (w * .25, t * .55), (w * .75, t * .55), (w * .92, t)], fill=c[0])
        for i in range(4):
            h.line([(w * (.2 + .2 * i), t), (w * (.35 + .1 * i), t * .56)], fill=c[1], width=7)
        h.line([(w * .12, t * .55), (w * .9, t * .98)], fill=c[2], width=12)
        hair = c[3] if rank != "K" else scale(c[3], .6)
        if rank == "Q":
            h.ellipse([w * .24, t * .14, w * .76, t * .66], fill=hair)
        if rank == "J":
            h.rectangle([w * .28, t * .22, w * .72, t * .5], fill=hair)
        h.ellipse([w * .32, t * .18, w * .68, t * .58], fill=(236, 205, 175))
        if rank == "K":
            h.polygon([(w * .33, t * .42), (w * .5, t * .72), (w * .67, t * .42)], fill=hair)
        for e in (.43, .57):
            h.ellipse([w * e - 4, t * .34, w * e + 4, t * .34 + 8], fill=(30, 25, 25))
        crown = {"K": [(.28, .22), (.25, .02), (.38, .12), (.5, 0), (.62, .12), (.75, .02), (.72, .22)], "Q": [(.3, .2), (.33, .05), (.5, .1), (.67, .05), (.7, .2)], "J": [(.26, .24), (.3, .08), (.76, .12), (.7, .24)]}[rank]
        h.polygon([(w * x, t * y) for x, y in crown], fill=c[1], outline=ink)
        pip(h, suit, w * .17, t * .2, ppc * .9, ink)
        im.paste(half, (int(X(-fx)) + 4, int(Y(-fy)) + 4))
        im.paste(half.rotate(180), (int(X(fx)) - 4 - w, int(Y(fy)) - 4 - t))
    elif rank == "A":
        pip(d, suit, X(0), Y(0), ppc * k["pips"] * r.uniform(1.8, 2.8), ink)
    else:
        for x, y in LAYOUT[rank]:
            pip(d, suit, X(x * 1.25), Y(y * 2.85), ppc * k["pips"], ink, y > .01)
    hgt, cx, cy = k["index"], -CARD_W / 2 + .85, -CARD_H / 2 + .35 + k["index"] / 2
    d.rectangle([X(cx - .5), Y(cy - hgt / 2 - .1), X(cx + .5), Y(cy + hgt / 2 + 1.1)], fill=k["paper"])
    text(d, rank, X(cx), Y(cy), hgt * ppc, dict(k, aspect=k["aspect"] if rank != "10" else min(.62, k["aspect"])), ink)
    pip(d, suit, X(cx), Y(cy + hgt / 2 + .65), ppc * .85, ink)
    corner = im.crop((m, m, m + int(1.5 * ppc), m + int((hgt + 1.6) * ppc)))
    other = corner.rotate(180)
    im.paste(other, (im.width - m - other.width, im.height - m - other.height), other.getchannel("A"))
    if k["under"]:
        d.rounded_rectangle([m, m, im.width - m - 1, im.height - m - 1], k["radius"] * ppc, outline=scale(k["paper"], .72), width=2)
    return im, (cx, cy, hgt)


def card_back(k, ppc=40):
    im, m = sheet(CARD_W, CARD_H, ppc, k["paper"], k["radius"])
    d = ImageDraw.Draw(im)
    x0, y0, x1, y1 = m + .35 * ppc, m + .35 * ppc, im.width - m - .35 * ppc, im.height - m - .35 * ppc
    d.rounded_rectangle([x0, y0, x1, y1], .2 * ppc, fill=k["back"])
    w, h = x1 - x0, y1 - y0
    if k["pattern"] in (0, 1):
        g = .6 * ppc
        for i in range(int((w + h) / g)):
            a, b = (x0 + i * g, y0), (x0 + i * g - h, y1)
            d.line([a, b], fill=k["back2"], width=2)
            if k["pattern"] == 0:
                d.line([(x0 + x1 - a[0], a[1]), (x0 + x1 - b[0], b[1])], fill=k["back2"], width=2)
        for s in ([0, 0, m + .33 * ppc, im.height], [im.width - m - .33 * ppc, 0, im.width, im.height]):
            d.rectangle(s, fill=k["paper"])
    elif k["pattern"] == 2:
        for i in range(1, 6):
            d.rounded_rectangle([x0 + i * 9, y0 + i * 9, x1 - i * 9, y1 - i * 9], 6, outline=k["back2"], width=2)
    else:
        for i in range(7):
            for j in range(10):
                pip(d, "diamond", x0 + (i + .5) * w / 7, y0 + (j + .5) * h / 10, ppc * .5, k["back2"])
    d.ellipse([x0 + w * .3, y0 + h * .37, x1 - w * .3, y1 - h * .37], outline=k["back2"], width=4, fill=scale(k["back"], 1.2))
    if k["pattern"] in (0, 1):  # the borders above squared the corners' alpha: cut them round again
        a = Image.new("L", im.size, 0)
        ImageDraw.Draw(a).rounded_rectangle([m, m, im.width - m - 1, im.height - m - 1], k["radius"] * ppc, fill=255)
        im.putalpha(a)
    return im


def disc(fill, px=150):
    m = int(px * MARGIN)
    im = Image.new("RGB", (px + 2 * m, px + 2 * m), fill)
    return im, m, px / 2


def disc_alpha(im, m):
    a = Image.new("L", im.size, 0)
    ImageDraw.Draw(a).ellipse([m, m, im.width - m - 1, im.height - m - 1], fill=255)
    im.putalpha(a)
    return im


def ring(d, c, r0, fill, width=0):
    if width:
        d.ellipse([c - r0, c - r0, c + r0, c + r0], outline=fill, width=int(width))
    else:
        d.ellipse([c - r0, c - r0, c + r0, c + r0], fill=fill)


def circle(d, x, y, r0, **k):
    d.ellipse([x - r0, y - r0, x + r0, y + r0], **k)


METALS = [(206, 170, 92), (190, 192, 196), (184, 112, 70), (160, 158, 150), (214, 188, 120)]


def metallic(im, r):
    n = im.width
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    a = np.arctan2(y, x)
    f = 1 + r.uniform(.05, .22) * np.cos(2 * a + r.uniform(0, 6.3)) + r.uniform(-.12, .12) * np.cos(a + r.uniform(0, 6.3))
    return Image.fromarray(np.clip(np.asarray(im, np.float32) * f[..., None], 0, 255).astype(np.uint8))


def coin(value, r, style):
    base = scale(METALS[int(r.integers(len(METALS)))], r.uniform(.75, 1.1))
    im, m, R = disc(base)
    c, d = im.width / 2, ImageDraw.Draw(im)
    if r.random() < .3:
        ring(d, c, R * .68, scale(METALS[int(r.integers(len(METALS)))], r.uniform(.8, 1.1)))
    ring(d, c, R - 1, scale(base, 1.22), R * .08)
    ring(d, c, R * .9, scale(base, .68), 2)
    n, phase = int(r.integers(14, 30)), r.uniform(0, 6.3)
    if r.random() < .7:
        for i in range(n):
            t = phase + i * 2 * math.pi / n
            circle(d, c + R * .8 * math.cos(t), c + R * .8 * math.sin(t), 2.2, fill=scale(base, .6))
    h = R * r.uniform(.8, 1.05) * (.85 if value == "10" else 1)
    k = dict(style, weight=r.uniform(.15, .22))
    text(d, value, c + 2.5, c + 2.5, h, k, scale(base, .35))
    text(d, value, c - 1.5, c - 1.5, h, k, scale(base, 1.4) if r.random() < .5 else scale(base, .5))
    return disc_alpha(metallic(im, r), m)


def chip(r):
    a, b = hsv(r.random(), r.uniform(.6, 1), r.uniform(.3, .85)), scale((245, 240, 230), r.uniform(.8, 1))
    im, m, R = disc(a)
    c, d = im.width / 2, ImageDraw.Draw(im)
    n, phase = int(r.choice([4, 6, 8])), r.uniform(0, 360)
    for i in range(n):
        s = phase + i * 360 / n
        d.pieslice([m, m, im.width - m - 1, im.height - m - 1], s, s + 180 / n * r.uniform(.7, 1), fill=b)
    ring(d, c, R * .72, a if r.random() < .5 else b)
    ring(d, c, R * .66, b if r.random() < .5 else scale(a, .8), 3)
    ring(d, c, R * .5, scale(a, 1.15))
    if r.random() < .5:
        pip(d, str(r.choice(list(SUITS))), c, c, R * .6, b)
    return disc_alpha(im, m)


PIPS = {1: [(0, 0)], 2: [(-1, -1), (1, 1)], 3: [(-1, -1), (0, 0), (1, 1)], 4: [(-1, -1), (1, -1), (-1, 1), (1, 1)],
        5: [(-1, -1), (1, -1), (0, 0), (-1, 1), (1, 1)], 6: [(-1, -1), (-1, 0), (-1, 1), (1, -1), (1, 0), (1, 1)], 0: []}


def die_face(n, body, ink, r, spread, size, px=96):
    im = Image.new("RGB", (px, px), body)
    d, c = ImageDraw.Draw(im), px / 2
    for x, y in PIPS[n]:
        q = px * size * (1.45 if n == 1 and r.random() < .5 else 1)
        circle(d, c + x * px * spread, c + y * px * spread, q, fill=ink)
        circle(d, c + x * px * spread + 1.5, c + y * px * spread + 1.5, q * .62, fill=scale(ink, 1.25))
    return im


def domino_face(a, b, body, ink, line, px=84):
    im = Image.new("RGB", (px, 2 * px), body)
    d = ImageDraw.Draw(im)
    d.line([(px * .12, px), (px * .88, px)], fill=line, width=4)
    for n, oy in ((a, px / 2), (b, px * 1.5)):
        for x, y in PIPS[n]:
            circle(d, px / 2 + x * px * .26, oy + y * px * .26, px * .085, fill=ink)
    return im


def smooth(r, h, w, cells):
    """Noise with about `cells` bumps a side, 0..1."""
    g = r.random((max(2, int(cells * h / max(h, w)) + 1), max(2, int(cells * w / max(h, w)) + 1)), dtype=np.float32)
    return np.asarray(Image.fromarray(g).resize((w, h), Image.BICUBIC))


def surface(r, n=640):
    """A square of table, as an n by n picture."""
    kind = r.choice(["wood", "wood", "felt", "cloth", "plain", "stone"])
    if kind == "wood":
        v = np.zeros((n, n), np.float32)
        warp = smooth(r, n, n, 4) * r.uniform(2, 10) + smooth(r, n, n, 14)
        x = np.linspace(0, r.uniform(12, 50), n, dtype=np.float32)[None]
        v += .5 + .25 * np.sin(x + warp * 3) + .25 * np.sin(x * 2.7 + warp * 5)
        v = v * .6 + .4 * np.asarray(Image.fromarray(r.random((n // 16, n), dtype=np.float32)).resize((n, n), Image.BICUBIC))
        a, b = np.array(hsv(r.uniform(.04, .11), r.uniform(.25, .7), r.uniform(.2, .75))), r.uniform(.55, .85)
        planks = r.integers(0, 7)
        if planks > 2:
            e = (np.linspace(0, planks, n) % 1)
            v += np.repeat(r.uniform(-.25, .25, planks + 1), n)[(np.linspace(0, planks, n).astype(int) * n)][None].astype(np.float32)
            v -= ((e < .012) | (e > .988))[None] * .9
    else:
        v = smooth(r, n, n, 5) * .3 + smooth(r, n, n, 40) * .3 + (.4 * r.random((n, n), dtype=np.float32) if kind != "plain" else .2)
        if kind == "cloth":
            p, q = int(r.integers(16, 90)), r.uniform(.1, .9)
            s = ((np.arange(n) % p) < p * r.uniform(.3, .6)).astype(np.float32)
            v = v * .5 + q * (s[None] * .5 + (s[:, None] * .5 if r.random() < .6 else 0))
        if kind == "stone":
            v = np.abs(smooth(r, n, n, 8) - .5) * 2 * .5 + np.abs(smooth(r, n, n, 25) - .5) + .15 * r.random((n, n), dtype=np.float32)
        a, b = np.array(hsv(r.random(), r.uniform(0, .75) if kind != "stone" else r.uniform(0, .2), r.uniform(.15, .95))), r.uniform(.45, .9)
    v = np.clip(v, -.3, 1.3)[..., None]
    return Image.fromarray(np.clip(a * (b + (1 - b) * 2 * v * r.uniform(.6, 1)), 0, 255).astype(np.uint8))
