from hypothesis import given
from hypothesis import strategies as st

from roadstead.node.policy.table import Isolation, Policy, PolicyChange, PolicyTable, Rule, difference, patched

names = st.sampled_from(["a", "b", "c"])
tables = st.builds(
    PolicyTable,
    groups=st.dictionaries(names, st.frozensets(st.sampled_from(["10.0.0.1", "10.0.0.2"]))),
    policies=st.dictionaries(names, st.builds(Policy, ingress=st.sampled_from([None, (), (Rule("r"),)]))),
    isolated=st.dictionaries(names, st.builds(Isolation, ingress=st.sampled_from([(), ("a",)]))),
)


@given(tables, tables)
def test_a_difference_leads_from_one_table_to_the_other(old, new):
    assert patched(old, difference(old, new)) == new


@given(tables)
def test_equal_tables_do_not_differ(table):
    assert not difference(table, table)
    assert patched(table, PolicyChange()) == table
