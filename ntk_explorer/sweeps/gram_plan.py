"""Which Gram matrix: of which kernel, of which network at which epoch, between which examples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ntk_explorer.datasets import LabelledData, load, load_split
from ntk_explorer.errors import InvalidInput, explain_validation
from ntk_explorer.kernels import KERNELS
from ntk_explorer.kernels._destinations import LARGEST_CHUNK
from ntk_explorer.store import Identity, Store, fingerprint
from ntk_explorer.sweeps.cells import examples, initialise
from ntk_explorer.sweeps.plan import DERIVED, SweepPlan

if TYPE_CHECKING:
    import numpy as np

    from ntk_explorer.architectures import Network

PRODUCER = "gram"
REVISION = 1


class GramPlan(BaseModel):
    """One kernel of one network on one data set, as a checked and hashable configuration.

    ``sweep`` says data, network, width, seed and dtype: a plan of one width and one initialisation. With a
    ``checkpoint`` the network is a trained one, and ``sweep`` says what it was before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sweep: SweepPlan
    kernel: str = Field("pntk", description="a name of KERNELS")
    projected: int = Field(0, ge=0, description="random directions onto which gradients are projected; 0: none")
    cosine: bool = Field(False, description="gradients are brought to length one")
    precision: Literal["highest", "tensorfloat32", "bfloat16"] = Field("highest", description="of matrix products")
    # A part of the plan, since the last bits of sums depend on how they are cut.
    tile: int = Field(default=512, ge=1, le=LARGEST_CHUNK, description="examples along the side of a tile")
    checkpoint: str | None = Field(None, description="key of a training's checkpoint (None: the initial network)")
    member: int = Field(0, ge=0, description="number of the network in the checkpoint's ensemble")
    test: int = Field(0, ge=0, le=100_000, description="test examples that are set apart from the data's n; 0: none")
    rows: Literal["train", "test"] = Field("train", description="examples of the rows; columns are the training ones")

    def identity(self, examples: str) -> Identity:
        """What the matrix is in the store."""
        plan = self.sweep
        config = {
            "kernel": self.kernel,
            "projected": self.projected,
            "cosine": self.cosine,
            "tile": self.tile,
            "data": plan.data.model_dump(mode="json", exclude={"path"}),
            "network": plan.network.model_dump(mode="json", exclude=set(DERIVED)),
            "width": plan.widths[0],
            "seed": plan.seed,
        }
        # Only where they say something, so that matrices of initial networks keep their keys.
        config |= {name: getattr(self, name) for name in ("member", "test") if getattr(self, name)}
        config |= {"rows": self.rows} if self.rows != "train" else {}
        inputs = (self.checkpoint,) if self.checkpoint else ()
        return Identity(PRODUCER, REVISION, config, inputs, examples, plan.dtype, self.precision)

    def examples(self) -> GramExamples:
        """The examples of rows and columns, read from their source."""
        if not self.test:
            return GramExamples(load(self.sweep.data))
        train, test = load_split(self.sweep.data, self.test)
        return GramExamples(train) if self.rows == "train" else GramExamples(test, train)

    def params(self, network: Network, store: Store) -> Any:
        """The network's parameters, initial or of the checkpoint, in the plan's dtype.

        Raises:
            InvalidInput: the store holds no such checkpoint, or its ensemble no such member.
        """
        initial = initialise(self.sweep, network, self.member)
        if self.checkpoint is None:
            return initial
        import jax  # not above: plans and results are handled without jax

        from ntk_explorer.training.checkpoints import open_params

        params = open_params(store, self.checkpoint, like=initial)
        seeds = len(jax.tree.leaves(params)[0])
        if self.member >= seeds:
            raise InvalidInput(f"The checkpoint has no member {self.member}", f"Give a number from 0 to {seeds - 1}.")
        return jax.tree.map(lambda leaf: jax.numpy.asarray(leaf[self.member], self.sweep.dtype), params)

    def transformed(self) -> Any:
        """The kernel that the transforms make of the registered one; a projection is drawn from the seed."""
        import jax  # not above: plans and results are handled without jax

        from ntk_explorer.kernels.transform import cosine, projected

        kernel: Any = self.kernel
        if self.projected:
            kernel = projected(kernel, self.projected, jax.random.fold_in(jax.random.key(self.sweep.seed), 2))
        return cosine(kernel) if self.cosine else kernel

    @property
    def title(self) -> str:
        """In a few words."""
        plan = self.sweep
        size = f"{self.test} × {plan.data.n}" if self.rows == "test" else f"n = {plan.data.n}"
        trained = " · trained" if self.checkpoint else ""
        return f"{self.kernel} · {plan.data.name}, {size} · {plan.network.architecture} {plan.widths[0]}{trained}"


@dataclass(frozen=True, eq=False)
class GramExamples:
    """The examples of the rows, and those of the columns where these are others."""

    rows: LabelledData
    others: LabelledData | None = None

    @property
    def columns(self) -> LabelledData:
        """The examples of the columns."""
        return self.others or self.rows

    @property
    def x(self) -> np.ndarray:
        """Inputs of the rows."""
        return self.rows.x

    @property
    def x2(self) -> np.ndarray | None:
        """Inputs of the columns; None for the same."""
        return None if self.others is None else self.others.x

    @property
    def labels(self) -> Any:
        """Of the rows."""
        return examples(self.rows)["label"]

    @property
    def labels2(self) -> Any:
        """Of the columns; None for the same."""
        return None if self.others is None else examples(self.others)["label"]

    @cached_property
    def fingerprint(self) -> str:
        """Of the examples with their labels: these stand beside the matrix, and some kernels use them."""
        both = (self.x, self.labels, self.x2, self.labels2)
        return fingerprint(*(array for array in both if array is not None))


def plan_gram(sweep: SweepPlan, **options: Any) -> GramPlan:
    """Check the configuration of a Gram matrix.

    Args:
        sweep: data, network, width, seed and dtype: a plan of one width and one initialisation.
        **options: other fields of :class:`GramPlan`.

    Raises:
        UnknownName: no such kernel.
        InvalidInput: any other value out of bounds, a plan of several networks, or test examples as rows where none
            are set apart.
    """
    if len(sweep.cells) != 1:
        raise InvalidInput(
            f"A matrix is of one network, and the plan has {len(sweep.cells)}", "Give one width and seed."
        )
    try:
        plan = GramPlan(sweep=sweep, **options)
    except ValidationError as error:
        raise explain_validation(error) from None
    if plan.rows == "test" and not plan.test:
        raise InvalidInput("No test examples are set apart for the rows", "Give their number: test=100.")
    _ = KERNELS[plan.kernel]
    return plan
