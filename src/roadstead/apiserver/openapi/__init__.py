"""OpenAPI, in the versions that clients ask for: v3, one document per group and version, and v2, one for all.

`documents` puts schemas and `paths` together; `v2` makes the older form of both, which older clients read as protobuf.
"""

from roadstead.apiserver.openapi.documents import document, index, join_descriptions

__all__ = ["document", "index", "join_descriptions"]
