"""Which emotions pictures evoke, by an exported file alone: nothing of AffectLens is needed.

affectlens models export default --with-preprocessing --out default.onnx
pip install onnxruntime numpy pillow
python classify.py default.onnx PHOTO.jpg ...
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model, *photographs = sys.argv[1:]
session = onnxruntime.InferenceSession(model)
words = json.loads(session.get_modelmeta().custom_metadata_map["labels"])
for photograph in photographs:
    upright = ImageOps.exif_transpose(Image.open(photograph)).convert("RGB")
    pixels = np.asarray(upright)[None]  # 1 x height x width x 3, of any size
    (probabilities,) = session.run(["probabilities"], {"pixels": pixels})
    likely = sorted(zip(probabilities[0], words, strict=True), reverse=True)
    print(f"{photograph}: {', '.join(f'{word} {100 * share:.0f} %' for share, word in likely[:3])}")
