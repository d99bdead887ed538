"""Screenshots, documents, charts and pictures of text for benchmarks/unusual_pictures.py."""

import io
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from unusual_patterns import colour, grain, image_of, soft_blobs
from unusual_text import ANY, BOLD, MONO, SANS, SERIF, SLANTED, SLOGANS, font, lines_within, sentences, words

Colour = tuple[int, int, int]
SCREENS = ((1024, 640), (900, 600), (800, 600), (1120, 630))
PAGES = ((620, 877), (660, 854), (595, 842), (640, 800))
LIGHT: tuple[Colour, ...] = ((255, 255, 255), (246, 247, 249), (240, 240, 240), (252, 250, 245))
DARK: tuple[Colour, ...] = ((30, 30, 30), (13, 17, 23), (40, 42, 54), (0, 43, 54))


def _one_of(rng: np.random.Generator, values: tuple[Any, ...]) -> Any:
    return values[int(rng.integers(len(values)))]


def _text_block(
    pen: ImageDraw.ImageDraw,
    box: tuple[float, float, float, float],
    text: str,
    letters: ImageFont.FreeTypeFont,
    fill: Colour,
    leading: float = 1.35,
) -> float:
    """Write a text into a box (left, top, right, bottom) as far as it fits; return where it ends."""
    left, top, right, bottom = box
    step = leading * letters.size
    for line in lines_within(text, letters, right - left):
        if top + step > bottom:
            break
        pen.text((left, top), line, fill=fill, font=letters)
        top += step
    return top


def _web_page(rng: np.random.Generator) -> Image.Image:
    width, height = _one_of(rng, SCREENS)
    paper, accent = _one_of(rng, LIGHT), colour(rng, 20, 180)
    picture = Image.new("RGB", (width, height), paper)
    pen, size = ImageDraw.Draw(picture), int(rng.integers(12, 17))
    pen.rectangle((0, 0, width, 34), fill=(222, 225, 230))
    pen.rounded_rectangle((90, 6, width - 60, 28), 11, fill=(255, 255, 255))
    pen.text(
        (104, 9), f"https://www.{words(rng, 1, 1).lower()}.example", fill=(90, 90, 90), font=font(rng, 12)
    )
    for x in (18, 40, 62):
        pen.ellipse((x, 12, x + 10, 22), fill=(150, 150, 150))
    pen.rectangle((0, 34, width, 84), fill=accent)
    pen.text((30, 46), words(rng, 1, 2), fill=(255, 255, 255), font=font(rng, 24, BOLD))
    for number in range(int(rng.integers(3, 6))):
        x = width - 110 * (number + 1)
        pen.text((x, 52), words(rng, 1, 1), fill=(255, 255, 255), font=font(rng, 14))
    aside, body = int(width * rng.uniform(0.62, 0.75)), font(rng, size)
    pen.text((30, 104), words(rng, 3, 5), fill=(20, 20, 20), font=font(rng, 28, BOLD))
    top = _text_block(pen, (30, 150, aside - 30, height - 160), sentences(rng, 8), body, (60, 60, 60))
    pen.rounded_rectangle((30, top + 16, 180, top + 52), 6, fill=accent)
    pen.text((105, top + 34), words(rng, 2, 2), fill=(255, 255, 255), font=font(rng, 14), anchor="mm")
    if rng.random() < 0.6:  # what stands for a picture of the page
        wide = int(aside - 60)
        picture.paste(soft_blobs(rng).resize((wide, 130)), (30, int(top) + 70))
        top += 140
    _text_block(pen, (30, top + 74, aside - 30, height), sentences(rng, 12), body, (60, 60, 60))
    for number in range(4):
        y = 110 + number * 130
        pen.rounded_rectangle(
            (aside, y, width - 24, y + 114), 6, outline=(205, 205, 205), fill=(255, 255, 255)
        )
        pen.text((aside + 12, y + 10), words(rng, 2, 3), fill=accent, font=font(rng, 15))
        box = (aside + 12, y + 36, width - 36, y + 110)
        _text_block(pen, box, sentences(rng, 2), font(rng, 12), (100, 100, 100))
    return picture


