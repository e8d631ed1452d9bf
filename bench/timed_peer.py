"""Runs one command of ClinicaDL 1.6.1, and tells when its parts began and ended. Run with the Python that has it.

usage: timed_peer.py [--no-dropout] MARKS ARGUMENT…    MARKS is made anew; the arguments are those of `clinicadl`

The peer's log has whole seconds. Its own hooks are called where an epoch ends, with everything that it
computed there; beyond a line in MARKS nothing is added. A line of MARKS is JSON: `at` in seconds, what
happened, and at the end of an epoch the losses and how many batches they are sums of.

With `--no-dropout` its networks drop nothing, those too that ask for it whatever they are told: what two
programs drop at random is not the same.
"""

import functools
import json
import sys
import time

import torch
from clinicadl import MapsManager
from clinicadl.cmdline import cli
from clinicadl.utils.callbacks.callbacks import CallbacksHandler


def marked(marks, owner, name, before=None, after=None):
    """Lets a method say when it is called, and when it is done."""
    method = getattr(owner, name)

    @functools.wraps(method)
    def wrapper(*arguments, **options):
        if before:
            tell(marks, before)
        result = method(*arguments, **options)
        if after:
            losses = {k: options[f"metrics_{k}"]["loss"] for k in ("train", "valid") if f"metrics_{k}" in options}
            batches = {"batches": options["i"] + 1} if "i" in options else {}
            tell(marks, after, **losses, **batches)
        return result

    setattr(owner, name, wrapper)


def tell(marks, what, **numbers):
    """Adds a line."""
    print(json.dumps({"at": time.time(), "what": what, **numbers}), file=marks, flush=True)


def without_dropout():
    """Lets every model that is made drop nothing."""
    method = MapsManager._init_model

    @functools.wraps(method)
    def wrapper(*arguments, **options):
        model, epoch = method(*arguments, **options)
        for layer in model.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.0
        return model, epoch

    MapsManager._init_model = wrapper


def main():
    arguments = sys.argv[1:]
    if arguments[0] == "--no-dropout":
        arguments.pop(0)
        without_dropout()
    path, *arguments = arguments
    with open(path, "w", encoding="ascii") as marks:
        marked(marks, CallbacksHandler, "on_train_begin", after="training")
        marked(marks, CallbacksHandler, "on_epoch_end", after="epoch")
        for work in ("train", "predict", "interpret"):
            marked(marks, MapsManager, work, before="begin", after="end")
        cli(args=arguments, prog_name="clinicadl")


if __name__ == "__main__":
    main()
