"""A frontal face detector without any package: OpenCV's cascade, which comes in this folder, read by numpy.

Rainer Lienhart's tree-based 20 x 20 gentle AdaBoost cascade (Lienhart, Maydt 2002; Viola, Jones 2001), as the wheels of
OpenCV 4 carry it; those of OpenCV 5 carry none. Its licence is at the top of the file.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FILE = Path(__file__).with_name("haarcascade_frontalface_alt2.xml")
GROWTH = 1.1
"""From one size of window to the next."""

FEW = 600
"""Windows that are scored by all trees of a stage at once."""
LEAST_CONTRAST = 10.0
"""Standard deviation of a window's brightness: there is no face in flatter ones."""

Box = tuple[int, int, int, int]
"""(left, top, width, height) in pixels."""
Table: TypeAlias = NDArray[Any]
"""Sums over a picture (height + 1, width + 1), or a number for each window (windows,)."""
Rectangles = tuple[tuple[Box, float], ...]
"""Boxes in the window, each with its weight."""


@dataclass(frozen=True)
class _Node:
    left: int
    """Where it goes below the threshold: another node, or from 0 down a leaf."""
    right: int
    feature: int
    threshold: float


@dataclass(frozen=True)
class _Tree:
    nodes: tuple[_Node, ...]
    leaves: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class _Stage:
    threshold: float
    trees: tuple[_Tree, ...]


@dataclass(frozen=True, eq=False)
class Cascade:
    side: int
    """Pixels of a window's sides."""
    stages: tuple[_Stage, ...]
    features: tuple[Rectangles, ...]

    def find(self, grey: Image.Image, smallest: int, neighbours: int = 6) -> list[Box]:
        """Faces at least `smallest` pixels wide in an 8-bit grey picture, the largest first.

        `neighbours`: how many windows must agree on one.
        """
        found: list[Box] = []
        for scale, level in self._pyramid(grey, smallest):
            step = 1 if scale > 2 else 2
            lefts, tops = self._passing(level, step)
            side = round(self.side * scale)
            found += [(round(x * scale), round(y * scale), side, side) for x, y in zip(lefts, tops, strict=True)]
        return sorted(_grouped(found, neighbours), key=lambda box: -box[2])

    def _pyramid(self, grey: Image.Image, smallest: int) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        scale = max(1.0, smallest / self.side)
        while min(grey.size) / scale >= self.side:
            size = (round(grey.width / scale), round(grey.height / scale))
            yield scale, np.asarray(grey.resize(size, Image.Resampling.BILINEAR))
            scale *= GROWTH

    def _passing(self, level: NDArray[np.uint8], step: int) -> tuple[list[int], list[int]]:
        """(left, top) of the windows that pass every stage."""
        sums = _integral(level.astype(np.int32))
        windows: _Windows = _Grid.over(sums.shape, self.side, step)
        deviation = self._contrasts(sums, _integral(level.astype(np.float64) ** 2), windows)
        if len(deviation) <= FEW:
            windows = windows.those(np.ones(len(deviation), dtype=bool))
        for stage in self.stages:
            if not len(deviation):
                break
            passed = (self._score(stage, sums, windows, deviation) >= stage.threshold) & (deviation > 0)
            windows, deviation = windows.those(passed), deviation[passed]
        return windows.lefts.tolist(), windows.tops.tolist()

    def _contrasts(self, sums: Table, squares: Table, windows: _Windows) -> Table:
        """What the features of a window are divided by, as OpenCV does it; 0 where it is flat."""
        inner = (1, 1, self.side - 2, self.side - 2)
        area = inner[2] * inner[3]
        total = windows.sum(sums, inner).astype(np.float64)
        variance = area * windows.sum(squares, inner) - total * total
        return np.sqrt(np.where(variance > (LEAST_CONTRAST * area) ** 2, variance, 0.0))

    def _score(self, stage: _Stage, sums: Table, windows: _Windows, deviation: Table) -> Table:
        if len(deviation) <= FEW:
            return self._score_of_few(stage, sums, windows, deviation)
        score = np.zeros(len(deviation), dtype=np.float32)
        for tree in stage.trees:
            leaves = np.asarray(tree.leaves, dtype=np.float32)
            at = np.zeros(len(deviation), dtype=np.int8)
            for number, node in enumerate(tree.nodes):  # a node comes before those that it leads to
                rectangles = self.features[node.feature]
                value = sum(int(weight) * windows.sum(sums, box) for box, weight in rectangles)
                after = np.where(value < node.threshold * deviation, np.int8(node.left), np.int8(node.right))
                at = after if number == 0 else np.where(at == number, after, at)
            score += leaves[-at]
        return score

    def _score_of_few(self, stage: _Stage, sums: Table, windows: _Windows, deviation: Table) -> Table:
        """The same with all trees at once: a loop over hundreds of them costs more than few windows do."""
        packed = _packed(self, stage)
        stride = sums.shape[1]
        corners = packed.corners[..., 0] * stride + packed.corners[..., 1]
        places = windows.tops * stride + windows.lefts
        values = np.einsum("wnc,nc->wn", sums.ravel().take(places[:, None, None] + corners), packed.weights)
        below = values < packed.thresholds * deviation[:, None]
        after = np.where(below, packed.left, packed.right)
        at = after[:, packed.first]
        for number in range(1, packed.most):
            nodes = np.minimum(packed.first + number, len(packed.left) - 1)
            at = np.where(at == number, after[:, nodes], at)
        return packed.leaves[np.arange(len(packed.first)), -at].sum(axis=1)


