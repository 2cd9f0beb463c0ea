"""What every field of every served kind is: generated tables of facts, and the compiled tree that others walk.

`tables` reads what `scripts/generate_schemas.py` wrote; `structure` compiles a schema (built in or of a CRD) once into
nodes. Next: `validation`, `admission` and `patches` walk those nodes, `openapi` shows the schemas to clients.
"""

from roadstead.apiserver.schemas.structure import Schema
from roadstead.apiserver.schemas.tables import CustomResource, schema_of

__all__ = ["CustomResource", "Schema", "schema_of"]
