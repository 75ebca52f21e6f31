"""The study files that ship with the package, and where a project's own are."""

from __future__ import annotations

from pathlib import Path

from ablate.errors import NotFoundError, did_you_mean

_SHIPPED = (
    Path(__file__).parent / "_templates",  # in an installed wheel
    Path(__file__).parents[3] / "studies",  # in a checkout
)


def templates() -> dict[str, Path]:
    """Return name -> file of the shipped studies."""
    folder = next(folder for folder in _SHIPPED if folder.is_dir())
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def project_file(project: Path, name: str) -> Path:
    """Return where the project keeps, or would keep, the study of that name."""
    return project / "studies" / f"{name}.yaml"


def find_study(project: Path, name: str) -> Path:
    """Return the project's own file of that name, else the shipped one.

    Raises:
        NotFoundError: With the closest name that exists.
    """
    own = project_file(project, name)
    if own.is_file():
        return own
    shipped = templates()
    if name in shipped:
        return shipped[name]
    known = [*shipped, *(path.stem for path in own.parent.glob("*.yaml"))]
    raise NotFoundError(
        f"there is no study file studies/{name}.yaml and no template '{name}'",
        hint=did_you_mean(name, known),
    )
