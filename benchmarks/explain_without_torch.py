"""What `explain.py` measures in a process without torch: seconds from the file of a picture to its map.

    python benchmarks/explain_without_torch.py PICTURE...

Prints JSON: the method, the seconds of a picture once the model is loaded, and the peak memory.
"""

import json
import sys
import time
from collections.abc import Sequence

from affectlens.explain.explainer import Explainer, Explanation
from peak_memory import peak_mebibytes


def main(pictures: Sequence[str]) -> None:
    explainer = Explainer.load(engine="onnxruntime")

    def explained(paths: Sequence[str]) -> list[Explanation]:
        found = list(explainer.explain_files(paths))
        assert not any(each.error for each in found)
        return found

    explained(pictures[:1])
    started = time.perf_counter()
    found = explained(pictures)
    seconds = (time.perf_counter() - started) / len(found)
    assert "torch" not in sys.modules
    method = found[0].heatmaps[0].method
    print(json.dumps({"method": method, "seconds": seconds, "peak_mebibytes": peak_mebibytes()}))


if __name__ == "__main__":
    main(sys.argv[1:])
