import enum
from typing import Any

import torch.nn.functional


class InterpolationMode(enum.Enum):
    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


def normalize(tensor: Any, mean: Any, std: Any, inplace: bool = False) -> Any:
    return (tensor - mean) / std


def resize(tensor: Any, size: Any, interpolation: InterpolationMode = InterpolationMode.NEAREST) -> Any:
    return torch.nn.functional.interpolate(tensor, size=tuple(size), mode=interpolation.value)


def rotate(*args: object, **kwargs: object) -> None:
    raise NotImplementedError("no test rotates pictures")
