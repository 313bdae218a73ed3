#!/usr/bin/env python3
"""Draw photographed-looking tabletops with dice, playing cards, coins, dominoes and chips, and say where each thing is.

    tabletop.py OUT_DIR [--first 0] [--count 100] [--workers 1]

writes OUT_DIR/images/NNNNNN.jpg and OUT_DIR/instances.json (COCO). A scene is a function of its seed alone: scene(7) is the
same picture each time. Nothing is downloaded and no font is used: every glyph is a few strokes, every texture is noise.

How a scene comes about: a camera looks at the plane z = 0 (units: centimetres). Things are laid down one after another, flat
ones first, tall ones last and far ones before near ones. Each is drawn as a colour patch and a coverage mask; a second picture
keeps, for every pixel, the number of the thing seen there. A thing that would leave itself or another one ambiguous (a card
whose both corners are covered, a die whose top face is cut off) is taken back. Then light, lens, sensor and JPEG spoil the
picture. Boxes are the extents of what is left visible in the numbers' picture.
"""
import argparse
import io
import json
import math
import os

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

RANKS = ["A", "2", "3", "4", "5", "6", "7", "8", "9", "10", "J", "Q", "K"]
COINS = ["1", "2", "5", "10"]
CLASSES = [f"die {i}" for i in range(1, 7)] + [f"card {r}" for r in RANKS] + [f"coin {c}" for c in COINS] + ["domino", "card back", "chip"]
DIE, CARD, COIN, DOMINO, BACK, CHIP = 0, 6, 19, 23, 24, 25

SIZES = [(640, 480), (720, 540), (800, 600), (960, 720), (960, 640), (800, 800), (600, 800), (540, 720)]
PAD = 220  # pixels around the picture that are drawn and cut off again, so that visible shares count what lies outside
NOISE = np.random.default_rng(20260101).standard_normal(1 << 21).astype(np.float32)


# ---------------------------------------------------------------- strokes and small shapes

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


# ---------------------------------------------------------------- geometry

def rot(a):
    return np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])


def hull(p):
    p = sorted(map(tuple, p))
    def half(q):
        o = []
        for v in q:
            while len(o) > 1 and (o[-1][0] - o[-2][0]) * (v[1] - o[-2][1]) - (o[-1][1] - o[-2][1]) * (v[0] - o[-2][0]) <= 0:
                o.pop()
            o.append(v)
        return o[:-1]
    return half(p) + half(p[::-1])


def homography(src, dst):
    """8 numbers that take dst to src, as Image.transform wants them."""
    A, b = np.zeros((8, 8)), np.asarray(src, float).reshape(8)
    for i, ((x, y), (u, v)) in enumerate(zip(dst, src)):
        A[2 * i] = [x, y, 1, 0, 0, 0, -u * x, -u * y]
        A[2 * i + 1] = [0, 0, 0, x, y, 1, -v * x, -v * y]
    return np.linalg.solve(A, b)


CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 36, endpoint=False)), np.sin(np.linspace(0, 2 * np.pi, 36, endpoint=False))], 1)
GRID = np.stack(np.meshgrid(np.linspace(-.8, .8, 5), np.linspace(-.8, .8, 5)), -1).reshape(-1, 2)


class Camera:
    def __init__(self, r, w, h):
        self.w, self.h = w, h
        elev = math.radians(r.uniform(42, 88))
        fov = math.radians(r.uniform(26, 52))
        self.span = math.exp(r.uniform(math.log(16), math.log(52)))  # centimetres across the picture's longer side
        f = max(w, h) / 2 / math.tan(fov / 2)
        dist = self.span / 2 / math.tan(fov / 2)
        c = np.array([0, -math.cos(elev), math.sin(elev)]) * dist
        z = -c / dist
        x = np.array([1.0, 0, 0])
        y = np.cross(z, x)
        R = np.stack([x, y, z])
        roll = rot(r.uniform(-.25, .25))
        R[:2] = roll @ R[:2]
        K = np.array([[f, 0, w / 2 + PAD], [0, f, h / 2 + PAD], [0, 0, 1]])
        self.P = K @ np.concatenate([R, (-R @ c)[:, None]], 1)
        self.eye = c
        self.back = np.linalg.inv(self.P[:, [0, 1, 3]])

    def __call__(self, p, z=None):
        p = np.asarray(p, float)
        if z is not None:
            p = np.concatenate([p, np.full((len(p), 1), z)], 1)
        q = p @ self.P[:, :3].T + self.P[:, 3]
        return q[:, :2] / q[:, 2:]

    def ground(self, u, v):
        q = self.back @ [u + PAD, v + PAD, 1]
        return q[:2] / q[2]

    def scale(self, x, y):
        """Pixels per centimetre near a point of the table."""
        p = self(np.array([(x, y), (x + .5, y)]), 0)
        return 2 * float(np.hypot(*(p[1] - p[0])))