def _code_editor(rng: np.random.Generator) -> Image.Image:
    width, height = _one_of(rng, SCREENS)
    dark = rng.random() < 0.65
    paper = _one_of(rng, DARK if dark else LIGHT)
    inks = [colour(rng, 130, 250) if dark else colour(rng, 10, 140) for _ in range(5)]
    picture = Image.new("RGB", (width, height), paper)
    pen, size = ImageDraw.Draw(picture), int(rng.integers(12, 18))
    letters, side = font(rng, size, MONO), int(rng.integers(120, 220))
    shade = tuple(value + (14 if dark else -14) for value in paper)
    pen.rectangle((0, 0, side, height), fill=shade)
    pen.rectangle((0, 0, width, 30), fill=shade)
    pen.rectangle((0, height - 22, width, height), fill=colour(rng, 20, 160))
    for row in range(int(rng.integers(8, 20))):
        name = f"{words(rng, 1, 1).lower()}.py"
        pen.text((14 + 12 * int(row % 4 > 0), 40 + 22 * row), name, fill=inks[0], font=font(rng, 12))
    indent, step = 0, round(1.4 * size)
    for row, y in enumerate(range(40, height - 40, step)):
        pen.text((side + 10, y), f"{row + 1:>3}", fill=(128, 128, 128), font=letters)
        indent = int(np.clip(indent + rng.integers(-1, 2), 0, 4))
        x = float(side + 60 + indent * 2 * size)
        for word in words(rng, 0, 8).lower().split():
            word += str(rng.choice(["", "", "(", ")", " =", ":", ".", ",", '"']))
            pen.text((x, y), word, fill=inks[int(rng.integers(5))], font=letters)
            x += letters.getlength(word + " ")
    return picture


def _spreadsheet(rng: np.random.Generator) -> Image.Image:
    width, height = _one_of(rng, SCREENS)
    picture = Image.new("RGB", (width, height), (255, 255, 255))
    pen, accent = ImageDraw.Draw(picture), colour(rng, 20, 150)
    pen.rectangle((0, 0, width, 40), fill=accent)
    pen.text((14, 10), f"{words(rng, 1, 3)}.xlsx", fill=(255, 255, 255), font=font(rng, 16))
    pen.rectangle((0, 40, width, 76), fill=(243, 243, 243))
    for x in range(14, width - 60, 74):
        pen.text((x, 50), words(rng, 1, 1)[:8], fill=(60, 60, 60), font=font(rng, 12))
    column, row = int(rng.integers(70, 120)), int(rng.integers(20, 28))
    letters = font(rng, 12)
    for number, x in enumerate(range(40, width, column)):
        pen.rectangle((x, 76, x + column, 76 + row), fill=(232, 232, 232), outline=(200, 200, 200))
        pen.text(
            (x + column / 2, 76 + row / 2), chr(65 + number), fill=(80, 80, 80), font=letters, anchor="mm"
        )
    for number, y in enumerate(range(76 + row, height, row)):
        pen.text((20, y + row / 2), str(number + 1), fill=(80, 80, 80), font=letters, anchor="mm")
        for column_number, x in enumerate(range(40, width, column)):
            fill = (221, 235, 247) if number == 0 else None
            pen.rectangle((x, y, x + column, y + row), outline=(215, 215, 215), fill=fill)
            if number > 28 or rng.random() < 0.1:
                continue
            text = words(rng, 1, 1) if column_number == 0 or number == 0 else f"{rng.uniform(0, 9999):,.2f}"
            pen.text((x + 4, y + 4), text, fill=(20, 20, 20), font=letters)
    return picture


def _chat(rng: np.random.Generator) -> Image.Image:
    """A chat on a phone."""
    width, height = int(rng.choice([360, 390, 414])), int(rng.choice([720, 780, 800]))
    dark = rng.random() < 0.4
    paper = _one_of(rng, DARK if dark else LIGHT)
    mine, theirs = colour(rng, 30, 200), (60, 62, 70) if dark else (228, 230, 235)
    picture = Image.new("RGB", (width, height), paper)
    pen, letters, y = ImageDraw.Draw(picture), font(rng, int(rng.integers(13, 17))), 90
    pen.rectangle((0, 0, width, 70), fill=tuple(max(0, value - 10) for value in paper))
    pen.ellipse((14, 24, 50, 60), fill=colour(rng))
    ink = (235, 235, 235) if dark else (25, 25, 25)
    pen.text((62, 34), words(rng, 1, 2).title(), fill=ink, font=font(rng, 16, BOLD))
    while y < height - 110:
        lines = lines_within(sentences(rng, int(rng.integers(1, 3))), letters, 0.6 * width)[:5]
        wide = max(letters.getlength(line) for line in lines) + 24
        tall, own = 1.3 * letters.size * len(lines) + 16, rng.random() < 0.5
        left = width - wide - 12 if own else 12
        pen.rounded_rectangle((left, y, left + wide, y + tall), 14, fill=mine if own else theirs)
        for number, line in enumerate(lines):
            fill = (255, 255, 255) if own else ink
            pen.text((left + 12, y + 8 + 1.3 * letters.size * number), line, fill=fill, font=letters)
        y += int(tall) + 10
    pen.rounded_rectangle((12, height - 54, width - 60, height - 14), 20, outline=(150, 150, 150))
    return picture


