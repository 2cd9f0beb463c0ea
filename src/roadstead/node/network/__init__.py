"""The node's network: links, addresses, Services, DNS, and the way in from the host.

The seam to netd (synchronous, single-threaded, inside the node's user, network and mount namespaces):

    network = NodeNetwork(NetworkSettings())
    network.prepare()                               # once, before the first pod
    fd = network.attach("default/web-0", "10.244.0.7")   # a network namespace, ready; setns(fd) in the forked child
    network.apply_services(table)                   # any time; only differences reach the kernel
    network.apply_policies(table)                   # the new pod's isolation is committed before its first process
    network.detach("default/web-0")

The seam to the supervisor (pure): `services_from(services, endpointslices) -> ServiceTable`,
`compile_policies(pods, namespaces, policies, addresses) -> PolicyTable`, `difference(old, new) -> PolicyChange`. Tables
are frozen msgspec structs, so they cross netd's control socket as msgpack or JSON.
"""
