"""scratch_ae: a convolutional autoencoder for flower photographs, written by hand to learn from.

Read the files in the order of their dependence:

    shapes, reference, kernels, layers, losses, optim        the mathematics
    experiments, checkpoint, parallel, model, gradcheck      the network and the proof of it
    garden, data, preview, figures, train                    the pictures and the training
"""

__version__ = "0.1.0"


class UserError(ValueError):
    """A mistake of the user's, not of the program's: a command prints it as one `Error:` line and exits with 2."""