@dataclass(frozen=True, eq=False)
class _Packed:
    """A stage's trees as arrays; nodes (nodes,) lie one tree after the other."""

    corners: Table
    """(nodes, corners, 2): (down, right) of what a node adds up, four for each rectangle."""
    weights: Table
    """(nodes, corners)"""
    thresholds: Table
    left: Table
    right: Table
    first: Table
    """(trees,): each tree's first node."""
    leaves: Table
    """(trees, leaves)"""
    most: int
    """Nodes of a tree."""


@lru_cache(maxsize=256)
def _packed(cascade: Cascade, stage: _Stage) -> _Packed:
    nodes = [node for tree in stage.trees for node in tree.nodes]
    counts = [len(tree.nodes) for tree in stage.trees]
    rectangles = [cascade.features[node.feature] for node in nodes]
    width = 4 * max(map(len, rectangles))
    corners, weights = np.zeros((len(nodes), width, 2), np.intp), np.zeros((len(nodes), width))
    for i, own in enumerate(rectangles):
        for k, ((x, y, w, h), weight) in enumerate(own):
            corners[i, 4 * k : 4 * k + 4] = ((y, x), (y, x + w), (y + h, x), (y + h, x + w))
            weights[i, 4 * k : 4 * k + 4] = (weight, -weight, -weight, weight)
    leaves = np.zeros((len(counts), max(counts) + 1))
    for i, tree in enumerate(stage.trees):
        leaves[i, : len(tree.leaves)] = tree.leaves
    return _Packed(
        corners,
        weights,
        np.array([node.threshold for node in nodes]),
        np.array([node.left for node in nodes]),
        np.array([node.right for node in nodes]),
        np.cumsum([0, *counts[:-1]]),
        leaves,
        max(counts),
    )


@dataclass(frozen=True)
class _Windows:
    """Some windows of a picture, by their upper left corners (windows,)."""

    tops: NDArray[np.intp]
    lefts: NDArray[np.intp]

    def sum(self, table: Table, box: Box) -> Table:
        """Of the pixels in a box of each window, from a table of sums."""
        left, top, width, height = box
        stride = table.shape[1]
        places, flat = self.tops * stride + self.lefts, table.ravel()
        upper, lower = top * stride + left, (top + height) * stride + left
        found = flat.take(places + (lower + width)) - flat.take(places + lower)
        return found - flat.take(places + (upper + width)) + flat.take(places + upper)

    def those(self, which: NDArray[np.bool_]) -> _Windows:
        return _Windows(self.tops[which], self.lefts[which])


