"""What fresh-gradient.ts computes, by PyTorch."""

import time

import torch
import torch.nn.functional as F


def conv(x, channels, filters, kernel=3, stride=1):
    return F.conv2d(x, torch.full((filters, channels, kernel, kernel), 0.01), torch.zeros(filters), stride, kernel // 2)


image = torch.full((1, 3, 32, 32), 0.5, requires_grad=True)
x = F.relu(conv((image - 0.5) * 4, 3, 16))
for channels, filters, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
    residual = conv(F.relu(conv(x, channels, filters, stride=stride)), filters, filters)
    x = F.relu(residual + (x if stride == 1 else conv(x, channels, filters, 1, stride)))
logits = x.mean((2, 3)) @ torch.full((64, 10), 0.1)
logits[0, 3].backward()
assert image.grad.shape == image.shape
print(time.process_time())
