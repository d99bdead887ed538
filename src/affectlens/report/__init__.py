"""How results look, for every command: numbers, words and pictures; nothing of what they are results of.

text.py          numbers, times and names in words
figures.py       figures: style, files, and addresses for pages
canvas.py        a figure filled from the top
sheet.py         pictures in rows with titles, the colours of their maps and a caption
emotion_colours.py
                 a colour for each word of a vocabulary
heatmaps.py      maps of numbers laid on pictures
wheel.py         emotions as a wheel
legend.py        emotions over a picture
html.py          pages, from the templates in templates/
"""
