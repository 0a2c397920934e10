"""What all surfaces of triangles need."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.floating]


def vertex_normals(vertices: Array, faces: NDArray[np.int64]) -> Array:
    """Unit normals [..., V, 3] of vertices [..., V, 3], faces [F, 3]; triangles are weighted by their area."""
    count = vertices.shape[-2]
    corners = vertices[..., faces, :]
    across = np.cross(corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :])
    flat = np.moveaxis(across.reshape(-1, *across.shape[-2:]), 1, 0).reshape(len(faces), -1)
    columns = np.repeat(np.arange(len(faces)), 3)
    around = sparse.csr_matrix((np.ones(faces.size, flat.dtype), (faces.reshape(-1), columns)), (count, len(faces)))
    normals = np.moveaxis((around @ flat).reshape(count, -1, 3), 0, 1).reshape(vertices.shape)
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
