"""Where the parts of a graph stand in its picture: in columns, from left to right, by layers (Sugiyama, Tagawa and Toda 1981).

Nothing overlaps by construction: a block has its column's place to itself, wires bend only between columns and run level
through them, and a group is placed as one block whose inside was placed before.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Block", "Frame", "Layout", "Piece", "layout"]

Piece = tuple[int, float, float, float, float]  # source, x0, y0, x1, y1: level, or an S between columns

_GAP_X, _GAP_Y, _WIRE = 34.0, 14.0, 10.0  # between columns, between blocks, between wires
_SIDE, _TITLE, _BOTTOM = 10.0, 20.0, 10.0  # a frame's margins
_LETTER = 7.5  # width of a letter in a frame's title
_SWEEPS = 8


@dataclass
class Block:
    """What is placed: its size, the heights at which wires come in (one for each input place) and the one at which its own leaves."""

    width: float
    height: float
    ins: Sequence[float]
    out: float


@dataclass
class Frame:
    """A rectangle around the blocks of a group."""

    path: tuple[str, ...]
    x: float
    y: float
    width: float
    height: float


@dataclass
class Layout:
    """The picture's size, the blocks' upper left corners, the groups' frames (outer before inner) and the wires in pieces."""

    width: float
    height: float
    at: list[tuple[float, float]]
    frames: list[Frame]
    pieces: list[Piece]


@dataclass
class _Group:
    path: tuple[str, ...]
    children: list[_Group | int] = field(default_factory=list)

    def blocks(self) -> Iterator[int]:
        for child in self.children:
            if isinstance(child, int):
                yield child
            else:
                yield from child.blocks()


@dataclass
class _Placed:
    """A part of the picture in its own coordinates; `ins` by (edge, source), `outs` by source."""

    width: float
    height: float
    ins: dict[tuple[int, int], float]
    outs: dict[int, float]
    at: list[tuple[int, float, float]] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)


def layout(
    blocks: Sequence[Block],
    edges: Sequence[tuple[int, int, int]],
    paths: Sequence[tuple[str, ...] | None],
    titles: Mapping[tuple[str, ...], str] | None = None,
) -> Layout:
    """Place `blocks`, given in topological order, with `edges` (source, target, input place of the target).

    `paths` are the groups that a block is in, the outermost first. Blocks in turn with the same path are one call of their group,
    and have one frame. A block without inputs stands at the edge of the whole if its path is (), and with those that use it if it
    is None. `titles` are what stands in the corners of the frames of paths, which are made as wide. Raises ValueError if an edge
    goes backwards.
    """
    for source, target, _ in edges:
        if not 0 <= source < target < len(blocks):
            raise ValueError(
                f"layout: an edge goes from block {source} to block {target} of {len(blocks)}: give the blocks in topological order"
            )
    placed = _place(_tree(blocks, edges, paths), blocks, list(enumerate(edges)), False, titles or {})
    at = [(0.0, 0.0)] * len(blocks)
    for index, x, y in placed.at:
        at[index] = (x, y)
    return Layout(placed.width, placed.height, at, placed.frames, placed.pieces)


def _tree(
    blocks: Sequence[Block], edges: Sequence[tuple[int, int, int]], paths: Sequence[tuple[str, ...] | None]
) -> _Group:
    """Runs of the topological order become groups: so no wire leaves a group and comes back, which keeps columns possible."""
    fed = {target for _, target, _ in edges}
    root = _runs((), [i for i in range(len(blocks)) if i in fed], paths)
    home: dict[int, list[_Group]] = {}

    def walk(group: _Group, above: list[_Group]) -> None:
        here = [*above, group]
        for child in group.children:
            if isinstance(child, int):
                home[child] = here
            else:
                walk(child, here)

    walk(root, [])
    uses: dict[int, list[int]] = {}
    for source, target, _ in edges:
        uses.setdefault(source, []).append(target)
    for index in range(len(blocks)):
        if index not in fed:
            common = [root]
            if paths[index] is None and index in uses:
                first, *rest = (home[target] for target in uses[index])
                common = [g for depth, g in enumerate(first) if all(len(h) > depth and h[depth] is g for h in rest)]
            common[-1].children.append(index)
    return root