def _dialog(rng: np.random.Generator) -> Image.Image:
    """A desktop with windows of settings."""
    width, height = _one_of(rng, SCREENS)
    picture = Image.new("RGB", (width, height), colour(rng, 20, 140))
    pen, letters = ImageDraw.Draw(picture), font(rng, 13)
    pen.rectangle((0, height - 36, width, height), fill=(32, 34, 38))
    for number in range(int(rng.integers(5, 12))):
        pen.rounded_rectangle(
            (10 + 40 * number, height - 31, 36 + 40 * number, height - 5), 5, fill=colour(rng)
        )
    for _ in range(int(rng.integers(1, 4))):
        wide, tall = rng.uniform(0.4, 0.75) * width, rng.uniform(0.45, 0.8) * height
        left, top = rng.uniform(0, width - wide), rng.uniform(0, height - tall - 40)
        pen.rectangle((left + 4, top + 4, left + wide + 4, top + tall + 4), fill=(20, 20, 20))
        pen.rectangle((left, top, left + wide, top + tall), fill=(240, 240, 240), outline=(120, 120, 120))
        pen.rectangle((left, top, left + wide, top + 28), fill=colour(rng, 40, 160))
        pen.text((left + 10, top + 6), words(rng, 1, 3), fill=(255, 255, 255), font=letters)
        pen.text((left + wide - 20, top + 6), "x", fill=(255, 255, 255), font=letters)
        for y in range(int(top) + 44, int(top + tall) - 56, 30):
            if rng.random() < 0.5:
                pen.rectangle((left + 16, y, left + 30, y + 14), fill=(255, 255, 255), outline=(90, 90, 90))
            else:
                box = (left + 0.55 * wide, y - 3, left + wide - 16, y + 19)
                pen.rectangle(box, fill=(255, 255, 255), outline=(150, 150, 150))
            pen.text((left + 40, y - 1), words(rng, 2, 4), fill=(30, 30, 30), font=letters)
        for number, name in enumerate(("Cancel", "OK")):
            x, y = left + wide - 190 + 92 * number, top + tall - 40
            pen.rounded_rectangle((x, y, x + 80, y + 26), 4, fill=(225, 225, 225), outline=(140, 140, 140))
            pen.text((x + 40, y + 13), name, fill=(20, 20, 20), font=letters, anchor="mm")
    return picture


def _scanned(rng: np.random.Generator, page: Image.Image) -> Image.Image:
    """Half of the pages come as they are; the others turned a little, tinted and noisy as by a scanner."""
    if rng.random() < 0.5:
        return page
    tint = rng.uniform(0.82, 1.0) * np.array([1.0, rng.uniform(0.96, 1.0), rng.uniform(0.88, 1.0)])
    turned = page.rotate(rng.uniform(-2, 2), Image.Resampling.BICUBIC, fillcolor=(235, 235, 235))
    return grain(rng, image_of(np.asarray(turned, float) * tint), rng.uniform(1, 6))


def _text_page(rng: np.random.Generator) -> Image.Image:
    """One or two columns of text under a title, some with a table's or a figure's frame."""
    width, height = _one_of(rng, PAGES)
    page = Image.new("RGB", (width, height), (255, 255, 255))
    pen, names = ImageDraw.Draw(page), SERIF if rng.random() < 0.6 else SANS
    body, margin, columns = font(rng, int(rng.integers(10, 15)), names), int(rng.integers(45, 80)), 1
    title = font(rng, int(rng.integers(18, 28)), BOLD)
    box = (margin, margin, width - margin, 170)
    top = _text_block(pen, box, words(rng, 4, 10), title, (0, 0, 0)) + 16
    columns = int(rng.integers(1, 3))
    wide = (width - 2 * margin - 20 * (columns - 1)) / columns
    for column in range(columns):
        left, y = margin + column * (wide + 20), top
        while y < height - margin - 20:
            if rng.random() < 0.25:
                pen.text(
                    (left, y), words(rng, 1, 4), fill=(0, 0, 0), font=font(rng, int(body.size) + 2, BOLD)
                )
                y += 1.6 * body.size
            text = sentences(rng, int(rng.integers(2, 7)))
            y = _text_block(pen, (left, y, left + wide, height - margin), text, body, (20, 20, 20)) + 8
    pen.text((width / 2, height - 28), str(rng.integers(1, 400)), fill=(0, 0, 0), font=body, anchor="mm")
    return _scanned(rng, page)


