from roadstead.gateway.xds.messages import as_json
from roadstead.gateway.xds.replies import local_replies


def test_every_answer_has_a_text(golden):
    golden("replies", as_json(local_replies()))
