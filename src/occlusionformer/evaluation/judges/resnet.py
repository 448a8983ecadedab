"""ResNet-50 over any number of input channels, with the weight names of torchvision's (arXiv 1512.03385, v1.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

EXPANSION = 4
RESNET_50 = (3, 4, 6, 3)


class Bottleneck(nn.Module):
    """Convolutions of 1, 3 and 1 pixels with a residual; the stride is in the middle one."""

    def __init__(self, channels: int, width: int, *, stride: int) -> None:
        super().__init__()
        wide = width * EXPANSION
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, wide, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(wide)
        self.relu = nn.ReLU()
        self.downsample: nn.Module = nn.Sequential()
        if stride != 1 or channels != wide:
            self.downsample = nn.Sequential(nn.Conv2d(channels, wide, 1, stride, bias=False), nn.BatchNorm2d(wide))

    def forward(self, features: Tensor) -> Tensor:
        narrow = self.relu(self.bn1(self.conv1(features)))
        seen = self.relu(self.bn2(self.conv2(narrow)))
        return cast(Tensor, self.relu(self.bn3(self.conv3(seen)) + self.downsample(features)))


class ResNet(nn.Module):
    """(B, channels, H, W) to (B, classes) logits."""

    def __init__(self, channels: int, classes: int, *, depths: Sequence[int] = RESNET_50, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        wide = width * EXPANSION
        self.layer1 = _stage(width, width, depths[0], stride=1)
        self.layer2 = _stage(wide, 2 * width, depths[1], stride=2)
        self.layer3 = _stage(2 * wide, 4 * width, depths[2], stride=2)
        self.layer4 = _stage(4 * wide, 8 * width, depths[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8 * wide, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        features = self.maxpool(self.relu(self.bn1(self.conv1(pictures))))
        features = self.layer4(self.layer3(self.layer2(self.layer1(features))))
        return cast(Tensor, self.fc(self.avgpool(features).flatten(1)))


def _stage(channels: int, width: int, depth: int, *, stride: int) -> nn.Sequential:
    blocks = [Bottleneck(channels, width, stride=stride)]
    blocks += [Bottleneck(width * EXPANSION, width, stride=1) for _ in range(depth - 1)]
    return nn.Sequential(*blocks)
