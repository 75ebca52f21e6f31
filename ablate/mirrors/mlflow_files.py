"""A run's artifacts on their way to MLflow."""

from __future__ import annotations

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    PERMISSION_DENIED,
    UNAUTHENTICATED,
)
from requests import HTTPError

from ablate.attempt.artifacts import Artifact

_CODES = {400: INVALID_PARAMETER_VALUE, 401: UNAUTHENTICATED, 403: PERMISSION_DENIED}
"""What MLflow calls the answers of a server that stores artifacts; others may pass."""


def put_file(client: MlflowClient, remote_id: str, artifact: Artifact) -> None:
    """Copy a file into a run's artifacts, in place of one of the same name.

    Raises:
        MlflowException: If it cannot be copied, with what says whether trying again may help.
    """
    folder, _, _ = artifact.name.rpartition("/")
    try:
        client.log_artifact(remote_id, str(artifact.path), folder or None)
    except HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        code = _CODES.get(status, INTERNAL_ERROR)
        raise MlflowException(f"{artifact.name}: {error}", error_code=code) from error
    except OSError as error:
        raise MlflowException(f"{artifact.name}: {error}", error_code=INTERNAL_ERROR) from error