def _form(rng: np.random.Generator) -> Image.Image:
    width, height = _one_of(rng, PAGES)
    page = Image.new("RGB", (width, height), (255, 255, 255))
    pen, letters = ImageDraw.Draw(page), font(rng, int(rng.integers(10, 14)))
    shade, y = colour(rng, 190, 245), 120
    pen.rectangle((40, 40, width - 40, 96), fill=shade, outline=(0, 0, 0))
    pen.text((56, 54), words(rng, 2, 5), fill=(0, 0, 0), font=font(rng, 22, BOLD))
    while y < height - 70:
        fields = int(rng.integers(1, 4))
        wide, tall = (width - 80) / fields, int(rng.integers(30, 60))
        for number in range(fields):
            left = 40 + number * wide
            pen.rectangle((left, y, left + wide, y + tall), outline=(60, 60, 60))
            pen.text((left + 4, y + 2), f"{words(rng, 1, 2)}:", fill=(60, 60, 60), font=letters)
            if rng.random() < 0.5:
                filled = font(rng, int(letters.size) + 3, SLANTED)
                pen.text((left + 10, y + tall - 20), words(rng, 1, 2)[:18], fill=(20, 30, 120), font=filled)
        y += tall
        if rng.random() < 0.3:
            pen.rectangle((40, y + 6, 54, y + 20), outline=(0, 0, 0))
            pen.text((62, y + 5), words(rng, 4, 8), fill=(0, 0, 0), font=letters)
            y += 28
    return _scanned(rng, page)


def _receipt(rng: np.random.Generator) -> Image.Image:
    width, height = int(rng.integers(260, 380)), int(rng.integers(520, 860))
    paper = int(rng.integers(236, 256))
    page = Image.new("RGB", (width, height), (paper, paper, paper - int(rng.integers(0, 8))))
    pen, size = ImageDraw.Draw(page), int(rng.integers(12, 16))
    letters, y, ink = font(rng, size, MONO), 20.0, (int(rng.integers(10, 90)),) * 3
    for _ in range(3):
        pen.text((width / 2, y), words(rng, 1, 3).upper(), fill=ink, font=letters, anchor="mt")
        y += 1.5 * size
    total = 0.0
    while y < height - 7 * size:
        price = float(rng.uniform(0.5, 60))
        total += price
        pen.text((16, y), words(rng, 1, 2)[:16], fill=ink, font=letters)
        pen.text((width - 16, y), f"{price:.2f}", fill=ink, font=letters, anchor="ra")
        y += 1.4 * size
    pen.line((16, y, width - 16, y), fill=ink)
    pen.text((16, y + 8), "TOTAL", fill=ink, font=font(rng, size + 4, BOLD))
    pen.text((width - 16, y + 8), f"{total:.2f}", fill=ink, font=font(rng, size + 4, BOLD), anchor="ra")
    for x in np.flatnonzero(rng.random(width - 80) < 0.5):  # a bar code
        pen.line((40 + int(x), y + 40, 40 + int(x), y + 40 + 2.5 * size), fill=ink)
    return _scanned(rng, page)


def _letter(rng: np.random.Generator) -> Image.Image:
    width, height = _one_of(rng, PAGES)
    page = Image.new("RGB", (width, height), _one_of(rng, LIGHT))
    pen, accent = ImageDraw.Draw(page), colour(rng, 0, 170)
    body = font(rng, int(rng.integers(11, 15)), SERIF + SANS)
    pen.text((60, 50), words(rng, 1, 2), fill=accent, font=font(rng, 26, BOLD))
    pen.line((60, 92, width - 60, 92), fill=accent, width=2)
    for number in range(4):
        pen.text((60, 120 + 1.4 * number * body.size), words(rng, 2, 3), fill=(20, 20, 20), font=body)
    y = 240.0
    for _ in range(int(rng.integers(2, 5))):
        box = (60, y, width - 60, height - 140)
        y = _text_block(pen, box, sentences(rng, int(rng.integers(3, 6))), body, (20, 20, 20)) + 12
    x = np.linspace(0, 1, 60)
    waves = np.sum(
        [np.sin(2 * np.pi * (k * x + rng.random())) * rng.uniform(2, 9) for k in (2, 3, 5)], axis=0
    )
    signature = list(zip((70 + 130 * x).tolist(), (y + 40 + waves).tolist(), strict=True))
    pen.line(signature, fill=(20, 30, 110), width=2)
    return _scanned(rng, page)


