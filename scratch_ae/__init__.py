"""scratch_ae: a convolutional autoencoder for flower photographs, written by hand to learn from.

Read the files in order of dependence:

    shapes, reference, kernels, layers, losses, optim        the mathematics
    experiments, checkpoint, parallel, model, gradcheck      the network, and the proof of it
    garden, data, cache, window, preview, figures, run, train
                                                             the pictures, and the training
    download                                                 photographs to learn from
    peers, ladder, bench                                     how fast it is beside Keras and PyTorch
"""

import argparse
import os
import sys
from collections.abc import Callable

__version__ = "0.1.0"


class UserError(ValueError):
    """The user's mistake, not the program's: a command prints it as one `Error:` line and exits with 2."""


class Parser(argparse.ArgumentParser):
    """Its complaints are mistakes like any other."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise UserError(f"{message}. See: {self.prog} --help")


def command(main: Callable[[list[str]], int]) -> None:
    """Run a command's main with the program's arguments and exit with what it returns; no traceback for the user."""
    nowhere = open(os.devnull, "w")  # noqa: SIM115  (for a stream that was closed before we began)
    sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name may hold what the terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    program = sys.modules["__main__"]
    try:
        try:
            if sys.argv[1:] in (["-h"], ["--help"]) and not hasattr(program, "Parser"):  # a Parser has its own help
                print(program.__doc__)
                sys.exit(0)
            sys.exit(main(sys.argv[1:]))
        finally:
            sys.stdout.flush()  # here, not after us, where nobody would catch what it raises
    except BrokenPipeError:  # whoever read our output, `head` say, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (UserError, OSError, MemoryError) as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(130)