class Scene:
    def __init__(self, seed):
        r = self.r = np.random.default_rng(seed)
        self.w, self.h = SIZES[int(r.integers(len(SIZES)))]
        self.W, self.H = self.w + 2 * PAD, self.h + 2 * PAD
        self.cam = Camera(r, self.w, self.h)
        self.ids = np.zeros((self.H, self.W), np.int16)
        self.things = [None]
        a = r.uniform(0, 2 * math.pi)
        self.light = np.array([math.cos(a), math.sin(a)]) * r.uniform(.15, 1.2)  # shadow offset for a centimetre of height
        self.dark, self.soft = r.uniform(.25, .7), r.uniform(.6, 3.5)
        self.ambient = r.uniform(.45, .75)
        self.solid = []  # footprints (x, y, radius) of what stands on the table
        self.canvas = self.table()

    def table(self):
        r, t = self.r, surface(self.r)
        c = [self.cam.ground(u, v) for u, v in ((-9, -9), (self.w + 9, -9), (self.w + 9, self.h + 9), (-9, self.h + 9))]
        lo, hi = np.min(c, 0), np.max(c, 0)
        side = max(hi - lo)
        q = np.array([lo, (lo[0] + side, lo[1]), (lo[0] + side, lo[1] + side), (lo[0], lo[1] + side)])
        if r.random() < .5:
            q = np.roll(q, 1, 0)
        k = homography([(0, 0), (t.width, 0), (t.width, t.height), (0, t.height)], self.cam(q, 0) - PAD)
        out = Image.new("RGB", (self.W, self.H))
        out.paste(t.transform((self.w, self.h), Image.PERSPECTIVE, k, Image.BILINEAR), (PAD, PAD))
        return out

    # -- drawing

    def bounds(self, p, grow=2):
        x0, y0 = np.floor(np.min(p, 0)).astype(int) - grow
        x1, y1 = np.ceil(np.max(p, 0)).astype(int) + grow
        x0, y0, x1, y1 = max(0, x0), max(0, y0), min(self.W, x1), min(self.H, y1)
        return (x0, y0, x1, y1) if x1 > x0 + 1 and y1 > y0 + 1 else None

    def warp(self, im, quad, box):
        """The picture `im` with its corners at `quad`, on the patch `box`."""
        quad = quad - [box[0], box[1]]
        e = np.hypot(*(np.roll(quad, -1, 0) - quad).T)
        k = int(min(im.width / max(e[0], e[2], 1), im.height / max(e[1], e[3], 1)) / 1.05)
        if k > 1:
            im = im.reduce(k)
        c = homography([(0, 0), (im.width, 0), (im.width, im.height), (0, im.height)], quad)
        return im.transform((box[2] - box[0], box[3] - box[1]), Image.PERSPECTIVE, c, Image.BILINEAR)

    def polygon(self, p, box, ss=3, blur=0.0):
        w, h = box[2] - box[0], box[3] - box[1]
        m = Image.new("L", (w * ss, h * ss), 0)
        ImageDraw.Draw(m).polygon([((x - box[0]) * ss, (y - box[1]) * ss) for x, y in p], fill=255)
        if blur:  # rounds the corners: blur, then steepen
            m = m.filter(ImageFilter.GaussianBlur(blur * ss)).point(lambda v: max(0, min(255, (v - 128) * 4 + 128)))
        return m.reduce(ss)

    def shadow(self, points, strength=1.0):
        s = self.cam.scale(*self.cam.ground(self.w / 2, self.h / 2))
        blur = float(max(.8, self.soft * s / 22))
        q = self.cam(points)
        b = self.bounds(q, int(3 * blur) + 2)
        if b:
            m = self.polygon(hull(q), b, 1).filter(ImageFilter.GaussianBlur(blur))
            k = self.dark * strength
            self.canvas.paste((8, 8, 14), b[:2], m.point(lambda v: int(v * k)))

    def fall(self, base, height):
        """Outline of base (n by 2) at z = 0 and of its shadow from that height."""
        both = np.concatenate([base, base + self.light * height])
        return np.concatenate([both, np.zeros((len(both), 1))], 1)

    def lay(self, label, rgb, alpha, box, evidence=(), least=.3, shadow=None, strength=1.0):
        """Put a patch on the picture, unless that leaves it or anything under it ambiguous."""
        mask = np.asarray(alpha) > 127
        area = int(mask.sum())
        if area < 12:
            return False
        k = len(self.things)
        view = self.ids[box[1]:box[3], box[0]:box[2]]
        old = view[mask]
        view[mask] = k
        self.things.append(dict(label=label, box=box, area=area, evidence=evidence, least=least))
        if not all(self.clear(j) for j in set(np.unique(old).tolist()) - {0} | {k}):
            view[mask] = old
            self.things.pop()
            return False
        if shadow is not None:
            self.shadow(shadow, strength)
        self.canvas.paste(rgb, box[:2], alpha)
        return True

    def seen(self, j):
        """Share of thing j that is visible inside the picture, and the mask of it, with its offset."""
        x0, y0, x1, y1 = self.things[j]["box"]
        x0, y0, x1, y1 = max(x0, PAD), max(y0, PAD), min(x1, PAD + self.w), min(y1, PAD + self.h)
        if x1 <= x0 or y1 <= y0:
            return 0.0, None, 0, 0
        m = self.ids[y0:y1, x0:x1] == j
        return m.sum() / self.things[j]["area"], m, x0 - PAD, y0 - PAD

    def clear(self, j):
        t = self.things[j]
        if t["label"] is None:
            return True
        share = self.seen(j)[0]
        if share < .03:
            return j != len(self.things) - 1  # a thing may be buried by a later one, but not laid down unseen
        if share < t["least"]:
            return False
        for p in t["evidence"]:
            x, y = np.round(p - .5).astype(int).T
            inside = (x >= PAD) & (y >= PAD) & (x < PAD + self.w) & (y < PAD + self.h)
            if inside.mean() > .9 and (self.ids[y[inside], x[inside]] == j).sum() / len(p) > .88:
                return True
        return not t["evidence"]

    # -- things

    def flat(self, label, im, w, h, x, y, a, z=0.0, evidence=(), least=.3, lift=.06, strength=.8):
        """A sheet of w by h centimetres (plus its texture's margin) at (x, y), turned by a."""
        m = MARGIN * max(w, h)
        R = rot(a)
        c = np.array([(-1, 1), (1, 1), (1, -1), (-1, -1)])
        quad = self.cam(c * [w / 2 + m, h / 2 + m] @ R.T + [x, y], z)
        box = self.bounds(quad, 1)
        if not box:
            return False
        p = self.warp(im, quad, box)
        e = [self.cam(v * [1, -1] @ R.T + [x, y], z) for v in evidence]
        outline = (c * [w / 2, h / 2]) @ R.T + [x, y]
        return self.lay(label, p.convert("RGB"), p.getchannel("A"), box, e, least, self.fall(outline, lift + z), strength)

    def card(self, x, y, a, rank=None, face=True):
        r, k = self.r, self.decks[int(self.r.integers(len(self.decks)))]
        if not face:
            return self.flat(BACK, card_back(k), CARD_W, CARD_H, x, y, a, least=.35)
        rank = int(r.integers(13)) if rank is None else rank
        im, (cx, cy, h) = card_face(RANKS[rank], str(r.choice(list(SUITS))), k, r)
        g = GRID * [.5, h / 2] + [cx, cy]
        return self.flat(CARD + rank, im, CARD_W, CARD_H, x, y, a, evidence=(g, -g), least=.4)

    def thick_disc(self, label, im, radius, height, x, y, z0, edge, evidence=(), least=.3):
        cam, a = self.cam, self.r.uniform(0, 2 * math.pi)
        R = rot(a)
        top, low = cam(CIRCLE * radius + [x, y], z0 + height), cam(CIRCLE * radius + [x, y], z0)
        both = np.concatenate([top, low])
        box = self.bounds(both, 2)
        if not box:
            return False
        m = radius * 2 * MARGIN
        quad = cam(np.array([(-1, 1), (1, 1), (1, -1), (-1, -1)]) * (radius + m) @ R.T + [x, y], z0 + height)
        p = self.warp(im, quad, box)
        alpha = self.polygon(hull(both), box)
        rgb = Image.new("RGB", p.size, edge)
        rgb.paste(p, (0, 0), p.getchannel("A"))
        e = [cam(v * [1, -1] @ R.T + [x, y], z0 + height) for v in evidence]
        return self.lay(label, rgb, alpha, box, e, least, self.fall(CIRCLE * radius + [x, y], height + z0), 1.0)

    def coin(self, x, y, value=None, z=0.0):
        r = self.r
        v = int(r.integers(4)) if value is None else value
        radius = [.98, 1.12, 1.26, 1.4][v] * r.uniform(.92, 1.1)
        im = coin(COINS[v], r, self.decks[0])
        return self.thick_disc(COIN + v, im, radius, .2, x, y, z, scale(im.getpixel((im.width // 2, 16))[:3], .55), (GRID * radius * .5,), .5)

    def chip(self, x, y, z=0.0):
        im = chip(self.r)
        return self.thick_disc(CHIP, im, self.r.uniform(1.75, 2.05), .33, x, y, z, scale(im.getpixel((im.width // 2, im.height // 2))[:3], .7), (), .4)

    def block(self, label, faces, sx, sy, sz, x, y, a, round_=.1, evidence=(), least=.35, z=0.0):
        """A box standing on the table; faces: top, then the sides +x, +y, -x, -y."""
        cam, R = self.cam, rot(a)
        c = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * [sx / 2, sy / 2] @ R.T + [x, y]
        low, top = cam(c, z), cam(c, z + sz)
        both = np.concatenate([low, top])
        box = self.bounds(both, 2)
        if not box:
            return False
        px = cam.scale(x, y)
        alpha = self.polygon(hull(both), box, 3, round_ * px * .45)
        edge = scale(faces[0].getpixel((2, 2)), .93)
        rgb = Image.new("RGB", (box[2] - box[0], box[3] - box[1]), edge)
        to = cam.eye[:2] - [x, y]
        order = [(1, 2), (2, 3), (3, 0), (0, 1)]
        for s, (i, j) in enumerate(order):
            n = R @ [(1, 0), (0, 1), (-1, 0), (0, -1)][s]
            out = c[i] / 2 + c[j] / 2 - [x, y]
            if n @ (to - out) <= 0:
                continue
            lit = self.ambient * (1 - .35 * float(n @ self.light) / (1e-6 + np.hypot(*self.light)))
            self.face(rgb, faces[1 + s], np.array([top[i], top[j], low[j], low[i]]), box, lit, round_)
        self.face(rgb, faces[0], np.array([top[3], top[2], top[1], top[0]]), box, 1.0, round_)
        e = [cam(v * [sx / 2, sy / 2] @ R.T + [x, y], z + sz) for v in evidence]
        return self.lay(label, rgb, alpha, box, e, least, self.fall(c, sz), 1.0)

    def face(self, rgb, im, quad, box, lit, round_):
        """One side of a block, its rim a little lighter or darker, its corners round."""
        im = im.point(lambda v: int(v * lit))
        n = Image.new("L", im.size, 0)
        ImageDraw.Draw(n).rounded_rectangle([1, 1, im.width - 2, im.height - 2], min(im.size) * round_ * 1.4, fill=255)
        rim = Image.new("RGB", im.size, scale(im.getpixel((2, 2)), 1.12 if lit == 1.0 else .9))
        rim.paste(im, (0, 0), n)
        rim.putalpha(255)
        # a face fills its quad exactly; half a pixel more closes the seam to its neighbours
        mid = quad.mean(0)
        g = quad + (quad - mid) / (np.hypot(*(quad - mid).T)[:, None] + 1e-6) * .8
        p = self.warp(rim, g, box)
        rgb.paste(p, (0, 0), p.getchannel("A"))

    def die(self, x, y):
        r = self.r
        s = r.uniform(1.45, 2.2)
        if not self.room(x, y, s * .72):
            return False
        n, style = int(r.integers(1, 7)), self.dice[int(r.integers(len(self.dice)))]
        side = {1: [2, 3, 5, 4], 2: [1, 4, 6, 3], 3: [1, 2, 6, 5], 4: [1, 5, 6, 2], 5: [1, 3, 6, 4], 6: [2, 4, 5, 3]}[n]
        side = list(np.roll(side, int(r.integers(4))))
        f = lambda k: die_face(k, style["body"], style["ink"], r, style["spread"], style["size"]).rotate(90 * int(r.integers(4)))
        faces = [f(n)] + [f(int(k)) for k in side]
        if self.block(DIE + n - 1, faces, s, s, s, x, y, r.uniform(0, 2 * math.pi), style["round"], (GRID,), .45):
            self.solid.append((x, y, s * .72))
            return True
        return False

    def domino(self, x, y):
        r = self.r
        w = r.uniform(2.1, 2.6)
        if not self.room(x, y, w * .8):
            return False
        body, ink, line = self.bones
        im = domino_face(int(r.integers(7)), int(r.integers(7)), body, ink, line)
        plain = Image.new("RGB", (32, 16), body)
        if self.block(DOMINO, [im] + [plain] * 4, w, 2 * w, w * r.uniform(.3, .45), x, y, r.uniform(0, 2 * math.pi), .08, (), .45):
            self.solid.append((x, y, w * .9))
            return True
        return False

    def room(self, x, y, radius):
        return all(math.hypot(x - u, y - v) > radius + q for u, v, q in self.solid)

    # -- clutter: none of it has a class

    def paper(self, x, y):
        r = self.r
        w, h = r.uniform(6, 20), r.uniform(5, 15)
        tone = tuple(int(v) for v in np.clip(r.uniform(180, 250) + r.uniform(-25, 10, 3), 0, 255))
        ppc = 18
        im, m = sheet(w, h, ppc, tone, .02)
        d = ImageDraw.Draw(im)
        ink = hsv(r.random(), r.uniform(0, .8), r.uniform(.1, .5))
        if r.random() < .4:
            for yy in np.arange(m + 12, im.height - m - 6, 13):
                d.line([(m, yy), (im.width - m, yy)], fill=scale(tone, .85), width=1)
        s, glyphs = r.uniform(.3, 1.4) * ppc, SCRIBBLE + list(GLYPHS.values())
        if r.random() < .8:
            for yy in np.arange(m + s, im.height - m - 1.5 * s, 1.5 * s):
                if r.random() < .25:
                    continue
                xx, end = m + s, im.width - m - 2 * s - r.uniform(0, .5) * im.width
                while xx < end:
                    g = glyphs[int(r.integers(len(glyphs)))]
                    if r.random() < .83:
                        stroke(d, g if isinstance(g[0], list) else [g], xx, yy, s * .6, s, max(1, s * .1), ink)
                    xx += s * .85
        return self.flat(None, im, w, h, x, y, r.uniform(0, 6.3))

    def business_card(self, x, y):
        r = self.r
        tone = hsv(r.random(), r.uniform(0, .25), r.uniform(.75, 1))
        im, m = sheet(5.5, 8.5, 20, tone, r.choice([.05, .35]))
        d, ink = ImageDraw.Draw(im), hsv(r.random(), r.uniform(.3, 1), r.uniform(.1, .7))
        for _ in range(int(r.integers(1, 5))):
            a, b = r.uniform(m + 10, im.width - m - 40), r.uniform(m + 10, im.height - m - 30)
            d.rectangle([a, b, a + r.uniform(10, 40), b + r.uniform(2, 22)], fill=ink)
        return self.flat(None, im, 5.5, 8.5, x, y, r.uniform(0, 6.3))

    def stick(self, x, y):
        """Pens, pencils, matches."""
        r = self.r
        w, l = r.choice([(.9, 13.5), (.7, 17.0), (.25, 4.5)])
        if not self.room(x, y, .8):
            return False
        ppc = 26
        col = hsv(r.random(), r.uniform(.1, 1), r.uniform(.15, .95))
        im = Image.new("RGB", (max(8, int(w * ppc)), int(l * ppc)), col)
        d = ImageDraw.Draw(im)
        d.rectangle([0, 0, im.width, int(im.height * r.uniform(.04, .4))], fill=hsv(r.random(), r.uniform(0, 1), r.uniform(.1, .9)))
        d.rectangle([0, int(im.height * .93), im.width, im.height], fill=hsv(r.random(), r.uniform(0, .5), r.uniform(.1, .9)))
        g = np.sin(np.linspace(.25, 2.9, im.width)) ** .7 * r.uniform(.9, 1.2)
        im = Image.fromarray(np.clip(np.asarray(im, np.float32) * g[None, :, None], 0, 255).astype(np.uint8))
        m = int(MARGIN * l * ppc)
        big = Image.new("RGBA", (im.width + 2 * m, im.height + 2 * m), col + (0,))
        big.paste(im, (m, m))
        return self.flat(None, big, w, l, x, y, r.uniform(0, 6.3), z=w / 2, lift=w / 2)

    def button(self, x, y):
        r = self.r
        col = hsv(r.random(), r.uniform(0, 1), r.uniform(.15, .95))
        im, m, R = disc(col)
        d, c = ImageDraw.Draw(im), im.width / 2
        ring(d, c, R * .95, scale(col, 1.2), 5)
        ring(d, c, R * .7, scale(col, .8), 4)
        for i in range(n := int(r.choice([0, 2, 4]))):
            t = i * 2 * math.pi / n
            circle(d, c + R * .25 * math.cos(t), c + R * .25 * math.sin(t), R * .11, fill=scale(col, .3))
        if r.random() < .3:
            im = metallic(im, r)
        return self.thick_disc(None, disc_alpha(im, m), r.uniform(.7, 1.7), .25, x, y, 0, scale(col, .6))

    def coaster(self, x, y):
        r = self.r
        col = hsv(r.random(), r.uniform(.1, .8), r.uniform(.2, .9))
        im, m, R = disc(col)
        d, c = ImageDraw.Draw(im), im.width / 2
        for q in r.uniform(.2, .95, int(r.integers(1, 4))):
            ring(d, c, R * q, hsv(r.random(), r.uniform(.1, .8), r.uniform(.2, .9)), int(r.integers(2, 9)))
        return self.thick_disc(None, disc_alpha(im, m), r.uniform(4, 5.5), .3, x, y, 0, scale(col, .6))

    def marble(self, x, y):
        r, q = self.r, self.r.uniform(.6, 1.1)
        if not self.room(x, y, q):
            return False
        p = self.cam(np.array([(x, y)]), q)[0]
        rad = q * self.cam.scale(x, y)
        box = self.bounds(p + CIRCLE * rad, 2)
        if not box:
            return False
        yy, xx = np.mgrid[box[1]:box[3], box[0]:box[2]] + .5
        u, v = (xx - p[0]) / rad, (yy - p[1]) / rad
        d = np.sqrt(u * u + v * v)
        col = np.array(hsv(r.random(), r.uniform(.2, 1), r.uniform(.3, .95)), np.float32)
        lx, ly = -self.light / (np.hypot(*self.light) + 1e-6) * .4
        f = np.clip(1.15 - .75 * np.hypot(u - lx, v + ly), .15, 1.3)[..., None]
        spot = np.exp(-((u - lx) ** 2 + (v + ly) ** 2) / .02)[..., None] * 200
        rgb = Image.fromarray(np.clip(col * f + spot, 0, 255).astype(np.uint8))
        alpha = Image.fromarray((np.clip((1 - d) * rad + .5, 0, 1) * 255).astype(np.uint8))
        if self.lay(None, rgb, alpha, box, shadow=self.fall(CIRCLE * q * .85 + [x, y], q)):
            self.solid.append((x, y, q))
            return True
        return False

    def plain_block(self, x, y):
        r = self.r
        s = r.uniform(1.2, 2.6, 3)
        if not self.room(x, y, max(s[:2]) * .72):
            return False
        col = hsv(r.random(), r.uniform(0, .9), r.uniform(.2, .95))
        im = Image.new("RGB", (24, 24), col)
        if self.block(None, [im] * 5, s[0], s[1], s[2] * r.uniform(.4, 1), x, y, r.uniform(0, 6.3), r.uniform(.02, .15)):
            self.solid.append((x, y, max(s[:2]) * .72))
            return True
        return False

    def cup(self, x, y):
        r = self.r
        q, h, flare = r.uniform(2.8, 4.2), r.uniform(3, 8), r.uniform(1, 1.25)
        if not self.room(x, y, q * flare):
            return False
        low, top = self.cam(CIRCLE * q + [x, y], 0), self.cam(CIRCLE * q * flare + [x, y], h)
        both = np.concatenate([low, top])
        box = self.bounds(both, 2)
        if not box:
            return False
        col = np.array(hsv(r.random(), r.uniform(0, .7), r.uniform(.3, 1)), np.float32)
        w, hh = box[2] - box[0], box[3] - box[1]
        g = np.sin(np.linspace(.3, 2.8, w)) * r.uniform(.7, 1.05) + np.linspace(-.15, .15, w) * r.choice([-1, 1])
        rgb = Image.fromarray(np.clip(np.broadcast_to(col * g[:, None], (hh, w, 3)), 0, 255).astype(np.uint8))
        for k, c in ((1.0, scale(col, 1.05)), (.92, scale(col, .6)), (.88, hsv(r.uniform(.03, .12), r.uniform(.2, .9), r.uniform(.1, .8)))):
            p = self.cam(CIRCLE * q * flare * k + [x, y], h if k > .9 else h * .88)
            rgb.paste(tuple(int(v) for v in c), (0, 0), self.polygon(p, box))
        if self.lay(None, rgb, self.polygon(hull(both), box), box, shadow=self.fall(CIRCLE * q + [x, y], h)):
            self.solid.append((x, y, q * flare))
            return True
        return False

    # -- composition

    def spot(self, far=1.05):
        r = self.r
        return self.cam.ground((r.uniform(-far, far) + 1) / 2 * self.w, (r.uniform(-far, far) + 1) / 2 * self.h)

    def compose(self):
        r = self.r
        self.decks = [deck(r) for _ in range(int(r.integers(1, 3)))]
        self.bones = [((235, 228, 205), (25, 25, 30), (90, 80, 60)), ((28, 28, 32), (240, 240, 235), (150, 150, 150)), ((150, 100, 60), (30, 20, 15), (60, 40, 20)), ((30, 60, 130), (245, 245, 250), (200, 200, 220)), ((250, 250, 250), (180, 20, 30), (120, 120, 120))][int(r.integers(5))]
        self.dice = []
        for _ in range(int(r.integers(1, 5))):
            dark = r.random() < .55
            body = hsv(r.random(), r.uniform(.4, 1), r.uniform(.12, .7)) if dark else hsv(r.uniform(.05, .2), r.uniform(0, .35), r.uniform(.75, 1))
            ink = (245, 242, 235) if dark else (hsv(r.random(), r.uniform(0, 1), r.uniform(.03, .3)))
            self.dice.append(dict(body=body, ink=ink, spread=r.uniform(.23, .29), size=r.uniform(.075, .115), round=r.uniform(.06, .2)))
        room = .55 + .75 * (self.cam.span / 26) ** 1.35
        n = lambda lo, hi: int(round(r.uniform(lo, hi) * room))
        for f, p, k in ((self.paper, .45, 2), (self.coaster, .25, 1), (self.business_card, .25, 1)):
            if r.random() < p:
                for _ in range(int(r.integers(1, k + 1))):
                    f(*self.spot())
        for _ in range(n(.3, 3.2)):
            kind = r.random()
            x, y = self.spot()
            a = r.uniform(-.5, .5) if r.random() < .6 else r.uniform(0, 2 * math.pi)
            if kind < .22:  # a fan held at its foot
                m, step, reach = int(r.integers(2, 6)), r.uniform(.24, .45), r.uniform(8, 13)
                for i in range(m):
                    t = a + (m / 2 - i) * step
                    self.card(*(np.array([x, y]) + rot(t) @ [0, reach] - rot(a) @ [0, reach]), t)
            elif kind < .42:  # a column, each card below the last
                m, step = int(r.integers(2, 5)), r.uniform(3.6, 5.6)
                for i in range(m):
                    self.card(*(np.array([x, y]) + rot(a) @ [r.uniform(-.2, .2), -i * step]), a + r.uniform(-.06, .06))
            else:
                for i in range(int(r.integers(1, 4))):
                    self.card(*(np.array([x, y]) + r.uniform(-6, 6, 2) * (i > 0)), a + r.uniform(-.8, .8), face=r.random() > .12)
        small = []
        for _ in range(n(0, 3.4)):
            x, y = self.spot()
            for i in range(int(r.choice([1, 1, 2, 4]))):
                small.append((self.coin, *(np.array([x, y]) + r.uniform(-2.6, 2.6, 2) * (i > 0))))
        for f, hi in ((self.chip, 1.6), (self.button, 1.5)):
            small += [(f, *self.spot()) for _ in range(n(0, hi))]
        for i in r.permutation(len(small)):
            f, x, y = small[i]
            if self.big_enough(x, y):
                f(x, y)
        tall = []
        for _ in range(n(0, 3.2)):
            x, y = self.spot()
            for i in range(int(r.choice([1, 1, 2, 3, 5]))):
                tall.append((self.die, *(np.array([x, y]) + r.uniform(-4.5, 4.5, 2) * (i > 0))))
        for f, hi in ((self.domino, 1.7), (self.stick, 1.3), (self.marble, .8), (self.plain_block, 1.0), (self.cup, .55)):
            tall += [(f, *self.spot(1.15)) for _ in range(n(0, hi))]
        for f, x, y in sorted(tall, key=lambda t: -t[2]):
            if self.big_enough(x, y):
                f(x, y)

    def big_enough(self, x, y):
        return self.cam.scale(x, y) * 640 / max(self.w, self.h) > 11

    def boxes(self):
        out = []
        for j in range(1, len(self.things)):
            t = self.things[j]
            if t["label"] is None:
                continue
            share, m, x, y = self.seen(j)
            if share < .03:
                continue
            c, q = np.flatnonzero(m.any(0)), np.flatnonzero(m.any(1))
            out.append((t["label"], int(x + c[0]), int(y + q[0]), int(x + c[-1] + 1), int(y + q[-1] + 1), int(m.sum())))
        return out

    def photograph(self):
        """Light, lens, sensor, JPEG. Returns the JPEG's bytes."""
        r, w, h = self.r, self.w, self.h
        im = self.canvas.crop((PAD, PAD, PAD + w, PAD + h))
        yy, xx = np.linspace(-1, 1, h, dtype=np.float32)[:, None], np.linspace(-1, 1, w, dtype=np.float32)[None]
        a = r.uniform(0, 6.3)
        f = 1 + r.uniform(0, .38) * (xx * math.cos(a) + yy * math.sin(a)) - r.uniform(0, .22) * (xx * xx + yy * yy)
        if r.random() < .35:
            cx, cy = r.uniform(-1, 1, 2)
            f = f + r.uniform(.1, .5) * np.exp(-((xx - cx) ** 2 + (yy - cy) ** 2) / r.uniform(.1, .8))
        if r.random() < .2:  # a window's or a head's shadow across the table
            d = xx * math.cos(a + 1) + yy * math.sin(a + 1) - r.uniform(-.6, .6)
            f = f * (1 - r.uniform(.15, .5) / (1 + np.exp(np.clip(-d * r.uniform(8, 60), -30, 30))))
        tone = (r.uniform(.86, 1.14, 3) * r.uniform(.6, 1.25)).astype(np.float32)  # exposure and white balance
        gamma = r.uniform(.8, 1.25)
        im = im.point([round(255 * (v / 255) ** gamma) for v in range(256)] * 3)
        blur = float(r.choice([0, 0, 1, 1, 2]) * r.uniform(.25, .85) * max(w, h) / 800)
        if blur > .2:
            im = im.filter(ImageFilter.GaussianBlur(blur))
        x = np.asarray(im, np.float32)
        if r.random() < .25:  # the camera moved
            n, t = int(r.integers(2, 4)), r.uniform(0, 6.3)
            dx, dy = math.cos(t) * r.uniform(.4, 1.3), math.sin(t) * r.uniform(.4, 1.3)
            s = [(round(i * dx), round(i * dy)) for i in range(-n // 2 + 1, n // 2 + 1)]
            x = sum(np.roll(x, v[::-1], (0, 1)) for v in s) / len(s)
        x = x * (f[..., None] * tone)
        contrast = np.float32(r.uniform(.75, 1.12))
        x = (x - 128) * contrast + np.float32(128 + r.uniform(-8, 14))
        noise = np.float32(r.uniform(.5, 5) if r.random() < .7 else r.uniform(5, 13))
        o, step = int(r.integers(1 << 20)), w * h
        g = np.resize(NOISE[o:], step).reshape(h, w, 1)
        o = int(r.integers(1 << 19))
        c = np.resize(NOISE[o:], step * 3).reshape(h, w, 3)
        x = x + (g * np.float32(.8) + c * np.float32(.6)) * (noise * np.float32(.6) + noise * np.float32(.025) * np.sqrt(np.maximum(x, 0)))
        out = io.BytesIO()
        im = Image.fromarray(np.clip(x + .5, 0, 255).astype(np.uint8))
        if r.random() < .3:
            im = im.filter(ImageFilter.UnsharpMask(1.2, int(r.integers(40, 160)), 2))
        im.save(out, "JPEG", quality=int(r.integers(38, 93)), subsampling=int(r.choice([0, 2, 2])))
        return out.getvalue()


def scene(seed):
    """JPEG bytes, width, height and a list of (class, x0, y0, x1, y1, visible pixels)."""
    s = Scene(seed)
    s.compose()
    return s.photograph(), s.w, s.h, s.boxes()


# ---------------------------------------------------------------- the set on disk

def _one(job):
    seed, path = job
    jpeg, w, h, boxes = scene(seed)
    with open(path, "wb") as f:
        f.write(jpeg)
    return seed, w, h, boxes


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("out")
    a.add_argument("--first", type=int, default=0, help="seed of the first scene")
    a.add_argument("--count", type=int, default=100)
    a.add_argument("--workers", type=int, default=1)
    o = a.parse_args()
    os.makedirs(os.path.join(o.out, "images"), exist_ok=True)
    jobs = [(s, os.path.join(o.out, "images", f"{s:06d}.jpg")) for s in range(o.first, o.first + o.count)]
    if o.workers > 1:
        from multiprocessing import Pool
        with Pool(o.workers) as pool:
            rows = list(pool.imap(_one, jobs, 8))
    else:
        rows = list(map(_one, jobs))
    images, notes = [], []
    for i, (seed, w, h, boxes) in enumerate(rows):
        images.append(dict(id=i + 1, file_name=f"{seed:06d}.jpg", width=w, height=h))
        for c, x0, y0, x1, y1, area in boxes:
            notes.append(dict(id=len(notes) + 1, image_id=i + 1, category_id=c + 1, bbox=[x0, y0, x1 - x0, y1 - y0], area=area, iscrowd=0))
    with open(os.path.join(o.out, "instances.json"), "w") as f:
        json.dump(dict(info=dict(description=f"tabletop scenes, seeds {o.first} to {o.first + o.count - 1}"), images=images, annotations=notes,
                       categories=[dict(id=i + 1, name=n, supercategory=n.split()[0]) for i, n in enumerate(CLASSES)]), f, separators=(",", ":"))


if __name__ == "__main__":
    main()
