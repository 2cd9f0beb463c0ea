from pathlib import Path

import pytest

from roadstead.service import standard_stages
from roadstead.service.credentials.certificate import CertificateVerifier


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"passwords": Path("passwords")}, "passwords"),
        ({"tokens": lambda token: None}, "tokens"),
        ({"certificates": CertificateVerifier()}, "certificates"),
        ({"end_expired_streams": True}, "end_expired_streams"),
    ],
)
def test_credentials_without_a_policy_are_refused_rather_than_ignored(settings, named):
    with pytest.raises(ValueError, match=f"^{named}: without a policy nobody is asked who they are"):
        standard_stages(**settings)
