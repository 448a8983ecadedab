"""Draw layout files with one loaded model, a thread for each; write each picture beside its layout."""

import sys
import threading
from pathlib import Path

from occlusionformer.generation import GenerationRequest, load_generator
from occlusionformer.layout import read_layout

generator = load_generator("embedded")
paths = [Path(name) for name in sys.argv[1:]]
start = threading.Barrier(len(paths))


def draw(path: Path) -> None:
    request = GenerationRequest(layout=read_layout(path), steps=2)
    start.wait()
    for _ in range(3):
        [result] = generator.generate([request])
        result.image.save(path.with_suffix(".png"))


threads = [threading.Thread(target=draw, args=[path]) for path in paths]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