@dataclass(frozen=True)
class _Grid(_Windows):
    """All of them, `step` pixels apart: a slice of the table is faster than a look-up for each."""

    step: int = 1

    @classmethod
    def over(cls, shape: tuple[int, ...], side: int, step: int) -> _Grid:
        tops, lefts = np.arange(0, shape[0] - side, step), np.arange(0, shape[1] - side, step)
        return cls(tops, lefts, step)

    def sum(self, table: Table, box: Box) -> Table:
        left, top, width, height = box

        def corner(down: int, right: int) -> Table:
            rows = slice(down, down + int(self.tops[-1]) + 1, self.step)
            return table[rows, right : right + int(self.lefts[-1]) + 1 : self.step]

        found = corner(top + height, left + width) - corner(top + height, left)
        return (found - corner(top, left + width) + corner(top, left)).ravel()

    def those(self, which: NDArray[np.bool_]) -> _Windows:
        rows, columns = np.nonzero(which.reshape(len(self.tops), len(self.lefts)))
        return _Windows(self.tops[rows], self.lefts[columns])


@lru_cache(maxsize=1)
def frontal_faces() -> Cascade:
    return read_cascade(FILE)


def read_cascade(path: Path) -> Cascade:
    root = ElementTree.parse(path).getroot()[0]
    stages = tuple(_stage(stage) for stage in root.find("stages") or ())
    features = tuple(tuple(_rectangle(r) for r in f.find("rects") or ()) for f in root.find("features") or ())
    return Cascade(int(_text(root, "width")), stages, features)


def _stage(stage: ElementTree.Element) -> _Stage:
    trees = tuple(_tree(tree) for tree in stage.find("weakClassifiers") or ())
    return _Stage(float(_text(stage, "stageThreshold")), trees)


def _tree(tree: ElementTree.Element) -> _Tree:
    numbers = _text(tree, "internalNodes").split()
    nodes = tuple(
        _Node(int(left), int(right), int(feature), float(threshold))
        for left, right, feature, threshold in zip(*(numbers[i::4] for i in range(4)), strict=True)
    )
    return _Tree(nodes, tuple(map(float, _text(tree, "leafValues").split())))


def _rectangle(element: ElementTree.Element) -> tuple[Box, float]:
    left, top, width, height, weight = (element.text or "").split()
    return (int(left), int(top), int(width), int(height)), float(weight)


def _text(element: ElementTree.Element, name: str) -> str:
    return element.findtext(name) or ""


def _integral(values: Table) -> Table:
    """(height + 1, width + 1): sums over all that is above and to the left."""
    return np.pad(values.cumsum(0, dtype=values.dtype).cumsum(1, dtype=values.dtype), ((1, 0), (1, 0)))


def _grouped(boxes: list[Box], neighbours: int) -> list[Box]:
    """Means of windows that lie about alike, where more than `neighbours` do; none inside another."""
    groups: list[list[Box]] = []
    for box in sorted(boxes, key=lambda b: -b[2]):
        near = next((group for group in groups if _alike(_mean(group), box)), None)
        if near is None:
            groups.append([box])
        else:
            near.append(box)
    means = sorted(((len(group), _mean(group)) for group in groups if len(group) > neighbours), reverse=True)
    kept: list[Box] = []
    for _, box in means:
        if not any(_overlap(box, other) > 0.4 for other in kept):
            kept.append(box)
    return kept


def _mean(group: list[Box]) -> Box:
    left, top, width, height = (round(sum(values) / len(group)) for values in zip(*group, strict=True))
    return left, top, width, height


def _alike(one: Box, other: Box, slack: float = 0.25) -> bool:
    most = slack * min(one[2], other[2])
    same_side = max(one[2], other[2]) <= 1.5 * min(one[2], other[2])
    middles = [(one[k] + one[k + 2] / 2, other[k] + other[k + 2] / 2) for k in (0, 1)]
    return same_side and all(abs(a - b) <= most for a, b in middles)


def _overlap(one: Box, other: Box) -> float:
    """Of the smaller one that lies in the other, 0 to 1."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    smaller = min(one[2] * one[3], other[2] * other[3])
    return max(0, width) * max(0, height) / smaller
