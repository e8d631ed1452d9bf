"""A CAPS with several kinds of images and masks, and what ClinicaDL extracts from it in every mode that
runs there. Run with a Python that has clinicadl 1.6.1 (nibabel 5.4.2, numpy 1.26.4, torch 2.13.0), whose
`clinicadl` is on the PATH.

usage: modes.py   (writes modes/ and modes.json beside itself)

For every case: the command's arguments, the extraction file, and every tensor with its shape and the bits
of its float32 numbers in C order.
"""
import glob, gzip, json, os, shutil, subprocess, tempfile
import nibabel as nib, numpy as np, torch
here = os.path.dirname(os.path.abspath(__file__))
caps = os.path.join(here, "modes")
shutil.rmtree(caps, ignore_errors=True)
AFFINE = np.array([[1., 0, 0, -83], [0, 1, 0, -119], [0, 0, 1, -79], [0, 0, 0, 1]])
SPACE = "space-MNI152NLin2009cSym"
CROPPED, WHOLE = (4, 5, 3), (5, 6, 4)
rng = np.random.default_rng(1)

def save(path, data):
    path = os.path.join(caps, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    body = nib.Nifti1Image(data, AFFINE).to_bytes()
    with open(path, "wb") as f:
        f.write(gzip.compress(body, mtime=0) if path.endswith(".gz") else body)

def image(shape):
    data = rng.normal(100, 50, shape).astype("f4")
    data[0, 0, 0] = np.nan
    return data

for sub in ("sub-01", "sub-02"):
    base = f"subjects/{sub}/ses-M000"
    name = f"{sub}_ses-M000"
    for suffix, folder in (("T1w", "t1_linear"), ("flair", "flair_linear")):
        save(f"{base}/{folder}/{name}_{SPACE}_desc-Crop_res-1x1x1_{suffix}.nii.gz", image(CROPPED))
        save(f"{base}/{folder}/{name}_{SPACE}_res-1x1x1_{suffix}.nii.gz", image(WHOLE))
    save(f"{base}/pet_linear/{name}_trc-18FFDG_{SPACE}_desc-Crop_res-1x1x1_suvr-pons2_pet.nii.gz", image(CROPPED))
    grey = "T1w_segm-graymatter_space-Ixi549Space_modulated-off_probability"
    save(f"{base}/t1/spm/segmentation/normalized_space/{name}_{grey}.nii.gz", image(CROPPED))
def mask(shape, *box):
    data = np.zeros(shape, "u1"); data[tuple(slice(*b) for b in box)] = 1
    return data
tpl = "tpl-MNI152NLin2009cSym"
save(f"masks/{tpl}/{tpl}_desc-Crop_res-1x1x1_roi-left_mask.nii.gz", mask(CROPPED, (0, 2), (1, 4), (0, 3)))
hollow = mask(CROPPED, (0, 4), (1, 2), (1, 3)); hollow[1] = 0
save(f"masks/{tpl}/{tpl}_desc-Crop_res-1x1x1_roi-right_mask.nii.gz", hollow)
save(f"masks/{tpl}/{tpl}_res-1x1x1_roi-left_mask.nii.gz", mask(WHOLE, (1, 3), (1, 5), (0, 3)))
save("masks/tpl-Ixi549Space/tpl-Ixi549Space_roi-left_mask.nii", mask(CROPPED, (1, 3), (0, 2), (1, 3)))

GREY = ["-cn", "graymatter_space-Ixi549Space_modulated-off_probability.nii.gz"]
CASES = {
    "image": ["image", "t1-linear"],
    "image-whole": ["image", "t1-linear", "-uui"],
    "flair": ["image", "flair-linear"],
    "pet": ["image", "pet-linear", "--tracer", "18FFDG", "-suvr", "pons2"],
    "custom": ["image", "custom", *GREY],
    "patch": ["patch", "t1-linear", "--save_features", "-ps", "2", "-ss", "2"],
    "patch-overlap": ["patch", "t1-linear", "--save_features", "-ps", "3", "-ss", "1"],
    "patch-later": ["patch", "t1-linear", "-ps", "2", "-ss", "2"],
    "slice-rgb": ["slice", "t1-linear", "--save_features"],
    "slice-single": ["slice", "t1-linear", "--save_features", "-sd", "1", "-sm", "single", "--discarded_slices", "1", "--discarded_slices", "2"],
    "slice-axial": ["slice", "flair-linear", "--save_features", "-sd", "2", "-sm", "single", "--discarded_slices", "1"],
    "roi": ["roi", "t1-linear", "--save_features", "--roi_list", "left", "--roi_list", "right"],
    "roi-uncrop": ["roi", "t1-linear", "--save_features", "--roi_list", "right", "--roi_uncrop_output"],
    "roi-whole": ["roi", "t1-linear", "--save_features", "--roi_list", "left", "-uui"],
    "roi-pet": ["roi", "pet-linear", "--tracer", "18FFDG", "-suvr", "pons2", "--save_features", "--roi_list", "left"],
    "roi-custom": ["roi", "custom", *GREY, "--save_features", "--roi_list", "left", "-ct", "Ixi549Space", "-cmp", "Ixi549"],
}
result = {}
for case, (mode, kind, *options) in CASES.items():
    with tempfile.TemporaryDirectory() as work:
        copy = os.path.join(work, "caps"); shutil.copytree(caps, copy)
        command = ["clinicadl", "prepare-data", mode, copy, kind, "-ej", "extract.json", "-np", "1", *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        tensors = {}
        for path in sorted(glob.glob(f"{copy}/subjects/*/*/deeplearning_prepare_data/*/*/*.pt")):
            tensor = torch.load(path, weights_only=True)
            assert tensor.dtype == torch.float32
            bits = np.ascontiguousarray(tensor.numpy()).view(np.uint32).ravel().tolist()
            tensors[os.path.relpath(path, copy)] = {"shape": list(tensor.shape), "bits": bits}
        with open(os.path.join(copy, "tensor_extraction/extract.json")) as f:
            text = f.read().replace(copy + "/", "")
        result[case] = {"arguments": [mode, kind, *options], "extraction": text, "tensors": tensors}
        print(case, len(tensors), flush=True)
with open(os.path.join(here, "modes.json"), "w") as f:
    json.dump(result, f)
