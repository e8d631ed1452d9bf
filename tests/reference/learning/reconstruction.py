"""Reference values of the metrics of reconstructions: writes reconstruction.json beside this file.

Needs clinicadl 1.6.1 (its `pytorch_ssim` and metrics), scikit-image, whose `peak_signal_noise_ratio` it calls, and
MONAI 1.5.2, which is kept from rounding to 32 bits. MONAI refuses images that are too small for the scales: it is
given fewer, with their weights scaled to a sum of 1, and a smaller window where even one is too large.
Images are numbered as in cases.py; what is made of them is a mixture with other numbers. ClinicaDL takes three
numbers in the shape for a slice, and so does here.
"""
import json
from pathlib import Path

import monai.losses
import monai.metrics.regression
import numpy
import skimage
import torch

from clinicadl.utils.metric_module import MetricModule
from clinicadl.utils.pytorch_ssim import ssim, ssim3D


monai.metrics.regression.convert_data_type = lambda data, **_: (data,)
SCALES = numpy.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])


def multi_scale_similarity(y_pred, y):
    shortest = min(y.shape[2:])
    width = min(11, shortest if shortest % 2 else shortest - 1)
    count = sum(shortest // 2**scale >= width for scale in range(5))
    weights = SCALES[:count] / SCALES[:count].sum()
    axes = y.ndim - 2
    metric = monai.metrics.regression.MultiScaleSSIMMetric(axes, kernel_size=width, weights=weights.tolist())
    # Its kernel is made with 32 bits.
    window = torch.exp(-((torch.arange(width).double() - width // 2) ** 2) / (2 * 1.5**2))
    window = window / window.sum()
    kernel = torch.einsum("i,j->ij" if axes == 2 else "i,j,k->ijk", *[window] * axes).expand(y.shape[1], 1, *[width] * axes)
    monai.metrics.regression._gaussian_kernel = lambda *_: kernel
    return metric._compute_metric(y_pred, y)


def numbers(shape, factor, prime):
    count = int(numpy.prod(shape))
    return ((torch.arange(count, dtype=torch.int64) * factor % prime).float() / prime).view(*shape)


def case(shape, shift, scale):
    image = numbers(shape, 7919, 1009) * scale + shift
    made = 0.7 * image + 0.2 * numbers(shape, 104729, 1013)
    y, y_pred = image.double().numpy(), made.double().numpy()
    y_batch, made_batch = image.double()[None], made.double()[None]
    correlation = monai.losses.LocalNormalizedCrossCorrelationLoss(len(shape) - 1, kernel_size=9)(made_batch, y_batch)
    similarity = (ssim if len(shape) == 3 else ssim3D)(image.numpy(), made.numpy())
    return {
        "shape": list(shape), "shift": shift, "scale": scale,
        "MAE": float(MetricModule.compute_mae(y, y_pred)), "RMSE": float(MetricModule.compute_rmse(y, y_pred)),
        "PSNR": float(MetricModule.compute_psnr(image.numpy(), made.numpy())), "SSIM": similarity.item(),
        "MS_SSIM": multi_scale_similarity(made_batch, y_batch).item(), "LNCC": -correlation.item(),
    }


cases = [
    case((1, 24, 20), 0, 1), case((3, 17, 30), -1, 2), case((1, 14, 16, 12), 0, 1), case((2, 13, 15, 18), 0, 1),
    case((1, 181, 177), 0, 1), case((1, 8, 9, 10), 0, 1), case((1, 23, 25, 46), -1, 2),
]
found = {"cases": cases, "torch": torch.__version__, "scikit-image": skimage.__version__,
         "monai": monai.__version__}
Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
