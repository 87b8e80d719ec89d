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

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FILE = Path(__file__).with_name("haarcascade_frontalface_alt2.xml")
GROWTH = 1.1
"""From one size of window to the next."""

Box = tuple[int, int, int, int]
"""(left, top, width, height) in pixels."""
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


@dataclass(frozen=True)
class _Stage:
    threshold: float
    trees: tuple[_Tree, ...]


@dataclass(frozen=True)
class Cascade:
    side: int
    """Pixels of a window's sides."""
    stages: tuple[_Stage, ...]
    features: tuple[Rectangles, ...]

    def find(self, grey: Image.Image, smallest: int, neighbours: int = 4) -> list[Box]:
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
        sums, squares = _integral(level.astype(np.float64)), _integral(level.astype(np.float64) ** 2)
        stride = sums.shape[1]
        tops = np.arange(0, level.shape[0] - self.side + 1, step)
        lefts = np.arange(0, level.shape[1] - self.side + 1, step)
        places = (tops[:, None] * stride + lefts[None, :]).ravel()
        places, deviation = self._contrasts(sums.ravel(), squares.ravel(), places, stride)
        for stage in self.stages:
            if not len(places):
                break
            passed = self._score(stage, sums.ravel(), places, deviation, stride) >= stage.threshold
            places, deviation = places[passed], deviation[passed]
        return (places % stride).tolist(), (places // stride).tolist()

    def _contrasts(
        self, sums: NDArray[np.float64], squares: NDArray[np.float64], places: NDArray[np.intp], stride: int
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Windows that are not flat, and what their features are divided by, as OpenCV does it."""
        inner = (1, 1, self.side - 2, self.side - 2)
        area = inner[2] * inner[3]
        variance = area * _sum(squares, places, inner, stride) - _sum(sums, places, inner, stride) ** 2
        kept = variance > (10.0 * area) ** 2
        return places[kept], np.sqrt(variance[kept])

    def _score(
        self,
        stage: _Stage,
        sums: NDArray[np.float64],
        places: NDArray[np.intp],
        deviation: NDArray[np.float64],
        stride: int,
    ) -> NDArray[np.float64]:
        score = np.zeros(len(places))
        for tree in stage.trees:
            at = np.zeros(len(places), dtype=np.int64)
            for number, node in enumerate(tree.nodes):  # a node comes before those that it leads to
                here = at == number
                rectangles = self.features[node.feature]
                value = sum(weight * _sum(sums, places, box, stride) for box, weight in rectangles)
                below = value < node.threshold * deviation
                at = np.where(here, np.where(below, node.left, node.right), at)
            score += np.asarray(tree.leaves)[-at]
        return score


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


def _integral(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(height + 1, width + 1): sums over all that is above and to the left."""
    return np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def _sum(
    sums: NDArray[np.float64], places: NDArray[np.intp], box: tuple[int, int, int, int], stride: int
) -> NDArray[np.float64]:
    """Of the pixels in a box of each window."""
    left, top, width, height = box
    upper, lower = top * stride + left, (top + height) * stride + left
    return sums[places + lower + width] - sums[places + lower] - sums[places + upper + width] + sums[places + upper]


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
