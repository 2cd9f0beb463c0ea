import pytest
import trustme

from roadstead.client.credentials import Credentials, CredentialsError


def test_secrets_are_not_shown():
    shown = repr(Credentials(token="hush", key_pem=b"hush", certificate_pem=b"hush"))
    assert "hush" not in shown


def test_a_client_certificate_is_loaded_without_touching_a_disk():
    leaf = trustme.CA().issue_cert("client")
    certificate = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    Credentials(certificate_pem=certificate, key_pem=leaf.private_key_pem.bytes()).ssl_context()


@pytest.mark.parametrize("field", ["ca_pem", "certificate_pem"])
def test_what_is_not_pem_is_refused_with_a_reason(field):
    with pytest.raises(CredentialsError, match="not usable PEM"):
        Credentials(**{field: b"-----BEGIN NONSENSE-----"}).ssl_context()


def test_a_token_file_is_read_anew_each_time(tmp_path):
    file = tmp_path / "token"
    file.write_text("one\n")
    credentials = Credentials(token_file=file)
    assert credentials.bearer() == "one"
    file.write_text("two\n")
    assert credentials.bearer() == "two"


def test_a_missing_token_file_is_named(tmp_path):
    with pytest.raises(CredentialsError, match="no-such-token"):
        Credentials(token_file=tmp_path / "no-such-token").bearer()
