// SPDX-License-Identifier: Apache-2.0
// Where the team must meet. Every thread walks the same steps; a thread may run ahead into the next step as long as
// that step touches nothing that an unfinished one still writes or reads: the projections of one attention, the border
// of a buffer and its interior, two branches of a block.
#include "exec/session.h"

// What a step touches of a tensor. A tensor with gaps between its pixels (a slice of a concat) is a set of stripes.
typedef struct extent {
    int64_t begin, end;  // bytes of the workspace, halo included
    int64_t stride;      // bytes between pixels
    int64_t first, last; // the stripe: bytes [first, last) of each pixel, counted from a multiple of the stride
    const cf_tensor *tensor;
} extent;

static extent extent_of(const cf_tensor *t, int64_t offset, int images) {
    int64_t size = cf_dtype_size(t->dtype), before = t->halo * (t->row + t->pixel);
    int64_t after = (images - 1) * t->image + (t->h - 1 + t->halo) * t->row + (t->w - 1 + t->halo) * t->pixel + t->c;
    int64_t stride = t->pixel * size, start = offset % stride;
    return (extent){offset - before * size, offset + after * size, stride, start, start + t->c * size, t};
}

static int overlap(const extent *a, const extent *b) {
    if (a->begin >= b->end || b->begin >= a->end) return 0;
    // Stripes of the same grid that do not meet: two slices of one concat. A stripe that wraps around is taken as all.
    int same_grid = a->stride == b->stride && a->last <= a->stride && b->last <= b->stride;
    return !(same_grid && (a->first >= b->last || b->first >= a->last));
}

typedef struct footprint {
    extent reads[CF_MAX_INPUTS], write;
    int read_count, halo, scratch;
} footprint;

static footprint footprint_of(const cf_step *step, int threads) {
    const cf_problem *problem = &step->problem;
    cf_problem of_team = *problem;
    of_team.threads = threads;
    footprint f = {.read_count = problem->inputs,
                   .halo = problem->op == CF_OP_HALO,
                   .scratch = step->kernel->scratch_size && step->kernel->scratch_size(&of_team) > 0};
    for (int i = 0; i < problem->inputs; i++)
        f.reads[i] = extent_of(&problem->in[i], step->in_offset[i], problem->images);
    f.write = extent_of(&problem->out[0], step->out_offset, problem->images);
    return f;
}

// 1 if two writes share their pixel grid exactly, so that the border of the one is the border of the other.
static int same_buffer(const extent *a, const extent *b) {
    const cf_tensor *s = a->tensor, *t = b->tensor;
    int64_t apart = a->begin - b->begin;
    return s->h == t->h && s->w == t->w && s->halo == t->halo && s->image == t->image && s->row == t->row &&
           s->pixel == t->pixel && s->dtype == t->dtype && apart > -a->stride && apart < a->stride;
}

// 1 if b must not start before a is done. A border and the interior of the same buffer are apart.
static int conflict(const footprint *a, const footprint *b) {
    if (a->scratch && b->scratch) return 1;
    int border_and_inside = a->halo != b->halo && same_buffer(&a->write, &b->write);
    if (overlap(&a->write, &b->write) && !border_and_inside) return 1;
    for (int i = 0; i < b->read_count; i++)
        if (overlap(&a->write, &b->reads[i])) return 1;
    for (int i = 0; i < a->read_count; i++)
        if (overlap(&a->reads[i], &b->write)) return 1;
    return 0;
}

void cf_session_find_barriers(const cf_plan *plan, int threads, uint8_t *waits) {
    int32_t since = 0; // first step that may still run
    for (int32_t i = 0; i < plan->step_count; i++) {
        footprint mine = footprint_of(&plan->steps[i], threads);
        waits[i] = 0;
        for (int32_t k = since; k < i && !waits[i]; k++) {
            footprint other = footprint_of(&plan->steps[k], threads);
            waits[i] = (uint8_t)conflict(&other, &mine);
        }
        if (waits[i]) since = i;
    }
}
