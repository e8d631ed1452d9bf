"""Reference values of the metrics of reconstructions: writes reconstruction.json beside this file.

Needs clinicadl 1.6.1 (its `pytorch_ssim` and metrics) and scikit-image, whose `peak_signal_noise_ratio` it calls.
Images are numbered as in cases.py; what is made of them is a mixture with other numbers. ClinicaDL takes three
numbers in the shape for a slice, and so does here.
"""
import json
from pathlib import Path

import numpy
import skimage
import torch

from clinicadl.utils.metric_module import MetricModule
from clinicadl.utils.pytorch_ssim import ssim, ssim3D


def numbers(shape, factor, prime):
    count = int(numpy.prod(shape))
    return ((torch.arange(count, dtype=torch.int64) * factor % prime).float() / prime).view(*shape)


def case(shape, shift, scale):
    image = numbers(shape, 7919, 1009) * scale + shift
    made = 0.7 * image + 0.2 * numbers(shape, 104729, 1013)
    y, y_pred = image.double().numpy(), made.double().numpy()
    similarity = (ssim if len(shape) == 3 else ssim3D)(image.numpy(), made.numpy())
    return {
        "shape": list(shape), "shift": shift, "scale": scale,
        "MAE": float(MetricModule.compute_mae(y, y_pred)), "RMSE": float(MetricModule.compute_rmse(y, y_pred)),
        "PSNR": float(MetricModule.compute_psnr(image.numpy(), made.numpy())), "SSIM": similarity.item(),
    }


cases = [case((1, 24, 20), 0, 1), case((3, 17, 30), -1, 2), case((1, 14, 16, 12), 0, 1), case((2, 13, 15, 18), 0, 1)]
found = {"cases": cases, "torch": torch.__version__, "scikit-image": skimage.__version__}
Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
