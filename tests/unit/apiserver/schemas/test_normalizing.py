from roadstead.apiserver.schemas.normalizing import normalize
from roadstead.apiserver.schemas.tables import compile_definition

REQUIREMENTS = compile_definition("io.k8s.api.core.v1.ResourceRequirements")
META = compile_definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")


def test_quantities_get_one_spelling():
    value = {"limits": {"cpu": 1, "memory": "1024Mi", "x": 0.5, "odd": "many"}}
    normalize(value, REQUIREMENTS)
    assert value == {"limits": {"cpu": "1", "memory": "1Gi", "x": "500m", "odd": "many"}}


def test_nulls_that_mean_nothing_go():
    value = {"name": "a", "creationTimestamp": None, "labels": {"a": None, "b": "c"}}
    normalize(value, META)
    assert value == {"name": "a", "labels": {"b": "c"}}
