"""Bringing a model's classes and a data set's classes together, by name."""

import numpy as np
import numpy.typing as npt

from fastinst_rt.categories import Categories
from fastinst_rt.errors import UsageError


def match_classes(model: Categories, data: Categories) -> npt.NDArray[np.int64]:
    """For each class of the model the class of the data set of the same name, -1 where there is none: int64 [K].

    By name, because the same id means another class in another data set.

    Raises:
        UsageError: no name is in both.
    """
    matched = np.array([data.index_of.get(name, -1) for name in model.names], np.int64)
    if (matched < 0).all():
        raise UsageError(
            f"The model and the data have no class in common (the data has {', '.join(data.names[:5])}, ...).",
            "Evaluate a model that was trained for these classes.",
        )
    return matched


def unknown_note(model: Categories, data: Categories) -> list[str]:
    """A note on the data set's classes that the model does not know, if there are any; they are not evaluated."""
    unknown = [name for name in data.names if name not in model.index_of]
    if not unknown:
        return []
    some = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
    return [f"classes of the data that the model does not know are not evaluated, {len(unknown)} in all: {some}"]
