"""Small NIfTI files of every kind and what nibabel reads from them. Needs nibabel (seen with 5.4.2) and
numpy 1.26: scaling is done in float32 by value there, as ClinicaDL 1.6.1 had it.

usage: nifti.py   (writes the images and nifti.json beside itself)
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


def note(name, file):
    """What nibabel reads from a file that it wrote."""
    image = nib.load(os.path.join(here, file))
    data = image.get_fdata(dtype="float32")
    bits = np.ascontiguousarray(data).view(np.uint32).ravel()
    cases[name] = {"file": file, "shape": list(data.shape), "bits": bits.tolist(), "affine": image.affine.tolist()}

def write(name, kind, dtype, suffix, endian="<", slope=None, inter=None, shape=(3, 4, 2), change=None, raw=None):
    """An image as nibabel writes it."""
    if raw is None:
        raw = rng.integers(0, 100, shape).astype(dtype)
    image = kind(raw, OBLIQUE, kind.header_class(endianness=endian))
    image.header.set_data_dtype(dtype)
    if slope is not None: image.header.set_slope_inter(slope, inter)
    if change: change(image.header)
    nib.save(image, os.path.join(here, name + suffix))
    note(name, name + suffix)

ONE, PAIR = nib.Nifti1Image, nib.Nifti1Pair
TWO, PAIR2 = nib.Nifti2Image, nib.Nifti2Pair
for t in ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"):
    write(f"two_{t}", TWO, t, ".nii", ">" if t in ("i2", "f4", "u8") else "<")
write("two_scaled", TWO, "i2", ".nii", slope=0.1, inter=1 / 3)
write("two_scaled_large", TWO, "i4", ".nii", slope=0.1, inter=1 / 3)
write("two_slope_beyond_float32", TWO, "u1", ".nii", slope=1e-50, inter=0)
write("two_gz", TWO, "f4", ".nii.gz")
write("gz", ONE, "i2", ".nii.gz", slope=0.1, inter=2)
write("pair", PAIR, "i2", ".hdr", slope=0.5, inter=-3)
write("pair_big", PAIR, "f8", ".hdr", endian=">")
write("pair_two", PAIR2, "f4", ".hdr")
def extended(header):
    header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 100))
    header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"y" * 5))
write("extensions", ONE, "f4", ".nii", change=extended)
write("extensions_two", TWO, "f4", ".nii", change=extended)
def both(header):
    header.set_qform(np.diag([2, 3, 4, 1]), 1); header.set_sform(OBLIQUE, 4)
write("both_forms", ONE, "u1", ".nii", change=both)
def only_qform(header):
    header.set_qform(OBLIQUE, 1, strip_shears=True); header.set_sform(OBLIQUE, 0)
write("two_qform", TWO, "u1", ".nii", change=only_qform)
write("series", ONE, "i2", ".nii.gz", shape=(3, 2, 2, 4), slope=0.1, inter=0)
write("five_dimensions", ONE, "u1", ".nii", shape=(3, 2, 2, 1, 3))
write("one_volume", ONE, "u1", ".nii", shape=(3, 2, 2, 1))

def patched(name, source, *fields):
    """A file of above with some bytes changed, which nibabel would not write itself."""
    with open(os.path.join(here, source), "rb") as f:
        content = bytearray(f.read())
    for at, field in fields:
        content[at:at + len(field)] = field
    with open(os.path.join(here, name + ".nii"), "wb") as f:
        f.write(content)
    note(name, name + ".nii")

f4 = lambda *values: np.array(values, "<f4").tobytes()
i2 = lambda *values: np.array(values, "<i2").tobytes()
patched("pixdim_negative", "no_form.nii", (80, f4(-1.5, 2, -2.5)))
patched("pixdim_zero", "no_form.nii", (80, f4(0, 2, 2.5)))
patched("qfac_zero", "qform_flipped.nii", (76, f4(0)))
patched("quaternion_longer_by_rounding", "qform.nii", (256, f4(1.0000001, 0, 0)))
patched("slope_infinite", "i2_little.nii", (112, f4(np.inf, 3)))
patched("slope_minus", "i2_little.nii", (112, f4(-2.5, 3)))

refused = {}
for t in ("c8", "c16"):
    image = ONE(np.zeros((2, 2, 2), t), np.eye(4))
    nib.save(image, os.path.join(here, f"refused_{t}.nii"))
    refused[f"refused_{t}.nii"] = int(image.header["datatype"])
for t, code in (([("R", "u1"), ("G", "u1"), ("B", "u1")], 128), ([("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")], 2304)):
    nib.save(ONE(np.zeros((2, 2, 2), t), np.eye(4)), os.path.join(here, f"refused_{code}.nii"))
    refused[f"refused_{code}.nii"] = code
with open(os.path.join(here, "f4_little.nii"), "rb") as f:
    content = bytearray(f.read())
content[70:74] = i2(1536, 128)
with open(os.path.join(here, "refused_f16.nii"), "wb") as f:
    f.write(content)
refused["refused_f16.nii"] = 1536
nib.save(nib.AnalyzeImage(np.zeros((2, 2, 2), "i2"), np.eye(4)), os.path.join(here, "analyze.hdr"))

json.dump({"nibabel": nib.__version__, "numpy": np.__version__, "cases": cases, "refused": refused}, open(os.path.join(here, "nifti.json"), "w"))