def _runs(path: tuple[str, ...], members: list[int], paths: Sequence[tuple[str, ...] | None]) -> _Group:
    depth = len(path)
    group = _Group(path)
    run: list[int] = []
    key: tuple[str, ...] = ()
    for index in [*members, -1]:
        own = (paths[index] or ()) if index >= 0 else ()
        found = own[: depth + 1] if len(own) > depth else ()
        if run and found != key:
            group.children.append(_runs(key, run, paths))
            run = []
        if found:
            run.append(index)
        elif index >= 0:
            group.children.append(index)
        key = found
    if path and len(group.children) == 1 and isinstance(group.children[0], _Group):
        return group.children[0]  # two frames around the same blocks are one
    return group


def _place(
    group: _Group,
    blocks: Sequence[Block],
    edges: list[tuple[int, tuple[int, int, int]]],
    framed: bool,
    titles: Mapping[tuple[str, ...], str],
) -> _Placed:
    """Place what is in a group; `edges` are those with an end in it."""
    owner = {
        b: i for i, child in enumerate(group.children) for b in ([child] if isinstance(child, int) else child.blocks())
    }
    inner: dict[int, list[tuple[int, tuple[int, int, int]]]] = {}
    for number, (source, target, place) in edges:
        for child_of in {owner.get(source, -1), owner.get(target, -1)} - {-1}:
            inner.setdefault(child_of, []).append((number, (source, target, place)))
    units: list[_Placed] = []
    for i, child in enumerate(group.children):
        if isinstance(child, int):
            block = blocks[child]
            ins = {(n, s): block.ins[place] for n, (s, t, place) in inner.get(i, []) if t == child}
            units.append(_Placed(block.width, block.height, ins, {child: block.out}, [(child, 0.0, 0.0)]))
        else:
            units.append(_place(child, blocks, inner.get(i, []), True, titles))
    nets: dict[int, _Net] = {}
    for number, (source, target, _) in edges:
        a, b = owner.get(source, -1), owner.get(target, -1)
        if a == b:
            continue  # inside one child
        net = nets.setdefault(source, _Net(a))
        if b == -1:
            net.leaves = True
        else:
            key = (number, source) if (number, source) in units[b].ins else (-1, source)
            if (b, key) not in net.ends:
                net.ends.append((b, key))
    order = sorted(range(len(units)), key=lambda i: _first_fed(group.children[i], blocks))
    title = titles.get(group.path, ".".join(group.path))
    return _Level(units, nets, order).placed(group.path if framed else None, len(title) * _LETTER + 2 * _SIDE)


def _first_fed(child: _Group | int, blocks: Sequence[Block]) -> int:
    """The place of a child in the topological order: that of the first of its blocks which has inputs."""
    if isinstance(child, int):
        return child
    return min((b for b in child.blocks() if blocks[b].ins), default=min(child.blocks()))


@dataclass
class _Net:
    """One value's wire at one level: the unit it comes from (-1: from outside), where it ends, whether it leaves the group."""

    start: int
    ends: list[tuple[int, tuple[int, int]]] = field(default_factory=list)
    leaves: bool = False