def _chart(rng: np.random.Generator, kind: str) -> Image.Image:
    """One chart by matplotlib, in a style, with words as labels."""
    style = _one_of(
        rng, ("default", "ggplot", "bmh", "dark_background", "seaborn-v0_8-whitegrid", "grayscale")
    )
    family = _one_of(rng, ("DejaVu Sans", "DejaVu Serif", "STIXGeneral"))
    settings: Any = {"font.family": family, "font.size": float(rng.uniform(8, 13))}
    with matplotlib.style.context(style), matplotlib.rc_context(settings):
        size = _one_of(rng, ((6.4, 4.8), (8, 4.5), (5, 5), (7, 3.5), (4.5, 6)))
        figure = Figure(figsize=size, dpi=90)
        rows = 2 if rng.random() < 0.2 else 1
        for number in range(rows):
            axes = figure.add_subplot(rows, 1, number + 1)
            _PLOTS[kind](rng, axes)
            if rng.random() < 0.8:
                axes.set_title(words(rng, 2, 5))
            if kind != "pie":
                axes.set_xlabel(words(rng, 1, 2))
                axes.set_ylabel(words(rng, 1, 2))
        figure.tight_layout()
        memory = io.BytesIO()
        figure.savefig(memory, format="png")
    return Image.open(memory).convert("RGB")


def _plot_bars(rng: np.random.Generator, axes: Any) -> None:
    names = [words(rng, 1, 1) for _ in range(int(rng.integers(3, 8)))]
    groups = int(rng.integers(1, 4))
    for group in range(groups):
        positions = np.arange(len(names)) + group / (groups + 1)
        axes.bar(positions, rng.uniform(1, 10, len(names)), 1 / (groups + 1), label=words(rng, 1, 1))
    axes.set_xticks(range(len(names)), names, rotation=int(rng.choice([0, 45])))
    if groups > 1:
        axes.legend()


def _plot_lines(rng: np.random.Generator, axes: Any) -> None:
    for _ in range(int(rng.integers(1, 6))):
        values = rng.normal(0.1, 1, 80).cumsum()
        axes.plot(values, label=words(rng, 1, 1), marker=str(rng.choice(["", "", "o"])), markevery=8)
    axes.legend()
    axes.grid(rng.random() < 0.5)


def _plot_points(rng: np.random.Generator, axes: Any) -> None:
    for _ in range(int(rng.integers(1, 4))):
        centre, number = rng.normal(0, 3, 2), int(rng.integers(20, 200))
        x = rng.normal(centre[0], 1, number)
        axes.scatter(x, centre[1] + rng.uniform(-1, 1) * x + rng.normal(0, 0.7, number), s=rng.uniform(8, 50))


def _plot_pie(rng: np.random.Generator, axes: Any) -> None:
    number = int(rng.integers(3, 8))
    ring = {"width": 0.4} if rng.random() < 0.4 else None
    labels = [words(rng, 1, 1) for _ in range(number)]
    axes.pie(rng.uniform(1, 5, number), labels=labels, autopct="%.0f%%", wedgeprops=ring)


def _plot_matrix(rng: np.random.Generator, axes: Any) -> None:
    number = int(rng.integers(4, 12))
    colours = str(rng.choice(["viridis", "Blues", "coolwarm", "magma", "Greys"]))
    image = axes.imshow(rng.random((number, number)) + np.eye(number), cmap=colours)
    axes.figure.colorbar(image, ax=axes)


def _plot_histogram(rng: np.random.Generator, axes: Any) -> None:
    for _ in range(int(rng.integers(1, 3))):
        axes.hist(rng.normal(rng.normal(), rng.uniform(0.5, 2), 500), bins=30, alpha=0.7)


def _plot_boxes(rng: np.random.Generator, axes: Any) -> None:
    axes.boxplot([rng.normal(rng.normal(), 1, 60) for _ in range(int(rng.integers(3, 8)))])


def _plot_area(rng: np.random.Generator, axes: Any) -> None:
    layers = np.abs(rng.normal(0, 1, (int(rng.integers(2, 6)), 40)).cumsum(axis=1)) + 1
    axes.stackplot(range(40), layers)


