"""CEL: the rules that CRDs and the Gateway API put on their objects, and those of ValidatingAdmissionPolicies.

The part of the language that such rules are written in: https://github.com/google/cel-spec/blob/master/doc/langdef.md,
with the functions that Kubernetes adds. What is not understood is refused when a rule is compiled, and said so.
Next: `schemas.rules` evaluates the rules of a schema, `admission.policies` those of policies.
"""

from roadstead.apiserver.cel.budget import EVALUATION_LIMIT, OBJECT_LIMIT, Budget, CostExceeded
from roadstead.apiserver.cel.evaluation import Program, compile_rule
from roadstead.apiserver.cel.functions import CelError, NoOverload
from roadstead.apiserver.cel.syntax import CelSyntaxError

__all__ = [
    "EVALUATION_LIMIT", "OBJECT_LIMIT", "Budget", "CelError", "CelSyntaxError", "CostExceeded", "NoOverload", "Program",
    "compile_rule",
]  # fmt: skip
