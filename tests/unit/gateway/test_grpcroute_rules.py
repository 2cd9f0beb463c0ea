"""Which test shows which rule of the specification of GRPCRoute that the conformance suite's gRPC tests leave open.

Source of the rules: gateway-api v1.6, apis/v1/grpcroute_types.go, shared_types.go, gateway_types.go,
backendtlspolicy_types.go. What stands here is checked: every test that is named must be there.
"""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
TRANSLATE = "unit/gateway/translate"

RULES = {
    "HTTP listeners take HTTP/2 with prior knowledge, HTTPS listeners offer h2 by ALPN": (
        "e2e/test_envoy_routing.py::test_login_is_answered_by_all_replicas_in_turn_over_one_connection",
        "e2e/test_envoy_tls.py::test_alpn_offers_h2_first_and_http_1_1_to_those_who_know_no_other",
        f"{TRANSLATE}/test_listeners.py::test_an_unknown_protocol_has_no_kinds",
    ),
    "without an intersection of host names a route is not accepted": (
        f"{TRANSLATE}/test_parents.py::test_why_a_route_does_not_attach",
    ),
    "host names of the route that do not intersect are ignored": (
        f"{TRANSLATE}/test_parents.py::test_one_host_name_that_fits_is_enough",
        f"{TRANSLATE}/test_precedence.py::test_a_route_serves_what_is_left_of_its_host_at_each_listener",
    ),
    "of a GRPCRoute and an HTTPRoute with one host name the older is accepted (at a strict Gateway)": (
        f"{TRANSLATE}/test_overlap.py::test_a_strict_gateway_refuses_the_younger_route",
        f"{TRANSLATE}/test_overlap.py::test_both_are_served_unless_the_gateway_is_strict",
    ),
    "a rule without matches matches every gRPC request": (
        f"{TRANSLATE}/test_grpcroute.py::test_a_rule_without_matches_matches_every_grpc_request",
    ),
    "precedence: host name, service, method, headers, age, name, position": (
        f"{TRANSLATE}/test_precedence.py::test_a_longer_host_name_wins_over_a_better_match",
        f"{TRANSLATE}/test_precedence.py::test_the_longest_service_then_the_longest_method_then_the_most_headers",
        f"{TRANSLATE}/test_precedence.py::test_ties_between_routes_go_to_the_older_then_to_the_name",
        f"{TRANSLATE}/test_precedence.py::test_ties_go_to_the_first_rule_and_the_first_match",
        "e2e/test_gateway_explain.py::test_envoy_does_what_is_explained",
    ),
    "methods: Exact minds case, a service or a method alone, regular expressions": (
        f"{TRANSLATE}/test_grpcroute.py::test_methods_become_paths",
        "e2e/test_grpcroute_rules.py::test_methods_mind_their_case_header_names_do_not_and_expressions_match_the_whole",
    ),
    "header names fold case, the first of equals counts, unknown types are UnsupportedValue": (
        f"{TRANSLATE}/test_grpcroute.py::test_header_names_fold_case_and_the_first_of_equal_names_counts",
        f"{TRANSLATE}/test_grpcroute.py::test_a_value_that_is_not_supported_drops_the_rule_and_is_told",
        "e2e/test_grpcroute_rules.py::test_methods_mind_their_case_header_names_do_not_and_expressions_match_the_whole",
    ),
    "requests without a valid backend are UNAVAILABLE, or their share of the requests": (
        f"{TRANSLATE}/test_routes.py::test_without_any_backend_the_gateway_answers_and_says_why",
        "e2e/test_grpcroute_rules.py::test_the_share_of_invalid_backends_is_unavailable_and_says_why",
    ),
    "reasons of ResolvedRefs: InvalidKind, BackendNotFound, RefNotPermitted, UnsupportedProtocol": (
        f"{TRANSLATE}/test_routes.py::test_a_reference_that_leads_nowhere_is_told",
        f"{TRANSLATE}/test_routes.py::test_a_grant_opens_another_namespace",
    ),
    "weights: a share of the sum, 0 is none, 1 by default": (
        f"{TRANSLATE}/test_routes.py::test_weights_are_kept_and_zero_receives_nothing",
        "e2e/test_envoy_routing.py::test_weights_divide_the_requests",
    ),
    "filters: header modifiers and mirrors, these with a share": (
        f"{TRANSLATE}/test_routes.py::test_mirrors_have_a_share",
        "e2e/test_grpcroute_rules.py::test_a_mirror_gets_its_share_and_nobody_waits_for_it",
    ),
    "a mirror's target that cannot be resolved is told and left out": (
        f"{TRANSLATE}/test_routes.py::test_a_mirror_that_leads_nowhere_is_told_and_left_out",
        "e2e/test_grpcroute_rules.py::test_a_mirror_gets_its_share_and_nobody_waits_for_it",
    ),
    "header filters: set overwrites, add appends, remove folds case": (
        f"{TRANSLATE}/test_routes.py::test_header_filters_of_a_rule",
        "e2e/test_grpcroute_rules.py::test_filters_edit_headers_of_all_calls_and_those_of_a_backend_only_its_own",
    ),
    "a filter that cannot be resolved is not skipped": (
        f"{TRANSLATE}/test_routes.py::test_an_extension_that_leads_nowhere_is_not_skipped",
        "e2e/test_grpcroute_rules.py::test_a_filter_that_cannot_be_resolved_is_not_skipped",
    ),
    "filters that contradict each other are IncompatibleFilters": (
        f"{TRANSLATE}/test_routes.py::test_filters_that_cannot_be_served_drop_their_rule",
    ),
    "filters of a backend run if it is chosen, and only then": (
        f"{TRANSLATE}/test_routes.py::test_filters_of_a_backend_stay_with_it",
        "e2e/test_grpcroute_rules.py::test_filters_edit_headers_of_all_calls_and_those_of_a_backend_only_its_own",
    ),
    "rules have names; session persistence by cookie or header": (
        f"{TRANSLATE}/test_grpcroute.py::test_a_rule_is_named_in_its_lines",
        f"{TRANSLATE}/test_sessions.py::test_sessions",
        "e2e/test_envoy_routing.py::test_a_session_stays_with_one_endpoint",
    ),
    "a parent's port and section must both fit": (
        f"{TRANSLATE}/test_parents.py::test_why_a_route_does_not_attach",
        f"{TRANSLATE}/test_parents.py::test_a_listener_for_another_kind_does_not_allow",
    ),
    "PartiallyInvalid is only ever True, with `Dropped Rule`": (
        f"{TRANSLATE}/test_grpcroute.py::test_rules_beside_a_dropped_one_stay",
        "unit/gateway/test_last_good.py::test_a_refused_rule_is_served_as_it_said_before_and_the_status_says_so",
    ),
    "attachedRoutes counts accepted routes, whatever becomes of the listener": (
        f"{TRANSLATE}/test_listeners.py::test_routes_count_even_where_the_listener_is_not_served",
    ),
    "listeners of a Gateway that cannot be told apart are all in conflict": (
        f"{TRANSLATE}/test_listeners.py::test_equal_listeners_are_all_in_conflict",
        f"{TRANSLATE}/test_gateways.py::test_without_a_good_listener_the_gateway_is_not_accepted",
    ),
    "the most specific listener has a host for itself": (
        f"{TRANSLATE}/test_precedence.py::test_a_host_of_a_narrower_listener_is_its_own_even_without_routes",
    ),
    "BackendTLSPolicy: host name, authorities, the older of two": (
        f"{TRANSLATE}/test_backendtls.py::test_a_policy_gives_its_service_tls",
        f"{TRANSLATE}/test_backendtls.py::test_of_two_policies_the_older_counts",
        f"{TRANSLATE}/test_backendtls.py::test_a_policy_that_cannot_be_kept_is_told_and_nothing_goes_without_tls",
        "e2e/test_envoy_tls.py::test_tls_to_a_backend_checks_its_name_and_authority",
    ),
    "others' conditions and parents stay, newer generations are not written over": (
        "unit/gateway/test_statuses.py::test_parents_of_other_controllers_stay",
        "unit/gateway/test_statuses.py::test_conditions_of_others_stay",
        "unit/gateway/test_statuses.py::test_another_generation_or_another_object_of_the_name_is_not_spoken_of",
    ),
}


def test_there_are_twenty_five_rules() -> None:
    assert len(RULES) == 25


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_has_the_tests_that_are_named(rule: str) -> None:
    for test in RULES[rule]:
        file, _, name = test.partition("::")
        assert re.search(rf"^def {name}\(", (TESTS / file).read_text(), re.MULTILINE), test
