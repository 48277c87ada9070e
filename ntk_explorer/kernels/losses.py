"""Kernels that use labels: gradients of a loss or of a margin instead of the outputs'."""

from __future__ import annotations

from ntk_explorer.kernels import KERNELS
from ntk_explorer.kernels._ways import Losses, facts, matrix


@KERNELS.register(
    "loss_gradient",
    label="loss gradient",
    equation=r"K(x, x') = \nabla \ell(f(x), y) \cdot \nabla \ell(f(x'), y') = r^\top \Theta(x, x')\, r'",
    reference="Pruthi, Liu, Kale & Sundararajan (2020), Estimating Training Data Influence by Tracing Gradient Descent",
    cost="1 vector-Jacobian product per example; N² numbers",
    tags=("psd", "uses-labels"),
    **facts(Losses("cross_entropy")),
)
def loss_gradient(f, params, x1, x2=None, *, y1=None, y2=None, loss="cross_entropy", **options):
    """The kernel of loss gradients rᵀ Θ r', with r = ∂ℓ/∂f; at a checkpoint, TracIn's similarity (Grad-Dot).

    For cross-entropy r = softmax(f) − onehot(y), for the squared loss ½‖f − y‖² it is f − y.

    Args:
        f: the network's function.
        params: its parameters.
        x1: examples [n, ...].
        x2: examples [m, ...]; ``x1`` again when None.
        y1: the class of each example of ``x1``, from 0 to c − 1; for the squared loss also targets [n, c].
        y2: the same for ``x2``. For test examples these are the test labels: what uses them is no prediction.
        loss: ``"cross_entropy"`` or ``"squared"``.
        **options: ``batch_size``, ``precision`` and ``by`` as for :func:`~ntk_explorer.kernels.empirical.entk`.

    Returns:
        Array [n, m], or its shares by name.

    Raises:
        InvalidInput: labels that are missing or that the network has no output for.
    """
    return matrix("loss_gradient", f, params, x1, x2, y1=y1, y2=y2, loss=loss, **options)


@KERNELS.register(
    "margin",
    label="margin",
    equation=r"K(x, x') = \nabla m(x, y) \cdot \nabla m(x', y'),\quad m = f_y - \log \sum_{c \neq y} e^{f_c}",
    reference="Park, Georgiev, Ilyas, Leclerc & Madry (2023), TRAK: Attributing Model Behavior at Scale",
    cost="1 vector-Jacobian product per example; N² numbers",
    tags=("psd", "uses-labels"),
    **facts(Losses("margin")),
)
def margin(f, params, x1, x2=None, *, y1=None, y2=None, **options):
    """The kernel of margin gradients wᵀ Θ w', with m = log(p_y / (1 − p_y)) and w = ∂m/∂f.

    Arguments and errors as for :func:`loss_gradient`.

    Returns:
        Array [n, m], or its shares by name.
    """
    return matrix("margin", f, params, x1, x2, y1=y1, y2=y2, **options)
