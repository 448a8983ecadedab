"""What a call of the pipeline returns."""

from dataclasses import dataclass
from typing import Any, Optional, Union

import numpy as np
from diffusers.utils.outputs import BaseOutput
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor


@dataclass
class OcclusionFormerPipelineOutput(BaseOutput):
    """Pictures first; maps only where they were asked for."""

    images: Union[list[Image.Image], NDArray[Any], Tensor]  # noqa: UP007
    instance_masks: Optional[list[NDArray[np.float32]]] = None  # noqa: UP045
    """Per picture (K, H, W): probability that a pixel shows the instance, from the last step with the layout."""
    weights: Optional[list[NDArray[np.float32]]] = None  # noqa: UP045
    """Per picture (K, h, w): share of each instance in the blend, per token, from the same step."""
