"""Reference values and gradients of losses. Needs PyTorch 2.13 and ClinicaDL 1.6.1.

usage: losses.py > losses.json
Losses of variational autoencoders are written out here: each term summed over an image, and the mean over
the batch. `clinicadl` beside them holds the terms as ClinicaDL 1.6.1 returns them.
"""
import json

import torch
from clinicadl.utils.network.vae import vae_utils
from torch import nn

torch.manual_seed(1)
prediction = torch.rand(3, 2, 4) * 0.9 + 0.05
prediction[0, 0, 0] = 0.5
target = torch.rand(3, 2, 4)
mean, log_variance = torch.randn(3, 5), torch.randn(3, 5)
logits, classes = torch.randn(4, 3), torch.tensor([2, 0, 1, 2])
weights = torch.tensor([0.5, 2.0, 1.25])


def case(name, compute, inputs, **settings):
    leaves = [x.clone().requires_grad_(True) for x in inputs]
    value = compute(*leaves)
    value.backward()
    return {"loss": name, "value": value.item(), "gradients": [x.grad.flatten().tolist() for x in leaves], **settings}


def divergence(m, v):
    return 0.5 * (m**2 + v.exp() - v - 1).sum()


def constant(x):
    far = (1 - 2 * x).abs() >= 2e-5
    safe = torch.where(far, x, torch.full_like(x, 0.25))
    exact = torch.log((torch.log1p(-safe) - torch.log(safe)) / (1 - 2 * safe))
    return torch.where(far, exact, torch.log(torch.tensor(2.0)) + torch.log1p((1 - 2 * x) ** 2 / 3)).sum()


def variational(reconstruction, sign=0):
    def compute(p, m, v):
        total = 2.0 * reconstruction(p, target) + 0.3 * divergence(m, v) - sign * constant(p)
        return total / len(target)

    return compute


squares, entropy = nn.MSELoss(reduction="sum"), nn.BCELoss(reduction="sum")
latent = [prediction, mean, log_variance]
vae = {"reconstruction": 2.0, "divergence": 0.3}
cases = [
    case("CrossEntropyLoss", lambda z: nn.CrossEntropyLoss(weight=weights, label_smoothing=0.2)(z, classes), [logits], smoothing=0.2, weights=weights.tolist()),
    case("MultiMarginLoss", lambda z: nn.MultiMarginLoss(weight=weights)(z, classes), [logits], weights=weights.tolist()),
    *[
        case(name, lambda p, name=name: getattr(nn, name)()(p, target), [prediction * 3 - 1])
        for name in ["BCEWithLogitsLoss", "HuberLoss", "KLDivLoss", "L1Loss", "MSELoss", "SmoothL1Loss"]
    ],
    case("VAEBernoulliLoss", variational(entropy), latent, **vae),
    case("VAEContinuousBernoulliLoss", variational(entropy, 1), latent, **vae),
    case("VAEGaussianLoss", variational(squares), latent, **vae),
]
theirs = {}
for name in ["VAEGaussianLoss", "VAEBernoulliLoss", "VAEContinuousBernoulliLoss"]:
    terms = getattr(vae_utils, name)(target, prediction, mean, log_variance)
    theirs[name] = [float(term) for term in terms]
print(
    json.dumps(
        {
            "torch": torch.__version__,
            "prediction": prediction.flatten().tolist(),
            "target": target.flatten().tolist(),
            "mean": mean.flatten().tolist(),
            "log_variance": log_variance.flatten().tolist(),
            "logits": logits.flatten().tolist(),
            "classes": classes.tolist(),
            "cases": cases,
            "clinicadl": theirs,
        },
        indent=1,
    )
)
