"""4. Routes become Envoy configuration: gather, translate, IR, xDS."""
