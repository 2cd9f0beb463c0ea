"""ValidatingAdmissionPolicies: rules in CEL about what may be written, in force for every kind (KEP-3488).

`policy` reads the objects, `matching` says whom a policy is about, `evaluation` what it has against a request; all of
them are pure. `enforcement` keeps the policies of a store and is asked by `writer` about every write.
"""
