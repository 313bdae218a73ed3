# SPDX-License-Identifier: Apache-2.0
"""D-FINE's training loss, all decoder layers and all pictures of a batch at once.

The terms and weights are the paper's (varifocal, L1, generalised IoU, fine-grained localisation, decoupled distillation focal;
box terms on the union of all layers' matches). transformers 5.23 has the same terms but pairs the outputs before the first
refinement with the first refinement's distributions, and leaves the last layer without the localisation term; it also loops over
pictures and layers, which costs more time than the network does. Here the matching costs of every layer go to the host in one
copy and everything else is dense.
"""
import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment


def corners(b):
    return torch.cat([b[..., :2] - b[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2], -1)


def overlap(a, b):
    """IoU and generalised IoU of boxes (x0, y0, x1, y1), elementwise with broadcasting."""
    lo, hi = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    inner = (hi - lo).clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inner
    iou = inner / union.clamp(min=1e-9)
    outer = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    return iou, iou - (outer - union) / outer.clamp(min=1e-9)


def bins(n, up, scale, device):
    """The weighting function W(n) of the paper: n + 1 offsets, fine in the middle and coarse outside."""
    top = up * scale
    step = (top + 1) ** (2 / (n - 2))
    left = [1 - step ** i for i in range(n // 2 - 1, 0, -1)]
    return torch.tensor([-2 * top] + left + [0.0] + [-v for v in left[::-1]] + [2 * top], device=device)


class Criterion:
    def __init__(self, config):
        self.c = config

    def cost(self, logits, boxes, labels, truth):
        """[B, S, Q, M]: what it costs to give target m to query q."""
        c = self.c
        p = logits.sigmoid().gather(-1, labels[:, None, None, :].expand(*logits.shape[:3], -1))
        kind = c.matcher_alpha * (1 - p) ** c.matcher_gamma * -(p + 1e-8).log() - (1 - c.matcher_alpha) * p ** c.matcher_gamma * -(1 - p + 1e-8).log()
        q, t = boxes[..., None, :], truth[:, None, None]
        return c.matcher_class_cost * kind + c.matcher_bbox_cost * (q - t).abs().sum(-1) - c.matcher_giou_cost * overlap(corners(q), corners(t))[1]

    @torch.no_grad()
    def match(self, logits, boxes, labels, truth, count):
        """For each layer its own matches [B, S, Q], and the union of all layers' [B, Q]; -1 where a query has no target."""
        cost = torch.nan_to_num(self.cost(logits, boxes, labels, truth), nan=1e6, posinf=1e6, neginf=-1e6).transpose(2, 3).contiguous().cpu().numpy()
        B, S, M, Q = cost.shape
        own, votes = np.full((B, S, Q), -1, np.int64), np.zeros((B, Q, M), np.int8)
        for b in range(B):
            n = count[b]
            if n:
                for s in range(S):
                    m, q = linear_sum_assignment(cost[b, s, :n])
                    own[b, s, q] = m
                    votes[b, q, m] += 1
        union = np.where(votes.any(-1), votes.argmax(-1), -1)
        return own, union

    def classes(self, logits, iou, target, labels):
        """Varifocal loss, summed. target [B, S, Q] picks a target or is -1; iou is that of the matched pair."""
        c = self.c
        hit = target >= 0
        label = labels[:, None].expand(-1, target.shape[1], -1).gather(2, target.clamp(min=0))
        one = F.one_hot(label, c.num_labels).to(logits.dtype) * hit[..., None]
        goal = one * iou.detach()[..., None]
        weight = c.focal_loss_alpha * logits.detach().sigmoid().pow(c.focal_loss_gamma) * (1 - one) + goal
        return F.binary_cross_entropy_with_logits(logits, goal, weight=weight, reduction="sum")

    def parts(self, logits, boxes, dist, refs, own, union, labels, truth, kinds, pairs, value):
        """One family of queries. dist [B, L, Q, 4, bins] and refs belong to layers 1..L of logits and boxes (0 is before refinement).

        kinds and pairs are the numbers of targets that the class and the box terms are divided by.
        """
        c = self.c
        pick = lambda t: truth[:, None].expand(-1, t.shape[1], -1, -1).gather(2, t.clamp(min=0)[..., None].expand(-1, -1, -1, 4))
        out = {}
        iou = overlap(corners(boxes), corners(pick(own)))[0]
        out["vfl"] = c.weight_loss_vfl * self.classes(logits, iou, own, labels) / kinds
        S = boxes.shape[1]
        u = union[:, None].expand(-1, S, -1)
        hit, goal = (u >= 0).to(boxes.dtype), pick(u)
        iou, giou = overlap(corners(boxes), corners(goal))
        out["bbox"] = c.weight_loss_bbox * ((boxes - goal).abs().sum(-1) * hit).sum() / pairs
        out["giou"] = c.weight_loss_giou * ((1 - giou) * hit).sum() / pairs
        # distributions: the two bins beside the true offset, weighted by how near it is
        L = dist.shape[1]
        hit, goal, iou = hit[:, 1:1 + L], corners(goal[:, 1:1 + L]), iou[:, 1:1 + L].detach()
        r = refs.detach()
        scale = abs(c.reg_scale)
        off = torch.cat([r[..., :2] - goal[..., :2], goal[..., 2:] - r[..., :2]], -1) / (r[..., 2:].repeat(1, 1, 1, 2) / scale + 1e-16) - scale / 2
        n = c.max_num_bins
        left = (torch.bucketize(off, value, right=True) - 1).clamp(0, n - 1)
        lo, hi = value[left], value[left + 1]
        w = ((off - lo) / (hi - lo)).clamp(0, 1)
        logp = dist.log_softmax(-1)
        near = logp.gather(-1, left[..., None])[..., 0] * (1 - w) + logp.gather(-1, left[..., None] + 1)[..., 0] * w
        out["fgl"] = c.weight_loss_fgl * -(near.sum(-1) * hit * iou).sum() / pairs
        # earlier layers learn the last one's distributions
        T = 5.0
        teacher = (dist[:, -1:].detach() / T).softmax(-1)
        kl = F.kl_div((dist[:, :-1] / T).log_softmax(-1), teacher.expand(-1, L - 1, -1, -1, -1), reduction="none").sum(-1)
        sure = logits[:, -1:].detach().sigmoid().amax(-1)
        h = hit[:, :-1]
        kl = kl * (T * T * torch.where(h > 0, iou[:, :-1], sure))[..., None]
        pos, neg = h[:, 0].sum() * 4, (1 - h[:, 0]).sum() * 4
        a, b = (kl * h[..., None]).sum() / pos.clamp(min=1), (kl * (1 - h[..., None])).sum() / neg.clamp(min=1)
        p, q = (pos / len(h)).sqrt(), (neg / len(h)).sqrt()
        out["ddf"] = c.weight_loss_ddf * (a * p + b * q) / (p + q).clamp(min=1e-6)
        return out

    def __call__(self, out, labels, truth, count):
        """out: DFineModel's output in training; labels [B, M], truth [B, M, 4] padded; count: list of numbers of targets."""
        c, dev = self.c, truth.device
        B, M = labels.shape
        logits, boxes = out.intermediate_logits.float(), out.intermediate_reference_points.float().clamp(0, 1)
        dist, refs = out.intermediate_predicted_corners.float().unflatten(-1, (4, c.max_num_bins + 1)), out.initial_reference_points.float()
        value = bins(c.max_num_bins, float(c.up), float(c.reg_scale), dev)
        meta = out.denoising_meta_values
        D = meta["dn_num_split"][0] if meta else 0
        total = max(1, sum(count))
        lq = torch.cat([logits[:, :, D:], out.enc_topk_logits.float()[:, None]], 1)
        bq = torch.cat([boxes[:, :, D:], out.enc_topk_bboxes.float().clamp(0, 1)[:, None]], 1)
        own, union = self.match(lq, bq, labels, truth, count)
        pairs = max(1, int((union >= 0).sum()))
        own, union = torch.from_numpy(own).to(dev, non_blocking=True), torch.from_numpy(union).to(dev, non_blocking=True)
        # the encoder's choice goes last in the class and box terms; the distributions are those of layers 1..L
        terms = self.parts_with_encoder(lq, bq, dist[:, :, D:], refs[:, :, D:], own, union, labels, truth, total, pairs, value)
        if D:
            G = meta["dn_num_group"]
            k = torch.full((B, G, 2, M), -1, dtype=torch.int64)
            for b, n in enumerate(count):
                k[b, :, 0, :n] = torch.arange(n)
            k = k.view(B, -1).to(dev, non_blocking=True)
            dn = self.parts(logits[:, :, :D], boxes[:, :, :D], dist[:, :, :D], refs[:, :, :D], k[:, None].expand(-1, logits.shape[1], -1), k, labels, truth, total * G, total * G, value)
            terms.update({n + "_dn": v for n, v in dn.items()})
        return sum(terms.values()), terms

    def parts_with_encoder(self, logits, boxes, dist, refs, own, union, labels, truth, total, pairs, value):
        c, L = self.c, dist.shape[1]
        # parts() takes layer -1 of logits as the teacher's confidence: hand it the decoder's layers, add the encoder's terms
        t = self.parts(logits[:, :L + 1], boxes[:, :L + 1], dist, refs, own[:, :L + 1], union, labels, truth, total, pairs, value)
        pick = lambda k: truth.gather(1, k.clamp(min=0)[..., None].expand(-1, -1, 4))
        e, b = own[:, L + 1], boxes[:, L + 1]
        iou = overlap(corners(b), corners(pick(e)))[0]
        t["vfl_enc"] = c.weight_loss_vfl * self.classes(logits[:, L + 1:], iou[:, None], e[:, None], labels) / total
        goal, hit = pick(union), (union >= 0).to(b.dtype)
        t["bbox_enc"] = c.weight_loss_bbox * ((b - goal).abs().sum(-1) * hit).sum() / pairs
        t["giou_enc"] = c.weight_loss_giou * ((1 - overlap(corners(b), corners(goal))[1]) * hit).sum() / pairs
        return t
