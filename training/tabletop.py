#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
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
from PIL import Image, ImageDraw, ImageFilter

from textures import (CARD_H, CARD_W, GLYPHS, MARGIN, SCRIBBLE, SUITS, card_back, card_face, chip, circle, coin, deck, die_face, disc, disc_alpha,
                      domino_face, hsv, metallic, ring, scale, sheet, stroke, surface)

RANKS = ["A", "2", "3", "4", "5", "6", "7", "8", "9", "10", "J", "Q", "K"]
COINS = ["1", "2", "5", "10"]
CLASSES = [f"die {i}" for i in range(1, 7)] + [f"card {r}" for r in RANKS] + [f"coin {c}" for c in COINS] + ["domino", "card back", "chip"]
DIE, CARD, COIN, DOMINO, BACK, CHIP = 0, 6, 19, 23, 24, 25

SIZES = [(640, 480), (720, 540), (800, 600), (960, 720), (960, 640), (800, 800), (600, 800), (540, 720)]
PAD = 220  # pixels around the picture that are drawn and cut off again, so that visible shares count what lies outside
NOISE = np.random.default_rng(20260101).standard_normal(1 << 21).astype(np.float32)


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
