"""The embedded model behind the generation seam."""

from __future__ import annotations

from pathlib import Path

from occlusionformer.embedded.build import BACKBONE_FILE, BRANCH_FILE, BRANCH_FOLDER, embedded_pipeline
from occlusionformer.pipelines import PipelineGenerator


def load_embedded(argument: str | None) -> PipelineGenerator:
    """Open the model that ships with the package, or the same with the weights of a folder, such as training leaves.

    Raises ValueError for a folder without `backbone.safetensors` and `branch.safetensors`, or with those of another
    model.
    """
    if argument is None:
        pipeline = embedded_pipeline()
    else:
        folder = Path(argument)
        trained = (folder / BRANCH_FOLDER).is_dir()
        missing = [name for name in (BACKBONE_FILE, BRANCH_FILE) if not (folder / name).is_file()]
        if missing and not trained:
            raise ValueError(
                f"model: expected embedded:FOLDER with {BACKBONE_FILE} and {BRANCH_FILE}, or with {BRANCH_FOLDER}/ as "
                f"training leaves it, got {argument!r} without {' and '.join(missing)}"
            )
        pipeline = embedded_pipeline(folder)
    pipeline.set_progress_bar_config(disable=True)
    return PipelineGenerator(pipeline, model="embedded" if argument is None else f"embedded:{argument}")
