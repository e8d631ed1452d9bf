"""What ClinicaDL 1.6.1, TorchIO, SciPy, scikit-image and nilearn make of small images, for the tests of the
generate stages. Run with the Python of an installed ClinicaDL 1.6.1 (versions are written to the file).

usage: synthetic.py   (writes synthetic.json beside itself)

Images are float32 and flattened in C order. Distributions are tables of quantiles at equally spaced
probabilities (i + 0.5) / n of samples drawn with the peer's own generators, seeded here.
"""
import importlib.metadata as metadata, json, os, random, tempfile
from pathlib import Path
import nibabel as nib, numpy as np

here = os.path.dirname(os.path.abspath(__file__))
home = tempfile.mkdtemp()
os.environ["HOME"] = home
os.chdir(home)
import torch, torchio as tio
from nilearn.image import resample_to_img
from scipy.ndimage import gaussian_filter
from skimage.draw import ellipse
from clinicadl.generate import generate as peer
from clinicadl.generate import generate_utils as utils

random.seed(1), np.random.seed(2), torch.manual_seed(3)
rng = np.random.default_rng(0)
flat = lambda a: [float(v) for v in np.ravel(np.asarray(a))]
short = lambda a: [float(f"{v:.7g}") for v in np.ravel(np.asarray(a, dtype=float))]
quantiles = lambda sample, n=99: short(np.quantile(np.ravel(sample), (np.arange(n) + 0.5) / n))
oblique = np.array([[-1.9, 0.3, 0.1, 14.0], [0.25, 2.0, -0.35, -11.0], [-0.1, 0.4, 2.2, 5.0], [0, 0, 0, 1.0]])
out = {"versions": {name: metadata.version(name) for name in
       ["clinicadl", "numpy", "scipy", "torch", "torchio", "nilearn", "scikit-image", "SimpleITK"]}}

# A CAPS of two PET sessions and one of T1.
caps = Path(home, "caps")
def put(sub, ses, folder, tail, image, affine):
    path = caps / "subjects" / sub / ses / folder / f"{sub}_{ses}_{tail}"
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(image.astype(np.float32), affine), path)
shape = (12, 10, 8)
pet = rng.uniform(0.5, 2.0, shape).astype(np.float32)
affine = np.diag([2.0, 2.0, 2.0, 1.0]); affine[:3, 3] = [-11, -9, -7]
put("sub-1", "ses-M000", "pet_linear",
    "trc-18FFDG_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_suvr-cerebellumPons2_pet.nii.gz", pet, affine)

# 4.3 hypometabolic: the whole command, on a mask of another grid.
mask = np.zeros((9, 11, 10), np.float32); mask[2:6, 3:8, 2:7] = 1
mask_affine = np.diag([3.0, 2.5, 2.2, 1.0]); mask_affine[:3, 3] = [-13.1, -12.3, -9.4]
masks = Path(home, ".cache/clinicadl/ressources/masks_hypo"); masks.mkdir(parents=True)
nib.save(nib.Nifti1Image(mask, mask_affine), masks / "mask_hypo_ad.nii")
peer.generate_hypometabolic_dataset(caps, Path(home, "hypo"), 1, 1, anomaly_degree=40, sigma=1.5)
(result,) = Path(home, "hypo").rglob("*_pet.nii.gz")
out["hypometabolic"] = {"name": result.name, "shape": shape, "affine": affine.tolist(), "image": flat(pet),
    "mask": {"shape": mask.shape, "affine": mask_affine.tolist(), "data": flat(mask)}, "degree": 40, "sigma": 1.5,
    "result": short(nib.load(result).get_fdata())}
turned = oblique.copy(); turned[:3, 3] = [4, -9, -8]
source, target = nib.Nifti1Image(mask, mask_affine), nib.Nifti1Image(pet, turned)
out["nearest"] = {"affine": turned.tolist(), "shape": shape,
    "result": flat(resample_to_img(source, target, interpolation="nearest").get_fdata())}
cube = np.zeros(shape); cube[4:8, 3:7, 2:6] = 1
a5 = utils.mask_processing(cube.copy(), 30, 2)
small = rng.normal(size=(3, 4))
out["blur"] = {"sum": float(a5.sum()), "at": [[6, 5, 4, float(a5[6, 5, 4])], [0, 0, 0, float(a5[0, 0, 0])], [4, 3, 2, float(a5[4, 3, 2])]],
    "small": flat(small), "sigmas": [0.0, 0.1, 0.4, 1.3, 5.0],
    "blurred": [flat(gaussian_filter(small, sigma)) for sigma in [0.0, 0.1, 0.4, 1.3, 5.0]]}

# 4.1 random: noise in the first image.
t1 = rng.uniform(0, 100, (16, 16, 16)).astype(np.float32)
Path(caps, "subjects").rename(Path(home, "pet"))
put("sub-1", "ses-M000", "t1_linear", "space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz", t1, affine)
peer.generate_random_dataset(caps, Path(home, "random"), 10, 1, mean=3, sigma=1.5)
images = [nib.load(p).get_fdata() - t1 for p in sorted(Path(home, "random").rglob("*_T1w.nii.gz"))]
assert len(images) == 20
out["random"] = {"mean": 3, "sigma": 1.5, "quantiles": quantiles(images)}

