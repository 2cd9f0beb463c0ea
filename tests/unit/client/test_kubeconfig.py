import base64

import pytest
import yaml

from roadstead.client.credentials import CredentialsError
from roadstead.client.kubeconfig import in_cluster, read_kubeconfig


def config(cluster=None, user=None, **more):
    return {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6443", **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}],
        **more,
    }


def write(tmp_path, content):
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(content))
    return path


def test_certificates_as_content(tmp_path):
    encoded = {name: base64.b64encode(name.encode()).decode() for name in ("ca", "cert", "key")}
    path = write(
        tmp_path,
        config(
            {"certificate-authority-data": encoded["ca"]},
            {"client-certificate-data": encoded["cert"], "client-key-data": encoded["key"]},
        ),
    )
    found = read_kubeconfig(path)
    assert (found.server, found.namespace) == ("https://127.0.0.1:6443", "shop")
    credentials = found.credentials
    assert (credentials.ca_pem, credentials.certificate_pem, credentials.key_pem) == (b"ca", b"cert", b"key")


def test_certificates_as_files_beside_the_kubeconfig(tmp_path):
    (tmp_path / "ca.crt").write_bytes(b"authority")
    path = write(tmp_path, config({"certificate-authority": "ca.crt"}, {"token": "t", "tokenFile": "ignored"}))
    credentials = read_kubeconfig(path).credentials
    assert (credentials.ca_pem, credentials.token, credentials.token_file) == (b"authority", "t", None)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (config(user={"exec": {"command": "aws"}}), "'exec' are not supported"),
        (config({"certificate-authority": "gone.crt"}), "gone.crt"),
        (config({"certificate-authority-data": "%"}), "not base64"),
        (config({"server": ""}), "has no server"),
        (config(users=[{"name": "other"}]), "no user 'u'; it has: other"),
        (config(**{"current-context": "away"}), "no context 'away'; it has: here"),
        (config(**{"current-context": ""}), "no current-context"),
        ([], "is empty"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, content, complaint):
    with pytest.raises(CredentialsError, match=complaint):
        read_kubeconfig(write(tmp_path, content))


def test_a_missing_file_and_broken_yaml_are_named(tmp_path):
    with pytest.raises(CredentialsError, match="cannot read the kubeconfig"):
        read_kubeconfig(tmp_path / "absent")
    (tmp_path / "broken").write_text("{a: [")
    with pytest.raises(CredentialsError, match="is not YAML"):
        read_kubeconfig(tmp_path / "broken")


def test_a_pod_finds_its_server_and_its_token(tmp_path):
    for name in ("ca.crt", "namespace", "token"):
        (tmp_path / name).write_text(name)
    found = in_cluster(tmp_path, {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"})
    assert (found.server, found.namespace) == ("https://[fd00::1]:443", "namespace")
    assert found.credentials.bearer() == "token"


def test_outside_of_a_pod_there_is_no_service_account(tmp_path):
    with pytest.raises(CredentialsError, match="not in a cluster"):
        in_cluster(tmp_path, {})