class _Level:
    """One level of the hierarchy: units in columns. Vertices are units, then the waypoints of wires, of no size."""

    def __init__(self, units: list[_Placed], nets: dict[int, _Net], order: list[int]) -> None:
        self.units, self.nets = units, nets
        self.heights = [unit.height for unit in units]
        self.ranks = self._rank(order)
        self.left: list[list[tuple[int, float, float]]] = [
            [] for _ in units
        ]  # of a vertex: (other, its port, own port)
        self.right: list[list[tuple[int, float, float]]] = [[] for _ in units]
        self.entry: dict[int, int] = {}
        self.exit: dict[int, int] = {}
        self.segments: list[tuple[int, int, float, int, float]] = []  # source, vertex, port, vertex, port
        self._thread()
        columns: dict[int, list[int]] = {}
        for vertex, rank in enumerate(self.ranks):
            columns.setdefault(rank, []).append(vertex)
        self.columns = [columns.get(rank, []) for rank in range(min(columns), max(columns) + 1)]
        self._sort()
        self.y = self._heights()

    def _rank(self, order: list[int]) -> list[int]:
        """Longest path from the left; what has no input stands just before its first use, and a unit that can come later does."""
        feeds: list[list[int]] = [[] for _ in self.units]
        uses: list[list[int]] = [[] for _ in self.units]
        for net in self.nets.values():
            for end in {unit for unit, _ in net.ends}:
                feeds[end].append(net.start)
                if net.start >= 0:
                    uses[net.start].append(end)
        leaving = {net.start for net in self.nets.values() if net.leaves}
        ranks = [0] * len(self.units)
        for unit in order:
            if feeds[unit]:
                ranks[unit] = 1 + max(ranks[f] if f >= 0 and feeds[f] else 0 for f in feeds[unit])
        for unit in reversed(order):
            bound = [f for f in feeds[unit] if f < 0 or feeds[f]]
            if uses[unit] and unit not in leaving and len(bound) <= 1:
                ranks[unit] = max(ranks[unit], min(ranks[u] for u in uses[unit]) - 1)
        return ranks

    def _vertex(self, rank: int) -> int:
        self.ranks.append(rank)
        self.heights.append(0.0)
        self.left.append([])
        self.right.append([])
        return len(self.ranks) - 1

    def _thread(self) -> None:
        """Lead each wire through the columns between its ends; all uses of a value share its waypoints."""
        low, high = min(self.ranks) - 1, max(self.ranks) + 1
        for source, net in self.nets.items():
            if net.start >= 0:
                here, port = net.start, self.units[net.start].outs[source]
            else:
                here, port = self._vertex(low), 0.0
                self.entry[source] = here
            ends: dict[int, list[tuple[int, float]]] = {}
            for unit, key in net.ends:
                ends.setdefault(self.ranks[unit], []).append((unit, self.units[unit].ins[key]))
            if net.leaves:
                self.exit[source] = self._vertex(high)
                ends[high] = [(self.exit[source], 0.0)]
            last = max(ends)
            for rank in range(self.ranks[here] + 1, last + 1):
                onward = ends.get(rank, [])
                if rank < last:
                    onward.append((self._vertex(rank), 0.0))
                for vertex, offset in onward:
                    self.segments.append((source, here, port, vertex, offset))
                    self.right[here].append((vertex, offset, port))
                    self.left[vertex].append((here, port, offset))
                if rank < last:
                    here, port = onward[-1]

    def _sort(self) -> None:
        """Barycenter sweeps; the order with the fewest crossings is kept."""
        place = [0.0] * len(self.ranks)

        def number(column: list[int]) -> None:
            for position, vertex in enumerate(column):
                place[vertex] = float(position)

        def aim(vertex: int, links: list[list[tuple[int, float, float]]]) -> float:
            found = links[vertex]
            if not found:
                return place[vertex]
            return sum(place[o] + port / (self.heights[o] + 1) for o, port, _ in found) / len(found)

        for column in self.columns:
            number(column)
        best, fewest = [list(column) for column in self.columns], self._crossings(place)
        for sweep in range(_SWEEPS):
            if not fewest:
                break
            links = self.left if sweep % 2 == 0 else self.right
            for column in self.columns if sweep % 2 == 0 else reversed(self.columns):
                column.sort(key=lambda vertex: aim(vertex, links))
                number(column)
            count = self._crossings(place)
            if count < fewest:
                best, fewest = [list(column) for column in self.columns], count
        self.columns = best

    def _crossings(self, place: list[float]) -> int:
        gaps: dict[int, list[tuple[float, float]]] = {}
        for _, a, port, b, offset in self.segments:
            ends = place[a] + port / (self.heights[a] + 1), place[b] + offset / (self.heights[b] + 1)
            gaps.setdefault(self.ranks[a], []).append(ends)
        count = 0
        for found in gaps.values():
            seen: list[float] = []
            for _, end in sorted(found):
                count += len(seen) - bisect_right(seen, end)
                insort(seen, end)
        return count

    def _heights(self) -> list[float]:
        """Each vertex as near to level with its neighbours as its column allows (least squares)."""
        y = [0.0] * len(self.ranks)
        for column in self.columns:
            self._settle(column, [0.0] * len(column), y)
        for sweep in range(_SWEEPS + 2):
            both = sweep >= _SWEEPS
            for column in self.columns if sweep % 2 == 0 else reversed(self.columns):
                wishes = []
                for vertex in column:
                    left, right = self.left[vertex], self.right[vertex]
                    links = left + right if both else (left or right) if sweep % 2 == 0 else (right or left)
                    total = sum(y[o] + port - own for o, port, own in links)
                    wishes.append(total / len(links) if links else y[vertex])
                self._settle(column, wishes, y)
        top = min(y)
        return [value - top for value in y]

    def _settle(self, column: list[int], wishes: list[float], y: list[float]) -> None:
        """Isotonic regression (pool adjacent violators): nearest to the wishes without overlap, in this order."""
        offset, offsets = 0.0, []
        pools: list[tuple[float, float, int]] = []  # mean, weight, members
        for i, vertex in enumerate(column):
            if i:
                waypoint = not (self.heights[vertex] and self.heights[column[i - 1]])
                offset += self.heights[column[i - 1]] + (_WIRE if waypoint else _GAP_Y)
            offsets.append(offset)
            weight = 1.0 if self.heights[vertex] else 2.0  # long wires would rather be straight
            mean, members = wishes[i] - offset, 1
            while pools and pools[-1][0] > mean:
                other, mass, count = pools.pop()
                mean = (other * mass + mean * weight) / (mass + weight)
                weight, members = weight + mass, members + count
            pools.append((mean, weight, members))
        i = 0
        for mean, _, members in pools:
            for _ in range(members):
                y[column[i]] = mean + offsets[i]
                i += 1

    def placed(self, path: tuple[str, ...] | None, least: float) -> _Placed:
        """The level in its own coordinates, in a frame at least so wide if it has a path."""
        margin = (_SIDE, _TITLE, _BOTTOM) if path is not None else (0.0, 0.0, 0.0)
        y = [value + margin[1] for value in self.y]
        bends = [0.0] * len(self.columns)
        low = min(self.ranks)
        for _, a, port, b, offset in self.segments:
            rank = self.ranks[a] - low
            bends[rank] = max(bends[rank], abs(y[a] + port - y[b] - offset))
        starts, ends, x = [], [], margin[0]
        for number, column in enumerate(self.columns):
            starts.append(x)
            x += max((self.units[v].width for v in column if v < len(self.units)), default=0.0)
            ends.append(x)
            if number + 1 < len(self.columns):
                thin = any(
                    v in column or v in self.columns[number + 1] for v in (*self.entry.values(), *self.exit.values())
                )
                x += (_GAP_X / 2 if thin else _GAP_X) + min(60.0, bends[number] / 5)
        width = max(x + margin[0], least if path is not None else 0.0)
        height = max(y[v] + self.heights[v] for v in range(len(y))) + margin[2]
        result = _Placed(width, height, {}, {})
        if path is not None:
            result.frames.append(Frame(path, 0.0, 0.0, width, height))
        for vertex, unit in enumerate(self.units):
            rank = self.ranks[vertex] - low
            room = ends[rank] - starts[rank] - unit.width
            dx, dy = starts[rank] + (room / 2 if unit.ins else room), y[vertex]
            result.at += [(b, bx + dx, by + dy) for b, bx, by in unit.at]
            result.frames += [Frame(f.path, f.x + dx, f.y + dy, f.width, f.height) for f in unit.frames]
            result.pieces += [(s, x0 + dx, y0 + dy, x1 + dx, y1 + dy) for s, x0, y0, x1, y1 in unit.pieces]
            for (_, source), port in unit.ins.items():
                result.pieces.append((source, starts[rank], dy + port, dx, dy + port))
            for source, port in unit.outs.items():
                if source in self.nets:
                    result.pieces.append((source, dx + unit.width, dy + port, ends[rank], dy + port))
        crossed = set()
        for source, a, port, b, offset in self.segments:
            ra, rb = self.ranks[a] - low, self.ranks[b] - low
            result.pieces.append((source, ends[ra], y[a] + port, starts[rb], y[b] + offset))
            if a >= len(self.units) and a not in crossed:
                crossed.add(a)
                result.pieces.append((source, starts[ra], y[a], ends[ra], y[a]))
        for source, vertex in self.entry.items():
            result.ins[-1, source] = y[vertex]
            result.pieces.append((source, 0.0, y[vertex], starts[0], y[vertex]))
        for source, vertex in self.exit.items():
            result.outs[source] = y[vertex]
            result.pieces.append((source, ends[-1], y[vertex], width, y[vertex]))
        result.pieces = [p for p in result.pieces if p[3] - p[1] > 1e-6]
        return result
