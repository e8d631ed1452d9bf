"""Times of augmentations beside those of TorchIO, at 169×208×179 voxels. Needs what augmentations.py needs.

usage: augmentation_times.py [--json] PROGRAM [ROUNDS]
PROGRAM is the example `augmentation_times` of the crate `stages`, built with `--release`. Prints a table in Markdown:
medians of rounds in which both take turns, each with one thread, with the defaults of ours, of one image in memory.
With `--json` it prints `{"torchio": VERSION, "ms": {NAME: [OURS, TORCHIO]}}`.
"""
import json
import statistics
import subprocess
import sys
import time

import torch
import torchio as tio

torch.set_num_threads(1)
TRANSFORMS = {
    "Affine": tio.RandomAffine(),
    "Anisotropy": tio.RandomAnisotropy(),
    "BiasField": tio.RandomBiasField(),
    "Elastic": tio.RandomElasticDeformation(),
    "Flip": tio.RandomFlip(flip_probability=1),
    "Gamma": tio.RandomGamma(),
    "Ghosting": tio.RandomGhosting(),
    "Motion": tio.RandomMotion(degrees=(2, 4), translation=(2, 4)),
    "Noise": tio.RandomNoise(std=(0, 0.1)),
    "RandomBlur": tio.RandomBlur(),
    "RandomSwap": tio.RandomSwap(),
    "Spike": tio.RandomSpike(),
}


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--json"]
    program, rounds = arguments[0], int(arguments[1]) if len(arguments) > 1 else 7
    # SimpleITK has threads of its own.
    __import__("SimpleITK").ProcessObject_SetGlobalDefaultNumberOfThreads(1)
    numbers = torch.arange(169 * 208 * 179) * 7919 % 1009
    image = tio.ScalarImage(tensor=(numbers.float() / 1009).view(1, 169, 208, 179))
    ours = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    times = {name: ([], []) for name in TRANSFORMS}
    for _ in range(rounds):
        for name, transform in TRANSFORMS.items():
            print(name, file=ours.stdin, flush=True)
            times[name][0].append(float(ours.stdout.readline()))
            subject = tio.Subject(image=tio.ScalarImage(tensor=image.data.clone()))
            started = time.perf_counter()
            transform.apply_transform(subject)
            times[name][1].append((time.perf_counter() - started) * 1000)
    ours.stdin.close()
    ours.wait()
    medians = {name: [*map(statistics.median, pair)] for name, pair in times.items()}
    if "--json" in sys.argv:
        print(json.dumps({"torchio": tio.__version__, "ms": medians}))
        return
    print("| augmentation | ours | TorchIO | ratio |\n|---|---|---|---|")
    for name, (a, b) in medians.items():
        print(f"| `{name}` | {a:,.0f} | {b:,.0f} | {b / a:.1f} |")


main()
