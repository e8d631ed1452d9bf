"""Small NIfTI files of every kind and what nibabel reads from them. Needs nibabel (seen with 5.4.2), numpy.

usage: nifti.py   (writes *.nii and nifti.json beside itself)
"""
import json, os
import nibabel as nib, numpy as np
from nibabel.volumeutils import array_to_file
here = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(0)
OBLIQUE = np.array([[-1.1, .2, .05, 90], [.15, 1.9, -.3, -126], [.1, .4, .8, -72], [0, 0, 0, 1]])
cases = {}

def save(name, dtype, endian="<", slope=1.0, inter=0.0, affine=OBLIQUE, form="sform", raw=None):
    dtype = np.dtype(dtype).newbyteorder(endian)
    if raw is None:
        if dtype.kind in "iu":
            info = np.iinfo(dtype)
            raw = rng.integers(info.min, info.max, (3, 4, 5), dtype=dtype.newbyteorder("="), endpoint=True)
        else:
            raw = rng.normal(0, 1e3, (3, 4, 5))
    header = nib.Nifti1Header(endianness=endian)
    header.set_data_dtype(dtype)
    header.set_data_shape(raw.shape)
    if form == "sform": header.set_sform(affine, 2); header.set_qform(None, 0)
    elif form == "qform": header.set_qform(affine, 1, strip_shears=True); header.set_sform(None, 0)
    else: header.set_sform(None, 0); header.set_qform(None, 0); header["pixdim"][1:4] = (1.5, 2, 2.5)
    header["magic"] = b"n+1"; header["vox_offset"] = 352
    header["scl_slope"], header["scl_inter"] = slope, inter
    path = os.path.join(here, name + ".nii")
    with open(path, "wb") as f:
        f.write(header.binaryblock); f.write(b"\0" * 4)
        f.write(np.asarray(raw).astype(dtype).tobytes(order="F"))
    image = nib.load(path)
    data = image.get_fdata(dtype="float32")
    bits = np.ascontiguousarray(data).view(np.uint32).ravel()
    cases[name] = {"shape": list(data.shape), "bits": bits.tolist(), "affine": image.affine.tolist()}

for t in ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"):
    save(f"{t}_little", t)
    save(f"{t}_big_scaled", t, ">", 0.37, -12.5)
save("slope_only", "i2", slope=0.1)
save("inter_only", "i4", inter=7.25)
save("slope_zero", "i2", slope=0.0, inter=3.0)
save("slope_nan", "i2", slope=np.nan)
save("slope_overflows", "i2", slope=3e35)
save("qform", "f4", form="qform", affine=np.diag([1, 2, 3, 1]) @ OBLIQUE)
flipped = np.array([[-1., 0, 0, 90], [0, 1, 0, -126], [0, 0, 1, -72], [0, 0, 0, 1]])
save("qform_flipped", "f4", form="qform", affine=flipped)
save("no_form", "u1", form="none")
nan = rng.normal(size=(3, 4, 5)); nan[0, 1, 2] = np.nan; nan[1, 1, 1] = np.inf
save("not_finite", "f4", raw=nan)
json.dump({"nibabel": nib.__version__, "numpy": np.__version__, "cases": cases}, open(os.path.join(here, "nifti.json"), "w"))