_PLOTS = {
    "bars": _plot_bars,
    "lines": _plot_lines,
    "points": _plot_points,
    "pie": _plot_pie,
    "matrix": _plot_matrix,
    "histogram": _plot_histogram,
    "boxes": _plot_boxes,
    "area": _plot_area,
}


def _maker(kind: str) -> Any:
    def chart(rng: np.random.Generator) -> Image.Image:
        return _chart(rng, kind)

    chart.__name__ = kind
    return chart


def _slogan(rng: np.random.Generator) -> Image.Image:
    """Large words on one colour or between two, in the middle or at the left, some within a frame."""
    width, height = _one_of(rng, ((640, 640), (800, 450), (600, 800), (720, 480)))
    first, second = np.array(colour(rng), float), np.array(colour(rng), float)
    second = second if rng.random() < 0.4 else first
    part = np.linspace(0, 1, height)[:, None, None]
    picture = image_of(np.broadcast_to(first * (1 - part) + second * part, (height, width, 3)))
    pen, light = ImageDraw.Draw(picture), (first + second).mean() / 2 > 120
    ink = (20, 20, 20) if light else (250, 250, 250)
    letters = font(rng, int(rng.integers(36, 92)), ANY)
    text = str(rng.choice(SLOGANS))
    text = text.upper() if rng.random() < 0.35 else text
    lines, step = lines_within(text, letters, 0.8 * width), 1.25 * letters.size
    middle, top = rng.random() < 0.7, height / 2 - step * len(lines) / 2
    for number, line in enumerate(lines):
        point, anchor = (
            ((width / 2, top + number * step), "ma") if middle else ((0.1 * width, top + number * step), "la")
        )
        pen.text(point, line, fill=ink, font=letters, anchor=anchor)
    if rng.random() < 0.3:
        pen.rectangle((18, 18, width - 18, height - 18), outline=ink, width=int(rng.integers(2, 8)))
    if rng.random() < 0.4:
        small = font(rng, 18)
        pen.text(
            (width / 2, height - 50),
            f"www.{words(rng, 1, 1).lower()}.example",
            fill=ink,
            font=small,
            anchor="ma",
        )
    return picture


def _quotation(rng: np.random.Generator) -> Image.Image:
    """Several sentences in middling letters, with a name below."""
    width, height = _one_of(rng, ((640, 640), (700, 500), (540, 720)))
    dark = rng.random() < 0.5
    picture = Image.new("RGB", (width, height), colour(rng, 0, 70) if dark else colour(rng, 200, 256))
    pen, letters = ImageDraw.Draw(picture), font(rng, int(rng.integers(22, 38)), SERIF + SLANTED)
    ink = (240, 236, 225) if dark else (40, 36, 30)
    box = (60, 90, width - 60, height - 100)
    y = _text_block(pen, box, f'"{sentences(rng, 2)}"', letters, ink, 1.4)
    pen.text((width - 70, y + 14), f"- {words(rng, 2, 2).title()}", fill=ink, font=font(rng, 20), anchor="ra")
    return picture


def _sign(rng: np.random.Generator) -> Image.Image:
    """A sign board: a rounded board of one colour with a border and short words."""
    width, height = _one_of(rng, ((700, 400), (500, 500), (640, 480)))
    picture = Image.new("RGB", (width, height), _one_of(rng, LIGHT))
    pen, board = (
        ImageDraw.Draw(picture),
        _one_of(rng, ((200, 20, 30), (0, 80, 160), (0, 110, 60), (250, 200, 0))),
    )
    ink = (20, 20, 20) if board[0] > 240 else (255, 255, 255)
    pen.rounded_rectangle((30, 30, width - 30, height - 30), 30, fill=board)
    pen.rounded_rectangle((44, 44, width - 44, height - 44), 22, outline=ink, width=6)
    letters = font(rng, int(rng.integers(44, 72)), BOLD)
    lines = lines_within(str(rng.choice(SLOGANS)).upper(), letters, width - 130)
    step = 1.2 * letters.size
    for number, line in enumerate(lines):
        y = height / 2 + (number - (len(lines) - 1) / 2) * step
        pen.text((width / 2, y), line, fill=ink, font=letters, anchor="mm")
    return picture


SCREENSHOTS = (_web_page, _code_editor, _spreadsheet, _chat, _dialog)
DOCUMENTS = (_text_page, _form, _receipt, _letter)
CHARTS = tuple(_maker(kind) for kind in _PLOTS)
WRITING = (_slogan, _quotation, _sign)