# 4.2 trivial: losses in percent of 300 images with 500 voxels in the mask, of which 20 are 0.
image, region = np.full((10, 10, 10), 80.0), np.zeros((10, 10, 10))
region[:5] = 1; image[0, :2] = 0
def loss():
    after = utils.im_loss_roi_gaussian_distribution(image, region, 30)
    assert (after[5:] == image[5:]).all() and (after[0, :2] == 0).all()
    return 100 * (1 - after[(region > 0) & (image > 0)] / 80)
losses = np.array([loss() for _ in range(300)])
out["trivial"] = {"percent": 30, "voxels": losses.shape[1], "quantiles": quantiles(losses),
    "greatest": quantiles(losses.max(axis=1)), "least": float(losses.min(axis=1).max())}

# 4.4 artifacts.
head = np.zeros((9, 10, 11), np.float32); head[2:7, 2:8, 2:9] = rng.uniform(20, 100, (5, 6, 7)); head += 3
cases = []
for grid, degrees, shift, times in [
    (oblique, [[3.0, 2.5, 3.5], [2.2, 3.9, 2.8]], [[2.1, 3.0, 2.6], [3.7, 2.4, 3.3]], [0.3, 0.7]),
    (affine, [[-8.0, 5.0, 10.0]], [[1.0, -2.0, 3.0]], [0.4]),
    (affine, [[4.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]], [0.55]),
    (oblique, [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [-2.0, 2.0, 0.0]], [[0.5, 0.5, 0.5], [-1.0, 0.0, 2.0], [0.0, 3.0, 0.0]], [0.2, 0.45, 0.8]),
]:
    motion = tio.Motion(degrees=np.array(degrees), translation=np.array(shift), times=np.array(times), image_interpolation="linear")
    moved = motion(tio.ScalarImage(tensor=torch.tensor(head[None]), affine=grid)).data[0]
    cases.append({"affine": grid.tolist(), "degrees": degrees, "translation": shift, "times": times, "result": short(moved)})
out["motion"] = {"shape": head.shape, "image": flat(head), "cases": cases}
signed = np.array([-20, -1, -0.5, 0, 0.25, 1, 3, 100], np.float32)
gamma = lambda values: flat(tio.Gamma(0.85)(tio.ScalarImage(tensor=torch.tensor(values).reshape(1, -1, 1, 1))).data)
out["contrast"] = {"gamma": 0.85, "signed": [flat(signed), gamma(signed)], "positive": [flat(signed[3:]), gamma(signed[3:])]}
noise, plain = tio.RandomNoise(std=(5, 15)), tio.ScalarImage(tensor=torch.full((1, 6, 6, 6), 50.0))
noises = np.array([(noise(plain).data - 50).numpy() for _ in range(3000)])
out["noise"] = {"quantiles": quantiles(noises), "deviations": quantiles(noises.reshape(3000, -1).std(axis=1))}
params = [tio.RandomMotion(degrees=(2, 4), translation=(2, 4), num_transforms=2).get_params((2, 4), (2, 4), 2) for _ in range(4000)]
out["movements"] = {"times": [quantiles([p[0][i] for p in params]) for i in range(2)],
    "degrees": quantiles([p[1] for p in params]), "translation": quantiles([p[2] for p in params])}

# 4.5 Shepp-Logan.
ellipses = []
for _ in range(12):
    row, col, a, b, turn = rng.uniform(-3, 40), rng.uniform(-3, 40), rng.uniform(1, 20), rng.uniform(1, 20), rng.uniform(-np.pi, np.pi)
    rr, cc = ellipse(row, col, a, b, (37, 37), rotation=turn)
    ellipses.append([row, col, a, b, turn, len(rr), int(rr.sum()), int(cc.sum()), int((rr * cc).sum())])
out["ellipses"] = {"size": 37, "cases": ellipses}
def measures(subtype, smoothing):
    image = utils.generate_shepplogan_phantom(64, subtype, smoothing)
    grey = (image > 0.35) & (image < 0.65)
    return [image.mean(), image.std(), (image > 0.9).sum(), grey[:26].sum(), grey[40:].sum(), (image < 0.01).sum(),
            image[grey].mean(), np.abs(np.diff(image, axis=0)).mean()]
out["phantoms"] = {"size": 64, "count": 1500, "cases": [
    {"subtype": subtype, "smoothing": smoothing, "quantiles": [quantiles(m, 49) for m in np.transpose(
        [measures(subtype, smoothing) for _ in range(1500)])]}
    for subtype, smoothing in [(0, False), (1, False), (2, False), (0, True)]]}
json.dump(out, open(os.path.join(here, "synthetic.json"), "w"))
