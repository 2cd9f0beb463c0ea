"""Which GatewayClasses are ours, and what their status says."""

from collections.abc import Mapping
from typing import Any

from roadstead.api.conditions import condition
from roadstead.api.objects import Object
from roadstead.gateway.resources import Resources
from roadstead.gateway.statuses import StatusUpdate, generation_of, update_for
from roadstead.gateway.translate.fields import spec_of, text
from roadstead.gateway.translate.parameters import class_parameters

SUPPORTED_FEATURES = (
    "BackendTLSPolicy",
    "BackendTLSPolicySANValidation",
    "GRPCRoute",
    "GRPCRouteNamedRouteRule",
    "GRPCRouteRequestHeaderModifier",
    "Gateway",
    "GatewayAddressEmpty",
    "GatewayBackendClientCertificate",
    "GatewayFrontendClientCertificateValidation",
    "GatewayFrontendClientCertificateValidationInsecureFallback",
    "GatewayHTTPListenerIsolation",
    "GatewayHTTPSListenerDetectMisdirectedRequests",
    "GatewayInfrastructure",
    "GatewayPort8080",
    "GatewayStaticAddresses",
    "HTTPRoute",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteBackendProtocolH2C",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendTimeout",
    "HTTPRouteCORS",
    "HTTPRouteDestinationPortMatching",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestMultipleMirrors",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteRetry",
    "HTTPRouteRetryBackendTimeout",
    "HTTPRouteRetryConnectionError",
    "HTTPRouteSchemeRedirect",
    "ListenerSet",
    "ReferenceGrant",
    "TCPRoute",
    "TLSRoute",
    "TLSRouteModeMixed",
    "TLSRouteModeTerminate",
)
"""What GatewayClass.status.supportedFeatures names (pkg/features in gateway-api); sorted."""


def controller_name(gateway_class: Mapping[str, Any]) -> str:
    """Return the name of the controller that the class asks for."""
    return text(spec_of(gateway_class).get("controllerName"))


def our_classes(resources: Resources) -> dict[str, str]:
    """Return the names of the classes that we serve, each with its controller's name."""
    return {
        key.name: controller_name(found)
        for key, found in resources.gateway_classes.items()
        if controller_name(found) in resources.controller_names
    }


def gateway_class_status(gateway_class: Object, resources: Resources) -> StatusUpdate:
    """Return what the status of a class of ours says."""
    generation = generation_of(gateway_class)
    problem = class_parameters(gateway_class, resources).problem
    if problem:
        accepted = condition("Accepted", False, *problem, generation=generation)
    else:
        accepted = condition("Accepted", True, "Accepted", "Roadstead serves this class", generation=generation)
    features = [{"name": name} for name in SUPPORTED_FEATURES]
    return update_for(gateway_class, {"conditions": [accepted], "supportedFeatures": features})
