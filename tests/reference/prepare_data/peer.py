"""A small CAPS and the tensors that ClinicaDL extracts from it. Run with a Python that has clinicadl
1.6.1 (with nibabel 5.4.2, numpy 1.26.4, torch 2.13.0), whose `clinicadl` is on the PATH.

usage: peer.py   (writes caps/, tensors/ and extraction.json beside itself)

Images are cut from no brain: a smooth function and noise, each in another way of storing numbers. A tensor
is stored as the bytes of its little-endian float32 numbers in C order; its shape is [1, 5, 6, 7].
"""
import glob, gzip, json, os, shutil, subprocess, tempfile
import nibabel as nib, numpy as np, torch
here = os.path.dirname(os.path.abspath(__file__))
NAME = "{0}_{1}_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz"
AFFINE = np.array([[1., 0, 0, -83], [0, 1, 0, -119], [0, 0, 1, -79], [0, 0, 0, 1]])
rng = np.random.default_rng(0)
x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in (5, 6, 7)], indexing="ij")
brain = 1000 * np.exp(-(x * x + 2 * y * y + z * z)) + rng.normal(0, 20, x.shape)

caps, tensors = os.path.join(here, "caps"), os.path.join(here, "tensors")
for folder in (caps, tensors):
    shutil.rmtree(folder, ignore_errors=True); os.makedirs(folder)

def save(sub, ses, dtype, endian="<", slope=1.0, inter=0.0, data=brain):
    folder = os.path.join(caps, "subjects", sub, ses, "t1_linear"); os.makedirs(folder)
    header = nib.Nifti1Header(endianness=endian)
    header.set_data_dtype(np.dtype(dtype).newbyteorder(endian)); header.set_data_shape(data.shape)
    header.set_sform(AFFINE, 4); header.set_qform(AFFINE, 4)
    header["magic"] = b"n+1"; header["vox_offset"] = 352
    header["scl_slope"], header["scl_inter"] = slope, inter
    raw = (data - inter) / slope
    raw = raw.astype(dtype) if np.dtype(dtype).kind == "f" else np.clip(np.rint(raw), np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)
    body = header.binaryblock + b"\0" * 4 + raw.astype(np.dtype(dtype).newbyteorder(endian)).tobytes(order="F")
    with open(os.path.join(folder, NAME.format(sub, ses)), "wb") as f:
        f.write(gzip.compress(body, mtime=0))

save("sub-01", "ses-M000", "f4")
save("sub-01", "ses-M012", "i2", slope=0.037, inter=11.5)
save("sub-02", "ses-M000", "u2", ">", slope=0.02)
save("sub-03", "ses-M000", "f8", slope=1.7, inter=-3.25)
odd = brain.copy(); odd[1, 2, 3], odd[0, 0, 0], odd[4, 5, 6] = np.nan, np.inf, -np.inf
save("sub-04", "ses-M000", "f4", data=odd)
save("sub-05", "ses-M000", "i4", ">", slope=1e-4, inter=500.0)

with tempfile.TemporaryDirectory() as work:
    copy = os.path.join(work, "caps"); shutil.copytree(caps, copy)
    subprocess.run(["clinicadl", "prepare-data", "image", copy, "t1-linear", "--extract_json", "extract.json", "-np", "1"], check=True)
    for path in sorted(glob.glob(f"{copy}/subjects/*/*/deeplearning_prepare_data/image_based/t1_linear/*.pt")):
        tensor = torch.load(path, weights_only=True)
        assert tensor.dtype == torch.float32 and tuple(tensor.shape) == (1, 5, 6, 7)
        name = "_".join(os.path.basename(path).split("_")[:2])
        with open(os.path.join(tensors, name + ".f32"), "wb") as f:
            f.write(np.ascontiguousarray(tensor.numpy()).astype("<f4").tobytes())
    shutil.copy(os.path.join(copy, "tensor_extraction/extract.json"), os.path.join(here, "extraction.json"))
