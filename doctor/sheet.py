"""A diagnosis as pictures: what was found with the sizes on a first page, then the pictures themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw, ImageOps

from ..dataset.images import UnreadableImage, open_rgb
from ..lettering import font, text_size, wrapped
from ..training.buckets import Fit
from .diagnosis import Diagnosis
from .finding import Finding, Severity, Subject
from .look import still
from .report import verdict

COLUMNS, ROWS = 5, 4
CELL, THUMB, TEXT, GAP, HEAD = 300, 230, 118, 14, 58
WIDTH = COLUMNS * (CELL + GAP) + GAP
HEIGHT = HEAD + ROWS * (THUMB + TEXT + GAP) + GAP
INK, GREY, PALE, PAPER = (30, 30, 34), (120, 120, 126), (240, 240, 243), (255, 255, 255)
COLOURS = {Severity.PROBLEM: (196, 48, 43), Severity.WARNING: (201, 116, 12), Severity.NOTE: (118, 124, 138)}
GOOD = (44, 140, 78)
NEARLY_ALL = 0.99
"""Of a picture: less is worth a frame."""
ORDERS = ("flagged first", "as in the dataset")


def pages(
    diagnosis: Diagnosis, most: int, order: str = ORDERS[0], check: Callable[[], None] = lambda: None
) -> list[Image.Image]:
    """All WIDTH x HEIGHT: the overview, then at most `most` with pictures. `check` is called before each picture, and
    may raise to end it."""
    shown = _ordered(diagnosis, order)[: most * COLUMNS * ROWS]
    made = [overview(diagnosis)]
    chunks = [shown[start : start + COLUMNS * ROWS] for start in range(0, len(shown), COLUMNS * ROWS)]
    for number, chunk in enumerate(chunks, 1):
        title = f"{len(shown)} of {len(diagnosis.subjects)} pictures" if len(shown) < len(diagnosis.subjects) else ""
        made.append(_contact_page(diagnosis, chunk, f"Page {number} of {len(chunks)}   {title}", check))
    return made


def _ordered(diagnosis: Diagnosis, order: str) -> list[Subject]:
    if order == ORDERS[1]:
        return list(diagnosis.subjects)

    def rank(subject: Subject) -> tuple[int, int]:
        worst = max((finding.severity for finding in diagnosis.of(subject.number)), default=-1)
        return -worst, subject.number

    return sorted(diagnosis.subjects, key=rank)


# The first page


def overview(diagnosis: Diagnosis) -> Image.Image:
    page = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(page)
    words = verdict(diagnosis)
    draw.text((2 * GAP, 46), words, _verdict_colour(diagnosis), font(words, 34), anchor="lm")
    counts = ", ".join(f"{len(part.pictures)} {part.role}" for part in diagnosis.dataset.parts())
    draw.text((2 * GAP, 84), f"Pictures: {counts}", GREY, font(counts, 17), anchor="lm")
    left = WIDTH * 5 // 8
    _findings(draw, diagnosis.findings, (2 * GAP, 122), left - 5 * GAP)
    draw.line((left, 30, left, HEIGHT - 30), PALE, 2)
    _sizes(draw, diagnosis, (left + 2 * GAP, 46))
    return page


def _verdict_colour(diagnosis: Diagnosis) -> tuple[int, int, int]:
    return COLOURS[diagnosis.findings[0].severity] if diagnosis.grave else GOOD


def _findings(draw: ImageDraw.ImageDraw, findings: Sequence[Finding], place: tuple[int, int], width: int) -> None:
    x, y = place
    if not findings:
        draw.text((x, y), "Nothing to say against it.", INK, font("", 18))
    for number, finding in enumerate(findings):
        colour = COLOURS[finding.severity]
        body = wrapped(finding.text, width - 24, 16, lines=3)
        remedy = wrapped(finding.remedy, width - 24, 15, lines=2)
        height = 26 + text_size(body, 16)[1] + 6 + text_size(remedy, 15)[1] + 22
        if y + height > HEIGHT - 20:
            draw.text((x, y), f"and {len(findings) - number} more: see the text", GREY, font("", 16))
            return
        draw.rounded_rectangle((x, y, x + 5, y + height - 18), 2, colour)
        draw.text((x + 20, y), finding.kind, colour, font(finding.kind, 18))
        draw.multiline_text((x + 20, y + 26), body, INK, font(body, 16))
        lower = y + 26 + text_size(body, 16)[1] + 6
        draw.multiline_text((x + 20, lower), remedy, GREY, font(remedy, 15))
        y += height


def _sizes(draw: ImageDraw.ImageDraw, diagnosis: Diagnosis, place: tuple[int, int], side: int = 64) -> None:
    """The buckets as shapes, each with how many pictures an epoch shows in it."""
    x, y = place
    trained = [s for s in diagnosis.subjects if s.part.role == "train"]
    buckets = diagnosis.sizing.buckets(trained).most_common()
    thin = {n for finding in diagnosis.findings if finding.kind == "bucket not full" for n in finding.pictures}
    thin_sizes = {fit.target for number in thin for fit in diagnosis.sizing.fits[number]}
    title = f"Sizes at {', '.join(map(str, diagnosis.sizing.resolutions))}"
    draw.text((x, y), title, INK, font(title, 20), anchor="lm")
    y += 34
    most = max((count for _, count in buckets), default=1)
    longest = max((max(size) for size, _ in buckets), default=1)
    for number, ((height, width), count) in enumerate(buckets):
        if y + side > HEIGHT - 40:
            draw.text((x, y), f"and {len(buckets) - number} more sizes", GREY, font("", 16))
            return
        w, h = max(2, width * side // longest), max(2, height * side // longest)
        corner = x + (side - w) // 2, y + (side - h) // 2
        colour = COLOURS[Severity.WARNING] if (height, width) in thin_sizes and count < most else (70, 108, 168)
        draw.rectangle((*corner, corner[0] + w, corner[1] + h), PALE, colour, 2)
        draw.text((x + side + 16, y + 20), f"{width} x {height}", INK, font("", 17), anchor="lm")
        bar = x + side + 16
        draw.rounded_rectangle((bar, y + 36, bar + max(4, 300 * count // most), y + 46), 4, colour)
        draw.text((bar + 10 + 300 * count // most, y + 41), f"{count:,}", GREY, font("", 15), anchor="lm")
        y += side + 16


# Pages of pictures


def _contact_page(
    diagnosis: Diagnosis, subjects: Sequence[Subject], title: str, check: Callable[[], None]
) -> Image.Image:
    page = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((GAP, HEAD / 2), title, GREY, font(title, 18), anchor="lm")
    hint = "What lies outside a frame is cropped"
    draw.text((WIDTH - GAP, HEAD / 2), hint, GREY, font(hint, 16), anchor="rm")
    for index, subject in enumerate(subjects):
        check()
        left = GAP + index % COLUMNS * (CELL + GAP)
        top = HEAD + index // COLUMNS * (THUMB + TEXT + GAP)
        _cell(page, draw, diagnosis, subject, (left, top))
    return page


def _cell(
    page: Image.Image, draw: ImageDraw.ImageDraw, diagnosis: Diagnosis, subject: Subject, place: tuple[int, int]
) -> None:
    left, top = place
    flags = diagnosis.of(subject.number)
    fits = diagnosis.sizing.fits[subject.number]
    draw.rounded_rectangle((left, top, left + CELL, top + THUMB), 6, PALE)
    _thumbs(page, subject, fits[-1] if fits else None, place)
    _chip(draw, (left + 8, top + 8), f"#{subject.number}", INK)
    if diagnosis.excess.get(subject.number) is not None:
        loss = f"loss x{2 ** diagnosis.excess[subject.number]:.2f}"
        _chip(draw, (left + 8, top + THUMB - 28), loss, INK)
    if subject.number in diagnosis.pair_looks:
        changed = f"{diagnosis.pair_looks[subject.number].difference:.1%} apart"
        _chip(draw, (left + 8, top + THUMB - 28), changed, INK)
    y, x = top + THUMB + 6, left
    for finding in sorted(flags, key=lambda finding: -finding.severity):
        width = text_size(finding.kind, 13)[0] + 14
        if x + width > left + CELL:
            break
        x += _chip(draw, (x, y), finding.kind, COLOURS[finding.severity]) + 5
    y += 26 if flags else 0
    name = wrapped(f"{subject.picture.name}  {_shape(subject, fits)}", CELL, 13, lines=1)
    draw.text((left, y), name, GREY, font(name, 13))
    caption = wrapped(subject.picture.caption or "no caption", CELL, 14, lines=3 if flags else 4)
    draw.multiline_text((left, y + 19), caption, INK if subject.picture.caption else GREY, font(caption, 14), spacing=3)


def _shape(subject: Subject, fits: Sequence[Fit]) -> str:
    height, width = subject.picture.size
    targets = ", ".join(f"{fit.target[1]}x{fit.target[0]}" for fit in fits[-1:])
    return f"{width}x{height}, trained at {targets}" if targets else f"{width}x{height}"


def _thumbs(page: Image.Image, subject: Subject, fit: Fit | None, place: tuple[int, int]) -> None:
    """The picture, or for a pair the first before and the after side by side."""
    picture, left, top = subject.picture, *place
    befores = picture.befores[:1]
    room = CELL // (1 + len(befores)) - 4, THUMB - 8
    middle = picture.clip.frames // 2 if picture.clip else None
    try:
        images = [_small(open_rgb(before, max(room)), room) for before in befores]
        images.append(_framed(_small(still(picture.path, middle, max(room)), room), fit))
    except (UnreadableImage, OSError) as error:
        draw = ImageDraw.Draw(page)
        words = wrapped(str(error), CELL - 40, 15, lines=4)
        draw.multiline_text((left + CELL / 2, top + THUMB / 2), words, GREY, font(words, 15), anchor="mm")
        return
    for index, image in enumerate(images):
        x = left + 4 + index * (room[0] + 4) + (room[0] - image.width) // 2
        page.paste(image, (x, top + 4 + (room[1] - image.height) // 2))


def _small(image: Image.Image, room: tuple[int, int]) -> Image.Image:
    return ImageOps.contain(image, room, Image.Resampling.LANCZOS)


def _framed(image: Image.Image, fit: Fit | None) -> Image.Image:
    """With what the bucket crops made pale."""
    if fit is None:
        return image
    height, width = fit.resized
    left, top, right, bottom = fit.box
    box = (
        round(left * image.width / width),
        round(top * image.height / height),
        round(right * image.width / width),
        round(bottom * image.height / height),
    )
    pale = Image.blend(image, Image.new("RGB", image.size, PAPER), 0.65)
    pale.paste(image.crop(box), box[:2])
    if (box[2] - box[0]) * (box[3] - box[1]) < NEARLY_ALL * image.width * image.height:
        ImageDraw.Draw(pale).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), None, (255, 90, 60), 2)
    return pale


def _chip(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, colour: tuple[int, int, int]) -> int:
    """A word on a coloured ground; its width."""
    width = text_size(text, 13)[0] + 14
    draw.rounded_rectangle((*place, place[0] + width, place[1] + 20), 5, colour)
    draw.text((place[0] + width / 2, place[1] + 10), text, PAPER, font(text, 13), anchor="mm")
    return width
