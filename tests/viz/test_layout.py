"""The layout: nothing overlaps, wires touch only what they join, frames hold their blocks and no others."""

import random

import pytest

from tinytensor.viz.layout import Block, layout


def made(seed, count=60, grouped=True, reach=12):
    """A random graph: leaves and ops mixed, some of the ops in calls of modules in modules."""
    draw = random.Random(seed)
    blocks, edges, paths = [], [], []
    path = ()
    for index in range(count):
        inputs = draw.randint(1, 3) if index > 2 and draw.random() < 0.7 else 0
        if grouped and draw.random() < 0.3:
            path = tuple(draw.choice("ab") for _ in range(draw.randint(0, 3)))
        height = draw.randint(20, 70)
        blocks.append(
            Block(draw.randint(30, 120), height, [height * (i + 1) / (inputs + 1) for i in range(inputs)], height / 2)
        )
        edges += [(draw.randrange(max(0, index - reach), index), index, place) for place in range(inputs)]
        paths.append(path if inputs else draw.choice([(), None]))
    return blocks, edges, paths


def meet(a, b):
    """Whether two rectangles (x, y, width, height) share more than an edge."""
    slack = 1e-6
    return all(a[i] + slack < b[i] + b[i + 2] and b[i] + slack < a[i] + a[i + 2] for i in (0, 1))


def inside(a, b):
    return all(b[i] <= a[i] + 1e-6 and a[i] + a[i + 2] <= b[i] + b[i + 2] + 1e-6 for i in (0, 1))


def check(blocks, edges, paths):
    placed = layout(blocks, edges, paths)
    boxes = [(x, y, b.width, b.height) for (x, y), b in zip(placed.at, blocks, strict=True)]
    frames = [(f.x, f.y, f.width, f.height) for f in placed.frames]
    whole = (0, 0, placed.width, placed.height)
    assert all(inside(box, whole) for box in boxes + frames)
    for i, box in enumerate(boxes):
        assert not any(meet(box, other) for other in boxes[:i])
    for frame, rectangle in zip(placed.frames, frames, strict=True):
        for path, box in zip(paths, boxes, strict=True):
            member = inside(box, rectangle)
            assert member or not meet(box, rectangle)
            if member and path is not None:
                assert path[: len(frame.path)] == frame.path
        title = (rectangle[0], rectangle[1], rectangle[2], 18)
        assert not any(meet(title, box) for box in boxes)
    for i, frame in enumerate(frames):
        assert all(inside(frame, other) or inside(other, frame) or not meet(frame, other) for other in frames[:i])
    for path, box in zip(paths, boxes, strict=True):
        assert sum(inside(box, frame) for frame in frames) <= 3
        if path:
            assert any(f.path == path and inside(box, r) for f, r in zip(placed.frames, frames, strict=True))
    for source, x0, y0, x1, y1 in placed.pieces:
        assert x0 < x1
        touched = (x0, min(y0, y1), x1 - x0, abs(y1 - y0) + 2e-6)
        assert not any(meet(touched, box) for box in boxes), source
    reached = {}
    for source, x0, y0, x1, y1 in placed.pieces:
        reached.setdefault(source, []).append(((round(x0, 4), round(y0, 4)), (round(x1, 4), round(y1, 4))))
    for source, target, place in edges:
        x, y, width, _ = boxes[source]
        seen = {(round(x + width, 4), round(y + blocks[source].out, 4))}
        for _ in range(len(reached[source])):
            new = {end for start, end in reached[source] if start in seen} - seen
            seen |= new
            if not new:
                break
        end = round(boxes[target][0], 4), round(boxes[target][1] + blocks[target].ins[place], 4)
        assert any(abs(end[0] - p[0]) + abs(end[1] - p[1]) < 1e-3 for p in seen), (source, target)
    return placed


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("grouped", [False, True])
def test_nothing_overlaps_and_every_wire_arrives(seed, grouped):
    check(*made(seed, grouped=grouped))


def test_two_hundred_nodes():
    check(*made(0, count=200, reach=30))


def test_a_chain_is_straight():
    blocks = [Block(40, 20 + 10 * (i % 3), [10 + 5 * (i % 3)] * (i > 0), 10 + 5 * (i % 3)) for i in range(20)]
    placed = check(blocks, [(i, i + 1, 0) for i in range(19)], [()] * 20)
    assert all(abs(y0 - y1) < 1e-6 for _, _, y0, _, y1 in placed.pieces)


def test_crossings_that_can_be_avoided_are():
    blocks = [Block(30, 20, [], 10) for _ in range(6)] + [Block(30, 20, [10], 10) for _ in range(6)]
    placed = check(blocks, [(i, 11 - i, 0) for i in range(6)], [()] * 12)
    assert all(abs(y0 - y1) < 1e-6 for _, _, y0, _, y1 in placed.pieces)


def test_parameters_stand_before_their_first_use_and_in_its_frame():
    one = [0.0, 20.0]
    blocks = [
        Block(30, 20, [], 10),
        Block(30, 20, [], 10),
        Block(30, 40, one, 20),
        Block(30, 20, [], 10),
        Block(30, 40, one, 20),
    ]
    edges = [(0, 2, 0), (1, 2, 1), (2, 4, 0), (3, 4, 1)]
    placed = check(blocks, edges, [(), None, ("0",), None, ("2",)])
    first, second = placed.frames
    assert (first.path, second.path) == (("0",), ("2",))
    x = [at[0] for at in placed.at]
    assert x[0] < first.x < x[1] < x[2] < first.x + first.width < second.x < x[3] < x[4]


def test_a_weight_used_by_two_calls_is_in_neither_frame():
    blocks = [
        Block(30, 20, [], 10),
        Block(30, 20, [], 10),
        Block(30, 40, [10, 30], 20),
        Block(30, 20, [10], 10),
        Block(30, 40, [10, 30], 20),
    ]
    edges = [(0, 2, 0), (1, 2, 1), (2, 3, 0), (3, 4, 0), (1, 4, 1)]
    placed = check(blocks, edges, [(), None, ("fc",), (), ("fc",)])
    assert [f.path for f in placed.frames] == [("fc",), ("fc",)]
    x, y = placed.at[1]
    assert not any(meet((x, y, 30, 20), (f.x, f.y, f.width, f.height)) for f in placed.frames)


def test_one_block():
    placed = layout([Block(30, 20, [], 10)], [], [()])
    assert (placed.width, placed.height, placed.at, placed.pieces) == (30, 20, [(0, 0)], [])


@pytest.mark.parametrize("edge", [(1, 0, 0), (0, 0, 0), (0, 2, 0)])
def test_edges_go_forward(edge):
    with pytest.raises(ValueError, match=f"from block {edge[0]} to block {edge[1]} of 2"):
        layout([Block(30, 20, [10], 10)] * 2, [edge], [()] * 2)
